//! Runs of one arm → one figure.
//!
//! Windows of one run share its memory layout and its neighbours, so runs scatter more than windows do. With two runs or
//! more the scatter of their means counts where it is larger than that of their windows; one run shows the latter alone.

use super::entrant::Gauged;
use crate::analysis::{Spread, standard_error};

/// A figure of an arm, on logarithms.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pooled {
    pub(super) center: f64,
    /// The reason where a term of its uncertainty is unknown.
    pub(super) spread: Result<Spread, String>,
    /// Windows behind it.
    pub(super) windows: u32,
    /// Records behind it.
    pub(super) runs: u32,
}

/// The mean of `runs`, of which there is at least one; `run_to_run` is a declared standard deviation between runs.
pub(super) fn pool(runs: &[&Gauged], run_to_run: f64) -> Pooled {
    let n = runs.len() as f64;
    let centers: Vec<f64> = runs.iter().map(|r| r.center).collect();
    let spreads: Result<Vec<&Spread>, String> = runs.iter().map(|r| r.spread.as_ref().map_err(Clone::clone)).collect();
    Pooled {
        center: centers.iter().sum::<f64>() / n,
        spread: spreads.map(|s| between(&centers, Spread::mean(s), run_to_run)),
        windows: runs.iter().map(|r| r.n).fold(0, u32::saturating_add),
        runs: u32::try_from(runs.len()).unwrap_or(u32::MAX),
    }
}

/// `within`, or the scatter of the means of runs where that is larger.
pub(super) fn between(means: &[f64], within: Spread, run_to_run: f64) -> Spread {
    let n = means.len() as f64;
    match standard_error(means).map(|u| u * u) {
        Some(variance) if variance > within.random() => within.with_scatter(variance, n - 1.0),
        _ if run_to_run > 0.0 => within.and_scatter(run_to_run * run_to_run / n),
        _ => within,
    }
}
