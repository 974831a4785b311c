//! Micro-kernels of short products on the tiles of AMX: 32 rows by 32 columns of C in four tiles.
//!
//! A step multiplies two tiles of A with two of B: four loads for four multiplications. Each multiplication
//! takes 16 cycles, a load of a tile from the first-level cache eight.

#![expect(unsafe_code, reason = "tile instructions on packed operands")]

use super::vector::{four, pair};
use super::words::{Micro, Rows};
use crate::kernels::short::Bf16;
use crate::kernels::simd::amx::{ROW_BYTES, ROWS, TILE_BYTES};
use std::arch::asm;

/// Words in a row of a tile.
const WORDS: usize = ROW_BYTES / 4;

/// A panel of A: for each step of 16 words two tiles of 16 rows.
const fn place_a(depth: usize, line: usize) -> usize {
    depth / WORDS * (2 * TILE_BYTES / 4) + line * WORDS + depth % WORDS
}

/// A panel of B: for each step two tiles, whose rows are words of depth and whose columns are columns.
const fn place_b(depth: usize, line: usize) -> usize {
    let tile = line / ROWS * (TILE_BYTES / 4);
    depth / WORDS * (2 * TILE_BYTES / 4) + tile + depth % WORDS * WORDS + line % WORDS
}

/// Asks for eight lines of the next panel of B.
macro_rules! prefetch {
    ($first:literal) => {
        concat!(
            "prefetcht0 [{next} + ",
            $first,
            "]\n",
            "prefetcht0 [{next} + ",
            $first,
            " + 64]\n",
            "prefetcht0 [{next} + ",
            $first,
            " + 128]\n",
            "prefetcht0 [{next} + ",
            $first,
            " + 192]\n",
            "prefetcht0 [{next} + ",
            $first,
            " + 256]\n",
            "prefetcht0 [{next} + ",
            $first,
            " + 320]\n",
            "prefetcht0 [{next} + ",
            $first,
            " + 384]\n",
            "prefetcht0 [{next} + ",
            $first,
            " + 448]",
        )
    };
}

/// Asks for nothing.
macro_rules! silent {
    ($first:literal) => {
        "/* {next} */"
    };
}

/// The loop over steps, with what asks for the next panel of B between multiplications.
macro_rules! multiply {
    ($dot:literal, $ask:ident, $depth:ident, $a:ident, $b:ident, $sums:ident, $pitch:ident, $first:ident) => {
        asm!(
            "test {first}, {first}",
            "jnz 3f",
            "tileloadd tmm0, [{sums} + {pitch}*1]",
            "tileloadd tmm1, [{sums} + {pitch}*1 + 64]",
            "tileloadd tmm2, [{lower} + {pitch}*1]",
            "tileloadd tmm3, [{lower} + {pitch}*1 + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{a} + {row_a}*1]",
            "tileloadd tmm6, [{b} + {row}*1]",
            concat!($dot, " tmm0, tmm4, tmm6"),
            $ask!(0),
            "tileloadd tmm7, [{b} + {row}*1 + 1024]",
            concat!($dot, " tmm1, tmm4, tmm7"),
            $ask!(512),
            "tileloadd tmm5, [{below} + {row_a}*1]",
            concat!($dot, " tmm2, tmm5, tmm6"),
            $ask!(1024),
            concat!($dot, " tmm3, tmm5, tmm7"),
            $ask!(1536),
            "add {a}, {step}",
            "add {below}, {step}",
            "add {b}, 2048",
            "add {next}, 2048",
            "sub {steps}, 1",
            "jnz 2b",
            "tilestored [{sums} + {pitch}*1], tmm0",
            "tilestored [{sums} + {pitch}*1 + 64], tmm1",
            "tilestored [{lower} + {pitch}*1], tmm2",
            "tilestored [{lower} + {pitch}*1 + 64], tmm3",
            a = inout(reg) $a.at => _, below = inout(reg) $a.at.byte_add(ROWS * $a.row) => _,
            row_a = in(reg) $a.row, step = in(reg) $a.step,
            // Panels of B pass by one after the other: the next is asked for, eight lines at a time.
            b = inout(reg) $b => _, next = inout(reg) $b.wrapping_add($depth * 2 * WORDS) => _,
            steps = inout(reg) $depth / WORDS => _,
            sums = in(reg) $sums, lower = in(reg) $sums.add(ROWS * $pitch), row = in(reg) ROW_BYTES,
            pitch = in(reg) 4 * $pitch, first = in(reg) usize::from($first),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
            out("tmm6") _, out("tmm7") _, options(nostack),
        )
    };
}

macro_rules! tiles {
    ($(#[$doc:meta])* $name:ident: $short:ty, $elements:literal, |$e:ident| $word:expr, $dot:literal, $interleave:path) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl Micro for $name {
            type Short = $short;
            const ELEMENTS: usize = $elements;
            const TILE: [usize; 2] = [2 * ROWS, 2 * WORDS];
            const STEP: usize = WORDS;
            // 16 KiB of A and of B: together they leave a third of a first-level cache of 48 KiB to the sums.
            const DEPTH: usize = 128;
            const TOGGLE: u32 = 0;
            const STAYS_A: bool = true;
            const NATIVE: bool = true;
            const RUN: usize = WORDS;
            const IN_PLACE: bool = true;
            const INTERLEAVES: bool = true;

            #[inline(always)]
            fn word($e: impl Fn(usize) -> $short) -> u32 {
                $word
            }

            #[inline(always)]
            fn place_a(depth: usize, line: usize) -> usize {
                place_a(depth, line)
            }

            #[inline(always)]
            fn place_b(depth: usize, line: usize) -> usize {
                place_b(depth, line)
            }

            #[inline(always)]
            unsafe fn interleave(rows: *const $short, pitch: usize, to: [*mut u32; 2]) {
                // SAFETY: passed on to the caller; processors with AMX have AVX-512 BW.
                unsafe { $interleave(rows, pitch, to) }
            }

            #[inline(always)]
            unsafe fn run(depth: usize, a: *const u32, b: *const u32, sums: *mut u32, pitch: usize, first: bool) {
                let packed = Rows { at: a, row: ROW_BYTES, step: 2 * TILE_BYTES };
                // SAFETY: passed on to the caller.
                unsafe { Self::run_rows(depth, packed, b, sums, pitch, first, true) }
            }

            #[inline(always)]
            unsafe fn run_rows(depth: usize, a: Rows, b: *const u32, sums: *mut u32, pitch: usize, first: bool, ask: bool) {
                // SAFETY: the caller promises configured tiles, whole steps of both panels and 32×32 sums in
                // rows `pitch` apart; all registers written are named.
                unsafe {
                    if ask {
                        multiply!($dot, prefetch, depth, a, b, sums, pitch, first);
                    } else {
                        multiply!($dot, silent, depth, a, b, sums, pitch, first);
                    }
                }
            }
        }
    };
}
tiles!(
    /// bf16 by `tdpbf16ps`.
    AmxBf16: Bf16, 2, |e| pair(e(0), e(1)), "tdpbf16ps", pairs
);
tiles!(
    /// Bytes by `tdpbssd`, both factors with sign.
    AmxInt8: i8, 4, |e| four([e(0), e(1), e(2), e(3)]), "tdpbssd", fours
);

/// Pairs of 32 columns of two rows.
///
/// # Safety
/// As for [`Micro::interleave`].
#[inline(always)]
unsafe fn pairs(rows: *const Bf16, pitch: usize, [left, right]: [*mut u32; 2]) {
    use std::arch::x86_64::*;
    const fn order(first: i16) -> [i16; 32] {
        let (mut order, mut at) = ([0; 32], 0);
        while at < 32 {
            // Bit 5 tells the second row.
            order[at] = first + (at / 2) as i16 + if at % 2 == 1 { 32 } else { 0 };
            at += 1;
        }
        order
    }
    const LEFT: [i16; 32] = order(0);
    const RIGHT: [i16; 32] = order(16);
    // SAFETY: passed on to the caller; a row of a panel is 32 elements of 16 bits.
    unsafe {
        let (first, second) = (_mm512_loadu_si512(rows.cast()), _mm512_loadu_si512(rows.add(pitch).cast()));
        let [low, high] = [&LEFT, &RIGHT].map(|order| _mm512_loadu_si512(order.as_ptr().cast()));
        _mm512_storeu_si512(left.cast(), _mm512_permutex2var_epi16(first, low, second));
        _mm512_storeu_si512(right.cast(), _mm512_permutex2var_epi16(first, high, second));
    }
}

/// Fours of 32 columns of four rows.
///
/// # Safety
/// As for [`Micro::interleave`].
#[inline(always)]
unsafe fn fours(rows: *const i8, pitch: usize, [left, right]: [*mut u32; 2]) {
    use std::arch::x86_64::*;
    // SAFETY: passed on to the caller; a row of a panel is 32 bytes.
    unsafe {
        let (a, b) = (_mm256_loadu_si256(rows.cast()), _mm256_loadu_si256(rows.add(pitch).cast()));
        let (c, d) = (_mm256_loadu_si256(rows.add(2 * pitch).cast()), _mm256_loadu_si256(rows.add(3 * pitch).cast()));
        let (low_ab, low_cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
        let (high_ab, high_cd) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
        // Four columns of the left half, and four of the right one.
        let words = [
            _mm256_unpacklo_epi16(low_ab, low_cd),
            _mm256_unpackhi_epi16(low_ab, low_cd),
            _mm256_unpacklo_epi16(high_ab, high_cd),
            _mm256_unpackhi_epi16(high_ab, high_cd),
        ];
        for (index, words) in words.into_iter().enumerate() {
            _mm_storeu_si128(left.add(4 * index).cast(), _mm256_castsi256_si128(words));
            _mm_storeu_si128(right.add(4 * index).cast(), _mm256_extracti128_si256::<1>(words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_a_panel_has_a_place_of_its_own() {
        for place in [place_a, place_b] {
            let mut seen = vec![false; 32 * 48];
            for (depth, line) in (0..48).flat_map(|depth| (0..32).map(move |line| (depth, line))) {
                assert!(!std::mem::replace(&mut seen[place(depth, line)], true), "{depth} {line}");
            }
            assert!(seen.iter().all(|seen| *seen));
        }
    }
}
