//! Register tiles: R rows of N registers of sums, for the two products of attention.
//!
//! One operand is read element by element, each for all lanes, and the other register by register.

#![expect(unsafe_code, reason = "vector operations on rows of the operands")]

use crate::kernels::element::Element;
use crate::kernels::simd::Simd;

/// Steps of an inner loop that are written out: the end of a short loop is a branch that nothing predicts.
const STEPS: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Repeats a step [`STEPS`] times with `ahead` from 0 on; the compiler leaves some such loops as they are.
macro_rules! written_out {
    ($ahead:ident, $step:expr) => {
        written_out!(@ $ahead, $step, 0 1 2 3 4 5 6 7)
    };
    (@ $ahead:ident, $step:expr, $($n:literal)*) => {{ $( let $ahead = $n; $step; )* }};
}

/// Elements `by` further along.
///
/// # Safety
/// They exist.
#[inline(always)]
unsafe fn beside<T, const R: usize>(mut elements: [*const T; R], by: usize) -> [*const T; R] {
    for element in &mut elements {
        // SAFETY: passed on to the caller.
        *element = unsafe { element.add(by) };
    }
    elements
}

/// One step: each of R elements times the same N registers.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
unsafe fn step<S: Simd, const R: usize, const N: usize>(
    left: [*const S::Elem; R],
    right: *const S::Elem,
    sums: &mut [[S::V; N]; R],
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut registers = [S::splat(S::Elem::ZERO); N];
        for (n, register) in registers.iter_mut().enumerate() {
            *register = S::load(right.add(n * S::LANES));
        }
        for (left, sums) in left.iter().zip(sums) {
            let left = S::splat(**left);
            for (sum, register) in sums.iter_mut().zip(registers) {
                *sum = S::fma(left, register, *sum);
            }
        }
    }
}

/// For each of R rows, `sums` plus the sum over `depth` steps d of element d of `left[i]` times row d of `right`, whose
/// rows are N registers, `right.1` elements apart; elements of a row of `left` are `left.1` apart. Meanwhile R elements a
/// step are asked for from each pointer of `ask`, which may lead anywhere.
///
/// # Safety
/// As for [`Simd`]; all rows exist.
#[inline(always)]
unsafe fn products<S: Simd, const R: usize, const N: usize, const A: usize>(
    left: ([*const S::Elem; R], usize),
    right: (*const S::Elem, usize),
    depth: usize,
    ask: [*const S::Elem; A],
) -> [[S::V; N]; R] {
    // SAFETY: as promised.
    unsafe {
        let mut sums = [[S::splat(S::Elem::ZERO); N]; R];
        let line = LINE / size_of::<S::Elem>();
        // No closure: one that is not inlined runs without the instruction set.
        for d in (0..depth / STEPS * STEPS).step_by(STEPS) {
            for ask in ask {
                for at in (0..R * STEPS).step_by(line) {
                    S::prefetch(ask.wrapping_add(d * R + at));
                }
            }
            written_out!(
                ahead,
                step::<S, R, N>(beside(left.0, (d + ahead) * left.1), right.0.add((d + ahead) * right.1), &mut sums)
            );
        }
        for d in depth / STEPS * STEPS..depth {
            step::<S, R, N>(beside(left.0, d * left.1), right.0.add(d * right.1), &mut sums);
        }
        sums
    }
}

/// Neighbouring elements, as the first of R rows.
///
/// # Safety
/// They exist.
#[inline(always)]
unsafe fn neighbours<T, const R: usize>(first: *const T) -> [*const T; R] {
    let mut rows = [first; R];
    for (i, row) in rows.iter_mut().enumerate() {
        // SAFETY: passed on to the caller.
        *row = unsafe { first.add(i) };
    }
    rows
}

/// Row i of `to` = the sum over `depth` steps d of element d of `left[i]` times row d of `right`; rows of `right`
/// and `to` are N registers, so many elements apart. Meanwhile R elements a step are asked for from each pointer of `ask`.
///
/// # Safety
/// As for [`Simd`]; all rows exist.
#[inline(always)]
pub(in crate::kernels) unsafe fn dot_rows<S: Simd, const R: usize, const N: usize, const A: usize>(
    left: [*const S::Elem; R],
    right: (*const S::Elem, usize),
    depth: usize,
    to: (*mut S::Elem, usize),
    ask: [*const S::Elem; A],
) {
    // SAFETY: as promised.
    unsafe {
        let sums = products::<S, R, N, A>((left, 1), right, depth, ask);
        for (i, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                S::store(to.0.add(i * to.1 + n * S::LANES), *sum);
            }
        }
    }
}

/// Row i of `out` += the sum over `count` rows k of element i of row k of `left` times row k of `right`. Sums start at
/// zero, so a long sum made of many calls rounds as a short one.
///
/// # Safety
/// As for [`Simd`]; all rows exist, so many elements apart.
#[inline(always)]
pub(in crate::kernels) unsafe fn add_rows<S: Simd, const R: usize, const N: usize>(
    left: (*const S::Elem, usize),
    right: (*const S::Elem, usize),
    count: usize,
    out: (*mut S::Elem, usize),
) {
    // SAFETY: as promised.
    unsafe {
        let left = (neighbours::<_, R>(left.0), left.1);
        let sums = products::<S, R, N, 0>(left, right, count, []);
        for (i, sums) in sums.iter().enumerate() {
            for (n, sum) in sums.iter().enumerate() {
                let at = out.0.add(i * out.1 + n * S::LANES);
                S::store(at, S::add(S::load(at), *sum));
            }
        }
    }
}
