//! The sparse product with a matrix on other devices in WGSL.

use crate::kernels::canary::{Cancelling, LENGTH};
use crate::kernels::device::Alone;
use crate::kernels::operands::of_csr;
use crate::kernels::{
    Api, Argument, Array, DeviceBuffer, DeviceCanary, DeviceProgram, Dtype, Format, KernelError, Launch, NoProgram,
    ParamError, ParamValue, Params, Target, Values, csr,
};

const ONE: &str = concat!("alias T = f32;\n", include_str!("spmm.wgsl"));
const FOUR: &str = concat!("alias T = vec4<f32>;\n", include_str!("spmm.wgsl"));

/// Threads of a group, across and down.
const BLOCK: [u32; 3] = [32, 8, 1];
/// Most groups down: each then does several sets of rows.
const GROUPS: u32 = 16_384;
/// Rows and columns of the canary's answer: whole fours and ragged groups.
const CANARY: [usize; 2] = [40, 76];

/// The program for a target.
///
/// # Errors
/// [`NoProgram`].
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if (target.api, params.dtype) != (Api::Wgsl, Dtype::F32) {
        return Err(NoProgram::Unwritten);
    }
    let [m, k, n] = [params.count("m")?, params.count("k")?, params.count("n")?];
    let nnz = csr::nonzeros(m as u64, k as u64, params.real("density")?)?;
    let nnz = usize::try_from(nnz).map_err(|_| ParamError::TooLarge(format!("{nnz} non-zeros")))?;
    let elements = [k.checked_mul(n), m.checked_mul(n)].map(|e| e.filter(|e| *e < 1 << 32));
    let [Some(b), Some(c)] = elements else {
        return Err(NoProgram::Lacks("a matrix of 2³² elements or more needs longer indices".to_owned()));
    };
    let (source, at_once) = if n.is_multiple_of(4) { (FOUR, 4) } else { (ONE, 1) };
    let word = |x: usize| u32::try_from(x).unwrap_or(u32::MAX);
    let (rows, width) = (word(m), word(n / at_once));
    Ok(DeviceProgram {
        path: format!("wgsl/{at_once}-at-once"),
        buffers: vec![
            DeviceBuffer::operand("row_ptr", m + 1, Format::U32),
            DeviceBuffer::operand("columns", nnz, Format::U32),
            DeviceBuffer::operand("values", nnz, Format::F32),
            DeviceBuffer::operand("B", b, Format::F32),
            DeviceBuffer::output("C", c, Format::F32),
        ],
        steps: vec![Launch {
            source,
            entry: "main",
            grid: [width.div_ceil(BLOCK[0]), rows.div_ceil(BLOCK[1]).clamp(1, GROUPS), 1],
            block: BLOCK,
            shared: 0,
            buffers: vec![0, 1, 2, 3, 4],
            constants: Vec::new(),
            arguments: vec![Argument::U32(rows), Argument::U32(width)],
        }],
        output: 4,
        shape: vec![m, n],
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
    let [m, n] = CANARY;
    let cancelling = Cancelling::<f32>::new(m, n, &|x| x);
    let mut operands = of_csr(&csr::Csr::full(&cancelling.left, LENGTH, &Alone)?);
    operands.push(Array::of("B", &[LENGTH, n], &cancelling.right));
    let sizes = [("m", m), ("k", LENGTH), ("n", n)];
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
