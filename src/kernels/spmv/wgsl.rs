//! The sparse product with a vector on other devices in WGSL.

use crate::kernels::{
    Api, Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Params, Target, csr,
};

const SOURCE: &str = include_str!("spmv.wgsl");
/// For rows that keep a whole subgroup busy.
const SUBGROUP: &str = include_str!("subgroup.wgsl");

/// Threads of a group.
const THREADS: u32 = 256;
/// Most groups: each then does several sets of rows.
const GROUPS: u32 = 16_384;

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
    let subgroup = target.limits.subgroup.filter(|(_, most)| mean >= *most);
    let (source, path, constants, at_once, shared) = match subgroup {
        Some((_, most)) => (SUBGROUP, "wgsl/subgroup".to_owned(), Vec::new(), THREADS / most.clamp(1, THREADS), 0),
        None => (SOURCE, format!("wgsl/{lanes}-lanes"), vec![("LANES", lanes)], THREADS / lanes, THREADS * 4),
    };
    Ok(DeviceProgram {
        path,
        buffers: vec![
            DeviceBuffer::operand("row_ptr", m + 1, Format::U32),
            DeviceBuffer::operand("columns", nnz, Format::U32),
            DeviceBuffer::operand("values", nnz, Format::F32),
            DeviceBuffer::operand("x", k, Format::F32),
            DeviceBuffer::output("y", m, Format::F32),
        ],
        steps: vec![Launch {
            source,
            entry: "main",
            grid: [rows.div_ceil(at_once).clamp(1, GROUPS), 1, 1],
            block: [THREADS, 1, 1],
            shared,
            buffers: vec![0, 1, 2, 3, 4],
            constants,
            arguments: vec![Argument::U32(rows)],
        }],
        output: 4,
        shape: vec![m],
    })
}
