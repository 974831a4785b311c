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
#[path = "cuda_programs/library.rs"]
mod library;
#[path = "cuda_programs/machine_code.rs"]
mod machine_code;
#[path = "cuda_programs/mistakes.rs"]
mod mistakes;
mod skip;

use cases::{Small, cases, ceilings, large, roomy, target};
use emulator::Emulator;
use std::collections::BTreeSet;
use std::path::Path;
use wattproof::backends::Judge;
use wattproof::kernels::{self, Argument, DeviceProgram, Dtype};

/// Shared memory of a block on Hopper.
const ROOMY: u32 = 227 << 10;

/// The least compute capability whose tensor cores know the type of a case.
fn needed_by(case: &Small) -> (u32, u32) {
    if case.params.dtype == Dtype::F8 { (8, 9) } else { (8, 0) }
}

fn program(case: &Small) -> DeviceProgram {
    program_for(case, needed_by(case))
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
fn products_of_e4m3_are_refused_with_the_reason_where_tensor_cores_do_not_know_it() {
    let e4m3 = |case: &Small| case.params.dtype == Dtype::F8;
    let refused: BTreeSet<&str> = cases()
        .into_iter()
        .chain(ceilings())
        .filter(e4m3)
        .map(|case| {
            let error = kernels::find(case.kernel).unwrap().device_program(&case.params, &target(8, 0)).unwrap_err();
            assert!(
                error.to_string().contains("needs compute capability 8.9 for products of e4m3, the device has 8.0")
            );
            case.kernel
        })
        .collect();
    assert_eq!(refused, BTreeSet::from(["fma-peak", "gemm"]));
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
    hopper_answers(false);
}

#[test]
fn every_dense_product_for_hopper_gives_the_answer_of_its_definition() {
    hopper_answers(true);
}

/// The programs for Hopper, dense products or the others.
fn hopper_answers(products: bool) {
    let Some(emulator) = emulator("arithmetic of the CUDA programs for Hopper") else { return };
    let own = |case: &Small| (Group::of(case.kernel) == Group::Products) == products;
    answers(&emulator, cases().into_iter().chain(cases::hopper()).filter(own).collect(), hopper_program);
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

/// Pairs of products that a probe of tiles adds here: an eighth of an iteration, which would take seconds.
const PAIRS: u32 = 32;

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
    if operands.iter().any(|array| array.name == "a") {
        program.steps[0].arguments = vec![Argument::U32(PAIRS)];
    }
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
    let tile = |i: usize| 8.0 * (from[i % 128] + f64::from(PAIRS) * pair(i % 128 / 8, i % 8));
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
fn probes_of_bandwidth_move_every_word() {
    let Some(emulator) = emulator("probes of bandwidth") else { return };
    for case in ceilings().iter().filter(|c| c.kernel != "fma-peak") {
        let program = program(case);
        let mut judge = Judge::new(kernels::find(case.kernel).unwrap(), &case.planned(), 11).unwrap();
        let operands = judge.take_operands();
        let answer = emulator.run(&program, &operands, 1, str::to_owned).unwrap();
        assert!(judge.check(&answer).passed(), "{case:?}");
        let bytes = case.params.integer("bytes").unwrap();
        // The words behind the last vector, where there are any; and one vector in place of several under way.
        let (right, wrong, rest) = match case.kernel {
            "read-bandwidth" => ("words % 2 != 0", "words % 2 == 0", bytes / 8 % 2 == 1),
            _ => ("first < words % 4", "first + 1 < words % 4", bytes / 8 % 4 != 0),
        };
        let lost = |right: &str, wrong: &str| emulator.run(&program, &operands, 1, |text| text.replace(right, wrong));
        assert!(!rest || !judge.check(&lost(right, wrong).unwrap()).passed(), "{case:?}: a lost word was not noticed");
        let several = if case.kernel == "copy" { 300_000 } else { 8 * 4096 };
        let answer = lost(" + i + u * stride)", " + i)").unwrap();
        assert!(bytes < several || !judge.check(&answer).passed(), "{case:?}: lost vectors were not noticed");
    }
}
