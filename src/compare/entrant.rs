//! A record reduced to what a comparison needs of it, so that 200 records fit where one did.

use super::differences::{self, Trait};
use crate::analysis::{CaseGauge, EnergyGauge, Grade, Series, Spread, Status, clock, gauge, grade};
use crate::clock::Utc;
use crate::policy::Policy;
use crate::record::{
    CacheState, Case, DeviceId, Domain, Environment, Gpu, Params, Role, RunRecord, RunState, Threads, Work,
};
use std::collections::BTreeSet;

/// One record that takes part.
#[derive(Debug, Clone, PartialEq)]
pub struct Entrant {
    /// Record id.
    pub id: String,
    /// SHA-256 of its samples.
    pub samples: String,
    /// When its run began.
    pub started_at: Utc,
    pub(super) state: RunState,
    pub(super) suite: String,
    pub(super) suite_digest: String,
    pub(super) simulated: Vec<String>,
    pub(super) grade: Option<Grade>,
    pub(super) estimated: bool,
    pub(super) virtual_machine: Option<String>,
    pub(super) on_battery: bool,
    pub(super) machine: Option<String>,
    /// What can differ from machine to machine and from run to run.
    pub(super) traits: Vec<Trait>,
    pub(super) cases: Vec<Entry>,
    pub(super) probes: Vec<Entry>,
    /// Cases that the machine could not plan.
    pub(super) skips: usize,
}

/// A case of an entrant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) kernel: String,
    pub(super) role: Role,
    pub(super) params: Params,
    pub(super) cache: CacheState,
    /// Threads as the suite asks for them.
    pub(super) asked: Threads,
    /// Where it ran; `None` when it was never built.
    pub(super) device: Option<Device>,
    pub(super) path: Option<String>,
    pub(super) threads: Option<u32>,
    pub(super) work: Option<Work>,
    /// Why no figure counts, where that is so.
    pub(super) void: Option<String>,
    pub(super) time: Result<Gauged, String>,
    pub(super) energy: Result<Gauged, String>,
    /// The parts of the machine whose energy is in it: `CPU packages + memory`; empty without energy.
    pub(super) boundary: String,
}

/// Identity of a device, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) vendor: String,
    pub(super) driver: String,
}

/// A figure of one case of one record, on logarithms.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gauged {
    pub(super) center: f64,
    /// The reason where a term of its uncertainty is unknown.
    pub(super) spread: Result<Spread, String>,
    /// Windows behind it.
    pub(super) n: u32,
}

impl Entrant {
    /// Reduces `record`, systematic errors bounded by `policy`. The trace is not looked at.
    #[must_use]
    pub fn of(record: &RunRecord, policy: &Policy) -> Self {
        let gauges = gauge(record, policy);
        let grade = grade(record, &gauges);
        let header = &record.header;
        let mut entries: Vec<Entry> =
            gauges.into_iter().zip(&record.measurements).map(|(g, m)| entry(g, &m.case, record, policy)).collect();
        let probes = entries.extract_if(.., |e| e.role != Role::Workload).collect();
        let boundaries: BTreeSet<&str> =
            entries.iter().filter(|e| e.energy.is_ok()).map(|e| e.boundary.as_str()).collect();
        let paths: BTreeSet<&str> = entries.iter().filter_map(|e| e.path.as_deref()).collect();
        let join = |set: BTreeSet<&str>| (!set.is_empty()).then(|| set.into_iter().collect::<Vec<_>>().join(", "));
        let traits = differences::of(record, join(boundaries), join(paths));
        Self {
            id: header.id.clone(),
            samples: record.samples_digest.clone(),
            started_at: header.started_at,
            state: header.state,
            suite: header.suite.id.clone(),
            suite_digest: header.suite.digest.clone(),
            simulated: header.simulated.clone(),
            grade,
            estimated: header.estimate.is_some(),
            virtual_machine: header.environment.host.virtualization.clone(),
            on_battery: header.environment.state.on_battery == Some(true),
            machine: header.environment.host.machine_hash.clone(),
            traits,
            cases: entries,
            probes,
            skips: header.plan.skips.len(),
        }
    }

    /// What it ran on, each device once.
    pub(super) fn devices(&self) -> Vec<&str> {
        let names: BTreeSet<&str> =
            self.cases.iter().filter_map(|c| c.device.as_ref()).map(|d| d.name.as_str()).collect();
        names.into_iter().collect()
    }
}

fn entry(gauge: CaseGauge, case: &Case, record: &RunRecord, policy: &Policy) -> Entry {
    let void = match &gauge.status {
        Status::Measured | Status::Partial { .. } if gauge.windows.is_empty() => Some("no window counts".to_owned()),
        Status::Measured | Status::Partial { .. } => None,
        Status::WrongAnswer { reason } => Some(format!("wrong answer: {reason}")),
        Status::Failed { reason } => Some(format!("failed: {reason}")),
        Status::NotRun => Some("the run ended before it".to_owned()),
    };
    let times = || {
        let times = gauge.windows.iter().map(|w| w.time).collect();
        Gauged::of(&Series::new(times, None, vec![clock(record, policy)]))
    };
    let (time, energy) = match &void {
        Some(why) => (Err(why.clone()), Err(why.clone())),
        None => (times(), gauge.energy.as_ref().map_err(Clone::clone).and_then(energy)),
    };
    let boundary = gauge.energy.as_ref().map(boundary).unwrap_or_default();
    Entry {
        id: gauge.id,
        kernel: case.kernel.clone(),
        role: gauge.role,
        params: gauge.params,
        cache: gauge.cache,
        asked: case.threads,
        device: gauge.device.map(|id| device(&id, &record.header.environment)),
        path: gauge.path,
        threads: gauge.threads,
        work: gauge.work,
        void,
        time,
        energy,
        boundary,
    }
}

fn energy(energy: &EnergyGauge) -> Result<Gauged, String> {
    Gauged::of(&Series::new(energy.values.clone(), energy.weights.clone(), energy.terms.clone()))
}

impl Gauged {
    fn of(series: &Series) -> Result<Self, String> {
        series.usable()?;
        let scatter = series.scatter();
        let spread = Spread::of(std::iter::once(&scatter).chain(series.systematic()));
        Ok(Self { center: series.center(), spread, n: series.len() })
    }
}

/// The parts of the machine by kind: two sockets are the same boundary as one, a package without its memory is not.
fn boundary(energy: &EnergyGauge) -> String {
    let kind = |domain: &Domain| match domain {
        Domain::Package { .. } => "CPU packages",
        Domain::Dram { .. } | Domain::DramOfDie { .. } => "memory",
        Domain::Gpu { .. } => "GPU",
        Domain::GpuModule { .. } => "GPU module",
        Domain::Psys => "platform",
        Domain::Node => "node",
        Domain::Wall => "wall socket",
        Domain::Cores { .. } | Domain::Uncore { .. } | Domain::Other { .. } => "part of the CPU",
    };
    let kinds: BTreeSet<&str> = energy.meters.iter().map(|m| kind(&m.domain)).collect();
    kinds.into_iter().collect::<Vec<_>>().join(" + ")
}

fn device(id: &DeviceId, environment: &Environment) -> Device {
    let unknown = || "unknown".to_owned();
    if id.0 == "cpu" {
        let cpu = &environment.cpu;
        return Device {
            name: cpu.model.clone().unwrap_or_else(unknown),
            vendor: cpu.vendor.as_deref().map_or_else(unknown, vendor),
            driver: environment.host.kernel.as_ref().map_or_else(unknown, |k| format!("kernel {k}")),
        };
    }
    let Some(gpu) = gpu(id, &environment.gpus) else {
        return Device { name: id.0.clone(), vendor: unknown(), driver: unknown() };
    };
    Device {
        name: gpu.name.clone(),
        vendor: gpu.name.split_whitespace().next().map_or_else(unknown, str::to_owned),
        driver: gpu.driver.as_ref().map_or_else(unknown, |d| format!("driver {d}")),
    }
}

/// The GPU of a device id: by its number where the driver counts as NVML does, else the only one there is.
fn gpu<'e>(id: &DeviceId, gpus: &'e [Gpu]) -> Option<&'e Gpu> {
    let number = id.0.strip_prefix("cuda:").and_then(|n| n.parse::<usize>().ok());
    match (number, gpus) {
        (Some(n), _) => gpus.get(n),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

/// A CPU's vendor as people call it.
fn vendor(id: &str) -> String {
    match id {
        "GenuineIntel" => "Intel",
        "AuthenticAMD" => "AMD",
        "HygonGenuine" => "Hygon",
        other => other,
    }
    .to_owned()
}
