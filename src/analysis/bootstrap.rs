//! Interval of a median by seeded percentile bootstrap, and arithmetic on such intervals.
//!
//! The median of a resample depends only on the RANKS that were drawn. So ranks are resampled once
//! for a case and a number of windows, and the tally serves every figure of the case: the interval
//! of a figure is then a weighted quantile over at most n(n+1)/2 values. This is the ordinary
//! bootstrap (Efron & Tibshirani 1993, ch. 13), only not repeated for every column.
//!
//! The percentile interval of n values is too narrow by about √((n−1)/n) (Hesterberg 2015,
//! §3.2 "narrowness bias"), so its arms are stretched by √(n/(n−1)): on logarithms where all
//! values are positive, which keeps a time positive and makes 1/x agree with x.

use super::draws::{Draws, SplitMix64};
use super::{Estimate, Method};

/// Resamples used at most, whatever a profile says: more changes no printed digit.
const MAX_RESAMPLES: u32 = 100_000;

/// Estimates medians for one case.
#[derive(Debug)]
pub(super) struct Resampler {
    seed: u64,
    resamples: u32,
    confidence: f64,
    draws: Draws,
}

impl Resampler {
    /// For the case called `case` of a record with this seed. `resamples` is bounded to
    /// 100..=100,000 and `confidence` to 0.5..=0.999.
    pub(super) fn new(record_seed: u64, case: &str, resamples: u32, confidence: f64) -> Self {
        let confidence = if confidence.is_finite() { confidence.clamp(0.5, 0.999) } else { 0.95 };
        Self {
            seed: record_seed ^ fnv1a(case),
            resamples: resamples.clamp(100, MAX_RESAMPLES),
            confidence,
            draws: Draws::default(),
        }
    }

    /// The same with ranks that were drawn before.
    pub(super) fn remembering(self, draws: &Draws) -> Self {
        Self { draws: draws.clone(), ..self }
    }

    /// Median and interval of `values`; `None` when there are none or one is not finite.
    pub(super) fn estimate(&mut self, values: &[f64]) -> Option<Estimate> {
        if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let n = sorted.len();
        let median = middle(sorted[(n - 1) / 2], sorted[n / 2]);
        let finite = |b: &(f64, f64)| b.0.is_finite() && b.1.is_finite();
        let bounds = (n > 1).then(|| self.interval(&sorted, median)).filter(finite);
        median.is_finite().then(|| Estimate {
            median,
            low: bounds.map(|b| b.0),
            high: bounds.map(|b| b.1),
            n: u32::try_from(n).unwrap_or(u32::MAX),
            confidence: self.confidence,
            method: if n > 1 { Method::BootstrapMedian } else { Method::SingleWindow },
        })
    }

    /// Standard error of the median of `values`: the standard deviation of the bootstrapped medians
    /// times √(n/(n−1)), because a bootstrap variance is too small by (n−1)/n. `None` for fewer than
    /// two values or one that is not finite.
    pub(super) fn standard_error(&mut self, values: &[f64]) -> Option<f64> {
        if values.len() < 2 || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let medians = self.medians(&sorted);
        let total: f64 = medians.iter().map(|(_, count)| f64::from(*count)).sum();
        let mean = medians.iter().map(|(m, count)| m * f64::from(*count)).sum::<f64>() / total;
        let variance =
            medians.iter().map(|(m, count)| (m - mean) * (m - mean) * f64::from(*count)).sum::<f64>() / total;
        let n = values.len() as f64;
        Some((variance * n / (n - 1.0)).sqrt()).filter(|u| u.is_finite())
    }

    /// Mean of `values` with these `weights`, its interval and its standard error; the windows are resampled
    /// with their weights. Differences between phases of polled power count as scatter, so the interval is wider
    /// than it has to be. `None` as for [`Self::estimate`].
    pub(super) fn mean(&self, values: &[f64], weights: &[f64]) -> Option<(Estimate, Option<f64>)> {
        let n = values.len();
        if n == 0 || weights.len() != n || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let of = |drawn: &mut dyn Iterator<Item = usize>| {
            let (sum, weight) = drawn.fold((0.0, 0.0), |(s, w), i| (s + weights[i] * values[i], w + weights[i]));
            sum / weight
        };
        let mean = of(&mut (0..n));
        let mut random = SplitMix64(self.seed.wrapping_add(n as u64).rotate_left(32));
        let mut draw = |_| usize::try_from(((random.next() >> 32) * n as u64) >> 32).unwrap_or(0);
        let mut means: Vec<f64> = (0..self.resamples).map(|_| of(&mut (0..n).map(&mut draw))).collect();
        means.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.confidence) / 2.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 < tail < 1, resamples fit u32")]
        let k = ((f64::from(self.resamples) * tail) as usize).max(1);
        let stretch = (n as f64 / (n as f64 - 1.0)).sqrt();
        let positive = values.iter().all(|v| *v > 0.0);
        let arm = |bound: f64| {
            if positive { mean * libm::pow(bound / mean, stretch) } else { mean + (bound - mean) * stretch }
        };
        let bounds = (n > 1).then(|| (arm(means[k - 1]), arm(means[means.len() - k])));
        let bounds = bounds.filter(|b| b.0.is_finite() && b.1.is_finite());
        let centre = means.iter().sum::<f64>() / means.len() as f64;
        let variance = means.iter().map(|m| (m - centre) * (m - centre)).sum::<f64>() / means.len() as f64;
        let error = (n > 1).then(|| variance.sqrt() * stretch).filter(|u| u.is_finite());
        let estimate = Estimate {
            median: mean,
            low: bounds.map(|b| b.0),
            high: bounds.map(|b| b.1),
            n: u32::try_from(n).unwrap_or(u32::MAX),
            confidence: self.confidence,
            method: if n > 1 { Method::BootstrapMean } else { Method::SingleWindow },
        };
        mean.is_finite().then_some((estimate, error))
    }

    /// The bootstrapped medians of sorted values, with multiplicities.
    fn medians(&mut self, sorted: &[f64]) -> Vec<(f64, u32)> {
        let n = sorted.len();
        let tally = self.draws.tally(self.seed.wrapping_add(n as u64), self.resamples, n);
        tally.iter().map(|pair| (middle(sorted[pair.low], sorted[pair.high]), pair.count)).collect()
    }

    fn interval(&mut self, sorted: &[f64], median: f64) -> (f64, f64) {
        let n = sorted.len();
        let resamples = self.resamples;
        let mut medians = self.medians(sorted);
        medians.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let tail = (1.0 - self.confidence) / 2.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 < tail < 1, resamples fit u32")]
        let k = ((f64::from(resamples) * tail) as u32).max(1);
        let low = kth(medians.iter(), k);
        let high = kth(medians.iter().rev(), k);
        let stretch = (n as f64 / (n as f64 - 1.0)).sqrt();
        let arm = |bound: f64| {
            if sorted[0] > 0.0 {
                median * libm::pow(bound / median, stretch)
            } else {
                median + (bound - median) * stretch
            }
        };
        (arm(low), arm(high))
    }
}

/// The `k`-th value, counted from 1, of values with multiplicities.
fn kth<'a>(values: impl Iterator<Item = &'a (f64, u32)>, k: u32) -> f64 {
    let mut seen = 0u32;
    let mut last = f64::NAN;
    for (value, count) in values {
        (seen, last) = (seen.saturating_add(*count), *value);
        if seen >= k {
            break;
        }
    }
    last
}

fn middle(a: f64, b: f64) -> f64 {
    a + (b - a) / 2.0
}

/// FNV-1a, 64 bits: spreads case ids over seeds.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Estimate {
    /// This figure times a positive constant.
    pub(super) fn scaled(self, factor: f64) -> Option<Self> {
        self.mapped(|x| x * factor)
    }

    /// A positive constant over this figure (FLOP over joules): the bounds change places. `None`
    /// when the figure or one of its bounds is not positive.
    pub(super) fn divide(self, numerator: f64) -> Option<Self> {
        let positive = |x: f64| x > 0.0;
        if !positive(self.median) || self.low.is_some_and(|x| !positive(x)) {
            return None;
        }
        let turned = self.mapped(|x| numerator / x)?;
        Some(Self { low: turned.high, high: turned.low, ..turned })
    }

    /// Ratio of two independent positive figures. Bounds are joined by MOVER on logarithms: each
    /// arm is the root of the sum of squares of the two arms that push the ratio that way
    /// (Zou & Donner 2008, Statistics in Medicine 27:1693).
    pub(super) fn over(self, other: Self) -> Option<Self> {
        if self.median <= 0.0 || other.median <= 0.0 {
            return None;
        }
        let median = self.median / other.median;
        let arm = |mine: Option<f64>, theirs: Option<f64>, sign: f64| {
            let mine = libm::log(mine.filter(|x| *x > 0.0)? / self.median);
            let theirs = libm::log(theirs.filter(|x| *x > 0.0)? / other.median);
            Some(median * libm::exp(sign * libm::hypot(mine, theirs))).filter(|x| x.is_finite())
        };
        let bounds = arm(self.low, other.high, -1.0).zip(arm(self.high, other.low, 1.0));
        Some(Self {
            median,
            low: bounds.map(|b| b.0),
            high: bounds.map(|b| b.1),
            n: self.n.min(other.n),
            confidence: self.confidence,
            method: if self.n.min(other.n) > 1 { Method::RatioOfMedians } else { Method::SingleWindow },
        })
        .filter(|e| e.median.is_finite())
    }

    fn mapped(self, f: impl Fn(f64) -> f64) -> Option<Self> {
        let mapped = Self {
            median: f(self.median),
            low: self.low.map(&f),
            high: self.high.map(&f),
            method: match self.method {
                Method::BootstrapMean | Method::TransformedMean => Method::TransformedMean,
                _ if self.n > 1 => Method::Transformed,
                single => single,
            },
            ..self
        };
        [Some(mapped.median), mapped.low, mapped.high].iter().flatten().all(|x| x.is_finite()).then_some(mapped)
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws::tally;
    use super::*;

    fn resampler() -> Resampler {
        Resampler::new(20_260_407, "gemm", 10_000, 0.95)
    }

    fn normal(random: &mut SplitMix64) -> f64 {
        let mut unit = || ((random.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (u, v) = (unit(), unit());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// Fraction of campaigns of `n` normal values whose interval holds the true median.
    fn coverage(n: usize, campaigns: u32) -> f64 {
        let mut random = SplitMix64(99);
        let mut sampler = Resampler::new(1, "coverage", 2_000, 0.95);
        let held = (0..campaigns).filter(|_| {
            let values: Vec<f64> = (0..n).map(|_| 100.0 + normal(&mut random)).collect();
            let e = sampler.estimate(&values).unwrap();
            e.low.unwrap() <= 100.0 && 100.0 <= e.high.unwrap()
        });
        held.count() as f64 / f64::from(campaigns)
    }

    #[test]
    fn splitmix_gives_the_published_stream() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn no_value_no_figure_one_value_no_interval() {
        assert_eq!(resampler().estimate(&[]), None);
        assert_eq!(resampler().estimate(&[1.0, f64::NAN]), None);
        let one = resampler().estimate(&[3.5]).unwrap();
        assert_eq!((one.median, one.low, one.high, one.n, one.method), (3.5, None, None, 1, Method::SingleWindow));
    }

    #[test]
    fn two_values_give_both_ends_stretched_by_root_two() {
        // A resample of two is {a,a} in a quarter of the draws, so the percentiles are a and b.
        let e = resampler().estimate(&[2.0, 8.0]).unwrap();
        assert!((e.median - 5.0).abs() < 1e-12);
        assert!((e.low.unwrap() - 5.0 * 0.4f64.powf(2f64.sqrt())).abs() < 1e-12);
        assert!((e.high.unwrap() - 5.0 * 1.6f64.powf(2f64.sqrt())).abs() < 1e-12);
    }

    #[test]
    fn percentiles_agree_with_the_exact_bootstrap_distribution() {
        // Five values: P(median = x(1)) = P(Bin(5, 1/5) ≥ 3) = 0.0579, so the 2.5 % point is x(1);
        // a 90 % interval still starts at x(1), an 80 % interval (10 %) at x(2).
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        let low = |confidence| Resampler::new(5, "x", 20_000, confidence).estimate(&values).unwrap().low.unwrap();
        let unstretch = |x: f64| 3.0 * (x / 3.0).powf((4.0f64 / 5.0).sqrt());
        assert!((unstretch(low(0.95)) - 1.0).abs() < 1e-9);
        assert!((unstretch(low(0.90)) - 1.0).abs() < 1e-9);
        assert!((unstretch(low(0.80)) - 2.0).abs() < 1e-9);
        let first = tally(3, 100_000, 5).iter().find(|p| p.low == 0).unwrap().count;
        assert!((f64::from(first) / 1e5 - 0.05792).abs() < 0.003, "{first}");
    }

    #[test]
    fn the_standard_error_agrees_with_the_exact_bootstrap_distribution() {
        // All 3³ resamples of −1, 0, 1: the median is −1 in 7 and 1 in 7 of 27 (Efron 1979, §3), so the variance
        // is 14/27, times 3/2.
        let u = resampler().standard_error(&[-1.0, 1.0, 0.0]).unwrap();
        assert!((u - (14.0f64 / 27.0 * 1.5).sqrt()).abs() < 0.01, "{u}");
        // Of two values the median is their mean, and the result is s/√n = |a − b|/2.
        let u = resampler().standard_error(&[2.0, 8.0]).unwrap();
        assert!((u - 3.0).abs() < 0.05, "{u}");
        assert_eq!(resampler().standard_error(&[5.0; 4]), Some(0.0));
        assert_eq!(resampler().standard_error(&[5.0]), None);
        assert_eq!(resampler().standard_error(&[5.0, f64::INFINITY]), None);
    }

    #[test]
    fn a_mean_has_its_weights_and_the_standard_error_of_a_mean() {
        let (e, u) = resampler().mean(&[1.0, 2.0, 3.0, 10.0], &[0.25; 4]).unwrap();
        assert_eq!((e.median, e.n, e.method), (4.0, 4, Method::BootstrapMean));
        // s/√n with s² = 50/3.
        assert!((u.unwrap() / (50.0f64 / 12.0).sqrt() - 1.0).abs() < 0.02, "{u:?}");
        assert!(e.low.unwrap() > 1.0 && e.low.unwrap() < 3.0 && e.high.unwrap() > 6.0, "{e:?}");
        assert_eq!(e.scaled(2.0).unwrap().method, Method::TransformedMean);
        let (e, _) = resampler().mean(&[1.0, 2.0, 2.0], &[0.5, 0.25, 0.25]).unwrap();
        assert!((e.median - 1.5).abs() < 1e-12);
        let (e, u) = resampler().mean(&[7.0], &[1.0]).unwrap();
        assert_eq!((e.median, e.low, u, e.method), (7.0, None, None, Method::SingleWindow));
        assert_eq!(resampler().mean(&[], &[]), None);
        assert_eq!(resampler().mean(&[f64::NAN], &[1.0]), None);
    }

    #[test]
    fn the_standard_error_of_many_normal_values_is_the_known_one() {
        // The median of n normal values has a variance of π/(2n) for large n.
        let mut random = SplitMix64(5);
        let n = 101;
        let mean: f64 = (0..200)
            .map(|_| {
                let values: Vec<f64> = (0..n).map(|_| normal(&mut random)).collect();
                Resampler::new(3, "x", 500, 0.95).standard_error(&values).unwrap().powi(2)
            })
            .sum::<f64>()
            / 200.0;
        let known = std::f64::consts::FRAC_PI_2 / n as f64;
        assert!((mean / known - 1.0).abs() < 0.15, "{mean} against {known}");
    }

    #[test]
    fn the_interval_covers_what_it_says() {
        let covered = coverage(10, 2_000);
        assert!((0.90..=0.98).contains(&covered), "n = 10: {covered}");
        let covered = coverage(5, 2_000);
        assert!((0.90..=0.98).contains(&covered), "n = 5: {covered}");
    }

    #[test]
    fn coverage_is_what_the_documentation_says() {
        let page = include_str!("../../docs/analysis.md");
        let row = |name: &str| -> Vec<f64> {
            let line = page.lines().find(|l| l.trim_start().starts_with(&format!("| {name} |"))).unwrap();
            line.split('|').skip(2).filter_map(|cell| cell.trim().trim_end_matches(" %").parse().ok()).collect()
        };
        let (windows, stated) = (row("n"), row("coverage"));
        assert_eq!((windows.len(), stated.len()), (8, 8));
        for (n, stated) in windows.iter().zip(stated) {
            let covered = coverage(*n as usize, 4_000) * 100.0;
            assert!((covered - stated).abs() < 0.1, "n = {n}: measured {covered:.1} %, stated {stated} %");
        }
    }

    #[test]
    fn the_same_record_gives_the_same_bits_and_other_cases_other_draws() {
        let values: Vec<f64> = (0..10).map(|i| 1.0 + f64::from(i * i)).collect();
        assert_eq!(resampler().estimate(&values), resampler().estimate(&values));
        let draws = |seed| tally(seed, 1_000, 10).iter().map(|p| p.count).collect::<Vec<_>>();
        assert_ne!(draws(1), draws(2));
        assert_ne!(fnv1a("a"), fnv1a("b"));
    }

    #[test]
    fn transforms_turn_bounds_round_and_keep_them_finite() {
        let time = resampler().estimate(&[1.0, 2.0, 3.0]).unwrap();
        let rate = time.divide(6.0).unwrap();
        assert_eq!(
            (rate.median, rate.low, rate.high),
            (3.0, Some(6.0 / time.high.unwrap()), time.low.map(|t| 6.0 / t))
        );
        assert_eq!(rate.method, Method::Transformed);
        assert_eq!(resampler().estimate(&[0.0, 1.0]).unwrap().divide(1.0), None);
    }

    #[test]
    fn a_ratio_joins_the_arms_of_both() {
        let side = |low, high| Estimate {
            median: 2.0,
            low: Some(low),
            high: Some(high),
            n: 5,
            confidence: 0.95,
            method: Method::BootstrapMedian,
        };
        // ln arms 0.3 and 0.4 join to 0.5.
        let a = side(2.0 * (-0.3f64).exp(), 2.0 * 0.3f64.exp());
        let b = side(2.0 * (-0.4f64).exp(), 2.0 * 0.4f64.exp());
        let ratio = a.over(b).unwrap();
        assert!((ratio.median - 1.0).abs() < 1e-12);
        assert!((ratio.low.unwrap() - (-0.5f64).exp()).abs() < 1e-12);
        assert!((ratio.high.unwrap() - 0.5f64.exp()).abs() < 1e-12);
        // A denominator without an interval gives a ratio without one.
        assert_eq!(a.over(Estimate { low: None, high: None, n: 1, ..b }).unwrap().low, None);
    }

    #[test]
    fn hostile_profiles_are_bounded() {
        let sampler = Resampler::new(0, "x", u32::MAX, f64::NAN);
        assert_eq!((sampler.resamples, sampler.confidence), (MAX_RESAMPLES, 0.95));
        assert_eq!(Resampler::new(0, "x", 0, 7.0).resamples, 100);
    }
}
