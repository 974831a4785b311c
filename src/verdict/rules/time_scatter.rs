//! `time-scatter`: time an iteration repeats from window to window.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "time-scatter",
    title: "time an iteration repeats from window to window",
    rationale: "Scatter beyond that of a calm machine means that something else took part.",
    source: "docs/measurement.md",
    limits: &["windows.time_scatter"],
    fix: "leave the machine alone, fix its clocks (performance governor), and measure again",
    unknown: Some("take at least two windows"),
    spared: Some("no workload has a window that counts"),
    example: "coefficient of variation 8.10 %",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.time_scatter;
    RULE.each(subject, policy(format!("at most {}", percent(limit.value)), limit.line), |case| {
        Some(match case.summary.time_cv {
            Some(cv) => at_most(cv, limit.value, format!("coefficient of variation {}", percent(cv))),
            None => Seen::Unknown("too few windows have a value".to_owned()),
        })
    })
}
