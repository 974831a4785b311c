//! The f64 reference of `moe`, the scale of its errors, and the canary.
//!
//! A sum g = x·G is wrong by a small multiple of u·|x||G|, and so is u = x·U. The hidden unit h = silu(g)·u moves by
//! silu'(g)·u and silu(g) times these, |silu'| < 1.1, and the output by |D| times that. The scale of an element of the
//! output is the sum of all of it, weighted by the gates.

use super::routing::Routing;
use super::{Operands, Shape, Weights};
use crate::kernels::canary::{Cancelling, LENGTH, LONG, Triples, step};
use crate::kernels::{Buffer, Dtype, KernelError};

/// One row of the output and its scale.
pub(super) fn row(
    Shape { d, f, .. }: Shape,
    weights: &Weights,
    routing: &Routing,
    x: &[f32],
    row: usize,
    output: &mut [f64],
    scale: &mut [f64],
) {
    for (slot, gate) in routing.of_token(row) {
        let (expert, gate) = (routing.expert(slot), f64::from(gate));
        let up = &weights.up[expert * d * 2 * f..(expert + 1) * d * 2 * f];
        let (mut sums, mut sizes) = (vec![0.0; 2 * f], vec![0.0; 2 * f]);
        for (x, up) in x[row * d..(row + 1) * d].iter().zip(up.chunks(2 * f)) {
            for ((up, sum), size) in up.iter().zip(&mut sums).zip(&mut sizes) {
                let term = f64::from(*x) * f64::from(*up);
                *sum += term;
                *size += term.abs();
            }
        }
        let down = &weights.down[expert * f * d..(expert + 1) * f * d];
        for (unit, down) in down.chunks(d).enumerate() {
            let (g, u) = (sums[unit], sums[f + unit]);
            let silu = g / (1.0 + (-g).exp());
            let size = 1.1 * sizes[unit] * u.abs() + silu.abs() * sizes[f + unit] + (silu * u).abs();
            for ((down, output), scale) in down.iter().zip(&mut *output).zip(&mut *scale) {
                let down = f64::from(*down);
                *output += gate * silu * u * down;
                *scale += gate * size * down.abs();
            }
        }
    }
}

/// A small case with its exact answer.
pub(super) struct Small {
    pub(super) shape: Shape,
    pub(super) weights: Weights,
    pub(super) routing: Routing,
    pub(super) x: Vec<f32>,
    pub(super) exact: Vec<f64>,
}

/// Tokens and experts of a canary.
const SIZES: [usize; 2] = [38, 2];
/// Columns that test x and U; the others test D.
const FIRST: usize = 16;
/// A gate's sum so large that silu(g) is g.
const OPEN: f32 = 32.0;

/// The canary in single precision: one expert for each token, gate 1, silu(g) = g = 32 throughout.
///
/// Column j < 16 of the output is 32 times unit j, a sum of pairs that cancel to the last bits and carry them in x or in U
/// ([`Cancelling`]). The other columns add units of 32 times 1 + δ and −1 in D. All sums are exact in single precision.
///
/// # Errors
/// [`KernelError`] when memory does not suffice.
#[expect(clippy::cast_possible_truncation, reason = "the inputs are single precision by definition")]
pub(super) fn canary([on_x, on_up, on_down]: Operands<'_>) -> Result<Small, KernelError> {
    // Whole chunks of eight, as tokens have: what is beyond the sums multiplies zeros.
    let ([tokens, experts], d, f) = (SIZES, (LENGTH + 1).next_multiple_of(8), FIRST + LENGTH);
    let operands = Cancelling::<f32>::new(tokens, FIRST, &|x| x);
    let mut x = vec![1.0_f32; tokens * d];
    for (x, left) in x.chunks_mut(d).zip(operands.left.chunks(LENGTH)) {
        x[1..=LENGTH].copy_from_slice(left);
    }
    let (mut up, mut down) = (Buffer::zeroed(experts * d * 2 * f, "G and U")?, Buffer::zeroed(experts * f * d, "D")?);
    let carried = |pair: usize, column: usize| (1 + (3 * column + pair) % 8) as f64 * step(Dtype::F32);
    let mut second = vec![0.0; d];
    for expert in 0..experts {
        let up = &mut up[expert * d * 2 * f..(expert + 1) * d * 2 * f];
        up[..f].fill(OPEN);
        up[f + FIRST..2 * f].fill(1.0);
        for (row, right) in up[2 * f..].chunks_mut(2 * f).zip(operands.right.chunks(FIRST)) {
            row[f..f + FIRST].copy_from_slice(right);
        }
        let down = &mut down[expert * f * d..(expert + 1) * f * d];
        for unit in 0..FIRST {
            down[unit * d + unit] = 1.0;
        }
        second.fill(0.0);
        for pair in 0..LENGTH / 2 {
            for column in FIRST..d {
                let unit = FIRST + 2 * pair;
                down[unit * d + column] = (1.0 + carried(pair, column)) as f32;
                down[(unit + 1) * d + column] = -1.0;
                second[column] += carried(pair, column);
            }
        }
    }
    x.iter_mut().for_each(|x| *x = on_x(*x));
    up.iter_mut().for_each(|x| *x = on_up(*x));
    down.iter_mut().for_each(|x| *x = on_down(*x));
    let mut exact = vec![0.0; tokens * d];
    for (token, exact) in exact.chunks_mut(d).enumerate() {
        for (column, exact) in exact.iter_mut().enumerate() {
            let sum = if column < FIRST { operands.exact[token * FIRST + column] } else { second[column] };
            *exact = f64::from(OPEN) * sum;
        }
    }
    small([d, f], Weights { up, down }, x, exact)
}

/// A canary of these weights, tokens and answers.
fn small([d, f]: [usize; 2], weights: Weights, x: Vec<f32>, exact: Vec<f64>) -> Result<Small, KernelError> {
    let [tokens, experts] = SIZES;
    let choices: Vec<usize> = (0..tokens).map(|token| token % experts).collect();
    let routing = Routing::new(experts, 1, &choices, vec![1.0; tokens])?;
    Ok(Small { shape: Shape { tokens, d, f, experts, top: 1 }, weights, routing, x, exact })
}

/// The canary in bfloat16, of the same make: units of the first columns are sums of triples over x and U, the other columns sums
/// of triples over units and D ([`Triples`]). Sums in less than binary32 lose most of either; that units and answers are
/// rounded to bfloat16 costs 2⁻⁸ each.
///
/// # Errors
/// As for [`canary`].
pub(super) fn short_canary([on_x, on_up, on_down]: Operands<'_>) -> Result<Small, KernelError> {
    let ([tokens, experts], d, f) = (SIZES, (LONG + 1).next_multiple_of(8), FIRST + LONG);
    let first = Triples::new(tokens, FIRST, &|x| x);
    let second = Triples::new(1, d - FIRST, &|x| x);
    let mut x = vec![0.0_f32; tokens * d];
    for (x, left) in x.chunks_mut(d).zip(first.left.chunks(LONG)) {
        x[0] = 1.0;
        x[1..=LONG].copy_from_slice(left);
    }
    let (mut up, mut down) = (Buffer::zeroed(experts * d * 2 * f, "G and U")?, Buffer::zeroed(experts * f * d, "D")?);
    for up in up.chunks_mut(d * 2 * f) {
        up[..f].fill(OPEN);
        up[f + FIRST..2 * f].copy_from_slice(&second.left);
        for (row, right) in up[2 * f..].chunks_mut(2 * f).zip(first.right.chunks(FIRST)) {
            row[f..f + FIRST].copy_from_slice(right);
        }
    }
    for down in down.chunks_mut(f * d) {
        for unit in 0..FIRST {
            down[unit * d + unit] = 1.0;
        }
        for (row, right) in down[FIRST * d..].chunks_mut(d).zip(second.right.chunks(d - FIRST)) {
            row[FIRST..].copy_from_slice(right);
        }
    }
    x.iter_mut().for_each(|x| *x = on_x(*x));
    up.iter_mut().for_each(|x| *x = on_up(*x));
    down.iter_mut().for_each(|x| *x = on_down(*x));
    let sums = first.exact.chunks(FIRST).flat_map(|row| row.iter().chain(&second.exact));
    let exact = sums.map(|sum| f64::from(OPEN) * sum).collect();
    small([d, f], Weights { up, down }, x, exact)
}
