//! Dense products by cuBLASLt.
//!
//! The library counts in columns: a row-major C = A·B is its Cᵀ = Bᵀ·Aᵀ, so the operands change places and nothing is moved.
//! For integers and e4m3 it computes products of a transposed and a plain operand only, in sizes of whole sixteens: B is then
//! held transposed, and the matrices are filled up with zeros, outside of the window.
//!
//! Sources: cuBLAS 13 documentation, "cublasLtMatmul()" (types, and the requirements of 8-bit operands), and "Using the cuBLASLt
//! API"; constants as cudarc 0.19 has them from the header.

#![expect(unsafe_code, reason = "functions of a C library")]

use super::super::device::Gpu;
use super::super::driver::CudaError;
use super::super::memory::{DeviceMemory, Stage};
use super::super::program::ProgramError;
use super::bind::{Names, functions, status};
use super::{Facts, Held, Layout, Prepared, Product, long, product};
use crate::kernels::{Array, Dtype, Format, Params};
use cudarc::cublaslt::sys;
use cudarc::driver::sys::CUstream;
use std::ffi::{c_int, c_void};
use std::rc::Rc;

const NAMES: Names = Names {
    title: "cublaslt",
    variable: "WATTPROOF_CUBLASLT",
    files: if cfg!(windows) {
        &["cublasLt64_13.dll", "cublasLt64_12.dll"]
    } else {
        &["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"]
    },
    folder: "cublas",
    wheel: "nvidia-cublas",
};

/// Largest workspace, in bytes: what NVIDIA recommends for Hopper (cuBLAS 13 documentation, "cublasSetWorkspace()").
const WORKSPACE: usize = 32 << 20;

/// Sizes of 8-bit operands come in multiples of this.
const WHOLE: usize = 16;

type Handle = *mut c_void;

functions! {
    /// What is called of the library. Enumerators are `int` in C.
    Functions {
        cuda: "cublasLtGetCudartVersion" fn() -> usize,
        version: "cublasLtGetVersion" fn() -> usize,
        create: "cublasLtCreate" fn(*mut Handle) -> c_int,
        destroy: "cublasLtDestroy" fn(Handle) -> c_int,
        desc_create: "cublasLtMatmulDescCreate" fn(*mut Handle, u32, u32) -> c_int,
        desc_destroy: "cublasLtMatmulDescDestroy" fn(Handle) -> c_int,
        desc_set: "cublasLtMatmulDescSetAttribute" fn(Handle, u32, *const c_void, usize) -> c_int,
        layout_create: "cublasLtMatrixLayoutCreate" fn(*mut Handle, u32, u64, u64, i64) -> c_int,
        layout_destroy: "cublasLtMatrixLayoutDestroy" fn(Handle) -> c_int,
        preference_create: "cublasLtMatmulPreferenceCreate" fn(*mut Handle) -> c_int,
        preference_destroy: "cublasLtMatmulPreferenceDestroy" fn(Handle) -> c_int,
        preference_set: "cublasLtMatmulPreferenceSetAttribute" fn(Handle, u32, *const c_void, usize) -> c_int,
        heuristic: "cublasLtMatmulAlgoGetHeuristic"
            fn(Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut Found, *mut c_int) -> c_int,
        algorithm_get: "cublasLtMatmulAlgoConfigGetAttribute"
            fn(*const sys::cublasLtMatmulAlgo_t, u32, *mut c_void, usize, *mut usize) -> c_int,
        multiply: "cublasLtMatmul" fn(
            Handle,
            Handle,
            *const c_void,
            *const c_void,
            Handle,
            *const c_void,
            Handle,
            *const c_void,
            *const c_void,
            Handle,
            *mut c_void,
            Handle,
            *const sys::cublasLtMatmulAlgo_t,
            *mut c_void,
            usize,
            CUstream,
        ) -> c_int,
    }
}

/// `cublasLtMatmulHeuristicResult_t`, with the status as a number.
#[repr(C)]
struct Found {
    algorithm: sys::cublasLtMatmulAlgo_t,
    workspace: usize,
    state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

const STATUSES: &[(c_int, &str)] = &[
    (1, "CUBLAS_STATUS_NOT_INITIALIZED"),
    (3, "CUBLAS_STATUS_ALLOC_FAILED"),
    (7, "CUBLAS_STATUS_INVALID_VALUE"),
    (8, "CUBLAS_STATUS_ARCH_MISMATCH"),
    (11, "CUBLAS_STATUS_MAPPING_ERROR"),
    (13, "CUBLAS_STATUS_EXECUTION_FAILED"),
    (14, "CUBLAS_STATUS_INTERNAL_ERROR"),
    (15, "CUBLAS_STATUS_NOT_SUPPORTED"),
    (16, "CUBLAS_STATUS_LICENSE_ERROR"),
];

fn check(call: &'static str, code: c_int) -> Result<(), CudaError> {
    if code == 0 { Ok(()) } else { Err(status(call, code, STATUSES)) }
}

/// How the library computes an element type.
pub(super) struct Kind {
    pub(super) dtype: Dtype,
    /// Compute capability from which on devices have the type.
    pub(super) capability: (u32, u32),
    operand: Format,
    data: sys::cudaDataType_t,
    compute: sys::cublasComputeType_t,
    /// Type of the factors, one and zero.
    scale: sys::cudaDataType_t,
    sum: Format,
    sums: sys::cudaDataType_t,
    /// Whether it is computed from a transposed and a plain operand of whole sizes only.
    narrow: bool,
}

use sys::cublasComputeType_t::{
    CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_COMPUTE_32I, CUBLAS_COMPUTE_64F,
};
use sys::cudaDataType_t::{CUDA_R_8F_E4M3, CUDA_R_8I, CUDA_R_16BF, CUDA_R_16F, CUDA_R_32F, CUDA_R_32I, CUDA_R_64F};

/// A type whose operands are stored as `operand` and summed in binary32.
const fn single(dtype: Dtype, capability: (u32, u32), operand: Format, data: sys::cudaDataType_t) -> Kind {
    Kind {
        dtype,
        capability,
        operand,
        data,
        compute: CUBLAS_COMPUTE_32F,
        scale: CUDA_R_32F,
        sum: Format::F32,
        sums: CUDA_R_32F,
        narrow: false,
    }
}

/// Every type. Binary32 asks for its own arithmetic: TF32 is a type of its own here.
pub(super) const TYPES: &[Kind] = &[
    single(Dtype::F32, (0, 0), Format::F32, CUDA_R_32F),
    Kind {
        compute: CUBLAS_COMPUTE_64F,
        scale: CUDA_R_64F,
        sum: Format::F64,
        sums: CUDA_R_64F,
        ..single(Dtype::F64, (0, 0), Format::F64, CUDA_R_64F)
    },
    Kind { compute: CUBLAS_COMPUTE_32F_FAST_TF32, ..single(Dtype::Tf32, (8, 0), Format::F32, CUDA_R_32F) },
    single(Dtype::Bf16, (8, 0), Format::Bf16, CUDA_R_16BF),
    single(Dtype::F16, (7, 0), Format::F16, CUDA_R_16F),
    Kind {
        compute: CUBLAS_COMPUTE_32I,
        scale: CUDA_R_32I,
        sum: Format::I32,
        sums: CUDA_R_32I,
        narrow: true,
        ..single(Dtype::I8, (7, 5), Format::I8, CUDA_R_8I)
    },
    Kind { narrow: true, ..single(Dtype::F8, (8, 9), Format::F8, CUDA_R_8F_E4M3) },
];

impl Kind {
    /// One and zero as the library reads them, each at the front of a word.
    fn factors(&self) -> [u64; 2] {
        let one = match self.scale {
            CUDA_R_64F => 1f64.to_bits(),
            CUDA_R_32I => 1,
            _ => u64::from(1f32.to_bits()),
        };
        [one, 0]
    }
}

/// The library.
pub(super) struct CublasLt {
    functions: Rc<Functions>,
}

impl CublasLt {
    /// Loads it.
    ///
    /// # Errors
    /// Why it is of no use: it is missing, lacks a function, or is newer than the driver's CUDA, of major number `driver`.
    pub(super) fn find(driver: u32) -> Result<Self, String> {
        let functions = Functions::of(NAMES.open()?)?;
        // SAFETY: the function takes nothing.
        let cuda = unsafe { (functions.cuda)() };
        if cuda / 1000 > driver as usize {
            let (major, minor) = (cuda / 1000, cuda % 1000 / 10);
            return Err(format!(
                "the library is of CUDA {major}.{minor}, newer than the driver, which speaks CUDA {driver}: update the \
                 driver, or install the library of CUDA {driver}"
            ));
        }
        Ok(Self { functions: Rc::new(functions) })
    }

    /// `13.0.2`: the number is `10000·major + 100·minor + patch`.
    pub(super) fn version(&self) -> String {
        // SAFETY: the function takes nothing.
        let number = unsafe { (self.functions.version)() };
        format!("{}.{}.{}", number / 10_000, number % 10_000 / 100, number % 100)
    }

    /// Makes a product ready.
    pub(super) fn prepare(
        &self,
        (gpu, stage): (&Rc<Gpu>, &mut Stage),
        params: &Params,
        operands: &[Array],
    ) -> Result<Prepared, ProgramError> {
        let kind = TYPES.iter().find(|kind| kind.dtype == params.dtype);
        let kind = kind.ok_or_else(|| ProgramError::Library(format!("cuBLASLt does not compute {}", params.dtype)))?;
        let size = |name| params.count(name).map_err(crate::kernels::KernelError::from);
        let [m, n, k] = [size("m")?, size("n")?, size("k")?];
        let whole = |x: usize| if kind.narrow { x.next_multiple_of(WHOLE) } else { x };
        let (wide, deep) = (whole(n), whole(k));
        let a = Layout { padded: [m, deep], ..Layout::plain("A", [m, k], kind.operand) };
        let b = Layout { padded: [deep, wide], transposed: kind.narrow, ..Layout::plain("B", [k, n], kind.operand) };
        let a = a.bring((gpu, stage), operands)?;
        let b = b.bring((gpu, stage), operands)?;
        let c = DeviceMemory::new(gpu, product([m, wide])?.saturating_mul(kind.sum.size()))?;
        c.poison(kind.sum)?;
        let plan = Plan::new(&self.functions, kind, [m, wide, deep])?;
        let (found, mut facts) = plan.algorithm()?;
        let workspace = DeviceMemory::new(gpu, found.workspace)?;
        if kind.narrow {
            facts.push(("layout", format!("B transposed; k = {k} held as {deep}, n = {n} held as {wide}")));
        }
        facts.push(("cublaslt", self.version()));
        let places = [&a, &b, &c, &workspace].map(DeviceMemory::address);
        let product = Gemm { gpu: Rc::clone(gpu), plan, found, factors: kind.factors(), places };
        let held = Held { name: "C", format: kind.sum, width: wide, shape: vec![m, n] };
        Ok(Prepared { product: Box::new(product), memory: vec![c, a, b, workspace], output: 0, held, facts })
    }
}

/// A handle of the library with what describes a product; destroyed when it goes out of use.
struct Plan {
    functions: Rc<Functions>,
    handle: Handle,
    product: Handle,
    /// Of the library's first operand (our B), its second (our A), and the answer.
    layouts: [Handle; 3],
    preference: Handle,
    what: String,
}

impl Plan {
    fn new(functions: &Rc<Functions>, kind: &Kind, [m, n, k]: [usize; 3]) -> Result<Self, CudaError> {
        let null = std::ptr::null_mut;
        let what = format!("{}, {m}×{n}×{k}", kind.dtype);
        // From here on what was created is destroyed whatever fails.
        let mut plan = Self {
            functions: Rc::clone(functions),
            handle: null(),
            product: null(),
            layouts: [null(); 3],
            preference: null(),
            what,
        };
        let f = &plan.functions;
        // SAFETY: the place is valid; the context of the device is current.
        check("cublasLtCreate", unsafe { (f.create)(&raw mut plan.handle) })?;
        let (compute, scale) = (kind.compute as u32, kind.scale as u32);
        // SAFETY: the place is valid.
        check("cublasLtMatmulDescCreate", unsafe { (f.desc_create)(&raw mut plan.product, compute, scale) })?;
        let transposed = u32::from(kind.narrow);
        let attribute = sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA as u32;
        // SAFETY: the attribute is a `cublasOperation_t`, four bytes, of which 0 is "as it is" and 1 "transposed".
        let set = unsafe { (f.desc_set)(plan.product, attribute, (&raw const transposed).cast(), 4) };
        check("cublasLtMatmulDescSetAttribute", set)?;
        let first = if kind.narrow { (k, n, k) } else { (n, k, n) };
        let shapes = [(kind.data, first), (kind.data, (k, m, k)), (kind.sums, (n, m, n))];
        for (layout, (data, (rows, columns, step))) in plan.layouts.iter_mut().zip(shapes) {
            // SAFETY: the place is valid.
            let made = unsafe { (f.layout_create)(layout, data as u32, rows as u64, columns as u64, long(step)) };
            check("cublasLtMatrixLayoutCreate", made)?;
        }
        // SAFETY: the place is valid.
        check("cublasLtMatmulPreferenceCreate", unsafe { (f.preference_create)(&raw mut plan.preference) })?;
        let attribute = sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES as u32;
        let most = WORKSPACE as u64;
        // SAFETY: the attribute is a `uint64_t`.
        let set = unsafe { (f.preference_set)(plan.preference, attribute, (&raw const most).cast(), 8) };
        check("cublasLtMatmulPreferenceSetAttribute", set)?;
        Ok(plan)
    }

    /// The library's own choice, and what is known of it.
    fn algorithm(&self) -> Result<(Found, Facts), ProgramError> {
        let f = &self.functions;
        let algorithm = sys::cublasLtMatmulAlgo_t { data: [0; 8] };
        let mut found = Found { algorithm, workspace: 0, state: 0, waves: 0.0, reserved: [0; 4] };
        let mut count = 0;
        let [first, second, answer] = self.layouts;
        // SAFETY: all are descriptors of this library; there is room for the one result that is asked for.
        let code = unsafe {
            (f.heuristic)(
                self.handle,
                self.product,
                first,
                second,
                answer,
                answer,
                self.preference,
                1,
                &raw mut found,
                &raw mut count,
            )
        };
        if code != 15 {
            check("cublasLtMatmulAlgoGetHeuristic", code)?;
        }
        if code == 15 || count < 1 || found.state != 0 {
            let what = &self.what;
            let words = format!(
                "cuBLASLt has no algorithm for {what} within {WORKSPACE} bytes of workspace: write `program: own`"
            );
            return Err(ProgramError::Library(words));
        }
        use sys::cublasLtMatmulAlgoConfigAttributes_t as Attribute;
        let number = |attribute: Attribute| {
            let (mut value, mut written) = (0_u32, 0_usize);
            // SAFETY: the attributes that are asked for are numbers of 32 bits.
            let code = unsafe {
                (f.algorithm_get)(
                    &raw const found.algorithm,
                    attribute as u32,
                    (&raw mut value).cast(),
                    4,
                    &raw mut written,
                )
            };
            if code == 0 { value.to_string() } else { "unknown".to_owned() }
        };
        let words = format!(
            "id {}, tile {}, stages {}, split-k {}",
            number(Attribute::CUBLASLT_ALGO_CONFIG_ID),
            number(Attribute::CUBLASLT_ALGO_CONFIG_TILE_ID),
            number(Attribute::CUBLASLT_ALGO_CONFIG_STAGES_ID),
            number(Attribute::CUBLASLT_ALGO_CONFIG_SPLITK_NUM)
        );
        let workspace = found.workspace.to_string();
        Ok((found, vec![("algorithm", words), ("workspace-bytes", workspace)]))
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        let f = &self.functions;
        let destroy = |function: unsafe extern "C" fn(Handle) -> c_int, handle: Handle| {
            if !handle.is_null() {
                // SAFETY: created by `new`, destroyed once.
                unsafe { function(handle) };
            }
        };
        destroy(f.preference_destroy, self.preference);
        self.layouts.iter().for_each(|layout| destroy(f.layout_destroy, *layout));
        destroy(f.desc_destroy, self.product);
        destroy(f.destroy, self.handle);
    }
}

/// A product, ready.
struct Gemm {
    gpu: Rc<Gpu>,
    plan: Plan,
    found: Found,
    factors: [u64; 2],
    /// A, B, C and the workspace.
    places: [u64; 4],
}

impl Product for Gemm {
    fn enqueue(&self) -> Result<(), CudaError> {
        let [a, b, c, workspace] = self.places.map(|at| std::ptr::with_exposed_provenance_mut::<c_void>(at as usize));
        let [one, zero] = [&raw const self.factors[0], &raw const self.factors[1]].map(<*const u64>::cast);
        let [first, second, answer] = self.plan.layouts;
        // SAFETY: descriptors, factors and memory live as long as the product, which is dropped after its last call was
        // waited for; the memory has the sizes that the layouts say.
        let code = unsafe {
            (self.plan.functions.multiply)(
                self.plan.handle,
                self.plan.product,
                one,
                b,
                first,
                a,
                second,
                zero,
                c,
                answer,
                c,
                answer,
                &raw const self.found.algorithm,
                workspace,
                self.found.workspace,
                self.gpu.stream(),
            )
        };
        check("cublasLtMatmul", code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary32_asks_for_its_own_arithmetic_and_tf32_for_its() {
        let compute = |dtype| TYPES.iter().find(|kind| kind.dtype == dtype).map(|kind| kind.compute);
        assert_eq!(compute(Dtype::F32), Some(CUBLAS_COMPUTE_32F));
        assert_eq!(compute(Dtype::Tf32), Some(CUBLAS_COMPUTE_32F_FAST_TF32));
        assert!(Dtype::ALL.iter().all(|dtype| compute(*dtype).is_some()));
    }

    #[test]
    fn the_result_of_the_heuristic_has_the_layout_of_the_header() {
        let header =
            (size_of::<sys::cublasLtMatmulHeuristicResult_t>(), align_of::<sys::cublasLtMatmulHeuristicResult_t>());
        assert_eq!((size_of::<Found>(), align_of::<Found>()), header);
        assert_eq!(
            std::mem::offset_of!(Found, waves),
            std::mem::offset_of!(sys::cublasLtMatmulHeuristicResult_t, wavesCount)
        );
    }
}
