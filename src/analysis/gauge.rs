//! What a comparison of two records needs of a case: its windows, and the errors that no repetition shows.
//!
//! Nothing is bootstrapped here, so 500 cases take milliseconds: whoever compares brings a scatter of its own.

use super::case;
use super::energy::{Meter, Meters};
use super::sources::Scatter;
use super::window::Window;
use super::{Status, Term, TermName};
use crate::policy::Policy;
use crate::record::{
    CacheState, Correctness, DeviceId, Domain, EnergyMethod, Measurement, Params, Role, RunRecord, Sample, Work,
    phase_weights,
};
use serde::Serialize;

/// A case of a record, gauged.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseGauge {
    /// Case id.
    pub id: String,
    /// Line of the suite it came from, from 1.
    pub line: u32,
    /// Workload or ceiling probe.
    pub role: Role,
    /// Parameters.
    pub params: Params,
    /// Whether its operands came from memory in every iteration.
    pub cache: CacheState,
    /// How it ended, after a look at its answers.
    pub status: Status,
    /// The largest error of all windows, with its limit.
    pub correctness: Option<Correctness>,
    /// Where it ran; `None` when it was never built.
    pub device: Option<DeviceId>,
    /// Code path taken.
    pub path: Option<String>,
    /// Threads used.
    pub threads: Option<u32>,
    /// Work of one iteration.
    pub work: Option<Work>,
    /// The windows that count, in time order; empty for a case whose answer is wrong.
    pub windows: Vec<GaugedWindow>,
    /// Gross energy of the rated boundary; the reason where there is none.
    pub energy: Result<EnergyGauge, String>,
}

/// A window that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GaugedWindow {
    /// Start, in nanoseconds since the run began.
    pub start_ns: u64,
    /// Its length in seconds.
    pub wall: f64,
    /// Seconds an iteration.
    pub time: f64,
    /// CPU seconds an iteration, summed over its threads; `None` where the host does not count them.
    pub cpu_time: Option<f64>,
    /// Instructions an iteration.
    pub instructions: Option<f64>,
}

/// Energy of the windows of a case, and what is known of its errors besides scatter.
#[derive(Debug, Clone, PartialEq)]
pub struct EnergyGauge {
    /// Joules an iteration of every window that counts, in time order.
    pub values: Vec<f64>,
    /// Weights of the windows where power was polled: only their weighted mean is the energy
    /// (docs/uncertainty.md). `None` for counters.
    pub weights: Option<Vec<f64>>,
    /// Systematic terms, relative; the gain is shared by all figures of its sensor on its machine.
    pub terms: Vec<Term>,
    /// The meters whose energies were added.
    pub meters: Vec<RatedMeter>,
}

/// A domain of the rated boundary and who read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RatedMeter {
    /// The domain.
    pub domain: Domain,
    /// Sensor family.
    pub sensor: String,
    /// Counter or integrated power.
    pub method: EnergyMethod,
}

/// Gauges every case of a record, in plan order, with the bounds of `policy`.
#[must_use]
pub fn gauge(record: &RunRecord, policy: &Policy) -> Vec<CaseGauge> {
    let meters = Meters::of(record, policy.clone());
    record.measurements.iter().map(|m| gauge_case(m, record, &meters)).collect()
}

fn gauge_case(measurement: &Measurement, record: &RunRecord, meters: &Meters<'_>) -> CaseGauge {
    let prepared = measurement.prepared.as_ref();
    let status = case::status(measurement);
    let counts = matches!(status, Status::Measured | Status::Partial { .. });
    let timed = |s: &&Sample| s.iterations > 0 && s.wall.get() > 0.0;
    let samples: Vec<&Sample> = if counts { measurement.valid_samples().filter(timed).collect() } else { Vec::new() };
    let device = prepared.map(|p| p.device.clone());
    let cpu = DeviceId("cpu".into());
    let energy = energy(device.as_ref().unwrap_or(&cpu), &samples, record, meters);
    CaseGauge {
        id: measurement.case.id.clone(),
        line: measurement.case.line,
        role: super::ceilings::role_of(&measurement.case.kernel),
        params: measurement.case.params.clone(),
        cache: measurement.case.cache,
        status,
        correctness: case::worst(measurement),
        device,
        path: prepared.map(|p| p.program.path.clone()),
        threads: prepared.map(|p| p.program.threads),
        work: prepared.map(|p| p.work),
        windows: samples.iter().map(|s| window(s)).collect(),
        energy,
    }
}

fn window(sample: &Sample) -> GaugedWindow {
    let each = |amount: f64| amount / sample.iterations as f64;
    GaugedWindow {
        start_ns: sample.start.nanos(),
        wall: sample.wall.get(),
        time: each(sample.wall.get()),
        cpu_time: sample.activity.task_clock.map(|t| each(t.get())),
        instructions: sample.activity.instructions.map(|n| each(n as f64)),
    }
}

fn energy(
    device: &DeviceId,
    samples: &[&Sample],
    record: &RunRecord,
    meters: &Meters<'_>,
) -> Result<EnergyGauge, String> {
    let rated: Vec<&Meter> = meters.rated(device);
    if rated.is_empty() {
        return Err(meters.why_nothing_of(device));
    }
    let windows: Vec<Window<'_>> = samples.iter().filter_map(|s| Window::of(s, &rated)).collect();
    if windows.is_empty() {
        return Err("no window has a reading of every domain".to_owned());
    }
    if windows.iter().any(|w| w.stuck) {
        return Err("a counter did not advance in a window: too short for it".to_owned());
    }
    let polled = rated.iter().any(|m| m.integrated && m.domain != Domain::Wall);
    let weights = polled.then(|| {
        let repeats: Vec<u32> = windows.iter().map(|w| w.repeat).collect();
        phase_weights(&repeats, record.header.profile.repeats)
    });
    let scatter = Scatter { relative: Some(0.0), n: 2, of: "median" };
    let mut terms = meters.basis(&rated, &windows).energy(scatter, vec!["energy_j"]).terms;
    terms.retain(|t| t.name != TermName::Scatter);
    let named = |m: &&Meter| RatedMeter { domain: m.domain.clone(), sensor: m.sensor.clone(), method: m.method() };
    Ok(EnergyGauge {
        values: windows.iter().map(|w| w.energy / w.iterations).collect(),
        weights,
        terms,
        meters: rated.iter().map(named).collect(),
    })
}
