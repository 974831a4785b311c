//! The machine code that NVRTC makes of the programs, for every architecture, and its cache.

use super::cases::{self, cases, ceilings, large, roomy};
use super::emulator::is_for_hopper;
use super::{Group, ROOMY, Small, needed_by, program_for, roomy_program, skip};
use std::collections::BTreeSet;
use std::path::Path;
use wattproof::backends::cuda::cache::{Cache, Origin};
use wattproof::backends::cuda::cubin::{self, Resources};
use wattproof::backends::cuda::nvrtc::{Architecture, Compiler, LIBRARY_VARIABLE, NvrtcError, Source};
use wattproof::kernels::{Dtype, Launch};

/// What CI compiles for, with the shared memory that a block may have there (CUDA C++ Programming Guide, "Compute
/// Capabilities": 163, 99, 227 and 227 KB).
const ARCHITECTURES: [(Architecture, u32); 4] = [
    (Architecture { major: 8, minor: 0 }, 163 << 10),
    (Architecture { major: 8, minor: 9 }, LEAST_SHARED),
    (HOPPER, 227 << 10),
    (Architecture { major: 10, minor: 0 }, 227 << 10),
];

const HOPPER: Architecture = Architecture { major: 9, minor: 0 };

/// Shared memory that a block may have on all of them.
const LEAST_SHARED: u32 = 99 << 10;

/// Shared memory that the assembler itself reserves from Hopper on, where a program has any: its machine code says so.
const RESERVED: u64 = 1024;

/// Has every program compiled for every architecture.
const EVERY_VARIABLE: &str = "WATTPROOF_EVERY_ARCHITECTURE";

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
    compiles(Group::Others, 200, 13);
}

#[test]
fn every_program_of_blocks_compiles_for_every_architecture_within_its_limits() {
    compiles(Group::Blocks, 30, 0);
}

#[test]
fn every_program_of_sparse_rows_compiles_for_every_architecture_within_its_limits() {
    compiles(Group::Rows, 60, 0);
}

#[test]
fn every_program_of_dense_products_compiles_for_every_architecture_within_its_limits() {
    compiles(Group::Products, 40, 5);
}

#[test]
fn every_program_of_experts_compiles_for_every_architecture_within_its_limits() {
    compiles(Group::Experts, 60, 0);
}

/// A program of a case: what a device of some architecture is given.
#[derive(Clone)]
struct Given {
    case: Small,
    step: Launch,
}

impl Given {
    /// What one text is compiled with for one architecture.
    fn is_as(&self, other: &Self) -> bool {
        let told = |step: &Launch| (step.source, step.entry, step.shared, step.block);
        told(&self.step) == told(&other.step) && self.step.constants == other.step.constants
    }

    /// What programs share that have the same instructions and differ in sizes; those that not every device has the shared
    /// memory for stand apart.
    fn kind(&self) -> (&'static str, Dtype, &'static str, bool) {
        (self.case.kernel, self.case.params.dtype, self.step.entry, self.step.shared > LEAST_SHARED)
    }
}

/// All different programs that a device of this architecture with so much shared memory is given; with `every`, those too that
/// others are given in place of its own.
fn given(group: Group, architecture: Architecture, shared: u32, every: bool) -> Vec<Given> {
    let capability = (architecture.major, architecture.minor);
    let plain = cases().into_iter().chain(cases::hopper()).chain(large()).chain(ceilings());
    let plain = group.only(plain.collect()).into_iter().filter(|case| capability >= needed_by(case));
    let most = group.only(roomy()).into_iter().filter(|_| shared >= ROOMY);
    let programs = plain.flat_map(|case| {
        let others = every.then(|| program_for(&case, needed_by(&case)));
        [Some(program_for(&case, capability)), others].into_iter().flatten().map(move |program| (program, case.clone()))
    });
    let mut all: Vec<Given> = Vec::new();
    for (program, case) in programs.chain(most.map(|case| (roomy_program(&case), case))) {
        for step in program.steps {
            let one = Given { case: case.clone(), step };
            if !all.iter().any(|other| other.is_as(&one)) {
                all.push(one);
            }
        }
    }
    all
}

/// Compiles what there is, which has to be more than `least` programs and architectures; `heard` of them at least are products
/// of Hopper.
///
/// The texts know no architecture but Hopper, so that two things can differ from one to the next: which instructions the
/// assembler takes, and how many registers it needs. Every program is compiled for the architecture that it is written for, the
/// least that has its type, and for Hopper; for the others one of every kernel, type and entry, that with most registers, and
/// what they alone are given. Shared memory is the same for all of them, but for what is reserved, and is compared with the limits
/// of each.
fn compiles(group: Group, least: usize, heard: usize) {
    let Some(compiler) = compiler("machine code of the CUDA programs") else { return };
    let every = std::env::var_os(EVERY_VARIABLE).is_some_and(|value| value == "1");
    let cache = Cache::at(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cubins"));
    let (mut report, mut written) = (BTreeSet::new(), Vec::<(Given, Resources)>::new());
    let mut listened = 0;
    for (architecture, shared) in ARCHITECTURES {
        let mut chosen = Vec::new();
        // Of each kind the one with most registers.
        let mut hungriest: Vec<(Given, u32)> = Vec::new();
        for one in given(group, architecture, shared, every) {
            let before = written.iter().find(|(other, _)| other.is_as(&one));
            match before {
                Some((_, found)) if !every && architecture != HOPPER => {
                    let whole = found.shared + RESERVED + u64::from(one.step.shared);
                    assert!(whole <= u64::from(shared), "{}: {:?}: {whole}", architecture.option(), one.case);
                    match hungriest.iter_mut().find(|(other, _)| other.kind() == one.kind()) {
                        Some((_, most)) if *most >= found.registers => {}
                        Some(place) => *place = (one, found.registers),
                        None => hungriest.push((one, found.registers)),
                    }
                }
                _ => chosen.push(one),
            }
        }
        for one in chosen.into_iter().chain(hungriest.into_iter().map(|(one, _)| one)) {
            let Given { case, step } = &one;
            let source = Source { text: step.source, macros: &step.constants, architecture };
            let what = format!("{} {}/{} {:?}", architecture.option(), case.kernel, step.entry, step.constants);
            let code = if architecture == HOPPER && is_for_hopper(step.source) {
                // What the assembler says is in no cache.
                let (code, log) = compiler.compile_aloud(&source).unwrap_or_else(|e| panic!("{case:?}: {e}"));
                assert!(!log.contains(SERIALIZED), "{what}: {log}");
                listened += 1;
                code
            } else {
                cache.cubin(&compiler, &source).unwrap_or_else(|e| panic!("{case:?}: {e}")).0
            };
            let found = cubin::resources(&code).unwrap();
            let own = found.iter().find(|r| r.entry == step.entry).unwrap_or_else(|| panic!("no {}", step.entry));
            assert_eq!(own.stack, 0, "{what}: registers are spilled, or an array lies in memory: {own:?}");
            let threads: u32 = step.block.iter().product();
            assert!(own.registers * threads <= 65_536 && own.registers <= 255, "{what}: {own:?}");
            let whole = own.shared + u64::from(step.shared);
            assert!(whole <= u64::from(shared), "{what}: {own:?} and {}", step.shared);
            match written.iter().find(|(other, _)| other.is_as(&one)) {
                Some((_, first)) => {
                    let more = own.shared - first.shared;
                    assert!(more == 0 || more == RESERVED, "{what}: {more} bytes of shared memory more than elsewhere");
                }
                None => written.push((one.clone(), own.clone())),
            }
            report
                .insert(format!("{what}: {} registers, {} + {} bytes shared", own.registers, own.shared, step.shared));
        }
    }
    assert!(report.len() > least, "only {} programs", report.len());
    assert!(listened >= heard, "only {listened} products of Hopper");
    std::fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cuda-resources-{group:?}.txt")),
        report.into_iter().collect::<Vec<_>>().join("\n"),
    )
    .unwrap();
}

/// What the assembler says of products that do not run beside their threads.
const SERIALIZED: &str = "serialized";

#[test]
fn the_assembler_says_where_products_for_hopper_do_not_run_beside_their_threads() {
    let Some(compiler) = compiler("what the assembler says of products for Hopper") else { return };
    // A sum that is touched while it is made: every product is waited for, and the assembler says so.
    let touched = "if (index == 7) { output[3] = 1.0f; products_wait<1>(); } else { products_wait<0>(); }";
    let mut programs = given(Group::Others, HOPPER, ROOMY, false).into_iter().map(|one| one.step);
    let step = programs.find(|step| step.entry == "attention_hopper").unwrap();
    let text = step.source.replace("products_wait<1>();", touched);
    let source = Source { text: &text, macros: &step.constants, architecture: HOPPER };
    let (_, log) = compiler.compile_aloud(&source).unwrap();
    assert!(log.contains(SERIALIZED), "the assembler says nothing any more: {log}");
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
