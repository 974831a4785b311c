//! What makes a case, and its f64 reference, scale and canary.
//!
//! A hidden unit is wrong by a small multiple of u·(|U||x| + |b|), and the output by |D| times that, besides the
//! rounding of its own sum. So the scale of an element is Σ (|U||x| + |b| + h)·|D| over the active units.

use super::{Layer, Operands, Shape};
use crate::kernels::canary::{Cancelling, LENGTH, step};
use crate::kernels::random::SplitMix64;
use crate::kernels::split::{Parts, even};
use crate::kernels::{Buffer, Dtype, KernelError, Team};

/// Sum of products, and of their sizes.
fn dot(left: &[f32], right: &[f32]) -> (f64, f64) {
    let terms = left.iter().zip(right).map(|(l, r)| f64::from(*l) * f64::from(*r));
    terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()))
}

/// A·x, rounded to single precision as the program has it.
#[expect(clippy::cast_possible_truncation, reason = "the kernel computes in single precision")]
fn inner(layer: &Layer) -> Vec<f32> {
    let rank = layer.shape.rank;
    (0..rank).map(|row| dot(&layer.inner[row * layer.shape.d..(row + 1) * layer.shape.d], &layer.x).0 as f32).collect()
}

/// Distance of a unit from zero, either way: rounding never decides.
fn margin(draws: &SplitMix64, unit: usize) -> f64 {
    0.25 + draws.normal((1 << 40) + unit as u64).abs()
}

/// Sets biases so that exactly `active` units, chosen by the draws, are above zero, and thresholds so that the predictor
/// names them.
#[expect(clippy::cast_possible_truncation, reason = "operands are single precision")]
pub(super) fn adjust(layer: &mut Layer, active: usize, draws: SplitMix64, team: &dyn Team) {
    let Shape { d, f, rank } = layer.shape;
    let mut order: Vec<usize> = (0..f).collect();
    for at in 0..active.min(f) {
        let other = draws.below(at as u64, (f - at) as u64);
        order.swap(at, at + usize::try_from(other).unwrap_or(0));
    }
    let mut sign = vec![-1.0; f];
    order.iter().take(active).for_each(|unit| sign[*unit] = 1.0);
    let (z, ranges) = (inner(layer), even(f, team.threads(), 1));
    let (mut bias, mut thresholds) = (std::mem::take(&mut layer.bias), std::mem::take(&mut layer.thresholds));
    let (biases, limits, layer_now) = (Parts::of(&mut bias), Parts::of(&mut thresholds), &*layer);
    team.run(&|thread| {
        for unit in ranges[thread].clone() {
            let away = sign[unit] * margin(&draws, unit);
            let sum = dot(&layer_now.up[unit * d..(unit + 1) * d], &layer_now.x).0;
            #[expect(unsafe_code, reason = "threads fill disjoint elements")]
            // SAFETY: `even` gives each unit to one thread.
            unsafe {
                biases.range(unit..unit + 1)[0] = (sum - away) as f32;
                if rank > 0 {
                    let score = dot(&layer_now.outer[unit * rank..(unit + 1) * rank], &z).0;
                    limits.range(unit..unit + 1)[0] = (score - away * (rank as f64).sqrt()) as f32;
                }
            }
        }
    });
    (layer.bias, layer.thresholds) = (bias, thresholds);
}

/// Hidden units before the ReLU, and scores of the predictor above its thresholds.
#[cfg(test)]
pub(super) fn units(layer: &Layer) -> (Vec<f64>, Vec<f64>) {
    let Shape { d, f, rank } = layer.shape;
    let z = inner(layer);
    let unit = |u: usize| dot(&layer.up[u * d..(u + 1) * d], &layer.x).0 - f64::from(layer.bias[u]);
    let score = |u: usize| dot(&layer.outer[u * rank..(u + 1) * rank], &z).0 - f64::from(layer.thresholds[u]);
    ((0..f).map(unit).collect(), if rank > 0 { (0..f).map(score).collect() } else { Vec::new() })
}

/// The output and its scale.
pub(super) fn row(layer: &Layer, output: &mut [f64], scale: &mut [f64]) {
    let Shape { d, f, .. } = layer.shape;
    for unit in 0..f {
        let (sum, size) = dot(&layer.up[unit * d..(unit + 1) * d], &layer.x);
        let bias = f64::from(layer.bias[unit]);
        let h = sum - bias;
        if h <= 0.0 {
            continue;
        }
        let size = size + bias.abs() + h;
        for ((down, output), scale) in layer.down[unit * d..(unit + 1) * d].iter().zip(&mut *output).zip(&mut *scale) {
            *output += h * f64::from(*down);
            *scale += size * f64::from(*down).abs();
        }
    }
}

/// Columns that test x and U; the others test D.
const FIRST: usize = 16;

/// The canary and its exact output; a predictor of rank 1 names every unit.
///
/// Column j < 16 of the output is unit j, a sum of pairs that cancel to the last bits and carry them in U or in x
/// ([`Cancelling`]). The other columns add units of 1 times 1 + δ and −1 in D. All sums are exact in single precision.
///
/// # Errors
/// [`KernelError`] when memory does not suffice.
#[expect(clippy::cast_possible_truncation, reason = "the inputs are single precision by definition")]
pub(super) fn canary(rank: usize, [on_x, on_up, on_down]: Operands<'_>) -> Result<(Layer, Vec<f64>), KernelError> {
    let (d, f) = (LENGTH + 1, FIRST + LENGTH);
    let operands = Cancelling::<f32>::new(FIRST, 1, &|x| x);
    let (mut x, mut up, mut down) = (Buffer::zeroed(d, "x")?, Buffer::zeroed(f * d, "U")?, Buffer::zeroed(f * d, "D")?);
    x[0] = 1.0;
    x[1..].copy_from_slice(&operands.right);
    for (row, left) in up.chunks_mut(d).zip(operands.left.chunks(LENGTH)) {
        row[1..].copy_from_slice(left);
    }
    up.chunks_mut(d).skip(FIRST).for_each(|row| row[0] = 1.0);
    let mut exact = vec![0.0; d];
    for unit in 0..FIRST {
        down[unit * d + unit] = 1.0;
        exact[unit] = operands.exact[unit];
    }
    for pair in 0..LENGTH / 2 {
        for column in FIRST..d {
            let carried = (1 + (3 * column + pair) % 8) as f64 * step(Dtype::F32);
            let unit = FIRST + 2 * pair;
            down[unit * d + column] = (1.0 + carried) as f32;
            down[(unit + 1) * d + column] = -1.0;
            exact[column] += carried;
        }
    }
    x.iter_mut().for_each(|x| *x = on_x(*x));
    up.iter_mut().for_each(|x| *x = on_up(*x));
    down.iter_mut().for_each(|x| *x = on_down(*x));
    let (inner, outer) = (Buffer::zeroed(rank * d, "A")?, Buffer::zeroed(f * rank, "B")?);
    let thresholds = vec![-1.0; if rank == 0 { 0 } else { f }];
    let layer = Layer { shape: Shape { d, f, rank }, x, up, bias: vec![0.0; f], down, inner, outer, thresholds };
    Ok((layer.checked()?, exact))
}
