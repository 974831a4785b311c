//! Two readers of one domain, or a counter and the power of one device: how far apart they are.

use super::CrossCheck;
use super::energy::{Meter, Meters};
use crate::record::{EnergyMethod, EnergySpan, RunRecord};

/// Every pair of readers of one domain that have at least one window in common.
///
/// The two are read one after the other, so their spans differ by microseconds: each energy is
/// taken as mean power, times the span of the reader of record.
pub(super) fn compare(record: &RunRecord, meters: &Meters<'_>) -> Vec<CrossCheck> {
    let windows = record.measurements.iter().flat_map(|m| m.valid_samples()).map(|s| s.energy.as_slice());
    let idle = record.idle.iter().filter(|w| w.flags.is_empty()).map(|w| w.energy.as_slice());
    let all: Vec<&[EnergySpan]> = windows.chain(idle).collect();
    let checks = meters.all.iter().filter(|m| m.checks);
    let pair = |check: &Meter| {
        let of_record = meters.all.iter().find(|m| m.domain == check.domain && !m.checks)?;
        let polled = check.method() == EnergyMethod::Integrated;
        let both: Vec<(f64, f64)> = all.iter().filter_map(|spans| energies(spans, of_record, check)).collect();
        let (counted, checked) = both.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        Some(CrossCheck {
            domain: check.domain.clone(),
            of_record: of_record.sensor.clone(),
            check: if polled { format!("polled power of {}", check.sensor) } else { check.sensor.clone() },
            polled,
            difference: (counted > 0.0 && checked > 0.0).then(|| checked / counted - 1.0),
            n: both.len(),
        })
    };
    checks.filter_map(pair).filter(|c| c.n > 0).collect()
}

/// Energies of one window, both over the span of the reader of record.
fn energies(spans: &[EnergySpan], of_record: &Meter, check: &Meter) -> Option<(f64, f64)> {
    let (a, b) = (of_record.find(spans)?, check.find(spans)?);
    let (length, other) = (a.to.since(a.from), b.to.since(b.from));
    let power = b.energy.to_joules().over(other)?;
    (length.get() > 0.0).then(|| (a.energy.to_joules().get(), (power * length).get()))
}
