//! `temperature-spread`: temperatures are alike in all windows of a workload.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "temperature-spread",
    title: "temperatures are alike in all windows of a workload",
    rationale: "Leakage grows with temperature, so windows at different temperatures are different measurements.",
    source: "docs/measurement.md, state checks",
    limits: &["state.temperature_spread"],
    fix: "warm the machine up for longer, or steady its cooling",
    unknown: Some("load the driver of the temperature sensor (coretemp, k10temp)"),
    spared: Some("no workload has a window that counts"),
    example: "22.0 K between the windows",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.temperature_spread;
    RULE.each(subject, policy(format!("at most {} K", limit.value), limit.line), |case| {
        let all: Option<Vec<f64>> = case.windows().map(|s| Some(s.state.temperature?.get())).collect();
        let Some(all) = all else { return Some(Seen::Unknown("a window has no temperature".to_owned())) };
        let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), t| (l.min(*t), h.max(*t)));
        Some(at_most(high - low, limit.value, format!("{:.1} K between the windows", high - low)))
    })
}
