//! The CUDA program of the 2:4 product in bfloat16 (`structured.cu`), and how the places of values lie for it.

use super::structure::{PER_BYTE, TwoOfFour};
use crate::kernels::cuda::{WARP, cuda_source, needs_ampere, tile_bytes, word};
use crate::kernels::{
    Argument, Array, DeviceBuffer, DeviceProgram, Dtype, Format, KernelError, Launch, NoProgram, ParamError, Params,
    Target, Values,
};

const SOURCE: &str = cuda_source!("products.cu", "structured/structured.cu");
/// Sides of a tile of results.
const TILE: u32 = 128;
/// Columns of A in a slice.
const DEPTH: u32 = 64;
/// Slices in shared memory.
const STAGES: u32 = 3;
/// Rows and columns of A that an instruction takes.
const STEP: [usize; 2] = [16, 32];
/// Words of places for that: two for each of eight pairs of rows.
const WORDS: usize = 16;
/// Places of a group that is not there: the first two.
const NONE: u8 = 0b0100_0100;

/// Operands with the stored half of A and its places beside, from the dense A with its zeros; of bfloat16, the type of the
/// program.
///
/// # Errors
/// [`KernelError`] when A is not 2:4, or memory does not suffice.
pub(super) fn operands(mut arrays: Vec<Array>, dtype: Dtype) -> Result<Vec<Array>, KernelError> {
    let dense = arrays.iter().find(|a| a.name == "A").map(|a| (&a.values, &a.shape));
    let (Dtype::Bf16, Some((Values::F32(dense), shape))) = (dtype, dense) else { return Ok(arrays) };
    let matrix = TwoOfFour::of_dense(dense, shape[1])?;
    let stored = Array::of("values", &[shape[0], shape[1] / 2], matrix.values());
    let places = places(&matrix);
    arrays.extend([stored, Array::of_indices("places", places)]);
    Ok(arrays)
}

/// Words of places: those of columns 0 to 15 and of 16 to 31 for each pair of rows g and g + 8 of sixteen, the first row in the
/// lower half (PTX ISA, "Matrix Fragments for sparse mma.m16n8k32 with .f16 and .bf16 types").
fn places(matrix: &TwoOfFour<f32>) -> Vec<u32> {
    let ([rows, columns], bytes) = (STEP, matrix.columns() / PER_BYTE);
    // Sixteen columns of a row.
    let half = |row: usize, column: usize| {
        let byte = |at: usize| {
            let inside = row < matrix.rows() && column / PER_BYTE + at < bytes;
            u32::from(if inside { matrix.metadata()[row * bytes + column / PER_BYTE + at] } else { NONE })
        };
        byte(0) | byte(1) << 8
    };
    let (down, across) = (matrix.rows().div_ceil(rows), matrix.columns().div_ceil(columns));
    let word = |index: usize| {
        let (tile, place) = (index / WORDS, index % WORDS);
        let (row, column) = (tile / across * rows + place / 2, tile % across * columns + place % 2 * 16);
        half(row, column) | half(row + 8, column) << 16
    };
    (0..down * across * WORDS).map(word).collect()
}

/// The program of a case.
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if params.dtype != Dtype::Bf16 {
        return Err(NoProgram::Unwritten);
    }
    needs_ampere(target)?;
    let [m, n, k] = [params.count("m")?, params.count("n")?, params.count("k")?];
    let size = |a: usize, b: usize| a.checked_mul(b).ok_or_else(|| ParamError::TooLarge("a matrix".to_owned()));
    let tiles = |n: usize| n.div_ceil(TILE as usize);
    let launch = Launch {
        source: SOURCE,
        entry: "structured",
        grid: [word("the grid", size(tiles(m), tiles(n))?)?, 1, 1],
        block: [4 * WARP, 1, 1],
        shared: STAGES * (tile_bytes(TILE, DEPTH / 2) + tile_bytes(DEPTH, TILE)),
        buffers: vec![0, 1, 2, 3],
        constants: vec![
            ("ROWS", TILE),
            ("COLUMNS", TILE),
            ("WARP_ROWS", TILE / 2),
            ("WARP_COLUMNS", TILE / 2),
            ("DEPTH", DEPTH),
            ("STAGES", STAGES),
            ("ALIGNED", u32::from(k.is_multiple_of(16) && n.is_multiple_of(8))),
        ],
        arguments: vec![Argument::U32(word("m", m)?), Argument::U32(word("n", n)?), Argument::U32(word("k", k)?)],
    };
    Ok(DeviceProgram {
        path: "cuda/mma-sp-128x128".to_owned(),
        buffers: vec![
            DeviceBuffer::operand("values", size(m, k / 2)?, Format::Bf16),
            DeviceBuffer::operand("places", size(m.div_ceil(STEP[0]) * WORDS, k.div_ceil(STEP[1]))?, Format::U32),
            DeviceBuffer::operand("B", size(k, n)?, Format::Bf16),
            DeviceBuffer::output("C", size(m, n)?, Format::Bf16),
        ],
        steps: vec![launch],
        output: 3,
        shape: vec![m, n],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_as_the_instruction_wants_them() {
        // Row 3 stores the last two of each four in columns 16 to 31, row 11 the first and the last; the others, the first two.
        let mut dense = vec![0.0_f32; 16 * 32];
        for group in 4..8 {
            let [third, eleventh] = [3, 11].map(|row| row * 32 + group * 4);
            (dense[third + 2], dense[third + 3]) = (1.0, 1.0);
            (dense[eleventh], dense[eleventh + 3]) = (1.0, 1.0);
        }
        let words = places(&TwoOfFour::of_dense(&dense, 32).unwrap());
        assert_eq!((words.len(), words[6], words[7]), (16, 0x4444_4444, 0xCCCC_EEEE));
        // Rows and columns that are not there have places too.
        assert_eq!(places(&TwoOfFour::of_dense(&dense[..8], 8).unwrap()), [0x4444_4444; 16]);
    }
}
