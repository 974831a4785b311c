//! The programs and the backend on whatever adapter is here; lavapipe where no card is.

use super::*;
use crate::backends::Family;
use crate::kernels::random::SplitMix64;
use crate::kernels::{Cooperative, Dtype, Limits, ParamValue, Params, Target};
use crate::suite::{CacheState, Threads};

/// Says that something could not be tested here, and why; the test script counts it, as it does for `tests/skip`.
pub(super) fn skip(what: &str, why: &str) {
    eprintln!("skipped: {what}: {why}");
    if let Some(path) = std::env::var_os("WATTPROOF_SKIPPED") {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut f| writeln!(f, "{what}: {why}")).unwrap();
    }
}

/// The backend, or nothing after saying why.
pub(super) fn backend(what: &str) -> Option<Box<dyn Backend>> {
    match probe() {
        Probe::Ready(backend) => Some(backend),
        Probe::Absent { reason } | Probe::Denied { reason, .. } => {
            skip(what, &reason);
            None
        }
    }
}

pub(super) fn params(dtype: Dtype, values: &[(&str, ParamValue)]) -> Params {
    Params { dtype, values: values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect() }
}

pub(super) fn counts(values: &[(&str, u64)]) -> Params {
    let values: Vec<_> = values.iter().map(|(name, n)| (*name, ParamValue::Integer(*n))).collect();
    params(Dtype::F32, &values)
}

pub(super) fn case(kernel: &str, params: Params, device: &DeviceId) -> Case {
    let (id, kernel, cache) = (format!("{kernel} {params:?}"), kernel.to_owned(), CacheState::Warm);
    Case { id, kernel, params, threads: Threads::Count(1), device: device.clone(), cache, line: 1 }
}

/// Runs a case on every adapter: poison fails, the answer of two different runs passes, the canary holds.
fn verify(backend: &mut dyn Backend, kernel: &str, params: &Params) {
    for info in backend.devices() {
        let case = case(kernel, params.clone(), &info.id);
        let what = format!("{} on {}", case.id, info.name);
        let mut workload = backend.prepare(&case, 20_260_407).unwrap_or_else(|e| panic!("{what}: {e}"));
        workload.poison();
        assert!(!workload.check().passed(), "{what}: poison passed");
        for iterations in [1, 3] {
            workload.poison();
            workload.run(iterations).unwrap_or_else(|e| panic!("{what}: {e}"));
            let check = workload.check();
            assert!(check.passed(), "{what}: {check:?}");
        }
        if let Some(canary) = workload.canary() {
            assert!(canary.passed(), "{what}: {canary:?}");
        }
        assert_eq!(workload.program().software, info.software);
    }
}

#[test]
fn the_family_is_registered() {
    let ids: Vec<&str> = crate::backends::REGISTRY.iter().map(|f: &Family| f.id).collect();
    assert!(ids.contains(&"wgpu"), "{ids:?}");
}

#[test]
fn products_of_every_shape_match_the_reference() {
    let Some(mut backend) = backend("gemm on wgpu") else { return };
    // One element, a row, a column, primes, whole tiles, ragged fours, several small tiles, large tiles of both kinds.
    let shapes = [
        [1, 1, 1],
        [1, 37, 5],
        [53, 1, 19],
        [31, 67, 129],
        [64, 64, 16],
        [68, 132, 36],
        [130, 70, 64],
        [1025, 1028, 20],
        [1030, 1027, 19],
    ];
    for [m, n, k] in shapes {
        let single = counts(&[("m", m), ("n", n), ("k", k)]);
        verify(backend.as_mut(), "gemm", &single);
        if backend.devices().iter().all(|d| d.target.limits.half) {
            verify(backend.as_mut(), "gemm", &Params { dtype: Dtype::F16, ..single });
        }
    }
    let Some(first) = backend.devices().into_iter().next() else { return };
    let target = &first.target;
    let without = Target { limits: Limits { half: false, ..target.limits }, ..target.clone() };
    let halves = Params { dtype: Dtype::F16, ..counts(&[("m", 4), ("n", 4), ("k", 4)]) };
    let refused = kernels::find("gemm").unwrap().device_program(&halves, &without).unwrap_err().to_string();
    assert!(refused.contains("16 bits"), "{refused}");
}

#[test]
fn triads_of_every_length_match_the_reference() {
    let Some(mut backend) = backend("triad on wgpu") else { return };
    for n in [2, 4, 17, 1021, 4096, 5_000_001] {
        verify(backend.as_mut(), "triad", &counts(&[("bytes", 12 * n)]));
    }
}

#[test]
fn probes_of_a_card_answer_exactly() {
    let Some(mut backend) = backend("ceilings on wgpu") else { return };
    verify(backend.as_mut(), "fma-peak", &counts(&[]));
    for bytes in [8, 8 * 255, 8 * 70_001, 8 << 20] {
        verify(backend.as_mut(), "read-bandwidth", &counts(&[("bytes", bytes)]));
        verify(backend.as_mut(), "copy", &counts(&[("bytes", bytes.max(16))]));
    }
}

#[test]
fn copies_of_a_cold_case_take_turns_on_a_card() {
    let Some(mut backend) = backend("cold cases on wgpu") else { return };
    let id = backend.devices().remove(0).id;
    let warm = case("triad", counts(&[("bytes", 12 * 5000)]), &id);
    let cold = Case { cache: CacheState::Cold { copies: Some(3) }, ..warm };
    let mut workload = backend.prepare(&cold, 20_260_407).unwrap();
    // One copy, then two, then all three of them more than once: what did not run is poison, and is not judged.
    for iterations in [1, 2, 7] {
        workload.poison();
        assert!(!workload.check().passed(), "poison passed before {iterations} iterations");
        workload.run(iterations).unwrap();
        assert!(workload.check().passed(), "{iterations} iterations");
    }
    let facts = workload.program().facts;
    assert!(facts.contains(&("copies".to_owned(), "3".to_owned())), "{facts:?}");
    let unplanned = Case { cache: CacheState::Cold { copies: None }, ..cold };
    assert!(backend.prepare(&unplanned, 1).err().unwrap().to_string().contains("needs a plan"));
}

fn sparse(dtype: Dtype, sizes: &[(&str, u64)], density: f64) -> Params {
    let sizes = sizes.iter().map(|(name, n)| (*name, ParamValue::Integer(*n)));
    params(dtype, &sizes.chain([("density", ParamValue::Real(density))]).collect::<Vec<_>>())
}

#[test]
fn sparse_products_of_every_shape_match_the_reference() {
    let Some(mut backend) = backend("sparse products on wgpu") else { return };
    // One element, full rows, empty rows (ten elements in 503 rows), ragged, long rows, wide indices.
    for (m, k, density) in [(1, 1, 1.0), (13, 67, 1.0), (503, 20, 0.001), (211, 997, 0.05), (31, 70_001, 0.01)] {
        verify(backend.as_mut(), "spmv-csr", &sparse(Dtype::F32, &[("m", m), ("k", k)], density));
    }
    let shapes = [(1, 1, 1, 1.0), (7, 300, 5, 1.0), (211, 40, 17, 0.002), (61, 997, 84, 0.07), (1027, 131, 4, 0.1)];
    for (m, k, n, density) in shapes {
        verify(backend.as_mut(), "spmm-csr", &sparse(Dtype::F32, &[("m", m), ("k", k), ("n", n)], density));
    }
    // One block, full rows, empty rows of blocks, each side of a block, ragged columns.
    let shapes = [
        ([16, 16, 1, 16], 1.0),
        ([48, 80, 37, 16], 1.0),
        ([208, 64, 19, 16], 0.05),
        ([96, 160, 64, 32], 0.3),
        ([64, 192, 132, 64], 0.5),
        ([48, 96, 33, 48], 0.5),
    ];
    for ([m, k, n, block], density) in shapes {
        let sizes = [("m", m), ("k", k), ("n", n), ("block", block)];
        verify(backend.as_mut(), "spmm-bsr", &sparse(Dtype::F32, &sizes, density));
    }
}

#[test]
fn attention_under_every_mask_matches_the_reference() {
    let Some(mut backend) = backend("attention on wgpu") else { return };
    for (heads, seq, dim) in [(1, 1, 4), (2, 31, 5), (3, 97, 64), (1, 64, 128), (2, 130, 37), (1, 70, 256)] {
        let sizes = [("heads", heads), ("seq", seq), ("dim", dim)].map(|(name, n)| (name, ParamValue::Integer(n)));
        for mask in ["dense", "causal"] {
            let mask = ("mask", ParamValue::Word(mask.to_owned()));
            let all: Vec<_> = sizes.iter().cloned().chain([mask]).collect();
            verify(backend.as_mut(), "attention", &params(Dtype::F32, &all));
        }
        for window in [1, 32, 65] {
            let window = ("window", ParamValue::Integer(window));
            let all: Vec<_> = sizes.iter().cloned().chain([window]).collect();
            verify(backend.as_mut(), "attention-window", &params(Dtype::F32, &all));
        }
    }
}

#[test]
fn programs_for_adapters_without_subgroups_match_the_reference() {
    let Some(_) = backend("programs without subgroups on wgpu") else { return };
    let mut backend = WgpuBackend::new(adapters::enumerate());
    for member in &mut backend.members {
        let limits = &mut member.adapter.info.target.limits;
        (limits.subgroup, limits.cooperative) = (None, Cooperative::default());
    }
    let half = backend.members.iter().all(|m| m.adapter.info.target.limits.half);
    for dtype in [Dtype::F32, Dtype::F16].into_iter().filter(|d| half || *d == Dtype::F32) {
        verify(&mut backend, "gemm", &Params { dtype, ..counts(&[("m", 67), ("n", 70), ("k", 33)]) });
    }
    verify(&mut backend, "spmv-csr", &sparse(Dtype::F32, &[("m", 31), ("k", 70_001)], 0.01));
    for (seq, dim) in [(97, 64), (31, 5)] {
        let sizes = [("heads", 2), ("seq", seq), ("dim", dim), ("window", 40)];
        verify(&mut backend, "attention-window", &counts(&sizes));
    }
}

#[test]
fn a_case_that_has_no_program_is_refused_with_the_reason() {
    let Some(mut backend) = backend("cases without a program on wgpu") else { return };
    let id = backend.devices().remove(0).id;
    let wide = params(
        Dtype::F32,
        &[
            ("heads", ParamValue::Integer(1)),
            ("seq", ParamValue::Integer(8)),
            ("dim", ParamValue::Integer(257)),
            ("mask", ParamValue::Word("dense".to_owned())),
        ],
    );
    let error = backend.prepare(&case("attention", wide, &id), 1).err().unwrap().to_string();
    assert!(error.contains("at most 256 elements") && error.contains("257"), "{error}");
    let double = params(Dtype::F64, &[("bytes", ParamValue::Integer(2400))]);
    let error = backend.prepare(&case("triad", double, &id), 1).err().unwrap().to_string();
    assert!(error.contains("no program"), "{error}");
}

#[test]
fn cases_of_random_shapes_match_the_reference() {
    let Some(mut backend) = backend("random shapes on wgpu") else { return };
    let draw = SplitMix64::new(7, 0);
    for round in 0..12 {
        let size = |i: u64, most: u64| 1 + draw.below(16 * round + i, most);
        let density = size(3, 100) as f64 / 100.0;
        let [m, n, k] = [size(0, 150), size(1, 150), size(2, 150)];
        verify(backend.as_mut(), "gemm", &counts(&[("m", m), ("n", n), ("k", k)]));
        verify(backend.as_mut(), "spmv-csr", &sparse(Dtype::F32, &[("m", m), ("k", k)], density));
        verify(backend.as_mut(), "spmm-csr", &sparse(Dtype::F32, &[("m", m), ("k", k), ("n", n)], density));
        let block = 16 * size(4, 3);
        let sizes = [("m", block * size(5, 4)), ("k", block * size(6, 4)), ("n", n), ("block", block)];
        verify(backend.as_mut(), "spmm-bsr", &sparse(Dtype::F32, &sizes, density));
        let sizes = [("heads", size(7, 3)), ("seq", m), ("dim", 3 + size(8, 61)), ("window", size(9, 150))];
        verify(backend.as_mut(), "attention-window", &counts(&sizes));
    }
}

#[test]
fn a_device_that_was_lost_fails_its_case_and_serves_the_next() {
    let Some(_) = backend("a lost device on wgpu") else { return };
    let mut backend = WgpuBackend::new(adapters::enumerate());
    let id = backend.members[0].adapter.info.id.clone();
    let case = case("gemm", counts(&[("m", 8), ("n", 8), ("k", 8)]), &id);
    let mut workload = backend.prepare(&case, 1).unwrap();
    workload.run(1).unwrap();
    backend.members[0].opened.as_ref().unwrap().lose();
    let error = workload.run(1).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{id} failed: ")), "{error}");
    assert!(!workload.check().passed(), "what a lost device left must not pass");
    let mut next = backend.prepare(&case, 1).unwrap();
    next.run(1).unwrap();
    assert!(next.check().passed());
}

#[test]
fn what_does_not_fit_is_refused_and_the_device_goes_on() {
    let Some(_) = backend("memory on wgpu") else { return };
    let mut backend = WgpuBackend::new(adapters::enumerate());
    let opened = backend.members[0].open().unwrap();
    let most = opened.device.limits().max_buffer_size;
    let error = opened.buffer("C", most.saturating_add(4).min(u64::MAX - 8), wgpu::BufferUsages::STORAGE).unwrap_err();
    assert!(error.to_string().contains("a buffer for C"), "{error}");
    let id = backend.members[0].adapter.info.id.clone();
    let case = case("gemm", counts(&[("m", 8), ("n", 8), ("k", 8)]), &id);
    let mut workload = backend.prepare(&case, 1).unwrap();
    workload.run(1).unwrap();
    assert!(workload.check().passed());
}

#[test]
fn a_program_that_does_not_compile_is_an_error_with_its_line() {
    let Some(_) = backend("broken programs on wgpu") else { return };
    let mut backend = WgpuBackend::new(adapters::enumerate());
    let opened = backend.members[0].open().unwrap();
    let error = opened.pipeline("@compute @workgroup_size(1)\nfn main() { let x = y; }", "main", &[]).unwrap_err();
    assert!(error.to_string().contains("compiling `main`") && error.to_string().contains('y'), "{error}");
    assert!(opened.wait().is_ok());
}

#[test]
fn the_device_counts_its_own_time_where_it_has_a_clock() {
    let Some(mut backend) = backend("time stamps on wgpu") else { return };
    let info = backend.devices().remove(0);
    let case = case("gemm", counts(&[("m", 256), ("n", 256), ("k", 256)]), &info.id);
    let mut workload = backend.prepare(&case, 1).unwrap();
    workload.poison();
    assert_eq!(workload.device_time(), None, "nothing ran since the outputs were poisoned");
    workload.run(40).unwrap();
    let stamped = info.facts.iter().any(|(name, value)| name == "timestamps" && value == "true");
    let time = workload.device_time();
    assert_eq!(time.is_some(), stamped, "{time:?}");
    let Some(forty) = time else { return };
    workload.run(40).unwrap();
    let eighty = workload.device_time().unwrap();
    assert!(eighty > forty, "{eighty:?} for twice as much as {forty:?}");
    workload.poison();
    assert_eq!(workload.device_time(), None);
}
