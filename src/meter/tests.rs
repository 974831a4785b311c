//! The meter over counters whose values the test writes itself: every figure is exact.

use super::*;
use crate::sensors::{Domain, Reading, Sensor, SensorError, SensorInfo, Value};
use crate::units::Watts;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// A powercap tree of files that stand still until the test writes them.
struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new(zones: &[(&str, &str, u64)]) -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap() };
        for (path, name, value) in zones {
            let folder = tree.zone(path);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("name"), format!("{name}\n")).unwrap();
            std::fs::write(folder.join("max_energy_range_uj"), "262143328850\n").unwrap();
            std::fs::write(folder.join("energy_uj"), format!("{value:020}\n")).unwrap();
        }
        tree
    }

    fn zone(&self, path: &str) -> PathBuf {
        self.dir.path().join("sys/class/powercap").join(path)
    }

    /// Sets a counter in place, as a driver does.
    fn set(&self, path: &str, value: u64) {
        let file = std::fs::OpenOptions::new().write(true).open(self.zone(path).join("energy_uj")).unwrap();
        file.write_all_at(format!("{value:020}\n").as_bytes(), 0).unwrap();
    }

    fn meter(&self) -> Meter {
        Meter::with(&Options { host: Host::at(self.dir.path()), ..Options::default() }).unwrap()
    }
}

const PACKAGE: &str = "intel-rapl/intel-rapl:0";
const CORES: &str = "intel-rapl/intel-rapl:0/intel-rapl:0:0";

fn energy(measurement: &Measurement, domain: &str) -> Result<f64, String> {
    let domain: Domain = domain.parse().unwrap();
    let part = measurement.domains.iter().find(|d| d.domain == domain).expect("the domain is listed");
    part.figure.clone().map(|f| f.energy.get())
}

#[test]
fn a_window_has_exactly_what_the_counters_rose_by() {
    let tree = Tree::new(&[(PACKAGE, "package-0", 1_000_000), (CORES, "core", 500_000)]);
    let meter = tree.meter();
    let outer = meter.begin();
    tree.set(PACKAGE, 3_000_000);
    let inner = meter.begin();
    tree.set(PACKAGE, 10_500_000);
    tree.set(CORES, 500_061);
    let (inner, outer) = (meter.end(inner), meter.end(outer));
    assert_eq!(energy(&inner, "package-0"), Ok(7.5));
    assert_eq!(energy(&outer, "package-0"), Ok(9.5), "windows may overlap");
    assert_eq!(energy(&outer, "cores-0"), Ok(61e-6));
    assert!((outer.total().unwrap().energy.get() - 9.5).abs() < 1e-12, "cores lie inside the package");
    assert!(outer.simulated[0].contains("root is redirected"));
}

#[test]
fn wraps_are_solved_and_resets_are_unknown() {
    let tree = Tree::new(&[(PACKAGE, "package-0", 262_143_328_850)]);
    let meter = tree.meter();
    let window = meter.begin();
    tree.set(PACKAGE, 4_999_999);
    let used = meter.end(window);
    assert_eq!(energy(&used, "package-0"), Ok(5.0));
    assert_eq!(used.domains[0].figure.as_ref().unwrap().wraps, 1);
    tree.set(PACKAGE, 100_000_000);
    let window = meter.begin();
    tree.set(PACKAGE, 1_000_000);
    let used = meter.end(window);
    let reason = energy(&used, "package-0").unwrap_err();
    assert!(reason.contains("set back"), "{reason}");
    assert!(used.total().unwrap_err().contains("set back"));
    // The next window counts again.
    let window = meter.begin();
    tree.set(PACKAGE, 3_000_000);
    assert_eq!(energy(&meter.end(window), "package-0"), Ok(2.0));
}

#[test]
fn a_counter_that_stands_still_is_unknown_and_not_zero() {
    let tree = Tree::new(&[(PACKAGE, "package-0", 1), (CORES, "core", 1)]);
    let meter = tree.meter();
    let window = meter.begin();
    tree.set(PACKAGE, 2_000_000);
    let used = meter.end(window);
    assert!(energy(&used, "cores-0").unwrap_err().contains("did not advance"));
    assert!(used.total().is_ok());
}

#[test]
fn a_machine_without_counters_gives_its_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { host: Host::at(dir.path()), ..Options::default() };
    let unmeasured = Meter::with(&options).unwrap_err();
    assert_eq!(unmeasured.reasons.len(), crate::sensors::REGISTRY.len());
    assert!(unmeasured.reasons.iter().all(|r| r.reason.len() > 20), "{unmeasured}");
}

#[test]
fn a_named_sensor_that_is_missing_is_an_error_unless_allowed() {
    let tree = Tree::new(&[(PACKAGE, "package-0", 1)]);
    let named = Some(vec!["rapl".to_owned(), "nvml".to_owned()]);
    let mut options = Options { host: Host::at(tree.dir.path()), sensors: named, ..Options::default() };
    let unmeasured = Meter::with(&options).unwrap_err();
    assert_eq!(unmeasured.reasons[0].sensor, "nvml");
    options.allow_missing = true;
    assert_eq!(Meter::with(&options).unwrap().sensors().len(), 2);
}

/// A board that states power: 0 W at first, then 100 W; it may be lost.
struct Board {
    info: SensorInfo,
    reads: u32,
    lost_at: u32,
}

impl Sensor for Board {
    fn info(&self) -> &SensorInfo {
        &self.info
    }

    fn read(&mut self, clock: &Clock) -> Result<Reading, SensorError> {
        self.reads += 1;
        if self.reads >= self.lost_at {
            return Err(SensorError::Vanished { sensor: "board", detail: "it fell off the bus".into() });
        }
        let now = clock.now();
        Ok(Reading { before: now, after: now, values: vec![Watts::new(100.0).ok().map(Value::Power)] })
    }
}

fn board(lost_at: u32) -> Meter {
    let channel = Channel {
        name: "power".into(),
        domain: Domain::Gpu { uuid: "GPU-1".into() },
        quantity: Quantity::InstantPower,
        role: crate::sensors::ReaderRole::default(),
        update_period: Seconds::new(0.02).ok(),
    };
    let info = SensorInfo {
        id: "board".into(),
        title: "a board".into(),
        source: "test".into(),
        channels: vec![channel],
        notes: Vec::new(),
        simulated: true,
        accuracy: None,
    };
    let bank = Bank::new(vec![Box::new(Board { info, reads: 0, lost_at })]);
    Meter::over(bank, Clock::start(), Vec::new(), &Options::default())
}

#[test]
fn power_is_integrated_where_there_is_no_counter() {
    let meter = board(u32::MAX);
    let window = meter.begin();
    std::thread::sleep(std::time::Duration::from_millis(250));
    let used = meter.end(window);
    let part = &used.domains[0];
    let figure = part.figure.as_ref().unwrap();
    assert_eq!(part.method, EnergyMethod::Integrated);
    assert!((figure.power.get() - 100.0).abs() < 0.01, "{figure:?}");
    // The policy does not know the board: gain 10 %, non-linearity 10 %, aliasing 5 %, in all 15 %.
    assert!((figure.terms.gain.get() / figure.energy.get() - 0.15 / 3f64.sqrt()).abs() < 1e-9);
    assert!(used.warnings().iter().any(|w| w.contains("shorter than 20")), "{:?}", used.warnings());
}

#[test]
fn a_lost_sensor_says_what_it_said() {
    let meter = board(2);
    let window = meter.begin();
    let used = meter.end(window);
    let reason = used.domains[0].figure.as_ref().unwrap_err();
    assert!(reason.contains("fell off the bus"), "{reason}");
    // And for ever after.
    let window = meter.begin();
    assert!(meter.end(window).domains[0].figure.as_ref().unwrap_err().contains("fell off the bus"));
}

#[test]
fn counters_are_read_as_often_as_they_need_or_as_asked() {
    let tree = Tree::new(&[(PACKAGE, "package-0", 1)]);
    let bank = Bank::new(probe(&Host::at(tree.dir.path()), |_| true).1);
    let wrap = keeping_period(&bank, None).unwrap().get();
    // A quarter of 262 kJ at 3 kW.
    assert!((wrap - 262_143.328_85 / 3000.0 / 4.0).abs() < 1e-6, "{wrap}");
    assert!((keeping_period(&bank, Hertz::new(100.0).ok()).unwrap().get() - 0.01).abs() < 1e-12);
    assert!((keeping_period(&bank, Hertz::new(0.001).ok()).unwrap().get() - wrap).abs() < 1e-12);
    assert_eq!(keeping_period(&Bank::new(Vec::new()), None), None);
    assert!((keeping_period(&board(u32::MAX).bank.lock().unwrap(), None).unwrap().get() - 0.1).abs() < 1e-12);
}

#[test]
fn a_trace_streams_energy_since_the_start() {
    let tree = Tree::new(&[(PACKAGE, "package-0", 1_000_000)]);
    let meter = tree.meter();
    for format in [TraceFormat::Csv, TraceFormat::JsonLines] {
        let window = meter.begin();
        let rate = Hertz::new(200.0).unwrap();
        let trace = Trace::start(&meter, &window, 7, rate, format, Vec::new()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        tree.set(PACKAGE, 3_000_000);
        std::thread::sleep(std::time::Duration::from_millis(60));
        let used = meter.end(window);
        let (bytes, summary) = trace.finish().unwrap();
        tree.set(PACKAGE, 1_000_000);
        let text = String::from_utf8(bytes).unwrap();
        let last = text.lines().last().unwrap();
        assert_eq!(energy(&used, "package-0"), Ok(2.0));
        assert_eq!(text.lines().count() as u64, summary.points);
        assert!(summary.points >= 3, "{text}");
        match format {
            TraceFormat::Csv => {
                let cells: Vec<&str> = last.split(',').collect();
                assert_eq!((cells[0], cells[2], cells[3]), ("7", "package-0", "2"), "{last}");
            }
            TraceFormat::JsonLines => {
                let point: serde_json::Value = serde_json::from_str(last).unwrap();
                assert_eq!(point["domains"][0]["energy_j"], 2.0, "{last}");
                assert_eq!(point["run"], 7);
            }
        }
    }
}

/// A disk that is full.
struct Full;

impl std::io::Write for Full {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_trace_that_cannot_be_written_says_so_and_the_window_lives() {
    let tree = Tree::new(&[(PACKAGE, "package-0", 1_000_000)]);
    let meter = tree.meter();
    let window = meter.begin();
    let trace = Trace::start(&meter, &window, 1, Hertz::new(500.0).unwrap(), TraceFormat::Csv, Full).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(30));
    tree.set(PACKAGE, 2_000_000);
    assert_eq!(energy(&meter.end(window), "package-0"), Ok(1.0));
    assert!(matches!(trace.finish(), Err(TraceError::Write(_))));
}
