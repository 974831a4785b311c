//! The program of `attention-linear`.
//!
//! First each thread makes the states of its parts of the keys: tiles of φ(K)ᵀ·V are kept in registers over a
//! chunk of 64 keys, whose features were just written to the first-level cache. Then the parts of each head are
//! added, and threads multiply chunks of φ(Q) by the state of their head.

#![expect(unsafe_code, reason = "vector operations on rows of the operands")]

use super::Shape;
use crate::kernels::attention::registers::{add_rows, dot_rows};
use crate::kernels::simd::{SimdExp, exp2_non_positive, paths};
use crate::kernels::split::{Parts, even};
use crate::kernels::{Buffer, Isa, KernelError, Team};
use std::ops::Range;

/// Keys, or queries, of a chunk.
const CHUNK: usize = 64;

/// Lanes of a register.
const fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Neon | Isa::Portable => 4,
    }
}

/// Buffers of the program.
pub(super) struct Tiled {
    shape: Shape,
    isa: Isa,
    /// Elements from a row of the buffers to the next: `dim` in whole registers.
    row: usize,
    /// Parts into which the keys of a head are divided.
    parts: usize,
    /// For each head and part, `dim + 1` rows: the state, and the sum of the features.
    states: Buffer<f32>,
    /// For each thread: features, values or outputs of a chunk, and divisors.
    scratch: Vec<Buffer<f32>>,
}

impl Tiled {
    /// Allocates the buffers for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(shape: Shape, isa: Isa, threads: usize) -> Result<Self, KernelError> {
        let Shape { heads, seq, dim, .. } = shape;
        let row = dim.next_multiple_of(lanes(isa));
        // Parts so that every thread has as many.
        let parts = (1..=threads).find(|parts| (heads * parts).is_multiple_of(threads)).unwrap_or(1);
        let parts = parts.min(seq.div_ceil(CHUNK));
        // Register tiles write up to seven rows beyond the last.
        let scratch = (0..threads).map(|_| Buffer::zeroed((2 * CHUNK + 9) * row + CHUNK, "scratch of a thread"));
        let scratch = scratch.collect::<Result<_, _>>()?;
        Ok(Self { shape, isa, row, parts, states: Buffer::zeroed(heads * parts * (dim + 1) * row, "states")?, scratch })
    }

    /// The instruction set.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// Computes all heads. The operands are `heads × seq × dim`.
    pub(super) fn run(&mut self, operands: [&[f32]; 3], output: &mut [f32], team: &dyn Team) {
        let Shape { heads, seq, dim, .. } = self.shape;
        let len = self.shape.len();
        assert!(operands.iter().all(|x| x.len() == len) && output.len() == len, "operands do not fit the shape");
        let (row, parts, workers) = (self.row, self.parts, self.scratch.len().min(team.threads()));
        let program = <f32 as LinearPath>::pick(self.isa);
        let output = Parts::of(output);
        let state = (dim + 1) * row;
        let mut step = |states: &mut [f32], ranges: Vec<Range<usize>>, attend: bool| {
            let (states, scratch) = (Parts::of(states), Parts::of(&mut self.scratch));
            team.run(&|thread| {
                let Some(range) = ranges.get(thread) else { return };
                // SAFETY: each thread uses its own scratch.
                let scratch = &mut unsafe { scratch.range(thread..thread + 1) }[0];
                let (shape, range, scratch) = (self.shape, range.clone(), scratch.as_mut_ptr());
                let args =
                    Args { shape, row, parts, operands, states: &states, output: &output, scratch, range, attend };
                // SAFETY: the instruction set is available and operands fit. First each thread writes the
                // states of its own parts; then states are only read, and each thread writes its own outputs.
                unsafe { program(&args) };
            });
        };
        step(&mut self.states, even(heads * parts, workers, 1), false);
        for head in self.states.chunks_mut(parts * state) {
            let (first, others) = head.split_at_mut(state);
            for other in others.chunks(state) {
                first.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
            }
        }
        step(&mut self.states, even(heads * seq.div_ceil(CHUNK), workers, 1), true);
    }
}

/// What one thread does.
struct Args<'a, T> {
    shape: Shape,
    row: usize,
    parts: usize,
    operands: [&'a [T]; 3],
    states: &'a Parts<'a, T>,
    output: &'a Parts<'a, T>,
    scratch: *mut T,
    /// Parts of keys, or chunks of queries, counted through all heads.
    range: Range<usize>,
    /// Whether to multiply queries by the states, which must be complete.
    attend: bool,
}

/// One step of one thread.
///
/// # Safety
/// As for `Simd`; operands fit the shape, buffers were made for it, and no other thread writes these parts.
#[inline(always)]
unsafe fn linear<S: SimdExp, const R: usize>(args: &Args<'_, f32>) {
    let Shape { seq, .. } = args.shape;
    for index in args.range.clone() {
        // SAFETY: passed on to the caller.
        unsafe {
            if args.attend {
                let per_head = seq.div_ceil(CHUNK);
                let first = index % per_head * CHUNK;
                attend::<S, R>(args, index / per_head, first..(first + CHUNK).min(seq));
            } else {
                let (head, part) = (index / args.parts, index % args.parts);
                learn::<S, R>(args, index, head, even(seq, args.parts, CHUNK)[part].clone());
            }
        }
    }
}
paths!(trait LinearPath: linear(Args), registers = [8, 4, 4], for f32);

/// φ(x) = elu(x) + 1.
///
/// # Safety
/// As for `Simd`.
#[inline(always)]
unsafe fn feature<S: SimdExp>(x: S::V) -> S::V {
    // SAFETY: passed on to the caller.
    unsafe {
        let zero = S::splat(0.0);
        let below = S::max(S::mul(x, S::splat(-std::f32::consts::LOG2_E)), zero);
        S::add(S::max(x, zero), exp2_non_positive::<S>(S::mul(below, S::splat(-1.0))))
    }
}

/// A register of row elements from `column` on; zeros beyond the last.
///
/// # Safety
/// As for `Simd`; the row has `dim` elements.
#[inline(always)]
unsafe fn load<S: SimdExp>(row: *const f32, column: usize, dim: usize) -> S::V {
    // SAFETY: as promised.
    unsafe {
        if dim - column >= S::LANES { S::load(row.add(column)) } else { S::load_first(row.add(column), dim - column) }
    }
}

/// The state of some keys of a head.
///
/// # Safety
/// As for [`linear`].
#[inline(always)]
unsafe fn learn<S: SimdExp, const R: usize>(args: &Args<'_, f32>, index: usize, head: usize, keys: Range<usize>) {
    let (Shape { seq, dim, .. }, row) = (args.shape, args.row);
    // SAFETY: rows lie inside their head; scratch memory holds a chunk of features and one of values.
    unsafe {
        let state = args.states.as_mut_ptr().add(index * (dim + 1) * row);
        for at in (0..(dim + 1) * row).step_by(S::LANES) {
            S::store(state.add(at), S::splat(0.0));
        }
        let [_, k, v] = args.operands.map(|x| x.as_ptr().add(head * seq * dim));
        let (features, padded) = (args.scratch, args.scratch.add(CHUNK * row));
        for first in keys.clone().step_by(CHUNK) {
            let count = CHUNK.min(keys.end - first);
            for column in (0..row).step_by(S::LANES) {
                let mut sum = S::splat(0.0);
                for key in 0..count {
                    let feature = feature::<S>(load::<S>(k.add((first + key) * dim), column, dim));
                    S::store(features.add(key * row + column), feature);
                    sum = S::add(sum, feature);
                }
                let total = state.add(dim * row + column);
                S::store(total, S::add(S::load(total), sum));
            }
            let mut values = v.add(first * dim);
            if row != dim {
                for key in 0..count {
                    for column in (0..row).step_by(S::LANES) {
                        S::store(padded.add(key * row + column), load::<S>(values.add(key * dim), column, dim));
                    }
                }
                values = padded;
            }
            let mut d = 0;
            while d < dim {
                let tall = dim - d >= R;
                let mut column = 0;
                while column < row {
                    let wide = row - column >= 2 * S::LANES;
                    let (left, right) = ((features.add(d).cast_const(), row), (values.add(column), row));
                    let out = (state.add(d * row + column), row);
                    match (tall, wide) {
                        (true, true) => add_rows::<S, R, 2>(left, right, count, out),
                        (true, false) => add_rows::<S, R, 1>(left, right, count, out),
                        (false, true) => add_rows::<S, 1, 2>(left, right, count, out),
                        (false, false) => add_rows::<S, 1, 1>(left, right, count, out),
                    }
                    column += if wide { 2 * S::LANES } else { S::LANES };
                }
                d += if tall { R } else { 1 };
            }
        }
    }
}

/// The outputs of some queries of a head, at most a chunk.
///
/// # Safety
/// As for [`linear`]; the states are complete.
#[inline(always)]
unsafe fn attend<S: SimdExp, const R: usize>(args: &Args<'_, f32>, head: usize, queries: Range<usize>) {
    let (Shape { seq, dim, .. }, row, count) = (args.shape, args.row, queries.len());
    // SAFETY: rows lie inside their head; scratch memory holds a chunk of features, one of outputs with the rows
    // that the last tile writes beyond, and a divisor for each.
    unsafe {
        let state = args.states.as_mut_ptr().add(head * args.parts * (dim + 1) * row).cast_const();
        let start = (head * seq + queries.start) * dim;
        let q = args.operands[0].as_ptr().add(start);
        let (features, outputs) = (args.scratch, args.scratch.add(CHUNK * row));
        let factors = outputs.add((CHUNK + 9) * row);
        for query in 0..count {
            let mut divisor = S::splat(0.0);
            for column in (0..row).step_by(S::LANES) {
                let feature = feature::<S>(load::<S>(q.add(query * dim), column, dim));
                S::store(features.add(query * row + column), feature);
                // Beyond `dim` a feature is 1, so the sum is masked there.
                let total = load::<S>(state.add(dim * row), column, dim);
                divisor = S::fma(feature, total, divisor);
            }
            factors.add(query).write(1.0 / S::sum(divisor));
        }
        for query in (0..count).step_by(R) {
            // Rows beyond the last query repeat it: their outputs are never read.
            let mut rows = [features.cast_const(); R];
            for (i, at) in rows.iter_mut().enumerate() {
                *at = features.add((query + i).min(count - 1) * row);
            }
            let mut column = 0;
            while column < row {
                let to = (outputs.add(query * row + column), row);
                if row - column >= 2 * S::LANES {
                    dot_rows::<S, R, 2, 0>(rows, (state.add(column), row), dim, to, []);
                    column += 2 * S::LANES;
                } else {
                    dot_rows::<S, R, 1, 0>(rows, (state.add(column), row), dim, to, []);
                    column += S::LANES;
                }
            }
        }
        let to = args.output.as_mut_ptr().add(start);
        for query in 0..count {
            let factor = S::splat(*factors.add(query));
            for column in (0..dim).step_by(S::LANES) {
                let value = S::mul(S::load(outputs.add(query * row + column)), factor);
                let to = to.add(query * dim + column);
                if dim - column >= S::LANES {
                    S::store(to, value);
                } else {
                    S::store_first(to, value, dim - column);
                }
            }
        }
    }
}
