//! Standard uncertainty of one energy figure, from what is known without a second meter.
//!
//! Three terms, joined as the root of their squares (GUM, JCGM 100:2008, 5.1.2):
//!
//! | term | bound | standard uncertainty |
//! |---|---|---|
//! | gain of the sensor | ±g of the energy, rectangular | g·E/√3 |
//! | alignment | each edge up to τ stale, uniform; the difference is triangular on ±τ | P·τ/√6 |
//! | quantisation | two readings of step q, and one more step for each wrap | q·√(1/6 + w²/3) |
//!
//! Type A (the scatter of repeats) is added where runs are repeated, see [`super::repeats`].

use crate::sensors::counter::MAX_STALENESS;
use crate::units::{Joules, MicroJoules, Seconds, Watts};
use serde::Serialize;

/// Coverage factor printed beside every standard uncertainty: k·u covers about 95 % (GUM G.6.6).
pub const COVERAGE_FACTOR: f64 = 2.0;

/// A window shorter than this many update periods is warned about: at 20 τ the alignment alone is
/// 2 % of the energy.
pub const SHORT_WINDOW: f64 = 20.0;

/// The terms of one figure, all standard uncertainties in joules.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Terms {
    /// Gain of the sensor.
    #[serde(rename = "gain_j")]
    pub gain: Joules,
    /// When the counter was last updated before each of the two reads.
    #[serde(rename = "alignment_j")]
    pub alignment: Joules,
    /// Step of the counter.
    #[serde(rename = "quantisation_j")]
    pub quantisation: Joules,
    /// Scatter of repeated runs (type A); `None` for a single run, where it is not known.
    #[serde(rename = "scatter_j")]
    pub scatter: Option<Joules>,
}

/// What is known of the way a figure came about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Origin {
    /// Bound of the sensor's systematic error, relative, from the uncertainty policy: gain,
    /// non-linearity and, for polled power, aliasing.
    pub(crate) gain: f64,
    /// τ; where it is unknown, [`MAX_STALENESS`] bounds it.
    pub(crate) update_period: Option<Seconds>,
    /// Step of the counter; an unstated step is below the microjoule that is read.
    pub(crate) resolution: Option<MicroJoules>,
    pub(crate) wraps: u32,
}

impl Terms {
    /// Terms of `energy` at the mean power `power`.
    pub(crate) fn of(energy: Joules, power: Watts, origin: Origin) -> Self {
        let staleness = origin.update_period.unwrap_or(MAX_STALENESS);
        let step = origin.resolution.unwrap_or(MicroJoules::new(1)).to_joules();
        let wraps = f64::from(origin.wraps);
        Self {
            gain: energy * (origin.gain / 3f64.sqrt()),
            alignment: power * staleness * (1.0 / 6f64.sqrt()),
            quantisation: step * (1.0 / 6.0 + wraps * wraps / 3.0).sqrt(),
            scatter: None,
        }
    }

    /// The combined standard uncertainty.
    #[must_use]
    pub fn combined(&self) -> Joules {
        let terms = [self.gain, self.alignment, self.quantisation].into_iter().chain(self.scatter);
        let squares: f64 = terms.map(|t| t.get() * t.get()).sum();
        Joules::new(squares.sqrt()).unwrap_or(Joules::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Joules, b: f64) -> bool {
        (a.get() - b).abs() <= 1e-12 * b.abs()
    }

    #[test]
    fn terms_follow_their_formulas() {
        let (energy, power) = (Joules::new(65.0).unwrap(), Watts::new(65.0).unwrap());
        let origin = Origin {
            gain: 0.05,
            update_period: Seconds::new(1e-3).ok(),
            resolution: Some(MicroJoules::new(61)),
            wraps: 0,
        };
        let terms = Terms::of(energy, power, origin);
        // 5 % of 65 J over √3, 65 W · 1 ms over √6, 61 µJ over √6, by hand.
        assert!(close(terms.gain, 1.876_388_374_866_283_8));
        assert!(close(terms.alignment, 0.026_536_138_880_151_5));
        assert!(close(terms.quantisation, 2.490_314_571_829_603e-5));
        assert!(close(
            terms.combined(),
            (terms.gain.get().powi(2) + terms.alignment.get().powi(2) + terms.quantisation.get().powi(2)).sqrt()
        ));
        let polled = Terms::of(energy, power, Origin { gain: 0.10, ..origin });
        assert!(close(polled.gain, terms.gain.get() * 2.0));
        let wrapped = Terms::of(energy, power, Origin { wraps: 1, ..origin });
        assert!(close(wrapped.quantisation, 61e-6 * 0.5f64.sqrt()));
    }

    #[test]
    fn an_unknown_update_period_counts_with_its_bound_and_not_as_zero() {
        let origin = Origin { gain: 0.05, update_period: None, resolution: None, wraps: 0 };
        let terms = Terms::of(Joules::new(10.0).unwrap(), Watts::new(10.0).unwrap(), origin);
        assert!(close(terms.alignment, 10.0 * 0.2 / 6f64.sqrt()));
        assert!(terms.quantisation > Joules::ZERO);
    }
}
