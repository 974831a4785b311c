//! The program of `moe`: tokens gathered by expert, two dense products for each, and a sum over the experts of a token.
//!
//! A thread takes experts, or equal shares of an expert's tokens, and multiplies them by itself, so no thread waits inside
//! an expert. Gathering, activation and the sum at the end belong to the kernel: without them there is no result.
//!
//! Weights stay while tokens come and go, so packing them is no part of it, as in a deployment.

#![expect(unsafe_code, reason = "vector operations; lends scratch to threads")]

use super::routing::Routing;
use super::{Shape, Weights};
use crate::kernels::gemm::Panels;
use crate::kernels::params::{product, sum};
use crate::kernels::simd::{SimdExp, exp2_non_positive, paths};
use crate::kernels::split::{Parts, even};
use crate::kernels::{Buffer, Isa, KernelError, ParamError, Team};

/// The weights of all experts, packed expert by expert.
struct Packed {
    panels: Panels<f32>,
    experts: Buffer<f32>,
}

impl Packed {
    /// Packs `experts` operands of `n` columns and `k` rows (`[n, k]`), each by one of the threads.
    fn new(isa: Isa, size: [usize; 2], weights: &[f32], experts: usize, team: &dyn Team) -> Result<Self, KernelError> {
        let panels = Panels::new(size, isa);
        let mut packed = Buffer::zeroed(experts * panels.len(), "packed experts")?;
        let (of_threads, len) = (even(experts, team.threads(), 1), size[0] * size[1]);
        let parts = Parts::of(&mut packed);
        team.run(&|thread| {
            for expert in of_threads[thread].clone() {
                // SAFETY: each expert belongs to one thread.
                let to = unsafe { parts.range(expert * panels.len()..(expert + 1) * panels.len()) };
                panels.pack(&weights[expert * len..(expert + 1) * len], to);
            }
        });
        Ok(Self { panels, experts: packed })
    }

    /// C = A times an operand, for `rows` rows; see [`Panels::multiply`].
    fn multiply(&self, expert: usize, rows: usize, a: (&[f32], usize), c: (&mut [f32], usize), strip: &mut [f32]) {
        let len = self.panels.len();
        self.panels.multiply(&self.experts[expert * len..(expert + 1) * len], rows, a, c, strip);
    }
}

/// What one thread works in.
struct Scratch {
    /// A strip of the operand that is multiplied.
    strip: Buffer<f32>,
    /// Gathered tokens, and the products with G and U, which become hidden units.
    rows: Buffer<f32>,
}

/// Packed weights and the buffers of the program.
pub(super) struct Grouped {
    shape: Shape,
    isa: Isa,
    /// G and U side by side, and D.
    packed: [Packed; 2],
    /// Parts into which the tokens of an expert are divided.
    parts: usize,
    scratch: Vec<Scratch>,
    /// Output of each slot.
    slots: Buffer<f32>,
}

impl Grouped {
    /// Packs the weights and allocates the buffers for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(
        shape: Shape,
        weights: &Weights,
        routing: &Routing,
        isa: Isa,
        team: &dyn Team,
    ) -> Result<Self, KernelError> {
        let (Shape { d, f, experts, .. }, threads) = (shape, team.threads());
        let fits = weights.up.len() == experts * d * 2 * f && weights.down.len() == experts * f * d;
        assert!(fits, "weights do not fit the shape");
        let up = Packed::new(isa, [2 * f, d], &weights.up, experts, team)?;
        let down = Packed::new(isa, [d, f], &weights.down, experts, team)?;
        // Parts so that every thread has as many.
        let parts = (1..=threads).find(|parts| (experts * parts).is_multiple_of(threads)).unwrap_or(1);
        let most = routing.largest().div_ceil(parts);
        let strip = up.panels.strip();
        let scratch = (0..threads).map(|_| {
            let strip = Buffer::zeroed(strip, "a strip of an operand")?;
            Ok(Scratch { strip, rows: Buffer::zeroed(most * (d + 2 * f), "tokens of an expert")? })
        });
        let scratch = scratch.collect::<Result<_, KernelError>>()?;
        let slots = Buffer::zeroed(routing.slots() * d, "outputs of experts")?;
        Ok(Self { shape, isa, packed: [up, down], parts, scratch, slots })
    }

    /// Elements of all packed weights, with the widest registers.
    ///
    /// # Errors
    /// [`ParamError::TooLarge`].
    pub(super) fn packed_elements(experts: u64, d: u64, f: u64) -> Result<u64, ParamError> {
        // Columns are filled up to three registers of 16.
        let up = product("packed G and U", &[experts, d, (2 * f).next_multiple_of(48)])?;
        sum("packed weights", &[up, product("packed D", &[experts, f, d.next_multiple_of(48)])?])
    }

    /// Whether huge pages were advised for the weights.
    pub(super) const fn pages(&self) -> &'static str {
        self.packed[0].experts.pages().name()
    }

    /// The instruction set.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// Computes all tokens with a routing of the size that this program was made for.
    pub(super) fn run(&mut self, routing: &Routing, x: &[f32], output: &mut [f32], team: &dyn Team) {
        let Shape { tokens, d, f, experts, .. } = self.shape;
        let rows = x.len() == tokens * d && output.len() == x.len() && routing.slots() * d == self.slots.len();
        assert!(rows, "operands do not fit the shape");
        let program = <f32 as SwiGluPath>::pick(self.isa);
        let (parts, workers, [up, down]) = (self.parts, self.scratch.len().min(team.threads()), &self.packed);
        let tasks = even(experts * parts, workers, 1);
        let (scratch, slots) = (Parts::of(&mut self.scratch), Parts::of(&mut self.slots));
        team.run(&|thread| {
            let Some(tasks) = tasks.get(thread) else { return };
            // SAFETY: each thread uses its own scratch.
            let Scratch { strip, rows } = &mut unsafe { scratch.range(thread..thread + 1) }[0];
            for task in tasks.clone() {
                let (expert, part) = (task / parts, task % parts);
                let own = routing.of_expert(expert);
                let part = even(own.len(), parts, 1)[part].clone();
                let own = own.start + part.start..own.start + part.end;
                if own.is_empty() {
                    continue;
                }
                let (gathered, hidden) = rows.split_at_mut(own.len() * d);
                let hidden = &mut hidden[..own.len() * 2 * f];
                for (slot, row) in own.clone().zip(gathered.chunks_mut(d)) {
                    let token = routing.token(slot);
                    row.copy_from_slice(&x[token * d..(token + 1) * d]);
                }
                up.multiply(expert, own.len(), (gathered, d), (hidden, 2 * f), strip);
                // SAFETY: the instruction set is available; the rows are whole.
                unsafe { program(&Args { hidden: &Parts::of(hidden), rows: own.len(), f }) };
                // SAFETY: slots of different tasks do not overlap.
                let to = unsafe { slots.range(own.start * d..own.end * d) };
                down.multiply(expert, own.len(), (hidden, 2 * f), (to, d), strip);
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
