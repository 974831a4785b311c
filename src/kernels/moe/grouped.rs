//! The program of `moe`: tokens gathered by expert, two dense products for each, and a sum over the experts of a token.
//!
//! A thread takes experts, or equal shares of an expert's tokens, and multiplies them by itself, so no thread waits inside
//! an expert. Gathering, activation and the sum at the end belong to the kernel: without them there is no result.

#![expect(unsafe_code, reason = "the gemm crate takes raw pointers; vector operations")]

use super::routing::Routing;
use super::{Shape, Weights};
use crate::kernels::simd::{SimdExp, exp2_non_positive, paths};
use crate::kernels::split::{Parts, even};
use crate::kernels::{Buffer, Isa, KernelError, Team};

/// Buffers of the program.
pub(super) struct Grouped {
    shape: Shape,
    isa: Isa,
    /// Parts into which the tokens of an expert are divided.
    parts: usize,
    /// For each thread: gathered tokens, and the products with G and U, which become hidden units.
    scratch: Vec<Buffer<f32>>,
    /// Output of each slot.
    slots: Buffer<f32>,
}

impl Grouped {
    /// Allocates the buffers for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(shape: Shape, routing: &Routing, isa: Isa, threads: usize) -> Result<Self, KernelError> {
        let Shape { d, f, experts, .. } = shape;
        // Parts so that every thread has as many.
        let parts = (1..=threads).find(|parts| (experts * parts).is_multiple_of(threads)).unwrap_or(1);
        let most = routing.largest().div_ceil(parts);
        let scratch = (0..threads).map(|_| Buffer::zeroed(most * (d + 2 * f), "tokens of an expert"));
        let scratch = scratch.collect::<Result<_, _>>()?;
        Ok(Self { shape, isa, parts, scratch, slots: Buffer::zeroed(routing.slots() * d, "outputs of experts")? })
    }

    /// The instruction set of the activation.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// Computes all tokens with a routing of the size that this program was made for.
    pub(super) fn run(&mut self, weights: &Weights, routing: &Routing, x: &[f32], output: &mut [f32], team: &dyn Team) {
        let Shape { tokens, d, f, experts, .. } = self.shape;
        let fits = weights.up.len() == experts * d * 2 * f && weights.down.len() == experts * f * d;
        let rows = x.len() == tokens * d && output.len() == x.len() && routing.slots() * d == self.slots.len();
        assert!(fits && rows, "operands do not fit the shape");
        let program = <f32 as SwiGluPath>::pick(self.isa);
        let (parts, workers) = (self.parts, self.scratch.len().min(team.threads()));
        let tasks = even(experts * parts, workers, 1);
        let (scratch, slots) = (Parts::of(&mut self.scratch), Parts::of(&mut self.slots));
        team.run(&|thread| {
            let Some(tasks) = tasks.get(thread) else { return };
            // SAFETY: each thread uses its own scratch.
            let scratch = &mut unsafe { scratch.range(thread..thread + 1) }[0];
            for task in tasks.clone() {
                let (expert, part) = (task / parts, task % parts);
                let own = routing.of_expert(expert);
                let part = even(own.len(), parts, 1)[part].clone();
                let own = own.start + part.start..own.start + part.end;
                if own.is_empty() {
                    continue;
                }
                let (gathered, hidden) = scratch.split_at_mut(own.len() * d);
                let hidden = &mut hidden[..own.len() * 2 * f];
                for (slot, row) in own.clone().zip(gathered.chunks_mut(d)) {
                    let token = routing.token(slot);
                    row.copy_from_slice(&x[token * d..(token + 1) * d]);
                }
                let up = &weights.up[expert * d * 2 * f..(expert + 1) * d * 2 * f];
                multiply([own.len(), 2 * f, d], (gathered, d), up, hidden);
                // SAFETY: the instruction set is available; the rows are whole.
                unsafe { program(&Args { hidden: &Parts::of(hidden), rows: own.len(), f }) };
                // SAFETY: slots of different tasks do not overlap.
                let to = unsafe { slots.range(own.start * d..own.end * d) };
                let down = &weights.down[expert * f * d..(expert + 1) * f * d];
                multiply([own.len(), d, f], (hidden, 2 * f), down, to);
            }
        });
        let (slots, output, ranges) = (&self.slots, Parts::of(output), even(tokens, team.threads(), 1));
        team.run(&|thread| {
            for token in ranges[thread].clone() {
                // SAFETY: each token belongs to one thread.
                let output = unsafe { output.range(token * d..(token + 1) * d) };
                output.fill(0.0);
                for (slot, gate) in routing.of_token(token) {
                    for (output, y) in output.iter_mut().zip(&slots[slot * d..(slot + 1) * d]) {
                        *output += gate * y;
                    }
                }
            }
        });
    }
}

/// C = A·B by the `gemm` crate on this thread; all row-major, rows of A `a.1` elements apart.
fn multiply([m, n, k]: [usize; 3], a: (&[f32], usize), b: &[f32], c: &mut [f32]) {
    assert!(a.0.len() >= (m - 1) * a.1 + k && b.len() == k * n && c.len() == m * n, "operands do not fit the shape");
    // SAFETY: the shape fits the operands (asserted above), whose strides are row-major.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n.cast_signed(),
            false,
            a.0.as_ptr(),
            1,
            a.1.cast_signed(),
            b.as_ptr(),
            1,
            n.cast_signed(),
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Rows of two halves of `f` elements.
struct Args<'a, T> {
    hidden: &'a Parts<'a, T>,
    rows: usize,
    f: usize,
}

/// First half of each row = silu(first half) times second half.
///
/// # Safety
/// As for `Simd`; the rows exist and nobody else uses them.
#[inline(always)]
unsafe fn activate<S: SimdExp, const R: usize>(args: &Args<'_, f32>) {
    for row in 0..args.rows {
        // SAFETY: passed on to the caller.
        unsafe {
            let gate = args.hidden.as_mut_ptr().add(row * 2 * args.f);
            let up = gate.add(args.f);
            let whole = args.f / S::LANES * S::LANES;
            for at in (0..whole).step_by(S::LANES) {
                S::store(gate.add(at), silu::<S>(S::load(gate.add(at)), S::load(up.add(at))));
            }
            let rest = args.f - whole;
            if rest > 0 {
                let (g, u) = (S::load_first(gate.add(whole), rest), S::load_first(up.add(whole), rest));
                S::store_first(gate.add(whole), silu::<S>(g, u), rest);
            }
        }
    }
}
paths!(trait SwiGluPath: activate(Args), registers = [1, 1, 1], for f32);

/// silu(g)·u = g·u / (1 + e^−g), with powers of numbers below zero only.
///
/// # Safety
/// As for `Simd`.
#[inline(always)]
unsafe fn silu<S: SimdExp>(g: S::V, u: S::V) -> S::V {
    // SAFETY: passed on to the caller.
    unsafe {
        let (zero, minus) = (S::splat(0.0), S::splat(-1.0));
        let log2 = S::mul(g, S::splat(std::f32::consts::LOG2_E));
        // e^−|g|, and e^min(g, 0): 1 / (1 + e^−g) is the second over 1 plus the first.
        let below = exp2_non_positive::<S>(S::mul(S::max(log2, S::mul(log2, minus)), minus));
        let above = exp2_non_positive::<S>(S::mul(S::max(S::mul(log2, minus), zero), minus));
        S::div(S::mul(S::mul(g, u), above), S::add(S::splat(1.0), below))
    }
}
