//! What the analysis says of a record: every figure with its interval, or the reason why there is none.
//!
//! Serialised, these types are the body of `report.json`; keys carry the unit and names never change
//! within a schema (docs/analysis.md).

use super::Budget;
use crate::policy::Policy;
use crate::record::{CacheState, Canary, Correctness, DeviceId, Domain, EnergyMethod, Params, Role, Work};
use serde::Serialize;

/// Everything that can be said of one record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The result in one sentence.
    pub verdict: Verdict,
    /// One entry a planned case, in plan order, ceiling probes included.
    pub cases: Vec<CaseSummary>,
    /// Power at rest of every energy domain.
    pub idle: Vec<IdlePower>,
    /// Readers that check the reader of record of a domain.
    pub cross_checks: Vec<CrossCheck>,
    /// Families of sparse cases beside the dense case that they replace.
    pub crossovers: Vec<super::Crossover>,
    /// The bounds of systematic error that every budget was computed with.
    pub uncertainty_policy: Policy,
    /// The energy boundary that rated figures of CPU cases refer to.
    pub boundary: Boundary,
    /// Strength of the energy evidence; `None` when no energy was measured.
    pub grade: Option<Grade>,
    /// What a reader must know before using the figures.
    pub caveats: Vec<Caveat>,
}

/// The median of a set of windows and its confidence interval; of polled power the mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The median (or, for derived figures, the transform of one). Of energy integrated from polled power it is the mean
    /// over the phases in which windows began: each shows a part of the load only, so the middle one says nothing.
    pub median: f64,
    /// Lower bound; `None` when fewer than two windows count.
    pub low: Option<f64>,
    /// Upper bound; `None` when fewer than two windows count.
    pub high: Option<f64>,
    /// Windows behind the figure.
    pub n: u32,
    /// Confidence of the interval, e.g. 0.95.
    pub confidence: f64,
    /// How the interval was obtained.
    pub method: Method,
}

/// How an interval was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Percentile bootstrap of the median (Efron & Tibshirani 1993, ch. 13), widened by √(n/(n−1)).
    BootstrapMedian,
    /// Percentile bootstrap of the weighted mean, widened alike: energy integrated from polled power.
    BootstrapMean,
    /// A monotone transform of a bootstrapped median: its bounds are the transformed bounds.
    Transformed,
    /// A monotone transform of a bootstrapped mean.
    TransformedMean,
    /// Ratio of two independent medians; bounds joined by MOVER on logarithms (Zou & Donner 2008).
    RatioOfMedians,
    /// One window: a value without an interval.
    SingleWindow,
}

/// A figure that was measured, or the reason why it was not. Never 0 for "unknown".
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// It was measured.
    Measured(Estimate),
    /// It was not.
    NotMeasured {
        /// Why, for people.
        reason: String,
    },
}

impl Figure {
    /// The estimate, if there is one.
    #[must_use]
    pub const fn estimate(&self) -> Option<&Estimate> {
        match self {
            Self::Measured(estimate) => Some(estimate),
            Self::NotMeasured { .. } => None,
        }
    }

    /// The reason, if there is no estimate.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Measured(_) => None,
            Self::NotMeasured { reason } => Some(reason),
        }
    }

    pub(crate) fn missing(reason: impl Into<String>) -> Self {
        Self::NotMeasured { reason: reason.into() }
    }
}

/// How a case ended, after the analysis looked at its answers again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Status {
    /// Every repeat has a window that counts.
    Measured,
    /// Some repeats have none.
    Partial {
        /// Why.
        reason: String,
    },
    /// An answer or the precision canary was wrong: no figure counts.
    WrongAnswer {
        /// Observed against limit.
        reason: String,
    },
    /// It could not run.
    Failed {
        /// Why.
        reason: String,
    },
    /// The run ended before it began.
    NotRun,
}

/// All figures of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseSummary {
    /// Case id.
    pub id: String,
    /// Kernel id.
    pub kernel: String,
    /// Workload or ceiling probe.
    pub role: Role,
    /// Parameters.
    pub params: Params,
    /// Threads used; `None` when it never ran and the suite gave no number.
    pub threads: Option<u32>,
    /// Device it ran on.
    pub device: Option<DeviceId>,
    /// Whether its operands came from memory in every iteration.
    #[serde(skip_serializing_if = "CacheState::is_warm")]
    pub cache: CacheState,
    /// Code path taken.
    pub path: Option<String>,
    /// Facts of the instance: `nnz`, index width.
    pub facts: Vec<(String, String)>,
    /// How it ended.
    #[serde(flatten)]
    pub status: Status,
    /// The largest error of all windows, with its limit; `None` where nothing was compared.
    pub correctness: Option<Correctness>,
    /// The precision canary.
    pub canary: Option<Canary>,
    /// Windows taken, kept and discarded.
    pub windows: Windows,
    /// The windows that count, in time order: what every figure of the case rests on.
    pub rests_on: Vec<CountedWindow>,
    /// Standard deviation of the time an iteration over its mean; `None` for fewer than two windows.
    pub time_cv: Option<f64>,
    /// The same of the energy an iteration.
    pub energy_cv: Option<f64>,
    /// Work of one iteration.
    pub work: Option<Work>,
    /// Useful FLOP a byte of compulsory traffic; `None` for a kernel without operations or traffic.
    #[serde(rename = "intensity_flop_per_b")]
    pub intensity: Option<f64>,
    /// Seconds an iteration.
    #[serde(rename = "time_s")]
    pub time: Figure,
    /// Useful FLOP/s.
    #[serde(rename = "rate_flop_per_s")]
    pub rate: Figure,
    /// Dense-equivalent FLOP/s; `None` where it equals the useful rate.
    #[serde(rename = "dense_equivalent_rate_flop_per_s")]
    pub dense_rate: Option<Figure>,
    /// Compulsory bytes a second.
    #[serde(rename = "bandwidth_b_per_s")]
    pub bandwidth: Figure,
    /// Useful rate as a fraction of the arithmetic ceiling measured in the same record.
    #[serde(rename = "fraction_of_compute_peak")]
    pub of_peak: Figure,
    /// Bandwidth as a fraction of the read ceiling measured in the same record.
    #[serde(rename = "fraction_of_read_bandwidth")]
    pub of_read: Figure,
    /// Bandwidth as a fraction of the copy ceiling measured in the same record; `None` where it has none for the device.
    #[serde(rename = "fraction_of_copy_bandwidth", skip_serializing_if = "Option::is_none")]
    pub of_copy: Option<Figure>,
    /// The ceiling that binds at this intensity; `None` when a ceiling is missing.
    pub binding: Option<Binding>,
    /// Energy of the rated boundary.
    pub energy: EnergyFigures,
    /// Energy of every domain that was read, overlapping ones included; never to be added up.
    pub domains: Vec<DomainEnergy>,
    /// Processor counters.
    pub activity: ActivityFigures,
    /// Figures of the power model the user asked for; estimates, never mixed with measured ones.
    pub estimated: Option<EstimatedEnergy>,
}

/// Windows of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Windows {
    /// Windows planned.
    pub planned: u32,
    /// Windows taken, discarded ones included.
    pub taken: u32,
    /// Windows that count.
    pub counted: u32,
    /// Windows discarded, by the code of their first flag, in order of code.
    pub discarded: Vec<(String, u32)>,
    /// Whether warm-up became stable; `None` when the case never warmed up.
    pub warm_up_stable: Option<bool>,
}

/// A window that counts. With the case's id, `repeat` and `start_ns` find it in `samples.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CountedWindow {
    /// Which repeat, from 0.
    pub repeat: u32,
    /// Start, in nanoseconds since the run began.
    pub start_ns: u64,
    /// Its length.
    #[serde(rename = "wall_s")]
    pub wall: f64,
    /// Iterations in it.
    pub iterations: u64,
    /// Gross energy of the rated boundary, scaled to the window; `None` where a domain has no reading.
    #[serde(rename = "energy_j")]
    pub energy: Option<f64>,
}

/// A reader that checks the reader of record of its domain, over all windows that both read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossCheck {
    /// The domain.
    pub domain: Domain,
    /// The sensor whose figures count.
    pub of_record: String,
    /// The sensor that checks it; of polled power in words.
    pub check: String,
    /// Whether its energy is integrated from polled power, which a counter may differ from by more.
    pub polled: bool,
    /// (check − record) / record of the summed energies; `None` where a sum is not positive.
    pub difference: Option<f64>,
    /// Windows in the sums, idle ones included.
    pub n: usize,
}

/// The ceiling that binds at a case's intensity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// Arithmetic.
    Compute,
    /// Read bandwidth.
    Memory,
}

/// Processor counters of a case, summed over the threads that worked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActivityFigures {
    /// Instructions an iteration.
    #[serde(rename = "instructions_per_iteration")]
    pub instructions: Figure,
    /// Core cycles an iteration.
    #[serde(rename = "cycles_per_iteration")]
    pub cycles: Figure,
    /// Instructions a cycle.
    #[serde(rename = "instructions_per_cycle")]
    pub per_cycle: Figure,
    /// Last-level cache misses an iteration.
    #[serde(rename = "llc_misses_per_iteration")]
    pub llc_misses: Figure,
    /// CPU time over wall time: CPUs kept busy.
    #[serde(rename = "cpus_busy")]
    pub cpus: Figure,
    /// Context switches a window.
    #[serde(rename = "context_switches_per_window")]
    pub context_switches: Figure,
    /// Page faults a window.
    #[serde(rename = "page_faults_per_window")]
    pub page_faults: Figure,
}

/// Energy figures of one boundary or domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnergyFigures {
    /// Gross joules a window, scaled to the window's own length.
    #[serde(rename = "window_energy_j")]
    pub window: Figure,
    /// Gross joules an iteration.
    #[serde(rename = "energy_j")]
    pub per_iteration: Figure,
    /// Mean power over the window.
    #[serde(rename = "power_w")]
    pub power: Figure,
    /// Useful FLOP/J, the rated figure.
    #[serde(rename = "efficiency_flop_per_j")]
    pub efficiency: Figure,
    /// Dense-equivalent FLOP/J; `None` where it equals the useful one.
    #[serde(rename = "dense_equivalent_efficiency_flop_per_j")]
    pub dense_efficiency: Option<Figure>,
    /// Joules a useful operation.
    #[serde(rename = "energy_per_flop_j")]
    pub per_flop: Figure,
    /// Joules an iteration above idle: gross − idle power × time. Printed second, never rated.
    #[serde(rename = "net_energy_j")]
    pub net_per_iteration: Figure,
    /// Type B terms that are known from the record.
    pub type_b: Option<TypeB>,
    /// Uncertainty budgets; each names the figures it holds for. Empty when nothing was measured.
    pub budgets: Vec<Budget>,
}

impl EnergyFigures {
    /// The budget of the figure with this key of `report.json`: `energy_j`, `efficiency_flop_per_j`.
    #[must_use]
    pub fn budget(&self, figure: &str) -> Option<&Budget> {
        self.budgets.iter().find(|b| b.figures.contains(&figure))
    }
}

/// Relative standard uncertainties that the record itself determines, for checks against the limits of
/// a profile. The whole uncertainty stands in [`EnergyFigures::budgets`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TypeB {
    /// Alignment of counter updates with the window: τ/(T·√6), worst window. `None` without τ.
    pub u_align: Option<f64>,
    /// Whether `u_align` is within the profile's limit. `None` without τ.
    pub aligned: Option<bool>,
    /// Two readings of a counter with step q: q/(E·√6), worst window. `None` without a stated step.
    pub u_quantisation: Option<f64>,
    /// Largest relative correction from counter span to window length.
    pub span_correction: f64,
}

/// Energy of one domain as one sensor saw it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainEnergy {
    /// The domain.
    pub domain: Domain,
    /// Sensor family.
    pub sensor: String,
    /// Counter or integrated power.
    pub method: EnergyMethod,
    /// Whether it is part of the rated boundary.
    pub rated: bool,
    /// A domain of this record that contains it: the two must not be added.
    pub inside: Option<Domain>,
    /// Its figures.
    #[serde(flatten)]
    pub figures: EnergyFigures,
}

/// The non-overlapping set of domains that rated figures refer to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Boundary {
    /// Domains added up, in order; empty when no energy was read.
    pub domains: Vec<Domain>,
    /// In words: `packages and memory`, or why there is none.
    pub text: String,
}

/// Power at rest of one domain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IdlePower {
    /// The domain.
    pub domain: Domain,
    /// Sensor family.
    pub sensor: String,
    /// Counter or integrated power.
    pub method: EnergyMethod,
    /// Mean power before the first case.
    #[serde(rename = "before_w")]
    pub before: Option<f64>,
    /// Mean power after the last case.
    #[serde(rename = "after_w")]
    pub after: Option<f64>,
    /// Mean of those there are.
    #[serde(rename = "mean_w")]
    pub mean: f64,
    /// |after − before| / mean; `None` when one is missing.
    pub drift: Option<f64>,
    /// Idle windows behind it.
    pub n: u32,
}

/// Evidence grade of measured energy (the lowest row that matches wins).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grade {
    /// `A` or `B` calibrated meter of declared accuracy, `C` hardware counter, `D` polled power or a counter shared with others.
    pub letter: char,
    /// Why.
    pub reason: String,
}

/// Figures of a power model. They rest on an assumption, so they carry no interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EstimatedEnergy {
    /// Assumed power.
    #[serde(rename = "power_w")]
    pub power: f64,
    /// Power × median time an iteration.
    #[serde(rename = "energy_j")]
    pub per_iteration: f64,
    /// Useful FLOP/J under the assumption; `None` for a kernel without operations.
    #[serde(rename = "efficiency_flop_per_j")]
    pub efficiency: Option<f64>,
    /// What was assumed, in words.
    pub inputs: String,
}

/// Something a reader must know, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caveat {
    /// Permanent kebab-case code.
    pub code: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// The case it concerns; `None` for the whole record.
    pub case: Option<String>,
    /// For people.
    pub text: String,
}

/// How much a caveat weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Figures are void, or cannot be used as evidence.
    Critical,
    /// Figures are weaker than they look.
    Warning,
    /// Good to know.
    Note,
}

/// The result in one sentence, with the counts behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The sentence.
    pub text: String,
    /// Whether every planned case was measured in full and none was wrong.
    pub clean: bool,
    /// Planned cases.
    pub planned: u32,
    /// Cases whose every counted answer was compared and right.
    pub correct: u32,
    /// Cases with a wrong answer.
    pub wrong: u32,
    /// Cases with a rated energy figure.
    pub with_energy: u32,
}
