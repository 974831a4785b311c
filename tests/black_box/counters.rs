//! Runs over a powercap tree that is driven by a known power: the figures have a truth.

use crate::skip::skip;
use crate::support::{Ran, Sandbox, events, header, of_kind};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

const ZONES: [&str; 3] = [
    // Wraps after 8 J, so within the first 0.2 s.
    "intel-rapl/intel-rapl:0=package-0,power=65,start=262135328850",
    "intel-rapl/intel-rapl:0/intel-rapl:0:0=core,power=40",
    "intel-rapl/intel-rapl:0/intel-rapl:0:1=dram,power=5.5,range=65712999613",
];

/// Short windows, so that the 1 ms counter decides their length; retries for a busy machine.
const SETTINGS: &str = "settings: { repeats: 3, window_floor: 30 ms, idle: 200 ms, warm_up_min: 5 ms, warm_up_max: 40 ms, \
     probe: 5 ms, probe_size: 4 MiB, retries: 2, foreign_load_limit: 1, steal_limit: 1, bootstrap_resamples: 200 }";

/// As above, long enough for something to happen in the middle.
const LONG: &str = "settings: { repeats: 10, window_floor: 120 ms, idle: 100 ms, warm_up_min: 5 ms, warm_up_max: 20 ms, \
     probe: 5 ms, probe_size: 4 MiB, retries: 2, foreign_load_limit: 1, steal_limit: 1, bootstrap_resamples: 200 }";

fn double_path(file: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join("examples").join(file);
    assert!(path.exists(), "{} is missing: build it with `cargo build --release --examples`", path.display());
    path
}

/// A tree that is driven until the value is dropped.
struct Tree {
    child: Child,
    _input: ChildStdin,
}

impl Tree {
    fn start(root: &Path, zones: &[&str]) -> Self {
        let mut child = Command::new(double_path("powercap_double"))
            .arg(root.join("sys/class/powercap"))
            .args(zones)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        let input = child.stdin.take().unwrap();
        Self { child, _input: input }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Total energy over total time of one domain, in watts.
fn power(events: &[Value], domain: &str) -> f64 {
    let (mut joules, mut seconds) = (0.0, 0.0);
    for sample in of_kind(events, "sample") {
        for span in sample["energy"].as_array().unwrap().iter().filter(|s| s["domain"] == domain) {
            joules += span["energy_uj"].as_str().unwrap().parse::<f64>().unwrap() / 1e6;
            seconds += (span["to"].as_f64().unwrap() - span["from"].as_f64().unwrap()) / 1e9;
        }
    }
    assert!(seconds > 0.0, "no span of {domain}");
    joules / seconds
}

fn case<'a>(report: &'a Value, kernel: &str) -> &'a Value {
    let cases = report["cases"].as_array().unwrap();
    cases.iter().find(|c| c["kernel"] == kernel).unwrap_or_else(|| panic!("no {kernel} in {cases:?}"))
}

#[test]
fn energy_agrees_with_the_power_that_drives_the_counters() {
    let sandbox = Sandbox::new();
    sandbox.suite("counted", SETTINGS);
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let ran = sandbox
        .run(&[
            "run",
            "counted.yaml",
            "--out",
            "out",
            "--sysfs-root",
            "root",
            "--require",
            "energy",
            "--format",
            "json",
        ])
        .expect(0);
    let out = sandbox.path("out");
    assert!(header(&out)["simulated"][0].as_str().unwrap().contains("root"), "a redirected root is simulated");
    let events = events(&out);
    for (domain, truth) in [("package-0", 65.0), ("cores-0", 40.0), ("dram-0", 5.5)] {
        let measured = power(&events, domain);
        assert!((measured / truth - 1.0).abs() < 0.03, "{domain}: {measured} W, truth {truth} W");
    }
    let wraps: u64 = of_kind(&events, "idle")
        .iter()
        .chain(&of_kind(&events, "sample"))
        .flat_map(|e| e["energy"].as_array().unwrap())
        .map(|s| s["wraps"].as_u64().unwrap())
        .sum();
    assert!(wraps <= 1, "{wraps} wraps");
    assert!(!of_kind(&events, "trace").is_empty(), "the sampler wrote no power trace");
    assert_eq!(of_kind(&events, "sampler").len(), 1);
    // Cores lie inside the package: the rated boundary is package + memory.
    let report = ran.json();
    let figure = &case(&report, "triad")["energy"]["power_w"];
    let text = figure.to_string();
    let median =
        find_number(figure, "median").or_else(|| find_number(figure, "value")).unwrap_or_else(|| panic!("{text}"));
    assert!((median / 70.5 - 1.0).abs() < 0.03, "{median} W, truth 70.5 W: {text}");
}

/// The number at `key`, anywhere in `value`.
fn find_number(value: &Value, key: &str) -> Option<f64> {
    match value {
        Value::Object(map) => {
            map.get(key).and_then(Value::as_f64).or_else(|| map.values().find_map(|v| find_number(v, key)))
        }
        Value::Array(items) => items.iter().find_map(|v| find_number(v, key)),
        _ => None,
    }
}

#[test]
fn without_a_counter_energy_is_unknown_and_never_zero() {
    let sandbox = Sandbox::new();
    sandbox.tiny_suite();
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    let ran = sandbox.run(&["run", "tiny.yaml", "--out", "out", "--sysfs-root", "empty"]).expect(0);
    assert!(ran.stdout.contains("not measured"), "{}", ran.stdout);
    for sample in of_kind(&events(&sandbox.path("out")), "sample") {
        assert_eq!(sample["energy"], serde_json::json!([]));
    }
    let refused = sandbox
        .run(&["run", "tiny.yaml", "--out", "refused", "--sysfs-root", "empty", "--require", "energy"])
        .expect(6);
    assert!(refused.stderr.contains("powercap"), "{}", refused.stderr);
    assert!(!sandbox.path("refused").exists(), "nothing is measured that will not be accepted");
}

#[test]
fn a_sensor_that_vanishes_ends_no_run_and_loses_nothing() {
    let sandbox = Sandbox::new();
    sandbox.suite("long", LONG);
    let zones = ["intel-rapl/intel-rapl:0=package-0,power=65,vanish-at=1.6"];
    let tree = Tree::start(&sandbox.path("root"), &zones);
    sandbox.run(&["run", "long.yaml", "--out", "out", "--sysfs-root", "root"]).expect(0).says(&["sensor lost"]);
    drop(tree);
    let out = sandbox.path("out");
    let events = events(&out);
    assert_eq!(of_kind(&events, "sensor-lost").len(), 1);
    let samples = of_kind(&events, "sample");
    let with = samples.iter().filter(|s| !s["energy"].as_array().unwrap().is_empty()).count();
    let without = samples.len() - with;
    assert!(with > 0 && without > 0, "{with} samples with energy, {without} without");
    assert!((power(&events, "package-0") / 65.0 - 1.0).abs() < 0.03);
    assert_eq!(header(&out)["state"], "complete");
}

#[test]
fn a_counter_that_is_set_back_spoils_its_window_only() {
    let sandbox = Sandbox::new();
    sandbox.suite("long", LONG);
    let zones = ["intel-rapl/intel-rapl:0=package-0,power=65,start=200000000000,reset-at=1.6"];
    let _tree = Tree::start(&sandbox.path("root"), &zones);
    sandbox.run(&["run", "long.yaml", "--out", "out", "--sysfs-root", "root"]).expect(0);
    let events = events(&sandbox.path("out"));
    let samples = of_kind(&events, "sample");
    let flagged: Vec<_> = samples.iter().filter(|s| s["flags"].to_string().contains("counter-reset")).collect();
    assert!(flagged.len() <= 1, "one reset spoils at most one window: {}", flagged.len());
    for sample in &flagged {
        assert_eq!(sample["energy"], serde_json::json!([]), "a window across a reset has no energy");
    }
    assert!((power(&events, "package-0") / 65.0 - 1.0).abs() < 0.03);
}

#[test]
fn doctor_shows_a_counter_with_its_update_period() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let report = sandbox.run(&["doctor", "--format", "json", "--sysfs-root", "root"]).expect(0).json();
    let rapl = report["sensors"].as_array().unwrap().iter().find(|s| s["id"] == "rapl").unwrap();
    assert_eq!(rapl["state"], "ready");
    let period = rapl["info"]["channels"][0]["update_period_s"].as_f64().unwrap();
    assert!((0.0005..0.01).contains(&period), "τ = {period} s, the double updates every 0.976 ms");
}

#[test]
fn a_gpu_is_read_beside_the_cpu_and_lost_without_losing_the_run() {
    let sandbox = Sandbox::new();
    // Some 6 s, so that the loss at second 4 falls between the windows on any machine.
    sandbox.suite("long", &LONG.replace("repeats: 10", "repeats: 24"));
    std::fs::copy(double_path("libnvml_double.so"), sandbox.path("libnvidia-ml.so")).unwrap();
    let script = "gpu Test GPU\npower 0 100000\nperiod-ms 20\nenergy-start-mj 5000000\nlost-at 4\n";
    sandbox.write("libnvidia-ml.script", script);
    let library = sandbox.path("libnvidia-ml.so");
    let library = library.to_str().unwrap();
    let doctor = sandbox.run(&["doctor", "--format", "json", "--nvml-library", library]).expect(0).json();
    let nvml = doctor["sensors"].as_array().unwrap().iter().find(|s| s["id"] == "nvml").unwrap();
    assert_eq!(nvml["state"], "ready", "{nvml}");
    sandbox.run(&["run", "long.yaml", "--out", "out", "--nvml-library", library]).expect(0).says(&["sensor lost"]);
    let out = sandbox.path("out");
    let events = events(&out);
    let domains: std::collections::BTreeSet<&str> = of_kind(&events, "sample")
        .iter()
        .flat_map(|s| s["energy"].as_array().unwrap())
        .map(|span| span["domain"].as_str().unwrap())
        .collect();
    let gpu = domains.iter().find(|d| d.starts_with("gpu-")).unwrap_or_else(|| panic!("no GPU in {domains:?}"));
    let measured = power(&events, gpu);
    assert!((measured / 100.0 - 1.0).abs() < 0.1, "{measured} W, truth 100 W");
    assert_eq!(of_kind(&events, "sensor-lost").len(), 1);
    assert_eq!(header(&out)["state"], "complete");
    // A GPU's counter says nothing of the CPU that did the work.
    sandbox.run(&["run", "long.yaml", "--out", "no", "--nvml-library", library, "--require", "energy"]).expect(6);
}

/// The path that can be certified: the kernel's own place, read by `rapl-energy`.
#[test]
#[cfg(feature = "rapl-energy")]
fn counters_at_the_real_path_are_read_by_rapl_energy_and_not_simulated() {
    let sandbox = Sandbox::new();
    sandbox.suite("counted", SETTINGS);
    let probe = Command::new("unshare").args(["-Urm", "mount", "-t", "tmpfs", "none", "/sys/class"]).output();
    match probe {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skip("RAPL at the real path", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => return skip("RAPL at the real path", &format!("unshare cannot be run: {error}")),
    }
    let script = format!(
        "set -e; mount -t tmpfs none /sys/class; mkdir /sys/class/powercap; mkfifo hold; \
         {} /sys/class/powercap {} < hold > ready & exec 9> hold; \
         until grep -q ready ready 2>/dev/null; do sleep 0.05; done; \
         exec {} run counted.yaml --out out --require energy",
        double_path("powercap_double").display(),
        ZONES.map(|z| format!("'{z}'")).join(" "),
        env!("CARGO_BIN_EXE_wattproof"),
    );
    let output = Command::new("unshare")
        .args(["-Urm", "--kill-child", "bash", "-c", &script])
        .current_dir(sandbox.path(""))
        .stdin(Stdio::null())
        .output();
    Ran::from(output.unwrap()).expect(0);
    let out = sandbox.path("out");
    let header = header(&out);
    assert_eq!(header["simulated"], serde_json::json!([]), "the real path is no simulation");
    let sensors = header["sensors"].to_string();
    assert!(sensors.contains("rapl-energy"), "{sensors}");
    let measured = power(&events(&out), "package-0");
    assert!((measured / 65.0 - 1.0).abs() < 0.03, "{measured} W, truth 65 W");
}
