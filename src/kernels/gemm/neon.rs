//! Micro-kernels of short products on the registers of NEON: twelve rows by eight columns of C in 24 of 32 registers.
//!
//! Those on widened operands, and the dot products (`sdot`, `bfdot`), multiply two registers of B by one lane of a register
//! of A: no word of A is ever broadcast, and a step loads five registers for 24 multiplications. The matrix products
//! (`smmla`, `bfmmla`) multiply two rows of A by two columns of B, eight bytes deep.
//!
//! The instructions for short elements are assembly, for the compiler's functions for them are not stable. Source: Arm
//! Architecture Reference Manual for A-profile, C7.2.

#![expect(unsafe_code, reason = "vector instructions on packed operands")]

use super::vector::{four, pair, widened, widened_pair};
use super::words::Micro;
use crate::kernels::short::Bf16;
use std::arch::aarch64::*;
use std::arch::asm;

/// Rows of the tile.
const HIGH: usize = 12;
/// Columns of the tile.
const WIDE: usize = 8;
/// Columns in a register.
const LANES: usize = 4;

/// Adds to a row of sums a word of A, lane `LANE` of `left`, times a row of words of B.
trait ByLane {
    /// Makes a row of words of B ready for the step.
    ///
    /// # Safety
    /// The instruction set is available, as for all of these.
    #[inline(always)]
    unsafe fn right(words: [uint32x4_t; 2]) -> [uint32x4_t; 2] {
        words
    }

    /// The sums, as bits.
    ///
    /// # Safety
    /// As for [`ByLane::right`].
    unsafe fn step<const LANE: i32>(sums: [uint32x4_t; 2], right: [uint32x4_t; 2], left: uint32x4_t)
    -> [uint32x4_t; 2];
}

/// A tile of products by lanes.
///
/// # Safety
/// As for [`Micro::run`].
#[inline(always)]
unsafe fn by_lanes<M: ByLane>(
    (depth, mut a, mut b, sums, pitch, first): (usize, *const u32, *const u32, *mut u32, usize, bool),
) {
    // SAFETY: the caller promises the instruction set, panels of `depth` words for each row and column, and a tile of sums.
    unsafe {
        let mut tile = [[vdupq_n_u32(0); 2]; HIGH];
        if !first {
            for (row, registers) in tile.iter_mut().enumerate() {
                let from = sums.add(row * pitch);
                *registers = [vld1q_u32(from), vld1q_u32(from.add(LANES))];
            }
        }
        for _ in 0..depth {
            let right = M::right([vld1q_u32(b), vld1q_u32(b.add(LANES))]);
            for quarter in 0..HIGH / 4 {
                let (left, row) = (vld1q_u32(a.add(4 * quarter)), 4 * quarter);
                tile[row] = M::step::<0>(tile[row], right, left);
                tile[row + 1] = M::step::<1>(tile[row + 1], right, left);
                tile[row + 2] = M::step::<2>(tile[row + 2], right, left);
                tile[row + 3] = M::step::<3>(tile[row + 3], right, left);
            }
            (a, b) = (a.add(HIGH), b.add(WIDE));
        }
        for (row, registers) in tile.iter().enumerate() {
            let to = sums.add(row * pitch);
            vst1q_u32(to, registers[0]);
            vst1q_u32(to.add(LANES), registers[1]);
        }
    }
}

/// Adds to a 2×2 matrix of sums the product of two rows of A and two columns of B, two words deep.
trait Matrix {
    /// The sums, as bits: the first row, then the second.
    ///
    /// # Safety
    /// The instruction set is available.
    unsafe fn step(sums: uint32x4_t, left: uint32x4_t, right: uint32x4_t) -> uint32x4_t;
}

/// The first halves of two registers, and the second halves.
///
/// # Safety
/// NEON is available.
#[inline(always)]
unsafe fn halves(a: uint32x4_t, b: uint32x4_t) -> [uint32x4_t; 2] {
    // SAFETY: passed on to the caller.
    unsafe {
        let (a, b) = (vreinterpretq_u64_u32(a), vreinterpretq_u64_u32(b));
        [vreinterpretq_u32_u64(vtrn1q_u64(a, b)), vreinterpretq_u32_u64(vtrn2q_u64(a, b))]
    }
}

/// A tile of products of matrices.
///
/// # Safety
/// As for [`Micro::run`].
#[inline(always)]
unsafe fn by_matrices<M: Matrix>(
    (depth, mut a, mut b, sums, pitch, first): (usize, *const u32, *const u32, *mut u32, usize, bool),
) {
    // SAFETY: the caller promises the instruction set, panels of `depth` words, an even number, for each row and column,
    // and a tile of sums.
    unsafe {
        // Pairs of rows by pairs of columns.
        let mut tile = [[vdupq_n_u32(0); WIDE / 2]; HIGH / 2];
        if !first {
            for (rows, registers) in tile.iter_mut().enumerate() {
                let from = sums.add(2 * rows * pitch);
                let [one, two] = halves(vld1q_u32(from), vld1q_u32(from.add(pitch)));
                let [three, four] = halves(vld1q_u32(from.add(LANES)), vld1q_u32(from.add(pitch + LANES)));
                *registers = [one, two, three, four];
            }
        }
        for _ in 0..depth / 2 {
            // A row of words of B and the next one become columns of two words.
            let (one, next) = (vld1q_u32(b), vld1q_u32(b.add(WIDE)));
            let (two, after) = (vld1q_u32(b.add(LANES)), vld1q_u32(b.add(WIDE + LANES)));
            let right = [vzip1q_u32(one, next), vzip2q_u32(one, next), vzip1q_u32(two, after), vzip2q_u32(two, after)];
            for (rows, registers) in tile.iter_mut().enumerate() {
                let left = vld1q_u32(a.add(4 * rows));
                for (sum, right) in registers.iter_mut().zip(right) {
                    *sum = M::step(*sum, left, right);
                }
            }
            (a, b) = (a.add(2 * HIGH), b.add(2 * WIDE));
        }
        for (rows, registers) in tile.iter().enumerate() {
            let to = sums.add(2 * rows * pitch);
            let [one, two] = halves(registers[0], registers[1]);
            let [three, four] = halves(registers[2], registers[3]);
            vst1q_u32(to, one);
            vst1q_u32(to.add(LANES), three);
            vst1q_u32(to.add(pitch), two);
            vst1q_u32(to.add(pitch + LANES), four);
        }
    }
}

/// The definition of a micro-kernel: `$steps` words of depth at a time, which lie side by side in a panel of A.
macro_rules! micro {
    ($(#[$doc:meta])* $name:ident: $short:ty, $elements:literal, |$e:ident| $word:expr, $body:ident, $steps:literal, $feature:literal) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl $name {
            /// # Safety
            /// As for [`Micro::run`].
            #[target_feature(enable = $feature)]
            unsafe fn tile(depth: usize, a: *const u32, b: *const u32, sums: *mut u32, pitch: usize, first: bool) {
                // SAFETY: the features are enabled on this function; the rest is the caller's promise.
                unsafe { $body::<Self>((depth, a, b, sums, pitch, first)) }
            }
        }

        impl Micro for $name {
            type Short = $short;
            const ELEMENTS: usize = $elements;
            const TILE: [usize; 2] = [HIGH, WIDE];
            const STEP: usize = $steps;
            const DEPTH: usize = 256;
            const TOGGLE: u32 = 0;
            const STAYS_A: bool = false;
            const NATIVE: bool = size_of::<$short>() * $elements == 4;
            const RUN: usize = $steps;

            #[inline(always)]
            fn place_a(depth: usize, line: usize) -> usize {
                depth / $steps * $steps * HIGH + line * $steps + depth % $steps
            }

            #[inline(always)]
            fn word($e: impl Fn(usize) -> $short) -> u32 {
                $word
            }

            #[inline(always)]
            unsafe fn run(depth: usize, a: *const u32, b: *const u32, sums: *mut u32, pitch: usize, first: bool) {
                // SAFETY: passed on to the caller.
                unsafe { Self::tile(depth, a, b, sums, pitch, first) }
            }
        }
    };
}

micro!(
    /// bf16 widened to binary32: `fmla` by a lane.
    F32Lanes: Bf16, 1, |e| widened(e(0)), by_lanes, 1, "neon"
);
micro!(
    /// Bytes widened to 16 bits, pairs of them: `smlal` by a lane, twice.
    I16Lanes: i8, 2, |e| widened_pair(e(0), e(1)), by_lanes, 1, "neon"
);
micro!(
    /// bf16 by `bfdot`.
    BfDot: Bf16, 2, |e| pair(e(0), e(1)), by_lanes, 1, "neon,bf16"
);
micro!(
    /// Bytes by `sdot`.
    SDot: i8, 4, |e| four([e(0), e(1), e(2), e(3)]), by_lanes, 1, "neon,dotprod"
);
micro!(
    /// bf16 by `bfmmla`.
    BfMmla: Bf16, 2, |e| pair(e(0), e(1)), by_matrices, 2, "neon,bf16"
);
micro!(
    /// Bytes by `smmla`.
    SMmla: i8, 4, |e| four([e(0), e(1), e(2), e(3)]), by_matrices, 2, "neon,i8mm"
);

impl ByLane for F32Lanes {
    #[inline(always)]
    unsafe fn step<const LANE: i32>(
        sums: [uint32x4_t; 2],
        right: [uint32x4_t; 2],
        left: uint32x4_t,
    ) -> [uint32x4_t; 2] {
        // SAFETY: passed on to the caller.
        unsafe {
            let number = |bits: uint32x4_t| vreinterpretq_f32_u32(bits);
            let sum = |at: usize| vfmaq_laneq_f32::<LANE>(number(sums[at]), number(right[at]), number(left));
            [vreinterpretq_u32_f32(sum(0)), vreinterpretq_u32_f32(sum(1))]
        }
    }
}

impl ByLane for I16Lanes {
    /// The lower elements of eight columns, and the upper ones.
    #[inline(always)]
    unsafe fn right(words: [uint32x4_t; 2]) -> [uint32x4_t; 2] {
        // SAFETY: passed on to the caller.
        unsafe {
            let [one, two] = words.map(|words| vreinterpretq_s16_u32(words));
            [vuzp1q_s16(one, two), vuzp2q_s16(one, two)].map(|elements| vreinterpretq_u32_s16(elements))
        }
    }

    #[inline(always)]
    unsafe fn step<const LANE: i32>(
        sums: [uint32x4_t; 2],
        right: [uint32x4_t; 2],
        left: uint32x4_t,
    ) -> [uint32x4_t; 2] {
        /// Element `AT` of eight of A times eight columns.
        #[inline(always)]
        unsafe fn element<const AT: i32>(sums: [int32x4_t; 2], right: uint32x4_t, left: int16x8_t) -> [int32x4_t; 2] {
            // SAFETY: passed on to the caller.
            unsafe {
                let right = vreinterpretq_s16_u32(right);
                [
                    vmlal_laneq_s16::<AT>(sums[0], vget_low_s16(right), left),
                    vmlal_high_laneq_s16::<AT>(sums[1], right, left),
                ]
            }
        }
        // SAFETY: passed on to the caller.
        unsafe {
            let left = vreinterpretq_s16_u32(left);
            let sums = sums.map(|sum| vreinterpretq_s32_u32(sum));
            let sums = match LANE {
                0 => element::<1>(element::<0>(sums, right[0], left), right[1], left),
                1 => element::<3>(element::<2>(sums, right[0], left), right[1], left),
                2 => element::<5>(element::<4>(sums, right[0], left), right[1], left),
                _ => element::<7>(element::<6>(sums, right[0], left), right[1], left),
            };
            sums.map(|sum| vreinterpretq_u32_s32(sum))
        }
    }
}

/// Two instructions that take a lane of the last operand.
macro_rules! by_lane {
    ($name:ident, $dot:literal, $lanes:literal, $lane:literal) => {
        impl ByLane for $name {
            #[inline(always)]
            unsafe fn step<const LANE: i32>(
                sums: [uint32x4_t; 2],
                right: [uint32x4_t; 2],
                left: uint32x4_t,
            ) -> [uint32x4_t; 2] {
                let [mut one, mut two] = sums;
                // SAFETY: the caller promises the instruction set; only registers are read and written.
                unsafe {
                    asm!(
                        concat!($dot, " {one:v}.4s, {b:v}.", $lanes, ", {a:v}.", $lane, "[{lane}]"),
                        concat!($dot, " {two:v}.4s, {c:v}.", $lanes, ", {a:v}.", $lane, "[{lane}]"),
                        one = inout(vreg) one, two = inout(vreg) two, b = in(vreg) right[0], c = in(vreg) right[1],
                        a = in(vreg) left, lane = const LANE, options(pure, nomem, nostack, preserves_flags),
                    );
                }
                [one, two]
            }
        }
    };
}
by_lane!(BfDot, "bfdot", "8h", "2h");
by_lane!(SDot, "sdot", "16b", "4b");

/// One product of matrices.
macro_rules! matrix {
    ($name:ident, $product:literal, $lanes:literal) => {
        impl Matrix for $name {
            #[inline(always)]
            unsafe fn step(mut sums: uint32x4_t, left: uint32x4_t, right: uint32x4_t) -> uint32x4_t {
                // SAFETY: the caller promises the instruction set; only registers are read and written.
                unsafe {
                    asm!(
                        concat!($product, " {sums:v}.4s, {a:v}.", $lanes, ", {b:v}.", $lanes),
                        sums = inout(vreg) sums, a = in(vreg) left, b = in(vreg) right,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
                sums
            }
        }
    };
}
matrix!(BfMmla, "bfmmla", "8h");
matrix!(SMmla, "smmla", "16b");
