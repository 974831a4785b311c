//! Where a series of figures changed its level, and how certain that is (docs/history.md has method and figures).
//!
//! Candidates come from seeded binary segmentation (Kovács, Bühlmann, Li & Munk 2023, *Biometrika* 110): a fixed set
//! of intervals of all lengths, so that a short episode inside a long series is not masked. What is kept is decided by
//! Student's t of neighbouring levels with the scatter of the whole segmentation, against a union bound over all
//! stretches the series has. Nothing is drawn at random: the same figures give the same changes.

use crate::analysis::{two_sided, two_sided_tail};
use std::collections::BTreeSet;

/// Fewest runs of a level: one odd night is no change, and three alike are.
pub const FEWEST: usize = 3;
/// Runs to each side that an outlier is judged by.
const REACH: usize = 4;
/// Standard deviations from its neighbours' median from which a run is an outlier.
const OUTLIER: f64 = 3.0;
/// Critical value of the likelihood ratio of a position at 95 %: (1 − exp(−c/2))² = 0.95 (Hansen 2000,
/// *Econometrica* 68, eq. 10).
const PLACE: f64 = 7.352_3;

/// One run of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The figure; finite and positive.
    pub value: f64,
    /// Standard error of its logarithm; `None` where one window says nothing of it.
    pub error: Option<f64>,
}

/// When a change counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Probability of any false alarm in the whole family.
    pub alpha: f64,
    /// Smallest change that counts, relative.
    pub minimum_effect: f64,
    /// Series that are searched together, this one included.
    pub family: u32,
}

/// Runs between two changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Index of its first run.
    pub from: usize,
    /// Index after its last run.
    pub to: usize,
    /// Mean on logarithms, outliers left out, weighted by the uncertainty of the runs.
    pub value: f64,
    /// Lower bound at 95 %; `None` where the series is too short to tell.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
}

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// Index of the first run of the new level.
    pub at: usize,
    /// First index at which the new level may have begun, at 95 %.
    pub earliest: usize,
    /// Last such index.
    pub latest: usize,
    /// New level over old.
    pub ratio: f64,
    /// Lower bound of the ratio at 95 %, for this change alone.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// P of a change at least this clear anywhere in the family where nothing changed; at most 1.
    pub p: f64,
}

/// A series, taken apart.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Segmentation {
    /// Levels in time order; one more than changes, none for an empty series.
    pub levels: Vec<Level>,
    /// Changes in time order.
    pub changes: Vec<ChangePoint>,
    /// Runs far from all their neighbours: left out before anything is tested.
    pub outliers: Vec<usize>,
    /// Standard deviation of a run about its level, relative; `None` below two runs.
    pub scatter: Option<f64>,
}

/// Takes a series apart. The figures are in the order of the runs; all finite and positive.
#[must_use]
pub fn find(runs: &[Observation], settings: &Settings) -> Segmentation {
    if runs.is_empty() {
        return Segmentation::default();
    }
    let (series, outliers) = Series::of(runs);
    let mut cuts = series.candidates();
    series.settle(&mut cuts);
    series.keep_certain(&mut cuts, settings);
    series.describe(&cuts, settings, outliers)
}

/// Logarithms with weights, and their running sums.
struct Series {
    /// Weight, weighted value and weighted square of all runs before an index; values less the mean of all.
    sums: Vec<[f64; 3]>,
    /// Squared weight × squared error of all runs before an index.
    within: Vec<f64>,
    center: f64,
    /// Variance of a run of weight 1, from differences of neighbours: a step hardly shows in it.
    unit: f64,
}

impl Series {
    fn of(runs: &[Observation]) -> (Self, Vec<usize>) {
        let logs: Vec<f64> = runs.iter().map(|r| libm::log(r.value)).collect();
        let stated: Vec<f64> = runs.iter().filter_map(|r| r.error.map(|e| e * e)).collect();
        let typical = median(stated).unwrap_or(0.0);
        let errors: Vec<f64> = runs.iter().map(|r| r.error.map_or(typical, |e| e * e)).collect();
        // Half the squared difference of neighbours has the variance of one; 1.4826 turns a median into a
        // standard deviation (normal distribution).
        let steps: Vec<f64> = logs.windows(2).map(|w| (w[1] - w[0]).abs() * std::f64::consts::FRAC_1_SQRT_2).collect();
        let deviation = 1.482_6 * median(steps).unwrap_or(0.0);
        let between = (deviation * deviation - typical).max(0.0);
        let raw: Vec<f64> = errors.iter().map(|e| between + e).collect();
        let unit = median(raw.clone()).unwrap_or(0.0);
        // Weights by variance, within a factor of four: a run that claims to be perfect is not the whole truth.
        let weights: Vec<f64> =
            raw.iter().map(|v| if unit > 0.0 { (unit / v.max(unit / 4.0)).min(4.0) } else { 1.0 }).collect();
        let (kept, outliers) = without_outliers(&logs, &weights, unit);
        let center = kept.iter().sum::<f64>() / kept.len() as f64;
        let mut sums = vec![[0.0; 3]];
        let mut within = vec![0.0];
        for ((y, w), e) in kept.iter().zip(&weights).zip(&errors) {
            let (last, y) = (sums[sums.len() - 1], y - center);
            sums.push([last[0] + w, last[1] + w * y, last[2] + w * y * y]);
            within.push(within[within.len() - 1] + w * w * e);
        }
        (Self { sums, within, center, unit }, outliers)
    }

    fn len(&self) -> usize {
        self.sums.len() - 1
    }

    /// Weight and weighted mean of the runs `from..to`.
    fn mean(&self, from: usize, to: usize) -> (f64, f64) {
        let (a, b) = (self.sums[from], self.sums[to]);
        let weight = b[0] - a[0];
        (weight, (b[1] - a[1]) / weight)
    }

    /// Weighted squares about the mean of `from..to`.
    fn squares(&self, from: usize, to: usize) -> f64 {
        let (a, b) = (self.sums[from], self.sums[to]);
        let (weight, sum) = (b[0] - a[0], b[1] - a[1]);
        ((b[2] - a[2]) - sum * sum / weight).max(0.0)
    }

    /// By how much a cut at `at` lowers the squares of `from..to`.
    fn gain(&self, from: usize, at: usize, to: usize) -> f64 {
        let ((wa, a), (wb, b)) = (self.mean(from, at), self.mean(at, to));
        (a - b) * (a - b) * wa * wb / (wa + wb)
    }

    /// The best cut of `from..to`, where there is room for one.
    fn best(&self, from: usize, to: usize) -> Option<(usize, f64)> {
        let cuts = (from + FEWEST)..=(to.checked_sub(FEWEST)?);
        cuts.map(|at| (at, self.gain(from, at, to))).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Cuts that may be changes, generously: the clearest first, none inside an interval that holds one already.
    fn candidates(&self) -> Vec<usize> {
        let n = self.len();
        let enough = 2.0 * libm::log(n.max(2) as f64) * self.unit;
        let mut found: Vec<(f64, usize, usize, usize)> = Vec::new();
        for (from, to) in seeded(n) {
            let best = self.best(from, to).filter(|(_, gain)| *gain > enough && *gain > 1e-24);
            found.extend(best.map(|(at, gain)| (gain, from, at, to)));
        }
        // Equal gains (a series without scatter) in a fixed order: the narrowest interval first.
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.3 - a.1).cmp(&(b.3 - b.1))).then(a.1.cmp(&b.1)));
        let mut cuts: BTreeSet<usize> = BTreeSet::new();
        for (_, from, at, to) in found {
            let apart = cuts.range(at.saturating_sub(FEWEST - 1)..at + FEWEST).next().is_none();
            if apart && cuts.range(from + 1..to).next().is_none() {
                cuts.insert(at);
            }
        }
        cuts.into_iter().collect()
    }

    /// Moves every cut to its best place between its neighbours, twice.
    fn settle(&self, cuts: &mut [usize]) {
        for _ in 0..2 {
            for i in 0..cuts.len() {
                self.settle_one(cuts, i);
            }
        }
    }

    fn settle_one(&self, cuts: &mut [usize], i: usize) {
        let (from, to) = self.around(cuts, i);
        if let Some((at, _)) = self.best(from, to) {
            cuts[i] = at;
        }
    }

    /// Where the level before the i-th cut begins, and where the one after it ends.
    fn around(&self, cuts: &[usize], i: usize) -> (usize, usize) {
        (if i == 0 { 0 } else { cuts[i - 1] }, cuts.get(i + 1).copied().unwrap_or(self.len()))
    }

    /// Variance of a run of weight 1 about its level.
    fn scale(&self, cuts: &[usize]) -> f64 {
        let bounds: Vec<usize> = [0].into_iter().chain(cuts.iter().copied()).chain([self.len()]).collect();
        let squares: f64 = bounds.windows(2).map(|w| self.squares(w[0], w[1])).sum();
        squares / self.freedom(cuts).max(1) as f64
    }

    fn freedom(&self, cuts: &[usize]) -> usize {
        self.len().saturating_sub(cuts.len() + 1)
    }

    /// Difference of the levels beside the i-th cut, and its standard error. The windows of the runs bound it from
    /// below: runs that agree better than their own scatter allows do so by chance.
    fn step(&self, cuts: &[usize], i: usize, scale: f64) -> (f64, f64) {
        let (from, to) = self.around(cuts, i);
        let ((wa, a), (wb, b)) = (self.mean(from, cuts[i]), self.mean(cuts[i], to));
        let within = (self.within[cuts[i]] - self.within[from]) / (wa * wa)
            + (self.within[to] - self.within[cuts[i]]) / (wb * wb);
        (b - a, (scale * (1.0 / wa + 1.0 / wb)).max(within).sqrt())
    }

    /// P of a step this clear: a union bound over all stretches of the series and over the family.
    fn significance(&self, (step, error): (f64, f64), freedom: usize, family: u32) -> f64 {
        let n = self.len() as f64;
        let tail = two_sided_tail(clarity((step, error)), Some(freedom as f64));
        (tail * n * (n - 1.0) / 2.0 * f64::from(family.max(1))).min(1.0)
    }

    /// Takes away the least certain cut until all are certain, then the smallest until all are large enough.
    fn keep_certain(&self, cuts: &mut Vec<usize>, settings: &Settings) {
        let least = libm::log(1.0 + settings.minimum_effect.max(0.0));
        loop {
            let (scale, freedom) = (self.scale(cuts), self.freedom(cuts));
            let steps: Vec<(f64, f64)> = (0..cuts.len()).map(|i| self.step(cuts, i, scale)).collect();
            // All share their degrees of freedom: the smallest t has the largest p.
            let unsure = (0..cuts.len()).map(|i| (i, clarity(steps[i]))).min_by(|a, b| a.1.total_cmp(&b.1));
            let small = (0..cuts.len()).map(|i| (i, steps[i].0.abs())).min_by(|a, b| a.1.total_cmp(&b.1));
            let certain =
                |i: usize| freedom > 0 && self.significance(steps[i], freedom, settings.family) <= settings.alpha;
            let doomed = match (unsure, small) {
                (Some((i, _)), _) if !certain(i) => i,
                (_, Some((i, size))) if size < least => i,
                _ => return,
            };
            cuts.remove(doomed);
            // Its neighbours have more room now.
            if doomed > 0 {
                self.settle_one(cuts, doomed - 1);
            }
            if doomed < cuts.len() {
                self.settle_one(cuts, doomed);
            }
        }
    }

    fn describe(&self, cuts: &[usize], settings: &Settings, outliers: Vec<usize>) -> Segmentation {
        let (scale, freedom) = (self.scale(cuts), self.freedom(cuts));
        let factor = two_sided(0.95, u32::try_from(freedom).unwrap_or(u32::MAX));
        let bounds: Vec<usize> = [0].into_iter().chain(cuts.iter().copied()).chain([self.len()]).collect();
        let level = |w: &[usize]| {
            let (weight, mean) = self.mean(w[0], w[1]);
            let within = (self.within[w[1]] - self.within[w[0]]) / (weight * weight);
            let wide = factor * (scale / weight).max(within).sqrt();
            let at = |log: f64| libm::exp(self.center + log);
            let known = |log: f64| (freedom > 0).then(|| at(log));
            Level { from: w[0], to: w[1], value: at(mean), low: known(mean - wide), high: known(mean + wide) }
        };
        let change = |i: usize| {
            let (step, error) = self.step(cuts, i, scale);
            let (from, to) = self.around(cuts, i);
            let most = self.gain(from, cuts[i], to);
            let mut possible =
                (from + 1..to).filter(|at| most - self.gain(from, *at, to) <= PLACE * scale || *at == cuts[i]);
            let earliest = possible.next().unwrap_or(cuts[i]);
            ChangePoint {
                at: cuts[i],
                earliest,
                latest: possible.next_back().unwrap_or(earliest).max(cuts[i]),
                ratio: libm::exp(step),
                low: libm::exp(step - factor * error),
                high: libm::exp(step + factor * error),
                p: self.significance((step, error), freedom, settings.family),
            }
        };
        Segmentation {
            levels: bounds.windows(2).map(level).collect(),
            changes: (0..cuts.len()).map(change).collect(),
            outliers,
            scatter: (freedom > 0).then(|| scale.sqrt()),
        }
    }
}

/// The size of t; 0 for no step at all, where an error of 0 would make it no number.
fn clarity((step, error): (f64, f64)) -> f64 {
    if step == 0.0 { 0.0 } else { (step / error).abs() }
}

/// Seeded intervals: lengths fall by √2 from all runs to twice the shortest level, each layer overlapping by half or
/// more.
fn seeded(n: usize) -> Vec<(usize, usize)> {
    let mut all = Vec::new();
    let (mut length, mut count) = (n as f64, 1.0_f64);
    while length >= (2 * FEWEST) as f64 {
        let shift = if count > 1.0 { (n as f64 - length) / (count - 1.0) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
        let part = |i: f64| ((i * shift).floor() as usize, ((i * shift + length).ceil() as usize).min(n));
        let mut i = 0.0;
        while i < count {
            all.push(part(i));
            i += 1.0;
        }
        length *= std::f64::consts::FRAC_1_SQRT_2;
        count = 2.0 * (n as f64 / length).ceil() - 1.0;
    }
    all
}

/// Puts runs that lie far from the median of their neighbours on that median (Hampel 1974), and says which: a disturbed
/// night must not make a level.
fn without_outliers(logs: &[f64], weights: &[f64], unit: f64) -> (Vec<f64>, Vec<usize>) {
    let mut outliers = Vec::new();
    if logs.len() < 2 * FEWEST {
        return (logs.to_vec(), outliers);
    }
    // Few runs tell their scatter badly: the limit is wider then.
    let slack = 1.0 + 10.0 / logs.len() as f64;
    let settled = |(i, y): (usize, &f64)| {
        let near = &logs[i.saturating_sub(REACH)..(i + REACH + 1).min(logs.len())];
        let middle = median(near.to_vec()).unwrap_or(*y);
        let limit = OUTLIER * slack * (unit / weights[i]).sqrt();
        if (y - middle).abs() <= limit {
            return *y;
        }
        outliers.push(i);
        middle
    };
    let kept = logs.iter().enumerate().map(settled).collect();
    (kept, outliers)
}

/// `None` for no values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    (n > 0).then(|| f64::midpoint(values[(n - 1) / 2], values[n / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Settings = Settings { alpha: 0.05, minimum_effect: 0.02, family: 1 };

    fn runs(values: &[f64]) -> Vec<Observation> {
        values.iter().map(|v| Observation { value: *v, error: Some(0.002) }).collect()
    }

    /// Scatter of about 1 %, the same for all tests.
    const NOISE: [f64; 8] = [1.000, 1.011, 0.991, 1.004, 0.985, 1.008, 0.996, 1.003];

    fn noisy(level: f64, n: usize) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| level * NOISE[i % NOISE.len()])
    }

    #[test]
    fn a_clear_step_is_found_with_its_size_and_its_place() {
        let values: Vec<f64> = noisy(2.0, 16).chain(noisy(2.2, 12)).collect();
        let found = find(&runs(&values), &ALONE);
        let [change] = found.changes[..] else { panic!("{found:?}") };
        assert_eq!((change.at, change.earliest, change.latest), (16, 16, 16));
        assert!(change.low < 1.1 && change.high > 1.1 && (change.ratio - 1.1).abs() < 0.01, "{change:?}");
        assert!(change.p < 1e-6);
        let [before, after] = found.levels[..] else { panic!("{found:?}") };
        assert_eq!((before.from, before.to, after.from, after.to), (0, 16, 16, 28));
        assert!(before.low.unwrap() < 2.0 && before.high.unwrap() > 2.0, "{before:?}");
        assert!((0.005..0.015).contains(&found.scatter.unwrap()), "{found:?}");
        // Three runs to each side are the least, and 2 % the smallest change.
        assert!(find(&runs(&values[14..18]), &ALONE).changes.is_empty());
        assert!(find(&runs(&values), &Settings { minimum_effect: 0.2, ..ALONE }).changes.is_empty());
    }

    #[test]
    fn a_large_family_asks_for_more() {
        let values: Vec<f64> = noisy(1.0, 12).chain(noisy(1.035, 4)).collect();
        let p = |family: u32| find(&runs(&values), &Settings { family, ..ALONE }).changes.first().map(|c| c.p);
        let alone = p(1).expect("certain on its own");
        let ten = p(2).expect("in a small family");
        assert!((ten / alone - 2.0).abs() < 1e-9, "{alone} {ten}");
        assert_eq!(p(1_000_000), None);
    }

    #[test]
    fn odd_nights_are_outliers_and_no_level() {
        let mut values: Vec<f64> = noisy(1.0, 24).collect();
        values[7] *= 1.5;
        values[15] *= 0.6;
        let found = find(&runs(&values), &ALONE);
        assert_eq!((found.outliers.clone(), found.changes.len()), (vec![7, 15], 0), "{found:?}");
        assert!((found.levels[0].value - 1.0).abs() < 0.01);
    }

    /// Instructions hardly scatter: then the smallest effect decides alone.
    #[test]
    fn a_series_without_scatter_is_taken_as_it_is() {
        let exact = |values: &[f64]| values.iter().map(|v| Observation { value: *v, error: None }).collect::<Vec<_>>();
        assert!(find(&exact(&[5.0; 12]), &ALONE).changes.is_empty());
        let step: Vec<f64> = [5.0; 6].into_iter().chain([5.5; 6]).collect();
        let found = find(&exact(&step), &ALONE);
        assert_eq!(found.changes.iter().map(|c| c.at).collect::<Vec<_>>(), [6]);
        let small: Vec<f64> = [5.0; 6].into_iter().chain([5.01; 6]).collect();
        assert!(find(&exact(&small), &ALONE).changes.is_empty(), "0.2 % is certain, and too small");
    }

    #[test]
    fn short_and_extreme_series_are_no_trouble() {
        assert_eq!(find(&[], &ALONE), Segmentation::default());
        for n in 1..8 {
            let found = find(&runs(&vec![3.0; n]), &ALONE);
            assert_eq!((found.levels.len(), found.changes.len()), (1, 0));
            assert!((found.levels[0].value - 3.0).abs() < 1e-12);
            assert_eq!(found.levels[0].low.is_some(), n > 1);
        }
        let wild = [f64::MIN_POSITIVE, f64::MAX, 1.0, 1e-300, 1e300, 1.0, 2.0, f64::MAX, 5e-324];
        let found = find(&wild.map(|value| Observation { value, error: Some(f64::MAX) }), &ALONE);
        assert!(found.changes.iter().all(|c| c.p.is_finite()), "{found:?}");
    }

    /// The growth that docs/history.md states: n·log n, not n².
    #[test]
    fn seeded_intervals_are_few_and_cover_everything() {
        for n in [6, 7, 100, 5000] {
            let all = seeded(n);
            assert!(all.iter().all(|(a, b)| a < b && *b <= n) && all.contains(&(0, n)), "{n}");
            let work: usize = all.iter().map(|(a, b)| b - a).sum();
            assert!(work as f64 <= 8.0 * n as f64 * (n as f64).log2(), "{n}: {work}");
        }
    }
}
