//! Small cases of every kernel and element type, with odd shapes, on every path and on one thread to more than there
//! is work for. Sanitizers run these (ci/sanitize.sh); what a family is about, its own tests say.

use super::verify::Threads;
use super::*;

/// Kernel, element types, parameters.
const CASES: &[(&str, &[Dtype], &str)] = &[
    ("gemm", &[Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16, Dtype::I8, Dtype::Tf32, Dtype::F8], "m=1 n=1 k=1"),
    ("gemm", &[Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16, Dtype::I8, Dtype::Tf32, Dtype::F8], "m=13 n=1 k=7"),
    ("gemm", &[Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16, Dtype::I8, Dtype::Tf32, Dtype::F8], "m=23 n=67 k=201"),
    ("gemv-quantized", &[Dtype::Bf16], "m=1 n=1 k=128 group=128 weights=int8"),
    ("gemv-quantized", &[Dtype::Bf16], "m=5 n=13 k=256 group=128 weights=int8"),
    ("gemv-quantized", &[Dtype::Bf16], "m=1 n=7 k=384 group=384 weights=int4"),
    ("spmv-csr", &[Dtype::F32, Dtype::F64], "m=1 k=1 density=1"),
    ("spmv-csr", &[Dtype::F32, Dtype::F64], "m=41 k=101 density=0.02"),
    ("spmv-csr", &[Dtype::F32, Dtype::F64], "m=13 k=70001 density=0.0002"),
    ("spmv-csr", &[Dtype::F32, Dtype::F64], "m=7 k=37 density=1"),
    ("spmm-csr", &[Dtype::F32, Dtype::F64], "m=1 k=1 n=1 density=1"),
    ("spmm-csr", &[Dtype::F32, Dtype::F64, Dtype::Bf16], "m=53 k=11 n=17 density=0.02"),
    ("spmm-csr", &[Dtype::F32, Dtype::F64, Dtype::Bf16], "m=19 k=301 n=83 density=0.1"),
    ("spmm-csr", &[Dtype::F32, Dtype::F64], "m=5 k=127 n=3 density=1"),
    ("spmm-bsr", &[Dtype::F32, Dtype::F64, Dtype::Bf16], "m=16 k=16 n=1 block=16 density=1"),
    ("spmm-bsr", &[Dtype::F32, Dtype::F64, Dtype::Bf16], "m=64 k=96 n=53 block=32 density=0.2"),
    ("spmm-bsr", &[Dtype::F32, Dtype::F64, Dtype::Bf16], "m=128 k=64 n=17 block=64 density=0.5"),
    ("spmm-2-4", &[Dtype::F32, Dtype::F64, Dtype::Bf16, Dtype::F16, Dtype::I8], "m=1 k=8 n=1"),
    ("spmm-2-4", &[Dtype::F32, Dtype::F64, Dtype::Bf16, Dtype::F16, Dtype::I8], "m=11 k=232 n=53"),
    ("attention", &[Dtype::F32, Dtype::Bf16], "heads=1 seq=1 dim=8 mask=dense"),
    ("attention", &[Dtype::F32, Dtype::Bf16], "heads=3 seq=67 dim=19 mask=dense"),
    ("attention", &[Dtype::F32, Dtype::Bf16], "heads=2 seq=101 dim=16 mask=causal"),
    ("attention-window", &[Dtype::F32, Dtype::Bf16], "heads=2 seq=97 dim=9 window=13"),
    ("attention-block", &[Dtype::F32, Dtype::Bf16], "heads=2 seq=96 dim=24 block=16 density=0.4"),
    ("attention-linear", &[Dtype::F32, Dtype::Bf16], "heads=1 seq=1 dim=8"),
    ("attention-linear", &[Dtype::F32, Dtype::Bf16], "heads=3 seq=71 dim=37"),
    ("kv-decode", &[Dtype::F32], "heads=1 len=1 dim=16 format=mha"),
    ("kv-decode", &[Dtype::F32, Dtype::Bf16], "heads=3 len=131 dim=37 format=mha"),
    ("kv-decode", &[Dtype::F32, Dtype::Bf16], "heads=8 len=67 dim=24 format=gqa-4"),
    ("kv-decode", &[Dtype::F32], "heads=3 len=67 dim=37 format=int8"),
    ("kv-decode", &[Dtype::F32, Dtype::Bf16], "heads=5 len=67 dim=40 format=mla"),
    ("moe", &[Dtype::F32, Dtype::Bf16], "tokens=1 d=5 f=7 experts=3 top=2"),
    ("moe", &[Dtype::F32, Dtype::Bf16], "tokens=29 d=33 f=19 experts=5 top=2"),
    ("relu-skip", &[Dtype::F32], "d=1 f=1 density=1 rank=0"),
    ("relu-skip", &[Dtype::F32], "d=37 f=101 density=0.2 rank=0"),
    ("relu-skip", &[Dtype::F32], "d=37 f=101 density=0.2 rank=7"),
    ("triad", &[Dtype::F32, Dtype::F64], "bytes=24"),
    ("triad", &[Dtype::F32, Dtype::F64], "bytes=123456"),
    ("read-bandwidth", &[Dtype::F32, Dtype::F64], "bytes=8"),
    ("read-bandwidth", &[Dtype::F32, Dtype::F64], "bytes=123456"),
    ("copy", &[Dtype::F32, Dtype::F64], "bytes=16"),
    ("copy", &[Dtype::F32, Dtype::F64], "bytes=123456"),
];

/// The arithmetic probe has one size, seconds of work for a tool that interprets instructions. Its own tests run it.
const LARGE: &str = "fma-peak";

/// Parameters of the first case of a kernel; none of one without.
#[cfg(feature = "wgpu")]
pub(crate) fn first(id: &str) -> &'static str {
    CASES.iter().find(|(listed, ..)| *listed == id).map_or("", |(.., text)| text)
}

/// `m=1 density=0.5` as parameters.
fn parameters(dtype: Dtype, text: &str) -> Params {
    let value = |text: &str| match (text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(whole), _) => ParamValue::Integer(whole),
        (_, Ok(real)) => ParamValue::Real(real),
        _ => ParamValue::Word(text.to_owned()),
    };
    let pair = |pair: &str| pair.split_once('=').map(|(name, text)| (name.to_owned(), value(text))).unwrap();
    Params { dtype, values: text.split_whitespace().map(pair).collect() }
}

/// All cases on one path: answers pass, and an output that was never written does not.
fn every_case(isa: Isa) {
    if !Isa::available().contains(&isa) {
        return;
    }
    for (id, dtypes, text) in CASES {
        let kernel = find(id).unwrap();
        for dtype in *dtypes {
            for threads in [1, 2, 7] {
                let (team, what) = (Threads(threads), format!("{id} {dtype} {text} {isa}, {threads} threads"));
                let params = parameters(*dtype, text);
                kernel.info().check(&params).unwrap_or_else(|e| panic!("{what}: {e}"));
                let context = BuildContext { seed: 7, isa, team: &team };
                let mut program = kernel.build(&params, &context).unwrap_or_else(|e| panic!("{what}: {e}"));
                program.poison();
                assert!(!program.check().passed(), "{what}: poison passed");
                program.run(&team);
                let found = program.check();
                assert!(found.passed(), "{what}: {found:?}");
                let path = program.path();
                assert!(path.starts_with(isa.name()) || reaches_further(isa, &path), "{what}: path {path}");
            }
        }
    }
}

/// Products of short types take instructions of their own where AVX-512 is allowed.
fn reaches_further(isa: Isa, path: &str) -> bool {
    isa == Isa::Avx512 && path.starts_with("amx-")
}

#[test]
fn small_cases_pass_on_the_portable_path() {
    every_case(Isa::Portable);
}

#[test]
#[cfg_attr(miri, ignore = "Miri interprets no vector instructions")]
fn small_cases_pass_with_neon() {
    every_case(Isa::Neon);
}

#[test]
#[cfg_attr(miri, ignore = "Miri interprets no vector instructions")]
fn small_cases_pass_with_avx2() {
    every_case(Isa::Avx2);
}

#[test]
#[cfg_attr(miri, ignore = "Miri interprets no vector instructions")]
fn small_cases_pass_with_avx512() {
    every_case(Isa::Avx512);
}

#[test]
fn every_kernel_and_type_has_small_cases() {
    for info in REGISTRY.iter().map(|kernel| kernel.info()).filter(|info| info.id != LARGE) {
        for dtype in info.dtypes {
            let has = CASES.iter().any(|(id, dtypes, _)| *id == info.id && dtypes.contains(dtype));
            assert!(has, "{} in {dtype} has no small case", info.id);
        }
    }
}
