//! `dropped-windows`: no planned window is missing without a trace.

use super::judge::*;
use std::collections::BTreeSet;

pub(super) const RULE: Rule = Rule {
    code: "dropped-windows",
    title: "no planned window is missing without a trace",
    rationale: "A window that was taken and is not there was dropped for a reason that nobody can check.",
    source: "docs/record.md: every window stays in the record",
    limits: &[],
    fix: "measure again, and leave samples.jsonl as it is",
    unknown: None,
    spared: Some("no workload has a window that counts"),
    example: "nothing was recorded of repeats 11, 12",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let planned = subject.record.header.profile.repeats;
    RULE.each(subject, program("a window, kept or discarded, for every planned repeat"), |case| {
        let there: BTreeSet<u32> = case.measurement.samples.iter().map(|s| s.repeat).collect();
        // A profile may plan a million repeats; the first few tell enough.
        let missing: Vec<String> =
            (0..planned).filter(|r| !there.contains(r)).take(5).map(|r| (r + 1).to_string()).collect();
        Some(match missing.is_empty() {
            true => kept(&format!("all {planned}")),
            false => Seen::Broken(format!("nothing was recorded of repeats {}", missing.join(", "))),
        })
    })
}
