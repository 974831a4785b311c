//! The CUDA program of attention, in bfloat16 on tensor cores (`attention.cu`).

use crate::kernels::cuda::{WARP, cuda_source, needs_ampere, tile_bytes, unused, word};
use crate::kernels::{
    Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Params, Target,
};

const SOURCE: &str = cuda_source!("attention/walk.cu", "attention/attention.cu");
/// Largest dimension whose accumulators fit the registers.
const LARGEST: usize = 256;

/// Which keys a query sees, without the lists of a mask of blocks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Dense,
    Causal,
    Window(usize),
    Blocks { side: usize, visible: usize },
}

/// Tiles of one block of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tiles {
    /// Warps.
    warps: u32,
    /// Tiles of 16 queries of a warp.
    rows: u32,
    /// Keys of a tile.
    keys: u32,
}

impl Tiles {
    /// Tiles whose registers and shared memory fit, for a dimension filled up to `head`. Rows of queries in twos read keys and
    /// values half as often from shared memory.
    fn of(head: u32, kind: Kind) -> Result<Self, NoProgram> {
        // What keeps the sums of 32 queries and their scores in 255 registers, as tests/cuda_programs.rs sees it.
        let keys = if head > 80 { 32 } else { 64 };
        let Kind::Blocks { side, .. } = kind else {
            return Ok(Self { warps: 4, rows: if head > 128 { 1 } else { 2 }, keys });
        };
        let divides = |n: &u32| side.is_multiple_of(*n as usize);
        let largest = |sizes: &[u32]| sizes.iter().copied().find(divides);
        let lacks = || NoProgram::Lacks(format!("blocks of {side}: its program takes multiples of 16"));
        let queries = largest(if head > 128 { &[64, 32, 16] } else { &[128, 64, 32, 16] }).ok_or_else(lacks)?;
        let keys: &[u32] = match head {
            0..=80 => &[64, 32, 16],
            81..=192 => &[32, 16],
            _ => &[16],
        };
        let keys = largest(keys).ok_or_else(lacks)?;
        let rows = if queries == 128 { 2 } else { 1 };
        Ok(Self { warps: queries / (16 * rows), rows, keys })
    }

    const fn queries(self) -> u32 {
        self.warps * 16 * self.rows
    }
}

/// The program of a case.
pub(super) fn program(params: &Params, target: &Target, kind: Kind) -> Result<DeviceProgram, NoProgram> {
    if params.dtype != Dtype::Bf16 {
        return Err(NoProgram::Unwritten);
    }
    needs_ampere(target)?;
    let [heads, seq, dim] = [params.count("heads")?, params.count("seq")?, params.count("dim")?];
    if dim > LARGEST {
        return Err(NoProgram::Lacks(format!("dim is {dim}, and its program holds {LARGEST} at most")));
    }
    if let Some(program) = super::hopper::program([heads, seq, dim], target, kind)? {
        return Ok(program);
    }
    let head = word("dim", dim.next_multiple_of(16))?;
    let tiles = Tiles::of(head, kind)?;
    let (mask, limit, visible, name) = match kind {
        Kind::Dense => (0, 0, 0, "dense"),
        Kind::Causal => (1, 0, 0, "causal"),
        Kind::Window(width) => (2, width.min(seq), 0, "window"),
        Kind::Blocks { side, visible } => (3, side, visible, "blocks"),
    };
    let len = heads * seq * dim;
    let blocks = match kind {
        Kind::Blocks { side, visible } => DeviceBuffer::operand("columns", heads * (seq / side) * visible, Format::U32),
        _ => unused("columns", Format::U32),
    };
    let blocks_of_queries = seq.div_ceil(tiles.queries() as usize);
    let grid = heads.checked_mul(blocks_of_queries).ok_or_else(|| ParamError::TooLarge("the grid".to_owned()))?;
    #[expect(clippy::cast_possible_truncation, reason = "the program scales in single precision")]
    let scale = (1.0 / (dim as f64).sqrt()) as f32;
    let launch = Launch {
        source: SOURCE,
        entry: "attention",
        grid: [word("the grid", grid)?, 1, 1],
        block: [tiles.warps * WARP, 1, 1],
        shared: tile_bytes(tiles.queries(), head) + 4 * tile_bytes(tiles.keys, head),
        buffers: vec![0, 1, 2, 3, 4],
        constants: vec![
            ("HEAD", head),
            ("WARPS", tiles.warps),
            ("ROW_TILES", tiles.rows),
            ("KEYS", tiles.keys),
            ("ALIGNED", u32::from(dim.is_multiple_of(8))),
            ("MASK", mask),
        ],
        arguments: vec![
            Argument::U32(word("seq", seq)?),
            Argument::U32(word("dim", dim)?),
            Argument::U32(word("the mask", limit)?),
            Argument::U32(word("the mask", visible)?),
            Argument::F32(scale),
        ],
    };
    let input = |name| DeviceBuffer::operand(name, len, Format::Bf16);
    Ok(DeviceProgram {
        path: format!("cuda/mma-{}x{}-{name}", tiles.queries(), tiles.keys),
        buffers: vec![input("Q"), input("K"), input("V"), blocks, DeviceBuffer::output("O", len, Format::Bf16)],
        steps: vec![launch],
        output: 4,
        shape: vec![heads, seq, dim],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_divide_the_blocks_of_a_mask() {
        for head in [16, 64, 96, 128, 256] {
            for side in (16..=320).step_by(16) {
                let tiles = Tiles::of(head, Kind::Blocks { side, visible: 1 }).unwrap();
                assert!(side.is_multiple_of(tiles.queries() as usize), "{side}: {tiles:?}");
                assert!(side.is_multiple_of(tiles.keys as usize) && tiles.warps > 0, "{side}: {tiles:?}");
            }
            assert!(Tiles::of(head, Kind::Blocks { side: 24, visible: 1 }).is_err());
        }
    }
}
