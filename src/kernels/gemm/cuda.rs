//! The CUDA program of the product in bfloat16 (`gemm.cu`), and its canary for devices.

use super::short::Demanding;
use crate::kernels::cuda::{cuda_source, needs_ampere, tile_bytes, word};
use crate::kernels::reference::Worst;
use crate::kernels::short::{Bf16, Short, Sum};
use crate::kernels::{
    Argument, Array, Canary, DeviceBuffer, DeviceCanary, DeviceProgram, Dtype, Format, Launch, NoProgram, ParamError,
    ParamValue, Params, Target,
};

const SOURCE: &str = cuda_source!("gemm/gemm.cu");
/// Sides of a tile of results.
const TILE: usize = 128;
/// Products of a slice.
const DEPTH: u32 = 32;
/// Slices in shared memory.
const STAGES: u32 = 4;

/// The program of a case.
pub(super) fn program(params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
    if params.dtype != Dtype::Bf16 {
        return Err(NoProgram::Unwritten);
    }
    needs_ampere(target)?;
    let [m, n, k] = [params.count("m")?, params.count("n")?, params.count("k")?];
    if let Some(program) = super::hopper::program([m, n, k], target)? {
        return Ok(program);
    }
    let size = |a: usize, b: usize| a.checked_mul(b).ok_or_else(|| ParamError::TooLarge("a matrix".to_owned()));
    let launch = Launch {
        source: SOURCE,
        entry: "gemm",
        grid: [word("the grid", size(m.div_ceil(TILE), n.div_ceil(TILE))?)?, 1, 1],
        block: [256, 1, 1],
        shared: STAGES * (tile_bytes(word("a tile", TILE)?, DEPTH) + tile_bytes(DEPTH, word("a tile", TILE)?)),
        buffers: vec![0, 1, 2],
        constants: vec![("STAGES", STAGES), ("ALIGNED", u32::from(n.is_multiple_of(8) && k.is_multiple_of(8)))],
        arguments: vec![Argument::U32(word("m", m)?), Argument::U32(word("n", n)?), Argument::U32(word("k", k)?)],
    };
    Ok(DeviceProgram {
        path: "cuda/mma-128x128".to_owned(),
        buffers: vec![
            DeviceBuffer::operand("A", size(m, k)?, Format::Bf16),
            DeviceBuffer::operand("B", size(k, n)?, Format::Bf16),
            DeviceBuffer::output("C", size(m, n)?, Format::F32),
        ],
        steps: vec![launch],
        output: 2,
        shape: vec![m, n],
    })
}

/// The canary of bfloat16 as a case for a device.
pub(super) fn canary() -> DeviceCanary {
    // No multiples of a tile; rows that every program takes.
    const M: usize = 33;
    const N: usize = 40;
    let (name, k, left, right) = Bf16::canary();
    let a: Vec<f64> = (0..M * k).map(|index| left(index / k, index % k).to_f64()).collect();
    let b: Vec<f64> = (0..k * N).map(|index| right(index / N, index % N).to_f64()).collect();
    let sum = |index: usize| (0..k).map(|q| a[index / N * k + q] * b[q * N + index % N]).sum::<f64>();
    let exact: Vec<f64> = (0..M * N).map(sum).collect();
    let sizes = [("m", M), ("n", N), ("k", k)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    let array = |name, shape: [usize; 2], x: &[f64]| Array::of_numbers(name, &shape, true, x.iter().copied());
    DeviceCanary {
        params: Params { dtype: Dtype::Bf16, values: sizes.into() },
        operands: vec![array("A", [M, k], &a), array("B", [k, N], &b)],
        judge: Box::new(move |answer| {
            let mut worst = Worst::default();
            answer.values.numbers().zip(&exact).for_each(|(value, exact)| worst.see(value, *exact, exact.abs()));
            let error = if answer.values.len() == exact.len() { worst.error() } else { None };
            Canary { name: name.to_owned(), error, limit: <Bf16 as Short>::Sum::limit() }
        }),
    }
}
