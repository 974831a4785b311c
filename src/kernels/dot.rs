//! Which instructions multiply short elements and add the products up.

use super::{Dtype, Isa};

#[cfg(target_arch = "x86_64")]
use super::simd::amx;

/// Instructions for dot products of bf16 or of 8-bit integers, narrowest first; units of other processors than this one
/// stand in the order too, and are never available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DotUnit {
    /// Any processor: operands are widened (bf16 to binary32, 8 to 16 bits).
    Portable,
    /// NEON, on widened operands.
    Neon,
    /// FEAT_BF16's `bfdot` or FEAT_DotProd's `sdot`, on registers of NEON.
    Dot128,
    /// FEAT_BF16's `bfmmla` or FEAT_I8MM's `smmla`: products of two rows and two columns.
    Mmla,
    /// AVX2 with FMA, on widened operands.
    Avx2,
    /// AVX-512 F, BW, DQ and VL, on widened operands.
    Avx512,
    /// AVX512-BF16 (`vdpbf16ps`) or AVX512-VNNI (`vpdpbusd`).
    Dot512,
    /// Tiles of AMX-BF16 (`tdpbf16ps`) or AMX-INT8 (`tdpbssd`).
    Amx,
}

impl DotUnit {
    /// The units for `dtype` (bf16 or i8) that this processor and operating system have and that an
    /// instruction set includes, narrowest first.
    pub(crate) fn available(dtype: Dtype, widest: Isa) -> Vec<Self> {
        let mut units = vec![Self::Portable];
        let widest = widest.at_most_detected();
        if widest == Isa::Neon {
            units.push(Self::Neon);
            if dot128(dtype) {
                units.push(Self::Dot128);
            }
            if mmla(dtype) {
                units.push(Self::Mmla);
            }
        }
        if widest >= Isa::Avx2 {
            units.push(Self::Avx2);
        }
        if widest >= Isa::Avx512 {
            units.push(Self::Avx512);
            if dot512(dtype) {
                units.push(Self::Dot512);
            }
            if amx(dtype) {
                units.push(Self::Amx);
            }
        }
        units
    }

    /// The fastest of them.
    pub(crate) fn best(dtype: Dtype, widest: Isa) -> Self {
        Self::available(dtype, widest).last().copied().unwrap_or(Self::Portable)
    }

    /// The unit of the same instruction set that computes on widened operands.
    pub(crate) const fn widened(self) -> Self {
        match self {
            Self::Dot128 | Self::Mmla => Self::Neon,
            Self::Dot512 | Self::Amx => Self::Avx512,
            Self::Portable | Self::Neon | Self::Avx2 | Self::Avx512 => self,
        }
    }

    /// The name that stands in the record.
    pub(crate) const fn name(self, dtype: Dtype) -> &'static str {
        match (self, dtype) {
            (Self::Portable, _) => "portable",
            (Self::Neon, _) => "neon",
            (Self::Dot128, Dtype::Bf16) => "neon-bfdot",
            (Self::Dot128, _) => "neon-sdot",
            (Self::Mmla, Dtype::Bf16) => "neon-bfmmla",
            (Self::Mmla, _) => "neon-smmla",
            (Self::Avx2, _) => "avx2",
            (Self::Avx512, _) => "avx512",
            (Self::Dot512, Dtype::Bf16) => "avx512-bf16",
            (Self::Dot512, _) => "avx512-vnni",
            (Self::Amx, Dtype::Bf16) => "amx-bf16",
            (Self::Amx, _) => "amx-int8",
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn dot512(dtype: Dtype) -> bool {
    match dtype {
        Dtype::Bf16 => is_x86_feature_detected!("avx512bf16"),
        Dtype::I8 => is_x86_feature_detected!("avx512vnni"),
        _ => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn dot512(_dtype: Dtype) -> bool {
    false
}

#[cfg(target_arch = "aarch64")]
fn dot128(dtype: Dtype) -> bool {
    match dtype {
        Dtype::Bf16 => std::arch::is_aarch64_feature_detected!("bf16"),
        Dtype::I8 => std::arch::is_aarch64_feature_detected!("dotprod"),
        _ => false,
    }
}

#[cfg(target_arch = "aarch64")]
fn mmla(dtype: Dtype) -> bool {
    match dtype {
        Dtype::Bf16 => std::arch::is_aarch64_feature_detected!("bf16"),
        Dtype::I8 => std::arch::is_aarch64_feature_detected!("i8mm"),
        _ => false,
    }
}

#[cfg(not(target_arch = "aarch64"))]
fn dot128(_dtype: Dtype) -> bool {
    false
}

#[cfg(not(target_arch = "aarch64"))]
fn mmla(_dtype: Dtype) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn amx(dtype: Dtype) -> bool {
    let tiles = amx::tiles();
    match dtype {
        Dtype::Bf16 => tiles.bf16,
        Dtype::I8 => tiles.int8,
        _ => false,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn amx(_dtype: Dtype) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_set_takes_the_wider_units_away() {
        for dtype in [Dtype::Bf16, Dtype::I8] {
            assert_eq!(DotUnit::available(dtype, Isa::Portable), [DotUnit::Portable]);
            let all = DotUnit::available(dtype, Isa::Avx512);
            assert!(all.is_sorted() && all.first() == Some(&DotUnit::Portable));
            assert!(DotUnit::best(dtype, Isa::Avx2) <= DotUnit::Avx2);
            assert_eq!(DotUnit::best(dtype, Isa::Avx512), *all.last().unwrap());
        }
    }

    #[test]
    fn no_processor_claims_the_units_of_another() {
        let arm = [DotUnit::Neon, DotUnit::Dot128, DotUnit::Mmla];
        for dtype in [Dtype::Bf16, Dtype::I8] {
            for unit in DotUnit::available(dtype, Isa::Avx512) {
                let home = if arm.contains(&unit) { "aarch64" } else { "x86_64" };
                assert!(unit == DotUnit::Portable || home == std::env::consts::ARCH, "{unit:?}");
                assert!(DotUnit::available(dtype, Isa::Avx512).contains(&unit.widened()));
                assert!(unit.widened() <= unit && unit.widened().widened() == unit.widened());
            }
        }
    }

    #[test]
    fn wide_numbers_have_no_units_of_their_own() {
        let best = DotUnit::best(Dtype::F32, Isa::Avx512);
        assert_eq!(best, best.widened());
    }
}
