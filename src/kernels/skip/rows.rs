//! The program of `relu-skip`.
//!
//! Threads share the hidden units. A block of units at a time, a thread finds the candidates (all of them, or those that
//! the predictor names), computes four of them together, and adds four active rows of D together to sums of its own, which
//! stay in the first-level cache. The sums of the threads are added at the end.

#![expect(unsafe_code, reason = "vector operations on rows of the operands")]

use super::{Layer, Shape};
use crate::kernels::simd::{Simd, paths};
use crate::kernels::split::{Parts, even};
use crate::kernels::{Buffer, Isa, KernelError, Team};
use std::ops::Range;

/// Units of a block.
const BLOCK: usize = 128;
/// Rows read together.
const TOGETHER: usize = 4;

/// Lanes of a register.
const fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Neon | Isa::Portable => 4,
    }
}

/// Buffers of the program.
pub(super) struct Skipping {
    shape: Shape,
    isa: Isa,
    /// `d` in whole registers.
    row: usize,
    /// A·x.
    inner: Vec<f32>,
    /// For each thread, its part of the output.
    sums: Vec<Buffer<f32>>,
}

impl Skipping {
    /// Allocates the buffers for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(shape: Shape, isa: Isa, threads: usize) -> Result<Self, KernelError> {
        let row = shape.d.next_multiple_of(lanes(isa));
        let sums = (0..threads).map(|_| Buffer::zeroed(row, "partial sums")).collect::<Result<_, _>>()?;
        Ok(Self { shape, isa, row, inner: vec![0.0; shape.rank], sums })
    }

    /// The instruction set.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// Computes the layer, which must have the shape that this program was made for.
    pub(super) fn run(&mut self, layer: &Layer, output: &mut [f32], team: &dyn Team) {
        let (Shape { d, f, rank }, isa) = (self.shape, self.isa);
        let fits = layer.up.len() == f * d && layer.inner.len() == rank * d && layer.outer.len() == f * rank;
        assert!(fits && layer.x.len() == d && output.len() == d, "operands do not fit the shape");
        let workers = self.sums.len().min(team.threads());
        let program = <f32 as SkipPath>::pick(isa);
        if rank > 0 {
            let (inner, ranges) = (Parts::of(&mut self.inner), even(rank, workers, 1));
            team.run(&|thread| {
                let Some(range) = ranges.get(thread) else { return };
                // SAFETY: each thread writes its own elements.
                let z = unsafe { inner.range(range.clone()) };
                let args = Args { layer, row: 0, range: range.clone(), z: &[], to: &Parts::of(z), inner: true };
                // SAFETY: the instruction set is available and operands fit.
                unsafe { program(&args) };
            });
        }
        let (sums, ranges, z, row) = (Parts::of(&mut self.sums), even(f, workers, 1), &self.inner, self.row);
        team.run(&|thread| {
            let Some(range) = ranges.get(thread) else { return };
            // SAFETY: each thread has sums of its own.
            let sums = &mut unsafe { sums.range(thread..thread + 1) }[0];
            let args = Args { layer, row, range: range.clone(), z, to: &Parts::of(sums), inner: false };
            // SAFETY: as above.
            unsafe { program(&args) };
        });
        output.copy_from_slice(&self.sums[0][..d]);
        for sums in &self.sums[1..workers] {
            output.iter_mut().zip(sums.iter()).for_each(|(sum, x)| *sum += x);
        }
    }
}

/// What one thread does.
struct Args<'a, T> {
    layer: &'a Layer,
    row: usize,
    /// Units, or rows of A.
    range: Range<usize>,
    /// A·x.
    z: &'a [T],
    /// Sums of this thread, or its elements of A·x.
    to: &'a Parts<'a, T>,
    /// Whether to compute A·x.
    inner: bool,
}

/// One step of one thread.
///
/// # Safety
/// As for [`Simd`]; operands fit the shape, and no other thread writes to the same place.
#[inline(always)]
unsafe fn skip<S: Simd<Elem = f32>, const R: usize>(args: &Args<'_, f32>) {
    let Args { layer, ref range, z, .. } = *args;
    let Shape { d, rank, .. } = layer.shape;
    let (x, to) = (layer.x.as_ptr(), args.to.as_mut_ptr());
    // SAFETY: rows named by units in range lie inside the operands; the rest is passed on to the caller.
    unsafe {
        if args.inner {
            for first in range.clone().step_by(TOGETHER) {
                let mut rows = [first; TOGETHER];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = (first + i).min(range.end - 1);
                }
                let sums = dots::<S>(layer.inner.as_ptr(), rows, x, d);
                for (i, row) in rows.into_iter().enumerate() {
                    to.add(row - range.start).write(sums[i]);
                }
            }
            return;
        }
        for at in (0..args.row).step_by(S::LANES) {
            S::store(to.add(at), S::splat(0.0));
        }
        for first in range.clone().step_by(BLOCK) {
            let block = first..(first + BLOCK).min(range.end);
            let (mut units, mut count) = ([0_usize; BLOCK], 0);
            if rank == 0 {
                for unit in block {
                    units[count] = unit;
                    count += 1;
                }
            } else {
                for four in block.clone().step_by(TOGETHER) {
                    let mut rows = [four; TOGETHER];
                    for (i, row) in rows.iter_mut().enumerate() {
                        *row = (four + i).min(block.end - 1);
                    }
                    let scores = dots::<S>(layer.outer.as_ptr(), rows, z.as_ptr(), rank);
                    for unit in four..(four + TOGETHER).min(block.end) {
                        if scores[unit - four] > layer.thresholds[unit] {
                            units[count] = unit;
                            count += 1;
                        }
                    }
                }
            }
            let (mut active, mut values, mut found) = ([0_usize; BLOCK], [0.0_f32; BLOCK], 0);
            for four in (0..count).step_by(TOGETHER) {
                let mut rows = [0; TOGETHER];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = units[(four + i).min(count - 1)];
                }
                let sums = dots::<S>(layer.up.as_ptr(), rows, x, d);
                for i in 0..TOGETHER.min(count - four) {
                    let h = sums[i] - layer.bias[rows[i]];
                    if h > 0.0 {
                        (active[found], values[found]) = (rows[i], h);
                        found += 1;
                    }
                }
            }
            for four in (0..found).step_by(TOGETHER) {
                // Beyond the last, its row times zero.
                let (mut rows, mut weights) = ([0; TOGETHER], [0.0; TOGETHER]);
                for i in 0..TOGETHER {
                    rows[i] = active[(four + i).min(found - 1)];
                    weights[i] = if four + i < found { values[four + i] } else { 0.0 };
                }
                add::<S>(layer.down.as_ptr(), rows, weights, d, to);
            }
        }
    }
}
paths!(trait SkipPath: skip(Args), registers = [1, 1, 1], for f32);

/// Products of four rows of a matrix with one vector, both of `len` elements.
///
/// # Safety
/// As for [`Simd`]; the rows exist.
#[inline(always)]
unsafe fn dots<S: Simd<Elem = f32>>(
    matrix: *const f32,
    rows: [usize; TOGETHER],
    vector: *const f32,
    len: usize,
) -> [f32; TOGETHER] {
    // SAFETY: as promised; the last register is read in part.
    unsafe {
        let mut from = [matrix; TOGETHER];
        for (from, row) in from.iter_mut().zip(rows) {
            *from = from.add(row * len);
        }
        // Two sums a row: the ends of a row are few, and the chains of additions long.
        let mut sums = [[S::splat(0.0); 2]; TOGETHER];
        let (pairs, whole) = (len / (2 * S::LANES) * 2 * S::LANES, len / S::LANES * S::LANES);
        for at in (0..pairs).step_by(2 * S::LANES) {
            let x = [S::load(vector.add(at)), S::load(vector.add(at + S::LANES))];
            for (from, sums) in from.iter().zip(&mut sums) {
                sums[0] = S::fma(S::load(from.add(at)), x[0], sums[0]);
                sums[1] = S::fma(S::load(from.add(at + S::LANES)), x[1], sums[1]);
            }
        }
        for at in (pairs..whole).step_by(S::LANES) {
            let x = S::load(vector.add(at));
            for (from, sums) in from.iter().zip(&mut sums) {
                sums[0] = S::fma(S::load(from.add(at)), x, sums[0]);
            }
        }
        if whole < len {
            let x = S::load_first(vector.add(whole), len - whole);
            for (from, sums) in from.iter().zip(&mut sums) {
                sums[1] = S::fma(S::load_first(from.add(whole), len - whole), x, sums[1]);
            }
        }
        let mut totals = [0.0; TOGETHER];
        for (total, sums) in totals.iter_mut().zip(sums) {
            *total = S::sum(S::add(sums[0], sums[1]));
        }
        totals
    }
}

/// Adds four weighted rows of D to the sums.
///
/// # Safety
/// As for [`Simd`]; the rows exist, and the sums have whole registers.
#[inline(always)]
unsafe fn add<S: Simd<Elem = f32>>(
    matrix: *const f32,
    rows: [usize; TOGETHER],
    weights: [f32; TOGETHER],
    len: usize,
    to: *mut f32,
) {
    // SAFETY: as promised; the last register is read in part.
    unsafe {
        let (mut from, mut weight) = ([matrix; TOGETHER], [S::splat(0.0); TOGETHER]);
        for i in 0..TOGETHER {
            from[i] = from[i].add(rows[i] * len);
            weight[i] = S::splat(weights[i]);
        }
        let whole = len / S::LANES * S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            let mut sum = S::load(to.add(at));
            for (from, weight) in from.iter().zip(weight) {
                sum = S::fma(weight, S::load(from.add(at)), sum);
            }
            S::store(to.add(at), sum);
        }
        if whole < len {
            let mut sum = S::load(to.add(whole));
            for (from, weight) in from.iter().zip(weight) {
                sum = S::fma(weight, S::load_first(from.add(whole), len - whole), sum);
            }
            S::store(to.add(whole), sum);
        }
    }
}
