//! Comparing an output with its f64 reference.
//!
//! `e = max |C − C_ref| / (|A||B|)`, element by element, where |A||B| is the same sum of products
//! with every term positive. Rounding errors of a correct kernel stay within a fixed multiple of
//! the unit roundoff whatever the length of the sums; inputs rounded to TF32 or bf16 do not. (A
//! limit that grows with the length would let TF32 pass as f32; see Higham, Accuracy and Stability
//! of Numerical Algorithms, §3.5, for the bound.)

use super::element::Element;
use super::random::SplitMix64;
use super::split::{Parts, even};
use super::{Correctness, Coverage, Dtype, KernelError, Team};

/// Products that a reference may cost: below 1.5 s on one slow core. Larger outputs are compared
/// on rows chosen by the seed.
const BUDGET: u64 = 1 << 28;

/// Rows compared of `rows`, when one row costs `row_cost` products.
pub(crate) const fn rows_compared(rows: u64, row_cost: u64) -> u64 {
    let affordable = BUDGET / if row_cost == 0 { 1 } else { row_cost };
    // At least 16 rows, or all: fewer would leave a thread's part unseen.
    let affordable = if affordable < 16 { 16 } else { affordable };
    if rows < affordable { rows } else { affordable }
}

/// `16·u_acc + u_out` of METHOD: both are the unit roundoff where input, accumulator and output
/// have one type.
pub(crate) fn limit(dtype: Dtype) -> f64 {
    17.0 * dtype.unit_roundoff()
}

/// The limit of sums in binary32 that a card made of short operands, 128·2^-24.
///
/// Tensor cores cut off what a sum cannot hold instead of rounding it to nearest (Fasi, Higham, Mikaitis and Pranesh, PeerJ Computer
/// Science 7, 2021; Ootomo and Yokota, arXiv:2203.03341), so errors have one sign and grow with the length of the sum: of products of
/// normal numbers, cut off after each sixteen, 4,000 sums of 16,384 err by 20·2^-24 at most, 600 of 65,536 by 34·2^-24. A fixed
/// limit all the same: sums in binary16 or bfloat16 err by 2^-12 and more, whatever their length.
pub(crate) const CUT_OFF: f64 = 128.0 * Dtype::F32.unit_roundoff();

/// The f64 reference of some or all rows of an output, and the scale of each element.
pub(crate) struct Reference {
    rows: Vec<usize>,
    of: usize,
    width: usize,
    exact: Vec<f64>,
    scale: Vec<f64>,
}

/// Computes one row of a reference: `(row, exact, scale)`, both of the output's width and zero.
type Row<'a> = &'a (dyn Fn(usize, &mut [f64], &mut [f64]) + Sync);

/// Adds `left` times a row of the right operand to a row of the reference and to its scale.
pub(crate) fn add_product<T: Element>(left: T, right: &[T], exact: &mut [f64], scale: &mut [f64]) {
    let left = left.to_f64();
    for ((right, exact), scale) in right.iter().zip(exact).zip(scale) {
        let term = left * right.to_f64();
        *exact += term;
        *scale += term.abs();
    }
}

impl Reference {
    /// Computes the reference of an output of `of` rows and `width` columns on the team's threads.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(crate) fn compute(
        (of, width): (usize, usize),
        row_cost: u64,
        seed: u64,
        team: &dyn Team,
        row: Row<'_>,
    ) -> Result<Self, KernelError> {
        let rows = chosen_rows(of, row_cost, seed);
        let (mut exact, mut scale) = (zeros(rows.len() * width)?, zeros(rows.len() * width)?);
        let ranges = even(rows.len(), team.threads(), 1);
        let (all_exact, all_scale) = (Parts::of(&mut exact), Parts::of(&mut scale));
        team.run(&|thread| {
            for index in ranges[thread].clone() {
                let part = index * width..(index + 1) * width;
                #[expect(unsafe_code, reason = "threads fill disjoint rows")]
                // SAFETY: `even` gives each index to one thread, and rows of different indices
                // do not overlap.
                let (exact, scale) = unsafe { (all_exact.range(part.clone()), all_scale.range(part)) };
                row(rows[index], exact, scale);
            }
        });
        Ok(Self { rows, of, width, exact, scale })
    }

    /// Bytes that the reference of such an output takes.
    pub(crate) const fn bytes(of: u64, width: u64, row_cost: u64) -> Option<u64> {
        match rows_compared(of, row_cost).checked_mul(width) {
            Some(elements) => elements.checked_mul(16),
            None => None,
        }
    }

    /// Compares `output` (row-major). Elements outside the chosen rows must at least be finite.
    pub(crate) fn compare<T: Element>(&self, output: &[T]) -> Correctness {
        self.compare_as(output, T::to_f64, limit(T::DTYPE))
    }

    /// The same for any type of output and with a limit of its own; `widen` gives NaN for what is no result.
    pub(crate) fn compare_as<T: Copy>(&self, output: &[T], widen: fn(T) -> f64, limit: f64) -> Correctness {
        let mut worst = Worst::default();
        for (index, row) in self.rows.iter().enumerate() {
            let values = &output[row * self.width..(row + 1) * self.width];
            let part = index * self.width..(index + 1) * self.width;
            for ((value, exact), scale) in values.iter().zip(&self.exact[part.clone()]).zip(&self.scale[part]) {
                worst.see(widen(*value), *exact, *scale);
            }
        }
        if self.rows.len() < self.of && output.iter().any(|v| !widen(*v).is_finite()) {
            worst.invalid = true;
        }
        let coverage = if self.rows.len() == self.of {
            Coverage::Full
        } else {
            Coverage::Rows { checked: self.rows.len() as u64, of: self.of as u64 }
        };
        Correctness { error: worst.error(), limit, coverage }
    }
}

/// The largest error seen.
#[derive(Debug, Default)]
pub(crate) struct Worst {
    error: f64,
    invalid: bool,
}

impl Worst {
    /// Takes one element into account. Where the scale is zero, only the exact value is right.
    pub(crate) fn see(&mut self, value: f64, exact: f64, scale: f64) {
        let difference = (value - exact).abs();
        let error = if difference == 0.0 { 0.0 } else { difference / scale };
        if error.is_finite() {
            self.error = self.error.max(error);
        } else {
            self.invalid = true;
        }
    }

    /// `None` when an element was NaN, infinite, or not zero where it has to be.
    pub(crate) fn error(&self) -> Option<f64> {
        (!self.invalid).then_some(self.error)
    }
}

/// All rows, or one from each of as many equal strata as can be paid for. The first and the last
/// row are always among them: tiles end there.
fn chosen_rows(of: usize, row_cost: u64, seed: u64) -> Vec<usize> {
    let count = usize::try_from(rows_compared(of as u64, row_cost)).unwrap_or(of);
    if count == of {
        return (0..of).collect();
    }
    let generator = SplitMix64::new(seed, 0x00C0_FFEE);
    let mut rows: Vec<usize> = (0..count)
        .map(|stratum| {
            let (first, end) = (of * stratum / count, of * (stratum + 1) / count);
            let offset = generator.below(stratum as u64, (end - first) as u64);
            first + usize::try_from(offset).unwrap_or(0)
        })
        .collect();
    rows[0] = 0;
    rows[count - 1] = of - 1;
    rows
}

fn zeros(len: usize) -> Result<Vec<f64>, KernelError> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(len)
        .map_err(|_| KernelError::OutOfMemory { what: "the reference", bytes: (len as u64).saturating_mul(8) })?;
    vec.resize(len, 0.0);
    Ok(vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::verify::Threads;

    fn two_by_two() -> Reference {
        Reference::compute((2, 2), 1, 0, &Threads(1), &|row, exact, scale| {
            exact.copy_from_slice(&[row as f64, 1.0]);
            scale.copy_from_slice(&[row as f64 * 2.0, 1.0]);
        })
        .unwrap()
    }

    #[test]
    fn the_error_is_relative_to_the_scale() {
        let correct = two_by_two().compare(&[0.0_f64, 1.0, 1.0, 1.0]);
        assert_eq!((correct.error, correct.coverage), (Some(0.0), Coverage::Full));
        let off = two_by_two().compare(&[0.0_f64, 1.0, 1.5, 1.0]);
        assert_eq!(off.error, Some(0.25));
        assert!(!off.passed());
    }

    #[test]
    fn nan_infinity_and_a_value_where_nothing_may_be_never_pass() {
        for wrong in [f64::NAN, f64::INFINITY, 1e-300] {
            let result = two_by_two().compare(&[wrong, 1.0, 1.0, 1.0]);
            assert_eq!(result.error, None);
            assert!(!result.passed());
        }
    }

    #[test]
    fn expensive_outputs_are_sampled_with_both_ends_and_all_must_be_finite() {
        let row = |row: usize, exact: &mut [f64], scale: &mut [f64]| {
            exact[0] = row as f64;
            scale[0] = 1.0;
        };
        let reference = Reference::compute((1000, 1), BUDGET / 100, 5, &Threads(2), &row).unwrap();
        assert!(reference.rows.contains(&0) && reference.rows.contains(&999));
        assert!(reference.rows.windows(2).all(|w| w[0] < w[1]));
        let mut output: Vec<f64> = (0..1000).map(f64::from).collect();
        let result = reference.compare(&output);
        assert_eq!(result.coverage, Coverage::Rows { checked: 100, of: 1000 });
        assert!(result.passed());
        let unseen = (0..1000).find(|row| !reference.rows.contains(row)).unwrap();
        output[unseen] = f64::NAN;
        assert!(!reference.compare(&output).passed());
    }
}
