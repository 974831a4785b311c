//! `device-category`: the workloads ran on the kind of device that the table is for.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "device-category",
    title: "the workloads ran on the kind of device that the table is for",
    rationale: "A reference of processors says nothing about graphics cards.",
    source: "docs/rating.md",
    limits: &[],
    fix: "choose the reference table of the device with `--table`",
    unknown: None,
    spared: Some("no workload has a window that counts"),
    example: "ran on gpu-5c3a9d10, a gpu",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let category = &subject.table.category;
    RULE.each(subject, program(&format!("device category {category}")), |case| {
        let device = case.summary.device.as_ref().map_or("cpu", |d| d.0.as_str());
        let found = if device == "cpu" { "cpu" } else { "gpu" };
        Some(if found == category { kept(found) } else { Seen::Broken(format!("ran on {device}, a {found}")) })
    })
}
