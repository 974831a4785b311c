//! `compare`: records and folders, arms, what is left out, what cannot be read.

use crate::support::Sandbox;
use std::path::PathBuf;
use wattproof::record::{RunRecord, fixture};

fn put(sandbox: &Sandbox, name: &str, record: &RunRecord) -> PathBuf {
    let (header, samples) = fixture::on_disk(record);
    sandbox.write(&format!("{name}/samples.jsonl"), samples);
    sandbox.write(&format!("{name}/record.json"), header).parent().unwrap().to_owned()
}

fn rivals(sandbox: &Sandbox, dir: &str, count: u32) {
    let template = fixture::with_rapl();
    for number in 0..count {
        put(sandbox, &format!("{dir}/{number}"), &fixture::rival(&template, number));
    }
}

#[test]
fn a_folder_is_ranked_and_four_files_say_so() {
    let sandbox = Sandbox::new();
    rivals(&sandbox, "lab", 3);
    let out = sandbox.run(&["compare", "lab", "--out", "vs"]).expect(0).stdout;
    let place = |what: &str| out.find(what).unwrap_or_else(|| panic!("{what}: {out}"));
    assert!(place("simulated ") < place(" Rank "), "caveats first: {out}");
    assert!(out.contains("Comparison of 3 records") && out.contains("× reference"), "{out}");
    let formats = ["html", "json", "md"].into_iter().chain(cfg!(feature = "pdf").then_some("pdf"));
    let read = || formats.clone().map(|f| std::fs::read(sandbox.path(&format!("vs/compare.{f}"))).unwrap()).collect();
    let first: Vec<Vec<u8>> = read();
    sandbox.run(&["compare", "lab", "--out", "vs"]).expect(0);
    assert_eq!(first, read(), "the same bytes again");
    let json = sandbox.run(&["compare", "lab", "--only", "json", "--out", "j", "--format", "json"]).expect(0).json();
    assert_eq!((json["schema"].as_u64(), json["arms"].as_array().unwrap().len()), (Some(1), 3));
    assert!(!sandbox.path("j/compare.html").exists());
    // Without --out the id names the folder.
    sandbox.run(&["compare", "lab", "--only", "markdown"]).expect(0);
    assert!(sandbox.path(&format!("reports/{}/compare.md", json["id"].as_str().unwrap())).exists());
}

#[test]
fn what_cannot_be_read_is_listed_and_left_out() {
    let sandbox = Sandbox::new();
    rivals(&sandbox, "lab", 2);
    put(&sandbox, "lab/copy", &fixture::rival(&fixture::with_rapl(), 0));
    sandbox.write("lab/foreign/record.json", "{\"hello\": 1}");
    sandbox.write("lab/foreign/samples.jsonl", "");
    sandbox.write("lab/cut/record.json", "{\"schema\": 1, ");
    sandbox.write("lab/future/record.json", "{\"schema\": 999}");
    sandbox.write("lab/future/samples.jsonl", "");
    let altered = put(&sandbox, "lab/altered", &fixture::rival(&fixture::with_rapl(), 7));
    std::fs::write(altered.join("samples.jsonl"), "").unwrap();
    let args = ["compare", "lab", "absent", "--only", "json", "--out", "o"];
    let out = sandbox.run(&args).expect(0).stdout;
    for words in [
        "a second record with the id 20261122T000000Z-reference-0000",
        "record schema 999",
        "not a valid record",
        "was changed after the run",
        "absent holds no record",
    ] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let json = sandbox.run(&[&args[..], &["--format", "json"]].concat()).expect(0).json();
    assert_eq!((json["arms"].as_array().unwrap().len(), json["skipped"].as_array().unwrap().len()), (2, 6));
}

#[test]
fn fewer_than_two_arms_is_exit_code_2_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    rivals(&sandbox, "lab", 1);
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.run(&["compare", "lab/0"]).expect(2).says(&["one record to compare", "--by dtype"]);
    sandbox.run(&["compare", "empty"]).expect(2).says(&["no record to compare", "no record.json in it"]);
    sandbox.run(&["compare", "lab", "absent"]).expect(2).says(&["absent holds no record"]);
    sandbox.run(&["compare", "lab", "--by", "vendor"]).expect(2).says(&["only one arm", "`AMD` alone"]);
    sandbox.run(&["compare", "lab", "--by", "vendor", "--reference", "Intel"]).expect(2).says(&["no arm is called"]);
    sandbox.run(&["compare", "lab", "lab", "--run-to-run", "2"]).expect(2).says(&["write a percentage"]);
    sandbox.run(&["compare", "lab", "lab", "--only", "docx"]).expect(2).says(&["there are html"]);
    assert!(!sandbox.path("reports").exists());
}

#[test]
fn what_may_not_be_compared_is_exit_code_3_unless_accepted() {
    let sandbox = Sandbox::new();
    rivals(&sandbox, "lab", 1);
    let mut other = fixture::rival(&fixture::with_rapl(), 1);
    other.header.suite.id = "another".into();
    put(&sandbox, "other", &other);
    sandbox.run(&["compare", "lab/0", "other"]).expect(3).says(&["cannot be compared", "its suite is another"]);
    let out = sandbox.run(&["compare", "lab/0", "other", "--accept", "suite", "--out", "o"]).expect(0).stdout;
    assert!(out.contains("suite-differs"), "{out}");
}

#[test]
fn one_record_has_its_element_types_compared() {
    let sandbox = Sandbox::new();
    put(&sandbox, "one", &fixture::fifty_cases());
    let out = sandbox.run(&["compare", "one", "--by", "dtype", "--out", "o", "--only", "html"]).expect(0).stdout;
    assert!(out.contains("Comparison of 2 element types") && out.contains("f32 certainly has"), "{out}");
    assert!(out.contains("only f32 has it") && out.contains("more were left out"), "{out}");
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let sandbox = Sandbox::new();
    for number in 0..2 {
        let mut record = fixture::hostile();
        record.header.id = format!("{} {number}", fixture::HOSTILE);
        put(&sandbox, &format!("h{number}"), &record);
    }
    let ran = sandbox.run(&["compare", "h0", "h1", "--out", "o"]).expect(0);
    assert!(!ran.stdout.chars().any(|c| c.is_control() && c != '\n'), "{:?}", ran.stdout);
    assert!(!ran.stdout.contains('\u{202e}'), "{:?}", ran.stdout);
}
