//! `case-measured`: every planned workload came to figures.

use super::judge::*;
use crate::analysis;

pub(super) const RULE: Rule = Rule {
    code: "case-measured",
    title: "every planned workload came to figures",
    rationale: "A result that leaves out what did not run rates a choice of workloads.",
    source: "a property of the program: no policy can change it",
    limits: &[],
    fix: "find out why it did not run (memory, threads, time), and measure again",
    unknown: None,
    spared: Some("the record has no workload"),
    example: "could not run: cannot allocate 68719476736 bytes for the inputs",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    RULE.every(subject, program("figures for every workload"), |case| match &case.summary.status {
        // Said by its own rule.
        analysis::Status::WrongAnswer { .. } => None,
        analysis::Status::Failed { reason } => Some(Seen::Broken(format!("could not run: {reason}"))),
        analysis::Status::NotRun => Some(Seen::Broken("the run ended before it".to_owned())),
        _ => Some(match case.summary.time.reason() {
            None => kept("every workload"),
            Some(reason) => Seen::Broken(reason.to_owned()),
        }),
    })
}
