//! `energy-measured`: without measured energy there is nothing to certify.

use super::{Finding, Rule, Status, Subject};
use crate::record::Role;

pub(super) const RULE: Rule = Rule {
    code: "energy-measured",
    title: "energy of every workload was measured",
    rationale: "A model of power is an assumption; it supports no claim.",
    source: "a property of the program: no policy can change it",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let workloads = subject.summary.cases.iter().filter(|c| c.role == Role::Workload);
    let finding = |status, case, observed: String, fix: &str| Finding {
        code: RULE.code,
        status,
        case,
        observed,
        limit: "measured energy for every workload".to_owned(),
        policy_line: None,
        fix: fix.to_owned(),
    };
    let missing: Vec<Finding> = workloads
        .filter_map(|case| {
            let reason = case.energy.per_iteration.reason()?;
            let fix = "run `wattproof doctor` and make a power counter readable";
            Some(finding(Status::Fail, Some(case.id.clone()), reason.to_owned(), fix))
        })
        .collect();
    if missing.is_empty() {
        return vec![finding(Status::Pass, None, "measured for every workload".to_owned(), "")];
    }
    missing
}
