//! Cases for the CUDA programs: small odd ones whose answers are compared, and large ones that are compiled only.

use wattproof::kernels::{Api, Cooperative, Dtype, Limits, ParamValue, Params, Target, find};
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
        cooperative: Cooperative::default(),
        capability: Some((major, minor)),
        multiprocessors: Some(3),
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

pub(crate) fn gemm(m: u64, n: u64, k: u64) -> Small {
    case("gemm", Dtype::Bf16, &[("m", m), ("n", n), ("k", k)], None, None)
}

pub(crate) fn typed(dtype: Dtype, m: u64, n: u64, k: u64) -> Small {
    Small { params: Params { dtype, ..gemm(m, n, k).params }, ..gemm(m, n, k) }
}

fn bsr(dtype: Dtype, m: u64, k: u64, n: u64, side: u64, density: f64) -> Small {
    case("spmm-bsr", dtype, &[("m", m), ("k", k), ("n", n), ("block", side)], None, Some(density))
}

fn spmv(dtype: Dtype, m: u64, k: u64, density: f64) -> Small {
    case("spmv-csr", dtype, &[("m", m), ("k", k)], None, Some(density))
}

fn structured(dtype: Dtype, m: u64, k: u64, n: u64) -> Small {
    case("spmm-2-4", dtype, &[("m", m), ("k", k), ("n", n)], None, None)
}

fn spmm(dtype: Dtype, m: u64, k: u64, n: u64, density: f64) -> Small {
    case("spmm-csr", dtype, &[("m", m), ("k", k), ("n", n)], None, Some(density))
}

fn moe(dtype: Dtype, tokens: u64, d: u64, f: u64, experts: u64, top: u64) -> Small {
    let sizes = [("tokens", tokens), ("d", d), ("f", f), ("experts", experts), ("top", top)];
    case("moe", dtype, &sizes, None, None)
}

fn attention(heads: u64, seq: u64, dim: u64, mask: &str) -> Small {
    case("attention", Dtype::Bf16, &[("heads", heads), ("seq", seq), ("dim", dim)], Some(("mask", mask)), None)
}

pub(crate) fn window(seq: u64, dim: u64, window: u64) -> Small {
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

fn decode_short(heads: u64, len: u64, dim: u64, format: &str) -> Small {
    case("kv-decode", Dtype::Bf16, &[("heads", heads), ("len", len), ("dim", dim)], Some(("format", format)), None)
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
        typed(Dtype::F32, 129, 136, 200),
        typed(Dtype::F32, 13, 37, 21),
        typed(Dtype::F64, 137, 70, 50),
        typed(Dtype::F64, 33, 35, 21),
        typed(Dtype::F16, 137, 136, 72),
        typed(Dtype::F16, 40, 33, 201),
        typed(Dtype::I8, 150, 144, 208),
        typed(Dtype::I8, 31, 37, 201),
        typed(Dtype::Tf32, 137, 140, 52),
        typed(Dtype::Tf32, 31, 37, 21),
        typed(Dtype::F8, 140, 144, 80),
        typed(Dtype::F8, 31, 37, 101),
        bsr(Dtype::Bf16, 240, 160, 264, 16, 0.2),
        bsr(Dtype::Bf16, 16, 16, 1, 16, 1.0),
        bsr(Dtype::Bf16, 96, 144, 37, 48, 0.5),
        bsr(Dtype::Bf16, 128, 192, 1160, 32, 0.4),
        bsr(Dtype::Bf16, 192, 256, 300, 64, 0.5),
        bsr(Dtype::Bf16, 384, 256, 136, 128, 0.5),
        bsr(Dtype::F32, 48, 80, 37, 16, 0.4),
        bsr(Dtype::F32, 64, 96, 264, 32, 0.5),
        bsr(Dtype::F32, 256, 128, 132, 128, 0.6),
        bsr(Dtype::F64, 64, 192, 83, 64, 0.5),
        bsr(Dtype::F64, 48, 64, 130, 16, 0.4),
        spmv(Dtype::F32, 97, 301, 0.3),
        spmv(Dtype::F32, 1, 1, 1.0),
        spmv(Dtype::F32, 503, 20, 0.001),
        spmv(Dtype::F32, 31, 70_001, 0.01),
        spmv(Dtype::F32, 5, 9000, 0.5),
        spmv(Dtype::F64, 211, 997, 0.05),
        spmv(Dtype::F64, 3, 70_001, 0.1),
        structured(Dtype::Bf16, 150, 208, 136),
        structured(Dtype::Bf16, 1, 8, 1),
        structured(Dtype::Bf16, 37, 200, 83),
        structured(Dtype::F16, 40, 96, 136),
        structured(Dtype::F16, 19, 72, 37),
        structured(Dtype::I8, 140, 160, 144),
        structured(Dtype::I8, 37, 200, 83),
        spmm(Dtype::F32, 61, 997, 83, 0.07),
        spmm(Dtype::F32, 1, 1, 1, 1.0),
        spmm(Dtype::F32, 150, 200, 260, 0.3),
        spmm(Dtype::F32, 211, 400, 132, 0.004),
        spmm(Dtype::F32, 53, 311, 17, 0.02),
        spmm(Dtype::F64, 131, 301, 70, 0.1),
        spmm(Dtype::F64, 19, 130, 33, 0.01),
        spmm(Dtype::Bf16, 131, 200, 264, 0.2),
        spmm(Dtype::Bf16, 37, 101, 35, 0.1),
        spmm(Dtype::Bf16, 61, 400, 136, 0.01),
        spmm(Dtype::Bf16, 19, 130, 33, 0.01),
        moe(Dtype::Bf16, 37, 40, 24, 5, 2),
        moe(Dtype::Bf16, 1, 8, 8, 4, 2),
        moe(Dtype::Bf16, 53, 33, 19, 3, 2),
        moe(Dtype::Bf16, 150, 72, 136, 3, 1),
        moe(Dtype::Bf16, 300, 136, 200, 4, 2),
        moe(Dtype::F32, 53, 33, 19, 5, 2),
        moe(Dtype::F32, 70, 136, 72, 2, 2),
        moe(Dtype::F32, 260, 24, 136, 3, 2),
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
        // More shares than `join` holds the weights of.
        decode(1, 33_000, 16, "mha"),
        decode(2, 61, 37, "mha"),
        decode(8, 301, 64, "gqa-4"),
        decode(2, 333, 128, "int8"),
        decode(1, 61, 37, "int8"),
        decode(5, 133, 64, "mla"),
        decode(20, 133, 16, "mla"),
        decode_short(2, 517, 128, "mha"),
        decode_short(2, 61, 37, "mha"),
        decode_short(8, 301, 64, "gqa-4"),
        decode_short(1, 1, 16, "mla"),
        // Three tiles of tokens for each share.
        decode_short(2, 2300, 16, "mla"),
        decode_short(5, 133, 64, "mla"),
        decode_short(20, 333, 40, "mla"),
        decode_short(16, 70, 512, "mla"),
        skip(1, 1, 0, 1.0),
        skip(37, 131, 19, 0.3),
        skip(1300, 300, 0, 0.1),
        skip(128, 300, 16, 0.1),
        triad(Dtype::F32, 24),
        triad(Dtype::F32, 12 * 5001),
        triad(Dtype::F64, 24 * 4099),
    ]
}

/// Cases whose programs use more shared memory where the device has it.
pub(crate) fn roomy() -> Vec<Small> {
    vec![decode_short(18, 150, 512, "mla"), decode_short(3, 70, 1024, "mla")]
}

/// Small cases that only the programs for Hopper are tried on, besides those of the others that they take.
pub(crate) fn hopper() -> Vec<Small> {
    vec![
        gemm(1, 8, 8),
        gemm(260, 264, 328),
        attention(1, 450, 64, "causal"),
        window(450, 128, 200),
        block(512, 128, 256, 0.5),
    ]
}

/// Probes of what a device can do at best. Those of arithmetic have one size, which is too long for the emulator.
pub(crate) fn ceilings() -> Vec<Small> {
    let arithmetic =
        find("fma-peak").unwrap().info().dtypes.iter().map(|dtype| case("fma-peak", *dtype, &[], None, None));
    let sizes = [8, 8 * 4097, 8 * 100_001, 8 * 65_536];
    let reads = sizes.map(|bytes| case("read-bandwidth", Dtype::F32, &[("bytes", bytes)], None, None));
    let sizes = [(Dtype::F32, 16), (Dtype::F32, 8 * 40_003), (Dtype::F64, 16 * 4099), (Dtype::F64, 16 * 4096)];
    let copies = sizes.map(|(dtype, bytes)| case("copy", dtype, &[("bytes", bytes)], None, None));
    arithmetic.chain(reads).chain(copies).collect()
}

/// The shapes of suites/reference-gpu.yaml, or near ones: other tiles than the small ones.
pub(crate) fn large() -> Vec<Small> {
    vec![
        gemm(8192, 8192, 8192),
        typed(Dtype::F32, 8192, 8192, 8192),
        typed(Dtype::F64, 8192, 8192, 8192),
        typed(Dtype::F16, 8192, 8192, 8192),
        typed(Dtype::I8, 8192, 8192, 8192),
        typed(Dtype::Tf32, 8192, 8192, 8192),
        typed(Dtype::F8, 8192, 8192, 8192),
        bsr(Dtype::Bf16, 16_384, 16_384, 8192, 16, 0.1),
        bsr(Dtype::Bf16, 16_384, 16_384, 8192, 32, 0.1),
        bsr(Dtype::Bf16, 16_384, 16_384, 8192, 64, 0.1),
        bsr(Dtype::Bf16, 16_384, 16_384, 8192, 128, 0.1),
        bsr(Dtype::F32, 16_384, 16_384, 4096, 32, 0.1),
        bsr(Dtype::F32, 16_384, 16_384, 4096, 128, 0.1),
        bsr(Dtype::F64, 16_384, 16_384, 4096, 128, 0.1),
        spmv(Dtype::F32, 131_072, 131_072, 0.01),
        spmv(Dtype::F64, 65_536, 65_536, 0.01),
        structured(Dtype::Bf16, 8192, 8192, 8192),
        structured(Dtype::F16, 8192, 8192, 8192),
        structured(Dtype::I8, 8192, 8192, 8192),
        spmm(Dtype::F32, 16_384, 16_384, 4096, 0.1),
        spmm(Dtype::F32, 16_384, 16_384, 4096, 0.01),
        spmm(Dtype::F64, 16_384, 16_384, 4096, 0.1),
        spmm(Dtype::Bf16, 16_384, 16_384, 4096, 0.1),
        spmm(Dtype::Bf16, 16_384, 16_384, 4096, 0.01),
        moe(Dtype::Bf16, 64, 4096, 14_336, 8, 2),
        moe(Dtype::Bf16, 128, 4096, 14_336, 8, 2),
        moe(Dtype::Bf16, 256, 4096, 14_336, 8, 2),
        moe(Dtype::Bf16, 16_384, 4096, 14_336, 8, 2),
        moe(Dtype::F32, 8192, 4096, 14_336, 8, 2),
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
        decode_short(64, 65_536, 128, "mha"),
        decode_short(64, 65_536, 128, "gqa-4"),
        decode_short(128, 262_144, 512, "mla"),
        skip(8192, 32_768, 0, 0.1),
        skip(8192, 32_768, 512, 0.1),
        triad(Dtype::F32, 8 << 30),
    ]
}
