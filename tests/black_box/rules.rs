//! Rules and exports: explain, list rules, schema policy, export.

use crate::support::Sandbox;
use serde_json::Value;
use std::fs;
use wattproof::record::fixture;
use wattproof::verdict::rules::REGISTRY;

#[test]
fn every_rule_explains_itself_and_an_unknown_code_gets_a_suggestion() {
    let sandbox = Sandbox::new();
    let listed = sandbox.run(&["list", "rules", "--format", "json"]).expect(0).json();
    let codes: Vec<&str> = listed.as_array().unwrap().iter().map(|r| r["code"].as_str().unwrap()).collect();
    assert_eq!(codes, REGISTRY.iter().map(|r| r.code).collect::<Vec<_>>());
    let text = sandbox.run(&["explain", "repeats"]).expect(0).stdout;
    assert!(["repeats: 10", "green-ai-1, line", "9 windows count"].iter().all(|word| text.contains(word)), "{text}");
    let page = sandbox.run(&["explain", "--all"]).expect(0).stdout;
    assert!(codes.iter().all(|code| page.contains(&format!("## {code}\n"))));
    sandbox.run(&["explain", "repaets"]).expect(2).says(&["did you mean `repeats`?"]);
    sandbox.run(&["explain"]).expect(2);
}

#[test]
fn a_broken_policy_shows_its_place() {
    let sandbox = Sandbox::new();
    let policy = wattproof::policy::Certification::shipped().text.replacen("repeats: 10", "repeets: 10", 1);
    sandbox.write("mine.yaml", policy);
    sandbox.run(&["explain", "repeats", "--policy", "mine.yaml"]).expect(2).says(&[
        "mine.yaml:",
        "unknown key `repeets`",
        "did you mean `repeats`?",
        "^^^^",
    ]);
    for what in ["policy", "table"] {
        let schema = sandbox.run(&["schema", what]).expect(0).json();
        assert_eq!(schema["additionalProperties"], Value::Bool(false));
    }
}

#[test]
fn a_bundle_is_exported_in_every_format() {
    let sandbox = Sandbox::new();
    let (header, samples) = fixture::on_disk(&fixture::certifiable());
    fs::create_dir(sandbox.path("record")).unwrap();
    sandbox.write("record/record.json", header);
    sandbox.write("record/samples.jsonl", samples);
    sandbox.run(&["certify", "record", "--out", "bundle"]).expect(0);
    for (to, word) in
        [("sci", "ISO/IEC 21031"), ("in-toto", "PASSED"), ("cyclonedx", "CycloneDX"), ("row", "total_gpu_energy")]
    {
        let text = sandbox.run(&["export", "bundle", "--to", to]).expect(0).stdout;
        assert!(text.contains(word), "{text}");
    }
    sandbox.run(&["export", "bundle", "--to", "sci", "--carbon-intensity", "-1"]).expect(2);
    sandbox.run(&["export", "bundle", "--to", "pdf"]).expect(2).says(&["cyclonedx"]);
    let scored = ["export", "bundle", "--to", "sci", "--carbon-intensity", "380", "--embodied", "42", "-o", "sci.json"];
    sandbox.run(&scored).expect(0);
    let sci: Value = serde_json::from_slice(&fs::read(sandbox.path("sci.json")).unwrap()).unwrap();
    assert!(sci["workloads"][0]["sci"].as_f64().unwrap() > 0.0);
    fs::remove_file(sandbox.path("bundle/policy.yaml")).unwrap();
    sandbox.run(&["export", "bundle", "--to", "sci"]).expect(2).says(&["policy.yaml"]);
}
