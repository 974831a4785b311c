//! The precision canary of the block-sparse product: sums that cancel, as one row of blocks.

use super::structure::Bsr;
use super::tiles::{BsrPath, Tiled};
use crate::kernels::canary::{Cancelling, LENGTH, LONG, Triples};
use crate::kernels::device::Alone;
use crate::kernels::element::Element;
use crate::kernels::operands::{columns, row_offsets};
use crate::kernels::pack::PackPath;
use crate::kernels::{Array, Canary, DeviceCanary, Dtype, Isa, KernelError, ParamValue, Params, Team, Values};

/// Columns of the processor's canary: full strips and a ragged one.
const COLUMNS: usize = 75;
/// Columns of the canary for devices, whole chunks of 16 bytes and ragged tiles.
const DEVICE_COLUMNS: usize = 88;

/// A row of blocks of side `side` and a right operand of `n` columns, from operands whose sums have `length` terms: they are
/// filled up with zeros to whole blocks.
fn filled<T: Element>(
    [left, right]: [&[T]; 2],
    length: usize,
    side: usize,
    n: usize,
    team: &dyn Team,
) -> Result<(Bsr<T>, Vec<T>), KernelError> {
    let depth = length.next_multiple_of(side);
    let mut rows = vec![T::ZERO; side * depth];
    for (row, operands) in rows.chunks_mut(depth).zip(left.chunks(length)) {
        row[..length].copy_from_slice(operands);
    }
    let mut right = right.to_vec();
    right.resize(depth * n, T::ZERO);
    Ok((Bsr::full(&rows, depth, side, team)?, right))
}

/// The answer of the processor's program.
fn answer<T: BsrPath + PackPath>((a, b): (Bsr<T>, Vec<T>), isa: Isa, team: &dyn Team) -> Result<Vec<T>, KernelError> {
    let mut output = vec![T::NAN; a.side() * COLUMNS];
    Tiled::new(a, COLUMNS, isa, team)?.multiply(&b, &mut output, team);
    Ok(output)
}

/// The canary through the processor's program; `operand` is applied to each operand.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(super) fn run<T: BsrPath + PackPath>(
    side: usize,
    isa: Isa,
    team: &dyn Team,
    operand: &dyn Fn(T) -> T,
) -> Result<Canary, KernelError> {
    let operands = Cancelling::new(side, COLUMNS, operand);
    let filled = filled([&operands.left, &operands.right], LENGTH, side, COLUMNS, team)?;
    Ok(operands.judge(&answer(filled, isa, team)?))
}

/// The same for operands in bfloat16.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(super) fn run_short(
    side: usize,
    isa: Isa,
    team: &dyn Team,
    operand: &dyn Fn(f32) -> f32,
) -> Result<Canary, KernelError> {
    let operands = Triples::new(side, COLUMNS, operand);
    let filled = filled([&operands.left, &operands.right], LONG, side, COLUMNS, team)?;
    Ok(operands.judge(&answer(filled, isa, team)?))
}

/// The canary as a case for a device.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(super) fn for_device(params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
    const N: usize = DEVICE_COLUMNS;
    let side = params.count("block")?;
    match params.dtype {
        Dtype::F32 => {
            let operands = Cancelling::<f32>::new(side, N, &|x| x);
            let filled = filled([&operands.left, &operands.right], LENGTH, side, N, &Alone)?;
            case(params.dtype, &filled, move |answer| match &answer.values {
                Values::F32(found) => operands.judge(found),
                _ => operands.judge(&[]),
            })
        }
        Dtype::F64 => {
            let operands = Cancelling::<f64>::new(side, N, &|x| x);
            let filled = filled([&operands.left, &operands.right], LENGTH, side, N, &Alone)?;
            case(params.dtype, &filled, move |answer| match &answer.values {
                Values::F64(found) => operands.judge(found),
                _ => operands.judge(&[]),
            })
        }
        Dtype::Bf16 => {
            let operands = Triples::new(side, N, &|x| x);
            let filled = filled([&operands.left, &operands.right], LONG, side, N, &Alone)?;
            case(params.dtype, &filled, move |answer| match &answer.values {
                Values::F32(found) => operands.judge(found),
                _ => operands.judge(&[]),
            })
        }
        _ => Ok(None),
    }
}

fn case<T: Element>(
    dtype: Dtype,
    (a, b): &(Bsr<T>, Vec<T>),
    judge: impl Fn(&Array) -> Canary + Send + 'static,
) -> Result<Option<DeviceCanary>, KernelError> {
    let (side, stored) = (a.side(), a.blocks().nnz());
    let depth = stored * side;
    let blocks = Array::of("blocks", &[stored, side, side], a.values());
    let operands =
        vec![row_offsets(a.blocks()), columns(a.blocks()), blocks, Array::of("B", &[depth, DEVICE_COLUMNS], b)];
    let sizes = [("m", side), ("k", depth), ("n", DEVICE_COLUMNS), ("block", side)];
    let sizes = sizes.map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    let density = ("density".to_owned(), ParamValue::Real(1.0));
    Ok(Some(DeviceCanary {
        params: Params { dtype, values: sizes.into_iter().chain([density]).collect() },
        operands,
        judge: Box::new(judge),
    }))
}
