//! Plain Rust on short arrays, which the compiler turns into the baseline's vectors (SSE2, NEON).

#![expect(unsafe_code, reason = "raw loads, to share one definition with the vector sets")]

use super::{Simd, SimdExp};
use std::marker::PhantomData;

/// Arrays of 16 bytes of `T`.
#[derive(Clone, Copy)]
pub(crate) struct Portable<T>(PhantomData<T>);

macro_rules! portable {
    ($t:ty, $lanes:literal) => {
        impl Simd for Portable<$t> {
            type Elem = $t;
            type V = [$t; $lanes];
            const LANES: usize = $lanes;
            const REGISTERS: usize = 16;

            #[inline(always)]
            unsafe fn splat(x: $t) -> Self::V {
                [x; $lanes]
            }
            #[inline(always)]
            unsafe fn load(from: *const $t) -> Self::V {
                // SAFETY: the caller promises `LANES` readable elements.
                unsafe { from.cast::<Self::V>().read_unaligned() }
            }
            #[inline(always)]
            unsafe fn store(to: *mut $t, v: Self::V) {
                // SAFETY: the caller promises `LANES` writable elements.
                unsafe { to.cast::<Self::V>().write_unaligned(v) }
            }
            #[inline(always)]
            unsafe fn load_first(from: *const $t, n: usize) -> Self::V {
                // SAFETY: lanes below n are readable by the caller's promise; the others are not read.
                std::array::from_fn(|lane| if lane < n { unsafe { from.add(lane).read() } } else { 0.0 })
            }
            #[inline(always)]
            unsafe fn store_first(to: *mut $t, v: Self::V, n: usize) {
                for (lane, x) in v.into_iter().enumerate().take(n) {
                    // SAFETY: the caller promises n writable elements.
                    unsafe { to.add(lane).write(x) };
                }
            }
            #[inline(always)]
            unsafe fn stream(to: *mut $t, v: Self::V) {
                // SAFETY: passed on to the caller. There is no portable streaming store.
                unsafe { Self::store(to, v) }
            }
            #[inline(always)]
            unsafe fn fence() {}
            #[inline(always)]
            unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|lane| a[lane] + b[lane])
            }
            #[inline(always)]
            unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|lane| a[lane] * b[lane])
            }
            #[inline(always)]
            unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                // Where the baseline lacks a fused instruction, `mul_add` would be a slow library call.
                if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                    std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
                } else {
                    std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
                }
            }
            #[inline(always)]
            unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
                std::array::from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
            }
            #[inline(always)]
            unsafe fn sum(v: Self::V) -> $t {
                v.into_iter().sum()
            }
            #[inline(always)]
            unsafe fn gather_u16(base: *const $t, index: *const u16) -> Self::V {
                // SAFETY: the caller promises `LANES` indices, each inside the array.
                std::array::from_fn(|lane| unsafe { *base.add(usize::from(*index.add(lane))) })
            }
            #[inline(always)]
            unsafe fn gather_u32(base: *const $t, index: *const u32) -> Self::V {
                // SAFETY: the caller promises `LANES` indices, each inside the array.
                std::array::from_fn(|lane| unsafe { *base.add(*index.add(lane) as usize) })
            }
        }
    };
}
portable!(f32, 4);
portable!(f64, 2);

impl SimdExp for Portable<f32> {
    #[inline(always)]
    unsafe fn split(v: Self::V) -> (Self::V, Self::V) {
        // Adding and taking away 1.5·2^23 rounds to the nearest whole number for |v| < 2^22. A whole v may come
        // to v − 1 and 1, which is as good.
        const MAGIC: f32 = 12_582_912.0;
        // An exponent of −127 has the bits of zero.
        let v = v.map(|x| if x > -126.75 { x } else { -126.75 });
        let n = v.map(|x| ((x - 0.5) + MAGIC) - MAGIC);
        (n, std::array::from_fn(|lane| v[lane] - n[lane]))
    }
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "n is whole; beyond 127 the result is void"
    )]
    unsafe fn scale(v: Self::V, n: Self::V) -> Self::V {
        std::array::from_fn(|lane| v[lane] * f32::from_bits(((n[lane] as i32).wrapping_add(127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] / b[lane])
    }
    #[inline(always)]
    unsafe fn top(v: Self::V) -> f32 {
        v.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
