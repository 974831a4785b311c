//! The path that is certified: a powercap tree at the kernel's own place, read by `rapl-energy`.
//!
//! A mount namespace of its own gives the test an empty `/sys/class`, without root. Where the
//! kernel forbids that, the test says so and passes.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
#![expect(clippy::print_stdout, reason = "what was skipped and what was measured")]

mod namespace;
mod sensors_support;
mod skip;

use namespace::{assert_inside, in_namespace};
use sensors_support::{Powercap, Timeline, energy, ready};
use std::path::Path;
use std::time::Duration;
use wattproof::host::Host;
use wattproof::sensors::counter::{Accumulator, Counter};
use wattproof::sensors::{Sensor, SensorError, rapl};

const FOLDER: &str = "/sys/class/powercap";
#[test]
fn energy_at_the_real_path_is_true_within_one_percent() {
    in_namespace("inside::energy");
}

#[test]
fn layouts_that_rapl_energy_does_not_see_go_to_the_direct_reader() {
    in_namespace("inside::fallback");
}

#[test]
fn a_tree_that_vanishes_under_rapl_energy_is_an_error_and_no_panic() {
    in_namespace("inside::vanish");
}

mod inside {
    use super::*;

    const ZONES: [(&str, &str); 4] = [
        ("intel-rapl/intel-rapl:0", "package-0,power=65,start=262123328850"),
        ("intel-rapl/intel-rapl:0/intel-rapl:0:0", "core,power=40"),
        ("intel-rapl/intel-rapl:0/intel-rapl:0:1", "dram,power=5.5,range=65712999613"),
        ("intel-rapl/intel-rapl:1", "psys,power=90,start=7000000"),
    ];

    fn start(extra: &str) -> Powercap {
        let zones: Vec<String> = ZONES.iter().map(|(path, rest)| format!("{path}={rest}{extra}")).collect();
        Powercap::start(Path::new(FOLDER), &zones.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn clear(double: Powercap) {
        drop(double);
        for entry in std::fs::read_dir(FOLDER).unwrap() {
            std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    }

    fn reader(sensor: &dyn Sensor) -> &str {
        assert!(!sensor.info().simulated, "the real path is no simulation");
        &sensor.info().source
    }

    #[test]
    #[ignore = "run in a mount namespace by its outer test"]
    fn energy() {
        assert_inside();
        let mut double = start("");
        let timeline = Timeline::start();
        let mut sensor = ready(rapl::probe(&Host::real()));
        let expected = if cfg!(feature = "rapl-energy") { "rapl-energy 0." } else { "direct reader" };
        assert!(reader(&*sensor).starts_with(expected), "{}", reader(&*sensor));
        let channels = sensor.info().channels.clone();
        let mut accumulators: Vec<_> =
            channels.iter().map(|c| Accumulator::new(Counter::of(&c.quantity).unwrap())).collect();
        let mut read = |sensor: &mut dyn Sensor| {
            let reading = sensor.read(&timeline.clock).unwrap();
            let at = reading.before.midpoint(reading.after);
            let values = accumulators.iter_mut().zip(&reading.values);
            values.map(|(acc, v)| acc.push(super::energy(v), at).0).collect::<Vec<_>>()
        };
        let first = read(&mut *sensor);
        let cost = sensor.read(&timeline.clock).unwrap();
        println!("one read of {} zones: {:.1} µs", ZONES.len(), cost.after.since(cost.before).get() * 1e6);
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(100));
            read(&mut *sensor);
        }
        let last = read(&mut *sensor);
        for (i, (path, _)) in ZONES.iter().enumerate() {
            let span = first[i].until(&last[i]).unwrap_or_else(|| panic!("{path} broke"));
            let truth = double.energy(path, &timeline, first[i].at, last[i].at);
            let error = span.energy.get() as f64 / truth - 1.0;
            println!("{:10} {:12} µJ, true {truth:12} µJ, {:+.3} %", channels[i].name, span.energy.get(), error * 1e2);
            assert!(error.abs() < 0.01, "{path} is {:.2} % off", error * 1e2);
            assert_eq!(span.wraps, u32::from(i == 0), "only the package wraps");
        }
    }

    #[test]
    #[ignore = "run in a mount namespace by its outer test"]
    fn fallback() {
        assert_inside();
        // A hole in the numbers, a hexadecimal index, a missing range, the memory-mapped interface.
        for zones in [
            &["intel-rapl/intel-rapl:0=package-0,power=1", "intel-rapl/intel-rapl:2=package-1,power=1,start=5"][..],
            &["intel-rapl/intel-rapl:a=package-0,power=1"],
            &["intel-rapl/intel-rapl:0=package-0,power=1,no-range"],
            &["intel-rapl-mmio/intel-rapl-mmio:0=package-0,power=1"],
        ] {
            let double = Powercap::start(Path::new(FOLDER), zones);
            let mut sensor = ready(rapl::probe(&Host::real()));
            assert!(reader(&*sensor).starts_with("direct reader"), "{zones:?}: {}", reader(&*sensor));
            assert_eq!(sensor.info().channels.len(), zones.len(), "{zones:?}");
            sensor.read(&Timeline::start().clock).unwrap();
            clear(double);
        }
        // A power limit that does not parse makes the crate panic while it opens.
        let double = start("");
        let zone = Path::new(FOLDER).join("intel-rapl/intel-rapl:0");
        std::fs::write(zone.join("constraint_0_power_limit_uw"), "nonsense\n").unwrap();
        let sensor = ready(rapl::probe(&Host::real()));
        let source = reader(&*sensor);
        assert!(source.starts_with("direct reader"), "{source}");
        assert!(source.contains("Could not parse nonsense") || !cfg!(feature = "rapl-energy"), "{source}");
        clear(double);
    }

    #[test]
    #[ignore = "run in a mount namespace by its outer test"]
    fn vanish() {
        assert_inside();
        let _double = start(",vanish-at=0.4");
        let timeline = Timeline::start();
        let mut sensor = ready(rapl::probe(&Host::real()));
        let source = reader(&*sensor).to_owned();
        let mut error = None;
        while timeline.clock.now().seconds().get() < 5.0 && error.is_none() {
            error = sensor.read(&timeline.clock).err();
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(matches!(error, Some(SensorError::Vanished { sensor: "rapl", .. })), "{error:?}");
        if source.starts_with("rapl-energy") {
            let note = sensor.info().notes.last().cloned().unwrap_or_default();
            assert!(note.contains("direct reader went on"), "{note}");
        }
    }
}
