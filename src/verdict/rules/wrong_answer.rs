//! `wrong-answer`: a wrong answer voids its energy, and the certificate with it.

use super::{Finding, Rule, Status, Subject};
use crate::analysis;

pub(super) const RULE: Rule = Rule {
    code: "wrong-answer",
    title: "every answer that was timed is right",
    rationale: "A kernel that computes something else, or in a lower precision, can use any amount of energy.",
    source: "a property of the program: no policy can change it",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let wrong = subject.summary.cases.iter().filter_map(|case| match &case.status {
        analysis::Status::WrongAnswer { reason } => Some(Finding {
            code: RULE.code,
            status: Status::Fail,
            case: Some(case.id.clone()),
            observed: reason.clone(),
            limit: "error within the fixed limit, canary exact".to_owned(),
            policy_line: None,
            fix: "repair the kernel or the machine and measure again".to_owned(),
        }),
        _ => None,
    });
    let wrong: Vec<Finding> = wrong.collect();
    if !wrong.is_empty() {
        return wrong;
    }
    vec![Finding {
        code: RULE.code,
        status: Status::Pass,
        case: None,
        observed: "no wrong answer".to_owned(),
        limit: "error within the fixed limit, canary exact".to_owned(),
        policy_line: None,
        fix: String::new(),
    }]
}
