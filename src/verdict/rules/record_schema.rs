//! `record-schema`: the record is of a schema that the policy accepts.

use super::judge::*;
use crate::record::SCHEMA;

pub(super) const RULE: Rule = Rule {
    code: "record-schema",
    title: "the record is of a schema that the policy accepts",
    rationale: "Older records may lack what newer rules ask for.",
    source: "docs/record.md",
    limits: &["record.schema"],
    fix: "measure again with a current wattproof",
    unknown: None,
    spared: None,
    example: "schema 0",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (oldest, found) = (subject.policy.schema, subject.record.header.schema);
    let text = format!("schema {found}");
    let seen = if (oldest.value..=SCHEMA).contains(&found) { kept(&text) } else { Seen::Broken(text) };
    RULE.whole(policy(format!("schema {} to {SCHEMA}", oldest.value), oldest.line), seen)
}
