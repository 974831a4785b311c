//! Cases for the CUDA programs: small odd ones whose answers are compared, and large ones that are compiled only.

use wattproof::kernels::{Api, Dtype, Limits, ParamValue, Params, Target, find};
use wattproof::suite::{CacheState, Case, DeviceId, Threads};

/// A case on a device.
#[derive(Debug, Clone)]
pub(crate) struct Small {
    pub(crate) kernel: &'static str,
    pub(crate) params: Params,
}

impl Small {
    /// As a plan has it.
    pub(crate) fn planned(&self) -> Case {
        Case {
            id: "a-case".to_owned(),
            kernel: self.kernel.to_owned(),
            params: self.params.clone(),
            threads: Threads::Count(1),
            device: DeviceId("cuda:0".to_owned()),
            cache: CacheState::Warm,
            line: 1,
        }
    }
}

/// A device of this compute capability.
pub(crate) fn target(major: u32, minor: u32) -> Target {
    let limits = Limits {
        shared_bytes: 99 << 10,
        block_threads: 1024,
        grid: [i32::MAX as u32, 65_535, 65_535],
        buffer_bytes: u64::MAX,
        buffers: 64,
        subgroup: Some((32, 32)),
        half: true,
        capability: Some((major, minor)),
    };
    Target { api: Api::Cuda, limits, libraries: Vec::new() }
}

/// A case of these parameters and the kernel's defaults.
fn case(
    kernel: &'static str,
    dtype: Dtype,
    counts: &[(&str, u64)],
    word: Option<(&str, &str)>,
    real: Option<f64>,
) -> Small {
    let specs = find(kernel).unwrap().info().params;
    let mut values: std::collections::BTreeMap<String, ParamValue> =
        specs.iter().filter_map(|s| Some((s.name.to_owned(), s.default?.into()))).collect();
    values.extend(counts.iter().map(|(name, n)| ((*name).to_owned(), ParamValue::Integer(*n))));
    values.extend(word.map(|(name, word)| (name.to_owned(), ParamValue::Word(word.to_owned()))));
    values.extend(real.map(|real| ("density".to_owned(), ParamValue::Real(real))));
    Small { kernel, params: Params { dtype, values } }
}

fn gemm(m: u64, n: u64, k: u64) -> Small {
    case("gemm", Dtype::Bf16, &[("m", m), ("n", n), ("k", k)], None, None)
}

fn attention(heads: u64, seq: u64, dim: u64, mask: &str) -> Small {
    case("attention", Dtype::Bf16, &[("heads", heads), ("seq", seq), ("dim", dim)], Some(("mask", mask)), None)
}

fn window(seq: u64, dim: u64, window: u64) -> Small {
    case("attention-window", Dtype::Bf16, &[("heads", 1), ("seq", seq), ("dim", dim), ("window", window)], None, None)
}

fn block(seq: u64, dim: u64, side: u64, density: f64) -> Small {
    let sizes = [("heads", 2), ("seq", seq), ("dim", dim), ("block", side)];
    case("attention-block", Dtype::Bf16, &sizes, None, Some(density))
}

fn linear(heads: u64, seq: u64, dim: u64) -> Small {
    case("attention-linear", Dtype::Bf16, &[("heads", heads), ("seq", seq), ("dim", dim)], None, None)
}

fn quantized(m: u64, n: u64, k: u64, group: u64, weights: &str) -> Small {
    let sizes = [("m", m), ("n", n), ("k", k), ("group", group)];
    case("gemv-quantized", Dtype::Bf16, &sizes, Some(("weights", weights)), None)
}

fn decode(heads: u64, len: u64, dim: u64, format: &str) -> Small {
    case("kv-decode", Dtype::F32, &[("heads", heads), ("len", len), ("dim", dim)], Some(("format", format)), None)
}

fn skip(d: u64, f: u64, rank: u64, density: f64) -> Small {
    case("relu-skip", Dtype::F32, &[("d", d), ("f", f), ("rank", rank)], None, Some(density))
}

fn triad(dtype: Dtype, bytes: u64) -> Small {
    case("triad", dtype, &[("bytes", bytes)], None, None)
}

/// Small odd shapes: one element, ragged tiles, dimensions with and without padding and alignment, several tiles.
pub(crate) fn cases() -> Vec<Small> {
    vec![
        gemm(1, 1, 1),
        gemm(129, 136, 200),
        gemm(1100, 40, 33),
        attention(1, 1, 4, "dense"),
        attention(2, 200, 64, "dense"),
        attention(1, 131, 37, "dense"),
        attention(2, 131, 128, "causal"),
        attention(1, 150, 256, "causal"),
        window(65, 80, 17),
        window(300, 96, 129),
        block(128, 64, 128, 1.0),
        block(96, 48, 16, 0.4),
        block(192, 128, 64, 0.6),
        linear(1, 1, 8),
        linear(2, 131, 37),
        linear(1, 200, 128),
        quantized(1, 1, 128, 128, "int8"),
        quantized(9, 33, 1280, 256, "int8"),
        quantized(1, 67, 384, 128, "int4"),
        quantized(70, 16, 256, 128, "int4"),
        decode(3, 1, 16, "mha"),
        decode(2, 517, 128, "mha"),
        decode(2, 61, 37, "mha"),
        decode(8, 301, 64, "gqa-4"),
        decode(2, 333, 128, "int8"),
        decode(1, 61, 37, "int8"),
        decode(5, 133, 64, "mla"),
        skip(1, 1, 0, 1.0),
        skip(37, 131, 19, 0.3),
        skip(1300, 300, 0, 0.1),
        skip(128, 300, 16, 0.1),
        triad(Dtype::F32, 24),
        triad(Dtype::F32, 12 * 5001),
        triad(Dtype::F64, 24 * 4099),
    ]
}

/// Probes of what a device can do at best. Those of arithmetic have one size, which is too long for the emulator.
pub(crate) fn ceilings() -> Vec<Small> {
    let arithmetic = Dtype::ALL.iter().map(|dtype| case("fma-peak", *dtype, &[], None, None));
    let sizes = [8, 8 * 4097, 8 * 100_001, 8 * 65_536];
    arithmetic.chain(sizes.map(|bytes| case("read-bandwidth", Dtype::F32, &[("bytes", bytes)], None, None))).collect()
}

/// The shapes of suites/reference-gpu.yaml, or near ones: other tiles than the small ones.
pub(crate) fn large() -> Vec<Small> {
    vec![
        gemm(8192, 8192, 8192),
        attention(32, 16_384, 64, "dense"),
        attention(32, 16_384, 128, "dense"),
        attention(32, 16_384, 128, "causal"),
        attention(16, 8192, 96, "causal"),
        attention(16, 8192, 112, "dense"),
        attention(16, 8192, 160, "dense"),
        attention(16, 8192, 256, "dense"),
        window(16_384, 128, 1024),
        window(16_384, 64, 1024),
        block(16_384, 128, 128, 0.25),
        block(16_384, 64, 64, 0.25),
        block(16_384, 256, 64, 0.25),
        linear(32, 16_384, 64),
        linear(32, 16_384, 128),
        quantized(1, 16_384, 16_384, 128, "int8"),
        quantized(16, 16_384, 16_384, 128, "int4"),
        quantized(24, 16_384, 16_384, 128, "int8"),
        decode(64, 65_536, 128, "mha"),
        decode(64, 65_536, 128, "gqa-4"),
        decode(64, 65_536, 256, "mha"),
        decode(64, 65_536, 128, "int8"),
        decode(32, 262_144, 512, "mla"),
        skip(8192, 32_768, 0, 0.1),
        skip(8192, 32_768, 512, 0.1),
        triad(Dtype::F32, 8 << 30),
    ]
}
