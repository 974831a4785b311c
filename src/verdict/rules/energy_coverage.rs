//! `energy-coverage`: every window that counts has energy.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "energy-coverage",
    title: "every window that counts has energy",
    rationale: "Windows without a reading may be the ones that would have cost more.",
    source: "docs/analysis.md, energy",
    limits: &[],
    fix: "measure again; `wattproof doctor` shows whether a counter fails now and then",
    unknown: None,
    spared: Some("no energy was measured"),
    example: "energy is known for 9 of 10 windows that count",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    RULE.each(subject, program("energy for every window that counts"), |case| {
        let known = case.summary.energy.per_iteration.estimate()?.n;
        let counted = case.summary.windows.counted;
        let text = format!("energy is known for {known} of {counted} windows that count");
        Some(if known >= counted { kept(&text) } else { Seen::Broken(text) })
    })
}
