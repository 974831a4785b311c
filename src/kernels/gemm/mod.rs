//! Dense matrix product C = A·B, row-major: f32 and f64 by a loop nest ([`nest`]), bf16 and i8 by nests over panels of
//! 32-bit words ([`short`]). In every type the operands arrive row-major, and rearranging them is part of the product:
//! two fresh matrices are multiplied, so types can be compared.
//!
//! C is cut into one block per thread; each thread multiplies its own block, so no thread waits
//! for another inside an iteration. The cut follows the shape that packs the fewest elements
//! twice.

#[cfg(target_arch = "x86_64")]
mod amx;
mod cooperative;
mod cuda;
mod eight;
mod hopper;
#[cfg(target_arch = "aarch64")]
mod neon;
mod nest;
mod panels;
mod short;
mod types;
mod vector;
mod wgsl;
mod words;

use super::canary::{Cancelling, LENGTH};
use super::element::Element;
use super::format::{half_bits, half_value};
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::{CUT_OFF, Reference, add_product, limit};
use super::short::Bf16;
use super::split::{even, normal_buffer, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Isa, Kernel,
    KernelError, KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Work,
};
pub(super) use nest::second_level_bytes;
use nest::{Nest, NestPath};
pub(super) use panels::Panels;
pub(super) use short::Demanding;
use std::ops::Range;

/// The `gemm` kernel.
pub(super) struct Gemm;

const DIMENSION: ParamKind = ParamKind::Count { min: 1, max: 1 << 24 };

static INFO: KernelInfo = KernelInfo {
    id: "gemm",
    title: "Dense matrix product",
    summary: "C = A·B with A m×k, B k×n, all dense and row-major",
    role: Role::Workload,
    flops: "2·m·n·k",
    bytes: "e·(m·k + k·n + m·n); in bf16, f16, f8 and i8, whose C has 32 bits, e·(m·k + k·n) + 4·m·n",
    source: "BLAS level 3 xGEMM (Dongarra et al., ACM TOMS 16, 1990); program: own loop nest after Goto and van de Geijn, ACM TOMS 34, 2008",
    dtypes: &[Dtype::F32, Dtype::F64, Dtype::Bf16, Dtype::F16, Dtype::I8, Dtype::Tf32, Dtype::F8],
    params: &[
        ParamSpec { name: "m", meaning: "rows of A and C", kind: DIMENSION, default: None },
        ParamSpec { name: "n", meaning: "columns of B and C", kind: DIMENSION, default: None },
        ParamSpec { name: "k", meaning: "columns of A, rows of B", kind: DIMENSION, default: None },
    ],
};

impl Kernel for Gemm {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        if matches!(params.dtype, Dtype::Bf16 | Dtype::F16 | Dtype::I8 | Dtype::F8) {
            return short::work(params);
        }
        let [m, n, k] = [params.integer("m")?, params.integer("n")?, params.integer("k")?];
        let flops = product("2·m·n·k", &[2, m, n, k])?;
        let elements = sum("the matrices", &[product("A", &[m, k])?, product("B", &[k, n])?, product("C", &[m, n])?])?;
        let bytes = product("the matrices", &[params.dtype.size(), elements])?;
        let reference = Reference::bytes(m, n, row_cost(n, k)).unwrap_or(u64::MAX);
        Work::new(flops, flops, bytes, sum("the matrices and the reference", &[bytes, reference])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        let shape = [params.count("m")?, params.count("n")?, params.count("k")?];
        Ok(match params.dtype {
            Dtype::F32 => Box::new(Gemmed::<f32>::build(shape, context)?),
            Dtype::F64 => Box::new(Gemmed::<f64>::build(shape, context)?),
            dtype @ (Dtype::F16 | Dtype::F8 | Dtype::Tf32) => {
                let single = Gemmed::<f32>::of(shape, in_single(dtype, shape, context)?, context)?;
                Box::new(Gemmed { dtype, ..single })
            }
            Dtype::Bf16 => Box::new(short::Shortened::<Bf16>::build(shape, context)?),
            Dtype::I8 => Box::new(short::Shortened::<i8>::build(shape, context)?),
        })
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let shape = [params.count("m")?, params.count("n")?, params.count("k")?];
        match params.dtype {
            Dtype::F32 => operands(shape, inputs::<f32>(shape, context)?),
            Dtype::F64 => operands(shape, inputs::<f64>(shape, context)?),
            dtype @ (Dtype::F16 | Dtype::F8 | Dtype::Tf32) => operands(shape, in_single(dtype, shape, context)?),
            Dtype::Bf16 => short::operands::<Bf16>(shape, context),
            Dtype::I8 => short::operands::<i8>(shape, context),
        }
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => cuda::program(params, target),
            Api::Wgsl => wgsl::program(params, target),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        wgsl::canary(params)
    }
}

/// A and B.
fn inputs<T: Element>(
    [m, n, k]: [usize; 3],
    context: &BuildContext<'_>,
) -> Result<(Buffer<T>, Buffer<T>), KernelError> {
    let a = normal_buffer(m * k, "A", SplitMix64::new(context.seed, 1), context.team)?;
    let b = normal_buffer(k * n, "B", SplitMix64::new(context.seed, 2), context.team)?;
    Ok((a, b))
}

/// A and B of a type that processors compute in single precision: binary16 and e4m3 widened, TF32 as it is stored.
fn in_single(
    dtype: Dtype,
    shape: [usize; 3],
    context: &BuildContext<'_>,
) -> Result<(Buffer<f32>, Buffer<f32>), KernelError> {
    let (mut a, mut b) = inputs::<f32>(shape, context)?;
    let round: fn(f64) -> f32 = match dtype {
        Dtype::F16 => |x| half_value(half_bits(x)),
        Dtype::F8 => super::eight::operand,
        _ => return Ok((a, b)),
    };
    for x in a.iter_mut().chain(b.iter_mut()) {
        *x = round(f64::from(*x));
    }
    Ok((a, b))
}

/// A and B as arrays.
fn operands<T: Element>([m, n, k]: [usize; 3], (a, b): (Buffer<T>, Buffer<T>)) -> Result<Vec<Array>, KernelError> {
    Ok(vec![Array::of("A", &[m, k], &a), Array::of("B", &[k, n], &b)])
}

/// Products behind one row of the reference.
const fn row_cost(n: u64, k: u64) -> u64 {
    n.saturating_mul(k)
}

/// A product ready to run.
struct Gemmed<T: Element> {
    shape: [usize; 3],
    nest: Nest<T>,
    a: Buffer<T>,
    b: Buffer<T>,
    c: Buffer<T>,
    reference: Reference,
    /// The type that the case declares: operands of fewer bits were widened before.
    dtype: Dtype,
    /// Whether C is the answer of a card.
    of_card: bool,
}

impl<T: NestPath> Gemmed<T> {
    fn build(shape: [usize; 3], context: &BuildContext<'_>) -> Result<Self, KernelError> {
        Self::of(shape, inputs::<T>(shape, context)?, context)
    }

    /// With these operands.
    fn of(
        [m, n, k]: [usize; 3],
        (a, b): (Buffer<T>, Buffer<T>),
        context: &BuildContext<'_>,
    ) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let c = output_buffer(m * n, "C", team)?;
        let reference = Reference::compute((m, n), row_cost(n as u64, k as u64), seed, team, &|row, exact, scale| {
            for (depth, left) in a[row * k..(row + 1) * k].iter().enumerate() {
                add_product(*left, &b[depth * n..(depth + 1) * n], exact, scale);
            }
        })?;
        let nest = Nest::new([m, n, k], blocks(m, n, team.threads()), isa)?;
        Ok(Self { shape: [m, n, k], nest, a, b, c, reference, dtype: T::DTYPE, of_card: false })
    }
}

impl<T: NestPath> Program for Gemmed<T> {
    fn path(&self) -> String {
        let how = match self.dtype {
            Dtype::F16 | Dtype::F8 => "-widened",
            Dtype::Tf32 => "-in-f32",
            _ => "",
        };
        format!("{}/nest{how}", self.nest.isa())
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.b.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.c.fill(T::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.of_card = false;
        self.nest.multiply(&self.a, &self.b, &mut self.c, team);
    }

    fn check(&mut self) -> Correctness {
        let limit = match self.dtype {
            // Products of two halves are exact, so only the sums are rounded, or cut off.
            Dtype::F16 if self.of_card => CUT_OFF,
            Dtype::F16 => limit(Dtype::F32),
            Dtype::F8 => super::eight::LIMIT,
            dtype => limit(dtype),
        };
        self.reference.compare_as(&self.c, T::to_f64, limit)
    }

    fn output(&self) -> Option<Array> {
        let [m, n, _] = self.shape;
        Some(Array::of("C", &[m, n], &self.c))
    }

    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        self.of_card = true;
        answer.write_to(&mut self.c, T::from_f64)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.c, index);
        // The limits of these types are wider than what that changes.
        if matches!(self.dtype, Dtype::Tf32 | Dtype::F8) {
            let index = index % self.c.len();
            self.c[index] = T::from_f64(self.c[index].to_f64() * 1e3 + 1e3);
        }
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        Some(canary::<T>(self.nest.isa(), team, &|x| x).unwrap_or_else(Canary::failed))
    }
}

/// A small product through the same code.
fn canary<T: NestPath>(isa: Isa, team: &dyn Team, operand: &dyn Fn(T) -> T) -> Result<Canary, KernelError> {
    const SIDE: usize = 96;
    let operands = Cancelling::new(SIDE, SIDE, operand);
    let mut output = vec![T::NAN; SIDE * SIDE];
    let mut nest = Nest::new([SIDE, SIDE, LENGTH], blocks(SIDE, SIDE, team.threads()), isa)?;
    nest.multiply(&operands.left, &operands.right, &mut output, team);
    Ok(operands.judge(&output))
}

/// Cuts C into a grid of blocks. A block of r rows and c columns makes its thread pack r·k elements
/// of A and k·c of B, so the grid with the smallest r + c packs the least.
fn blocks(m: usize, n: usize, threads: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let grids = (1..=threads).filter(|down| threads.is_multiple_of(*down)).map(|down| (down, threads / down));
    let (down, across) = grids.min_by_key(|(down, across)| m.div_ceil(*down) + n.div_ceil(*across)).unwrap_or((1, 1));
    // Multiples of the widest register tile, so that only the last block has ragged edges.
    let (rows, columns) = (even(m, down, 8), even(n, across, 64));
    rows.iter().flat_map(|r| columns.iter().map(move |c| (r.clone(), c.clone()))).collect()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, counts, verify};

    #[test]
    fn every_shape_matches_the_reference() {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Tf32, Dtype::F8] {
            // One element, a row, a column, ragged tiles, several blocks of B with ragged ends.
            for [m, n, k] in [[1, 1, 1], [1, 37, 5], [53, 1, 19], [31, 67, 129], [96, 200, 64], [11, 1500, 210]] {
                verify(&Gemm, &counts(dtype, &[("m", m), ("n", n), ("k", k)]));
            }
        }
    }

    #[test]
    fn the_nest_agrees_with_the_definition_element_by_element() {
        // Several blocks of B in both directions, and a ragged last strip, panel and depth.
        let (team, [m, n, k]) = (Threads(2), [70, 530, 1100]);
        for isa in Isa::available() {
            let context = BuildContext { seed: 3, isa, team: &team };
            let (a, b) = inputs::<f64>([m, n, k], &context).unwrap();
            let mut output = vec![f64::NAN; m * n];
            Nest::new([m, n, k], blocks(m, n, 2), isa).unwrap().multiply(&a, &b, &mut output, &team);
            for (row, output) in output.chunks(n).enumerate() {
                let mut naive = vec![0.0; n];
                for (left, right) in a[row * k..(row + 1) * k].iter().zip(b.chunks(n)) {
                    naive.iter_mut().zip(right).for_each(|(sum, right)| *sum += left * right);
                }
                let far = output.iter().zip(&naive).position(|(x, y)| (x - y).abs() > 1e-11 || x.is_nan());
                assert_eq!(far, None, "{isa}, row {row}");
            }
        }
    }

    #[test]
    fn work_follows_the_formulas() {
        let work = Gemm.work(&counts(Dtype::F32, &[("m", 10), ("n", 20), ("k", 30)])).unwrap();
        assert_eq!(work.useful.get(), 12_000.0);
        assert_eq!(work.dense_equivalent.get(), 12_000.0);
        assert_eq!(work.bytes.get(), 4.0 * (300.0 + 600.0 + 200.0));
        assert_eq!(work.footprint.get(), 4400.0 + 200.0 * 16.0);
    }

    #[test]
    fn a_product_of_rounded_inputs_fails_the_canary() {
        let team = Threads(2);
        for isa in Isa::available() {
            assert_eq!(canary::<f32>(isa, &team, &|x| x).unwrap().error, Some(0.0));
            assert!(!canary::<f32>(isa, &team, &|x| round_mantissa(x, 10)).unwrap().passed());
            assert!(!canary::<f32>(isa, &team, &|x| round_mantissa(x, 7)).unwrap().passed());
            assert!(!canary::<f64>(isa, &team, &|x| round_mantissa(x, 23)).unwrap().passed());
        }
    }

    #[test]
    fn rounded_inputs_fail_the_ordinary_check_too() {
        let team = Threads(1);
        let context = BuildContext { seed: 1, isa: crate::kernels::Isa::detect(), team: &team };
        let mut program = Gemmed::<f32>::build([64, 64, 512], &context).unwrap();
        for x in program.a.iter_mut().chain(program.b.iter_mut()) {
            *x = round_mantissa(*x, 10);
        }
        program.run(&team);
        assert!(!program.check().passed());
    }

    #[test]
    fn blocks_cover_the_output_and_prefer_squares() {
        for (m, n, threads) in [(1, 1, 4), (100, 1000, 2), (1000, 100, 2), (1024, 1024, 4), (7, 5000, 6)] {
            let mut seen = vec![0_u8; m * n];
            for (rows, columns) in blocks(m, n, threads) {
                rows.flat_map(|r| columns.clone().map(move |c| r * n + c)).for_each(|i| seen[i] += 1);
            }
            assert!(seen.iter().all(|count| *count == 1), "{m}×{n} on {threads}");
        }
        assert_eq!(blocks(1024, 1024, 4)[0], (0..512, 0..512));
        assert_eq!(blocks(100, 1000, 2)[0].0, 0..100);
    }
}
