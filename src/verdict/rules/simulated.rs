//! `simulated`: a record of doubles is never certified.

use super::{Finding, Rule, Status, Subject};

pub(super) const RULE: Rule = Rule {
    code: "simulated",
    title: "the record was measured on real hardware",
    rationale: "A redirected root, a stand-in library, an injected fault or a replay says nothing about a machine.",
    source: "a property of the program: no policy can change it",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let why = &subject.record.header.simulated;
    let real = why.is_empty();
    vec![Finding {
        code: RULE.code,
        status: if real { Status::Pass } else { Status::Fail },
        case: None,
        observed: if real { "real hardware".to_owned() } else { why.join("; ") },
        limit: "no simulated part".to_owned(),
        policy_line: None,
        fix: if real {
            String::new()
        } else {
            "measure again without redirected sensors or injected faults".to_owned()
        },
    }]
}
