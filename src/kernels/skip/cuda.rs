//! The CUDA program of the layer that skips zeros (`skip.cu`).

use super::Shape;
use crate::kernels::cuda::{cuda_source, unused, word};
use crate::kernels::{Argument, DeviceBuffer, DeviceProgram, Format, Launch, NoProgram, Target};

const SOURCE: &str = cuda_source!("skip/skip.cu");
const THREADS: u32 = 256;
/// Rows that the warps of a block compute.
const WARPS: usize = 8;
/// Columns of D that a block adds.
const COLUMNS: usize = 1024;
/// Blocks that keep a large device busy.
const BUSY: usize = 1024;

/// The program of a case.
pub(super) fn program(shape: Shape, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if target.limits.capability.is_none() {
        return Err(NoProgram::Unwritten);
    }
    let Shape { d, f, rank } = shape;
    let shares = BUSY.div_ceil(d.div_ceil(COLUMNS)).clamp(1, f.div_ceil(64));
    let predicted = rank > 0;
    let constants = vec![
        ("ALIGNED", u32::from(d.is_multiple_of(4) && rank.is_multiple_of(4))),
        ("PREDICTED", u32::from(predicted)),
    ];
    let counted = |sizes: &[usize]| {
        sizes.iter().map(|n| Ok(Argument::U32(word("a size", *n)?))).collect::<Result<Vec<_>, NoProgram>>()
    };
    let launch = |entry, grid: [usize; 2], buffers: &[usize], sizes: &[usize]| {
        Ok::<_, NoProgram>(Launch {
            source: SOURCE,
            entry,
            grid: [word("the grid", grid[0])?, word("the grid", grid[1])?, 1],
            block: [THREADS, 1, 1],
            shared: 0,
            buffers: buffers.to_vec(),
            constants: constants.clone(),
            arguments: counted(sizes)?,
        })
    };
    let of_predictor =
        |name, len| if predicted { DeviceBuffer::operand(name, len, Format::F32) } else { unused(name, Format::F32) };
    let mut steps = Vec::new();
    if predicted {
        steps.push(launch("project", [rank.div_ceil(WARPS), 1], &[4, 0, 7], &[d, rank])?);
    }
    steps.push(launch("units", [f.div_ceil(WARPS), 1], &[1, 2, 5, 6, 0, 7, 8], &[d, f, rank])?);
    steps.push(launch("add", [d.div_ceil(COLUMNS), shares], &[3, 8, 9], &[d, f])?);
    steps.push(launch("join", [d.div_ceil(THREADS as usize), 1], &[9, 10], &[d, shares])?);
    Ok(DeviceProgram {
        path: if predicted { "cuda/predicted-rows" } else { "cuda/rows" }.to_owned(),
        buffers: vec![
            DeviceBuffer::operand("x", d, Format::F32),
            DeviceBuffer::operand("U", f * d, Format::F32),
            DeviceBuffer::operand("b", f, Format::F32),
            DeviceBuffer::operand("D", f * d, Format::F32),
            of_predictor("A", rank * d),
            of_predictor("B", f * rank),
            of_predictor("thresholds", f),
            DeviceBuffer::output("A·x", rank.max(1), Format::F32),
            DeviceBuffer::output("hidden units", f, Format::F32),
            DeviceBuffer::output("shares", shares * d, Format::F32),
            DeviceBuffer::output("y", d, Format::F32),
        ],
        steps,
        output: 10,
        shape: vec![1, d],
    })
}
