//! Where joules come from: every power counter behind one trait.
//!
//! A probe answers [`Probe::Ready`], [`Probe::Absent`] or [`Probe::Denied`]; it never guesses.
//! Sensors deliver raw counter values; differences, wraps and resets are solved once, in
//! [`counter`]. Adding a sensor is one file and one line in [`REGISTRY`].

mod attribute;
pub mod battery;
pub mod counter;
mod domain;
pub mod hwmon;
pub mod nvml;
pub mod perf;
mod period;
pub mod power_pmu;
mod quiet;
pub mod rapl;
#[cfg(test)]
mod remedies;
mod role;
pub mod wall;

pub use domain::{Domain, DomainParseError};
pub use period::probe_period;
pub use role::{ReaderRole, assign_roles};

use crate::clock::{Clock, Moment};
use crate::host::Host;
use crate::units::{Celsius, Hertz, MicroJoules, Seconds, Watts};
use serde::{Deserialize, Serialize};

/// A way to look for one family of sensors on a host.
#[derive(Debug, Clone, Copy)]
pub struct SensorFamily {
    /// Permanent id: `rapl`, `nvml`.
    pub id: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// Looks for it.
    pub probe: fn(&Host) -> Probe,
}

/// Every sensor family of the product, in the order in which `doctor` prints them. Of two that read
/// one domain in the same way the first is the reader of record.
pub const REGISTRY: &[SensorFamily] = &[rapl::FAMILY, power_pmu::FAMILY, nvml::FAMILY, hwmon::FAMILY, battery::FAMILY];

/// What a probe found.
pub enum Probe {
    /// It works: it was opened and read once.
    Ready(Box<dyn Sensor>),
    /// It is not there.
    Absent {
        /// What was looked for, where, and what was found instead.
        reason: String,
    },
    /// It is there, but not for this user.
    Denied {
        /// What was refused.
        reason: String,
        /// The exact, least-privilege way to allow it.
        remedy: String,
    },
}

/// A sensor that works. Reading takes the clock as an argument, so a double can script time.
pub trait Sensor: Send {
    /// Its description; `channels` fixes the order of every reading's values.
    fn info(&self) -> &SensorInfo;

    /// Reads every channel once. `before` and `after` bracket the reads.
    ///
    /// # Errors
    /// [`SensorError`] when the sensor as a whole cannot be read any more.
    fn read(&mut self, clock: &Clock) -> Result<Reading, SensorError>;

    /// Tries to get a sensor that failed going again, with the channels it had: a driver may have been
    /// loaded anew. Counters then count from somewhere else. Sensors that cannot do so answer `false`.
    fn revive(&mut self) -> bool {
        false
    }
}

/// Description of a sensor, as it stands in the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorInfo {
    /// Family id: `rapl`.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// Reader, library and version, interface: `rapl-energy 0.2.2, /sys/class/powercap`.
    pub source: String,
    /// What it delivers.
    pub channels: Vec<Channel>,
    /// What a reader of the report should know (filtering, duplicates that were dropped).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether its values come from a double: a redirected root or a stand-in library. A record
    /// made with it is simulated.
    #[serde(default)]
    pub simulated: bool,
    /// What its owner declares about its accuracy; `None` for sensors whose bound the policy of
    /// uncertainty states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<wall::Accuracy>,
}

/// One quantity that a sensor delivers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// Unique within the sensor: `package-0`, `GPU-5c3a/power`.
    pub name: String,
    /// What part of the machine it covers.
    pub domain: Domain,
    /// What it says of it.
    pub quantity: Quantity,
    /// Whether its readings are figures, or only check those of another sensor (see
    /// [`assign_roles`]). Records before there were two readers of one domain do not have it.
    #[serde(default, skip_serializing_if = "ReaderRole::is_of_record")]
    pub role: ReaderRole,
    /// Time between two changes of its value, probed on this host; `None` until probed.
    #[serde(rename = "update_period_s")]
    pub update_period: Option<Seconds>,
}

/// What a channel delivers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// A counter of energy that only rises, until it wraps.
    Energy {
        /// Smallest step, where the interface states it.
        #[serde(rename = "resolution_uj")]
        resolution: Option<MicroJoules>,
        /// Largest value before it wraps to 0; `None` where it does not wrap or is not stated.
        #[serde(rename = "range_uj")]
        range: Option<MicroJoules>,
        /// Highest power the domain can draw, where it is known: tells a wrap from a reset.
        #[serde(rename = "max_power_w")]
        max_power: Option<Watts>,
    },
    /// Power at the moment of reading.
    InstantPower,
    /// Power averaged by the hardware over an interval before the reading.
    AveragePower {
        /// The interval, where it is known.
        #[serde(rename = "interval_s")]
        interval: Option<Seconds>,
    },
    /// Temperature of the domain.
    Temperature,
    /// Clock frequency; of a graphics card that of its multiprocessors.
    Clock,
    /// Clock frequency of the memory.
    MemoryClock,
    /// Why the device runs below its clock, as a set of words.
    Throttle,
    /// Power limit in force.
    PowerLimit,
}

/// One reading of all channels of a sensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Before the first channel was read.
    pub before: Moment,
    /// After the last channel was read.
    pub after: Moment,
    /// One value a channel, in the order of [`SensorInfo::channels`]; `None` is unreadable now.
    pub values: Vec<Option<Value>>,
}

/// The value of one channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Raw counter value.
    Energy(MicroJoules),
    /// Instantaneous, averaged or limiting power.
    Power(Watts),
    /// A temperature.
    Temperature(Celsius),
    /// A clock.
    Clock(Hertz),
    /// Active throttle reasons; empty when none.
    Throttle(Vec<String>),
}

/// A sensor that stopped working.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SensorError {
    /// It is gone: the device was lost, the file removed, the driver unloaded.
    #[error("{sensor} vanished: {detail}")]
    Vanished {
        /// Family id.
        sensor: &'static str,
        /// What happened.
        detail: String,
    },
    /// It is there, and refuses or answers nonsense.
    #[error("{sensor} cannot be read: {detail}")]
    Broken {
        /// Family id.
        sensor: &'static str,
        /// What happened.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sensor_family_of_the_folder_is_registered_once() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sensors");
        let mut pending = vec![folder];
        let mut families = 0;
        while let Some(path) = pending.pop() {
            if path.is_dir() {
                pending.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                let text = std::fs::read_to_string(path).unwrap();
                families += text.lines().filter(|line| line.starts_with("pub const FAMILY: SensorFamily")).count();
            }
        }
        assert_eq!(families, REGISTRY.len(), "a family is missing in REGISTRY, or stands there twice");
        let ids: std::collections::BTreeSet<_> = REGISTRY.iter().map(|f| f.id).collect();
        assert_eq!(ids.len(), REGISTRY.len(), "two families share an id");
    }

    #[test]
    fn every_probe_of_this_machine_answers_and_explains_itself() {
        for family in REGISTRY {
            match (family.probe)(&Host::real()) {
                Probe::Ready(sensor) => {
                    assert_eq!(sensor.info().id, family.id);
                    assert!(!sensor.info().channels.is_empty() && !sensor.info().simulated);
                }
                Probe::Absent { reason } => {
                    println!("{}: {reason}", family.id);
                    assert!(reason.len() > 20, "{reason}");
                }
                Probe::Denied { reason, remedy } => {
                    println!("{}: {reason}; {remedy}", family.id);
                    assert!(reason.len() > 20 && remedy.len() > 20, "{reason}; {remedy}");
                }
            }
        }
    }
}
