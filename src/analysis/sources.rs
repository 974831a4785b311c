//! Where the terms of a budget come from: the windows, the record and the policy.

use super::budget::{Budget, Distribution, Term, TermName};
use crate::policy::{Linearity, Policy, SensorBound};
use crate::record::EnergyMethod;

/// What is known of the energy of a set of meters besides its scatter. Energies are sums over the
/// windows of a case; fractions are relative to the energy of the set.
#[derive(Debug, Clone)]
pub(super) struct Basis<'p> {
    pub(super) policy: &'p Policy,
    /// Names the machine: gains are shared by figures of one machine only.
    pub(super) machine: &'p str,
    /// One entry a sensor and method.
    pub(super) groups: Vec<Group>,
    /// τ/T of the slowest meter over the shortest window; `None` when a period is unknown.
    pub(super) alignment: Option<f64>,
    /// √Σq²(1 + 2w²) over the energy of a window, worst window, q being the step of each counter and w
    /// its wraps; `None` when a step is unknown.
    pub(super) quantisation: Option<f64>,
    /// Largest relative difference between the spans of the counters and the windows.
    pub(super) span: f64,
    /// Idle energy over the windows; `None` where it was not measured for every meter.
    pub(super) rest: Option<Rest>,
}

/// Meters of one sensor and method.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    pub(super) sensor: String,
    pub(super) method: EnergyMethod,
    /// Its domains, joined by `+`.
    pub(super) domains: String,
    /// Its part of the energy.
    pub(super) share: f64,
    /// Idle energy of the same meters over the energy of the set.
    pub(super) rest: Option<f64>,
}

/// Idle power times the length of the windows, relative to the energy of the set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    pub(super) share: f64,
    /// Half of the difference between after and before; `None` when one side is missing.
    pub(super) half_drift: Option<f64>,
}

/// Scatter of one figure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scatter {
    /// Standard error of the figure over the figure; `None` for one window.
    pub(super) relative: Option<f64>,
    pub(super) n: u32,
    /// What was bootstrapped: `median`, or `mean` for polled power.
    pub(super) of: &'static str,
}

impl Basis<'_> {
    /// Budget of gross energy and of what is inversely proportional to it.
    pub(super) fn energy(&self, scatter: Scatter, figures: Vec<&'static str>) -> Budget {
        self.close(self.gross(scatter), figures)
    }

    /// Budget of mean power: the length of the window comes in.
    pub(super) fn power(&self, scatter: Scatter, figures: Vec<&'static str>) -> Budget {
        let mut terms = self.gross(scatter);
        let clock = &self.policy.clock;
        let term = Term::new(TermName::Clock, Distribution::Rectangular, Some(clock.bound), clock.source.clone());
        terms.push(term.shared(format!("clock of {}", self.machine)));
        self.close(terms, figures)
    }

    /// Budget of net energy, gross less idle. The same sensor read both, but nobody says that its gain
    /// is the same at rest and under load, so the two gains count as independent.
    pub(super) fn net(&self, scatter: Scatter, figures: Vec<&'static str>) -> Budget {
        let Some(rest) = self.rest else {
            return Budget::not_stated(figures, "idle power was not measured for every domain of the boundary");
        };
        let net = 1.0 - rest.share;
        if net <= 0.0 {
            return Budget::not_stated(figures, "net energy is not positive");
        }
        let mut terms = self.gross(scatter);
        for term in terms.iter_mut().skip(1) {
            *term = term.clone().sensitivity(term.sensitivity / net);
        }
        for group in &self.groups {
            let share = group.rest.unwrap_or_default() / net;
            terms.push(self.gain(group, TermName::GainAtRest).sensitivity(share));
        }
        let source = match rest.half_drift {
            Some(_) => "idle power before and after: the true one lies between them",
            None => "idle power was measured on one side of the cases only",
        };
        let drift = Term::new(TermName::IdleDrift, Distribution::Rectangular, rest.half_drift, source);
        terms.push(drift.sensitivity(1.0 / net));
        self.close(terms, figures)
    }

    fn close(&self, terms: Vec<Term>, figures: Vec<&'static str>) -> Budget {
        Budget::new(figures, terms, &self.policy.coverage)
    }

    /// Terms of gross energy; the scatter is the first.
    fn gross(&self, scatter: Scatter) -> Vec<Term> {
        let mut terms = vec![scatter_term(scatter)];
        for group in &self.groups {
            terms.push(self.gain(group, TermName::Gain).sensitivity(group.share));
            terms.push(self.linearity(group).sensitivity(group.share));
        }
        if self.groups.iter().any(|g| g.method == EnergyMethod::Counter) {
            let source = match self.quantisation {
                Some(_) => "two readings in steps of the counter, and one step a wrap, worst window",
                None => "its sensor does not state the step of a counter",
            };
            terms.push(Term::new(TermName::Quantisation, Distribution::Triangular, self.quantisation, source));
        }
        let source = match self.alignment {
            Some(_) => "update period of the slowest meter over the shortest window",
            None => "the update period of a meter could not be probed",
        };
        terms.push(Term::new(TermName::Alignment, Distribution::Triangular, self.alignment, source));
        let source = "reads outside the window, scaled to it as if power were constant, worst window";
        terms.push(Term::new(TermName::Span, Distribution::Rectangular, Some(self.span), source));
        for group in self.groups.iter().filter(|g| g.method == EnergyMethod::Integrated) {
            let bound = self.bound(group);
            let aliasing = bound.and_then(|b| b.aliasing);
            let term = Term::new(TermName::Aliasing, Distribution::Rectangular, aliasing, named(bound, group));
            terms.push(term.sensitivity(group.share));
        }
        terms
    }

    fn bound(&self, group: &Group) -> Option<&SensorBound> {
        self.policy.bound(&group.sensor, group.method)
    }

    fn gain(&self, group: &Group, name: TermName) -> Term {
        let bound = self.bound(group);
        let term = Term::new(name, Distribution::Rectangular, bound.map(|b| b.gain), named(bound, group));
        // The same error in every figure of these meters, so that it cancels in a ratio.
        let Group { sensor, method, domains, .. } = group;
        term.shared(format!("{} of {sensor} {} {domains} of {}", name.title(), word(*method), self.machine))
    }

    fn linearity(&self, group: &Group) -> Term {
        let bound = self.bound(group);
        let (value, source) = match bound.map(|b| b.linearity) {
            Some(Linearity::Bound(value)) => (Some(value), named(bound, group)),
            Some(Linearity::Word(_)) => {
                (Some(0.0), format!("{}: the gain bound was stated for all loads", named(bound, group)))
            }
            None => (None, named(bound, group)),
        };
        Term::new(TermName::Linearity, Distribution::Rectangular, value, source)
    }
}

fn scatter_term(scatter: Scatter) -> Term {
    let source = match scatter.n {
        0 | 1 => "one window has no scatter".to_owned(),
        n => format!("bootstrap of the {} of {n} windows", scatter.of),
    };
    let term = Term::new(TermName::Scatter, Distribution::Student, scatter.relative, source);
    term.degrees_of_freedom(f64::from(scatter.n.max(2) - 1))
}

/// The policy's row for a group, by name; the row itself stands in the policy.
fn named(bound: Option<&SensorBound>, group: &Group) -> String {
    match bound {
        Some(bound) if bound.declared => bound.source.clone(),
        Some(bound) => format!("policy: {} {}", bound.sensor, word(bound.method)),
        None => format!("the policy has no bounds for {} {}", group.sensor, word(group.method)),
    }
}

const fn word(method: EnergyMethod) -> &'static str {
    match method {
        EnergyMethod::Counter => "counter",
        EnergyMethod::Integrated => "integrated",
    }
}

#[cfg(test)]
mod tests;
