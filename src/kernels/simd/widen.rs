//! Registers of single precision loaded from narrower elements.

#![expect(unsafe_code, reason = "vector instructions and raw loads")]

#[cfg(target_arch = "aarch64")]
use super::neon::{self, Neon};
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};
use super::{Portable, Simd};
use crate::kernels::short::{Bf16, Short};
#[cfg(target_arch = "aarch64")]
use std::arch::aarch64::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Conversion while loading, for an instruction set.
pub(crate) trait Widen: Simd<Elem = f32> {
    /// `LANES` signed bytes as numbers.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn widen_i8(from: *const i8) -> Self::V;

    /// `LANES` numbers of bfloat16, exactly.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn widen_bf16(from: *const Bf16) -> Self::V;

    /// The sums of all lanes of four registers, which take fewer instructions together.
    ///
    /// # Safety
    /// As for [`Simd`].
    #[inline(always)]
    unsafe fn sum4([a, b, c, d]: [Self::V; 4]) -> [f32; 4] {
        // SAFETY: passed on to the caller.
        unsafe { [Self::sum(a), Self::sum(b), Self::sum(c), Self::sum(d)] }
    }

    /// Asks for a line of memory; any address will do. Nothing where the instruction set has
    /// no such instruction.
    #[inline(always)]
    fn ask<T>(_line: *const T) {}
}

/// An element that a register of single precision can be loaded from.
pub(crate) trait Cell: Copy {
    /// `LANES` elements as numbers.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn load<S: Widen>(from: *const Self) -> S::V;

    /// The first `n < LANES` elements as numbers, zeros behind them.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn load_first<S: Widen>(from: *const Self, n: usize) -> S::V;
}

impl Cell for f32 {
    #[inline(always)]
    unsafe fn load<S: Widen>(from: *const Self) -> S::V {
        // SAFETY: passed on to the caller.
        unsafe { S::load(from) }
    }

    #[inline(always)]
    unsafe fn load_first<S: Widen>(from: *const Self, n: usize) -> S::V {
        // SAFETY: passed on to the caller.
        unsafe { S::load_first(from, n) }
    }
}

impl Cell for i8 {
    #[inline(always)]
    unsafe fn load<S: Widen>(from: *const Self) -> S::V {
        // SAFETY: passed on to the caller.
        unsafe { S::widen_i8(from) }
    }

    #[inline(always)]
    unsafe fn load_first<S: Widen>(from: *const Self, n: usize) -> S::V {
        let mut bytes = [0; 64];
        for (index, byte) in bytes.iter_mut().enumerate().take(n) {
            // SAFETY: the caller promises n elements.
            *byte = unsafe { *from.add(index) };
        }
        // SAFETY: no register of single precision has more than 64 lanes; the rest is the caller's promise.
        unsafe { S::widen_i8(bytes.as_ptr()) }
    }
}

impl Cell for Bf16 {
    #[inline(always)]
    unsafe fn load<S: Widen>(from: *const Self) -> S::V {
        // SAFETY: passed on to the caller.
        unsafe { S::widen_bf16(from) }
    }

    #[inline(always)]
    unsafe fn load_first<S: Widen>(from: *const Self, n: usize) -> S::V {
        let mut numbers = [<Self as Short>::ZERO; 64];
        for (index, number) in numbers.iter_mut().enumerate().take(n) {
            // SAFETY: the caller promises n elements.
            *number = unsafe { *from.add(index) };
        }
        // SAFETY: no register of single precision has more than 64 lanes; the rest is the caller's promise.
        unsafe { S::widen_bf16(numbers.as_ptr()) }
    }
}

impl Widen for Portable<f32> {
    #[inline(always)]
    unsafe fn widen_i8(from: *const i8) -> Self::V {
        // SAFETY: the caller promises `LANES` elements.
        std::array::from_fn(|lane| f32::from(unsafe { *from.add(lane) }))
    }

    #[inline(always)]
    unsafe fn widen_bf16(from: *const Bf16) -> Self::V {
        // SAFETY: the caller promises `LANES` elements.
        std::array::from_fn(|lane| unsafe { *from.add(lane) }.to_f32())
    }
}

#[cfg(target_arch = "aarch64")]
impl Widen for Neon<f32> {
    #[inline(always)]
    unsafe fn widen_i8(from: *const i8) -> Self::V {
        // SAFETY: the caller promises four bytes.
        unsafe { neon::widen_bytes(from) }
    }

    #[inline(always)]
    unsafe fn widen_bf16(from: *const Bf16) -> Self::V {
        // SAFETY: the caller promises the instruction set and four numbers of 16 bits.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn sum4([a, b, c, d]: [float32x4_t; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: the caller promises the instruction set; the array holds four sums.
        unsafe { vst1q_f32(sums.as_mut_ptr(), vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d))) };
        sums
    }

    #[inline(always)]
    fn ask<T>(line: *const T) {
        neon::prefetch(line);
    }
}

#[cfg(target_arch = "x86_64")]
impl Widen for Avx2<f32> {
    #[inline(always)]
    unsafe fn widen_i8(from: *const i8) -> Self::V {
        // SAFETY: the caller promises the instruction set and 8 bytes.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn widen_bf16(from: *const Bf16) -> Self::V {
        // SAFETY: the caller promises the instruction set and 8 numbers of 16 bits.
        unsafe {
            let numbers = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(numbers))
        }
    }

    #[inline(always)]
    unsafe fn sum4([a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: the caller promises the instruction set; the array holds four sums.
        unsafe {
            let quarters = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let halves = [_mm256_castps256_ps128(quarters), _mm256_extractf128_ps::<1>(quarters)];
            _mm_storeu_ps(sums.as_mut_ptr(), _mm_add_ps(halves[0], halves[1]));
        }
        sums
    }

    #[inline(always)]
    fn ask<T>(line: *const T) {
        // SAFETY: a prefetch may name any address, and every processor with these registers has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
}

#[cfg(target_arch = "x86_64")]
impl Widen for Avx512<f32> {
    #[inline(always)]
    unsafe fn widen_i8(from: *const i8) -> Self::V {
        // SAFETY: the caller promises the instruction set and 16 bytes.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))) }
    }

    #[inline(always)]
    unsafe fn widen_bf16(from: *const Bf16) -> Self::V {
        // SAFETY: the caller promises the instruction set and 16 numbers of 16 bits.
        unsafe {
            let numbers = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(numbers))
        }
    }

    #[inline(always)]
    unsafe fn sum4([a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        // SAFETY: the caller promises the instruction set; the array holds four sums.
        unsafe {
            let ab = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
            let cd = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
            let [low, high] = [_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd)];
            // Each quarter holds its part of the four sums, in order.
            let quarters = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            let halves = [_mm512_castps512_ps256(quarters), _mm512_extractf32x8_ps::<1>(quarters)];
            let half = _mm256_add_ps(halves[0], halves[1]);
            let sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps::<1>(half));
            _mm_storeu_ps(sums.as_mut_ptr(), sum);
        }
        sums
    }

    #[inline(always)]
    fn ask<T>(line: *const T) {
        // SAFETY: a prefetch may name any address, and every processor with these registers has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::Isa;
    use crate::kernels::simd::paths;

    struct Args<'a, T> {
        short: &'a [Bf16],
        from: &'a [i8],
        to: *mut T,
    }

    /// All bytes, then the first five lanes (three of the portable four) again.
    #[inline(always)]
    unsafe fn widen_all<S: Widen, const R: usize>(args: &Args<'_, f32>) {
        let from = args.from.as_ptr();
        for at in (0..args.from.len()).step_by(S::LANES) {
            // SAFETY: both arrays hold whole registers of the widest set.
            unsafe { S::store(args.to.add(at), <i8 as Cell>::load::<S>(from.add(at))) };
        }
        // SAFETY: there is room for one register more.
        unsafe { S::store(args.to.add(args.from.len()), <i8 as Cell>::load_first::<S>(from, 3)) };
        let (short, to) = (args.short.as_ptr(), args.to.wrapping_add(args.from.len() + 16));
        for at in (0..args.short.len()).step_by(S::LANES) {
            // SAFETY: as above.
            unsafe { S::store(to.add(at), <Bf16 as Cell>::load::<S>(short.add(at))) };
        }
        // SAFETY: as above.
        unsafe { S::store(to.add(args.short.len()), <Bf16 as Cell>::load_first::<S>(short, 3)) };
    }
    paths!(trait WidenPath: widen_all(Args), registers = [1, 1, 1], for f32);

    #[test]
    fn every_short_element_becomes_its_number_on_every_path() {
        let short: Vec<Bf16> = (-64..64).map(|n| Bf16::round(f64::from(n) / 3.0)).collect();
        let from: Vec<i8> = (i8::MIN..=i8::MAX).collect();
        for isa in Isa::available() {
            let mut to = vec![f32::NAN; 256 + 16 + 128 + 16];
            // SAFETY: the set is available; both arrays are as long as the path needs.
            unsafe { <f32 as WidenPath>::pick(isa)(&Args { short: &short, from: &from, to: to.as_mut_ptr() }) };
            assert!(to.iter().zip(&from).all(|(to, from)| *to == f32::from(*from)), "{isa}");
            assert_eq!(to[256..260], [-128.0, -127.0, -126.0, 0.0], "{isa}");
            assert!(to[272..].iter().zip(&short).all(|(to, from)| *to == from.to_f32()), "{isa}");
            assert_eq!(to[400..404], [short[0].to_f32(), short[1].to_f32(), short[2].to_f32(), 0.0], "{isa}");
        }
    }
}
