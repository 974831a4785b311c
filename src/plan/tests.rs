use super::*;
use crate::suite::sample::catalog;
use proptest::prelude::*;
use std::collections::HashSet;
use std::path::Path;

const SMALL: Capacity = Capacity {
    usable_cpus: 2,
    cores: 2,
    available_memory: None,
    last_level_cache: None,
    caches: Vec::new(),
    devices: Devices { found: Vec::new(), missing: Vec::new(), allow_software: false },
};

fn suite(cases: &str) -> Suite {
    let text = format!("version: 1\nsuite: test\ncases:\n{cases}");
    Suite::parse(Path::new("test.yaml"), &text, &catalog()).unwrap_or_else(|e| panic!("{e}"))
}

fn memory(gib: f64) -> Option<Bytes> {
    Bytes::new(gib * 1024.0 * 1024.0 * 1024.0).ok()
}

fn planned(plan: &Plan) -> Vec<&str> {
    plan.cases.iter().map(|c| c.id.as_str()).collect()
}

#[test]
fn probes_come_first_one_for_each_type_and_thread_count_in_use() {
    let suite = suite(
        "  - kernel: gemm\n    matrix: {shape: 64x64x64, dtype: [f32, f64], threads: [1, all]}\n    exclude: {dtype: f64, threads: 1}\n",
    );
    let plan = build(&suite, &SMALL, &catalog());
    assert_eq!(
        planned(&plan),
        [
            "fma-peak-f32-t1",
            "fma-peak-f32-t-all",
            "fma-peak-f64-t-all",
            "read-bandwidth-f32-bytes256MiB-t1",
            "read-bandwidth-f32-bytes256MiB-t-all",
            "gemm-f32-m64-n64-k64-t1",
            "gemm-f32-m64-n64-k64-t-all",
            "gemm-f64-m64-n64-k64-t-all",
        ]
    );
    let counts: Vec<Threads> = plan.cases.iter().map(|c| c.threads).collect();
    assert_eq!(counts[1], Threads::Count(2));
    assert!(counts.iter().all(|t| matches!(t, Threads::Count(1 | 2))));
}

#[test]
fn too_many_threads_are_skipped_with_the_remedy() {
    let plan = build(&suite("  - {kernel: gemm, matrix: {shape: 8x8x8, threads: [2, 3]}}\n"), &SMALL, &catalog());
    assert_eq!(plan.skips.len(), 1);
    assert_eq!(plan.skips[0].case.id, "gemm-f32-m8-n8-k8-t3");
    assert_eq!(plan.skips[0].reason, "it needs 3 threads, 2 CPUs are usable: write `threads: all`, or allow more CPUs");
}

#[test]
fn words_that_come_to_the_same_count_run_once() {
    let cases = suite("  - {kernel: gemm, matrix: {shape: 8x8x8, threads: [cores, all, 2]}}\n");
    let plan = build(&cases, &SMALL, &catalog());
    assert_eq!(planned(&plan).last(), Some(&"gemm-f32-m8-n8-k8-t-cores"));
    let reasons: Vec<&str> = plan.skips.iter().map(|s| s.reason.as_str()).collect();
    assert_eq!(reasons, ["the same as `gemm-f32-m8-n8-k8-t-cores` on this machine: both come to 2 threads"; 2]);
    let smt = Capacity { usable_cpus: 4, ..SMALL };
    assert_eq!(build(&cases, &smt, &catalog()).skips.len(), 1);
}

#[test]
fn what_does_not_fit_memory_is_skipped_unless_memory_is_unknown() {
    let cases = suite("  - {kernel: triad, matrix: {bytes: [64 MiB, 2 GiB], threads: 1}}\n");
    let plan = build(&cases, &Capacity { available_memory: memory(2.0), ..SMALL }, &catalog());
    assert_eq!(plan.skips.len(), 1);
    assert!(plan.skips[0].reason.starts_with("it needs 2.0 GiB, more than 80 % of the 2.0 GiB available"));
    assert!(build(&cases, &SMALL, &catalog()).skips.is_empty());
    // The probe's own buffer must fit too, and its absence is said.
    let plan = build(&cases, &Capacity { available_memory: memory(0.25), ..SMALL }, &catalog());
    assert!(plan.skips.iter().any(|s| s.case.kernel == "read-bandwidth"));
}

#[test]
fn footprints_in_cache_are_probed_at_powers_of_two_and_four_at_most() {
    let cache = Capacity { last_level_cache: Bytes::new(24.0 * 1_048_576.0).ok(), ..SMALL };
    let sizes = |cases: &str| -> Vec<String> {
        let plan = build(&suite(cases), &cache, &catalog());
        let probes = plan.cases.into_iter().filter(|c| c.kernel == "read-bandwidth");
        probes.map(|c| c.id.replace("read-bandwidth-f32-bytes", "").replace("-t1", "")).collect()
    };
    // 20 MiB would round to 32 MiB, beyond the 24 MiB cache; 64 MiB is main memory. No probe is
    // smaller than its case, or the analysis would compare the case with main memory.
    assert_eq!(
        sizes("  - {kernel: triad, matrix: {bytes: [100 KiB, 20 MiB, 64 MiB], threads: 1}}\n"),
        ["128KiB", "20MiB", "256MiB"]
    );
    let many = "  - {kernel: triad, matrix: {bytes: [32 KiB, 64 KiB, 128 KiB, 256 KiB, 512 KiB, 1 MiB, 2 MiB, 4 MiB], threads: 1}}\n";
    assert_eq!(sizes(many), ["32KiB", "128KiB", "512KiB", "4MiB", "256MiB"]);
}

#[test]
fn nothing_runnable_needs_no_probe() {
    let plan = build(&suite("  - {kernel: gemm, with: {shape: 8x8x8, threads: 64}}\n"), &SMALL, &catalog());
    assert!(plan.cases.is_empty());
    assert_eq!(plan.skips.len(), 1);
}

#[test]
fn a_kernel_that_this_build_lacks_is_skipped() {
    let plan = build(&suite("  - {kernel: gemm, with: {shape: 8x8x8}}\n"), &SMALL, &Catalog::new(Vec::new()));
    assert!(plan.skips[0].reason.contains("no kernel `gemm`"));
}

#[test]
fn the_quick_suite_takes_less_than_a_minute_on_two_cores() {
    let text = include_str!("../../suites/quick.yaml");
    let quick = Suite::parse(Path::new("quick.yaml"), text, &catalog()).unwrap();
    let host = Capacity { available_memory: memory(8.0), last_level_cache: memory(32.0 / 1024.0), ..SMALL };
    let plan = build(&quick, &host, &catalog());
    assert!(plan.skips.is_empty());
    assert!((15.0..45.0).contains(&plan.estimate.get()), "{:?}", plan.estimate);
    assert_eq!(plan.cases.iter().filter(|c| c.kernel == "fma-peak").count(), 4);
}

fn spec() -> impl Strategy<Value = (String, Capacity)> {
    let threads = prop::sample::subsequence(vec!["1", "2", "3", "8", "cores", "all"], 1..6);
    let sizes = prop::sample::subsequence(vec!["16 KiB", "64 KiB", "1 MiB", "9 MiB", "64 MiB", "3 GiB"], 1..6);
    let dtypes = prop::sample::subsequence(vec!["f32", "f64"], 1..3);
    let host = (1u32..9, 1u32..9, prop::option::of(0.01f64..64.0), prop::option::of(0.001f64..0.1));
    (threads, sizes, dtypes, host).prop_map(|(threads, sizes, dtypes, (cpus, cores, free, cache))| {
        let (threads, sizes, dtypes) = (threads.join(", "), sizes.join(", "), dtypes.join(", "));
        let text =
            format!("  - {{kernel: triad, matrix: {{bytes: [{sizes}], dtype: [{dtypes}], threads: [{threads}]}}}}\n");
        let capacity = Capacity {
            usable_cpus: cpus,
            cores: cores.min(cpus),
            available_memory: free.and_then(memory),
            last_level_cache: cache.and_then(memory),
            caches: Vec::new(),
            devices: Devices::default(),
        };
        (text, capacity)
    })
}

proptest! {
    /// No case is lost or doubled, everything planned can run, every ceiling that exists is probed.
    #[test]
    fn plans_are_complete_and_runnable((text, host) in spec()) {
        let suite = suite(&text);
        let plan = build(&suite, &host, &catalog());
        let workloads = || plan.cases.iter().filter(|c| c.kernel == "triad");
        for case in &suite.cases {
            let runs = workloads().filter(|c| c.id == case.id).count();
            let skipped = plan.skips.iter().filter(|s| s.case.id == case.id).count();
            prop_assert_eq!(runs + skipped, 1, "{}", case.id);
        }
        let ids: HashSet<&str> = plan.cases.iter().map(|c| c.id.as_str()).collect();
        prop_assert_eq!(ids.len(), plan.cases.len());
        let first = plan.cases.iter().position(|c| c.kernel == "triad").unwrap_or(plan.cases.len());
        prop_assert!(plan.cases[first..].iter().all(|c| c.kernel == "triad"));
        let mut work = HashSet::new();
        for case in &plan.cases {
            let Threads::Count(n) = case.threads else { panic!("{} has no count", case.id) };
            prop_assert!(n >= 1 && n <= host.usable_cpus);
            let footprint = catalog().find(&case.kernel).unwrap().work(&case.params).unwrap().footprint;
            prop_assert!(host.available_memory.is_none_or(|m| footprint.get() <= 0.8 * m.get()));
            prop_assert!(work.insert(identity(case, &case.params, n)), "{} twice", case.id);
        }
        for case in workloads() {
            let peak = |c: &&Case| c.kernel == "fma-peak" && c.threads == case.threads && c.params.dtype == case.params.dtype;
            prop_assert!(plan.cases.iter().any(|c| peak(&c)));
        }
        prop_assert!(plan.skips.iter().all(|s| !s.reason.is_empty()));
        let idle = suite.profile.idle.get() * 2.0;
        let windows = workloads().count() as f64 * 5.0 * 0.15;
        prop_assert!(plan.estimate.get() >= idle + windows);
    }
}

/// A device of this id that runs `gemm` in single precision by a library.
fn device(id: &str, gib: Option<f64>) -> PlannedDevice {
    use crate::kernels::{Api, Cooperative, Dtype, Library, Limits, Target};
    let id = DeviceId(id.to_owned());
    let limits = Limits {
        shared_bytes: 16 << 10,
        block_threads: 256,
        grid: [65_535; 3],
        buffer_bytes: 1 << 30,
        buffers: 8,
        subgroup: None,
        half: false,
        cooperative: Cooperative::default(),
        capability: None,
        multiprocessors: None,
    };
    let library = Library { kernel: "gemm", dtype: Dtype::F32, path: "a-library", missing: None };
    PlannedDevice {
        name: format!("card {id}"),
        memory: gib.and_then(memory),
        cache: None,
        target: Target { api: id.api().unwrap_or(Api::Wgsl), limits, libraries: vec![library] },
        software: id.0.ends_with("software"),
        emulated: id.0.ends_with("software"),
        refused: None,
        id,
    }
}

fn with(found: Vec<PlannedDevice>) -> Capacity {
    let missing = vec![("cuda".to_owned(), "libcuda.so.1 was not found".to_owned())];
    Capacity { devices: Devices { found, missing, allow_software: false }, ..SMALL }
}

fn on(devices: &str, shape: &str) -> Suite {
    suite(&format!("  - {{kernel: gemm, devices: {devices}, with: {{shape: {shape}, threads: 1}}}}\n"))
}

#[test]
fn a_case_runs_once_on_every_device_that_it_means() {
    let host = with(vec![device("wgpu:0", None), device("wgpu:1", None), device("wgpu:software", None)]);
    let asked = on("[cpu, 'wgpu:*', 'wgpu:1', 'cuda:*']", "8x8x8");
    let plan = build(&asked, &host, &catalog());
    let workloads: Vec<&str> = planned(&plan).into_iter().filter(|id| id.starts_with("gemm")).collect();
    let expected = ["gemm-f32-m8-n8-k8-t1", "gemm-f32-m8-n8-k8-wgpu0", "gemm-f32-m8-n8-k8-wgpu1"];
    assert_eq!(workloads, expected);
    assert_eq!(plan.skips.len(), 1, "{:?}", plan.skips);
    assert_eq!(plan.skips[0].case.id, "gemm-f32-m8-n8-k8-cuda");
    assert_eq!(plan.skips[0].reason, "there is no cuda device: libcuda.so.1 was not found");
    let places: HashSet<String> = plan.cases.iter().map(|c| c.device.0.clone()).collect();
    assert_eq!(places.len(), 3);
    // Probes of the processor are for its own cases.
    assert!(plan.cases.iter().filter(|c| c.kernel == "fma-peak").all(|c| c.device.is_cpu()));
}

#[test]
fn a_device_that_is_refused_is_a_skip_with_the_reason_and_the_others_go_on() {
    let mut host = with(vec![device("wgpu:0", None), device("wgpu:1", None)]);
    host.devices.found[0].refused = Some("two boards answer for it".to_owned());
    let plan = build(&on("'wgpu:*'", "8x8x8"), &host, &catalog());
    assert_eq!(planned(&plan), ["gemm-f32-m8-n8-k8-wgpu1"]);
    let skips: Vec<_> = plan.skips.iter().map(|s| (s.case.id.as_str(), s.reason.as_str())).collect();
    assert_eq!(skips, [("gemm-f32-m8-n8-k8-wgpu0", "two boards answer for it")]);
}

#[test]
fn a_card_has_probes_of_arithmetic_reading_and_copying_far_beyond_its_cache() {
    let cases = "  - {kernel: triad, devices: 'cuda:*', with: {bytes: 64 MiB}}\n";
    let text = format!("version: 1\nsuite: test\ncases:\n{cases}");
    let asked = Suite::parse(Path::new("test.yaml"), &text, &Catalog::builtin()).unwrap();
    let card = |emulated| PlannedDevice { cache: memory(50.0 / 1024.0), emulated, ..device("cuda:0", Some(100.0)) };
    let plan = build(&asked, &with(vec![card(false)]), &Catalog::builtin());
    let expected = [
        "fma-peak-f32-cuda0",
        "read-bandwidth-f32-bytes400MiB-cuda0",
        "copy-f32-bytes400MiB-cuda0",
        "triad-f32-bytes64MiB-cuda0",
    ];
    assert_eq!(planned(&plan), expected);
    // The processor computes for it: what it copies says nothing of a card.
    assert_eq!(planned(&build(&asked, &with(vec![card(true)]), &Catalog::builtin())), expected[3..]);
    // No plan of the processor has a copy probe.
    let here = text.replace("'cuda:*'", "cpu");
    let here = Suite::parse(Path::new("test.yaml"), &here, &Catalog::builtin()).unwrap();
    assert!(build(&here, &SMALL, &Catalog::builtin()).cases.iter().all(|c| c.kernel != "copy"));
}

#[test]
fn software_is_a_device_only_where_it_is_named_or_allowed() {
    let mut host = with(vec![device("wgpu:software", None)]);
    let any = build(&on("'wgpu:*'", "8x8x8"), &host, &catalog());
    assert!(any.cases.is_empty());
    assert!(any.skips[0].reason.contains("--allow-software"), "{}", any.skips[0].reason);
    let named = build(&on("'wgpu:software'", "8x8x8"), &host, &catalog());
    assert_eq!(planned(&named), ["gemm-f32-m8-n8-k8-wgpu-software"]);
    host.devices.allow_software = true;
    assert_eq!(planned(&build(&on("'wgpu:*'", "8x8x8"), &host, &catalog())), planned(&named));
    let missing = build(&on("'wgpu:3'", "8x8x8"), &host, &catalog());
    assert_eq!(missing.skips[0].reason, "there is no device `wgpu:3` here; there is wgpu:software");
}

#[test]
fn what_a_device_cannot_hold_or_compute_is_skipped_with_numbers() {
    // A library may ask for 64 MiB besides the operands.
    let host = with(vec![device("wgpu:0", Some(0.08))]);
    let plan = build(&on("'wgpu:0'", "512x512x512"), &host, &catalog());
    let reason = &plan.skips[0].reason;
    assert!(
        reason.starts_with("it needs 67.0 MiB on wgpu:0 (card wgpu:0), more than 80 % of the 81.9 MiB free"),
        "{reason}"
    );
    assert!(build(&on("'wgpu:0'", "64x64x64"), &host, &catalog()).skips.is_empty());
    let cases = suite("  - {kernel: triad, devices: 'wgpu:0', with: {bytes: 64 KiB}}\n");
    let reason = build(&cases, &host, &catalog()).skips.remove(0).reason;
    assert_eq!(
        reason,
        "triad in f32 on wgpu:0 (card wgpu:0): it has no program for this kind of device and element type"
    );
}

#[test]
fn probes_are_kept_for_the_devices_of_the_cases_that_are() {
    let host = with(vec![device("wgpu:0", None)]);
    let mut plan = build(&on("[cpu, 'wgpu:0']", "8x8x8"), &host, &catalog());
    plan.retain(&catalog(), |id| id.ends_with("wgpu0"));
    assert_eq!(planned(&plan), ["gemm-f32-m8-n8-k8-wgpu0"]);
}

/// Caches of 24 MiB for one thread and 26 MiB for two.
fn with_caches() -> Capacity {
    let caches = [24.0, 26.0].map(|mib| Bytes::new(mib * 1_048_576.0).unwrap());
    Capacity { caches: caches.into(), last_level_cache: Some(caches[0]), ..SMALL }
}

fn copies(plan: &Plan) -> Vec<(&str, Option<u32>)> {
    plan.cases.iter().filter(|c| c.kernel == "triad").map(|c| (c.id.as_str(), c.cache.copies())).collect()
}

#[test]
fn copies_of_a_cold_case_go_through_twice_the_caches_besides_its_own() {
    let cases =
        suite("  - {kernel: triad, matrix: {bytes: [1 MiB, 3 MiB, 64 MiB], cache: [warm, cold], threads: [1, 2]}}\n");
    let plan = build(&cases, &with_caches(), &catalog());
    assert_eq!(
        copies(&plan),
        [
            ("triad-f32-bytes1MiB-t1", Some(1)),
            ("triad-f32-bytes1MiB-t2", Some(1)),
            // 48 MiB and its own; 52 MiB and its own.
            ("triad-f32-bytes1MiB-cold-t1", Some(49)),
            ("triad-f32-bytes1MiB-cold-t2", Some(53)),
            ("triad-f32-bytes3MiB-t1", Some(1)),
            ("triad-f32-bytes3MiB-t2", Some(1)),
            ("triad-f32-bytes3MiB-cold-t1", Some(17)),
            ("triad-f32-bytes3MiB-cold-t2", Some(19)),
            ("triad-f32-bytes64MiB-t1", Some(1)),
            ("triad-f32-bytes64MiB-t2", Some(1)),
            ("triad-f32-bytes64MiB-cold-t1", Some(2)),
            ("triad-f32-bytes64MiB-cold-t2", Some(2)),
        ]
    );
    assert!(plan.skips.is_empty(), "{:?}", plan.skips);
    // A cold case reads memory: no probe of a cache is for it.
    let cold = suite("  - {kernel: triad, with: {bytes: 1 MiB, cache: cold, threads: 1}}\n");
    let probes = build(&cold, &with_caches(), &catalog());
    assert_eq!(planned(&probes)[..2], ["fma-peak-f32-t1", "read-bandwidth-f32-bytes256MiB-t1"]);
    assert_eq!(probes.cases.len(), 3);
}

#[test]
fn what_cannot_be_cold_is_skipped_with_numbers() {
    let reason = |cases: &str, capacity: &Capacity| build(&suite(cases), capacity, &catalog()).skips.remove(0).reason;
    let small = "  - {kernel: triad, with: {bytes: 16 KiB, cache: cold, threads: 1}}\n";
    // 2·24 MiB / 16 KiB = 3,072 others are allowed, in a cache of twice the size they are not.
    assert!(build(&suite(small), &with_caches(), &catalog()).skips.is_empty());
    let twice = Capacity { caches: vec![Bytes::new(48.0 * 1_048_576.0).unwrap()], ..SMALL };
    assert_eq!(
        reason(small, &twice),
        "an iteration touches 16.0 KiB, so 6145 copies would have to take turns until 2 times the 48.0 MiB of the caches \
         went by, more than 4096: use a larger shape, or `cache: warm`"
    );
    assert!(reason(small, &SMALL).starts_with("the caches of this processor are unknown"));
    let full = Capacity { available_memory: memory(1.0 / 32.0), ..with_caches() };
    let some = "  - {kernel: triad, with: {bytes: 1 MiB, cache: cold, threads: 1}}\n";
    assert_eq!(
        reason(some, &full),
        "its 49 copies need 49.0 MiB, more than 80 % of the 32.0 MiB free there: use a smaller shape, or `cache: warm`"
    );
}

#[test]
fn a_cold_case_of_a_card_rotates_past_the_cache_of_the_card() {
    let cases = suite("  - {kernel: gemm, devices: 'wgpu:*', with: {shape: 512x512x512, cache: cold}}\n");
    let cold = |cache: Option<f64>, free| {
        let card = PlannedDevice { cache: cache.and_then(|mib| memory(mib / 1024.0)), ..device("wgpu:0", free) };
        build(&cases, &with(vec![card]), &catalog())
    };
    // Three matrices of 1 MiB; 2·50 MiB are 33.3 of them.
    let known = cold(Some(50.0), None);
    assert_eq!(known.cases[0].id, "gemm-f32-m512-n512-k512-cold-wgpu0");
    assert_eq!(known.cases[0].cache.copies(), Some(35));
    // Nobody tells: as much as the largest that is known, 256 MiB.
    assert_eq!(cold(None, None).cases[0].cache.copies(), Some(172));
    let refused = cold(Some(50.0), Some(0.1)).skips.remove(0).reason;
    assert!(refused.starts_with("its 35 copies need 2.3 GiB on wgpu:0 (card wgpu:0), more than 80 %"), "{refused}");
    let bytes = device_bytes(&known.cases[0], &device("wgpu:0", None), &catalog()).unwrap();
    // Each copy has room for the workspace of a library, 64 MiB.
    assert_eq!(Some(bytes), Bytes::new(35.0 * (3.0 + 64.0) * 1_048_576.0).ok());
}

#[test]
fn a_case_runs_by_the_program_that_it_asks_for_or_says_why_not() {
    use crate::kernels::{Chosen, Dtype, NoProgram, ParamValue, Params, find};
    let card = device("wgpu:0", None);
    let gemm = find("gemm").unwrap();
    let sizes = ["m", "n", "k"].map(|name| (name.to_owned(), ParamValue::Integer(8)));
    let params = |dtype, choice: Option<&str>| {
        let word = choice.map(|word| ("program".to_owned(), ParamValue::Word(word.to_owned())));
        Params { dtype, values: sizes.clone().into_iter().chain(word).collect() }
    };
    let chosen = |dtype, choice| card.target.choose(gemm, &params(dtype, choice));
    assert!(matches!(chosen(Dtype::F32, None), Ok(Chosen::Library(library)) if library.path == "a-library"));
    assert!(matches!(chosen(Dtype::F32, Some("library")), Ok(Chosen::Library(_))));
    assert!(matches!(chosen(Dtype::F32, Some("own")), Ok(Chosen::Own(program)) if program.path.starts_with("wgsl")));
    assert_eq!(chosen(Dtype::F64, None), Err(NoProgram::Unwritten));
    let words = chosen(Dtype::F64, Some("library")).unwrap_err().to_string();
    assert!(words.contains("write `program: own`"), "{words}");
    // A library that is there and of no use: its reason, and the own program where nothing was asked for.
    let mut unfit = device("wgpu:0", None);
    unfit.target.libraries[0].missing = Some("it is too old".to_owned());
    let chosen = |choice| unfit.target.choose(gemm, &params(Dtype::F32, choice));
    assert_eq!(chosen(Some("library")).unwrap_err().to_string(), "a-library: it is too old");
    assert!(matches!(chosen(None), Ok(Chosen::Own(_))));
}

#[test]
fn the_processor_has_no_library() {
    let cases = suite("  - {kernel: gemm, with: {shape: 8x8x8, threads: 1, program: library}}\n");
    let plan = build(&cases, &with(Vec::new()), &catalog());
    assert!(plan.skips[0].reason.contains("write `program: own`"), "{:?}", plan.skips);
    let cases = suite("  - {kernel: gemm, with: {shape: 8x8x8, threads: 1, program: own}}\n");
    assert!(planned(&build(&cases, &with(Vec::new()), &catalog())).contains(&"gemm-f32-m8-n8-k8-own-t1"));
}
