//! Sparse matrix times dense matrix, C = A·B, with A in CSR.
//!
//! The columns of A are cut into panels so short that the matching rows of B, four registers wide,
//! stay in the first- or second-level cache ([`tiles`]). Cutting A happens when the case is built;
//! packing B is part of every iteration.

mod canary;
mod cuda;
mod tiles;
mod wgsl;

use super::canary::{Cancelling, LENGTH, LONG, Triples};
use super::csr::{self, Columns, Csr};
use super::element::Element;
use super::operands::of_csr;
use super::pack::PackPath;
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::{CUT_OFF, Reference, add_product};
use super::short::{Bf16, Short};
use super::split::{fill, normal_buffer, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Isa, Kernel,
    KernelError, KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Work,
};
use tiles::{SpmmPath, Tiled};

/// The `spmm-csr` kernel.
pub(super) struct Spmm;

const DIMENSION: ParamKind = ParamKind::Count { min: 1, max: 1 << 24 };

static INFO: KernelInfo = KernelInfo {
    id: "spmm-csr",
    title: "Sparse matrix × dense matrix",
    summary: "C = A·B with A m×k in CSR, B k×n and C m×n dense and row-major",
    role: Role::Workload,
    flops: "2·nnz·n",
    bytes: "(e + index)·nnz + 4·(m + 1) + e·n·(k + m); in bf16, whose C is f32, (e + index)·nnz + 4·(m + 1) + e·n·k + 4·n·m",
    source: "Gale, Zaharia, Young and Elsen, Sparse GPU Kernels for Deep Learning, SC 2020",
    dtypes: &[Dtype::F32, Dtype::F64, Dtype::Bf16],
    params: &[
        ParamSpec { name: "m", meaning: "rows of A and C", kind: DIMENSION, default: None },
        ParamSpec { name: "k", meaning: "columns of A, rows of B", kind: DIMENSION, default: None },
        ParamSpec { name: "n", meaning: "columns of B and C", kind: DIMENSION, default: None },
        ParamSpec {
            name: "density",
            meaning: "stored elements as a fraction of m·k",
            kind: ParamKind::Fraction { min: 1e-9, max: 1.0 },
            default: Some(super::ParamDefault::Real(0.1)),
        },
    ],
};

/// Products behind one row of the reference, on average.
const fn row_cost(m: u64, n: u64, nnz: u64) -> u64 {
    nnz.div_ceil(m).saturating_mul(n)
}

impl Kernel for Spmm {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        let [m, k, n] = [params.integer("m")?, params.integer("k")?, params.integer("n")?];
        let e = params.dtype.size();
        let nnz = csr::nonzeros(m, k, params.real("density")?)?;
        let flops = product("2·nnz·n", &[2, nnz, n])?;
        let dense = product("2·m·k·n", &[2, m, k, n])?;
        let short = params.dtype == Dtype::Bf16;
        let (right, sparse) = (product("B", &[e, n, k])?, csr::bytes(e, m, k, nnz)?);
        let bytes = sum("the operands", &[sparse, right, product("C", &[if short { 4 } else { e }, n, m])?])?;
        let reference = Reference::bytes(m, n, row_cost(m, n, nnz)).unwrap_or(u64::MAX);
        // The processor computes with widened operands, which lie beside.
        let (e, widened) = if short { (4, 2 * sum("A and B", &[sparse, right])?) } else { (e, 0) };
        // A exists twice: as CSR for the reference, and tiled.
        let tiled = sum("tiled A", &[product("tiled A", &[e + 2, nnz])?, Tiled::<f32>::pointer_bytes(m, k)?])?;
        let packed = product("packed B", &[e, k, n.next_multiple_of(64)])?;
        let footprint = sum("all buffers", &[bytes, reference, tiled, packed, 4 * nnz, widened])?;
        Work::new(flops, dense, bytes, footprint)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        Ok(match params.dtype {
            Dtype::F32 | Dtype::Bf16 => Box::new(SpmmProgram::<f32>::build(params, context)?),
            Dtype::F64 => Box::new(SpmmProgram::<f64>::build(params, context)?),
            other => return Err(INFO.no_type(other).into()),
        })
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        if params.dtype == Dtype::F64 { operands::<f64>(params, context) } else { operands::<f32>(params, context) }
    }

    fn device_operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        Ok(cuda::operands(
            self.operands(params, context)?,
            [params.count("m")?, params.count("k")?],
            params.dtype,
            cuda::has_panels(params)?,
        ))
    }

    fn device_program(&self, params: &Params, target: &Target) -> Result<DeviceProgram, NoProgram> {
        self.work(params)?;
        match target.api {
            Api::Cuda => cuda::program(params, target),
            Api::Wgsl => wgsl::program(params, target),
        }
    }

    fn device_canary(&self, params: &Params) -> Result<Option<DeviceCanary>, KernelError> {
        canary::for_device(params)
    }
}

/// A and B.
fn inputs<T: Element>(params: &Params, context: &BuildContext<'_>) -> Result<(Csr<T>, Buffer<T>), KernelError> {
    let [m, k, n] = [params.count("m")?, params.count("k")?, params.count("n")?];
    let nnz = csr::nonzeros(m as u64, k as u64, params.real("density")?)?;
    let nnz = usize::try_from(nnz).map_err(|_| ParamError::TooLarge(format!("{nnz} non-zeros")))?;
    let mut a = Csr::random(m, k, nnz, context.seed, context.team)?;
    let mut b = normal_buffer::<T>(k * n, "B", SplitMix64::new(context.seed, 2), context.team)?;
    if params.dtype == Dtype::Bf16 {
        for part in [a.values_mut(), &mut b[..]] {
            fill(part, context.team, &|_, part: &mut [T]| {
                part.iter_mut().for_each(|x| *x = T::from_f64(Bf16::round(x.to_f64()).to_f64()));
            });
        }
    }
    Ok((a, b))
}

/// A and B as arrays.
fn operands<T: Element>(params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
    let (a, b) = inputs::<T>(params, context)?;
    let mut arrays = of_csr(&a);
    arrays.push(Array::of("B", &[a.columns_len(), b.len() / a.columns_len()], &b));
    Ok(arrays)
}

/// A product ready to run.
struct SpmmProgram<T: Element> {
    tiled: Tiled<T>,
    nnz: usize,
    index_bits: u64,
    b: Buffer<T>,
    c: Buffer<T>,
    reference: Reference,
    /// Whether operands in bfloat16 were widened before.
    widened: bool,
    /// Whether C is the answer of a card.
    of_card: bool,
}

impl<T: SpmmPath + PackPath> SpmmProgram<T> {
    fn build(params: &Params, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let [m, k, n] = [params.count("m")?, params.count("k")?, params.count("n")?];
        let (a, b) = inputs::<T>(params, context)?;
        let nnz = a.nnz();
        let cost = row_cost(m as u64, n as u64, nnz as u64);
        let reference = Reference::compute((m, n), cost, seed, team, &|row, exact, scale| {
            for (column, value) in a.row(row) {
                add_product(value, &b[column * n..(column + 1) * n], exact, scale);
            }
        })?;
        let tiled = Tiled::cut(&a, n, isa, team)?;
        let index_bits = 8 * Columns::width(k as u64);
        let (c, widened) = (output_buffer(m * n, "C", team)?, params.dtype == Dtype::Bf16);
        Ok(Self { tiled, nnz, index_bits, b, c, reference, widened, of_card: false })
    }
}

/// The same for operands in bfloat16.
fn canary_short(isa: Isa, team: &dyn Team, operand: &dyn Fn(f32) -> f32) -> Result<Canary, KernelError> {
    let operands = Triples::new(40, 75, operand);
    let mut tiled = Tiled::cut(&Csr::full(&operands.left, LONG, team)?, 75, isa, team)?;
    let mut output = vec![f32::NAN; 40 * 75];
    tiled.multiply(&operands.right, &mut output, team);
    Ok(operands.judge(&output))
}

/// A small product through the same code.
fn canary<T: SpmmPath + PackPath>(isa: Isa, team: &dyn Team, operand: &dyn Fn(T) -> T) -> Result<Canary, KernelError> {
    // 75 columns: full strips and a ragged one.
    let operands = Cancelling::new(40, 75, operand);
    let mut tiled = Tiled::cut(&Csr::full(&operands.left, LENGTH, team)?, 75, isa, team)?;
    let mut output = vec![T::NAN; 40 * 75];
    tiled.multiply(&operands.right, &mut output, team);
    Ok(operands.judge(&output))
}

impl<T: SpmmPath + PackPath> Program for SpmmProgram<T> {
    fn path(&self) -> String {
        format!("{}/tiled{}", self.tiled.isa(), if self.widened { "-widened" } else { "" })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("nnz", self.nnz.to_string()),
            ("index-bits", self.index_bits.to_string()),
            ("huge-pages", self.b.pages().name().to_owned()),
        ]
    }

    fn poison(&mut self) {
        self.c.fill(T::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        self.of_card = false;
        self.tiled.multiply(&self.b, &mut self.c, team);
    }

    fn check(&mut self) -> Correctness {
        if self.widened && self.of_card {
            return self.reference.compare_as(&self.c, T::to_f64, CUT_OFF);
        }
        self.reference.compare(&self.c)
    }

    fn output(&self) -> Option<Array> {
        let n = self.tiled.columns_of_b();
        Some(Array::of("C", &[self.c.len() / n, n], &self.c))
    }

    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        self.of_card = true;
        answer.write_to(&mut self.c, T::from_f64)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.c, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        let isa = self.tiled.isa();
        let found = if self.widened { canary_short(isa, team, &|x| x) } else { canary::<T>(isa, team, &|x| x) };
        Some(found.unwrap_or_else(Canary::failed))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::ParamValue;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, params, verify};

    fn case(dtype: Dtype, m: u64, k: u64, n: u64, density: f64) -> Params {
        let counts = [("m", m), ("k", k), ("n", n)].map(|(name, n)| (name, ParamValue::Integer(n)));
        let [m, k, n] = counts;
        params(dtype, &[m, k, n, ("density", ParamValue::Real(density))])
    }

    #[test]
    fn every_shape_matches_the_reference() {
        for dtype in INFO.dtypes {
            // One element, full rows, empty rows, several panels with ragged strips, exact strips.
            let shapes =
                [(1, 1, 1, 1.0), (7, 300, 5, 1.0), (211, 40, 17, 0.002), (61, 997, 83, 0.07), (32, 1024, 128, 0.1)];
            for (m, k, n, density) in shapes {
                verify(&Spmm, &case(*dtype, m, k, n, density));
            }
        }
    }

    #[test]
    fn work_follows_the_formulas() {
        let work = Spmm.work(&case(Dtype::F32, 100, 200, 30, 0.1)).unwrap();
        assert_eq!(work.useful.get(), 2.0 * 2000.0 * 30.0);
        assert_eq!(work.dense_equivalent.get(), 2.0 * 100.0 * 200.0 * 30.0);
        assert_eq!(work.bytes.get(), 6.0 * 2000.0 + 4.0 * 101.0 + 4.0 * 30.0 * 300.0);
        let work = Spmm.work(&case(Dtype::Bf16, 100, 200, 30, 0.1)).unwrap();
        assert_eq!(work.bytes.get(), 4.0 * 2000.0 + 4.0 * 101.0 + 2.0 * 30.0 * 200.0 + 4.0 * 30.0 * 100.0);
    }

    #[test]
    fn rounded_inputs_fail_the_canary() {
        let team = Threads(2);
        for isa in Isa::available() {
            assert_eq!(canary::<f32>(isa, &team, &|x| x).unwrap().error, Some(0.0));
            assert!(!canary::<f32>(isa, &team, &|x| round_mantissa(x, 10)).unwrap().passed());
            assert!(!canary::<f64>(isa, &team, &|x| round_mantissa(x, 23)).unwrap().passed());
            assert_eq!(canary_short(isa, &team, &|x| x).unwrap().error, Some(0.0));
            assert!(!canary_short(isa, &team, &|x| round_mantissa(x, 3)).unwrap().passed());
        }
    }
}
