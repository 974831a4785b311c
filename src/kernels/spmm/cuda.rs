//! The CUDA programs of the sparse product with a matrix (`spmm.cu`), and how A lies for them.

use crate::kernels::cuda::{WARP, cuda_source, needs_ampere, word};
use crate::kernels::{
    Argument, Array, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Params, Target, Values,
    csr,
};

const SOURCE: &str = cuda_source!("products.cu", "spmm/spmm.cu");
/// Rows of B in a panel.
const PANEL: usize = 64;
/// Elements of a row in a panel, on average, from which panels are worth their copies.
const WORTH: f64 = 2.0;
/// Warps of a block and rows of a warp where panels are shared, and where they are not.
const SHARED: [u32; 2] = [16, 8];
const ALONE: [u32; 2] = [8, 1];

/// Whether the program of a case takes panels.
///
/// # Errors
/// [`ParamError`] when the parameters are no case.
pub(super) fn has_panels(params: &Params) -> Result<bool, ParamError> {
    let (m, k) = (params.integer("m")?, params.integer("k")?);
    let nnz = csr::nonzeros(m, k, params.real("density")?)?;
    Ok(nnz as f64 / (m as f64 * k as f64) * PANEL as f64 >= WORTH)
}

/// Operands with the elements of A as programs for devices take them, beside: column and value of an element in neighbouring
/// words, and, for panels of B, where the elements of each row begin in each panel.
pub(super) fn operands(mut arrays: Vec<Array>, [m, k]: [usize; 2], dtype: Dtype, panels: bool) -> Vec<Array> {
    let values = |name: &str| arrays.iter().find(|a| a.name == name).map(|a| &a.values);
    let (Some(Values::U32(row_ptr)), Some(Values::U32(columns)), Some(values)) =
        (values("row_ptr"), values("columns"), values("values"))
    else {
        return arrays;
    };
    let panel = if panels { u32::try_from(PANEL).unwrap_or(u32::MAX) } else { u32::MAX };
    let columns_within = columns.iter().map(|column| column % panel);
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number of 64 bits")]
    let entries = match values {
        // A number of bfloat16 is the upper half of its binary32, and a column within a panel fits the lower.
        Values::F32(values) if dtype == Dtype::Bf16 && panels => {
            columns_within.zip(values).map(|(c, x)| c | x.to_bits() & 0xFFFF_0000).collect()
        }
        Values::F32(values) => columns_within.zip(values).flat_map(|(c, x)| [c, x.to_bits()]).collect(),
        _ => {
            let halves = |x: f64| [x.to_bits() as u32, (x.to_bits() >> 32) as u32];
            columns_within.zip(values.numbers()).flat_map(|(c, x)| [c, 0, halves(x)[0], halves(x)[1]]).collect()
        }
    };
    let starts = panels.then(|| {
        let mut starts = row_ptr[..m].to_vec();
        for end in (1..=k.div_ceil(PANEL)).map(|panel| panel * PANEL) {
            for row in 0..m {
                let last = starts[starts.len() - m];
                let rest = &columns[last as usize..row_ptr[row + 1] as usize];
                let within = rest.iter().take_while(|column| (**column as usize) < end).count();
                starts.push(last + u32::try_from(within).unwrap_or(u32::MAX));
            }
        }
        Array::of_indices("starts", starts)
    });
    arrays.push(Array::of_indices("entries", entries));
    arrays.extend(starts);
    arrays
}

/// The program of a case.
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    needs_ampere(target)?;
    let [m, k, n] = [params.count("m")?, params.count("k")?, params.count("n")?];
    let nnz = csr::nonzeros(m as u64, k as u64, params.real("density")?)?;
    let nnz = usize::try_from(nnz).map_err(|_| ParamError::TooLarge(format!("{nnz} non-zeros")))?;
    let (format, result) = match params.dtype {
        Dtype::F64 => (Format::F64, Format::F64),
        Dtype::Bf16 => (Format::Bf16, Format::F32),
        _ => (Format::F32, Format::F32),
    };
    let size = |what: &str, a: usize, b: usize| a.checked_mul(b).ok_or_else(|| ParamError::TooLarge(what.to_owned()));
    let panels = has_panels(params)?;
    let ([warps, rows], entry) = if panels { (SHARED, "panels") } else { (ALONE, "rows") };
    let chunk = 16 / format.size();
    let columns = WARP as usize * chunk;
    // Words of an element of A.
    let words = match format {
        Format::F64 => 4,
        Format::Bf16 if panels => 1,
        _ => 2,
    };
    let tiles = size("the grid", m.div_ceil((warps * rows) as usize), n.div_ceil(columns))?;
    let starts = if panels {
        DeviceBuffer::operand("starts", size("the panels", k.div_ceil(PANEL) + 1, m)?, Format::U32)
    } else {
        DeviceBuffer::operand("row_ptr", m + 1, Format::U32)
    };
    let shared = if panels { 2 * PANEL * columns * format.size() } else { 0 };
    Ok(DeviceProgram {
        path: match params.dtype {
            Dtype::Bf16 => format!("cuda/{entry}-bf16-{columns}"),
            _ => format!("cuda/{entry}-{columns}"),
        },
        buffers: vec![
            starts,
            DeviceBuffer::operand("entries", size("A", nnz, words)?, Format::U32),
            DeviceBuffer::operand("B", size("B", k, n)?, format),
            DeviceBuffer::output("C", size("C", m, n)?, result),
        ],
        steps: vec![Launch {
            source: SOURCE,
            entry,
            grid: [word("the grid", tiles)?, 1, 1],
            block: [warps * WARP, 1, 1],
            shared: word("shared memory", shared)?,
            buffers: vec![0, 1, 2, 3],
            constants: vec![
                ("NUMBER_BYTES", word("a number", format.size())?),
                ("ALIGNED", u32::from(n.is_multiple_of(chunk))),
                ("PANEL", word("a panel", PANEL)?),
                ("WARPS", warps),
                ("ROWS", rows),
            ],
            arguments: [("m", m), ("k", k), ("n", n)]
                .into_iter()
                .map(|(name, n)| Ok(Argument::U32(word(name, n)?)))
                .collect::<Result<_, NoProgram>>()?,
        }],
        output: 3,
        shape: vec![m, n],
    })
}
