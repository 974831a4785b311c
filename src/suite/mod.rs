//! Suites: what to measure and how, from YAML to a validated [`Suite`].
//!
//! Wire types (what serde sees) stay inside this folder; everything past it sees only validated
//! values, and every value remembers the line it came from.

use crate::kernels::Params;
use crate::units::{Hertz, Seconds};
use serde::{Deserialize, Serialize};

/// A validated suite.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Its id: lower-case words joined by `-`.
    pub id: String,
    /// Title for people.
    pub title: String,
    /// What it is for, in a sentence or two.
    pub description: String,
    /// SHA-256 of the suite's text, lower-case hex.
    pub digest: String,
    /// The text itself: the record carries it, so a reader needs no other file.
    pub text: String,
    /// Where it was read from, as the user named it.
    pub path: String,
    /// The profile after the suite's own overrides.
    pub profile: Profile,
    /// Every case after matrix expansion, in the order of the file.
    pub cases: Vec<Case>,
}

/// One case: a kernel with every parameter fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Unique within the suite: `gemm-f32-m1024-n1024-k1024-t2`.
    pub id: String,
    /// Kernel id.
    pub kernel: String,
    /// Its parameters, defaults filled in.
    pub params: Params,
    /// Threads to run on.
    pub threads: Threads,
    /// Line of the suite it came from, counted from 1.
    pub line: u32,
}

/// How many threads a case runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Threads {
    /// This many.
    Count(u32),
    /// One on every physical core this process may use.
    Cores,
    /// One on every logical CPU this process may use.
    All,
}

/// How a run measures: every number of METHOD §3, from YAML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// `quick`, `ci`, `certify` or a name of the user's.
    pub name: String,
    /// Whether a record made with it may ever be certified.
    pub certifiable: bool,
    /// Timed windows of each case.
    pub repeats: u32,
    /// Shortest window.
    #[serde(rename = "window_floor_s")]
    pub window_floor: Seconds,
    /// The window is also at least this many update periods τ of the slowest sensor used.
    pub window_tau_multiple: u32,
    /// Largest alignment error u_align = τ/(T·√6) allowed, as a fraction.
    pub alignment_limit: f64,
    /// Idle measured before the first case, and again after the last.
    #[serde(rename = "idle_s")]
    pub idle: Seconds,
    /// Largest relative drift of idle power between the two.
    pub idle_drift_limit: f64,
    /// Warm-up goes on at least this long.
    #[serde(rename = "warm_up_min_s")]
    pub warm_up_min: Seconds,
    /// Warm-up gives up waiting for stability after this long (and says so).
    #[serde(rename = "warm_up_max_s")]
    pub warm_up_max: Seconds,
    /// Warm-up is over when the relative slope of time per iteration (and of power, where
    /// measured) over the last windows is below this.
    pub warm_up_slope: f64,
    /// Rate of the background power trace.
    #[serde(rename = "sampler_hz")]
    pub sampler: Hertz,
    /// Length of each ceiling probe.
    #[serde(rename = "probe_s")]
    pub probe: Seconds,
    /// Largest fraction of the used CPUs' time taken by other processes in a window.
    pub foreign_load_limit: f64,
    /// Largest fraction of CPU time stolen by the hypervisor in a window.
    pub steal_limit: f64,
    /// Windows that fail a state check are measured again at most this often per case.
    pub retries: u32,
    /// Bootstrap resamples of the analysis.
    pub bootstrap_resamples: u32,
    /// Confidence of every interval, e.g. 0.95.
    pub confidence: f64,
}
