//! When repeats begin against the updates of a sensor that polls.

use crate::record::phases;

/// The phase of repeat number `repeat` of `repeats`, in [0, 1): [`phases`] of them evenly spread from `start` on, and
/// neighbours in time far apart, so that a drift of the machine does not look like a phase.
pub(crate) fn phase(start: f64, repeat: u32, repeats: u32) -> f64 {
    let n = phases(repeats);
    let stride = (1..=n).filter(|s| gcd(*s, n) == 1).min_by_key(|s| s.abs_diff(n * 3 / 8)).unwrap_or(1);
    let part = u64::from(repeat % n) * u64::from(stride) % u64::from(n);
    (start + part as f64 / f64::from(n)).rem_euclid(1.0)
}

const fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}
