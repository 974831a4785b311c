//! A ReLU layer of one token that skips what is zero: all hidden units are computed, or those that a predictor names,
//! and only the active ones go through the second matrix.
//!
//! Biases are made so that exactly the wanted share of the units is active, and thresholds so that the predictor is right:
//! the kernel shows what skipping costs and saves, not how good a predictor is.

mod cuda;
mod exact;
mod rows;

use super::csr::nonzeros;
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::Reference;
use super::split::{normal_buffer, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Isa, Kernel,
    KernelError, KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, ParamValue, Params, Program, Role, Target,
    Team, Work,
};
use rows::Skipping;

/// The `relu-skip` kernel.
pub(super) struct ReluSkip;

const DIMENSION: ParamKind = ParamKind::Count { min: 1, max: 1 << 20 };

static INFO: KernelInfo = KernelInfo {
    id: "relu-skip",
    title: "ReLU layer that skips zeros",
    summary: "y = Dᵀ·max(U·x − b, 0) for one token; U and D f×d, a row for each hidden unit; rows of D whose unit is zero are \
              not read; with a rank, a predictor B·(A·x) > t names the units whose row of U is read",
    role: Role::Workload,
    flops: "2·d·f + 2·d·active; with a rank 2·rank·(d + f) + 4·d·active; active = density·f, rounded",
    bytes: "4·(d·f + d·active + f + 2·d); with a rank 4·(rank·(d + f) + 2·d·active + f + active + 2·d)",
    source: "Mirzadeh et al., ReLU Strikes Back, 2023 (arXiv 2310.04564); predictor: Liu et al., Deja Vu, 2023",
    dtypes: &[Dtype::F32],
    params: &[
        ParamSpec { name: "d", meaning: "elements of the token", kind: DIMENSION, default: None },
        ParamSpec { name: "f", meaning: "hidden units", kind: DIMENSION, default: None },
        ParamSpec {
            name: "density",
            meaning: "active units as a fraction of all",
            kind: ParamKind::Fraction { min: 1e-6, max: 1.0 },
            default: Some(super::ParamDefault::Real(0.1)),
        },
        ParamSpec {
            name: "rank",
            meaning: "rank of the predictor; 0 is none",
            kind: ParamKind::Count { min: 0, max: 1 << 16 },
            default: Some(super::ParamDefault::Integer(0)),
        },
    ],
};

/// Sizes of a case.
#[derive(Debug, Clone, Copy)]
struct Shape {
    d: usize,
    f: usize,
    rank: usize,
}

impl Shape {
    fn of(params: &Params) -> Result<Self, ParamError> {
        Ok(Self { d: params.count("d")?, f: params.count("f")?, rank: params.count("rank")? })
    }
}

/// The operands of a case; those of a predictor are empty where there is none.
struct Layer {
    shape: Shape,
    x: Buffer<f32>,
    /// U, `f × d`.
    up: Buffer<f32>,
    /// b.
    bias: Vec<f32>,
    /// D, `f × d`.
    down: Buffer<f32>,
    /// A, `rank × d`.
    inner: Buffer<f32>,
    /// B, `f × rank`.
    outer: Buffer<f32>,
    /// t.
    thresholds: Vec<f32>,
}

impl Layer {
    /// Seeded normal operands, with biases so that exactly `active` units are above zero.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    fn random(shape: Shape, active: usize, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, .. } = *context;
        let Shape { d, f, rank } = shape;
        let normal = |len, what, stream| normal_buffer::<f32>(len, what, SplitMix64::new(seed, stream), team);
        let mut layer = Self {
            shape,
            x: normal(d, "x", 1)?,
            up: normal(f * d, "U", 2)?,
            bias: vec![0.0; f],
            down: normal(f * d, "D", 3)?,
            inner: normal(rank * d, "A", 4)?,
            outer: normal(f * rank, "B", 5)?,
            thresholds: vec![0.0; if rank == 0 { 0 } else { f }],
        };
        exact::adjust(&mut layer, active, SplitMix64::new(seed, 6), team);
        layer.checked()
    }

    /// Takes operands.
    ///
    /// # Errors
    /// [`KernelError::Structure`] when one has another size than the shape says.
    fn checked(self) -> Result<Self, KernelError> {
        let Shape { d, f, rank } = self.shape;
        let layer = self.x.len() == d && self.up.len() == f * d && self.bias.len() == f && self.down.len() == f * d;
        let thresholds = if rank == 0 { 0 } else { f };
        let predictor = self.inner.len() == rank * d && self.outer.len() == f * rank;
        if layer && predictor && self.thresholds.len() == thresholds {
            Ok(self)
        } else {
            Err(KernelError::Structure(format!("a layer of another size than {:?}", self.shape)))
        }
    }
}

/// Active units of a case.
fn active(params: &Params) -> Result<u64, ParamError> {
    INFO.check(params)?;
    Ok(nonzeros(1, params.integer("f")?, params.real("density")?)?.max(1))
}

impl Kernel for ReluSkip {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        let active = active(params)?;
        let [d, f, rank] = [params.integer("d")?, params.integer("f")?, params.integer("rank")?];
        let dense = product("4·d·f", &[4, d, f])?;
        let predictor = product("the predictor", &[rank, d + f])?;
        // With a predictor only the active rows of U are read; its thresholds come on top of their biases.
        let (read, extra) = if rank == 0 { (f, 0) } else { (active, active) };
        let rows = product("rows of U and D", &[d, read + active])?;
        let useful = 2 * sum("elements", &[rows, predictor])?;
        let bytes = product("bytes", &[4, sum("elements", &[rows, predictor, f + extra, 2 * d])?])?;
        let all = product("all weights", &[4, sum("elements", &[dense, predictor, 4 * f, 4 * d])?])?;
        let reference = Reference::bytes(1, d, dense).unwrap_or(u64::MAX);
        Work::new(useful, dense, bytes, sum("all buffers", &[all, reference])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        let shape = Shape::of(params)?;
        let active = active(params)?;
        let active = usize::try_from(active).map_err(|_| ParamError::TooLarge(format!("{active} units")))?;
        Ok(Box::new(SkipProgram::build(shape, active, context)?))
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let active = active(params)?;
        let active = usize::try_from(active).map_err(|_| ParamError::TooLarge(format!("{active} units")))?;
        Ok(arrays(&Layer::random(Shape::of(params)?, active, context)?))
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => cuda::program(Shape::of(params)?, target),
            Api::Wgsl => Err(NoProgram::Unwritten),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        let (layer, exact) = exact::canary(params.count("rank")?.min(1), [&|x| x; 3])?;
        let Shape { d, f, rank } = layer.shape;
        let mut values = params.values.clone();
        values.extend(
            [("d", d), ("f", f), ("rank", rank)].map(|(name, n)| (name.to_owned(), ParamValue::Integer(n as u64))),
        );
        Ok(Some(DeviceCanary {
            params: Params { dtype: params.dtype, values },
            operands: arrays(&layer),
            #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision")]
            judge: Box::new(move |answer| {
                let found: Vec<f32> = answer.values.numbers().map(|x| x as f32).collect();
                super::canary::judge(CANARY, &found, &exact)
            }),
        }))
    }
}

const CANARY: &str = "pairs that cancel to the last bits";

/// The operands as arrays; those of the predictor where there is one.
fn arrays(layer: &Layer) -> Vec<Array> {
    let Shape { d, f, rank } = layer.shape;
    let mut arrays = vec![
        Array::of("x", &[d], &layer.x),
        Array::of("U", &[f, d], &layer.up),
        Array::of("b", &[f], &layer.bias),
        Array::of("D", &[f, d], &layer.down),
    ];
    if rank > 0 {
        arrays.push(Array::of("A", &[rank, d], &layer.inner));
        arrays.push(Array::of("B", &[f, rank], &layer.outer));
        arrays.push(Array::of("thresholds", &[f], &layer.thresholds));
    }
    arrays
}

/// A layer ready to run.
struct SkipProgram {
    layer: Layer,
    output: Buffer<f32>,
    skipping: Skipping,
    reference: Reference,
}

impl SkipProgram {
    fn build(shape: Shape, active: usize, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let Shape { d, f, .. } = shape;
        let layer = Layer::random(shape, active, context)?;
        let reference = Reference::compute((1, d), 2 * (d * f) as u64, seed, team, &|_, output, scale| {
            exact::row(&layer, output, scale);
        })?;
        let output = output_buffer(d, "the output", team)?;
        Ok(Self { skipping: Skipping::new(shape, isa, team.threads())?, layer, output, reference })
    }
}

impl Program for SkipProgram {
    fn path(&self) -> String {
        format!("{}/{}", self.skipping.isa(), if self.layer.shape.rank == 0 { "rows" } else { "predicted-rows" })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.layer.up.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.output.fill(f32::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.skipping.run(&self.layer, &mut self.output, team);
    }

    fn check(&mut self) -> Correctness {
        self.reference.compare(&self.output)
    }

    #[expect(clippy::cast_possible_truncation, reason = "answers are in single precision")]
    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.output, |x| x as f32)
    }

    fn output(&self) -> Option<Array> {
        Some(Array::of("y", &[self.layer.shape.d], &self.output))
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.output, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        let (rank, isa) = (self.layer.shape.rank, self.skipping.isa());
        Some(canary(rank, isa, team, [&|x| x; 3]).unwrap_or_else(Canary::failed))
    }
}

/// What happens to the elements of x, U and D.
type Operands<'a> = [&'a dyn Fn(f32) -> f32; 3];

/// A small layer through the same code.
fn canary(rank: usize, isa: Isa, team: &dyn Team, operands: Operands<'_>) -> Result<Canary, KernelError> {
    let (layer, exact) = exact::canary(rank.min(1), operands)?;
    let mut output = vec![f32::NAN; layer.shape.d];
    Skipping::new(layer.shape, isa, team.threads())?.run(&layer, &mut output, team);
    Ok(super::canary::judge(CANARY, &output, &exact))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::ParamValue;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, params, verify};

    fn case(d: u64, f: u64, density: f64, rank: u64) -> Params {
        let sizes = [("d", d), ("f", f), ("rank", rank)].map(|(name, n)| (name, ParamValue::Integer(n)));
        params(Dtype::F32, &[&sizes[..], &[("density", ParamValue::Real(density))]].concat())
    }

    #[test]
    fn every_shape_matches_the_reference() {
        // One unit, fewer units than threads, ragged registers and blocks, one active unit, and all.
        for (d, f) in [(1, 1), (5, 2), (16, 64), (37, 131), (130, 300)] {
            for density in [1e-6, 0.3, 1.0] {
                for rank in [0, 1, 19] {
                    verify(&ReluSkip, &case(d, f, density, rank));
                }
            }
        }
    }

    #[test]
    fn work_follows_the_formulas() {
        let work = ReluSkip.work(&case(100, 1000, 0.1, 0)).unwrap();
        assert_eq!(work.useful.get(), 2.0 * 100.0 * 1000.0 + 2.0 * 100.0 * 100.0);
        assert_eq!(work.dense_equivalent.get(), 4.0 * 100.0 * 1000.0);
        assert_eq!(work.bytes.get(), 4.0 * (100.0 * 1000.0 + 100.0 * 100.0 + 1000.0 + 200.0));
        let work = ReluSkip.work(&case(100, 1000, 0.1, 16)).unwrap();
        assert_eq!(work.useful.get(), 2.0 * 16.0 * 1100.0 + 4.0 * 100.0 * 100.0);
        assert_eq!(work.bytes.get(), 4.0 * (16.0 * 1100.0 + 2.0 * 100.0 * 100.0 + 1100.0 + 200.0));
    }

    #[test]
    fn exactly_the_wanted_units_are_active_with_and_without_a_predictor() {
        let team = Threads(2);
        let context = BuildContext { seed: 5, isa: Isa::detect(), team: &team };
        for rank in [0, 8] {
            let program = SkipProgram::build(Shape { d: 40, f: 300, rank }, 33, &context).unwrap();
            let (units, predicted) = exact::units(&program.layer);
            assert_eq!(units.iter().filter(|h| **h > 0.0).count(), 33);
            assert!(units.iter().all(|h| h.abs() > 0.2), "a unit so near to zero that rounding decides");
            if rank > 0 {
                assert!(units.iter().zip(&predicted).all(|(h, score)| (*h > 0.0) == (*score > 0.0)));
            }
        }
    }

    #[test]
    fn rows_of_skipped_units_are_not_read() {
        let team = Threads(1);
        let context = BuildContext { seed: 5, isa: Isa::detect(), team: &team };
        for rank in [0, 8] {
            let mut program = SkipProgram::build(Shape { d: 40, f: 300, rank }, 33, &context).unwrap();
            let (units, _) = exact::units(&program.layer);
            for (unit, h) in units.iter().enumerate().filter(|(_, h)| **h <= 0.0) {
                program.layer.down[unit * 40..(unit + 1) * 40].fill(f32::NAN);
                if rank > 0 {
                    // Read, it would be active.
                    let row = &mut program.layer.up[unit * 40..(unit + 1) * 40];
                    row.iter_mut().zip(program.layer.x.iter()).for_each(|(up, x)| *up = 1e6 * x);
                }
                assert!(*h < 0.0);
            }
            program.run(&team);
            assert!(program.check().passed(), "rank {rank}: {:?}", program.check());
        }
    }

    #[test]
    fn a_layer_that_would_be_read_out_of_bounds_is_refused() {
        let layer = |up: usize, thresholds: usize| Layer {
            shape: Shape { d: 4, f: 3, rank: 2 },
            x: Buffer::zeroed(4, "x").unwrap(),
            up: Buffer::zeroed(up, "U").unwrap(),
            bias: vec![0.0; 3],
            down: Buffer::zeroed(12, "D").unwrap(),
            inner: Buffer::zeroed(8, "A").unwrap(),
            outer: Buffer::zeroed(6, "B").unwrap(),
            thresholds: vec![0.0; thresholds],
        };
        assert!(layer(12, 3).checked().is_ok());
        for wrong in [layer(11, 3), layer(12, 0)] {
            let error = wrong.checked().err().unwrap().to_string();
            assert!(error.starts_with("invalid structure: a layer of another size than Shape"), "{error}");
        }
    }

    #[test]
    fn rounding_any_operand_fails_the_canary() {
        let keep = |x: f32| x;
        for isa in Isa::available() {
            for rank in [0, 64] {
                assert_eq!(canary(rank, isa, &Threads(2), [&keep; 3]).unwrap().error, Some(0.0), "{isa}");
                for bits in [7, 10] {
                    let round = |x: f32| round_mantissa(x, bits);
                    for which in 0..3 {
                        let mut operands: Operands<'_> = [&keep; 3];
                        operands[which] = &round;
                        let found = canary(rank, isa, &Threads(1), operands).unwrap();
                        assert!(!found.passed(), "{isa}, {bits} bits, operand {which}: {found:?}");
                    }
                }
            }
        }
    }
}
