//! Packing a strip of a dense operand: some columns of a row-major matrix, row after row.
//!
//! A strip takes a few cache lines of each row. No hardware prefetcher follows them where rows are kilobytes
//! apart, so they are fetched ahead by hand.

#![expect(unsafe_code, reason = "vector copies inside checked bounds")]

use super::Isa;
use super::simd::{Simd, paths};

/// Rows fetched ahead.
const AHEAD: usize = 8;

/// What is packed.
pub(crate) struct Strip<'a, T> {
    from: &'a [T],
    to: *mut T,
    /// Columns of the matrix.
    columns: usize,
    /// First column of the strip.
    first: usize,
    /// Columns of the packed strip.
    width: usize,
}

/// Copies columns `first..first + width` of the matrix `from`, which has `columns` columns, to the rows of `to`;
/// what lies beyond the matrix is filled up with zeros. The instruction set must be available, and `width` a
/// multiple of its registers.
///
/// # Panics
/// When the sizes do not fit.
pub(crate) fn pack<T: PackPath>(isa: Isa, (from, columns): (&[T], usize), to: &mut [T], first: usize, width: usize) {
    let rows = from.len() / columns;
    let fits = first < columns && from.len() == rows * columns && to.len() == rows * width;
    assert!(fits && (width * size_of::<T>()).is_multiple_of(isa.register_bytes()), "the strip does not fit");
    // SAFETY: the caller promises the instruction set; the sizes fit.
    unsafe { T::pick(isa)(&Strip { from, to: to.as_mut_ptr(), columns, first, width }) }
}

/// # Safety
/// As for [`Simd`]; the sizes fit, as [`pack`] checks.
#[inline(always)]
unsafe fn copy<S: Simd, const R: usize>(strip: &Strip<'_, S::Elem>) {
    let Strip { from, to, columns, first, width } = *strip;
    let left = (columns - first).min(width);
    for row in 0..from.len() / columns {
        // SAFETY: row and columns lie inside both; what is fetched ahead may lie anywhere.
        unsafe {
            let from = from.as_ptr().add(row * columns + first);
            let to = to.add(row * width);
            for register in (0..width).step_by(S::LANES) {
                S::prefetch(from.wrapping_add(AHEAD * columns + register));
                let v = if left >= register + S::LANES {
                    S::load(from.add(register))
                } else if left > register {
                    S::load_first(from.add(register), left - register)
                } else {
                    S::splat(<S::Elem as super::element::Element>::ZERO)
                };
                S::store(to.add(register), v);
            }
        }
    }
}
paths!(pub(crate) trait PackPath: copy(Strip), registers = [1, 1, 1], for f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_holds_its_columns_and_zeros_beyond() {
        for isa in Isa::available() {
            let matrix: Vec<f32> = (0..7 * 83).map(|i| i as f32 + 1.0).collect();
            for first in [0, 48, 80] {
                let mut strip = vec![f32::NAN; 7 * 48];
                pack(isa, (&matrix, 83), &mut strip, first, 48);
                for (index, x) in strip.iter().enumerate() {
                    let (row, column) = (index / 48, first + index % 48);
                    let expected = if column < 83 { matrix[row * 83 + column] } else { 0.0 };
                    assert!(x.to_bits() == expected.to_bits(), "{isa}: row {row}, column {column}: {x}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the strip does not fit")]
    fn a_strip_of_another_size_is_refused() {
        pack(Isa::Portable, (&[0.0_f32; 30], 10), &mut [0.0; 20], 4, 8);
    }
}
