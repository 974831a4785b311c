//! `wattproof import criterion` on what a really run criterion saved, and on files that are broken.

#![cfg(feature = "criterion")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod sensors_support;

use criterion::{Criterion, SamplingMode, Throughput};
use sensors_support::Powercap;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use wattproof::criterion::Energy;
use wattproof::host::Host;
use wattproof::meter::Options;

fn import(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wattproof"));
    command.args(["import", "criterion", "saved"]).args(arguments).current_dir(dir).output().unwrap()
}

fn benchmarks(dir: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = import(dir, &[arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["schema"], &document["source"]), (&Value::from(1), &Value::from("criterion")));
    document["benchmarks"].as_array().unwrap().clone()
}

fn work(steps: u64) -> u64 {
    (0..steps).fold(1, |x, i| std::hint::black_box(x * 31 + i))
}

/// Runs two benchmarks; they are saved in `dir/saved`.
fn run<M: criterion::measurement::Measurement + 'static>(criterion: Criterion<M>, dir: &Path) {
    let mut criterion = criterion
        .output_directory(&dir.join("saved"))
        .without_plots()
        .sample_size(10)
        .nresamples(2_000)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(600));
    let mut group = criterion.benchmark_group("group, with a comma");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("linear", |b| b.iter(|| work(1_000)));
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Bytes(64));
    group.bench_function("flat/with a slash", |b| b.iter(|| work(64)));
    group.finish();
}

fn close(a: &Value, b: &Value) -> bool {
    (a.as_f64().unwrap() / b.as_f64().unwrap() - 1.0).abs() < 1e-9
}

/// Our figures from the samples are those that criterion reckoned itself.
fn agree(benchmark: &Value) {
    let theirs = &benchmark["criterion"];
    assert!(close(&benchmark["mean"], &theirs["mean"]["point_estimate"]), "{benchmark}");
    assert!(close(&benchmark["median"]["median"], &theirs["median"]["point_estimate"]), "{benchmark}");
    assert_eq!(benchmark["slope"].is_null(), benchmark["sampling_mode"] == "Flat");
    if !benchmark["slope"].is_null() {
        assert!(close(&benchmark["slope"], &theirs["slope"]["point_estimate"]), "{benchmark}");
    }
    assert!(benchmark["median"]["low"].as_f64() <= benchmark["median"]["median"].as_f64());
    assert_eq!(benchmark["notes"].as_array().unwrap().len(), 1, "only how the unit is known: {benchmark}");
}

#[test]
fn wall_time_that_criterion_saved_is_reckoned_to_the_same_figures() {
    let dir = tempfile::tempdir().unwrap();
    run(Criterion::default(), dir.path());
    let all = benchmarks(dir.path(), &[]);
    let ids: Vec<&str> = all.iter().map(|b| b["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["group, with a comma/flat/with a slash", "group, with a comma/linear"]);
    for benchmark in &all {
        agree(benchmark);
        assert_eq!((&benchmark["unit"], &benchmark["unit_source"]), (&"ns".into(), &"inferred".into()));
        assert_eq!(benchmark["samples"], 10);
    }
    let rate = &all[1]["throughput"];
    assert_eq!((&rate["of"], &rate["per"]), (&"elem".into(), &"s".into()));
    let expected = 1_000.0 / (all[1]["median"]["median"].as_f64().unwrap() * 1e-9);
    assert!((rate["rate"].as_f64().unwrap() / expected - 1.0).abs() < 1e-9);
    assert_eq!(all[0]["throughput"]["of"], "B");
    // The same files give the same bytes.
    assert_eq!(all, benchmarks(dir.path(), &[]));
    assert_eq!(benchmarks(dir.path(), &["--unit", "J"])[0]["unit_source"], "asked");
}

#[test]
fn joules_that_our_measurement_saved_are_joules() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sys/class/powercap");
    let _double = Powercap::start(&folder, &["intel-rapl/intel-rapl:0=package-0,power=65"]);
    let energy = Energy::with(&Options { host: Host::at(dir.path()), ..Options::default() }).unwrap();
    run(energy.configure(Criterion::default()), dir.path());
    for benchmark in benchmarks(dir.path(), &[]) {
        agree(&benchmark);
        assert_eq!(benchmark["unit"], "J");
        assert_eq!(benchmark["throughput"]["per"], "J");
    }
    let text = String::from_utf8(import(dir.path(), &[]).stdout).unwrap();
    assert!(text.contains("J") && text.contains("elem/J") && text.contains("whole microjoules"), "{text}");
}

#[test]
fn broken_files_are_named_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    run(Criterion::default(), dir.path());
    let group = dir.path().join("saved/group, with a comma");
    std::fs::write(group.join("linear/new/sample.json"), "{\"sampling_mode\":").unwrap();
    std::fs::write(group.join("flat_with a slash/new/estimates.json"), "[1, 2").unwrap();
    let output = import(dir.path(), &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for words in ["linear/new/sample.json:1:17", "flat_with a slash/new/estimates.json:1:", "not a result of criterion"]
    {
        assert!(errors.contains(words), "no `{words}` in: {errors}");
    }
    std::fs::remove_dir_all(&group).unwrap();
    let output = import(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds no result of criterion"));
}

#[test]
fn the_table_shows_figures_and_what_to_know_about_them() {
    let dir = tempfile::tempdir().unwrap();
    let write = |folder: &str, file: &str, text: &str| {
        let folder = dir.path().join("saved").join(folder).join("new");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), text).unwrap();
    };
    let estimate = |value: f64| {
        format!(
            r#"{{"confidence_interval":{{"confidence_level":0.95,"lower_bound":{},"upper_bound":{}}},"point_estimate":{value},"standard_error":1.0}}"#,
            value * 0.99,
            value * 1.01
        )
    };
    let benchmark = |id: &str, throughput: &str| format!(r#"{{"full_id":"{id}","throughput":{throughput}}}"#);
    write("energy/10k", "benchmark.json", &benchmark("energy/10k", r#"{"Elements":10000}"#));
    write(
        "energy/10k",
        "sample.json",
        r#"{"sampling_mode":"Flat","iters":[1000.0,1000.0,1000.0],"times":[0.650001,0.66,0.655]}"#,
    );
    write("time", "benchmark.json", &benchmark("time", "null"));
    write("time", "sample.json", r#"{"sampling_mode":"Linear","iters":[1.0,2.0],"times":[1000.0,2000.0]}"#);
    let [mean, wrong] = [estimate(1000.0), estimate(1500.0)];
    write("time", "estimates.json", &format!(r#"{{"mean":{mean},"median":{wrong},"slope":{mean}}}"#));
    write("other", "benchmark.json", &benchmark("other", "null"));
    write("other", "sample.json", r#"{"sampling_mode":"Flat","iters":[3.0],"times":[0.12345678]}"#);
    let output = import(dir.path(), &["--color", "never"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}
