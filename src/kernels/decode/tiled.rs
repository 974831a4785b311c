//! The program of `kv-decode`.
//!
//! Each thread goes through its parts of the tokens once: scores of 64 tokens, running maximum, weights, and weights
//! times values, for all the query heads that share the cache. The parts of a head are joined at the end (split
//! decoding: Dao et al., Flash-Decoding, 2023).

#![expect(unsafe_code, reason = "vector operations on rows of the cache")]

use super::cache::{Cache, Layout, Store};
use crate::kernels::simd::{Cell, SimdExp, Widen, exp2_non_positive, paths};
use crate::kernels::split::{Parts, even};
use crate::kernels::{Buffer, Isa, KernelError, Team};
use std::ops::Range;

/// Tokens of a tile.
const TOKENS: usize = 64;
/// Tokens whose scores are computed together: one of each stretch of a part, so that rows are read in as many streams,
/// which prefetchers follow side by side.
const STRETCHES: usize = 4;
/// How far ahead of each stream lines are asked for, in bytes.
const AHEAD: usize = 2048;
/// A score no real one reaches: its weight is zero.
const NOTHING: f32 = -1e30;

/// Lanes of a register.
const fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 16,
        Isa::Avx2 => 8,
        Isa::Neon | Isa::Portable => 4,
    }
}

/// Buffers of the program.
pub(super) struct Decoder {
    layout: Layout,
    isa: Isa,
    /// Elements from a row to the next of the packed queries, and of the sums: whole registers.
    rows: [usize; 2],
    /// Parts into which the tokens of a group are divided.
    parts: usize,
    /// Scaled queries.
    queries: Buffer<f32>,
    /// For each group, part and query head: sums of weighted values, then maximum and sum of weights.
    partial: Buffer<f32>,
    /// For each thread: scores.
    scratch: Vec<Buffer<f32>>,
}

impl Decoder {
    /// Allocates the buffers for an instruction set, which must be available.
    ///
    /// # Errors
    /// [`KernelError::OutOfMemory`].
    pub(super) fn new(layout: Layout, isa: Isa, threads: usize) -> Result<Self, KernelError> {
        let Layout { groups, share, len, .. } = layout;
        let rows = [layout.key, layout.value].map(|n| n.next_multiple_of(lanes(isa)));
        // Parts so that every thread has as many.
        let parts = (1..=threads).find(|parts| (groups * parts).is_multiple_of(threads)).unwrap_or(1);
        let parts = parts.min(len.div_ceil(TOKENS));
        let scratch = (0..threads).map(|_| Buffer::zeroed(share * TOKENS, "scores"));
        Ok(Self {
            layout,
            isa,
            rows,
            parts,
            queries: Buffer::zeroed(layout.heads() * rows[0], "packed queries")?,
            partial: Buffer::zeroed(parts * layout.heads() * (rows[1] + 2), "partial sums")?,
            scratch: scratch.collect::<Result<_, _>>()?,
        })
    }

    /// The instruction set.
    pub(super) const fn isa(&self) -> Isa {
        self.isa
    }

    /// Attends to the cache, which must have the layout of this program. Queries are `heads × key`, the output is
    /// `heads × value`.
    pub(super) fn run(&mut self, cache: &Cache, queries: &[f32], output: &mut [f32], team: &dyn Team) {
        let Layout { groups, share, key, value, .. } = self.layout;
        let heads = self.layout.heads();
        let fits = queries.len() == heads * key && output.len() == heads * value;
        assert!(fits && cache.layout() == self.layout, "operands do not fit the layout");
        let (parts, workers, [key_row, value_row]) = (self.parts, self.scratch.len().min(team.threads()), self.rows);
        #[expect(clippy::cast_possible_truncation, reason = "the kernel computes in single precision")]
        let scale = (std::f64::consts::LOG2_E / (key as f64).sqrt()) as f32;
        for (packed, query) in self.queries.chunks_mut(key_row).zip(queries.chunks(key)) {
            packed.iter_mut().zip(query).for_each(|(to, x)| *to = x * scale);
        }
        let program = <f32 as DecodePath>::pick(self.isa);
        let ranges = even(groups * parts, workers, 1);
        let (partial, scratch) = (Parts::of(&mut self.partial), Parts::of(&mut self.scratch));
        let (layout, rows, packed) = (self.layout, self.rows, &self.queries);
        team.run(&|thread| {
            let Some(range) = ranges.get(thread) else { return };
            // SAFETY: each thread uses its own scores.
            let scores = unsafe { scratch.range(thread..thread + 1) }[0].as_mut_ptr();
            let args =
                Args { layout, rows, parts, cache, queries: packed, partial: &partial, scores, range: range.clone() };
            // SAFETY: the instruction set is available, the cache has this layout, and each thread writes the
            // partial sums of its own parts.
            unsafe { program(&args) };
        });
        let width = value_row + 2;
        for (head, output) in output.chunks_mut(value).enumerate() {
            let part = |part: usize| {
                let at = ((head / share * parts + part) * share + head % share) * width;
                &self.partial[at..at + width]
            };
            let top = (0..parts).fold(NOTHING, |top, p| top.max(part(p)[value_row]));
            let factor = |p: usize| (part(p)[value_row] - top).exp2();
            let total: f32 = (0..parts).map(|p| part(p)[value_row + 1] * factor(p)).sum();
            for (d, output) in output.iter_mut().enumerate() {
                *output = (0..parts).map(|p| part(p)[d] * factor(p)).sum::<f32>() / total;
            }
        }
    }
}

/// What one thread does.
struct Args<'a, T> {
    layout: Layout,
    rows: [usize; 2],
    parts: usize,
    cache: &'a Cache,
    queries: &'a [T],
    partial: &'a Parts<'a, T>,
    scores: *mut T,
    /// Parts, counted through all groups.
    range: Range<usize>,
}

/// One part of the tokens of a group.
struct Part<C> {
    /// Row of the first token in keys, values and scales.
    keys: *const C,
    values: *const C,
    /// Elements from a value to the next.
    apart: usize,
    /// None for floating point.
    scales: Option<[*const f32; 2]>,
    tokens: usize,
    queries: *const f32,
    sums: *mut f32,
    scores: *mut f32,
}

/// The parts of one thread.
///
/// # Safety
/// As for `Simd`; the cache fits the layout, buffers were made for it, and no other thread has these parts.
#[inline(always)]
unsafe fn decode<S: SimdExp + Widen, const R: usize>(args: &Args<'_, f32>) {
    let Layout { share, len, key, value, .. } = args.layout;
    for index in args.range.clone() {
        let (group, part) = (index / args.parts, index % args.parts);
        let tokens = even(len, args.parts, TOKENS)[part].clone();
        let row = group * len + tokens.start;
        // SAFETY: rows of the group lie inside the cache; the rest is passed on to the caller.
        unsafe {
            let queries = args.queries.as_ptr().add(group * share * args.rows[0]);
            let sums = args.partial.as_mut_ptr().add(index * share * (args.rows[1] + 2));
            let (tokens, scores) = (tokens.len(), args.scores);
            match args.cache.store() {
                Store::Float { keys, values } => {
                    let (keys, values) = (keys.as_ptr().add(row * key), values.as_ptr().add(row * value));
                    let part = Part { keys, values, apart: value, scales: None, tokens, queries, sums, scores };
                    part.attend::<S>(args.layout, args.rows);
                }
                Store::Latent { rows } => {
                    let keys = rows.as_ptr().add(row * key);
                    let part = Part { keys, values: keys, apart: key, scales: None, tokens, queries, sums, scores };
                    part.attend::<S>(args.layout, args.rows);
                }
                Store::Short { keys, values } => {
                    let (keys, values) = (keys.as_ptr().add(row * key), values.as_ptr().add(row * value));
                    let part = Part { keys, values, apart: value, scales: None, tokens, queries, sums, scores };
                    part.attend::<S>(args.layout, args.rows);
                }
                Store::ShortLatent { rows } => {
                    let keys = rows.as_ptr().add(row * key);
                    let part = Part { keys, values: keys, apart: key, scales: None, tokens, queries, sums, scores };
                    part.attend::<S>(args.layout, args.rows);
                }
                Store::Int8 { keys, values, key_scales, value_scales } => {
                    let scales = Some([key_scales.as_ptr().add(row), value_scales.as_ptr().add(row)]);
                    let keys = keys.as_ptr().add(row * key).cast::<i8>();
                    let values = values.as_ptr().add(row * value).cast::<i8>();
                    let part = Part { keys, values, apart: value, scales, tokens, queries, sums, scores };
                    part.attend::<S>(args.layout, args.rows);
                }
            }
        }
    }
}
paths!(trait DecodePath: decode(Args), registers = [1, 1, 1], for f32);

/// Asks for what follows a row in its stream.
#[inline(always)]
fn ask_ahead<S: Widen, C>(row: *const C, len: usize) {
    const LINE: usize = 64;
    let from = row.cast::<u8>().wrapping_add(AHEAD);
    for at in (0..len * size_of::<C>()).step_by(LINE) {
        S::ask(from.wrapping_add(at));
    }
}

/// A tile of tokens: where they lie in their part.
#[derive(Clone, Copy)]
struct Tile {
    first: usize,
    /// Rows from a token to the next of the same tile, and from the last of [`STRETCHES`] to the one after.
    apart: [usize; 2],
    count: usize,
}

impl Tile {
    /// The row of a token in its part.
    #[inline(always)]
    const fn row(self, token: usize) -> usize {
        self.first + token % STRETCHES * self.apart[0] + token / STRETCHES * self.apart[1]
    }

    /// The tile from token `done` on of a part of so many.
    #[inline(always)]
    const fn of(tokens: usize, done: usize) -> Self {
        let stretch = tokens / STRETCHES;
        let left = stretch * STRETCHES - done;
        if left > 0 {
            let count = if left < TOKENS { left } else { TOKENS };
            return Self { first: done / STRETCHES, apart: [stretch, 1], count };
        }
        // What the stretches leave over.
        Self { first: done, apart: [1, STRETCHES], count: tokens - done }
    }
}

/// A register of row elements from `column` on; zeros beyond the last.
///
/// # Safety
/// As for `Simd`; the row has `len` elements.
#[inline(always)]
unsafe fn load<S: Widen, C: Cell>(row: *const C, column: usize, len: usize) -> S::V {
    // SAFETY: as promised.
    unsafe {
        if len - column >= S::LANES {
            C::load::<S>(row.add(column))
        } else {
            C::load_first::<S>(row.add(column), len - column)
        }
    }
}

/// Adds the products of a register of each of the keys with one of each of H queries, `row` elements apart.
///
/// # Safety
/// As for `Simd`; the queries have these registers.
#[inline(always)]
unsafe fn multiply<S: Widen, const H: usize>(
    queries: *const f32,
    row: usize,
    keys: [S::V; STRETCHES],
    sums: &mut [[S::V; H]; STRETCHES],
) {
    for h in 0..H {
        // SAFETY: passed on to the caller.
        unsafe {
            let query = S::load(queries.add(h * row));
            for (key, sums) in keys.iter().zip(&mut *sums) {
                sums[h] = S::fma(query, *key, sums[h]);
            }
        }
    }
}

impl<C: Cell> Part<C> {
    /// Sums of weighted values, maximum and sum of weights of all query heads.
    ///
    /// # Safety
    /// As for [`decode`].
    #[inline(always)]
    unsafe fn attend<S: SimdExp + Widen>(&self, layout: Layout, [key_row, value_row]: [usize; 2]) {
        let Layout { share, key, value, .. } = layout;
        let width = value_row + 2;
        // SAFETY: passed on to the caller.
        unsafe {
            for head in 0..share {
                let sums = self.sums.add(head * width);
                for d in 0..=value_row {
                    sums.add(d).write(if d == value_row { NOTHING } else { 0.0 });
                }
                sums.add(value_row + 1).write(0.0);
            }
            let mut done = 0;
            while done < self.tokens {
                let tile = Tile::of(self.tokens, done);
                done += tile.count;
                let mut head = 0;
                while head < share {
                    let queries = self.queries.add(head * key_row);
                    let scores = self.scores.add(head * TOKENS);
                    if share - head >= 4 {
                        self.scores::<S, 4>(tile, key, (queries, key_row), scores, head == 0);
                        head += 4;
                    } else {
                        self.scores::<S, 1>(tile, key, (queries, key_row), scores, head == 0);
                        head += 1;
                    }
                }
                let mut factors = [1.0_f32; 4];
                let mut head = 0;
                while head < share {
                    let heads = if share - head >= 4 { 4 } else { 1 };
                    let sums = self.sums.add(head * width);
                    for (i, factor) in factors.iter_mut().enumerate().take(heads) {
                        let state = sums.add(i * width + value_row);
                        *factor = self.weights::<S>(tile, self.scores.add((head + i) * TOKENS), state);
                    }
                    let scores = self.scores.add(head * TOKENS);
                    let ask = head == 0 && !std::ptr::eq(self.keys, self.values);
                    let mut column = 0;
                    while column < value {
                        let registers = (value - column).div_ceil(S::LANES);
                        let (at, out) = ((tile, column, value), (sums.add(column), width));
                        match (heads, registers) {
                            (4, 4..) => self.add::<S, 4, 4>(at, scores, out, &factors, ask),
                            (4, _) => self.add::<S, 4, 1>(at, scores, out, &factors, ask),
                            (_, 8..) => self.add::<S, 1, 8>(at, scores, out, &factors, ask),
                            (_, 4..) => self.add::<S, 1, 4>(at, scores, out, &factors, ask),
                            _ => self.add::<S, 1, 1>(at, scores, out, &factors, ask),
                        }
                        let done = match (heads, registers) {
                            (4, 4..) | (_, 4..8) => 4,
                            (1, 8..) => 8,
                            _ => 1,
                        };
                        column += done * S::LANES;
                    }
                    head += heads;
                }
            }
        }
    }

    /// Scores of a tile for H query heads; asks for what follows the keys if it is to.
    ///
    /// # Safety
    /// As for [`decode`].
    #[inline(always)]
    unsafe fn scores<S: Widen, const H: usize>(
        &self,
        tile: Tile,
        len: usize,
        (queries, row): (*const f32, usize),
        to: *mut f32,
        ask: bool,
    ) {
        for token in (0..tile.count).step_by(STRETCHES) {
            // SAFETY: tokens beyond the last repeat it and lie inside the tile of scores.
            unsafe {
                let mut keys = [self.keys; STRETCHES];
                for (i, key) in keys.iter_mut().enumerate() {
                    *key = key.add(tile.row((token + i).min(tile.count - 1)) * len);
                }
                if ask {
                    for key in keys {
                        ask_ahead::<S, C>(key, len);
                    }
                }
                let mut sums = [[S::splat(0.0); H]; STRETCHES];
                // Of bytes, arithmetic takes the time, and looking at what is left of a row is part of it. (The same loop
                // lost 0.04 and 0.05 where memory does: mha and gqa-4.)
                let whole = if size_of::<C>() == 1 { len / S::LANES * S::LANES } else { 0 };
                for column in (0..whole).step_by(S::LANES) {
                    let mut of_keys = [S::splat(0.0); STRETCHES];
                    for (register, key) in of_keys.iter_mut().zip(keys) {
                        *register = C::load::<S>(key.add(column));
                    }
                    multiply::<S, H>(queries.add(column), row, of_keys, &mut sums);
                }
                for column in (whole..len).step_by(S::LANES) {
                    let mut query = [S::splat(0.0); H];
                    for (h, query) in query.iter_mut().enumerate() {
                        *query = S::load(queries.add(h * row + column));
                    }
                    for (key, sums) in keys.iter().zip(&mut sums) {
                        let key = load::<S, C>(*key, column, len);
                        for (query, sum) in query.iter().zip(sums) {
                            *sum = S::fma(*query, key, *sum);
                        }
                    }
                }
                let mut scales = [1.0; STRETCHES];
                if let Some([keys, _]) = self.scales {
                    for (i, scale) in scales.iter_mut().enumerate() {
                        *scale = *keys.add(tile.row((token + i).min(tile.count - 1)));
                    }
                }
                let [first, second, third, fourth] = sums;
                let of_heads = first.into_iter().zip(second).zip(third.into_iter().zip(fourth));
                for (h, ((first, second), (third, fourth))) in of_heads.enumerate() {
                    let of_head = S::sum4([first, second, third, fourth]);
                    for (i, sum) in of_head.into_iter().enumerate() {
                        to.add(h * TOKENS + token + i).write(sum * scales[i]);
                    }
                }
            }
        }
    }

    /// Turns the scores of a head into weights, times the scales of the values, relative to the larger of their maximum
    /// and the one so far. Updates maximum and sum, and returns what earlier sums are to be multiplied by.
    ///
    /// # Safety
    /// As for [`decode`].
    #[inline(always)]
    unsafe fn weights<S: SimdExp>(&self, tile: Tile, scores: *mut f32, state: *mut f32) -> f32 {
        // SAFETY: the tile of scores has TOKENS elements, a multiple of every register.
        unsafe {
            for token in tile.count..TOKENS {
                scores.add(token).write(NOTHING);
            }
            let old = *state;
            let mut top = S::splat(old);
            for at in (0..TOKENS).step_by(S::LANES) {
                top = S::max(top, S::load(scores.add(at)));
            }
            let top = S::top(top);
            let (minus, mut sum) = (S::splat(-top), S::splat(0.0));
            for at in (0..TOKENS).step_by(S::LANES) {
                let weight = exp2_non_positive::<S>(S::add(S::load(scores.add(at)), minus));
                S::store(scores.add(at), weight);
                sum = S::add(sum, weight);
            }
            let factor = if top > old { (old - top).exp2() } else { 1.0 };
            state.write(top);
            state.add(1).write(*state.add(1) * factor + S::sum(sum));
            if let Some([_, values]) = self.scales {
                for token in 0..tile.count {
                    scores.add(token).write(*scores.add(token) * *values.add(tile.row(token)));
                }
            }
            factor
        }
    }

    /// Adds the weighted values of a tile to N registers of the sums of H heads; asks for what follows these columns in
    /// the next rows if it is to.
    ///
    /// # Safety
    /// As for [`decode`].
    #[inline(always)]
    unsafe fn add<S: Widen, const H: usize, const N: usize>(
        &self,
        (tile, column, len): (Tile, usize, usize),
        weights: *const f32,
        (out, row): (*mut f32, usize),
        factors: &[f32; 4],
        ask: bool,
    ) {
        // As for scores.
        let whole = size_of::<C>() == 1 && len - column >= N * S::LANES;
        // SAFETY: N registers, the last one perhaps in part, lie inside the value.
        unsafe {
            let mut sums = [[S::splat(0.0); N]; H];
            for token in 0..tile.count {
                let from = self.values.add(tile.row(token) * self.apart);
                // Latent values came with their keys.
                if ask {
                    ask_ahead::<S, C>(from.add(column), N * S::LANES);
                }
                let mut value = [S::splat(0.0); N];
                for (n, value) in value.iter_mut().enumerate() {
                    let column = column + n * S::LANES;
                    *value = if whole { C::load::<S>(from.add(column)) } else { load::<S, C>(from, column, len) };
                }
                for (h, sums) in sums.iter_mut().enumerate() {
                    let weight = S::splat(*weights.add(h * TOKENS + token));
                    for (sum, value) in sums.iter_mut().zip(value) {
                        *sum = S::fma(weight, value, *sum);
                    }
                }
            }
            for (h, sums) in sums.iter().enumerate() {
                let factor = S::splat(factors[h]);
                for (n, sum) in sums.iter().enumerate() {
                    let at = out.add(h * row + n * S::LANES);
                    S::store(at, S::fma(factor, S::load(at), *sum));
                }
            }
        }
    }
}
