//! `steal`: no hypervisor took processor time.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "steal",
    title: "no hypervisor took processor time",
    rationale: "Stolen time stretches the window while other guests draw the power.",
    source: "docs/measurement.md, state checks",
    limits: &["state.steal"],
    fix: "measure on the bare machine",
    unknown: Some("run on Linux with a readable /proc/stat"),
    spared: Some("no workload has a window that counts"),
    example: "the hypervisor took up to 3.00 %",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.steal;
    RULE.each(subject, policy(format!("at most {}", percent(limit.value)), limit.line), |case| {
        Some(match worst(case.windows().map(|s| s.state.steal)) {
            Some(share) => at_most(share, limit.value, format!("the hypervisor took up to {}", percent(share))),
            None => Seen::Unknown("a window does not say".to_owned()),
        })
    })
}
