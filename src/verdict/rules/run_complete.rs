//! `run-complete`: the run came to its end.

use super::judge::*;
use crate::record::RunState;

pub(super) const RULE: Rule = Rule {
    code: "run-complete",
    title: "the run came to its end",
    rationale: "A run that is cut off leaves out whatever was still to come: the second idle window, the last rounds.",
    source: "a property of the program: no policy can change it",
    limits: &[],
    fix: "go on with `wattproof run --resume`, or measure again",
    unknown: None,
    spared: None,
    example: "the run was interrupted",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let seen = match subject.record.header.state {
        RunState::Complete => kept("complete"),
        RunState::Interrupted => Seen::Broken("the run was interrupted".to_owned()),
        RunState::Running => Seen::Broken("the run has not ended, or was killed".to_owned()),
    };
    RULE.whole(program("a complete run"), seen)
}
