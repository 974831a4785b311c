//! `mig-instance`: the graphics card is not split into instances.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "mig-instance",
    title: "the graphics card is not split into instances",
    rationale: "The counter of a split card counts all its instances, whoever uses them.",
    source: "NVIDIA Multi-Instance GPU User Guide; docs/sensors.md",
    limits: &[],
    fix: "turn MIG off for the measurement",
    unknown: Some("let the driver say whether MIG is on"),
    spared: Some("no workload ran on a graphics card"),
    example: "MIG is on: the counter covers other instances as well",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let gpus = &subject.record.header.environment.gpus;
    RULE.each(subject, program("no MIG instances"), |case| {
        case.summary.device.as_ref().filter(|d| d.0 != "cpu")?;
        Some(if gpus.iter().any(|g| g.mig == Some(true)) {
            Seen::Broken("MIG is on: the counter covers other instances as well".to_owned())
        } else if gpus.is_empty() || gpus.iter().any(|g| g.mig.is_none()) {
            Seen::Unknown("the record does not say whether MIG is on".to_owned())
        } else {
            kept("MIG is off")
        })
    })
}
