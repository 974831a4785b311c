//! Malformed and hostile input: a clear error with its place, the right exit code, no panic.

use crate::support::{Sandbox, header};

#[test]
fn every_mistake_of_a_suite_is_shown_with_its_place() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "bad.yaml",
        "version: 1\nsuite: bad\ntitle: Bad\nprofil: quick\ncases:\n  - kernel: gem\n    matrix: { shape: [8x8x8] }\n  \
         - kernel: triad\n    matrix: { bytes: -4 MiB }\n",
    );
    let ran = sandbox.run(&["run", "bad.yaml"]).expect(2);
    for words in ["bad.yaml:4:1", "profile", "bad.yaml:6:13", "gemm", "bad.yaml:9:", "^"] {
        assert!(ran.stderr.contains(words), "no `{words}` in:\n{}", ran.stderr);
    }
    assert!(!sandbox.path("reports").exists());
}

#[test]
fn hostile_suites_are_refused_quickly() {
    let sandbox = Sandbox::new();
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for i in 1..9 {
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(","));
    }
    let axis = format!("[{}]", (1..=1000).map(|i| i.to_string()).collect::<Vec<_>>().join(","));
    let explosion = format!(
        "version: 1\nsuite: big\ntitle: Big\nprofile: quick\ncases:\n  - kernel: gemm\n    matrix: {{ m: {axis}, n: {axis}, k: {axis} }}\n"
    );
    let suites: [(&str, Vec<u8>); 8] = [
        ("bomb", bomb.into_bytes()),
        ("explosion", explosion.into_bytes()),
        ("empty", Vec::new()),
        ("binary", vec![0xff, 0xfe, 0x00, 0x01]),
        ("deep", "[".repeat(10_000).into_bytes()),
        ("nan", b"version: 1\nsuite: n\ntitle: N\nprofile: quick\ncases:\n  - kernel: spmv-csr\n    matrix: { m: 8, k: 8, density: .nan }\n".to_vec()),
        ("tabs", b"version: 1\n\tsuite: t\n".to_vec()),
        ("list", b"- 1\n- 2\n".to_vec()),
    ];
    for (name, text) in suites {
        let path = sandbox.write(&format!("{name}.yaml"), text);
        let ran = sandbox.run(&["run", path.to_str().unwrap(), "--dry-run"]).expect(2);
        assert!(ran.stderr.contains(&format!("{name}.yaml")), "{name}: {}", ran.stderr);
    }
}

#[test]
fn missing_files_and_wrong_arguments() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    sandbox.run(&["run", "no-such.yaml"]).expect(2).says(&["no-such.yaml"]);
    sandbox.run(&["run"]).expect(2);
    sandbox.run(&["run", "tiny.yaml", "--format", "xml"]).expect(2);
    sandbox.run(&["doctr"]).expect(2).says(&["doctor"]);
    sandbox.run(&["report", "no-such-record"]).expect(2).says(&["no-such-record"]);
    sandbox.run(&["run", "--resume", "no-such-record"]).expect(2).says(&["no-such-record"]);
}

#[test]
fn an_output_folder_that_cannot_be_written_is_named() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    sandbox.write("file", "not a folder");
    sandbox.run(&["run", "tiny.yaml", "--out", "file/out"]).expect(2).says(&["file/out"]);
    sandbox.run(&["run", "tiny.yaml", "--out", "/proc/out"]).expect(2).says(&["/proc/out"]);
    sandbox.run(&["run", "tiny.yaml", "--out", "out"]).expect(0);
    let before = header(&sandbox.path("out"));
    sandbox.run(&["run", "tiny.yaml", "--out", "out"]).expect(2).says(&["holds a record already"]);
    assert_eq!(header(&sandbox.path("out")), before, "an old record is never overwritten");
}

#[test]
fn a_full_disk_loses_nothing_that_was_measured() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    // A file size limit acts like a full disk: the write that crosses it fails.
    let binary = env!("CARGO_BIN_EXE_wattproof");
    let script = format!("trap '' XFSZ; ulimit -f 24; exec {binary} run tiny.yaml --out out");
    let mut shell = std::process::Command::new("bash");
    let output = shell.args(["-c", &script]).current_dir(sandbox.path("")).output().unwrap();
    let ran = crate::support::Ran::from(output);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert_ne!(ran.code, Some(0), "24 blocks cannot hold a record with its reports");
    assert!(ran.stderr.contains("out"), "{}", ran.stderr);
    // Whatever was written reads.
    if sandbox.path("out/record.json").exists() {
        sandbox.run(&["report", "out", "--out", "again"]).expect(0);
    }
}

#[test]
fn unreadable_records_name_the_place() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    sandbox.run(&["run", "tiny.yaml", "--out", "out"]).expect(0);
    let record = sandbox.path("out/record.json");
    let samples = sandbox.path("out/samples.jsonl");
    let good = header(&sandbox.path("out"));
    let lines = std::fs::read_to_string(&samples).unwrap();

    let mut newer = good.clone();
    newer["schema"] = 99.into();
    std::fs::write(&record, newer.to_string()).unwrap();
    sandbox.run(&["report", "out"]).expect(2).says(&["schema 99", "newer wattproof"]);

    std::fs::write(&record, &good.to_string()[..200]).unwrap();
    sandbox.run(&["report", "out"]).expect(2).says(&["record.json:1:"]);

    let mut open = good.clone();
    open["samples"] = serde_json::Value::Null;
    std::fs::write(&record, open.to_string()).unwrap();
    std::fs::write(&samples, lines.replacen("\"wall_s\"", "\"wall\"", 1)).unwrap();
    sandbox.run(&["report", "out"]).expect(2).says(&["samples.jsonl:1:", "wall_s"]);

    std::fs::write(&record, good.to_string()).unwrap();
    std::fs::write(&samples, lines.replacen("\"iterations\":", "\"iterations\":1", 1)).unwrap();
    sandbox.run(&["report", "out"]).expect(2).says(&["changed after the run"]);
}
