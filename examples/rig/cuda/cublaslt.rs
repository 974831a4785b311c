//! cuBLASLt on the processor: every product is computed from the layouts, types and operations that it is given, so a wrong
//! leading dimension or operation gives a wrong answer. What the library would refuse is refused.

use super::number::{self, BF16, E4M3, F16, F32, F64, I8, I32};
use super::script::{failing, script};
use super::{Return, SUCCESS, put};
use std::ffi::{c_int, c_void};

const INVALID_VALUE: Return = 7;
const NOT_SUPPORTED: Return = 15;
/// Workspace that every algorithm asks for, in bytes.
const WORKSPACE: usize = 1 << 20;
/// How this algorithm is called.
const ALGORITHM: u64 = 0x5EED;

const COMPUTE_32F: u32 = 68;
const COMPUTE_64F: u32 = 70;
const COMPUTE_32I: u32 = 72;
const COMPUTE_TF32: u32 = 77;

/// What `cublasLtMatmulDesc_t` points to.
pub(crate) struct Description {
    compute: u32,
    scale: u32,
    /// Of A and of B.
    transposed: [bool; 2],
}

/// What `cublasLtMatrixLayout_t` points to: column by column.
pub(crate) struct Layout {
    kind: u32,
    rows: usize,
    columns: usize,
    step: usize,
}

/// What `cublasLtMatmulHeuristicResult_t` is.
#[repr(C)]
pub(crate) struct Found {
    algorithm: [u64; 8],
    workspace: usize,
    state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

/// Whether the library computes this; `None` where it does not.
fn supported(product: &Description, [a, b, c]: [&Layout; 3]) -> Option<()> {
    let [turned, _] = product.transposed;
    let ((m, k), (deep, n)) = (
        if turned { (a.columns, a.rows) } else { (a.rows, a.columns) },
        if product.transposed[1] { (b.columns, b.rows) } else { (b.rows, b.columns) },
    );
    let fits = k == deep && (c.rows, c.columns) == (m, n) && [a, b, c].iter().all(|l| l.step >= l.rows);
    let narrow = |whole: usize| {
        // Only "TN", and sizes and leading dimensions in whole multiples.
        turned && !product.transposed[1] && [m, k, a.step, b.step, c.step].iter().all(|x| x.is_multiple_of(whole))
    };
    let types = match (product.compute, a.kind, product.scale, c.kind) {
        (COMPUTE_32F, F32 | F16 | BF16, F32, F32) | (COMPUTE_TF32, F32, F32, F32) | (COMPUTE_64F, F64, F64, F64) => {
            true
        }
        (COMPUTE_32F, E4M3, F32, F32) => narrow(16),
        (COMPUTE_32I, I8, I32, I32) => narrow(4),
        _ => false,
    };
    (fits && types && a.kind == b.kind).then_some(())
}

// The library's version, and the CUDA it is of.
/// # Safety
/// None is needed.
// SAFETY: no other library of the process exports cuBLASLt's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cublasLtGetVersion() -> usize {
    130_002
}

/// # Safety
/// None is needed.
// SAFETY: no other library of the process exports cuBLASLt's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cublasLtGetCudartVersion() -> usize {
    failing("cublasLtGetCudartVersion").map_or(12_080, |code| code as usize)
}

functions! {
    /// A handle is nothing.
    cublasLtCreate(to: *mut *mut c_void) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, std::ptr::without_provenance_mut(1)) }
    }
    /// Nothing to give back.
    cublasLtDestroy(_handle: *mut c_void) { SUCCESS }
    /// Describes a product.
    cublasLtMatmulDescCreate(to: *mut *mut Description, compute: u32, scale: u32) {
        let made = Box::new(Description { compute, scale, transposed: [false; 2] });
        // SAFETY: by the caller's promise.
        unsafe { put(to, Box::into_raw(made)) }
    }
    /// Gives a description back.
    cublasLtMatmulDescDestroy(product: *mut Description) {
        // SAFETY: made above, destroyed once.
        drop(unsafe { Box::from_raw(product) });
        SUCCESS
    }
    /// Operations on A and B.
    cublasLtMatmulDescSetAttribute(product: *mut Description, attribute: u32, value: *const c_void, size: usize) {
        if !(3..=4).contains(&attribute) || size != 4 {
            return INVALID_VALUE;
        }
        // SAFETY: by the caller's promise.
        unsafe { (&mut (*product).transposed)[attribute as usize - 3] = value.cast::<u32>().read() == 1 };
        SUCCESS
    }
    /// Describes a matrix.
    cublasLtMatrixLayoutCreate(to: *mut *mut Layout, kind: u32, rows: u64, columns: u64, step: i64) {
        let (Ok(rows), Ok(columns), Ok(step)) = (usize::try_from(rows), usize::try_from(columns), usize::try_from(step))
        else { return INVALID_VALUE };
        // SAFETY: by the caller's promise.
        unsafe { put(to, Box::into_raw(Box::new(Layout { kind, rows, columns, step }))) }
    }
    /// Gives a layout back.
    cublasLtMatrixLayoutDestroy(layout: *mut Layout) {
        // SAFETY: made above, destroyed once.
        drop(unsafe { Box::from_raw(layout) });
        SUCCESS
    }
    /// A preference is the largest workspace.
    cublasLtMatmulPreferenceCreate(to: *mut *mut u64) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, Box::into_raw(Box::new(0))) }
    }
    /// Gives a preference back.
    cublasLtMatmulPreferenceDestroy(preference: *mut u64) {
        // SAFETY: made above, destroyed once.
        drop(unsafe { Box::from_raw(preference) });
        SUCCESS
    }
    /// The largest workspace.
    cublasLtMatmulPreferenceSetAttribute(preference: *mut u64, attribute: u32, value: *const c_void, size: usize) {
        if attribute != 1 || size != 8 {
            return INVALID_VALUE;
        }
        // SAFETY: by the caller's promise.
        unsafe { put(preference, value.cast::<u64>().read()) }
    }
    /// The one algorithm there is, for what is supported and where the workspace suffices.
    cublasLtMatmulAlgoGetHeuristic(
        _handle: *mut c_void, product: *const Description, a: *const Layout, b: *const Layout, c: *const Layout,
        _d: *const Layout, preference: *const u64, asked: c_int, found: *mut Found, count: *mut c_int
    ) {
        // SAFETY: by the caller's promise.
        unsafe {
            if supported(&*product, [&*a, &*b, &*c]).is_none() {
                return NOT_SUPPORTED;
            }
            let some = asked > 0 && preference.read() >= WORKSPACE as u64;
            if some {
                let mut algorithm = [0; 8];
                algorithm[0] = ALGORITHM;
                found.write(Found { algorithm, workspace: WORKSPACE, state: 0, waves: 0.5, reserved: [0; 4] });
            }
            put(count, c_int::from(some))
        }
    }
    /// Numbers of the algorithm.
    cublasLtMatmulAlgoConfigGetAttribute(
        _algorithm: *const u64, attribute: u32, to: *mut c_void, _size: usize, _written: *mut usize
    ) {
        // SAFETY: by the caller's promise.
        unsafe { put(to.cast::<u32>(), 60 + attribute) }
    }
}

/// Computes.
///
/// # Safety
/// As for the library's function of this name.
// SAFETY: no other library of the process exports cuBLASLt's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cublasLtMatmul(
    _handle: *mut c_void,
    product: *const Description,
    alpha: *const c_void,
    a: *const u8,
    a_layout: *const Layout,
    b: *const u8,
    b_layout: *const Layout,
    beta: *const c_void,
    _c: *const u8,
    _c_layout: *const Layout,
    d: *mut u8,
    d_layout: *const Layout,
    algorithm: *const u64,
    workspace: *const c_void,
    bytes: usize,
    _stream: *mut c_void,
) -> Return {
    if let Some(code) = failing("cublasLtMatmul") {
        return code;
    }
    // SAFETY: by the caller's promise.
    let (product, [first, second, third]) = unsafe { (&*product, [&*a_layout, &*b_layout, &*d_layout]) };
    if supported(product, [first, second, third]).is_none() {
        return NOT_SUPPORTED;
    }
    // SAFETY: by the caller's promise.
    let (one, zero) =
        unsafe { (number::read(alpha.cast(), 0, product.scale), number::read(beta.cast(), 0, product.scale)) };
    // SAFETY: by the caller's promise.
    if unsafe { algorithm.read() } != ALGORITHM || bytes < WORKSPACE || workspace.is_null() || (one, zero) != (1.0, 0.0)
    {
        return INVALID_VALUE;
    }
    let tf32 = product.compute == COMPUTE_TF32 || script().is_some_and(|s| s.silent_tf32) && first.kind == F32;
    // Another algorithm for large products than for small ones.
    let widest = third.rows.max(third.columns);
    let narrow =
        first.kind == F32 && script().is_some_and(|s| s.narrow_from.is_some_and(|from| widest >= from as usize));
    let depth = if product.transposed[0] { first.rows } else { first.columns };
    for column in 0..third.columns {
        for row in 0..third.rows {
            let mut sum = 0.0;
            for q in 0..depth {
                let left = if product.transposed[0] { row * first.step + q } else { q * first.step + row };
                let right = if product.transposed[1] { q * second.step + column } else { column * second.step + q };
                // SAFETY: by the caller's promise, the places lie inside the matrices.
                let (x, y) = unsafe { (number::read(a, left, first.kind), number::read(b, right, second.kind)) };
                let [x, y] = [x, y].map(|x| if narrow { number::bf16(x) } else { x });
                sum += if tf32 { number::tf32(x) * number::tf32(y) } else { x * y };
                if third.kind == F32 {
                    #[expect(clippy::cast_possible_truncation, reason = "sums are kept in single precision")]
                    let single = sum as f32;
                    sum = f64::from(single);
                }
            }
            // SAFETY: as above.
            unsafe { number::write(d, column * third.step + row, third.kind, sum) };
        }
    }
    SUCCESS
}
