//! The CUDA program of the product in bfloat16 for Hopper (`hopper.cu`).

use crate::kernels::cuda::{cuda_source, word};
use crate::kernels::hopper::{GROUP, LINE, is_hopper, rows_align, tensor_map};
use crate::kernels::{Argument, DeviceBuffer, DeviceProgram, Format, Launch, NoProgram, ParamError, Target};

const SOURCE: &str = cuda_source!("hopper.cu", "gemm/hopper.cu");
/// Rows and columns of a tile of results.
const TILE: [u32; 2] = [128, 256];
/// Slices of 64 products in shared memory: what fits beside nothing else.
const STAGES: u32 = 4;
/// Bytes of a slice of A and B, and of its two barriers.
const STAGE_BYTES: u32 = 2 * LINE * (TILE[0] + TILE[1]) + 2 * 8;

/// The program of a product of m × k by k × n; `None` where the device or the length of rows calls for the other one.
pub(super) fn program([m, n, k]: [usize; 3], target: &Target) -> Result<Option<DeviceProgram>, NoProgram> {
    if !is_hopper(target) || !rows_align(n) || !rows_align(k) {
        return Ok(None);
    }
    let size = |a: usize, b: usize| a.checked_mul(b).ok_or_else(|| ParamError::TooLarge("a matrix".to_owned()));
    let tiles = size(m.div_ceil(TILE[0] as usize), n.div_ceil(TILE[1] as usize))?;
    let tiles = word("the number of tiles", tiles)?;
    let launch = Launch {
        source: SOURCE,
        entry: "gemm_hopper",
        grid: [target.limits.multiprocessors.map_or(tiles, |own| tiles.min(own)), 1, 1],
        block: [3 * GROUP, 1, 1],
        shared: STAGES * STAGE_BYTES,
        buffers: vec![2],
        constants: vec![("STAGES", STAGES)],
        arguments: vec![
            Argument::TensorMap(tensor_map(0, [1, m, k], TILE[0])),
            Argument::TensorMap(tensor_map(1, [1, k, n], LINE)),
            Argument::U32(word("m", m)?),
            Argument::U32(word("n", n)?),
            Argument::U32(word("k", k)?),
        ],
    };
    Ok(Some(DeviceProgram {
        path: "cuda/wgmma-128x256".to_owned(),
        buffers: vec![
            DeviceBuffer::operand("A", size(m, k)?, Format::Bf16),
            DeviceBuffer::operand("B", size(k, n)?, Format::Bf16),
            DeviceBuffer::output("C", size(m, n)?, Format::F32),
        ],
        steps: vec![launch],
        output: 2,
        shape: vec![m, n],
    }))
}
