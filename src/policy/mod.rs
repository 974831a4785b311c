//! Policies: numbers that decide, as data with their sources. Pure: read from embedded text.

mod uncertainty;

pub use uncertainty::{ClockBound, Coverage, Linearity, Policy, SensorBound, WithinGain};
