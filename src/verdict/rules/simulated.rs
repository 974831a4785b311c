//! `simulated`: the record was measured on real hardware.

use super::judge::*;
use crate::record::SensorStatus;

pub(super) const RULE: Rule = Rule {
    code: "simulated",
    title: "the record was measured on real hardware",
    rationale: "A redirected root, a stand-in library, an injected fault or a replay says nothing about a machine.",
    source: "a property of the program: no policy can change it",
    limits: &[],
    fix: "measure again without redirected sensors or injected faults",
    unknown: None,
    spared: None,
    example: "WATTPROOF_ROOT points to another sysfs",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let header = &subject.record.header;
    let sensors = header.sensors.iter().filter_map(|s| match s {
        SensorStatus::Ready(info) if info.simulated => Some(format!("the sensor {} is a double", info.id)),
        _ => None,
    });
    let why: Vec<String> = header.simulated.iter().cloned().chain(sensors).collect();
    let seen = if why.is_empty() { kept("real hardware") } else { Seen::Broken(why.join("; ")) };
    RULE.whole(program("no simulated part"), seen)
}
