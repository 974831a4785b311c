//! Power at rest, before and after the cases.

use super::IdlePower;
use super::energy::Meter;
use crate::record::{IdlePhase, RunRecord};

/// Idle power of every meter that was read in an undisturbed idle window.
///
/// A phase that was measured more than once (a resumed run) counts with the mean of its windows.
pub(super) fn power_at_rest(record: &RunRecord, meters: &[Meter]) -> Vec<IdlePower> {
    meters.iter().filter_map(|meter| of_meter(record, meter)).collect()
}

fn of_meter(record: &RunRecord, meter: &Meter) -> Option<IdlePower> {
    let powers = |phase: IdlePhase| -> Vec<f64> {
        let windows = record.idle.iter().filter(|w| w.phase == phase && w.flags.is_empty());
        let spans = windows.filter_map(|w| meter.find(&w.energy));
        spans.filter_map(|s| s.energy.to_joules().over(s.to.since(s.from))).map(|w| w.get()).collect()
    };
    let (before, after) = (powers(IdlePhase::Before), powers(IdlePhase::After));
    let n = before.len() + after.len();
    let (before, after) = (mean(&before), mean(&after));
    let both: Vec<f64> = [before, after].into_iter().flatten().collect();
    let mean = mean(&both)?;
    let drift = before.zip(after).map(|(b, a)| (a - b).abs() / mean).filter(|d| d.is_finite());
    Some(IdlePower {
        domain: meter.domain.clone(),
        sensor: meter.sensor.clone(),
        method: meter.method(),
        before,
        after,
        mean,
        drift,
        n: u32::try_from(n).unwrap_or(u32::MAX),
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Idle power of several meters together; `None` when one of them has none.
pub(super) fn sum_of_means(idle: &[IdlePower], meters: &[&Meter]) -> Option<f64> {
    meters.iter().map(|m| idle.iter().find(|i| m.is_that_of(i)).map(|i| i.mean)).sum()
}
