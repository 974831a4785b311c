//! cuSPARSELt on the processor. Structures begin with the address of what they stand for; compressed weights are values and
//! places, a layout of this double alone. What the library would refuse is refused.

use super::cusparse::{INVALID_VALUE, NOT_SUPPORTED};
use super::number::{self, BF16, F16, I8, I32};
use super::script::failing;
use super::{Return, SUCCESS, put};
use std::ffi::{c_int, c_void};

const ROW_MAJOR: c_int = 2;
const COMPUTE_32I: c_int = 0;
const COMPUTE_32F: c_int = 2;
/// Workspace that every product asks for, in bytes.
const WORKSPACE: usize = 8192;

/// A matrix, row-major.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    rows: usize,
    columns: usize,
    step: usize,
    kind: u32,
    structured: bool,
}

/// A product: A, B and C, and whether B is transposed.
#[derive(Clone, Copy)]
pub(crate) struct Description {
    matrices: [Matrix; 3],
    transposed: bool,
}

/// Writes a new value's address to the front of a structure.
///
/// # Safety
/// `to` is valid for a write.
unsafe fn store<T>(to: *mut *mut T, value: T) -> Return {
    // SAFETY: by the caller's promise.
    unsafe { put(to, Box::into_raw(Box::new(value))) }
}

fn size(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}

fn matrix((rows, columns, step): (i64, i64, i64), kind: c_int, order: c_int, structured: bool) -> Option<Matrix> {
    let (rows, columns, step, kind) = (size(rows), size(columns), size(step), kind.cast_unsigned());
    // In elements: of structured and of dense matrices of this type.
    let (structured_whole, dense_whole) = match kind {
        I8 => (32, 16),
        _ => (16, 8),
    };
    let whole = if structured { structured_whole } else { dense_whole };
    let fits = [rows, columns, step].iter().all(|n| *n > 0 && n.is_multiple_of(whole)) && step >= columns;
    (fits && order == ROW_MAJOR).then_some(Matrix { rows, columns, step, kind, structured })
}

fn supported(product: &Description, compute: c_int) -> bool {
    let [a, b, c] = &product.matrices;
    let (deep, wide) = if product.transposed { (b.columns, b.rows) } else { (b.rows, b.columns) };
    let types = match (a.kind, c.kind, compute) {
        (BF16, BF16, COMPUTE_32F) | (F16, F16, COMPUTE_32F) => true,
        // Integers only with B transposed.
        (I8, I32 | I8, COMPUTE_32I) => product.transposed,
        _ => false,
    };
    types && a.structured && !b.structured && a.kind == b.kind && (a.columns, a.rows, wide) == (deep, c.rows, c.columns)
}

/// Stored element `index` of a row: where its place lies, behind all values.
fn place_of(a: &Matrix, row: usize, index: usize) -> usize {
    a.rows * a.columns / 2 * width(a.kind) + row * a.columns / 2 + index
}

fn width(kind: u32) -> usize {
    match kind {
        I32 => 4,
        I8 => 1,
        _ => 2,
    }
}

functions! {
    /// The version, part by part.
    cusparseLtGetProperty(part: c_int, to: *mut c_int) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, if part == 1 { 8 } else { 0 }) }
    }
    /// A handle is nothing.
    cusparseLtInit(_handle: *mut c_void) { SUCCESS }
    /// Nothing to give back.
    cusparseLtDestroy(_handle: *const c_void) { SUCCESS }
    /// A dense matrix.
    cusparseLtDenseDescriptorInit(
        _handle: *const c_void, to: *mut *mut Matrix, rows: i64, columns: i64, step: i64, alignment: u32, kind: c_int,
        order: c_int
    ) {
        let made = matrix((rows, columns, step), kind, order, false).filter(|_| alignment >= 16);
        // SAFETY: by the caller's promise.
        made.map_or(NOT_SUPPORTED, |made| unsafe { store(to, made) })
    }
    /// A 2:4 matrix.
    cusparseLtStructuredDescriptorInit(
        _handle: *const c_void, to: *mut *mut Matrix, rows: i64, columns: i64, step: i64, alignment: u32, kind: c_int,
        order: c_int, _sparsity: c_int
    ) {
        let made = matrix((rows, columns, step), kind, order, true).filter(|_| alignment >= 16);
        // SAFETY: by the caller's promise.
        made.map_or(NOT_SUPPORTED, |made| unsafe { store(to, made) })
    }
    /// Gives a matrix back.
    cusparseLtMatDescriptorDestroy(matrix: *const *mut Matrix) {
        // SAFETY: made above, destroyed once.
        drop(unsafe { Box::from_raw(*matrix) });
        SUCCESS
    }
    /// Describes a product. Descriptions are few and live as long as the process.
    cusparseLtMatmulDescriptorInit(
        _handle: *const c_void, to: *mut *mut Description, first: c_int, second: c_int, a: *const *const Matrix,
        b: *const *const Matrix, c: *const *const Matrix, d: *const *const Matrix, compute: c_int
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let product = Description { matrices: [**a, **b, **c], transposed: second == 1 };
            if first != 0 || *c != *d || !supported(&product, compute) {
                return NOT_SUPPORTED;
            }
            store(to, product)
        }
    }
    /// An algorithm is nothing.
    cusparseLtMatmulAlgSelectionInit(
        _handle: *const c_void, _to: *mut c_void, _product: *const c_void, _algorithm: c_int
    ) { SUCCESS }
    /// Its number.
    cusparseLtMatmulAlgGetAttribute(
        _handle: *const c_void, _selection: *const c_void, _attribute: c_int, to: *mut c_int, _size: usize
    ) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, 7) }
    }
    /// Its workspace.
    cusparseLtMatmulGetWorkspace(_handle: *const c_void, _plan: *const c_void, to: *mut usize) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, WORKSPACE) }
    }
    /// A plan is its product.
    cusparseLtMatmulPlanInit(
        _handle: *const c_void, to: *mut *mut Description, product: *const *mut Description, _selection: *const c_void
    ) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, *product) }
    }
    /// Nothing to give back.
    cusparseLtMatmulPlanDestroy(_plan: *const c_void) { SUCCESS }
    /// Writes 1 where a group has more than two elements that are not zero.
    cusparseLtSpMMAPruneCheck(
        _handle: *const c_void, product: *const *const Description, dense: *const u8, valid: *mut c_int,
        _stream: *mut c_void
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let [a, ..] = (**product).matrices;
            let element = |row: usize, column: usize| number::read(dense, row * a.step + column, a.kind);
            let full = (0..a.rows).any(|row| {
                (0..a.columns).step_by(4).any(|first| (first..first + 4).filter(|c| element(row, *c) != 0.0).count() > 2)
            });
            put(valid, c_int::from(full))
        }
    }
    /// Half of the values, and a byte for the place of each.
    cusparseLtSpMMACompressedSize(
        _handle: *const c_void, plan: *const *const Description, size: *mut usize, scratch: *mut usize
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let [a, ..] = (**plan).matrices;
            put(scratch, 256);
            put(size, a.rows * a.columns / 2 * (width(a.kind) + 1))
        }
    }
    /// Compresses.
    cusparseLtSpMMACompress(
        _handle: *const c_void, plan: *const *const Description, dense: *const u8, to: *mut u8, _scratch: *mut c_void,
        _stream: *mut c_void
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            let [a, ..] = (**plan).matrices;
            for row in 0..a.rows {
                for group in 0..a.columns / 4 {
                    let element = |column: usize| number::read(dense, row * a.step + 4 * group + column, a.kind);
                    let mut places: Vec<usize> = (0..4).filter(|c| element(*c) != 0.0).collect();
                    places.extend((0..4).filter(|c| element(*c) == 0.0));
                    for (index, column) in places[..2].iter().enumerate() {
                        let stored = 2 * group + index;
                        number::write(to, row * a.columns / 2 + stored, a.kind, element(*column));
                        #[expect(clippy::cast_possible_truncation, reason = "a place below four")]
                        to.add(place_of(&a, row, stored)).write(*column as u8);
                    }
                }
            }
        }
        SUCCESS
    }
    /// Computes.
    cusparseLtMatmul(
        _handle: *const c_void, plan: *const *const Description, alpha: *const f32, a: *const u8, b: *const u8,
        beta: *const f32, _c: *const u8, d: *mut u8, workspace: *const c_void, _streams: *const c_void, count: i32
    ) {
        // SAFETY: by the caller's promise.
        let (product, factors) = unsafe { (**plan, (*alpha, *beta)) };
        if factors != (1.0, 0.0) || workspace.is_null() || count != 1 {
            return INVALID_VALUE;
        }
        let [left, right, answer] = product.matrices;
        for row in 0..answer.rows {
            for column in 0..answer.columns {
                let mut sum = 0.0;
                for stored in 0..left.columns / 2 {
                    // SAFETY: by the caller's promise, the places lie inside the matrices.
                    unsafe {
                        let depth = 4 * (stored / 2) + usize::from(a.add(place_of(&left, row, stored)).read());
                        let at = if product.transposed { column * right.step + depth } else { depth * right.step + column };
                        let (x, y) = (
                            number::read(a, row * left.columns / 2 + stored, left.kind),
                            number::read(b, at, right.kind),
                        );
                        sum += x * y;
                    }
                }
                // SAFETY: by the caller's promise, the places lie inside the matrices.
                unsafe { number::write(d, row * answer.step + column, answer.kind, sum) };
            }
        }
        SUCCESS
    }
}
