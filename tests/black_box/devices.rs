//! Devices besides the processor: looked for, planned, run where there is one, and never certified where it is software.

use crate::skip::skip;
use crate::support::{FAST, Ran, Sandbox, events, header, of_kind};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Small cases of every kernel that has a program for any card.
const CASES: &str = "cases:
  - { kernel: gemm, with: { shape: 65x68x36, dtype: f32 } }
  - { kernel: triad, with: { bytes: 1 MiB, dtype: f32 } }
  - { kernel: spmv-csr, with: { shape: 300x200, density: 5 %, dtype: f32 } }
";

fn suite(sandbox: &Sandbox, devices: &str) -> PathBuf {
    let head = format!("version: 1\nsuite: on-devices\nprofile: quick\ndevices: {devices}\n{FAST}\n");
    sandbox.write("on-devices.yaml", head + CASES)
}

/// The software renderer as `list devices` shows it; `None` after saying why there is none.
fn software(sandbox: &Sandbox, what: &str) -> Option<Value> {
    let families = sandbox.run(&["list", "devices", "--format", "json"]).expect(0).json();
    let family = families.as_array().unwrap().iter().find(|f| f["family"] == "wgpu").unwrap().clone();
    let devices = family["devices"].as_array().cloned().unwrap_or_default();
    let found = devices.into_iter().find(|d| d["software"] == true);
    if found.is_none() {
        let why =
            family["reason"].as_str().unwrap_or("no software renderer (lavapipe: mesa-vulkan-drivers) is installed");
        skip(what, why);
    }
    found
}

/// The command on a machine without a driver of any card.
fn without_drivers(sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = sandbox.command(args);
    for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env(name, "/nonexistent");
    }
    command
}

#[test]
fn a_machine_without_a_driver_skips_with_reasons_and_ends_with_6() {
    let sandbox = Sandbox::new();
    let path = suite(&sandbox, "['cuda:*', 'wgpu:*', 'wgpu:software']");
    let path = path.to_str().unwrap();
    let listed = Ran::from(without_drivers(&sandbox, &["list", "devices"]).output().unwrap());
    let listed = listed.expect(0).stdout;
    assert!(listed.contains("absent") && listed.contains("no adapter answered"), "{listed}");
    let ran = Ran::from(without_drivers(&sandbox, &["run", path]).output().unwrap());
    let ran = ran.expect(6).says(&["no case is left to run", "there is no wgpu device: no adapter answered"]);
    assert!(ran.stderr.contains("gemm-f32-m65-n68-k36-cuda: there is no"), "{}", ran.stderr);
    // With a processor in the list there is something to run.
    let both = suite(&sandbox, "[cpu, 'wgpu:*']");
    let plan = without_drivers(&sandbox, &["run", both.to_str().unwrap(), "--dry-run", "--format", "json"]);
    let plan = Ran::from({ plan }.output().unwrap()).expect(0).json();
    assert_eq!(plan["skips"].as_array().unwrap().len(), 3, "{plan}");
    assert!(plan["cases"].as_array().unwrap().iter().all(|c| c.get("device").is_none()), "{plan}");
}

#[test]
fn another_machines_root_has_no_devices_of_this_one() {
    let sandbox = Sandbox::new();
    let root = sandbox.path("root");
    std::fs::create_dir_all(&root).unwrap();
    let report = sandbox.run(&["doctor", "--sysfs-root", root.to_str().unwrap(), "--format", "json"]).expect(0).json();
    let families = report["devices"].as_array().unwrap();
    assert!(families.iter().any(|f| f["family"] == "wgpu"));
    assert!(families.iter().all(|f| f["state"] == "absent"), "{families:?}");
}

#[test]
fn a_software_device_is_right_says_so_everywhere_and_is_refused() {
    let sandbox = Sandbox::new();
    let what = "a run on a software renderer, from suite to refusal";
    let Some(device) = software(&sandbox, what) else { return };
    let path = suite(&sandbox, "['wgpu:*']");
    let path = path.to_str().unwrap();
    if sandbox.run(&["run", path, "--dry-run"]).code == Some(0) {
        return skip(what, "a card is here as well");
    }
    // It has to be asked for.
    sandbox.run(&["run", path]).expect(6).says(&["--allow-software", device["name"].as_str().unwrap()]);
    let ran = sandbox.run(&["run", path, "--allow-software", "--out", "record"]).expect(0);
    assert!(ran.stdout.contains("software-device"), "{}", ran.stdout);
    let record = sandbox.path("record");
    let head = header(&record);
    assert_eq!(head["devices"][0]["id"], "wgpu:software", "{head}");
    assert_eq!(head["devices"][0]["software"], true);
    assert_eq!(head["devices"][0]["name"], device["name"]);
    let events = events(&record);
    let prepared = of_kind(&events, "prepared");
    assert_eq!(prepared.len(), 3);
    for event in prepared {
        assert_eq!(event["device"], "wgpu:software");
        assert_eq!(event["program"]["software"], true);
        assert!(event["program"]["path"].as_str().unwrap().starts_with("wgsl/"), "{event}");
        assert!(event["canary"]["error"].as_f64().unwrap() <= event["canary"]["limit"].as_f64().unwrap());
    }
    let samples = of_kind(&events, "sample");
    assert_eq!(samples.len(), 6);
    for sample in samples {
        assert!(sample["case"].as_str().unwrap().ends_with("-wgpu-software"), "{sample}");
        let correct = &sample["correctness"];
        assert!(correct["error"].as_f64().unwrap() <= correct["limit"].as_f64().unwrap(), "{sample}");
        if let Some(time) = sample["device_s"].as_f64() {
            assert!(time > 0.0 && time <= sample["wall_s"].as_f64().unwrap() * 1.05, "{sample}");
        }
    }
    for report in ["report.md", "report.html", "report.json"] {
        let text = std::fs::read_to_string(record.join(report)).unwrap();
        assert!(text.contains("software-device") || text.contains("is software on the processor"), "{report}");
    }
    sandbox.run(&["certify", "record", "--out", "bundle"]).expect(3);
    let text = std::fs::read_to_string(sandbox.path("bundle").join("certificate.json")).unwrap();
    let decided: Value = serde_json::from_str(&text).unwrap();
    let findings = decided["findings"].as_array().unwrap();
    let refused = findings.iter().find(|f| f["code"] == "software-device" && f["status"] == "fail");
    let refused = refused.unwrap_or_else(|| panic!("{findings:?}"));
    assert!(refused["observed"].as_str().unwrap().starts_with("ran on wgpu:software"), "{refused}");
}

#[test]
fn a_fault_on_a_device_voids_its_case_alone() {
    let sandbox = Sandbox::new();
    if software(&sandbox, "faults on a device").is_none() {
        return;
    }
    let path = suite(&sandbox, "['wgpu:software']");
    let args = ["run", path.to_str().unwrap(), "--out", "record", "--inject", "device-failure=gemm*"];
    sandbox.run(&args).expect(5);
    let events = events(&sandbox.path("record"));
    let voids = of_kind(&events, "void");
    assert_eq!(voids.len(), 1);
    assert_eq!(voids[0]["reason"], "wgpu:software failed: injected failure");
    assert!(of_kind(&events, "sample").iter().any(|s| s["case"].as_str().unwrap().starts_with("triad")));
}

#[test]
fn every_answer_of_a_device_is_checked_without_timing() {
    let sandbox = Sandbox::new();
    if software(&sandbox, "answers of a device").is_none() {
        return;
    }
    let path = suite(&sandbox, "[cpu, 'wgpu:software']");
    let args = ["run", path.to_str().unwrap(), "--verify", "--format", "json", "--case", "*wgpu-software"];
    let answers = sandbox.run(&args).expect(0).json();
    assert_eq!((answers["checked"].as_u64(), answers["wrong"].as_u64()), (Some(3), Some(0)), "{answers}");
}
