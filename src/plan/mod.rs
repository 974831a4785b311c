//! Suite × host → plan: which cases run, which are skipped and why, and how long it will take.
//!
//! Planning is pure: the host's capacity is an argument, so a plan can be made for any machine.

mod ceilings;
mod devices;

pub use devices::{Devices, PlannedDevice, device_bytes};

use crate::kernels::{Params, ProgramChoice, Role, Work};
use crate::suite::{Case, Catalog, DeviceId, Profile, Suite, Threads};
use crate::units::{Bytes, Seconds};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Largest share of the available memory that one case may take.
const MEMORY_SHARE: f64 = 0.8;

/// What will run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Cases in the order of the suite; ceiling probes come first. Every one carries its threads
    /// as a count, while its id keeps the word of the suite (`t-all`), so ids agree across machines.
    pub cases: Vec<Case>,
    /// Cases this host cannot run.
    pub skips: Vec<Skip>,
    /// Estimated time of the whole run.
    #[serde(rename = "estimate_s")]
    pub estimate: Seconds,
}

/// A case that does not run, as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Skip {
    /// The case.
    pub case: Case,
    /// Why, and what would make it run.
    pub reason: String,
}

/// What a host offers to a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// Logical CPUs this process may use.
    pub usable_cpus: u32,
    /// Physical cores among them.
    pub cores: u32,
    /// Memory that can be allocated without swapping; `None` when unknown, and then nothing is
    /// skipped for memory.
    pub available_memory: Option<Bytes>,
    /// Size of the last-level cache; `None` when unknown, and then no in-cache ceiling is probed.
    pub last_level_cache: Option<Bytes>,
    /// Devices besides the processor.
    pub devices: Devices,
}

impl Capacity {
    /// Threads a request comes to here, at least 1.
    #[must_use]
    pub fn threads(&self, wanted: Threads) -> u32 {
        match wanted {
            Threads::Count(n) => n,
            Threads::Cores => self.cores.clamp(1, self.usable_cpus.max(1)),
            Threads::All => self.usable_cpus.max(1),
        }
    }
}

impl Plan {
    /// Keeps the workloads whose id is `wanted`, and the ceiling probes that they are compared with
    /// (those of their thread counts and devices). The estimate shrinks in proportion.
    pub fn retain(&mut self, catalog: &Catalog, wanted: impl Fn(&str) -> bool) {
        let is_workload = |case: &Case| catalog.find(&case.kernel).is_some_and(|k| k.info().role == Role::Workload);
        let before = self.cases.len();
        let place = |c: &Case| (c.threads, c.device.clone());
        let kept: Vec<(Threads, DeviceId)> =
            self.cases.iter().filter(|c| is_workload(c) && wanted(&c.id)).map(place).collect();
        self.cases.retain(|c| if is_workload(c) { wanted(&c.id) } else { kept.contains(&place(c)) });
        self.estimate = self.estimate * (self.cases.len() as f64 / before.max(1) as f64);
    }
}

/// Plans a suite for a host.
///
/// Nothing is lost: each case of the suite is either in `cases` or, with a reason, in `skips`.
#[must_use]
pub fn build(suite: &Suite, capacity: &Capacity, catalog: &Catalog) -> Plan {
    let mut planned: Vec<Planned> = Vec::new();
    let mut skips = Vec::new();
    let mut taken: HashMap<String, String> = HashMap::new();
    for case in &suite.cases {
        let candidates = match candidates(case, capacity, catalog) {
            Ok(candidates) => candidates,
            Err(reason) => {
                skips.push(Skip { case: case.clone(), reason });
                continue;
            }
        };
        for (case, threads, work) in candidates {
            let work = match work {
                Ok(work) => work,
                Err(reason) => {
                    skips.push(Skip { case, reason });
                    continue;
                }
            };
            let key = identity(&case, &case.params, threads);
            if let Some(first) = taken.get(&key) {
                let both = if case.device.is_cpu() { plural(threads) } else { case.device.to_string() };
                let reason = format!("the same as `{first}` on this machine: both come to {both}");
                // The case of two entries, one of which names the device and the other all: one id, one outcome.
                if *first != case.id {
                    skips.push(Skip { case, reason });
                }
            } else {
                taken.insert(key, case.id.clone());
                planned.push(Planned { asked: case.threads, case: resolved(&case, threads), work });
            }
        }
    }
    let probes = ceilings::probes(&planned, &suite.profile, capacity, catalog, &mut skips);
    let estimate = estimate(&suite.profile, planned.len(), probes.len());
    let cases = probes.into_iter().chain(planned.into_iter().map(|p| p.case)).collect();
    Plan { cases, skips, estimate }
}

/// A case on one device, its threads, and its work or why it cannot run.
type Candidate = (Case, u32, Result<Work, String>);

/// What a case of the suite comes to here: itself, or itself on each device that it means.
///
/// # Errors
/// Why there is no such device.
fn candidates(case: &Case, capacity: &Capacity, catalog: &Catalog) -> Result<Vec<Candidate>, String> {
    if case.device.is_cpu() {
        let threads = capacity.threads(case.threads);
        return Ok(vec![(case.clone(), threads, judge(case, threads, capacity, catalog))]);
    }
    let meant = capacity.devices.meant(&case.device)?;
    Ok(meant
        .into_iter()
        .map(|device| {
            let case = devices::placed(case, device);
            let work = devices::fits(&case, device, capacity, catalog);
            (case, 1, work)
        })
        .collect())
}

/// A case that runs.
struct Planned {
    case: Case,
    asked: Threads,
    work: Work,
}

/// The work of a case, or why it cannot run here.
fn judge(case: &Case, threads: u32, capacity: &Capacity, catalog: &Catalog) -> Result<Work, String> {
    let kernel = catalog.find(&case.kernel).ok_or_else(|| {
        format!("this build has no kernel `{}`: use the version the suite was written for", case.kernel)
    })?;
    if threads > capacity.usable_cpus {
        let usable = match capacity.usable_cpus {
            1 => "1 CPU is".to_owned(),
            n => format!("{n} CPUs are"),
        };
        return Err(format!("it needs {}, {usable} usable: write `threads: all`, or allow more CPUs", plural(threads)));
    }
    if case.device.is_cpu() && case.params.choice() == Some(ProgramChoice::Library) {
        return Err(
            "the processor runs the kernels' own programs only: write `program: own`, or name a device".to_owned()
        );
    }
    let work = kernel.work(&case.params).map_err(|e| format!("{e}: change its parameters"))?;
    if let Some(available) = capacity.available_memory
        && work.footprint.get() > available.get() * MEMORY_SHARE
    {
        let share = MEMORY_SHARE * 100.0;
        let (needed, free) = (human(work.footprint), human(available));
        return Err(format!(
            "it needs {needed}, more than {share} % of the {free} available: use a smaller shape or free memory"
        ));
    }
    Ok(work)
}

fn resolved(case: &Case, threads: u32) -> Case {
    Case { threads: Threads::Count(threads), ..case.clone() }
}

/// Equal for cases that do the same work here.
fn identity(case: &Case, params: &Params, threads: u32) -> String {
    let values: Vec<String> = params.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {} {} {threads} {}", case.kernel, params.dtype, values.join(" "), case.device)
}

/// Idle twice, and for each case its warm-up and its windows. A warm-up ends between its bounds
/// when the machine is stable; the geometric mean of the bounds stands for it. Windows grow beyond
/// the floor with slow sensors and long iterations, and checks against the reference come on top.
fn estimate(profile: &Profile, cases: usize, probes: usize) -> Seconds {
    let repeats = f64::from(profile.repeats);
    let warm_up = profile.warm_up_min.get().max(1e-3) * profile.warm_up_max.get().max(1e-3);
    let warm_up = Seconds::new(warm_up.sqrt()).unwrap_or_default();
    let case = warm_up + profile.window_floor * repeats;
    let probe = profile.warm_up_min + profile.probe * repeats;
    profile.idle * 2.0 + case * cases as f64 + probe * probes as f64
}

fn plural(threads: u32) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

fn human(bytes: Bytes) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fit = units.iter().find(|(_, shift)| bytes.get() >= (1u64 << shift) as f64);
    match fit {
        Some((unit, shift)) => format!("{:.1} {unit}", bytes.get() / (1u64 << shift) as f64),
        None => format!("{} B", bytes.get()),
    }
}

#[cfg(test)]
mod tests;
