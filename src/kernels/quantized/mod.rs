//! Weight-only quantised product, Y = W·X: the weights of a linear layer in 8 or 4 bits with a scale for each
//! group, a few columns of activations in bf16, sums in binary32.
//!
//! With one column it reads every weight once and is bound by memory, which is what quantising weights is for.
//! Weights are static, so packing them lies outside the window, as in a deployment ([`pack`]).

mod cuda;
mod pack;
mod rows;

use super::dot::DotUnit;
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::{Reference, Worst, limit};
use super::short::{Bf16, Short, fill_short};
use super::split::{even, fill, fill_repeating, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Kernel, KernelError,
    KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, ParamValue, Params, Program, Role, Target, Team, Values,
    Work,
};
use pack::{CHUNK, Width};
use rows::Rows;

/// The `gemv-quantized` kernel.
pub(super) struct Quantized;

/// Random weights repeat after this many: drawing half a gigabyte of them would take longer than measuring.
const BLOCK: usize = 1 << 16;

static INFO: KernelInfo = KernelInfo {
    id: "gemv-quantized",
    title: "Weight-only quantised product",
    summary: "Y = W·X with W n×k in 8 or 4 bits and a binary32 scale for each group, X k×m in bf16, Y n×m in binary32",
    role: Role::Workload,
    flops: "2·m·n·k",
    bytes: "n·k·bits/8 + 4·n·k/group + 2·k·m + 4·n·m",
    source: "Frantar, Ashkboos, Hoefler and Alistarh, GPTQ, ICLR 2023 (weights in groups, activations wider)",
    dtypes: &[Dtype::Bf16],
    params: &[
        ParamSpec {
            name: "m",
            meaning: "columns of X and Y: tokens",
            kind: ParamKind::Count { min: 1, max: 256 },
            default: Some(super::ParamDefault::Integer(1)),
        },
        ParamSpec {
            name: "n",
            meaning: "rows of W and Y: outputs of the layer",
            kind: ParamKind::Count { min: 1, max: 1 << 24 },
            default: None,
        },
        ParamSpec {
            name: "k",
            meaning: "columns of W, rows of X: inputs of the layer, a multiple of `group`",
            kind: ParamKind::Count { min: CHUNK as u64, max: 1 << 20 },
            default: None,
        },
        ParamSpec {
            name: "group",
            meaning: "weights of a row that share a scale, a multiple of 128",
            kind: ParamKind::Count { min: CHUNK as u64, max: 1 << 20 },
            default: Some(super::ParamDefault::Integer(CHUNK as u64)),
        },
        ParamSpec {
            name: "weights",
            meaning: "type of the weights",
            kind: ParamKind::Choice(&["int8", "int4"]),
            default: Some(super::ParamDefault::Word("int8")),
        },
    ],
};

/// Sizes of a case.
#[derive(Debug, Clone, Copy)]
struct Shape {
    m: usize,
    n: usize,
    k: usize,
    group: usize,
    width: Width,
}

impl Shape {
    fn of(params: &Params) -> Result<Self, ParamError> {
        let [m, n, k, group] = [params.count("m")?, params.count("n")?, params.count("k")?, params.count("group")?];
        let wrong = |name: &'static str, value: usize, expected: String| {
            Err(ParamError::Invalid { name, found: format!("`{value}`"), expected })
        };
        if !group.is_multiple_of(CHUNK) {
            return wrong("group", group, format!("a multiple of {CHUNK}"));
        }
        if !k.is_multiple_of(group) {
            return wrong("k", k, format!("a multiple of `group`, {group}"));
        }
        let width = if params.word("weights")? == "int4" { Width::Int4 } else { Width::Int8 };
        Ok(Self { m, n, k, group, width })
    }
}

impl Kernel for Quantized {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        let shape = Shape::of(params)?;
        let [m, n, k, group] = [shape.m as u64, shape.n as u64, shape.k as u64, shape.group as u64];
        let flops = product("2·m·n·k", &[2, m, n, k])?;
        let bits = product("the weights", &[n, k, shape.width.bits()])?;
        let scales = product("the scales", &[4, n, k / group])?;
        let columns = sum("X and Y", &[product("X", &[2, k, m])?, product("Y", &[4, n, m])?])?;
        let bytes = sum("the operands", &[bits / 8, scales, columns])?;
        let reference = Reference::bytes(n, m, k * m).unwrap_or(u64::MAX);
        // Activations are there once more, widened.
        let footprint = sum("all buffers", &[bytes, reference, product("X", &[4, k, m])?])?;
        Work::new(flops, flops, bytes, footprint)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        let unit = DotUnit::best(Dtype::Bf16, context.isa);
        Ok(Box::new(Layer::build(Shape::of(params)?, unit, context)?))
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let shape = Shape::of(params)?;
        let Shape { m, n, k, group, .. } = shape;
        let inputs = Inputs::of(shape, context)?;
        let weights = (0..n * k).map(|at| f64::from(repeated(&inputs.block, at)));
        Ok(vec![
            Array::of_numbers("W", &[n, k], true, weights),
            Array::of("scales", &[n, k / group], &inputs.scales),
            Array::of_numbers("X", &[m, k], true, inputs.x.iter().map(|x| x.to_f64())),
        ])
    }

    fn device_operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let shape = Shape::of(params)?;
        let Inputs { x, block, scales } = Inputs::of(shape, context)?;
        let weight = |row: usize, depth: usize| repeated(&block, row * shape.k + depth);
        Ok(packed(shape, &weight, &scales, &x))
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => cuda::program(Shape::of(params)?, target),
            Api::Wgsl => Err(NoProgram::Unwritten),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        device_canary(Shape::of(params)?).map(Some)
    }
}

/// The arrays of a layer with its weights in the words of CUDA programs, which is how they lie in memory as well.
fn packed(shape: Shape, weight: &dyn Fn(usize, usize) -> i8, scales: &[f32], x: &[Bf16]) -> Vec<Array> {
    let Shape { m, n, k, group, width } = shape;
    let mut words = Vec::with_capacity(n * (k / CHUNK) * width.device_words());
    for row in 0..n {
        for first in (0..k).step_by(CHUNK) {
            width.device_pack(|index| weight(row, first + index), &mut words);
        }
    }
    let words = Array { name: "W", shape: vec![n, words.len() / n], values: Values::U32(words) };
    let x = Array { name: "X", shape: vec![m, k], values: Values::F32(x.iter().map(|x| x.to_f32()).collect()) };
    vec![words, Array::of("scales", &[n, k / group], scales), x]
}

/// What a layer is made of.
struct Inputs {
    /// Activations, token by token.
    x: Buffer<Bf16>,
    /// Weights, which repeat.
    block: Vec<i8>,
    scales: Buffer<f32>,
}

impl Inputs {
    fn of(shape: Shape, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, .. } = *context;
        let Shape { m, n, k, group, width } = shape;
        let mut x = Buffer::<Bf16>::zeroed(m * k, "X")?;
        fill(&mut x, team, &|first, part| fill_short(SplitMix64::new(seed, 2), first, part));
        let mut block = vec![0_i8; BLOCK.min(n * k)];
        fill_short(SplitMix64::new(seed, 1), 0, &mut block);
        block.iter_mut().for_each(|weight| *weight = width.quantised(*weight));
        let mut scales = Buffer::<f32>::zeroed(n * (k / group), "the scales")?;
        let mut few = vec![0.0_f32; 4096.min(scales.len())];
        SplitMix64::new(seed, 3).fill_normal(0, &mut few);
        // Standard deviation 1/√k to 2/√k, as of a layer's initial weights after its type's range.
        few.iter_mut().for_each(|x| *x = (1.0 + x.abs().min(1.0)) / ((k as f32).sqrt() * width.largest()));
        fill_repeating(&mut scales, &few, team);
        Ok(Self { x, block, scales })
    }
}

/// A weight, counted row by row.
fn repeated(block: &[i8], at: usize) -> i8 {
    block[at % block.len()]
}

/// A layer ready to run.
struct Layer {
    rows: Rows,
    y: Buffer<f32>,
    reference: Reference,
}

impl Layer {
    fn build(shape: Shape, unit: DotUnit, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, .. } = *context;
        let Shape { m, n, k, group, width } = shape;
        let Inputs { x, block, scales } = Inputs::of(shape, context)?;
        let weight = |row: usize, depth: usize| repeated(&block, row * k + depth);
        let reference = Reference::compute((n, m), (k * m) as u64, seed, team, &|row, exact, scale| {
            for depth in 0..k {
                let value = f64::from(weight(row, depth)) * f64::from(scales[row * (k / group) + depth / group]);
                for (token, (exact, scale)) in exact.iter_mut().zip(scale.iter_mut()).enumerate() {
                    let term = value * x[token * k + depth].to_f64();
                    *exact += term;
                    *scale += term.abs();
                }
            }
        })?;
        let rows = Rows::pack([m, n, k], group, width, unit, scales, &x, &weight, team)?;
        Ok(Self { rows, y: output_buffer(n * m, "Y", team)?, reference })
    }
}

impl Program for Layer {
    fn path(&self) -> String {
        self.rows.path()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.rows.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.y.fill(f32::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.rows.multiply(&mut self.y, team);
    }

    fn check(&mut self) -> Correctness {
        self.reference.compare(&self.y)
    }

    fn output(&self) -> Option<Array> {
        let m = self.rows.tokens();
        Some(Array::of("Y", &[self.y.len() / m, m], &self.y))
    }

    #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision")]
    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.y, |x| x as f32)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.y, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        canary(self.rows.unit(), self.rows.width(), self.rows.tokens(), team, &|x| x).ok()
    }
}

/// A small layer and its exact answer: pairs q·(1 + α) − q·1 with α one to eight steps of 2⁻⁷ and scales that are powers
/// of two: exact in binary32 in any order. Activations in fewer than 8 bits, or sums in bf16, lose α.
struct Small {
    shape: Shape,
    x: Buffer<Bf16>,
    scales: Buffer<f32>,
    exact: Vec<f64>,
}

/// The weights of the canary.
fn small_weight(width: Width, row: usize, depth: usize) -> i8 {
    width.quantised(i8::try_from(1 + (row * 7 + depth / 2 * 11) % 127).unwrap_or(1))
}

impl Small {
    /// `operand` is applied to each activation (the identity, except where a test imitates hardware that rounds them).
    fn new(width: Width, m: usize, operand: &dyn Fn(f64) -> f64) -> Result<Self, KernelError> {
        let shape = Shape { m, n: 37, k: 2 * CHUNK, group: CHUNK, width };
        let Shape { n, k, .. } = shape;
        let value = |token: usize, depth: usize| match depth % 2 {
            0 => 1.0 + (1 + (3 * token + depth / 2) % 8) as f64 / 128.0,
            _ => -1.0,
        };
        let mut x = Buffer::<Bf16>::zeroed(m * k, "X")?;
        for (index, x) in x.iter_mut().enumerate() {
            *x = Bf16::round(operand(value(index / k, index % k)));
        }
        let mut scales = Buffer::<f32>::zeroed(n * 2, "the scales")?;
        (0..).zip(scales.iter_mut()).for_each(|(index, scale)| *scale = if index % 2 == 0 { 1.0 } else { 0.125 });
        let scale = |row: usize, depth: usize| f64::from(scales[row * 2 + depth / CHUNK]);
        let exact = (0..n * m)
            .map(|index| {
                let (row, token) = (index / m, index % m);
                let term = |q| f64::from(small_weight(width, row, q)) * scale(row, q) * value(token, q);
                (0..k).map(term).sum()
            })
            .collect();
        Ok(Self { shape, x, scales, exact })
    }

    fn judge(exact: &[f64], y: &[f32]) -> Canary {
        let mut worst = Worst::default();
        y.iter().zip(exact).for_each(|(y, exact)| worst.see(f64::from(*y), *exact, exact.abs()));
        let error = if y.len() == exact.len() { worst.error() } else { None };
        Canary { name: "activations that cancel to their last bits".to_owned(), error, limit: limit(Dtype::F32) }
    }
}

/// The canary on the processor.
fn canary(
    unit: DotUnit,
    width: Width,
    tokens: usize,
    team: &dyn Team,
    operand: &dyn Fn(f64) -> f64,
) -> Result<Canary, KernelError> {
    let Small { shape: Shape { m, n, k, group, .. }, x, scales, exact } = Small::new(width, tokens, operand)?;
    let weight = |row: usize, depth: usize| small_weight(width, row, depth);
    let mut rows = Rows::pack([m, n, k], group, width, unit, scales, &x, &weight, team)?;
    let mut y = vec![f32::NAN; n * m];
    rows.multiply(&mut y, team);
    Ok(Small::judge(&exact, &y))
}

/// The canary as a case for a device.
fn device_canary(like: Shape) -> Result<DeviceCanary, KernelError> {
    let Small { shape, x, scales, exact } = Small::new(like.width, like.m, &|x| x)?;
    let counts = [("m", shape.m), ("n", shape.n), ("k", shape.k), ("group", shape.group)];
    let counts = counts.into_iter().map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
    let weights = if like.width == Width::Int4 { "int4" } else { "int8" };
    let word = ("weights".to_owned(), ParamValue::Word(weights.to_owned()));
    Ok(DeviceCanary {
        params: Params { dtype: Dtype::Bf16, values: counts.chain([word]).collect() },
        operands: packed(shape, &|row, depth| small_weight(like.width, row, depth), &scales, &x),
        #[expect(clippy::cast_possible_truncation, reason = "the answer is in single precision")]
        judge: Box::new(move |answer| {
            Small::judge(&exact, &answer.values.numbers().map(|x| x as f32).collect::<Vec<_>>())
        }),
    })
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, params, verify, verify_program};
    use crate::kernels::{Isa, ParamValue};

    fn case(m: u64, n: u64, k: u64, group: u64, weights: &str) -> Params {
        let [m, n, k, group] = [m, n, k, group].map(ParamValue::Integer);
        let weights = ParamValue::Word(weights.to_owned());
        params(Dtype::Bf16, &[("m", m), ("n", n), ("k", k), ("group", group), ("weights", weights)])
    }

    fn units() -> Vec<DotUnit> {
        DotUnit::available(Dtype::Bf16, Isa::Avx512).into_iter().filter(|unit| *unit == unit.widened()).collect()
    }

    #[test]
    fn every_shape_and_unit_matches_the_reference() {
        for weights in ["int8", "int4"] {
            for (m, n, k, group) in
                [(1, 1, 128, 128), (1, 67, 384, 128), (2, 5, 512, 256), (5, 31, 256, 128), (9, 64, 768, 384)]
            {
                let case = case(m, n, k, group, weights);
                for unit in units() {
                    verify_program(&format!("{case:?} {unit:?}"), &|team| {
                        let context = BuildContext { seed: 3, isa: Isa::detect(), team };
                        Ok(Box::new(Layer::build(Shape::of(&case)?, unit, &context)?))
                    });
                }
            }
        }
    }

    #[test]
    fn the_kernel_takes_the_best_unit_of_each_set() {
        for weights in ["int8", "int4"] {
            verify(&Quantized, &case(1, 40, 256, 128, weights));
        }
    }

    #[test]
    fn work_follows_the_formulas() {
        let work = Quantized.work(&case(3, 10, 256, 128, "int4")).unwrap();
        assert_eq!(work.useful.get(), 2.0 * 3.0 * 10.0 * 256.0);
        assert_eq!(work.bytes.get(), 1280.0 + 4.0 * 20.0 + 2.0 * 768.0 + 4.0 * 30.0);
        let work = Quantized.work(&case(1, 10, 256, 256, "int8")).unwrap();
        assert_eq!(work.bytes.get(), 2560.0 + 4.0 * 10.0 + 512.0 + 40.0);
    }

    #[test]
    fn groups_that_do_not_fit_are_refused() {
        let refused = |k: u64, group: u64| Quantized.work(&case(1, 1, k, group, "int8")).unwrap_err().to_string();
        assert!(refused(384, 256).contains("`k`") && refused(384, 192).contains("`group`"));
    }

    #[test]
    fn a_layer_that_would_be_read_out_of_bounds_is_refused() {
        let pack = |x: usize, scales: usize, group: usize| {
            let (x, scales) = (Buffer::<Bf16>::zeroed(x, "X").unwrap(), Buffer::zeroed(scales, "the scales").unwrap());
            Rows::pack([2, 3, 256], group, Width::Int8, DotUnit::Portable, scales, &x, &|_, _| 1, &Threads(1))
        };
        assert!(pack(512, 6, 128).is_ok());
        for (x, scales, group) in [(511, 6, 128), (512, 5, 128), (512, 6, 0), (512, 6, 64), (512, 2, 384)] {
            let error = pack(x, scales, group).err().unwrap().to_string();
            let expected = format!("{x} activations and {scales} scales for 2×3×256 in groups of {group}");
            assert_eq!(error, format!("invalid structure: {expected}"));
        }
    }

    #[test]
    fn rounded_activations_fail_the_canary() {
        let team = Threads(2);
        for unit in units() {
            for width in [Width::Int8, Width::Int4] {
                let canary = |bits: u32| canary(unit, width, 3, &team, &|x| round_mantissa(x, bits)).unwrap();
                assert_eq!(canary(7).error, Some(0.0), "{unit:?} {width:?}");
                // What quantising activations to eight bits with a scale leaves of 1 + α.
                assert!(!canary(6).passed() && !canary(3).passed());
            }
        }
    }
}
