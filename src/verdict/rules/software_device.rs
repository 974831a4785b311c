//! `software-device`: no workload ran on a software device.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "software-device",
    title: "no workload ran on a device that software imitates",
    rationale: "A renderer that runs on the processor gives right answers; its time and energy are those of no graphics card.",
    source: "docs/gpu.md; a property of the program: no policy can change it",
    limits: &[],
    fix: "measure on the device itself; run the processor's own programs with `devices: [cpu]`",
    unknown: None,
    spared: Some("no workload has a window that counts"),
    example: "ran on wgpu:software (llvmpipe)",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let devices = &subject.record.header.devices;
    RULE.each(subject, program("devices that are hardware"), |case| {
        let id = case.summary.device.as_ref();
        let device = devices.iter().find(|d| Some(&d.id) == id);
        let imitated = case.measurement.prepared.as_ref().is_some_and(|p| p.program.software);
        Some(if imitated || device.is_some_and(|d| d.software) {
            let name = device.map(|d| format!(" ({})", d.name)).unwrap_or_default();
            Seen::Broken(format!("ran on {}{name}", id.map_or("a software device", |d| d.0.as_str())))
        } else {
            kept("hardware")
        })
    })
}
