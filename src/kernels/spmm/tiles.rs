//! The tiled program of `spmm-csr`.
//!
//! A strip of C is four registers wide. For one strip and one panel of A's columns, the matching
//! rows of B are packed side by side; then each row of A adds its stored elements of that panel to
//! four accumulators. A stored element is its value and the byte offset of its packed row, 16 bits.

#![expect(unsafe_code, reason = "vector operations on packed panels, inside a checked structure")]

use crate::kernels::csr::Csr;
use crate::kernels::element::Element;
use crate::kernels::params::product;
use crate::kernels::simd::{Simd, paths};
use crate::kernels::split::{Parts, balanced};
use crate::kernels::{Buffer, Isa, KernelError, ParamError, Team};
use std::ops::Range;

/// Bytes of a packed panel: fits a 32 KiB first-level cache beside the streams of A and C.
const PANEL_BYTES: usize = 24 << 10;
/// Registers in the width of a strip.
const STRIP: usize = 4;

/// Bytes of one packed row of B.
const fn packed_row(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => STRIP * 64,
        Isa::Avx2 => STRIP * 32,
        Isa::Portable => STRIP * 16,
    }
}

/// A sparse matrix cut into panels of columns.
pub(super) struct Tiled<T: Element> {
    rows: usize,
    columns: usize,
    /// Columns of A (rows of B) in a panel.
    depth: usize,
    /// For each panel one offset a row, and one more.
    row_ptr: Vec<u32>,
    /// Byte offset of each element's row in the packed panel.
    offsets: Buffer<u16>,
    values: Buffer<T>,
    /// Rows of each thread, balanced by stored elements.
    ranges: Vec<Range<usize>>,
    /// One packed panel for each thread.
    packed: Vec<Buffer<T>>,
    isa: Isa,
}

impl<T: SpmmPath> Tiled<T> {
    /// Cuts a matrix for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn cut(a: &Csr<T>, isa: Isa, team: &dyn Team) -> Result<Self, KernelError> {
        let depth = PANEL_BYTES / packed_row(isa);
        let mut row_ptr = Vec::with_capacity(a.columns_len().div_ceil(depth) * (a.rows() + 1));
        let mut offsets = Buffer::zeroed(a.nnz(), "packed offsets")?;
        let mut values = Buffer::zeroed(a.nnz(), "tiled values")?;
        let mut rows: Vec<_> = (0..a.rows()).map(|row| a.row(row).peekable()).collect();
        let mut stored = 0;
        let mark = |stored: usize| u32::try_from(stored).unwrap_or(u32::MAX);
        for first in (0..a.columns_len()).step_by(depth) {
            row_ptr.push(mark(stored));
            for row in &mut rows {
                while let Some((column, value)) = row.next_if(|(column, _)| *column < first + depth) {
                    #[expect(clippy::cast_possible_truncation, reason = "below PANEL_BYTES")]
                    let offset = ((column - first) * packed_row(isa)) as u16;
                    (offsets[stored], values[stored]) = (offset, value);
                    stored += 1;
                }
                row_ptr.push(mark(stored));
            }
        }
        let elements = PANEL_BYTES / size_of::<T>();
        let packed = (0..team.threads()).map(|_| Buffer::zeroed(elements, "a packed panel"));
        Ok(Self {
            rows: a.rows(),
            columns: a.columns_len(),
            depth,
            row_ptr,
            offsets,
            values,
            ranges: balanced(a.row_ptr(), team.threads()),
            packed: packed.collect::<Result<_, _>>()?,
            isa,
        })
    }

    /// The instruction set it was cut for.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// C = A·B; B has `n` columns and as many rows as A has columns, both are row-major.
    pub(super) fn multiply(&mut self, b: &[T], c: &mut [T], n: usize, team: &dyn Team) {
        assert!(b.len() == self.columns * n && c.len() == self.rows * n, "operands do not fit the matrix");
        let mut packed = std::mem::take(&mut self.packed);
        let (panels, c, program, a) = (Parts::of(&mut packed), Parts::of(c), T::pick(self.isa), &*self);
        team.run(&|thread| {
            // A team with more threads than ranges leaves some idle; with fewer, each takes several.
            for part in (thread..a.ranges.len()).step_by(team.threads()) {
                // SAFETY: each part belongs to one thread.
                let packed = &mut unsafe { panels.range(part..part + 1) }[0];
                let args = Args { a, b, c: &c, n, rows: a.ranges[part].clone(), packed: packed.as_mut_ptr() };
                // SAFETY: the instruction set is available; operands fit; rows and packed panels of
                // different threads do not overlap.
                unsafe { program(&args) };
            }
        });
        self.packed = packed;
    }
}

impl<T: Element> Tiled<T> {
    /// Bytes of the row offsets of all panels, with the widest registers (the most panels).
    ///
    /// # Errors
    /// [`ParamError::TooLarge`].
    pub(super) fn pointer_bytes(m: u64, k: u64) -> Result<u64, ParamError> {
        let depth = (PANEL_BYTES / packed_row(Isa::Avx512)) as u64;
        product("row offsets", &[4, k.div_ceil(depth), m + 1])
    }
}

/// What one thread computes.
pub(super) struct Args<'a, T: Element> {
    a: &'a Tiled<T>,
    b: &'a [T],
    c: &'a Parts<'a, T>,
    n: usize,
    rows: Range<usize>,
    packed: *mut T,
}

/// All strips of a range of rows.
///
/// # Safety
/// As for [`Simd`]; operands fit, `packed` holds a panel, and no other thread writes these rows.
#[inline(always)]
unsafe fn spmm<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    let width = STRIP * S::LANES;
    let full = args.n / width * width;
    // SAFETY: every strip lies inside the n columns; the rest is passed on to the caller.
    unsafe {
        for column in (0..full).step_by(width) {
            strip::<S, STRIP, false>(args, column, S::LANES);
        }
        let rest = args.n - full;
        let (registers, last) = (rest.div_ceil(S::LANES), (rest + S::LANES - 1) % S::LANES + 1);
        match (registers, last == S::LANES) {
            (0, _) => {}
            (1, true) => strip::<S, 1, false>(args, full, last),
            (2, true) => strip::<S, 2, false>(args, full, last),
            (3, true) => strip::<S, 3, false>(args, full, last),
            (1, false) => strip::<S, 1, true>(args, full, last),
            (2, false) => strip::<S, 2, true>(args, full, last),
            (3, false) => strip::<S, 3, true>(args, full, last),
            _ => strip::<S, STRIP, true>(args, full, last),
        }
    }
}
paths!(pub(super) trait SpmmPath: spmm(Args), registers = [1, 1, 1], for f32, f64);

/// One strip of N registers starting at `column`; with `RAGGED`, the last register holds only
/// `last` columns.
///
/// # Safety
/// As for [`spmm`].
#[inline(always)]
unsafe fn strip<S: Simd, const N: usize, const RAGGED: bool>(args: &Args<'_, S::Elem>, column: usize, last: usize) {
    let (a, n, width) = (args.a, args.n, STRIP * S::LANES);
    for (panel, first) in (0..a.columns).step_by(a.depth).enumerate() {
        // SAFETY: rows first.. of B exist up to `depth`, and the packed panel holds `depth` rows of
        // STRIP registers.
        unsafe {
            for row in 0..a.depth.min(a.columns - first) {
                let packed = args.packed.add(row * width);
                let from = load::<S, N, RAGGED>(args.b.as_ptr().add((first + row) * n + column), last);
                for (index, v) in from.into_iter().enumerate() {
                    S::store(packed.add(index * S::LANES), v);
                }
            }
        }
        let row_ptr = &a.row_ptr[panel * (a.rows + 1)..(panel + 1) * (a.rows + 1)];
        for row in args.rows.clone() {
            let (start, end) = (row_ptr[row] as usize, row_ptr[row + 1] as usize);
            if panel > 0 && start == end {
                continue;
            }
            // SAFETY: offsets were made by `cut` for this instruction set and lie inside the
            // packed panel; the row of C lies inside the output.
            unsafe {
                let out = args.c.as_mut_ptr().add(row * n + column);
                let mut sums = if panel == 0 { [S::splat(S::Elem::ZERO); N] } else { load::<S, N, RAGGED>(out, last) };
                for q in start..end {
                    let value = S::splat(*a.values.as_ptr().add(q));
                    let packed = args.packed.byte_add(usize::from(*a.offsets.as_ptr().add(q)));
                    for (index, sum) in sums.iter_mut().enumerate() {
                        *sum = S::fma(value, S::load(packed.add(index * S::LANES)), *sum);
                    }
                }
                store::<S, N, RAGGED>(out, sums, last);
            }
        }
    }
}

/// N registers from one row; with `RAGGED`, the last holds only `last` elements.
///
/// # Safety
/// As for [`Simd`]. (Functions and not closures, because only these are inlined without fail into
/// the code that enables the instruction set.)
#[inline(always)]
unsafe fn load<S: Simd, const N: usize, const RAGGED: bool>(from: *const S::Elem, last: usize) -> [S::V; N] {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut registers = [S::splat(S::Elem::ZERO); N];
        for (index, register) in registers.iter_mut().enumerate() {
            let from = from.add(index * S::LANES);
            *register = if RAGGED && index == N - 1 { S::load_first(from, last) } else { S::load(from) };
        }
        registers
    }
}

/// The counterpart of [`load`].
///
/// # Safety
/// As for [`load`].
#[inline(always)]
unsafe fn store<S: Simd, const N: usize, const RAGGED: bool>(to: *mut S::Elem, registers: [S::V; N], last: usize) {
    // SAFETY: passed on to the caller.
    unsafe {
        for (index, register) in registers.into_iter().enumerate() {
            let to = to.add(index * S::LANES);
            if RAGGED && index == N - 1 { S::store_first(to, register, last) } else { S::store(to, register) }
        }
    }
}
