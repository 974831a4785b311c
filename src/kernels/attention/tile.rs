//! A register width of queries and one piece of keys: scores, weights, and weights times values.
//!
//! Weights are relative to a maximum that earlier keys had. Where no score of the piece exceeds it by more than
//! [`MARGIN`], which is nearly always, nothing is rescaled: a common factor of weights and sums is divided out at the end,
//! and floating point is as precise at 2^8 as at 1. So weights follow the scores of a few keys at once, and the
//! largest score is looked at afterwards. Where one exceeds it, and where pairs are masked, all scores of the piece come
//! first, the maximum follows them, and sums made so far are rescaled.

#![expect(unsafe_code, reason = "vector operations on rows of the operands")]

use super::registers::{add_rows, dot_rows};
use crate::kernels::simd::{SimdExp, exp2_non_positive};
use std::ops::Range;

/// Keys of a piece at most: with 64 dimensions their values, their scores and 64 queries take 40 KiB, which a
/// first-level cache of 48 KiB holds.
pub(super) const KEYS: usize = 48;
/// Rows that a register tile of scores may write beyond the last key.
pub(super) const BEYOND: usize = 16;
/// A score no real one reaches: its weight beside a real one is zero. A sum of masked scores alone is rescaled
/// to zero as soon as a real score is seen.
pub(super) const MASKED: f32 = -1e30;
/// How far a score, as a power of two, may exceed the maximum that its weight is relative to.
const MARGIN: f32 = 8.0;

/// Queries of the widest register width.
const WIDEST: usize = 64;
/// What masks the first queries of a row, where it begins before the zeros, or the last, where it ends behind them.
static COVER: [f32; 3 * WIDEST] = {
    let mut cover = [MASKED; 3 * WIDEST];
    let mut i = WIDEST;
    while i < 2 * WIDEST {
        cover[i] = 0.0;
        i += 1;
    }
    cover
};

/// Which pairs of a piece see each other: query j, from the first on, sees key i if `hidden + i ≤ j < passed + i`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    /// Of the first key: queries before it.
    pub(super) hidden: isize,
    /// Of the first key: queries whose window has passed it from here on.
    pub(super) passed: isize,
}

/// Where the numbers of a register width of queries lie. All rows are this wide.
pub(super) struct Tile {
    /// `dim` rows: scaled queries.
    pub(super) packed: *const f32,
    /// `dim` rows: sums of weights times values.
    pub(super) outputs: *mut f32,
    /// Maxima that weights are relative to.
    pub(super) tops: *mut f32,
    /// Sums of weights.
    pub(super) totals: *mut f32,
    /// Room for a row.
    pub(super) factors: *mut f32,
    /// Room for `KEYS + BEYOND` rows.
    pub(super) scores: *mut f32,
    /// Elements of a query, key and value.
    pub(super) dim: usize,
}

/// What [`Tile::quick`] has found so far.
struct Begun<S: SimdExp, const N: usize> {
    /// Maxima that weights are relative to, negated.
    minus: [S::V; N],
    /// How far scores exceed them, if at all.
    growth: [S::V; N],
    /// Sums of weights.
    fresh: [S::V; N],
}

impl Tile {
    /// Takes `count` keys, at most [`KEYS`], into account; asks for those that come `next`. R and T are heights of
    /// register tiles, T for what R leaves.
    ///
    /// # Safety
    /// As for `Simd`; the memory is as the fields say, N registers wide, and so many rows of K and V exist.
    #[inline(always)]
    pub(super) unsafe fn visit<S: SimdExp, const R: usize, const T: usize, const N: usize>(
        &self,
        (k, v): (*const f32, *const f32),
        count: usize,
        next: *const f32,
        edge: Option<Edge>,
    ) {
        let (dim, width) = (self.dim, N * S::LANES);
        // SAFETY: as promised.
        unsafe {
            // Before its first key the maximum of a query is that of masked scores.
            let begun = *self.tops > MASKED;
            if !begun || !self.quick::<S, R, T, N>((k, v), count, next, edge) {
                self.careful::<S, R, N>(k, count, edge);
            }
            let right = (self.scores.cast_const(), width);
            let (tall, short) = divide::<R, T>(dim);
            for d in (0..tall).step_by(R) {
                add_rows::<S, R, N>((v.add(d), dim), right, count, (self.outputs.add(d * width), width));
            }
            for d in (tall..tall + short).step_by(T) {
                add_rows::<S, T, N>((v.add(d), dim), right, count, (self.outputs.add(d * width), width));
            }
            for d in tall + short..dim {
                add_rows::<S, 1, N>((v.add(d), dim), right, count, (self.outputs.add(d * width), width));
            }
        }
    }

    /// Weights relative to the maximum so far, without a look at the new one. False, and sums are as they were, where
    /// a score exceeds it too far, or where register tiles do not divide the keys.
    ///
    /// # Safety
    /// As for [`visit`](Self::visit).
    #[inline(always)]
    unsafe fn quick<S: SimdExp, const R: usize, const T: usize, const N: usize>(
        &self,
        (k, v): (*const f32, *const f32),
        count: usize,
        next: *const f32,
        edge: Option<Edge>,
    ) -> bool {
        let (tall, short) = divide::<R, T>(count);
        if tall + short < count {
            return false;
        }
        // SAFETY: as promised.
        unsafe {
            let zero = [S::splat(0.0); N];
            let mut begun = Begun::<S, N> { minus: zero, growth: zero, fresh: zero };
            for (n, minus) in begun.minus.iter_mut().enumerate() {
                *minus = S::mul(S::load(self.tops.add(n * S::LANES)), S::splat(-1.0));
            }
            for row in (0..tall).step_by(R) {
                // The rows of K that come next, and of V beside these.
                let following = if row + R < count { k.add((row + R) * self.dim) } else { next };
                self.scores_of::<S, R, N, 2>(k, (row, count), [following, v.add(row * self.dim)]);
                self.weigh::<S, R, N>(row, edge, &mut begun);
            }
            for row in (tall..count).step_by(T) {
                self.scores_of::<S, T, N, 0>(k, (row, count), []);
                self.weigh::<S, T, N>(row, edge, &mut begun);
            }
            let mut growth = begun.growth[0];
            for other in &begun.growth[1..] {
                growth = S::max(growth, *other);
            }
            if S::top(growth) > MARGIN {
                return false;
            }
            for (n, fresh) in begun.fresh.iter().enumerate() {
                let total = self.totals.add(n * S::LANES);
                S::store(total, S::add(S::load(total), *fresh));
            }
            true
        }
    }

    /// Makes weights of the scores of H keys from `row` on.
    ///
    /// By way of memory: sums in registers that are used once more after a product cost the compiler one of them, which
    /// it then keeps in memory during the product, where every step waits for it.
    ///
    /// # Safety
    /// As for [`visit`](Self::visit).
    #[inline(always)]
    unsafe fn weigh<S: SimdExp, const H: usize, const N: usize>(
        &self,
        row: usize,
        edge: Option<Edge>,
        begun: &mut Begun<S, N>,
    ) {
        let width = N * S::LANES;
        // SAFETY: as promised.
        unsafe {
            if let Some(edge) = edge {
                self.cover::<S, N>(row..row + H, edge);
            }
            let scores = self.scores.add(row * width);
            for i in 0..H {
                for n in 0..N {
                    let at = scores.add(i * width + n * S::LANES);
                    let x = S::add(S::load(at), begun.minus[n]);
                    begun.growth[n] = S::max(begun.growth[n], x);
                    let weight = exp2_non_positive::<S>(x);
                    S::store(at, weight);
                    begun.fresh[n] = S::add(begun.fresh[n], weight);
                }
            }
        }
    }

    /// Scores of H keys from `row` on, of `count`.
    ///
    /// # Safety
    /// As for [`visit`](Self::visit).
    #[inline(always)]
    unsafe fn scores_of<S: SimdExp, const H: usize, const N: usize, const A: usize>(
        &self,
        k: *const f32,
        (row, count): (usize, usize),
        ask: [*const f32; A],
    ) {
        let width = N * S::LANES;
        // SAFETY: as promised.
        unsafe {
            // Rows beyond the last key repeat it: their scores are never read.
            let mut rows = [k; H];
            for (i, at) in rows.iter_mut().enumerate() {
                *at = k.add((row + i).min(count - 1) * self.dim);
            }
            let to = (self.scores.add(row * width), width);
            dot_rows::<S, H, N, A>(rows, (self.packed, width), self.dim, to, ask);
        }
    }

    /// Weights relative to the maximum with these keys, by way of scores in memory.
    ///
    /// # Safety
    /// As for [`visit`](Self::visit).
    #[inline(always)]
    unsafe fn careful<S: SimdExp, const R: usize, const N: usize>(
        &self,
        k: *const f32,
        count: usize,
        edge: Option<Edge>,
    ) {
        let width = N * S::LANES;
        // SAFETY: as promised.
        unsafe {
            for row in (0..count).step_by(R) {
                self.scores_of::<S, R, N, 0>(k, (row, count), []);
            }
            if let Some(edge) = edge {
                self.cover::<S, N>(0..count, edge);
            }
            if weights::<S, N>(self.scores, count, (self.tops, self.totals), self.factors) {
                for d in 0..self.dim {
                    for n in 0..N {
                        let factor = S::load(self.factors.add(n * S::LANES));
                        let at = self.outputs.add(d * width + n * S::LANES);
                        S::store(at, S::mul(S::load(at), factor));
                    }
                }
            }
        }
    }

    /// Masks the scores of pairs that do not see each other, for some keys of the piece.
    ///
    /// # Safety
    /// As for [`visit`](Self::visit).
    #[inline(always)]
    unsafe fn cover<S: SimdExp, const N: usize>(&self, keys: Range<usize>, edge: Edge) {
        let width = N * S::LANES;
        let lane = |first: isize| usize::try_from(first).unwrap_or(0).min(width);
        for key in keys {
            let hidden = lane(edge.hidden.saturating_add_unsigned(key));
            let passed = lane(edge.passed.saturating_add_unsigned(key));
            for n in 0..N {
                // SAFETY: as promised; a row and what it is moved by lie inside the table.
                unsafe {
                    let at = self.scores.add(key * width + n * S::LANES);
                    let before = S::load(COVER.as_ptr().add(WIDEST - hidden + n * S::LANES));
                    let behind = S::load(COVER.as_ptr().add(2 * WIDEST - passed + n * S::LANES));
                    S::store(at, S::add(S::load(at), S::add(before, behind)));
                }
            }
        }
    }
}

/// Rows in register tiles of R, then in those of T, that leave the fewest of `count`.
#[inline(always)]
const fn divide<const R: usize, const T: usize>(count: usize) -> (usize, usize) {
    let mut rest = count % R;
    if count > R && (rest + R) % T < rest % T {
        rest += R;
    }
    (count - rest, rest - rest % T)
}

/// Turns the scores of `count` keys into weights relative to the larger of their maximum and the one so far;
/// updates maxima and sums, and says whether any maximum grew: by `factors`, then.
///
/// # Safety
/// As for [`Tile::visit`].
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
