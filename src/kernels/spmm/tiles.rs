//! The tiled program of `spmm-csr`.
//!
//! A strip of C is four registers wide. A thread packs the strip's part of B and computes the strip at once,
//! while the copy is in its second-level cache. What belongs to a panel of A's columns is one small piece of
//! it: 24 to 256 KiB, the more the sparser A is. Each row of A adds its stored elements of a panel to the
//! accumulators. Between panels these rest in a packed strip, because rows of C itself are often a
//! power of two apart and would push each other out of the cache.
//!
//! Within a panel, rows are visited in the order of their number of elements: then the length of
//! the inner loop hardly changes from row to row, and its end is predicted.

#![expect(unsafe_code, reason = "vector operations on packed panels, inside a checked structure")]

use crate::kernels::csr::Csr;
use crate::kernels::element::Element;
use crate::kernels::pack::{PackPath, pack};
use crate::kernels::params::product;
use crate::kernels::simd::{Simd, paths};
use crate::kernels::split::{Parts, balanced, grid};
use crate::kernels::{Buffer, Isa, KernelError, ParamError, Team};
use std::ops::Range;

/// Fewest bytes of a panel of packed B: fits a 32 KiB first-level cache beside the streams of A and C.
const PANEL_BYTES: usize = 24 << 10;
/// Where rows are sparse, panels grow up to this size, which second-level caches hold. (Measured:
/// reading the panel from the second level costs less than resting the accumulators more often.)
const MOST_PANEL_BYTES: usize = 256 << 10;
/// Elements of a row in a panel worth loading and storing its accumulators for.
const ENOUGH: usize = 32;
/// Rows whose accumulators rest together: 512 KiB with the widest registers.
const BLOCK_ROWS: usize = 2048;
/// Registers in the width of a strip.
const STRIP: usize = 4;

/// Bytes of one packed row of B.
const fn packed_row(isa: Isa) -> usize {
    STRIP * isa.register_bytes()
}

/// A sparse matrix cut into panels of columns.
pub(super) struct Tiled<T: Element> {
    rows: usize,
    columns: usize,
    /// Columns of A (rows of B) in a panel.
    depth: usize,
    /// For each panel: the rows in the order of visiting, which stays within a block.
    order: Vec<u32>,
    /// For each panel: where the elements of each visited row start, and one more.
    starts: Vec<u32>,
    /// Row of each element in the packed panel.
    depths: Buffer<u16>,
    values: Buffer<T>,
    /// Blocks of rows of each group of threads, balanced by stored elements.
    blocks: Vec<Vec<Range<usize>>>,
    /// Strips of each thread, and whose blocks it computes of them.
    parts: Vec<(Range<usize>, usize)>,
    /// Columns of B.
    n: usize,
    /// The strip of B that each thread works on.
    packed: Vec<Buffer<T>>,
    /// The resting accumulators of a block, for each thread.
    scratch: Vec<Buffer<T>>,
    isa: Isa,
}

impl<T: SpmmPath + PackPath> Tiled<T> {
    /// Cuts a matrix for products with `n` columns and an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn cut(a: &Csr<T>, n: usize, isa: Isa, team: &dyn Team) -> Result<Self, KernelError> {
        let depth = depth(isa, a.nnz(), a.rows() * a.columns_len());
        let lanes = packed_row(isa) / size_of::<T>();
        let (strips, groups) = grid(n.div_ceil(lanes), team.threads());
        let parts = strips.iter().flat_map(|strips| (0..groups).map(|group| (strips.clone(), group))).collect();
        let blocks: Vec<Vec<_>> = balanced(a.row_ptr(), groups)
            .into_iter()
            .map(|range| range.clone().step_by(BLOCK_ROWS).map(|r| r..(r + BLOCK_ROWS).min(range.end)).collect())
            .collect();
        let panels = a.columns_len().div_ceil(depth);
        let (mut order, mut starts) =
            (Vec::with_capacity(panels * a.rows()), Vec::with_capacity(panels * (a.rows() + 1)));
        let mut depths = Buffer::zeroed(a.nnz(), "packed offsets")?;
        let mut values = Buffer::zeroed(a.nnz(), "tiled values")?;
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        // Elements of each row in the panels before, and in this one.
        let (mut done, mut here) = (vec![0; a.rows()], vec![0; a.rows()]);
        let mut stored = 0;
        for first in (0..a.columns_len()).step_by(depth) {
            for (row, here) in here.iter_mut().enumerate() {
                *here = a.row_after(row, done[row]).take_while(|(column, _)| *column < first + depth).count();
            }
            let visited = order.len();
            order.extend((0..a.rows()).map(narrow));
            for block in blocks.iter().flatten() {
                order[visited + block.start..visited + block.end].sort_by_key(|row| here[*row as usize]);
            }
            for row in order[visited..].iter().map(|row| *row as usize) {
                starts.push(narrow(stored));
                for (column, value) in a.row_after(row, done[row]).take(here[row]) {
                    depths[stored] = u16::try_from(column - first).unwrap_or(u16::MAX);
                    values[stored] = value;
                    stored += 1;
                }
                done[row] += here[row];
            }
            starts.push(narrow(stored));
        }
        let resting = BLOCK_ROWS.min(a.rows());
        let scratch = (0..team.threads()).map(|_| Buffer::zeroed(resting * lanes, "a strip of C"));
        let packed = (0..team.threads()).map(|_| Buffer::zeroed(lanes * a.columns_len(), "a strip of B"));
        Ok(Self {
            rows: a.rows(),
            columns: a.columns_len(),
            depth,
            order,
            starts,
            depths,
            values,
            blocks,
            parts,
            n,
            packed: packed.collect::<Result<_, _>>()?,
            scratch: scratch.collect::<Result<_, _>>()?,
            isa,
        })
    }

    /// The instruction set it was cut for.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// Columns of B that it was cut for.
    pub(super) const fn columns_of_b(&self) -> usize {
        self.n
    }

    /// C = A·B; both have the columns that the matrix was cut for, and are row-major.
    pub(super) fn multiply(&mut self, b: &[T], c: &mut [T], team: &dyn Team) {
        assert!(b.len() == self.columns * self.n && c.len() == self.rows * self.n, "operands do not fit the matrix");
        let (mut scratch, mut packed) = (std::mem::take(&mut self.scratch), std::mem::take(&mut self.packed));
        let (resting, strips) = (Parts::of(&mut scratch), Parts::of(&mut packed));
        let (c, program, a) = (Parts::of(c), <T as SpmmPath>::pick(self.isa), &*self);
        team.run(&|thread| {
            let Some((columns, group)) = a.parts.get(thread) else { return };
            // SAFETY: each thread has a strip and scratch of its own.
            let (resting, strip) =
                unsafe { (&mut resting.range(thread..thread + 1)[0], &mut strips.range(thread..thread + 1)[0]) };
            for strip_index in columns.clone() {
                let width = packed_row(a.isa) / size_of::<T>();
                pack(a.isa, (b, a.n), strip, strip_index * width, width);
                for rows in a.blocks[*group].iter().cloned() {
                    let args =
                        Args { a, c: &c, packed: strip, strip: strip_index, rows, resting: resting.as_mut_ptr() };
                    // SAFETY: the instruction set is available; operands fit; strips and rows of
                    // different threads do not overlap.
                    unsafe { program(&args) };
                }
            }
        });
        (self.scratch, self.packed) = (scratch, packed);
    }
}

/// Columns of A in a panel: what the first-level cache holds, or more where rows are so sparse
/// that a panel would give them only a few elements.
fn depth(isa: Isa, nnz: usize, cells: usize) -> usize {
    let enough = (ENOUGH as f64 * cells as f64 / nnz as f64).min(f64::from(u16::MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 8 and 65,535")]
    let enough = enough as usize;
    enough.clamp(PANEL_BYTES / packed_row(isa), MOST_PANEL_BYTES / packed_row(isa))
}

impl<T: Element> Tiled<T> {
    /// Bytes of the visiting order and the offsets of all panels, with the widest registers (the most panels).
    ///
    /// # Errors
    /// [`ParamError::TooLarge`].
    pub(super) fn pointer_bytes(m: u64, k: u64) -> Result<u64, ParamError> {
        let depth = (PANEL_BYTES / packed_row(Isa::Avx512)) as u64;
        product("row offsets", &[8, k.div_ceil(depth), m + 1])
    }
}

/// What one thread computes: a block of rows of a strip.
pub(super) struct Args<'a, T: Element> {
    a: &'a Tiled<T>,
    c: &'a Parts<'a, T>,
    /// The strip of B.
    packed: &'a [T],
    /// Which strip it is.
    strip: usize,
    rows: Range<usize>,
    resting: *mut T,
}

/// A block of rows of a strip.
///
/// # Safety
/// As for [`Simd`]; operands fit, and no other thread computes the same part.
#[inline(always)]
unsafe fn spmm<S: Simd, const R: usize>(args: &Args<'_, S::Elem>) {
    let (n, width) = (args.a.n, STRIP * S::LANES);
    let column = args.strip * width;
    let rest = (n - column).min(width);
    let (registers, last) = (rest.div_ceil(S::LANES), (rest + S::LANES - 1) % S::LANES + 1);
    // SAFETY: the strip lies inside the n columns; the rest is passed on to the caller.
    unsafe {
        match (registers, last == S::LANES) {
            (1, true) => strip::<S, 1, false>(args, column, last),
            (2, true) => strip::<S, 2, false>(args, column, last),
            (3, true) => strip::<S, 3, false>(args, column, last),
            (_, true) => strip::<S, STRIP, false>(args, column, last),
            (1, false) => strip::<S, 1, true>(args, column, last),
            (2, false) => strip::<S, 2, true>(args, column, last),
            (3, false) => strip::<S, 3, true>(args, column, last),
            _ => strip::<S, STRIP, true>(args, column, last),
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
    let (a, rows, resting, width) = (args.a, &args.rows, args.resting, STRIP * S::LANES);
    for (panel, first) in (0..a.columns).step_by(a.depth).enumerate() {
        let starts = &a.starts[panel * (a.rows + 1)..(panel + 1) * (a.rows + 1)];
        let order = &a.order[panel * a.rows..(panel + 1) * a.rows];
        let is_last = first + a.depth >= a.columns;
        for visit in rows.clone() {
            let (start, end) = (starts[visit] as usize, starts[visit + 1] as usize);
            if panel > 0 && start == end && !is_last {
                continue;
            }
            let row = order[visit] as usize;
            // SAFETY: the order stays within the block, so the row belongs to this thread and its
            // accumulators rest in `resting`; elements lie within the panel of packed B.
            unsafe {
                let packed = args.packed.as_ptr().add(first * width);
                let resting = resting.add((row - rows.start) * width);
                let mut even = [S::splat(S::Elem::ZERO); N];
                // A second set of sums: one alone would wait for the latency of every addition.
                let mut odd = even;
                if panel > 0 {
                    load::<S, N>(resting, &mut even);
                }
                let mut q = start;
                while q + 2 <= end {
                    add_row::<S, N>(a, q, packed, width, &mut even);
                    add_row::<S, N>(a, q + 1, packed, width, &mut odd);
                    q += 2;
                }
                if q < end {
                    add_row::<S, N>(a, q, packed, width, &mut even);
                }
                for (even, odd) in even.iter_mut().zip(odd) {
                    *even = S::add(*even, odd);
                }
                if is_last {
                    store::<S, N, RAGGED>(args.c.as_mut_ptr().add(row * a.n + column), &even, last);
                } else {
                    store::<S, N, false>(resting, &even, 0);
                }
            }
        }
    }
}

/// Adds one stored element times its row of packed B.
///
/// # Safety
/// As for [`strip`]; `q` is an element of the panel.
#[inline(always)]
unsafe fn add_row<S: Simd, const N: usize>(
    a: &Tiled<S::Elem>,
    q: usize,
    packed: *const S::Elem,
    width: usize,
    sums: &mut [S::V; N],
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let value = S::splat(*a.values.as_ptr().add(q));
        let packed = packed.add(usize::from(*a.depths.as_ptr().add(q)) * width);
        for (index, sum) in sums.iter_mut().enumerate() {
            *sum = S::fma(value, S::load(packed.add(index * S::LANES)), *sum);
        }
    }
}

/// N registers from resting accumulators.
///
/// # Safety
/// As for [`Simd`]. (Functions and not closures, because only these are inlined without fail into
/// the code that enables the instruction set.)
#[inline(always)]
unsafe fn load<S: Simd, const N: usize>(from: *const S::Elem, registers: &mut [S::V; N]) {
    for (index, register) in registers.iter_mut().enumerate() {
        // SAFETY: passed on to the caller.
        *register = unsafe { S::load(from.add(index * S::LANES)) };
    }
}

/// Stores N registers; with `RAGGED`, only `last` elements of the last.
///
/// # Safety
/// As for [`load`].
#[inline(always)]
unsafe fn store<S: Simd, const N: usize, const RAGGED: bool>(to: *mut S::Elem, registers: &[S::V; N], last: usize) {
    for (index, register) in registers.iter().enumerate() {
        // SAFETY: passed on to the caller.
        unsafe {
            let to = to.add(index * S::LANES);
            if RAGGED && index == N - 1 { S::store_first(to, *register, last) } else { S::store(to, *register) }
        }
    }
}
