//! The windows of one figure of a case on logarithms: what ratios are made of.
//!
//! A change is a ratio, so figures of two records are compared on logarithms, and their center is the mean there. Reports
//! print medians, so the last digits differ.

use super::{Budget, Distribution, Term, TermName};
use crate::policy::{Coverage, Policy};
use crate::record::RunRecord;

/// The windows of a figure, and what is known of its errors besides scatter.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    values: Vec<f64>,
    weights: Option<Vec<f64>>,
    terms: Vec<Term>,
}

impl Series {
    /// Of `values`, one a window, in time order. `weights` are those of polled power (only its weighted mean is the energy);
    /// `terms` are systematic and relative.
    #[must_use]
    pub fn new(values: Vec<f64>, weights: Option<Vec<f64>>, terms: Vec<Term>) -> Self {
        Self { values, weights, terms }
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Whether windows carry weights: then no two of them are alike, and pairs of windows say nothing.
    #[must_use]
    pub fn is_weighted(&self) -> bool {
        self.weights.is_some()
    }

    /// Systematic terms, relative.
    #[must_use]
    pub fn systematic(&self) -> &[Term] {
        &self.terms
    }

    /// Windows.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.values.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is no window.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether the windows have a mean on logarithms.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn usable(&self) -> Result<(), String> {
        if self.values.is_empty() {
            return Err("no window counts".to_owned());
        }
        if self.values.iter().any(|v| !v.is_finite() || *v <= 0.0) {
            return Err("a window is not positive".to_owned());
        }
        if self.center().is_finite() { Ok(()) } else { Err("the mean is not finite".to_owned()) }
    }

    /// The mean on logarithms; of polled power the logarithm of the weighted mean. Not finite where the windows are not
    /// [usable](Self::usable).
    #[must_use]
    pub fn center(&self) -> f64 {
        match &self.weights {
            Some(weights) => {
                let total: f64 = weights.iter().sum();
                libm::log(self.values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / total)
            }
            None => self.values.iter().map(|v| libm::log(*v)).sum::<f64>() / self.values.len() as f64,
        }
    }

    /// Standard error of the center; `None` for one window. Differences between the phases of polled power count as
    /// scatter, which errs on the safe side.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        let logs: Vec<f64> = self.values.iter().map(|v| libm::log(*v)).collect();
        standard_error(&logs)
    }

    /// The scatter of the center as a term.
    #[must_use]
    pub fn scatter(&self) -> Term {
        let n = self.values.len();
        let source = if n < 2 { "one window has no scatter".to_owned() } else { format!("scatter of {n} windows") };
        Term::new(TermName::Scatter, Distribution::Student, self.error(), source)
            .degrees_of_freedom((n.max(2) - 1) as f64)
    }

    /// Value and interval from scatter alone, as charts of other tools show it; `None` where there is none.
    #[must_use]
    pub fn interval(&self, coverage: &Coverage) -> Option<(f64, f64)> {
        self.usable().ok()?;
        let value = libm::exp(self.center());
        let wide = Budget::new(Vec::new(), vec![self.scatter()], coverage).expanded()?.expanded_uncertainty;
        Some((value * libm::exp(-wide), value * libm::exp(wide)))
    }
}

/// The clock of a machine: one error in all times of that machine.
#[must_use]
pub fn clock(record: &RunRecord, policy: &Policy) -> Term {
    let machine = record.header.environment.host.machine_hash.as_deref().unwrap_or(&record.header.id);
    let bound = &policy.clock;
    Term::new(TermName::Clock, Distribution::Rectangular, Some(bound.bound), bound.source.clone())
        .shared(format!("clock of {machine}"))
}

/// Standard error of the mean of `values`; `None` for fewer than two, or where it is not finite.
#[must_use]
pub fn standard_error(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()).filter(|u| u.is_finite())
}
