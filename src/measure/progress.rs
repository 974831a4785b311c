//! What a run tells those who watch it. The measuring code prints nothing itself.

use crate::record::{Flag, IdlePhase};
use crate::units::{Seconds, Watts};

/// One step of a run.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// Idle power is being measured.
    Idle {
        /// Before or after the cases.
        phase: IdlePhase,
        /// How long it takes.
        length: Seconds,
    },
    /// A pulse of load on all CPUs is made, to align the log of a wall meter.
    Pulse {
        /// How long it takes.
        length: Seconds,
    },
    /// A case is being built and warmed up.
    Preparing {
        /// Case id.
        case: &'a str,
        /// Its number, from 1.
        number: usize,
        /// Cases there are.
        of: usize,
    },
    /// A timed window begins.
    Window {
        /// Case id.
        case: &'a str,
        /// Its repeat, from 1.
        repeat: u32,
        /// Repeats of every case.
        repeats: u32,
        /// Windows done in this run.
        done: usize,
        /// Windows planned for this run.
        planned: usize,
        /// Power of the non-overlapping domains just now, where measured.
        power: Option<Watts>,
    },
    /// A window was discarded.
    Discarded {
        /// Case id.
        case: &'a str,
        /// Why.
        flag: &'a Flag,
        /// Whether it will be measured again.
        again: bool,
    },
    /// A card that slowed itself down is left alone before the window is measured again.
    CoolingDown {
        /// Case id.
        case: &'a str,
        /// How long at most.
        longest: Seconds,
    },
    /// A case came to nothing.
    Void {
        /// Case id.
        case: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A sensor stopped answering.
    SensorLost {
        /// Family id.
        sensor: &'a str,
        /// What it said.
        reason: &'a str,
    },
}
