//! Energy of a wall meter: derived from the raw rows and pulses of the record each time it is read.

use super::{EnergySpan, Flag, RunRecord};
use crate::clock::Moment;
use crate::sensors::Domain;
use crate::sensors::wall::{Alignment, ID, Pulse, Row};
use crate::units::{MicroJoules, Seconds};

/// Code of the flag of a window whose wall energy is unknown although a meter was read.
const CODE: &str = "wall-meter";

/// What a record holds of a wall meter.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WallMeter {
    /// Pulses of load, in time order.
    pub pulses: Vec<Pulse>,
    /// Rows of the log, in the order of the file.
    pub rows: Vec<Row>,
    /// The log on the run's clock, or why it cannot be put there; `None` without rows.
    pub alignment: Option<Result<Alignment, String>>,
}

impl WallMeter {
    /// Energy between two moments of the run, as a span; `None` without rows that can be aligned.
    ///
    /// # Errors
    /// Why the energy of this window is unknown.
    #[must_use]
    pub fn span(&self, from: Moment, to: Moment) -> Option<Result<EnergySpan, String>> {
        let alignment = self.alignment.as_ref()?.as_ref().ok()?;
        Some(span(alignment, from, to))
    }
}

/// The span of a window on the meter's log.
///
/// # Errors
/// Why its energy is unknown.
pub fn span(alignment: &Alignment, from: Moment, to: Moment) -> Result<EnergySpan, String> {
    let joules = alignment.energy(from, to)?;
    Ok(EnergySpan {
        domain: Domain::Wall,
        sensor: ID.to_owned(),
        method: alignment.meter_log().method(),
        energy: MicroJoules::new((joules * 1e6).round() as u64),
        from,
        to,
        raw: None,
        wraps: 0,
        update_period: alignment.period(),
    })
}

/// Gives every window of `record` the energy that the meter saw in it, or a flag with the reason.
pub(super) fn attach(record: &mut RunRecord) {
    if record.wall.rows.is_empty() {
        return;
    }
    let alignment = Alignment::of(&record.wall.rows, &record.wall.pulses);
    match &alignment {
        // Nothing is known of any window: no window is worse than the others.
        Err(why) => record.lost_sensors.push((ID.to_owned(), why.clone())),
        Ok(alignment) => {
            let samples = record.measurements.iter_mut().flat_map(|m| &mut m.samples);
            let windows = samples.map(|s| (s.start, s.wall, &mut s.energy, &mut s.flags));
            let idle = record.idle.iter_mut().map(|w| (w.start, w.wall, &mut w.energy, &mut w.flags));
            for (start, wall, energy, flags) in windows.chain(idle) {
                match span(alignment, start, after(start, wall)) {
                    Ok(span) => energy.push(span),
                    Err(why) => flags.push(Flag { code: CODE.to_owned(), detail: format!("{ID}: {why}") }),
                }
            }
        }
    }
    record.wall.alignment = Some(alignment);
}

fn after(start: Moment, wall: Seconds) -> Moment {
    let nanos = u64::try_from(wall.to_duration().as_nanos()).unwrap_or(0);
    Moment::from_nanos(start.nanos().saturating_add(nanos))
}
