//! The CUDA program of the sparse product with a vector (`spmv.cu`).

use crate::kernels::cuda::{WARP, cuda_source, word};
use crate::kernels::{
    Argument, Array, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Params, Target, Values,
    csr,
};

const SOURCE: &str = cuda_source!("spmv/spmv.cu");
const THREADS: u32 = 256;
/// Elements that a lane reads before it comes to the next ones: two loads of four, twice.
const ELEMENTS: usize = 16;
/// Warps that fill a large card: 16 for each of 132 multiprocessors (H100 SXM).
const WARPS: usize = 16 * 132;
/// Elements below which a part of a row is not worth a warp.
const SMALLEST: usize = 1024;
/// Columns that 16 bits name.
const SHORT: usize = 1 << 16;

/// Operands with column numbers of 16 bits beside, two a word, where 16 bits name every column.
pub(super) fn operands(mut arrays: Vec<Array>, k: usize) -> Vec<Array> {
    let columns = arrays.iter().find(|a| a.name == "columns").map(|a| &a.values);
    if let (Some(Values::U32(columns)), true) = (columns, k <= SHORT) {
        let words = columns.chunks(2).map(|pair| pair[0] | pair.get(1).map_or(0, |second| second << 16)).collect();
        arrays.push(Array::of_indices("short columns", words));
    }
    arrays
}

/// The program of a case.
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if target.limits.capability.is_none() {
        return Err(NoProgram::Unwritten);
    }
    let (m, k) = (params.count("m")?, params.count("k")?);
    let nnz = csr::nonzeros(m as u64, k as u64, params.real("density")?)?;
    let nnz = usize::try_from(nnz).map_err(|_| ParamError::TooLarge(format!("{nnz} non-zeros")))?;
    let format = if params.dtype == Dtype::F64 { Format::F64 } else { Format::F32 };
    let mean = nnz / m;
    let most = WARP as usize;
    let lanes = word("lanes", mean.div_ceil(ELEMENTS).next_power_of_two().min(most))?;
    // Only rows that keep a whole warp busy are worth splitting.
    let parts = if lanes == WARP { WARPS.div_ceil(m).min(mean / SMALLEST).max(1) } else { 1 };
    let columns = if k <= SHORT {
        DeviceBuffer::operand("short columns", nnz.div_ceil(2), Format::U32)
    } else {
        DeviceBuffer::operand("columns", nnz, Format::U32)
    };
    let constants = vec![
        ("NUMBER_BYTES", word("a number", format.size())?),
        ("INDEX_BYTES", if k <= SHORT { 2 } else { 4 }),
        ("LANES", lanes),
        ("PARTS", word("parts", parts)?),
    ];
    let rows = word("m", m)?;
    let mut buffers = vec![
        DeviceBuffer::operand("row_ptr", m + 1, Format::U32),
        columns,
        DeviceBuffer::operand("values", nnz, format),
        DeviceBuffer::operand("x", k, format),
        DeviceBuffer::output("y", m, format),
    ];
    let launch = |entry, grid, buffers, arguments| Launch {
        source: SOURCE,
        entry,
        grid,
        block: [THREADS, 1, 1],
        shared: 0,
        buffers,
        constants: constants.clone(),
        arguments,
    };
    let arguments = vec![Argument::U32(rows), Argument::U32(word("the non-zeros", nnz)?)];
    let grid = [rows.div_ceil(THREADS / lanes), word("parts", parts)?, 1];
    let steps = if parts == 1 {
        vec![launch("spmv", grid, vec![0, 1, 2, 3, 4], arguments)]
    } else {
        buffers.push(DeviceBuffer::output("sums of parts", parts * m, format));
        let join = launch("join", [rows.div_ceil(THREADS), 1, 1], vec![5, 4], vec![Argument::U32(rows)]);
        vec![launch("spmv", grid, vec![0, 1, 2, 3, 5], arguments), join]
    };
    let split = if parts == 1 { String::new() } else { format!("-{parts}-parts") };
    Ok(DeviceProgram { path: format!("cuda/{lanes}-lanes{split}"), buffers, steps, output: 4, shape: vec![m] })
}
