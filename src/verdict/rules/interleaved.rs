//! `interleaved`: the windows of every workload are spread over the run.

use super::judge::*;
use crate::record::Sample;

pub(super) const RULE: Rule = Rule {
    code: "interleaved",
    title: "the windows of every workload are spread over the run",
    rationale: "Measured one after the other, a machine that warms up favours whatever came first.",
    source: "docs/measurement.md, order (ABBA)",
    limits: &["windows.interleaving"],
    fix: "measure all workloads in one run; free memory if they did not fit into it together",
    unknown: None,
    spared: Some("there is one workload"),
    example: "its windows span 12.00 % of the run",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.interleaving;
    let asked = policy(format!("at least {} of the run", percent(limit.value)), limit.line);
    let spans: Vec<(f64, f64)> = live(subject).map(|case| span(&case)).collect();
    if spans.len() < 2 {
        return RULE.spare(asked, "there is one workload");
    }
    let run = spans.iter().fold((f64::INFINITY, 0.0f64), |a, b| (a.0.min(b.0), a.1.max(b.1)));
    RULE.each(subject, asked, |case| {
        let (first, last) = span(case);
        let share = (last - first) / (run.1 - run.0);
        Some(at_least(share, limit.value, format!("its windows span {} of the run", percent(share))))
    })
}

/// Start of the first window and end of the last one that count, in seconds.
fn span(case: &Live<'_>) -> (f64, f64) {
    let start = |s: &Sample| s.start.seconds().get();
    let first = case.windows().map(start).fold(f64::INFINITY, f64::min);
    (first, case.windows().map(|s| start(s) + s.wall.get()).fold(0.0, f64::max))
}
