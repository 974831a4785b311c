//! The program of quantised layers: a thread walks through its rows in four streams side by side, unpacks a
//! vector of weights at a time and multiplies it with the activations, which the first-level cache holds.

#![expect(unsafe_code, reason = "vector operations on packed weights whose sizes were checked")]

use super::pack::{CHUNK, Width};
use super::{even, fill};
use crate::kernels::buffer::HugePages;
use crate::kernels::dot::DotUnit;
use crate::kernels::short::Bf16;
use crate::kernels::simd::{Portable, Simd};
use crate::kernels::split::Parts;
use crate::kernels::{Buffer, Dtype, KernelError, Team};
use std::ops::Range;

/// Rows that a thread reads side by side, each in a stretch of its own: prefetchers follow several streams.
const STREAMS: usize = 4;
/// Columns multiplied with one unpacked vector of weights.
const TOKENS: usize = 4;
/// How far ahead of each stream lines are asked for, in bytes.
const AHEAD: usize = 2048;

/// A packed layer and its activations.
pub(super) struct Rows {
    m: usize,
    n: usize,
    k: usize,
    group: usize,
    width: Width,
    unit: DotUnit,
    weights: Buffer<u8>,
    scales: Buffer<f32>,
    /// Activations by column, widened.
    x: Buffer<f32>,
}

impl Rows {
    /// Packs weights given by (row, depth) for a unit, which must be available here.
    ///
    /// # Errors
    /// [`KernelError::Structure`] when activations, scales or groups do not fit the shape, or
    /// [`KernelError::OutOfMemory`].
    #[expect(clippy::too_many_arguments, reason = "a layer is made of these")]
    pub(super) fn pack(
        [m, n, k]: [usize; 3],
        group: usize,
        width: Width,
        unit: DotUnit,
        scales: Buffer<f32>,
        x: &[Bf16],
        weight: &(dyn Fn(usize, usize) -> i8 + Sync),
        team: &dyn Team,
    ) -> Result<Self, KernelError> {
        let fits = group > 0 && k.is_multiple_of(group) && group.is_multiple_of(CHUNK) && x.len() == m * k;
        if !fits || scales.len() != n * (k / group) {
            let (x, scales) = (x.len(), scales.len());
            let found = format!("{x} activations and {scales} scales for {m}×{n}×{k} in groups of {group}");
            return Err(KernelError::Structure(found));
        }
        // Weights are widened, so what multiplies short elements has no use here.
        let unit = unit.widened();
        let row_bytes = k / CHUNK * width.chunk_bytes();
        let mut weights = Buffer::<u8>::zeroed(n * row_bytes, "the weights")?;
        let ranges = even(n, team.threads(), STREAMS);
        let parts = Parts::of(&mut weights);
        team.run(&|thread| {
            for row in ranges[thread].clone() {
                // SAFETY: each row belongs to one thread.
                let to = unsafe { parts.range(row * row_bytes..(row + 1) * row_bytes) };
                for (chunk, to) in to.chunks_exact_mut(width.chunk_bytes()).enumerate() {
                    width.pack(|index| weight(row, chunk * CHUNK + index), to);
                }
            }
        });
        let mut wide = Buffer::<f32>::zeroed(m * k, "X, widened")?;
        fill(&mut wide, team, &|first, part| {
            part.iter_mut().zip(&x[first..]).for_each(|(wide, x)| *wide = x.to_f32());
        });
        Ok(Self { m, n, k, group, width, unit, weights, scales, x: wide })
    }

    /// The name of the path in the record.
    pub(super) fn path(&self) -> String {
        format!("{}/unpacked", self.unit.name(Dtype::Bf16))
    }

    /// Whether huge pages were advised for the weights.
    pub(super) const fn pages(&self) -> HugePages {
        self.weights.pages()
    }

    /// The unit that computes.
    pub(super) const fn unit(&self) -> DotUnit {
        self.unit
    }

    /// Type of the weights.
    pub(super) const fn width(&self) -> Width {
        self.width
    }

    /// Columns.
    pub(super) const fn tokens(&self) -> usize {
        self.m
    }

    /// Y = W·X, row-major.
    pub(super) fn multiply(&mut self, y: &mut [f32], team: &dyn Team) {
        assert_eq!(y.len(), self.n * self.m, "an output of another shape");
        let ranges = even(self.n, team.threads(), STREAMS);
        let (y, rows) = (Parts::of(y), &*self);
        let program = pick(self.unit, self.width, self.m);
        team.run(&|thread| {
            let part = Part { rows, y: &y, range: ranges[thread].clone() };
            // SAFETY: the unit is available; each thread has rows of its own, inside the layer.
            unsafe { program(&part) };
        });
    }
}

/// Some rows of a layer.
pub(super) struct Part<'a> {
    rows: &'a Rows,
    y: &'a Parts<'a, f32>,
    range: Range<usize>,
}

/// What unpacks weights: a vector set that widens integers.
trait Unpack: Simd<Elem = f32> {
    /// `LANES` integers of 8 bits.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn bytes(from: *const u8) -> Self::V;
    /// Nibble `at` of `LANES` words of 32 bits, less 8.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn nibbles(from: *const u8, at: u32) -> Self::V;
}

/// The paths of a width and a number of columns.
pub(super) type Compiled = unsafe fn(&Part<'_>);

/// Computes the rows of a part, four streams at a time.
///
/// # Safety
/// The instruction set is available; the rows lie inside the layer and belong to this thread.
#[inline(always)]
unsafe fn walk<S: Unpack, const INT4: bool, const ONE: bool>(part: &Part<'_>) {
    let stretch = part.range.len() / STREAMS;
    let start = part.range.start;
    // SAFETY: passed on to the caller.
    unsafe {
        for row in start..start + stretch {
            block::<S, STREAMS, INT4, ONE>(part, std::array::from_fn(|stream| row + stream * stretch));
        }
        for row in start + STREAMS * stretch..part.range.end {
            block::<S, 1, INT4, ONE>(part, [row]);
        }
    }
}

/// Computes rows of all columns.
///
/// # Safety
/// As for [`walk`].
#[inline(always)]
unsafe fn block<S: Unpack, const R: usize, const INT4: bool, const ONE: bool>(part: &Part<'_>, rows: [usize; R]) {
    // SAFETY: passed on to the caller.
    unsafe {
        if ONE {
            return sums::<S, R, 1, INT4>(part, rows, 0);
        }
        let mut token = 0;
        while token + TOKENS <= part.rows.m {
            sums::<S, R, TOKENS, INT4>(part, rows, token);
            token += TOKENS;
        }
        while token < part.rows.m {
            sums::<S, R, 1, INT4>(part, rows, token);
            token += 1;
        }
    }
}

/// Sums of `R` rows for `T` columns from `token` on.
///
/// # Safety
/// As for [`walk`].
#[inline(always)]
unsafe fn sums<S: Unpack, const R: usize, const T: usize, const INT4: bool>(
    part: &Part<'_>,
    rows: [usize; R],
    token: usize,
) {
    let Rows { m, k, group, width, .. } = *part.rows;
    let chunk_bytes = width.chunk_bytes();
    let row_bytes = k / CHUNK * chunk_bytes;
    let (groups, chunks) = (k / group, group / CHUNK);
    // SAFETY: rows and columns lie inside the layer, whose buffers were made for its shape; a prefetch may name
    // any address.
    unsafe {
        let from = rows.map(|row| part.rows.weights.as_ptr().add(row * row_bytes));
        let scales = rows.map(|row| part.rows.scales.as_ptr().add(row * groups));
        let x: [*const f32; T] = std::array::from_fn(|t| part.rows.x.as_ptr().add((token + t) * k));
        let mut totals = [[S::splat(0.0); T]; R];
        for index in 0..groups {
            let scale: [f32; R] = std::array::from_fn(|r| scales[r].add(index).read());
            // With one column its sums are scaled once a group; with several the weights are, once for all.
            let mut sums = [[S::splat(0.0); T]; R];
            for chunk in index * chunks..(index + 1) * chunks {
                for from in from {
                    let line = from.wrapping_add(chunk * chunk_bytes + AHEAD);
                    S::prefetch(line.cast());
                    if !INT4 {
                        S::prefetch(line.wrapping_add(64).cast());
                    }
                }
                for piece in 0..CHUNK / S::LANES {
                    let depth = piece * S::LANES;
                    let right: [S::V; T] = std::array::from_fn(|t| S::load(x[t].add(chunk * CHUNK + depth)));
                    for r in 0..R {
                        let at = from[r].add(chunk * chunk_bytes);
                        let weights = if INT4 {
                            S::nibbles(at.add(4 * (depth % 16)), (depth / 16) as u32)
                        } else {
                            S::bytes(at.add(depth))
                        };
                        if T == 1 {
                            sums[r][0] = S::fma(weights, right[0], sums[r][0]);
                        } else {
                            let weights = S::mul(weights, S::splat(scale[r]));
                            for (total, right) in totals[r].iter_mut().zip(right) {
                                *total = S::fma(weights, right, *total);
                            }
                        }
                    }
                }
            }
            if T == 1 {
                for ((totals, sums), scale) in totals.iter_mut().zip(&sums).zip(scale) {
                    totals[0] = S::fma(S::splat(scale), sums[0], totals[0]);
                }
            }
        }
        for (row, totals) in rows.iter().zip(&totals) {
            for (t, total) in totals.iter().enumerate() {
                part.y.as_mut_ptr().add(row * m + token + t).write(S::sum(*total));
            }
        }
    }
}

impl Unpack for Portable<f32> {
    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self::V {
        // SAFETY: the caller promises `LANES` readable bytes.
        std::array::from_fn(|lane| f32::from(unsafe { from.add(lane).read() }.cast_signed()))
    }
    #[inline(always)]
    unsafe fn nibbles(from: *const u8, at: u32) -> Self::V {
        // SAFETY: the caller promises `LANES` readable words.
        let word = |lane: usize| u32::from_le_bytes(unsafe { from.add(4 * lane).cast::<[u8; 4]>().read() });
        std::array::from_fn(|lane| (word(lane) >> (4 * at) & 15).cast_signed() as f32 - 8.0)
    }
}

/// Compiles the paths of an instruction set.
macro_rules! compiled {
    ($name:ident, $set:ty, $($feature:literal)?) => {
        pub(super) fn $name(width: Width, m: usize) -> Compiled {
            compiled!(@ int8_one, $set, false, true, $($feature)?);
            compiled!(@ int8_many, $set, false, false, $($feature)?);
            compiled!(@ int4_one, $set, true, true, $($feature)?);
            compiled!(@ int4_many, $set, true, false, $($feature)?);
            match (width, m) {
                (Width::Int8, 1) => int8_one,
                (Width::Int8, _) => int8_many,
                (Width::Int4, 1) => int4_one,
                (Width::Int4, _) => int4_many,
            }
        }
    };
    (@ $name:ident, $set:ty, $int4:literal, $one:literal, $($feature:literal)?) => {
        $(#[target_feature(enable = $feature)])?
        unsafe fn $name(part: &Part<'_>) {
            // SAFETY: the features are enabled on this function; the rest is the caller's promise.
            unsafe { walk::<$set, $int4, $one>(part) }
        }
    };
}
compiled!(portable, Portable<f32>,);

/// The program of a unit.
fn pick(unit: DotUnit, width: Width, m: usize) -> Compiled {
    match unit {
        #[cfg(target_arch = "aarch64")]
        DotUnit::Neon => arm::neon(width, m),
        #[cfg(target_arch = "x86_64")]
        DotUnit::Avx512 => x86::avx512(width, m),
        #[cfg(target_arch = "x86_64")]
        DotUnit::Avx2 => x86::avx2(width, m),
        _ => portable(width, m),
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::{Compiled, Part, Unpack, Width, walk};
    use crate::kernels::simd::{Neon, neon};
    use std::arch::aarch64::*;

    impl Unpack for Neon<f32> {
        #[inline(always)]
        unsafe fn bytes(from: *const u8) -> float32x4_t {
            // SAFETY: the caller promises four readable bytes.
            unsafe { neon::widen_bytes(from.cast()) }
        }
        #[inline(always)]
        unsafe fn nibbles(from: *const u8, at: u32) -> float32x4_t {
            // SAFETY: the caller promises the instruction set and four readable words. A shift by a negative number is
            // one to the right.
            unsafe {
                let words = vshlq_u32(vld1q_u32(from.cast()), vdupq_n_s32(-(4 * at).cast_signed()));
                let codes = vandq_u32(words, vdupq_n_u32(15));
                vsubq_f32(vcvtq_f32_u32(codes), vdupq_n_f32(8.0))
            }
        }
    }

    compiled!(neon, Neon<f32>, "neon");
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Compiled, Part, Unpack, Width, walk};
    use crate::kernels::simd::{Avx2, Avx512};
    use std::arch::x86_64::*;

    /// The values of nibbles.
    static VALUES: [f32; 16] = [-8., -7., -6., -5., -4., -3., -2., -1., 0., 1., 2., 3., 4., 5., 6., 7.];

    impl Unpack for Avx512<f32> {
        #[inline(always)]
        unsafe fn bytes(from: *const u8) -> __m512 {
            // SAFETY: the caller promises the instruction set and 16 readable bytes.
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
        }
        #[inline(always)]
        unsafe fn nibbles(from: *const u8, at: u32) -> __m512 {
            // SAFETY: the caller promises the instruction set and 16 readable words. The permutation looks at
            // the lowest four bits of each index alone.
            unsafe {
                let words =
                    _mm512_srl_epi32(_mm512_loadu_si512(from.cast()), _mm_cvtsi32_si128((4 * at).cast_signed()));
                _mm512_permutexvar_ps(words, _mm512_loadu_ps(VALUES.as_ptr()))
            }
        }
    }

    impl Unpack for Avx2<f32> {
        #[inline(always)]
        unsafe fn bytes(from: *const u8) -> __m256 {
            // SAFETY: the caller promises the instruction set and 8 readable bytes.
            unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
        }
        #[inline(always)]
        unsafe fn nibbles(from: *const u8, at: u32) -> __m256 {
            // SAFETY: the caller promises the instruction set and 8 readable words.
            unsafe {
                let words =
                    _mm256_srl_epi32(_mm256_loadu_si256(from.cast()), _mm_cvtsi32_si128((4 * at).cast_signed()));
                let codes = _mm256_and_si256(words, _mm256_set1_epi32(15));
                _mm256_sub_ps(_mm256_cvtepi32_ps(codes), _mm256_set1_ps(8.0))
            }
        }
    }

    compiled!(avx2, Avx2<f32>, "avx2,fma");
    compiled!(avx512, Avx512<f32>, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
}
