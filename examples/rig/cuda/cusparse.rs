//! cuSPARSE's generic interface on the processor: products are computed from the descriptors, so a wrong order, leading
//! dimension or index base gives a wrong answer. What the library would refuse is refused.

use super::number::{self, BF16, F32, F64};
use super::script::failing;
use super::{Return, SUCCESS, put};
use std::ffi::{c_int, c_void};

pub(crate) const INVALID_VALUE: Return = 3;
pub(crate) const NOT_SUPPORTED: Return = 10;
/// Bytes of the buffer that every product asks for.
const BUFFER: usize = 4096;
/// What preprocessing leaves at the front of it, and products look for.
const PREPROCESSED: u64 = 0xB0F;
const ROW_MAJOR: u32 = 2;
const INDEX_32: u32 = 2;

/// A sparse matrix of square blocks; those of CSR have one element.
pub(crate) struct Sparse {
    rows: usize,
    columns: usize,
    side: usize,
    offsets: *const u32,
    indices: *const u32,
    values: *const u8,
    kind: u32,
    by_rows: bool,
}

/// A dense matrix; a vector has one column.
pub(crate) struct Dense {
    rows: usize,
    columns: usize,
    step: usize,
    values: *mut u8,
    kind: u32,
    by_rows: bool,
}

impl Dense {
    const fn at(&self, row: usize, column: usize) -> usize {
        if self.by_rows { row * self.step + column } else { column * self.step + row }
    }
}

fn size(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

/// Whether the library computes this: the algorithm, the types, and the fitting of sides.
fn refusal(a: &Sparse, b: &Dense, c: &Dense, types: (u32, u32), operations: u32) -> Option<Return> {
    let (compute, algorithm) = types;
    let vector = b.step == 0;
    let known = match (vector, a.side) {
        (true, 1) => matches!(algorithm, 0 | 2 | 3),
        (false, 1) => matches!(algorithm, 0 | 4 | 6 | 12),
        // Only row-major blocks, by the one algorithm there is.
        (false, _) => matches!(algorithm, 0 | 14) && a.by_rows,
        (true, _) => false,
    };
    let plain = [F32, F64].contains(&compute) && [a.kind, b.kind, c.kind].iter().all(|kind| *kind == compute);
    // Of mixed precision, what matrices in CSR have in bfloat16.
    let mixed = !vector && a.side == 1 && (a.kind, b.kind, c.kind, compute) == (BF16, BF16, F32, F32);
    let numbers = plain || mixed;
    let fits = (a.columns, a.rows, b.columns) == (b.rows, c.rows, c.columns);
    match (known && numbers && operations == 0, fits) {
        (false, _) => Some(NOT_SUPPORTED),
        (_, false) => Some(INVALID_VALUE),
        _ => None,
    }
}

/// C = A·B, with factors of one and zero.
///
/// # Safety
/// The descriptors describe memory that is there.
unsafe fn multiply(a: &Sparse, b: &Dense, c: &Dense, buffer: *const u64) -> Return {
    // SAFETY: by the caller's promise.
    if buffer.is_null() || unsafe { buffer.read() } != PREPROCESSED {
        return INVALID_VALUE;
    }
    for row in 0..a.rows {
        let (block_row, inner) = (row / a.side, row % a.side);
        for column in 0..c.columns {
            let mut sum = 0.0;
            // SAFETY: by the caller's promise.
            let (first, end) = unsafe { (a.offsets.add(block_row).read(), a.offsets.add(block_row + 1).read()) };
            for stored in first as usize..end as usize {
                for q in 0..a.side {
                    let within = if a.by_rows { inner * a.side + q } else { q * a.side + inner };
                    // SAFETY: by the caller's promise, the places lie inside the matrices.
                    unsafe {
                        let depth = a.indices.add(stored).read() as usize * a.side + q;
                        let value = number::read(a.values, stored * a.side * a.side + within, a.kind);
                        sum += value * number::read(b.values, b.at(depth, column), b.kind);
                    }
                }
            }
            // SAFETY: by the caller's promise, the places lie inside the matrices.
            unsafe { number::write(c.values, c.at(row, column), c.kind, sum) };
        }
    }
    SUCCESS
}

functions! {
    /// The version, part by part.
    cusparseGetProperty(part: c_int, to: *mut c_int) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, [12, 6, 3].get(usize::try_from(part).unwrap_or(9)).copied().unwrap_or(0)) }
    }
    /// A handle is nothing.
    cusparseCreate(to: *mut *mut c_void) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, std::ptr::without_provenance_mut(1)) }
    }
    /// Nothing to give back.
    cusparseDestroy(_handle: *mut c_void) { SUCCESS }
    /// All work is done at once.
    cusparseSetStream(_handle: *mut c_void, _stream: *mut c_void) { SUCCESS }
    /// A matrix in CSR.
    cusparseCreateCsr(
        to: *mut *mut Sparse, rows: i64, columns: i64, _stored: i64, offsets: *const u32, indices: *const u32,
        values: *const u8, offsets_type: u32, indices_type: u32, base: u32, kind: u32
    ) {
        if (offsets_type, indices_type, base) != (INDEX_32, INDEX_32, 0) {
            return NOT_SUPPORTED;
        }
        let (rows, columns) = (size(rows), size(columns));
        let made = Sparse { rows, columns, side: 1, offsets, indices, values, kind, by_rows: true };
        // SAFETY: by the caller's promise.
        unsafe { put(to, Box::into_raw(Box::new(made))) }
    }
    /// A matrix in BSR.
    cusparseCreateBsr(
        to: *mut *mut Sparse, rows: i64, columns: i64, _stored: i64, high: i64, wide: i64, offsets: *const u32,
        indices: *const u32, values: *const u8, offsets_type: u32, indices_type: u32, base: u32, kind: u32, order: u32
    ) {
        if (offsets_type, indices_type, base) != (INDEX_32, INDEX_32, 0) || high != wide {
            return NOT_SUPPORTED;
        }
        let (side, by_rows) = (size(high), order == ROW_MAJOR);
        let (rows, columns) = (size(rows) * side, size(columns) * side);
        let made = Sparse { rows, columns, side, offsets, indices, values, kind, by_rows };
        // SAFETY: by the caller's promise.
        unsafe { put(to, Box::into_raw(Box::new(made))) }
    }
    /// A vector: its step is 0, which no matrix has.
    cusparseCreateDnVec(to: *mut *mut Dense, rows: i64, values: *mut u8, kind: u32) {
        let made = Dense { rows: size(rows), columns: 1, step: 0, values, kind, by_rows: false };
        // SAFETY: by the caller's promise.
        unsafe { put(to, Box::into_raw(Box::new(made))) }
    }
    /// A dense matrix.
    cusparseCreateDnMat(
        to: *mut *mut Dense, rows: i64, columns: i64, step: i64, values: *mut u8, kind: u32, order: u32
    ) {
        let (rows, columns, step, by_rows) = (size(rows), size(columns), size(step), order == ROW_MAJOR);
        if step < if by_rows { columns } else { rows } {
            return INVALID_VALUE;
        }
        let made = Dense { rows, columns, step, values, kind, by_rows };
        // SAFETY: by the caller's promise.
        unsafe { put(to, Box::into_raw(Box::new(made))) }
    }
    /// Gives a matrix back.
    cusparseDestroySpMat(matrix: *mut Sparse) {
        // SAFETY: made above, destroyed once.
        drop(unsafe { Box::from_raw(matrix) });
        SUCCESS
    }
    /// Gives a vector back.
    cusparseDestroyDnVec(vector: *mut Dense) {
        // SAFETY: made above, destroyed once.
        drop(unsafe { Box::from_raw(vector) });
        SUCCESS
    }
    /// Gives a matrix back.
    cusparseDestroyDnMat(matrix: *mut Dense) {
        // SAFETY: made above, destroyed once.
        drop(unsafe { Box::from_raw(matrix) });
        SUCCESS
    }
    /// Its buffer.
    cusparseSpMV_bufferSize(
        _handle: *mut c_void, operation: u32, _one: *const c_void, a: *const Sparse, b: *const Dense,
        _zero: *const c_void, c: *const Dense, compute: u32, algorithm: u32, to: *mut usize
    ) {
        // SAFETY: by the caller's promise.
        unsafe { refusal(&*a, &*b, &*c, (compute, algorithm), operation).unwrap_or_else(|| put(to, BUFFER)) }
    }
    /// Looks at the structure.
    cusparseSpMV_preprocess(
        _handle: *mut c_void, operation: u32, _one: *const c_void, a: *const Sparse, b: *const Dense,
        _zero: *const c_void, c: *const Dense, compute: u32, algorithm: u32, buffer: *mut u64
    ) {
        // SAFETY: by the caller's promise.
        unsafe { refusal(&*a, &*b, &*c, (compute, algorithm), operation).unwrap_or_else(|| put(buffer, PREPROCESSED)) }
    }
    /// Computes.
    cusparseSpMV(
        _handle: *mut c_void, operation: u32, _one: *const c_void, a: *const Sparse, b: *const Dense,
        _zero: *const c_void, c: *const Dense, compute: u32, algorithm: u32, buffer: *const u64
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let refused = refusal(&*a, &*b, &*c, (compute, algorithm), operation);
            refused.unwrap_or_else(|| multiply(&*a, &*b, &*c, buffer))
        }
    }
    /// Its buffer.
    cusparseSpMM_bufferSize(
        _handle: *mut c_void, first: u32, second: u32, _one: *const c_void, a: *const Sparse, b: *const Dense,
        _zero: *const c_void, c: *const Dense, compute: u32, algorithm: u32, to: *mut usize
    ) {
        // SAFETY: by the caller's promise.
        unsafe { refusal(&*a, &*b, &*c, (compute, algorithm), first | second).unwrap_or_else(|| put(to, BUFFER)) }
    }
    /// Looks at the structure.
    cusparseSpMM_preprocess(
        _handle: *mut c_void, first: u32, second: u32, _one: *const c_void, a: *const Sparse, b: *const Dense,
        _zero: *const c_void, c: *const Dense, compute: u32, algorithm: u32, buffer: *mut u64
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let refused = refusal(&*a, &*b, &*c, (compute, algorithm), first | second);
            refused.unwrap_or_else(|| put(buffer, PREPROCESSED))
        }
    }
    /// Computes.
    cusparseSpMM(
        _handle: *mut c_void, first: u32, second: u32, _one: *const c_void, a: *const Sparse, b: *const Dense,
        _zero: *const c_void, c: *const Dense, compute: u32, algorithm: u32, buffer: *const u64
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let refused = refusal(&*a, &*b, &*c, (compute, algorithm), first | second);
            refused.unwrap_or_else(|| multiply(&*a, &*b, &*c, buffer))
        }
    }
}
