//! `sensor-lost`: no sensor of the boundary was lost during the run.

use super::judge::*;
use std::collections::BTreeSet;

pub(super) const RULE: Rule = Rule {
    code: "sensor-lost",
    title: "no sensor of the boundary was lost during the run",
    rationale: "A sensor that stopped answering once may have answered wrongly before.",
    source: "docs/measurement.md",
    limits: &[],
    fix: "find out why the sensor went away (driver, suspend, permissions), and measure again",
    unknown: None,
    spared: Some("no energy was measured"),
    example: "rapl: energy_uj: no such device",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let asked = program("every sensor of the boundary to the end");
    let rated: BTreeSet<&str> =
        subject.summary.cases.iter().flat_map(|c| &c.domains).filter(|d| d.rated).map(|d| d.sensor.as_str()).collect();
    if rated.is_empty() {
        return RULE.spare(asked, "no energy was measured");
    }
    let lost = subject.record.lost_sensors.iter().filter(|(id, _)| rated.contains(id.as_str()));
    let lost: Vec<String> = lost.map(|(id, why)| format!("{id}: {why}")).collect();
    RULE.whole(asked, if lost.is_empty() { kept("none was lost") } else { Seen::Broken(lost.join("; ")) })
}
