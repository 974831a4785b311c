//! The CUDA program of attention in bfloat16 for Hopper (`hopper.cu`).

use super::cuda::Kind;
use crate::kernels::cuda::{cuda_source, unused, word};
use crate::kernels::hopper::{GROUP, LINE, is_hopper, tensor_map};
use crate::kernels::{Argument, DeviceBuffer, DeviceProgram, Format, Launch, NoProgram, ParamError, Target};

const SOURCE: &str = cuda_source!("hopper.cu", "attention/walk.cu", "attention/hopper.cu");
/// Queries of a warpgroup.
const ROWS: u32 = 64;
/// Keys of a tile.
const KEYS: u32 = 128;
/// Tiles of keys, and of values, in shared memory.
const STAGES: u32 = 2;
/// Bytes of the barriers: two for the queries, and two for each tile of keys and of values.
const BARRIERS: u32 = 8 * (2 + 4 * STAGES);
/// Bytes of the keys and values of heads whose tiles take turns under a causal mask: half of the second cache of such a device, 50 MB.
const TOGETHER: usize = 25 << 20;

/// Warpgroups that compute: three where their sums leave registers for it, but what divides the blocks of a mask.
fn warpgroups(dim: usize, kind: Kind) -> Option<u32> {
    match (dim, kind) {
        (64 | 128, Kind::Blocks { side, .. }) => side.is_multiple_of(KEYS as usize).then_some(2),
        (64, _) => Some(3),
        (128, _) => Some(2),
        _ => None,
    }
}

/// The program of a case; `None` where the device, the dimension or the blocks of the mask call for the other one.
pub(super) fn program(
    [heads, seq, dim]: [usize; 3],
    target: &Target,
    kind: Kind,
) -> Result<Option<DeviceProgram>, NoProgram> {
    let Some(warpgroups) = warpgroups(dim, kind).filter(|_| is_hopper(target)) else { return Ok(None) };
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
    let queries = warpgroups * ROWS;
    let works = heads.checked_mul(seq.div_ceil(queries as usize));
    let works = word("the number of tiles", works.ok_or_else(|| ParamError::TooLarge("the tiles".to_owned()))?)?;
    // Keys and values of a head are 4·seq·dim bytes.
    let together = (TOGETHER / (4 * seq * dim)).clamp(1, heads);
    #[expect(clippy::cast_possible_truncation, reason = "the program scales in single precision")]
    let scale = (1.0 / (dim as f64).sqrt()) as f32;
    let head = word("dim", dim)?;
    let map = |buffer, lines| Argument::TensorMap(tensor_map(buffer, [heads, seq, dim], [lines, LINE]));
    let launch = Launch {
        source: SOURCE,
        entry: "attention_hopper",
        grid: [target.limits.multiprocessors.map_or(works, |own| works.min(own)), 1, 1],
        block: [(warpgroups + 1) * GROUP, 1, 1],
        shared: 2 * head * (queries + 2 * STAGES * KEYS) + BARRIERS,
        buffers: vec![3, 4],
        constants: vec![("HEAD", head), ("WARPGROUPS", warpgroups), ("KEYS", KEYS), ("MASK", mask)],
        arguments: vec![
            map(0, ROWS),
            map(1, KEYS),
            map(2, KEYS),
            Argument::U32(word("seq", seq)?),
            Argument::U32(word("heads", heads)?),
            Argument::U32(word("heads", together)?),
            Argument::U32(word("the mask", limit)?),
            Argument::U32(word("the mask", visible)?),
            Argument::F32(scale),
        ],
    };
    let input = |name| DeviceBuffer::operand(name, len, Format::Bf16);
    Ok(Some(DeviceProgram {
        path: format!("cuda/wgmma-{queries}x{KEYS}-{name}"),
        buffers: vec![input("Q"), input("K"), input("V"), blocks, DeviceBuffer::output("O", len, Format::Bf16)],
        steps: vec![launch],
        output: 4,
        shape: vec![heads, seq, dim],
    }))
}
