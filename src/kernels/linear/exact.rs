//! The f64 reference of linear attention, the scale of its errors, and the canary.
//!
//! The output is a mean of the values with weights w_j = φ(q)·φ(k_j) / Σ, all positive. Errors of features and
//! sums change numerator and divisor by small multiples of u, relative to sums of positive terms. So the scale
//! of element d is Σ_j w_j·|v_jd| + |o_d|, and the factor on top is the same fixed one as for a matrix product.

use super::Shape;
use crate::kernels::canary::{LENGTH, step};
use crate::kernels::split::{Parts, even};
use crate::kernels::{Dtype, KernelError, Team};

/// φ(x) = elu(x) + 1.
fn feature(x: f32) -> f64 {
    let x = f64::from(x);
    if x > 0.0 { x + 1.0 } else { x.exp() }
}

/// Of each head: Σφ(k)·vᵀ, the same of |v|, and Σφ(k).
pub(super) struct States {
    shape: Shape,
    products: Vec<f64>,
}

impl States {
    /// Elements of one head.
    const fn len(dim: usize) -> usize {
        dim * (2 * dim + 1)
    }

    /// The states of all heads, computed by the team.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn of(shape: Shape, k: &[f32], v: &[f32], team: &dyn Team) -> Result<Self, KernelError> {
        let Shape { heads, seq, dim, .. } = shape;
        let len = heads * Self::len(dim);
        let mut products = Vec::new();
        let refused = |_| KernelError::OutOfMemory { what: "the reference", bytes: 8 * len as u64 };
        products.try_reserve_exact(len).map_err(refused)?;
        products.resize(len, 0.0);
        let ranges = even(heads * dim, team.threads(), 1);
        let all = Parts::of(&mut products);
        team.run(&|thread| {
            for index in ranges[thread].clone() {
                let (head, row) = (index / dim, index % dim);
                let start = head * Self::len(dim) + row * (2 * dim + 1);
                #[expect(unsafe_code, reason = "threads fill disjoint rows")]
                // SAFETY: `even` gives each index to one thread, and rows of different indices do not overlap.
                let state = unsafe { all.range(start..start + 2 * dim + 1) };
                for key in head * seq..(head + 1) * seq {
                    let feature = feature(k[key * dim + row]);
                    for (d, value) in v[key * dim..(key + 1) * dim].iter().enumerate() {
                        let term = feature * f64::from(*value);
                        state[d] += term;
                        state[dim + d] += term.abs();
                    }
                    state[2 * dim] += feature;
                }
            }
        });
        Ok(Self { shape, products })
    }

    /// One row of the output and its scale. `row` counts through all heads.
    pub(super) fn row(&self, row: usize, q: &[f32], output: &mut [f64], scale: &mut [f64]) {
        let Shape { seq, dim, .. } = self.shape;
        let head = &self.products[row / seq * Self::len(dim)..][..Self::len(dim)];
        let mut divisor = 0.0;
        for (q, state) in q[row * dim..(row + 1) * dim].iter().zip(head.chunks(2 * dim + 1)) {
            let feature = feature(*q);
            for d in 0..dim {
                output[d] += feature * state[d];
                scale[d] += feature * state[dim + d];
            }
            divisor += feature * state[2 * dim];
        }
        for (output, scale) in output.iter_mut().zip(scale) {
            *output /= divisor;
            *scale = *scale / divisor + output.abs();
        }
    }
}

/// Q, K and V of the canary, each `dim × dim` with `dim ≥ 6`, and the exact output.
///
/// Key j has the feature φ(1) = 2 at d = j and, at φ(−100), nothing elsewhere, so the state is 2·v. Pairs of
/// dimensions cancel: (2 + a)·(2 + b)·(1 + c) − 2·2·1, where a (of the query), b (of the key) or c (of the value) is
/// a few steps of 2^-18, in turn from pair to pair. The divisor is Σ(2 + a)(2 + b).
#[expect(clippy::cast_possible_truncation, reason = "the inputs are single precision by definition")]
pub(super) fn canary_inputs(dim: usize, short: bool) -> ([Vec<f32>; 3], Vec<f64>) {
    const NOTHING: f32 = -100.0;
    let mut inputs = [vec![NOTHING; dim * dim], vec![NOTHING; dim * dim], vec![1.0_f32; dim * dim]];
    let mut exact = vec![0.0; dim * dim];
    // Features of bfloat16 lie between 2 and 4, in steps of 2^-6; one step is lost in any type of fewer bits.
    let carried = |index: usize, pair: usize| match short {
        true => 1.0 / 64.0,
        false => (1 + (3 * index + pair) % 8) as f64 * step(Dtype::F32),
    };
    let pairs = dim.min(LENGTH) / 2;
    let [q, k, v] = &mut inputs;
    for row in 0..dim {
        let mut divisor = 0.0;
        for pair in 0..pairs {
            let (plus, minus) = (2 * pair, 2 * pair + 1);
            let a = if pair % 3 == 0 { carried(row, pair) } else { 0.0 };
            let b = if pair % 3 == 1 { carried(0, pair) } else { 0.0 };
            (q[row * dim + plus], q[row * dim + minus]) = ((1.0 + a) as f32, 1.0);
            (k[plus * dim + plus], k[minus * dim + minus]) = ((1.0 + b) as f32, 1.0);
            divisor += (2.0 + a) * (2.0 + b) + 4.0;
            for d in 0..dim {
                let c = if pair % 3 == 2 { carried(d, pair) } else { 0.0 };
                (v[plus * dim + d], v[minus * dim + d]) = ((1.0 + c) as f32, -1.0);
                exact[row * dim + d] += (2.0 + a) * (2.0 + b) * (1.0 + c) - 4.0;
            }
        }
        exact[row * dim..(row + 1) * dim].iter_mut().for_each(|x| *x /= divisor);
    }
    (inputs, exact)
}
