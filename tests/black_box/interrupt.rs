//! Ctrl-C, kill -9, resume: nothing that was measured is lost.

use crate::support::{Sandbox, events, header, of_kind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A run that lasts some seconds, so that it can be caught in the middle.
const SLOW: &str = "settings: { repeats: 8, window_floor: 120 ms, idle: 60 ms, warm_up_min: 2 ms, warm_up_max: 20 ms, \
     probe: 2 ms, probe_size: 4 MiB, retries: 0, foreign_load_limit: 1, steal_limit: 1, bootstrap_resamples: 200 }";

fn samples(out: &Path) -> usize {
    if out.join("samples.jsonl").exists() { of_kind(&events(out), "sample").len() } else { 0 }
}

/// Starts the slow run and waits until it has taken some samples.
fn started(sandbox: &Sandbox) -> Child {
    sandbox.suite("slow", SLOW);
    let mut child = sandbox
        .command(&["run", "slow.yaml", "--out", "out"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..600 {
        if samples(&sandbox.path("out")) >= 4 {
            return child;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("no samples after 12 s");
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn resume_to_the_end(sandbox: &Sandbox) {
    sandbox.run(&["run", "--resume", "out"]).expect(0);
    let out = sandbox.path("out");
    assert_eq!(header(&out)["state"], "complete");
    let events = events(&out);
    let mut taken: Vec<(String, u64)> = of_kind(&events, "sample")
        .iter()
        .map(|s| (s["case"].as_str().unwrap().to_owned(), s["repeat"].as_u64().unwrap()))
        .collect();
    let all = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), all, "no repeat is measured twice");
    let cases = header(&out)["plan"]["cases"].as_array().unwrap().len();
    assert_eq!(all, cases * 8);
    assert_eq!(of_kind(&events, "resumed").len(), 1);
    sandbox.run(&["run", "--resume", "out"]).expect(2).says(&["complete"]);
}

#[test]
fn ctrl_c_ends_cleanly_and_resume_finishes() {
    let sandbox = Sandbox::new();
    let child = started(&sandbox);
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let out = sandbox.path("out");
    assert_eq!(header(&out)["state"], "interrupted");
    assert!(out.join("report.html").exists(), "a partial record has a report too");
    assert!(samples(&out) >= 4);
    resume_to_the_end(&sandbox);
}

#[test]
fn kill_9_leaves_a_record_that_reads_and_resume_finishes() {
    let sandbox = Sandbox::new();
    let mut child = started(&sandbox);
    signal(&child, "-KILL");
    child.wait().unwrap();
    let out = sandbox.path("out");
    assert_eq!(header(&out)["state"], "running");
    // The worst moment: half a line was written.
    let file = std::fs::OpenOptions::new().append(true).open(out.join("samples.jsonl"));
    std::io::Write::write_all(&mut file.unwrap(), b"{\"event\":\"sample\",\"case\":\"ge").unwrap();
    let ran = sandbox.run(&["report", "out"]).expect(0);
    assert!(ran.stdout.contains("gemm-f32"), "{}", ran.stdout);
    resume_to_the_end(&sandbox);
}

#[test]
fn another_machines_record_is_not_resumed() {
    let sandbox = Sandbox::new();
    let mut child = started(&sandbox);
    signal(&child, "-KILL");
    child.wait().unwrap();
    let path = sandbox.path("out/record.json");
    let mut other = header(&sandbox.path("out"));
    other["environment"]["cpu"]["model"] = "A CPU that was never sold".into();
    std::fs::write(&path, serde_json::to_vec(&other).unwrap()).unwrap();
    sandbox.run(&["run", "--resume", "out"]).expect(2).says(&["another machine", "never sold"]);
}
