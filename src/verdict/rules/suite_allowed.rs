//! `suite-allowed`: the suite is one that the policy rates, unchanged.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "suite-allowed",
    title: "the suite is one that the policy rates, unchanged",
    rationale: "A certificate is worth comparing only where everybody ran the same work.",
    source: "docs/rules.md",
    limits: &["record.suites"],
    fix: "run the shipped suite as it is: `wattproof run suites/certify-cpu.yaml`",
    unknown: None,
    spared: Some("the policy names no suite"),
    example: "suite `mine` is not on the list",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (allowed, suite) = (&subject.policy.suites, &subject.record.header.suite);
    let names: Vec<String> = allowed.value.iter().map(|s| format!("`{}`", s.id)).collect();
    let asked = policy(names.join(" or "), allowed.line);
    if allowed.value.is_empty() {
        return RULE.spare(policy("any suite".to_owned(), allowed.line), "the policy names no suite");
    }
    let named = allowed.value.iter().filter(|s| s.id == suite.id);
    // The digest is taken of the text that ran, not of what the header says of it.
    let digest = crate::record::store::sha256_hex(suite.text.as_bytes());
    let seen = match named.clone().next() {
        None => Seen::Broken(format!("suite `{}` is not on the list", suite.id)),
        Some(_) if named.clone().any(|s| s.sha256.as_ref().is_none_or(|d| *d == digest)) => {
            kept(&format!("suite `{}`", suite.id))
        }
        Some(_) => Seen::Broken(format!("suite `{}` was changed: its text has SHA-256 {digest}", suite.id)),
    };
    RULE.whole(asked, seen)
}
