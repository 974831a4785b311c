//! The CUDA program of the block-sparse product (`bsr.cu`).

use super::Shape;
use crate::kernels::cuda::{cuda_source, needs_ampere, word};
use crate::kernels::products::{Left, Tile, Unit};
use crate::kernels::{
    Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Params, Target,
};

const SOURCE: &str = cuda_source!("products.cu", "bsr/bsr.cu");

/// The program of a case.
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    let (unit, format, result) = match params.dtype {
        Dtype::Bf16 => (Unit::Tensor, Format::Bf16, Format::F32),
        Dtype::F32 => (Unit::Fma(4), Format::F32, Format::F32),
        Dtype::F64 => (Unit::Fma(8), Format::F64, Format::F64),
        _ => return Err(NoProgram::Unwritten),
    };
    needs_ampere(target)?;
    let Shape { m, k, n, block, stored } = Shape::of(params)?;
    let size = |what: &str, a: u64, b: u64| {
        let elements = a.checked_mul(b).and_then(|elements| usize::try_from(elements).ok());
        elements.ok_or_else(|| ParamError::TooLarge(what.to_owned()))
    };
    // The most rows that are whole parts of a block: a tile lies in one row of blocks.
    let rows = [128, 64, 32].into_iter().find(|rows| block.is_multiple_of(*rows)).unwrap_or(16);
    let tile = Tile::new(unit, Left::Columns, word("a tile", size("a tile", rows, 1)?)?, size("n", n, 1)?);
    let mut constants = tile.constants();
    let bytes = u32::try_from(format.size()).unwrap_or(u32::MAX);
    constants.extend([
        ("NUMBER_BYTES", bytes),
        ("SIDE", word("block", size("block", block, 1)?)?),
        ("ALIGNED", u32::from(n.is_multiple_of(u64::from(16 / bytes)))),
    ]);
    let tiles = size("the grid", m / rows, n.div_ceil(u64::from(tile.columns)))?;
    Ok(DeviceProgram {
        path: tile.name(),
        buffers: vec![
            DeviceBuffer::operand("row_ptr", size("the rows of blocks", m / block + 1, 1)?, Format::U32),
            DeviceBuffer::operand("columns", size("the blocks", stored, 1)?, Format::U32),
            DeviceBuffer::operand("blocks", size("the blocks", stored, block * block)?, format),
            DeviceBuffer::operand("B", size("B", k, n)?, format),
            DeviceBuffer::output("C", size("C", m, n)?, result),
        ],
        steps: vec![Launch {
            source: SOURCE,
            entry: "block_sparse",
            grid: [word("the grid", tiles)?, 1, 1],
            block: [tile.threads(), 1, 1],
            shared: tile.shared(),
            buffers: vec![0, 1, 2, 3, 4],
            constants,
            arguments: vec![Argument::U32(word("m", size("m", m, 1)?)?), Argument::U32(word("n", size("n", n, 1)?)?)],
        }],
        output: 4,
        shape: vec![size("m", m, 1)?, size("n", n, 1)?],
    })
}
