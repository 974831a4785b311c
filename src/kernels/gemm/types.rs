//! The CUDA program of the product in the types besides bfloat16 (`types.cu`), for machines without libraries that have one.

use crate::kernels::cuda::{WARP, cuda_source, needs_ada, needs_ampere, tile_bytes, word};
use crate::kernels::{
    Argument, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Params, Target,
};

const SOURCE: &str = cuda_source!("products.cu", "gemm/types.cu");
/// Sides of a tile of results.
const TILE: u32 = 128;

/// How a type is computed.
struct Kind {
    /// Its number in the program.
    number: u32,
    format: Format,
    result: Format,
    /// Columns of a warp's tile, whose rows are 64.
    warp_columns: u32,
    /// Products of a slice.
    depth: u32,
    stages: u32,
    threads: u32,
    /// Bytes of a slice of A and of B in shared memory.
    slices: u32,
    name: &'static str,
}

impl Kind {
    fn of(dtype: Dtype) -> Option<Self> {
        let base = Self {
            number: 0,
            format: Format::F32,
            result: Format::F32,
            warp_columns: 64,
            depth: 16,
            stages: 4,
            threads: 4 * WARP,
            slices: 0,
            name: "mma",
        };
        Some(match dtype {
            // Rows of A are padded by 16 bytes.
            Dtype::F32 => {
                Self { stages: 3, threads: 8 * WARP, slices: 4 * (TILE * (16 + 4) + 16 * TILE), name: "fma", ..base }
            }
            // Rows of both are padded by 32 bytes.
            Dtype::F64 => Self {
                number: 1,
                format: Format::F64,
                result: Format::F64,
                warp_columns: 32,
                depth: 8,
                threads: 8 * WARP,
                slices: 8 * (TILE * (8 + 4) + 8 * (TILE + 4)),
                ..base
            },
            Dtype::F16 => Self {
                number: 2,
                format: Format::F16,
                depth: 32,
                slices: tile_bytes(TILE, 32) + tile_bytes(32, TILE),
                ..base
            },
            // Two bytes are a place of 16 bits.
            Dtype::I8 => Self {
                number: 3,
                format: Format::I8,
                result: Format::I32,
                depth: 64,
                slices: tile_bytes(TILE, 32) + tile_bytes(64, TILE / 2),
                ..base
            },
            // Rows of A as of any tile, rows of B padded by 32 bytes.
            Dtype::Tf32 => Self { number: 4, slices: tile_bytes(TILE, 32) + 4 * 16 * (TILE + 8), ..base },
            // Where e4m3 is multiplied as binary16, operands take twice the registers: tiles of half as many columns.
            Dtype::F8 => Self {
                number: 5,
                format: Format::F8,
                result: Format::F32,
                warp_columns: 32,
                threads: 8 * WARP,
                ..Self::of(Dtype::I8)?
            },
            Dtype::Bf16 => return None,
        })
    }
}

/// The program of a case.
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    let kind = Kind::of(params.dtype).ok_or(NoProgram::Unwritten)?;
    if params.dtype == Dtype::F8 {
        needs_ada(target)?
    } else {
        needs_ampere(target)?
    }
    let [m, n, k] = [params.count("m")?, params.count("n")?, params.count("k")?];
    let size = |a: usize, b: usize| a.checked_mul(b).ok_or_else(|| ParamError::TooLarge("a matrix".to_owned()));
    let tiles = |n: usize| n.div_ceil(TILE as usize);
    let chunk = 16 / kind.format.size();
    let launch = Launch {
        source: SOURCE,
        entry: "gemm_type",
        grid: [word("the grid", size(tiles(m), tiles(n))?)?, 1, 1],
        block: [kind.threads, 1, 1],
        shared: kind.stages * kind.slices,
        buffers: vec![0, 1, 2],
        constants: vec![
            ("KIND", kind.number),
            ("ROWS", TILE),
            ("COLUMNS", TILE),
            ("WARP_ROWS", 64),
            ("WARP_COLUMNS", kind.warp_columns),
            ("DEPTH", kind.depth),
            ("STAGES", kind.stages),
            ("ALIGNED", u32::from(n.is_multiple_of(chunk) && k.is_multiple_of(chunk))),
        ],
        arguments: vec![Argument::U32(word("m", m)?), Argument::U32(word("n", n)?), Argument::U32(word("k", k)?)],
    };
    Ok(DeviceProgram {
        path: format!("cuda/{}-{}-128x128", kind.name, params.dtype),
        buffers: vec![
            DeviceBuffer::operand("A", size(m, k)?, kind.format),
            DeviceBuffer::operand("B", size(k, n)?, kind.format),
            DeviceBuffer::output("C", size(m, n)?, kind.result),
        ],
        steps: vec![launch],
        output: 2,
        shape: vec![m, n],
    })
}
