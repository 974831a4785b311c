//! Physical quantities as types: `Joules + Watts` does not compile, and a quantity is never NaN.
//!
//! Rust names carry no unit because the type does; JSON keys carry it (`energy_j`, `wall_s`).
//! Constructors refuse non-finite values, so "unknown" can only be written as `None`.

use serde::{Deserialize, Serialize};
use std::ops::{Add, AddAssign, Mul, Sub};

/// A value that was NaN or infinite where a physical quantity was expected.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{value} is not a finite number of {unit}")]
pub struct NotFinite {
    value: f64,
    unit: &'static str,
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// The unit's symbol.
            pub const UNIT: &'static str = $unit;
            /// The zero of this quantity.
            pub const ZERO: Self = Self(0.0);

            /// Checks that `value`, given in the unit of this type, is finite.
            ///
            /// # Errors
            /// [`NotFinite`] when `value` is NaN or infinite.
            pub const fn new(value: f64) -> Result<Self, NotFinite> {
                if value.is_finite() { Ok(Self(value)) } else { Err(NotFinite { value, unit: $unit }) }
            }

            /// The number, in the unit of this type.
            #[must_use]
            pub const fn get(self) -> f64 {
                self.0
            }

            /// This quantity divided by another of its kind, `None` when the divisor is zero.
            #[must_use]
            pub fn ratio(self, other: Self) -> Option<f64> {
                Some(self.0 / other.0).filter(|r| r.is_finite())
            }
        }

        impl TryFrom<f64> for $name {
            type Error = NotFinite;
            fn try_from(value: f64) -> Result<Self, NotFinite> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(quantity: $name) -> f64 {
                quantity.0
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                Self(iter.map(|q| q.0).sum())
            }
        }
    };
}

quantity!(/// Energy in joules.
    Joules, "J");
quantity!(/// Power in watts.
    Watts, "W");
quantity!(/// Time in seconds.
    Seconds, "s");
quantity!(/// Frequency in hertz.
    Hertz, "Hz");
quantity!(/// Temperature in degrees Celsius.
    Celsius, "°C");
quantity!(/// A count of floating-point (or integer) operations.
    Flops, "FLOP");
quantity!(/// An amount of data in bytes.
    Bytes, "B");

impl Joules {
    /// Mean power over `time`; `None` for a zero interval.
    #[must_use]
    pub fn over(self, time: Seconds) -> Option<Watts> {
        Watts::new(self.0 / time.0).ok()
    }
}

impl Mul<Seconds> for Watts {
    type Output = Joules;
    fn mul(self, time: Seconds) -> Joules {
        Joules(self.0 * time.0)
    }
}

impl Seconds {
    /// From a standard duration.
    #[must_use]
    pub fn from_duration(duration: std::time::Duration) -> Self {
        Self(duration.as_secs_f64())
    }

    /// As a standard duration; negative times become zero because a sleep cannot be negative.
    #[must_use]
    pub fn to_duration(self) -> std::time::Duration {
        std::time::Duration::try_from_secs_f64(self.0).unwrap_or_default()
    }
}

/// Exact integer microjoules, as energy counters deliver them.
///
/// Written to JSON as a decimal string: a counter above 2^53 µJ would lose digits as a JSON number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MicroJoules(u64);

impl MicroJoules {
    /// From a count of microjoules.
    #[must_use]
    pub const fn new(microjoules: u64) -> Self {
        Self(microjoules)
    }

    /// From a count of millijoules (NVML's unit); `None` on overflow.
    #[must_use]
    pub fn from_millijoules(millijoules: u64) -> Option<Self> {
        millijoules.checked_mul(1000).map(Self)
    }

    /// The count of microjoules.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In joules. Exact up to 2^53 µJ (9.0 GJ), rounded to the nearest double beyond.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "documented rounding beyond 2^53 µJ")]
    pub fn to_joules(self) -> Joules {
        Joules(self.0 as f64 / 1e6)
    }

    /// Sum, `None` on overflow.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference, `None` when it would be negative.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl From<MicroJoules> for String {
    fn from(value: MicroJoules) -> String {
        value.0.to_string()
    }
}

impl TryFrom<String> for MicroJoules {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_infinity_are_refused() {
        assert!(Joules::new(f64::NAN).is_err());
        assert!(Watts::new(f64::INFINITY).is_err());
        assert!(serde_json::from_str::<Seconds>("null").is_err());
    }

    #[test]
    fn power_is_energy_over_time_and_undefined_over_nothing() {
        let energy = Joules::new(130.0).unwrap();
        assert_eq!(energy.over(Seconds::new(2.0).unwrap()), Watts::new(65.0).ok());
        assert_eq!(energy.over(Seconds::ZERO), None);
    }

    #[test]
    fn big_counters_survive_json_exactly() {
        let counter = MicroJoules::new(u64::MAX - 1);
        let json = serde_json::to_string(&counter).unwrap();
        assert_eq!(json, "\"18446744073709551614\"");
        assert_eq!(serde_json::from_str::<MicroJoules>(&json).unwrap(), counter);
        assert!(serde_json::from_str::<MicroJoules>("\"-1\"").is_err());
    }
}
