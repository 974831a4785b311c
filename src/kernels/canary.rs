//! Precision canaries: inputs whose exact answer lower precision cannot give.
//!
//! Sums of products are built from pairs (1 + δ)·1 − 1·1, with δ a small multiple of 2^-18 (f32) or
//! 2^-46 (f64). The exact answer is the sum of the δ. All partial sums, in any order, are
//! representable in the declared type, so a kernel of that precision gives the exact answer; one
//! that rounds an operand to TF32 (10 bits), bf16 (7 bits) or, for f64, to f32 gives zero or half.

use super::element::Element;
use super::gemm::Demanding;
use super::reference::{Worst, limit};
use super::short::{Bf16, Short};
use super::{Canary, Dtype};

/// Length of the sums: 16 pairs keep every partial sum below 2^5.
pub(crate) const LENGTH: usize = 32;

/// The step of δ, for the types whose products are summed in the type itself.
pub(crate) const fn step(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F64 => 1.0 / (1_u64 << 46) as f64,
        // The last of its 11 significant bits.
        Dtype::Tf32 => 1.0 / 1024.0,
        _ => 1.0 / (1_u64 << 18) as f64,
    }
}

/// Operands of an `m × LENGTH` by `LENGTH × n` product, row-major, and its exact result.
///
/// In even pairs the left operand carries δ, in odd pairs the right one, so that rounding either
/// is seen.
pub(crate) struct Cancelling<T> {
    /// `m × LENGTH`.
    pub(crate) left: Vec<T>,
    /// `LENGTH × n`.
    pub(crate) right: Vec<T>,
    /// `m × n`.
    pub(crate) exact: Vec<f64>,
    dtype: Dtype,
}

impl<T: Element> Cancelling<T> {
    /// Builds the operands; `operand` is applied to each input element (the identity, except
    /// where a test imitates hardware that rounds its inputs).
    pub(crate) fn new(m: usize, n: usize, operand: &dyn Fn(T) -> T) -> Self {
        Self::of(T::DTYPE, m, n, operand)
    }

    /// The same for a type that is stored in `T`: TF32 in binary32.
    pub(crate) fn of(dtype: Dtype, m: usize, n: usize, operand: &dyn Fn(T) -> T) -> Self {
        let step = step(dtype);
        // Between 1 and 8 steps, different for each row (column) and pair.
        let delta = |index: usize, pair: usize| (1 + (3 * index + pair) % 8) as f64 * step;
        let value = |x: f64| operand(T::from_f64(x));
        let (mut left, mut right) = (vec![T::ZERO; m * LENGTH], vec![T::ZERO; LENGTH * n]);
        let mut exact = vec![0.0; m * n];
        for pair in 0..LENGTH / 2 {
            let (left_carries, plus, minus) = (pair % 2 == 0, 2 * pair, 2 * pair + 1);
            for i in 0..m {
                let carried = if left_carries { delta(i, pair) } else { 0.0 };
                left[i * LENGTH + plus] = value(1.0 + carried);
                left[i * LENGTH + minus] = value(-1.0);
            }
            for j in 0..n {
                let carried = if left_carries { 0.0 } else { delta(j, pair) };
                right[plus * n + j] = value(1.0 + carried);
                right[minus * n + j] = value(1.0);
            }
            for (index, exact) in exact.iter_mut().enumerate() {
                *exact += delta(if left_carries { index / n } else { index % n }, pair);
            }
        }
        Self { left, right, exact, dtype }
    }

    /// The verdict on `output` (`m × n`), relative to the exact answers.
    pub(crate) fn judge(&self, output: &[T]) -> Canary {
        Canary { limit: limit(self.dtype), ..judge("pairs that cancel to the last bits", output, &self.exact) }
    }
}

/// Operands of an `m × LONG` by `LONG × n` product in bfloat16 whose sums need binary32, row-major, and its exact result: the
/// triples of [`Demanding`].
pub(crate) struct Triples {
    /// `m × LONG`.
    pub(crate) left: Vec<f32>,
    /// `LONG × n`.
    pub(crate) right: Vec<f32>,
    /// `m × n`.
    pub(crate) exact: Vec<f64>,
}

/// Length of the sums of [`Triples`].
pub(crate) const LONG: usize = 48;

impl Triples {
    /// Builds the operands; `operand` is applied to each, as in [`Cancelling::new`].
    pub(crate) fn new(m: usize, n: usize, operand: &dyn Fn(f32) -> f32) -> Self {
        let (_, k, left, right) = Bf16::canary();
        debug_assert_eq!(k, LONG);
        let exact = |index: usize| (0..k).map(|q| left(index / n, q).to_f64() * right(q, index % n).to_f64()).sum();
        Self {
            left: (0..m * k).map(|index| operand(left(index / k, index % k).to_f32())).collect(),
            right: (0..k * n).map(|index| operand(right(index / n, index % n).to_f32())).collect(),
            exact: (0..m * n).map(exact).collect(),
        }
    }

    /// The verdict on `output` (`m × n`) in single precision, relative to the exact answers.
    pub(crate) fn judge(&self, output: &[f32]) -> Canary {
        judge(Bf16::canary().0, output, &self.exact)
    }
}

/// Error of `output` relative to `exact`, against the limit of the type.
pub(crate) fn judge<T: Element>(name: &str, output: &[T], exact: &[f64]) -> Canary {
    let mut worst = Worst::default();
    for (value, exact) in output.iter().zip(exact) {
        worst.see(value.to_f64(), *exact, exact.abs());
    }
    let error = if output.len() == exact.len() { worst.error() } else { None };
    Canary { name: name.to_owned(), error, limit: limit(T::DTYPE) }
}

/// `value` with its mantissa rounded to `bits` explicit bits, ties to even: 10 is TF32, 7 is bf16,
/// 23 is f32.
#[cfg(test)]
pub(crate) fn round_mantissa<T: Element>(value: T, bits: u32) -> T {
    let raw = value.to_f64().to_bits();
    let cut = 52 - bits;
    let half = (1_u64 << (cut - 1)) - 1 + (raw >> cut & 1);
    T::from_f64(f64::from_bits(raw.wrapping_add(half) >> cut << cut))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;

    fn multiply<T: Element>(operands: &Cancelling<T>, m: usize, n: usize) -> Vec<T> {
        let mut output = vec![T::ZERO; m * n];
        for i in 0..m {
            for j in 0..n {
                let mut sum = 0.0;
                for k in 0..LENGTH {
                    let product = operands.left[i * LENGTH + k].to_f64() * operands.right[k * n + j].to_f64();
                    // Rounded after every addition, as a sum in `T` is.
                    sum = T::from_f64(sum + product).to_f64();
                }
                output[i * n + j] = T::from_f64(sum);
            }
        }
        output
    }

    fn outcome<T: Element>(operand: &dyn Fn(T) -> T) -> Canary {
        let operands = Cancelling::new(5, 3, operand);
        operands.judge(&multiply(&operands, 5, 3))
    }

    #[test]
    fn the_declared_precision_is_exact() {
        assert_eq!(outcome::<f32>(&|x| x).error, Some(0.0));
        assert_eq!(outcome::<f64>(&|x| x).error, Some(0.0));
    }

    #[test]
    fn lower_precision_fails() {
        for bits in [7, 10] {
            assert!(!outcome::<f32>(&|x| round_mantissa(x, bits)).passed(), "{bits} bits");
        }
        assert!(!outcome::<f64>(&|x| round_mantissa(x, 23)).passed());
    }

    #[test]
    fn tf32_passes_its_own_canary_fails_that_of_binary32_and_bf16_fails_it() {
        let outcome = |bits: u32| {
            let operands = Cancelling::<f32>::of(Dtype::Tf32, 5, 3, &|x| round_mantissa(x, bits));
            operands.judge(&multiply(&operands, 5, 3))
        };
        assert_eq!((outcome(10).error, outcome(23).error), (Some(0.0), Some(0.0)));
        assert!(!outcome(7).passed());
        assert!(!self::outcome::<f32>(&|x| round_mantissa(x, 10)).passed());
    }

    #[test]
    fn sums_of_triples_need_single_precision() {
        let found = |operand: &dyn Fn(f32) -> f32, bits: u32| {
            let operands = Triples::new(5, 3, operand);
            let mut output = vec![0.0_f32; 15];
            for (index, sum) in output.iter_mut().enumerate() {
                for q in 0..LONG {
                    let product = operands.left[index / 3 * LONG + q] * operands.right[q * 3 + index % 3];
                    *sum = round_mantissa(*sum + product, bits);
                }
            }
            operands.judge(&output)
        };
        assert_eq!(found(&|x| x, 23).error, Some(0.0));
        assert!(!found(&|x| x, 10).passed() && !found(&|x| x, 7).passed());
        assert!(!found(&|x| round_mantissa(x, 3), 23).passed());
    }

    #[test]
    fn rounding_the_mantissa_is_to_nearest_even() {
        assert_eq!(round_mantissa(1.0_f64 + 1.0 / 4096.0, 10), 1.0);
        assert_eq!(round_mantissa(1.0_f64 + 3.0 / 4096.0, 10), 1.0 + 1.0 / 1024.0);
        assert_eq!(round_mantissa(-1.5_f32, 7), -1.5);
        assert_eq!(round_mantissa(std::f64::consts::PI, 23), f64::from(std::f32::consts::PI));
    }
}
