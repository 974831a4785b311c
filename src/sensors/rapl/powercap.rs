//! The direct powercap reader: keeps the counter files open and reads each in place.

use super::zone::Zone;
use crate::clock::Clock;
use crate::sensors::attribute::AttributeError;
use crate::sensors::{Reading, Sensor, SensorError, SensorInfo, Value};
use crate::units::MicroJoules;

/// Reads the zones of a layout with one system call each.
pub(super) struct PowercapReader {
    info: SensorInfo,
    zones: Vec<Zone>,
}

impl PowercapReader {
    /// `info`'s channels are in the order of `zones`.
    pub(super) const fn new(info: SensorInfo, zones: Vec<Zone>) -> Self {
        Self { info, zones }
    }

    /// Puts a note into the description, for something that happened after the probe.
    #[cfg(feature = "rapl-energy")]
    pub(super) fn note(&mut self, text: String) {
        self.info.notes.push(text);
    }
}

impl Sensor for PowercapReader {
    fn info(&self) -> &SensorInfo {
        &self.info
    }

    fn read(&mut self, clock: &Clock) -> Result<Reading, SensorError> {
        let before = clock.now();
        let results: Vec<_> = self.zones.iter().map(|zone| zone.counter.read()).collect();
        let after = clock.now();
        if results.iter().all(Result::is_err) {
            // Gone only when every zone says so: a driver that answers nonsense is still there.
            let gone = results.iter().all(|r| matches!(r, Err(AttributeError::Gone(_))));
            let detail = results.into_iter().find_map(Result::err).map_or_else(String::new, |e| e.to_string());
            return Err(if gone {
                SensorError::Vanished { sensor: super::ID, detail }
            } else {
                SensorError::Broken { sensor: super::ID, detail }
            });
        }
        let values = results.into_iter().map(|r| r.ok().map(|raw| Value::Energy(MicroJoules::new(raw)))).collect();
        Ok(Reading { before, after, values })
    }
}
