//! The block-sparse product on other devices in WGSL.

use super::Shape;
use crate::kernels::{Api, Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, Params, Target};

const ANY: &str = concat!(include_str!("any.wgsl"), include_str!("bsr.wgsl"));
const FOURS: &str = concat!(include_str!("fours.wgsl"), include_str!("bsr.wgsl"));

/// Rows and columns of C that a group computes.
const TILE: [u32; 2] = [16, 128];

/// Shared memory of a group in bytes: 16×16 elements of a block, and as deep a slice of B.
const SHARED: u32 = 16 * (16 + TILE[1]) * 4;

/// The program for a target.
///
/// # Errors
/// [`NoProgram`].
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if (target.api, params.dtype) != (Api::Wgsl, Dtype::F32) {
        return Err(NoProgram::Unwritten);
    }
    let shape = Shape::of(params)?;
    let stored = [shape.elements()?, shape.k.saturating_mul(shape.n), shape.m.saturating_mul(shape.n)];
    if stored.iter().any(|elements| *elements >= 1 << 32) {
        return Err(NoProgram::Lacks("a matrix of 2³² elements or more needs longer indices".to_owned()));
    }
    // Bounded above.
    let size = |x: u64| usize::try_from(x).unwrap_or(usize::MAX);
    let word = |x: u64| u32::try_from(x).unwrap_or(u32::MAX);
    let [elements, b, c] = stored.map(size);
    let fours = shape.n.is_multiple_of(4);
    let (source, path) = if fours { (FOURS, "wgsl/16x128") } else { (ANY, "wgsl/16x128-any") };
    Ok(DeviceProgram {
        path: path.to_owned(),
        buffers: vec![
            DeviceBuffer::operand("row_ptr", size(shape.m / shape.block + 1), Format::U32),
            DeviceBuffer::operand("columns", size(shape.stored), Format::U32),
            DeviceBuffer::operand("blocks", elements, Format::F32),
            DeviceBuffer::operand("B", b, Format::F32),
            DeviceBuffer::output("C", c, Format::F32),
        ],
        steps: vec![Launch {
            source,
            entry: "main",
            grid: [word(shape.n).div_ceil(TILE[1]), word(shape.m / u64::from(TILE[0])), 1],
            block: [16, 16, 1],
            shared: SHARED,
            buffers: vec![0, 1, 2, 3, 4],
            constants: Vec::new(),
            arguments: vec![Argument::U32(word(shape.n)), Argument::U32(word(shape.block))],
        }],
        output: 4,
        shape: vec![size(shape.m), size(shape.n)],
    })
}
