//! Scatter between runs, from several records of the baseline.
//!
//! Windows of one run share its memory layout, its clocks and its neighbours, so their scatter is too small for a
//! comparison of runs. With several baseline runs a candidate of the same code is one more draw from their
//! distribution: its mean less theirs has the standard error s·√(1 + 1/k), with k − 1 degrees of freedom.

use super::ratio::Arm;
use crate::analysis::{Distribution, Term, TermName};

/// Fewest baseline records whose scatter is used: with fewer, t has so few degrees of freedom that it
/// decides nothing for a whole suite.
pub(super) const FEWEST: usize = 5;

/// The candidate against the runs of the baseline.
pub(super) struct Across {
    pub(super) log_ratio: f64,
    pub(super) error: f64,
    runs: usize,
}

impl Across {
    pub(super) fn term(&self) -> Term {
        let source = format!("scatter of the means of {} baseline runs", self.runs);
        Term::new(TermName::Scatter, Distribution::Student, Some(self.error), source)
            .degrees_of_freedom((self.runs - 1) as f64)
    }
}

/// `None` for fewer than [`FEWEST`] usable runs.
pub(super) fn of(new: &Arm, runs: &[Arm]) -> Option<Across> {
    let means: Vec<f64> = runs.iter().filter_map(Arm::log_center).collect();
    if means.len() < FEWEST {
        return None;
    }
    let k = means.len() as f64;
    let mean = means.iter().sum::<f64>() / k;
    let variance = means.iter().map(|m| (m - mean) * (m - mean)).sum::<f64>() / (k - 1.0);
    let error = (variance * (1.0 + 1.0 / k)).sqrt();
    Some(Across { log_ratio: new.log_center()? - mean, error, runs: means.len() }).filter(|a| a.error.is_finite())
}
