//! Differences of wrapping counters: wraps and resets are told apart here and nowhere else.
//!
//! An energy counter rises until it wraps to zero, and a driver reload, a suspend or a GPU reset
//! sets it back. Both look like a backward step. A backward step is taken for a wrap only when the
//! energy that this implies could have been drawn in the time between the two reads; otherwise it
//! is a reset, and a window that spans it has no energy at all: not a negative one, and not zero.

use crate::clock::Moment;
use crate::units::{MicroJoules, Seconds, Watts};

/// Power that no measured domain exceeds, used where the hardware states no limit: 3 kW. The
/// largest CPU packages and GPU boards sold draw 0.5–1.2 kW, modules with a CPU on them 2.7 kW.
pub const DEFAULT_MAX_POWER: Watts = match Watts::new(3000.0) {
    Ok(watts) => watts,
    Err(_) => Watts::ZERO,
};

/// How stale a counter's value may be when it is read. A counter that updates every 100 ms can
/// show the energy of up to 100 ms more than the time between two reads; twice that is allowed.
pub const MAX_STALENESS: Seconds = match Seconds::new(0.2) {
    Ok(seconds) => seconds,
    Err(_) => Seconds::ZERO,
};

/// What is known of a counter before it is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counter {
    range: Option<MicroJoules>,
    max_power: Watts,
}

/// What happened between two reads of a counter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// It rose by `energy`.
    Delta {
        /// Energy drawn in between, exact.
        energy: MicroJoules,
        /// How often it wrapped: 0 or 1.
        wraps: u32,
    },
    /// It went back and the difference cannot be a wrap, so it was set back in between.
    Reset {
        /// Value before.
        previous: MicroJoules,
        /// Value after.
        next: MicroJoules,
    },
    /// It rose by more than the domain can draw in the time: the counter jumped.
    Jump {
        /// Value before.
        previous: MicroJoules,
        /// Value after.
        next: MicroJoules,
    },
    /// The reads lie so far apart that it may have wrapped unseen, so no difference is right.
    Blind {
        /// Longest interval between two reads that is still safe.
        limit: Seconds,
    },
}

impl Step {
    /// Whether the energy between the two reads is known.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self, Self::Delta { .. })
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Delta { energy, wraps } => write!(f, "rose by {} µJ with {wraps} wraps", energy.get()),
            Self::Reset { previous, next } => {
                write!(f, "the counter was set back from {} to {} µJ", previous.get(), next.get())
            }
            Self::Jump { previous, next } => write!(
                f,
                "the counter jumped from {} to {} µJ, more than the domain can draw in that time",
                previous.get(),
                next.get()
            ),
            Self::Blind { limit } => write!(
                f,
                "the counter was not read for longer than {:.1} s, so it may have wrapped unseen",
                limit.get()
            ),
        }
    }
}

impl Counter {
    /// A counter that wraps to 0 after `range` (`None`: never) on a domain that draws at most
    /// `max_power` (`None`: [`DEFAULT_MAX_POWER`]).
    #[must_use]
    pub fn new(range: Option<MicroJoules>, max_power: Option<Watts>) -> Self {
        let max_power = max_power.filter(|p| p.get() > 0.0).unwrap_or(DEFAULT_MAX_POWER);
        Self { range: range.filter(|r| r.get() > 0), max_power }
    }

    /// The counter that an energy channel describes; `None` for a channel of another quantity.
    #[must_use]
    pub fn of(quantity: &super::Quantity) -> Option<Self> {
        match *quantity {
            super::Quantity::Energy { range, max_power, .. } => Some(Self::new(range, max_power)),
            _ => None,
        }
    }

    /// Shortest time in which the domain can run the counter once round; `None` without a range.
    #[must_use]
    pub fn shortest_wrap(&self) -> Option<Seconds> {
        let range = self.range?.to_joules();
        Seconds::new(range.get() / self.max_power.get()).ok()
    }

    /// Longest advisable time between two reads: a quarter of [`Self::shortest_wrap`].
    #[must_use]
    pub fn poll_interval(&self) -> Option<Seconds> {
        self.shortest_wrap().map(|wrap| wrap * 0.25)
    }

    /// What happened between a read of `previous` and a read of `next`, `dt` later.
    ///
    /// The modulus is taken as range + 1 µJ. Drivers that keep the counter in hardware units
    /// (61 µJ on most Intel parts) wrap up to one unit later, so a wrap is exact to one unit.
    #[must_use]
    pub fn step(&self, previous: MicroJoules, next: MicroJoules, dt: Seconds) -> Step {
        if let Some(limit) = self.shortest_wrap()
            && dt >= limit
        {
            return Step::Blind { limit };
        }
        if let Some(energy) = next.checked_sub(previous) {
            return if self.is_plausible(energy, dt) {
                Step::Delta { energy, wraps: 0 }
            } else {
                Step::Jump { previous, next }
            };
        }
        match self.across_wrap(previous, next) {
            Some(energy) if self.is_plausible(energy, dt) => Step::Delta { energy, wraps: 1 },
            _ => Step::Reset { previous, next },
        }
    }

    /// Energy from `previous` over the end of the range to `next`; `None` without a range or when
    /// `previous` lies beyond it (then the stated range is wrong and nothing can be corrected).
    fn across_wrap(&self, previous: MicroJoules, next: MicroJoules) -> Option<MicroJoules> {
        let to_end = self.range?.checked_sub(previous)?;
        to_end.checked_add(next)?.checked_add(MicroJoules::new(1))
    }

    fn is_plausible(&self, energy: MicroJoules, dt: Seconds) -> bool {
        energy.to_joules() <= self.max_power * (dt + MAX_STALENESS)
    }
}

/// State of an [`Accumulator`] at one read: the edge of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Energy since the first read, all known steps added up.
    pub total: MicroJoules,
    /// Raw counter value.
    pub raw: MicroJoules,
    /// Wraps since the first read.
    pub wraps: u32,
    /// How often the chain of known steps broke since the first read.
    pub breaks: u32,
    /// When the counter was read.
    pub at: Moment,
}

/// Energy between two [`Mark`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The energy, exact.
    pub energy: MicroJoules,
    /// Wraps in between.
    pub wraps: u32,
}

impl Mark {
    /// Energy from this mark to `later`; `None` when the counter was reset, jumped or was left
    /// unread for too long in between, or when `later` is not later.
    #[must_use]
    pub fn until(&self, later: &Self) -> Option<Span> {
        if self.breaks != later.breaks || later.at < self.at {
            return None;
        }
        let energy = later.total.checked_sub(self.total)?;
        Some(Span { energy, wraps: later.wraps.checked_sub(self.wraps)? })
    }
}

/// Adds up the steps of one counter over many reads, so that a window may be longer than the
/// time in which the counter wraps.
#[derive(Debug, Clone)]
pub struct Accumulator {
    counter: Counter,
    last: Option<Mark>,
}

impl Accumulator {
    /// Starts with no read.
    #[must_use]
    pub const fn new(counter: Counter) -> Self {
        Self { counter, last: None }
    }

    /// The counter it adds up.
    #[must_use]
    pub const fn counter(&self) -> &Counter {
        &self.counter
    }

    /// The last mark, `None` before the first read.
    #[must_use]
    pub const fn last(&self) -> Option<Mark> {
        self.last
    }

    /// Takes in the value `raw`, read at `at`. Returns the edge for windows that begin or end
    /// here and, from the second read on, what happened since the read before.
    pub fn push(&mut self, raw: MicroJoules, at: Moment) -> (Mark, Option<Step>) {
        let Some(last) = self.last else {
            let mark = Mark { total: MicroJoules::new(0), raw, wraps: 0, breaks: 0, at };
            self.last = Some(mark);
            return (mark, None);
        };
        let step = self.counter.step(last.raw, raw, at.since(last.at));
        let mut mark = Mark { raw, at, ..last };
        match step {
            Step::Delta { energy, wraps } => match last.total.checked_add(energy) {
                Some(total) => {
                    mark.total = total;
                    mark.wraps = last.wraps.saturating_add(wraps);
                }
                None => mark.breaks = last.breaks.saturating_add(1),
            },
            Step::Reset { .. } | Step::Jump { .. } | Step::Blind { .. } => {
                mark.breaks = last.breaks.saturating_add(1);
            }
        }
        self.last = Some(mark);
        (mark, Some(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: u64 = 262_143_328_850;

    fn uj(value: u64) -> MicroJoules {
        MicroJoules::new(value)
    }

    fn seconds(value: f64) -> Seconds {
        Seconds::new(value).unwrap()
    }

    fn moment(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn steps_of_a_package_counter() {
        let counter = Counter::new(Some(uj(RANGE)), Watts::new(500.0).ok());
        let delta = |energy, wraps| Step::Delta { energy: uj(energy), wraps };
        let reset = |previous, next| Step::Reset { previous: uj(previous), next: uj(next) };
        let cases = [
            ("no change", 5, 5, 1.0, delta(0, 0)),
            ("65 W for a second", 1_000_000, 66_000_000, 1.0, delta(65_000_000, 0)),
            ("last value before the wrap", RANGE - 1, RANGE, 0.1, delta(1, 0)),
            ("from the last value to zero", RANGE, 0, 0.1, delta(1, 1)),
            ("20 J before the end to 45 J after", RANGE - 20_000_000, 44_999_999, 1.0, delta(65_000_000, 1)),
            ("set back to zero in the middle", RANGE / 2, 0, 1.0, reset(RANGE / 2, 0)),
            ("set back by 1 µJ", 1_000, 999, 1.0, reset(1_000, 999)),
            ("a wrap that would need 1 kW", RANGE - 1_000_000_000, 0, 1.0, reset(RANGE - 1_000_000_000, 0)),
            ("beyond its own range", RANGE + 7, 3, 1.0, reset(RANGE + 7, 3)),
            ("1 kW for a second", 0, 1_000_000_000, 1.0, Step::Jump { previous: uj(0), next: uj(1_000_000_000) }),
            ("a stale update between two fast reads", 0, 50_000_000, 0.000_01, delta(50_000_000, 0)),
        ];
        for (what, previous, next, dt, expected) in cases {
            assert_eq!(counter.step(uj(previous), uj(next), seconds(dt)), expected, "{what}");
        }
    }

    #[test]
    fn reads_too_far_apart_are_blind_even_when_the_counter_rose() {
        let counter = Counter::new(Some(uj(65_000_000_000)), Watts::new(500.0).ok());
        let limit = counter.shortest_wrap().unwrap();
        assert!((limit.get() - 130.0).abs() < 1e-9);
        assert!((counter.poll_interval().unwrap().get() - 32.5).abs() < 1e-9);
        assert_eq!(counter.step(uj(1), uj(2), seconds(131.0)), Step::Blind { limit });
        assert!(counter.step(uj(1), uj(2), seconds(129.0)).is_known());
    }

    #[test]
    fn a_counter_without_range_never_wraps_and_is_never_blind() {
        let counter = Counter::new(None, None);
        assert_eq!(counter.step(uj(10), uj(9), seconds(1.0)), Step::Reset { previous: uj(10), next: uj(9) });
        assert!(counter.step(uj(10), uj(11), seconds(1e6)).is_known());
        assert_eq!(counter.shortest_wrap(), None);
        // A stated range of zero is no range.
        assert_eq!(Counter::new(Some(uj(0)), None).shortest_wrap(), None);
    }

    #[test]
    fn an_unknown_maximum_power_takes_the_documented_bound() {
        let counter = Counter::new(Some(uj(RANGE)), None);
        assert!(counter.step(uj(0), uj(2_900_000_000), seconds(1.0)).is_known());
        assert!(!counter.step(uj(0), uj(3_700_000_000), seconds(1.0)).is_known());
        assert_eq!(Counter::new(None, Watts::new(-1.0).ok()), Counter::new(None, None));
    }

    #[test]
    fn a_window_over_a_reset_has_no_energy_and_the_next_one_has() {
        let mut acc = Accumulator::new(Counter::new(Some(uj(RANGE)), Watts::new(500.0).ok()));
        let (a, none) = acc.push(uj(100_000_000_000), moment(0));
        assert_eq!(none, None);
        let (b, _) = acc.push(uj(100_065_000_000), moment(1_000_000_000));
        let (c, step) = acc.push(uj(5_000_000), moment(2_000_000_000));
        let (d, _) = acc.push(uj(70_000_000), moment(3_000_000_000));
        assert_eq!(a.until(&b), Some(Span { energy: uj(65_000_000), wraps: 0 }));
        assert!(matches!(step, Some(Step::Reset { .. })));
        assert_eq!(a.until(&c), None);
        assert_eq!(b.until(&d), None);
        assert_eq!(c.until(&d), Some(Span { energy: uj(65_000_000), wraps: 0 }));
        assert_eq!(b.until(&a), None, "a window cannot end before it begins");
    }

    proptest! {
        /// Whatever the true power below the limit and however often the counter wraps, polling
        /// in time gives back the true energy exactly.
        #[test]
        fn polling_gives_the_true_energy_over_many_wraps(
            start in 0..=RANGE,
            steps in proptest::collection::vec((1u64..20_000, 0u64..400), 1..200),
        ) {
            let range = 50_000_000_000u64;
            let mut acc = Accumulator::new(Counter::new(Some(uj(range)), Watts::new(500.0).ok()));
            let (first, _) = acc.push(uj(start % (range + 1)), moment(0));
            let (mut truth, mut nanos, mut mark) = (0u64, 0u64, first);
            for (millis, watts) in steps {
                truth += watts * millis * 1000;
                nanos += millis * 1_000_000;
                mark = acc.push(uj((start % (range + 1) + truth) % (range + 1)), moment(nanos)).0;
            }
            let span = first.until(&mark).expect("no step breaks");
            prop_assert_eq!(span.energy.get(), truth);
            prop_assert_eq!(u64::from(span.wraps), (start % (range + 1) + truth) / (range + 1));
        }

        /// Arbitrary garbage never panics, and a known step never exceeds the power limit.
        #[test]
        fn garbage_is_never_energy_beyond_the_limit(
            range in proptest::option::of(any::<u64>()),
            previous in any::<u64>(), next in any::<u64>(), dt in 0.0..1e6f64,
        ) {
            let counter = Counter::new(range.map(uj), Watts::new(100.0).ok());
            if let Step::Delta { energy, .. } = counter.step(uj(previous), uj(next), seconds(dt)) {
                prop_assert!(energy.to_joules().get() <= 100.0 * (dt + 0.2) * (1.0 + 1e-12));
            }
        }
    }
}
