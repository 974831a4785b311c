//! The precision canary of attention: a small head whose answer needs the declared precision.

use super::exact;
use super::mask::{BlockMask, Mask};
use super::tiled::Tiled;
use super::{Operands, Shape};
use crate::kernels::reference::Worst;
use crate::kernels::{Array, Canary, DeviceCanary, Dtype, Isa, KernelError, ParamValue, Params, Team};

/// Queries and keys of the canary.
pub(super) const KEYS: usize = 48;
/// The sides of its blocks, where it has some: a third of it, or, for cases whose own are multiples of this, the side that programs
/// for such blocks take.
const SIDES: [usize; 2] = [KEYS / 3, 128];
/// Error that the canary allows, relative to the exact answer. Single precision stays four times
/// below it whatever the dimension; TF32 and bf16 exceed it eight times and more.
const LIMIT: f64 = 1.0 / 512.0;
/// The same in bfloat16: the output alone is rounded by 2^-8. Operands of fewer bits are wrong throughout.
const SHORT_LIMIT: f64 = 1.0 / 32.0;
/// What the operands carry beyond a round number: TF32 rounds 1 + 2^-13 to 1.
const CARRIED: f64 = 1.0 / 8192.0;
/// The cancelled part of weights times values, relative to the terms.
const RESIDUAL: f64 = 1.0 / 256.0;

/// Q, K and V of the canary, each `rows × dim`, `dim ≥ 3`, an even number of rows.
///
/// Keys alternate between two kinds. Even queries test the scores: those of the two kinds are
/// ±4096·((1 + δ)² − 1) ≈ ±1, a difference of large terms that is lost when Q or K is rounded; the
/// output's column 0 is then tanh 1. Odd queries have the plain scores 0 and −1; column 1 adds the
/// weights 1 and 1/e times values that cancel to 2^-8, which is lost when weights or V are rounded.
#[expect(clippy::cast_possible_truncation, reason = "the inputs are single precision by definition")]
pub(super) fn inputs(dim: usize, rows: usize) -> [Vec<f32>; 3] {
    let root = (dim as f64).sqrt();
    let mut inputs = [(); 3].map(|()| vec![0.0_f32; rows * dim]);
    let [q, k, v] = &mut inputs;
    for row in 0..rows {
        let first = row * dim;
        let even = row % 2 == 0;
        let query = if even { [64.0 * root * (1.0 + CARRIED), 64.0 * root, 0.0] } else { [0.0, 0.0, root] };
        let sign = if even { 1.0 } else { -1.0 };
        let key = [sign * 64.0 * (1.0 + CARRIED), sign * -64.0, if even { 0.0 } else { -1.0 }];
        for i in 0..3 {
            (q[first + i], k[first + i]) = (query[i] as f32, key[i] as f32);
        }
        v[first..first + dim].fill(1.0);
        v[first] = sign as f32;
        v[first + 1] = if even { 1.0 } else { (-std::f64::consts::E * (1.0 - RESIDUAL)) as f32 };
    }
    inputs
}

/// Compares column 0 of even rows and column 1 of odd rows with the reference.
fn judge(dim: usize, short: bool, output: &[f32], reference: &[f64]) -> Canary {
    let mut worst = Worst::default();
    for (row, (output, reference)) in output.chunks(dim).zip(reference.chunks(dim)).enumerate() {
        let column = row % 2;
        worst.see(f64::from(output[column]), reference[column], reference[column].abs());
    }
    let error = if output.len() == reference.len() { worst.error() } else { None };
    Canary { name: "scores and values that cancel".to_owned(), error, limit: if short { SHORT_LIMIT } else { LIMIT } }
}

/// Q, K and V of the canary in bfloat16, each `rows × dim`, `dim ≥ 3`.
///
/// Even queries as in [`inputs`]: scores of ±4096·((1 + δ)² − 1)/√dim, with δ = 2^-7 the last bit of a bfloat16 number, by a
/// factor that makes them about ±1. Odd queries have scores of zero, so weights are equal and no rounding of weights shows; column 1
/// is then the mean of 1 + 2^-7 and −1, which is lost when V is rounded to fewer bits.
#[expect(clippy::cast_possible_truncation, reason = "the inputs are short by definition")]
fn short_inputs(dim: usize, rows: usize) -> [Vec<f32>; 3] {
    const CARRIED: f64 = 1.0 / 128.0;
    let mut inputs = [(); 3].map(|()| vec![0.0_f32; rows * dim]);
    let [q, k, v] = &mut inputs;
    // A power of two near 64·√dim, and 64 times it: scores near ±1.
    let size = (64.0 * (dim as f64).sqrt()).log2().round().exp2() as f32;
    for row in 0..rows {
        let first = row * dim;
        let sign = if row % 2 == 0 { 1.0 } else { -1.0 };
        if row % 2 == 0 {
            (q[first], q[first + 1]) = ((1.0 + CARRIED) as f32, 1.0);
        }
        (k[first], k[first + 1]) = (sign * size * (1.0 + CARRIED) as f32, -sign * size);
        v[first..first + dim].fill(1.0);
        v[first] = sign;
        v[first + 1] = if row % 2 == 0 { (1.0 + CARRIED) as f32 } else { -1.0 };
    }
    inputs
}

/// The mask of the canary where the case has blocks of this side.
pub(super) fn blocks(side: usize) -> Result<BlockMask, KernelError> {
    let [small, large] = SIDES;
    BlockMask::new(if side.is_multiple_of(large) { large } else { small }, 3, 2, vec![0, 1, 1, 2, 0, 2])
}

/// A small head: its shape, Q, K and V, and the exact output.
type Small = (Shape, [Vec<f32>; 3], Vec<f64>);

/// The small head under a mask of the same kind as `mask`, with inputs and exact answer.
fn small(dim: usize, mask: Mask, short: bool) -> Result<Small, KernelError> {
    let (seq, mask) = match mask {
        Mask::Window(_) => (KEYS, Mask::Window(KEYS / 2)),
        Mask::Blocks(blocks) => (3 * blocks.side(), Mask::Blocks(blocks)),
        mask => (KEYS, mask),
    };
    let shape = Shape { heads: 1, seq, dim, mask, short };
    let inputs = if short { short_inputs(dim, seq) } else { inputs(dim, seq) };
    let [q, k, v] = &inputs;
    let mut reference = vec![0.0; shape.len()];
    let mut scale = vec![0.0; shape.len()];
    for (row, (output, scale)) in reference.chunks_mut(dim).zip(scale.chunks_mut(dim)).enumerate() {
        exact::row(&shape, [q, k, v], row, output, scale);
    }
    Ok((shape, inputs, reference))
}

/// The canary through the processor's program.
pub(super) fn run(like: &Shape, isa: Isa, team: &dyn Team, operands: Operands<'_>) -> Result<Canary, KernelError> {
    let mask = match &like.mask {
        Mask::Blocks(_) => Mask::Blocks(blocks(SIDES[0])?),
        mask => mask.clone(),
    };
    let (shape, inputs, reference) = small(like.dim, mask, like.short)?;
    let seen: Vec<Vec<f32>> =
        inputs.iter().zip(operands).map(|(input, operand)| input.iter().map(|x| operand(*x)).collect()).collect();
    let mut output = vec![f32::NAN; shape.len()];
    Tiled::new(shape, isa, team.threads())?.run([&seen[0], &seen[1], &seen[2]], &mut output, team);
    if like.short {
        crate::kernels::short::round(&mut output, team);
    }
    Ok(judge(like.dim, like.short, &output, &reference))
}

/// The canary as a case of the same kernel for a device.
pub(super) fn for_device(params: &Params, mask: Mask) -> Result<Option<DeviceCanary>, KernelError> {
    let (dim, short) = (params.count("dim")?, params.dtype == Dtype::Bf16);
    let (shape, inputs, reference) = small(dim, mask, short)?;
    let keys = shape.seq;
    let sizes = [("heads", 1), ("seq", keys), ("dim", dim)];
    let mut values = params.values.clone();
    values.extend(sizes.into_iter().map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64))));
    let mut operands: Vec<Array> =
        ["Q", "K", "V"].into_iter().zip(&inputs).map(|(name, x)| Array::of(name, &[1, keys, dim], x)).collect();
    match &shape.mask {
        Mask::Window(width) => drop(values.insert("window".to_owned(), ParamValue::Integer(*width as u64))),
        Mask::Blocks(blocks) => {
            values.insert("block".to_owned(), ParamValue::Integer(blocks.side() as u64));
            values.insert("density".to_owned(), ParamValue::Real(2.0 / 3.0));
            operands.push(Array::of_indices("columns", blocks.columns().to_vec()));
        }
        Mask::Dense | Mask::Causal => {}
    }
    Ok(Some(DeviceCanary {
        params: Params { dtype: params.dtype, values },
        operands,
        #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision or less")]
        judge: Box::new(move |answer| {
            let found: Vec<f32> = answer.values.numbers().map(|x| x as f32).collect();
            judge(dim, short, &found, &reference)
        }),
    }))
}
