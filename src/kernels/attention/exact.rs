//! The f64 reference of attention, the scale of its errors, and the canary.
//!
//! Scale. With weights p and output o, an error ε in score s_j changes element o_d by
//! p_j·ε·(v_jd − o_d) to first order. A score of single precision is wrong by a small multiple of
//! u·t_j, t_j = Σ|q_i·k_ji|/√dim, and exponential, sums and products by a small multiple of u. So
//! the scale of element d is Σ_j p_j·(1 + t_j)·(|v_jd| + |o_d|): the |P||V| of a product, plus
//! what the scores add. The factor on top is the same fixed 16 as for a matrix product.

use super::Shape;
use crate::kernels::Canary;
use crate::kernels::reference::Worst;

/// One row of the output and its scale. `row` counts through all heads.
pub(super) fn row(shape: &Shape, [q, k, v]: [&[f32]; 3], row: usize, output: &mut [f64], scale: &mut [f64]) {
    let Shape { seq, dim, .. } = *shape;
    let (head, query) = (row / seq, row % seq);
    let part = |x: &[f32], key: usize| -> Vec<f64> {
        let start = (head * seq + key) * dim;
        x[start..start + dim].iter().map(|x| f64::from(*x)).collect()
    };
    let factor = 1.0 / (dim as f64).sqrt();
    let q = part(q, query);
    let (mut scores, mut sizes) = (Vec::new(), Vec::new());
    for key in shape.mask.keys(head, query, seq) {
        let start = (head * seq + key) * dim;
        let (mut score, mut size) = (0.0, 0.0);
        for (q, k) in q.iter().zip(&k[start..start + dim]) {
            let term = q * f64::from(*k);
            score += term;
            size += term.abs();
        }
        scores.push(score * factor);
        sizes.push(1.0 + size * factor);
    }
    let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for score in &mut scores {
        *score = (*score - top).exp();
        total += *score;
    }
    let mut weighted = 0.0;
    for (key, (weight, size)) in shape.mask.keys(head, query, seq).zip(scores.iter().zip(&sizes)) {
        let (weight, start) = (weight / total, (head * seq + key) * dim);
        weighted += weight * size;
        for ((v, output), scale) in v[start..start + dim].iter().zip(&mut *output).zip(&mut *scale) {
            let term = weight * f64::from(*v);
            *output += term;
            *scale += term.abs() * size;
        }
    }
    for (output, scale) in output.iter().zip(scale) {
        *scale += weighted * output.abs();
    }
}

/// Queries and keys of the canary.
pub(super) const CANARY_KEYS: usize = 48;
/// Error that the canary allows, relative to the exact answer. Single precision stays four times
/// below it whatever the dimension; TF32 and bf16 exceed it eight times and more.
const CANARY_LIMIT: f64 = 1.0 / 512.0;
/// What the operands carry beyond a round number: TF32 rounds 1 + 2^-13 to 1.
const CARRIED: f64 = 1.0 / 8192.0;
/// The cancelled part of weights times values, relative to the terms.
const RESIDUAL: f64 = 1.0 / 256.0;

/// Q, K and V of the canary, each `CANARY_KEYS × dim`, `dim ≥ 3`.
///
/// Keys alternate between two kinds. Even queries test the scores: those of the two kinds are
/// ±4096·((1 + δ)² − 1) ≈ ±1, a difference of large terms that is lost when Q or K is rounded; the
/// output's column 0 is then tanh 1. Odd queries have the plain scores 0 and −1; column 1 adds the
/// weights 1 and 1/e times values that cancel to 2^-8, which is lost when weights or V are rounded.
#[expect(clippy::cast_possible_truncation, reason = "the inputs are single precision by definition")]
pub(super) fn canary_inputs(dim: usize) -> [Vec<f32>; 3] {
    let root = (dim as f64).sqrt();
    let mut inputs = [(); 3].map(|()| vec![0.0_f32; CANARY_KEYS * dim]);
    let [q, k, v] = &mut inputs;
    for row in 0..CANARY_KEYS {
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
pub(super) fn judge_canary(dim: usize, output: &[f32], reference: &[f64]) -> Canary {
    let mut worst = Worst::default();
    for (row, (output, reference)) in output.chunks(dim).zip(reference.chunks(dim)).enumerate() {
        let column = row % 2;
        worst.see(f64::from(output[column]), reference[column], reference[column].abs());
    }
    Canary { name: "scores and values that cancel".to_owned(), error: worst.error(), limit: CANARY_LIMIT }
}
