//! The tiled program of `attention` and of its masked kinds.
//!
//! Queries are the lanes: a register tile is a few keys by two or three registers of queries. So maxima, sums
//! and rescaling of the softmax work lane by lane, with nothing across a register, and both products read K and
//! V as they are, one element for all lanes. Only queries and outputs, which are touched once, are turned over.
//!
//! Threads claim groups of queries. A group is a few register widths of queries that share each tile of 64
//! keys while its rows of K and V are in the first-level cache: scores, running maximum, weights, and weights
//! times values.

#![expect(unsafe_code, reason = "vector operations on rows of the operands")]

use super::Shape;
use super::mask::Mask;
use super::registers::{add_rows, dot_rows};
use crate::kernels::simd::{SimdExp, Transpose, exp2_non_positive, paths};
use crate::kernels::split::Parts;
use crate::kernels::{Buffer, Isa, KernelError, Team};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keys of a tile.
const KEYS: usize = 64;
/// Rows of scores: a tile, and what its last register tile writes beyond.
const SCORES: usize = KEYS + 8;
/// Elements of a cache line.
const LINE: usize = 16;
/// Most register widths of queries that share a tile of keys.
const MOST_TILES: usize = 4;
/// A score no real one reaches: its weight beside a real one is zero. A sum of masked scores alone is rescaled
/// to zero as soon as a real score is seen.
const MASKED: f32 = -1e30;

/// Lanes of a register.
const fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Neon | Isa::Portable => 4,
    }
}

/// Buffers of the tiled program.
pub(super) struct Tiled {
    shape: Shape,
    isa: Isa,
    /// Queries of a group.
    group: usize,
    /// For each thread: queries, unscaled outputs, scores, maxima, sums and factors.
    scratch: Vec<Buffer<f32>>,
}

impl Tiled {
    /// Allocates the buffers for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(shape: Shape, isa: Isa, threads: usize) -> Result<Self, KernelError> {
        let Shape { heads, seq, dim, .. } = shape;
        // Register tiles are two registers wide for blocks, whose sides are powers of two mostly, else three.
        let (width, group) = match &shape.mask {
            Mask::Blocks(blocks) => (2 * lanes(isa), blocks.side()),
            _ => {
                let width = 3 * lanes(isa);
                // Small cases get smaller groups, so that every thread finds a few.
                (width, width * (heads * seq).div_ceil(width * threads * 4).clamp(1, MOST_TILES))
            }
        };
        let scratch = width * (group.div_ceil(width) * (2 * dim + 2) + SCORES + 1);
        let scratch = (0..threads).map(|_| Buffer::zeroed(scratch, "scratch of a thread")).collect::<Result<_, _>>()?;
        Ok(Self { shape, isa, group, scratch })
    }

    /// The instruction set.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// The code path for the record.
    pub(super) fn path(&self) -> String {
        format!("{}/tiled", self.isa)
    }

    /// Computes all heads. The operands are `heads × seq × dim`.
    pub(super) fn run(&mut self, operands: [&[f32]; 3], output: &mut [f32], team: &dyn Team) {
        let len = self.shape.len();
        assert!(operands.iter().all(|x| x.len() == len) && output.len() == len, "operands do not fit the shape");
        let workers = self.scratch.len();
        let program = match self.shape.mask {
            Mask::Blocks(_) => <f32 as NarrowPath>::pick(self.isa),
            _ => <f32 as WidePath>::pick(self.isa),
        };
        let (scratch, output) = (Parts::of(&mut self.scratch), Parts::of(output));
        let groups = Groups {
            shape: &self.shape,
            operands,
            output: &output,
            group: self.group,
            per_head: self.shape.seq.div_ceil(self.group),
            next: AtomicUsize::new(0),
        };
        team.run(&|thread| {
            if thread < workers {
                // SAFETY: each thread uses its own scratch.
                let scratch = &mut unsafe { scratch.range(thread..thread + 1) }[0];
                let args = Args { groups: &groups, scratch: scratch.as_mut_ptr() };
                // SAFETY: the instruction set is available, operands fit the shape, and scratch memory
                // was made for this width and group; groups are claimed by one thread each.
                unsafe { program(&args) };
            }
        });
    }
}

/// What all threads share.
struct Groups<'a, T> {
    shape: &'a Shape,
    operands: [&'a [T]; 3],
    output: &'a Parts<'a, T>,
    group: usize,
    per_head: usize,
    /// The next group of queries that nobody has claimed.
    next: AtomicUsize,
}

/// What one thread does.
struct Args<'a, T> {
    groups: &'a Groups<'a, T>,
    scratch: *mut T,
}

/// The groups of one thread; a register tile is `N` registers of queries wide.
///
/// # Safety
/// As for `Simd`; operands fit the shape, scratch memory was made for this width and group, and no other
/// thread uses it.
#[inline(always)]
unsafe fn attention<S: SimdExp + Transpose, const N: usize>(args: &Args<'_, f32>) {
    let groups = args.groups;
    loop {
        let claimed = groups.next.fetch_add(1, Ordering::Relaxed);
        if claimed >= groups.shape.heads * groups.per_head {
            break;
        }
        // The last groups of a causal head see the most keys: longest first.
        let (head, group) = (claimed / groups.per_head, groups.per_head - 1 - claimed % groups.per_head);
        // SAFETY: passed on to the caller. Tile heights keep the sums in the registers there are.
        unsafe {
            match (S::REGISTERS, N) {
                (32, _) => attend::<S, 8, N>(groups, head, group * groups.group, args.scratch),
                (_, 2) => attend::<S, 6, N>(groups, head, group * groups.group, args.scratch),
                _ => attend::<S, 4, N>(groups, head, group * groups.group, args.scratch),
            }
        }
    }
}
paths!(trait WidePath: attention(Args), registers = [3, 3, 3], for f32);
paths!(trait NarrowPath: attention(Args), registers = [2, 2, 2], for f32);

/// One group of queries from `first` on: all keys they see.
///
/// # Safety
/// As for [`attention`].
#[inline(always)]
unsafe fn attend<S: SimdExp + Transpose, const R: usize, const N: usize>(
    groups: &Groups<'_, f32>,
    head: usize,
    first: usize,
    scratch: *mut f32,
) {
    let Shape { seq, dim, ref mask, .. } = *groups.shape;
    let width = N * S::LANES;
    let queries = first..(first + groups.group).min(seq);
    let tiles = queries.len().div_ceil(width);
    let start = head * seq * dim;
    // SAFETY: the scratch memory has room for all parts (see `Tiled::new`); rows of K, V and the output lie
    // inside their head.
    unsafe {
        let packed = scratch;
        let outputs = packed.add(tiles * dim * width);
        let tops = outputs.add(tiles * dim * width);
        let totals = tops.add(tiles * width);
        let factors = totals.add(tiles * width);
        let scores = factors.add(width);
        let [q, k, v] = groups.operands.map(|x| x.as_ptr().add(start));
        for tile in 0..tiles {
            let query = first + tile * width;
            pack_queries::<S, N>(q.add(query * dim), queries.end - query, dim, packed.add(tile * dim * width));
        }
        for i in 0..tiles * dim * width {
            outputs.add(i).write(0.0);
        }
        for i in 0..tiles * width {
            tops.add(i).write(MASKED);
            totals.add(i).write(0.0);
        }
        let mut index = 0;
        while let Some(span) = mask.span(head, &queries, seq, index) {
            index += 1;
            // Blocks lie anywhere: nobody else can know which comes next.
            let next = mask.next_block(head, &queries, index);
            for key in span.clone().step_by(KEYS) {
                for tile in 0..tiles {
                    let query = first + tile * width;
                    let seen = mask.hull(&(query..(query + width).min(queries.end)), seq);
                    let keys = key.max(seen.start)..(key + KEYS).min(span.end).min(seen.end);
                    if keys.is_empty() {
                        continue;
                    }
                    for row in (0..keys.len()).step_by(R) {
                        if let (0, Some(next)) = (tile, next) {
                            let first = (next + (keys.start - span.start) + row) * dim;
                            for at in (0..R * dim).step_by(LINE) {
                                S::prefetch(k.wrapping_add(first + at));
                                S::prefetch(v.wrapping_add(first + at));
                            }
                        }
                        // Rows beyond the last key repeat it: their scores are never read.
                        let mut rows = [k; R];
                        for (i, at) in rows.iter_mut().enumerate() {
                            *at = k.add((keys.start + row + i).min(keys.end - 1) * dim);
                        }
                        let queries = (packed.add(tile * dim * width).cast_const(), width);
                        dot_rows::<S, R, N>(rows, queries, dim, (scores.add(row * width), width));
                    }
                    cover(mask, query, width, &keys, scores);
                    let sums = (tops.add(tile * width), totals.add(tile * width));
                    let rescale = weights::<S, N>(scores, keys.len(), sums, factors);
                    let factors = rescale.then_some(factors.cast_const());
                    let (out, values) = (outputs.add(tile * dim * width), v.add(keys.start * dim));
                    let mut d = 0;
                    while d + R <= dim {
                        let (left, right) = ((values.add(d), dim), (scores.cast_const(), width));
                        add_rows::<S, R, N>(left, right, keys.len(), (out.add(d * width), width), factors);
                        d += R;
                    }
                    while d < dim {
                        let (left, right) = ((values.add(d), dim), (scores.cast_const(), width));
                        add_rows::<S, 1, N>(left, right, keys.len(), (out.add(d * width), width), factors);
                        d += 1;
                    }
                }
            }
        }
        for tile in 0..tiles {
            let query = first + tile * width;
            let to = groups.output.as_mut_ptr().add(start + query * dim);
            let out = outputs.add(tile * dim * width);
            store::<S, N>(out, totals.add(tile * width), (queries.end - query).min(width), dim, to);
        }
    }
}

/// Turns up to one register width of queries, `rows` of which exist, into `dim` rows of queries, scaled so that
/// powers of two of their scores are the weights; zeros beyond the last.
///
/// # Safety
/// As for [`attention`].
#[inline(always)]
unsafe fn pack_queries<S: SimdExp + Transpose, const N: usize>(
    from: *const f32,
    rows: usize,
    dim: usize,
    to: *mut f32,
) {
    let width = N * S::LANES;
    #[expect(clippy::cast_possible_truncation, reason = "the kernel computes in single precision")]
    let scale = (std::f64::consts::LOG2_E / (dim as f64).sqrt()) as f32;
    // SAFETY: only rows that exist are read; `to` holds `dim` rows of `width` queries.
    unsafe {
        turn::<S>((from, dim), (rows.min(width), dim), (to, width));
        for d in 0..dim {
            for i in rows..width {
                to.add(d * width + i).write(0.0);
            }
            for i in 0..N {
                let at = to.add(d * width + i * S::LANES);
                S::store(at, S::mul(S::load(at), S::splat(scale)));
            }
        }
    }
}

/// Writes the transpose of `rows × columns` elements.
///
/// # Safety
/// As for `Simd`; both arrays have such rows and columns.
#[inline(always)]
unsafe fn turn<S: Transpose>(from: (*const f32, usize), (rows, columns): (usize, usize), to: (*mut f32, usize)) {
    for row in (0..rows).step_by(S::LANES) {
        for column in (0..columns).step_by(S::LANES) {
            // SAFETY: the tile, or what there is of it, lies inside both arrays.
            unsafe {
                let (from, to) = ((from.0.add(row * from.1 + column), from.1), (to.0.add(column * to.1 + row), to.1));
                if row + S::LANES <= rows && column + S::LANES <= columns {
                    S::transpose(from, to);
                    continue;
                }
                for i in 0..(rows - row).min(S::LANES) {
                    for j in 0..(columns - column).min(S::LANES) {
                        to.0.add(j * to.1 + i).write(*from.0.add(i * from.1 + j));
                    }
                }
            }
        }
    }
}

/// Masks the scores of pairs that do not see each other, for queries from `query` on.
///
/// # Safety
/// `scores` holds a row of `width` elements for each of the keys.
#[inline(always)]
unsafe fn cover(mask: &Mask, query: usize, width: usize, keys: &Range<usize>, scores: *mut f32) {
    let window = match mask {
        Mask::Dense | Mask::Blocks(_) => return,
        Mask::Causal => usize::MAX,
        Mask::Window(window) => *window,
    };
    // Whole tiles between the two edges need nothing.
    if keys.end <= query + 1 && keys.start.saturating_add(window) >= query + width {
        return;
    }
    for key in keys.clone() {
        // SAFETY: as promised.
        let row = unsafe { std::slice::from_raw_parts_mut(scores.add((key - keys.start) * width), width) };
        // Queries before the key, and queries whose window has passed it.
        row[..key.saturating_sub(query).min(width)].fill(MASKED);
        row[key.saturating_add(window).saturating_sub(query).min(width)..].fill(MASKED);
    }
}

/// Turns the scores of `count` keys into weights relative to the larger of their maximum and the one so far;
/// updates maxima and sums, and says whether any maximum grew: by `factors`, then.
///
/// # Safety
/// As for [`attention`].
#[inline(always)]
unsafe fn weights<S: SimdExp, const N: usize>(
    scores: *mut f32,
    count: usize,
    (tops, totals): (*mut f32, *mut f32),
    factors: *mut f32,
) -> bool {
    // SAFETY: `count` rows of scores, and one row of each of the others, hold N registers.
    unsafe {
        let (mut old, mut sum) = ([S::splat(0.0); N], [S::splat(0.0); N]);
        for n in 0..N {
            old[n] = S::load(tops.add(n * S::LANES));
            sum[n] = S::load(totals.add(n * S::LANES));
        }
        // Two chains for each register hide the latency of the maximum.
        let (mut even, mut odd) = (old, old);
        for row in (0..count - count % 2).step_by(2) {
            for n in 0..N {
                even[n] = S::max(even[n], S::load(scores.add((row * N + n) * S::LANES)));
                odd[n] = S::max(odd[n], S::load(scores.add(((row + 1) * N + n) * S::LANES)));
            }
        }
        let (mut minus, mut growth) = (old, S::splat(0.0));
        for n in 0..N {
            let last = if count % 2 == 1 { S::load(scores.add(((count - 1) * N + n) * S::LANES)) } else { odd[n] };
            let top = S::max(S::max(even[n], odd[n]), last);
            S::store(tops.add(n * S::LANES), top);
            minus[n] = S::mul(top, S::splat(-1.0));
            growth = S::max(growth, S::add(top, S::mul(old[n], S::splat(-1.0))));
        }
        let grown = S::top(growth) > 0.0;
        if grown {
            for n in 0..N {
                let factor = exp2_non_positive::<S>(S::add(old[n], minus[n]));
                S::store(factors.add(n * S::LANES), factor);
                sum[n] = S::mul(sum[n], factor);
            }
        }
        for row in 0..count {
            for n in 0..N {
                let weight = exp2_non_positive::<S>(S::add(S::load(scores.add((row * N + n) * S::LANES)), minus[n]));
                S::store(scores.add((row * N + n) * S::LANES), weight);
                sum[n] = S::add(sum[n], weight);
            }
        }
        for (n, sum) in sum.iter().enumerate() {
            S::store(totals.add(n * S::LANES), *sum);
        }
        grown
    }
}

/// Divides the outputs of one register width of queries by their sums of weights and stores the `rows` that
/// exist.
///
/// # Safety
/// As for [`attention`].
#[inline(always)]
unsafe fn store<S: Transpose, const N: usize>(
    outputs: *mut f32,
    totals: *mut f32,
    rows: usize,
    dim: usize,
    to: *mut f32,
) {
    let width = N * S::LANES;
    // SAFETY: `outputs` has `dim` rows of `width` queries, `to` has `rows` rows of `dim` elements.
    unsafe {
        for i in 0..width {
            totals.add(i).write(1.0 / *totals.add(i));
        }
        for d in 0..dim {
            for n in 0..N {
                let at = outputs.add(d * width + n * S::LANES);
                S::store(at, S::mul(S::load(at), S::load(totals.add(n * S::LANES))));
            }
        }
        turn::<S>((outputs, width), (dim, rows), (to, dim));
    }
}
