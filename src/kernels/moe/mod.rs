//! Mixture of experts: each token goes through a few SwiGLU experts, and their outputs are added by weight.
//!
//! Work follows the tokens of each expert, so the routing is drawn by the seed with equal loads, as balancing losses aim
//! for: it is an input, and the router's own product, 2·tokens·experts·d operations, is no part of the kernel. Weights are
//! packed before the window, for they stay while tokens come and go.

mod cuda;
mod exact;
mod grouped;
mod routing;

use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::Reference;
use super::short::rounded_limit;
use super::split::{fill, normal_buffer, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Isa, Kernel,
    KernelError, KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, ParamValue, Params, Program, Role, Target,
    Team, Values, Work,
};
use grouped::Grouped;
use routing::Routing;

/// The `moe` kernel.
pub(super) struct Moe;

const DIMENSION: ParamKind = ParamKind::Count { min: 1, max: 1 << 16 };

static INFO: KernelInfo = KernelInfo {
    id: "moe",
    title: "Mixture of SwiGLU experts",
    summary: "y = Σ gate·(silu(x·G)∘(x·U))·D over the `top` experts of each token; G and U d×f, D f×d; experts get equal \
              numbers of tokens, chosen by the seed; the router's own product is no part of it",
    role: Role::Workload,
    flops: "6·tokens·top·d·f; silu and gates are not counted",
    bytes: "3·e·touched·d·f + 2·e·tokens·d + 8·tokens·top, touched = min(experts, tokens·top)",
    source: "Shazeer et al., Outrageously Large Neural Networks, 2017; SwiGLU: Shazeer, GLU Variants, 2020; Jiang et al., \
             Mixtral of Experts, 2024",
    dtypes: &[Dtype::F32, Dtype::Bf16],
    params: &[
        ParamSpec {
            name: "tokens",
            meaning: "tokens in a batch",
            kind: ParamKind::Count { min: 1, max: 1 << 24 },
            default: None,
        },
        ParamSpec { name: "d", meaning: "elements of a token", kind: DIMENSION, default: None },
        ParamSpec { name: "f", meaning: "hidden units of an expert", kind: DIMENSION, default: None },
        ParamSpec {
            name: "experts",
            meaning: "experts there are",
            kind: ParamKind::Count { min: 1, max: 1 << 12 },
            default: Some(super::ParamDefault::Integer(8)),
        },
        ParamSpec {
            name: "top",
            meaning: "experts of each token",
            kind: ParamKind::Count { min: 1, max: 64 },
            default: Some(super::ParamDefault::Integer(2)),
        },
    ],
};

/// Sizes of a case.
#[derive(Debug, Clone, Copy)]
struct Shape {
    tokens: usize,
    d: usize,
    f: usize,
    experts: usize,
    top: usize,
}

/// Roundings to bfloat16 on the way of a token: hidden units, and the output.
const ROUNDINGS: u32 = 2;

impl Shape {
    fn of(params: &Params) -> Result<Self, ParamError> {
        let [tokens, d, f] = [params.count("tokens")?, params.count("d")?, params.count("f")?];
        Ok(Self { tokens, d, f, experts: params.count("experts")?, top: params.count("top")? })
    }
}

/// The weights of all experts, expert by expert.
struct Weights {
    /// G and U side by side, `d × 2f`.
    up: Buffer<f32>,
    /// D, `f × d`.
    down: Buffer<f32>,
}

impl Kernel for Moe {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        let [tokens, d, f] = [params.integer("tokens")?, params.integer("d")?, params.integer("f")?];
        let [experts, top] = [params.integer("experts")?, params.integer("top")?];
        if top > experts {
            let expected = format!("at most the {experts} experts");
            return Err(ParamError::Invalid { name: "top", found: top.to_string(), expected });
        }
        let useful = product("6·tokens·top·d·f", &[6, tokens, top, d, f])?;
        let dense = product("6·tokens·experts·d·f", &[6, tokens, experts, d, f])?;
        let touched = experts.min(product("slots", &[tokens, top])?);
        let e = params.dtype.size();
        let weights = product("the weights", &[3, e, touched, d, f])?;
        let activations =
            sum("tokens", &[product("rows", &[2, e, tokens, d])?, product("routing", &[8, tokens, top])?])?;
        let bytes = sum("weights and tokens", &[weights, activations])?;
        // Weights exist twice while they are packed.
        // The processor computes in single precision whatever the type.
        let raw = product("all weights", &[12, experts, d, f])?;
        let all =
            sum("all weights", &[raw, product("packed weights", &[4, Grouped::packed_elements(experts, d, f)?])?])?;
        let hidden = product("hidden units", &[4, tokens, top, 2 * d + 3 * f])?;
        let reference = Reference::bytes(tokens, d, row_cost(top, d, f)).unwrap_or(u64::MAX);
        Work::new(useful, dense, bytes, sum("all buffers", &[all, activations, hidden, reference])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        Ok(Box::new(MoeProgram::build(Shape::of(params)?, params.dtype == Dtype::Bf16, context)?))
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let shape = Shape::of(params)?;
        let Inputs { weights, x, routing } = inputs(shape, params.dtype == Dtype::Bf16, context)?;
        Ok(arrays(shape, &weights, &x, &routing))
    }

    fn device_operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let shape = Shape::of(params)?;
        let Inputs { weights, x, routing } = inputs(shape, params.dtype == Dtype::Bf16, context)?;
        Ok(cuda::operands(shape, &weights, &x, &routing))
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => cuda::program(Shape::of(params)?, params.dtype, target),
            Api::Wgsl => Err(NoProgram::Unwritten),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        let short = params.dtype == Dtype::Bf16;
        let exact::Small { shape, weights, routing, x, exact } = small(short, [&|x| x; 3])?;
        let Shape { tokens, d, f, experts, top } = shape;
        let sizes = [("tokens", tokens), ("d", d), ("f", f), ("experts", experts), ("top", top)];
        let sizes = sizes.map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64)));
        Ok(Some(DeviceCanary {
            params: Params { dtype: params.dtype, values: sizes.into() },
            operands: cuda::operands(shape, &weights, &x, &routing),
            judge: Box::new(move |answer| match &answer.values {
                Values::F32(found) => judge(short, found, &exact),
                _ => judge(short, &[], &exact),
            }),
        }))
    }
}

/// The operands as arrays.
fn arrays(shape: Shape, weights: &Weights, x: &[f32], routing: &Routing) -> Vec<Array> {
    let Shape { tokens, d, f, experts, .. } = shape;
    let (offsets, chosen, gates) = routing.by_expert();
    vec![
        Array::of("X", &[tokens, d], x),
        Array::of("up", &[experts, d, 2 * f], &weights.up),
        Array::of("down", &[experts, f, d], &weights.down),
        Array::of_indices("expert_ptr", offsets),
        Array::of_indices("tokens", chosen),
        Array::of("gates", &[gates.len()], &gates),
    ]
}

/// Products behind one row of the reference.
const fn row_cost(top: u64, d: u64, f: u64) -> u64 {
    top.saturating_mul(d).saturating_mul(f).saturating_mul(3)
}

/// What a case is computed from.
struct Inputs {
    weights: Weights,
    x: Buffer<f32>,
    routing: Routing,
}

/// Inputs of a case; `short` ones are numbers of bfloat16.
fn inputs(shape: Shape, short: bool, context: &BuildContext<'_>) -> Result<Inputs, KernelError> {
    let BuildContext { seed, team, .. } = *context;
    let Shape { tokens, d, f, experts, top } = shape;
    // Divided by the root of the length of the sums, so that hidden units stay of the order of 1.
    let scaled = |len: usize, what, stream: u64, length: usize| {
        let (mut buffer, generator) = (Buffer::zeroed(len, what)?, SplitMix64::new(seed, stream));
        #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
        let factor = (1.0 / (length as f64).sqrt()) as f32;
        fill(&mut buffer, team, &|first, part: &mut [f32]| {
            generator.fill_normal(first, part);
            part.iter_mut().for_each(|x| *x *= factor);
        });
        Ok::<_, KernelError>(buffer)
    };
    let mut weights =
        Weights { up: scaled(experts * d * 2 * f, "G and U", 1, d)?, down: scaled(experts * f * d, "D", 2, f)? };
    let mut x = normal_buffer::<f32>(tokens * d, "tokens", SplitMix64::new(seed, 3), team)?;
    if short {
        for buffer in [&mut weights.up, &mut weights.down, &mut x] {
            super::short::round(buffer, team);
        }
    }
    Ok(Inputs { weights, x, routing: Routing::random(tokens, experts, top, SplitMix64::new(seed, 4))? })
}

/// Experts ready to run.
struct MoeProgram {
    shape: Shape,
    routing: Routing,
    x: Buffer<f32>,
    output: Buffer<f32>,
    grouped: Grouped,
    reference: Reference,
    /// Whether operands and output are in bfloat16; operands were widened before.
    short: bool,
}

impl MoeProgram {
    fn build(shape: Shape, short: bool, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let Shape { tokens, d, f, top, .. } = shape;
        let Inputs { weights, x, routing } = inputs(shape, short, context)?;
        let cost = row_cost(top as u64, d as u64, f as u64);
        let reference = Reference::compute((tokens, d), cost, seed, team, &|row, output, scale| {
            exact::row(shape, &weights, &routing, &x, row, output, scale);
        })?;
        let output = output_buffer(tokens * d, "the output", team)?;
        let grouped = Grouped::new(shape, &weights, &routing, isa, team)?;
        Ok(Self { shape, routing, x, output, grouped, reference, short })
    }
}

impl Program for MoeProgram {
    fn path(&self) -> String {
        format!("{}/nest{}", self.grouped.isa(), if self.short { "-widened" } else { "" })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("largest-expert", self.routing.largest().to_string()), ("huge-pages", self.grouped.pages().to_owned())]
    }

    fn poison(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.grouped.run(&self.routing, &self.x, &mut self.output, team);
        if self.short {
            super::short::round(&mut self.output, team);
        }
    }

    fn check(&mut self) -> Correctness {
        self.reference.compare_as(&self.output, f64::from, limit(self.short))
    }

    #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision")]
    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.output, |x| x as f32)
    }

    fn output(&self) -> Option<Array> {
        Some(Array::of("Y", &[self.shape.tokens, self.shape.d], &self.output))
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        // In bfloat16 the limit is some hundredths of a scale that many terms make large.
        for _ in 0..if self.short { 64 } else { 1 } {
            super::verify::corrupt(&mut self.output, index);
        }
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        Some(canary(self.grouped.isa(), team, self.short, [&|x| x; 3]).unwrap_or_else(Canary::failed))
    }
}

/// What happens to the elements of tokens, G and U, and D.
type Operands<'a> = [&'a dyn Fn(f32) -> f32; 3];

/// Largest error of a right answer.
fn limit(short: bool) -> f64 {
    if short { rounded_limit(ROUNDINGS) } else { super::reference::limit(Dtype::F32) }
}

/// The canary of a type.
fn small(short: bool, operands: Operands<'_>) -> Result<exact::Small, KernelError> {
    if short { exact::short_canary(operands) } else { exact::canary(operands) }
}

fn judge(short: bool, output: &[f32], exact: &[f64]) -> Canary {
    let name = if short { "triples that cancel to the last bits" } else { "pairs that cancel to the last bits" };
    Canary { limit: limit(short), ..super::canary::judge(name, output, exact) }
}

/// Two small experts through the same code.
fn canary(isa: Isa, team: &dyn Team, short: bool, operands: Operands<'_>) -> Result<Canary, KernelError> {
    let exact::Small { shape, weights, routing, x, exact } = small(short, operands)?;
    let mut output = vec![f32::NAN; shape.tokens * shape.d];
    Grouped::new(shape, &weights, &routing, isa, team)?.run(&routing, &x, &mut output, team);
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
    use crate::kernels::gemm::Panels;
    use crate::kernels::verify::{Threads, counts, verify};

    fn case([tokens, d, f, experts, top]: [u64; 5]) -> Params {
        counts(Dtype::F32, &[("tokens", tokens), ("d", d), ("f", f), ("experts", experts), ("top", top)])
    }

    #[test]
    fn every_shape_matches_the_reference() {
        // One token, experts without tokens, fewer experts than threads and more, ragged loads, every expert chosen.
        for sizes in [[1, 5, 7, 4, 2], [3, 16, 33, 8, 1], [37, 24, 40, 1, 1], [53, 33, 19, 5, 2], [20, 64, 48, 3, 3]] {
            verify(&Moe, &case(sizes));
            verify(&Moe, &Params { dtype: Dtype::Bf16, ..case(sizes) });
        }
    }

    #[test]
    fn work_follows_the_formulas() {
        let work = Moe.work(&case([100, 20, 30, 8, 2])).unwrap();
        assert_eq!(work.useful.get(), 6.0 * 200.0 * 600.0);
        assert_eq!(work.dense_equivalent.get(), 6.0 * 800.0 * 600.0);
        assert_eq!(work.bytes.get(), 12.0 * 8.0 * 600.0 + 8.0 * 2000.0 + 8.0 * 200.0);
        let work = Moe.work(&Params { dtype: Dtype::Bf16, ..case([100, 20, 30, 8, 2]) }).unwrap();
        assert_eq!(work.bytes.get(), 6.0 * 8.0 * 600.0 + 4.0 * 2000.0 + 8.0 * 200.0);
        // A single token touches two experts.
        let work = Moe.work(&case([1, 20, 30, 8, 2])).unwrap();
        assert_eq!(work.bytes.get(), 12.0 * 2.0 * 600.0 + 8.0 * 20.0 + 16.0);
    }

    #[test]
    fn the_footprint_covers_packed_weights_of_every_path() {
        for (d, f) in [(1, 1), (24, 47), (50, 33)] {
            let counted = Grouped::packed_elements(3, d, f).unwrap();
            for isa in Isa::available() {
                let [d, f] = [d, f].map(|n| usize::try_from(n).unwrap());
                let panels = |size| Panels::<f32>::new(size, isa).len();
                let packed = 3 * (panels([2 * f, d]) + panels([d, f]));
                assert!(packed as u64 <= counted, "{isa}: {packed} elements, {counted} counted");
            }
        }
    }

    #[test]
    fn more_choices_than_experts_are_refused() {
        let error = Moe.work(&case([1, 1, 1, 2, 3])).unwrap_err();
        assert_eq!(error.to_string(), "parameter `top` is 3, expected at most the 2 experts");
    }

    #[test]
    fn rounding_any_operand_fails_the_canary() {
        let keep = |x: f32| x;
        for isa in Isa::available() {
            assert_eq!(canary(isa, &Threads(2), false, [&keep; 3]).unwrap().error, Some(0.0), "{isa}");
            let short = canary(isa, &Threads(2), true, [&keep; 3]).unwrap();
            assert!(short.passed(), "{isa}: {short:?}");
            for which in 0..3 {
                let mut operands: Operands<'_> = [&keep; 3];
                let round = |x: f32| round_mantissa(x, 3);
                operands[which] = &round;
                let found = canary(isa, &Threads(1), true, operands).unwrap();
                assert!(!found.passed(), "{isa}, operand {which} of four bits: {found:?}");
            }
            for bits in [7, 10] {
                let round = |x: f32| round_mantissa(x, bits);
                for which in 0..3 {
                    let mut operands: Operands<'_> = [&keep; 3];
                    operands[which] = &round;
                    let found = canary(isa, &Threads(1), false, operands).unwrap();
                    assert!(!found.passed(), "{isa}, {bits} bits, operand {which}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn rounded_tokens_fail_the_ordinary_check_too() {
        let team = Threads(1);
        let context = BuildContext { seed: 2, isa: Isa::detect(), team: &team };
        let shape = Shape { tokens: 64, d: 32, f: 48, experts: 4, top: 2 };
        let mut program = MoeProgram::build(shape, false, &context).unwrap();
        program.x.iter_mut().for_each(|x| *x = round_mantissa(*x, 7));
        program.run(&team);
        assert!(!program.check().passed());
    }
}
