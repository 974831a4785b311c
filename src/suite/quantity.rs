//! Quantities as people write them: `250 ms`, `64 MiB`, `10 Hz`, `10 %`.

use super::tree::{Node, Value};
use crate::kernels::ParamKind;
use crate::units::Seconds;

/// What kind of number a key takes, bounds included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Quantity {
    /// A whole number.
    Count { min: u64, max: u64 },
    /// Seconds.
    Duration { min: f64, max: f64 },
    /// Hertz.
    Frequency { min: f64, max: f64 },
    /// Bytes.
    Size { min: u64, max: u64 },
    /// A fraction.
    Fraction { min: f64, max: f64 },
    /// A plain number.
    Number { min: f64, max: f64 },
}

/// A number that does not fit its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) help: String,
}

pub(crate) const DURATION_UNITS: &[(&str, f64)] =
    &[("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0)];
pub(crate) const FREQUENCY_UNITS: &[(&str, f64)] = &[("Hz", 1.0), ("kHz", 1e3)];
pub(crate) const SIZE_UNITS: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
];

/// Reads a time of zero or more with its unit: `250 ms`, `2s`, `1 min`. `None` for anything else.
#[must_use]
pub fn duration(text: &str) -> Option<Seconds> {
    let value = Quantity::Duration { min: 0.0, max: f64::MAX }.with_unit(text)?;
    Seconds::new(value).ok().filter(|time| *time >= Seconds::ZERO)
}

impl Quantity {
    /// The quantity a kernel's parameter is; `None` for a choice of words.
    pub(crate) fn of(kind: ParamKind) -> Option<Self> {
        match kind {
            ParamKind::Count { min, max } => Some(Self::Count { min, max }),
            ParamKind::Size { min, max } => Some(Self::Size { min, max }),
            ParamKind::Fraction { min, max } => Some(Self::Fraction { min, max }),
            ParamKind::Choice(_) => None,
        }
    }

    /// Reads a node: counts as they are, durations in seconds, sizes in bytes, fractions of 1.
    ///
    /// The result is exact for whole numbers up to 2^53; larger ones are refused.
    pub(crate) fn read(self, node: &Node) -> Result<f64, Fault> {
        let wrong = || Fault { message: format!("{} is not {}", node.describe(), self.noun()), help: self.example() };
        let value = match (&node.value, self) {
            #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 it is refused just below")]
            (
                Value::Integer(n),
                Self::Count { .. } | Self::Size { .. } | Self::Fraction { .. } | Self::Number { .. },
            ) => *n as f64,
            (Value::Real(x), Self::Fraction { .. } | Self::Number { .. }) => *x,
            (Value::Real(x), Self::Count { .. } | Self::Size { .. }) if x.is_finite() && x.fract() == 0.0 => *x,
            (Value::Integer(_) | Value::Real(_), Self::Duration { .. } | Self::Frequency { .. }) => {
                return Err(Fault { message: format!("{} has no unit", node.describe()), help: self.example() });
            }
            (Value::Text(text), _) => self.with_unit(text).ok_or_else(wrong)?,
            _ => return Err(wrong()),
        };
        self.within(value).map_err(|help| Fault { message: format!("{} is out of range", node.describe()), help })
    }

    fn with_unit(self, text: &str) -> Option<f64> {
        let text = text.trim();
        let split = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+')))?;
        let (number, unit) = (&text[..split], text[split..].trim_start());
        let units: &[(&str, f64)] = match self {
            Self::Count { .. } | Self::Number { .. } => return None,
            Self::Duration { .. } => DURATION_UNITS,
            Self::Frequency { .. } => FREQUENCY_UNITS,
            Self::Size { .. } => SIZE_UNITS,
            // Division, because 10 × 0.01 is not the double nearest to 0.1.
            Self::Fraction { .. } if unit == "%" => return Some(number.parse::<f64>().ok()? / 100.0),
            Self::Fraction { .. } => return None,
        };
        let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
        let value = number.parse::<f64>().ok()? * scale;
        let whole = !matches!(self, Self::Size { .. }) || value.fract() == 0.0;
        whole.then_some(value)
    }

    fn within(self, value: f64) -> Result<f64, String> {
        let (min, max) = self.bounds();
        // Written so that NaN is refused as well.
        if value >= min && value <= max {
            Ok(value)
        } else {
            Err(format!("write {} from {} to {}", self.noun(), self.show(min), self.show(max)))
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "bounds are cut at 2^53")]
    fn bounds(self) -> (f64, f64) {
        const EXACT: u64 = 1 << 53;
        match self {
            Self::Count { min, max } | Self::Size { min, max } => (min as f64, max.min(EXACT) as f64),
            Self::Duration { min, max }
            | Self::Frequency { min, max }
            | Self::Fraction { min, max }
            | Self::Number { min, max } => (min, max),
        }
    }

    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Count { .. } => "a whole number",
            Self::Duration { .. } => "a time",
            Self::Frequency { .. } => "a frequency",
            Self::Size { .. } => "a size",
            Self::Fraction { .. } => "a fraction",
            Self::Number { .. } => "a number",
        }
    }

    fn example(self) -> String {
        match self {
            Self::Count { min, max } => format!("write a whole number from {min} to {max}"),
            Self::Duration { .. } => "write a number and a unit: `250 ms`, `2 s` or `1 min`".to_owned(),
            Self::Frequency { .. } => "write a number and a unit: `10 Hz`".to_owned(),
            Self::Size { .. } => "write whole bytes, or a number and a unit: `64 MiB` or `1.5 GB`".to_owned(),
            Self::Fraction { .. } => "write `0.1` or `10 %`".to_owned(),
            Self::Number { min, max } => format!("write a number from {min} to {max}"),
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Duration { .. } => scaled(value, DURATION_UNITS),
            Self::Frequency { .. } => format!("{value} Hz"),
            Self::Size { .. } => size(whole(value)),
            Self::Count { .. } | Self::Fraction { .. } | Self::Number { .. } => format!("{value}"),
        }
    }

    /// What JSON Schema can say of it.
    pub(crate) fn schema(self) -> serde_json::Value {
        let (min, max) = self.bounds();
        let text = |units: &[(&str, f64)]| {
            let names: Vec<&str> = units.iter().map(|(n, _)| *n).collect();
            serde_json::json!({"type": "string", "pattern": format!(r"^[0-9]+(\.[0-9]+)? ?({})$", names.join("|"))})
        };
        match self {
            Self::Count { .. } => serde_json::json!({"type": "integer", "minimum": whole(min), "maximum": whole(max)}),
            Self::Duration { .. } => text(DURATION_UNITS),
            Self::Frequency { .. } => text(FREQUENCY_UNITS),
            Self::Size { .. } => {
                let bytes = serde_json::json!({"type": "integer", "minimum": whole(min), "maximum": whole(max)});
                serde_json::json!({"anyOf": [bytes, text(SIZE_UNITS)]})
            }
            Self::Fraction { .. } => {
                let number = serde_json::json!({"type": "number", "minimum": min, "maximum": max});
                serde_json::json!({"anyOf": [number, text(&[("%", 1.0)])]})
            }
            Self::Number { .. } => serde_json::json!({"type": "number", "minimum": min, "maximum": max}),
        }
    }
}

/// A non-negative whole double below 2^53 as an integer.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "callers pass checked whole numbers")]
pub(crate) fn whole(value: f64) -> u64 {
    value as u64
}

/// Bytes in the largest binary unit that divides them: `64 MiB`, `1000 B`.
pub(crate) fn size(bytes: u64) -> String {
    for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= scale && bytes.is_multiple_of(scale) {
            return format!("{} {unit}", bytes / scale);
        }
    }
    format!("{bytes} B")
}

fn scaled(value: f64, units: &[(&str, f64)]) -> String {
    let fit = units.iter().rev().find(|(_, scale)| value >= *scale).or(units.first());
    fit.map_or_else(|| value.to_string(), |(unit, scale)| format!("{} {unit}", value / scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::tree;

    const TIME: Quantity = Quantity::Duration { min: 0.0, max: 3600.0 };
    const SIZE: Quantity = Quantity::Size { min: 1, max: 1 << 40 };
    const PART: Quantity = Quantity::Fraction { min: 0.0, max: 1.0 };
    const COUNT: Quantity = Quantity::Count { min: 1, max: 100 };

    fn read(quantity: Quantity, yaml: &str) -> Result<f64, Fault> {
        quantity.read(&tree::parse(yaml).unwrap())
    }

    #[test]
    fn times_stand_alone_as_well() {
        let read = |text| duration(text).map(Seconds::get);
        assert_eq!(read("5s"), Some(5.0));
        assert_eq!(read(" 250 ms "), Some(0.25));
        for wrong in ["5", "-1 s", "s", "", "1e3 s", "5 parsec"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn units_are_understood() {
        for (kind, text, value) in [
            (TIME, "250 ms", 0.25),
            (TIME, "2s", 2.0),
            (TIME, "1 min", 60.0),
            (TIME, "0.5 h", 1800.0),
            (SIZE, "64 MiB", 67_108_864.0),
            (SIZE, "1.5 GB", 1.5e9),
            (SIZE, "4096", 4096.0),
            (PART, "0.1", 0.1),
            (PART, "10 %", 0.1),
            (PART, "1", 1.0),
            (COUNT, "7", 7.0),
            (Quantity::Frequency { min: 0.1, max: 1e3 }, "10 Hz", 10.0),
        ] {
            assert_eq!(read(kind, text), Ok(value), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_advice() {
        for (kind, text, part) in [
            (TIME, "2", "has no unit"),
            (TIME, "2 parsecs", "not a time"),
            (TIME, "-2 s", "out of range"),
            (TIME, ".nan", "has no unit"),
            (SIZE, "-5", "out of range"),
            (SIZE, "0.3 KiB", "not a size"),
            (SIZE, "99999999999999999999999", "out of range"),
            (PART, ".nan", "out of range"),
            (PART, ".inf", "out of range"),
            (PART, "150 %", "out of range"),
            (PART, "10 % %", "not a fraction"),
            (COUNT, "0", "out of range"),
            (COUNT, "1.5", "not a whole number"),
            (COUNT, "many", "not a whole number"),
            (COUNT, "[1]", "not a whole number"),
        ] {
            let fault = read(kind, text).unwrap_err();
            assert!(fault.message.contains(part), "{text}: {}", fault.message);
            assert!(fault.help.starts_with("write "), "{text}: {}", fault.help);
        }
    }

    #[test]
    fn bounds_are_shown_in_units_of_people() {
        assert_eq!(read(TIME, "2 h").unwrap_err().help, "write a time from 0 ns to 1 h");
        assert_eq!(size(67_108_864), "64 MiB");
        assert_eq!(size(1000), "1000 B");
    }
}
