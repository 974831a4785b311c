//! The CUDA program of the 2:4 product (`structured.cu`), and how the places of values lie for it.

use super::structure::{PER_BYTE, TwoOfFour};
use crate::kernels::cuda::{WARP, cuda_source, needs_ampere, tile_bytes, word};
use crate::kernels::{
    Argument, Array, DeviceBuffer, DeviceProgram, Dtype, Format, KernelError, Launch, NoProgram, ParamError, Params,
    Target, Values,
};

const SOURCE: &str = cuda_source!("products.cu", "structured/structured.cu");
/// Sides of a tile of results.
const TILE: u32 = 128;
/// Columns of A in a slice, in bytes.
const DEPTH: u32 = 128;
/// Slices in shared memory.
const STAGES: u32 = 3;
/// Rows of A that an instruction takes.
const ROWS: usize = 16;
/// Places of a group that is not there: the first two.
const NONE: u8 = 0b0100_0100;

/// How a type is computed.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Its number in the program.
    number: u32,
    format: Format,
    result: Format,
}

impl Kind {
    const fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::Bf16 => Some(Self { number: 0, format: Format::Bf16, result: Format::Bf16 }),
            Dtype::F16 => Some(Self { number: 1, format: Format::F16, result: Format::F16 }),
            Dtype::I8 => Some(Self { number: 2, format: Format::I8, result: Format::I32 }),
            _ => None,
        }
    }

    /// Columns of A that an instruction takes: 64 bytes.
    const fn columns(self) -> usize {
        64 / self.format.size()
    }

    /// Words of places for these and sixteen rows: two bits for each stored value.
    const fn words(self) -> usize {
        ROWS * self.columns() / 32
    }

    /// Row and column, in the tile of an instruction, of the first half (16 bits) of a word's places, and of the second.
    ///
    /// Elements of 16 bits: a word has sixteen columns of rows g and g + 8 (PTX ISA, "Matrix Fragments for sparse mma.m16n8k32 with .f16
    /// and .bf16 types"). Bytes: 32 columns of one row, in the order g, g + 8, then the next columns of both (as CUTLASS brings them to the
    /// lanes: `reorder_meta` in tools/util).
    const fn halves(self, word: usize) -> [[usize; 2]; 2] {
        if self.format.size() == 2 {
            let (row, column) = (word / 2, word % 2 * 16);
            [[row, column], [row + 8, column]]
        } else {
            let (row, column) = (word / 4 + word % 2 * 8, word % 4 / 2 * 32);
            [[row, column], [row, column + 16]]
        }
    }
}

/// Operands with the stored half of A and its places beside, from the dense A with its zeros; of the types that the program knows.
///
/// # Errors
/// [`KernelError`] when A is not 2:4, or memory does not suffice.
pub(super) fn operands(mut arrays: Vec<Array>, dtype: Dtype) -> Result<Vec<Array>, KernelError> {
    let dense = arrays.iter().find(|a| a.name == "A").map(|a| (&a.values, &a.shape));
    let (Some(kind), Some((Values::F32(dense), shape))) = (Kind::of(dtype), dense) else { return Ok(arrays) };
    let matrix = TwoOfFour::of_dense(dense, shape[1])?;
    let stored = Array::of("values", &[shape[0], shape[1] / 2], matrix.values());
    let places = places(&matrix, kind);
    arrays.extend([stored, Array::of_indices("places", places)]);
    Ok(arrays)
}

/// Words of places, instruction by instruction along a row of their tiles.
fn places(matrix: &TwoOfFour<f32>, kind: Kind) -> Vec<u32> {
    let (words, bytes) = (kind.words(), matrix.columns() / PER_BYTE);
    // Sixteen columns of a row.
    let half = |row: usize, column: usize| {
        let byte = |at: usize| {
            let inside = row < matrix.rows() && column / PER_BYTE + at < bytes;
            u32::from(if inside { matrix.metadata()[row * bytes + column / PER_BYTE + at] } else { NONE })
        };
        byte(0) | byte(1) << 8
    };
    let (down, across) = (matrix.rows().div_ceil(ROWS), matrix.columns().div_ceil(kind.columns()));
    let word = |index: usize| {
        let tile = index / words;
        let (top, left) = (tile / across * ROWS, tile % across * kind.columns());
        let [low, high] = kind.halves(index % words).map(|[row, column]| half(top + row, left + column));
        low | high << 16
    };
    (0..down * across * words).map(word).collect()
}

/// The program of a case.
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    let kind = Kind::of(params.dtype).ok_or(NoProgram::Unwritten)?;
    needs_ampere(target)?;
    let [m, n, k] = [params.count("m")?, params.count("n")?, params.count("k")?];
    let size = |a: usize, b: usize| a.checked_mul(b).ok_or_else(|| ParamError::TooLarge("a matrix".to_owned()));
    let tiles = |n: usize| n.div_ceil(TILE as usize);
    let (bytes, chunk) = (word("an element", kind.format.size())?, 16 / kind.format.size());
    // Two bytes are a place of 16 bits in a tile.
    let slices = tile_bytes(TILE, DEPTH / 4) + tile_bytes(DEPTH / bytes, TILE * bytes / 2);
    let launch = Launch {
        source: SOURCE,
        entry: "structured",
        grid: [word("the grid", size(tiles(m), tiles(n))?)?, 1, 1],
        block: [4 * WARP, 1, 1],
        shared: STAGES * slices,
        buffers: vec![0, 1, 2, 3],
        constants: vec![
            ("KIND", kind.number),
            ("ROWS", TILE),
            ("COLUMNS", TILE),
            ("WARP_ROWS", TILE / 2),
            ("WARP_COLUMNS", TILE / 2),
            ("DEPTH", DEPTH / bytes),
            ("STAGES", STAGES),
            ("ALIGNED", u32::from(k.is_multiple_of(2 * chunk) && n.is_multiple_of(chunk))),
        ],
        arguments: vec![Argument::U32(word("m", m)?), Argument::U32(word("n", n)?), Argument::U32(word("k", k)?)],
    };
    Ok(DeviceProgram {
        path: match params.dtype {
            Dtype::Bf16 => "cuda/mma-sp-128x128".to_owned(),
            dtype => format!("cuda/mma-sp-{dtype}-128x128"),
        },
        buffers: vec![
            DeviceBuffer::operand("values", size(m, k / 2)?, kind.format),
            DeviceBuffer::operand(
                "places",
                size(m.div_ceil(ROWS) * kind.words(), k.div_ceil(kind.columns()))?,
                Format::U32,
            ),
            DeviceBuffer::operand("B", size(k, n)?, kind.format),
            DeviceBuffer::output("C", size(m, n)?, kind.result),
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
        let [short, bytes] = [Dtype::Bf16, Dtype::I8].map(|dtype| Kind::of(dtype).unwrap());
        let matrix = TwoOfFour::of_dense(&dense, 32).unwrap();
        let words = places(&matrix, short);
        assert_eq!((words.len(), words[6], words[7]), (16, 0x4444_4444, 0xCCCC_EEEE));
        let words = places(&matrix, bytes);
        assert_eq!((words.len(), &words[12..16]), (32, &[0xEEEE_4444, 0xCCCC_4444, 0x4444_4444, 0x4444_4444][..]));
        // Rows and columns that are not there have places too.
        let matrix = TwoOfFour::of_dense(&dense[..8], 8).unwrap();
        assert_eq!(places(&matrix, short), [0x4444_4444; 16]);
        assert_eq!(places(&matrix, bytes), [0x4444_4444; 32]);
    }
}
