//! `samples.jsonl`: one event a line, appended when it happens, never rewritten.

use super::CardState;
use crate::backends::{DeviceId, ProgramInfo};
use crate::clock::{Moment, Utc};
use crate::kernels::{Canary, Correctness, Work};
use crate::sensors::Domain;
use crate::sensors::wall::{Pulse, Row};
use crate::units::{Celsius, Hertz, MicroJoules, Seconds, Watts};
use serde::{Deserialize, Serialize};

/// One line of `samples.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run went on in a new process; moments continue from here.
    Resumed {
        /// Where the clock continues.
        at: Moment,
        /// Wall clock.
        utc: Utc,
    },
    /// The machine at rest.
    Idle(IdleWindow),
    /// A case was built and warmed up.
    Prepared(Prepared),
    /// A timed window.
    Sample(Sample),
    /// One point of the background power trace.
    Trace(TracePoint),
    /// A case came to its end without an answer that counts. Cases without such an event that
    /// have samples are measured.
    Void {
        /// Case id.
        case: String,
        /// Whether the answer was wrong (as opposed to a failure to run).
        wrong_answer: bool,
        /// Why, for people.
        reason: String,
    },
    /// What the background sampler did over the run.
    Sampler(SamplerSummary),
    /// A pulse of load, before or after the windows, by which the log of a wall meter is aligned.
    Pulse(Pulse),
    /// Rows of a wall meter's log, raw and in the order of the file. A long log is several events.
    MeterRows {
        /// The rows.
        rows: Vec<Row>,
    },
    /// A sensor stopped answering in the middle of the run.
    SensorLost {
        /// When.
        at: Moment,
        /// Family id.
        sensor: String,
        /// What it said.
        reason: String,
    },
}

/// Before or after the cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdlePhase {
    /// Before the first case.
    Before,
    /// After the last case.
    After,
}

/// A window in which nothing of ours ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IdleWindow {
    /// Before or after.
    pub phase: IdlePhase,
    /// Start.
    pub start: Moment,
    /// Length.
    #[serde(rename = "wall_s")]
    pub wall: Seconds,
    /// Energy of each domain.
    pub energy: Vec<EnergySpan>,
    /// State of the machine over the window.
    pub state: State,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
}

/// A case that was built and warmed up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Case id.
    pub case: String,
    /// Where it runs.
    pub device: DeviceId,
    /// How it runs.
    pub program: ProgramInfo,
    /// Work of one iteration.
    pub work: Work,
    /// Time to generate inputs, reference and buffers.
    #[serde(rename = "prepare_s")]
    pub prepare: Seconds,
    /// The warm-up.
    pub warm_up: WarmUp,
    /// The precision canary, where the kernel has one.
    pub canary: Option<Canary>,
}

/// How warm-up went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// Its length.
    #[serde(rename = "wall_s")]
    pub wall: Seconds,
    /// Iterations run.
    pub iterations: u64,
    /// Whether time per iteration (and power, where measured) became stable.
    pub stable: bool,
}

/// A timed window of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Case id.
    pub case: String,
    /// Which repeat, from 0. A repeat that was measured again has several samples; only the one
    /// without a disqualifying flag counts.
    pub repeat: u32,
    /// Start of the window.
    pub start: Moment,
    /// Length of the window.
    #[serde(rename = "wall_s")]
    pub wall: Seconds,
    /// Time that the device counted for these iterations, by its own clock; `None` where it counts none.
    #[serde(rename = "device_s", default, skip_serializing_if = "Option::is_none")]
    pub device_time: Option<Seconds>,
    /// Kernel iterations inside the window.
    pub iterations: u64,
    /// Energy of every readable domain. Empty where no counter exists: energy is then unknown.
    pub energy: Vec<EnergySpan>,
    /// Processor activity over the window.
    pub activity: Activity,
    /// State of the machine over the window.
    pub state: State,
    /// The answer of this very window. `None` for a kernel that leaves nothing to compare.
    pub correctness: Option<Correctness>,
    /// What is wrong with it. A sample with any flag is discarded, and stays here with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Flag>,
}

/// How the energy of a window was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnergyMethod {
    /// Difference of a hardware energy counter.
    Counter,
    /// Integral of polled power.
    Integrated,
}

/// Energy that one domain drew between two reads of its sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnergySpan {
    /// The domain.
    pub domain: Domain,
    /// Sensor family id.
    pub sensor: String,
    /// How it was obtained.
    pub method: EnergyMethod,
    /// The energy, exact.
    #[serde(rename = "energy_uj")]
    pub energy: MicroJoules,
    /// When the counter was read first (middle of the read).
    pub from: Moment,
    /// When it was read last (middle of the read).
    pub to: Moment,
    /// Raw counter values of the two reads; `None` where power was integrated.
    #[serde(rename = "raw_uj")]
    pub raw: Option<(MicroJoules, MicroJoules)>,
    /// How often the counter wrapped in between.
    pub wraps: u32,
    /// Update period τ used for the alignment error; `None` where it could not be probed.
    #[serde(rename = "update_period_s")]
    pub update_period: Option<Seconds>,
}

/// Processor counters over a window, summed over the threads that worked. `None` is not available
/// on this host.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Activity {
    /// Instructions retired.
    pub instructions: Option<u64>,
    /// Core cycles.
    pub cycles: Option<u64>,
    /// Last-level cache misses.
    pub llc_misses: Option<u64>,
    /// CPU time.
    #[serde(rename = "task_clock_s")]
    pub task_clock: Option<Seconds>,
    /// Context switches.
    pub context_switches: Option<u64>,
    /// Page faults.
    pub page_faults: Option<u64>,
}

/// State of the machine over a window. `None` is unknown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct State {
    /// Fraction of all CPU time used by other processes.
    pub foreign_load: Option<f64>,
    /// Fraction of all CPU time stolen by the hypervisor.
    pub steal: Option<f64>,
    /// Highest CPU temperature seen.
    #[serde(rename = "temperature_c")]
    pub temperature: Option<Celsius>,
    /// Mean frequency the kernel reports for the CPUs used.
    #[serde(rename = "frequency_hz")]
    pub frequency: Option<Hertz>,
    /// Throttle events counted by the kernel or the GPU driver over the window.
    pub throttle_events: Option<u64>,
    /// Change of the wall clock against the monotonic clock.
    #[serde(rename = "clock_jump_s")]
    pub clock_jump: Option<Seconds>,
    /// The card that the case runs on; `None` for a case on the processor, and where no sensor reads its card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<CardState>,
}

/// Why a window does not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flag {
    /// Permanent kebab-case code: `wrong-answer`, `foreign-load`, `steal`, `throttled`,
    /// `card-error`, `clock-jump`, `counter-reset`, `sensor-lost`, `sampler-gap`, `stalled`, `negative-power`,
    /// `wall-meter`.
    pub code: String,
    /// Observed against limit, for people.
    pub detail: String,
}

/// One point of the background trace: mean power of each domain since the point before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracePoint {
    /// When.
    pub at: Moment,
    /// Mean power of each energy domain since the last point (or the power the sensor states).
    #[serde(rename = "power_w")]
    pub power: Vec<(Domain, Watts)>,
    /// Hottest CPU or GPU temperature, where a sensor delivers it.
    #[serde(rename = "temperature_c", default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Celsius>,
}

/// What the background sampler did, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SamplerSummary {
    /// Points taken.
    pub points: u64,
    /// Time it ran.
    #[serde(rename = "wall_s")]
    pub wall: Seconds,
    /// CPU time of its thread.
    #[serde(rename = "cpu_s")]
    pub cpu: Seconds,
    /// Longest time between two points.
    #[serde(rename = "longest_gap_s")]
    pub longest_gap: Seconds,
}
