//! The CUDA program of the product in bfloat16 (`gemm.cu`), and which program computes a case.

use crate::kernels::cuda::{cuda_source, needs_ampere, tile_bytes, word};
use crate::kernels::{
    Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Params, Target,
};

const SOURCE: &str = cuda_source!("gemm/gemm.cu");
/// Sides of a tile of results.
const TILE: usize = 128;
/// Products of a slice.
const DEPTH: u32 = 32;
/// Slices in shared memory.
const STAGES: u32 = 4;

/// The program of a case.
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    let [m, n, k] = [params.count("m")?, params.count("n")?, params.count("k")?];
    if let Some(program) = super::hopper::program(params.dtype, [m, n, k], target)? {
        return Ok(program);
    }
    if params.dtype != Dtype::Bf16 {
        return super::types::program(params, target);
    }
    needs_ampere(target)?;
    let size = |a: usize, b: usize| a.checked_mul(b).ok_or_else(|| ParamError::TooLarge("a matrix".to_owned()));
    let launch = Launch {
        source: SOURCE,
        entry: "gemm",
        grid: [word("the grid", size(m.div_ceil(TILE), n.div_ceil(TILE))?)?, 1, 1],
        block: [256, 1, 1],
        shared: STAGES * (tile_bytes(word("a tile", TILE)?, DEPTH) + tile_bytes(DEPTH, word("a tile", TILE)?)),
        buffers: vec![0, 1, 2],
        constants: vec![("STAGES", STAGES), ("ALIGNED", u32::from(n.is_multiple_of(8) && k.is_multiple_of(8)))],
        arguments: vec![Argument::U32(word("m", m)?), Argument::U32(word("n", n)?), Argument::U32(word("k", k)?)],
    };
    Ok(DeviceProgram {
        path: "cuda/mma-128x128".to_owned(),
        buffers: vec![
            DeviceBuffer::operand("A", size(m, k)?, Format::Bf16),
            DeviceBuffer::operand("B", size(k, n)?, Format::Bf16),
            DeviceBuffer::output("C", size(m, n)?, Format::F32),
        ],
        steps: vec![launch],
        output: 2,
        shape: vec![m, n],
    })
}
