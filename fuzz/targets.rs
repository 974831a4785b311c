//! Every parser of the product behind one function of bytes each. tests/fuzz_corpus.rs runs them over the corpus
//! and mutations of it; a fuzzer can call the same functions.
//!
//! A target fails by panicking: in the parser, or because what was accepted breaks a promise. It says whether
//! the input was accepted, so that a corpus that is only ever refused is noticed.

pub(crate) mod evidence;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use wattproof::clock::{Clock, Moment};
use wattproof::gate::Rules;
use wattproof::host::activity::Watcher;
use wattproof::host::{Host, environment};
use wattproof::policy::{Certification, Policy, Table};
use wattproof::record::{Domain, EnergyMethod, store};
use wattproof::report::ReportModel;
use wattproof::sensors::wall::{Alignment, Columns, Log, Pulse, Row, csv};
use wattproof::sensors::{Probe, REGISTRY};
use wattproof::suite::{Catalog, Profile, Suite};
use wattproof::units::{Joules, MicroJoules, Seconds};

/// Takes an input, says whether it was accepted, and panics on a finding.
pub(crate) type Target = fn(&[u8]) -> bool;

/// Name (also of the folder in fuzz/corpus) and function. One line a parser.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("sysfs", sysfs),
    ("suite", suite),
    ("policy", policy),
    ("certification", certification),
    ("table", table),
    ("gate", gate),
    ("record", record),
    ("criterion", criterion),
    ("quantities", quantities),
    ("wall", wall),
    ("json", evidence::json_text),
    ("envelope", evidence::envelope),
    ("keys", evidence::keys),
    ("archive", evidence::archive),
    ("bundle", evidence::bundle),
];

/// Files of sysfs and procfs that are parsed, with a text that is right.
const FILES: &[(&str, &str)] = &[
    ("sys/class/powercap/intel-rapl/intel-rapl:0/name", "package-0\n"),
    ("sys/class/powercap/intel-rapl/intel-rapl:0/energy_uj", "123456789\n"),
    ("sys/class/powercap/intel-rapl/intel-rapl:0/max_energy_range_uj", "262143328850\n"),
    ("sys/class/powercap/intel-rapl/intel-rapl:0/intel-rapl:0:0/name", "core\n"),
    ("sys/class/powercap/intel-rapl/intel-rapl:0/intel-rapl:0:0/energy_uj", "456789\n"),
    ("sys/class/powercap/intel-rapl/intel-rapl:a/name", "package-1-die-0\n"),
    ("sys/class/powercap/intel-rapl/intel-rapl:a/energy_uj", "99\n"),
    ("sys/class/hwmon/hwmon0/name", "amdgpu\n"),
    ("sys/class/hwmon/hwmon0/power1_average", "65000000\n"),
    ("sys/class/hwmon/hwmon0/power1_label", "PPT\n"),
    ("sys/class/hwmon/hwmon0/energy1_input", "1234567\n"),
    ("sys/class/hwmon/hwmon0/energy1_label", "Esocket0\n"),
    ("sys/class/hwmon/hwmon0/power1_average_interval", "1000\n"),
    ("sys/class/hwmon/hwmon0/temp1_input", "45000\n"),
    ("sys/class/hwmon/hwmon1/name", "power_meter\n"),
    ("sys/class/hwmon/hwmon1/power1_average", "120000000\n"),
    ("sys/class/power_supply/BAT0/type", "Battery\n"),
    ("sys/class/power_supply/BAT0/present", "1\n"),
    ("sys/class/power_supply/BAT0/status", "Discharging\n"),
    ("sys/class/power_supply/BAT0/energy_now", "31450000\n"),
    ("sys/class/power_supply/BAT0/power_now", "7450000\n"),
    ("sys/class/power_supply/BAT0/voltage_now", "11400000\n"),
    ("sys/class/power_supply/BAT0/charge_now", "2760000\n"),
    ("sys/bus/event_source/devices/power/type", "23\n"),
    ("sys/bus/event_source/devices/power/cpumask", "0,2\n"),
    ("sys/bus/event_source/devices/power/events/energy-pkg", "event=0x02\n"),
    ("sys/bus/event_source/devices/power/events/energy-pkg.scale", "2.3283064365386962890625e-10\n"),
    ("sys/bus/event_source/devices/power/events/energy-pkg.unit", "Joules\n"),
    ("sys/devices/system/cpu/online", "0-3\n"),
    ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"),
    ("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0,2\n"),
    ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,2\n"),
    ("sys/devices/system/cpu/cpu0/cache/index0/level", "3\n"),
    ("sys/devices/system/cpu/cpu0/cache/index0/type", "Unified\n"),
    ("sys/devices/system/cpu/cpu0/cache/index0/size", "32768K\n"),
    ("sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list", "0-3\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2400000\n"),
    ("proc/cpuinfo", "processor\t: 0\nmodel name\t: A CPU\nmicrocode\t: 0x1\nflags\t\t: avx2 fma\n\n"),
    ("proc/meminfo", "MemTotal:       16384000 kB\nMemAvailable:    8192000 kB\n"),
    ("proc/stat", "cpu  1 2 3 4 5 6 7 8 9 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n"),
    ("sys/class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
    ("sys/class/thermal/thermal_zone0/temp", "45000\n"),
];

/// What is written at the moment: files are written only when their text changes.
static TREE: Mutex<Option<(PathBuf, Vec<Vec<u8>>)>> = Mutex::new(None);

/// A machine whose files hold the pieces of the input between NUL bytes, in the order of [`FILES`]; a file
/// without a piece holds a right text. All sensors are probed and read, then all texts move on by one file.
pub(crate) fn sysfs(input: &[u8]) -> bool {
    let mut tree = TREE.lock().unwrap_or_else(PoisonError::into_inner);
    let (root, written) = tree.get_or_insert_with(|| (folder("sysfs"), vec![Vec::new(); FILES.len()]));
    let mut pieces: Vec<&[u8]> = FILES.iter().map(|(_, text)| text.as_bytes()).collect();
    for (piece, text) in pieces.iter_mut().zip(input.split(|b| *b == 0)) {
        *piece = text;
    }
    let host = Host::at(&*root);
    let clock = Clock::start();
    let mut write = |pieces: &[&[u8]]| {
        for (((path, _), text), written) in FILES.iter().zip(pieces).zip(written.iter_mut()) {
            if written != text || !root.join(path).exists() {
                put(&root.join(path), text);
                *written = text.to_vec();
            }
        }
    };
    write(&pieces);
    let mut sensors = Vec::new();
    for family in REGISTRY.iter().filter(|family| family.id != "nvml") {
        match (family.probe)(&host) {
            Probe::Ready(sensor) => sensors.push(sensor),
            Probe::Absent { reason } => assert!(!reason.is_empty()),
            Probe::Denied { reason, remedy } => assert!(!reason.is_empty() && !remedy.is_empty()),
        }
    }
    assert!(serde_json::to_string(&environment(&host, Vec::new())).is_ok());
    let watcher = Watcher::new(&host, &[0]);
    let _ = watcher.look(&clock);
    pieces.rotate_left(1);
    write(&pieces);
    for sensor in &mut sensors {
        if let Ok(reading) = sensor.read(&clock) {
            assert_eq!(reading.values.len(), sensor.info().channels.len());
        }
    }
    let _ = watcher.look(&clock);
    !sensors.is_empty()
}

/// A suite file, and the same text as a profile.
pub(crate) fn suite(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    match Suite::parse(Path::new("fuzz.yaml"), text, &Catalog::builtin()) {
        Ok(suite) => {
            assert!(suite.cases.iter().all(|case| !case.id.is_empty()));
            return true;
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
    let profile = Profile::parse(Path::new("fuzz.yaml"), text);
    if let Err(errors) = &profile {
        assert!(!errors.to_string().is_empty());
    }
    profile.is_ok()
}

/// An uncertainty policy.
pub(crate) fn policy(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let policy = Policy::parse(text);
    if let Err(error) = &policy {
        assert!(!error.is_empty());
    }
    policy.is_ok()
}

/// The limits of certification.
pub(crate) fn certification(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    match Certification::parse(text) {
        Ok(policy) => {
            assert!(!policy.name.is_empty() && policy.text == text && policy.validity_days > 0);
            assert!(policy.classes.len() == 6 && policy.classes.windows(2).all(|w| w[0].1 > w[1].1));
            assert_eq!(Certification::parse(text).as_ref(), Ok(&policy));
            true
        }
        Err(error) => is_a_message(&error),
    }
}

/// A reference table.
pub(crate) fn table(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    match Table::parse(text) {
        Ok(table) => {
            assert!(!table.name.is_empty() && table.text == text);
            for row in &table.rows {
                assert!(row.weight.is_finite() && row.weight > 0.0, "{row:?}");
                assert!(row.efficiency.is_finite() && row.efficiency > 0.0, "{row:?}");
                assert_eq!(table.row(&row.case), Some(row), "a case has one row");
            }
            for part in &table.parts {
                assert!([part.peak, part.bandwidth, part.power].iter().all(|x| x.is_finite() && *x > 0.0), "{part:?}");
            }
            true
        }
        Err(error) => is_a_message(&error),
    }
}

/// Rules of a gate.
pub(crate) fn gate(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    match Rules::read(Path::new("gate.yaml"), text) {
        Ok(rules) => {
            assert!(!rules.fail_on.is_empty() && rules.alpha > 0.0 && rules.alpha <= 0.5);
            assert!(rules.effects.values().chain([&rules.minimum_effect]).all(|e| (0.0..=10.0).contains(e)));
            assert!(rules.metrics.is_none_or(|m| !m.is_empty()));
            true
        }
        Err(error) => is_a_message(&error.to_string()),
    }
}

/// An error is a text that can be shown, whatever stands in the input. Says `false`, for "not accepted".
fn is_a_message(error: &str) -> bool {
    assert!(!error.is_empty() && error.len() < 1 << 20, "{} bytes of error", error.len());
    false
}

/// A record: the header up to the first NUL byte, then the lines of the samples; and all that is reckoned
/// and shown of one that reads.
pub(crate) fn record(input: &[u8]) -> bool {
    let at = input.iter().position(|b| *b == 0).unwrap_or(input.len());
    let (header, samples) = (&input[..at], input.get(at + 1..).unwrap_or_default());
    let dir = folder("record");
    put(&dir.join(store::HEADER_FILE), header);
    put(&dir.join(store::SAMPLES_FILE), samples);
    match store::load(&dir) {
        Ok(record) => {
            let _ = record.last_moment();
            let model = ReportModel::of(&record);
            let format = wattproof::report::find("json").expect("JSON is a format");
            assert!((format.render)(&model).is_ok());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// The files of one benchmark of criterion: benchmark, sample, estimates, raw.csv, between NUL bytes.
pub(crate) fn criterion(input: &[u8]) -> bool {
    let mut files = input.splitn(4, |b| *b == 0);
    let (benchmark, sample) = (files.next().unwrap_or_default(), files.next().unwrap_or_default());
    let rest = (files.next(), files.next());
    match wattproof::import::criterion::from_bytes(benchmark, sample, rest.0, rest.1) {
        Ok(imported) => {
            assert!(imported.mean.is_finite() && imported.samples > 0, "{imported:?}");
            assert!(imported.throughput.and_then(|t| t.rate).is_none_or(f64::is_finite));
            assert!(serde_json::to_string(&imported).is_ok());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// Words and numbers: times, domains, counters and quantities as JSON.
pub(crate) fn quantities(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let mut accepted = false;
    if let Some(time) = wattproof::suite::duration(text) {
        assert!(time.get().is_finite());
        accepted = true;
    }
    if let Ok(domain) = text.parse::<Domain>() {
        assert_eq!(domain.to_string().parse::<Domain>().ok(), Some(domain), "{text}");
        accepted = true;
    }
    if let Ok(energy) = MicroJoules::try_from(text.to_owned()) {
        assert_eq!(MicroJoules::try_from(String::from(energy)).ok(), Some(energy));
        accepted = true;
    }
    if let Ok(joules) = serde_json::from_slice::<Joules>(input) {
        assert!(joules.get().is_finite() && joules.over(Seconds::ZERO).is_none());
        accepted = true;
    }
    let name = Domain::other(text).to_string();
    assert!(name.starts_with("other-"), "{name}");
    accepted
}

/// The log of a wall meter: what `--meter` says of its columns up to the first NUL byte (nothing: the usual
/// names), then the CSV; and what a run with two pulses makes of it.
pub(crate) fn wall(input: &[u8]) -> bool {
    let at = input.iter().position(|b| *b == 0).unwrap_or(input.len());
    let (Ok(columns), Ok(text)) =
        (std::str::from_utf8(&input[..at]), std::str::from_utf8(input.get(at + 1..).unwrap_or_default()))
    else {
        return false;
    };
    let columns = match columns {
        "" => Columns::default(),
        words => match Columns::parse(words) {
            Ok(columns) => columns,
            Err(error) => return is_a_message(&error),
        },
    };
    let rows = match csv::parse(text, columns) {
        Ok(rows) => rows,
        Err(error) => return is_a_message(&error),
    };
    for row in &rows {
        let value = row.power.map(|p| p.get()).or(row.energy.map(|e| e.get()));
        assert!(row.fault.is_some() || (row.at.is_some() && value.is_some()), "{row:?}");
        assert!(value.is_none_or(|v| v.is_finite() && v >= 0.0), "{row:?}");
        let json = serde_json::to_string(row).expect("a row is kept in the record");
        assert_eq!(serde_json::from_str::<Row>(&json).ok().as_ref(), Some(row), "{json}");
    }
    for method in [EnergyMethod::Counter, EnergyMethod::Integrated] {
        let Ok(log) = Log::of(&rows, method) else { continue };
        assert!(log.interval() > 0.0, "{}", log.interval());
        let times: Vec<f64> = rows.iter().filter_map(|row| row.at).map(|t| t.get()).collect();
        let most = rows.iter().filter_map(|row| row.power).map(|p| p.get()).fold(0.0, f64::max);
        for (from, to) in times.iter().zip(times.iter().skip(3)).take(64) {
            let Ok(energy) = log.energy(*from, *to) else { continue };
            assert!(energy.is_finite() && energy >= 0.0, "{energy} J from {from} to {to}");
            if method == EnergyMethod::Integrated {
                assert!(energy <= most * (to - from) * (1.0 + 1e-9), "{energy} J from {from} to {to} at {most} W");
            }
        }
    }
    let pulse = |second: u64| {
        let at = |s: u64| Moment::from_nanos((second + s) * 1_000_000_000);
        Pulse { start: at(0), on: at(1), off: at(2), end: at(3) }
    };
    match Alignment::of(&rows, &[pulse(1), pulse(8)]) {
        Ok(alignment) => {
            assert!(alignment.u() > 0.0 && alignment.drift().abs() < 1.0, "{alignment:?}");
            assert!(!alignment.describe().is_empty());
            let (from, to) = (Moment::from_nanos(5_000_000_000), Moment::from_nanos(7_000_000_000));
            if let Ok(energy) = alignment.energy(from, to) {
                assert!(energy.is_finite() && energy >= 0.0, "{energy} J");
            }
            true
        }
        Err(error) => is_a_message(&error),
    }
}

/// A folder of this process, in memory where there is such a place.
fn folder(name: &str) -> PathBuf {
    let shared = Path::new("/dev/shm");
    let base = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    let folder = base.join(format!("wattproof-fuzz-{}", std::process::id())).join(name);
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

fn put(path: &Path, text: &[u8]) {
    if std::fs::write(path, text).is_err() {
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
}
