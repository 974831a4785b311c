//! The precision canary of the sparse product with a matrix, as a case for devices.

use super::cuda;
use crate::kernels::canary::{Cancelling, LENGTH};
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
    match params.dtype {
        Dtype::F32 => case::<f32>(apart, |operands, values| match values {
            Values::F32(found) => operands.judge(found),
            _ => operands.judge(&[]),
        }),
        Dtype::F64 => case::<f64>(apart, |operands, values| match values {
            Values::F64(found) => operands.judge(found),
            _ => operands.judge(&[]),
        }),
        _ => Ok(None),
    }
}

fn case<T: Element>(
    apart: usize,
    judge: fn(&Cancelling<T>, &Values) -> Canary,
) -> Result<Option<DeviceCanary>, KernelError> {
    let ([m, n], k) = (SIZE, LENGTH * apart);
    let cancelling = Cancelling::<T>::new(m, n, &|x| x);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let row_ptr = (0..=m).map(|row| count(row * LENGTH)).collect();
    let columns: Vec<u32> = (0..m).flat_map(|_| (0..LENGTH).map(|q| count(q * apart))).collect();
    let mut values = Buffer::zeroed(m * LENGTH, "values")?;
    values.copy_from_slice(&cancelling.left);
    let mut operands = of_csr(&Csr::new(k, row_ptr, &columns, values, &Alone)?);
    let mut right = vec![T::ZERO; k * n];
    for (row, given) in right.chunks_mut(apart * n).zip(cancelling.right.chunks(n)) {
        row[..n].copy_from_slice(given);
    }
    operands.push(Array::of("B", &[k, n], &right));
    let sizes = [("m", m), ("k", k), ("n", n)];
    let sizes = sizes.map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    let density = ("density".to_owned(), ParamValue::Real(1.0 / apart as f64));
    Ok(Some(DeviceCanary {
        params: Params { dtype: T::DTYPE, values: sizes.into_iter().chain([density]).collect() },
        operands: cuda::operands(operands, m, k, apart == 1),
        judge: Box::new(move |answer| judge(&cancelling, &answer.values)),
    }))
}
