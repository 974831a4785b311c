//! The precision canary of the sparse product with a matrix, as a case for devices.

use super::cuda;
use crate::kernels::canary::{Cancelling, LENGTH, LONG, Triples};
use crate::kernels::csr::Csr;
use crate::kernels::device::Alone;
use crate::kernels::element::Element;
use crate::kernels::operands::of_csr;
use crate::kernels::{Array, Buffer, Canary, DeviceCanary, Dtype, KernelError, ParamValue, Params, Values};

/// Rows and columns of the canary's answer: whole fours and ragged groups.
const SIZE: [usize; 2] = [40, 76];
/// Columns of A from one element of a sum to the next where the case has so few elements that panels of B are not worth it.
const APART: usize = 64;

/// Sums that cancel to their last bits, as a case that takes the same program.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(super) fn for_device(params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
    let apart = if cuda::has_panels(params)? { 1 } else { APART };
    let dtype = params.dtype;
    match dtype {
        Dtype::F32 => {
            let operands = Cancelling::<f32>::new(SIZE[0], SIZE[1], &|x| x);
            let case = spread(dtype, apart, [&operands.left, &operands.right], LENGTH)?;
            Ok(Some(judged(case, move |values| match values {
                Values::F32(found) => operands.judge(found),
                _ => operands.judge(&[]),
            })))
        }
        Dtype::F64 => {
            let operands = Cancelling::<f64>::new(SIZE[0], SIZE[1], &|x| x);
            let case = spread(dtype, apart, [&operands.left, &operands.right], LENGTH)?;
            Ok(Some(judged(case, move |values| match values {
                Values::F64(found) => operands.judge(found),
                _ => operands.judge(&[]),
            })))
        }
        Dtype::Bf16 => {
            let operands = Triples::new(SIZE[0], SIZE[1], &|x| x);
            let case = spread(dtype, apart, [&operands.left, &operands.right], LONG)?;
            Ok(Some(judged(case, move |values| match values {
                Values::F32(found) => operands.judge(found),
                _ => operands.judge(&[]),
            })))
        }
        _ => Ok(None),
    }
}

fn judged(
    (params, operands): (Params, Vec<Array>),
    judge: impl Fn(&Values) -> Canary + Send + 'static,
) -> DeviceCanary {
    DeviceCanary { params, operands, judge: Box::new(move |answer| judge(&answer.values)) }
}

/// A case of these operands, whose sums have `length` terms, `apart` columns from each other, and its arrays.
fn spread<T: Element>(
    dtype: Dtype,
    apart: usize,
    [left, right]: [&[T]; 2],
    length: usize,
) -> Result<(Params, Vec<Array>), KernelError> {
    let ([m, n], k) = (SIZE, length * apart);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let row_ptr = (0..=m).map(|row| count(row * length)).collect();
    let columns: Vec<u32> = (0..m).flat_map(|_| (0..length).map(|q| count(q * apart))).collect();
    let mut values = Buffer::zeroed(m * length, "values")?;
    values.copy_from_slice(left);
    let mut operands = of_csr(&Csr::new(k, row_ptr, &columns, values, &Alone)?);
    let mut spread = vec![T::ZERO; k * n];
    for (row, given) in spread.chunks_mut(apart * n).zip(right.chunks(n)) {
        row[..n].copy_from_slice(given);
    }
    operands.push(Array::of("B", &[k, n], &spread));
    let sizes = [("m", m), ("k", k), ("n", n)];
    let sizes = sizes.map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    let density = ("density".to_owned(), ParamValue::Real(1.0 / apart as f64));
    let params = Params { dtype, values: sizes.into_iter().chain([density]).collect() };
    Ok((params, cuda::operands(operands, [m, k], dtype, apart == 1)))
}
