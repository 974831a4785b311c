//! 2:4 structured sparse matrix times dense matrix, C = A·B: of every four neighbours in a row of A two
//! are stored, the pattern that GPUs of several vendors multiply at a higher rate ([`tiles`] on CPUs).

mod canary;
mod cuda;
mod structure;
mod tiles;

use super::format::{half_bits, half_value};
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::{Reference, add_product, limit};
use super::short::{Bf16, Short};
use super::split::{normal_buffer, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Kernel, KernelError,
    KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Work,
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
    bytes: "e·m·k/2 + m·k/8 + e·n·(k + m); in i8, whose C has 32 bits, e·m·k/2 + m·k/8 + e·n·k + 4·n·m",
    source: "Mishra et al., Accelerating Sparse Deep Neural Networks, arXiv:2104.08378, 2021",
    dtypes: &[Dtype::F32, Dtype::F64, Dtype::Bf16, Dtype::F16, Dtype::I8],
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
        // Half of 2¹⁸ products of 128² fit 32 bits.
        if params.dtype == Dtype::I8 && k >= 1 << 18 {
            let expected = "less than 2¹⁸ in i8: longer sums may not fit 32 bits".to_owned();
            return Err(ParamError::Invalid { name: "k", found: k.to_string(), expected });
        }
        let e = params.dtype.size();
        let flops = product("m·k·n", &[m, k, n])?;
        let dense = product("2·m·k·n", &[2, m, k, n])?;
        let values = product("the values", &[e, m, k / 2])?;
        let metadata = product("the metadata", &[m, k / 8])?;
        let sums = if params.dtype == Dtype::I8 { 4 } else { e };
        let bytes = sum("the operands", &[values, metadata, product("B", &[e, n, k])?, product("C", &[sums, n, m])?])?;
        let reference = Reference::bytes(m, n, row_cost(k, n)).unwrap_or(u64::MAX);
        // The processor computes short types widened: all of a case lies beside what it counts.
        let (e, widened) = if e < 4 { (8, product("widened operands", &[8, bytes])?) } else { (e, 0) };
        let packed = product("packed B", &[e, k, n.next_multiple_of(128)])?;
        Work::new(flops, dense, bytes, sum("all buffers", &[bytes, reference, packed, widened])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        let shape = [params.count("m")?, params.count("k")?, params.count("n")?];
        Ok(match params.dtype {
            dtype @ (Dtype::F32 | Dtype::Bf16 | Dtype::F16) => {
                Box::new(StructuredProgram::<f32>::build(dtype, shape, context)?)
            }
            // In double precision sums of integers are exact.
            dtype @ (Dtype::F64 | Dtype::I8) => Box::new(StructuredProgram::<f64>::build(dtype, shape, context)?),
            other => return Err(INFO.no_type(other).into()),
        })
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        let shape = [params.count("m")?, params.count("k")?, params.count("n")?];
        match params.dtype {
            Dtype::F64 => operands::<f64>(params.dtype, shape, context),
            // Single precision holds all others.
            _ => operands::<f32>(params.dtype, shape, context),
        }
    }

    fn device_operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        cuda::operands(self.operands(params, context)?, params.dtype)
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => cuda::program(params, target),
            Api::Wgsl => Err(NoProgram::Unwritten),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        let Some(canary) = canary::for_device(params.dtype) else { return Ok(None) };
        let operands = cuda::operands(canary.operands, params.dtype)?;
        Ok(Some(DeviceCanary { operands, ..canary }))
    }
}

/// How an operand of a type is made of a standard normal number; as it is where the type is the one computed in.
fn rounding(dtype: Dtype) -> Option<fn(f64) -> f64> {
    match dtype {
        Dtype::Bf16 => Some(|x| Bf16::round(x).to_f64()),
        Dtype::F16 => Some(|x| f64::from(half_value(half_bits(x)))),
        Dtype::I8 => Some(|x| i8::from_normal(x).to_f64()),
        _ => None,
    }
}

/// Largest error of a right answer, relative to the sum of the terms' magnitudes: sums in binary32 and an answer in 16 bits;
/// integers are exact.
fn largest_error(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Bf16 | Dtype::F16 => 16.0 * Dtype::F32.unit_roundoff() + dtype.unit_roundoff(),
        dtype => limit(dtype),
    }
}

/// A and B.
fn inputs<T: TwoOfFourPath>(
    dtype: Dtype,
    [m, k, n]: [usize; 3],
    context: &BuildContext<'_>,
) -> Result<(TwoOfFour<T>, Buffer<T>), KernelError> {
    let mut a = TwoOfFour::random((m, k), context.seed, context.team)?;
    let mut b = normal_buffer::<T>(k * n, "B", SplitMix64::new(context.seed, 2), context.team)?;
    if let Some(round) = rounding(dtype) {
        for x in a.values_mut().iter_mut().chain(b.iter_mut()) {
            *x = T::from_f64(round(x.to_f64()));
        }
    }
    Ok((a, b))
}

/// A, with its zeros, and B as arrays.
fn operands<T: TwoOfFourPath>(
    dtype: Dtype,
    shape: [usize; 3],
    context: &BuildContext<'_>,
) -> Result<Vec<Array>, KernelError> {
    let ([m, k, n], (a, b)) = (shape, inputs::<T>(dtype, shape, context)?);
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
    /// The type that the case declares: shorter ones were widened before.
    dtype: Dtype,
}

impl<T: TwoOfFourPath> StructuredProgram<T> {
    fn build(dtype: Dtype, [m, k, n]: [usize; 3], context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let (a, b) = inputs::<T>(dtype, [m, k, n], context)?;
        let cost = row_cost(k as u64, n as u64);
        let reference = Reference::compute((m, n), cost, seed, team, &|row, exact, scale| {
            for (column, value) in a.row(row) {
                add_product(value, &b[column * n..(column + 1) * n], exact, scale);
            }
        })?;
        let tiled = Tiled::new(a, n, isa, team)?;
        Ok(Self { tiled, nnz: m * k / 2, b, c: output_buffer(m * n, "C", team)?, reference, dtype })
    }
}

impl<T: TwoOfFourPath> Program for StructuredProgram<T> {
    fn path(&self) -> String {
        format!("{}/tiled{}", self.tiled.isa(), if self.dtype == T::DTYPE { "" } else { "-widened" })
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
        self.reference.compare_as(&self.c, T::to_f64, largest_error(self.dtype))
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
        // Answers of 16 bits are allowed more than that changes.
        if matches!(self.dtype, Dtype::Bf16 | Dtype::F16) {
            let index = index % self.c.len();
            self.c[index] = T::from_f64(self.c[index].to_f64() * 2.0 + 100.0);
        }
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        Some(canary::run::<T>(self.tiled.isa(), team, &|x| x).unwrap_or_else(Canary::failed))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::verify::{counts, verify};

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
        let work = Structured.work(&case(Dtype::I8, [10, 80, 30])).unwrap();
        assert_eq!(work.bytes.get(), 400.0 + 100.0 + 30.0 * 80.0 + 4.0 * 30.0 * 10.0);
        let error = Structured.work(&case(Dtype::F32, [10, 12, 30])).unwrap_err().to_string();
        assert_eq!(error, "parameter `k` is 12, expected a multiple of 8");
    }
}
