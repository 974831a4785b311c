//! Joules through criterion, against a counter that is driven by a known power.

#![cfg(feature = "criterion")]
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stdout, reason = "what was skipped and what was measured")]

mod namespace;
mod sensors_support;
mod skip;

use criterion::measurement::Measurement;
use criterion::{BatchSize, Criterion, SamplingMode};
use namespace::{assert_inside, in_namespace};
use sensors_support::{Powercap, Timeline, example};
use std::cell::RefCell;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;
use wattproof::clock::Moment;
use wattproof::criterion::Energy;
use wattproof::host::Host;
use wattproof::meter::Options;

const FOLDER: &str = "/sys/class/powercap";
const PACKAGE: &str = "intel-rapl/intel-rapl:0";
const DRAM: &str = "intel-rapl/intel-rapl:0/intel-rapl:0:1";

/// The package wraps within the first second; its power doubles while samples are taken. Cores lie
/// inside the package and must not be added.
fn zones() -> [String; 3] {
    [
        format!("{PACKAGE}=package-0,power=0:65/1.5:130,start=262113328850"),
        format!("{PACKAGE}/intel-rapl:0:0=core,power=40"),
        format!("{DRAM}=dram,power=5.5,range=65712999613"),
    ]
}

fn start(folder: &Path) -> Powercap {
    let zones = zones();
    Powercap::start(folder, &zones.each_ref().map(String::as_str))
}

fn work() -> u64 {
    (0..20_000u64).fold(1, |x, i| black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i)))
}

/// Iterations and joules of every sample, as criterion saved them.
fn saved(folder: &Path) -> Vec<(f64, f64)> {
    let text = std::fs::read(folder.join("new/sample.json")).unwrap();
    let sample: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let numbers = |key: &str| {
        let array = sample[key].as_array().unwrap();
        array.iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>()
    };
    numbers("iters").into_iter().zip(numbers("times")).collect()
}

#[test]
fn joules_an_iteration_are_those_of_the_double() {
    let dir = tempfile::tempdir().unwrap();
    let mut double = start(&dir.path().join("sys/class/powercap"));
    let energy = Energy::with(&Options { host: Host::at(dir.path()), ..Options::default() }).unwrap();
    let tau = energy.update_period().get();
    assert!((0.0005..0.01).contains(&tau), "the double steps every 0.976 ms, probed {tau}");
    let out = dir.path().join("criterion");
    let mut criterion = energy
        .configure(Criterion::default())
        .output_directory(&out)
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .nresamples(1_000);
    let timeline = Timeline::start();
    // Criterion calls the closure once a sample: what lies between these moments is the sample.
    let moments: RefCell<Vec<(Moment, Moment)>> = RefCell::default();
    for (name, mode) in [("linear", SamplingMode::Linear), ("flat", SamplingMode::Flat)] {
        let mut group = criterion.benchmark_group("work");
        group.sampling_mode(mode);
        group.bench_function(name, |b| {
            let from = timeline.clock.now();
            b.iter(work);
            moments.borrow_mut().push((from, timeline.clock.now()));
        });
        group.finish();
        let samples = saved(&out.join("work").join(name));
        let moments = moments.take();
        assert_eq!(samples.len(), 20);
        let (mut measured, mut truth) = (0.0, 0.0);
        for ((_, joules), (from, to)) in samples.iter().zip(&moments[moments.len() - samples.len()..]) {
            let microjoules: f64 = [PACKAGE, DRAM].map(|zone| double.energy(zone, &timeline, *from, *to)).iter().sum();
            truth += microjoules / 1e6;
            measured += joules;
            // Both edges may be one update late, and the double itself late on a busy machine.
            let power = microjoules / 1e6 / to.since(*from).get();
            assert!((joules - microjoules / 1e6).abs() < power * 5.0 * tau, "{joules} J, true {microjoules} µJ");
        }
        let iterations: f64 = samples.iter().map(|s| s.0).sum();
        let error = measured / truth - 1.0;
        println!("{name}: {:.4e} J/iter, {:+.3} % from the truth", measured / iterations, error * 100.0);
        assert!(error.abs() < 0.01, "{name} is {:.2} % off", error * 100.0);
    }
}

#[test]
fn windows_that_resolve_nothing_have_no_energy_and_not_zero() {
    let dir = tempfile::tempdir().unwrap();
    let _double = start(&dir.path().join("sys/class/powercap"));
    let energy = Energy::with(&Options { host: Host::at(dir.path()), ..Options::default() }).unwrap();
    let short = energy.end(energy.start());
    assert!(energy.joules(&short).unwrap_err().contains("do not resolve an energy"));
    // Not `--bench`: criterion only tries the code, and NaN cannot become a result.
    assert!(energy.to_f64(&short).is_nan());
    // A hundred windows too short each: their edges do not average out in so short a time.
    let batches = (0..100).fold(energy.zero(), |sum, _| energy.add(&sum, &energy.end(energy.start())));
    assert_eq!(batches.windows, 100);
    assert!(energy.joules(&batches).is_err());
    let window = energy.start();
    std::thread::sleep(Duration::from_millis(50));
    let long = energy.end(window);
    let joules = energy.joules(&long).unwrap();
    assert!((joules / (70.5 * long.time.get()) - 1.0).abs() < 0.25, "{joules} J in {:?}", long.time);
}

#[test]
fn batches_with_a_setup_are_added_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let _double = start(&dir.path().join("sys/class/powercap"));
    let energy = Energy::with(&Options { host: Host::at(dir.path()), ..Options::default() }).unwrap();
    let out = dir.path().join("criterion");
    let mut criterion = energy
        .configure(Criterion::default())
        .output_directory(&out)
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(500))
        .nresamples(1_000);
    let spin = |ms: u64| {
        let timeline = Timeline::start();
        while timeline.clock.now().nanos() < ms * 1_000_000 {}
    };
    let mut group = criterion.benchmark_group("batched");
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("setup", |b| b.iter_batched(|| spin(4), |()| spin(4), BatchSize::PerIteration));
    group.finish();
    let samples = saved(&out.join("batched/setup"));
    let (iterations, joules) = samples.iter().fold((0.0, 0.0), |sum, s| (sum.0 + s.0, sum.1 + s.1));
    // 4 ms at 70.5 W or, after the step, 135.5 W; with the setup it would be twice that.
    let each = joules / iterations;
    assert!((0.25..0.65).contains(&each), "{each} J an iteration");
}

#[test]
fn three_lines_measure_at_the_real_path() {
    in_namespace("inside::three_lines");
}

#[test]
fn without_a_counter_a_benchmark_refuses_and_says_why() {
    in_namespace("inside::refusal");
}

mod inside {
    use super::*;

    fn bench(dir: &Path, arguments: &[&str]) -> (Output, String) {
        let output = Command::new(example("criterion_energy"))
            .args(["--bench", "--noplot", "--nresamples", "1000", "--warm-up-time", "0.3"])
            .args(arguments)
            .env("CRITERION_HOME", dir)
            .current_dir(dir)
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output, text)
    }

    #[test]
    #[ignore = "run in a mount namespace by its outer test"]
    fn three_lines() {
        assert_inside();
        let dir = tempfile::tempdir().unwrap();
        let _double = start(Path::new(FOLDER));
        let (output, text) = bench(dir.path(), &["--measurement-time", "2"]);
        print!("{text}");
        assert!(output.status.success(), "{text}");
        assert!(text.contains("elem/J") && text.contains("J "), "{text}");
        let samples = saved(&dir.path().join("generator/10k"));
        assert!(samples.iter().all(|s| s.1 > 0.0), "{samples:?}");
        // A sample that is shorter than an update of the counter ends it with the reason.
        let (output, text) = bench(dir.path(), &["--measurement-time", "0.0005", "--sample-size", "10"]);
        assert!(!output.status.success() && text.contains("do not resolve an energy"), "{text}");
        // One pass of each benchmark, as `cargo test --benches` does, needs no resolved energy.
        let (output, text) = bench(dir.path(), &["--test"]);
        assert!(output.status.success() && text.contains("Success"), "{text}");
    }

    #[test]
    #[ignore = "run in a mount namespace by its outer test"]
    fn refusal() {
        assert_inside();
        let dir = tempfile::tempdir().unwrap();
        let (output, text) = bench(dir.path(), &[]);
        assert!(!output.status.success(), "{text}");
        assert!(text.contains("no energy counter works here") && text.contains("RAPL (CPU"), "{text}");
        assert!(!dir.path().join("generator").exists(), "there is no result");
    }
}
