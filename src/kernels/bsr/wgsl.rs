//! The block-sparse product on other devices in WGSL.

use super::Shape;
use super::structure::Bsr;
use crate::kernels::canary::{Cancelling, LENGTH};
use crate::kernels::device::Alone;
use crate::kernels::operands::{columns, row_offsets};
use crate::kernels::{
    Api, Argument, Array, DeviceBuffer, DeviceCanary, DeviceProgram, Dtype, Format, KernelError, Launch, NoProgram,
    ParamValue, Params, Target, Values,
};

const ANY: &str = concat!(include_str!("any.wgsl"), include_str!("bsr.wgsl"));
const FOURS: &str = concat!(include_str!("fours.wgsl"), include_str!("bsr.wgsl"));

/// Rows and columns of C that a group computes.
const TILE: [u32; 2] = [16, 128];
/// Columns of the canary's answer.
const CANARY: usize = 76;

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
            shared: 0,
            buffers: vec![0, 1, 2, 3, 4],
            constants: Vec::new(),
            arguments: vec![Argument::U32(word(shape.n)), Argument::U32(word(shape.block))],
        }],
        output: 4,
        shape: vec![size(shape.m), size(shape.n)],
    })
}

/// Sums that cancel to their last bits, as one row of blocks.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(super) fn canary(params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
    if params.dtype != Dtype::F32 {
        return Ok(None);
    }
    let side = params.count("block")?;
    let cancelling = Cancelling::<f32>::new(side, CANARY, &|x| x);
    // The sums are filled up with zeros to whole blocks.
    let depth = LENGTH.next_multiple_of(side);
    let mut left = vec![0.0_f32; side * depth];
    for (row, operands) in left.chunks_mut(depth).zip(cancelling.left.chunks(LENGTH)) {
        row[..LENGTH].copy_from_slice(operands);
    }
    let mut right = cancelling.right.clone();
    right.resize(depth * CANARY, 0.0);
    let a = Bsr::full(&left, depth, side, &Alone)?;
    let blocks = Array::of("blocks", &[a.blocks().nnz(), side, side], a.values());
    let operands = vec![row_offsets(a.blocks()), columns(a.blocks()), blocks, Array::of("B", &[depth, CANARY], &right)];
    let sizes = [("m", side), ("k", depth), ("n", CANARY), ("block", side)];
    let sizes = sizes.map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    let density = ("density".to_owned(), ParamValue::Real(1.0));
    Ok(Some(DeviceCanary {
        params: Params { dtype: Dtype::F32, values: sizes.into_iter().chain([density]).collect() },
        operands,
        judge: Box::new(move |answer| match &answer.values {
            Values::F32(found) => cancelling.judge(found),
            _ => cancelling.judge(&[]),
        }),
    }))
}
