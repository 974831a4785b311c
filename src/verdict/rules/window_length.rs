//! `window-length`: windows are long enough to average over the machine.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "window-length",
    title: "windows are long enough to average over the machine",
    rationale: "Fans, regulators and firmware move over seconds; a shorter window measures a moment of them.",
    source: "docs/measurement.md, windows",
    limits: &["windows.floor"],
    fix: "measure with the certify profile",
    unknown: None,
    spared: Some("no workload has a window that counts"),
    example: "shortest window 2.00 s",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.window_floor;
    RULE.each(subject, policy(format!("at least {} s", limit.value), limit.line), |case| {
        let shortest = case.windows().map(|s| s.wall.get()).fold(f64::INFINITY, f64::min);
        Some(at_least(shortest, limit.value, format!("shortest window {shortest:.2} s")))
    })
}
