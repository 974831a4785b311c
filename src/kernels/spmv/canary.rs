//! The precision canary of the sparse product with a vector, as a case for devices.

use super::cuda;
use crate::kernels::canary::{Cancelling, LENGTH};
use crate::kernels::csr::Csr;
use crate::kernels::device::Alone;
use crate::kernels::element::Element;
use crate::kernels::operands::of_csr;
use crate::kernels::{Array, Canary, DeviceCanary, Dtype, KernelError, ParamValue, Params, Values};

/// Rows of the canary.
const ROWS: usize = 64;

/// Sums that cancel to their last bits, as a case whose matrix is full.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(super) fn for_device(params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
    match params.dtype {
        Dtype::F32 => case::<f32>(|operands, values| match values {
            Values::F32(found) => operands.judge(found),
            _ => operands.judge(&[]),
        }),
        Dtype::F64 => case::<f64>(|operands, values| match values {
            Values::F64(found) => operands.judge(found),
            _ => operands.judge(&[]),
        }),
        _ => Ok(None),
    }
}

fn case<T: Element>(judge: fn(&Cancelling<T>, &Values) -> Canary) -> Result<Option<DeviceCanary>, KernelError> {
    let cancelling = Cancelling::<T>::new(ROWS, 1, &|x| x);
    let mut operands = of_csr(&Csr::full(&cancelling.left, LENGTH, &Alone)?);
    operands.push(Array::of("x", &[LENGTH], &cancelling.right));
    let sizes = [("m", ROWS), ("k", LENGTH)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    let density = ("density".to_owned(), ParamValue::Real(1.0));
    Ok(Some(DeviceCanary {
        params: Params { dtype: T::DTYPE, values: sizes.into_iter().chain([density]).collect() },
        operands: cuda::operands(operands, LENGTH),
        judge: Box::new(move |answer| judge(&cancelling, &answer.values)),
    }))
}
