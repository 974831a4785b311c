//! The sparse product with a vector on other devices in WGSL.

use crate::kernels::canary::{Cancelling, LENGTH};
use crate::kernels::device::Alone;
use crate::kernels::operands::of_csr;
use crate::kernels::{
    Api, Argument, Array, DeviceBuffer, DeviceCanary, DeviceProgram, Dtype, Format, KernelError, Launch, NoProgram,
    ParamError, ParamValue, Params, Target, Values, csr,
};

const SOURCE: &str = include_str!("spmv.wgsl");

/// Threads of a group.
const THREADS: u32 = 256;
/// Most groups: each then does several sets of rows.
const GROUPS: u32 = 16_384;
/// Rows of the canary.
const CANARY: usize = 64;

/// The program for a target.
///
/// # Errors
/// [`NoProgram`].
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if (target.api, params.dtype) != (Api::Wgsl, Dtype::F32) {
        return Err(NoProgram::Unwritten);
    }
    let (m, k) = (params.count("m")?, params.count("k")?);
    let nnz = csr::nonzeros(m as u64, k as u64, params.real("density")?)?;
    let rows = u32::try_from(m).map_err(|_| ParamError::TooLarge(format!("{m} rows")))?;
    // Some four elements for each thread: shorter rows would leave lanes idle, longer ones wait on the slowest.
    let mean = u32::try_from(nnz / m as u64).unwrap_or(u32::MAX);
    let lanes = mean.div_ceil(4).clamp(1, 64).next_power_of_two();
    let nnz = usize::try_from(nnz).map_err(|_| ParamError::TooLarge(format!("{nnz} non-zeros")))?;
    Ok(DeviceProgram {
        path: format!("wgsl/{lanes}-lanes"),
        buffers: vec![
            DeviceBuffer::operand("row_ptr", m + 1, Format::U32),
            DeviceBuffer::operand("columns", nnz, Format::U32),
            DeviceBuffer::operand("values", nnz, Format::F32),
            DeviceBuffer::operand("x", k, Format::F32),
            DeviceBuffer::output("y", m, Format::F32),
        ],
        steps: vec![Launch {
            source: SOURCE,
            entry: "main",
            grid: [rows.div_ceil(THREADS / lanes).clamp(1, GROUPS), 1, 1],
            block: [THREADS, 1, 1],
            shared: 0,
            buffers: vec![0, 1, 2, 3, 4],
            constants: vec![("LANES", lanes)],
            arguments: vec![Argument::U32(rows)],
        }],
        output: 4,
        shape: vec![m],
    })
}

/// Sums that cancel to their last bits, as a case whose matrix is full.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(super) fn canary(params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
    if params.dtype != Dtype::F32 {
        return Ok(None);
    }
    let cancelling = Cancelling::<f32>::new(CANARY, 1, &|x| x);
    let mut operands = of_csr(&csr::Csr::full(&cancelling.left, LENGTH, &Alone)?);
    operands.push(Array::of("x", &[LENGTH], &cancelling.right));
    let sizes = [("m", CANARY), ("k", LENGTH)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
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
