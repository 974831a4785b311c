//! The power PMU of scripted kernels: which counters are opened where, and what their counts are
//! worth. File contents are those of arch/x86/events/rapl.c and of
//! Documentation/ABI/testing/sysfs-bus-event_source-devices-events.

#![expect(unsafe_code, reason = "the scripted kernel stands in for system calls")]

use super::*;
use perf_event::hooks::{Hooks, clear_thread_hooks, set_thread_hooks, sys::bindings::perf_event_attr};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, Write};
use std::os::fd::IntoRawFd;
use std::os::raw::{c_int, c_ulong};

/// `type` of the PMU in the trees below.
const PMU: u32 = 23;

/// One joule in counts.
const JOULE: u64 = 1 << 32;

/// A kernel whose counters are files: every read takes the next count.
#[derive(Default, Clone)]
struct Kernel {
    /// (config, CPU) → the counts of successive reads.
    counts: BTreeMap<(u64, c_int), Vec<u64>>,
    /// Error code of every open instead.
    refuse: Option<c_int>,
    /// Share of the time that events ran: 1 or 2 of 2.
    halves: u64,
}

impl Kernel {
    fn with(counts: &[((u64, c_int), &[u64])]) -> Self {
        Self { counts: counts.iter().map(|(key, c)| (*key, c.to_vec())).collect(), refuse: None, halves: 2 }
    }
}

impl Hooks for Kernel {
    unsafe fn perf_event_open(
        &mut self,
        attributes: *mut perf_event_attr,
        pid: libc::pid_t,
        cpu: c_int,
        group: c_int,
        _: c_ulong,
    ) -> c_int {
        // SAFETY: the crate passes a pointer to its own structure.
        let attributes = unsafe { &*attributes };
        let answer = |code| {
            // SAFETY: errno of this thread is always there.
            unsafe { *libc::__errno_location() = code };
            -1
        };
        if let Some(code) = self.refuse {
            return answer(code);
        }
        // The PMU counts for a whole package: no process, no group, nothing left out.
        let leaves_out = attributes.exclude_kernel() + attributes.exclude_hv() + attributes.exclude_user();
        if attributes.type_ != PMU || pid != -1 || group != -1 || leaves_out != 0 || attributes.disabled() != 0 {
            return answer(libc::EINVAL);
        }
        let Some(counts) = self.counts.get(&(attributes.config, cpu)) else { return answer(libc::ENODEV) };
        let mut file = tempfile::tempfile().unwrap();
        for (read, count) in counts.iter().enumerate() {
            let enabled = (read as u64 + 1) * 1000;
            for value in [*count, enabled, enabled * self.halves / 2] {
                file.write_all(&value.to_ne_bytes()).unwrap();
            }
        }
        file.rewind().unwrap();
        file.into_raw_fd()
    }

    unsafe fn ID(&mut self, _: c_int, id: *mut u64) -> c_int {
        // SAFETY: the crate passes a pointer to a number of its own.
        unsafe { id.write(1) };
        0
    }
}

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// A machine whose mask is `cpumask`, with the events of `names`, and CPUs with package and die.
    fn new(cpumask: &str, names: &[(&str, u32)], cpus: &[(u32, u32, Option<u32>)]) -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        machine.file("type", &format!("{PMU}\n")).file("cpumask", cpumask).file("format/event", "config:0-7\n");
        for (name, config) in names {
            machine.file(&format!("events/{name}"), &format!("event=0x{config:02x}\n"));
            machine.file(&format!("events/{name}.unit"), "Joules\n");
            machine.file(&format!("events/{name}.scale"), "2.3283064365386962890625e-10\n");
        }
        for (cpu, package, die) in cpus {
            let topology = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            machine.at(&format!("{topology}/physical_package_id"), &format!("{package}\n"));
            if let Some(die) = die {
                machine.at(&format!("{topology}/die_id"), &format!("{die}\n"));
            }
        }
        machine
    }

    fn file(&self, file: &str, text: &str) -> &Self {
        self.at(&format!("{}/{file}", layout::ROOT), text)
    }

    fn at(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// What the probe answers under `kernel`.
    fn probe(&self, kernel: &Kernel) -> Probe {
        // SAFETY: the hooks keep to the contract of the system calls they stand for.
        unsafe { set_thread_hooks(Box::new(kernel.clone())) };
        let answer = probe_described(&Host::at(self.dir.path()));
        // SAFETY: hooks were set above; what was opened are plain files.
        unsafe { clear_thread_hooks() };
        answer
    }

    fn sensor(&self, kernel: &Kernel) -> Box<dyn Sensor> {
        match self.probe(kernel) {
            Probe::Ready(sensor) => sensor,
            Probe::Absent { reason } | Probe::Denied { reason, .. } => panic!("{reason}"),
        }
    }

    fn absent(&self, kernel: &Kernel) -> String {
        match self.probe(kernel) {
            Probe::Absent { reason } => reason,
            _ => panic!("no reason why it is absent"),
        }
    }
}

fn domains(sensor: &dyn Sensor) -> Vec<String> {
    sensor.info().channels.iter().map(|c| format!("{} {}", c.domain, c.name)).collect()
}

fn values(sensor: &mut dyn Sensor) -> Vec<Option<u64>> {
    let energy = |value: Option<Value>| match value {
        Some(Value::Energy(energy)) => Some(energy.get()),
        None => None,
        other => panic!("{other:?}"),
    };
    sensor.read(&Clock::start()).unwrap().values.into_iter().map(energy).collect()
}

const CLIENT: &[(&str, u32)] =
    &[("energy-cores", 1), ("energy-pkg", 2), ("energy-ram", 3), ("energy-gpu", 4), ("energy-psys", 5)];

#[test]
fn a_client_machine_counts_to_the_last_microjoule() {
    let machine = Machine::new("0\n", CLIENT, &[(0, 0, Some(0)), (1, 0, Some(0))]);
    // The first read is the probe's. 2^18 counts are 61.035 µJ, one step of most Intel parts.
    let far: u64 = 9_007_199_254_740_993 << 8;
    let kernel = Kernel::with(&[
        ((2, 0), &[0, JOULE, far, far + (1 << 18) * 1_000_000]),
        ((1, 0), &[0, JOULE / 2, JOULE, JOULE]),
        ((4, 0), &[0, 0, 0, 0]),
        ((3, 0), &[0, 3 * JOULE, 3 * JOULE, 3 * JOULE]),
        ((5, 0), &[0, 10 * JOULE, 10 * JOULE, 10 * JOULE]),
    ]);
    let mut sensor = machine.sensor(&kernel);
    let expected = [
        "package-0 energy-pkg/cpu0",
        "cores-0 energy-cores/cpu0",
        "uncore-0 energy-gpu/cpu0",
        "dram-0 energy-ram/cpu0",
        "psys energy-psys/cpu0",
    ];
    assert_eq!(domains(&*sensor), expected);
    assert_eq!(values(&mut *sensor), [1_000_000, 500_000, 0, 3_000_000, 10_000_000].map(Some));
    let before = values(&mut *sensor)[0].unwrap();
    let after = values(&mut *sensor)[0].unwrap();
    // A million steps of 15625/2^26 · 2^18 µJ: 61,035,156.25 µJ, where a double would be off by 256 counts.
    assert!((after - before).abs_diff(61_035_156) <= 1, "{}", after - before);
    assert!(sensor.info().simulated && sensor.info().notes.is_empty());
}

#[test]
fn packages_are_found_by_topology_and_not_by_the_place_in_the_mask() {
    // CPU 0 sits on package 1, as firmware sometimes numbers them.
    let names = [("energy-pkg", 2), ("energy-ram", 3), ("energy-psys", 5)];
    let machine = Machine::new("0,28\n", &names, &[(0, 1, Some(0)), (28, 0, Some(0))]);
    let kernel = Kernel::with(&[
        ((2, 0), &[0, 7 * JOULE]),
        ((2, 28), &[0, 5 * JOULE]),
        ((3, 0), &[0, 2 * JOULE]),
        ((3, 28), &[0, JOULE]),
        ((5, 0), &[0, 20 * JOULE]),
        ((5, 28), &[0, 20 * JOULE]),
    ]);
    let mut sensor = machine.sensor(&kernel);
    let expected = [
        "package-1 energy-pkg/cpu0",
        "package-0 energy-pkg/cpu28",
        "dram-1 energy-ram/cpu0",
        "dram-0 energy-ram/cpu28",
        "psys energy-psys/cpu0",
    ];
    assert_eq!(domains(&*sensor), expected, "and the platform is read once");
    assert_eq!(values(&mut *sensor), [7_000_000, 5_000_000, 2_000_000, 1_000_000, 20_000_000].map(Some));
}

#[test]
fn dies_with_memory_of_their_own_stay_apart_and_doubtful_ones_are_left_out() {
    let cpus = [(0, 0, Some(0)), (24, 0, Some(1))];
    let intel = Machine::new("0,24\n", &[("energy-pkg", 2), ("energy-ram", 3), ("energy-cores", 1)], &cpus);
    let both: &[u64] = &[0, JOULE];
    let kernel = Kernel::with(&[((2, 0), both), ((2, 24), both), ((3, 0), both), ((3, 24), both)]);
    let sensor = intel.sensor(&kernel);
    let places: Vec<String> = sensor.info().channels.iter().map(|c| c.domain.to_string()).collect();
    assert_eq!(places, ["package-0-die-0", "package-0-die-1", "dram-0-die-0", "dram-0-die-1"]);
    let amd = Machine::new("0,24\n", &[("energy-pkg", 2)], &cpus);
    let reason = amd.absent(&Kernel::with(&[((2, 0), both), ((2, 24), both)]));
    assert!(reason.contains("share a counter"), "{reason}");
    // Since 6.10 such a package has one reader, who speaks for all of it.
    let amd = Machine::new("0\n", &[("energy-pkg", 2)], &cpus);
    assert_eq!(domains(&*amd.sensor(&Kernel::with(&[((2, 0), both)]))), ["package-0 energy-pkg/cpu0"]);
}

#[test]
fn a_user_without_rights_is_told_the_least_that_helps() {
    let machine = Machine::new("0\n", &[("energy-pkg", 2)], &[(0, 0, None)]);
    machine.at("proc/sys/kernel/perf_event_paranoid", "2\n");
    for code in [libc::EACCES, libc::EPERM] {
        let kernel = Kernel { refuse: Some(code), ..Kernel::with(&[]) };
        let Probe::Denied { reason, remedy } = machine.probe(&kernel) else { panic!("not denied") };
        assert!(reason.contains("perf_event_paranoid is 2") && reason.contains("energy-pkg on CPU 0"), "{reason}");
        assert!(remedy.contains("sudo setcap cap_perfmon=ep"), "{remedy}");
    }
    let kernel = Kernel { refuse: Some(libc::EINVAL), ..Kernel::with(&[]) };
    assert!(machine.absent(&kernel).contains("no counter of the power PMU opens"));
}

#[test]
fn an_event_that_is_described_badly_is_left_out_with_the_reason() {
    for (file, text, words) in [
        ("events/energy-ram", "umask=0x3\n", "is no event"),
        ("events/energy-ram.unit", "Watts\n", "not Joules"),
        ("events/energy-ram.unit", "\n", "states no unit"),
        ("events/energy-ram.scale", "0\n", "is no scale"),
        ("events/energy-ram.scale", "", "states no scale"),
    ] {
        let machine = Machine::new("0\n", &[("energy-pkg", 2), ("energy-ram", 3)], &[(0, 0, None)]);
        machine.file(file, text);
        let sensor = machine.sensor(&Kernel::with(&[((2, 0), &[0, JOULE])]));
        assert_eq!(domains(&*sensor), ["package-0 energy-pkg/cpu0"], "{file}");
        assert!(sensor.info().notes[0].contains(words), "{:?}", sensor.info().notes);
    }
    let machine = Machine::new("0\n", &[("energy-pkg", 2)], &[(0, 0, None)]);
    machine.file("format/event", "config:0-15\n");
    assert!(machine.absent(&Kernel::with(&[])).contains("config:0-15"));
}

#[test]
fn nothing_there_says_what_was_looked_for() {
    let none = Kernel::with(&[]);
    let empty = tempfile::tempdir().unwrap();
    let Probe::Absent { reason } = probe_described(&Host::at(empty.path())) else { panic!("found") };
    assert!(reason.contains("power/type does not exist"), "{reason}");
    let machine = || Machine::new("0\n", &[("energy-pkg", 2)], &[(0, 0, None)]);
    for (file, text, words) in [
        ("type", "x\n", "is no number of a PMU"),
        ("cpumask", "\n", "is empty"),
        ("cpumask", "3-1\n", "is no list of CPUs"),
        ("cpumask", "7\n", "whose package is known"),
        ("events/energy-pkg", "nonsense\n", "is no event"),
    ] {
        let machine = machine();
        machine.file(file, text);
        assert!(machine.absent(&none).contains(words), "{file}: {}", machine.absent(&none));
    }
    let redirected = machine();
    let Probe::Absent { reason } = probe(&Host::at(redirected.dir.path())) else { panic!("found") };
    assert!(reason.contains("redirected"), "{reason}");
}

#[test]
fn counts_that_end_or_did_not_run_all_the_time_are_unknown() {
    let machine = Machine::new("0\n", &[("energy-pkg", 2), ("energy-ram", 3)], &[(0, 0, None)]);
    let mut sensor = machine.sensor(&Kernel::with(&[((2, 0), &[0, JOULE, 2 * JOULE]), ((3, 0), &[0, JOULE])]));
    assert_eq!(values(&mut *sensor), [Some(1_000_000), Some(1_000_000)]);
    assert_eq!(values(&mut *sensor), [Some(2_000_000), None]);
    let error = sensor.read(&Clock::start()).unwrap_err();
    assert!(matches!(error, SensorError::Broken { sensor: "power-pmu", .. }), "{error}");
    let half = Kernel { halves: 1, ..Kernel::with(&[((2, 0), &[0, JOULE]), ((3, 0), &[0, JOULE])]) };
    assert!(machine.absent(&half).contains("did not run all the time"));
}
