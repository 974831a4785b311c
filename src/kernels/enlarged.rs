//! A precision canary as large as its case.
//!
//! A library chooses its algorithm, and with it the instructions, by the sizes of a product: what it does to a small one says
//! little of a large one. So the sums of the canary stand in the upper left corner of matrices of the case's own sizes, and all
//! around is zero. Sums of exact numbers and zeros are exact in any order, whatever slices and tiles they are made in.

use super::{Array, Canary, DeviceCanary, Params, Values};

impl DeviceCanary {
    /// The canary in the corner of a product of the sizes of `params`.
    ///
    /// # Errors
    /// The canary as it was, where the case is smaller than it in any direction, where it is no product of two matrices A (m×k)
    /// and B (k×n), or where memory does not suffice.
    pub fn enlarged(self, params: &Params) -> Result<Self, Self> {
        let sizes = |params: &Params| -> Option<[usize; 3]> {
            Some([params.count("m").ok()?, params.count("n").ok()?, params.count("k").ok()?])
        };
        let (Some([rows, columns, depth]), Some([m, n, k])) = (sizes(&self.params), sizes(params)) else {
            return Err(self);
        };
        let fits = rows <= m && columns <= n && depth <= k && self.params.dtype == params.dtype;
        let matrix = |name: &str, from: [usize; 2], to: [usize; 2]| {
            let found = self.operands.iter().find(|a| a.name == name && a.shape == from).filter(|_| fits)?;
            surrounded(found, to)
        };
        let found = matrix("A", [rows, depth], [m, k]).zip(matrix("B", [depth, columns], [k, n]));
        let Some((a, b)) = found.filter(|_| self.operands.len() == 2) else { return Err(self) };
        let inner = self.judge;
        let judge = move |answer: &Array| {
            let (corner, clean) = corner_of(answer, [rows, columns], [m, n]);
            let verdict = inner(&corner);
            let name = format!("{}, at the size of the case", verdict.name);
            Canary { error: verdict.error.filter(|_| clean), name, limit: verdict.limit }
        };
        Ok(Self { params: params.clone(), operands: vec![a, b], judge: Box::new(judge) })
    }
}

/// `matrix` in the corner of one of other sides, all else of it zero; `None` where it does not fit into memory.
fn surrounded(matrix: &Array, [rows, columns]: [usize; 2]) -> Option<Array> {
    fn within<T: Copy + Default>(values: &[T], width: usize, [rows, columns]: [usize; 2]) -> Option<Vec<T>> {
        let mut all = Vec::new();
        let len = rows.checked_mul(columns)?;
        all.try_reserve_exact(len).ok()?;
        all.resize(len, T::default());
        for (to, from) in all.chunks_mut(columns).zip(values.chunks(width)) {
            to[..width].copy_from_slice(from);
        }
        Some(all)
    }
    let (width, sides) = (*matrix.shape.get(1)?, [rows, columns]);
    let values = match &matrix.values {
        Values::F32(values) => Values::F32(within(values, width, sides)?),
        Values::F64(values) => Values::F64(within(values, width, sides)?),
        Values::U32(values) => Values::U32(within(values, width, sides)?),
    };
    Some(Array { name: matrix.name, shape: vec![rows, columns], values })
}

/// The corner of an answer of `sides`, and whether all else of it is zero. Of an answer of another length, nothing.
fn corner_of(answer: &Array, [rows, columns]: [usize; 2], [m, n]: [usize; 2]) -> (Array, bool) {
    fn taken<T: Copy>(values: &[T], [rows, columns]: [usize; 2], n: usize) -> Vec<T> {
        values.chunks(n).take(rows).flat_map(|row| &row[..columns.min(row.len())]).copied().collect()
    }
    let whole = m.checked_mul(n) == Some(answer.values.len());
    let rows = if whole { rows } else { 0 };
    let values = match &answer.values {
        Values::F32(values) => Values::F32(taken(values, [rows, columns], n)),
        Values::F64(values) => Values::F64(taken(values, [rows, columns], n)),
        Values::U32(values) => Values::U32(taken(values, [rows, columns], n)),
    };
    let outside = |index: usize| index / n >= rows || index % n >= columns;
    let clean = whole && answer.values.numbers().enumerate().all(|(index, x)| !outside(index) || x == 0.0);
    (Array { name: answer.name, shape: vec![rows, columns], values }, clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::verify::counts;
    use crate::kernels::{Dtype, find};

    const TYPES: [Dtype; 6] = [Dtype::F32, Dtype::F64, Dtype::Bf16, Dtype::F16, Dtype::I8, Dtype::Tf32];

    fn enlarged(kernel: &str, dtype: Dtype, [m, n, k]: [u64; 3]) -> Result<DeviceCanary, DeviceCanary> {
        let params = counts(dtype, &[("m", m), ("n", n), ("k", k)]);
        find(kernel).unwrap().device_canary(&params).unwrap().unwrap().enlarged(&params)
    }

    /// The product of the canary's operands, each passed through `operand`.
    fn product(canary: &DeviceCanary, operand: impl Fn(f64) -> f64) -> Vec<f64> {
        let ([m, k], n) = ([canary.operands[0].shape[0], canary.operands[0].shape[1]], canary.operands[1].shape[1]);
        let [a, b] = [0, 1].map(|i: usize| canary.operands[i].values.numbers().map(&operand).collect::<Vec<_>>());
        (0..m * n).map(|i| (0..k).map(|q| a[i / n * k + q] * b[q * n + i % n]).sum()).collect()
    }

    fn answer(dtype: Dtype, shape: [usize; 2], values: &[f64]) -> Array {
        // Sums of bytes need more bits than single precision has.
        let single = !matches!(dtype, Dtype::F64 | Dtype::I8);
        Array::of_numbers("C", &shape, single, values.iter().copied())
    }

    #[test]
    fn a_canary_of_the_size_of_its_case_passes_and_sees_what_the_small_one_sees() {
        for dtype in TYPES {
            // The sums of bytes are long ones.
            let [m, n, k] = if dtype == Dtype::I8 { [45, 53, 1300] } else { [101, 97, 200] };
            let sizes = [m, n, k].map(|size| size as u64);
            let canary = enlarged("gemm", dtype, sizes).unwrap_or_else(|_| panic!("{dtype}"));
            assert_eq!(canary.operands[1].shape, [k, n]);
            let exact = product(&canary, |x| x);
            let verdict = (canary.judge)(&answer(dtype, [m, n], &exact));
            assert!(verdict.passed() && verdict.name.ends_with("at the size of the case"), "{dtype}");
            // One element of the sums, and one of the zeros around them.
            for wrong in [0, m * n - 1] {
                let mut spoilt = exact.clone();
                spoilt[wrong] += 64.0;
                assert!(!(canary.judge)(&answer(dtype, [m, n], &spoilt)).passed(), "{dtype}");
            }
            assert!(!(canary.judge)(&answer(dtype, [1, n], &exact[..n])).passed(), "too short");
        }
        // Operands that lose their last bits on the way: what a faster type does.
        let canary = enlarged("gemm", Dtype::Tf32, [101, 97, 200]).ok().unwrap();
        let short = |x: f64| (x * 128.0).round() / 128.0;
        assert!(!(canary.judge)(&answer(Dtype::Tf32, [101, 97], &product(&canary, short))).passed());
    }

    #[test]
    fn a_case_that_is_smaller_keeps_the_canary_as_it_is() {
        for sizes in [[1, 1, 1], [91, 300, 300], [300, 91, 300], [300, 300, 31]] {
            let canary = enlarged("gemm", Dtype::F32, sizes).err().unwrap();
            assert_eq!((canary.params.count("m").unwrap(), canary.operands.len()), (92, 2));
        }
        let params = counts(Dtype::F32, &[("bytes", 1 << 20)]);
        let canary = find("triad").unwrap().device_canary(&params).unwrap().unwrap();
        assert!(canary.enlarged(&params).is_err(), "no product");
    }
}
