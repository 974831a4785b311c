//! Where cases run.

use super::*;
use crate::suite::DeviceId;

fn found(text: &str) -> Vec<(String, Threads, String)> {
    let suite = parse(text).unwrap_or_else(|e| panic!("{e}"));
    suite.cases.into_iter().map(|c| (c.id, c.threads, c.device.0)).collect()
}

#[test]
fn a_suite_without_devices_runs_on_the_processor_as_ever() {
    let plain = found(&with_cases("  - kernel: gemm\n    with: {shape: 8x8x8}\n"));
    assert_eq!(plain, [("gemm-f32-m8-n8-k8-t-all".to_owned(), Threads::All, "cpu".to_owned())]);
    let named = found(&format!("version: 1\nsuite: test\ndevices: cpu\ncases:\n{GEMM}"));
    assert_eq!(named, plain);
    // Older readers, and records made by them, know no device.
    let case = &cases("  - kernel: gemm\n    with: {shape: 8x8x8}\n")[0];
    let json = serde_json::to_value(case).unwrap();
    assert!(json.get("device").is_none(), "{json}");
    assert_eq!(serde_json::from_value::<Case>(json).unwrap(), *case);
}

#[test]
fn each_device_has_its_own_case_and_threads_are_the_processors() {
    let text = "version: 1\nsuite: test\ndevices: [cpu, 'wgpu:*', 'cuda:1']\ncases:\n  \
        - {kernel: gemm, matrix: {shape: 8x8x8, threads: [1, all]}}\n  \
        - {kernel: triad, label: mine, with: {bytes: 64 KiB}, devices: wgpu:software}\n";
    let rows: Vec<(String, String)> = found(text).into_iter().map(|(id, _, device)| (id, device)).collect();
    let expected = [
        ("gemm-f32-m8-n8-k8-t1", "cpu"),
        ("gemm-f32-m8-n8-k8-wgpu", "wgpu:*"),
        ("gemm-f32-m8-n8-k8-cuda1", "cuda:1"),
        ("gemm-f32-m8-n8-k8-t-all", "cpu"),
        ("mine.triad-f32-bytes64KiB-wgpu-software", "wgpu:software"),
    ];
    assert_eq!(rows, expected.map(|(id, device)| (id.to_owned(), device.to_owned())));
    assert!(found(text).iter().all(|(_, threads, device)| device == "cpu" || *threads == Threads::Count(1)));
    let of_all = parse(text).unwrap().cases.remove(1);
    let device = DeviceId("wgpu:software".to_owned());
    let planned = of_all.on(&device);
    assert_eq!(planned.id, "gemm-f32-m8-n8-k8-wgpu-software");
    assert!(of_all.plans_to(&planned) && !planned.plans_to(&of_all));
    assert!(!of_all.plans_to(&Case { device: DeviceId("cuda:0".to_owned()), ..planned }));
}

#[test]
fn wrong_devices_are_errors_at_their_place() {
    let text = format!("version: 1\nsuite: test\ndevices: [cpu, gpu, 'cuda:x', cpu]\ncases:\n{GEMM}");
    let found = errors(&text);
    assert_eq!(
        summary(&found),
        [
            (3, 16, "gpu", "`gpu` is no device"),
            (3, 21, "'cuda:x'", "`cuda:x` is no device"),
            (3, 31, "cpu", "device `cpu` is repeated"),
        ]
    );
    assert!(found.problems()[0].help.contains("did you mean `cpu`?"), "{}", found.problems()[0].help);
    assert!(found.problems()[1].help.contains("`cuda:*` for all of them"), "{}", found.problems()[1].help);
    let empty = errors(&with_cases("  - kernel: gemm\n    with: {shape: 8x8x8}\n    devices: []\n"));
    assert_eq!(empty.problems()[0].message, "the list of devices is empty");
    let inside = errors(&with_cases("  - kernel: gemm\n    with: {shape: 8x8x8, devices: cpu}\n"));
    assert!(inside.problems()[0].help.contains("beside `with`"), "{}", inside.problems()[0].help);
}

#[test]
fn the_same_case_of_two_entries_is_an_error_on_every_device() {
    let twice = "version: 1\nsuite: test\ndevices: 'wgpu:0'\ncases:\n  - {kernel: gemm, with: {shape: 8x8x8, threads: 1}}\n  \
        - {kernel: gemm, with: {shape: 8x8x8, threads: 2}}\n";
    assert!(errors(twice).problems()[0].message.contains("stands already in line 5"), "{}", errors(twice));
}

#[test]
fn a_program_is_chosen_by_a_word_that_stands_in_the_id() {
    let entry = "  - {kernel: gemm, devices: \"cuda:*\", matrix: {shape: 8x8x8, program: [library, own]}}\n";
    let ids: Vec<String> = cases(entry).into_iter().map(|c| c.id).collect();
    assert_eq!(ids, ["gemm-f32-m8-n8-k8-library-cuda", "gemm-f32-m8-n8-k8-own-cuda"]);
    let bare = "  - {kernel: gemm, devices: \"cuda:*\", with: {shape: 8x8x8}}\n";
    assert_eq!(cases(bare)[0].params.choice(), None);
    let text = errors(&with_cases("  - {kernel: gemm, with: {shape: 8x8x8, program: ours}}\n")).to_string();
    assert!(text.contains("`program`: `ours` is none of its words") && text.contains("library"), "{text}");
}
