//! The arithmetic probe on cards: its programs, their operands, and what they have to answer.
//!
//! The recurrence is that of the processor ([`super`]), repeated more often; short elements go through `mma.sync`, and
//! on Hopper through `wgmma`, whose accumulators are checked like the processor's ([`super::dots`]). The result
//! is exact, so no operation can be left out.

use crate::kernels::cuda::{cuda_source, needs_ada, needs_ampere};
use crate::kernels::hopper::{LINE_BYTES, is_hopper};
use crate::kernels::random::SplitMix64;
use crate::kernels::{
    Api, Argument, Array, DeviceBuffer, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError, Target, Work,
};

const CHAINS_CUDA: &str = cuda_source!("fma/chains.cu");
const TILES_CUDA: &str = cuda_source!("fma/tiles.cu");
const TILES_HOPPER: &str = cuda_source!("hopper.cu", "fma/hopper.cu");
const CHAINS_WGSL: &str = include_str!("chains.wgsl");

/// Threads of a block of each program.
const THREADS: u32 = 128;

/// Pairs of operations of each chain in one iteration: tens of GFLOP, far more than a launch costs. x grows by so many
/// steps of its grid, 2^-20 or less, and stays below 5.
pub(super) const PAIRS: usize = 8192;

/// Pairs of products added to each accumulator of a tile. Eight of them stay below 2^24 together:
/// 8·(1000 + 256·16·3·127) = 12,492,608 in bf16 and binary16.
const TILE_PAIRS: usize = 256;
/// Accumulators of a warp, in tiles.
const TILES: usize = 8;
/// Elements of a tile.
pub(super) const TILE: usize = 16 * 8;

/// Products that one instruction adds to each accumulator of a tile.
const fn depth(dtype: Dtype) -> usize {
    match dtype {
        Dtype::I8 | Dtype::F8 => 32,
        Dtype::Tf32 => 8,
        _ => 16,
    }
}

/// Work of one iteration: `chains` of f32 and f64, or accumulators that are answered in short types.
///
/// # Errors
/// None for these sizes.
pub(super) fn work(dtype: Dtype, answers: usize) -> Result<Work, ParamError> {
    let n = answers as u64;
    match dtype {
        Dtype::F32 | Dtype::F64 => {
            let flops = 4 * PAIRS as u64 * n;
            Work::new(flops, flops, 2 * dtype.size() * n, 2 * dtype.size() * n)
        }
        _ => {
            let flops = 2 * (TILES * 2 * TILE_PAIRS * depth(dtype)) as u64 * n;
            Work::new(flops, flops, 4 * n, 4 * n)
        }
    }
}

/// The program of a card.
///
/// # Errors
/// [`NoProgram`] where there is none for the type, or the card lacks the instruction.
pub(super) fn program(dtype: Dtype, answers: usize, step: f64, target: &Target) -> Result<DeviceProgram, NoProgram> {
    match (target.api, dtype) {
        (Api::Wgsl, Dtype::F32) => Ok(chains(CHAINS_WGSL, dtype, answers, step, 4)),
        (Api::Cuda, Dtype::F32 | Dtype::F64) => Ok(chains(CHAINS_CUDA, dtype, answers, step, 1)),
        (Api::Cuda, _) => {
            if dtype == Dtype::F8 {
                needs_ada(target)?
            } else {
                needs_ampere(target)?
            }
            Ok(tiles(dtype, answers, is_hopper(target)))
        }
        (Api::Wgsl, _) => Err(NoProgram::Unwritten),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the answers are a constant far below 2^32; coefficients are exact"
)]
fn chains(source: &'static str, dtype: Dtype, answers: usize, step: f64, at_once: u32) -> DeviceProgram {
    let (format, double) = if dtype == Dtype::F64 { (Format::F64, 1) } else { (Format::F32, 0) };
    let cuda = at_once == 1;
    let mut arguments = vec![Argument::U32(PAIRS as u32), Argument::F32(2.0), Argument::F32(0.75), Argument::F32(0.5)];
    // In double precision the step is added on the card: the sum has more bits than a number of 32 bits.
    let (take, step) = (-0.375_f64, step);
    arguments.extend(match cuda {
        true => vec![Argument::F32(take as f32), Argument::F32(step as f32)],
        false => vec![Argument::F32((take + step) as f32)],
    });
    DeviceProgram {
        path: if cuda { "cuda/chains" } else { "wgsl/chains" }.to_owned(),
        buffers: vec![DeviceBuffer::operand("from", answers, format), DeviceBuffer::output("to", answers, format)],
        steps: vec![Launch {
            source,
            entry: if cuda { "chains" } else { "main" },
            grid: [answers as u32 / (THREADS * at_once), 1, 1],
            block: [THREADS, 1, 1],
            shared: 0,
            buffers: vec![0, 1],
            constants: if cuda { vec![("DOUBLE", double)] } else { Vec::new() },
            arguments,
        }],
        output: 1,
        shape: vec![answers],
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the answers are a constant far below 2^32")]
fn tiles(dtype: Dtype, answers: usize, hopper: bool) -> DeviceProgram {
    // Tiles of the answer that a warp writes.
    let each = if hopper { 2 } else { 1 };
    let (format, sums, short) = match dtype {
        Dtype::I8 => (Format::I8, Format::I32, 2),
        Dtype::F16 => (Format::F16, Format::F32, 1),
        Dtype::Tf32 => (Format::F32, Format::F32, 3),
        Dtype::F8 => (Format::F8, Format::F32, 4),
        _ => (Format::Bf16, Format::F32, 0),
    };
    let depth = depth(dtype);
    DeviceProgram {
        path: if hopper { "cuda/wgmma" } else { "cuda/mma.sync" }.to_owned(),
        buffers: vec![
            DeviceBuffer::operand("a", 16 * depth, format),
            DeviceBuffer::operand("other", 16 * depth, format),
            DeviceBuffer::operand("b", 8 * depth, format),
            DeviceBuffer::operand("from", TILE, sums),
            DeviceBuffer::output("to", answers, sums),
        ],
        steps: vec![Launch {
            source: if hopper { TILES_HOPPER } else { TILES_CUDA },
            entry: if hopper { "tiles_hopper" } else { "tiles" },
            grid: [(answers / (each * TILE * THREADS as usize / 32)) as u32, 1, 1],
            block: [THREADS, 1, 1],
            // Lines of a, `other` and b.
            shared: if hopper { (64 + 64 + 128) * LINE_BYTES } else { 0 },
            buffers: vec![0, 1, 2, 3, 4],
            constants: vec![("SHORT", short)],
            arguments: vec![Argument::U32(TILE_PAIRS as u32)],
        }],
        output: 4,
        shape: vec![answers],
    }
}

/// Operands of tiles: a and `other` by rows, b by columns, and what accumulators start from. Small whole numbers, which
/// every short type holds exactly; sums are known beforehand.
///
/// e4m3 holds whole numbers up to 16, and its sums have no more than 14 bits on some cards ([`crate::kernels::eight::LIMIT`]): there a and
/// `other` cancel but for one product of each row, and accumulators stay below 2^13.
pub(super) struct Operands {
    depth: usize,
    a: Vec<f64>,
    other: Vec<f64>,
    b: Vec<f64>,
    from: Vec<f64>,
}

impl Operands {
    pub(super) fn new(dtype: Dtype, seed: u64) -> Self {
        let depth = depth(dtype);
        let draw =
            |stream: u64, index: usize, bound: u64| SplitMix64::new(seed, stream).below(index as u64, bound) as f64;
        let few = dtype == Dtype::F8;
        // Sizes of a besides the smallest, 4.
        let sizes = if few { 5 } else { 117 };
        let a: Vec<f64> =
            (0..16 * depth).map(|i| (4.0 + draw(3, i, sizes)) * if draw(4, i, 2) > 0.0 { 1.0 } else { -1.0 }).collect();
        let grows = |i: usize| match few {
            true if i % depth != i / depth => 0.0,
            true => 1.0 + draw(5, i, 2),
            false => 1.0 + draw(5, i, 3),
        };
        let other = a.iter().enumerate().map(|(i, a)| grows(i) - a).collect();
        let b = (0..8 * depth).map(|i| match few {
            // Of the products that do not cancel.
            true if i % depth < 16 => 8.0,
            true => 1.0 + draw(6, i, 8),
            false => 1.0 + draw(6, i, 127),
        });
        let b = b.collect();
        let from = (0..TILE).map(|i| 1.0 + draw(7, i, 1000)).collect();
        Self { depth, a, other, b, from }
    }

    pub(super) fn arrays(&self) -> Vec<Array> {
        let array = |name, rows, numbers: &[f64]| {
            let shape = [rows, numbers.len() / rows];
            Array::of_numbers(name, &shape, true, numbers.iter().copied())
        };
        vec![
            array("a", 16, &self.a),
            array("other", 16, &self.other),
            array("b", 8, &self.b),
            array("from", 16, &self.from),
        ]
    }

    /// What every tile of the answer has to hold: the sums of all its accumulators.
    pub(super) fn answer(&self) -> Vec<f64> {
        let pair = |row: usize, column: usize| -> f64 {
            let (left, right) = (row * self.depth, column * self.depth);
            (0..self.depth).map(|k| (self.a[left + k] + self.other[left + k]) * self.b[right + k]).sum()
        };
        (0..TILE).map(|i| TILES as f64 * (self.from[i] + TILE_PAIRS as f64 * pair(i / 8, i % 8))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_tiles_are_exact_and_need_their_type() {
        let [single, whole] = [24, 31].map(|bits| 2f64.powi(bits));
        for (dtype, limit) in [(Dtype::Bf16, single), (Dtype::F16, single), (Dtype::Tf32, single), (Dtype::I8, whole)] {
            for seed in 0..20 {
                let operands = Operands::new(dtype, seed);
                // One step on the way adds at most depth·123·127 to one accumulator.
                let step = operands.depth as f64 * 123.0 * 127.0;
                assert!(operands.answer().iter().all(|sum| sum + step < limit && *sum > 65_536.0), "{dtype} {seed}");
                assert!(operands.a.iter().chain(&operands.other).chain(&operands.b).all(|x| x.abs() <= 127.0));
                assert!(operands.a.iter().zip(&operands.other).all(|(a, o)| (1.0..=3.0).contains(&(a + o))));
            }
        }
    }

    #[test]
    fn sums_of_e4m3_fit_14_bits_and_not_11() {
        for seed in 0..20 {
            let operands = Operands::new(Dtype::F8, seed);
            let numbers = || operands.a.iter().chain(&operands.other).chain(&operands.b);
            assert!(numbers().all(|x| (1.0..=16.0).contains(&x.abs())), "{seed}");
            // Of each accumulator; one step on the way adds at most 32·10·8.
            let sums: Vec<f64> = operands.answer().iter().map(|sum| sum / TILES as f64).collect();
            assert!(sums.iter().all(|sum| sum + 2560.0 < 8192.0 && *sum > 2048.0), "{seed}: {sums:?}");
            assert!(sums.iter().any(|sum| sum % 2.0 > 0.5), "{seed}");
        }
    }

    #[test]
    fn work_of_tiles_counts_every_product() {
        // 128 accumulators of a warp, 8 tiles, 512 instructions of 16 products each.
        let work = work(Dtype::Bf16, TILE).unwrap();
        assert_eq!(work.useful.get().to_bits(), (2.0 * 128.0 * 8.0 * 512.0 * 16.0f64).to_bits());
    }
}
