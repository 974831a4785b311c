//! The canary of the product in e4m3.

use crate::kernels::eight::{LIMIT, operand};
use crate::kernels::reference::Worst;
use crate::kernels::{Array, Canary, DeviceCanary, Dtype, ParamValue, Params};

/// Sums of a kind: all (1 + α)(1 + β), then all −1·(1 + β), then all −α·1.
const TERMS: usize = 32;
const LENGTH: usize = 3 * TERMS;
/// Rows and columns of the answer: no multiples of a tile; rows that every program takes.
const SIDES: [usize; 2] = [33, 48];

/// One to seven steps of 2⁻³: all that three bits of mantissa hold beside a one.
fn small(index: usize, term: usize) -> f64 {
    (1 + (3 * index + term) % 7) as f64 / 8.0
}

fn left(row: usize, depth: usize) -> f64 {
    let alpha = small(row, depth % TERMS);
    match depth / TERMS {
        0 => 1.0 + alpha,
        1 => -1.0,
        _ => -alpha,
    }
}

fn right(depth: usize, column: usize) -> f64 {
    if depth / TERMS == 2 { 1.0 } else { 1.0 + small(column, depth % TERMS) }
}

/// Sums that come to 2⁷ at most and end in steps of 2⁻⁶ before they cancel to Σ αβ: 13 significant bits hold every partial
/// sum in any order, sums of 11 bits (binary16) or 8 (bfloat16) lose theirs.
pub(super) fn canary() -> DeviceCanary {
    let [m, n] = SIDES;
    let a: Vec<f64> = (0..m * LENGTH).map(|index| left(index / LENGTH, index % LENGTH)).collect();
    let b: Vec<f64> = (0..LENGTH * n).map(|index| right(index / n, index % n)).collect();
    let sum = |index: usize| (0..LENGTH).map(|q| a[index / n * LENGTH + q] * b[q * n + index % n]).sum::<f64>();
    let exact: Vec<f64> = (0..m * n).map(sum).collect();
    let sizes = [("m", m), ("n", n), ("k", LENGTH)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    let array = |name, shape: [usize; 2], x: &[f64]| {
        Array::of_numbers(name, &shape, true, x.iter().map(|x| f64::from(operand(*x))))
    };
    DeviceCanary {
        params: Params { dtype: Dtype::F8, values: sizes.into() },
        operands: vec![array("A", [m, LENGTH], &a), array("B", [LENGTH, n], &b)],
        judge: Box::new(move |answer| {
            let mut worst = Worst::default();
            answer.values.numbers().zip(&exact).for_each(|(value, exact)| worst.see(value, *exact, exact.abs()));
            let error = if answer.values.len() == exact.len() { worst.error() } else { None };
            Canary { name: "sums that cancel after 13 bits".to_owned(), error, limit: LIMIT }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Values;
    use crate::kernels::canary::round_mantissa;

    /// The canary's verdict on sums that are rounded to so many explicit bits after each term.
    fn verdict(bits: u32) -> Canary {
        let ([m, n], canary) = (SIDES, canary());
        let (Values::F32(a), Values::F32(b)) = (&canary.operands[0].values, &canary.operands[1].values) else {
            panic!("single precision");
        };
        let sum = |index: usize| {
            (0..LENGTH).fold(0.0, |sum: f64, q| {
                round_mantissa(sum + f64::from(a[index / n * LENGTH + q]) * f64::from(b[q * n + index % n]), bits)
            })
        };
        #[expect(clippy::cast_possible_truncation, reason = "few bits")]
        let sums = (0..m * n).map(|index| sum(index) as f32).collect();
        (canary.judge)(&Array { name: "C", shape: vec![m, n], values: Values::F32(sums) })
    }

    #[test]
    fn operands_are_numbers_of_the_type_and_sums_of_13_bits_are_exact() {
        assert_eq!((verdict(23).error, verdict(12).error), (Some(0.0), Some(0.0)));
        assert!(!verdict(10).passed() && !verdict(7).passed());
    }
}
