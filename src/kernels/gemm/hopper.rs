//! The CUDA program of the product for Hopper (`hopper.cu`), and of the transposition before it (`turn.cu`).

use crate::kernels::cuda::{cuda_source, word};
use crate::kernels::hopper::{GROUP, LINE, LINE_BYTES, is_hopper, rows_align, tensor_map};
use crate::kernels::{Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Target};

const SOURCE: &str = cuda_source!("hopper.cu", "gemm/hopper.cu");
const TURN: &str = cuda_source!("gemm/turn.cu");
/// Rows and columns of a tile of results.
const TILE: [u32; 2] = [128, 256];
/// Slices of 128 bytes of each row in shared memory: what fits beside nothing else.
const STAGES: u32 = 4;
/// Bytes of a slice of A and B, and of its two barriers.
const STAGE_BYTES: u32 = LINE_BYTES * (TILE[0] + TILE[1]) + 2 * 8;
/// Threads that transpose a tile, and words of its rows.
const TURN_THREADS: u32 = 256;
const TURN_WORDS: usize = 32;

/// Number of a type in the program, its operands and results; `None` where Hopper has no product of warpgroups for it.
const fn kind(dtype: Dtype) -> Option<(u32, Format, Format)> {
    match dtype {
        Dtype::Bf16 => Some((0, Format::Bf16, Format::F32)),
        Dtype::F16 => Some((1, Format::F16, Format::F32)),
        Dtype::I8 => Some((2, Format::I8, Format::I32)),
        Dtype::F8 => Some((3, Format::F8, Format::F32)),
        Dtype::Tf32 => Some((4, Format::F32, Format::F32)),
        Dtype::F32 | Dtype::F64 => None,
    }
}

/// The program of a product of m × k by k × n; `None` where the device, the type or the length of rows calls for the other one.
pub(super) fn program(
    dtype: Dtype,
    [m, n, k]: [usize; 3],
    target: &Target,
) -> Result<Option<DeviceProgram>, NoProgram> {
    let Some((number, format, result)) = kind(dtype).filter(|_| is_hopper(target)) else { return Ok(None) };
    let bytes = format.size();
    if !rows_align(n, bytes) || !rows_align(k, bytes) {
        return Ok(None);
    }
    let size = |a: usize, b: usize| a.checked_mul(b).ok_or_else(|| ParamError::TooLarge("a matrix".to_owned()));
    let tiles = size(m.div_ceil(TILE[0] as usize), n.div_ceil(TILE[1] as usize))?;
    let tiles = word("the number of tiles", tiles)?;
    // Elements of 16 bits alone may lie with n innermost.
    let turned = bytes != 2;
    let line = LINE_BYTES / word("an element", bytes)?;
    let right = if turned { tensor_map(3, [1, n, k], [TILE[1], line]) } else { tensor_map(1, [1, k, n], [LINE, line]) };
    let [rows, columns, depth] = [word("m", m)?, word("n", n)?, word("k", k)?];
    let product = Launch {
        source: SOURCE,
        entry: "gemm_hopper",
        grid: [target.limits.multiprocessors.map_or(tiles, |own| tiles.min(own)), 1, 1],
        block: [3 * GROUP, 1, 1],
        shared: STAGES * STAGE_BYTES,
        buffers: vec![2],
        constants: vec![("STAGES", STAGES), ("KIND", number)],
        arguments: vec![
            Argument::TensorMap(tensor_map(0, [1, m, k], [TILE[0], line])),
            Argument::TensorMap(right),
            Argument::U32(rows),
            Argument::U32(columns),
            Argument::U32(depth),
        ],
    };
    let mut buffers = vec![
        DeviceBuffer::operand("A", size(m, k)?, format),
        DeviceBuffer::operand("B", size(k, n)?, format),
        DeviceBuffer::output("C", size(m, n)?, result),
    ];
    let mut steps = vec![product];
    if turned {
        let side = TURN_WORDS * (4 / bytes);
        buffers.push(DeviceBuffer::output("B transposed", size(k, n)?, format));
        steps.insert(
            0,
            Launch {
                source: TURN,
                entry: "turn",
                grid: [word("n", n.div_ceil(side))?, word("k", k.div_ceil(side))?, 1],
                block: [TURN_THREADS, 1, 1],
                shared: 0,
                buffers: vec![1, 3],
                constants: vec![("BYTES", word("an element", bytes)?)],
                arguments: vec![Argument::U32(columns), Argument::U32(depth)],
            },
        );
    }
    // The first type of the program has no word in its name.
    let name = if dtype == Dtype::Bf16 { String::new() } else { format!("{dtype}-") };
    Ok(Some(DeviceProgram { path: format!("cuda/wgmma-{name}128x256"), buffers, steps, output: 2, shape: vec![m, n] }))
}
