//! The CUDA program of the triad (`triad.cu`).

use crate::kernels::cuda::{cuda_source, word};
use crate::kernels::{Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram};

const SOURCE: &str = cuda_source!("triad/triad.cu");
const THREADS: usize = 256;
/// Vectors of 16 bytes that a thread has under way.
const UNDER_WAY: usize = 4;

/// The program for arrays of `n` elements.
pub(super) fn program(n: usize, dtype: Dtype) -> Result<DeviceProgram, NoProgram> {
    let (format, double) = if dtype == Dtype::F64 { (Format::F64, 1) } else { (Format::F32, 0) };
    let per_block = THREADS * UNDER_WAY * (16 / format.size());
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number of 64 bits")]
    let halves = [Argument::U32(n as u32), Argument::U32((n as u64 >> 32) as u32)];
    let launch = Launch {
        source: SOURCE,
        entry: "triad",
        grid: [word("the grid", n.div_ceil(per_block))?, 1, 1],
        block: [word("the block", THREADS)?, 1, 1],
        shared: 0,
        buffers: vec![0, 1, 2],
        constants: vec![("DOUBLE", double)],
        arguments: vec![halves[0], halves[1], Argument::F32(3.0)],
    };
    Ok(DeviceProgram {
        path: "cuda/vectors".to_owned(),
        buffers: vec![
            DeviceBuffer::output("a", n, format),
            DeviceBuffer::operand("b", n, format),
            DeviceBuffer::operand("c", n, format),
        ],
        steps: vec![launch],
        output: 0,
        shape: vec![n],
    })
}
