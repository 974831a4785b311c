//! Record → summary: statistics and energy, pure and reproducible.
//!
//! The analysis sees a [`RunRecord`] and nothing else: no hardware, no clock, no files. The same
//! record gives the same summary bit for bit, because the bootstrap is seeded from the record. The
//! method is written down in docs/analysis.md.

mod activity;
mod bootstrap;
mod budget;
mod case;
mod caveats;
mod ceilings;
mod cross_check;
mod crossover;
mod draws;
mod energy;
mod gauge;
mod idle;
mod series;
mod sources;
mod spread;
mod student;
mod summary;
mod verdict;
mod window;

pub use budget::{Budget, Combined, Distribution, Dof, Expanded, Term, TermName};
pub use crossover::{BreakEven, Crossover, CrossoverPoint, Shape, replaces};
pub use draws::Draws;
pub use gauge::{CaseGauge, EnergyGauge, GaugedWindow, RatedMeter, gauge};
pub use series::{Series, clock, standard_error};
pub use spread::{Factors, Ladder, Spread, Uncertainty};
pub use student::{two_sided, two_sided_tail};
pub use summary::{
    ActivityFigures, Binding, Boundary, CaseSummary, Caveat, CountedWindow, CrossCheck, DomainEnergy, EnergyFigures,
    Estimate, EstimatedEnergy, Figure, Grade, IdlePower, Method, Severity, Status, Summary, TypeB, Verdict, Windows,
};

use crate::policy::Policy;
use crate::record::RunRecord;

/// Median of `values` with its bootstrap interval, for results that are no record. The draws are
/// seeded from `label`, so the same values give the same bits. `None` when there are none or one is not finite.
#[must_use]
pub fn median(label: &str, values: &[f64], resamples: u32, confidence: f64) -> Option<Estimate> {
    bootstrap::Resampler::new(0, label, resamples, confidence).estimate(values)
}

/// Evidence grade of the energies in `cases`, which [`gauge`] made of `record`; `None` where there is none.
#[must_use]
pub fn grade(record: &RunRecord, cases: &[CaseGauge]) -> Option<Grade> {
    let energies: Vec<&EnergyGauge> = cases.iter().filter_map(|c| c.energy.as_ref().ok()).collect();
    let mut rated: Vec<&RatedMeter> = energies.iter().flat_map(|e| &e.meters).collect();
    rated.dedup();
    (!energies.is_empty()).then(|| caveats::grade_of(record, &rated))
}

/// Every figure of a record, with its interval or the reason why there is none. Systematic errors are bounded
/// by the policy that this program ships.
#[must_use]
pub fn summarise(record: &RunRecord) -> Summary {
    summarise_with(record, &Policy::shipped())
}

/// As [`summarise`], with the bounds of `policy`.
#[must_use]
pub fn summarise_with(record: &RunRecord, policy: &Policy) -> Summary {
    summarise_remembering(record, policy, &Draws::default())
}

/// As [`summarise_with`], bit for bit, for whoever summarises many records: what is drawn for one serves the next.
#[must_use]
pub fn summarise_remembering(record: &RunRecord, policy: &Policy, draws: &Draws) -> Summary {
    let meters = energy::Meters::of(record, policy.clone());
    let mut cases: Vec<CaseSummary> =
        record.measurements.iter().map(|m| case::summarise(m, &record.header, &meters, draws)).collect();
    let ceilings = ceilings::Ceilings::of(&cases);
    cases.iter_mut().for_each(|case| ceilings.apply(case));
    let grade = caveats::grade(record, &cases);
    Summary {
        verdict: verdict::of(record, &cases, &meters, grade.as_ref()),
        boundary: meters.boundary(),
        caveats: caveats::of(record, &cases, &meters),
        idle: meters.idle_of_record(),
        cross_checks: cross_check::compare(record, &meters),
        crossovers: crossover::of(&cases),
        uncertainty_policy: meters.policy,
        grade,
        cases,
    }
}

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod tests;
