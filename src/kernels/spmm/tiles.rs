//! The tiled program of `spmm-csr`.
//!
//! A strip of C is four registers wide. What belongs to a panel of A's columns in the strip's part of B is a small
//! piece: the first-level cache holds it, or the second where A is so sparse that rows would find too little in
//! it. A thread packs it and goes through its rows at once. Each row of A adds its stored elements of a panel to
//! the accumulators. Between panels these rest in a packed strip, because rows of C itself are often a power of
//! two apart and would push each other out of the cache. After the last panel they go to C, whose lines are asked
//! for a few visits before, since no hardware knows the order of the rows.
//!
//! Within a panel, rows are visited in the order of their number of elements, two at a time: then the length of
//! the inner loop hardly changes from visit to visit, its end is predicted, and the two sets of accumulators
//! hide each other's latency.

#![expect(unsafe_code, reason = "vector operations on packed panels, inside a checked structure")]

use crate::kernels::csr::Csr;
use crate::kernels::element::Element;
use crate::kernels::pack::{PackPath, pack};
use crate::kernels::params::product;
use crate::kernels::simd::{Simd, paths};
use crate::kernels::split::{Parts, balanced, grid};
use crate::kernels::{Buffer, Isa, KernelError, ParamError, Team};
use std::ops::Range;

/// Bytes of a panel of packed B that fits a first-level cache beside the streams of A and C: of 48 KiB with the
/// widest registers, else of 32 KiB.
const fn panel_bytes(isa: Isa) -> usize {
    if matches!(isa, Isa::Avx512) { 36 << 10 } else { 24 << 10 }
}
/// Where rows are sparse, panels have this size, which second-level caches hold. (Measured: reading the panel
/// from the second level costs less then than resting the accumulators more often.)
const DEEP_PANEL_BYTES: usize = 256 << 10;
/// Elements of a row in a panel worth loading and storing its accumulators for.
const ENOUGH: f64 = 10.0;
/// Rows whose accumulators rest together: 512 KiB with the widest registers.
const BLOCK_ROWS: usize = 2048;
/// Rows whose lines of C are asked for ahead of the visit that stores them.
const AHEAD: usize = 8;
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
    /// For each panel: where the elements of each visited row start, and one more; but those of two rows
    /// that are visited together take turns, until the second has only its own left.
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
    /// The panel of B that each thread works on; all panels of the strip where it has several blocks of rows.
    packed: Vec<Buffer<T>>,
    /// Whether panels are kept for the next block of rows.
    kept: bool,
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
        let depth = depth(isa, (a.rows(), a.columns_len()), a.nnz());
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
                for together in order[visited + block.start..visited + block.end].chunks(2) {
                    let longest = together.last().map_or(0, |row| here[*row as usize]);
                    let mut start = stored;
                    for turn in 0..longest {
                        for row in together.iter().map(|row| *row as usize).filter(|row| turn < here[*row]) {
                            let at = done[row] + turn;
                            let Some((column, value)) = a.row_after(row, at).next() else { continue };
                            depths[stored] = u16::try_from(column - first).unwrap_or(u16::MAX);
                            values[stored] = value;
                            stored += 1;
                        }
                    }
                    for row in together.iter().map(|row| *row as usize) {
                        starts.push(narrow(start));
                        start += here[row];
                        done[row] += here[row];
                    }
                }
            }
            starts.push(narrow(stored));
        }
        let resting = BLOCK_ROWS.min(a.rows());
        let scratch = (0..team.threads()).map(|_| Buffer::zeroed(resting * lanes, "a strip of C"));
        let kept = blocks.iter().any(|blocks| blocks.len() > 1);
        let rows_of_b = if kept { a.columns_len() } else { depth.min(a.columns_len()) };
        let packed = (0..team.threads()).map(|_| Buffer::zeroed(lanes * rows_of_b, "a strip of B"));
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
            kept,
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
            let width = packed_row(a.isa) / size_of::<T>();
            for strip_index in columns.clone() {
                for (block, rows) in a.blocks[*group].iter().enumerate() {
                    for (panel, first) in (0..a.columns).step_by(a.depth).enumerate() {
                        let depths = first..(first + a.depth).min(a.columns);
                        let at = if a.kept { first * width } else { 0 };
                        let packed = &mut strip[at..at + depths.len() * width];
                        if block == 0 || !a.kept {
                            let b = &b[depths.start * a.n..depths.end * a.n];
                            pack(a.isa, (b, a.n), packed, strip_index * width, width);
                        }
                        let (rows, resting) = (rows.clone(), resting.as_mut_ptr());
                        let args = Args { a, c: &c, packed, panel, strip: strip_index, rows, resting };
                        // SAFETY: the instruction set is available; operands fit; strips and rows of
                        // different threads do not overlap.
                        unsafe { program(&args) };
                    }
                }
            }
        });
        (self.scratch, self.packed) = (scratch, packed);
    }
}

/// Columns of A in a panel: what the first-level cache holds, or more where rows are so sparse
/// that a panel would give them only a few elements. All panels have the same, but for the last.
fn depth(isa: Isa, (rows, columns): (usize, usize), nnz: usize) -> usize {
    let most = panel_bytes(isa) / packed_row(isa);
    let enough = (most * nnz) as f64 >= ENOUGH * (rows * columns) as f64;
    let most = if enough { most } else { DEEP_PANEL_BYTES / packed_row(isa) };
    columns.div_ceil(columns.div_ceil(most))
}

impl<T: Element> Tiled<T> {
    /// Bytes of the visiting order and the offsets of all panels, with the widest registers (the most panels).
    ///
    /// # Errors
    /// [`ParamError::TooLarge`].
    pub(super) fn pointer_bytes(m: u64, k: u64) -> Result<u64, ParamError> {
        let depth = (panel_bytes(Isa::Avx512) / packed_row(Isa::Avx512)) as u64;
        product("row offsets", &[8, k.div_ceil(depth), m + 1])
    }
}

/// What one thread computes: what a panel adds to a block of rows of a strip.
pub(super) struct Args<'a, T: Element> {
    a: &'a Tiled<T>,
    c: &'a Parts<'a, T>,
    /// The panel's part of the strip of B.
    packed: &'a [T],
    /// Which panel it is.
    panel: usize,
    /// Which strip it is.
    strip: usize,
    rows: Range<usize>,
    resting: *mut T,
}

/// A panel of a block of rows of a strip.
///
/// # Safety
/// As for [`Simd`]; operands fit, panels come in order, and no other thread computes the same part.
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

/// A panel of a strip of N registers starting at `column`; with `RAGGED`, the last register holds only
/// `last` columns.
///
/// # Safety
/// As for [`spmm`].
#[inline(always)]
unsafe fn strip<S: Simd, const N: usize, const RAGGED: bool>(args: &Args<'_, S::Elem>, column: usize, last: usize) {
    let (a, rows, resting, panel) = (args.a, &args.rows, args.resting, args.panel);
    let (packed, width) = (args.packed.as_ptr(), STRIP * S::LANES);
    let starts = &a.starts[panel * (a.rows + 1)..(panel + 1) * (a.rows + 1)];
    let order = &a.order[panel * a.rows..(panel + 1) * a.rows];
    let is_last = (panel + 1) * a.depth >= a.columns;
    let mut visit = rows.start;
    while visit < rows.end {
        let pair = rows.end - visit >= 2;
        let [row, other] = [visit, visit + usize::from(pair)].map(|at| order[at] as usize);
        let [start, middle] = [visit, visit + 1].map(|at| starts[at] as usize);
        visit += if pair { 2 } else { 1 };
        let end = starts[visit] as usize;
        if panel > 0 && start == end && !is_last {
            continue;
        }
        // SAFETY: the order stays within the block, so the rows belong to this thread and their
        // accumulators rest in `resting`; elements lie within the panel of packed B.
        unsafe {
            if is_last && visit + AHEAD <= rows.end {
                for row in &order[visit + AHEAD - 2..visit + AHEAD] {
                    let c = args.c.as_mut_ptr().add(*row as usize * a.n + column);
                    for register in 0..N {
                        S::prefetch(c.add(register * S::LANES));
                    }
                }
            }
            let [rest, other_rest] = [row, other].map(|row| resting.add((row - rows.start) * width));
            let mut sums = [[S::splat(S::Elem::ZERO); N]; 2];
            if panel > 0 {
                load::<S, N>(rest, &mut sums[0]);
                if pair {
                    load::<S, N>(other_rest, &mut sums[1]);
                }
            }
            // A row that is alone takes both sets of sums in turns: one would wait for the latency of
            // every addition.
            let turns = if pair { middle - start } else { (end - start) / 2 };
            let mut q = start;
            while q < start + 2 * turns {
                add_row::<S, N>(a, q, packed, width, &mut sums[0]);
                add_row::<S, N>(a, q + 1, packed, width, &mut sums[1]);
                q += 2;
            }
            while q < end {
                add_row::<S, N>(a, q, packed, width, &mut sums[1]);
                q += 1;
            }
            if !pair {
                let [of_row, more] = &mut sums;
                for (sum, more) in of_row.iter_mut().zip(more) {
                    *sum = S::add(*sum, *more);
                }
            }
            if is_last {
                let c = args.c.as_mut_ptr().add(column);
                store::<S, N, RAGGED>(c.add(row * a.n), &sums[0], last);
                if pair {
                    store::<S, N, RAGGED>(c.add(other * a.n), &sums[1], last);
                }
            } else {
                store::<S, N, false>(rest, &sums[0], 0);
                if pair {
                    store::<S, N, false>(other_rest, &sums[1], 0);
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
