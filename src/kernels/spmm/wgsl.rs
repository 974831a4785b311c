//! The sparse product with a matrix on other devices in WGSL.

use crate::kernels::{
    Api, Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Params, Target, csr,
};

const ONE: &str = concat!("alias T = f32;\n", include_str!("spmm.wgsl"));
const FOUR: &str = concat!("alias T = vec4<f32>;\n", include_str!("spmm.wgsl"));

/// Threads of a group, across and down.
const BLOCK: [u32; 3] = [32, 8, 1];
/// Most groups down: each then does several sets of rows.
const GROUPS: u32 = 16_384;

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
