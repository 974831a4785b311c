//! Whether a record agrees with itself: every energy is the difference of the raw counter values beside it.

use crate::record::{EnergySpan, Quantity, RunRecord, SensorStatus};

/// Compares the energy of every span that has raw values with those values.
///
/// # Errors
/// The first window that contradicts itself, with both energies.
pub(super) fn check(record: &RunRecord) -> Result<(), String> {
    let at_rest = record
        .idle
        .iter()
        .flat_map(|window| window.energy.iter().map(move |span| (span, format!("the idle window {:?}", window.phase))));
    let samples = record.measurements.iter().flat_map(|m| &m.samples).flat_map(|sample| {
        let window = format!("window {} of {}", sample.repeat, sample.case);
        sample.energy.iter().map(move |span| (span, window.clone()))
    });
    for (span, window) in at_rest.chain(samples) {
        let Some((from, to)) = span.raw else { continue };
        let lap = range(record, span).map(|range| i128::from(range) + 1);
        let counted = match (span.wraps, lap) {
            (0, _) => Some(i128::from(to.get()) - i128::from(from.get())),
            (wraps, Some(lap)) => Some(i128::from(to.get()) - i128::from(from.get()) + lap * i128::from(wraps)),
            (_, None) => None,
        };
        if counted != Some(i128::from(span.energy.get())) {
            let counted = counted.map_or("no energy, because it has no range to wrap at".into(), |e| format!("{e} µJ"));
            return Err(format!(
                "{window} contradicts itself: the energy of {} is {} µJ, and its counter gives {counted} (from {} to {} \
                 with {} wraps)",
                span.domain,
                span.energy.get(),
                from.get(),
                to.get(),
                span.wraps
            ));
        }
    }
    Ok(())
}

/// Largest value of the counter that `span` was read from; `None` where the record does not state it.
fn range(record: &RunRecord, span: &EnergySpan) -> Option<u64> {
    let ready = record.header.sensors.iter().filter_map(|status| match status {
        SensorStatus::Ready(info) if info.id == span.sensor => Some(&info.channels),
        _ => None,
    });
    ready.flatten().filter(|channel| channel.domain == span.domain).find_map(|channel| match &channel.quantity {
        Quantity::Energy { range, .. } => range.map(crate::units::MicroJoules::get),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::units::MicroJoules;

    #[test]
    fn raw_values_energies_and_wraps_have_to_agree() {
        assert_eq!(check(&fixture::certifiable()), Ok(()));
        assert_eq!(check(&fixture::with_gpu()), Ok(()));
        let mut record = fixture::certifiable();
        let range = range(&record, &record.measurements[3].samples[2].energy[0]).unwrap();
        let span = &mut record.measurements[3].samples[2].energy[0];
        let (from, to) = span.raw.unwrap();
        span.wraps = 1;
        span.energy = MicroJoules::new(span.energy.get() + range + 1);
        assert_eq!(check(&record), Ok(()), "a wrap is the range and one step to 0");
        let span = &mut record.measurements[3].samples[2].energy[0];
        span.raw = Some((from, MicroJoules::new(to.get() + 1)));
        let error = check(&record).unwrap_err();
        let case = &record.measurements[3].case.id;
        assert!(error.contains(&format!("window 2 of {case}")) && error.contains("1 wraps"), "{error}");
        let mut record = fixture::certifiable();
        record.idle[1].energy[0].energy = MicroJoules::new(7);
        assert!(check(&record).unwrap_err().contains("the idle window After"));
    }
}
