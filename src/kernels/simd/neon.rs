//! Advanced SIMD of AArch64 (NEON).
//!
//! Source: Arm Neon Intrinsics Reference (ACLE), and Arm Architecture Reference Manual for A-profile, C7 (instructions).

#![expect(unsafe_code, reason = "vector instructions and raw loads")]

use super::{Simd, SimdExp, operations};
use std::arch::aarch64::*;
use std::arch::asm;
use std::marker::PhantomData;

/// 128-bit registers of `T`.
#[derive(Clone, Copy)]
pub(crate) struct Neon<T>(PhantomData<T>);

/// Asks for a cache line, which may lie anywhere.
#[inline(always)]
pub(crate) fn prefetch<T>(line: *const T) {
    // SAFETY: `prfm` is a hint, which never faults and changes no register and no memory.
    unsafe { asm!("prfm pldl1keep, [{}]", in(reg) line, options(nomem, nostack, preserves_flags)) };
}

/// Four signed bytes as numbers.
///
/// # Safety
/// Four bytes are readable.
#[inline(always)]
pub(crate) unsafe fn widen_bytes(from: *const i8) -> float32x4_t {
    // SAFETY: the caller promises four bytes.
    unsafe {
        let bytes = vcreate_s8(u64::from(from.cast::<u32>().read_unaligned()));
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
    }
}

impl Simd for Neon<f32> {
    type Elem = f32;
    type V = float32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    /// `stnp` is ordered as every store is.
    #[inline(always)]
    unsafe fn fence() {}

    operations! {
        fn splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        fn load(from: *const f32) -> float32x4_t = vld1q_f32(from);
        fn store(to: *mut f32, v: float32x4_t) = vst1q_f32(to, v);
        fn load_first(from: *const f32, n: usize) -> float32x4_t = {
            let none = vdupq_n_f32(0.0);
            match n {
                0 => none,
                1 => vld1q_lane_f32::<0>(from, none),
                2 => vcombine_f32(vld1_f32(from), vdup_n_f32(0.0)),
                _ => vld1q_lane_f32::<2>(from.add(2), vcombine_f32(vld1_f32(from), vdup_n_f32(0.0))),
            }
        };
        fn store_first(to: *mut f32, v: float32x4_t, n: usize) = match n {
            0 => {}
            1 => vst1q_lane_f32::<0>(to, v),
            2 => vst1_f32(to, vget_low_f32(v)),
            _ => {
                vst1_f32(to, vget_low_f32(v));
                vst1q_lane_f32::<2>(to.add(2), v);
            }
        };
        // One register alone has no store past the caches; see `stream_pair`.
        fn stream(to: *mut f32, v: float32x4_t) = vst1q_f32(to, v);
        fn stream_pair(to: *mut f32, a: float32x4_t, b: float32x4_t) =
            asm!("stnp {a:q}, {b:q}, [{to}]", a = in(vreg) a, b = in(vreg) b, to = in(reg) to, options(nostack, preserves_flags));
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        fn fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmaxq_f32(a, b);
        fn sum(v: float32x4_t) -> f32 = vaddvq_f32(v);
        fn gather_u16(base: *const f32, index: *const u16) -> float32x4_t = {
            let v = vld1q_dup_f32(base.add(usize::from(*index)));
            let v = vld1q_lane_f32::<1>(base.add(usize::from(*index.add(1))), v);
            let v = vld1q_lane_f32::<2>(base.add(usize::from(*index.add(2))), v);
            vld1q_lane_f32::<3>(base.add(usize::from(*index.add(3))), v)
        };
        fn gather_u32(base: *const f32, index: *const u32) -> float32x4_t = {
            let v = vld1q_dup_f32(base.add(*index as usize));
            let v = vld1q_lane_f32::<1>(base.add(*index.add(1) as usize), v);
            let v = vld1q_lane_f32::<2>(base.add(*index.add(2) as usize), v);
            vld1q_lane_f32::<3>(base.add(*index.add(3) as usize), v)
        };
    }
}

impl SimdExp for Neon<f32> {
    operations! {
        fn split(v: float32x4_t) -> (float32x4_t, float32x4_t) = {
            // An exponent of −127 has the bits of zero.
            let v = vmaxq_f32(v, vdupq_n_f32(-127.0));
            let n = vrndmq_f32(v);
            (n, vsubq_f32(v, n))
        };
        fn scale(v: float32x4_t, n: float32x4_t) -> float32x4_t = {
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            vmulq_f32(v, vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        };
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fn top(v: float32x4_t) -> f32 = vmaxvq_f32(v);
    }
}

impl Simd for Neon<f64> {
    type Elem = f64;
    type V = float64x2_t;
    const LANES: usize = 2;
    const REGISTERS: usize = 32;

    /// `stnp` is ordered as every store is.
    #[inline(always)]
    unsafe fn fence() {}

    operations! {
        fn splat(x: f64) -> float64x2_t = vdupq_n_f64(x);
        fn load(from: *const f64) -> float64x2_t = vld1q_f64(from);
        fn store(to: *mut f64, v: float64x2_t) = vst1q_f64(to, v);
        fn load_first(from: *const f64, n: usize) -> float64x2_t = {
            let none = vdupq_n_f64(0.0);
            if n == 0 { none } else { vld1q_lane_f64::<0>(from, none) }
        };
        fn store_first(to: *mut f64, v: float64x2_t, n: usize) = if n > 0 { vst1q_lane_f64::<0>(to, v) };
        fn stream(to: *mut f64, v: float64x2_t) = vst1q_f64(to, v);
        fn stream_pair(to: *mut f64, a: float64x2_t, b: float64x2_t) =
            asm!("stnp {a:q}, {b:q}, [{to}]", a = in(vreg) a, b = in(vreg) b, to = in(reg) to, options(nostack, preserves_flags));
        fn add(a: float64x2_t, b: float64x2_t) -> float64x2_t = vaddq_f64(a, b);
        fn mul(a: float64x2_t, b: float64x2_t) -> float64x2_t = vmulq_f64(a, b);
        fn fma(a: float64x2_t, b: float64x2_t, c: float64x2_t) -> float64x2_t = vfmaq_f64(c, a, b);
        fn max(a: float64x2_t, b: float64x2_t) -> float64x2_t = vmaxq_f64(a, b);
        fn sum(v: float64x2_t) -> f64 = vaddvq_f64(v);
        fn gather_u16(base: *const f64, index: *const u16) -> float64x2_t =
            vld1q_lane_f64::<1>(base.add(usize::from(*index.add(1))), vld1q_dup_f64(base.add(usize::from(*index))));
        fn gather_u32(base: *const f64, index: *const u32) -> float64x2_t =
            vld1q_lane_f64::<1>(base.add(*index.add(1) as usize), vld1q_dup_f64(base.add(*index as usize)));
    }
}
