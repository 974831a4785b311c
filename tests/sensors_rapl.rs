//! The direct powercap reader over trees that are driven by a known power.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod sensors_support;
mod skip;

use sensors_support::{Powercap, Timeline, energy, ready};
use std::time::Duration;
use wattproof::host::Host;
use wattproof::sensors::counter::{Accumulator, Counter, Mark, Step};
use wattproof::sensors::{Sensor, SensorError, probe_period, rapl};

/// One accumulator a channel, all channels energy.
fn accumulators(sensor: &dyn Sensor) -> Vec<Accumulator> {
    sensor.info().channels.iter().map(|c| Accumulator::new(Counter::of(&c.quantity).unwrap())).collect()
}

fn read(sensor: &mut dyn Sensor, timeline: &Timeline, into: &mut [Accumulator]) -> Vec<(Mark, Option<Step>)> {
    let reading = sensor.read(&timeline.clock).unwrap();
    let at = reading.before.midpoint(reading.after);
    into.iter_mut().zip(&reading.values).map(|(acc, value)| acc.push(energy(value), at)).collect()
}

/// Reads every 50 ms for `length`; first and last edge of every channel.
fn window(sensor: &mut dyn Sensor, timeline: &Timeline, length: Duration) -> Vec<(Mark, Mark)> {
    let mut accumulators = accumulators(sensor);
    let first = read(sensor, timeline, &mut accumulators);
    let start = timeline.clock.now();
    while timeline.clock.now().since(start).to_duration() < length {
        std::thread::sleep(Duration::from_millis(50));
        read(sensor, timeline, &mut accumulators);
    }
    let last = read(sensor, timeline, &mut accumulators);
    first.into_iter().zip(last).map(|(a, b)| (a.0, b.0)).collect()
}

#[test]
fn energy_is_true_over_a_wrap_steps_and_hexadecimal_zones() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("sys/class/powercap");
    let zones = [
        // Wraps after 20 J.
        ("intel-rapl/intel-rapl:0", "package-0,power=65,start=262123328850"),
        ("intel-rapl/intel-rapl:0/intel-rapl:0:0", "core,power=40"),
        ("intel-rapl/intel-rapl:0/intel-rapl:0:1", "dram,power=0:5/0.7:25,range=65712999613"),
        ("intel-rapl/intel-rapl:a", "package-1,power=120,start=7"),
        ("intel-rapl-mmio/intel-rapl-mmio:0", "package-0,power=65,start=99"),
    ];
    let arguments: Vec<String> = zones.iter().map(|(path, rest)| format!("{path}={rest}")).collect();
    let mut double = Powercap::start(&base, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let timeline = Timeline::start();
    let mut sensor = ready(rapl::probe(&Host::at(dir.path())));
    let domains: Vec<String> = sensor.info().channels.iter().map(|c| c.name.clone()).collect();
    assert_eq!(domains, ["package-0", "cores-0", "dram-0", "package-1"]);
    assert!(sensor.info().simulated);
    let edges = window(&mut *sensor, &timeline, Duration::from_millis(1500));
    for ((path, _), (first, last)) in zones.iter().zip(&edges) {
        let span = first.until(last).unwrap_or_else(|| panic!("{path} broke"));
        let truth = double.energy(path, &timeline, first.at, last.at);
        let ratio = span.energy.get() as f64 / truth;
        assert!((ratio - 1.0).abs() < 0.02, "{path}: {} µJ of {truth} µJ", span.energy.get());
        assert_eq!(span.wraps, u32::from(*path == "intel-rapl/intel-rapl:0"), "{path}");
    }
}

#[test]
fn a_reset_voids_its_window_and_the_next_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let zone = "intel-rapl:0=package-0,power=65,start=100000000000,reset-at=0.6";
    let _double = Powercap::start(&dir.path().join("sys/class/powercap"), &[zone]);
    let timeline = Timeline::start();
    let mut sensor = ready(rapl::probe(&Host::at(dir.path())));
    let mut accumulators = accumulators(&*sensor);
    let first = read(&mut *sensor, &timeline, &mut accumulators)[0].0;
    std::thread::sleep(Duration::from_millis(900));
    let (middle, step) = read(&mut *sensor, &timeline, &mut accumulators)[0];
    assert!(matches!(step, Some(Step::Reset { .. })), "{step:?}");
    assert_eq!(first.until(&middle), None);
    std::thread::sleep(Duration::from_millis(300));
    let (last, step) = read(&mut *sensor, &timeline, &mut accumulators)[0];
    assert!(step.is_some_and(Step::is_known), "{step:?}");
    let power = middle.until(&last).unwrap().energy.to_joules().over(last.at.since(middle.at)).unwrap();
    assert!((power.get() / 65.0 - 1.0).abs() < 0.1, "{power:?}");
}

#[test]
fn a_tree_that_vanishes_says_so_and_does_not_panic() {
    let dir = tempfile::tempdir().unwrap();
    let zones =
        ["intel-rapl:0=package-0,power=65,vanish-at=0.3", "intel-rapl:1=package-1,power=65,start=5,vanish-at=0.6"];
    let _double = Powercap::start(&dir.path().join("sys/class/powercap"), &zones);
    let timeline = Timeline::start();
    let mut sensor = ready(rapl::probe(&Host::at(dir.path())));
    let (mut half, mut error) = (false, None);
    while timeline.clock.now().seconds().get() < 5.0 && error.is_none() {
        match sensor.read(&timeline.clock) {
            Ok(reading) => half |= reading.values[0].is_none() && reading.values[1].is_some(),
            Err(e) => error = Some(e),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(half, "the second package was to be read on after the first was gone");
    assert!(matches!(error, Some(SensorError::Vanished { sensor: "rapl", .. })), "{error:?}");
}

#[test]
fn the_update_period_of_a_tree_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["period-us=1000", "intel-rapl:0=package-0,power=65", "intel-rapl:1=psys,power=0"];
    let _double = Powercap::start(&dir.path().join("sys/class/powercap"), &arguments);
    let timeline = Timeline::start();
    let mut sensor = ready(rapl::probe(&Host::at(dir.path())));
    let periods = probe_period(&mut *sensor, &timeline.clock);
    let tau = periods[0].1.expect("it changes every millisecond").get();
    // The double writes every millisecond of the clock; a write that is late makes the next one early.
    assert!((0.000_95..0.004).contains(&tau), "{tau}");
    assert_eq!(periods[1], ("psys".to_owned(), None));
}

/// Runs the ignored test `name` as a user that file permissions bind; `None` where that cannot be.
fn as_nobody(name: &str) -> Option<std::process::Output> {
    let program = std::env::current_exe().unwrap();
    let drop_root = ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"];
    let mut command = std::process::Command::new("setpriv");
    command.args(drop_root).arg(program).args(["--ignored", "--exact", name, "--nocapture"]);
    command.output().ok().filter(|o| !String::from_utf8_lossy(&o.stderr).contains("setpriv:"))
}

#[test]
fn counters_that_only_root_may_read_are_denied_with_a_remedy() {
    let probe_file = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(probe_file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    if std::fs::File::open(probe_file.path()).is_err() {
        return inside_denied();
    }
    match as_nobody("inside_denied") {
        Some(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{text}{output:?}");
        }
        None => skip::skip("RAPL without permission", "root reads everything, and setpriv cannot drop its rights here"),
    }
}

#[test]
#[ignore = "run by the test above as a user without rights"]
fn inside_denied() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("sys/class/powercap");
    let zone = |id: &str, name: &str, mode: u32| {
        std::fs::create_dir_all(base.join(id)).unwrap();
        std::fs::write(base.join(id).join("name"), name).unwrap();
        let counter = base.join(id).join("energy_uj");
        std::fs::write(&counter, "123").unwrap();
        std::fs::set_permissions(&counter, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    zone("intel-rapl:0", "package-0", 0o000);
    match rapl::probe(&Host::at(dir.path())) {
        wattproof::sensors::Probe::Denied { reason, remedy } => {
            assert!(reason.contains("intel-rapl:0/energy_uj"), "{reason}");
            assert!(remedy.contains("udev") && remedy.contains("99-wattproof-rapl.rules"), "{remedy}");
        }
        wattproof::sensors::Probe::Ready(sensor) => panic!("read {:?}", sensor.info()),
        wattproof::sensors::Probe::Absent { reason } => panic!("absent: {reason}"),
    }
    // One that may be read is read, and the other is told.
    zone("intel-rapl:1", "package-1", 0o444);
    let sensor = ready(rapl::probe(&Host::at(dir.path())));
    assert_eq!(sensor.info().channels.len(), 1);
    assert!(sensor.info().notes.iter().any(|n| n.contains("may not be read")), "{:?}", sensor.info().notes);
}
