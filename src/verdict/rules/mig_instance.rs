//! `mig-instance`: the graphics card is not split into instances.

use super::judge::*;
use crate::record::{Domain, Gpu};

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
    let header = &subject.record.header;
    RULE.each(subject, program("no MIG instances"), |case| {
        let id = case.summary.device.as_ref().filter(|d| !d.is_cpu())?;
        let device = header.devices.iter().find(|d| d.id == *id);
        let gpus: Vec<&Gpu> = match device.and_then(|d| d.domain.as_ref()) {
            Some(Domain::Gpu { uuid } | Domain::GpuModule { uuid }) => {
                let own = header.environment.gpus.iter().filter(|g| is_named(g, uuid)).collect::<Vec<_>>();
                // A card that NVML does not know is none of NVIDIA's: only theirs are split.
                if own.is_empty() {
                    return None;
                }
                own
            }
            // Without a domain its address may still name the board.
            _ => {
                let pci = device.and_then(|d| d.pci.as_ref());
                let there = header.environment.gpus.iter().filter(|g| pci.is_some() && g.pci.as_ref() == pci);
                let there: Vec<&Gpu> = there.collect();
                if there.is_empty() { header.environment.gpus.iter().collect() } else { there }
            }
        };
        Some(if gpus.iter().any(|g| g.mig == Some(true)) {
            Seen::Broken("MIG is on: the counter covers other instances as well".to_owned())
        } else if gpus.is_empty() || gpus.iter().any(|g| g.mig.is_none()) {
            Seen::Unknown("the record does not say whether MIG is on".to_owned())
        } else {
            kept("MIG is off")
        })
    })
}

/// Whether `uuid`, the public id in a domain, is that of this board: `GPU-` and the first digits of its hash.
fn is_named(gpu: &Gpu, uuid: &str) -> bool {
    let digits = uuid.strip_prefix("GPU-").unwrap_or_default();
    !digits.is_empty() && gpu.uuid_hash.starts_with(digits)
}
