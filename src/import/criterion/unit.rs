//! What was measured. Criterion's JSON holds numbers without a unit; only `raw.csv` states it.

use serde::Serialize;

/// Unit of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Nanoseconds: criterion's wall time.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Joules: `wattproof::criterion::Energy`.
    #[serde(rename = "J")]
    Joules,
    /// Some other measurement.
    #[serde(rename = "unknown")]
    Unknown,
}

/// How the unit is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitSource {
    /// The user said it.
    Asked,
    /// `raw.csv` states it.
    RawCsv,
    /// From the form of the numbers.
    Inferred,
    /// Nothing fits.
    None,
}

impl Unit {
    /// The base unit, and how many of it one value is; `None` for an unknown unit.
    #[must_use]
    pub const fn per(self) -> Option<(&'static str, f64)> {
        match self {
            Self::Nanoseconds => Some(("s", 1e-9)),
            Self::Joules => Some(("J", 1.0)),
            Self::Unknown => None,
        }
    }
}

/// The user's word, else that of `raw.csv`, else what fits the form of the numbers.
pub(super) fn decide(asked: Option<Unit>, raw: Option<&str>, times: &[f64]) -> (Unit, UnitSource) {
    if let Some(unit) = asked {
        return (unit, UnitSource::Asked);
    }
    match raw {
        Some("ns") => return (Unit::Nanoseconds, UnitSource::RawCsv),
        Some("J") => return (Unit::Joules, UnitSource::RawCsv),
        Some(_) => return (Unit::Unknown, UnitSource::RawCsv),
        None => {}
    }
    // Wall time is saved in whole nanoseconds, and energy in whole microjoules as a fraction of a joule.
    let microjoules = |value: &f64| value.to_bits() == ((value * 1e6).round() / 1e6).to_bits();
    if times.iter().all(|t| t.fract() == 0.0) {
        (Unit::Nanoseconds, UnitSource::Inferred)
    } else if times.iter().all(microjoules) {
        (Unit::Joules, UnitSource::Inferred)
    } else {
        (Unit::Unknown, UnitSource::None)
    }
}

/// What a reader must know about the unit.
pub(super) fn note(unit: Unit, source: UnitSource) -> Option<String> {
    match (unit, source) {
        (Unit::Nanoseconds, UnitSource::Inferred) => Some(
            "the unit is taken for ns because all values are whole numbers, as criterion's wall time saves them; \
             --unit says otherwise"
                .to_owned(),
        ),
        (Unit::Joules, UnitSource::Inferred) => Some(
            "the unit is taken for J because all values are whole microjoules, as wattproof's Energy saves them; \
             --unit says otherwise"
                .to_owned(),
        ),
        (Unit::Unknown, UnitSource::RawCsv) => Some("raw.csv states a unit that is neither ns nor J".to_owned()),
        (Unit::Unknown, _) => {
            Some("the unit is unknown: criterion does not save it, and --unit was not given".to_owned())
        }
        _ => None,
    }
}
