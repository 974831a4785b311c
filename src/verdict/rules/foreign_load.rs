//! `foreign-load`: nothing else ran on the machine.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "foreign-load",
    title: "nothing else ran on the machine",
    rationale: "Energy counters count for everybody; foreign work would be rated as the item's own.",
    source: "docs/measurement.md, state checks",
    limits: &["state.foreign_load"],
    fix: "stop services and jobs for the time of the measurement",
    unknown: Some("run on Linux with a readable /proc/stat"),
    spared: Some("no workload has a window that counts"),
    example: "other processes used up to 7.00 %",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.foreign_load;
    RULE.each(subject, policy(format!("at most {}", percent(limit.value)), limit.line), |case| {
        Some(match worst(case.windows().map(|s| s.state.foreign_load)) {
            Some(share) => at_most(share, limit.value, format!("other processes used up to {}", percent(share))),
            None => Seen::Unknown("a window does not say".to_owned()),
        })
    })
}
