//! Precision canaries of the 2:4 product.

use super::largest_error;
use super::structure::TwoOfFour;
use super::tiles::{Tiled, TwoOfFourPath};
use crate::kernels::canary::{Cancelling, LENGTH};
use crate::kernels::gemm::Demanding;
use crate::kernels::reference::Worst;
use crate::kernels::short::Bf16;
use crate::kernels::{Array, Canary, DeviceCanary, Dtype, Isa, KernelError, ParamValue, Params, Team};

/// A small product through the processor's code: every operand of the sums stands at one of two places of its
/// own group of four.
pub(super) fn run<T: TwoOfFourPath>(
    isa: Isa,
    team: &dyn Team,
    operand: &dyn Fn(T) -> T,
) -> Result<Canary, KernelError> {
    // 203 columns: full strips, narrower ones and a ragged register.
    const N: usize = 203;
    const M: usize = 40;
    let operands = Cancelling::new(M, N, operand);
    let place = |row: usize, q: usize| 4 * q + (row + q) % 4;
    let depth = 4 * LENGTH;
    let mut left = vec![T::ZERO; M * depth];
    for row in 0..M {
        for q in 0..LENGTH {
            left[row * depth + place(row, q)] = operands.left[row * LENGTH + q];
        }
    }
    // All four rows of a group are the same row of B, so that it does not matter which one is meant; that
    // the right one is taken is what the ordinary check sees.
    let right: Vec<T> = (0..depth).flat_map(|row| operands.right[row / 4 * N..(row / 4 + 1) * N].to_vec()).collect();
    let mut tiled = Tiled::new(TwoOfFour::of_dense(&left, depth)?, N, isa, team)?;
    let mut output = vec![T::NAN; M * N];
    tiled.multiply(&right, &mut output, team);
    Ok(operands.judge(&output))
}

/// Sums that need the precision of their type, as a case for a device: each operand of the dense canary stands at one of two
/// places of its own group of four, whose rows of B are all the same. `None` for the types that no device computes.
pub(super) fn for_device(dtype: Dtype) -> Option<DeviceCanary> {
    match dtype {
        // Operands of 8 significant bits are numbers of binary16 as well.
        Dtype::Bf16 | Dtype::F16 => Some(spread::<Bf16>(dtype)),
        Dtype::I8 => Some(spread::<i8>(dtype)),
        _ => None,
    }
}

fn spread<S: Demanding>(dtype: Dtype) -> DeviceCanary {
    // No multiples of a tile; the depth is one of 8.
    const M: usize = 33;
    const N: usize = 36;
    let (name, sums, left, right) = S::canary();
    let depth = (4 * sums).next_multiple_of(8);
    let term = |row: usize, q: usize| left(row, q).to_f64();
    let mut a = vec![0.0; M * depth];
    for row in 0..M {
        for q in 0..sums {
            a[row * depth + 4 * q + (row + q) % 4] = term(row, q);
        }
    }
    let row_of_b = |row: usize, column: usize| if row / 4 < sums { right(row / 4, column).to_f64() } else { 1.0 };
    let b: Vec<f64> = (0..depth * N).map(|index| row_of_b(index / N, index % N)).collect();
    let exact = |index: usize| (0..sums).map(|q| term(index / N, q) * right(q, index % N).to_f64()).sum::<f64>();
    let exact: Vec<f64> = (0..M * N).map(exact).collect();
    let sizes = [("m", M), ("k", depth), ("n", N)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    let limit = largest_error(dtype);
    DeviceCanary {
        params: Params { dtype, values: sizes.into() },
        operands: vec![
            Array::of_numbers("A", &[M, depth], true, a.into_iter()),
            Array::of_numbers("B", &[depth, N], true, b.into_iter()),
        ],
        judge: Box::new(move |answer| {
            let mut worst = Worst::default();
            answer.values.numbers().zip(&exact).for_each(|(value, exact)| worst.see(value, *exact, exact.abs()));
            let error = if answer.values.len() == exact.len() { worst.error() } else { None };
            Canary { name: name.to_owned(), error, limit }
        }),
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::Values;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::Threads;

    #[test]
    fn rounded_inputs_fail_the_canary() {
        let team = Threads(2);
        for isa in Isa::available() {
            assert_eq!(run::<f32>(isa, &team, &|x| x).unwrap().error, Some(0.0));
            assert!(!run::<f32>(isa, &team, &|x| round_mantissa(x, 10)).unwrap().passed());
            assert!(!run::<f64>(isa, &team, &|x| round_mantissa(x, 23)).unwrap().passed());
        }
    }

    /// The canary's verdict on sums that are kept in so many explicit bits, and then stored in the answer's own.
    fn verdict(dtype: Dtype, bits: u32, stored: u32) -> Canary {
        let canary = for_device(dtype).unwrap();
        let (Values::F32(a), Values::F32(b)) = (&canary.operands[0].values, &canary.operands[1].values) else {
            panic!("single precision");
        };
        let (depth, n) = (canary.operands[0].shape[1], canary.operands[1].shape[1]);
        let sum = |index: usize| {
            let product = |q: usize| f64::from(a[index / n * depth + q]) * f64::from(b[q * n + index % n]);
            (0..depth).fold(0.0, |sum: f64, q| round_mantissa(sum + product(q), bits))
        };
        let sums = (0..a.len() / depth * n).map(|index| round_mantissa(sum(index), stored)).collect();
        (canary.judge)(&Array { name: "C", shape: vec![a.len() / depth, n], values: Values::F64(sums) })
    }

    #[test]
    fn sums_of_few_bits_fail_the_canary_for_devices_and_answers_of_16_bits_pass() {
        assert!(verdict(Dtype::Bf16, 23, 7).passed() && verdict(Dtype::F16, 23, 10).passed());
        assert!(!verdict(Dtype::Bf16, 7, 7).passed() && !verdict(Dtype::F16, 10, 10).passed());
        assert!(verdict(Dtype::I8, 31, 31).passed() && !verdict(Dtype::I8, 23, 31).passed());
        assert!(for_device(Dtype::F32).is_none());
    }
}
