#![expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]

use super::*;
use crate::kernels::canary::round_mantissa;
use crate::kernels::verify::{Threads, params, verify};
use crate::kernels::{Isa, ParamValue};

fn sizes([heads, seq, dim]: [u64; 3], rest: &[(&str, ParamValue)]) -> Params {
    let sizes = [("heads", heads), ("seq", seq), ("dim", dim)].map(|(name, n)| (name, ParamValue::Integer(n)));
    params(Dtype::F32, &[&sizes[..], rest].concat())
}

fn case(heads: u64, seq: u64, dim: u64, mask: &str) -> Params {
    sizes([heads, seq, dim], &[("mask", ParamValue::Word(mask.to_owned()))])
}

fn window(heads: u64, seq: u64, dim: u64, window: u64) -> Params {
    sizes([heads, seq, dim], &[("window", ParamValue::Integer(window))])
}

fn block(heads: u64, seq: u64, dim: u64, block: u64, density: f64) -> Params {
    sizes([heads, seq, dim], &[("block", ParamValue::Integer(block)), ("density", ParamValue::Real(density))])
}

/// Of eight positions.
fn every_kind_of_mask() -> [Mask; 4] {
    let blocks = BlockMask::random(8, (1, 1), 1, SplitMix64::new(1, 1)).unwrap();
    [Mask::Dense, Mask::Causal, Mask::Window(5), Mask::Blocks(blocks)]
}

#[test]
fn every_shape_matches_the_reference() {
    for mask in ["dense", "causal"] {
        // One query, one tile, ragged tiles, several tiles of keys, dims with and without padding.
        for (heads, seq, dim) in [(1, 1, 4), (2, 5, 64), (1, 97, 16), (3, 131, 37), (1, 521, 64), (2, 300, 80)] {
            verify(&Attention, &case(heads, seq, dim, mask));
        }
    }
}

#[test]
fn every_window_matches_the_reference() {
    // Itself alone, narrower and wider than a register tile, across tiles of keys, all of the past.
    for (heads, seq, dim, width) in
        [(1, 1, 4, 1), (2, 97, 16, 1), (1, 131, 37, 7), (1, 300, 64, 64), (1, 521, 64, 129), (1, 75, 8, 4096)]
    {
        verify(&WindowAttention, &window(heads, seq, dim, width));
    }
}

#[test]
fn bfloat16_matches_the_reference_under_every_mask() {
    let short = |params: Params| Params { dtype: Dtype::Bf16, ..params };
    for (heads, seq, dim) in [(1, 1, 4), (2, 97, 37), (1, 300, 64)] {
        verify(&Attention, &short(case(heads, seq, dim, "dense")));
        verify(&Attention, &short(case(heads, seq, dim, "causal")));
        verify(&WindowAttention, &short(window(heads, seq, dim, 33)));
    }
    verify(&BlockAttention, &short(block(2, 160, 16, 32, 0.4)));
}

#[test]
fn operands_of_fewer_bits_fail_the_canary_of_bfloat16() {
    let keep = |x: f32| x;
    let round = |x: f32| round_mantissa(x, 6);
    let all: [Operands<'_>; 3] = [[&round, &keep, &keep], [&keep, &round, &keep], [&keep, &keep, &round]];
    for mask in every_kind_of_mask() {
        for dim in [4, 37, 64, 128, 256] {
            let like = Shape { heads: 1, seq: 8, dim, mask: mask.clone(), short: true };
            let found = canary::run(&like, Isa::detect(), &Threads(2), [&keep; 3]).unwrap();
            assert!(found.error.unwrap() < found.limit / 2.0, "{like:?}: {found:?}");
            for (which, operands) in all.into_iter().enumerate() {
                let found = canary::run(&like, Isa::detect(), &Threads(1), operands).unwrap();
                assert!(!found.passed(), "operand {which}, {like:?}: {found:?}");
            }
        }
    }
}

#[test]
fn every_block_mask_matches_the_reference() {
    // One block, the diagonal alone, sides that are no register widths, half of the blocks, and all.
    for (heads, seq, dim, side, density) in [
        (1, 8, 4, 8, 1.0),
        (2, 160, 16, 16, 1e-6),
        (1, 210, 37, 21, 0.3),
        (2, 320, 64, 64, 0.4),
        (1, 288, 80, 96, 0.7),
        (1, 256, 16, 64, 1.0),
    ] {
        verify(&BlockAttention, &block(heads, seq, dim, side, density));
    }
}

#[test]
fn a_query_sees_the_keys_of_its_mask_and_no_others() {
    // With queries of zero all weights are equal: the output is the mean of the values seen. The
    // values of head h are h, h + 1, h + 2 and so on.
    let (heads, seq, dim) = (2, 75, 8);
    let blocks = BlockMask::random(15, (heads, 5), 2, SplitMix64::new(1, 1)).unwrap();
    for isa in Isa::available() {
        for mask in [Mask::Dense, Mask::Causal, Mask::Window(11), Mask::Blocks(blocks.clone())] {
            let shape = Shape { heads, seq, dim, mask: mask.clone(), short: false };
            let (q, k) = (vec![0.0; shape.len()], vec![1.0; shape.len()]);
            let v: Vec<f32> = (0..shape.len()).map(|i| (i / dim / seq + i / dim % seq) as f32).collect();
            let mut output = vec![f32::NAN; shape.len()];
            Tiled::new(shape, isa, 2).unwrap().run([&q, &k, &v], &mut output, &Threads(2));
            for (row, output) in output.chunks(dim).enumerate() {
                let keys: Vec<usize> = mask.keys(row / seq, row % seq, seq).collect();
                let mean = (row / seq) as f32 + keys.iter().sum::<usize>() as f32 / keys.len() as f32;
                assert!(output.iter().all(|x| (x - mean).abs() < 1e-5 * mean.max(1.0)), "{isa} {mask:?} {row}");
            }
        }
    }
}

#[test]
fn weights_follow_maxima_that_grow_along_the_keys() {
    // Each key exceeds the one before by 2^4, so the maximum of a piece is no measure for the next one: weights
    // relative to it would be infinite.
    let (heads, seq, dim) = (1, 200, 8);
    for isa in Isa::available() {
        for mask in [Mask::Dense, Mask::Causal, Mask::Window(120)] {
            let shape = Shape { heads, seq, dim, mask, short: false };
            let rising = |i: usize| if i.is_multiple_of(dim) { (i / dim * 8) as f32 } else { 0.25 };
            let k: Vec<f32> = (0..shape.len()).map(rising).collect();
            let v: Vec<f32> = (0..shape.len()).map(|i| (i * 7 % 13) as f32 - 6.0).collect();
            let (q, mut found) = (vec![1.0; shape.len()], vec![f32::NAN; shape.len()]);
            Tiled::new(shape.clone(), isa, 1).unwrap().run([&q, &k, &v], &mut found, &Threads(1));
            for (row, found) in found.chunks(dim).enumerate() {
                let (mut exact, mut scale) = (vec![0.0; dim], vec![0.0; dim]);
                exact::row(&shape, [&q, &k, &v], row, &mut exact, &mut scale);
                for (d, (found, exact)) in found.iter().zip(&exact).enumerate() {
                    let limit = scale[d] * 17.0 / 16_777_216.0;
                    assert!((f64::from(*found) - exact).abs() <= limit, "{isa} {shape:?} {row}: {found} {exact}");
                }
            }
        }
    }
}

#[test]
fn work_follows_the_formulas() {
    let dense = Attention.work(&case(2, 100, 64, "dense")).unwrap();
    assert_eq!(dense.useful.get(), 4.0 * 2.0 * 10_000.0 * 64.0);
    assert_eq!(dense.bytes.get(), 4.0 * 4.0 * 2.0 * 100.0 * 64.0);
    let causal = Attention.work(&case(2, 100, 64, "causal")).unwrap();
    assert_eq!(causal.useful.get(), 2.0 * 2.0 * 100.0 * 101.0 * 64.0);
    assert_eq!(causal.dense_equivalent.get(), dense.useful.get());
    // 1 + 2 + … + 9, then ten for each of the other 91.
    let windowed = WindowAttention.work(&window(2, 100, 64, 10)).unwrap();
    assert_eq!(windowed.useful.get(), 4.0 * 2.0 * 64.0 * (45.0 + 91.0 * 10.0));
    assert_eq!(windowed.dense_equivalent.get(), dense.useful.get());
    // All of the past is the causal mask.
    assert_eq!(WindowAttention.work(&window(2, 100, 64, 4000)).unwrap().useful, causal.useful);
    // Five blocks a side, two of them visible; each is a number of four bytes.
    let blocks = BlockAttention.work(&block(2, 100, 64, 20, 0.35)).unwrap();
    assert_eq!(blocks.useful.get(), 4.0 * 2.0 * 64.0 * 100.0 * 40.0);
    assert_eq!(blocks.dense_equivalent.get(), dense.useful.get());
    assert_eq!(blocks.bytes.get(), dense.bytes.get() + 4.0 * 2.0 * 10.0);
}

#[test]
fn an_unknown_mask_another_type_and_ragged_blocks_are_refused() {
    let error = BlockAttention.work(&block(1, 100, 64, 64, 0.5)).unwrap_err();
    assert_eq!(error.to_string(), "parameter `seq` is 100, expected a multiple of 64");
    let error = Attention.work(&case(1, 8, 64, "window")).unwrap_err();
    assert_eq!(error.to_string(), "parameter `mask` is `window`, expected one of dense, causal");
    let mut double = case(1, 8, 64, "dense");
    double.dtype = Dtype::F64;
    assert_eq!(
        Attention.work(&double).unwrap_err().to_string(),
        "parameter `dtype` is `f64`, expected one of f32, bf16"
    );
}

#[test]
fn the_canary_passes_single_precision_for_any_dim() {
    for isa in Isa::available() {
        for mask in every_kind_of_mask() {
            for dim in [4, 37, 64, 100, 128] {
                let like = Shape { heads: 1, seq: 8, dim, mask: mask.clone(), short: false };
                let found = canary::run(&like, isa, &Threads(2), [&|x| x; 3]).unwrap();
                assert!(found.error.unwrap() < found.limit / 4.0, "{isa} {like:?}: {found:?}");
            }
        }
    }
}

#[test]
fn rounding_any_operand_to_tf32_or_bf16_fails_the_canary() {
    let keep = |x: f32| x;
    for bits in [7, 10] {
        let round = |x: f32| round_mantissa(x, bits);
        let all: [Operands<'_>; 4] =
            [[&round, &keep, &keep], [&keep, &round, &keep], [&keep, &keep, &round], [&round; 3]];
        for mask in every_kind_of_mask() {
            let like = Shape { heads: 1, seq: 8, dim: 64, mask, short: false };
            for (which, operands) in all.into_iter().enumerate() {
                let found = canary::run(&like, Isa::detect(), &Threads(1), operands).unwrap();
                assert!(!found.passed(), "{bits} bits, operand {which}, {:?}: {found:?}", like.mask);
            }
        }
    }
}

#[test]
fn rounded_scores_fail_the_ordinary_check_too() {
    let team = Threads(1);
    for seq in [64, 512, 2048] {
        let shape = Shape { heads: 1, seq, dim: 64, mask: Mask::Dense, short: false };
        let context = BuildContext { seed: 2, isa: Isa::detect(), team: &team };
        let mut program = AttentionProgram::build(shape, (seq * seq) as u64, &context).unwrap();
        for x in program.q.iter_mut().chain(program.k.iter_mut()) {
            *x = round_mantissa(*x, 10);
        }
        program.run(&team);
        let found = program.check();
        assert!(!found.passed(), "{seq}: {found:?}");
    }
}
