//! Resamples of a bootstrap as what decides a median: the middle ranks, and how often they came up.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Ranks that were drawn before. They follow from a seed, a number of resamples and a number of windows, and from
/// nothing that was measured: records of one suite and seed share them, so whoever summarises many of them gets the
/// same bits sooner by keeping one of these. Clones share what is kept.
#[derive(Debug, Clone, Default)]
pub struct Draws(Rc<RefCell<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    tallies: BTreeMap<(u64, u32, usize), Rc<[RankPair]>>,
    pairs: usize,
}

/// Pairs of ranks that are kept at most, 24 bytes each; then it is begun anew.
const MOST_KEPT: usize = 1 << 20;

impl Draws {
    pub(super) fn tally(&self, seed: u64, resamples: u32, n: usize) -> Rc<[RankPair]> {
        let mut kept = self.0.borrow_mut();
        if let Some(tally) = kept.tallies.get(&(seed, resamples, n)) {
            return Rc::clone(tally);
        }
        let drawn: Rc<[RankPair]> = tally(seed, resamples, n).into();
        if kept.pairs + drawn.len() > MOST_KEPT {
            *kept = Kept::default();
        }
        kept.pairs += drawn.len();
        kept.tallies.insert((seed, resamples, n), Rc::clone(&drawn));
        drawn
    }
}

/// The two middle ranks of a resample (equal when n is odd) and how often they came up.
#[derive(Debug, Clone, Copy)]
pub(super) struct RankPair {
    pub(super) low: usize,
    pub(super) high: usize,
    pub(super) count: u32,
}

/// Draws `n` ranks `resamples` times and counts the middle ranks.
pub(super) fn tally(seed: u64, resamples: u32, n: usize) -> Vec<RankPair> {
    let mut random = SplitMix64(seed);
    let mut drawn = vec![0u32; n];
    // For every lower rank the few upper ranks that came up with it.
    let mut tallies: Vec<Vec<(usize, u32)>> = vec![Vec::new(); n];
    for _ in 0..resamples {
        drawn.fill(0);
        let mut left = n;
        while left > 0 {
            let bits = random.next();
            for half in [bits >> 32, bits & 0xFFFF_FFFF] {
                if left > 0 {
                    // Multiply-shift (Lemire 2019): bias below n/2^32.
                    drawn[usize::try_from((half * n as u64) >> 32).unwrap_or(0)] += 1;
                    left -= 1;
                }
            }
        }
        let (low, high) = middle_ranks(&drawn);
        match tallies[low].iter_mut().find(|(rank, _)| *rank == high) {
            Some((_, count)) => *count += 1,
            None => tallies[low].push((high, 1)),
        }
    }
    let pairs = |(low, highs): (usize, Vec<(usize, u32)>)| {
        highs.into_iter().map(move |(high, count)| RankPair { low, high, count })
    };
    tallies.into_iter().enumerate().flat_map(pairs).collect()
}

/// The ranks at the two middle positions (one position when there is an odd number of draws).
fn middle_ranks(drawn: &[u32]) -> (usize, usize) {
    let n = drawn.len();
    let mut seen = 0;
    let mut low = None;
    for (rank, count) in drawn.iter().enumerate() {
        seen += *count as usize;
        if seen > (n - 1) / 2 {
            let low = *low.get_or_insert(rank);
            if seen > n / 2 {
                return (low, rank);
            }
        }
    }
    (n - 1, n - 1)
}

/// SplitMix64 (Steele, Lea & Flood, OOPSLA 2014): the same stream on every machine.
#[derive(Debug)]
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
