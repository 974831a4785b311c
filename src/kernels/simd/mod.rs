//! Vectors: one definition of each kernel, compiled for every instruction set.
//!
//! A kernel is written once as a generic function over [`Simd`], marked `#[inline(always)]`. The
//! [`paths!`](super::simd::paths) macro compiles it for each instruction set of the architecture, inside functions that
//! enable the set, and picks one at run time. The operations are `#[inline(always)]` as well, so
//! the compiler sees them inside those functions and uses registers throughout.

#![expect(unsafe_code, reason = "vector instructions and raw loads")]

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
mod portable;
mod transpose;
mod widen;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
pub(crate) use transpose::Transpose;
pub(crate) use widen::{Cell, Widen};

use super::element::Element;

/// A vector instruction set with one element type.
///
/// # Safety of every operation
/// The caller runs on a processor with the instruction set, inside a function that enables it, and
/// pointers are valid for the elements the operation touches.
pub(crate) trait Simd: Copy + 'static {
    /// Element type.
    type Elem: Element;
    /// One vector register.
    type V: Copy;
    /// Elements in a register.
    const LANES: usize;
    /// Registers that a kernel can count on.
    const REGISTERS: usize;

    /// All lanes `x`.
    unsafe fn splat(x: Self::Elem) -> Self::V;
    /// `LANES` elements, unaligned.
    unsafe fn load(from: *const Self::Elem) -> Self::V;
    /// Stores `LANES` elements, unaligned.
    unsafe fn store(to: *mut Self::Elem, v: Self::V);
    /// The first `n < LANES` elements; the other lanes are zero.
    unsafe fn load_first(from: *const Self::Elem, n: usize) -> Self::V;
    /// Stores the first `n < LANES` lanes.
    unsafe fn store_first(to: *mut Self::Elem, v: Self::V, n: usize);
    /// Stores past the caches, to an address aligned to the register.
    unsafe fn stream(to: *mut Self::Elem, v: Self::V);
    /// Stores two registers one behind the other past the caches, to an address aligned to the register: one instruction
    /// where there is one for two registers only.
    #[inline(always)]
    unsafe fn stream_pair(to: *mut Self::Elem, a: Self::V, b: Self::V) {
        // SAFETY: passed on to the caller.
        unsafe {
            Self::stream(to, a);
            Self::stream(to.add(Self::LANES), b);
        }
    }
    /// Orders streaming stores before what follows.
    unsafe fn fence();
    /// Asks for a cache line, which may lie anywhere: a hint without effect on results.
    #[inline(always)]
    unsafe fn prefetch(at: *const Self::Elem) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch never faults.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
        }
        #[cfg(target_arch = "aarch64")]
        neon::prefetch(at);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = at;
    }
    /// a + b.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// a · b.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c, fused where the instruction set can.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Lane-wise maximum.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// Sum of all lanes.
    unsafe fn sum(v: Self::V) -> Self::Elem;
    /// `LANES` elements of `base` at 16-bit indices.
    unsafe fn gather_u16(base: *const Self::Elem, index: *const u16) -> Self::V;
    /// `LANES` elements of `base` at 32-bit indices below 2^31.
    unsafe fn gather_u32(base: *const Self::Elem, index: *const u32) -> Self::V;
}

/// What the exponential function needs beyond [`Simd`], for single precision.
pub(crate) trait SimdExp: Simd<Elem = f32> {
    /// A number n for [`scale`](Self::scale) and r = v − ⌊n⌋, from 0 to 1, for v ≤ 0. Below −126 both may be
    /// anything for which `scale` gives zero.
    unsafe fn split(v: Self::V) -> (Self::V, Self::V);
    /// v·2^⌊n⌋ for the n of [`split`](Self::split) and v from 1 to 2; zero where n is below −126.
    unsafe fn scale(v: Self::V, n: Self::V) -> Self::V;
    /// a / b.
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// The largest lane.
    unsafe fn top(v: Self::V) -> f32;
}

/// 2^x for x ≤ 0, relative error below 2e-7; below −126 the result is zero, for a subnormal number would make
/// every operation it meets a hundred times slower. 2^0 is exactly 1.
///
/// The power of the whole part times a polynomial of the rest: interpolation of (2^r − 1)/r at the six
/// Chebyshev nodes of [0, 1], whose relative error is below 6e-9.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(crate) unsafe fn exp2_non_positive<S: SimdExp>(x: S::V) -> S::V {
    const POLYNOMIAL: [f32; 6] =
        [1.269_216_6e-3, 9.652_195_5e-3, 5.549_602_2e-2, 0.240_227_21, std::f32::consts::LN_2, 1.0];
    // SAFETY: passed on to the caller.
    unsafe {
        let (n, r) = S::split(x);
        let mut p = S::splat(2.081_791_5e-4);
        for coefficient in POLYNOMIAL {
            p = S::fma(p, r, S::splat(coefficient));
        }
        S::scale(p, n)
    }
}

/// Compiles one generic kernel for every instruction set and picks at run time.
///
/// `paths!(trait Name: body(Args), registers = [a, b, c])` makes a trait implemented for `f32` and
/// `f64`; `T::pick(isa)` is the compiled `body::<S, R>(&Args<T>)`, where `R` is `a` for sets with 32 registers (AVX-512,
/// NEON), `b` for AVX2 and `c` for portable code (a tile height, mostly). `registers = [a, b, c], neon = d` gives NEON
/// one of its own.
macro_rules! paths {
    ($vis:vis trait $name:ident: $body:ident($args:ident), registers = [$r512:literal, $r2:literal, $r0:literal], for $($t:ty),+) => {
        $crate::kernels::simd::paths!($vis trait $name: $body($args), registers = [$r512, $r2, $r0], neon = $r512, for $($t),+);
    };
    ($vis:vis trait $name:ident: $body:ident($args:ident), registers = [$r512:literal, $r2:literal, $r0:literal], neon = $neon:literal, for $($t:ty),+) => {
        /// The compiled paths of this kernel.
        $vis trait $name: $crate::kernels::element::Element {
            /// The program for an instruction set, which must be available here.
            fn pick(isa: $crate::kernels::Isa) -> unsafe fn(&$args<'_, Self>);
        }
        $(impl $name for $t {
            fn pick(isa: $crate::kernels::Isa) -> unsafe fn(&$args<'_, Self>) {
                unsafe fn portable(args: &$args<'_, $t>) {
                    // SAFETY: portable code runs everywhere; the rest is the caller's promise.
                    unsafe { $body::<$crate::kernels::simd::Portable<$t>, $r0>(args) }
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2,fma")]
                unsafe fn avx2(args: &$args<'_, $t>) {
                    // SAFETY: the features are enabled on this function; the rest is the caller's promise.
                    unsafe { $body::<$crate::kernels::simd::Avx2<$t>, $r2>(args) }
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                unsafe fn avx512(args: &$args<'_, $t>) {
                    // SAFETY: the features are enabled on this function; the rest is the caller's promise.
                    unsafe { $body::<$crate::kernels::simd::Avx512<$t>, $r512>(args) }
                }
                #[cfg(target_arch = "aarch64")]
                #[target_feature(enable = "neon")]
                unsafe fn neon(args: &$args<'_, $t>) {
                    // SAFETY: the feature is enabled on this function; the rest is the caller's promise.
                    unsafe { $body::<$crate::kernels::simd::Neon<$t>, $neon>(args) }
                }
                match isa {
                    #[cfg(target_arch = "aarch64")]
                    $crate::kernels::Isa::Neon => neon,
                    #[cfg(target_arch = "x86_64")]
                    $crate::kernels::Isa::Avx512 => avx512,
                    #[cfg(target_arch = "x86_64")]
                    $crate::kernels::Isa::Avx2 => avx2,
                    _ => portable,
                }
            }
        })+
    };
}
pub(crate) use paths;

/// Writes the operations of a trait with one safety argument for all: each is unsafe to call, and
/// its caller promises what the trait's documentation asks for.
macro_rules! operations {
    ($(fn $name:ident($($arg:ident: $t:ty),*) $(-> $r:ty)? = $e:expr;)*) => { $(
        #[inline(always)]
        unsafe fn $name($($arg: $t),*) $(-> $r)? {
            // SAFETY: the caller promises the instruction set and valid pointers (see `Simd`).
            unsafe { $e }
        }
    )* };
}
use operations;

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::{Buffer, Isa};

    struct ExpArgs<'a, T> {
        x: &'a [T],
        y: *mut T,
    }

    #[inline(always)]
    unsafe fn exp_all<S: SimdExp, const R: usize>(args: &ExpArgs<'_, f32>) {
        for i in (0..args.x.len()).step_by(S::LANES) {
            // SAFETY: the test's arrays are multiples of the widest register.
            unsafe { S::store(args.y.add(i), exp2_non_positive::<S>(S::load(args.x.as_ptr().add(i)))) };
        }
    }
    paths!(trait ExpPath: exp_all(ExpArgs), registers = [1, 1, 1], for f32);

    #[test]
    fn the_exponential_is_accurate_on_every_path() {
        let x: Vec<f32> = (0..16_384).map(|i| -(i as f32) * (126.0 / 16_383.0)).collect();
        for isa in Isa::available() {
            let mut y = vec![f32::NAN; x.len()];
            let args = ExpArgs { x: &x, y: y.as_mut_ptr() };
            // SAFETY: the set is available and both arrays hold a multiple of 16 elements.
            unsafe { <f32 as ExpPath>::pick(isa)(&args) };
            for (x, y) in x.iter().zip(&y) {
                let exact = f64::from(*x).exp2();
                assert!((f64::from(*y) / exact - 1.0).abs() < 2e-7, "{isa}: 2^{x} = {y}");
            }
            assert_eq!(y[0], 1.0, "{isa}");
            let x = [[-126.5_f32; 16], [-127.0; 16], [-128.25; 16], [-1e4; 16], [-1e30; 16]].concat();
            let args = ExpArgs { x: &x, y: y.as_mut_ptr() };
            // SAFETY: as above.
            unsafe { <f32 as ExpPath>::pick(isa)(&args) };
            assert!(y[..x.len()].iter().all(|y| *y == 0.0), "{isa}: {:?}", &y[..x.len()]);
        }
    }

    struct OpsArgs<'a, T> {
        x: &'a [T],
        index16: &'a [u16],
        index32: &'a [u32],
        y: *mut T,
    }

    /// Where streamed registers go: behind what the widest register writes, aligned to it.
    const STREAMED: usize = 17 * 16;

    /// For each count n below the width: load_first, store_first; then sum and both gathers; then stores past the caches.
    #[inline(always)]
    unsafe fn all_operations<S: Simd, const R: usize>(args: &OpsArgs<'_, S::Elem>) {
        // SAFETY: the test's arrays are longer than 32 elements.
        unsafe {
            let (x, y) = (args.x.as_ptr(), args.y);
            for n in 0..S::LANES {
                S::store_first(y.add(n * S::LANES), S::load_first(x, n), n);
            }
            let g = S::add(S::gather_u16(x, args.index16.as_ptr()), S::gather_u32(x, args.index32.as_ptr()));
            let top = S::max(g, S::splat(S::Elem::from_f64(20.0)));
            y.add(S::LANES * S::LANES).write(S::sum(top));
            // The first address behind that is aligned to the widest register.
            let streamed = y.add(STREAMED);
            S::stream(streamed, S::load(x));
            S::stream_pair(streamed.add(S::LANES), S::load(x.add(1)), S::load(x.add(2)));
            S::fence();
        }
    }
    paths!(trait OpsPath: all_operations(OpsArgs), registers = [1, 1, 1], for f32, f64);

    fn operations_agree<T: OpsPath>(lanes: &dyn Fn(Isa) -> usize) {
        let x: Vec<T> = (1..=32).map(|i| T::from_f64(f64::from(i))).collect();
        let index16: Vec<u16> = (0..32).map(|i| (i * 7) % 32).collect();
        let index32: Vec<u32> = (0..32).map(|i| (i * 5) % 32).collect();
        for isa in Isa::available() {
            let width = lanes(isa);
            let mut y = Buffer::zeroed(STREAMED + 3 * 16, "a test").unwrap();
            y.fill(T::NAN);
            let args = OpsArgs { x: &x, index16: &index16, index32: &index32, y: y.as_mut_ptr() };
            // SAFETY: the set is available; every array is long enough for 16 lanes.
            unsafe { <T as OpsPath>::pick(isa)(&args) };
            for n in 0..width {
                let row = &y[n * width..(n + 1) * width];
                assert!(row[..n] == x[..n] && row[n..].iter().all(|v| v.to_f64().is_nan()), "{isa} first {n}");
            }
            let expected: f64 = (0..width)
                .map(|i| x[usize::from(index16[i])].to_f64() + x[index32[i] as usize].to_f64())
                .map(|v| v.max(20.0))
                .sum();
            assert_eq!(y[width * width].to_f64(), expected, "{isa} gathers, maximum and sum");
            let streamed = [&x[..width], &x[1..=width], &x[2..2 + width]].concat();
            assert!(y[STREAMED..STREAMED + 3 * width] == streamed, "{isa} streams");
        }
    }

    #[test]
    fn partial_loads_gathers_and_sums_agree_on_every_path() {
        operations_agree::<f32>(&|isa| match isa {
            Isa::Avx512 => 16,
            Isa::Avx2 => 8,
            Isa::Neon | Isa::Portable => Portable::<f32>::LANES,
        });
        operations_agree::<f64>(&|isa| match isa {
            Isa::Avx512 => 8,
            Isa::Avx2 => 4,
            Isa::Neon | Isa::Portable => Portable::<f64>::LANES,
        });
    }
}
