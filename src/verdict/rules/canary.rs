//! `canary`: every workload passed a precision canary.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "canary",
    title: "every workload passed a precision canary",
    rationale: "A result in a lower precision can pass a tolerance and cost a fraction of the energy.",
    source: "docs/kernels.md, the canary",
    limits: &["answers.canary"],
    fix: "use a kernel that has a canary",
    unknown: None,
    spared: Some("the policy does not ask for it, or no workload has a window that counts"),
    example: "no canary was run",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let required = subject.policy.canary_required;
    if !required.value {
        return RULE.spare(policy("optional".to_owned(), required.line), "the policy does not ask for it");
    }
    RULE.each(subject, policy("a canary for every workload".to_owned(), required.line), |case| {
        Some(match &case.summary.canary {
            Some(canary) => kept(&canary.name),
            None => Seen::Broken("no canary was run".to_owned()),
        })
    })
}
