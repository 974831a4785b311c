//! AVX-512 F, BW, DQ and VL.

#![expect(unsafe_code, reason = "vector instructions and raw loads")]

use super::{Simd, SimdExp, operations};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// 512-bit registers of `T`.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<T>(PhantomData<T>);

impl Simd for Avx512<f32> {
    type Elem = f32;
    type V = __m512;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    operations! {
        fn splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        fn load(from: *const f32) -> __m512 = _mm512_loadu_ps(from);
        fn store(to: *mut f32, v: __m512) = _mm512_storeu_ps(to, v);
        fn load_first(from: *const f32, n: usize) -> __m512 = _mm512_maskz_loadu_ps(((1_u32 << n) - 1) as u16, from);
        fn store_first(to: *mut f32, v: __m512, n: usize) = _mm512_mask_storeu_ps(to, ((1_u32 << n) - 1) as u16, v);
        fn stream(to: *mut f32, v: __m512) = _mm512_stream_ps(to, v);
        fn fence() = _mm_sfence();
        fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fn sum(v: __m512) -> f32 = _mm512_reduce_add_ps(v);
        fn gather_u16(base: *const f32, index: *const u16) -> __m512 =
            _mm512_i32gather_ps::<4>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(index.cast())), base);
        fn gather_u32(base: *const f32, index: *const u32) -> __m512 =
            _mm512_i32gather_ps::<4>(_mm512_loadu_si512(index.cast()), base);
    }
}

impl SimdExp for Avx512<f32> {
    operations! {
        // `scalef` takes the floor by itself.
        fn split(v: __m512) -> (__m512, __m512) = (v, _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(v));
        fn scale(v: __m512, n: __m512) -> __m512 =
            _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(n, _mm512_set1_ps(-126.0)), v, n);
        fn div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fn top(v: __m512) -> f32 = _mm512_reduce_max_ps(v);
    }
}

impl Simd for Avx512<f64> {
    type Elem = f64;
    type V = __m512d;
    const LANES: usize = 8;
    const REGISTERS: usize = 32;

    operations! {
        fn splat(x: f64) -> __m512d = _mm512_set1_pd(x);
        fn load(from: *const f64) -> __m512d = _mm512_loadu_pd(from);
        fn store(to: *mut f64, v: __m512d) = _mm512_storeu_pd(to, v);
        fn load_first(from: *const f64, n: usize) -> __m512d = _mm512_maskz_loadu_pd(((1_u32 << n) - 1) as u8, from);
        fn store_first(to: *mut f64, v: __m512d, n: usize) = _mm512_mask_storeu_pd(to, ((1_u32 << n) - 1) as u8, v);
        fn stream(to: *mut f64, v: __m512d) = _mm512_stream_pd(to, v);
        fn fence() = _mm_sfence();
        fn add(a: __m512d, b: __m512d) -> __m512d = _mm512_add_pd(a, b);
        fn mul(a: __m512d, b: __m512d) -> __m512d = _mm512_mul_pd(a, b);
        fn fma(a: __m512d, b: __m512d, c: __m512d) -> __m512d = _mm512_fmadd_pd(a, b, c);
        fn max(a: __m512d, b: __m512d) -> __m512d = _mm512_max_pd(a, b);
        fn sum(v: __m512d) -> f64 = _mm512_reduce_add_pd(v);
        fn gather_u16(base: *const f64, index: *const u16) -> __m512d =
            _mm512_i32gather_pd::<8>(_mm256_cvtepu16_epi32(_mm_loadu_si128(index.cast())), base);
        fn gather_u32(base: *const f64, index: *const u32) -> __m512d =
            _mm512_i32gather_pd::<8>(_mm256_loadu_si256(index.cast()), base);
    }
}
