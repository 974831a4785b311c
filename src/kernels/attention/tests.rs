#![expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]

use super::*;
use crate::kernels::ParamValue;
use crate::kernels::canary::round_mantissa;
use crate::kernels::verify::{Threads, params, verify};

fn case(heads: u64, seq: u64, dim: u64, mask: &str) -> Params {
    let [heads, seq, dim] =
        [("heads", heads), ("seq", seq), ("dim", dim)].map(|(name, n)| (name, ParamValue::Integer(n)));
    params(Dtype::F32, &[heads, seq, dim, ("mask", ParamValue::Word(mask.to_owned()))])
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
fn a_causal_query_sees_itself_and_the_past_and_a_dense_one_sees_all() {
    // With queries of zero all weights are equal: the output is the mean of the values seen. The
    // values of head h are h, h + 1, h + 2 and so on.
    let (heads, seq, dim) = (2, 75, 8);
    for isa in Isa::available() {
        for causal in [false, true] {
            let shape = Shape { heads, seq, dim, causal };
            let (q, k) = (vec![0.0; shape.len()], vec![1.0; shape.len()]);
            let v: Vec<f32> = (0..shape.len()).map(|i| (i / dim / seq + i / dim % seq) as f32).collect();
            let mut output = vec![f32::NAN; shape.len()];
            Tiled::new(shape, isa, 2).unwrap().run([&q, &k, &v], &mut output, &Threads(2));
            for (row, output) in output.chunks(dim).enumerate() {
                let last = if causal { row % seq } else { seq - 1 };
                let mean = (row / seq) as f32 + last as f32 / 2.0;
                assert!(output.iter().all(|x| (x - mean).abs() < 1e-5 * mean.max(1.0)), "{isa} {causal} {row}");
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
}

#[test]
fn an_unknown_mask_and_another_type_are_refused() {
    let error = Attention.work(&case(1, 8, 64, "window")).unwrap_err();
    assert_eq!(error.to_string(), "parameter `mask` is `window`, expected one of dense, causal");
    let mut double = case(1, 8, 64, "dense");
    double.dtype = Dtype::F64;
    assert_eq!(Attention.work(&double).unwrap_err().to_string(), "parameter `dtype` is `f64`, expected one of f32");
}

#[test]
fn the_canary_passes_single_precision_for_any_dim() {
    for isa in Isa::available() {
        for (dim, causal) in [(4, false), (37, true), (64, false), (64, true), (100, false), (128, true)] {
            let found = canary(dim, causal, isa, &Threads(2), [&|x| x; 3]).unwrap();
            assert!(found.error.unwrap() < found.limit / 4.0, "{isa} {dim}: {found:?}");
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
        for (which, operands) in all.into_iter().enumerate() {
            let found = canary(64, false, Isa::detect(), &Threads(1), operands).unwrap();
            assert!(!found.passed(), "{bits} bits, operand {which}: {found:?}");
        }
    }
}

#[test]
fn rounded_scores_fail_the_ordinary_check_too() {
    let team = Threads(1);
    for seq in [64, 512, 2048] {
        let shape = Shape { heads: 1, seq, dim: 64, causal: false };
        let context = BuildContext { seed: 2, isa: Isa::detect(), team: &team };
        let mut program = AttentionProgram::build(shape, &context).unwrap();
        for x in program.q.iter_mut().chain(program.k.iter_mut()) {
            *x = round_mantissa(*x, 10);
        }
        program.run(&team);
        let found = program.check();
        assert!(!found.passed(), "{seq}: {found:?}");
    }
}
