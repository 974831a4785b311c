//! The product by cooperative matrices in WGSL.

use crate::kernels::cooperative::{header, threads};
use crate::kernels::{Dtype, Limits};

macro_rules! sources {
    ($element:ident, $side:literal) => {
        [
            concat!(header!($element, $side), include_str!("any.wgsl"), include_str!("cooperative.wgsl")),
            concat!(header!($element, $side), include_str!("fours.wgsl"), include_str!("cooperative.wgsl")),
        ]
    };
}

/// Patches of a tile, each of 4×4 matrices of sums: one for a subgroup.
const PATCHES: u32 = 4;
/// Bytes of a slice of A in a row, and those that keep rows apart (`cooperative.wgsl` of the kernels).
const SLICE: u32 = 64;
const PAD: u32 = 16;

/// The program for a device that has such matrices.
pub(super) struct Cooperating {
    /// Rows of a matrix.
    pub(super) side: u32,
    /// Rows and columns of C that a group computes.
    pub(super) tile: u32,
    /// Sources for any shape and for multiples of four.
    pub(super) sources: [&'static str; 2],
    /// Threads of a group.
    pub(super) threads: u32,
    /// Shared memory of a group, in bytes.
    pub(super) shared: u32,
}

impl Cooperating {
    /// `None` where the device offers no matrices of this type, or too little of what they need.
    pub(super) fn of(dtype: Dtype, limits: &Limits) -> Option<Self> {
        let (side, size) = match dtype {
            Dtype::F16 => (limits.cooperative.half.filter(|_| limits.half)?, 2),
            Dtype::F32 => (limits.cooperative.single?, 4),
            _ => return None,
        };
        let sources = match (dtype, side) {
            (Dtype::F16, 16) => sources!(f16, "16"),
            (Dtype::F16, 8) => sources!(f16, "8"),
            (_, 16) => sources!(f32, "16"),
            (_, 8) => sources!(f32, "8"),
            _ => return None,
        };
        let tile = 8 * side;
        let shared = tile * (SLICE + PAD) + SLICE / size * (tile * size + PAD) + PATCHES * side * side * 4;
        let threads = threads(PATCHES, limits)?;
        (shared <= limits.shared_bytes && threads <= limits.block_threads).then_some(Self {
            side,
            tile,
            sources,
            threads,
            shared,
        })
    }
}
