//! Sparse products by cuSPARSE's generic interface: a matrix in CSR with a vector or a matrix, a matrix in BSR with a matrix.
//!
//! All dense matrices are row-major, as the case has them. Blocks are turned row by row, the one layout in which the library
//! multiplies them. The buffer is asked for, and the structure preprocessed, outside of the window.
//!
//! Sources: cuSPARSE documentation, "cusparseSpMV()" and "cusparseSpMM()" (algorithms: `CSR_ALG2` is the one for row-major
//! matrices); constants as cudarc 0.19 has them from the header.

#![expect(unsafe_code, reason = "functions of a C library")]

use super::super::device::Gpu;
use super::super::driver::CudaError;
use super::super::memory::{DeviceMemory, Stage};
use super::super::program::ProgramError;
use super::bind::{Names, functions, status};
use super::{Held, Layout, Prepared, Product, long, product};
use crate::kernels::{Array, Dtype, Format, KernelError, Params, Values, operand};
use cudarc::cusparse::sys;
use cudarc::driver::sys::CUstream;
use std::ffi::{c_int, c_void};
use std::rc::Rc;

const NAMES: Names = Names {
    title: "cusparse",
    variable: "WATTPROOF_CUSPARSE",
    files: if cfg!(windows) { &["cusparse64_12.dll"] } else { &["libcusparse.so.12", "libcusparse.so"] },
    folder: "cusparse",
    wheel: "nvidia-cusparse",
};

/// Kernels that it computes, and the types that it computes them in: in bfloat16, whose C is binary32, what the library's table of
/// mixed precision has for matrices in CSR.
pub(super) const KERNELS: &[(&str, &[Dtype])] = &[
    ("spmv-csr", &[Dtype::F32, Dtype::F64]),
    ("spmm-csr", &[Dtype::F32, Dtype::F64, Dtype::Bf16]),
    ("spmm-bsr", &[Dtype::F32, Dtype::F64]),
];

type Handle = *mut c_void;
type Place = *mut c_void;

functions! {
    /// What is called of the library. Enumerators are `int` in C.
    Functions {
        property: "cusparseGetProperty" fn(c_int, *mut c_int) -> c_int,
        create: "cusparseCreate" fn(*mut Handle) -> c_int,
        destroy: "cusparseDestroy" fn(Handle) -> c_int,
        set_stream: "cusparseSetStream" fn(Handle, CUstream) -> c_int,
        csr: "cusparseCreateCsr" fn(*mut Handle, i64, i64, i64, Place, Place, Place, u32, u32, u32, u32) -> c_int,
        bsr: "cusparseCreateBsr"
            fn(*mut Handle, i64, i64, i64, i64, i64, Place, Place, Place, u32, u32, u32, u32, u32) -> c_int,
        vector: "cusparseCreateDnVec" fn(*mut Handle, i64, Place, u32) -> c_int,
        matrix: "cusparseCreateDnMat" fn(*mut Handle, i64, i64, i64, Place, u32, u32) -> c_int,
        destroy_sparse: "cusparseDestroySpMat" fn(Handle) -> c_int,
        destroy_vector: "cusparseDestroyDnVec" fn(Handle) -> c_int,
        destroy_matrix: "cusparseDestroyDnMat" fn(Handle) -> c_int,
        spmv_size: "cusparseSpMV_bufferSize"
            fn(Handle, u32, *const c_void, Handle, Handle, *const c_void, Handle, u32, u32, *mut usize) -> c_int,
        spmv_preprocess: "cusparseSpMV_preprocess"
            fn(Handle, u32, *const c_void, Handle, Handle, *const c_void, Handle, u32, u32, Place) -> c_int,
        spmv: "cusparseSpMV"
            fn(Handle, u32, *const c_void, Handle, Handle, *const c_void, Handle, u32, u32, Place) -> c_int,
        spmm_size: "cusparseSpMM_bufferSize"
            fn(Handle, u32, u32, *const c_void, Handle, Handle, *const c_void, Handle, u32, u32, *mut usize) -> c_int,
        spmm_preprocess: "cusparseSpMM_preprocess"
            fn(Handle, u32, u32, *const c_void, Handle, Handle, *const c_void, Handle, u32, u32, Place) -> c_int,
        spmm: "cusparseSpMM"
            fn(Handle, u32, u32, *const c_void, Handle, Handle, *const c_void, Handle, u32, u32, Place) -> c_int,
    }
}

/// Statuses of cuSPARSE and of cuSPARSELt, which takes its own from there.
pub(super) const STATUSES: &[(c_int, &str)] = &[
    (1, "CUSPARSE_STATUS_NOT_INITIALIZED"),
    (2, "CUSPARSE_STATUS_ALLOC_FAILED"),
    (3, "CUSPARSE_STATUS_INVALID_VALUE"),
    (4, "CUSPARSE_STATUS_ARCH_MISMATCH"),
    (5, "CUSPARSE_STATUS_MAPPING_ERROR"),
    (6, "CUSPARSE_STATUS_EXECUTION_FAILED"),
    (7, "CUSPARSE_STATUS_INTERNAL_ERROR"),
    (8, "CUSPARSE_STATUS_MATRIX_TYPE_NOT_SUPPORTED"),
    (9, "CUSPARSE_STATUS_ZERO_PIVOT"),
    (10, "CUSPARSE_STATUS_NOT_SUPPORTED"),
    (11, "CUSPARSE_STATUS_INSUFFICIENT_RESOURCES"),
];

pub(super) fn check(call: &'static str, code: c_int) -> Result<(), CudaError> {
    if code == 0 { Ok(()) } else { Err(status(call, code, STATUSES)) }
}

const AS_IT_IS: u32 = sys::cusparseOperation_t::CUSPARSE_OPERATION_NON_TRANSPOSE as u32;
const ROW_MAJOR: u32 = sys::cusparseOrder_t::CUSPARSE_ORDER_ROW as u32;
const INDEX: u32 = sys::cusparseIndexType_t::CUSPARSE_INDEX_32I as u32;
const FROM_ZERO: u32 = sys::cusparseIndexBase_t::CUSPARSE_INDEX_BASE_ZERO as u32;

/// The library.
pub(super) struct CuSparse {
    functions: Rc<Functions>,
    version: String,
}

impl CuSparse {
    /// Loads it.
    ///
    /// # Errors
    /// Why it is of no use.
    pub(super) fn find() -> Result<Self, String> {
        let functions = Functions::of(NAMES.open()?)?;
        let mut version = String::new();
        for part in 0..3 {
            let mut number = 0;
            // SAFETY: the place is valid; 0, 1 and 2 are major, minor and patch.
            let code = unsafe { (functions.property)(part, &raw mut number) };
            check("cusparseGetProperty", code).map_err(|e| e.to_string())?;
            version += &format!("{}{number}", if part == 0 { "" } else { "." });
        }
        Ok(Self { functions: Rc::new(functions), version })
    }

    /// `12.6.1`.
    pub(super) fn version(&self) -> String {
        self.version.clone()
    }

    /// Makes a case of one of [`KERNELS`] ready.
    pub(super) fn prepare(
        &self,
        (gpu, stage): (&Rc<Gpu>, &mut Stage),
        kernel: &str,
        params: &Params,
        operands: &[Array],
    ) -> Result<Prepared, ProgramError> {
        let size = |name| params.count(name).map_err(KernelError::from);
        let (m, k) = (size("m")?, size("k")?);
        let [single, double, short] = [
            sys::cudaDataType_t::CUDA_R_32F as u32,
            sys::cudaDataType_t::CUDA_R_64F as u32,
            sys::cudaDataType_t::CUDA_R_16BF as u32,
        ];
        let (format, sums, data) = match params.dtype {
            Dtype::F64 => (Format::F64, Format::F64, Data { operands: double, sums: double }),
            Dtype::Bf16 => (Format::Bf16, Format::F32, Data { operands: short, sums: single }),
            _ => (Format::F32, Format::F32, Data { operands: single, sums: single }),
        };
        let len = |name| operands.iter().find(|a| a.name == name).map_or(0, |a| a.values.len());
        let blocked = kernel == "spmm-bsr";
        let (side, stored) = (if blocked { size("block")? } else { 1 }, if blocked { "blocks" } else { "values" });
        let n = if kernel == "spmv-csr" { None } else { Some(size("n")?) };
        let mut bring = |name, len| Layout::plain(name, [len, 1], Format::U32).bring((gpu, stage), operands);
        let (offsets, columns) = (bring("row_ptr", m / side + 1)?, bring("columns", len("columns"))?);
        let values = if blocked {
            let turned = [row_by_row(operands, side)?];
            Layout::plain("blocks", [len(stored), 1], format).bring((gpu, stage), &turned)?
        } else {
            Layout::plain("values", [len(stored), 1], format).bring((gpu, stage), operands)?
        };
        let (right, name) = if n.is_some() { ("B", "C") } else { ("x", "y") };
        let right = Layout::plain(right, [k, n.unwrap_or(1)], format).bring((gpu, stage), operands)?;
        let answer = DeviceMemory::new(gpu, product([m, n.unwrap_or(1)])?.saturating_mul(sums.size()))?;
        answer.poison(sums)?;
        let sparse = Sparse { rows: m, columns: k, side, stored: len("columns") };
        let places = [&offsets, &columns, &values, &right, &answer].map(DeviceMemory::address);
        let mut plan = Plan::new(&self.functions, gpu, (sparse, n, data), places)?;
        let bytes = plan.buffer_bytes()?;
        let buffer = DeviceMemory::new(gpu, bytes)?;
        plan.buffer = buffer.address();
        plan.call(Call::Preprocess)?;
        let mut facts = vec![("algorithm", plan.algorithm.1.to_owned()), ("workspace-bytes", bytes.to_string())];
        if blocked {
            facts.push(("layout", "blocks held row by row".to_owned()));
        }
        facts.push(("cusparse", self.version()));
        let shape = n.map_or_else(|| vec![m], |n| vec![m, n]);
        let held = Held { name, format: sums, width: shape.last().copied().unwrap_or(1), shape };
        let memory = vec![answer, offsets, columns, values, right, buffer];
        Ok(Prepared { product: Box::new(plan), memory, output: 0, held, facts })
    }
}

/// The stored blocks, each turned from column by column to row by row.
fn row_by_row(operands: &[Array], side: usize) -> Result<Array, KernelError> {
    fn turned<T: Copy>(all: &[T], side: usize) -> Vec<T> {
        let block = |block: &[T]| (0..side * side).map(|at| block[at % side * side + at / side]).collect::<Vec<T>>();
        all.chunks_exact(side * side).flat_map(block).collect()
    }
    let found = operands.iter().find(|a| a.name == "blocks");
    let len = found.map_or(0, |a| a.values.len());
    let values = match operand(operands, "blocks", len)? {
        Values::F32(all) => Values::F32(turned(all, side)),
        Values::F64(all) => Values::F64(turned(all, side)),
        Values::U32(all) => Values::U32(turned(all, side)),
    };
    Ok(Array { name: "blocks", shape: vec![len], values })
}

/// A sparse matrix: its sides in elements, the side of a block (1 for CSR), and how many blocks are stored.
struct Sparse {
    rows: usize,
    columns: usize,
    side: usize,
    stored: usize,
}

/// Types of operands, and of sums and the answer (`cudaDataType`).
#[derive(Clone, Copy)]
struct Data {
    operands: u32,
    sums: u32,
}

/// What is called.
#[derive(Clone, Copy)]
enum Call {
    Preprocess,
    Multiply,
}

/// A product described to the library; destroyed when it goes out of use.
struct Plan {
    functions: Rc<Functions>,
    handle: Handle,
    sparse: Handle,
    /// The right operand and the answer.
    dense: [Handle; 2],
    vectors: bool,
    /// Type of sums.
    data: u32,
    algorithm: (u32, &'static str),
    buffer: u64,
    /// One and zero, each at the front of a word.
    factors: [u64; 2],
}

impl Plan {
    fn new(
        functions: &Rc<Functions>,
        gpu: &Gpu,
        (matrix, n, data): (Sparse, Option<usize>, Data),
        places: [u64; 5],
    ) -> Result<Self, CudaError> {
        use sys::{cusparseSpMMAlg_t as Mm, cusparseSpMVAlg_t as Mv};
        let null = std::ptr::null_mut;
        let algorithm = match (n, matrix.side) {
            (None, _) => (Mv::CUSPARSE_SPMV_CSR_ALG1 as u32, "CUSPARSE_SPMV_CSR_ALG1"),
            (_, 1) => (Mm::CUSPARSE_SPMM_CSR_ALG2 as u32, "CUSPARSE_SPMM_CSR_ALG2"),
            _ => (Mm::CUSPARSE_SPMM_BSR_ALG1 as u32, "CUSPARSE_SPMM_BSR_ALG1"),
        };
        let double = data.sums == sys::cudaDataType_t::CUDA_R_64F as u32;
        let one = if double { 1f64.to_bits() } else { u64::from(1f32.to_bits()) };
        // From here on what was created is destroyed whatever fails.
        let mut plan = Self {
            functions: Rc::clone(functions),
            handle: null(),
            sparse: null(),
            dense: [null(); 2],
            vectors: n.is_none(),
            data: data.sums,
            algorithm,
            buffer: 0,
            factors: [one, 0],
        };
        let f = functions;
        let [offsets, columns, values, right, answer] = places.map(pointer);
        let Sparse { rows, columns: deep, side, stored } = matrix;
        // SAFETY: the place is valid; the context of the device is current.
        check("cusparseCreate", unsafe { (f.create)(&raw mut plan.handle) })?;
        // SAFETY: handle and stream are valid.
        check("cusparseSetStream", unsafe { (f.set_stream)(plan.handle, gpu.stream()) })?;
        let (to, sides) = (&raw mut plan.sparse, [rows / side, deep / side, stored, side].map(long));
        let [high, wide, stored, side] = sides;
        if side == 1 {
            // SAFETY: the arrays have the lengths of a CSR matrix of these sides, offsets and columns of 32 bits.
            let code = unsafe {
                (f.csr)(to, high, wide, stored, offsets, columns, values, INDEX, INDEX, FROM_ZERO, data.operands)
            };
            check("cusparseCreateCsr", code)?;
        } else {
            // SAFETY: the arrays have the lengths of a BSR matrix of these sides, blocks row by row.
            let code = unsafe {
                (f.bsr)(
                    to,
                    high,
                    wide,
                    stored,
                    side,
                    side,
                    offsets,
                    columns,
                    values,
                    INDEX,
                    INDEX,
                    FROM_ZERO,
                    data.operands,
                    ROW_MAJOR,
                )
            };
            check("cusparseCreateBsr", code)?;
        }
        let dense = [(right, deep, data.operands), (answer, rows, data.sums)];
        for (to, (place, rows, data)) in plan.dense.iter_mut().zip(dense) {
            match n {
                // SAFETY: the vector has this length.
                None => check("cusparseCreateDnVec", unsafe { (f.vector)(to, long(rows), place, data) })?,
                Some(n) => {
                    // SAFETY: the matrix has these sides, row after row without a gap.
                    let code = unsafe { (f.matrix)(to, long(rows), long(n), long(n), place, data, ROW_MAJOR) };
                    check("cusparseCreateDnMat", code)?;
                }
            }
        }
        Ok(plan)
    }

    fn factors(&self) -> [*const c_void; 2] {
        [&raw const self.factors[0], &raw const self.factors[1]].map(<*const u64>::cast)
    }

    /// Memory that the product asks for.
    fn buffer_bytes(&self) -> Result<usize, CudaError> {
        let (f, [one, zero], [right, answer]) = (&self.functions, self.factors(), self.dense);
        let (data, algorithm, mut bytes) = (self.data, self.algorithm.0, 0_usize);
        let to = &raw mut bytes;
        if self.vectors {
            // SAFETY: all describe what lies on the device; the place is valid.
            let code = unsafe {
                (f.spmv_size)(self.handle, AS_IT_IS, one, self.sparse, right, zero, answer, data, algorithm, to)
            };
            check("cusparseSpMV_bufferSize", code)?;
        } else {
            // SAFETY: as above.
            let code = unsafe {
                (f.spmm_size)(
                    self.handle,
                    AS_IT_IS,
                    AS_IT_IS,
                    one,
                    self.sparse,
                    right,
                    zero,
                    answer,
                    data,
                    algorithm,
                    to,
                )
            };
            check("cusparseSpMM_bufferSize", code)?;
        }
        Ok(bytes)
    }

    fn call(&self, call: Call) -> Result<(), CudaError> {
        let (f, [one, zero], [right, answer]) = (&self.functions, self.factors(), self.dense);
        let (data, algorithm, buffer) = (self.data, self.algorithm.0, pointer(self.buffer));
        if self.vectors {
            let (name, function) = match call {
                Call::Preprocess => ("cusparseSpMV_preprocess", f.spmv_preprocess),
                Call::Multiply => ("cusparseSpMV", f.spmv),
            };
            // SAFETY: descriptors, factors and memory live as long as the product, which is dropped after its last call was
            // waited for; the buffer has the size that was asked for.
            let code = unsafe {
                function(self.handle, AS_IT_IS, one, self.sparse, right, zero, answer, data, algorithm, buffer)
            };
            check(name, code)
        } else {
            let (name, function) = match call {
                Call::Preprocess => ("cusparseSpMM_preprocess", f.spmm_preprocess),
                Call::Multiply => ("cusparseSpMM", f.spmm),
            };
            // SAFETY: as above.
            let code = unsafe {
                function(
                    self.handle,
                    AS_IT_IS,
                    AS_IT_IS,
                    one,
                    self.sparse,
                    right,
                    zero,
                    answer,
                    data,
                    algorithm,
                    buffer,
                )
            };
            check(name, code)
        }
    }
}

impl Product for Plan {
    fn enqueue(&self) -> Result<(), CudaError> {
        self.call(Call::Multiply)
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
        let dense = if self.vectors { f.destroy_vector } else { f.destroy_matrix };
        self.dense.iter().for_each(|handle| destroy(dense, *handle));
        destroy(f.destroy_sparse, self.sparse);
        destroy(f.destroy, self.handle);
    }
}

/// An address on the device as the library takes it.
pub(super) const fn pointer(at: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(at as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_turned_one_by_one() {
        let values = Values::F32((0..8u8).map(f32::from).collect());
        let operands = [Array { name: "blocks", shape: vec![2, 2, 2], values }];
        let Values::F32(turned) = row_by_row(&operands, 2).unwrap().values else { panic!("single precision") };
        assert_eq!(turned, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    }
}
