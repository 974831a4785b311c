//! The tiled program of `spmm-bsr`.
//!
//! A strip of C is a few registers wide. A thread packs the strip's part of B into one small piece of memory,
//! which the second-level cache holds; so B is read once and its copy never leaves the cache. Where the blocks
//! are many, several strips are packed together and all of them computed for a block row, while its blocks are
//! near. A register tile is a few rows of a block row by one strip: it walks along the stored blocks of the row
//! and keeps its sums in registers from the first block to the last, so C is written once and never read. A small
//! B with short rows is read where it lies, for all strips of a block row.

#![expect(unsafe_code, reason = "vector operations on packed operands, inside a checked structure")]

use super::structure::Bsr;
use crate::kernels::csr::Columns;
use crate::kernels::element::Element;
use crate::kernels::gemm::second_level_bytes;
use crate::kernels::pack::{PackPath, pack};
use crate::kernels::simd::{Simd, paths};
use crate::kernels::split::{Parts, balanced, even, grid};
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

/// Cuts `n` columns into as few strips of at most `width` as there are, about equally wide in registers: a narrow
/// one at the end would load as many elements of A for few multiply-adds.
fn strips(n: usize, lanes: usize, width: usize) -> Vec<Range<usize>> {
    let (registers, most) = (n.div_ceil(lanes), width / lanes);
    even(registers, registers.div_ceil(most), 1).into_iter().map(|r| r.start * lanes..(r.end * lanes).min(n)).collect()
}

/// A matrix ready for products with `n` columns.
pub(super) struct Tiled<T: Element> {
    matrix: Bsr<T>,
    /// Column of each block, in blocks.
    columns: Vec<u32>,
    n: usize,
    /// Whether B is read where it lies.
    in_place: bool,
    /// The strips of B that each thread works on, else, and how many these are at a time.
    packed: Vec<Buffer<T>>,
    together: usize,
    /// Columns of C in each strip.
    strips: Vec<Range<usize>>,
    /// Strips and block rows of each thread: rows are balanced by stored blocks.
    parts: Vec<(Range<usize>, Range<usize>)>,
    isa: Isa,
}

impl<T: Element> Tiled<T> {
    /// Elements from a row of B to the next in a strip.
    fn apart(&self, strip: &Range<usize>) -> usize {
        let lanes = self.isa.register_bytes() / size_of::<T>();
        if self.in_place { self.n } else { strip.len().next_multiple_of(lanes) }
    }
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
        let strips = strips(n, isa.register_bytes() / size_of::<T>(), width);
        // Where the second-level cache holds a strip and the blocks together, they are read from there for the next.
        let (strip, values) = (depth * width * size_of::<T>(), size_of_val(matrix.values()));
        let most = if strip + values <= second_level_bytes() / 2 { 1 } else { second_level_bytes() / 2 / strip.max(1) };
        let together = most.clamp(1, strips.len().max(1));
        let strip = if in_place { 0 } else { together * depth * width };
        let packed = (0..team.threads()).map(|_| Buffer::zeroed(strip, "strips of B")).collect::<Result<_, _>>()?;
        let (across, down) = grid(strips.len(), team.threads());
        let rows = balanced(blocks.row_ptr(), down);
        let parts = across.iter().flat_map(|c| rows.iter().map(move |r| (c.clone(), r.clone()))).collect();
        Ok(Self { matrix, columns, n, in_place, packed, together, strips, parts, isa })
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
            if a.in_place {
                let args = Args { a, c: &c, b, strips: columns.clone(), rows: rows.clone() };
                // SAFETY: the instruction set is available; operands fit; strips and block rows of
                // different threads do not overlap.
                unsafe { program(&args) };
                return;
            }
            // SAFETY: each thread has strips of its own.
            let packed = &mut unsafe { strips.range(thread..thread + 1) }[0];
            let room = depth * strip_width::<T>(a.isa);
            for first in columns.clone().step_by(a.together) {
                let group = first..(first + a.together).min(columns.end);
                for (strip, packed) in a.strips[group.clone()].iter().zip(packed.chunks_exact_mut(room)) {
                    let width = a.apart(strip);
                    pack(a.isa, (b, a.n), &mut packed[..depth * width], strip.start, width);
                }
                let args = Args { a, c: &c, b: packed, strips: group, rows: rows.clone() };
                // SAFETY: as above.
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
    /// B in place, or these strips of it, packed.
    b: &'a [T],
    /// Which strips.
    strips: Range<usize>,
    /// Block rows.
    rows: Range<usize>,
}

/// Some block rows of some strips of C, which are at most `R` registers wide. All strips of a block row follow one
/// another, while its blocks lie in the nearest cache.
///
/// # Safety
/// As for [`Simd`]; operands fit, and no other thread computes the same part.
#[inline(always)]
unsafe fn block_rows<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    let a = args.a;
    let (side, row_ptr) = (a.matrix.side(), a.matrix.blocks().row_ptr());
    let room = a.matrix.blocks().columns_len() * side * R * S::LANES;
    for block_row in args.rows.clone() {
        let stored = row_ptr[block_row] as usize..row_ptr[block_row + 1] as usize;
        for (index, strip) in a.strips[args.strips.clone()].iter().enumerate() {
            let (column, left) = (strip.start, strip.len());
            let of_b = if a.in_place { column } else { index * room };
            // SAFETY: strip, block row and tile lie inside B, the structure and C.
            unsafe {
                let c = args.c.as_mut_ptr().add(block_row * side * a.n + column);
                let b = args.b.as_ptr().add(of_b);
                let part = Part { a, stored: stored.clone(), b, apart: a.apart(strip), c, left };
                match (R, left.div_ceil(S::LANES)) {
                    (3, 3) => part.tiles::<S, 8, 3>(),
                    (3, 2) => part.tiles::<S, 8, 2>(),
                    (3, _) => part.tiles::<S, 8, 1>(),
                    (_, 2) => part.tiles::<S, 4, 2>(),
                    _ => part.tiles::<S, 4, 1>(),
                }
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
    fn strips_are_about_equally_wide_and_cover_all_columns() {
        assert_eq!(strips(256, 16, 48).iter().map(Range::len).collect::<Vec<_>>(), [32, 48, 48, 32, 48, 48]);
        assert_eq!(strips(64, 16, 48), [0..32, 32..64]);
        for n in 1..400 {
            let all = strips(n, 8, 24);
            assert!(all.iter().all(|strip| (1..=24).contains(&strip.len())), "{n}: {all:?}");
            assert!(all[0].start == 0 && all[all.len() - 1].end == n, "{n}: {all:?}");
            assert!(all.windows(2).all(|two| two[0].end == two[1].start && two[0].len() % 8 == 0), "{n}: {all:?}");
        }
    }

    #[test]
    fn what_is_packed_in_groups_matches_the_reference() {
        // More values than half of a second-level cache of 2 MiB holds, and more strips than the other half.
        let sizes = [("m", 288), ("k", 1024), ("n", 300), ("block", 32)];
        let [m, k, n, block] = sizes.map(|(name, n)| (name, ParamValue::Integer(n)));
        let matrix = Bsr::<f32>::random(32, (9, 32), 288, 7, &Threads(1)).unwrap();
        for isa in Isa::available() {
            let copy = Bsr::<f32>::random(32, (9, 32), 288, 7, &Threads(1)).unwrap();
            let tiled = Tiled::new(copy, 300, isa, &Threads(1)).unwrap();
            let fit = second_level_bytes() / 2 / (1024 * strip_width::<f32>(isa) * 4);
            let all = size_of_val(matrix.values()) <= second_level_bytes() / 2 - 1024 * strip_width::<f32>(isa) * 4;
            assert_eq!(
                (tiled.in_place, tiled.together),
                (false, if all { 1 } else { fit.clamp(1, tiled.strips.len()) })
            );
        }
        verify(&SpmmBsr, &params(Dtype::F32, &[m, k, n, block, ("density", ParamValue::Real(1.0))]));
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
