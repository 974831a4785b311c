//! The tiled program of `attention`.
//!
//! Every iteration first packs K into panels of two registers of keys, transposed (and V, where
//! `dim` does not fill whole registers). Then threads claim blocks of queries. A block is a few
//! register tiles of queries that share each tile of 256 keys while it is in the second-level
//! cache: scores, running maximum, weights, and weights times values.

#![expect(unsafe_code, reason = "vector operations on packed operands")]

use super::Shape;
use crate::kernels::simd::{SimdExp, exp_non_positive, paths};
use crate::kernels::split::{Parts, even};
use crate::kernels::{Buffer, Isa, KernelError, Team};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keys of a tile.
const KEYS: usize = 256;
/// Most register tiles of queries that share a tile of keys.
const MOST_TILES: usize = 8;
/// A score no real one reaches: its weight is 2^-126, nothing beside a sum of at least 1.
const MASKED: f32 = -1e30;

/// Lanes of a register, and queries of a register tile (as in [`paths!`] below).
const fn registers(isa: Isa) -> (usize, usize) {
    match isa {
        Isa::Avx512 => (16, 14),
        Isa::Avx2 => (8, 6),
        Isa::Portable => (4, 6),
    }
}

/// Buffers of the tiled program.
pub(super) struct Tiled {
    shape: Shape,
    isa: Isa,
    /// Register tiles of queries in a block.
    tiles: usize,
    /// K in panels of two registers of keys: `heads × panels × dim × 2·lanes`.
    keys: Buffer<f32>,
    /// V with rows of whole registers; empty where V has them already.
    values: Buffer<f32>,
    /// For each thread: packed queries, scores, unscaled outputs, maxima, sums and factors.
    scratch: Vec<Buffer<f32>>,
}

impl Tiled {
    /// Allocates the buffers for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(shape: Shape, isa: Isa, threads: usize) -> Result<Self, KernelError> {
        let Shape { heads, seq, dim, .. } = shape;
        let (lanes, height) = registers(isa);
        // Small cases get smaller blocks, so that every thread finds a few.
        let tiles = (heads * seq).div_ceil(height * threads * 4).clamp(1, MOST_TILES);
        let row = dim.next_multiple_of(lanes);
        let values = if row == dim { 0 } else { heads * seq * row };
        let scratch = height * (tiles * (dim + row + 2) + KEYS + 1);
        let scratch = (0..threads).map(|_| Buffer::zeroed(scratch, "scratch of a thread"));
        Ok(Self {
            shape,
            isa,
            tiles,
            keys: Buffer::zeroed(heads * seq.next_multiple_of(2 * lanes) * dim, "packed K")?,
            values: Buffer::zeroed(values, "packed V")?,
            scratch: scratch.collect::<Result<_, _>>()?,
        })
    }

    /// The instruction set.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// The code path for the record.
    pub(super) fn path(&self) -> String {
        format!("{}/tiled{}", self.isa, if self.values.is_empty() { "" } else { "-padded" })
    }

    /// Computes all heads. The operands are `heads × seq × dim`.
    pub(super) fn run(&mut self, operands: [&[f32]; 3], output: &mut [f32], team: &dyn Team) {
        let len = self.shape.len();
        assert!(operands.iter().all(|x| x.len() == len) && output.len() == len, "operands do not fit the shape");
        let Shape { heads, seq, .. } = self.shape;
        let (lanes, height) = registers(self.isa);
        let program = <f32 as AttentionPath>::pick(self.isa);
        let panels = even(heads * seq.div_ceil(2 * lanes), team.threads(), 1);
        let workers = self.scratch.len();
        let (keys, values) = (Parts::of(&mut self.keys), Parts::of(&mut self.values));
        let (scratch, output) = (Parts::of(&mut self.scratch), Parts::of(output));
        let blocks = Blocks {
            shape: self.shape,
            operands,
            keys: &keys,
            values: &values,
            output: &output,
            tiles: self.tiles,
            per_head: seq.div_ceil(self.tiles * height),
            next: AtomicUsize::new(0),
        };
        team.run(&|thread| {
            // SAFETY: the instruction set is available; each thread packs panels of its own.
            unsafe { program(&Args { blocks: &blocks, step: Step::Pack(panels[thread].clone()) }) };
        });
        team.run(&|thread| {
            if thread < workers {
                // SAFETY: each thread uses its own scratch.
                let scratch = &mut unsafe { scratch.range(thread..thread + 1) }[0];
                let step = Step::Attend(scratch.as_mut_ptr());
                // SAFETY: the instruction set is available; packing is over, so the packed operands
                // are only read; blocks are claimed by one thread each.
                unsafe { program(&Args { blocks: &blocks, step }) };
            }
        });
    }
}

/// What all threads share.
struct Blocks<'a, T> {
    shape: Shape,
    operands: [&'a [T]; 3],
    keys: &'a Parts<'a, T>,
    values: &'a Parts<'a, T>,
    output: &'a Parts<'a, T>,
    tiles: usize,
    per_head: usize,
    /// The next block of queries that nobody has claimed.
    next: AtomicUsize,
}

/// What one thread does.
struct Args<'a, T> {
    blocks: &'a Blocks<'a, T>,
    step: Step<T>,
}

enum Step<T> {
    /// Packs these panels of keys (counted through all heads).
    Pack(Range<usize>),
    /// Computes blocks of queries in this scratch memory.
    Attend(*mut T),
}

/// One step of one thread; `R` is the height of a register tile.
///
/// # Safety
/// As for `Simd`; operands fit the shape and the buffers were made for this instruction set; no
/// other thread packs these panels or uses this scratch.
#[inline(always)]
unsafe fn attention<S: SimdExp, const R: usize>(args: &Args<'_, f32>) {
    // SAFETY: passed on to the caller.
    unsafe {
        match &args.step {
            Step::Pack(panels) => {
                for panel in panels.clone() {
                    pack::<S>(args.blocks, panel);
                }
            }
            Step::Attend(scratch) => {
                let blocks = args.blocks;
                loop {
                    let claimed = blocks.next.fetch_add(1, Ordering::Relaxed);
                    if claimed >= blocks.shape.heads * blocks.per_head {
                        break;
                    }
                    // The last blocks of a causal head see the most keys: longest first.
                    let block = blocks.per_head - 1 - claimed % blocks.per_head;
                    attend::<S, R>(blocks, claimed / blocks.per_head, block * blocks.tiles * R, *scratch);
                }
            }
        }
    }
}
paths!(trait AttentionPath: attention(Args), registers = [14, 6, 6], for f32);

/// Packs one panel of K, and the same rows of V where needed.
///
/// # Safety
/// As for [`attention`].
#[inline(always)]
unsafe fn pack<S: SimdExp>(blocks: &Blocks<'_, f32>, panel: usize) {
    let Shape { seq, dim, .. } = blocks.shape;
    let (width, row) = (2 * S::LANES, dim.next_multiple_of(S::LANES));
    let per_head = seq.div_ceil(width);
    let (head, first) = (panel / per_head, panel % per_head * width);
    let present = width.min(seq - first);
    // SAFETY: `panel` belongs to this thread, and so do the rows of V with the same keys.
    let packed = unsafe { blocks.keys.range(panel * dim * width..(panel + 1) * dim * width) };
    for key in 0..width {
        if key < present {
            let start = (head * seq + first + key) * dim;
            let column = packed[key..].iter_mut().step_by(width);
            for (to, x) in column.zip(&blocks.operands[1][start..start + dim]) {
                *to = *x;
            }
        } else {
            packed[key..].iter_mut().step_by(width).for_each(|x| *x = 0.0);
        }
    }
    if row != dim {
        for key in head * seq + first..head * seq + first + present {
            // SAFETY: as above.
            let packed = unsafe { blocks.values.range(key * row..(key + 1) * row) };
            packed[..dim].copy_from_slice(&blocks.operands[2][key * dim..(key + 1) * dim]);
        }
    }
}

/// One block of queries from `first` on: all keys they see.
///
/// # Safety
/// As for [`attention`]; packing is over.
#[inline(always)]
unsafe fn attend<S: SimdExp, const R: usize>(blocks: &Blocks<'_, f32>, head: usize, first: usize, scratch: *mut f32) {
    let shape @ Shape { seq, dim, .. } = blocks.shape;
    let (width, row) = (2 * S::LANES, dim.next_multiple_of(S::LANES));
    let rows = (blocks.tiles * R).min(seq - first);
    let tiles = rows.div_ceil(R);
    // SAFETY: the scratch memory has room for all six parts (see `Tiled::new`); offsets into the
    // packed operands stay inside their head; only rows below `seq` are stored.
    unsafe {
        let queries = scratch;
        let scores = queries.add(blocks.tiles * R * dim);
        let sums_out = scores.add(R * KEYS);
        let (tops, totals) =
            (sums_out.add(blocks.tiles * R * row), sums_out.add(blocks.tiles * R * row + blocks.tiles * R));
        let factors = totals.add(blocks.tiles * R);
        let keys = blocks.keys.as_mut_ptr().add(head * seq.next_multiple_of(width) * dim);
        let values = if row == dim {
            blocks.operands[2].as_ptr().add(head * seq * dim)
        } else {
            blocks.values.as_mut_ptr().add(head * seq * row).cast_const()
        };
        pack_queries::<R>(blocks, head, first, tiles, queries);
        for i in 0..tiles * R {
            tops.add(i).write(MASKED);
            totals.add(i).write(0.0);
        }
        for key in (0..shape.visible(first + rows - 1)).step_by(KEYS) {
            for tile in 0..tiles {
                let query = first + tile * R;
                let seen = shape.visible(query + R - 1);
                if key >= seen {
                    continue;
                }
                let count = KEYS.min(seen - key);
                let padded = count.next_multiple_of(width);
                for panel in 0..padded / width {
                    let packed = keys.add((key / width + panel) * dim * width);
                    tile_scores::<S, R>(queries.add(tile * R * dim), packed, dim, scores.add(panel * width));
                }
                for i in 0..R {
                    // Keys this query does not see, and the padding behind the last key.
                    for masked in shape.visible(query + i).saturating_sub(key)..padded {
                        scores.add(i * KEYS + masked).write(MASKED);
                    }
                    let (top, total) = (tops.add(tile * R + i), totals.add(tile * R + i));
                    let (new_top, sum) = weights::<S>(scores.add(i * KEYS), padded, *top);
                    // Mostly the maximum stays, and the library's exponential is saved.
                    let factor = if new_top > *top { (*top - new_top).exp() } else { 1.0 };
                    factors.add(i).write(factor);
                    total.write(*total * factor + sum);
                    top.write(new_top);
                }
                let out = sums_out.add(tile * R * row);
                let values = values.add(key * row);
                let mut column = 0;
                while column + 2 * S::LANES <= row {
                    let target = (out.add(column), row);
                    add_values::<S, R, 2>(scores, count, values.add(column), target, factors, key == 0);
                    column += 2 * S::LANES;
                }
                if column < row {
                    let target = (out.add(column), row);
                    add_values::<S, R, 1>(scores, count, values.add(column), target, factors, key == 0);
                }
            }
        }
        for i in 0..rows {
            let factor = S::splat(1.0 / *totals.add(i));
            let to = blocks.output.as_mut_ptr().add((head * seq + first + i) * dim);
            for column in (0..dim).step_by(S::LANES) {
                let value = S::mul(factor, S::load(sums_out.add(i * row + column)));
                if dim - column >= S::LANES {
                    S::store(to.add(column), value);
                } else {
                    S::store_first(to.add(column), value, dim - column);
                }
            }
        }
    }
}

/// Queries of a block, scaled, transposed within each register tile; zeros beyond the last.
///
/// # Safety
/// As for [`attend`].
#[inline(always)]
unsafe fn pack_queries<const R: usize>(
    blocks: &Blocks<'_, f32>,
    head: usize,
    first: usize,
    tiles: usize,
    packed: *mut f32,
) {
    let Shape { seq, dim, .. } = blocks.shape;
    #[expect(clippy::cast_possible_truncation, reason = "the kernel computes in single precision")]
    let scale = (1.0 / (dim as f64).sqrt()) as f32;
    for query in 0..tiles * R {
        let start = (head * seq + first + query) * dim;
        for d in 0..dim {
            let x = if first + query < seq { blocks.operands[0][start + d] * scale } else { 0.0 };
            // SAFETY: the scratch memory holds `tiles` register tiles of `R` queries.
            unsafe { packed.add(query / R * R * dim + d * R + query % R).write(x) };
        }
    }
}

/// Scores of R queries and one panel of keys.
///
/// # Safety
/// As for [`attend`].
#[inline(always)]
unsafe fn tile_scores<S: SimdExp, const R: usize>(queries: *const f32, keys: *const f32, dim: usize, to: *mut f32) {
    // SAFETY: both packed operands hold `dim` steps; `to` has R rows of KEYS elements.
    unsafe {
        let mut sums = [[S::splat(0.0); 2]; R];
        for d in 0..dim {
            let from = keys.add(d * 2 * S::LANES);
            let (left, right) = (S::load(from), S::load(from.add(S::LANES)));
            for (i, sum) in sums.iter_mut().enumerate() {
                let query = S::splat(*queries.add(d * R + i));
                sum[0] = S::fma(query, left, sum[0]);
                sum[1] = S::fma(query, right, sum[1]);
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            S::store(to.add(i * KEYS), sum[0]);
            S::store(to.add(i * KEYS + S::LANES), sum[1]);
        }
    }
}

/// Turns `count` scores (a multiple of two registers) into weights relative to the larger of their
/// maximum and `top`; returns that maximum and the weights' sum.
///
/// # Safety
/// As for [`attend`].
#[inline(always)]
unsafe fn weights<S: SimdExp>(scores: *mut f32, count: usize, top: f32) -> (f32, f32) {
    // SAFETY: `count` elements are in the score tile.
    unsafe {
        let mut tops = [S::splat(top); 2];
        for at in (0..count).step_by(2 * S::LANES) {
            tops[0] = S::max(tops[0], S::load(scores.add(at)));
            tops[1] = S::max(tops[1], S::load(scores.add(at + S::LANES)));
        }
        let top = S::top(S::max(tops[0], tops[1]));
        let (minus, mut sums) = (S::splat(-top), [S::splat(0.0); 2]);
        for at in (0..count).step_by(2 * S::LANES) {
            let left = exp_non_positive::<S>(S::add(S::load(scores.add(at)), minus));
            let right = exp_non_positive::<S>(S::add(S::load(scores.add(at + S::LANES)), minus));
            S::store(scores.add(at), left);
            S::store(scores.add(at + S::LANES), right);
            sums[0] = S::add(sums[0], left);
            sums[1] = S::add(sums[1], right);
        }
        (top, S::sum(S::add(sums[0], sums[1])))
    }
}

/// Adds `count` weighted rows of V to R rows of N registers of the output, which are rescaled by
/// `factors` first, or start at zero.
///
/// # Safety
/// As for [`attend`].
#[inline(always)]
unsafe fn add_values<S: SimdExp, const R: usize, const N: usize>(
    weights: *const f32,
    count: usize,
    values: *const f32,
    (out, row): (*mut f32, usize),
    factors: *const f32,
    start: bool,
) {
    // SAFETY: `count` rows of V and R rows of the output have N registers here.
    unsafe {
        let mut sums = [[S::splat(0.0); N]; R];
        if !start {
            for (i, sum) in sums.iter_mut().enumerate() {
                let factor = S::splat(*factors.add(i));
                for (n, sum) in sum.iter_mut().enumerate() {
                    *sum = S::mul(factor, S::load(out.add(i * row + n * S::LANES)));
                }
            }
        }
        for key in 0..count {
            let mut value = [S::splat(0.0); N];
            for (n, value) in value.iter_mut().enumerate() {
                *value = S::load(values.add(key * row + n * S::LANES));
            }
            for (i, sum) in sums.iter_mut().enumerate() {
                let weight = S::splat(*weights.add(i * KEYS + key));
                for (sum, value) in sum.iter_mut().zip(value) {
                    *sum = S::fma(weight, value, *sum);
                }
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            for (n, sum) in sum.iter().enumerate() {
                S::store(out.add(i * row + n * S::LANES), *sum);
            }
        }
    }
}
