//! How repeats are spread over the update period of a sensor that polls power.
//!
//! A sensor that shows averages of 25 of every 100 ms sees a quarter of its period. Repeats that begin in
//! phases φ, φ + ¼, φ + ½ and φ + ¾ of the period see all of it, each part once, whatever the load does in
//! step with the sensor. So the number of phases is a multiple of four. Where the number of repeats is not,
//! the repeats that are left over take phases of others, and each phase counts once: the repeats that share
//! one share its weight.

/// In how many phases `repeats` repeats of a case begin; repeat number r, from 0, in that of number r mod this.
/// Below four repeats the period cannot be covered, and each has its own.
#[must_use]
pub const fn phases(repeats: u32) -> u32 {
    match repeats {
        0 => 1,
        1..=3 => repeats,
        _ => repeats / 4 * 4,
    }
}

/// Weights, of sum 1, with which energies of polled power are averaged, for windows of these repeats out of
/// `planned` ones: every phase that has a window counts the same. Empty for no window.
#[must_use]
pub fn phase_weights(repeats: &[u32], planned: u32) -> Vec<f64> {
    let phases = phases(planned);
    let sharing = |r: u32| repeats.iter().filter(|other| **other % phases == r % phases).count() as f64;
    let shares: Vec<f64> = repeats.iter().map(|r| 1.0 / sharing(*r)).collect();
    let sum: f64 = shares.iter().sum();
    shares.into_iter().map(|share| share / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_counts_once() {
        assert_eq!([0, 1, 3, 4, 5, 8, 10, 12, 30].map(phases), [1, 1, 3, 4, 4, 8, 8, 12, 28]);
        assert_eq!(phase_weights(&[0, 1, 2, 3, 4], 5), [0.125, 0.25, 0.25, 0.25, 0.125]);
        assert_eq!(phase_weights(&[0, 1, 2], 3), [1.0 / 3.0; 3]);
        // Repeat 1 has no window that counts: its phase is not there, repeat 5 stands for it.
        let weights = phase_weights(&[0, 2, 3, 4, 5], 6);
        assert_eq!(weights, [0.125, 0.25, 0.25, 0.125, 0.25]);
        assert!(phase_weights(&[], 10).is_empty());
    }
}
