//! The main way: a suite in, a record and its reports out.

use crate::support::{FAST, Sandbox, events, header, of_kind};

#[test]
fn a_run_leaves_a_complete_record_and_every_report() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    let ran = sandbox.run(&["run", "tiny.yaml", "--out", "out"]).expect(0);
    let out = sandbox.path("out");
    for file in ["record.json", "samples.jsonl", "report.html", "report.pdf", "report.md", "report.json"] {
        assert!(out.join(file).metadata().is_ok_and(|m| m.len() > 100), "{file} is missing or empty");
    }
    let header = header(&out);
    assert_eq!(header["state"], "complete");
    assert_eq!(header["simulated"], serde_json::json!([]));
    assert_eq!(header["suite"]["text"], std::fs::read_to_string(sandbox.path("tiny.yaml")).unwrap());
    let events = events(&out);
    let samples = of_kind(&events, "sample");
    for case in ["gemm", "triad", "fma-peak", "read-bandwidth"] {
        let of_case: Vec<_> = samples.iter().filter(|s| s["case"].as_str().unwrap().starts_with(case)).collect();
        assert!(of_case.len() >= 2, "{case} has {} samples", of_case.len());
        for sample in of_case {
            assert!(sample["wall_s"].as_f64().unwrap() > 0.0);
            assert!(sample["iterations"].as_u64().unwrap() >= 1);
            let check = &sample["correctness"];
            assert!(check["error"].as_f64().unwrap() <= check["limit"].as_f64().unwrap(), "{case}: {check}");
        }
    }
    assert_eq!(of_kind(&events, "idle").len(), 2);
    assert!(ran.stdout.contains("gemm-f32") && ran.stdout.contains("triad"), "{}", ran.stdout);
    assert!(ran.stdout.contains("report.html"), "{}", ran.stdout);
    assert!(!ran.stderr.contains('\u{1b}'), "escape sequences without a terminal:\n{}", ran.stderr);
}

#[test]
fn windows_reach_the_floor_and_repeats_are_interleaved() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    sandbox.run(&["run", "tiny.yaml", "--out", "out"]).expect(0);
    let events = events(&sandbox.path("out"));
    let samples = of_kind(&events, "sample");
    let is_probe = |case: &str| case.starts_with("fma-peak") || case.starts_with("read-bandwidth");
    for sample in samples.iter().filter(|s| !is_probe(s["case"].as_str().unwrap())) {
        // The floor of the suite: 5 ms.
        assert!(sample["wall_s"].as_f64().unwrap() >= 0.005, "{sample}");
    }
    let order: Vec<(&str, u64)> =
        samples.iter().map(|s| (s["case"].as_str().unwrap(), s["repeat"].as_u64().unwrap())).collect();
    let first: Vec<&str> = order.iter().filter(|(_, r)| *r == 0).map(|(c, _)| *c).collect();
    let mut second: Vec<&str> = order.iter().filter(|(_, r)| *r == 1).map(|(c, _)| *c).collect();
    second.reverse();
    assert_eq!(first, second, "the second round must run backwards");
    assert!(order.windows(2).all(|w| w[0].1 <= w[1].1), "rounds must not overlap: {order:?}");
}

#[test]
fn json_on_stdout_is_the_report() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    let ran = sandbox.run(&["run", "tiny.yaml", "--out", "out", "--format", "json"]).expect(0);
    let file: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.path("out/report.json")).unwrap()).unwrap();
    assert_eq!(ran.json(), file);
}

#[test]
fn a_wrong_answer_voids_its_case_and_no_other() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    let ran = sandbox.run(&["run", "tiny.yaml", "--out", "out", "--inject", "wrong-answer=gemm*"]).expect(5);
    let events = events(&sandbox.path("out"));
    let void = of_kind(&events, "void");
    assert_eq!(void.len(), 1);
    assert_eq!(void[0]["wrong_answer"], true);
    let triads = of_kind(&events, "sample").into_iter().filter(|s| s["case"].as_str().unwrap().starts_with("triad"));
    assert_eq!(triads.count(), 2, "the other case goes on");
    assert!(!header(&sandbox.path("out"))["simulated"].as_array().unwrap().is_empty());
    assert!(ran.stdout.to_lowercase().contains("wrong"), "{}", ran.stdout);
}

#[test]
fn a_device_failure_voids_its_case_and_no_other() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    sandbox.run(&["run", "tiny.yaml", "--out", "out", "--inject", "device-failure=triad*"]).expect(5);
    let events = events(&sandbox.path("out"));
    let void = of_kind(&events, "void");
    assert_eq!(void.len(), 1);
    assert_eq!(void[0]["wrong_answer"], false);
    assert!(void[0]["reason"].as_str().unwrap().contains("injected failure"));
    assert_eq!(
        of_kind(&events, "sample").iter().filter(|s| s["case"].as_str().unwrap().starts_with("gemm")).count(),
        2
    );
}

#[test]
fn dry_run_measures_nothing_and_verify_times_nothing() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    let dry = sandbox.run(&["run", "tiny.yaml", "--dry-run"]).expect(0);
    assert!(dry.stdout.contains("gemm-f32-m64-n48-k32-t1"), "{}", dry.stdout);
    assert!(!sandbox.path("reports").exists());
    let verify = sandbox.run(&["run", "tiny.yaml", "--verify", "--format", "json"]).expect(0);
    assert_eq!(verify.json()["wrong"], 0);
    assert!(verify.json()["checked"].as_u64().unwrap() >= 2);
    assert!(!sandbox.path("reports").exists());
    sandbox.run(&["run", "tiny.yaml", "--verify", "--inject", "wrong-answer=triad*"]).expect(5);
}

#[test]
fn cases_can_be_chosen() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    let ran = sandbox.run(&["run", "tiny.yaml", "--dry-run", "--format", "json", "--case", "triad*"]).expect(0);
    let plan = ran.json();
    let ids: Vec<&str> = plan["cases"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect();
    assert!(ids.iter().any(|id| id.starts_with("triad")) && !ids.iter().any(|id| id.starts_with("gemm")), "{ids:?}");
    sandbox.run(&["run", "tiny.yaml", "--dry-run", "--case", "nothing*"]).expect(2).says(&["no case is left"]);
}

#[test]
fn an_estimate_is_marked_and_has_its_inputs() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    let ran = sandbox.run(&["run", "tiny.yaml", "--out", "out", "--estimate", "tdp=95W"]).expect(0);
    assert_eq!(header(&sandbox.path("out"))["estimate"]["tdp_w"], 95.0);
    assert!(ran.stdout.contains("estimate"), "{}", ran.stdout);
    for wrong in ["95W", "tdp=-5W", "tdp=NaN", "tdp=warm"] {
        sandbox.run(&["run", "tiny.yaml", "--estimate", wrong]).expect(2);
    }
}

#[test]
fn the_same_seed_gives_the_same_answers() {
    let sandbox = Sandbox::new();
    sandbox.suite("seeded", FAST);
    let errors = |out: &str| {
        sandbox.run(&["run", "seeded.yaml", "--out", out, "--case", "gemm*", "--seed", "7"]).expect(0);
        let events = events(&sandbox.path(out));
        let gemm = of_kind(&events, "sample").into_iter().find(|s| s["case"].as_str().unwrap().starts_with("gemm"));
        gemm.unwrap()["correctness"]["error"].as_f64().unwrap()
    };
    let (first, second) = (errors("a"), errors("b"));
    assert!(first > 0.0, "an error of exactly 0 in f32 says that nothing was compared");
    assert_eq!(first.to_bits(), second.to_bits());
}
