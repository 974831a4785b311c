//! The machine code that NVRTC makes of the programs, for every architecture, and its cache.

use super::cases::{self, cases, ceilings, large, roomy};
use super::{Group, ROOMY, hopper_program, needed_by, program, program_for, roomy_program, skip};
use std::collections::BTreeSet;
use std::path::Path;
use wattproof::backends::cuda::cache::{Cache, Origin};
use wattproof::backends::cuda::cubin;
use wattproof::backends::cuda::nvrtc::{Architecture, Compiler, LIBRARY_VARIABLE, NvrtcError, Source};

/// What CI compiles for, with the shared memory that a block may have there (CUDA C++ Programming Guide, "Compute
/// Capabilities": 163, 99, 227 and 227 KB).
const ARCHITECTURES: [(Architecture, u32); 4] = [
    (Architecture { major: 8, minor: 0 }, 163 << 10),
    (Architecture { major: 8, minor: 9 }, 99 << 10),
    (Architecture { major: 9, minor: 0 }, 227 << 10),
    (Architecture { major: 10, minor: 0 }, 227 << 10),
];

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
    compiles(Group::Others, 90);
}

#[test]
fn every_program_of_blocks_compiles_for_every_architecture_within_its_limits() {
    compiles(Group::Blocks, 40);
}

#[test]
fn every_program_of_sparse_rows_compiles_for_every_architecture_within_its_limits() {
    compiles(Group::Rows, 40);
}

#[test]
fn every_program_of_dense_products_compiles_for_every_architecture_within_its_limits() {
    compiles(Group::Products, 30);
}

#[test]
fn every_program_of_experts_compiles_for_every_architecture_within_its_limits() {
    compiles(Group::Experts, 60);
}

/// Compiles what there is, which has to be more than `least` programs and architectures.
fn compiles(group: Group, least: usize) {
    let (cases, large) = (|| group.only(cases()), || group.only(large()));
    let Some(compiler) = compiler("machine code of the CUDA programs") else { return };
    let cache = Cache::at(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cubins"));
    let mut report = BTreeSet::new();
    let most = group.only(roomy()).into_iter().map(|case| (roomy_program(&case), case, ROOMY));
    for (common, case, needed) in cases()
        .into_iter()
        .chain(large())
        .chain(group.only(ceilings()))
        .map(|case| (program(&case), case, 0))
        .chain(most)
    {
        for (architecture, shared) in ARCHITECTURES
            .into_iter()
            .filter(|(own, shared)| *shared >= needed && (own.major, own.minor) >= needed_by(&case))
        {
            let own = if needed > 0 {
                Vec::new()
            } else {
                program_for(&case, (architecture.major, architecture.minor)).steps
            };
            let others: Vec<_> = own.into_iter().filter(|s| !common.steps.contains(s)).collect();
            for step in common.steps.iter().cloned().chain(others) {
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
    assert!(report.len() > least, "only {} programs", report.len());
    std::fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cuda-resources-{group:?}.txt")),
        report.into_iter().collect::<Vec<_>>().join("\n"),
    )
    .unwrap();
}

#[test]
fn products_for_hopper_run_beside_their_threads() {
    let Some(compiler) = compiler("what the assembler says of products for Hopper") else { return };
    let architecture = Architecture { major: 9, minor: 0 };
    let (mut seen, mut planted) = (BTreeSet::new(), 0);
    for case in cases().into_iter().chain(cases::hopper()).chain(large()).chain(ceilings()) {
        for step in hopper_program(&case).into_iter().flat_map(|p| p.steps) {
            if !seen.insert((step.entry, step.constants.clone())) {
                continue;
            }
            let said =
                |text: &str| compiler.compile_aloud(&Source { text, macros: &step.constants, architecture }).unwrap().1;
            let log = said(step.source);
            assert!(!log.contains("serialized"), "{case:?}: {log}");
            // A sum that is touched while it is made: every product is waited for, and the assembler says so.
            let touched = "if (index == 7) { output[3] = 1.0f; products_wait<1>(); } else { products_wait<0>(); }";
            if step.entry == "attention_hopper" && planted == 0 {
                let log = said(&step.source.replace("products_wait<1>();", touched));
                assert!(log.contains("serialized"), "the assembler says nothing any more: {log}");
                planted += 1;
            }
        }
    }
    assert!(seen.len() >= 6 && planted > 0, "{planted}, {seen:?}");
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
