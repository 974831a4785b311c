//! `idle-length`: the machine was measured at rest before and after.

use super::judge::*;
use crate::record::IdlePhase;

pub(super) const RULE: Rule = Rule {
    code: "idle-length",
    title: "the machine was measured at rest before and after",
    rationale: "Idle power shows what else draws power, and its drift how steady the machine is.",
    source: "docs/measurement.md, idle",
    limits: &["idle.length"],
    fix: "measure with the certify profile, and leave the machine alone meanwhile",
    unknown: None,
    spared: Some("no energy was measured"),
    example: "no undisturbed idle window after the cases",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.idle_length;
    let asked = policy(format!("at least {} s before and after", limit.value), limit.line);
    if subject.summary.boundary.domains.is_empty() {
        return RULE.spare(asked, "no energy was measured");
    }
    let longest = |phase: IdlePhase| {
        let good = subject.record.idle.iter().filter(|w| w.phase == phase && w.flags.is_empty());
        good.map(|w| w.wall.get()).fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b))))
    };
    let words = [(IdlePhase::Before, "before"), (IdlePhase::After, "after")];
    let short: Vec<String> = words
        .iter()
        .filter_map(|(phase, word)| match longest(*phase) {
            Some(length) if length >= limit.value => None,
            Some(length) => Some(format!("{length:.1} s {word} the cases")),
            None => Some(format!("no undisturbed idle window {word} the cases")),
        })
        .collect();
    RULE.whole(asked, if short.is_empty() { kept("long enough on both sides") } else { Seen::Broken(short.join("; ")) })
}
