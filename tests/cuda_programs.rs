//! The CUDA programs on a machine without a GPU: their arithmetic, in an emulator that compiles the same text with a C++
//! compiler, against the f64 reference of the kernels; and their machine code, which NVRTC compiles for every architecture.

#![cfg(feature = "cuda")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "cuda_programs/cases.rs"]
mod cases;
#[path = "cuda_programs/emulator.rs"]
mod emulator;
mod skip;

use cases::{Small, cases, ceilings, large, target};
use emulator::Emulator;
use std::collections::BTreeSet;
use std::path::Path;
use wattproof::backends::Judge;
use wattproof::backends::cuda::cache::{Cache, Origin};
use wattproof::backends::cuda::cubin;
use wattproof::backends::cuda::nvrtc::{Architecture, Compiler, LIBRARY_VARIABLE, NvrtcError, Source};
use wattproof::kernels::{self, DeviceProgram, Dtype};

/// What CI compiles for, with the shared memory that a block may have there (CUDA C++ Programming Guide, "Compute
/// Capabilities": 163, 99, 227 and 227 KB).
const ARCHITECTURES: [(Architecture, u32); 4] = [
    (Architecture { major: 8, minor: 0 }, 163 << 10),
    (Architecture { major: 8, minor: 9 }, 99 << 10),
    (Architecture { major: 9, minor: 0 }, 227 << 10),
    (Architecture { major: 10, minor: 0 }, 227 << 10),
];

fn program(case: &Small) -> DeviceProgram {
    let kernel = kernels::find(case.kernel).unwrap();
    kernel.device_program(&case.params, &target(8, 0)).unwrap_or_else(|e| panic!("{case:?}: {e}"))
}

/// The emulator, or `None` with a word why.
fn emulator(what: &str) -> Option<Emulator> {
    Emulator::find().map_err(|why| skip::skip(what, &why)).ok()
}

#[test]
fn every_program_gives_the_answer_of_its_definition() {
    let Some(emulator) = emulator("arithmetic of the CUDA programs") else { return };
    for case in cases() {
        let kernel = kernels::find(case.kernel).unwrap();
        let program = program(&case);
        let mut judge = Judge::new(kernel, &case.planned(), 11).unwrap();
        let operands = judge.take_operands();
        // Threads and blocks take turns in two different orders.
        for seed in [1, 2] {
            let answer = emulator.run(&program, &operands, seed, |text| text.to_owned());
            let verdict = judge.check(&answer);
            assert!(verdict.passed(), "{case:?}, order {seed}: {verdict:?}");
        }
        let canary = judge.take_canary().unwrap_or_else(|| panic!("{case:?} has no canary"));
        let small = kernel.device_program(&canary.params, &target(8, 0)).unwrap();
        let verdict = (canary.judge)(&emulator.run(&small, &canary.operands, 3, |text| text.to_owned()));
        assert!(verdict.passed(), "{case:?}: {verdict:?}");
    }
}

#[test]
fn every_kernel_with_a_program_is_among_the_cases() {
    let tested: BTreeSet<&str> = cases().iter().map(|c| c.kernel).collect();
    for case in large() {
        assert!(tested.contains(case.kernel), "{}", case.kernel);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernels");
    for folder in std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()) {
        let files = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
        for file in files.filter(|f| f.extension().is_some_and(|e| e == "cu")) {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            let used = cases()
                .iter()
                .chain(&ceilings())
                .any(|c| program(c).steps.iter().any(|s| s.source.contains(&format!("/{name}\"\n"))));
            assert!(used, "no case runs {}", file.display());
        }
    }
}

/// The first elements of an answer of a probe of arithmetic, and what they have to be: of chains, those of one block; of
/// tiles, the sums of one warp. A whole iteration is too long for an emulator.
fn first_answers(emulator: &Emulator, case: &Small, edit: impl Fn(&str) -> String) -> (Vec<f64>, Vec<f64>) {
    let mut program = program(case);
    let mut judge = Judge::new(kernels::find(case.kernel).unwrap(), &case.planned(), 11).unwrap();
    let operands = judge.take_operands();
    program.steps[0].grid = [1, 1, 1];
    let answer: Vec<f64> = emulator.run(&program, &operands, 1, edit).values.numbers().take(512).collect();
    let numbers = |name: &str| -> Vec<f64> {
        operands.iter().find(|a| a.name == name).map(|a| a.values.numbers().collect()).unwrap_or_default()
    };
    let from = numbers("from");
    let (a, other, b) = (numbers("a"), numbers("other"), numbers("b"));
    if a.is_empty() {
        let step = if case.params.dtype == Dtype::F64 { 2f64.powi(-49) } else { 2f64.powi(-20) };
        return (answer[..128].to_vec(), from[..128].iter().map(|x| x + 8192.0 * step).collect());
    }
    let depth = a.len() / 16;
    let pair = |row: usize, column: usize| -> f64 {
        (0..depth).map(|k| (a[row * depth + k] + other[row * depth + k]) * b[column * depth + k]).sum()
    };
    let tile = |i: usize| 8.0 * (from[i % 128] + 256.0 * pair(i % 128 / 8, i % 8));
    (answer, (0..512).map(tile).collect())
}

#[test]
fn probes_of_arithmetic_count_every_operation() {
    let Some(emulator) = emulator("probes of arithmetic") else { return };
    for case in ceilings().iter().filter(|c| c.kernel == "fma-peak") {
        let (found, expected) = first_answers(&emulator, case, str::to_owned);
        assert!(found == expected, "{case:?}: {:?} instead of {:?}", &found[..4], &expected[..4]);
        let [right, wrong] = match case.params.dtype {
            Dtype::F32 | Dtype::F64 => ["u < UNROLLED; ++u", "u < UNROLLED - 1; ++u"],
            _ => ["pair < pairs; ++pair", "pair + 1 < pairs; ++pair"],
        };
        let (found, _) = first_answers(&emulator, case, |text| text.replace(right, wrong));
        assert!(found != expected, "{case:?}: a lost step was not noticed");
    }
}

#[test]
fn the_read_probe_reads_every_word() {
    let Some(emulator) = emulator("the read probe") else { return };
    let kernel = kernels::find("read-bandwidth").unwrap();
    for case in ceilings().iter().filter(|c| c.kernel == "read-bandwidth") {
        let program = program(case);
        let mut judge = Judge::new(kernel, &case.planned(), 11).unwrap();
        let operands = judge.take_operands();
        let answer = emulator.run(&program, &operands, 1, str::to_owned);
        assert!(judge.check(&answer).passed(), "{case:?}");
        let answer = emulator.run(&program, &operands, 1, |text| text.replace("words % 2 != 0", "words % 2 == 0"));
        let is_odd = case.params.integer("bytes").unwrap() / 8 % 2 == 1;
        assert!(!is_odd || !judge.check(&answer).passed(), "{case:?}: a lost word was not noticed");
    }
}

/// A mistake: the kernel whose program it is in, the text, and what is there instead.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("gemm", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
    ("gemm", "place % height", "place % BAND"),
    ("attention", "key <= query : true", "key < query + 2 : true"),
    ("attention", "total[m][half] * shrink + sum", "total[m][half] + sum"),
    ("attention", "        copy_wait<0>();\n        __syncthreads();", "        __syncthreads();"),
    ("attention", "lane / 8 % 2));", "lane / 8 % 2 ^ 1));"),
    ("attention-window", "key + limit > query", "key + limit >= query"),
    ("gemv-quantized", "chunk * CHUNK / group", "0"),
    ("gemv-quantized", "const unsigned first_token = blockIdx.y * TOKEN_TILES * 8;", "const unsigned first_token = 0;"),
    ("attention-linear", "at >= seq ? 0u : left[m][part] & 0xffffu", "left[m][part]"),
    ("kv-decode", "score = own < len ? score : NEGATIVE_INFINITY;", ""),
    ("relu-skip", "active &= active - 1;", "active &= active - 1; active &= active - 1;"),
    ("triad", "vectors * LANES + first", "vectors * LANES + first + 1"),
];

#[test]
fn a_program_with_a_mistake_does_not_pass() {
    let Some(emulator) = emulator("mistakes in the CUDA programs") else { return };
    for (kernel, right, wrong) in MISTAKES {
        let caught = cases().into_iter().filter(|c| c.kernel == *kernel).any(|case| {
            let program = program(&case);
            let mut judge = Judge::new(kernels::find(kernel).unwrap(), &case.planned(), 11).unwrap();
            let operands = judge.take_operands();
            let answer = emulator.run(&program, &operands, 1, |text| {
                assert_eq!(text.matches(right).count().min(1), 1, "{kernel} has no `{right}`");
                text.replacen(right, wrong, 1)
            });
            !judge.check(&answer).passed()
        });
        assert!(caught, "{kernel}: `{wrong}` instead of `{right}` was not noticed");
    }
}

/// The compiler that CI installs, or `None` with a word why.
fn compiler(what: &str) -> Option<Compiler> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/nvrtc/nvidia/cu13/lib/libnvrtc.so.13");
    let found = if std::env::var_os(LIBRARY_VARIABLE).is_none() && installed.exists() {
        Compiler::load(&installed)
    } else {
        Compiler::find(13)
    };
    found.map_err(|error| skip::skip(what, &format!("{error}; `bash ci/nvrtc.sh` installs it"))).ok()
}

#[test]
fn every_program_compiles_for_every_architecture_within_its_limits() {
    let Some(compiler) = compiler("machine code of the CUDA programs") else { return };
    let cache = Cache::at(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cubins"));
    let mut report = BTreeSet::new();
    for case in cases().into_iter().chain(large()).chain(ceilings()) {
        for step in program(&case).steps {
            for (architecture, shared) in ARCHITECTURES {
                let source = Source { text: step.source, macros: &step.constants, architecture };
                let (code, _) = cache.cubin(&compiler, &source).unwrap_or_else(|e| panic!("{case:?}: {e}"));
                let found = cubin::resources(&code).unwrap();
                let own = found.iter().find(|r| r.entry == step.entry).unwrap_or_else(|| panic!("no {}", step.entry));
                let what = format!("{} {}/{} {:?}", architecture.option(), case.kernel, step.entry, step.constants);
                assert_eq!(own.stack, 0, "{what}: registers are spilled, or an array lies in memory: {own:?}");
                let threads: u32 = step.block.iter().product();
                assert!(own.registers * threads <= 65_536 && own.registers <= 255, "{what}: {own:?}");
                assert!(
                    own.shared + u64::from(step.shared) <= u64::from(shared),
                    "{what}: {own:?} and {}",
                    step.shared
                );
                report.insert(format!(
                    "{what}: {} registers, {} + {} bytes shared",
                    own.registers, own.shared, step.shared
                ));
            }
        }
    }
    assert!(report.len() > 100, "only {} programs", report.len());
    std::fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("cuda-resources.txt"),
        report.into_iter().collect::<Vec<_>>().join("\n"),
    )
    .unwrap();
}

#[test]
fn a_text_that_does_not_compile_is_shown_with_its_line() {
    let Some(compiler) = compiler("errors of NVRTC") else { return };
    let text = "#line 1 \"a.cu\"\nextern \"C\" __global__ void f(float* x) {\n    x[0] = y;\n}\n";
    let architecture = Architecture { major: 9, minor: 0 };
    let error = compiler.compile(&Source { text, macros: &[], architecture }).unwrap_err();
    assert_eq!(error.to_string(), "a.cu:2: identifier \"y\" is undefined (NVRTC 6)\n  | x[0] = y;");
    // What only one architecture can run is refused for another: PTX would have been accepted.
    let hopper = "extern \"C\" __global__ void f() { asm volatile(\"wgmma.fence.sync.aligned;\"); }";
    assert!(compiler.compile(&Source { text: hopper, macros: &[], architecture }).is_ok());
    let ampere = Architecture { major: 8, minor: 0 };
    let error = compiler.compile(&Source { text: hopper, macros: &[], architecture: ampere }).unwrap_err();
    assert!(error.to_string().contains("wgmma"), "{error}");
    let unknown = Architecture { major: 99, minor: 9 };
    let error = compiler.compile(&Source { text: "", macros: &[], architecture: unknown }).unwrap_err();
    assert!(matches!(error, NvrtcError::Architecture { .. }) && error.to_string().contains("sm_999"), "{error}");
    let error = Compiler::find(1).err().map(|e| e.to_string());
    assert!(error.is_some_and(|e| e.contains("newer than the driver") || e.contains("missing")));
}

#[test]
fn the_cache_spares_the_compiler_and_repairs_itself() {
    let Some(compiler) = compiler("the cache of compiled programs") else { return };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("cache"));
    let architecture = Architecture { major: 8, minor: 0 };
    let source = Source { text: "extern \"C\" __global__ void f() {}", macros: &[("A", 1)], architecture };
    let (first, origin) = cache.cubin(&compiler, &source).unwrap();
    assert_eq!(origin, Origin::Compiled);
    let again = || cache.cubin(&compiler, &source).unwrap();
    assert_eq!(again(), (first.clone(), Origin::Cached));
    let file = std::fs::read_dir(folder.path().join("cache")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&file, "half").unwrap();
    assert_eq!(again(), (first.clone(), Origin::Repaired));
    assert_eq!(again(), (first.clone(), Origin::Cached));
    // A folder that cannot be written to costs time, not the run.
    let nowhere = Cache::at(file.join("below"));
    assert_eq!(nowhere.cubin(&compiler, &source).unwrap(), (first, Origin::Compiled));
}
