//! Seeded inputs: SplitMix64 and the standard normal distribution, the same bits everywhere.
//!
//! `ln`, `sin` and `cos` of the C library differ between systems in the last bit, so the few that
//! Box–Muller needs are written here with IEEE 754 basic operations only. Every draw is addressed
//! by its index: threads fill their own parts of an array and agree with a single thread.
//!
//! Zeros never occur: they would lower the power of a multiplier and flatter the result.

use super::element::Element;

/// 2^64 / φ, the increment of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Counter-based SplitMix64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator; different `stream`s of one seed are independent operands of one case.
    pub(crate) const fn new(seed: u64, stream: u64) -> Self {
        Self { state: mix(seed ^ mix(stream.wrapping_add(GAMMA))) }
    }

    /// The draw at `index`.
    pub(crate) const fn at(&self, index: u64) -> u64 {
        mix(self.state.wrapping_add(index.wrapping_add(1).wrapping_mul(GAMMA)))
    }

    /// A whole number in `0..bound`, by multiplication (Lemire 2019); the bias is below 2^-32 for
    /// the bounds used here.
    pub(crate) const fn below(&self, index: u64, bound: u64) -> u64 {
        ((self.at(index) as u128 * bound as u128) >> 64) as u64
    }

    /// Standard normal numbers `first .. first + out.len()` of this stream (Box–Muller).
    pub(crate) fn fill_normal<T: Element>(&self, first: usize, out: &mut [T]) {
        let mut index = first as u64;
        let starts_odd = usize::from(first % 2 == 1 && !out.is_empty());
        if starts_odd == 1 {
            out[0] = T::from_f64(self.normal_pair(index / 2).1);
            index += 1;
        }
        for pair in out[starts_odd..].chunks_mut(2) {
            let (even, odd) = self.normal_pair(index / 2);
            pair[0] = T::from_f64(even);
            if let Some(second) = pair.get_mut(1) {
                *second = T::from_f64(odd);
            }
            index += 2;
        }
    }

    /// One standard normal number.
    pub(crate) fn normal(&self, index: u64) -> f64 {
        let (even, odd) = self.normal_pair(index / 2);
        if index.is_multiple_of(2) { even } else { odd }
    }

    fn normal_pair(&self, pair: u64) -> (f64, f64) {
        let radius = (-2.0 * ln(open_unit(self.at(2 * pair)))).sqrt();
        let (sin, cos) = sin_cos_turns(open_unit(self.at(2 * pair + 1)));
        (radius * cos, radius * sin)
    }
}

/// The finaliser of SplitMix64.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 52 random bits and a half: exactly representable, in the open interval (0, 1), and never a
/// multiple of 1/4, so neither the logarithm nor sine and cosine can give zero.
#[expect(clippy::cast_precision_loss, reason = "52 bits fit a double exactly")]
fn open_unit(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) * (1.0 / 4_503_599_627_370_496.0)
}

/// Natural logarithm of a normal positive number: 2·artanh((m−1)/(m+1)) + e·ln 2.
#[expect(clippy::cast_possible_wrap, reason = "an exponent has 11 bits")]
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i64 - 1023) as f64;
    let mut mantissa = f64::from_bits((bits & 0x000F_FFFF_FFFF_FFFF) | 0x3FF0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    // |s| ≤ 0.1716: the first term left out is below 3e-18.
    let mut series = 0.0;
    for k in (0..=11).rev() {
        series = series * square + 1.0 / f64::from(2 * k + 1);
    }
    exponent * std::f64::consts::LN_2 + 2.0 * s * series
}

/// Sine and cosine of `turns` full turns, `turns` in (0, 1).
fn sin_cos_turns(turns: f64) -> (f64, f64) {
    let quarters = turns * 4.0;
    let quadrant = (quarters + 0.5).floor();
    // Exact: both are multiples of 2^-51 below 4.
    let angle = (quarters - quadrant) * std::f64::consts::FRAC_PI_2;
    let square = angle * angle;
    // Taylor series on [−π/4, π/4]; the first terms left out are below 5e-17.
    let (mut sin, mut cos) = (0.0, 0.0);
    for k in (1..=8).rev() {
        let k = f64::from(k);
        sin = (1.0 + sin) * -square / (2.0 * k * (2.0 * k + 1.0));
        cos = (1.0 + cos) * -square / (2.0 * k * (2.0 * k - 1.0));
    }
    let (sin, cos) = (angle * (1.0 + sin), 1.0 + cos);
    #[expect(clippy::cast_possible_truncation, reason = "a quadrant is 0 to 4")]
    match quadrant as i32 & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// Seed of a case: FNV-1a of its id, combined with the seed of the run.
#[must_use]
pub fn case_seed(case_id: &str, run_seed: u64) -> u64 {
    let hash = case_id
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    hash ^ run_seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_1a_matches_its_published_vectors() {
        assert_eq!(case_seed("", 0), 0xCBF2_9CE4_8422_2325);
        assert_eq!(case_seed("a", 0), 0xAF63_DC4C_8601_EC8C);
        assert_eq!(case_seed("foobar", 0), 0x8594_4171_F739_67E8);
        assert_eq!(case_seed("a", 20_260_407), 0xAF63_DC4C_8601_EC8C ^ 20_260_407);
    }

    #[test]
    fn splitmix64_matches_its_published_sequence() {
        // First outputs of the reference implementation seeded with 1234567.
        let generator = SplitMix64 { state: 1_234_567 };
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        for (index, value) in expected.into_iter().enumerate() {
            assert_eq!(generator.at(index as u64), value);
        }
    }

    #[test]
    fn own_functions_agree_with_the_library() {
        let generator = SplitMix64::new(7, 0);
        for index in 0..20_000 {
            let u = open_unit(generator.at(index));
            assert!((ln(u) - u.ln()).abs() <= 1e-15 * u.ln().abs().max(1e-3), "ln {u}");
            let (sin, cos) = sin_cos_turns(u);
            let (s, c) = (u * std::f64::consts::TAU).sin_cos();
            assert!((sin - s).abs() < 2e-15 && (cos - c).abs() < 2e-15, "sin, cos of {u} turns");
        }
        assert!((ln(f64::MIN_POSITIVE) - f64::MIN_POSITIVE.ln()).abs() < 1e-12);
    }

    #[test]
    fn the_numbers_are_standard_normal_and_never_zero() {
        let mut values = vec![0.0_f32; 400_001];
        SplitMix64::new(1, 2).fill_normal(0, &mut values);
        let n = values.len() as f64;
        let moment = |p: i32| values.iter().map(|v| f64::from(*v).powi(p)).sum::<f64>() / n;
        assert!(moment(1).abs() < 0.01, "mean {}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.01, "variance {}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.1, "kurtosis {}", moment(4));
        assert!(values.iter().all(|v| *v != 0.0 && v.is_finite()));
    }

    #[test]
    fn parts_agree_with_the_whole_and_streams_differ() {
        let generator = SplitMix64::new(20_260_407, 1);
        let mut whole = vec![0.0_f64; 101];
        generator.fill_normal(0, &mut whole);
        for (first, last) in [(0, 1), (1, 2), (3, 50), (50, 101)] {
            let mut part = vec![0.0_f64; last - first];
            generator.fill_normal(first, &mut part);
            assert_eq!(part, whole[first..last]);
            assert_eq!(generator.normal(first as u64).to_bits(), whole[first].to_bits());
        }
        let mut other = vec![0.0_f64; 101];
        SplitMix64::new(20_260_407, 2).fill_normal(0, &mut other);
        assert_ne!(whole, other);
    }

    #[test]
    fn bounded_draws_stay_in_bounds_and_reach_both_ends() {
        let generator = SplitMix64::new(3, 3);
        let draws: Vec<u64> = (0..1000).map(|i| generator.below(i, 7)).collect();
        assert!(draws.iter().all(|d| *d < 7) && draws.contains(&0) && draws.contains(&6));
    }
}
