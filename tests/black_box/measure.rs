//! `wattproof measure`: any command, over counters that a known power drives.

use crate::counters::{Tree, double_path};
use crate::support::Sandbox;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use wattproof::clock::Clock;

const ZONES: [&str; 3] = [
    // Wraps 130 J after its start, so after 2 s.
    "intel-rapl/intel-rapl:0=package-0,power=65,start=262013328850",
    "intel-rapl/intel-rapl:0/intel-rapl:0:0=core,power=40",
    "intel-rapl/intel-rapl:0/intel-rapl:0:1=dram,power=5.5,range=65712999613",
];

/// `measure` below the driven root, with `options` before and `command` after the `--`.
fn arguments<'a>(options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["measure", "--sysfs-root", "root"][..], options, &["--"], command].concat()
}

fn domain<'a>(result: &'a Value, name: &str) -> &'a Value {
    let domains = result["domains"].as_array().unwrap();
    domains.iter().find(|d| d["domain"] == name).unwrap_or_else(|| panic!("no {name} in {result}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn last_line(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap_or_else(|e| panic!("{e}:\n{text}"))
}

#[test]
fn energy_of_a_command_agrees_with_the_truth_over_a_wrap() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let ran = sandbox.run(&arguments(&["--format", "json"], &["sleep", "3"])).expect(0);
    let result = ran.json();
    assert_eq!((&result["schema"], &result["exit_code"]), (&Value::from(1), &Value::from(0)));
    let window = number(&result["window_s"]);
    assert!((3.0..3.5).contains(&window), "{window}");
    let ends = [&result["window_ns"][0], &result["window_ns"][1]].map(|ns| ns.as_u64().unwrap());
    assert!(((ends[1] - ends[0]) as f64 / 1e9 - window).abs() < 1e-6, "{ends:?}");
    for (name, watts, wraps) in [("package-0", 65.0, 1), ("cores-0", 40.0, 0), ("dram-0", 5.5, 0)] {
        let part = domain(&result, name);
        assert!((number(&part["power_w"]) / watts - 1.0).abs() < 0.01, "{part}");
        assert!((number(&part["energy_j"]) / (watts * window) - 1.0).abs() < 0.01, "{part}");
        assert_eq!((&part["method"], &part["wraps"]), (&Value::from("counter"), &Value::from(wraps)), "{part}");
        // 5 %/√3 of gain rules; alignment and quantisation may add a little.
        let share = number(&part["u_j"]) / number(&part["energy_j"]);
        assert!((0.0288..0.0295).contains(&share), "{part}");
        assert_eq!(part["k"], 2.0);
        let terms = &part["terms"];
        let squares: f64 = ["gain_j", "alignment_j", "quantisation_j"].map(|t| number(&terms[t]).powi(2)).iter().sum();
        assert!((squares.sqrt() / number(&part["u_j"]) - 1.0).abs() < 1e-9);
        assert_eq!(terms["scatter_j"], Value::Null, "the scatter of one run is not known");
    }
    assert_eq!(domain(&result, "cores-0")["inside"], "package-0");
    let total = &result["total"];
    assert_eq!(total["domains"], serde_json::json!(["package-0", "dram-0"]));
    let sum = number(&domain(&result, "package-0")["energy_j"]) + number(&domain(&result, "dram-0")["energy_j"]);
    assert!((number(&total["energy_j"]) - sum).abs() < 1e-9);
    assert!(result["simulated"][0].as_str().unwrap().contains("root"));
}

#[test]
fn the_commands_streams_are_its_own() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let shell = ["sh", "-c", "cat; echo problem >&2; exit 3"];
    let feed = |args: &[&str]| {
        let mut child =
            sandbox.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"data without a newline").unwrap();
        crate::support::Ran::from(child.wait_with_output().unwrap())
    };
    let text = feed(&arguments(&[], &shell)).expect(3).says(&["problem", "package-0", "± (k = 2)", "whole machine"]);
    assert_eq!(text.stdout, "data without a newline", "a pipe gets what the command writes and nothing else");
    assert!(text.stderr.find("problem") < text.stderr.find("package-0"), "{}", text.stderr);
    let nested: Vec<&str> = text.stderr.lines().filter(|l| l.contains("-0  ")).collect();
    assert!(nested.iter().any(|l| l.contains("   cores-0")), "what is inside is indented: {nested:?}");
    let file = feed(&arguments(&["--format", "json", "--output", "result.json"], &shell)).expect(3);
    assert_eq!((file.stdout.as_str(), file.stderr.as_str()), ("data without a newline", "problem\n"));
    let result: Value = serde_json::from_slice(&std::fs::read(sandbox.path("result.json")).unwrap()).unwrap();
    assert_eq!(result["exit_code"], 3);
    let json = sandbox.run(&arguments(&["--format", "json"], &["echo", "hello"])).expect(0);
    assert!(json.stdout.starts_with("hello\n{"), "{}", json.stdout);
    assert_eq!(last_line(&json.stdout)["command"], serde_json::json!(["echo", "hello"]));
}

#[test]
fn exit_codes_are_passed_on() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    for (script, code) in [("exit 0", 0), ("exit 6", 6), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
    {
        let ran = sandbox.run(&arguments(&["--format", "json"], &["sh", "-c", script])).expect(code);
        assert_eq!(ran.json()["exit_code"], code, "{script}");
    }
    sandbox.run(&arguments(&[], &["no-such-command-anywhere"])).expect(127).says(&["not found"]);
    sandbox.run(&arguments(&[], &["./no/such/file"])).expect(127).says(&["not found"]);
    sandbox.write("plain.txt", "text");
    sandbox.run(&arguments(&[], &["./plain.txt"])).expect(126).says(&["plain.txt", "cannot be executed"]);
    let short = sandbox.run(&arguments(&[], &["true"])).expect(0);
    assert!(short.stderr.contains("shorter than 20 update periods"), "{}", short.stderr);
}

#[test]
fn without_a_counter_the_command_is_not_started() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("root")).unwrap();
    sandbox.run(&arguments(&[], &["touch", "started"])).expect(6).says(&["powercap", "NVML", "not started"]);
    assert!(!sandbox.path("started").exists());
    let options = ["--allow-unmeasured", "--format", "json", "--prometheus", "m.prom"];
    let ran = sandbox.run(&arguments(&options, &["touch", "started"])).expect(0);
    assert!(sandbox.path("started").exists());
    let result = ran.json();
    assert_eq!((&result["domains"], &result["total"]["energy_j"]), (&serde_json::json!([]), &Value::Null));
    assert!(number(&result["window_s"]) > 0.0);
    assert!(result["missing_sensors"][0]["reason"].as_str().unwrap().contains("powercap"));
    let prometheus = std::fs::read_to_string(sandbox.path("m.prom")).unwrap();
    assert!(!prometheus.contains("joules") && prometheus.contains("wattproof_exit_code 0"), "{prometheus}");
    let text = sandbox.run(&arguments(&["--allow-unmeasured"], &["false"])).expect(1);
    assert!(text.stderr.contains("not measured") && !text.stderr.contains(" 0 J"), "{}", text.stderr);
}

#[test]
fn a_sensor_that_was_named_has_to_work() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let both = ["--sensors", "rapl,nvml", "--format", "json"];
    sandbox.run(&arguments(&both, &["touch", "started"])).expect(6).says(&["NVML"]);
    assert!(!sandbox.path("started").exists());
    let allowed = [&both[..], &["--allow-unmeasured"]].concat();
    let result = sandbox.run(&arguments(&allowed, &["sleep", "0.1"])).expect(0).json();
    assert!(number(&domain(&result, "package-0")["energy_j"]) > 0.0);
    assert_eq!(result["missing_sensors"][0]["sensor"], "nvml");
    sandbox.run(&arguments(&["--sensors", "rapl"], &["true"])).expect(0);
}

#[test]
fn a_counter_that_was_set_back_or_vanished_has_no_energy() {
    let cases = [
        ("intel-rapl/intel-rapl:0=package-0,power=65,start=200000000000,reset-at=1.5", "set back"),
        ("intel-rapl/intel-rapl:0=package-0,power=65,vanish-at=1.5", "vanished"),
    ];
    let measured = |zone: &str, word: &str| {
        let sandbox = Sandbox::new();
        let _tree = Tree::start(&sandbox.path("root"), &[zone]);
        let json = ["--format", "json", "--prometheus", "m.prom"];
        let result = sandbox.run(&arguments(&json, &["sh", "-c", "sleep 3; exit 4"])).expect(4).json();
        let package = domain(&result, "package-0");
        for key in ["energy_j", "u_j", "power_w", "wraps"] {
            assert_eq!(package[key], Value::Null, "{key}: {package}");
        }
        assert!(package["reason"].as_str().unwrap().contains(word), "{package}");
        assert_eq!(result["total"]["energy_j"], Value::Null);
        assert!(result["total"]["reason"].as_str().unwrap().contains("package-0"));
        let prometheus = std::fs::read_to_string(sandbox.path("m.prom")).unwrap();
        assert!(!prometheus.contains("energy"), "unknown figures have no series: {prometheus}");
    };
    std::thread::scope(|scope| {
        for (zone, word) in cases {
            scope.spawn(move || measured(zone, word));
        }
    });
}

#[test]
fn repeats_have_a_mean_and_a_spread() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let options = ["--repeat", "3", "--format", "json", "--idle", "400ms"];
    let result = sandbox.run(&arguments(&options, &["sleep", "0.4"])).expect(0).json();
    let runs = result["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    let energies: Vec<f64> = runs.iter().map(|r| number(&domain(r, "dram-0")["energy_j"])).collect();
    let mean = energies.iter().sum::<f64>() / 3.0;
    let spread = (energies.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let dram = domain(&result, "dram-0");
    assert_eq!(dram["n"], 3);
    assert!((number(&dram["energy_j"]) - mean).abs() < 1e-9);
    assert!((number(&dram["spread_j"]) - spread).abs() < 1e-9);
    assert!((number(&dram["terms"]["scatter_j"]) - spread / 3f64.sqrt()).abs() < 1e-9);
    // A sleeping command draws what the idle machine draws: net is nothing beside gross.
    let (net, gross) = (number(&result["total"]["net_energy_j"]), number(&result["total"]["energy_j"]));
    assert!(net.abs() < 0.1 * gross, "net {net} J of {gross} J");
    assert!((number(&result["idle"]["domains"][0]["power_w"]) / 65.0 - 1.0).abs() < 0.1);
    let text = sandbox.run(&arguments(&["--repeat", "2", "--idle", "100 ms"], &["sleep", "0.1"])).expect(0);
    for word in ["mean of 2 runs", "spread", "net", "exit code"] {
        assert!(text.stderr.contains(word), "no `{word}` in:\n{}", text.stderr);
    }
}

#[test]
fn a_failure_ends_the_series() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let script = "echo x >> count; test $(wc -l < count) -lt 2";
    let options = ["--repeat", "5", "--format", "json"];
    let ran = sandbox.run(&arguments(&options, &["sh", "-c", script])).expect(1).says(&["run 2 of 5", "no more runs"]);
    let result = ran.json();
    let codes: Vec<&Value> = result["runs"].as_array().unwrap().iter().map(|r| &r["exit_code"]).collect();
    assert_eq!(codes, [0, 1]);
    assert_eq!(result["exit_code"], 1);
}

fn wait_for(path: &Path) {
    let clock = Clock::start();
    while !path.exists() {
        assert!(clock.now().seconds().get() < 20.0, "no {}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn alive(pid: &str) -> bool {
    // A zombie is dead, whoever has yet to reap it.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

#[test]
fn signals_reach_the_whole_group_and_the_result_is_still_printed() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        // A process of the group that is no child of ours, and a shell that has no trap.
        let script = format!("sh -c 'echo $$ > pid-{name}; : > started-{name}; exec sleep 60'; exit 9");
        let child = sandbox
            .command(&arguments(&["--format", "json"], &["sh", "-c", &script]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for(&sandbox.path(&format!("started-{name}")));
        std::thread::sleep(Duration::from_millis(100));
        let sent = Clock::start();
        assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
        let ran = crate::support::Ran::from(child.wait_with_output().unwrap()).expect(128 + number);
        assert!(sent.now().seconds().get() < 20.0, "the command was waited for, not for its 60 s");
        assert_eq!(ran.json()["exit_code"], 128 + number);
        let pid = std::fs::read_to_string(sandbox.path(&format!("pid-{name}"))).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(!alive(pid.trim()), "SIG{name} did not reach the grandchild");
    }
}

#[test]
fn a_command_that_handles_a_signal_decides_itself() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let script = "trap 'echo handled; exit 7' TERM; : > started; while :; do sleep 0.05; done";
    let child = sandbox
        .command(&arguments(&["--repeat", "3"], &["sh", "-c", script]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&sandbox.path("started"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let ran =
        crate::support::Ran::from(child.wait_with_output().unwrap()).expect(7).says(&["package-0", "no more runs"]);
    assert_eq!(ran.stdout, "handled\n", "once, and no second run");
}

#[test]
fn a_signal_during_the_idle_window_starts_nothing() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let child = sandbox
        .command(&arguments(&["--idle", "60s", "--output", "out.txt"], &["touch", "started"]))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&sandbox.path("out.txt"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    crate::support::Ran::from(child.wait_with_output().unwrap()).expect(143).says(&["interrupted before"]);
    assert!(!sandbox.path("started").exists());
}

/// Name, labels and value.
type Series = (String, Vec<(String, String)>, f64);

/// Every series; fails on what is no Prometheus text.
fn prometheus(text: &str) -> Vec<Series> {
    let mut typed = std::collections::BTreeSet::new();
    let mut series = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(kind == "gauge" && typed.insert(name.to_owned()), "{line}");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (head, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
        assert!(typed.contains(name), "{name} has no type");
        let labels = labels.strip_suffix('}').unwrap();
        let pairs = labels.split(',').filter(|l| !l.is_empty()).map(|label| {
            let (key, value) = label.split_once('=').unwrap();
            (key.to_owned(), value.strip_prefix('"').unwrap().strip_suffix('"').unwrap().to_owned())
        });
        series.push((name.to_owned(), pairs.collect(), value.parse().unwrap()));
    }
    assert!(text.ends_with('\n'));
    series
}

#[test]
fn the_prometheus_file_has_the_figures_of_the_json() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let options = ["--format", "json", "--prometheus", "out/m.prom"];
    std::fs::create_dir(sandbox.path("out")).unwrap();
    let result = sandbox.run(&arguments(&options, &["sh", "-c", "sleep 0.2; exit 5"])).expect(5).json();
    let series = prometheus(&std::fs::read_to_string(sandbox.path("out/m.prom")).unwrap());
    let value = |name: &str, domain: Option<&str>| {
        let of_domain = |labels: &[(String, String)]| domain.is_none_or(|d| labels[0] == ("domain".into(), d.into()));
        let found = series.iter().find(|(n, labels, _)| n == &format!("wattproof_{name}") && of_domain(labels));
        found.unwrap_or_else(|| panic!("no {name} of {domain:?} in {series:?}")).2
    };
    for name in ["package-0", "cores-0", "dram-0"] {
        let part = domain(&result, name);
        for (metric, key) in [
            ("energy_joules", "energy_j"),
            ("energy_uncertainty_joules", "u_j"),
            ("power_watts", "power_w"),
            ("counter_wraps", "wraps"),
        ] {
            assert!((value(metric, Some(name)) - number(&part[key])).abs() < 1e-9, "{metric} of {name}");
        }
    }
    assert!((value("total_energy_joules", None) - number(&result["total"]["energy_j"])).abs() < 1e-9);
    assert!((value("window_seconds", None) - number(&result["window_s"])).abs() < 1e-9);
    assert!((value("exit_code", None) - 5.0).abs() < 1e-9 && (value("simulated", None) - 1.0).abs() < 1e-9);
    assert_eq!(std::fs::read_dir(sandbox.path("out")).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_trace_rises_with_time_and_covers_every_run() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let options = ["--format", "json", "--trace", "t.csv", "--hz", "200", "--repeat", "2"];
    let result = sandbox.run(&arguments(&options, &["sleep", "0.5"])).expect(0).json();
    let text = std::fs::read_to_string(sandbox.path("t.csv")).unwrap();
    assert_eq!(text.lines().next(), Some("run,t_s,domain,energy_j,power_w"));
    for run in ["1", "2"] {
        for (name, watts) in [("package-0", 65.0), ("dram-0", 5.5)] {
            let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|l| l.split(',').collect()).collect();
            let mine: Vec<(f64, f64)> = rows
                .iter()
                .filter(|r| r[0] == run && r[2] == name)
                .map(|r| (r[1].parse().unwrap(), r[3].parse().unwrap()))
                .collect();
            assert!(mine.len() > 20, "{} points of run {run}", mine.len());
            assert!(mine.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1), "{mine:?}");
            let (t, energy) = mine.last().unwrap();
            assert!((energy / (watts * t) - 1.0).abs() < 0.1, "{energy} J after {t} s");
        }
    }
    let points = result["trace"]["points"].as_u64().unwrap();
    assert_eq!(text.lines().count() as u64, points * 3 + 1, "one line a domain and point");
    let options = ["--trace", "t.jsonl", "--hz", "100"];
    sandbox.run(&arguments(&options, &["sleep", "0.3"])).expect(0);
    let text = std::fs::read_to_string(sandbox.path("t.jsonl")).unwrap();
    let points: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert!(points.len() > 5);
    assert!(points.windows(2).all(|w| number(&w[0]["t_s"]) < number(&w[1]["t_s"])));
    assert!(number(&domain(points.last().unwrap(), "cores-0")["energy_j"]) > 0.0);
}

#[test]
fn power_without_a_counter_is_integrated() {
    let sandbox = Sandbox::new();
    std::fs::copy(double_path("libnvml_double.so"), sandbox.path("libnvidia-ml.so")).unwrap();
    let script = "driver 580.82.07\ngpu NVIDIA H200\npower 0 250000\nperiod-ms 20\nwithout energy\n";
    sandbox.write("libnvidia-ml.script", script);
    let library = sandbox.path("libnvidia-ml.so");
    let options =
        ["measure", "--nvml-library", library.to_str().unwrap(), "--sensors", "nvml", "--format", "json", "--"];
    let result = sandbox.run(&[&options[..], &["sleep", "1"]].concat()).expect(0).json();
    let gpu = &result["domains"][0];
    assert!(gpu["domain"].as_str().unwrap().starts_with("gpu-"), "{gpu}");
    assert_eq!(gpu["method"], "integrated");
    assert!((number(&gpu["power_w"]) / 250.0 - 1.0).abs() < 0.01, "{gpu}");
    assert!(result["simulated"].to_string().contains("NVML"), "{result}");
}

#[test]
fn wrong_arguments_start_nothing() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES);
    let wrong: [(&[&str], &str); 11] = [
        (&["--hz", "0"], "no rate"),
        (&["--hz", "1001"], "no rate"),
        (&["--sensors", "rapI"], "there are rapl, "),
        (&["--repeat", "0"], "0"),
        (&["--idle", "5"], "unit"),
        (&["--trace", "trace.txt"], ".jsonl"),
        (&["--trace", "no/such/folder/t.csv"], "cannot create"),
        (&["--output", "no/such/folder/o"], "cannot create"),
        (&["--prometheus", "no/such/folder/p"], "cannot create"),
        (&["--format", "xml"], "xml"),
        (&["--inject", "wrong-answer=gemm*"], "--inject"),
    ];
    for (options, word) in wrong {
        sandbox.run(&arguments(options, &["touch", "started"])).expect(2).says(&[word]);
    }
    sandbox.run(&["measure", "--sysfs-root", "root"]).expect(2);
    assert!(!sandbox.path("started").exists());
}

#[test]
fn cpu_time_of_the_command_and_its_grandchildren_is_counted() {
    let sandbox = Sandbox::new();
    let _tree = Tree::start(&sandbox.path("root"), &ZONES[..1]);
    // The kernel ends each of three after a second of CPU time: a child's child, one that it starts in turn, and the first.
    let burn = "while :; do :; done";
    let script =
        format!("(ulimit -t 1; {burn}) & (ulimit -t 1; exec sh -c '{burn}') & sh -c 'ulimit -t 1; {burn}'; wait; true");
    let result = sandbox.run(&arguments(&["--format", "json"], &["sh", "-c", &script])).expect(0).json();
    let activity = &result["activity"];
    let unavailable: Vec<&str> = activity["unavailable"]
        .as_array()
        .iter()
        .flat_map(|a| a.iter())
        .map(|u| u["counter"].as_str().unwrap())
        .collect();
    for (key, counter) in [("instructions", "instructions"), ("cycles", "cycles"), ("page_faults", "page-faults")] {
        assert_eq!(activity[key].is_null(), unavailable.contains(&counter), "{key}: {activity}");
        assert_ne!(activity[key], 0, "{activity}");
    }
    if unavailable.contains(&"task-clock") {
        return crate::skip::skip("CPU time of a command", &activity["unavailable"].to_string());
    }
    let seconds = number(&activity["task_clock_s"]);
    assert!((2.95..3.3).contains(&seconds), "three burnt a second each: {activity}");
    // One that sleeps burns nothing, whatever this machine does meanwhile.
    let ran = sandbox.run(&arguments(&["--repeat", "2", "--format", "json"], &["sleep", "0.3"])).expect(0);
    let result = ran.json();
    assert!(number(&result["activity"]["task_clock_s"]) < 0.1, "{result}");
    assert!(number(&result["runs"][1]["activity"]["task_clock_s"]) > 0.0, "{result}");
    let ran = sandbox.run(&arguments(&[], &["true"])).expect(0);
    assert!(ran.stderr.contains("The command itself: ") && ran.stderr.contains("of CPU time"), "{}", ran.stderr);
}
