//! Linear attention: φ(Q)·(φ(K)ᵀ·V), divided by φ(Q)·Σφ(K), for several heads, with φ(x) = elu(x) + 1.
//!
//! Without a softmax the products may be reordered, so work grows with the sequence and not with its square.

mod cuda;
mod exact;
mod tiled;

use super::params::{product, sum};
use super::reference::{Reference, Worst};
use super::short::rounded_limit;
use super::split::output_buffer;
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Isa, Kernel,
    KernelError, KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, ParamValue, Params, Program, Role, Target,
    Team, Work,
};
use exact::States;
use tiled::Tiled;

/// The `attention-linear` kernel.
pub(super) struct LinearAttention;

static INFO: KernelInfo = KernelInfo {
    id: "attention-linear",
    title: "Linear attention",
    summary: "φ(Q)·(φ(K)ᵀ·V) / φ(Q)·Σφ(K) for each head, φ(x) = elu(x) + 1; every query sees every key",
    role: Role::Workload,
    flops: "4·heads·seq·dim²; φ and the divisor are not counted",
    bytes: "4·e·heads·seq·dim",
    source: "Katharopoulos et al., Transformers are RNNs, 2020 (arXiv 2006.16236)",
    dtypes: &[Dtype::F32, Dtype::Bf16],
    params: &[
        ParamSpec {
            name: "heads",
            meaning: "independent heads",
            kind: ParamKind::Count { min: 1, max: 1 << 16 },
            default: Some(super::ParamDefault::Integer(1)),
        },
        ParamSpec {
            name: "seq",
            meaning: "queries, and keys, of each head",
            kind: ParamKind::Count { min: 1, max: 1 << 22 },
            default: None,
        },
        ParamSpec {
            name: "dim",
            meaning: "elements of a query, key or value",
            kind: ParamKind::Count { min: 8, max: 1024 },
            default: Some(super::ParamDefault::Integer(64)),
        },
    ],
};

/// Sizes of a case.
#[derive(Debug, Clone, Copy)]
struct Shape {
    heads: usize,
    seq: usize,
    dim: usize,
    /// Whether operands and output are in bfloat16.
    short: bool,
}

impl Shape {
    fn of(params: &Params) -> Result<Self, ParamError> {
        let (heads, seq, dim) = (params.count("heads")?, params.count("seq")?, params.count("dim")?);
        Ok(Self { heads, seq, dim, short: params.dtype == Dtype::Bf16 })
    }

    /// Elements of Q, of K, of V and of the output.
    const fn len(self) -> usize {
        self.heads * self.seq * self.dim
    }
}

impl Kernel for LinearAttention {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        let [heads, seq, dim] = [params.integer("heads")?, params.integer("seq")?, params.integer("dim")?];
        let useful = product("4·heads·seq·dim²", &[4, heads, seq, dim, dim])?;
        let dense = product("4·heads·seq²·dim", &[4, heads, seq, seq, dim])?;
        let bytes = product("Q, K, V and the output", &[4, params.dtype.size(), heads, seq, dim])?;
        let reference = Reference::bytes(heads.saturating_mul(seq), dim, 2 * dim * dim).unwrap_or(u64::MAX);
        let states = product("the states", &[16, heads, dim, dim])?;
        // A short sequence needs fewer operations by the definition of attention: never less than what is done.
        Work::new(useful, dense.max(useful), bytes, sum("all buffers", &[bytes, reference, states])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        Ok(Box::new(LinearProgram::build(Shape::of(params)?, context)?))
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let shape = Shape::of(params)?;
        let sizes = [shape.heads, shape.seq, shape.dim];
        let arrays = ["Q", "K", "V"].into_iter().zip(inputs(shape, context)?);
        Ok(arrays.map(|(name, values)| Array::of(name, &sizes, &values)).collect())
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => cuda::program(Shape::of(params)?, target),
            Api::Wgsl => Err(NoProgram::Unwritten),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        let (dim, short) = (params.count("dim")?, params.dtype == Dtype::Bf16);
        let (inputs, exact) = exact::canary_inputs(dim, short);
        let mut values = params.values.clone();
        values.extend([("heads", 1), ("seq", dim)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64))));
        let operands = ["Q", "K", "V"].into_iter().zip(&inputs).map(|(name, x)| Array::of(name, &[1, dim, dim], x));
        Ok(Some(DeviceCanary {
            params: Params { dtype: params.dtype, values },
            operands: operands.collect(),
            #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision or less")]
            judge: Box::new(move |answer| {
                judge(short, &answer.values.numbers().map(|x| x as f32).collect::<Vec<_>>(), &exact)
            }),
        }))
    }
}

/// Q, K and V of a case.
fn inputs(shape: Shape, context: &BuildContext<'_>) -> Result<[Buffer<f32>; 3], KernelError> {
    super::short::normal_inputs(shape.len(), shape.short, ["Q", "K", "V"], context)
}

/// The verdict on the answer of the canary.
fn judge(short: bool, output: &[f32], exact: &[f64]) -> Canary {
    const NAME: &str = "features and values that cancel";
    if !short {
        return super::canary::judge(NAME, output, exact);
    }
    let mut worst = Worst::default();
    output.iter().zip(exact).for_each(|(value, exact)| worst.see(f64::from(*value), *exact, exact.abs()));
    let error = if output.len() == exact.len() { worst.error() } else { None };
    // The output alone is rounded, by 2^-8.
    Canary { name: NAME.to_owned(), error, limit: 1.0 / 64.0 }
}

/// Linear attention ready to run.
struct LinearProgram {
    shape: Shape,
    q: Buffer<f32>,
    k: Buffer<f32>,
    v: Buffer<f32>,
    output: Buffer<f32>,
    tiled: Tiled,
    reference: Reference,
}

impl LinearProgram {
    fn build(shape: Shape, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let [q, k, v] = inputs(shape, context)?;
        let states = States::of(shape, &k, &v, team)?;
        let cost = 2 * (shape.dim * shape.dim) as u64;
        let rows = (shape.heads * shape.seq, shape.dim);
        let reference = Reference::compute(rows, cost, seed, team, &|row, output, scale| {
            states.row(row, &q, output, scale);
        })?;
        let output = output_buffer(shape.len(), "the output", team)?;
        Ok(Self { shape, q, k, v, output, tiled: Tiled::new(shape, isa, team.threads())?, reference })
    }
}

impl Program for LinearProgram {
    fn path(&self) -> String {
        // In single precision, on operands that are widened outside of the window.
        format!("{}/tiled{}", self.tiled.isa(), if self.shape.short { "-widened" } else { "" })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.k.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.tiled.run([&self.q, &self.k, &self.v], &mut self.output, team);
        if self.shape.short {
            super::short::round(&mut self.output, team);
        }
    }

    fn check(&mut self) -> Correctness {
        if self.shape.short {
            // Features, the state, and the output are rounded to bfloat16.
            return self.reference.compare_as(&self.output, f64::from, rounded_limit(3));
        }
        self.reference.compare(&self.output)
    }

    #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision")]
    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.output, |x| x as f32)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        // In bfloat16 the limit is some hundredths.
        for _ in 0..if self.shape.short { 16 } else { 1 } {
            super::verify::corrupt(&mut self.output, index);
        }
    }

    fn output(&self) -> Option<Array> {
        let Shape { heads, seq, dim, .. } = self.shape;
        Some(Array::of("O", &[heads, seq, dim], &self.output))
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        let Shape { dim, short, .. } = self.shape;
        Some(canary(dim, short, self.tiled.isa(), team, [&|x| x; 3]).unwrap_or_else(Canary::failed))
    }
}

/// What happens to the elements of Q, K and V before the kernel sees them: nothing, except where
/// a test imitates hardware that rounds its inputs.
type Operands<'a> = [&'a dyn Fn(f32) -> f32; 3];

/// A small head through the same code.
fn canary(dim: usize, short: bool, isa: Isa, team: &dyn Team, operands: Operands<'_>) -> Result<Canary, KernelError> {
    let shape = Shape { heads: 1, seq: dim, dim, short };
    let (inputs, exact) = exact::canary_inputs(dim, short);
    let seen: Vec<Vec<f32>> =
        inputs.iter().zip(operands).map(|(input, operand)| input.iter().map(|x| operand(*x)).collect()).collect();
    let mut output = vec![f32::NAN; shape.len()];
    Tiled::new(shape, isa, team.threads())?.run([&seen[0], &seen[1], &seen[2]], &mut output, team);
    if short {
        super::short::round(&mut output, team);
    }
    Ok(judge(short, &output, &exact))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, counts, verify};

    fn case(heads: u64, seq: u64, dim: u64) -> Params {
        counts(Dtype::F32, &[("heads", heads), ("seq", seq), ("dim", dim)])
    }

    #[test]
    fn every_shape_matches_the_reference() {
        // One query, fewer heads than threads and more, ragged chunks, dims with and without whole registers.
        for (heads, seq, dim) in [(1, 1, 8), (2, 5, 64), (1, 97, 16), (3, 131, 37), (1, 521, 64), (5, 200, 80)] {
            verify(&LinearAttention, &case(heads, seq, dim));
        }
    }

    #[test]
    fn bfloat16_matches_the_reference_and_fewer_bits_fail_the_canary() {
        let keep = |x: f32| x;
        let round = |x: f32| round_mantissa(x, 5);
        for (heads, seq, dim) in [(1, 1, 8), (2, 131, 37), (1, 300, 64)] {
            verify(&LinearAttention, &Params { dtype: Dtype::Bf16, ..case(heads, seq, dim) });
        }
        for dim in [8, 37, 64, 128] {
            let found = |operands| canary(dim, true, Isa::detect(), &Threads(2), operands).unwrap();
            assert!(found([&keep; 3]).passed(), "{dim}: {:?}", found([&keep; 3]));
            let all: [Operands<'_>; 3] = [[&round, &keep, &keep], [&keep, &round, &keep], [&keep, &keep, &round]];
            for (which, operands) in all.into_iter().enumerate() {
                assert!(!found(operands).passed(), "dim {dim}, operand {which}: {:?}", found(operands));
            }
        }
    }

    #[test]
    fn a_long_sequence_stays_within_the_limit() {
        let team = Threads(2);
        let context = BuildContext { seed: 3, isa: Isa::detect(), team: &team };
        let mut program = LinearAttention.build(&case(1, 20_011, 32), &context).unwrap();
        program.run(&team);
        assert!(program.check().passed(), "{:?}", program.check());
    }

    #[test]
    fn work_is_linear_in_the_sequence() {
        let work = LinearAttention.work(&case(2, 100, 64)).unwrap();
        assert_eq!(work.useful.get(), 4.0 * 2.0 * 100.0 * 64.0 * 64.0);
        assert_eq!(work.dense_equivalent.get(), 4.0 * 2.0 * 100.0 * 100.0 * 64.0);
        assert_eq!(work.bytes.get(), 16.0 * 2.0 * 100.0 * 64.0);
        let short = LinearAttention.work(&case(1, 10, 64)).unwrap();
        assert_eq!(short.dense_equivalent, short.useful);
    }

    #[test]
    fn equal_keys_give_the_mean_of_the_values() {
        let shape = Shape { heads: 1, seq: 70, dim: 9, short: false };
        let (q, k) = (vec![0.5; shape.len()], vec![-0.25; shape.len()]);
        let v: Vec<f32> = (0..shape.len()).map(|i| (i / shape.dim) as f32).collect();
        for isa in Isa::available() {
            let mut output = vec![f32::NAN; shape.len()];
            Tiled::new(shape, isa, 3).unwrap().run([&q, &k, &v], &mut output, &Threads(3));
            assert!(output.iter().all(|x| (x - 34.5).abs() < 1e-4), "{isa}: {output:?}");
        }
    }

    #[test]
    fn rounding_any_operand_fails_the_canary() {
        let keep = |x: f32| x;
        for isa in Isa::available() {
            for dim in [8, 37, 64, 130] {
                let found = canary(dim, false, isa, &Threads(2), [&keep; 3]).unwrap();
                assert!(found.passed(), "{isa} {dim}: {found:?}");
            }
            for bits in [7, 10] {
                let round = |x: f32| round_mantissa(x, bits);
                let all: [Operands<'_>; 3] = [[&round, &keep, &keep], [&keep, &round, &keep], [&keep, &keep, &round]];
                for (which, operands) in all.into_iter().enumerate() {
                    let found = canary(64, false, isa, &Threads(1), operands).unwrap();
                    assert!(!found.passed(), "{isa}, {bits} bits, operand {which}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn rounded_inputs_fail_the_ordinary_check_too() {
        let team = Threads(1);
        let context = BuildContext { seed: 2, isa: Isa::detect(), team: &team };
        let mut program = LinearProgram::build(Shape { heads: 1, seq: 64, dim: 64, short: false }, &context).unwrap();
        for x in program.q.iter_mut().chain(program.k.iter_mut()).chain(program.v.iter_mut()) {
            *x = round_mantissa(*x, 7);
        }
        program.run(&team);
        assert!(!program.check().passed());
    }
}
