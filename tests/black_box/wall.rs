//! `--meter`: a logger that knows when the program makes its pulses and what runs in between.

#![expect(clippy::disallowed_methods, reason = "the logger has a clock of its own")]

use crate::support::{Ran, Sandbox};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Length of a pulse's load, seconds.
const PULSE: f64 = 0.6;
const STEP: Duration = Duration::from_millis(20);

/// Writes a row every 20 ms while the program runs: 40 W at rest, 120 W in pulses (which begin when the
/// program says so), and 80 W while `busy` exists. Its clock is 5000 s ahead.
struct Logger {
    done: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
    pulse: Arc<AtomicU64>,
    start: Instant,
}

impl Logger {
    fn start(log: PathBuf, busy: PathBuf) -> Self {
        let (done, pulse, start) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Instant::now());
        let (stop, began) = (Arc::clone(&done), Arc::clone(&pulse));
        let thread = std::thread::spawn(move || {
            let mut file = std::fs::File::options().append(true).create(true).open(log).unwrap();
            writeln!(file, "# logger\ntime;power_w\n1;1").unwrap();
            while !stop.load(Ordering::Relaxed) {
                let t = start.elapsed().as_secs_f64();
                let into = t - began.load(Ordering::Relaxed) as f64 / 1e6;
                let in_pulse = began.load(Ordering::Relaxed) > 0 && (PULSE..2.0 * PULSE).contains(&into);
                let watts = if in_pulse {
                    120
                } else if busy.exists() {
                    80
                } else {
                    40
                };
                writeln!(file, "{:.6};{watts}", 5000.0 + t).unwrap();
                std::thread::sleep(STEP);
            }
        });
        Self { done, thread, pulse, start }
    }

    /// Runs `child` to its end; its lines about pulses set their begin.
    fn attend(self, mut child: Child) -> Ran {
        let mut out = child.stdout.take().unwrap();
        // Both are read at once, so that neither pipe is ever full.
        let out = std::thread::spawn(move || {
            let mut stdout = String::new();
            out.read_to_string(&mut stdout).unwrap();
            stdout
        });
        let mut stderr = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.contains("pulse of load") {
                self.pulse.store(self.start.elapsed().as_micros() as u64, Ordering::Relaxed);
            }
            stderr.push_str(&line);
            stderr.push('\n');
        }
        let stdout = out.join().unwrap();
        let code = child.wait().unwrap().code();
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        Ran { code, stdout, stderr }
    }
}

fn run(sandbox: &Sandbox, args: &[&str]) -> Ran {
    std::fs::create_dir_all(sandbox.path("root")).unwrap();
    let logger = Logger::start(sandbox.path("log.csv"), sandbox.path("busy"));
    // The logger has been at it for a while.
    std::thread::sleep(Duration::from_millis(200));
    let child = sandbox.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    logger.attend(child)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

const METER: [&str; 6] = ["--meter", "log.csv", "--meter-pulse", "600 ms", "--meter-accuracy", "1%"];

#[test]
fn a_command_is_measured_at_the_wall_where_no_counter_works() {
    let sandbox = Sandbox::new();
    let script = "touch busy; sleep 2; rm busy";
    let args =
        [&["measure", "--sysfs-root", "root", "--format", "json"][..], &METER, &["--", "sh", "-c", script]].concat();
    let ran = run(&sandbox, &args).expect(0);
    let result: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    let wall = &result["domains"][0];
    assert_eq!(
        (&wall["domain"], &wall["sensor"], &wall["method"]),
        (&"wall".into(), &"wall-meter".into(), &"integrated".into())
    );
    let (watts, seconds) = (number(&wall["power_w"]), number(&result["window_s"]));
    assert!((watts / 80.0 - 1.0).abs() < 0.05 && seconds > 2.0, "{wall}");
    assert!((number(&wall["energy_j"]) / (watts * seconds) - 1.0).abs() < 0.01, "{wall}");
    assert_eq!(result["total"]["domains"], serde_json::json!(["wall"]));
    // 1 %/√3 of gain, the aliasing of the policy, and the alignment.
    let share = number(&wall["u_j"]) / number(&wall["energy_j"]);
    assert!((0.008..0.05).contains(&share), "{wall}");
}

#[test]
fn a_run_has_its_rows_and_its_energy_in_the_record() {
    let sandbox = Sandbox::new();
    let settings = "settings: { repeats: 2, window_floor: 500 ms, idle: 300 ms, warm_up_min: 2 ms, warm_up_max: 20 ms, \
                    probe: 200 ms, probe_size: 4 MiB, retries: 0, foreign_load_limit: 1, steal_limit: 1, \
                    bootstrap_resamples: 200 }";
    let suite = sandbox.suite("tiny", settings);
    let suite = suite.to_str().unwrap();
    let declared = ["--meter-calibrated", "2026-03-01", "--meter-serial", "C2QJ03009V"];
    let args = [
        &["run", suite, "--sysfs-root", "root", "--out", "out", "--require", "energy", "--format", "json"][..],
        &METER,
        &declared,
    ]
    .concat();
    let ran = run(&sandbox, &args).expect(0);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let case = report["cases"].as_array().unwrap().iter().find(|c| c["kernel"] == "gemm").unwrap();
    let power = number(&case["energy"]["power_w"]["measured"]["median"]);
    assert!((power / 40.0 - 1.0).abs() < 0.1, "{power} W");
    assert_eq!(report["boundary"]["domains"], serde_json::json!(["wall"]));
    let events = std::fs::read_to_string(sandbox.path("out/samples.jsonl")).unwrap();
    let count = |kind: &str| events.lines().filter(|l| l.contains(&format!("\"event\":\"{kind}\""))).count();
    assert_eq!(count("pulse"), 2);
    assert!(count("meter-rows") >= 1 && !events.contains("wall-meter"), "energies are computed, not stored");
    let header = std::fs::read_to_string(sandbox.path("out/record.json")).unwrap();
    assert!(header.contains("aligned by two pulses") && header.contains("\"calibrated\": \"2026-03-01\""), "{header}");
    assert!(header.contains("serial_hash") && !header.contains("C2QJ03009V"), "a serial number is hashed");
    assert!(header.contains("\"uncertainty_policy\""), "{header}");
    // A row less, and the record is another: its digest holds the rows as well.
    let again = sandbox.run(&["report", "out", "--format", "json"]).expect(0);
    assert!(!again.stdout.is_empty());
    alter(&sandbox.path("out/samples.jsonl"));
    sandbox.run(&["report", "out"]).expect(2).says(&["samples.jsonl"]);
}

#[test]
fn a_log_exported_after_the_run_becomes_part_of_a_new_record() {
    let sandbox = Sandbox::new();
    let settings = "settings: { repeats: 2, window_floor: 500 ms, idle: 300 ms, warm_up_min: 2 ms, warm_up_max: 20 ms, \
                    probe: 200 ms, probe_size: 4 MiB, retries: 0, foreign_load_limit: 1, steal_limit: 1, \
                    bootstrap_resamples: 200 }";
    let suite = sandbox.suite("tiny", settings);
    let suite = suite.to_str().unwrap();
    let args = ["run", suite, "--sysfs-root", "root", "--out", "out", "--meter-later", "--meter-pulse", "600 ms"];
    run(&sandbox, &args).expect(0);
    let samples = std::fs::read_to_string(sandbox.path("out/samples.jsonl")).unwrap();
    assert!(!samples.contains("meter-rows"), "nothing was read of the log in the run");
    let log = std::fs::read_to_string(sandbox.path("log.csv")).unwrap();
    // The last line has no end, as many exports have not.
    sandbox.write("exported.csv", log.trim_end());
    let import = ["import", "meter", "out", "exported.csv", "--meter-accuracy", "1%", "--format", "json"];
    let report: Value = serde_json::from_str(&sandbox.run(&import).expect(0).stdout).unwrap();
    let case = report["cases"].as_array().unwrap().iter().find(|c| c["kernel"] == "gemm").unwrap();
    let power = number(&case["energy"]["power_w"]["measured"]["median"]);
    assert!((power / 40.0 - 1.0).abs() < 0.1, "{power} W");
    let header = std::fs::read_to_string(sandbox.path("out-metered/record.json")).unwrap();
    assert!(header.contains("added after the run") && header.contains("CSV log exported.csv"), "{header}");
    let metered = std::fs::read_to_string(sandbox.path("out-metered/samples.jsonl")).unwrap();
    assert!(metered.starts_with(&samples), "what was measured stays as it was");
    assert_eq!(std::fs::read_to_string(sandbox.path("out/samples.jsonl")).unwrap(), samples);

    // A second log, a log of another day, and one without rows.
    let again = ["import", "meter", "out-metered", "exported.csv"];
    sandbox.run(&again).expect(2).says(&["out-metered", "has the log of a wall meter already"]);
    let flat: String = (0..5000).map(|n| format!("{}.5;40\n", 9000 + n)).collect();
    sandbox.write("other.csv", format!("time;power_w\n{flat}"));
    let other = ["import", "meter", "out", "other.csv", "--out", "other"];
    sandbox.run(&other).expect(2).says(&["other.csv", "nothing was written"]);
    sandbox.write("empty.csv", "");
    sandbox.run(&["import", "meter", "out", "empty.csv", "--out", "other"]).expect(2).says(&["empty.csv"]);
    sandbox
        .run(&["import", "meter", "out", "none.csv", "--out", "other"])
        .expect(2)
        .says(&["none.csv: cannot be read"]);
    assert!(!sandbox.path("other").exists());
    sandbox.run(&["run", suite, "--meter", "x", "--meter-later"]).expect(2).says(&["cannot be used with"]);
    std::fs::remove_dir_all(sandbox.path("out")).unwrap();
    sandbox.run(&["run", suite, "--sysfs-root", "root", "--out", "out"]).expect(0);
    sandbox.run(&["import", "meter", "out", "exported.csv"]).expect(2).says(&["has no pulses", "--meter-later"]);
}

fn alter(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = text.replacen("\"power_w\":40.0", "\"power_w\":39.0", 1);
    assert_ne!(text, changed);
    std::fs::write(path, changed).unwrap();
}

#[test]
fn a_log_that_does_not_fit_is_said_and_the_rest_stands() {
    let sandbox = Sandbox::new();
    let _ = std::fs::create_dir(sandbox.path("root"));
    sandbox.write("flat.csv", "time,power\n");
    let quick = ["--meter-pulse", "200 ms", "--meter-wait", "100 ms"];
    let args = |file: &'static str| {
        [&["measure", "--sysfs-root", "root", "--meter", file][..], &quick, &["--", "true"]].concat()
    };
    sandbox.run(&args("flat.csv")).expect(0).says(&["wall: not measured", "no row"]);
    sandbox.run(&args("missing.csv")).expect(0).says(&["wall: not measured", "cannot read missing.csv"]);
    for (wrong, words) in [
        (&["--meter-accuracy", "1%"][..], "--meter"),
        (&["--meter", "x", "--meter-accuracy", "1"], "write a percentage"),
        (&["--meter", "x", "--meter-columns", "volt=U"], "write time=NAME"),
        (&["--meter", "x", "--meter-accuracy", "1%", "--meter-calibrated", "1.3.2026"], "write 2026-03-01"),
        (&["--meter", "x", "--meter-pulse", "5 h"], "is no length of a pulse"),
    ] {
        sandbox.run(&[&["measure"], wrong, &["--", "true"]].concat()).expect(2).says(&[words]);
    }
}
