//! `warm-up`: the warm-up became stable.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "warm-up",
    title: "the warm-up became stable",
    rationale: "Before clocks and temperatures settle, a window measures the way there.",
    source: "docs/measurement.md, warm-up",
    limits: &[],
    fix: "let the machine rest, or raise `warm_up_max`",
    unknown: Some("measure again: the record does not say how the warm-up went"),
    spared: Some("no workload has a window that counts"),
    example: "the warm-up was not stable when it had to end",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    RULE.each(subject, program("a stable warm-up of every workload"), |case| {
        Some(match case.summary.windows.warm_up_stable {
            Some(true) => kept("stable"),
            Some(false) => Seen::Broken("the warm-up was not stable when it had to end".to_owned()),
            None => Seen::Unknown("the record does not say how the warm-up went".to_owned()),
        })
    })
}
