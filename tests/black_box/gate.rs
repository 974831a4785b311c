//! `gate`: records, folders and git refs; what fails, what is refused, what cannot be read.

use crate::support::Sandbox;
use std::path::{Path, PathBuf};
use std::process::Command;
use wattproof::record::{RunRecord, fixture};
use wattproof::units::MicroJoules;

/// A record as a folder; its energies times `factor`, begun `day` days later.
fn put(sandbox: &Sandbox, name: &str, id: &str, factor: f64, day: u32) -> PathBuf {
    put_record(sandbox, name, &run(id, factor, day))
}

fn run(id: &str, factor: f64, day: u32) -> RunRecord {
    let mut record = fixture::with_rapl();
    record.header.id = id.to_owned();
    record.header.started_at = record.header.started_at.plus_days(day);
    for span in record.measurements.iter_mut().flat_map(|m| &mut m.samples).flat_map(|s| &mut s.energy) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fixture's joules")]
        let scaled = (span.energy.get() as f64 * factor).round() as u64;
        span.energy = MicroJoules::new(scaled);
    }
    record
}

fn put_record(sandbox: &Sandbox, name: &str, record: &RunRecord) -> PathBuf {
    let (header, samples) = fixture::on_disk(record);
    sandbox.write(&format!("{name}/samples.jsonl"), samples);
    sandbox.write(&format!("{name}/record.json"), header).parent().unwrap().to_owned()
}

fn git(dir: &Path, args: &[&str]) {
    let settings = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
    let status = Command::new("git").args(settings).args(args).current_dir(dir).output().unwrap();
    assert!(status.status.success(), "{args:?}: {}", String::from_utf8_lossy(&status.stderr));
}

#[test]
fn worse_is_exit_code_7_and_the_same_is_0() {
    let sandbox = Sandbox::new();
    put(&sandbox, "old", "old", 1.0, 0);
    put(&sandbox, "same", "same", 1.001, 1);
    put(&sandbox, "worse", "worse", 1.05, 2);
    let ok = sandbox.run(&["gate", "same", "--baseline", "old"]).expect(0).stdout;
    assert!(ok.contains("gate passed") && ok.contains("within-run"), "{ok}");
    let bad = sandbox.run(&["gate", "worse", "--baseline", "old"]).expect(7).stdout;
    assert!(bad.contains("gate FAILED") && bad.contains("+5.00 %"), "{bad}");
    let json = sandbox.run(&["gate", "worse", "--baseline", "old", "--format", "json"]).expect(7).json();
    assert_eq!((json["schema"].as_u64(), json["verdict"].as_str()), (Some(1), Some("failed")));
    assert_eq!(json["counts"]["worse"], 16, "energy and its reciprocal of 8 cases");
    let other = json["comparisons"].as_array().unwrap().iter().find(|c| c["metric"] == "energy").unwrap();
    assert_eq!(other["change"]["pairing"], "independent");
    sandbox.write("gate.yaml", "version: 1\nminimum_effect: 10 %\n");
    sandbox.run(&["gate", "worse", "--baseline", "old", "--gate", "gate.yaml"]).expect(0);
}

#[test]
fn files_are_written_even_when_the_gate_fails() {
    let sandbox = Sandbox::new();
    put(&sandbox, "old", "old", 1.0, 0);
    put(&sandbox, "worse", "worse", 1.05, 2);
    let formats = sandbox.run(&["list", "gates", "--format", "json"]).expect(0).json();
    let ids: Vec<String> = formats.as_array().unwrap().iter().map(|f| f["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 10);
    let outs: Vec<String> = ids.iter().map(|id| format!("{id}=out/{id}")).collect();
    let mut args = vec!["gate", "worse", "--baseline", "old"];
    outs.iter().for_each(|out| args.extend(["--out", out]));
    sandbox.run(&args).expect(7);
    for id in &ids {
        assert!(std::fs::metadata(sandbox.path(&format!("out/{id}"))).unwrap().len() > 50, "{id}");
    }
    let said = sandbox.run(&["gate", "worse", "--baseline", "old", "--out", "github=-"]).expect(7).stdout;
    assert!(said.starts_with("::error file=suites/reference.yaml,line="), "{said}");
    sandbox.run(&["gate", "worse", "--baseline", "old", "--out", "junt=x"]).expect(2).says(&["did you mean `junit`?"]);
    sandbox.run(&["gate", "worse", "--baseline", "old", "--out", "json"]).expect(2).says(&["FORMAT=FILE"]);
}

#[test]
fn a_folder_is_searched_and_what_is_left_out_is_listed() {
    let sandbox = Sandbox::new();
    put(&sandbox, "history/a/one", "one", 1.0, 0);
    put(&sandbox, "history/two", "two", 1.0, 1);
    put(&sandbox, "history/again", "two", 1.0, 1);
    put(&sandbox, "history/new", "new", 1.001, 3);
    sandbox.write("history/corrupt/record.json", "{\"schema\": 1, \"id\": ");
    sandbox.write("history/corrupt/samples.jsonl", "");
    sandbox.write("history/foreign/record.json", "[1, 2]");
    sandbox.write("history/foreign/samples.jsonl", "");
    let mut future: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.path("history/two/record.json")).unwrap()).unwrap();
    future["schema"] = 99.into();
    sandbox.write("history/future/record.json", future.to_string());
    sandbox.write("history/future/samples.jsonl", "");
    let mut other = run("other-suite", 1.0, 2);
    other.header.suite.digest = "ab".repeat(32);
    put_record(&sandbox, "history/other", &other);
    let json = sandbox.run(&["gate", "history/new", "--baseline", "history", "--format", "json"]).expect(0).json();
    assert_eq!(json["baseline"][0]["id"], "two", "the newest");
    let skipped: Vec<String> = json["skipped"].as_array().unwrap().iter().map(ToString::to_string).collect();
    for (record, reason) in [
        ("history/corrupt", "not a valid record"),
        ("history/foreign", "not a valid record"),
        ("history/future", "record schema 99"),
        ("two", "a second record with the id two"),
        ("other-suite", "suite: baseline"),
        ("one", "only the newest is used"),
        ("new", "it is the record under test"),
    ] {
        let found = skipped.iter().any(|s| s.contains(record) && s.contains(reason));
        assert!(found, "{record}: {reason} not in {skipped:#?}");
    }
    assert_eq!(skipped.len(), 7);
}

#[test]
fn five_runs_of_a_folder_bring_their_scatter() {
    let sandbox = Sandbox::new();
    for (n, factor) in [1.0, 1.02, 0.98, 1.01, 0.99].iter().enumerate() {
        put(&sandbox, &format!("history/{n}"), &format!("run-{n}"), *factor, u32::try_from(n).unwrap());
    }
    put(&sandbox, "new", "new", 1.03, 9);
    let json = sandbox.run(&["gate", "new", "--baseline", "history", "--format", "json"]).expect(0).json();
    assert_eq!(json["baseline"].as_array().unwrap().len(), 5);
    let energy = json["comparisons"].as_array().unwrap().iter().find(|c| c["metric"] == "energy").unwrap();
    assert_eq!(
        (energy["decision"].as_str(), energy["change"]["pairing"].as_str()),
        (Some("ambiguous"), Some("between-runs"))
    );
}

#[test]
fn a_git_ref_is_a_baseline() {
    let sandbox = Sandbox::new();
    let dir = sandbox.path(".");
    git(&dir, &["init", "-q", "-b", "main"]);
    sandbox.write("README", "nothing here\n");
    git(&dir, &["add", "README"]);
    git(&dir, &["commit", "-q", "-m", "empty"]);
    git(&dir, &["tag", "empty"]);
    put(&sandbox, "reports/baseline", "old", 1.0, 0);
    git(&dir, &["add", "reports"]);
    git(&dir, &["commit", "-q", "-m", "baseline"]);
    std::fs::remove_dir_all(sandbox.path("reports")).unwrap();
    put(&sandbox, "new", "new", 1.05, 1);
    for args in [
        &["--baseline", "main:reports/baseline"][..],
        &["--baseline", "main:reports"],
        &["--baseline", "HEAD:reports/baseline/record.json"],
        &["--baseline", "main", "--path", "reports/baseline"],
        &["--baseline", "main"],
    ] {
        let all = [&["gate", "new", "--format", "json"], args].concat();
        assert_eq!(sandbox.run(&all).expect(7).json()["baseline"][0]["id"], "old", "{args:?}");
    }
    for (args, words) in [
        (&["--baseline", "empty"][..], &["`empty`", "git ref without a record"][..]),
        (&["--baseline", "main:elsewhere"], &["git ref without a record", "elsewhere"]),
        (&["--baseline", "main", "--path", "elsewhere"], &["git ref without a record", "elsewhere"]),
        (&["--baseline", "no-such-ref"], &["no such file or folder", "no git ref"]),
        (&["--baseline", "--upload-pack=touch pwned"], &["unexpected argument"]),
        (&["--baseline=--output=pwned"], &["no git ref"]),
    ] {
        let ran = sandbox.run(&[&["gate", "new"], args].concat()).expect(2);
        let said = ran.stderr.replace("empty is a git", "`empty` is a git");
        assert!(words.iter().all(|w| said.contains(w)), "{args:?}: {said}");
        assert!(!sandbox.path("pwned").exists());
    }
}

#[test]
fn what_is_no_record_is_exit_code_2() {
    let sandbox = Sandbox::new();
    put(&sandbox, "new", "new", 1.0, 1);
    put(&sandbox, "old", "old", 1.0, 0);
    sandbox.write("empty/.keep", "");
    sandbox.write("bad/x/record.json", "{}");
    sandbox.write("bad/x/samples.jsonl", "");
    for (args, words) in [
        (["new", "--baseline", "empty"], &["empty holds no record"][..]),
        (["new", "--baseline", "bad"], &["no record that can be read", "bad/x"]),
        (["new", "--baseline", "bad/x"], &["bad/x/record.json:1:2"]),
        (["new", "--baseline", "new"], &["the baseline is the record under test"]),
        (["empty", "--baseline", "old"], &["empty holds no record"]),
        (["nowhere", "--baseline", "old"], &["nowhere"]),
    ] {
        sandbox.run(&[&["gate"], &args[..]].concat()).expect(2).says(words);
    }
    sandbox.write("samples", std::fs::read(sandbox.path("old/samples.jsonl")).unwrap());
    sandbox.write("old/samples.jsonl", "");
    sandbox.run(&["gate", "new", "--baseline", "old"]).expect(2).says(&["was changed after the run"]);
    sandbox.write("gate.yaml", "version: 1\nfail_on: [wurse]\nalpa: 1\n");
    let said = sandbox.run(&["gate", "new", "--baseline", "old", "--gate", "gate.yaml"]).expect(2);
    said.says(&["gate.yaml:2:11", "did you mean `worse`?", "did you mean `alpha`?"]);
}

#[test]
fn what_cannot_be_compared_is_exit_code_3() {
    let sandbox = Sandbox::new();
    put(&sandbox, "new", "new", 1.0, 1);
    let mut other = run("old", 1.0, 0);
    other.header.suite.digest = "ab".repeat(32);
    put_record(&sandbox, "old", &other);
    let said = sandbox.run(&["gate", "new", "--baseline", "old"]).expect(3).stdout;
    assert!(said.contains("suite: baseline reference abababababab, candidate reference 9b1f0c6e5d2a"), "{said}");
    sandbox.write("gate.yaml", "version: 1\naccept: suite\n");
    let said = sandbox.run(&["gate", "new", "--baseline", "old", "--gate", "gate.yaml"]).expect(0).stdout;
    assert!(said.contains("accepted suite"), "{said}");
}

#[test]
fn hostile_names_are_inert_on_the_terminal() {
    let sandbox = Sandbox::new();
    let (mut old, mut new) = (fixture::hostile(), fixture::hostile());
    old.header.id = "old".into();
    new.header.id = "::set-output name=x::y".into();
    for record in [&mut old, &mut new] {
        record.header.plan.cases.clone_from(&record.measurements.iter().map(|m| m.case.clone()).collect());
    }
    put_record(&sandbox, "old", &old);
    put_record(&sandbox, "new", &new);
    let ran = sandbox.run(&["--color", "never", "gate", "new", "--baseline", "old"]);
    assert!(ran.code == Some(0) || ran.code == Some(3), "{:?} {}", ran.code, ran.stderr);
    assert!(!ran.stdout.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{}", ran.stdout);
    assert!(!ran.stdout.lines().any(|l| l.trim_start().starts_with("::")), "{}", ran.stdout);
}
