//! The CUDA programs on a machine without a GPU: their arithmetic, in an emulator that compiles the same text with a C++
//! compiler, against the f64 reference of the kernels; and their machine code, which NVRTC compiles for every architecture.

#![cfg(feature = "cuda")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "cuda_programs/cases.rs"]
mod cases;
#[path = "cuda_programs/emulator.rs"]
mod emulator;
#[path = "cuda_programs/hopper.rs"]
mod hopper;
mod skip;

use cases::{Small, cases, ceilings, large, roomy, target};
use emulator::Emulator;
use hopper::{Mistake, Notice};
use std::cell::Cell;
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

/// Shared memory of a block on Hopper.
const ROOMY: u32 = 227 << 10;

fn program(case: &Small) -> DeviceProgram {
    program_for(case, (8, 0))
}

fn program_for(case: &Small, (major, minor): (u32, u32)) -> DeviceProgram {
    let kernel = kernels::find(case.kernel).unwrap();
    kernel.device_program(&case.params, &target(major, minor)).unwrap_or_else(|e| panic!("{case:?}: {e}"))
}

/// The program for Hopper, where it is another than that of the devices before.
fn hopper_program(case: &Small) -> Option<DeviceProgram> {
    Some(program_for(case, (9, 0))).filter(|own| *own != program(case))
}

/// The emulator, or `None` with a word why.
fn emulator(what: &str) -> Option<Emulator> {
    Emulator::find().map_err(|why| skip::skip(what, &why)).ok()
}

/// Kernels whose programs are tested apart from the others, so that no test takes minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Blocks,
    Rows,
    Experts,
    Products,
    Others,
}

impl Group {
    fn of(kernel: &str) -> Self {
        match kernel {
            "spmm-bsr" => Self::Blocks,
            "spmv-csr" | "spmm-csr" | "spmm-2-4" => Self::Rows,
            "gemm" => Self::Products,
            "moe" => Self::Experts,
            _ => Self::Others,
        }
    }

    fn only(self, cases: Vec<Small>) -> Vec<Small> {
        cases.into_iter().filter(|case| Self::of(case.kernel) == self).collect()
    }
}

#[test]
fn every_program_gives_the_answer_of_its_definition() {
    own_answers(Group::Others);
}

#[test]
fn every_program_of_blocks_gives_the_answer_of_its_definition() {
    own_answers(Group::Blocks);
}

#[test]
fn every_program_of_sparse_rows_gives_the_answer_of_its_definition() {
    own_answers(Group::Rows);
}

#[test]
fn every_program_of_dense_products_gives_the_answer_of_its_definition() {
    own_answers(Group::Products);
}

#[test]
fn every_program_of_experts_gives_the_answer_of_its_definition() {
    own_answers(Group::Experts);
}

fn own_answers(group: Group) {
    let Some(emulator) = emulator("arithmetic of the CUDA programs") else { return };
    answers(&emulator, group.only(cases()), |case| Some(program(case)));
}

/// Runs the program that `of` has for each case, and for its canary, and judges the answers.
fn answers(emulator: &Emulator, cases: Vec<Small>, of: impl Fn(&Small) -> Option<DeviceProgram>) {
    for case in cases {
        let Some(own) = of(&case) else { continue };
        let kernel = kernels::find(case.kernel).unwrap();
        let mut judge = Judge::new(kernel, &case.planned(), 11).unwrap();
        let operands = judge.take_operands();
        // Threads and blocks take turns in two different orders.
        for seed in [1, 2] {
            let answer = emulator.run(&own, &operands, seed, |text| text.to_owned());
            let answer = answer.unwrap_or_else(|e| panic!("{case:?}, order {seed}: {e}"));
            let verdict = judge.check(&answer);
            assert!(verdict.passed(), "{case:?}, order {seed}: {verdict:?}");
        }
        let canary = judge.take_canary().unwrap_or_else(|| panic!("{case:?} has no canary"));
        let Some(small) = of(&Small { kernel: case.kernel, params: canary.params.clone() }) else { continue };
        let answer = emulator.run(&small, &canary.operands, 3, |text| text.to_owned()).unwrap();
        let verdict = (canary.judge)(&answer);
        assert!(verdict.passed(), "{case:?}: {verdict:?}");
    }
}

/// The program of a case on a device with the shared memory of an H100.
fn roomy_program(case: &Small) -> DeviceProgram {
    let mut target = target(9, 0);
    target.limits.shared_bytes = ROOMY;
    kernels::find(case.kernel).unwrap().device_program(&case.params, &target).unwrap()
}

#[test]
fn programs_that_use_more_shared_memory_give_the_answer_too() {
    let Some(emulator) = emulator("programs that use more shared memory") else { return };
    for case in roomy() {
        let roomy = roomy_program(&case);
        assert!(roomy.steps[0].shared > target(8, 0).limits.shared_bytes, "{case:?}");
        let mut judge = Judge::new(kernels::find(case.kernel).unwrap(), &case.planned(), 11).unwrap();
        let operands = judge.take_operands();
        let answer = emulator.run(&roomy, &operands, 1, str::to_owned).unwrap();
        assert!(judge.check(&answer).passed(), "{case:?}");
    }
}

#[test]
fn every_program_for_hopper_gives_the_answer_of_its_definition() {
    let Some(emulator) = emulator("arithmetic of the CUDA programs for Hopper") else { return };
    answers(&emulator, cases().into_iter().chain(cases::hopper()).collect(), hopper_program);
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
            let mut parts = file.iter().rev().map(|part| part.to_str().unwrap());
            let (name, folder) = (parts.next().unwrap(), parts.next().unwrap());
            let place = format!("#line 1 \"{folder}/{name}\"\n");
            let programs = |c: &Small| [Some(program(c)), hopper_program(c)].into_iter().flatten();
            let used = cases()
                .iter()
                .chain(&ceilings())
                .flat_map(programs)
                .flat_map(|p| p.steps)
                .any(|s| s.source.contains(&place));
            assert!(used, "no case runs {}", file.display());
        }
    }
}

/// The first elements of an answer of a probe of arithmetic, and what they have to be: of chains, those of one block; of
/// tiles, the sums of one warp. A whole iteration is too long for an emulator.
fn first_answers(
    emulator: &Emulator,
    case: &Small,
    mut program: DeviceProgram,
    edit: impl Fn(&str) -> String,
) -> (Vec<f64>, Vec<f64>) {
    let mut judge = Judge::new(kernels::find(case.kernel).unwrap(), &case.planned(), 11).unwrap();
    let operands = judge.take_operands();
    program.steps[0].grid = [1, 1, 1];
    let answer: Vec<f64> = emulator.run(&program, &operands, 1, edit).unwrap().values.numbers().take(512).collect();
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
    let programs = |case: &Small| [Some(program(case)), hopper_program(case)].into_iter().flatten();
    let probes = ceilings().into_iter().filter(|c| c.kernel == "fma-peak");
    for (case, program) in probes.flat_map(|case| programs(&case).map(|p| (case.clone(), p)).collect::<Vec<_>>()) {
        let (found, expected) = first_answers(&emulator, &case, program.clone(), str::to_owned);
        assert!(found == expected, "{case:?}: {:?} instead of {:?}", &found[..4], &expected[..4]);
        let [right, wrong] = match (case.params.dtype, program.path.as_str()) {
            (Dtype::F32 | Dtype::F64, _) => ["u < UNROLLED; ++u", "u < UNROLLED - 1; ++u"],
            (_, "cuda/wgmma") => ["u < PAIRS; ++u", "u < PAIRS - 1; ++u"],
            _ => ["pair < pairs; ++pair", "pair + 1 < pairs; ++pair"],
        };
        let (found, _) = first_answers(&emulator, &case, program, |text| text.replace(right, wrong));
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
        let answer = emulator.run(&program, &operands, 1, str::to_owned).unwrap();
        assert!(judge.check(&answer).passed(), "{case:?}");
        let answer = emulator.run(&program, &operands, 1, |text| text.replace("words % 2 != 0", "words % 2 == 0"));
        let answer = answer.unwrap();
        let is_odd = case.params.integer("bytes").unwrap() / 8 % 2 == 1;
        assert!(!is_odd || !judge.check(&answer).passed(), "{case:?}: a lost word was not noticed");
    }
}

/// A mistake: the kernel whose program it is in, the text, and what is there instead.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("gemm", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
    ("gemm", "place % height", "place % BAND"),
    ("gemm", "multiply_f64(sums[i][j], a[i], b[j]);", "multiply_f64(sums[i][j], a[i], b[0]);"),
    ("gemm", "lane % 8 / 2 * 4 + lane % 2 + lane / 8 % 2 * 2", "lane % 8 + lane / 8 % 2 * 8"),
    ("gemm", "0x7531", "0x6420"),
    ("gemm", "multiply_f16(sums[i][j], a[i], b[j / 2][j % 2 * 2],", "multiply_f16(sums[i][j], a[i], b[j / 2][0],"),
    ("gemm", "spread<Number>(down, part, Rows)", "(down * SIDE_OF_THREAD + part)"),
    (
        "spmm-bsr",
        "products = (row_ptr[row / SIDE + 1] - first) * SIDE",
        "products = (row_ptr[row / SIDE + 1] - first) * SIDE - 16",
    ),
    ("spmm-bsr", "columns[first + product / SIDE]", "columns[first]"),
    ("spmm-bsr", "place % width", "place % BAND"),
    ("spmm-bsr", "lane / 8 % 2));", "lane / 8 % 2 ^ 1));"),
    ("spmm-bsr", "first + step) * Rows + row", "first + step) * Rows + down * lanes"),
    ("spmm-bsr", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
    ("spmv-csr", "element >= first && element < end", "element < end"),
    ("spmv-csr", "int distance = LANES / 2;", "int distance = LANES / 4;"),
    ("spmv-csr", "first += static_cast<unsigned>(length * blockIdx.y / PARTS);", ""),
    ("spmv-csr", "(at + e) % 2 * 16", "0"),
    ("spmm-2-4", "lane / 4 * 2 + lane % 2", "lane / 4 * 2"),
    ("spmm-2-4", "step * 32 + 16 + lane % 16", "step * 32 + lane % 16"),
    ("spmm-2-4", "(k + 31) / 32", "k / 32"),
    ("spmm-2-4", "copy_wait<STAGES - 2>();", "copy_wait<STAGES - 1>();"),
    ("spmm-csr", "(panel + 1) % 2 * PANEL_SIZE, b", "panel % 2 * PANEL_SIZE, b"),
    ("spmm-csr", "        begin = end;\n", ""),
    ("spmm-csr", "copy_wait<0>();", ""),
    ("spmm-csr", "unsigned q = starts[row];", "unsigned q = starts[row] + 1;"),
    ("moe", "UP ? tokens[slot] : slot", "slot"),
    ("moe", "static_cast<u64_t>(expert) * length", "static_cast<u64_t>(0) * length"),
    ("moe", "(j * 4 >= ColumnTiles ? jump : 0)", "(j * 4 > ColumnTiles ? jump : 0)"),
    ("moe", "= row < slots;", "= row + 1 < slots;"),
    ("moe", "sums[i][j + e + SIDE_OF_THREAD / 2]", "sums[i][j + e]"),
    ("moe", "const float gate = gates[slot];", "const float gate = gates[token * top + choice];"),
    ("attention", "key <= query : true", "key < query + 2 : true"),
    ("attention", "total[m][half] * shrink + sum", "total[m][half] + sum"),
    ("attention", "        copy_wait<0>();\n        __syncthreads();", "        __syncthreads();"),
    ("attention", "lane / 8 % 2));", "lane / 8 % 2 ^ 1));"),
    ("attention-window", "key + limit > query", "key + limit >= query"),
    ("gemv-quantized", "chunk * CHUNK / group", "0"),
    ("gemv-quantized", "const unsigned first_token = blockIdx.y * TOKEN_TILES * 8;", "const unsigned first_token = 0;"),
    ("attention-linear", "at >= seq ? 0u : left[m][part] & 0xffffu", "left[m][part]"),
    ("kv-decode", "score = own < len ? score : NEGATIVE_INFINITY;", ""),
    ("kv-decode", "if (EARLY && token + stride < len)", "if (EARLY && token + 2 * stride < len)"),
    ("kv-decode", "(blockIdx.x % bundles * HEAD_WARPS", "(blockIdx.x % 1 * HEAD_WARPS"),
    ("kv-decode", "token + 1 < len ? score[1]", "token < len ? score[1]"),
    ("kv-decode", "min(warp + group * WARPS, static", "min(warp + group * WARPS + 1, static"),
    ("kv-decode", "exchange[row].tops[other]);", "exchange[row].tops[warp]);"),
    ("kv-decode", "total[half] * shrink +", "total[half] +"),
    ("kv-decode", "tiles + (stage ^ 1) * tile, rows", "tiles + stage * tile, rows"),
    ("kv-decode", "for (int other = 1;", "for (int other = 2;"),
    ("relu-skip", "active &= active - 1;", "active &= active - 1; active &= active - 1;"),
    ("triad", "vectors * LANES + first", "vectors * LANES + first + 1"),
];

#[test]
fn a_program_with_a_mistake_does_not_pass() {
    mistakes(Group::Others);
}

#[test]
fn a_program_of_blocks_with_a_mistake_does_not_pass() {
    mistakes(Group::Blocks);
}

#[test]
fn a_program_of_sparse_rows_with_a_mistake_does_not_pass() {
    mistakes(Group::Rows);
}

#[test]
fn a_program_of_dense_products_with_a_mistake_does_not_pass() {
    mistakes(Group::Products);
}

#[test]
fn a_program_of_experts_with_a_mistake_does_not_pass() {
    mistakes(Group::Experts);
}

fn mistakes(group: Group) {
    let Some(emulator) = emulator("mistakes in the CUDA programs") else { return };
    for (kernel, right, wrong) in MISTAKES.iter().filter(|(kernel, ..)| Group::of(kernel) == group) {
        let made = Cell::new(false);
        let caught = cases().into_iter().filter(|c| c.kernel == *kernel).any(|case| {
            let program = program(&case);
            if !program.steps.iter().any(|step| step.source.contains(right)) {
                return false;
            }
            made.set(true);
            let mut judge = Judge::new(kernels::find(kernel).unwrap(), &case.planned(), 11).unwrap();
            let operands = judge.take_operands();
            let answer = emulator.run(&program, &operands, 1, |text| text.replacen(right, wrong, 1));
            answer.is_err() || !judge.check(&answer.unwrap()).passed()
        });
        assert!(made.get(), "{kernel} has no `{right}`");
        assert!(caught, "{kernel}: `{wrong}` instead of `{right}` was not noticed");
    }
}

/// Plants each mistake in the program of a case for Hopper: in one of a few orders, what has to notice it does. All texts with
/// their mistakes are compiled together, each in a namespace of its own: compiling takes longer than running.
fn plant(what: &str, case: &Small, mistakes: &[Mistake]) {
    let Some(emulator) = emulator(what) else { return };
    let mut program = program_for(case, (9, 0));
    let [text, entry] = [program.steps[0].source, program.steps[0].entry];
    let planted = |(index, (right, wrong, _)): (usize, &Mistake)| {
        assert_eq!(text.matches(right).count(), 1, "`{right}` is not in the text once");
        let text = text.replacen(right, wrong, 1).replacen(&format!(" {entry}("), &format!(" {entry}_{index}("), 1);
        format!("namespace mistake_{index} {{\n{text}\n}}\nusing namespace mistake_{index};\n")
    };
    let all: String = mistakes.iter().enumerate().map(planted).collect();
    let mut judge = Judge::new(kernels::find(case.kernel).unwrap(), &case.planned(), 11).unwrap();
    let operands = judge.take_operands();
    for (index, (right, wrong, notice)) in mistakes.iter().enumerate() {
        program.steps[0].entry = Box::leak(format!("{entry}_{index}").into_boxed_str());
        let run = |seed: u32| match emulator.run(&program, &operands, seed, |_| all.clone()) {
            Ok(answer) if judge.check(&answer).passed() => "nothing".to_owned(),
            Ok(_) => "the answer".to_owned(),
            Err(words) => words,
        };
        let expected = match notice {
            Notice::Answer => "the answer",
            Notice::Emulator(words) => words,
        };
        let mut found = Vec::new();
        let noticed = (1..=4).map(run).any(|words| {
            found.push(words);
            found.last().is_some_and(|words| words.contains(expected))
        });
        assert!(noticed, "`{wrong}` instead of `{right}` was noticed by {found:?}");
    }
}

#[test]
fn mistakes_in_the_product_for_hopper_are_noticed_by_what_they_break() {
    plant("mistakes in the product for Hopper", &hopper::product(), hopper::PRODUCT);
}

#[test]
fn mistakes_in_attention_for_hopper_are_noticed_by_what_they_break() {
    plant("mistakes in attention for Hopper", &hopper::attention(), hopper::ATTENTION);
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
        for (architecture, shared) in ARCHITECTURES.into_iter().filter(|(_, shared)| *shared >= needed) {
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
            if step.entry == "attention_hopper" && seen.len() <= 2 {
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
