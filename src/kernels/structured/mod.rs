//! 2:4 structured sparse matrix times dense matrix, C = A·B: of every four neighbours in a row of A two
//! are stored, the pattern that GPUs of several vendors multiply at a higher rate ([`tiles`] on CPUs).

mod structure;
mod tiles;

use super::canary::{Cancelling, LENGTH};
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::{Reference, add_product};
use super::split::{normal_buffer, output_buffer};
use super::{
    Array, Buffer, BuildContext, Canary, Correctness, Dtype, Isa, Kernel, KernelError, KernelInfo, ParamError,
    ParamKind, ParamSpec, Params, Program, Role, Team, Work,
};
use structure::{PER_BYTE, TwoOfFour};
use tiles::{Tiled, TwoOfFourPath};

/// The `spmm-2-4` kernel.
pub(super) struct Structured;

const DIMENSION: ParamKind = ParamKind::Count { min: 1, max: 1 << 24 };

static INFO: KernelInfo = KernelInfo {
    id: "spmm-2-4",
    title: "2:4 sparse matrix × dense matrix",
    summary: "C = A·B with two of every four neighbours in a row of A stored, B k×n and C m×n dense and row-major",
    role: Role::Workload,
    flops: "m·k·n",
    bytes: "e·m·k/2 + m·k/8 + e·n·(k + m)",
    source: "Mishra et al., Accelerating Sparse Deep Neural Networks, arXiv:2104.08378, 2021",
    dtypes: &[Dtype::F32, Dtype::F64],
    params: &[
        ParamSpec { name: "m", meaning: "rows of A and C", kind: DIMENSION, default: None },
        ParamSpec { name: "k", meaning: "columns of A, rows of B, a multiple of 8", kind: DIMENSION, default: None },
        ParamSpec { name: "n", meaning: "columns of B and C", kind: DIMENSION, default: None },
    ],
};

/// Products behind one row of the reference.
const fn row_cost(k: u64, n: u64) -> u64 {
    (k / 2).saturating_mul(n)
}

impl Kernel for Structured {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        let [m, k, n] = [params.integer("m")?, params.integer("k")?, params.integer("n")?];
        if !k.is_multiple_of(PER_BYTE as u64) {
            let expected = format!("a multiple of {PER_BYTE}");
            return Err(ParamError::Invalid { name: "k", found: k.to_string(), expected });
        }
        let e = params.dtype.size();
        let flops = product("m·k·n", &[m, k, n])?;
        let dense = product("2·m·k·n", &[2, m, k, n])?;
        let values = product("the values", &[e, m, k / 2])?;
        let metadata = product("the metadata", &[m, k / 8])?;
        let matrices = product("B and C", &[e, n, k + m])?;
        let bytes = sum("the operands", &[values, metadata, matrices])?;
        let reference = Reference::bytes(m, n, row_cost(k, n)).unwrap_or(u64::MAX);
        let packed = product("packed B", &[e, k, n.next_multiple_of(128)])?;
        Work::new(flops, dense, bytes, sum("all buffers", &[bytes, reference, packed])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        let shape = [params.count("m")?, params.count("k")?, params.count("n")?];
        Ok(match params.dtype {
            Dtype::F32 => Box::new(StructuredProgram::<f32>::build(shape, context)?),
            Dtype::F64 => Box::new(StructuredProgram::<f64>::build(shape, context)?),
            other => return Err(INFO.no_type(other).into()),
        })
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let shape = [params.count("m")?, params.count("k")?, params.count("n")?];
        if params.dtype == Dtype::F64 { operands::<f64>(shape, context) } else { operands::<f32>(shape, context) }
    }
}

/// A and B.
fn inputs<T: TwoOfFourPath>(
    [m, k, n]: [usize; 3],
    context: &BuildContext<'_>,
) -> Result<(TwoOfFour<T>, Buffer<T>), KernelError> {
    let a = TwoOfFour::random((m, k), context.seed, context.team)?;
    Ok((a, normal_buffer(k * n, "B", SplitMix64::new(context.seed, 2), context.team)?))
}

/// A, with its zeros, and B as arrays.
fn operands<T: TwoOfFourPath>(shape: [usize; 3], context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
    let ([m, k, n], (a, b)) = (shape, inputs::<T>(shape, context)?);
    let mut dense = Buffer::<T>::zeroed(m * k, "dense A")?;
    for row in 0..m {
        for (column, value) in a.row(row) {
            dense[row * k + column] = value;
        }
    }
    Ok(vec![Array::of("A", &[m, k], &dense), Array::of("B", &[k, n], &b)])
}

/// A product ready to run.
struct StructuredProgram<T: TwoOfFourPath> {
    tiled: Tiled<T>,
    nnz: usize,
    b: Buffer<T>,
    c: Buffer<T>,
    reference: Reference,
}

impl<T: TwoOfFourPath> StructuredProgram<T> {
    fn build([m, k, n]: [usize; 3], context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let (a, b) = inputs::<T>([m, k, n], context)?;
        let cost = row_cost(k as u64, n as u64);
        let reference = Reference::compute((m, n), cost, seed, team, &|row, exact, scale| {
            for (column, value) in a.row(row) {
                add_product(value, &b[column * n..(column + 1) * n], exact, scale);
            }
        })?;
        let tiled = Tiled::new(a, n, isa, team)?;
        Ok(Self { tiled, nnz: m * k / 2, b, c: output_buffer(m * n, "C", team)?, reference })
    }
}

/// A small product through the same code: every operand of the sums stands at one of two places of its
/// own group of four.
fn canary<T: TwoOfFourPath>(isa: Isa, team: &dyn Team, operand: &dyn Fn(T) -> T) -> Result<Canary, KernelError> {
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

impl<T: TwoOfFourPath> Program for StructuredProgram<T> {
    fn path(&self) -> String {
        format!("{}/tiled", self.tiled.isa())
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("nnz", self.nnz.to_string()), ("huge-pages", self.b.pages().name().to_owned())]
    }

    fn poison(&mut self) {
        self.c.fill(T::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.tiled.multiply(&self.b, &mut self.c, team);
    }

    fn check(&mut self) -> Correctness {
        self.reference.compare(&self.c)
    }

    fn output(&self) -> Option<Array> {
        let rows = self.tiled.rows();
        Some(Array::of("C", &[rows, self.c.len() / rows], &self.c))
    }

    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.c, T::from_f64)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.c, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        Some(canary::<T>(self.tiled.isa(), team, &|x| x).unwrap_or_else(Canary::failed))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, counts, verify};

    fn case(dtype: Dtype, [m, k, n]: [u64; 3]) -> Params {
        counts(dtype, &[("m", m), ("k", k), ("n", n)])
    }

    #[test]
    fn every_shape_matches_the_reference() {
        for dtype in INFO.dtypes {
            // One byte of metadata, one panel, several panels, every width of a strip, ragged ends.
            for shape in [[1, 8, 1], [3, 16, 130], [67, 200, 83], [31, 480, 128], [530, 88, 259]] {
                verify(&Structured, &case(*dtype, shape));
            }
        }
    }

    #[test]
    fn work_follows_the_formulas() {
        let work = Structured.work(&case(Dtype::F32, [10, 80, 30])).unwrap();
        assert_eq!(work.useful.get(), 10.0 * 80.0 * 30.0);
        assert_eq!(work.dense_equivalent.get(), 2.0 * 10.0 * 80.0 * 30.0);
        assert_eq!(work.bytes.get(), 4.0 * 400.0 + 100.0 + 4.0 * 30.0 * 90.0);
        let error = Structured.work(&case(Dtype::F32, [10, 12, 30])).unwrap_err().to_string();
        assert_eq!(error, "parameter `k` is 12, expected a multiple of 8");
    }

    #[test]
    fn rounded_inputs_fail_the_canary() {
        let team = Threads(2);
        for isa in Isa::available() {
            assert_eq!(canary::<f32>(isa, &team, &|x| x).unwrap().error, Some(0.0));
            assert!(!canary::<f32>(isa, &team, &|x| round_mantissa(x, 10)).unwrap().passed());
            assert!(!canary::<f64>(isa, &team, &|x| round_mantissa(x, 23)).unwrap().passed());
        }
    }
}
