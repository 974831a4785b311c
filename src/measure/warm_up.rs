//! Warm-up: run until time per iteration (and power, where measured) has no slope any more.

use crate::backends::{BackendError, Workload};
use crate::clock::Clock;
use crate::meter::bank::{self, SharedBank};
use crate::record::WarmUp;
use crate::suite::Profile;
use crate::units::Seconds;
use std::sync::atomic::{AtomicBool, Ordering};

/// Windows over which the slope is taken.
const SPAN: usize = 6;
/// Shorter windows measure the scheduler.
const SHORTEST_S: f64 = 0.005;
/// Update periods in a window: the alignment error of its power is then 2 %.
const PERIODS: f64 = 20.0;

/// Warms `workload` up; `tau` is the update period of the slowest counter that is rated for it. Returns how it went and the time of one iteration at the end of it.
pub(super) fn warm_up(
    workload: &mut dyn Workload,
    profile: &Profile,
    clock: &Clock,
    (sensors, tau): (&SharedBank, Option<Seconds>),
    stop: &AtomicBool,
) -> Result<(WarmUp, Seconds), BackendError> {
    let window = window(profile, tau);
    let begin = clock.now();
    let (mut total, mut batch) = (0u64, 1u64);
    let (mut times, mut powers): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    loop {
        let before = bank::edge(sensors, clock);
        let start = clock.now();
        workload.run(batch)?;
        let took = clock.now().since(start).get();
        total += batch;
        let per_iteration = took / batch as f64;
        let elapsed = clock.now().since(begin);
        if took < window / 2.0 && elapsed < profile.warm_up_max {
            // The batch is still too short to time: grow it, and do not count it.
            batch = ((batch as f64 * (window / took.max(1e-9)).min(64.0)).ceil() as u64).max(batch + 1);
            continue;
        }
        times.push(per_iteration);
        if let Some(power) = bank::edge(sensors, clock).power_since(&before) {
            powers.push(power.get());
        }
        let settled = |v: &[f64]| slope(v).is_some_and(|s| s <= profile.warm_up_slope);
        let stable = settled(&times) && (powers.is_empty() || settled(&powers));
        let long_enough = elapsed >= profile.warm_up_min;
        if (stable && long_enough) || elapsed >= profile.warm_up_max || stop.load(Ordering::Relaxed) {
            let last = &times[times.len().saturating_sub(SPAN)..];
            let typical = Seconds::new(median(last)).unwrap_or(Seconds::ZERO);
            return Ok((WarmUp { wall: elapsed, iterations: total, stable }, typical));
        }
    }
}

/// Length of one warm-up window: [`SPAN`] of them fill the shortest warm-up. Power needs windows that
/// are long against the counter's update period τ; where τ is so long that the span would not fit
/// twice into the longest warm-up, time alone has to settle it.
fn window(profile: &Profile, tau: Option<Seconds>) -> f64 {
    let shortest = (profile.warm_up_min.get() / SPAN as f64).max(SHORTEST_S);
    let longest = (profile.warm_up_max.get() / (2 * SPAN) as f64).max(shortest);
    tau.map_or(shortest, |tau| (tau.get() * PERIODS).clamp(shortest, longest))
}

/// Change along the least-squares line through the last [`SPAN`] values, relative to their mean.
/// `None` while there are too few.
fn slope(values: &[f64]) -> Option<f64> {
    let recent = values.get(values.len().checked_sub(SPAN)?..)?;
    let n = recent.len() as f64;
    let mean = recent.iter().sum::<f64>() / n;
    let middle = (n - 1.0) / 2.0;
    let (mut xy, mut xx) = (0.0, 0.0);
    for (i, y) in recent.iter().enumerate() {
        let x = i as f64 - middle;
        xy += x * (y - mean);
        xx += x * x;
    }
    Some((xy / xx * (n - 1.0) / mean).abs())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_suit_the_counter_as_long_as_they_fit() {
        let mut profile = Profile::named("quick").unwrap();
        profile.warm_up_min = Seconds::new(0.06).unwrap();
        profile.warm_up_max = Seconds::new(0.6).unwrap();
        let tau = |s: f64| Some(Seconds::new(s).unwrap());
        assert!((window(&profile, None) - 0.01).abs() < 1e-12);
        assert!((window(&profile, tau(0.001)) - 0.02).abs() < 1e-12);
        assert!((window(&profile, tau(1.0)) - 0.05).abs() < 1e-12, "two spans fit into the longest warm-up");
        assert!((window(&profile, tau(0.0)) - 0.01).abs() < 1e-12);
    }

    #[test]
    fn slope_needs_enough_windows_and_measures_the_relative_change() {
        assert_eq!(slope(&[1.0; 5]), None);
        assert!(slope(&[1.0; 6]).unwrap() < 1e-12);
        let falling = [1.10, 1.08, 1.06, 1.04, 1.02, 1.00];
        assert!((slope(&falling).unwrap() - 0.10 / 1.05).abs() < 1e-9);
        let with_history = [9.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        assert!(slope(&with_history).unwrap() < 1e-12);
    }
}
