//! `uncertainty`: the rated figures are known well enough.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "uncertainty",
    title: "the rated figures are known well enough",
    rationale: "A class is worth its interval; a wide one would only spread over several.",
    source: "JCGM 100:2008; docs/uncertainty.md",
    limits: &["figures.uncertainty"],
    fix: "use a sensor with known accuracy, longer windows or more of them: the budget shows the largest term",
    unknown: Some("make every term of the budget known"),
    spared: Some("no energy was measured"),
    example: "U = 16.50 %",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.uncertainty;
    RULE.each(subject, policy(format!("at most {}", percent(limit.value)), limit.line), |case| {
        let budget = case.summary.energy.budget("energy_j")?;
        Some(match budget.expanded() {
            Some(e) => {
                let u = e.expanded_uncertainty;
                at_most(u, limit.value, format!("U = {}", percent(u)))
            }
            None => Seen::Unknown(budget.reason().unwrap_or_default().to_owned()),
        })
    })
}
