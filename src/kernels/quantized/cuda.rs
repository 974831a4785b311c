//! The CUDA program of the quantised product (`quantized.cu`), and how weights lie for it.

use super::{CHUNK, Shape, Width};
use crate::kernels::cuda::{WARP, cuda_source, needs_ampere, word};
use crate::kernels::{Argument, DeviceBuffer, DeviceProgram, Format, Launch, NoProgram, Target};

const SOURCE: &str = cuda_source!("quantized/quantized.cu");
/// Warps that share the length of the sums.
const WARPS: u32 = 8;
/// Most tiles of eight columns that a block computes at once.
const MOST_TILES: usize = 4;

/// The program of a case.
pub(super) fn program(shape: Shape, target: &Target) -> Result<DeviceProgram, NoProgram> {
    needs_ampere(target)?;
    let Shape { m, n, k, group, width } = shape;
    let tiles = m.div_ceil(8).min(MOST_TILES);
    let bits = match width {
        Width::Int8 => 8,
        Width::Int4 => 4,
    };
    let launch = Launch {
        source: SOURCE,
        entry: "quantized",
        grid: [word("n", n.div_ceil(16))?, word("m", m.div_ceil(8 * tiles))?, 1],
        block: [WARPS * WARP, 1, 1],
        shared: 0,
        buffers: vec![0, 1, 2, 3],
        constants: vec![("BITS", bits), ("WARPS", WARPS), ("TOKEN_TILES", word("m", tiles)?)],
        arguments: [("n", n), ("k", k), ("m", m), ("group", group)]
            .into_iter()
            .map(|(name, value)| Ok(Argument::U32(word(name, value)?)))
            .collect::<Result<_, NoProgram>>()?,
    };
    Ok(DeviceProgram {
        path: format!("cuda/mma-int{bits}"),
        buffers: vec![
            DeviceBuffer::operand("W", n * (k / CHUNK) * width.device_words(), Format::U32),
            DeviceBuffer::operand("scales", n * (k / group), Format::F32),
            DeviceBuffer::operand("X", m * k, Format::Bf16),
            DeviceBuffer::output("Y", n * m, Format::F32),
        ],
        steps: vec![launch],
        output: 3,
        shape: vec![n, m],
    })
}
