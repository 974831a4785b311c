//! The only place that asks the operating system for the time.
//!
//! Everything else takes a [`Moment`] or a [`Clock`] as an argument, so analysis cannot depend on
//! when it runs. Moments are monotonic nanoseconds since the run began.

#![expect(clippy::disallowed_methods, reason = "this module is the one that may read the clock")]

use crate::units::Seconds;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Nanoseconds on the run's monotonic clock, counted from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(u64);

impl Moment {
    /// A moment `nanoseconds` after the start of the run.
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the start of the run.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Seconds {
        Seconds::from_duration(Duration::from_nanos(self.0.saturating_sub(earlier.0)))
    }

    /// Time since the start of the run.
    #[must_use]
    pub fn seconds(self) -> Seconds {
        self.since(Self(0))
    }

    /// The moment half-way between `self` and `later`.
    #[must_use]
    pub const fn midpoint(self, later: Self) -> Self {
        Self(self.0 / 2 + later.0 / 2 + (self.0 & later.0 & 1))
    }
}

/// A monotonic clock (`CLOCK_MONOTONIC`) whose zero is the start of the run.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    offset: Duration,
    /// `origin` on `CLOCK_MONOTONIC`, in nanoseconds.
    system: u64,
}

impl Clock {
    /// Starts at zero now.
    #[must_use]
    pub fn start() -> Self {
        Self::resume_at(Moment(0))
    }

    /// Starts at `moment` now: a resumed run goes on after the last moment of its first part.
    #[must_use]
    pub fn resume_at(moment: Moment) -> Self {
        Self { origin: Instant::now(), offset: Duration::from_nanos(moment.0), system: system_monotonic() }
    }

    /// Nanoseconds of the system's `CLOCK_MONOTONIC` at a moment of this run: what other programs of
    /// this machine call that moment.
    #[must_use]
    pub fn system_nanos(&self, moment: Moment) -> u64 {
        let offset = u64::try_from(self.offset.as_nanos()).unwrap_or(u64::MAX);
        self.system.saturating_add(moment.0).saturating_sub(offset)
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        let elapsed = self.offset + self.origin.elapsed();
        Moment(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A UTC instant, RFC 3339 in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Utc(OffsetDateTime);

impl Utc {
    /// The system's wall clock, to the millisecond.
    #[must_use]
    pub fn now() -> Self {
        let now = OffsetDateTime::now_utc();
        Self(now.replace_millisecond(now.millisecond()).unwrap_or(now))
    }

    /// The underlying date and time.
    #[must_use]
    pub const fn date_time(self) -> OffsetDateTime {
        self.0
    }

    /// This moment, `days` later; it stays where it is at the end of the calendar.
    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        Self(self.0.checked_add(time::Duration::days(i64::from(days))).unwrap_or(self.0))
    }

    /// This moment, `seconds` later; it stays where it is at the end of the calendar.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        let length = time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
        Self(self.0.checked_add(length).unwrap_or(self.0))
    }

    /// `20261122T074512Z`, fit for file names.
    #[must_use]
    pub fn compact(self) -> String {
        let t = self.0;
        format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        )
    }
}

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| std::fmt::Error)?)
    }
}

impl From<Utc> for String {
    fn from(utc: Utc) -> String {
        utc.to_string()
    }
}

impl TryFrom<String> for Utc {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(|e| e.to_string())?;
        let utc = time.checked_to_offset(time::UtcOffset::UTC).filter(|utc| (0..=9999).contains(&utc.year()));
        utc.map(Self).ok_or_else(|| format!("{text} lies outside of the years 0000 to 9999 in UTC"))
    }
}

/// Difference between the wall clock and the monotonic clock. It is constant while nobody steps
/// the wall clock; a change inside a window is a clock jump.
#[must_use]
pub fn wall_minus_monotonic(clock: &Clock) -> Duration {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    wall.saturating_sub(Duration::from_nanos(clock.now().0))
}

/// `CLOCK_MONOTONIC`, which `Instant` reads as well and does not show (clock_gettime(2)).
#[expect(unsafe_code, reason = "clock_gettime has no safe wrapper in std")]
fn system_monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill, and the clock id is a constant.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.unsigned_abs())
}

/// CPU time that the calling thread has used (`CLOCK_THREAD_CPUTIME_ID`, clock_gettime(2)).
#[must_use]
#[expect(unsafe_code, reason = "clock_gettime has no safe wrapper in std")]
pub fn thread_cpu_time() -> Seconds {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the call to fill, and the clock id is a constant.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Seconds::from_duration(Duration::new(time.tv_sec.unsigned_abs(), nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_clock_goes_on_after_its_offset() {
        let clock = Clock::resume_at(Moment::from_nanos(5_000_000_000));
        assert!(clock.now().nanos() >= 5_000_000_000);
        assert!(clock.now().since(Moment::from_nanos(5_000_000_000)).get() < 5.0);
    }

    #[test]
    fn moments_have_a_place_on_the_systems_clock() {
        let before = system_monotonic();
        let clock = Clock::resume_at(Moment::from_nanos(7_000_000_000));
        let now = clock.system_nanos(clock.now());
        let after = system_monotonic();
        assert!(before <= now && now <= after, "{before} {now} {after}");
        assert_eq!(clock.system_nanos(Moment::from_nanos(7_000_000_500)), clock.system + 500);
    }

    #[test]
    fn utc_round_trips_and_makes_file_names() {
        let utc = Utc::try_from("2026-11-22T07:45:12.25Z".to_owned()).unwrap();
        assert_eq!(utc.to_string(), "2026-11-22T07:45:12.25Z");
        assert_eq!(utc.compact(), "20261122T074512Z");
        let utc = |text: &str| Utc::try_from(text.to_owned());
        assert_eq!(utc("2026-11-22T09:45:12+02:00").unwrap().to_string(), "2026-11-22T07:45:12Z");
        assert!(utc("9999-12-31T23:59:59-01:00").unwrap_err().contains("years"));
        assert!(utc("0000-01-01T00:00:00+01:00").unwrap_err().contains("years"));
    }

    #[test]
    fn midpoint_does_not_overflow() {
        let (a, b) = (Moment::from_nanos(u64::MAX - 1), Moment::from_nanos(u64::MAX));
        assert!(a.midpoint(b) >= a && a.midpoint(b) <= b);
        assert_eq!(Moment::from_nanos(3).midpoint(Moment::from_nanos(5)), Moment::from_nanos(4));
    }
}
