//! Micro-kernels of short products on the tiles of AMX: 32 rows by 32 columns of C in four tiles.
//!
//! A step multiplies two tiles of A with two of B: four loads for four multiplications. Each multiplication
//! takes 16 cycles, a load of a tile from the first-level cache eight.

#![expect(unsafe_code, reason = "tile instructions on packed operands")]

use super::vector::{four, pair};
use super::words::Micro;
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

macro_rules! tiles {
    ($(#[$doc:meta])* $name:ident: $short:ty, $elements:literal, |$e:ident| $word:expr, $dot:literal) => {
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
            unsafe fn run(depth: usize, a: *const u32, b: *const u32, sums: *mut u32, pitch: usize, first: bool) {
                // SAFETY: the caller promises configured tiles, whole steps of both panels and 32×32 sums in
                // rows `pitch` apart; all registers written are named.
                unsafe {
                    let lower = sums.add(ROWS * pitch);
                    // Panels of B pass by one after the other: the next is asked for, eight lines at a time.
                    let next = b.wrapping_add(depth * Self::TILE[1]);
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
                        "tileloadd tmm4, [{a} + {row}*1]",
                        "tileloadd tmm6, [{b} + {row}*1]",
                        concat!($dot, " tmm0, tmm4, tmm6"),
                        prefetch!(0),
                        "tileloadd tmm7, [{b} + {row}*1 + 1024]",
                        concat!($dot, " tmm1, tmm4, tmm7"),
                        prefetch!(512),
                        "tileloadd tmm5, [{a} + {row}*1 + 1024]",
                        concat!($dot, " tmm2, tmm5, tmm6"),
                        prefetch!(1024),
                        concat!($dot, " tmm3, tmm5, tmm7"),
                        prefetch!(1536),
                        "add {a}, 2048",
                        "add {b}, 2048",
                        "add {next}, 2048",
                        "sub {steps}, 1",
                        "jnz 2b",
                        "tilestored [{sums} + {pitch}*1], tmm0",
                        "tilestored [{sums} + {pitch}*1 + 64], tmm1",
                        "tilestored [{lower} + {pitch}*1], tmm2",
                        "tilestored [{lower} + {pitch}*1 + 64], tmm3",
                        a = inout(reg) a => _, b = inout(reg) b => _, next = inout(reg) next => _, steps = inout(reg) depth / WORDS => _,
                        sums = in(reg) sums, lower = in(reg) lower, row = in(reg) ROW_BYTES, pitch = in(reg) 4 * pitch,
                        first = in(reg) usize::from(first),
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                        out("tmm6") _, out("tmm7") _, options(nostack),
                    );
                }
            }
        }
    };
}
tiles!(
    /// bf16 by `tdpbf16ps`.
    AmxBf16: Bf16, 2, |e| pair(e(0), e(1)), "tdpbf16ps"
);
tiles!(
    /// Bytes by `tdpbssd`, both factors with sign.
    AmxInt8: i8, 4, |e| four([e(0), e(1), e(2), e(3)]), "tdpbssd"
);

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
