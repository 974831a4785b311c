#![expect(clippy::float_cmp, reason = "exact numbers are compared exactly")]

use super::cache::Store;
use super::*;
use crate::kernels::ParamValue;
use crate::kernels::canary::round_mantissa;
use crate::kernels::verify::{Threads, params, verify};

const FORMATS: [&str; 4] = ["mha", "gqa-4", "int8", "mla"];

fn case(heads: u64, len: u64, dim: u64, format: &str) -> Params {
    let sizes = [("heads", heads), ("len", len), ("dim", dim)].map(|(name, n)| (name, ParamValue::Integer(n)));
    params(Dtype::F32, &[&sizes[..], &[("format", ParamValue::Word(format.to_owned()))]].concat())
}

fn short(params: Params) -> Params {
    Params { dtype: Dtype::Bf16, ..params }
}

#[test]
fn every_shape_and_format_matches_the_reference() {
    for format in FORMATS {
        // One token, ragged tiles, fewer groups than threads, ragged registers, several register tiles of heads.
        for (heads, len, dim) in [(4, 1, 16), (4, 97, 24), (8, 300, 64), (12, 131, 40), (4, 521, 128)] {
            verify(&KvDecode, &case(heads, len, dim, format));
        }
    }
    for format in ["mha", "gqa-4", "mla"] {
        for (heads, len, dim) in [(4, 1, 16), (8, 300, 64), (12, 131, 40)] {
            verify(&KvDecode, &short(case(heads, len, dim, format)));
        }
    }
    verify(&KvDecode, &short(case(1, 70, 37, "mha")));
    verify(&KvDecode, &case(1, 70, 37, "mha"));
    verify(&KvDecode, &case(3, 70, 37, "int8"));
    verify(&KvDecode, &case(7, 70, 48, "mla"));
}

#[test]
fn work_follows_the_formulas() {
    let work = |format| KvDecode.work(&case(8, 1000, 64, format)).unwrap();
    let small = 4.0 * 8.0 * 128.0;
    assert_eq!(work("mha").useful.get(), 4.0 * 8.0 * 1000.0 * 64.0);
    assert_eq!(work("mha").bytes.get(), 8.0 * 8.0 * 1000.0 * 64.0 + small);
    assert_eq!(work("gqa-4").useful, work("mha").useful);
    assert_eq!(work("gqa-4").bytes.get(), 8.0 * 2.0 * 1000.0 * 64.0 + small);
    assert_eq!(work("int8").bytes.get(), 8.0 * 1000.0 * (2.0 * 64.0 + 8.0) + small);
    assert_eq!(work("mla").useful.get(), 2.0 * 8.0 * 1000.0 * (72.0 + 64.0));
    assert_eq!(work("mla").bytes.get(), 4.0 * 1000.0 * 72.0 + 4.0 * 8.0 * 136.0);
    let work = |format| KvDecode.work(&short(case(8, 1000, 64, format))).unwrap();
    assert_eq!(work("mha").bytes.get(), 4.0 * 8.0 * 1000.0 * 64.0 + 8.0 * (2.0 * 64.0 + 4.0 * 64.0));
    assert_eq!(work("mla").bytes.get(), 2.0 * 1000.0 * 72.0 + 8.0 * (2.0 * 72.0 + 4.0 * 64.0));
}

#[test]
fn shapes_that_do_not_divide_are_refused_by_name() {
    let error = KvDecode.work(&case(6, 10, 64, "gqa-4")).unwrap_err();
    assert_eq!(error.to_string(), "parameter `heads` is 6, expected a multiple of 4");
    let error = KvDecode.work(&short(case(6, 10, 64, "int8"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "parameter `format` is int8, expected mha, gqa-4 or mla: bytes with scales go with dtype f32"
    );
    let error = KvDecode.work(&case(6, 10, 60, "mla")).unwrap_err();
    assert_eq!(error.to_string(), "parameter `dim` is 60, expected a multiple of 8");
}

#[test]
fn a_cache_that_would_be_read_out_of_bounds_is_refused() {
    let layout = Layout { groups: 2, share: 1, len: 5, key: 16, value: 16 };
    let bytes = |n| Buffer::<u8>::zeroed(n, "a test").unwrap();
    let floats = |n| Buffer::<f32>::zeroed(n, "a test").unwrap();
    let int8 = |scales| Store::Int8 {
        keys: bytes(160),
        values: bytes(160),
        key_scales: floats(10),
        value_scales: floats(scales),
    };
    assert!(Cache::new(layout, int8(10)).is_ok());
    for store in [int8(9), Store::Float { keys: floats(160), values: floats(159) }, Store::Latent { rows: floats(159) }]
    {
        let error = Cache::new(layout, store).err().unwrap().to_string();
        assert!(error.starts_with("invalid structure: a cache of another size than Layout"), "{error}");
    }
    let wide = Layout { value: 17, ..layout };
    assert!(Cache::new(wide, Store::Latent { rows: floats(160) }).is_err());
}

#[test]
fn every_token_counts_once() {
    // Queries of zero: the mean of all values. Value j of every head is j.
    let layout = Layout { groups: 1, share: 5, len: 203, key: 16, value: 16 };
    for isa in Isa::available() {
        let (mut keys, mut values) = (Buffer::zeroed(203 * 16, "k").unwrap(), Buffer::zeroed(203 * 16, "v").unwrap());
        keys.fill(1.0);
        values.chunks_mut(16).enumerate().for_each(|(token, row)| row.fill(token as f32));
        let cache = Cache::new(layout, Store::Float { keys, values }).unwrap();
        let mut output = vec![f32::NAN; 5 * 16];
        Decoder::new(layout, isa, 3).unwrap().run(&cache, &[0.0; 5 * 16], &mut output, &Threads(3));
        assert!(output.iter().all(|x| (x - 101.0).abs() < 1e-4), "{isa}: {output:?}");
    }
}

#[test]
fn bytes_are_never_zero_and_scales_differ() {
    let layout = Layout { groups: 1, share: 1, len: 4000, key: 32, value: 32 };
    let cache = Cache::random(layout, Format::Int8, 7, &Threads(2)).unwrap();
    let Store::Int8 { keys, values, key_scales, value_scales } = cache.store() else { panic!("another format") };
    assert!(keys.iter().chain(values.iter()).all(|b| *b != 0 && b.cast_signed() != i8::MIN));
    assert!(keys.iter().any(|b| b.cast_signed() == 127) && keys.iter().any(|b| b.cast_signed() == -127));
    assert!(key_scales.iter().zip(value_scales.iter()).any(|(k, v)| k != v));
}

#[test]
fn rounding_any_operand_fails_the_canary() {
    let keep = |x: f32| x;
    for isa in Isa::available() {
        for format in FORMATS {
            for dim in [16, 64, 136] {
                let sizes = Sizes::of(&case(8, 64, dim, format)).unwrap();
                let (like, format) = (sizes.layout().unwrap(), sizes.format);
                let found = canary(like, format, isa, &Threads(2), [&keep; 3]).unwrap();
                assert!(found.error.unwrap() < found.limit / 4.0, "{isa} {format:?} {dim}: {found:?}");
                for bits in [7, 10] {
                    let round = |x: f32| round_mantissa(x, bits);
                    for which in 0..3 {
                        // Scales of one are exact in any precision.
                        if format == Format::Int8 && which == 1 {
                            continue;
                        }
                        let mut operands: exact::Operands<'_> = [&keep; 3];
                        operands[which] = &round;
                        let found = canary(like, format, isa, &Threads(1), operands).unwrap();
                        assert!(!found.passed(), "{isa} {format:?} {dim}, {bits} bits, operand {which}: {found:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn rounded_keys_fail_the_ordinary_check_too() {
    let team = Threads(1);
    let context = BuildContext { seed: 2, isa: Isa::detect(), team: &team };
    let mut program = DecodeProgram::build(&Sizes::of(&case(4, 500, 64, "mha")).unwrap(), &context).unwrap();
    for x in program.queries.iter_mut() {
        *x = round_mantissa(*x, 7);
    }
    program.run(&team);
    assert!(!program.check().passed());
}

#[test]
fn rounding_a_short_operand_fails_the_canary() {
    let keep = |x: f32| x;
    let round = |x: f32| round_mantissa(x, 6);
    for isa in Isa::available() {
        for format in ["mha", "mla"] {
            for dim in [16, 64, 136] {
                let sizes = Sizes::of(&short(case(8, 64, dim, format))).unwrap();
                let (like, format) = (sizes.layout().unwrap(), sizes.format);
                let found = canary(like, format, isa, &Threads(2), [&keep; 3]).unwrap();
                assert!(found.error.unwrap() < found.limit / 4.0, "{isa} {format:?} {dim}: {found:?}");
                for which in 0..3 {
                    let mut operands: exact::Operands<'_> = [&keep; 3];
                    operands[which] = &round;
                    let found = canary(like, format, isa, &Threads(1), operands).unwrap();
                    assert!(!found.passed(), "{isa} {format:?} {dim}, operand {which}: {found:?}");
                }
            }
        }
    }
}
