//! Dense matrix product C = A·B, row-major: f32 and f64 by the `gemm` crate, bf16 and i8 by nests of our own
//! ([`short`]). In every type the operands arrive row-major, and rearranging them is part of the product: two
//! fresh matrices are multiplied, so types can be compared.
//!
//! C is cut into one block per thread; each thread multiplies its own block, so no thread waits
//! for another inside an iteration. The cut follows the shape that packs the fewest elements
//! twice.

#![expect(unsafe_code, reason = "the gemm crate takes raw pointers")]

#[cfg(target_arch = "x86_64")]
mod amx;
mod nest;
mod short;
mod vector;

use super::canary::{Cancelling, LENGTH};
use super::element::Element;
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::{Reference, add_product};
use super::short::Bf16;
use super::split::{Parts, even, normal_buffer, output_buffer};
use super::{
    Buffer, BuildContext, Canary, Correctness, Dtype, Kernel, KernelError, KernelInfo, ParamError, ParamKind,
    ParamSpec, Params, Program, Role, Team, Work,
};
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
    source: "BLAS level 3 xGEMM (Dongarra et al., ACM TOMS 16, 1990); program: the gemm crate, in bf16 and i8 own nests",
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
}

/// Products behind one row of the reference.
const fn row_cost(n: u64, k: u64) -> u64 {
    n.saturating_mul(k)
}

/// A product ready to run.
struct Gemmed<T: Element> {
    shape: [usize; 3],
    a: Buffer<T>,
    b: Buffer<T>,
    c: Buffer<T>,
    reference: Reference,
}

impl<T: Element> Gemmed<T> {
    fn build([m, n, k]: [usize; 3], context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, .. } = *context;
        let a = normal_buffer::<T>(m * k, "A", SplitMix64::new(seed, 1), team)?;
        let b = normal_buffer::<T>(k * n, "B", SplitMix64::new(seed, 2), team)?;
        let c = output_buffer(m * n, "C", team)?;
        let reference = Reference::compute((m, n), row_cost(n as u64, k as u64), seed, team, &|row, exact, scale| {
            for (depth, left) in a[row * k..(row + 1) * k].iter().enumerate() {
                add_product(*left, &b[depth * n..(depth + 1) * n], exact, scale);
            }
        })?;
        Ok(Self { shape: [m, n, k], a, b, c, reference })
    }
}

impl<T: Element> Program for Gemmed<T> {
    fn path(&self) -> String {
        format!("gemm-crate/{}", dispatched())
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("huge-pages", self.b.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.c.fill(T::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        multiply(self.shape, &self.a, &self.b, &mut self.c, team);
    }

    fn check(&mut self) -> Correctness {
        self.reference.compare(&self.c)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.c, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        Some(canary::<T>(team, &|x| x))
    }
}

/// A small product through the same code.
fn canary<T: Element>(team: &dyn Team, operand: &dyn Fn(T) -> T) -> Canary {
    const SIDE: usize = 96;
    let operands = Cancelling::new(SIDE, SIDE, operand);
    let mut output = vec![T::NAN; SIDE * SIDE];
    multiply([SIDE, SIDE, LENGTH], &operands.left, &operands.right, &mut output, team);
    operands.judge(&output)
}

/// C = A·B, one block of C on each thread.
fn multiply<T: Element>([m, n, k]: [usize; 3], a: &[T], b: &[T], c: &mut [T], team: &dyn Team) {
    assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n, "operands do not fit the shape");
    let blocks = blocks(m, n, team.threads());
    let c = Parts::of(c);
    team.run(&|thread| {
        let Some((rows, columns)) = blocks.get(thread) else { return };
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
            for [m, n, k] in [[1, 1, 1], [1, 37, 5], [53, 1, 19], [31, 67, 129], [96, 200, 64]] {
                verify(&Gemm, &counts(dtype, &[("m", m), ("n", n), ("k", k)]));
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
        assert_eq!(canary::<f32>(&team, &|x| x).error, Some(0.0));
        assert!(!canary::<f32>(&team, &|x| round_mantissa(x, 10)).passed());
        assert!(!canary::<f32>(&team, &|x| round_mantissa(x, 7)).passed());
        assert!(!canary::<f64>(&team, &|x| round_mantissa(x, 23)).passed());
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
