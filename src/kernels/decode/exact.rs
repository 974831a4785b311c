//! The f64 reference of `kv-decode`, the scale of its errors (that of `attention`), and the canary.

use super::cache::{Cache, Format, Layout, Store};
use crate::kernels::reference::Worst;
use crate::kernels::short::Bf16;
use crate::kernels::{Buffer, Canary, KernelError};

/// One head of the output and its scale.
pub(super) fn head(cache: &Cache, queries: &[f32], head: usize, output: &mut [f64], scale: &mut [f64]) {
    let Layout { share, len, key, .. } = cache.layout();
    let q: Vec<f64> = queries[head * key..(head + 1) * key].iter().map(|x| f64::from(*x)).collect();
    let factor = 1.0 / (key as f64).sqrt();
    let (mut k, mut v) = (Vec::new(), Vec::new());
    let tokens = head / share * len..(head / share + 1) * len;
    let mut scores = Vec::with_capacity(len);
    for token in tokens.clone() {
        cache.token(token, &mut k, &mut v);
        let (mut score, mut size) = (0.0, 0.0);
        for (q, k) in q.iter().zip(&k) {
            score += q * k;
            size += (q * k).abs();
        }
        scores.push((score * factor, 1.0 + size * factor));
    }
    let top = scores.iter().fold(f64::NEG_INFINITY, |top, (score, _)| top.max(*score));
    let total: f64 = scores.iter().map(|(score, _)| (score - top).exp()).sum();
    let mut weighted = 0.0;
    for (token, (score, size)) in tokens.zip(&scores) {
        cache.token(token, &mut k, &mut v);
        let weight = (score - top).exp() / total;
        weighted += weight * size;
        for ((v, output), scale) in v.iter().zip(&mut *output).zip(&mut *scale) {
            *output += weight * v;
            *scale += (weight * v).abs() * size;
        }
    }
    for (output, scale) in output.iter().zip(scale) {
        *scale += weighted * output.abs();
    }
}

/// Tokens of the canary.
const TOKENS: usize = 48;
/// Error that the canary allows, as for `attention`.
const LIMIT: f64 = 1.0 / 512.0;
/// The same in bfloat16, as for `attention`.
const SHORT_LIMIT: f64 = 1.0 / 32.0;
/// What the operands carry beyond a round number: TF32 rounds 1 + 2^-13 to 1.
const CARRIED: f64 = 1.0 / 8192.0;
/// The cancelled part of weights times values, relative to the terms.
const RESIDUAL: f64 = 1.0 / 256.0;

/// What happens to the elements of queries, keys and values (of bytes: to their scales).
pub(super) type Operands<'a> = [&'a dyn Fn(f32) -> f32; 3];

/// Of the canary's four heads, how many share a row: as the case does, and all of them a latent one.
fn canary_share(like: Layout, format: Format) -> usize {
    if like.share == 1 && !format.is_latent() { 1 } else { 4 }
}

/// Queries of four heads and a cache like `like`.
///
/// Tokens alternate between two kinds, s = ±1. Even heads test the scores: 4096·s·((1 + δ)² − 1) = s for floating
/// point, and half of it where keys are bytes, a difference of large terms that is lost when queries or keys are
/// rounded. Odd heads have the scores ∓1/2; their column 1 adds weights times values that cancel to 2^-8, which is lost
/// when weights or values are rounded.
///
/// # Errors
/// [`KernelError`] when memory does not suffice.
#[expect(clippy::cast_possible_truncation, reason = "the inputs are single precision by definition")]
pub(super) fn canary(
    like: Layout,
    format: Format,
    [on_q, on_k, on_v]: Operands<'_>,
) -> Result<(Cache, Vec<f32>), KernelError> {
    let Layout { key, value, .. } = like;
    if format.is_short() {
        return short_canary(like, format, [on_q, on_k, on_v]);
    }
    let share = canary_share(like, format);
    let layout = Layout { groups: 4 / share, share, len: TOKENS, key, value };
    // A latent row has its scores in the part that is no value.
    let first = if format == Format::Latent { value } else { 0 };
    let root = (key as f64).sqrt();
    let mut queries = vec![0.0_f32; 4 * key];
    for (head, query) in queries.chunks_mut(key).enumerate() {
        let pair =
            if head.is_multiple_of(2) { [64.0 * root * (1.0 + CARRIED), 64.0 * root] } else { [-root / 128.0, 0.0] };
        (query[first], query[first + 1]) = (on_q(pair[0] as f32), on_q(pair[1] as f32));
    }
    let rows = layout.groups * TOKENS;
    let sign = |row: usize| if row.is_multiple_of(2) { 1.0 } else { -1.0 };
    let high = std::f64::consts::E * (1.0 - RESIDUAL);
    let size = |row: usize| on_v(if row.is_multiple_of(2) { high as f32 } else { 1.0 });
    let store = if format == Format::Int8 {
        let (mut keys, mut values) = (Buffer::zeroed(rows * key, "keys")?, Buffer::zeroed(rows * value, "values")?);
        let (mut key_scales, mut value_scales) = (Buffer::zeroed(rows, "scales")?, Buffer::zeroed(rows, "scales")?);
        for row in 0..rows {
            let byte = if row.is_multiple_of(2) { 64_i8 } else { -64 };
            (keys[row * key], keys[row * key + 1]) = (byte.cast_unsigned(), (-byte).cast_unsigned());
            values[row * value..(row + 1) * value].fill(byte.cast_unsigned());
            (key_scales[row], value_scales[row]) = (on_k(1.0), size(row) / 64.0);
        }
        Store::Int8 { keys, values, key_scales, value_scales }
    } else {
        let mut keys = Buffer::<f32>::zeroed(rows * key, "keys")?;
        let mut values = Buffer::<f32>::zeroed(rows * value, "values")?;
        for row in 0..rows {
            let at = row * key + first;
            keys[at] = on_k((64.0 * sign(row) * (1.0 + CARRIED)) as f32);
            keys[at + 1] = on_k((-64.0 * sign(row)) as f32);
            let of_value = if format == Format::Latent {
                &mut keys[row * key..row * key + value]
            } else {
                &mut values[row * value..(row + 1) * value]
            };
            of_value.fill(size(row) * sign(row) as f32);
        }
        if format == Format::Latent { Store::Latent { rows: keys } } else { Store::Float { keys, values } }
    };
    Ok((Cache::new(layout, store)?, queries))
}

/// The same in bfloat16. Even heads have scores of ±size·((1 + δ)² − 1)/√key, about ±1, with δ = 2^-7 the last bit of such a
/// number; odd heads have scores of zero, so weights are equal, and column 1 is the mean of 1 + 2^-7 and −1: no rounding of
/// weights shows, but operands of fewer bits are wrong throughout.
#[expect(clippy::cast_possible_truncation, reason = "the inputs are short by definition")]
fn short_canary(
    like: Layout,
    format: Format,
    [on_q, on_k, on_v]: Operands<'_>,
) -> Result<(Cache, Vec<f32>), KernelError> {
    const CARRIED: f32 = 1.0 / 128.0;
    let Layout { key, value, .. } = like;
    let share = canary_share(like, format);
    let layout = Layout { groups: 4 / share, share, len: TOKENS, key, value };
    let first = if format.is_latent() { value } else { 0 };
    let size = (64.0 * (key as f64).sqrt()).log2().round().exp2() as f32;
    let mut queries = vec![0.0_f32; 4 * key];
    for query in queries.chunks_mut(key).step_by(2) {
        (query[first], query[first + 1]) = (on_q(1.0 + CARRIED), on_q(1.0));
    }
    let rows = layout.groups * TOKENS;
    let short = |x: f32| Bf16::round(f64::from(x));
    let mut keys = Buffer::<Bf16>::zeroed(rows * key, "keys")?;
    let mut values = Buffer::<Bf16>::zeroed(rows * value, "values")?;
    for row in 0..rows {
        let sign = if row.is_multiple_of(2) { 1.0 } else { -1.0 };
        let at = row * key + first;
        keys[at] = short(on_k(sign * size * (1.0 + CARRIED)));
        keys[at + 1] = short(on_k(-sign * size));
        let of_value = if format.is_latent() {
            &mut keys[row * key..row * key + value]
        } else {
            &mut values[row * value..(row + 1) * value]
        };
        of_value.fill(short(1.0));
        of_value[0] = short(on_v(sign));
        of_value[1] = short(on_v(if sign > 0.0 { 1.0 + CARRIED } else { -1.0 }));
    }
    let store = if format.is_latent() { Store::ShortLatent { rows: keys } } else { Store::Short { keys, values } };
    Ok((Cache::new(layout, store)?, queries))
}

/// Compares column 0 of even heads and column 1 of odd heads with the exact answer of the unrounded canary.
pub(super) fn judge(exact: &Cache, queries: &[f32], output: &[f32]) -> Canary {
    let width = exact.layout().value;
    let mut worst = Worst::default();
    for (index, output) in output.chunks(width).enumerate() {
        let (mut reference, mut scale) = (vec![0.0; width], vec![0.0; width]);
        head(exact, queries, index, &mut reference, &mut scale);
        let column = index % 2;
        worst.see(f64::from(output[column]), reference[column], reference[column].abs());
    }
    let short = matches!(exact.store(), Store::Short { .. } | Store::ShortLatent { .. });
    let limit = if short { SHORT_LIMIT } else { LIMIT };
    Canary { name: "scores and values that cancel".to_owned(), error: worst.error(), limit }
}
