//! The product in bf16 (sums in binary32) and in 8-bit integers (sums in 32 bits, exact).

use super::row_cost;
use super::words::{Nest, NestPath, Workspace};
use crate::kernels::dot::DotUnit;
use crate::kernels::params::{product, sum};
use crate::kernels::random::SplitMix64;
use crate::kernels::reference::{Reference, Worst};
use crate::kernels::short::{Bf16, Short, Sum, fill_short};
use crate::kernels::split::fill;
use crate::kernels::{
    Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, Dtype, KernelError, ParamError, ParamValue, Params,
    Program, Team, Work,
};

/// The longest sums of 8-bit products that surely fit 32 bits: k·128² < 2³¹.
const LONGEST: u64 = (1 << 17) - 1;

/// Work of one iteration: A and B in the short type, C in 32 bits.
///
/// # Errors
/// [`ParamError`] for what does not fit, and for 8-bit sums that 32 bits might not hold.
pub(super) fn work(params: &Params) -> Result<Work, ParamError> {
    let [m, n, k] = [params.integer("m")?, params.integer("n")?, params.integer("k")?];
    if params.dtype == Dtype::I8 && k > LONGEST {
        let expected = format!("at most {LONGEST} in i8: longer sums may not fit 32 bits");
        return Err(ParamError::Invalid { name: "k", found: format!("`{k}`"), expected });
    }
    let flops = product("2·m·n·k", &[2, m, n, k])?;
    let operands = sum("A and B", &[product("A", &[m, k])?, product("B", &[k, n])?])?;
    let output = product("C", &[4, m, n])?;
    let bytes = sum("the matrices", &[product("A and B", &[params.dtype.size(), operands])?, output])?;
    let reference = Reference::bytes(m, n, row_cost(n, k)).unwrap_or(u64::MAX);
    // Operands in binary16 and e4m3 are widened beside.
    let widened =
        if matches!(params.dtype, Dtype::F16 | Dtype::F8) { product("widened A and B", &[4, operands])? } else { 0 };
    Work::new(flops, flops, bytes, sum("the matrices and the reference", &[bytes, reference, widened])?)
}

/// The canary of a type as a case for another device; `S` has operands that `dtype` holds exactly.
pub(super) fn device_canary<S: Demanding>(dtype: Dtype) -> DeviceCanary {
    // No multiples of a tile; rows that every program takes.
    const M: usize = 33;
    const N: usize = 48;
    let (name, k, left, right) = S::canary();
    let k = k.next_multiple_of(16);
    let a: Vec<f64> = (0..M * k).map(|index| left(index / k, index % k).to_f64()).collect();
    let b: Vec<f64> = (0..k * N).map(|index| right(index / N, index % N).to_f64()).collect();
    let exact = |index: usize| -> f64 { (0..k).map(|q| a[index / N * k + q] * b[q * N + index % N]).sum() };
    let exact: Vec<f64> = (0..M * N).map(exact).collect();
    let sizes = [("m", M), ("n", N), ("k", k)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    DeviceCanary {
        params: Params { dtype, values: sizes.into() },
        operands: vec![
            Array::of_numbers("A", &[M, k], true, a.into_iter()),
            Array::of_numbers("B", &[k, N], true, b.into_iter()),
        ],
        judge: Box::new(move |answer| {
            let mut worst = Worst::default();
            for (value, exact) in answer.values.numbers().zip(&exact) {
                worst.see(value, *exact, exact.abs());
            }
            let error = if answer.values.len() == exact.len() { worst.error() } else { None };
            Canary { name: name.to_owned(), error, limit: S::Sum::limit() }
        }),
    }
}

/// A and B.
fn inputs<S: Short>([m, n, k]: [usize; 3], context: &BuildContext<'_>) -> Result<(Buffer<S>, Buffer<S>), KernelError> {
    let BuildContext { seed, team, .. } = *context;
    let operand = |len: usize, what: &'static str, stream: u64| -> Result<Buffer<S>, KernelError> {
        let mut buffer = Buffer::zeroed(len, what)?;
        fill(&mut buffer, team, &|first, part| fill_short(SplitMix64::new(seed, stream), first, part));
        Ok(buffer)
    };
    Ok((operand(m * k, "A", 1)?, operand(k * n, "B", 2)?))
}

/// A and B for others, widened to single precision, which holds both types.
///
/// # Errors
/// [`KernelError::OutOfMemory`].
pub(super) fn operands<S: Short>(shape: [usize; 3], context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
    let ([m, n, k], (a, b)) = (shape, inputs::<S>(shape, context)?);
    let wide = |name, shape: &[usize], x: &[S]| Array::of_numbers(name, shape, true, x.iter().map(|x| x.to_f64()));
    Ok(vec![wide("A", &[m, k], &a), wide("B", &[k, n], &b)])
}

/// A product ready to run.
pub(super) struct Shortened<S: Short> {
    shape: [usize; 3],
    a: Buffer<S>,
    b: Buffer<S>,
    c: Buffer<S::Sum>,
    nest: Nest<S>,
    workspace: Workspace,
    reference: Reference,
    /// Whether C is the answer of a card.
    of_card: bool,
}

impl<S: NestPath> Shortened<S> {
    /// With the best unit that the context allows.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn build(shape: [usize; 3], context: &BuildContext<'_>) -> Result<Self, KernelError> {
        Self::with(shape, context, DotUnit::best(S::DTYPE, context.isa))
    }

    fn with([m, n, k]: [usize; 3], context: &BuildContext<'_>, unit: DotUnit) -> Result<Self, KernelError> {
        let BuildContext { seed, team, .. } = *context;
        let (a, b) = inputs::<S>([m, n, k], context)?;
        let mut c = Buffer::zeroed(m * n, "C")?;
        fill(&mut c, team, &|_, part| part.fill(S::Sum::POISON));
        let reference = Reference::compute((m, n), row_cost(n as u64, k as u64), seed, team, &|row, exact, scale| {
            for (depth, left) in a[row * k..(row + 1) * k].iter().enumerate() {
                let left = left.to_f64();
                let right = &b[depth * n..(depth + 1) * n];
                for ((right, exact), scale) in right.iter().zip(exact.iter_mut()).zip(scale.iter_mut()) {
                    let term = left * right.to_f64();
                    *exact += term;
                    *scale += term.abs();
                }
            }
        })?;
        let nest = Nest::of(unit);
        let workspace = Workspace::new(&nest, [m, n, k], team)?;
        Ok(Self { shape: [m, n, k], a, b, c, nest, workspace, reference, of_card: false })
    }
}

impl<S: NestPath> Program for Shortened<S> {
    fn path(&self) -> String {
        self.nest.unit().name(S::DTYPE).to_owned()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.b.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.c.fill(S::Sum::POISON);
    }

    fn run(&mut self, team: &dyn Team) {
        self.of_card = false;
        self.nest.multiply(self.shape, &self.a, &self.b, &mut self.c, &mut self.workspace, team);
    }

    fn check(&mut self) -> Correctness {
        let limit = if self.of_card { S::Sum::limit_of_cards() } else { S::Sum::limit() };
        self.reference.compare_as(&self.c, S::Sum::to_f64, limit)
    }

    fn output(&self) -> Option<Array> {
        let [m, n, _] = self.shape;
        // Sums of bf16 are in single precision; those of i8 have 32 bits, which it does not hold.
        let sums = self.c.iter().map(|x| x.to_f64());
        Some(Array::of_numbers("C", &[m, n], S::DTYPE == Dtype::Bf16, sums))
    }

    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        self.of_card = true;
        // Rounding would hide what no sum gives: NaN becomes the poison.
        answer.write_to(&mut self.c, |x| if x.is_nan() { S::Sum::POISON } else { S::Sum::from_f64(x) })
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        let index = index % self.c.len();
        let value = self.c[index].to_f64();
        self.c[index] = S::Sum::from_f64(value + (value.abs() * 0.01).max(1.0));
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        canary(&self.nest, team, &|sum| sum)
    }
}

/// Operands whose sums need every bit of their type, through the same nest; `output` is applied to each sum
/// (the identity, except where a test imitates hardware that sums in less). `None` without memory for it.
fn canary<S: NestPath>(nest: &Nest<S>, team: &dyn Team, output: &dyn Fn(f64) -> f64) -> Option<Canary> {
    // No multiples of a tile.
    const M: usize = 33;
    const N: usize = 35;
    let (name, k, left, right) = S::canary();
    let a: Vec<S> = (0..M * k).map(|index| left(index / k, index % k)).collect();
    let b: Vec<S> = (0..k * N).map(|index| right(index / N, index % N)).collect();
    let mut c = vec![S::Sum::POISON; M * N];
    let mut workspace = Workspace::new(nest, [M, N, k], team).ok()?;
    nest.multiply([M, N, k], &a, &b, &mut c, &mut workspace, team);
    let mut worst = Worst::default();
    for (index, value) in c.iter().enumerate() {
        let exact: f64 = (0..k).map(|q| a[index / N * k + q].to_f64() * b[q * N + index % N].to_f64()).sum();
        worst.see(output(value.to_f64()), exact, exact.abs());
    }
    Some(Canary { name: name.to_owned(), error: worst.error(), limit: S::Sum::limit() })
}

/// A canary: its name, the length of its sums, the element of A at (row, depth), the element of B at
/// (depth, column).
pub(in crate::kernels) type CanaryOf<S> = (&'static str, usize, fn(usize, usize) -> S, fn(usize, usize) -> S);

/// Operands that show what a type of sums loses.
pub(in crate::kernels) trait Demanding: Short {
    /// The canary of this type.
    fn canary() -> CanaryOf<Self>;
}

impl Demanding for Bf16 {
    /// Sums of triples (1 + α)(1 + β) − 1·(1 + β) − α·1 = αβ with α and β one to eight steps of 2⁻⁷. Every
    /// product and every partial sum, in any order, has at most 19 bits, so binary32 gives the exact answer;
    /// products or sums of 8 (bf16) or 11 bits (binary16) lose most of it.
    fn canary() -> CanaryOf<Self> {
        fn small(index: usize, triple: usize) -> f64 {
            (1 + (3 * index + triple) % 8) as f64 / 128.0
        }
        fn left(row: usize, depth: usize) -> Bf16 {
            let alpha = small(row, depth / 3);
            Bf16::round(match depth % 3 {
                0 => 1.0 + alpha,
                1 => -1.0,
                _ => -alpha,
            })
        }
        fn right(depth: usize, column: usize) -> Bf16 {
            Bf16::round(if depth % 3 == 2 { 1.0 } else { 1.0 + small(column, depth / 3) })
        }
        ("triples that cancel to the last bits of binary32", 48, left, right)
    }
}

impl Demanding for i8 {
    /// The largest operands there are, and sums beyond 2²⁴ that end in odd units: 16-bit sums, which
    /// `vpmaddubsw` saturates, and sums in binary32 are wrong.
    fn canary() -> CanaryOf<Self> {
        fn left(row: usize, depth: usize) -> i8 {
            // Every eighth row mixes signs; the others are at one end of the range.
            match (row + depth) % 8 {
                0 => i8::MIN,
                4 if row % 8 == 3 => i8::MIN,
                _ => i8::MAX,
            }
        }
        fn right(depth: usize, column: usize) -> i8 {
            match (depth + column) % 16 {
                0 => i8::MIN,
                1 => 126,
                _ => i8::MAX,
            }
        }
        ("largest operands in long sums", 1201, left, right)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::gemm::Gemm;
    use crate::kernels::verify::{Threads, counts, verify, verify_program};
    use crate::kernels::{Isa, Kernel};

    /// Every unit; shapes of one, primes, whole tiles, and several blocks in every direction.
    fn every_unit<S: NestPath>(shapes: &[[usize; 3]]) {
        for unit in DotUnit::available(S::DTYPE, Isa::Avx512) {
            for shape in shapes {
                let what = format!("{shape:?} {}", unit.name(S::DTYPE));
                verify_program(&what, &|team| {
                    let context = BuildContext { seed: 20_260_407, isa: Isa::detect(), team };
                    Ok(Box::new(Shortened::<S>::with(*shape, &context, unit)?))
                });
            }
        }
    }

    const SHAPES: &[[usize; 3]] =
        &[[1, 1, 1], [1, 37, 5], [53, 1, 19], [31, 67, 129], [64, 96, 64], [33, 31, 1031], [2, 600, 3]];

    #[test]
    fn every_shape_of_bf16_matches_the_reference() {
        every_unit::<Bf16>(SHAPES);
    }

    #[test]
    fn every_shape_of_i8_is_exact() {
        every_unit::<i8>(SHAPES);
    }

    /// More than one block in each direction: sums are carried on from block to block.
    #[test]
    fn several_blocks_join() {
        every_unit::<Bf16>(&[[300, 40, 70], [40, 530, 70], [20, 40, 2200], [70, 520, 832]]);
        every_unit::<i8>(&[[300, 40, 70], [40, 530, 70], [20, 40, 4300], [70, 520, 832]]);
    }

    /// What tensor cores do: a sum is cut off to `bits` behind its point after each sixteen products.
    fn cut_off(program: &Shortened<Bf16>, bits: u32) -> Array {
        let [m, n, k] = program.shape;
        let scale = |x: f64| 2f64.powi(bits.cast_signed() - x.abs().log2().floor() as i32);
        let cut = |x: f64| if x == 0.0 { x } else { (x * scale(x)).trunc() / scale(x) };
        let sum = |index: usize| {
            let product = |q: usize| program.a[index / n * k + q].to_f64() * program.b[q * n + index % n].to_f64();
            let slices = (0..k).step_by(16).map(|first| (first..k.min(first + 16)).map(product).sum::<f64>());
            slices.fold(0.0, |sum, slice| cut(sum + slice))
        };
        Array::of_numbers("C", &[m, n], true, (0..m * n).map(sum))
    }

    #[test]
    fn long_sums_of_a_card_may_be_cut_off_but_not_short() {
        let team = Threads(2);
        let context = BuildContext { seed: 20_260_407, isa: Isa::detect(), team: &team };
        let mut program = Shortened::<Bf16>::build([16, 64, 16_384], &context).unwrap();
        program.accept(&cut_off(&program, 23)).unwrap();
        let of_card = program.check();
        assert!(of_card.passed() && of_card.error.unwrap() > 8.0 * Dtype::F32.unit_roundoff(), "{of_card:?}");
        // Sums in binary16 and in bfloat16.
        for bits in [10, 7] {
            program.accept(&cut_off(&program, bits)).unwrap();
            assert!(!program.check().passed(), "{bits} bits");
        }
        // The processor rounds to nearest, and is held to that.
        program.run(&team);
        let own = program.check();
        assert!(own.passed() && own.limit < of_card.limit, "{own:?}");
    }

    #[test]
    fn the_kernel_takes_the_best_unit_of_each_set() {
        for dtype in [Dtype::Bf16, Dtype::I8] {
            verify(&Gemm, &counts(dtype, &[("m", 40), ("n", 50), ("k", 60)]));
        }
    }

    #[test]
    fn work_follows_the_formulas() {
        let shape = [("m", 10), ("n", 20), ("k", 30)];
        let work = Gemm.work(&counts(Dtype::Bf16, &shape)).unwrap();
        assert_eq!(work.useful.get(), 12_000.0);
        assert_eq!(work.bytes.get(), 2.0 * (300.0 + 600.0) + 4.0 * 200.0);
        let work = Gemm.work(&counts(Dtype::I8, &shape)).unwrap();
        assert_eq!(work.bytes.get(), 300.0 + 600.0 + 4.0 * 200.0);
    }

    #[test]
    fn sums_that_32_bits_may_not_hold_are_refused() {
        let case = |k: u64| counts(Dtype::I8, &[("m", 1), ("n", 1), ("k", k)]);
        assert!(Gemm.work(&case(LONGEST)).is_ok());
        assert!(Gemm.work(&case(LONGEST + 1)).unwrap_err().to_string().contains("32 bits"));
        const { assert!(LONGEST * 128 * 128 < 1 << 31 && (LONGEST + 1) * 128 * 128 >= 1 << 31) };
    }

    #[test]
    fn sums_in_less_than_32_bits_fail_the_canary() {
        let team = Threads(1);
        for unit in DotUnit::available(Dtype::Bf16, Isa::Avx512) {
            let nest = Nest::<Bf16>::of(unit);
            assert_eq!(canary(&nest, &team, &|sum| sum).unwrap().error, Some(0.0));
        }
        // The canary's sums in bf16, in binary16 and, for integers, in 16 saturating bits and in binary32.
        for bits in [7, 10] {
            assert!(!rounded::<Bf16>(&|sum| round_mantissa(sum, bits)));
        }
        assert!(!rounded::<i8>(&|sum| sum.clamp(-32_768.0, 32_767.0)));
        assert!(!rounded::<i8>(&|sum| round_mantissa(sum, 23)));
        assert!(rounded::<Bf16>(&|sum| round_mantissa(sum, 23)) && rounded::<i8>(&|sum| sum));
    }

    /// Whether the canary's sums stay right when each partial sum is rounded so.
    fn rounded<S: Demanding>(round: &dyn Fn(f64) -> f64) -> bool {
        let (_, k, left, right) = S::canary();
        (0..8).all(|row| {
            let terms = || (0..k).map(|depth| left(row, depth).to_f64() * right(depth, 5).to_f64());
            let (exact, sum) = (terms().sum::<f64>(), terms().fold(0.0, |sum, term| round(sum + term)));
            (sum - exact).abs() <= S::Sum::limit() * exact.abs()
        })
    }

    /// `vpmaddubsw` adds two products of unsigned and signed bytes in 16 saturating bits; an operand shifted
    /// by 128 into the unsigned range is what a kernel would give it.
    #[test]
    fn pairs_that_saturate_fail_the_canary() {
        let (_, k, left, right) = i8::canary();
        let wrong = (0..8).filter(|row| {
            let (mut sum, mut exact) = (0_i32, 0_i32);
            for depth in 0..k {
                exact += i32::from(left(*row, depth)) * i32::from(right(depth, 5));
            }
            for pair in 0..k / 2 {
                let term = |depth: usize| (i32::from(left(*row, depth)) + 128) * i32::from(right(depth, 5));
                sum += (term(2 * pair) + term(2 * pair + 1)).clamp(-32_768, 32_767);
                sum -= 128 * (i32::from(right(2 * pair, 5)) + i32::from(right(2 * pair + 1, 5)));
            }
            sum += i32::from(left(*row, k - 1)) * i32::from(right(k - 1, 5));
            sum != exact
        });
        assert_eq!(wrong.count(), 8);
    }
}
