//! `repeats`: enough windows of every workload count.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "repeats",
    title: "enough windows of every workload count",
    rationale: "With few windows the interval is wide, and nobody knows how wide.",
    source: "JCGM 100:2008, G.3; docs/analysis.md, median and interval",
    limits: &["windows.repeats"],
    fix: "measure again on a calmer machine, so that no window is discarded",
    unknown: None,
    spared: Some("no workload has a window that counts"),
    example: "9 windows count",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.repeats;
    RULE.each(subject, policy(format!("at least {}", limit.value), limit.line), |case| {
        let n = case.summary.windows.counted;
        Some(at_least(f64::from(n), f64::from(limit.value), format!("{n} windows count")))
    })
}
