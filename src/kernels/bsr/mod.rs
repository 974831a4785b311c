//! Block-sparse matrix times dense matrix, C = A·B, with A in block sparse row form (BSR).
//!
//! Whole blocks are kept or dropped, as in block pruning of weights: what a dense register tile needs
//! stays together, so the arithmetic runs near its ceiling at any density ([`tiles`]).

mod canary;
mod cuda;
mod structure;
mod tiles;
mod wgsl;

use super::csr;
use super::element::Element;
use super::operands::{columns, row_offsets};
use super::pack::PackPath;
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::{CUT_OFF, Reference, add_product};
use super::short::{Bf16, Short};
use super::split::{fill, normal_buffer, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Kernel, KernelError,
    KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Work,
};
use structure::Bsr;
use tiles::{BsrPath, SMALLEST_SIDE, Tiled};

/// The `spmm-bsr` kernel.
pub(super) struct SpmmBsr;

const DIMENSION: ParamKind = ParamKind::Count { min: 1, max: 1 << 24 };

static INFO: KernelInfo = KernelInfo {
    id: "spmm-bsr",
    title: "Block-sparse matrix × dense matrix",
    summary: "C = A·B with A m×k in BSR (square blocks, stored column by column), B k×n and C m×n dense and row-major",
    role: Role::Workload,
    flops: "2·blocks·block²·n",
    bytes: "e·blocks·block² + 4·blocks + 4·(m/block + 1) + e·n·(k + m); in bf16, whose C has 32 bits, e·n·k + 4·n·m",
    source: "Gray, Radford and Kingma, GPU Kernels for Block-Sparse Weights, 2017; format: cuSPARSE, BSR",
    dtypes: &[Dtype::F32, Dtype::F64, Dtype::Bf16],
    params: &[
        ParamSpec { name: "m", meaning: "rows of A and C, a multiple of block", kind: DIMENSION, default: None },
        ParamSpec {
            name: "k",
            meaning: "columns of A, rows of B, a multiple of block",
            kind: DIMENSION,
            default: None,
        },
        ParamSpec { name: "n", meaning: "columns of B and C", kind: DIMENSION, default: None },
        ParamSpec {
            name: "block",
            meaning: "rows and columns of a block, a multiple of 16",
            kind: ParamKind::Count { min: 16, max: 1024 },
            default: Some(super::ParamDefault::Integer(16)),
        },
        ParamSpec {
            name: "density",
            meaning: "stored blocks as a fraction of all blocks",
            kind: ParamKind::Fraction { min: 1e-9, max: 1.0 },
            default: Some(super::ParamDefault::Real(0.1)),
        },
    ],
};

/// Sizes of a case, in elements and in blocks.
struct Shape {
    m: u64,
    k: u64,
    n: u64,
    block: u64,
    stored: u64,
}

impl Shape {
    fn of(params: &Params) -> Result<Self, ParamError> {
        INFO.check(params)?;
        let [m, k, n, block] =
            [params.integer("m")?, params.integer("k")?, params.integer("n")?, params.integer("block")?];
        let multiple = |name, found: u64, of: u64| {
            let expected = format!("a multiple of {of}");
            if found.is_multiple_of(of) {
                Ok(())
            } else {
                Err(ParamError::Invalid { name, found: found.to_string(), expected })
            }
        };
        multiple("block", block, SMALLEST_SIDE as u64)?;
        multiple("m", m, block)?;
        multiple("k", k, block)?;
        let stored = csr::nonzeros(m / block, k / block, params.real("density")?)?;
        Ok(Self { m, k, n, block, stored })
    }

    /// Stored elements.
    fn elements(&self) -> Result<u64, ParamError> {
        product("the blocks", &[self.stored, self.block, self.block])
    }

    /// Products behind one row of the reference, on average.
    fn row_cost(&self) -> Result<u64, ParamError> {
        Ok(self.elements()?.div_ceil(self.m).saturating_mul(self.n))
    }
}

impl Kernel for SpmmBsr {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        let shape = Shape::of(params)?;
        let Shape { m, k, n, block, stored } = shape;
        let e = params.dtype.size();
        let flops = product("2·blocks·block²·n", &[2, shape.elements()?, n])?;
        let dense = product("2·m·k·n", &[2, m, k, n])?;
        let blocks = product("the blocks", &[e, shape.elements()?])?;
        let structure = sum("the structure", &[product("columns", &[4, stored])?, 4 * (m / block + 1)])?;
        let short = params.dtype == Dtype::Bf16;
        let right = product("B", &[e, n, k])?;
        let bytes =
            sum("the operands", &[blocks, structure, right, product("C", &[if short { 4 } else { e }, n, m])?])?;
        let reference = Reference::bytes(m, n, shape.row_cost()?).unwrap_or(u64::MAX);
        // The processor computes with widened operands, which lie beside.
        let (e, widened) = if short { (4, 2 * sum("A and B", &[blocks, right])?) } else { (e, 0) };
        let packed = product("packed B", &[e, k, n.next_multiple_of(32)])?;
        Work::new(flops, dense, bytes, sum("all buffers", &[bytes, reference, packed, structure, widened])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        Ok(match params.dtype {
            Dtype::F32 | Dtype::Bf16 => Box::new(BsrProgram::<f32>::build(params, context)?),
            Dtype::F64 => Box::new(BsrProgram::<f64>::build(params, context)?),
            other => return Err(INFO.no_type(other).into()),
        })
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        if params.dtype == Dtype::F64 { operands::<f64>(params, context) } else { operands::<f32>(params, context) }
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
fn inputs<T: Element>(params: &Params, context: &BuildContext<'_>) -> Result<(Bsr<T>, Buffer<T>), KernelError> {
    let BuildContext { seed, team, .. } = *context;
    let stored = Shape::of(params)?.stored;
    let stored = usize::try_from(stored).map_err(|_| ParamError::TooLarge(format!("{stored} blocks")))?;
    let [m, k, n, block] = [params.count("m")?, params.count("k")?, params.count("n")?, params.count("block")?];
    let mut a = Bsr::random(block, (m / block, k / block), stored, seed, team)?;
    let mut b = normal_buffer::<T>(k * n, "B", SplitMix64::new(seed, 2), team)?;
    if params.dtype == Dtype::Bf16 {
        for part in [a.values_mut(), &mut b[..]] {
            fill(part, team, &|_, part: &mut [T]| {
                part.iter_mut().for_each(|x| *x = T::from_f64(Bf16::round(x.to_f64()).to_f64()));
            });
        }
    }
    Ok((a, b))
}

/// A and B as arrays; blocks are column by column.
fn operands<T: Element>(params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
    let (a, b) = inputs::<T>(params, context)?;
    let (side, blocks, k) = (a.side(), a.blocks(), params.count("k")?);
    let values = Array::of("blocks", &[blocks.nnz(), side, side], a.values());
    Ok(vec![row_offsets(blocks), columns(blocks), values, Array::of("B", &[k, b.len() / k], &b)])
}

/// A product ready to run.
struct BsrProgram<T: BsrPath + PackPath> {
    tiled: Tiled<T>,
    b: Buffer<T>,
    c: Buffer<T>,
    reference: Reference,
    /// Whether operands in bfloat16 were widened before.
    widened: bool,
    /// Whether C is the answer of a card.
    of_card: bool,
}

impl<T: BsrPath + PackPath> BsrProgram<T> {
    fn build(params: &Params, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let cost = Shape::of(params)?.row_cost()?;
        let [m, n] = [params.count("m")?, params.count("n")?];
        let (a, b) = inputs::<T>(params, context)?;
        let reference = Reference::compute((m, n), cost, seed, team, &|row, exact, scale| {
            for (column, value) in a.row(row) {
                add_product(value, &b[column * n..(column + 1) * n], exact, scale);
            }
        })?;
        let widened = params.dtype == Dtype::Bf16;
        Ok(Self {
            tiled: Tiled::new(a, n, isa, team)?,
            b,
            c: output_buffer(m * n, "C", team)?,
            reference,
            widened,
            of_card: false,
        })
    }
}

impl<T: BsrPath + PackPath> Program for BsrProgram<T> {
    fn path(&self) -> String {
        format!("{}/tiled{}", self.tiled.isa(), if self.widened { "-widened" } else { "" })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("nnz", self.tiled.matrix().values().len().to_string()),
            ("blocks", self.tiled.matrix().blocks().nnz().to_string()),
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
        let rows = self.tiled.matrix().blocks().rows() * self.tiled.matrix().side();
        Some(Array::of("C", &[rows, self.c.len() / rows], &self.c))
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
        let (side, isa) = (self.tiled.matrix().side(), self.tiled.isa());
        let found = if self.widened {
            canary::run_short(side, isa, team, &|x| x)
        } else {
            canary::run::<T>(side, isa, team, &|x| x)
        };
        Some(found.unwrap_or_else(Canary::failed))
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]
mod tests {
    use super::*;
    use crate::kernels::canary::round_mantissa;
    use crate::kernels::verify::{Threads, params, verify};
    use crate::kernels::{Isa, ParamValue};

    fn case(dtype: Dtype, [m, k, n, block]: [u64; 4], density: f64) -> Params {
        let count = |name, n| (name, ParamValue::Integer(n));
        let sizes = [count("m", m), count("k", k), count("n", n), count("block", block)];
        params(dtype, &[&sizes[..], &[("density", ParamValue::Real(density))]].concat())
    }

    #[test]
    fn every_shape_matches_the_reference() {
        for dtype in INFO.dtypes {
            // One block, full rows, empty block rows, each side of a block, ragged strips.
            let shapes = [
                ([16, 16, 1, 16], 1.0),
                ([48, 80, 37, 16], 1.0),
                ([208, 64, 19, 16], 0.05),
                ([96, 160, 64, 32], 0.3),
                ([64, 192, 83, 64], 0.5),
                ([48, 96, 33, 48], 0.5),
            ];
            for (sizes, density) in shapes {
                verify(&SpmmBsr, &case(*dtype, sizes, density));
            }
        }
    }

    #[test]
    fn work_follows_the_formulas() {
        let work = SpmmBsr.work(&case(Dtype::F32, [160, 320, 30, 16], 0.1)).unwrap();
        assert_eq!(work.useful.get(), 2.0 * 20.0 * 256.0 * 30.0);
        assert_eq!(work.dense_equivalent.get(), 2.0 * 160.0 * 320.0 * 30.0);
        assert_eq!(work.bytes.get(), 4.0 * 20.0 * 256.0 + 80.0 + 44.0 + 4.0 * 30.0 * 480.0);
        let work = SpmmBsr.work(&case(Dtype::Bf16, [160, 320, 30, 16], 0.1)).unwrap();
        assert_eq!(work.bytes.get(), 2.0 * 20.0 * 256.0 + 80.0 + 44.0 + 2.0 * 30.0 * 320.0 + 4.0 * 30.0 * 160.0);
    }

    #[test]
    fn shapes_that_are_no_blocks_are_refused_by_name() {
        for (sizes, expected) in [
            ([17, 16, 4, 16], "`m` is 17, expected a multiple of 16"),
            ([32, 40, 4, 32], "`k` is 40, expected a multiple of 32"),
            ([40, 40, 4, 20], "`block` is 20, expected a multiple of 16"),
        ] {
            let error = SpmmBsr.work(&case(Dtype::F32, sizes, 0.5)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn rounded_inputs_fail_the_canary() {
        let team = Threads(2);
        for isa in Isa::available() {
            for side in [16, 64] {
                assert_eq!(canary::run::<f32>(side, isa, &team, &|x| x).unwrap().error, Some(0.0));
                assert!(!canary::run::<f32>(side, isa, &team, &|x| round_mantissa(x, 10)).unwrap().passed());
                assert!(!canary::run::<f64>(side, isa, &team, &|x| round_mantissa(x, 23)).unwrap().passed());
                assert_eq!(canary::run_short(side, isa, &team, &|x| x).unwrap().error, Some(0.0));
                assert!(!canary::run_short(side, isa, &team, &|x| round_mantissa(x, 3)).unwrap().passed());
            }
        }
    }
}
