//! `clock-jump`: the wall clock was not stepped during a window.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "clock-jump",
    title: "the wall clock was not stepped during a window",
    rationale: "Lengths are monotonic and stand, but a record with a stepped clock has doubtful dates.",
    source: "adjtimex(2); docs/measurement.md, state checks",
    limits: &["state.clock_jump"],
    fix: "let time synchronisation settle before the run",
    unknown: Some("measure again: the record does not compare the clocks"),
    spared: Some("no workload has a window that counts"),
    example: "the wall clock was stepped by 0.800 s",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.clock_jump;
    RULE.each(subject, policy(format!("at most {} ms", limit.value * 1e3), limit.line), |case| {
        Some(match worst(case.windows().map(|s| s.state.clock_jump.map(|j| j.get().abs()))) {
            Some(jump) => at_most(jump, limit.value, format!("the wall clock was stepped by {jump:.3} s")),
            None => Seen::Unknown("a window does not say".to_owned()),
        })
    })
}
