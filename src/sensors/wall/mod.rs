//! An external wall meter: the log that it writes, put on the run's clock by pulses of load.
//!
//! The meter's clock is not ours. Before and after the windows the program makes a pulse
//! (idle – load – idle on all CPUs), and [`align`] finds both in the log, so that the offset and the
//! drift of the meter's clock are known with an uncertainty. [`csv`] reads logs, [`log`] takes the
//! energy of a window out of one. All of it is pure: the same rows and pulses give the same energies,
//! so a record recomputes them from what it holds.

pub mod align;
pub mod csv;
pub mod log;

pub use align::Alignment;
pub use csv::Columns;
pub use log::Log;

use super::{Channel, Domain, Quantity, ReaderRole, SensorInfo};
use crate::clock::Moment;
use crate::record::EnergyMethod;
use crate::units::{Joules, MicroJoules, Seconds, Watts};
use serde::{Deserialize, Serialize};

/// Sensor id of wall meters.
pub const ID: &str = "wall-meter";

/// One row of a meter's log, in the order of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Time on the meter's clock, whatever its zero is; `None` where it could not be read.
    #[serde(rename = "t_s", default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Seconds>,
    /// Power.
    #[serde(rename = "power_w", default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Watts>,
    /// Cumulative energy.
    #[serde(rename = "energy_j", default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<Joules>,
    /// What is wrong with it: a window that it touches has no energy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A pulse of load on all CPUs, on the run's clock: idle from `start`, load from `on` to `off`, idle
/// to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// Begin of the idle time before.
    pub start: Moment,
    /// Begin of the load.
    pub on: Moment,
    /// End of the load.
    pub off: Moment,
    /// End of the idle time after.
    pub end: Moment,
}

/// What the owner of a meter declares about its accuracy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Largest relative error of energy and mean power, all loads: 0.01 is ±1 %.
    pub bound: f64,
    /// Who says so, for people.
    pub source: String,
    /// Day of the last calibration, `YYYY-MM-DD`; `None` where none is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<String>,
    /// Salted SHA-256 of the serial number: tells meters apart without naming one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_hash: Option<String>,
}

/// Description of a meter for the record: what its log turned out to be, and what its owner declares.
#[must_use]
pub fn info(source: String, alignment: &Result<Alignment, String>, accuracy: Option<Accuracy>) -> SensorInfo {
    let log = alignment.as_ref().ok().map(Alignment::meter_log);
    let interval = log.and_then(|log| Seconds::new(log.interval()).ok());
    let quantity = match log.map_or(EnergyMethod::Integrated, Log::method) {
        EnergyMethod::Counter => {
            let resolution = log.and_then(Log::step).map(|step| MicroJoules::new((step * 1e6).ceil() as u64));
            Quantity::Energy { resolution, range: None, max_power: None }
        }
        EnergyMethod::Integrated => Quantity::AveragePower { interval },
    };
    let note = match alignment {
        Ok(alignment) => alignment.describe(),
        Err(why) => format!("not aligned: {why}"),
    };
    SensorInfo {
        id: ID.to_owned(),
        title: "External wall meter".to_owned(),
        source,
        channels: vec![Channel {
            name: "wall".to_owned(),
            domain: Domain::Wall,
            quantity,
            role: ReaderRole::default(),
            update_period: interval,
        }],
        notes: vec![note],
        simulated: false,
        accuracy,
    }
}

#[cfg(test)]
mod tests;
