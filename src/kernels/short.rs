//! Elements shorter than the numbers they are summed in: bfloat16 with sums in binary32, and integers of
//! 8 bits with sums in 32 bits.

use super::element::{Element, Plain};
use super::random::SplitMix64;
use super::reference;
use super::split::fill;
use super::{Buffer, BuildContext, Dtype, KernelError, Team};

/// bfloat16: sign, 8 bits of exponent and 7 of mantissa, the upper half of a binary32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

impl Bf16 {
    /// The bits.
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// Exact widening.
    #[inline(always)]
    pub(crate) const fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }

    /// Rounding to nearest even, from double precision in one step. For finite numbers whose magnitude is
    /// a normal number of binary32.
    pub(crate) fn round(value: f64) -> Self {
        let bits = value.to_bits();
        // The lowest 45 of 52 bits go: half of the last place kept, less one where the last place is even.
        let rounded = bits.wrapping_add((1 << 44) - 1 + (bits >> 45 & 1)) >> 45 << 45;
        #[expect(clippy::cast_possible_truncation, reason = "8 significant bits fit a binary32 exactly")]
        let single = f64::from_bits(rounded) as f32;
        Self((single.to_bits() >> 16) as u16)
    }
}

// SAFETY: a number of 16 bits, in which every pattern is valid.
#[expect(unsafe_code, reason = "a marker that promises a valid all-zero bit pattern")]
unsafe impl Plain for Bf16 {}

/// Three operands of `len` seeded standard normal numbers each, in streams 1, 2 and 3; `short` ones are numbers of bfloat16.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(crate) fn normal_inputs(
    len: usize,
    short: bool,
    names: [&'static str; 3],
    context: &BuildContext<'_>,
) -> Result<[Buffer<f32>; 3], KernelError> {
    let input = |name, stream| {
        let generator = SplitMix64::new(context.seed, stream);
        let mut buffer = Buffer::zeroed(len, name)?;
        fill(&mut buffer, context.team, &|first, part: &mut [f32]| {
            generator.fill_normal(first, part);
            if short {
                part.iter_mut().for_each(|x| *x = Bf16::round(f64::from(*x)).to_f32());
            }
        });
        Ok::<_, KernelError>(buffer)
    };
    let [first, second, third] = names;
    Ok([input(first, 1)?, input(second, 2)?, input(third, 3)?])
}

/// Rounds an output to bfloat16; what is no number stays none.
pub(crate) fn round(output: &mut [f32], team: &dyn Team) {
    fill(output, team, &|_, part: &mut [f32]| {
        part.iter_mut().filter(|x| x.is_finite()).for_each(|x| *x = Bf16::round(f64::from(*x)).to_f32());
    });
}

/// Largest error of a right answer whose sums are kept in binary32 and that rounds to bfloat16 this many times on its way,
/// the last time as an output: 16·u_acc + u_out, with one u_out for each rounding.
pub(crate) const fn rounded_limit(roundings: u32) -> f64 {
    16.0 * Dtype::F32.unit_roundoff() + roundings as f64 * Dtype::Bf16.unit_roundoff()
}

/// A type of operands that is shorter than the type of their sums.
pub(crate) trait Short: Plain + PartialEq + std::fmt::Debug {
    /// What products are summed in; 32 bits wide.
    type Sum: Sum;
    /// The type's name in suites.
    const DTYPE: Dtype;
    /// Zero, which fills panels up.
    const ZERO: Self;

    /// An operand from a standard normal number, never zero.
    fn from_normal(normal: f64) -> Self;
    /// Exact widening.
    fn to_f64(self) -> f64;
    /// The whole part, for sums of integers.
    fn whole(self) -> i32;
}

/// A type of sums.
pub(crate) trait Sum: Plain + std::fmt::Debug {
    /// What an output holds before it is written; no sum comes out so.
    const POISON: Self;

    /// Exact widening; NaN for the poison.
    fn to_f64(self) -> f64;
    /// From the 32 bits that a register holds.
    fn from_bits(bits: u32) -> Self;
    /// Sum of two.
    fn plus(self, other: Self) -> Self;
    /// The nearest sum.
    fn from_f64(value: f64) -> Self;
    /// Largest error of a right sum, relative to the sum of the terms' magnitudes.
    fn limit() -> f64;
    /// The same of a sum that a card made.
    fn limit_of_cards() -> f64 {
        Self::limit()
    }
}

impl Short for Bf16 {
    type Sum = f32;
    const DTYPE: Dtype = Dtype::Bf16;
    const ZERO: Self = Self(0);

    fn from_normal(normal: f64) -> Self {
        Self::round(normal)
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self.to_f32())
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the whole part is the purpose")]
    fn whole(self) -> i32 {
        self.to_f32() as i32
    }
}

impl Short for i8 {
    type Sum = i32;
    const DTYPE: Dtype = Dtype::I8;
    const ZERO: Self = 0;

    /// Quantised as weights are, symmetrically with 32 steps to a standard deviation: the range of ±127
    /// ends at four of them. What would round to zero takes the smallest step instead.
    fn from_normal(normal: f64) -> Self {
        let steps = (normal * 32.0).round().clamp(-127.0, 127.0);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the type's range")]
        let quantised = steps as Self;
        if quantised == 0 { if normal < 0.0 { -1 } else { 1 } } else { quantised }
    }

    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn whole(self) -> i32 {
        i32::from(self)
    }
}

impl Sum for f32 {
    const POISON: Self = Self::NAN;

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    #[inline(always)]
    fn from_bits(bits: u32) -> Self {
        Self::from_bits(bits)
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    fn from_f64(value: f64) -> Self {
        Element::from_f64(value)
    }

    /// Products of two short operands are exact, so only the sums are rounded.
    fn limit() -> f64 {
        reference::limit(Dtype::F32)
    }

    fn limit_of_cards() -> f64 {
        reference::CUT_OFF
    }
}

impl Sum for i32 {
    const POISON: Self = Self::MIN;

    fn to_f64(self) -> f64 {
        if self == Self::POISON { f64::NAN } else { f64::from(self) }
    }

    #[inline(always)]
    fn from_bits(bits: u32) -> Self {
        bits.cast_signed()
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    fn from_f64(value: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers within the type's range")]
        let sum = value as Self;
        sum
    }

    /// Nothing but the exact sum is right.
    fn limit() -> f64 {
        0.0
    }
}

/// Operands `first .. first + out.len()` of a stream, from standard normal numbers.
pub(crate) fn fill_short<S: Short>(generator: SplitMix64, first: usize, out: &mut [S]) {
    let mut normal = [0.0_f64; 256];
    for (chunk, out) in out.chunks_mut(normal.len()).enumerate() {
        let normal = &mut normal[..out.len()];
        generator.fill_normal(first + 256 * chunk, normal);
        for (short, normal) in out.iter_mut().zip(normal) {
            *short = S::from_normal(*normal);
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;

    #[test]
    fn bf16_rounds_to_nearest_even_in_one_step() {
        assert_eq!(Bf16::round(1.0).bits(), 0x3F80);
        assert_eq!(Bf16::round(-2.5).to_f32(), -2.5);
        // Halfway between 1 and 1 + 2^-7: to the even one. A bit more, which binary32 would lose: up.
        assert_eq!(Bf16::round(1.0 + 1.0 / 256.0).to_f32(), 1.0);
        assert_eq!(Bf16::round(1.0 + 1.0 / 256.0 + 1.0 / (1_u64 << 40) as f64).to_f32(), 1.0 + 1.0 / 128.0);
        assert_eq!(Bf16::round(1.0 + 3.0 / 256.0).to_f32(), 1.0 + 1.0 / 64.0);
        assert_eq!(Bf16::round(1.999).to_f32(), 2.0);
        let generator = SplitMix64::new(11, 0);
        for index in 0..10_000 {
            let x = generator.normal(index);
            assert_eq!(Bf16::round(x).to_f64(), round_mantissa(x, 7));
        }
    }

    #[test]
    fn operands_are_never_zero_and_use_the_range() {
        let mut bytes = vec![0_i8; 100_001];
        fill_short(SplitMix64::new(1, 2), 0, &mut bytes);
        assert!(bytes.iter().all(|x| *x != 0 && *x >= -127));
        assert!(bytes.contains(&127) && bytes.contains(&-127) && bytes.contains(&1) && bytes.contains(&-1));
        let mut part = vec![0_i8; 700];
        fill_short(SplitMix64::new(1, 2), 301, &mut part);
        assert_eq!(part, bytes[301..1001]);
        let mut halves = vec![Bf16(0); 1000];
        fill_short(SplitMix64::new(1, 2), 0, &mut halves);
        assert!(halves.iter().all(|x| x.to_f32() != 0.0 && x.to_f32().is_finite()));
    }

    #[test]
    fn the_poison_is_no_number() {
        assert!(Sum::to_f64(f32::POISON).is_nan() && Sum::to_f64(i32::POISON).is_nan());
        assert_eq!(Sum::to_f64(i32::MIN + 1), f64::from(i32::MIN + 1));
    }
}
