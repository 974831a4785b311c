//! `discarded-windows`: few windows had to be discarded.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "discarded-windows",
    title: "few windows had to be discarded",
    rationale: "Who measures until it fits can make a bad machine look calm.",
    source: "docs/measurement.md, state checks",
    limits: &["windows.discarded"],
    fix: "find what disturbs the machine: the reasons stand in the record",
    unknown: None,
    spared: Some("no workload has a window that counts"),
    example: "4 of 14 windows were discarded (28.57 %)",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.discarded;
    RULE.each(subject, policy(format!("at most {}", percent(limit.value)), limit.line), |case| {
        let windows = &case.summary.windows;
        let lost = windows.taken.saturating_sub(windows.counted);
        let share = f64::from(lost) / f64::from(windows.taken.max(1));
        let text = format!("{lost} of {} windows were discarded ({})", windows.taken, percent(share));
        Some(at_most(share, limit.value, text))
    })
}
