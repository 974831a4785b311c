//! Counters of every layout and every kind of trouble, driven by the rig: the energy is right, or the
//! window is invalid with a reason. Never 0 J, never negative, never a panic.

use crate::counters::double_path;
use crate::skip::skip;
use crate::support::{Ran, Sandbox, events, header, of_kind};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

const ZERO: &str = "intel-rapl/intel-rapl:0";
/// Where a machine's script puts what happens in mid-window: after the probes, before the end.
const WINDOW: &str = "2.6";

/// Whether a tree can be put at the kernel's own place here.
fn real_path_works(sandbox: &Sandbox) -> bool {
    let script = sandbox.write("probe", "zone intel-rapl/intel-rapl:0 package-0\npower constant 1\n");
    let output = Command::new(double_path("rig")).arg(script).args(["--real", "--", "true"]).output().unwrap();
    if !output.status.success() {
        skip("counters at the real path", String::from_utf8_lossy(&output.stderr).trim());
    }
    output.status.success()
}

/// Runs a command of the shell on the machine of `script`; `$W` is the binary.
fn on(sandbox: &Sandbox, name: &str, script: &str, place: &[&str], shell: &str) -> Ran {
    let path = sandbox.write(&format!("{name}/script"), script);
    let output = Command::new(double_path("rig"))
        .arg(&path)
        .args(place)
        .args(["--", "sh", "-c", shell])
        .env("W", env!("CARGO_BIN_EXE_wattproof"))
        .current_dir(path.parent().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ran = Ran::from(output);
    assert!(!ran.stderr.contains("panicked"), "{name}:\n{}", ran.stderr);
    ran
}

fn measure_at_the_real_path(sandbox: &Sandbox, name: &str, script: &str, wrapper: &str) -> Value {
    let shell = format!("exec {wrapper} \"$W\" measure --sensors rapl --format json -- sleep {WINDOW}");
    let result = on(sandbox, name, script, &["--real"], &shell).expect(0).json();
    assert_eq!(result["simulated"], serde_json::json!([]), "{name}: the real path is no simulation");
    result
}

/// No figure of the result is zero or negative; one that is missing has a reason.
fn assert_honest(name: &str, result: &Value) {
    for part in result["domains"].as_array().unwrap().iter().chain([&result["total"]]) {
        match part["energy_j"].as_f64() {
            Some(joules) => assert!(joules > 0.0, "{name}: {part}"),
            None => assert!(part["reason"].as_str().is_some_and(|r| r.len() > 10), "{name}: {part}"),
        }
    }
}

fn domain<'a>(result: &'a Value, name: &str) -> &'a Value {
    let domains = result["domains"].as_array().unwrap();
    domains.iter().find(|d| d["domain"] == name).unwrap_or_else(|| panic!("no {name} in {result}"))
}

#[track_caller]
fn assert_power(name: &str, part: &Value, watts: f64) {
    let power = part["power_w"].as_f64().unwrap_or_else(|| panic!("{name}: {part}"));
    assert!((power / watts - 1.0).abs() < 0.01, "{name}: {power} W, truth {watts} W");
}

#[test]
fn every_layout_is_counted_once_and_completely() {
    let sandbox = Sandbox::new();
    if !real_path_works(&sandbox) {
        return;
    }
    let mut sixteen = String::new();
    for socket in 0..16 {
        let zone = format!("intel-rapl/intel-rapl:{socket:x}");
        sixteen += &format!("zone {zone} package-{socket}\npower constant {}\n", 50 + socket);
        for (i, (name, watts)) in [("core", 30), ("uncore", 5), ("dram", 4)].iter().enumerate() {
            sixteen += &format!("zone {zone}/intel-rapl:{socket:x}:{i} {name}\npower constant {watts}\n");
        }
    }
    sixteen += "zone intel-rapl/intel-rapl:10 psys\npower constant 1200\n";
    let result = measure_at_the_real_path(&sandbox, "sixteen", &sixteen, "");
    assert_honest("sixteen", &result);
    assert_eq!(result["domains"].as_array().unwrap().len(), 16 * 4 + 1);
    for socket in 0..16 {
        assert_power("sixteen", domain(&result, &format!("package-{socket}")), 50.0 + f64::from(socket));
        assert_power("sixteen", domain(&result, &format!("dram-{socket}")), 4.0);
        assert_eq!(domain(&result, &format!("cores-{socket}"))["inside"], format!("package-{socket}"));
    }
    assert_power("sixteen", &result["total"], 1200.0);

    let dies = "zone intel-rapl/intel-rapl:0 package-0-die-0\npower constant 30\n\
                zone intel-rapl/intel-rapl:1 package-0-die-1\npower constant 40\n";
    let copies = [
        ("mmio", "intel-rapl-mmio/intel-rapl-mmio:0", "package-0", "package-0"),
        ("ccd", "intel-rapl/intel-rapl:1", "package-0-die-0", "package-0-die-1"),
    ];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let result = measure_at_the_real_path(&sandbox, "dies", dies, "");
            assert_power("dies", &result["total"], 70.0);
        });
        for (name, path, first, second) in copies {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let script = format!("zone {ZERO} {first}\npower constant 65\nzone {path} {second}\ncopy-of {ZERO}\n");
                let result = measure_at_the_real_path(sandbox, name, &script, "");
                assert_eq!(result["domains"].as_array().unwrap().len(), 1, "{name}: {result}");
                assert_power(name, &result["total"], 65.0);
            });
        }
    });
}

#[test]
fn trouble_with_a_counter_is_a_reason_or_costs_nothing() {
    let sandbox = Sandbox::new();
    if !real_path_works(&sandbox) {
        return;
    }
    // What happens to the package; its power if the figure has to be right, or a word of the reason.
    let cases: [(&str, &str, Result<f64, &str>); 12] = [
        ("wrap", "wrap-at 1.8", Ok(65.0)),
        ("wrap-without-range", "range none\nwrap-at 1.8", Err("set back")),
        ("reset", "start 200000000000\nat 1.8 reset", Err("set back")),
        ("stall", "at 1.5 stall for 0.4", Ok(65.0)),
        ("vanish", "at 1.8 vanish", Err("vanished")),
        ("chmod", "at 1.8 chmod 000", Ok(65.0)),
        ("eio", "at 1.8 eio", Err("energy_uj")),
        ("empty", "at 1.8 says empty", Err("energy_uj")),
        ("word", "at 1.8 says nonsense", Err("nonsense")),
        ("negative", "at 1.8 says -12", Err("-12")),
        ("huge", "at 1.8 says 99999999999999999999999", Err("energy_uj")),
        ("truncated", "start 200000000000\nat 1.8 says truncated", Err("set back")),
    ];
    std::thread::scope(|scope| {
        for (name, event, expected) in cases {
            let sandbox = &sandbox;
            scope.spawn(move || {
                let script = format!("zone {ZERO} package-0\npower constant 65\n{event}\n");
                let result = measure_at_the_real_path(sandbox, name, &script, "");
                assert_honest(name, &result);
                let package = domain(&result, "package-0");
                match expected {
                    Ok(watts) => assert_power(name, package, watts),
                    Err(word) => {
                        assert_eq!(package["energy_j"], Value::Null, "{name}: {package}");
                        assert!(package["reason"].as_str().unwrap().contains(word), "{name}: {package}");
                        assert_eq!(result["total"]["energy_j"], Value::Null, "{name}: {result}");
                    }
                }
            });
        }
    });
}

#[test]
fn a_sound_counter_goes_on_beside_one_in_trouble() {
    let sandbox = Sandbox::new();
    if !real_path_works(&sandbox) {
        return;
    }
    let script = format!(
        "zone {ZERO} package-0\npower constant 65\nzone {ZERO}/intel-rapl:0:0 core\npower constant 40\nat 1.8 says empty\n"
    );
    let result = measure_at_the_real_path(&sandbox, "beside", &script, "");
    assert_honest("beside", &result);
    assert_power("beside", domain(&result, "package-0"), 65.0);
    assert_eq!(domain(&result, "cores-0")["energy_j"], Value::Null);
}

#[test]
fn counters_that_do_not_work_start_no_command() {
    let sandbox = Sandbox::new();
    if !real_path_works(&sandbox) {
        return;
    }
    // Root reads whatever its capabilities let it read: without them the mode of the file rules.
    let powerless = "setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all";
    for (name, event, wrapper, word) in [
        ("empty", "at 0 says empty", "", "energy_uj"),
        ("word", "at 0 says nonsense", "", "nonsense"),
        ("negative", "at 0 says -1", "", "-1"),
        ("eio", "at 0 eio", "", "Input/output error"),
        ("chmod", "at 0 chmod 000", powerless, "root only"),
    ] {
        let script = format!("zone {ZERO} package-0\npower constant 65\n{event}\n");
        let shell = format!("sleep 0.1; exec {wrapper} \"$W\" measure --sensors rapl -- touch started");
        let ran = on(&sandbox, &format!("start-{name}"), &script, &["--real"], &shell);
        if ran.stderr.contains("setpriv:") {
            skip("a counter that may not be read", ran.stderr.trim());
            continue;
        }
        let ran = ran.expect(6).says(&[word, "not started"]);
        assert!(!ran.stderr.contains(" 0 J"), "{name}: {}", ran.stderr);
        assert!(!sandbox.path(&format!("start-{name}/started")).exists(), "{name}");
    }
}

#[test]
fn a_run_flags_every_window_with_trouble() {
    let sandbox = Sandbox::new();
    let settings = "settings: { repeats: 10, window_floor: 120 ms, idle: 100 ms, warm_up_min: 5 ms, warm_up_max: 20 ms, \
         probe: 5 ms, probe_size: 4 MiB, retries: 0, foreign_load_limit: 1, steal_limit: 1, bootstrap_resamples: 200 }";
    std::thread::scope(|scope| {
        for (name, event) in [
            ("empty", "at 1.6 says empty for 0.2"),
            ("negative", "at 1.6 says -5 for 0.2"),
            ("reset", "start 200000000000\nat 1.6 every 0.7 reset"),
            ("truncated", "at 1.6 says truncated"),
        ] {
            let sandbox = &sandbox;
            scope.spawn(move || {
                sandbox.suite("hostile", settings);
                let script = format!("zone {ZERO} package-0\npower constant 65\n{event}\n");
                let folder = sandbox.path(&format!("run-{name}"));
                let shell = "exec \"$W\" run ../hostile.yaml --out out --sysfs-root \"$RIG_ROOT\"";
                std::fs::create_dir_all(&folder).unwrap();
                on(sandbox, &format!("run-{name}"), &script, &["--at", folder.to_str().unwrap()], shell).expect(0);
                assert_windows(name, &folder.join("out"));
            });
        }
    });
}

/// Every window has a positive energy near the truth, or none and says why.
fn assert_windows(name: &str, out: &Path) {
    assert_eq!(header(out)["state"], "complete", "{name}");
    let events = events(out);
    let samples = of_kind(&events, "sample");
    let (mut with, mut lost) = (0, of_kind(&events, "sensor-lost").len());
    for sample in &samples {
        let spans = sample["energy"].as_array().unwrap();
        for span in spans {
            let joules = span["energy_uj"].as_str().unwrap().parse::<f64>().unwrap() / 1e6;
            let seconds = (span["to"].as_f64().unwrap() - span["from"].as_f64().unwrap()) / 1e9;
            let period = span["update_period_s"].as_f64().unwrap_or(f64::INFINITY);
            if joules.abs() < 1e-9 && seconds <= 10.0 * period {
                // Shorter than ten updates: less than one step, which the analysis knows to be no figure.
                lost += 1;
                continue;
            }
            // Up to 20 ms beside the window: a busy machine delays the double.
            let off = (joules - 65.0 * seconds).abs();
            assert!(joules > 0.0 && off < 65.0 * (0.2 * seconds + 0.02), "{name}: {joules} J in {seconds} s");
            with += 1;
        }
        if spans.is_empty() {
            let flagged = sample["flags"].as_array().is_some_and(|flags| !flags.is_empty());
            assert!(flagged || lost > 0, "{name}: no energy and no reason: {sample}");
            lost += usize::from(flagged);
        }
    }
    assert!(with > 0 && lost > 0, "{name}: {with} windows with energy, {lost} signs of trouble");
}

#[test]
fn nvml_may_fail_at_any_call() {
    let functions = [
        "nvmlInit_v2",
        "nvmlSystemGetDriverVersion",
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetName",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetFieldValues",
        "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
    ];
    let sandbox = Sandbox::new();
    // From the first call on, and in the middle of the window: unknown error, GPU lost, not supported.
    let cases = functions.iter().flat_map(|f| [(*f, "999", ""), (*f, "999", " from 1.4"), (*f, "15", " from 1.4")]);
    let cases: Vec<(&str, &str, &str)> = cases.chain(functions.iter().map(|f| (*f, "3", ""))).collect();
    let measured = std::sync::atomic::AtomicUsize::new(0);
    for batch in cases.chunks(18) {
        std::thread::scope(|scope| {
            for &(function, code, from) in batch {
                let (sandbox, measured) = (&sandbox, &measured);
                scope.spawn(move || {
                    let name = format!("{function}-{code}{}", from.len());
                    let script =
                        format!("gpu NVIDIA H200\npower constant 300\ncounter-ms 20\nfail {function} {code}{from}\n");
                    let folder = sandbox.path(&name);
                    std::fs::create_dir_all(&folder).unwrap();
                    let shell =
                        "exec \"$W\" measure --sensors nvml --nvml-library \"$RIG_NVML\" --format json -- sleep 1.4";
                    let ran = on(sandbox, &name, &script, &["--at", folder.to_str().unwrap()], shell);
                    match ran.code {
                        Some(6) => assert!(ran.stderr.contains("not started"), "{name}: {}", ran.stderr),
                        Some(0) => {
                            let result = ran.json();
                            assert_honest(&name, &result);
                            let gpu = &result["domains"][0];
                            if gpu["energy_j"].is_number() {
                                // A counter of 20 ms in a window of 1.4 s, aligned or not.
                                let power = gpu["power_w"].as_f64().unwrap();
                                assert!((power / 300.0 - 1.0).abs() < 0.03, "{name}: {power} W");
                                measured.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            }
                        }
                        _ => panic!("{name}: {:?}\n{}", ran.code, ran.stderr),
                    }
                });
            }
        });
    }
    let measured = measured.into_inner();
    assert!((functions.len()..cases.len()).contains(&measured), "{measured} of {} measured", cases.len());
}
