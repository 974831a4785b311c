//! What a graphics card was like over a window.

use crate::sensors::Domain;
use crate::units::{Celsius, Hertz, Seconds, Watts};
use serde::{Deserialize, Serialize};

/// State of the very card that a case runs on, over a window. `None` is unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardState {
    /// The card's energy domain: which card it is.
    pub domain: Domain,
    /// Sensor family that said all of this: `nvml`.
    pub sensor: String,
    /// How often clocks, temperature, throttle reasons and limit were read, both edges of the window included.
    pub readings: u32,
    /// Clock of the multiprocessors.
    #[serde(rename = "sm_clock_hz", default, skip_serializing_if = "Option::is_none")]
    pub sm_clock: Option<Clocks>,
    /// Clock of the memory.
    #[serde(rename = "memory_clock_hz", default, skip_serializing_if = "Option::is_none")]
    pub memory_clock: Option<Clocks>,
    /// Highest temperature.
    #[serde(rename = "temperature_c", default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Celsius>,
    /// Lowest power limit that was in force.
    #[serde(rename = "power_limit_w", default, skip_serializing_if = "Option::is_none")]
    pub power_limit: Option<Watts>,
    /// Every reason for a lower clock that was seen: `thermal`; also those that are no slowdown (`idle`, `power-cap`,
    /// `application-clocks`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<Vec<String>>,
    /// Slowdowns for heat, by the hardware or by the power brake; those that were on at the start count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle_events: Option<u64>,
    /// Memory errors that were corrected, before and after, since the driver was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecc_corrected: Option<(u64, u64)>,
    /// Memory errors that could not be corrected, before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecc_uncorrected: Option<(u64, u64)>,
    /// Transfers that the link repeated, before and after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcie_replays: Option<(u64, u64)>,
    /// Numbers of the critical errors (Xid) that the driver reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xids: Option<Vec<u64>>,
    /// Processes that had a context on the card besides this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<Others>,
    /// Largest share of the multiprocessors that other processes had in a reading of the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_load: Option<f64>,
    /// The pause before the window, where the card had slowed itself down in the one before and the repeat was taken again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cool_down: Option<CoolDown>,
}

/// A pause in which a card was left alone, outside of any window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoolDown {
    /// Its length.
    #[serde(rename = "wall_s")]
    pub wall: Seconds,
    /// What slowed the card down when it began.
    pub reasons: Vec<String>,
    /// Whether nothing did any more when it ended; else the longest pause that the profile allows was over.
    pub over: bool,
}

/// Clocks over a window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Clocks {
    /// Median of the readings.
    pub median: Hertz,
    /// Lowest reading.
    pub min: Hertz,
}

/// Processes on a card besides this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// The most that an edge of the window showed.
    pub count: u32,
    /// Whether this program was among the processes listed, under its own number. In a container it may not be; then one of
    /// the listed is taken for it, because it has a context as well.
    pub own_seen: bool,
}

impl CardState {
    /// How many errors came up in the window: the difference of a counter, where it only rose.
    #[must_use]
    pub fn rise(counter: Option<(u64, u64)>) -> Option<u64> {
        counter.and_then(|(before, after)| after.checked_sub(before))
    }
}
