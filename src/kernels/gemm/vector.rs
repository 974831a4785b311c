//! Micro-kernels of short products on vector registers: a broadcast word of A times a row of words of B.

#![expect(unsafe_code, reason = "vector instructions on packed operands")]

use super::words::Micro;
use crate::kernels::short::Bf16;

/// One bf16 as binary32.
pub(super) fn widened(x: Bf16) -> u32 {
    x.to_f32().to_bits()
}

/// Two bytes as integers of 16 bits.
pub(super) fn widened_pair(low: i8, high: i8) -> u32 {
    u32::from(i16::from(low).cast_unsigned()) | u32::from(i16::from(high).cast_unsigned()) << 16
}

/// Two bf16.
pub(super) fn pair(low: Bf16, high: Bf16) -> u32 {
    u32::from(low.bits()) | u32::from(high.bits()) << 16
}

/// Four bytes.
pub(super) fn four(bytes: [i8; 4]) -> u32 {
    let [a, b, c, d] = bytes.map(|byte| u32::from(byte.cast_unsigned()));
    a | b << 8 | c << 16 | d << 24
}

/// What the definitions of the vector micro-kernels have in common.
macro_rules! definition {
    ($short:ty, $elements:literal, [$high:literal, $wide:literal], $toggle:literal, |$e:ident| $word:expr, $run:path) => {
        type Short = $short;
        const ELEMENTS: usize = $elements;
        const TILE: [usize; 2] = [$high, $wide];
        const STEP: usize = 1;
        const DEPTH: usize = 256;
        const TOGGLE: u32 = $toggle;
        const STAYS_A: bool = false;
        const NATIVE: bool = size_of::<$short>() * $elements == 4;
        const RUN: usize = 1;

        #[inline(always)]
        fn word($e: impl Fn(usize) -> $short) -> u32 {
            $word
        }

        #[inline(always)]
        unsafe fn run(depth: usize, a: *const u32, b: *const u32, sums: *mut u32, pitch: usize, first: bool) {
            // SAFETY: passed on to the caller.
            unsafe { $run(depth, a, b, sums, pitch, first) }
        }
    };
}

/// A tile of `$high` rows by two registers of `$lanes` words.
#[cfg(target_arch = "x86_64")]
macro_rules! micro {
    (
        $(#[$doc:meta])* $name:ident: $short:ty, $elements:literal, [$high:literal, $wide:literal] of $lanes:literal, toggle $toggle:literal,
        word |$e:ident| $word:expr, features $feature:literal,
        register $v:ident, $zero:ident, $load:ident, $store:ident, $splat:ident, $words:ident,
        |$sum:ident, $a:ident, $b:ident| $dot:expr
    ) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl $name {
            /// # Safety
            /// As for [`Micro::run`].
            #[target_feature(enable = $feature)]
            unsafe fn tile(depth: usize, mut a: *const u32, mut b: *const u32, sums: *mut u32, pitch: usize, first: bool) {
                use std::arch::x86_64::*;
                const HIGH: usize = $high;
                let mut tile: [[$v; 2]; HIGH] = [[$zero(); 2]; HIGH];
                // SAFETY: the caller promises panels of `depth` words for each row and column, and a tile of
                // sums.
                unsafe {
                    if !first {
                        for (row, registers) in tile.iter_mut().enumerate() {
                            registers[0] = $load(sums.add(row * pitch).cast());
                            registers[1] = $load(sums.add(row * pitch + $lanes).cast());
                        }
                    }
                    for _ in 0..depth {
                        let right = [$words(b.cast()), $words(b.add($lanes).cast())];
                        for (row, registers) in tile.iter_mut().enumerate() {
                            let $a = $splat((*a.add(row)).cast_signed());
                            for (sum, right) in registers.iter_mut().zip(right) {
                                let ($sum, $b) = (*sum, right);
                                *sum = $dot;
                            }
                        }
                        a = a.add(HIGH);
                        b = b.add($wide);
                    }
                    for (row, registers) in tile.iter().enumerate() {
                        $store(sums.add(row * pitch).cast(), registers[0]);
                        $store(sums.add(row * pitch + $lanes).cast(), registers[1]);
                    }
                }
            }
        }

        impl Micro for $name {
            definition!($short, $elements, [$high, $wide], $toggle, |$e| $word, Self::tile);
        }
    };
}

#[cfg(target_arch = "x86_64")]
micro!(
    /// bf16 by `vdpbf16ps`.
    Bf16x512: Bf16, 2, [14, 32] of 16, toggle 0, word |e| pair(e(0), e(1)), features "avx512f,avx512bw,avx512bf16",
    register __m512, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_epi32, _mm512_loadu_si512,
    |sum, a, b| _mm512_dpbf16_ps(sum, std::mem::transmute::<__m512i, __m512bh>(a), std::mem::transmute::<__m512i, __m512bh>(b))
);
#[cfg(target_arch = "x86_64")]
micro!(
    /// Bytes by `vpdpbusd`, whose first factor has no sign.
    I8x512: i8, 4, [14, 32] of 16, toggle 0x8080_8080, word |e| four([e(0), e(1), e(2), e(3)]),
    features "avx512f,avx512bw,avx512vnni",
    register __m512i, _mm512_setzero_si512, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_set1_epi32, _mm512_loadu_si512,
    |sum, a, b| _mm512_dpbusd_epi32(sum, a, b)
);
#[cfg(target_arch = "x86_64")]
micro!(
    /// bf16 widened to binary32, AVX-512.
    F32x512: Bf16, 1, [14, 32] of 16, toggle 0, word |e| widened(e(0)), features "avx512f,avx512bw",
    register __m512, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_epi32, _mm512_loadu_si512,
    |sum, a, b| _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum)
);
#[cfg(target_arch = "x86_64")]
micro!(
    /// Bytes widened to 16 bits, AVX-512: `vpmaddwd` of two widened bytes cannot overflow.
    I16x512: i8, 2, [14, 32] of 16, toggle 0, word |e| widened_pair(e(0), e(1)), features "avx512f,avx512bw",
    register __m512i, _mm512_setzero_si512, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_set1_epi32, _mm512_loadu_si512,
    |sum, a, b| _mm512_add_epi32(sum, _mm512_madd_epi16(a, b))
);
#[cfg(target_arch = "x86_64")]
micro!(
    /// bf16 widened to binary32, AVX2.
    F32x256: Bf16, 1, [6, 16] of 8, toggle 0, word |e| widened(e(0)), features "avx2,fma",
    register __m256, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_epi32, _mm256_loadu_si256,
    |sum, a, b| _mm256_fmadd_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), sum)
);
#[cfg(target_arch = "x86_64")]
micro!(
    /// Bytes widened to 16 bits, AVX2.
    I16x256: i8, 2, [6, 16] of 8, toggle 0, word |e| widened_pair(e(0), e(1)), features "avx2,fma",
    register __m256i, _mm256_setzero_si256, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_set1_epi32, _mm256_loadu_si256,
    |sum, a, b| _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
);

/// Rows and columns of the portable tile: eight registers of 128 bits.
const PORTABLE: [usize; 2] = [4, 8];

/// A tile in plain Rust, which the compiler turns into the baseline's vectors.
///
/// # Safety
/// As for [`Micro::run`].
#[inline(always)]
unsafe fn plain<T: Copy + Default>(
    (depth, a, b, sums, pitch, first): (usize, *const u32, *const u32, *mut u32, usize, bool),
    dot: impl Fn(T, u32, u32) -> T,
    of_bits: impl Fn(u32) -> T,
    bits: impl Fn(T) -> u32,
) {
    const HIGH: usize = PORTABLE[0];
    const WIDE: usize = PORTABLE[1];
    let mut tile = [[T::default(); WIDE]; HIGH];
    // SAFETY: the caller promises panels of `depth` words for each row and column, and a tile of sums.
    unsafe {
        if !first {
            for (index, sum) in tile.as_flattened_mut().iter_mut().enumerate() {
                *sum = of_bits(sums.add(index / WIDE * pitch + index % WIDE).read());
            }
        }
        for step in 0..depth {
            let right: [u32; WIDE] = b.add(step * WIDE).cast::<[u32; WIDE]>().read();
            for (row, registers) in tile.iter_mut().enumerate() {
                let left = a.add(step * HIGH + row).read();
                for (sum, right) in registers.iter_mut().zip(right) {
                    *sum = dot(*sum, left, right);
                }
            }
        }
        for (index, sum) in tile.as_flattened().iter().enumerate() {
            sums.add(index / WIDE * pitch + index % WIDE).write(bits(*sum));
        }
    }
}

/// bf16 widened to binary32, any processor.
pub(super) struct F32x128;

impl F32x128 {
    /// # Safety
    /// As for [`Micro::run`].
    unsafe fn tile(depth: usize, a: *const u32, b: *const u32, sums: *mut u32, pitch: usize, first: bool) {
        let dot = |sum: f32, a: u32, b: u32| sum + f32::from_bits(a) * f32::from_bits(b);
        // SAFETY: passed on to the caller.
        unsafe { plain((depth, a, b, sums, pitch, first), dot, f32::from_bits, f32::to_bits) }
    }
}

impl Micro for F32x128 {
    definition!(Bf16, 1, [4, 8], 0, |e| widened(e(0)), Self::tile);
}

/// Bytes widened to 16 bits, any processor.
pub(super) struct I16x128;

impl I16x128 {
    /// # Safety
    /// As for [`Micro::run`].
    unsafe fn tile(depth: usize, a: *const u32, b: *const u32, sums: *mut u32, pitch: usize, first: bool) {
        let low = |word: u32| i32::from((word & 0xFFFF) as i16);
        let high = |word: u32| i32::from((word >> 16) as i16);
        let dot = |sum: i32, a: u32, b: u32| sum.wrapping_add(low(a) * low(b) + high(a) * high(b));
        // SAFETY: passed on to the caller.
        unsafe { plain((depth, a, b, sums, pitch, first), dot, u32::cast_signed, i32::cast_unsigned) }
    }
}

impl Micro for I16x128 {
    definition!(i8, 2, [4, 8], 0, |e| widened_pair(e(0), e(1)), Self::tile);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_elements_in_the_order_of_depth() {
        assert_eq!(pair(Bf16::round(1.0), Bf16::round(-2.0)), 0xC000_3F80);
        assert_eq!(four([1, -1, 2, -128]), 0x8002_FF01);
        assert_eq!(widened_pair(-2, 3), 0x0003_FFFE);
        assert_eq!(f32::from_bits(widened(Bf16::round(-2.5))).to_bits(), (-2.5_f32).to_bits());
        assert_eq!(<F32x128 as Micro>::TILE, PORTABLE);
    }
}
