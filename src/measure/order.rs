//! In which order cases are measured, and which are in memory together.

use crate::kernels::random::SplitMix64;
use crate::units::Seconds;

/// Order of the cases in one round. Even rounds go forwards and odd ones backwards (ABBA), so a
/// linear drift of the machine hits every case alike.
pub(super) fn round(cases: &[usize], repeat: u32) -> Vec<usize> {
    let mut order = cases.to_vec();
    if repeat % 2 == 1 {
        order.reverse();
    }
    order
}

/// Splits cases, in order, into groups whose footprints fit into `budgets` together: bytes of each memory, first
/// the host's. Only cases of one group are interleaved. A case larger than a budget is a group of its own.
pub(super) fn groups(footprints: &[Vec<f64>], budgets: &[f64]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut used = vec![0.0; budgets.len()];
    for (index, bytes) in footprints.iter().enumerate() {
        let beyond = used.iter().zip(bytes).zip(budgets).any(|((used, bytes), budget)| used + bytes > *budget);
        if groups.is_empty() || beyond {
            groups.push(Vec::new());
            used.fill(0.0);
        }
        used.iter_mut().zip(bytes).for_each(|(used, bytes)| *used += bytes);
        if let Some(group) = groups.last_mut() {
            group.push(index);
        }
    }
    groups
}

/// Pauses before windows: starts must not lock onto the counter's updates.
///
/// The repeats of a case are spread evenly over one update period, from a random start. A sensor that
/// looks at a part of its period only (a GPU's averages of 25 of every 100 ms) and a load in step with it
/// then meet in every phase; random pauses would do so on the average of many repeats only.
pub(super) struct Dither {
    random: SplitMix64,
}

/// Stream of the run's seed that dither draws from; inputs use others.
const STREAM: u64 = 0x6469_7468_6572;

impl Dither {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: SplitMix64::new(seed, STREAM) }
    }

    /// The pause before repeat number `repeat` of `repeats` of a case, in [0, τ); none where no
    /// sensor has a period.
    pub(super) fn pause(&self, update_period: Option<Seconds>, case: usize, repeat: u32, repeats: u32) -> Seconds {
        let start = self.random.at(case as u64) as f64 / 2f64.powi(64);
        update_period.map_or(Seconds::ZERO, |tau| tau * crate::meter::phase(start, repeat, repeats))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_alternate_their_direction() {
        assert_eq!(round(&[4, 7, 9], 0), [4, 7, 9]);
        assert_eq!(round(&[4, 7, 9], 1), [9, 7, 4]);
        assert_eq!(round(&[4, 7, 9], 2), [4, 7, 9]);
    }

    #[test]
    fn groups_keep_the_order_and_respect_the_budget() {
        let one = |bytes: &[f64]| -> Vec<Vec<f64>> { bytes.iter().map(|b| vec![*b]).collect() };
        assert_eq!(groups(&one(&[3.0, 3.0, 3.0, 20.0, 1.0]), &[7.0]), [vec![0, 1], vec![2], vec![3], vec![4]]);
        assert_eq!(groups(&[], &[7.0]), Vec::<Vec<usize>>::new());
        assert_eq!(groups(&one(&[3.0, 9.0]), &[f64::INFINITY]), [vec![0, 1]]);
        // Host memory for all three, and a device that holds two of them.
        let both = [vec![1.0, 4.0], vec![1.0, 3.0], vec![1.0, 1.0], vec![5.0, 0.0]];
        assert_eq!(groups(&both, &[9.0, 7.0]), [vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn repeats_meet_every_part_of_an_update_period_equally() {
        let tau = Seconds::new(0.001).unwrap();
        let dither = Dither::new(7);
        for repeats in [1, 2, 5, 8, 10, 30] {
            let phases = crate::record::phases(repeats);
            let mut weights = vec![0.0; phases as usize];
            let all: Vec<u32> = (0..repeats).collect();
            let weight = crate::record::phase_weights(&all, repeats);
            let first = dither.pause(Some(tau), 3, 0, repeats).get();
            for repeat in 0..repeats {
                let pause = dither.pause(Some(tau), 3, repeat, repeats).get();
                assert!((0.0..0.001).contains(&pause), "{pause}");
                let part = (((pause - first) / 0.001).rem_euclid(1.0) * f64::from(phases)).round() as usize;
                weights[part % phases as usize] += weight[repeat as usize];
            }
            let even = 1.0 / f64::from(phases);
            assert!(weights.iter().all(|w| (w - even).abs() < 1e-12), "{repeats}: {weights:?}");
        }
        let starts: Vec<f64> = (0..1000).map(|case| dither.pause(Some(tau), case, 0, 5).get()).collect();
        let mean = starts.iter().sum::<f64>() / 1000.0;
        assert!((mean - 0.0005).abs() < 0.00005, "cases begin anywhere: mean {mean}");
        assert_eq!(dither.pause(None, 0, 0, 5), Seconds::ZERO);
    }
}
