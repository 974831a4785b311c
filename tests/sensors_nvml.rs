//! NVML through its real loader, against a stand-in library whose GPUs draw a known power.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod sensors_support;

use sensors_support::{Timeline, energy, example, ready};
use std::path::PathBuf;
use std::time::Duration;
use wattproof::host::Host;
use wattproof::sensors::counter::{Counter, Step};
use wattproof::sensors::nvml::{BoardEvents, BoardWatch};
use wattproof::sensors::{Domain, Probe, Quantity, Sensor, SensorError, Value, nvml, probe_period};
use wattproof::units::{Celsius, Hertz, MicroJoules, Watts};

/// A copy of the double with its own script: every copy is a machine of its own.
struct Double {
    _dir: tempfile::TempDir,
    library: PathBuf,
}

impl Double {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = dir.path().join("libnvidia-ml.so");
        std::fs::copy(example("libnvml_double.so"), &library).unwrap();
        std::fs::write(library.with_extension("script"), script).unwrap();
        Self { _dir: dir, library }
    }

    fn probe(&self) -> Probe {
        nvml::probe_with(&Host::real(), Some(&self.library))
    }
}

fn position(sensor: &dyn Sensor, word: &str) -> Option<usize> {
    sensor.info().channels.iter().position(|c| c.name.ends_with(&format!("/{word}")))
}

#[test]
fn a_gpu_shows_energy_power_clock_temperature_and_limit() {
    let double = Double::new("gpu NVIDIA H200\npower 0 100000\n");
    let timeline = Timeline::start();
    let mut sensor = ready(double.probe());
    let words = [
        "energy",
        "power-instant",
        "power-average",
        "sm-clock",
        "memory-clock",
        "temperature",
        "throttle",
        "power-limit",
    ];
    for (i, word) in words.iter().enumerate() {
        assert_eq!(position(&*sensor, word), Some(i), "{word}");
    }
    let uuid = nvml::public_id("GPU-double-0");
    assert!(sensor.info().channels.iter().all(|c| c.domain == Domain::Gpu { uuid: uuid.clone() }));
    assert!(!format!("{:?}", sensor.info()).contains("GPU-double-0"), "the UUID is not published");
    assert!(sensor.info().simulated);
    assert!(sensor.info().source.contains("driver 580.82.07"), "{}", sensor.info().source);

    let first = sensor.read(&timeline.clock).unwrap();
    std::thread::sleep(Duration::from_millis(600));
    let last = sensor.read(&timeline.clock).unwrap();
    let counter = Counter::of(&sensor.info().channels[0].quantity).unwrap();
    let seconds = last.before.since(first.before);
    let Step::Delta { energy: drawn, wraps: 0 } =
        counter.step(energy(&first.values[0]), energy(&last.values[0]), seconds)
    else {
        panic!("the counter broke")
    };
    let ratio = drawn.to_joules().get() / (100.0 * seconds.get());
    assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
    for power in &last.values[1..3] {
        assert_eq!(*power, Watts::new(100.0).ok().map(Value::Power));
    }
    assert_eq!(last.values[3], Hertz::new(1.98e9).ok().map(Value::Clock));
    assert_eq!(last.values[4], Hertz::new(2.619e9).ok().map(Value::Clock));
    assert_eq!(last.values[5], Celsius::new(40.0).ok().map(Value::Temperature));
    assert_eq!(last.values[6], Some(Value::Throttle(vec!["idle".to_owned()])));
    assert_eq!(last.values[7], Watts::new(700.0).ok().map(Value::Power));
}

#[test]
fn what_a_gpu_lacks_is_left_out_with_a_note() {
    let double = Double::new(
        "gpu NVIDIA T4\npower 0 70000\nwithout energy\nwithout fields\nwithout clock\nlimit-mw 70000\n\
         gpu NVIDIA GH200 480GB\npower 0 500000\nwithout power\n",
    );
    let mut sensor = ready(double.probe());
    let info = sensor.info().clone();
    let (old, module): (Vec<_>, Vec<_>) = info.channels.iter().partition(|c| matches!(c.domain, Domain::Gpu { .. }));
    let words: Vec<&str> = old.iter().map(|c| c.name.rsplit_once('/').unwrap().1).collect();
    assert_eq!(words, ["power", "temperature", "throttle", "power-limit"]);
    assert_eq!(old[0].quantity, Quantity::AveragePower { interval: None });
    assert!(module.iter().all(|c| matches!(c.domain, Domain::GpuModule { .. })));
    for (name, missing) in [("T4", "energy"), ("T4", "power-instant"), ("T4", "sm-clock")] {
        let told = |n: &String| n.contains(name) && n.contains(&format!("no {missing}:"));
        assert!(info.notes.iter().any(told), "{missing}: {:?}", info.notes);
    }
    assert!(info.notes.iter().any(|n| n.contains("whole module")), "{:?}", info.notes);
    let reading = sensor.read(&Timeline::start().clock).unwrap();
    assert!(reading.values.iter().all(Option::is_some), "{reading:?}");
    assert_eq!(reading.values[2], Some(Value::Throttle(vec!["power-cap".to_owned()])));
}

#[test]
fn the_update_period_of_a_counter_is_found_out() {
    let double = Double::new("gpu NVIDIA H200\npower 0 100000\nperiod-ms 20\n");
    let mut sensor = ready(double.probe());
    let periods = probe_period(&mut *sensor, &Timeline::start().clock);
    assert!(periods[0].0.ends_with("/energy"));
    let tau = periods[0].1.unwrap().get();
    assert!((tau - 0.02).abs() < 0.002, "{tau}");
    assert_eq!(periods[1].1, None, "constant power shows no period");
}

#[test]
fn a_lost_gpu_is_a_vanished_sensor() {
    let double = Double::new("gpu NVIDIA H200\npower 0 100000\nlost-at 0.3\n");
    let timeline = Timeline::start();
    let mut sensor = ready(double.probe());
    sensor.read(&timeline.clock).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let error = sensor.read(&timeline.clock).unwrap_err();
    assert!(
        matches!(&error, SensorError::Vanished { sensor: "nvml", detail } if detail.contains("NVIDIA H200")),
        "{error}"
    );
}

#[test]
fn refusals_are_told_apart() {
    let absent = |probe| match probe {
        Probe::Absent { reason } => reason,
        _ => panic!("not absent"),
    };
    let missing = nvml::probe_with(&Host::real(), Some("/nonexistent/libnvidia-ml.so".as_ref()));
    let reason = absent(missing);
    assert!(reason.contains("/nonexistent/libnvidia-ml.so") && reason.contains("No such file"), "{reason}");
    let reason = absent(Double::new("init driver-not-loaded\n").probe());
    assert!(reason.contains("driver is not loaded"), "{reason}");
    assert!(absent(Double::new("driver 1.2\n").probe()).contains("no GPU"));
    assert!(absent(Double::new("nonsense\n").probe()).contains("cannot be used"));
    assert!(absent(nvml::probe(&Host::at("/tmp"))).contains("redirected"));
    let double = Double::new("gpu NVIDIA H200\npower 0 1000\n");
    let host = Host::at("/tmp").with_nvml_library(&double.library);
    assert!(ready(nvml::probe(&host)).info().simulated, "a named library serves on a redirected host");
    match Double::new("init no-permission\n").probe() {
        Probe::Denied { remedy, .. } => assert!(remedy.contains("/dev/nvidiactl"), "{remedy}"),
        _ => panic!("not denied"),
    }
}

#[test]
fn the_inventory_hashes_the_uuid_and_leaves_unknowns_open() {
    let double = Double::new("gpu NVIDIA H200\npower 0 100000\ngpu NVIDIA T4\nwithout limit\n");
    let gpus = nvml::inventory(Some(&double.library));
    assert_eq!(gpus.len(), 2);
    assert_eq!((gpus[0].name.as_str(), gpus[0].driver.as_deref()), ("NVIDIA H200", Some("580.82.07")));
    assert_eq!(gpus[0].power_limit.map(|w| w.get()), Some(700.0));
    assert_eq!((gpus[1].power_limit, gpus[1].ecc, gpus[1].mig, gpus[1].memory), (None, None, None, None));
    assert_eq!(nvml::public_id("GPU-double-0"), format!("GPU-{}", &gpus[0].uuid_hash[..12]));
    assert!(nvml::inventory(Some("/nonexistent.so".as_ref())).is_empty());
}

#[test]
fn a_driver_that_is_reloaded_comes_back_with_a_counter_of_its_own() {
    let double = Double::new("reload 0.5 1.0\ngpu NVIDIA H200\npower 0 100000\n");
    let timeline = Timeline::start();
    let mut sensor = ready(double.probe());
    let before = energy(&sensor.read(&timeline.clock).unwrap().values[0]);
    std::thread::sleep(Duration::from_millis(600));
    assert!(sensor.read(&timeline.clock).unwrap_err().to_string().contains("driver"));
    assert!(!sensor.revive(), "the driver is not there yet");
    std::thread::sleep(Duration::from_millis(600));
    assert!(sensor.read(&timeline.clock).is_err(), "the old handle stays dead");
    assert!(sensor.revive());
    let after = energy(&sensor.read(&timeline.clock).unwrap().values[0]);
    assert!(after >= MicroJoules::new(5_000_000_000) && after < MicroJoules::new(5_200_000_000), "{after:?}");
    assert!(before >= MicroJoules::new(5_000_000_000));
    // A GPU that is lost for good does not come back.
    let double = Double::new("gpu NVIDIA H200\npower 0 100000\nlost-at 0.2\n");
    let mut sensor = ready(double.probe());
    std::thread::sleep(Duration::from_millis(300));
    assert!(sensor.read(&timeline.clock).is_err() && !sensor.revive());
}

#[test]
fn a_board_that_is_split_is_shown_and_never_rated() {
    let double = Double::new("gpu NVIDIA H200\nmig\npower 0 100000\ngpu NVIDIA H200\npower 0 100000\n");
    let sensor = ready(double.probe());
    let (split, whole): (Vec<_>, Vec<_>) = sensor.info().channels.iter().partition(|c| !c.domain.is_placed());
    assert_eq!((split.len(), whole.len()), (8, 8));
    assert!(split[0].domain.to_string().starts_with("other-mig-gpu-"), "{}", split[0].domain);
    assert!(split.iter().all(|c| !c.counts()) && whole.iter().all(|c| c.counts()));
    let note = sensor.info().notes.iter().find(|n| n.contains("MIG")).unwrap();
    assert!(note.contains("never rated"), "{note}");
}

#[test]
fn heat_is_told_from_a_power_cap() {
    let double = Double::new("gpu NVIDIA H200\npower 0 100000\nslowdown 0 60\n");
    let reading = ready(double.probe()).read(&Timeline::start().clock).unwrap();
    assert_eq!(reading.values[6], Some(Value::Throttle(vec!["thermal".to_owned()])));
}

#[test]
fn a_board_is_watched_again_after_its_driver_was_reloaded() {
    let double = Double::new("reload 0.5 1.0\ngpu NVIDIA H200\npower 0 1000\necc uncorrected 2\nprocess self sm 9\n");
    assert!(
        BoardWatch::open(Some(&double.library), &nvml::public_id("GPU-double-1")).is_none(),
        "there is no such board"
    );
    let watch = BoardWatch::open(Some(&double.library), &nvml::public_id("GPU-double-0")).unwrap();
    let look = || {
        watch.begin(1_000_000);
        watch.end(2_000_000)
    };
    let whole = look();
    assert_eq!((whole.ecc_uncorrected, whole.ecc_corrected), (Some((2, 2)), None), "what it does not count is unknown");
    assert_eq!((whole.foreign_load, whole.others.map(|o| o.count), whole.xids), (Some(0.0), Some(0), None));
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(look(), BoardEvents::default(), "the driver is away");
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(look().ecc_uncorrected, Some((2, 2)), "a new handle answers");
}
