//! `span-correction`: counters are read close to the edges of the window.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "span-correction",
    title: "counters are read close to the edges of the window",
    rationale: "Energy between the reads and the window is scaled as if power were constant; little may rest on that.",
    source: "docs/analysis.md, span to window",
    limits: &["windows.span"],
    fix: "give the sampler a free processor, and measure again",
    unknown: None,
    spared: Some("no energy was measured"),
    example: "counter reads lie up to 1.00 % outside the window",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.span;
    RULE.each(subject, policy(format!("at most {}", percent(limit.value)), limit.line), |case| {
        let span = case.summary.energy.type_b?.span_correction;
        let text = format!("counter reads lie up to {} outside the window", percent(span));
        Some(at_most(span, limit.value, text))
    })
}
