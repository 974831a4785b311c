//! 2:4 sparse products by cuSPARSELt, bound by hand: no crate has it.
//!
//! The case's weights already have two of every four elements; the library checks that, and compresses them to its own layout,
//! outside of the window. Matrices are row-major and filled up with zeros to whole sizes; for 8-bit integers B is held
//! transposed, as the library demands.
//!
//! Sources: cusparseLt.h 0.10 and the documentation of cuSPARSELt ("cusparseLtMatmul()", "cusparseLtStructuredDescriptorInit()").
//! `ci/cusparselt.sh` compares every number and size below with the header, and looks for every function in the library.

#![expect(unsafe_code, reason = "functions of a C library")]

use super::super::device::Gpu;
use super::super::driver::CudaError;
use super::super::memory::{DeviceMemory, Stage};
use super::super::program::ProgramError;
use super::bind::{Names, functions};
use super::cusparse::{check, pointer};
use super::{Held, Layout, Prepared, Product, long, product};
use crate::kernels::{Array, Dtype, Format, KernelError, Params};
use cudarc::driver::sys::CUstream;
use std::ffi::{c_int, c_void};
use std::rc::Rc;

const NAMES: Names = Names {
    title: "cusparselt",
    variable: "WATTPROOF_CUSPARSELT",
    files: if cfg!(windows) { &["cusparseLt.dll"] } else { &["libcusparseLt.so.0", "libcusparseLt.so"] },
    folder: "cusparselt",
    wheel: "nvidia-cusparselt-cu13",
};

/// The oldest version whose enumerators have these numbers.
const OLDEST: (c_int, c_int) = (0, 6);

/// Room for one of the library's structures, all of which are opaque: 512 bytes in version 0.10, 11,024 in 0.6.
const OPAQUE: usize = 16_384;

/// `cusparseOrder_t`, row-major.
const ROW_MAJOR: c_int = 2;
/// `cusparseOperation_t`.
const AS_IT_IS: c_int = 0;
const TRANSPOSED: c_int = 1;
/// `CUSPARSELT_SPARSITY_50_PERCENT`.
const HALF: c_int = 0;
/// `CUSPARSELT_MATMUL_ALG_DEFAULT`.
const DEFAULT: c_int = 0;
/// `CUSPARSELT_MATMUL_ALG_CONFIG_ID`.
const ALGORITHM_ID: c_int = 0;
/// Alignment in bytes that is promised of every matrix: those of the driver's allocations have more.
const ALIGNMENT: u32 = 16;

/// `cusparseComputeType`.
const COMPUTE_32I: c_int = 0;
const COMPUTE_32F: c_int = 2;
/// `cudaDataType`.
const R_16F: c_int = 2;
const R_8I: c_int = 3;
const R_32I: c_int = 10;
const R_16BF: c_int = 14;

/// One of the library's structures. It is handed over by its place and never moves.
#[repr(C, align(64))]
struct Opaque([u8; OPAQUE]);

impl Opaque {
    fn new() -> Box<Self> {
        Box::new(Self([0; OPAQUE]))
    }
}

type Out = *mut Opaque;
type In = *const Opaque;
type Data = *const c_void;

functions! {
    /// What is called of the library.
    Functions {
        property: "cusparseLtGetProperty" fn(c_int, *mut c_int) -> c_int,
        init: "cusparseLtInit" fn(Out) -> c_int,
        destroy: "cusparseLtDestroy" fn(In) -> c_int,
        dense: "cusparseLtDenseDescriptorInit" fn(In, Out, i64, i64, i64, u32, c_int, c_int) -> c_int,
        structured: "cusparseLtStructuredDescriptorInit"
            fn(In, Out, i64, i64, i64, u32, c_int, c_int, c_int) -> c_int,
        matrix_destroy: "cusparseLtMatDescriptorDestroy" fn(In) -> c_int,
        product: "cusparseLtMatmulDescriptorInit" fn(In, Out, c_int, c_int, In, In, In, In, c_int) -> c_int,
        selection: "cusparseLtMatmulAlgSelectionInit" fn(In, Out, In, c_int) -> c_int,
        algorithm: "cusparseLtMatmulAlgGetAttribute" fn(In, In, c_int, *mut c_void, usize) -> c_int,
        workspace: "cusparseLtMatmulGetWorkspace" fn(In, In, *mut usize) -> c_int,
        plan: "cusparseLtMatmulPlanInit" fn(In, Out, In, In) -> c_int,
        plan_destroy: "cusparseLtMatmulPlanDestroy" fn(In) -> c_int,
        multiply: "cusparseLtMatmul"
            fn(In, In, Data, Data, Data, Data, Data, *mut c_void, *mut c_void, *mut CUstream, i32) -> c_int,
        pruned: "cusparseLtSpMMAPruneCheck" fn(In, In, Data, *mut c_int, CUstream) -> c_int,
        compressed_size: "cusparseLtSpMMACompressedSize" fn(In, In, *mut usize, *mut usize) -> c_int,
        compress: "cusparseLtSpMMACompress" fn(In, In, Data, *mut c_void, *mut c_void, CUstream) -> c_int,
    }
}

/// How the library computes an element type.
pub(super) struct Kind {
    pub(super) dtype: Dtype,
    operand: Format,
    data: c_int,
    sum: Format,
    sums: c_int,
    compute: c_int,
    /// Rows and columns of every matrix come in multiples of this.
    whole: usize,
    /// Whether B has to be transposed.
    transposed: bool,
}

/// Every type: operands and answers in 16 bits with sums in binary32, and integers whose sums have 32 bits. In binary32 the
/// library stores one of every two elements, which is another structure.
pub(super) const TYPES: &[Kind] = &[
    Kind {
        dtype: Dtype::Bf16,
        operand: Format::Bf16,
        data: R_16BF,
        sum: Format::Bf16,
        sums: R_16BF,
        compute: COMPUTE_32F,
        whole: 16,
        transposed: false,
    },
    Kind {
        dtype: Dtype::F16,
        operand: Format::F16,
        data: R_16F,
        sum: Format::F16,
        sums: R_16F,
        compute: COMPUTE_32F,
        whole: 16,
        transposed: false,
    },
    Kind {
        dtype: Dtype::I8,
        operand: Format::I8,
        data: R_8I,
        sum: Format::I32,
        sums: R_32I,
        compute: COMPUTE_32I,
        whole: 32,
        transposed: true,
    },
];

/// The library.
pub(super) struct CuSparseLt {
    functions: Rc<Functions>,
    version: [c_int; 3],
}

impl CuSparseLt {
    /// Loads it.
    ///
    /// # Errors
    /// Why it is of no use: it is missing, lacks a function, or its enumerators have other numbers.
    pub(super) fn find() -> Result<Self, String> {
        let functions = Functions::of(NAMES.open()?)?;
        let mut version = [0; 3];
        for (part, number) in (0..).zip(&mut version) {
            // SAFETY: the place is valid; 0, 1 and 2 are major, minor and patch.
            let code = unsafe { (functions.property)(part, number) };
            check("cusparseLtGetProperty", code).map_err(|e| e.to_string())?;
        }
        if (version[0], version[1]) < OLDEST {
            let ([major, minor, _], (least, part)) = (version, OLDEST);
            return Err(format!(
                "the library is cuSPARSELt {major}.{minor}, and {least}.{part} is needed: install a newer one"
            ));
        }
        Ok(Self { functions: Rc::new(functions), version })
    }

    /// `0.10.0`.
    pub(super) fn version(&self) -> String {
        let [major, minor, patch] = self.version;
        format!("{major}.{minor}.{patch}")
    }

    /// Makes a product ready.
    pub(super) fn prepare(
        &self,
        (gpu, stage): (&Rc<Gpu>, &mut Stage),
        params: &Params,
        operands: &[Array],
    ) -> Result<Prepared, ProgramError> {
        let kind = TYPES.iter().find(|kind| kind.dtype == params.dtype);
        let kind =
            kind.ok_or_else(|| ProgramError::Library(format!("cuSPARSELt does not compute {}", params.dtype)))?;
        let size = |name| params.count(name).map_err(KernelError::from);
        let sides = [size("m")?, size("k")?, size("n")?];
        let [m, k, n] = sides;
        let [tall, deep, wide] = sides.map(|side| side.next_multiple_of(kind.whole));
        let a = Layout { padded: [tall, deep], ..Layout::plain("A", [m, k], kind.operand) };
        let b =
            Layout { padded: [deep, wide], transposed: kind.transposed, ..Layout::plain("B", [k, n], kind.operand) };
        let plan = Plan::new(&self.functions, gpu, kind, [tall, deep, wide])?;
        // The dense weights are on the device only until they are compressed.
        let (weights, compressed) = plan.compress(a.bring((gpu, &mut *stage), operands)?)?;
        let b = b.bring((gpu, stage), operands)?;
        // Rows that were filled up are part of the memory, and no part of the answer.
        let c = DeviceMemory::new(gpu, product([tall, wide])?.saturating_mul(kind.sum.size()))?;
        c.poison(kind.sum)?;
        let bytes = plan.workspace()?;
        let workspace = DeviceMemory::new(gpu, bytes)?;
        let turned = if kind.transposed { "B transposed; " } else { "" };
        let facts = vec![
            ("algorithm", format!("id {}", plan.algorithm()?)),
            ("workspace-bytes", bytes.to_string()),
            ("compressed-bytes", compressed.to_string()),
            ("layout", format!("{turned}{m}×{k}×{n} held as {tall}×{deep}×{wide}")),
            ("cusparselt", self.version()),
        ];
        let places = [&weights, &b, &c, &workspace].map(DeviceMemory::address);
        let held = Held { name: "C", format: kind.sum, width: wide, shape: vec![m, n] };
        let product = Multiply { plan, places };
        Ok(Prepared { product: Box::new(product), memory: vec![c, weights, b, workspace], output: 0, held, facts })
    }
}

/// A handle of the library with what describes a product; destroyed when it goes out of use.
struct Plan {
    functions: Rc<Functions>,
    gpu: Rc<Gpu>,
    handle: Box<Opaque>,
    /// A, B and C, as far as they were described.
    matrices: Vec<Box<Opaque>>,
    product: Box<Opaque>,
    selection: Box<Opaque>,
    plan: Box<Opaque>,
    planned: bool,
}

impl Plan {
    fn new(functions: &Rc<Functions>, gpu: &Rc<Gpu>, kind: &Kind, [m, k, n]: [usize; 3]) -> Result<Self, CudaError> {
        let f = Rc::clone(functions);
        let mut handle = Opaque::new();
        // SAFETY: the structure has room for the library's; the context of the device is current.
        check("cusparseLtInit", unsafe { (f.init)(&raw mut *handle) })?;
        // From here on what was described is destroyed whatever fails.
        let mut plan = Self {
            functions: Rc::clone(functions),
            gpu: Rc::clone(gpu),
            handle,
            matrices: Vec::new(),
            product: Opaque::new(),
            selection: Opaque::new(),
            plan: Opaque::new(),
            planned: false,
        };
        let own = &raw const *plan.handle;
        let [rows, depth, columns] = [m, k, n].map(long);
        let mut matrix = Opaque::new();
        // SAFETY: as above; rows follow each other without a gap.
        let code =
            unsafe { (f.structured)(own, &raw mut *matrix, rows, depth, depth, ALIGNMENT, kind.data, ROW_MAJOR, HALF) };
        check("cusparseLtStructuredDescriptorInit", code)?;
        plan.matrices.push(matrix);
        let right = if kind.transposed { (columns, depth) } else { (depth, columns) };
        for ((rows, columns), data) in [(right, kind.data), ((rows, columns), kind.sums)] {
            let mut matrix = Opaque::new();
            // SAFETY: as above.
            let code = unsafe { (f.dense)(own, &raw mut *matrix, rows, columns, columns, ALIGNMENT, data, ROW_MAJOR) };
            check("cusparseLtDenseDescriptorInit", code)?;
            plan.matrices.push(matrix);
        }
        let [a, b, c] = [0, 1, 2].map(|index: usize| &raw const *plan.matrices[index]);
        let turned = if kind.transposed { TRANSPOSED } else { AS_IT_IS };
        let product = &raw mut *plan.product;
        // SAFETY: all were described above.
        let code = unsafe { (f.product)(own, product, AS_IT_IS, turned, a, b, c, c, kind.compute) };
        check("cusparseLtMatmulDescriptorInit", code)?;
        let selection = &raw mut *plan.selection;
        // SAFETY: as above.
        check("cusparseLtMatmulAlgSelectionInit", unsafe { (f.selection)(own, selection, product, DEFAULT) })?;
        // SAFETY: as above.
        check("cusparseLtMatmulPlanInit", unsafe { (f.plan)(own, &raw mut *plan.plan, product, selection) })?;
        plan.planned = true;
        Ok(plan)
    }

    /// The weights in the library's own layout, and how many bytes they take.
    fn compress(&self, dense: DeviceMemory) -> Result<(DeviceMemory, usize), ProgramError> {
        let (f, own, plan) = (&self.functions, &raw const *self.handle, &raw const *self.plan);
        let stream = self.gpu.stream();
        let verdict = DeviceMemory::new(&self.gpu, size_of::<c_int>())?;
        verdict.clear()?;
        let (place, product) = (pointer(dense.address()), &raw const *self.product);
        // SAFETY: the weights have the size that was described; the verdict is an `int` on the device.
        let code = unsafe { (f.pruned)(own, product, place, pointer(verdict.address()).cast(), stream) };
        check("cusparseLtSpMMAPruneCheck", code)?;
        let found = Stage::new(&self.gpu)?.download(&verdict)?;
        if found.iter().any(|byte| *byte != 0) {
            return Err(ProgramError::Library(
                "cuSPARSELt finds more than two of four elements in the weights".to_owned(),
            ));
        }
        let (mut bytes, mut scratch) = (0, 0);
        // SAFETY: both places are valid.
        let code = unsafe { (f.compressed_size)(own, plan, &raw mut bytes, &raw mut scratch) };
        check("cusparseLtSpMMACompressedSize", code)?;
        let (weights, scratch) = (DeviceMemory::new(&self.gpu, bytes)?, DeviceMemory::new(&self.gpu, scratch)?);
        let [to, aside] = [&weights, &scratch].map(|memory| pointer(memory.address()));
        // SAFETY: all have the sizes that the library asked for.
        check("cusparseLtSpMMACompress", unsafe { (f.compress)(own, plan, place, to, aside, stream) })?;
        // Scratch and the dense weights are given back below.
        self.gpu.wait()?;
        Ok((weights, bytes))
    }

    fn workspace(&self) -> Result<usize, CudaError> {
        let mut bytes = 0;
        // SAFETY: the place is valid.
        let code =
            unsafe { (self.functions.workspace)(&raw const *self.handle, &raw const *self.plan, &raw mut bytes) };
        check("cusparseLtMatmulGetWorkspace", code)?;
        Ok(bytes)
    }

    fn algorithm(&self) -> Result<c_int, CudaError> {
        let (mut id, size): (c_int, usize) = (0, size_of::<c_int>());
        let (own, selection) = (&raw const *self.handle, &raw const *self.selection);
        // SAFETY: the attribute is an `int`.
        let code = unsafe { (self.functions.algorithm)(own, selection, ALGORITHM_ID, (&raw mut id).cast(), size) };
        check("cusparseLtMatmulAlgGetAttribute", code)?;
        Ok(id)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        let f = &self.functions;
        if self.planned {
            // SAFETY: made by `new`, destroyed once; so are the others.
            unsafe { (f.plan_destroy)(&raw const *self.plan) };
        }
        for matrix in &self.matrices {
            // SAFETY: as above.
            unsafe { (f.matrix_destroy)(&raw const **matrix) };
        }
        // SAFETY: as above.
        unsafe { (f.destroy)(&raw const *self.handle) };
    }
}

/// A product, ready.
struct Multiply {
    plan: Plan,
    /// Compressed weights, B, C and the workspace.
    places: [u64; 4],
}

impl Product for Multiply {
    fn enqueue(&self) -> Result<(), CudaError> {
        let [a, b, c, workspace] = self.places.map(pointer);
        let (one, zero) = (1.0_f32, 0.0_f32);
        let (one, zero) = ((&raw const one).cast(), (&raw const zero).cast());
        let (own, plan) = (&raw const *self.plan.handle, &raw const *self.plan.plan);
        let mut stream = self.plan.gpu.stream();
        // SAFETY: the plan and the memory live as long as the product, which is dropped after its last call was waited for;
        // factors are read before the call returns, and are binary32 for every type.
        let code =
            unsafe { (self.plan.functions.multiply)(own, plan, one, a, b, zero, c, c, workspace, &raw mut stream, 1) };
        check("cusparseLtMatmul", code)
    }
}
