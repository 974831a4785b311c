//! `energy-scatter`: energy an iteration repeats from window to window.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "energy-scatter",
    title: "energy an iteration repeats from window to window",
    rationale: "Energy that changes while the work does not comes from something that the certificate would not name.",
    source: "docs/measurement.md",
    limits: &["windows.energy_scatter"],
    fix: "leave the machine alone, fix its clocks (performance governor), and measure again",
    unknown: Some("take at least two windows with energy"),
    spared: Some("no energy was measured"),
    example: "coefficient of variation 8.10 %",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.energy_scatter;
    RULE.each(subject, policy(format!("at most {}", percent(limit.value)), limit.line), |case| {
        case.summary.energy.per_iteration.estimate()?;
        Some(match case.summary.energy_cv {
            Some(cv) => at_most(cv, limit.value, format!("coefficient of variation {}", percent(cv))),
            None => Seen::Unknown("too few windows have a value".to_owned()),
        })
    })
}
