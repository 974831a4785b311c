//! The loops of the probe of short elements, one for each instruction.
//!
//! They are written as assembly: a compiler may move a product whose operands do not change out of a loop, and
//! would do so with all but fused operations.

#![expect(unsafe_code, reason = "instructions of sets that the caller found available")]

use super::dots::{Encoding, GROUP, Operands};
use crate::kernels::dot::DotUnit;

/// 32-bit accumulators in a register of a vector path.
pub(super) const fn lanes(unit: DotUnit) -> usize {
    match unit {
        DotUnit::Avx512 | DotUnit::Dot512 => 16,
        DotUnit::Avx2 => 8,
        DotUnit::Portable | DotUnit::Neon | DotUnit::Dot128 | DotUnit::Mmla | DotUnit::Amx => 4,
    }
}

/// A thread that may run the loops of a unit: tiles stay configured as long as it lives.
pub(super) struct Prepared {
    #[cfg(target_arch = "x86_64")]
    _tiles: Option<crate::kernels::simd::amx::Configured>,
}

impl Prepared {
    /// Prepares this thread; `None` where tiles are asked for and there are none.
    pub(super) fn on_this_thread(unit: DotUnit) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let tiles = crate::kernels::simd::amx::Configured::full;
            let tiles = if unit == DotUnit::Amx { Some(tiles()?) } else { None };
            Some(Self { _tiles: tiles })
        }
        #[cfg(not(target_arch = "x86_64"))]
        (unit != DotUnit::Amx).then_some(Self {})
    }
}

/// Adds `pairs` pairs of steps to a group of accumulators: `from` holds their start, `to` gets the result.
///
/// # Safety
/// The unit is available here and this thread is [`Prepared`] for it, and both pointers are valid for [`GROUP`] values of 32 bits.
pub(super) unsafe fn group(
    unit: DotUnit,
    encoding: Encoding,
    operands: &Operands,
    from: *const u32,
    to: *mut u32,
    pairs: usize,
) {
    // SAFETY: passed on to the caller.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        match (unit, encoding) {
            (DotUnit::Amx, Encoding::Bf16) => x86::tiles_bf16(operands, from, to, pairs),
            (DotUnit::Amx, _) => x86::tiles_int8(operands, from, to, pairs),
            (DotUnit::Dot512, Encoding::Bf16) => x86::bf16_512(operands, from, to, pairs),
            (DotUnit::Dot512, _) => x86::int8_512(operands, from, to, pairs),
            (DotUnit::Avx512, Encoding::F32) => x86::single_512(operands, from, to, pairs),
            (DotUnit::Avx512, _) => x86::int16_512(operands, from, to, pairs),
            (DotUnit::Avx2, Encoding::F32) => x86::single_256(operands, from, to, pairs),
            (DotUnit::Avx2, _) => x86::int16_256(operands, from, to, pairs),
            (_, Encoding::F32) => x86::single_128(operands, from, to, pairs),
            (_, _) => x86::int16_128(operands, from, to, pairs),
        }
        #[cfg(target_arch = "aarch64")]
        match (unit, encoding) {
            (DotUnit::Mmla, Encoding::Bf16) => arm::bf16_matrices(operands, from, to, pairs),
            (DotUnit::Mmla, _) => arm::int8_matrices(operands, from, to, pairs),
            (DotUnit::Dot128, Encoding::Bf16) => arm::bf16_dots(operands, from, to, pairs),
            (DotUnit::Dot128, _) => arm::int8_dots(operands, from, to, pairs),
            (DotUnit::Neon, Encoding::F32) => arm::single(operands, from, to, pairs),
            (DotUnit::Neon, _) => arm::int16(operands, from, to, pairs),
            _ => plain(encoding, operands, from, to, pairs),
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            let _ = unit;
            plain(encoding, operands, from, to, pairs);
        }
    }
}

/// Plain Rust: operands are read anew in every step, so that no product can be moved out of the loop.
///
/// # Safety
/// Both pointers are valid for [`GROUP`] values of 32 bits.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) unsafe fn plain(encoding: Encoding, operands: &Operands, from: *const u32, to: *mut u32, pairs: usize) {
    const LANES: usize = 4;
    let single = |index: usize, lane: usize, operands: &Operands| {
        let bytes = &operands.0[index][4 * lane..4 * lane + 4];
        f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    };
    let short = |index: usize, lane: usize, operands: &Operands| {
        let bytes = &operands.0[index][2 * lane..2 * lane + 2];
        i32::from(i16::from_ne_bytes([bytes[0], bytes[1]]))
    };
    for first in (0..GROUP).step_by(LANES) {
        // SAFETY: the lanes lie inside the group.
        let mut sums: [u32; LANES] = std::array::from_fn(|lane| unsafe { from.add(first + lane).read() });
        for _ in 0..pairs {
            let operands = std::hint::black_box(operands);
            for index in [0, 1] {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    *sum = if encoding == Encoding::F32 {
                        let product = single(index, lane, operands) * single(2, lane, operands);
                        (f32::from_bits(*sum) + product).to_bits()
                    } else {
                        let product =
                            |q: usize| short(index, 2 * lane + q, operands) * short(2, 2 * lane + q, operands);
                        sum.wrapping_add((product(0) + product(1)).cast_unsigned())
                    };
                }
            }
        }
        for (lane, sum) in sums.iter().enumerate() {
            // SAFETY: the lanes lie inside the group.
            unsafe { to.add(first + lane).write(*sum) };
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use super::{GROUP, Operands};
    use std::arch::asm;

    /// A loop over sixteen registers of a group, which hide the latency of four units of four cycles. `$step` is a macro
    /// of one accumulator's step with an operand; `$before` makes the operands in v16 to v18 ready.
    macro_rules! vector {
        ($name:ident, $feature:literal, $step:ident, $before:expr) => {
            vector!(@ $name, $feature, $step, $before, [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]);
        };
        (@ $name:ident, $feature:literal, $step:ident, $before:expr, [$($n:literal)+]) => {
            /// # Safety
            /// As for [`super::group`].
            #[target_feature(enable = $feature)]
            pub(super) unsafe fn $name(operands: &Operands, from: *const u32, to: *mut u32, pairs: usize) {
                const REGISTERS: usize = [$($n),+].len();
                for first in (0..GROUP).step_by(REGISTERS * 4) {
                    // SAFETY: the caller promises the instruction set and a group at both ends, which the registers
                    // divide; the operands are longer than a register. All registers written are named.
                    unsafe {
                        asm!(
                            "ldr q16, [{operands}]",
                            "ldr q17, [{operands}, 1024]",
                            "ldr q18, [{operands}, 2048]",
                            $before,
                            $(concat!("ldr q", $n, ", [{from}, ", $n, "*16]"),)+
                            "2:",
                            $($step!($n, "v16"),)+
                            $($step!($n, "v17"),)+
                            "subs {pairs}, {pairs}, #1",
                            "b.ne 2b",
                            $(concat!("str q", $n, ", [{to}, ", $n, "*16]"),)+
                            operands = in(reg) operands, from = in(reg) from.add(first), to = in(reg) to.add(first),
                            pairs = inout(reg) pairs => _, out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                            out("v4") _, out("v5") _, out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _,
                            out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _, out("v16") _,
                            out("v17") _, out("v18") _, out("v19") _, options(nostack),
                        );
                    }
                }
            }
        };
    }

    macro_rules! single {
        ($sum:literal, $a:expr) => {
            concat!("fmla v", $sum, ".4s, v18.4s, ", $a, ".4s")
        };
    }
    macro_rules! int16 {
        ($sum:literal, $a:expr) => {
            concat!("smlal v", $sum, ".4s, v18.4h, ", $a, ".4h\nsmlal2 v", $sum, ".4s, v18.8h, ", $a, ".8h")
        };
    }
    macro_rules! bf16_dots {
        ($sum:literal, $a:expr) => {
            concat!("bfdot v", $sum, ".4s, v18.8h, ", $a, ".8h")
        };
    }
    macro_rules! int8_dots {
        ($sum:literal, $a:expr) => {
            concat!("sdot v", $sum, ".4s, v18.16b, ", $a, ".16b")
        };
    }
    macro_rules! bf16_matrices {
        ($sum:literal, $a:expr) => {
            concat!("bfmmla v", $sum, ".4s, ", $a, ".8h, v18.8h")
        };
    }
    macro_rules! int8_matrices {
        ($sum:literal, $a:expr) => {
            concat!("smmla v", $sum, ".4s, ", $a, ".16b, v18.16b")
        };
    }
    /// Products of the lower half of a register go to the same sums as those of the upper half, so the first elements
    /// of all pairs have to lie in the one and the second ones in the other.
    macro_rules! apart {
        ($($register:literal)+) => {
            concat!($(
                "uzp2 v19.8h, v", $register, ".8h, v", $register, ".8h\n",
                "uzp1 v", $register, ".8h, v", $register, ".8h, v", $register, ".8h\n",
                "trn1 v", $register, ".2d, v", $register, ".2d, v19.2d\n",
            )+)
        };
    }
    vector!(single, "neon", single, "");
    vector!(int16, "neon", int16, apart!(16 17 18));
    vector!(bf16_dots, "neon,bf16", bf16_dots, "");
    vector!(int8_dots, "neon,dotprod", int8_dots, "");
    vector!(bf16_matrices, "neon,bf16", bf16_matrices, "");
    vector!(int8_matrices, "neon,i8mm", int8_matrices, "");
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{GROUP, Operands};
    use crate::kernels::simd::amx::ROW_BYTES;
    use std::arch::asm;

    /// A loop over the registers of a group. `$step` is a macro of one accumulator's step with an operand.
    macro_rules! vector {
        (
            $name:ident, $feature:literal, $bytes:literal, $prefix:literal, $move:literal, $step:ident,
            [$($n:literal $offset:literal),+], $b:literal, $a:literal, $other:literal, [$($used:tt),+]
        ) => {
            /// # Safety
            /// As for [`super::group`].
            #[target_feature(enable = $feature)]
            pub(super) unsafe fn $name(operands: &Operands, from: *const u32, to: *mut u32, pairs: usize) {
                const REGISTERS: usize = [$($n),+].len();
                for first in (0..GROUP).step_by(REGISTERS * $bytes / 4) {
                    // SAFETY: the caller promises the instruction set and a group at both ends, which the
                    // registers divide; the operands are longer than a register. All registers written
                    // are named.
                    unsafe {
                        asm!(
                            concat!($move, " ", $a, ", [{operands}]"),
                            concat!($move, " ", $other, ", [{operands} + 1024]"),
                            concat!($move, " ", $b, ", [{operands} + 2048]"),
                            $(concat!($move, " ", concat!($prefix, $n), ", [{from} + ", $offset, "*", $bytes, "]"),)+
                            "2:",
                            $($step!(concat!($prefix, $n), $b, $a),)+
                            $($step!(concat!($prefix, $n), $b, $other),)+
                            "sub {pairs}, 1",
                            "jnz 2b",
                            $(concat!($move, " [{to} + ", $offset, "*", $bytes, "], ", concat!($prefix, $n)),)+
                            operands = in(reg) operands, from = in(reg) from.add(first), to = in(reg) to.add(first),
                            pairs = inout(reg) pairs => _, $(out($used) _,)+ options(nostack),
                        );
                    }
                }
            }
        };
    }

    macro_rules! bf16 {
        ($sum:expr, $b:expr, $a:expr) => {
            concat!("vdpbf16ps ", $sum, ", ", $b, ", ", $a)
        };
    }
    macro_rules! int8 {
        ($sum:expr, $b:expr, $a:expr) => {
            concat!("vpdpbusd ", $sum, ", ", $b, ", ", $a)
        };
    }
    macro_rules! single {
        ($sum:expr, $b:expr, $a:expr) => {
            concat!("vfmadd231ps ", $sum, ", ", $b, ", ", $a)
        };
    }
    macro_rules! int16_512 {
        ($sum:expr, $b:expr, $a:expr) => {
            concat!("vpmaddwd zmm19, ", $b, ", ", $a, "\nvpaddd ", $sum, ", ", $sum, ", zmm19")
        };
    }
    macro_rules! int16_256 {
        ($sum:expr, $b:expr, $a:expr) => {
            concat!("vpmaddwd ymm11, ", $b, ", ", $a, "\nvpaddd ", $sum, ", ", $sum, ", ymm11")
        };
    }
    macro_rules! int16_128 {
        ($sum:expr, $b:expr, $a:expr) => {
            concat!("movdqa xmm11, ", $b, "\npmaddwd xmm11, ", $a, "\npaddd ", $sum, ", xmm11")
        };
    }
    macro_rules! single_128 {
        ($sum:expr, $b:expr, $a:expr) => {
            concat!("movaps xmm11, ", $b, "\nmulps xmm11, ", $a, "\naddps ", $sum, ", xmm11")
        };
    }

    /// Sixteen accumulators hide the latency of two units of up to eight cycles.
    macro_rules! vector_512 {
        ($name:ident, $feature:literal, $step:ident) => {
            vector!(
                $name, $feature, 64, "zmm", "vmovdqu64", $step,
                [0 0, 1 1, 2 2, 3 3, 4 4, 5 5, 6 6, 7 7, 8 8, 9 9, 10 10, 11 11, 12 12, 13 13, 14 14, 15 15],
                "zmm16", "zmm17", "zmm18",
                ["zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10", "zmm11",
                 "zmm12", "zmm13", "zmm14", "zmm15", "zmm16", "zmm17", "zmm18", "zmm19"]
            );
        };
    }
    vector_512!(bf16_512, "avx512f,avx512bw,avx512bf16", bf16);
    vector_512!(int8_512, "avx512f,avx512bw,avx512vnni", int8);
    vector_512!(single_512, "avx512f,avx512bw", single);
    vector_512!(int16_512, "avx512f,avx512bw", int16_512);

    /// Eight accumulators hide the latency of two units of four cycles; sixteen registers hold no more with
    /// operands and products.
    macro_rules! vector_narrow {
        ($name:ident, $feature:literal, $bytes:literal, $prefix:literal, $move:literal, $step:ident, $b:literal, $a:literal, $other:literal) => {
            vector!(
                $name, $feature, $bytes, $prefix, $move, $step,
                [0 0, 1 1, 2 2, 3 3, 4 4, 5 5, 6 6, 7 7], $b, $a, $other,
                ["xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11"]
            );
        };
    }
    vector_narrow!(single_256, "avx2,fma", 32, "ymm", "vmovdqu", single, "ymm8", "ymm9", "ymm10");
    vector_narrow!(int16_256, "avx2,fma", 32, "ymm", "vmovdqu", int16_256, "ymm8", "ymm9", "ymm10");
    vector_narrow!(single_128, "sse2", 16, "xmm", "movdqu", single_128, "xmm8", "xmm9", "xmm10");
    vector_narrow!(int16_128, "sse2", 16, "xmm", "movdqu", int16_128, "xmm8", "xmm9", "xmm10");

    /// Four tiles of accumulators: a multiplication takes 16 cycles and its result is there after 52.
    macro_rules! tiles {
        ($name:ident, $step:literal) => {
            /// # Safety
            /// As for [`super::group`].
            pub(super) unsafe fn $name(operands: &Operands, from: *const u32, to: *mut u32, pairs: usize) {
                // SAFETY: the caller promises tiles, which are configured, and a group of four tiles at both
                // ends; the operands are three tiles. All registers written are named.
                unsafe {
                    asm!(
                        "tileloadd tmm4, [{operands} + {stride}*1]",
                        "tileloadd tmm5, [{operands} + {stride}*1 + 1024]",
                        "tileloadd tmm6, [{operands} + {stride}*1 + 2048]",
                        "tileloadd tmm0, [{from} + {stride}*1]",
                        "tileloadd tmm1, [{from} + {stride}*1 + 1024]",
                        "tileloadd tmm2, [{from} + {stride}*1 + 2048]",
                        "tileloadd tmm3, [{from} + {stride}*1 + 3072]",
                        "2:",
                        concat!($step, " tmm0, tmm4, tmm6"),
                        concat!($step, " tmm1, tmm4, tmm6"),
                        concat!($step, " tmm2, tmm4, tmm6"),
                        concat!($step, " tmm3, tmm4, tmm6"),
                        concat!($step, " tmm0, tmm5, tmm6"),
                        concat!($step, " tmm1, tmm5, tmm6"),
                        concat!($step, " tmm2, tmm5, tmm6"),
                        concat!($step, " tmm3, tmm5, tmm6"),
                        "sub {pairs}, 1",
                        "jnz 2b",
                        "tilestored [{to} + {stride}*1], tmm0",
                        "tilestored [{to} + {stride}*1 + 1024], tmm1",
                        "tilestored [{to} + {stride}*1 + 2048], tmm2",
                        "tilestored [{to} + {stride}*1 + 3072], tmm3",
                        operands = in(reg) operands, from = in(reg) from, to = in(reg) to,
                        stride = in(reg) ROW_BYTES, pairs = inout(reg) pairs => _,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _,
                        out("tmm6") _, options(nostack),
                    );
                }
            }
        };
    }
    tiles!(tiles_bf16, "tdpbf16ps");
    tiles!(tiles_int8, "tdpbssd");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_rust_agrees_with_the_baseline_s_instructions() {
        for encoding in [Encoding::F32, Encoding::I16] {
            let mut operands = Operands([[0; 1024]; 3]);
            for (index, operand) in operands.0.iter_mut().enumerate() {
                for lane in 0..4 {
                    let value = (lane * 5 + index * 7) as f32 - 6.0;
                    let bits = if encoding == Encoding::F32 { value.to_bits() } else { 0x0003_FFF1 + lane as u32 };
                    operand[4 * lane..4 * lane + 4].copy_from_slice(&bits.to_ne_bytes());
                }
            }
            let from = vec![5.0_f32.to_bits(); GROUP];
            let (mut to, mut expected) = (vec![0_u32; GROUP], vec![0_u32; GROUP]);
            // SAFETY: every processor of these architectures has the unit, and all arrays hold a group.
            unsafe {
                let unit = if cfg!(target_arch = "aarch64") { DotUnit::Neon } else { DotUnit::Portable };
                group(unit, encoding, &operands, from.as_ptr(), to.as_mut_ptr(), 3);
                plain(encoding, &operands, from.as_ptr(), expected.as_mut_ptr(), 3);
            }
            assert_eq!(to, expected, "{encoding:?}");
            assert!(to != from);
        }
    }
}
