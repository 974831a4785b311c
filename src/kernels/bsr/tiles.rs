//! The tiled program of `spmm-bsr`.
//!
//! A strip of C is a few registers wide. A thread packs the strip's part of B into one small piece of memory,
//! which the second-level cache holds, and computes the strip at once; so B is read once and its copy never
//! leaves the cache. A register tile is a few rows of a block row by one strip: it walks along the stored
//! blocks of the row and keeps its sums in registers from the first block to the last, so C is written once
//! and never read. A small B with short rows is read where it lies.

#![expect(unsafe_code, reason = "vector operations on packed operands, inside a checked structure")]

use super::structure::Bsr;
use crate::kernels::csr::Columns;
use crate::kernels::element::Element;
use crate::kernels::gemm::second_level_bytes;
use crate::kernels::pack::{PackPath, pack};
use crate::kernels::simd::{Simd, paths};
use crate::kernels::split::{Parts, balanced, grid};
use crate::kernels::{Buffer, Isa, KernelError, Team};
use std::ops::Range;

/// The smallest side of a block.
pub(super) const SMALLEST_SIDE: usize = 16;

/// Longest rows of B, in bytes, that are read in place: what a block reads of longer ones, a few lines of each row,
/// meets in few sets of the first-level cache. (Measured: rows of 1 KiB win 1.03 to 1.44, of 2 KiB lose 0.05 to 0.14.)
const NEAR_ROWS: usize = 1 << 10;
/// Register tiles that read a row of B which is not worth packing. (Measured: 13 win 1.02 to 1.12, 6 and less 1.2 to
/// 1.5; 26 lose up to 0.09, and 64 up to 0.06.)
const FEW_TILES: usize = 16;

/// Rows of a register tile.
const fn tile_rows(isa: Isa) -> usize {
    if matches!(isa, Isa::Avx512 | Isa::Neon) { 8 } else { 4 }
}

/// Elements in the width of a strip.
const fn strip_width<T: Element>(isa: Isa) -> usize {
    let bytes = match isa {
        Isa::Avx512 => 3 * 64,
        Isa::Avx2 => 2 * 32,
        Isa::Neon => 3 * 16,
        Isa::Portable => 2 * 16,
    };
    bytes / size_of::<T>()
}

/// A matrix ready for products with `n` columns.
pub(super) struct Tiled<T: Element> {
    matrix: Bsr<T>,
    /// Column of each block, in blocks.
    columns: Vec<u32>,
    n: usize,
    /// Whether B is read where it lies.
    in_place: bool,
    /// The strip of B that each thread works on, else.
    packed: Vec<Buffer<T>>,
    /// Strips and block rows of each thread: rows are balanced by stored blocks.
    parts: Vec<(Range<usize>, Range<usize>)>,
    isa: Isa,
}

impl<T: BsrPath + PackPath> Tiled<T> {
    /// Prepares a matrix for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError`] when memory does not suffice, or the blocks are smaller than a register tile.
    pub(super) fn new(matrix: Bsr<T>, n: usize, isa: Isa, team: &dyn Team) -> Result<Self, KernelError> {
        let side = matrix.side();
        if !side.is_multiple_of(SMALLEST_SIDE) {
            return Err(KernelError::Structure(format!("blocks of side {side} are no multiple of {SMALLEST_SIDE}")));
        }
        let blocks = matrix.blocks();
        let columns = match blocks.columns() {
            Columns::U16(columns) => columns[..blocks.nnz()].iter().map(|c| u32::from(*c)).collect(),
            Columns::U32(columns) => columns[..blocks.nnz()].to_vec(),
        };
        let width = strip_width::<T>(isa);
        let (depth, row) = (blocks.columns_len() * side, n * size_of::<T>());
        // Elements of a column of A, on average.
        let readers = blocks.nnz() * side * side / depth;
        let in_place = row <= NEAR_ROWS
            && row.is_multiple_of(isa.register_bytes())
            && depth * row <= second_level_bytes() / 2
            && readers <= FEW_TILES * tile_rows(isa);
        let strip = if in_place { 0 } else { depth * width };
        let packed = (0..team.threads()).map(|_| Buffer::zeroed(strip, "a strip of B")).collect::<Result<_, _>>()?;
        let (across, down) = grid(n.div_ceil(width), team.threads());
        let rows = balanced(blocks.row_ptr(), down);
        let parts = across.iter().flat_map(|c| rows.iter().map(move |r| (c.clone(), r.clone()))).collect();
        Ok(Self { matrix, columns, n, in_place, packed, parts, isa })
    }

    /// The instruction set it was made for.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// The matrix.
    pub(super) const fn matrix(&self) -> &Bsr<T> {
        &self.matrix
    }

    /// C = A·B; both have `n` columns and are row-major.
    pub(super) fn multiply(&mut self, b: &[T], c: &mut [T], team: &dyn Team) {
        let (side, blocks) = (self.matrix.side(), self.matrix.blocks());
        let depth = blocks.columns_len() * side;
        let fits = b.len() == depth * self.n && c.len() == blocks.rows() * side * self.n;
        assert!(fits, "operands do not fit the matrix");
        let mut packed = std::mem::take(&mut self.packed);
        let (strips, c, program, a) = (Parts::of(&mut packed), Parts::of(c), <T as BsrPath>::pick(self.isa), &*self);
        team.run(&|thread| {
            let Some((columns, rows)) = a.parts.get(thread) else { return };
            // SAFETY: each thread has a strip of its own.
            let strip = &mut unsafe { strips.range(thread..thread + 1) }[0];
            for index in columns.clone() {
                let width = strip_width::<T>(a.isa);
                let (strip_of_b, apart) = if a.in_place {
                    (&b[index * width..], a.n)
                } else {
                    pack(a.isa, (b, a.n), strip, index * width, width);
                    (&**strip, width)
                };
                let args = Args { a, c: &c, b: strip_of_b, apart, strip: index, rows: rows.clone() };
                // SAFETY: the instruction set is available; operands fit; strips and block rows of
                // different threads do not overlap.
                unsafe { program(&args) };
            }
        });
        self.packed = packed;
    }
}

/// What one thread computes.
pub(super) struct Args<'a, T: Element> {
    a: &'a Tiled<T>,
    c: &'a Parts<'a, T>,
    /// The strip of B, and elements from one of its rows to the next.
    b: &'a [T],
    apart: usize,
    /// Which strip it is.
    strip: usize,
    /// Block rows.
    rows: Range<usize>,
}

/// Some block rows of a strip of C, which is `R` registers wide.
///
/// # Safety
/// As for [`Simd`]; operands fit, and no other thread computes the same part.
#[inline(always)]
unsafe fn block_rows<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    let a = args.a;
    let (side, width, row_ptr) = (a.matrix.side(), R * S::LANES, a.matrix.blocks().row_ptr());
    let column = args.strip * width;
    let left = (a.n - column).min(width);
    let registers = left.div_ceil(S::LANES);
    for block_row in args.rows.clone() {
        let stored = row_ptr[block_row] as usize..row_ptr[block_row + 1] as usize;
        // SAFETY: strip, block row and tile lie inside the packed strip, the structure and C.
        unsafe {
            let c = args.c.as_mut_ptr().add(block_row * side * a.n + column);
            let part = Part { a, stored, b: args.b.as_ptr(), apart: args.apart, c, left };
            match (R, registers) {
                (3, 3) => part.tiles::<S, 8, 3>(),
                (3, 2) => part.tiles::<S, 8, 2>(),
                (3, _) => part.tiles::<S, 8, 1>(),
                (_, 2) => part.tiles::<S, 4, 2>(),
                _ => part.tiles::<S, 4, 1>(),
            }
        }
    }
}
paths!(pub(super) trait BsrPath: block_rows(Args), registers = [3, 2, 2], for f32, f64);

/// A block row of a strip.
struct Part<'a, T: Element> {
    a: &'a Tiled<T>,
    /// Its blocks.
    stored: Range<usize>,
    /// The strip of B, and elements from one of its rows to the next.
    b: *const T,
    apart: usize,
    /// Its first element of C.
    c: *mut T,
    /// Columns of C that the strip covers.
    left: usize,
}

impl<T: Element> Part<'_, T> {
    /// Computes the block row in tiles of `M` rows by `N` registers.
    ///
    /// # Safety
    /// As for [`block_rows`]; `N` registers cover the strip and `M` divides the side of a block.
    #[inline(always)]
    unsafe fn tiles<S: Simd<Elem = T>, const M: usize, const N: usize>(&self) {
        for row in (0..self.a.matrix.side()).step_by(M) {
            // SAFETY: passed on to the caller.
            unsafe {
                let sums = self.tile::<S, M, N>(row);
                self.store::<S, M, N>(&sums, row);
            }
        }
    }

    /// Sums of a tile from `row` on, over the stored blocks.
    ///
    /// # Safety
    /// As for [`Part::tiles`].
    #[inline(always)]
    unsafe fn tile<S: Simd<Elem = T>, const M: usize, const N: usize>(&self, row: usize) -> [[S::V; N]; M] {
        let (a, side, apart) = (self.a, self.a.matrix.side(), self.apart);
        // SAFETY: blocks and their columns lie inside the matrix (checked when it was made), so every
        // row of the strip of B that they name exists, for whole registers; the rest is passed on to the caller.
        unsafe {
            let mut sums = [[S::splat(T::ZERO); N]; M];
            for block in self.stored.clone() {
                let mut left = a.matrix.values().as_ptr().add(block * side * side + row);
                let mut right = self.b.add(*a.columns.get_unchecked(block) as usize * side * apart);
                for _ in 0..side {
                    let mut b = [S::splat(T::ZERO); N];
                    for (index, b) in b.iter_mut().enumerate() {
                        *b = S::load(right.add(index * S::LANES));
                    }
                    for (index, sums) in sums.iter_mut().enumerate() {
                        let value = S::splat(*left.add(index));
                        for (b, sum) in b.iter().zip(sums) {
                            *sum = S::fma(value, *b, *sum);
                        }
                    }
                    left = left.add(side);
                    right = right.add(apart);
                }
            }
            sums
        }
    }

    /// Stores a tile from `row` on.
    ///
    /// # Safety
    /// As for [`Part::tiles`].
    #[inline(always)]
    unsafe fn store<S: Simd<Elem = T>, const M: usize, const N: usize>(&self, sums: &[[S::V; N]; M], row: usize) {
        for (index, sums) in sums.iter().enumerate() {
            for (register, sum) in sums.iter().enumerate() {
                let first = register * S::LANES;
                // SAFETY: passed on to the caller; only columns inside C are written.
                unsafe {
                    let to = self.c.add((row + index) * self.a.n + first);
                    if self.left >= first + S::LANES {
                        S::store(to, *sum);
                    } else {
                        S::store_first(to, *sum, self.left - first);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::bsr::SpmmBsr;
    use crate::kernels::verify::{Threads, params, verify};
    use crate::kernels::{Dtype, ParamValue};

    #[test]
    fn short_whole_rows_of_b_are_read_in_place_and_others_packed() {
        let team = Threads(1);
        for isa in Isa::available() {
            let cases = [(1, 64, 256, true), (1, 64, 250, false), (1, 64, 257, false), (1, 1 << 16, 256, false)];
            // The last one is read by 64 block rows.
            for (block_rows, rows_of_b, n, in_place) in cases.into_iter().chain([(64, 64, 256, false)]) {
                let sizes = (block_rows, rows_of_b / 16);
                let matrix = Bsr::<f32>::random(16, sizes, block_rows * 4, 7, &team).unwrap();
                let tiled = Tiled::new(matrix, n, isa, &team).unwrap();
                assert_eq!(tiled.in_place, in_place, "{isa}: {block_rows} block rows, {rows_of_b} rows of {n}");
                assert_eq!(tiled.packed[0].is_empty(), in_place);
            }
        }
    }

    #[test]
    fn what_is_read_in_place_matches_the_reference() {
        // One, two and three registers in the last strip of each instruction set and type.
        for (dtype, n) in [(Dtype::F32, 16), (Dtype::F32, 80), (Dtype::F32, 144), (Dtype::F64, 8), (Dtype::F64, 40)] {
            let counts =
                [("m", 96), ("k", 160), ("n", n), ("block", 32)].map(|(name, n)| (name, ParamValue::Integer(n)));
            let [m, k, n, block] = counts;
            verify(&SpmmBsr, &params(dtype, &[m, k, n, block, ("density", ParamValue::Real(0.3))]));
        }
    }
}
