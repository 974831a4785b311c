//! What differs between the environments of arms: only that, with the values.

use super::{Arm, Entrant};
use crate::record::{RunRecord, SensorStatus};
use crate::report::si;
use serde::Serialize;
use std::collections::BTreeMap;

/// Something about a record that can differ; `None` is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trait {
    pub(super) what: &'static str,
    pub(super) value: Option<String>,
}

/// Something that differs between arms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differing {
    /// What: `governor`.
    pub what: &'static str,
    /// Its values in the order of the arms, each once, with the arms that have it.
    pub values: Vec<Held>,
}

/// A value and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The value; an arm of several records may have several, joined by ` / `. `None` is unknown.
    pub value: Option<String>,
    /// Arms by their place in `arms`.
    pub arms: Vec<usize>,
}

/// The traits of a record. `boundary` and `paths` come from its cases.
pub(super) fn of(record: &RunRecord, boundary: Option<String>, paths: Option<String>) -> Vec<Trait> {
    let (header, e) = (&record.header, &record.header.environment);
    let (host, cpu, state) = (&e.host, &e.cpu, &e.state);
    let watts = |w: Option<crate::units::Watts>| w.map(|w| si::setting(w.get(), "W"));
    let join = |list: Vec<String>| (!list.is_empty()).then(|| list.join(", "));
    let yes_no = |b: Option<bool>| b.map(|b| if b { "yes" } else { "no" }.to_owned());
    let gpus = |pick: &dyn Fn(&crate::record::Gpu) -> Option<String>| join(e.gpus.iter().filter_map(pick).collect());
    let sensors = header.sensors.iter().filter_map(|s| match s {
        SensorStatus::Ready(info) => Some(info.id.clone()),
        SensorStatus::Absent { .. } | SensorStatus::Denied { .. } => None,
    });
    let short: String = header.suite.digest.chars().take(12).collect();
    let commit = header.tool.commit.as_ref().map(|c| format!(" ({c})")).unwrap_or_default();
    let of = |what, value| Trait { what, value };
    vec![
        of("CPU", cpu.model.clone()),
        of("sockets", cpu.sockets.map(|n| n.to_string())),
        of("cores", cpu.cores.map(|n| n.to_string())),
        of("usable CPUs", Some(cpu.usable.to_string())),
        of("microcode", cpu.microcode.clone()),
        of("code path", paths),
        of("GPU", gpus(&|g| Some(g.name.clone()))),
        of("GPU driver", gpus(&|g| g.driver.clone())),
        of("GPU power limit", gpus(&|g| watts(g.power_limit))),
        of("memory", e.memory.map(|m| si::bytes(m.get()))),
        of("machine", host.machine_hash.clone()),
        of("virtual machine", Some(host.virtualization.clone().unwrap_or_else(|| "none recognised".to_owned()))),
        of("container", Some(host.container.clone().unwrap_or_else(|| "none recognised".to_owned()))),
        of("operating system", host.os.clone()),
        of("kernel", host.kernel.clone()),
        of("governor", state.governor.clone()),
        of("turbo", yes_no(state.turbo)),
        of("power limit", watts(state.power_cap)),
        of("huge pages", state.huge_pages.clone()),
        of("on battery", yes_no(state.on_battery)),
        of("energy filtering", yes_no(state.energy_filtering)),
        of("energy boundary", boundary),
        of("sensors", join(sensors.collect())),
        of("suite", Some(format!("{} {short}", header.suite.id))),
        of("profile", Some(header.profile.name.clone())),
        of("program", Some(format!("{} {}{commit}", header.tool.name, header.tool.version))),
        of("compiler", Some(format!("{}, {}, {}", e.compiler.rustc, e.compiler.target, e.compiler.profile))),
    ]
}

/// What differs between `arms`, each value once.
pub(super) fn between(arms: &[Arm], entrants: &[Entrant]) -> Vec<Differing> {
    let Some(first) = entrants.first() else { return Vec::new() };
    let mut all = Vec::new();
    for (index, of) in first.traits.iter().enumerate() {
        let mut values: Vec<Held> = Vec::new();
        let mut places: BTreeMap<Option<String>, usize> = BTreeMap::new();
        for (number, arm) in arms.iter().enumerate() {
            let mut seen: Vec<&str> = Vec::new();
            for value in arm.entrants.iter().filter_map(|e| entrants[*e].traits[index].value.as_deref()) {
                if !seen.contains(&value) {
                    seen.push(value);
                }
            }
            let value = (!seen.is_empty()).then(|| seen.join(" / "));
            let place = *places.entry(value.clone()).or_insert_with(|| {
                values.push(Held { value, arms: Vec::new() });
                values.len() - 1
            });
            values[place].arms.push(number);
        }
        if values.len() > 1 {
            all.push(Differing { what: of.what, values });
        }
    }
    all
}
