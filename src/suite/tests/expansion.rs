use super::*;
use crate::kernels::{Dtype, ParamValue};
use crate::suite::CacheState;

#[test]
fn a_matrix_becomes_every_combination_in_the_order_of_the_file() {
    let found = ids(
        "  - kernel: gemm\n    matrix: { shape: [512x512x512, {m: 1024, n: 1024, k: 64}], dtype: [f32, f64], threads: [1, all] }\n",
    );
    assert_eq!(
        found,
        [
            "gemm-f32-m512-n512-k512-t1",
            "gemm-f32-m512-n512-k512-t-all",
            "gemm-f64-m512-n512-k512-t1",
            "gemm-f64-m512-n512-k512-t-all",
            "gemm-f32-m1024-n1024-k64-t1",
            "gemm-f32-m1024-n1024-k64-t-all",
            "gemm-f64-m1024-n1024-k64-t1",
            "gemm-f64-m1024-n1024-k64-t-all",
        ]
    );
}

#[test]
fn defaults_are_filled_in_and_scalars_stand_for_lists() {
    let found = cases("  - kernel: attention\n    matrix: { heads: 8, seq: [128, 256] }\n");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].id, "attention-f32-heads8-seq128-dim64-dense-t-all");
    assert_eq!(found[0].params.values["dim"], ParamValue::Integer(64));
    assert_eq!(found[0].params.values["mask"], ParamValue::Word("dense".to_owned()));
    assert_eq!(found[0].params.dtype, Dtype::F32);
    assert_eq!(found[0].threads, Threads::All);
    assert_eq!(found[0].line, 4);
}

#[test]
fn the_compact_shape_follows_the_kernels_own_order_and_may_leave_defaults_out() {
    assert_eq!(
        ids("  - {kernel: spmm-csr, with: {shape: 1x2x3, density: 10 %}}\n"),
        ["spmm-csr-f32-m1-k2-n3-density0.1-t-all"]
    );
    assert_eq!(
        ids("  - {kernel: attention, with: {shape: 8x1024}}\n"),
        ["attention-f32-heads8-seq1024-dim64-dense-t-all"]
    );
    assert_eq!(
        ids("  - {kernel: attention, with: {shape: 8x1024x32}}\n"),
        ["attention-f32-heads8-seq1024-dim32-dense-t-all"]
    );
    // `heads` has a default but stands before `seq`, which has none: one number could mean either.
    let found = errors(&with_cases("  - {kernel: attention, with: {shape: 1024}}\n"));
    assert_eq!(summary(&found), [(4, 39, "1024", "the number 1024 is no shape")]);
    let found = errors(&with_cases("  - {kernel: attention, with: {shape: \"1024\"}}\n"));
    assert_eq!(summary(&found)[0].3, "`1024` is no shape of kernel `attention`");
    assert_eq!(ids("  - {kernel: attention, with: {seq: 64}}\n"), ["attention-f32-heads1-seq64-dim64-dense-t-all"]);
}

#[test]
fn sizes_and_labels_make_readable_file_names() {
    let found = ids("  - {kernel: triad, label: big, matrix: {bytes: [64 MiB, 1.5 GB, 20000], threads: cores}}\n");
    assert_eq!(
        found,
        [
            "big.triad-f32-bytes64MiB-t-cores",
            "big.triad-f32-bytes1500000000B-t-cores",
            "big.triad-f32-bytes20000B-t-cores"
        ]
    );
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    assert!(found.iter().all(|id| id.chars().all(safe)));
}

#[test]
fn exclusions_remove_what_they_match_and_nothing_else() {
    let found = ids(
        "  - kernel: gemm\n    matrix: { shape: [1x1x1, 2x2x2], dtype: [f32, f64], threads: [1, 2] }\n    exclude:\n      - { dtype: f64, threads: 2 }\n      - { m: [2], threads: [1, 2], dtype: f32 }\n",
    );
    assert_eq!(found, ["gemm-f32-m1-n1-k1-t1", "gemm-f32-m1-n1-k1-t2", "gemm-f64-m1-n1-k1-t1", "gemm-f64-m2-n2-k2-t1"]);
}

#[test]
fn an_exclusion_that_matches_nothing_or_everything_is_an_error() {
    let text = with_cases("  - kernel: gemm\n    matrix: {shape: [1x1x1]}\n    exclude: [{m: 2}]\n");
    assert_eq!(summary(&errors(&text)), [(6, 15, "{", "this exclusion removes no case")]);
    let text = with_cases("  - kernel: gemm\n    matrix: {shape: [1x1x1]}\n    exclude: {m: 1}\n");
    assert!(errors(&text).problems()[0].message.contains("leave no case"));
}

#[test]
fn equal_cases_of_two_entries_are_an_error_that_names_both_lines() {
    let text =
        with_cases("  - {kernel: gemm, with: {shape: 8x8x8}}\n  - kernel: gemm\n    matrix: {m: [8, 9], n: 8, k: 8}\n");
    let found = errors(&text);
    assert_eq!(summary(&found), [(5, 13, "gemm", "case `gemm-f32-m8-n8-k8-t-all` stands already in line 4")]);
    let shown = found.to_string();
    assert!(shown.contains("4 |") && shown.contains("5 |"), "{shown}");
}

#[test]
fn a_label_does_not_hide_a_duplicate() {
    let text = with_cases(&format!("{GEMM}  - {{kernel: gemm, label: again, with: {{shape: 8x8x8}}}}\n"));
    assert!(errors(&text).problems()[0].message.contains("stands already in line 4"));
}

#[test]
fn a_parameter_may_be_given_once() {
    let text = with_cases("  - kernel: gemm\n    with: {m: 8}\n    matrix: {shape: [8x8x8]}\n");
    assert_eq!(summary(&errors(&text)), [(6, 14, "shape", "`m` is given twice")]);
    let text = with_cases("  - kernel: gemm\n    with: {shape: 8x8x8, dtype: f32}\n    matrix: {dtype: [f64]}\n");
    assert_eq!(summary(&errors(&text)), [(6, 14, "dtype", "`dtype` is given twice")]);
}

#[test]
fn missing_parameters_are_named_where_they_are_missing() {
    let text = with_cases("  - kernel: gemm\n    with: {m: 8}\n");
    assert_eq!(summary(&errors(&text)), [(4, 13, "gemm", "kernel `gemm` lacks `n`, `k`")]);
    let text = with_cases("  - kernel: gemm\n    matrix: {shape: [{m: 1, n: 1, k: 1}, {m: 2, n: 2}]}\n");
    assert_eq!(summary(&errors(&text)), [(5, 42, "{", "the shape lacks `k`")]);
}

#[test]
fn the_kernel_itself_may_refuse_a_case() {
    let text = with_cases("  - {kernel: gemm, with: {shape: 1000000x1000000x1000000}}\n");
    assert!(errors(&text).problems()[0].message.contains("refuses case `gemm-f32-m1000000-n1000000-k1000000-t-all`"));
}

#[test]
fn ceiling_probes_are_not_for_users() {
    let text = with_cases("  - kernel: fma-peak\n");
    let found = errors(&text);
    assert_eq!(summary(&found), [(4, 13, "fma-peak", "kernel `fma-peak` is a ceiling probe")]);
    assert!(found.problems()[0].help.contains("the plan adds"));
}

#[test]
fn head_and_digest_are_kept() {
    let text = format!("version: 1\nsuite: my-suite\ntitle: A title\ndescription: >-\n  Two\n  lines.\ncases:\n{GEMM}");
    let suite = parse(&text).unwrap();
    assert_eq!(
        (suite.id.as_str(), suite.title.as_str(), suite.description.as_str()),
        ("my-suite", "A title", "Two lines.")
    );
    assert_eq!(suite.text, text);
    // `printf abc | sha256sum`, so that the digest is the one every other tool computes.
    assert_eq!(super::super::hex(&<sha2::Sha256 as sha2::Digest>::digest(b"abc"))[..16], *"ba7816bf8f01cfea");
    assert_eq!(suite.digest.len(), 64);
    assert_eq!(suite.profile.name, "quick");
    assert_eq!(parse(&with_cases(GEMM)).unwrap().title, "test");
}

#[test]
fn warm_and_cold_stand_side_by_side_and_only_the_cold_case_has_another_id() {
    let found = cases(
        "  - kernel: triad\n    matrix: { bytes: [64 KiB, 1 MiB], cache: [warm, cold], threads: [1] }\n    exclude: { cache: cold, bytes: 64 KiB }\n",
    );
    let names: Vec<&str> = found.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(names, ["triad-f32-bytes64KiB-t1", "triad-f32-bytes1MiB-t1", "triad-f32-bytes1MiB-cold-t1"]);
    assert_eq!(found.iter().map(|c| c.cache.is_cold()).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(found[2].cache.copies(), None, "a suite knows no machine");
    let on_cards = ids("  - {kernel: triad, devices: ['cuda:*', 'wgpu:1'], with: {bytes: 1 MiB, cache: cold}}\n");
    assert_eq!(on_cards, ["triad-f32-bytes1MiB-cold-cuda", "triad-f32-bytes1MiB-cold-wgpu1"]);
}

#[test]
fn a_case_in_a_record_of_before_is_warm_and_a_cold_one_reads_back() {
    let cold = cases("  - {kernel: triad, with: {bytes: 1 MiB, cache: cold}}\n").remove(0);
    let planned = Case { cache: CacheState::Cold { copies: Some(7) }, ..cold.clone() };
    for case in [&cold, &planned] {
        let text = serde_json::to_string(case).unwrap();
        assert_eq!(serde_json::from_str::<Case>(&text).unwrap(), *case, "{text}");
    }
    let warm = Case { cache: CacheState::Warm, ..cold };
    let text = serde_json::to_string(&warm).unwrap();
    assert!(!text.contains("cache"), "{text}");
    assert_eq!(serde_json::from_str::<Case>(&text).unwrap(), warm);
}
