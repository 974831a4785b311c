//! Dense matrix product C = A·B, row-major: f32 and f64 by a loop nest of our own ([`nest`]) on x86-64, elsewhere by
//! the `gemm` crate, which the tests compare the nest with; bf16 and i8 by nests over panels of 32-bit words
//! ([`short`]). In every type the operands arrive row-major, and rearranging them is part of the product: two
//! fresh matrices are multiplied, so types can be compared.
//!
//! C is cut into one block per thread; each thread multiplies its own block, so no thread waits
//! for another inside an iteration. The cut follows the shape that packs the fewest elements
//! twice.

#![expect(unsafe_code, reason = "the gemm crate takes raw pointers")]

#[cfg(target_arch = "x86_64")]
mod amx;
mod cuda;
mod nest;
mod short;
mod vector;
mod wgsl;
mod words;

use super::canary::{Cancelling, LENGTH};
use super::element::Element;
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::{Reference, add_product};
use super::short::Bf16;
use super::split::{Parts, even, normal_buffer, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Isa, Kernel,
    KernelError, KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Work,
};
use nest::{Nest, NestPath};
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
    bytes: "e·(m·k + k·n + m·n); in bf16 and i8, whose C has 32 bits, e·(m·k + k·n) + 4·m·n",
    source: "BLAS level 3 xGEMM (Dongarra et al., ACM TOMS 16, 1990); program: own loop nest after Goto and van de Geijn, ACM TOMS 34, 2008",
    dtypes: &[Dtype::F32, Dtype::F64, Dtype::Bf16, Dtype::I8],
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
        if matches!(params.dtype, Dtype::Bf16 | Dtype::I8) {
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
            Dtype::Bf16 => Box::new(short::Shortened::<Bf16>::build(shape, context)?),
            Dtype::I8 => Box::new(short::Shortened::<i8>::build(shape, context)?),
        })
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let shape = [params.count("m")?, params.count("n")?, params.count("k")?];
        match params.dtype {
            Dtype::F32 => operands::<f32>(shape, context),
            Dtype::F64 => operands::<f64>(shape, context),
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
        if params.dtype == Dtype::Bf16 { Ok(Some(cuda::canary())) } else { wgsl::canary(params) }
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

/// A and B as arrays.
fn operands<T: Element>(shape: [usize; 3], context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
    let ([m, n, k], (a, b)) = (shape, inputs::<T>(shape, context)?);
    Ok(vec![Array::of("A", &[m, k], &a), Array::of("B", &[k, n], &b)])
}

/// Products behind one row of the reference.
const fn row_cost(n: u64, k: u64) -> u64 {
    n.saturating_mul(k)
}

/// What computes the product.
enum Method<T: Element> {
    /// Our own loop nest.
    Own(Nest<T>),
    /// The `gemm` crate, with the parts of C of each thread.
    Crate([usize; 3], Vec<(Range<usize>, Range<usize>)>),
}

impl<T: NestPath> Method<T> {
    fn new([m, n, k]: [usize; 3], isa: Isa, threads: usize) -> Result<Self, KernelError> {
        let parts = blocks(m, n, threads);
        if cfg!(target_arch = "x86_64") {
            Ok(Self::Own(Nest::new([m, n, k], parts, isa)?))
        } else {
            Ok(Self::Crate([m, n, k], parts))
        }
    }

    fn path(&self) -> String {
        match self {
            Self::Own(nest) => format!("{}/nest", nest.isa()),
            Self::Crate(..) => format!("gemm-crate/{}", dispatched()),
        }
    }

    fn multiply(&mut self, a: &[T], b: &[T], c: &mut [T], team: &dyn Team) {
        match self {
            Self::Own(nest) => nest.multiply(a, b, c, team),
            Self::Crate(shape, parts) => multiply_by_crate(*shape, parts, (a, b, c), team),
        }
    }
}

/// A product ready to run.
struct Gemmed<T: Element> {
    shape: [usize; 3],
    method: Method<T>,
    isa: Isa,
    a: Buffer<T>,
    b: Buffer<T>,
    c: Buffer<T>,
    reference: Reference,
}

impl<T: NestPath> Gemmed<T> {
    fn build([m, n, k]: [usize; 3], context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let (a, b) = inputs::<T>([m, n, k], context)?;
        let c = output_buffer(m * n, "C", team)?;
        let reference = Reference::compute((m, n), row_cost(n as u64, k as u64), seed, team, &|row, exact, scale| {
            for (depth, left) in a[row * k..(row + 1) * k].iter().enumerate() {
                add_product(*left, &b[depth * n..(depth + 1) * n], exact, scale);
            }
        })?;
        let method = Method::new([m, n, k], isa, team.threads())?;
        Ok(Self { shape: [m, n, k], method, isa, a, b, c, reference })
    }
}

impl<T: NestPath> Program for Gemmed<T> {
    fn path(&self) -> String {
        self.method.path()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.b.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.c.fill(T::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.method.multiply(&self.a, &self.b, &mut self.c, team);
    }

    fn check(&mut self) -> Correctness {
        self.reference.compare(&self.c)
    }

    fn output(&self) -> Option<Array> {
        let [m, n, _] = self.shape;
        Some(Array::of("C", &[m, n], &self.c))
    }

    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.c, T::from_f64)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.c, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        Some(canary::<T>(self.isa, team, &|x| x).unwrap_or_else(Canary::failed))
    }
}

/// A small product through the same code.
fn canary<T: NestPath>(isa: Isa, team: &dyn Team, operand: &dyn Fn(T) -> T) -> Result<Canary, KernelError> {
    const SIDE: usize = 96;
    let operands = Cancelling::new(SIDE, SIDE, operand);
    let mut output = vec![T::NAN; SIDE * SIDE];
    let mut method = Method::new([SIDE, SIDE, LENGTH], isa, team.threads())?;
    method.multiply(&operands.left, &operands.right, &mut output, team);
    Ok(operands.judge(&output))
}

/// C = A·B by the `gemm` crate, one block of C on each thread.
fn multiply_by_crate<T: Element>(
    [m, n, k]: [usize; 3],
    parts: &[(Range<usize>, Range<usize>)],
    (a, b, c): (&[T], &[T], &mut [T]),
    team: &dyn Team,
) {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "operands do not fit the shape");
    let c = Parts::of(c);
    team.run(&|thread| {
        let Some((rows, columns)) = parts.get(thread) else { return };
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        // SAFETY: rows and columns lie inside the shape, which fits the operands (asserted above);
        // blocks of different threads do not overlap. All strides are row-major.
        unsafe {
            gemm::gemm(
                rows.len(),
                columns.len(),
                k,
                c.as_mut_ptr().add(rows.start * n + columns.start),
                1,
                n.cast_signed(),
                false,
                a.as_ptr().add(rows.start * k),
                1,
                k.cast_signed(),
                b.as_ptr().add(columns.start),
                1,
                n.cast_signed(),
                T::ZERO,
                T::from_f64(1.0),
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    });
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

/// What the crate's own dispatch takes on this processor (it cannot be restricted).
fn dispatched() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "x86-v4";
        }
        if is_x86_feature_detected!("fma") {
            return "x86-v3";
        }
    }
    if cfg!(target_arch = "aarch64") { "neon" } else { "scalar" }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, counts, verify};

    #[test]
    fn every_shape_matches_the_reference() {
        for dtype in [Dtype::F32, Dtype::F64] {
            // One element, a row, a column, ragged tiles, several blocks of B with ragged ends.
            for [m, n, k] in [[1, 1, 1], [1, 37, 5], [53, 1, 19], [31, 67, 129], [96, 200, 64], [11, 1500, 210]] {
                verify(&Gemm, &counts(dtype, &[("m", m), ("n", n), ("k", k)]));
            }
        }
    }

    #[test]
    fn the_nest_and_the_crate_agree() {
        let (team, shape) = (Threads(2), [70, 530, 1100]);
        for isa in Isa::available() {
            let context = BuildContext { seed: 3, isa, team: &team };
            let (a, b) = inputs::<f64>(shape, &context).unwrap();
            let mut outputs = [vec![f64::NAN; 70 * 530], vec![f64::NAN; 70 * 530]];
            Nest::new(shape, blocks(70, 530, 2), isa).unwrap().multiply(&a, &b, &mut outputs[0], &team);
            multiply_by_crate(shape, &blocks(70, 530, 2), (&a, &b, &mut outputs[1]), &team);
            let far = outputs[0].iter().zip(&outputs[1]).find(|(x, y)| (*x - *y).abs() > 1e-11 || x.is_nan());
            assert_eq!(far, None, "{isa}");
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
