//! The tiled program of `spmm-2-4`.
//!
//! As in `spmm-csr`, B is packed strip by strip and cut into panels that the first-level cache holds; sums
//! of a row rest in a packed strip between panels. Two bits say which row of a group of four is meant, so
//! addresses are computed, not loaded, and every group costs the same: no loop has a surprising end.

#![expect(unsafe_code, reason = "vector operations on packed panels, inside a checked structure")]

use super::structure::{PER_BYTE, TwoOfFour};
use crate::kernels::element::Element;
use crate::kernels::simd::{Simd, paths};
use crate::kernels::split::{Parts, even};
use crate::kernels::{Buffer, Isa, KernelError, Team};
use std::ops::Range;

/// Bytes of a panel of packed B: fits a 32 KiB first-level cache beside the streams of A and C.
const PANEL_BYTES: usize = 24 << 10;
/// Rows whose sums rest together: 256 KiB with the widest strips.
const BLOCK_ROWS: usize = 512;

/// Bytes of one packed row of B: eight registers where there are 32, else four.
const fn packed_row(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 8 * 64,
        Isa::Avx2 => 4 * 32,
        Isa::Neon => 8 * 16,
        Isa::Portable => 4 * 16,
    }
}

/// A matrix ready for products with `n` columns.
pub(super) struct Tiled<T: Element> {
    matrix: TwoOfFour<T>,
    n: usize,
    /// B, strip by strip; the last strip is filled up with zeros.
    packed: Buffer<T>,
    /// The resting sums of a block of rows, for each thread.
    scratch: Vec<Buffer<T>>,
    isa: Isa,
}

impl<T: TwoOfFourPath> Tiled<T> {
    /// Prepares a matrix for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(matrix: TwoOfFour<T>, n: usize, isa: Isa, team: &dyn Team) -> Result<Self, KernelError> {
        let width = packed_row(isa) / size_of::<T>();
        let packed = Buffer::zeroed(n.next_multiple_of(width) * matrix.columns(), "packed B")?;
        let resting = BLOCK_ROWS.min(matrix.rows()) * width;
        let scratch = (0..team.threads()).map(|_| Buffer::zeroed(resting, "a strip of C"));
        Ok(Self { scratch: scratch.collect::<Result<_, _>>()?, matrix, n, packed, isa })
    }

    /// The instruction set it was made for.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// Rows of the matrix.
    pub(super) const fn rows(&self) -> usize {
        self.matrix.rows()
    }

    /// C = A·B; both have `n` columns and are row-major.
    pub(super) fn multiply(&mut self, b: &[T], c: &mut [T], team: &dyn Team) {
        let (rows, depth) = (self.matrix.rows(), self.matrix.columns());
        assert!(b.len() == depth * self.n && c.len() == rows * self.n, "operands do not fit the matrix");
        let width = packed_row(self.isa) / size_of::<T>();
        let (mut scratch, mut packed) = (std::mem::take(&mut self.scratch), self.packed.take());
        let (parts, c, program, a) = (Parts::of(&mut scratch), Parts::of(c), T::pick(self.isa), &*self);
        let (shared, rows_of_b) = (Parts::of(&mut packed), even(depth, team.threads(), PER_BYTE));
        team.run(&|thread| {
            for row in rows_of_b[thread].clone() {
                for (strip, piece) in b[row * a.n..(row + 1) * a.n].chunks(width).enumerate() {
                    let start = (strip * depth + row) * width;
                    // SAFETY: the row belongs to this thread, and pieces of different rows do not overlap.
                    unsafe { shared.range(start..start + piece.len()) }.copy_from_slice(piece);
                }
            }
        });
        let rows = even(rows, team.threads(), 1);
        team.run(&|thread| {
            // SAFETY: each thread has its own scratch.
            let resting = unsafe { parts.range(thread..thread + 1) }[0].as_mut_ptr();
            let mine = rows[thread].clone();
            for first in mine.clone().step_by(BLOCK_ROWS) {
                let rows = first..(first + BLOCK_ROWS).min(mine.end);
                let args = Args { a, c: &c, packed: &shared, rows, resting };
                // SAFETY: the instruction set is available; operands fit; packing is over; rows and
                // scratch of different threads do not overlap.
                unsafe { program(&args) };
            }
        });
        (self.scratch, self.packed) = (scratch, packed);
    }
}

/// What one thread computes.
pub(super) struct Args<'a, T: Element> {
    a: &'a Tiled<T>,
    c: &'a Parts<'a, T>,
    packed: &'a Parts<'a, T>,
    rows: Range<usize>,
    resting: *mut T,
}

/// A block of rows of C, in strips of `R` registers; what is left over in narrower ones.
///
/// # Safety
/// As for [`Simd`]; operands fit, and no other thread computes the same rows.
#[inline(always)]
unsafe fn rows<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    let (n, width) = (args.a.n, R * S::LANES);
    let depth = args.a.matrix.columns();
    for (strip, column) in (0..n).step_by(width).enumerate() {
        let registers = (n - column).min(width).div_ceil(S::LANES);
        let mut first = 0;
        while first < registers {
            let left = registers - first;
            // SAFETY: the registers lie inside the strip; the rest is passed on to the caller.
            unsafe {
                let b = args.packed.as_mut_ptr().cast_const().add(strip * depth * width + first * S::LANES);
                let at = column + first * S::LANES;
                first += match left {
                    8.. if R == 8 => strip_of::<S, 8>(args, b, at, width),
                    4.. => strip_of::<S, 4>(args, b, at, width),
                    2.. => strip_of::<S, 2>(args, b, at, width),
                    _ => strip_of::<S, 1>(args, b, at, width),
                };
            }
        }
    }
}
paths!(pub(super) trait TwoOfFourPath: rows(Args), registers = [8, 4, 4], for f32, f64);

/// `N` registers of every row from `column` on; returns `N`.
///
/// # Safety
/// As for [`rows`]; `b` points at the first register of packed B's first row.
#[inline(always)]
unsafe fn strip_of<S: Simd, const N: usize>(
    args: &Args<'_, S::Elem>,
    b: *const S::Elem,
    column: usize,
    width: usize,
) -> usize {
    let (matrix, n) = (&args.a.matrix, args.a.n);
    let columns = matrix.columns();
    let depth = (PANEL_BYTES / size_of::<S::Elem>() / width).max(PER_BYTE) / PER_BYTE * PER_BYTE;
    for panel in (0..columns).step_by(depth) {
        let end = (panel + depth).min(columns);
        for row in args.rows.clone() {
            // SAFETY: the panel lies inside the columns and the row inside the matrix, whose values and
            // metadata fit it (checked when it was made); sums rest in this thread's scratch.
            unsafe {
                let values = matrix.values().as_ptr().add((row * columns + panel) / 2);
                let metadata = matrix.metadata().as_ptr().add((row * columns + panel) / PER_BYTE);
                let resting = args.resting.add((row - args.rows.start) * N * S::LANES);
                let mut sums = [[S::splat(S::Elem::ZERO); N]; 2];
                if panel > 0 {
                    for (index, sum) in sums[0].iter_mut().enumerate() {
                        *sum = S::load(resting.add(index * S::LANES));
                    }
                }
                for byte in 0..(end - panel) / PER_BYTE {
                    add_byte::<S, N>(
                        values.add(byte * 4),
                        usize::from(*metadata.add(byte)),
                        b.add((panel + byte * PER_BYTE) * width),
                        width,
                        &mut sums,
                    );
                }
                let [sums, others] = sums;
                for (index, (sum, other)) in sums.into_iter().zip(others).enumerate() {
                    let sum = if N < 8 { S::add(sum, other) } else { sum };
                    let first = column + index * S::LANES;
                    if end < columns {
                        S::store(resting.add(index * S::LANES), sum);
                    } else if first + S::LANES <= n {
                        S::store(args.c.as_mut_ptr().add(row * n + first), sum);
                    } else {
                        S::store_first(args.c.as_mut_ptr().add(row * n + first), sum, n - first);
                    }
                }
            }
        }
    }
    N
}

/// Adds the four stored elements that one byte of metadata describes. Fewer than eight sums would wait for
/// the latency of an addition, so these are kept twice.
///
/// # Safety
/// As for [`strip_of`]; `b` points at packed B's row of the byte's first column.
#[inline(always)]
unsafe fn add_byte<S: Simd, const N: usize>(
    values: *const S::Elem,
    places: usize,
    b: *const S::Elem,
    width: usize,
    sums: &mut [[S::V; N]; 2],
) {
    for element in 0..4 {
        let row = (element / 2) * 4 + (places >> (2 * element) & 3);
        // SAFETY: two bits name one of the group's four rows; the rest is passed on to the caller.
        unsafe {
            let value = S::splat(*values.add(element));
            let b = b.add(row * width);
            let sums = &mut sums[if N < 8 { element % 2 } else { 0 }];
            for (index, sum) in sums.iter_mut().enumerate() {
                *sum = S::fma(value, S::load(b.add(index * S::LANES)), *sum);
            }
        }
    }
}
