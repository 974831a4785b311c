//! `energy-measured`: energy of every workload was measured.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "energy-measured",
    title: "energy of every workload was measured",
    rationale: "A model of power is an assumption; it supports no claim.",
    source: "a property of the program: no policy can change it",
    limits: &[],
    fix: "run `wattproof doctor` and make a power counter readable",
    unknown: None,
    spared: Some("no workload has a window that counts"),
    example: "no energy counter: rapl: not permitted: energy_uj is readable by root only",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let model = subject.record.header.estimate.map(|m| format!("; the {} W given are a model", m.tdp.get()));
    RULE.each(subject, program("measured energy for every workload"), |case| {
        Some(match case.summary.energy.per_iteration.reason() {
            None => kept("measured for every workload"),
            Some(reason) => Seen::Broken(format!("{reason}{}", model.as_deref().unwrap_or_default())),
        })
    })
}
