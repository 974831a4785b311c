//! `wrong-answer`: every answer that was timed is right.

use super::Status;
use super::judge::*;
use crate::analysis;

pub(super) const RULE: Rule = Rule {
    code: "wrong-answer",
    title: "every answer that was timed is right",
    rationale: "A kernel that computes something else, or in a lower precision, can use any amount of energy.",
    source: "a property of the program: no policy can change it",
    limits: &[],
    fix: "repair the kernel or the machine and measure again",
    unknown: None,
    spared: None,
    example: "error 3.1e-4, limit 1.0e-6",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let asked = || program("error within the fixed limit, canary exact");
    // Ceiling probes count as well: what a wrong one would measure is no ceiling.
    let wrong = subject.summary.cases.iter().filter_map(|case| match &case.status {
        analysis::Status::WrongAnswer { reason } => {
            Some(RULE.finding(Status::Fail, Some(&case.id), reason.clone(), asked()))
        }
        _ => None,
    });
    let wrong: Vec<Finding> = wrong.collect();
    if wrong.is_empty() { RULE.whole(asked(), kept("no wrong answer")) } else { wrong }
}
