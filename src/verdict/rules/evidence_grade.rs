//! `evidence-grade`: the energy must be evidence of at least the policy's grade.

use super::{Finding, Rule, Status, Subject};

pub(super) const RULE: Rule = Rule {
    code: "evidence-grade",
    title: "the energy is evidence of a grade that can be rated",
    rationale: "Polled power and counters shared with other guests are too weak to carry a class.",
    source: "docs/analysis.md, evidence grades",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.grade;
    let (status, observed) = match &subject.summary.grade {
        None => (Status::NotApplicable, "no energy was measured".to_owned()),
        Some(grade) if grade.letter <= limit.value => (Status::Pass, format!("{}: {}", grade.letter, grade.reason)),
        Some(grade) => (Status::Fail, format!("{}: {}", grade.letter, grade.reason)),
    };
    let fix = match status {
        Status::Fail => "measure on the bare machine with a hardware energy counter or an external meter",
        _ => "",
    };
    vec![Finding {
        code: RULE.code,
        status,
        case: None,
        observed,
        limit: format!("{} or better", limit.value),
        policy_line: Some(limit.line),
        fix: fix.to_owned(),
    }]
}
