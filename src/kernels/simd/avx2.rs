//! AVX2 with FMA.

#![expect(unsafe_code, reason = "vector instructions and raw loads")]

use super::{Simd, SimdExp, operations};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// 256-bit registers of `T`.
#[derive(Clone, Copy)]
pub(crate) struct Avx2<T>(PhantomData<T>);

/// Sliding windows of this array are the masks of the first n lanes.
const MASK32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
/// As [`MASK32`], for four lanes of 64 bits.
const MASK64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// Mask of the first `n ≤ 8` lanes.
///
/// # Safety
/// AVX is available.
#[inline(always)]
unsafe fn first32(n: usize) -> __m256i {
    // SAFETY: n ≤ 8, so the window lies inside the table.
    unsafe { _mm256_loadu_si256(MASK32.as_ptr().add(8 - n).cast()) }
}

/// Mask of the first `n ≤ 4` lanes.
///
/// # Safety
/// AVX is available.
#[inline(always)]
unsafe fn first64(n: usize) -> __m256i {
    // SAFETY: n ≤ 4, so the window lies inside the table.
    unsafe { _mm256_loadu_si256(MASK64.as_ptr().add(4 - n).cast()) }
}

/// Sum of the four lanes.
///
/// # Safety
/// SSE is available.
#[inline(always)]
unsafe fn sum128(v: __m128) -> f32 {
    // SAFETY: passed on to the caller.
    unsafe {
        let pairs = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs)))
    }
}

/// Largest of the four lanes.
///
/// # Safety
/// SSE is available.
#[inline(always)]
unsafe fn top128(v: __m128) -> f32 {
    // SAFETY: passed on to the caller.
    unsafe {
        let pairs = _mm_max_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_max_ss(pairs, _mm_shuffle_ps::<1>(pairs, pairs)))
    }
}

impl Simd for Avx2<f32> {
    type Elem = f32;
    type V = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    operations! {
        fn splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        fn load(from: *const f32) -> __m256 = _mm256_loadu_ps(from);
        fn store(to: *mut f32, v: __m256) = _mm256_storeu_ps(to, v);
        fn load_first(from: *const f32, n: usize) -> __m256 = _mm256_maskload_ps(from, first32(n));
        fn store_first(to: *mut f32, v: __m256, n: usize) = _mm256_maskstore_ps(to, first32(n), v);
        fn stream(to: *mut f32, v: __m256) = _mm256_stream_ps(to, v);
        fn fence() = _mm_sfence();
        fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fn sum(v: __m256) -> f32 = sum128(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v)));
        fn gather_u16(base: *const f32, index: *const u16) -> __m256 =
            _mm256_i32gather_ps::<4>(base, _mm256_cvtepu16_epi32(_mm_loadu_si128(index.cast())));
        fn gather_u32(base: *const f32, index: *const u32) -> __m256 =
            _mm256_i32gather_ps::<4>(base, _mm256_loadu_si256(index.cast()));
    }
}

impl SimdExp for Avx2<f32> {
    operations! {
        fn split(v: __m256) -> (__m256, __m256) = {
            // An exponent of −127 has the bits of zero.
            let v = _mm256_max_ps(v, _mm256_set1_ps(-127.0));
            let n = _mm256_floor_ps(v);
            (n, _mm256_sub_ps(v, n))
        };
        fn scale(v: __m256, n: __m256) -> __m256 = {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        };
        fn div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fn top(v: __m256) -> f32 = top128(_mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v)));
    }
}

impl Simd for Avx2<f64> {
    type Elem = f64;
    type V = __m256d;
    const LANES: usize = 4;
    const REGISTERS: usize = 16;

    operations! {
        fn splat(x: f64) -> __m256d = _mm256_set1_pd(x);
        fn load(from: *const f64) -> __m256d = _mm256_loadu_pd(from);
        fn store(to: *mut f64, v: __m256d) = _mm256_storeu_pd(to, v);
        fn load_first(from: *const f64, n: usize) -> __m256d = _mm256_maskload_pd(from, first64(n));
        fn store_first(to: *mut f64, v: __m256d, n: usize) = _mm256_maskstore_pd(to, first64(n), v);
        fn stream(to: *mut f64, v: __m256d) = _mm256_stream_pd(to, v);
        fn fence() = _mm_sfence();
        fn add(a: __m256d, b: __m256d) -> __m256d = _mm256_add_pd(a, b);
        fn mul(a: __m256d, b: __m256d) -> __m256d = _mm256_mul_pd(a, b);
        fn fma(a: __m256d, b: __m256d, c: __m256d) -> __m256d = _mm256_fmadd_pd(a, b, c);
        fn max(a: __m256d, b: __m256d) -> __m256d = _mm256_max_pd(a, b);
        fn sum(v: __m256d) -> f64 = {
            let halves = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
            _mm_cvtsd_f64(_mm_add_sd(halves, _mm_unpackhi_pd(halves, halves)))
        };
        fn gather_u16(base: *const f64, index: *const u16) -> __m256d =
            _mm256_i32gather_pd::<8>(base, _mm_cvtepu16_epi32(_mm_loadl_epi64(index.cast())));
        fn gather_u32(base: *const f64, index: *const u32) -> __m256d =
            _mm256_i32gather_pd::<8>(base, _mm_loadu_si128(index.cast()));
    }
}
