//! Sparse matrix times vector, y = A·x, with A in CSR.

#![expect(unsafe_code, reason = "vector loads and gathers inside a checked structure")]

mod canary;
mod cuda;
mod wgsl;

use super::canary::{Cancelling, LENGTH};
use super::csr::{self, Columns, Csr};
use super::element::Element;
use super::operands::of_csr;
use super::params::{product, sum};
use super::random::SplitMix64;
use super::reference::Reference;
use super::simd::{Simd, paths};
use super::split::{Parts, balanced, normal_buffer, output_buffer};
use super::{
    Api, Array, Buffer, BuildContext, Canary, Correctness, DeviceCanary, DeviceProgram, Dtype, Isa, Kernel,
    KernelError, KernelInfo, NoProgram, ParamError, ParamKind, ParamSpec, Params, Program, Role, Target, Team, Work,
};
use std::ops::Range;

/// The `spmv-csr` kernel.
pub(super) struct Spmv;

const DIMENSION: ParamKind = ParamKind::Count { min: 1, max: 1 << 30 };

static INFO: KernelInfo = KernelInfo {
    id: "spmv-csr",
    title: "Sparse matrix × vector",
    summary: "y = A·x with A m×k in CSR; column indices take 16 bits up to k = 65,536",
    role: Role::Workload,
    flops: "2·nnz",
    bytes: "(e + index)·nnz + 4·(m + 1) + e·(m + k)",
    source: "Saad, Iterative Methods for Sparse Linear Systems, 2003, §3.4",
    dtypes: &[Dtype::F32, Dtype::F64],
    params: &[
        ParamSpec { name: "m", meaning: "rows of A", kind: DIMENSION, default: None },
        ParamSpec { name: "k", meaning: "columns of A", kind: DIMENSION, default: None },
        ParamSpec {
            name: "density",
            meaning: "stored elements as a fraction of m·k",
            kind: ParamKind::Fraction { min: 1e-9, max: 1.0 },
            default: Some(super::ParamDefault::Real(0.01)),
        },
    ],
};

impl Kernel for Spmv {
    fn info(&self) -> &'static KernelInfo {
        &INFO
    }

    fn work(&self, params: &Params) -> Result<Work, ParamError> {
        INFO.check(params)?;
        let (m, k, e) = (params.integer("m")?, params.integer("k")?, params.dtype.size());
        let nnz = csr::nonzeros(m, k, params.real("density")?)?;
        let dense = product("2·m·k", &[2, m, k])?;
        let bytes = sum("the operands", &[csr::bytes(e, m, k, nnz)?, product("the vectors", &[e, m + k])?])?;
        let reference = Reference::bytes(m, 1, nnz / m).unwrap_or(u64::MAX);
        // While the matrix is generated, its indices exist a second time with 32 bits.
        Work::new(2 * nnz, dense, bytes, sum("the operands and the reference", &[bytes, reference, 4 * nnz])?)
    }

    fn build(&self, params: &Params, context: &BuildContext<'_>) -> Result<Box<dyn Program>, KernelError> {
        self.work(params)?;
        Ok(match params.dtype {
            Dtype::F32 => Box::new(SpmvProgram::<f32>::build(params, context)?),
            Dtype::F64 => Box::new(SpmvProgram::<f64>::build(params, context)?),
            other => return Err(INFO.no_type(other).into()),
        })
    }

    fn operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        self.work(params)?;
        if params.dtype == Dtype::F64 { operands::<f64>(params, context) } else { operands::<f32>(params, context) }
    }

    fn device_operands(&self, params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
        Ok(cuda::operands(self.operands(params, context)?, params.count("k")?))
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

/// A and x.
fn inputs<T: Element>(params: &Params, context: &BuildContext<'_>) -> Result<(Csr<T>, Buffer<T>), KernelError> {
    let (m, k) = (params.count("m")?, params.count("k")?);
    let nnz = csr::nonzeros(m as u64, k as u64, params.real("density")?)?;
    let nnz = usize::try_from(nnz).map_err(|_| ParamError::TooLarge(format!("{nnz} non-zeros")))?;
    let a = Csr::random(m, k, nnz, context.seed, context.team)?;
    Ok((a, normal_buffer(k, "x", SplitMix64::new(context.seed, 2), context.team)?))
}

/// A and x as arrays.
fn operands<T: Element>(params: &Params, context: &BuildContext<'_>) -> Result<Vec<Array>, KernelError> {
    let (a, x) = inputs::<T>(params, context)?;
    let mut arrays = of_csr(&a);
    arrays.push(Array::of("x", &[x.len()], &x));
    Ok(arrays)
}

/// An index type of a CSR matrix.
trait Index: Copy {
    /// `LANES` elements of `base`.
    ///
    /// # Safety
    /// As for [`Simd`].
    unsafe fn gather<S: Simd>(base: *const S::Elem, index: *const Self) -> S::V;
    /// As an offset.
    fn offset(self) -> usize;
}

impl Index for u16 {
    #[inline(always)]
    unsafe fn gather<S: Simd>(base: *const S::Elem, index: *const Self) -> S::V {
        // SAFETY: passed on to the caller.
        unsafe { S::gather_u16(base, index) }
    }
    #[inline(always)]
    fn offset(self) -> usize {
        usize::from(self)
    }
}

impl Index for u32 {
    #[inline(always)]
    unsafe fn gather<S: Simd>(base: *const S::Elem, index: *const Self) -> S::V {
        // SAFETY: passed on to the caller.
        unsafe { S::gather_u32(base, index) }
    }
    #[inline(always)]
    fn offset(self) -> usize {
        self as usize
    }
}

/// What one thread computes.
struct Args<'a, T: Element> {
    a: &'a Csr<T>,
    x: &'a [T],
    y: &'a Parts<'a, T>,
    rows: Range<usize>,
    gather: bool,
}

/// y = A·x on a range of rows.
///
/// # Safety
/// As for [`Simd`]; `x` and `y` fit the matrix, and no other thread writes these rows.
#[inline(always)]
unsafe fn spmv<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    // SAFETY: passed on to the caller.
    unsafe {
        match (args.a.columns(), args.gather) {
            (Columns::U16(columns), true) => rows_gathered::<S, u16>(args, columns.as_ptr()),
            (Columns::U32(columns), true) => rows_gathered::<S, u32>(args, columns.as_ptr()),
            (Columns::U16(columns), false) => rows_scalar(args, columns.as_ptr()),
            (Columns::U32(columns), false) => rows_scalar(args, columns.as_ptr()),
        }
    }
}
paths!(trait SpmvPath: spmv(Args), registers = [1, 1, 1], for f32, f64);

/// Rows with vector gathers, two sums at a time.
///
/// # Safety
/// As for [`spmv`].
#[inline(always)]
unsafe fn rows_gathered<S: Simd, I: Index>(args: &Args<'_, S::Elem>, columns: *const I) {
    let (values, x, row_ptr) = (args.a.values().as_ptr(), args.x.as_ptr(), args.a.row_ptr());
    for row in args.rows.clone() {
        let (mut q, end) = (row_ptr[row] as usize, row_ptr[row + 1] as usize);
        // SAFETY: offsets lie inside the checked structure. The last vector of a row reads indices
        // past the row's end: those of the next rows or the padding, all valid columns; their
        // products are with zeros.
        unsafe {
            let (mut even, mut odd) = (S::splat(S::Elem::ZERO), S::splat(S::Elem::ZERO));
            while q + 2 * S::LANES <= end {
                even = S::fma(S::load(values.add(q)), I::gather::<S>(x, columns.add(q)), even);
                let next = q + S::LANES;
                odd = S::fma(S::load(values.add(next)), I::gather::<S>(x, columns.add(next)), odd);
                q += 2 * S::LANES;
            }
            if q + S::LANES <= end {
                even = S::fma(S::load(values.add(q)), I::gather::<S>(x, columns.add(q)), even);
                q += S::LANES;
            }
            if q < end {
                odd = S::fma(S::load_first(values.add(q), end - q), I::gather::<S>(x, columns.add(q)), odd);
            }
            args.y.as_mut_ptr().add(row).write(S::sum(S::add(even, odd)));
        }
    }
}

/// Rows with scalar loads and four sums: faster where gathers are microcoded.
///
/// # Safety
/// As for [`spmv`].
#[inline(always)]
unsafe fn rows_scalar<T: Element, I: Index>(args: &Args<'_, T>, columns: *const I) {
    let (values, x, row_ptr) = (args.a.values().as_ptr(), args.x.as_ptr(), args.a.row_ptr());
    for row in args.rows.clone() {
        let (start, end) = (row_ptr[row] as usize, row_ptr[row + 1] as usize);
        // SAFETY: offsets and columns lie inside the checked structure.
        unsafe {
            let term = |q: usize| *values.add(q) * *x.add((*columns.add(q)).offset());
            let mut sums = [T::ZERO; 4];
            let mut q = start;
            while q + 4 <= end {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    *sum = *sum + term(q + lane);
                }
                q += 4;
            }
            for (lane, sum) in sums.iter_mut().enumerate().take(end - q) {
                *sum = *sum + term(q + lane);
            }
            args.y.as_mut_ptr().add(row).write((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }
    }
}

/// Whether vector gathers beat scalar loads: not on AMD, where they are microcoded up to Zen 4, and
/// not without hardware for them.
fn gathers_are_fast(isa: Isa) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let vendor = raw_cpuid::CpuId::new().get_vendor_info();
        let amd = vendor.is_some_and(|vendor| matches!(vendor.as_str(), "AuthenticAMD" | "HygonGenuine"));
        isa > Isa::Portable && !amd
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = isa;
        false
    }
}

/// y = A·x, rows divided by stored elements.
fn multiply<T: SpmvPath>(a: &Csr<T>, x: &[T], y: &mut [T], (isa, gather): (Isa, bool), team: &dyn Team) {
    assert!(x.len() == a.columns_len() && y.len() == a.rows(), "vectors do not fit the matrix");
    let ranges = balanced(a.row_ptr(), team.threads());
    let (y, program) = (Parts::of(y), T::pick(isa));
    team.run(&|thread| {
        let args = Args { a, x, y: &y, rows: ranges[thread].clone(), gather };
        // SAFETY: the backend chose an available instruction set; the vectors fit; row ranges of
        // different threads do not overlap.
        unsafe { program(&args) };
    });
}

/// A product ready to run.
struct SpmvProgram<T: Element> {
    a: Csr<T>,
    x: Buffer<T>,
    y: Buffer<T>,
    path: (Isa, bool),
    reference: Reference,
}

impl<T: SpmvPath> SpmvProgram<T> {
    fn build(params: &Params, context: &BuildContext<'_>) -> Result<Self, KernelError> {
        let BuildContext { seed, team, isa } = *context;
        let (a, x) = inputs::<T>(params, context)?;
        let m = a.rows();
        let reference = Reference::compute((m, 1), (a.nnz() / m) as u64, seed, team, &|row, exact, scale| {
            for (column, value) in a.row(row) {
                let term = value.to_f64() * x[column].to_f64();
                exact[0] += term;
                scale[0] += term.abs();
            }
        })?;
        Ok(Self { a, x, y: output_buffer(m, "y", team)?, path: (isa, gathers_are_fast(isa)), reference })
    }
}

/// A small product through the same code.
fn canary<T: SpmvPath>(path: (Isa, bool), team: &dyn Team, operand: &dyn Fn(T) -> T) -> Result<Canary, KernelError> {
    let operands = Cancelling::new(64, 1, operand);
    let a = Csr::full(&operands.left, LENGTH, team)?;
    let mut y = vec![T::NAN; 64];
    multiply(&a, &operands.right, &mut y, path, team);
    Ok(operands.judge(&y))
}

impl<T: SpmvPath> Program for SpmvProgram<T> {
    fn path(&self) -> String {
        format!("{}/{}", self.path.0, if self.path.1 { "gather" } else { "scalar-loads" })
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("nnz", self.a.nnz().to_string()),
            ("index-bits", (8 * Columns::width(self.a.columns_len() as u64)).to_string()),
            ("huge-pages", self.a.values().pages().name().to_owned()),
        ]
    }

    fn poison(&mut self) {
        self.y.fill(T::NAN);
    }

    fn run(&mut self, team: &dyn Team) {
        multiply(&self.a, &self.x, &mut self.y, self.path, team);
    }

    fn check(&mut self) -> Correctness {
        self.reference.compare(&self.y)
    }

    fn output(&self) -> Option<Array> {
        Some(Array::of("y", &[self.y.len()], &self.y))
    }

    fn accept(&mut self, answer: &Array) -> Result<(), KernelError> {
        answer.write_to(&mut self.y, T::from_f64)
    }

    #[cfg(test)]
    fn corrupt(&mut self, index: usize) {
        super::verify::corrupt(&mut self.y, index);
    }

    fn canary(&mut self, team: &dyn Team) -> Option<Canary> {
        Some(canary::<T>(self.path, team, &|x| x).unwrap_or_else(Canary::failed))
    }
}

#[cfg(test)]
mod tests;
