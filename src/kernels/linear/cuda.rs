//! The CUDA program of linear attention, in bfloat16 on tensor cores (`linear.cu`).

use super::Shape;
use crate::kernels::cuda::{WARP, cuda_source, needs_ampere, tile_bytes, word};
use crate::kernels::{Argument, DeviceBuffer, DeviceProgram, Format, Launch, NoProgram, ParamError, Target};

const SOURCE: &str = cuda_source!("linear/linear.cu");
const WARPS: u32 = 4;
/// Keys, and queries, of a tile.
const TILE: usize = 64;
/// Largest dimension whose state fits shared memory.
const LARGEST: usize = 128;
/// Blocks that keep a large device busy.
const BUSY: usize = 512;

/// The program of a case.
pub(super) fn program(shape: Shape, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if !shape.short {
        return Err(NoProgram::Unwritten);
    }
    needs_ampere(target)?;
    let Shape { heads, seq, dim, .. } = shape;
    if dim > LARGEST {
        return Err(NoProgram::Lacks(format!("dim is {dim}, and its program holds {LARGEST} at most")));
    }
    let width = dim.next_multiple_of(16);
    let head = word("dim", width)?;
    let shares = BUSY.div_ceil(heads).clamp(1, seq.div_ceil(4 * TILE));
    let size = |n: Option<usize>| n.ok_or_else(|| ParamError::TooLarge("the states".to_owned()));
    let parts = size((heads * shares).checked_mul(width * (width + 8)))?;
    let states = size(heads.checked_mul(width * (width + 16)))?;
    let constants = vec![("HEAD", head), ("WARPS", WARPS), ("ALIGNED", u32::from(dim.is_multiple_of(8)))];
    let arguments = |sizes: [usize; 2]| {
        sizes.into_iter().map(|n| Ok(Argument::U32(word("a size", n)?))).collect::<Result<Vec<_>, NoProgram>>()
    };
    let launch = |entry, grid, threads, shared, buffers: &[usize], arguments| Launch {
        source: SOURCE,
        entry,
        grid,
        block: [threads, 1, 1],
        shared,
        buffers: buffers.to_vec(),
        constants: constants.clone(),
        arguments,
    };
    let tile = tile_bytes(64, head);
    let (heads_, tiles) = (word("heads", heads)?, word("the grid", heads * seq.div_ceil(TILE))?);
    let len = shape.len();
    let input = |name| DeviceBuffer::operand(name, len, Format::Bf16);
    Ok(DeviceProgram {
        path: "cuda/mma-states".to_owned(),
        buffers: vec![
            input("Q"),
            input("K"),
            input("V"),
            DeviceBuffer::output("shares", parts, Format::F32),
            DeviceBuffer::output("states", states, Format::Bf16),
            DeviceBuffer::output("O", len, Format::Bf16),
        ],
        steps: vec![
            launch(
                "state",
                [word("the grid", shares)?, heads_, 1],
                WARPS * WARP,
                2 * tile,
                &[1, 2, 3],
                arguments([seq, dim])?,
            ),
            launch("join", [word("the grid", heads * width)?, 1, 1], 128, 0, &[3, 4], arguments([shares, dim])?),
            launch(
                "output",
                [tiles, 1, 1],
                WARPS * WARP,
                tile + tile_bytes(head, head + 16),
                &[0, 4, 5],
                arguments([seq, dim])?,
            ),
        ],
        output: 5,
        shape: vec![heads, seq, dim],
    })
}
