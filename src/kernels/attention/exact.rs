//! The f64 reference of attention, and the scale of its errors.
//!
//! Scale. With weights p and output o, an error ε in score s_j changes element o_d by
//! p_j·ε·(v_jd − o_d) to first order. A score of single precision is wrong by a small multiple of
//! u·t_j, t_j = Σ|q_i·k_ji|/√dim, and exponential, sums and products by a small multiple of u. So
//! the scale of element d is Σ_j p_j·(1 + t_j)·(|v_jd| + |o_d|): the |P||V| of a product, plus
//! what the scores add. The factor on top is the same fixed 16 as for a matrix product.

use super::Shape;

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
