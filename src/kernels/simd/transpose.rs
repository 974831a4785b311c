//! Square tiles of single precision, turned over in registers.

#![expect(unsafe_code, reason = "vector instructions and raw loads")]

#[cfg(target_arch = "aarch64")]
use super::Neon;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};
use super::{Portable, Simd};
#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Transposition for an instruction set.
pub(crate) trait Transpose: Simd<Elem = f32> {
    /// Writes the transpose of a tile of `LANES × LANES` elements whose rows are `from.1` elements apart, to
    /// rows `to.1` elements apart. The tiles must not overlap.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn transpose(from: (*const f32, usize), to: (*mut f32, usize));
}

impl Transpose for Portable<f32> {
    #[inline(always)]
    unsafe fn transpose(from: (*const f32, usize), to: (*mut f32, usize)) {
        for row in 0..Self::LANES {
            for column in 0..Self::LANES {
                // SAFETY: the caller promises both tiles.
                unsafe { to.0.add(column * to.1 + row).write(*from.0.add(row * from.1 + column)) };
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
impl Transpose for Neon<f32> {
    #[inline(always)]
    unsafe fn transpose(from: (*const f32, usize), to: (*mut f32, usize)) {
        // SAFETY: the caller promises the instruction set and both tiles.
        unsafe {
            let row = |index: usize| from.0.add(index * from.1);
            let [a, b] = [vld1q_f32(row(0)), vld1q_f32(row(1))];
            let [c, d] = [vld1q_f32(row(2)), vld1q_f32(row(3))];
            // Columns 0 and 2, and 1 and 3, of two rows each.
            let [even, odd] = [vtrn1q_f32(a, b), vtrn2q_f32(a, b)].map(|v| vreinterpretq_f64_f32(v));
            let [even_cd, odd_cd] = [vtrn1q_f32(c, d), vtrn2q_f32(c, d)].map(|v| vreinterpretq_f64_f32(v));
            let columns = [
                vtrn1q_f64(even, even_cd),
                vtrn1q_f64(odd, odd_cd),
                vtrn2q_f64(even, even_cd),
                vtrn2q_f64(odd, odd_cd),
            ];
            for (index, column) in columns.into_iter().enumerate() {
                vst1q_f32(to.0.add(index * to.1), vreinterpretq_f32_f64(column));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Transpose for Avx2<f32> {
    #[inline(always)]
    unsafe fn transpose(from: (*const f32, usize), to: (*mut f32, usize)) {
        // SAFETY: the caller promises the instruction set and both tiles.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (index, row) in rows.iter_mut().enumerate() {
                *row = _mm256_loadu_ps(from.0.add(index * from.1));
            }
            // Pairs of rows, then fours: `fours[4·half + c]` holds column c (and c + 4) of the rows of a half.
            let mut fours = [_mm256_setzero_ps(); 8];
            for half in 0..2 {
                let [a, b, c, d] = [rows[4 * half], rows[4 * half + 1], rows[4 * half + 2], rows[4 * half + 3]];
                let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
                fours[4 * half] = _mm256_shuffle_ps::<0x44>(ab, cd);
                fours[4 * half + 1] = _mm256_shuffle_ps::<0xEE>(ab, cd);
                let (ab, cd) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
                fours[4 * half + 2] = _mm256_shuffle_ps::<0x44>(ab, cd);
                fours[4 * half + 3] = _mm256_shuffle_ps::<0xEE>(ab, cd);
            }
            for (column, (low, high)) in fours[..4].iter().zip(&fours[4..]).enumerate() {
                _mm256_storeu_ps(to.0.add(column * to.1), _mm256_permute2f128_ps::<0x20>(*low, *high));
                _mm256_storeu_ps(to.0.add((column + 4) * to.1), _mm256_permute2f128_ps::<0x31>(*low, *high));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Transpose for Avx512<f32> {
    #[inline(always)]
    unsafe fn transpose(from: (*const f32, usize), to: (*mut f32, usize)) {
        // SAFETY: the caller promises the instruction set and both tiles.
        unsafe {
            // Column c, quarter q: lane group g holds column 4·g + c of rows 4·q to 4·q + 3.
            let mut fours = [[_mm512_setzero_ps(); 4]; 4];
            for quarter in 0..4 {
                let row = from.0.add(4 * quarter * from.1);
                let (a, b) = (_mm512_loadu_ps(row), _mm512_loadu_ps(row.add(from.1)));
                let (c, d) = (_mm512_loadu_ps(row.add(2 * from.1)), _mm512_loadu_ps(row.add(3 * from.1)));
                let (low_ab, low_cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
                let (high_ab, high_cd) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
                let columns = [
                    _mm512_shuffle_ps::<0x44>(low_ab, low_cd),
                    _mm512_shuffle_ps::<0xEE>(low_ab, low_cd),
                    _mm512_shuffle_ps::<0x44>(high_ab, high_cd),
                    _mm512_shuffle_ps::<0xEE>(high_ab, high_cd),
                ];
                for (fours, column) in fours.iter_mut().zip(columns) {
                    fours[quarter] = column;
                }
            }
            for (column, [a, b, c, d]) in fours.into_iter().enumerate() {
                // Groups 0 and 2, then 1 and 3, of two quarters each.
                let (ab, cd) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
                _mm512_storeu_ps(to.0.add(column * to.1), _mm512_shuffle_f32x4::<0x88>(ab, cd));
                _mm512_storeu_ps(to.0.add((column + 8) * to.1), _mm512_shuffle_f32x4::<0xDD>(ab, cd));
                let (ab, cd) = (_mm512_shuffle_f32x4::<0xDD>(a, b), _mm512_shuffle_f32x4::<0xDD>(c, d));
                _mm512_storeu_ps(to.0.add((column + 4) * to.1), _mm512_shuffle_f32x4::<0x88>(ab, cd));
                _mm512_storeu_ps(to.0.add((column + 12) * to.1), _mm512_shuffle_f32x4::<0xDD>(ab, cd));
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::Isa;
    use crate::kernels::simd::paths;

    struct Args<'a, T> {
        from: &'a [T],
        to: *mut T,
    }

    #[inline(always)]
    unsafe fn turn<S: Transpose, const R: usize>(args: &Args<'_, f32>) {
        // SAFETY: the test's arrays are 16 rows of R, at least as many as a tile has.
        unsafe { S::transpose((args.from.as_ptr(), R), (args.to, R)) };
    }
    paths!(trait TurnPath: turn(Args), registers = [19, 19, 19], for f32);

    #[test]
    fn every_path_transposes_strided_tiles_and_writes_nothing_else() {
        let from: Vec<f32> = (0_u8..=255).cycle().take(16 * 19).map(f32::from).collect();
        for (isa, lanes) in [(Isa::Portable, 4), (Isa::Neon, 4), (Isa::Avx2, 8), (Isa::Avx512, 16)] {
            if !Isa::available().contains(&isa) {
                continue;
            }
            let mut to = vec![-1.0_f32; 16 * 19];
            // SAFETY: the set is available; both arrays hold 16 rows of 19 elements.
            unsafe { <f32 as TurnPath>::pick(isa)(&Args { from: &from, to: to.as_mut_ptr() }) };
            for (index, x) in to.iter().enumerate() {
                let (row, column) = (index / 19, index % 19);
                let inside = row < lanes && column < lanes;
                let expected = if inside { from[column * 19 + row] } else { -1.0 };
                assert_eq!(*x, expected, "{isa} {row} {column}");
            }
        }
    }
}
