//! Every WGSL program as text: valid for what adapters may offer, and in need of just what its launch says, so that the plan
//! can compare it with an adapter's limits. No adapter is needed.

use super::tests::params;
use crate::kernels::{Api, Cooperative, DeviceProgram, Dtype, Launch, Limits, NoProgram, ParamValue, Params, Target};
use crate::kernels::{REGISTRY, every, find};
use std::collections::BTreeSet;
use wgpu::naga::proc::Layouter;
use wgpu::naga::valid::{Capabilities, ValidationFlags, Validator};
use wgpu::naga::{AddressSpace, back::pipeline_constants::process_overrides, front::wgsl};

/// A card with much of everything.
const CARD: Limits = Limits {
    shared_bytes: 48 << 10,
    block_threads: 1024,
    grid: [65_535; 3],
    buffer_bytes: 4 << 30,
    buffers: 16,
    subgroup: None,
    half: true,
    cooperative: Cooperative { half: None, single: None },
    capability: None,
    multiprocessors: None,
};

/// Cards that are given different programs.
fn cards() -> Vec<Target> {
    let mut cards = Vec::new();
    for subgroup in [None, Some((8, 8)), Some((32, 32)), Some((32, 64))] {
        for side in [None, Some(8), Some(16)] {
            let cooperative = Cooperative { half: side, single: side };
            let limits = Limits { subgroup, cooperative, ..CARD };
            cards.push(Target { api: Api::Wgsl, limits, libraries: Vec::new() });
        }
    }
    cards
}

/// `m=64 mask=dense` as parameters.
fn case(dtype: Dtype, text: &str) -> Params {
    let value = |text: &str| match (text.parse::<u64>(), text.parse::<f64>()) {
        (Ok(whole), _) => ParamValue::Integer(whole),
        (_, Ok(real)) => ParamValue::Real(real),
        _ => ParamValue::Word(text.to_owned()),
    };
    let pairs: Vec<(&str, &str)> = text.split_whitespace().filter_map(|word| word.split_once('=')).collect();
    params(dtype, &pairs.iter().map(|(name, text)| (*name, value(text))).collect::<Vec<_>>())
}

/// A case for every program there is.
const CASES: &[(&str, &str)] = &[
    ("gemm", "m=64 n=64 k=64"),
    ("gemm", "m=65 n=63 k=31"),
    ("gemm", "m=2048 n=2048 k=64"),
    ("gemm", "m=2047 n=2047 k=63"),
    ("spmv-csr", "m=100 k=100 density=0.01"),
    ("spmv-csr", "m=100 k=1000 density=0.1"),
    ("spmv-csr", "m=100 k=1000 density=0.5"),
    ("spmm-csr", "m=64 k=64 n=64 density=0.1"),
    ("spmm-csr", "m=64 k=64 n=63 density=0.1"),
    ("spmm-bsr", "m=64 k=64 n=64 block=16 density=0.5"),
    ("spmm-bsr", "m=64 k=64 n=63 block=32 density=0.5"),
    ("attention", "heads=2 seq=64 dim=32 mask=dense"),
    ("attention", "heads=2 seq=64 dim=64 mask=causal"),
    ("attention-window", "heads=2 seq=64 dim=128 window=9"),
    ("attention-window", "heads=2 seq=64 dim=256 window=9"),
    ("triad", "bytes=12000"),
    ("triad", "bytes=12012"),
    ("copy", "bytes=80000"),
    ("copy", "bytes=80008"),
    ("read-bandwidth", "bytes=80000"),
    ("fma-peak", ""),
];

/// Every program of every card, with what it is.
fn programs() -> Vec<(String, Target, DeviceProgram)> {
    let mut all = Vec::new();
    for target in cards() {
        for (kernel, text) in CASES {
            for dtype in [Dtype::F32, Dtype::F16] {
                let kernel = find(kernel).unwrap();
                if kernel.info().dtypes.contains(&dtype)
                    && let Ok(program) = kernel.device_program(&case(dtype, text), &target)
                {
                    let what = format!("{} {dtype} {text} ({})", kernel.info().id, program.path);
                    all.push((what, target.clone(), program));
                }
            }
        }
    }
    all
}

/// What the text of a launch takes: shared bytes, threads in each direction, storage buffers, and bytes of its uniform.
fn takes(launch: &Launch) -> (u32, [u32; 3], usize, u32) {
    let module = wgsl::parse_str(launch.source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(launch.source)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).unwrap();
    let constants = launch.constants.iter().map(|(name, n)| ((*name).to_owned(), f64::from(*n))).collect();
    let (module, _) = process_overrides(&module, &info, None, &constants).unwrap();
    let mut layouter = Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let bytes = |space: AddressSpace| {
        let of = module.global_variables.iter().filter(|(_, v)| v.space == space);
        of.map(|(_, v)| layouter[v.ty].size).sum::<u32>()
    };
    let storage = |v: &wgpu::naga::GlobalVariable| matches!(v.space, AddressSpace::Storage { .. });
    let entry = module.entry_points.iter().find(|e| e.name == launch.entry).unwrap();
    (
        bytes(AddressSpace::WorkGroup),
        entry.workgroup_size,
        module.global_variables.iter().filter(|(_, v)| storage(v)).count(),
        bytes(AddressSpace::Uniform),
    )
}

#[test]
fn every_text_is_valid_and_takes_what_its_launch_says() {
    let mut seen = BTreeSet::new();
    for (what, target, program) in programs() {
        assert_eq!(program.beyond(&target.limits), None, "{what}");
        for step in &program.steps {
            if seen.insert((step.source, format!("{:?}", step.constants))) {
                let (shared, threads, buffers, uniform) = takes(step);
                assert_eq!(shared, step.shared, "{what}: shared memory");
                assert_eq!(threads, step.block, "{what}: threads of a group");
                assert_eq!(buffers, step.buffers.len(), "{what}: buffers");
                assert_eq!(uniform, 4 * step.arguments.len() as u32, "{what}: arguments");
            }
        }
    }
    // Two sources a tile and type, cooperative ones with several sizes of groups, and the rest.
    assert!(seen.len() >= 40, "{} texts", seen.len());
}

#[test]
fn every_kernel_with_a_program_is_among_the_cases() {
    let target = &cards()[0];
    for kernel in REGISTRY {
        let id = kernel.info().id;
        let listed = CASES.iter().find(|(listed, _)| *listed == id);
        if let Some((_, text)) = listed {
            assert!(kernel.device_program(&case(Dtype::F32, text), target).is_ok(), "{id}");
        } else {
            // A case that is none would be refused as well, whatever there is.
            let text = every::first(id);
            for dtype in kernel.info().dtypes {
                let answer = kernel.device_program(&case(*dtype, text), target);
                assert!(matches!(answer, Err(NoProgram::Unwritten)), "{id} {dtype}: {answer:?}");
            }
        }
    }
}

#[test]
fn what_an_adapter_lacks_is_a_reason_with_numbers_for_every_program() {
    for (what, target, program) in programs() {
        let beyond = |change: &dyn Fn(&mut Limits)| {
            let mut limits = target.limits;
            change(&mut limits);
            program.beyond(&limits)
        };
        let step = &program.steps[0];
        let largest = program.buffers.iter().map(crate::kernels::DeviceBuffer::bytes).max().unwrap();
        let why = beyond(&|l| l.buffer_bytes = largest - 1).unwrap();
        assert!(
            why.contains(&format!("{largest} bytes")) && why.contains(&format!("{} at most", largest - 1)),
            "{what}: {why}"
        );
        let threads: u32 = step.block.iter().product();
        let why = beyond(&|l| l.block_threads = threads - 1).unwrap();
        assert!(why.contains(&format!("{threads} threads")), "{what}: {why}");
        let why = beyond(&|l| l.buffers = step.buffers.len() as u32 - 1).unwrap();
        assert!(why.contains("buffers at once"), "{what}: {why}");
        let groups = *step.grid.iter().max().unwrap();
        let why = beyond(&|l| l.grid = [groups - 1; 3]).unwrap();
        assert!(why.contains(&format!("{groups} groups")), "{what}: {why}");
        let shared = beyond(&|l| l.shared_bytes = step.shared.saturating_sub(1));
        assert_eq!(shared.is_some(), step.shared > 0, "{what}: {shared:?}");
    }
}

#[test]
fn shapes_at_the_edge_of_what_programs_count_are_reasons_and_not_other_shapes() {
    let target = &cards()[0];
    // 2^32 elements in one matrix, in a direction of the launch that no card has, and in numbers that do not fit 32 bits.
    let wide = [
        ("gemm", "m=65536 n=65536 k=1"),
        ("gemm", "m=1 n=1 k=4294967296"),
        ("gemm", "m=16777216 n=1 k=1"),
        ("spmv-csr", "m=4294967296 k=1 density=1"),
        ("spmm-csr", "m=65536 k=1 n=65536 density=1"),
        ("spmm-csr", "m=1 k=1 n=268435456 density=1"),
        ("spmm-bsr", "m=2097152 k=16 n=1 block=16 density=1"),
        ("attention", "heads=65536 seq=1 dim=8 mask=dense"),
        ("attention", "heads=65536 seq=8192 dim=8 mask=dense"),
        ("triad", "bytes=206158430208"),
        ("copy", "bytes=137438953472"),
        ("read-bandwidth", "bytes=34359738368"),
    ];
    for (kernel, text) in wide {
        let limits = Limits { buffer_bytes: u64::MAX, ..target.limits };
        let program = find(kernel).unwrap().device_program(&case(Dtype::F32, text), target);
        let refused = program.as_ref().map_or(true, |p| p.beyond(&limits).is_some());
        assert!(refused, "{kernel} {text}: {program:?}");
    }
}
