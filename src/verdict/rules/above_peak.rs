//! `above-peak`: no workload is faster than the arithmetic ceiling of the machine.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "above-peak",
    title: "no workload is faster than the arithmetic ceiling of the machine",
    rationale: "A result above the ceiling means that the work, the time or the ceiling is wrong.",
    source: "docs/analysis.md, rates and ceilings; Williams, Waterman & Patterson, CACM 52(4), 2009",
    limits: &["figures.above_peak"],
    fix: "report the case: its work is counted wrongly, or the probe does not reach the ceiling of this machine",
    unknown: Some("measure the ceilings in the same run"),
    spared: Some("no workload has a window that counts"),
    example: "at least 182.00 % of the ceiling",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.above_peak;
    let asked = policy(format!("at most {} of the ceiling", percent(1.0 + limit.value)), limit.line);
    RULE.each(subject, asked, |case| {
        case.summary.rate.estimate()?;
        let Some(share) = case.summary.of_peak.estimate() else {
            let why = case.summary.of_peak.reason().unwrap_or_default();
            return Some(Seen::Unknown(format!("no ceiling to compare with: {why}")));
        };
        let low = share.low.unwrap_or(share.median);
        Some(at_most(low, 1.0 + limit.value, format!("at least {} of the ceiling", percent(low))))
    })
}
