//! Layouts of powercap trees, broken files included, through a redirected root.

use super::*;
use crate::clock::Clock;
use crate::sensors::{Sensor, SensorError, Value};
use std::fs;
use std::path::PathBuf;

const RANGE: &str = "262143328850\n";

struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("sys/class/powercap")
    }

    /// A zone at `path` below the powercap folder.
    fn zone(&self, path: &str, name: &str, energy: u64) -> &Self {
        self.file(path, "name", &format!("{name}\n"));
        self.file(path, "max_energy_range_uj", RANGE);
        self.file(path, "energy_uj", &format!("{energy:020}\n"))
    }

    fn file(&self, path: &str, file: &str, text: &str) -> &Self {
        let folder = self.base().join(path);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(file), text).unwrap();
        self
    }

    fn probe(&self) -> Probe {
        probe(&Host::at(self.dir.path()))
    }

    fn sensor(&self) -> Box<dyn Sensor> {
        match self.probe() {
            Probe::Ready(sensor) => sensor,
            Probe::Absent { reason } | Probe::Denied { reason, .. } => panic!("{reason}"),
        }
    }

    fn absent(&self) -> String {
        match self.probe() {
            Probe::Absent { reason } => reason,
            _ => panic!("a sensor was found"),
        }
    }
}

fn names(sensor: &dyn Sensor) -> Vec<String> {
    sensor.info().channels.iter().map(|c| c.domain.to_string()).collect()
}

fn values(sensor: &mut dyn Sensor) -> Vec<Option<u64>> {
    let energy = |v: Option<Value>| match v {
        Some(Value::Energy(energy)) => Some(energy.get()),
        None => None,
        other => panic!("{other:?}"),
    };
    sensor.read(&Clock::start()).unwrap().values.into_iter().map(energy).collect()
}

#[test]
fn a_client_machine() {
    let tree = Tree::new();
    tree.zone("intel-rapl/intel-rapl:0", "package-0", 11)
        .zone("intel-rapl/intel-rapl:0/intel-rapl:0:0", "core", 22)
        .zone("intel-rapl/intel-rapl:0/intel-rapl:0:1", "uncore", 33)
        .zone("intel-rapl/intel-rapl:0/intel-rapl:0:2", "dram", 44)
        .zone("intel-rapl/intel-rapl:1", "psys", 55);
    let mut sensor = tree.sensor();
    assert_eq!(names(&*sensor), ["package-0", "cores-0", "uncore-0", "dram-0", "psys"]);
    assert_eq!(values(&mut *sensor), [11, 22, 33, 44, 55].map(Some));
    let info = sensor.info();
    assert!(info.simulated && info.source.starts_with("direct reader"), "{}", info.source);
    assert_eq!(info.notes, Vec::<String>::new());
    let expected = Quantity::Energy {
        resolution: Some(MicroJoules::new(62)),
        range: Some(MicroJoules::new(262_143_328_850)),
        max_power: None,
    };
    assert_eq!(info.channels[0].quantity, expected);
}

#[test]
fn flat_links_and_nested_folders_name_the_same_zones() {
    let tree = Tree::new();
    tree.zone("intel-rapl/intel-rapl:0", "package-0", 11).zone("intel-rapl/intel-rapl:0/intel-rapl:0:0", "core", 22);
    let link = |target: &str, name: &str| {
        std::os::unix::fs::symlink(tree.base().join(target), tree.base().join(name)).unwrap();
    };
    link("intel-rapl/intel-rapl:0", "intel-rapl:0");
    link("intel-rapl/intel-rapl:0/intel-rapl:0:0", "intel-rapl:0:0");
    // A loop, as the kernel's `subsystem` links form one.
    link("intel-rapl", "intel-rapl/intel-rapl:0/intel-rapl");
    assert_eq!(names(&*tree.sensor()), ["package-0", "cores-0"]);
}

#[test]
fn hexadecimal_indices_and_holes() {
    let tree = Tree::new();
    for (i, zone) in ["0", "1", "9", "a", "f", "10"].iter().enumerate() {
        tree.zone(&format!("intel-rapl:{zone}"), &format!("package-{i}"), 100 + i as u64);
    }
    tree.zone("intel-rapl:a:3", "dram", 7);
    let mut sensor = tree.sensor();
    let expected = ["package-0", "package-1", "package-2", "package-3", "dram-3", "package-4", "package-5"];
    assert_eq!(names(&*sensor), expected);
    assert_eq!(values(&mut *sensor), [100, 101, 102, 103, 7, 104, 105].map(Some));
}

#[test]
fn a_package_on_both_interfaces_is_counted_once() {
    let tree = Tree::new();
    tree.zone("intel-rapl/intel-rapl:0", "package-0", 11)
        .zone("intel-rapl-mmio/intel-rapl-mmio:0", "package-0", 9_000)
        .zone("intel-rapl-mmio/intel-rapl-mmio:0/intel-rapl-mmio:0:0", "dram", 12);
    let sensor = tree.sensor();
    assert_eq!(names(&*sensor), ["package-0"]);
    assert!(sensor.info().notes[0].contains("intel-rapl-mmio:0; it is counted once"), "{:?}", sensor.info().notes);
    let alone = Tree::new();
    alone.zone("intel-rapl-mmio/intel-rapl-mmio:0", "package-0", 5);
    assert_eq!(names(&*alone.sensor()), ["package-0"]);
}

#[test]
fn dies_that_share_a_counter_are_one_package() {
    let tree = Tree::new();
    for die in 0..8 {
        tree.zone(&format!("intel-rapl:{die}"), &format!("package-0-die-{die}"), 5_000_000);
    }
    tree.zone("intel-rapl:0:0", "core", 77);
    let sensor = tree.sensor();
    assert_eq!(names(&*sensor), ["package-0", "cores-0"]);
    assert_eq!(sensor.info().notes.len(), 7);
}

#[test]
fn dies_with_counters_of_their_own_stay_apart_with_their_memory() {
    let tree = Tree::new();
    for die in 0..2u64 {
        tree.zone(&format!("intel-rapl:{die}"), &format!("package-0-die-{die}"), 1_000 + die)
            .zone(&format!("intel-rapl:{die}:0"), "dram", 50 + die)
            .zone(&format!("intel-rapl:{die}:1"), "core", 70 + die);
    }
    let sensor = tree.sensor();
    assert_eq!(names(&*sensor), ["package-0-die-0", "dram-0-die-0", "package-0-die-1", "dram-0-die-1"]);
    let domains: Vec<_> = sensor.info().channels.iter().map(|c| c.domain.clone()).collect();
    for (i, a) in domains.iter().enumerate() {
        assert!(domains[i + 1..].iter().all(|b| !a.overlaps(b)), "{a} overlaps another");
    }
}

#[test]
fn two_fresh_packages_at_zero_are_not_taken_for_one() {
    let tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 0).zone("intel-rapl:1", "package-1", 0);
    assert_eq!(names(&*tree.sensor()), ["package-0", "package-1"]);
}

#[test]
fn equal_names_count_once_and_the_loss_is_told() {
    let tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 10).zone("intel-rapl:1", "package-0", 999);
    let sensor = tree.sensor();
    assert_eq!(names(&*sensor), ["package-0"]);
    assert!(sensor.info().notes[0].contains("NOT in the figures"), "{:?}", sensor.info().notes);
    let tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 10).zone("intel-rapl:1", "package-0", 10);
    assert!(tree.sensor().info().notes[0].contains("counts the same energy"));
}

#[test]
fn zones_nobody_knows_are_left_out_with_a_note() {
    let tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 10)
        .zone("intel-rapl:0:0", "flux", 1)
        .zone("intel-rapl:2", "", 1)
        .zone("intel-rapl:3", "package-x", 1)
        .zone("dtpm:0", "package-7", 1);
    let sensor = tree.sensor();
    assert_eq!(names(&*sensor), ["package-0"]);
    assert_eq!(sensor.info().notes.len(), 3, "{:?}", sensor.info().notes);
}

#[test]
fn bad_files_leave_a_zone_out_or_its_range_unknown_and_never_panic() {
    for bad in ["", "\n", "x", "-5", "1.5", "99999999999999999999999"] {
        let tree = Tree::new();
        tree.zone("intel-rapl:0", "package-0", 10).zone("intel-rapl:1", "package-1", 20);
        tree.file("intel-rapl:1", "energy_uj", bad);
        let sensor = tree.sensor();
        assert_eq!(names(&*sensor), ["package-0"], "{bad:?}");
        assert!(sensor.info().notes[0].contains("energy_uj"), "{:?}", sensor.info().notes);

        let tree = Tree::new();
        tree.zone("intel-rapl:0", "package-0", 10).file("intel-rapl:0", "max_energy_range_uj", bad);
        let sensor = tree.sensor();
        let Quantity::Energy { range, resolution, .. } = sensor.info().channels[0].quantity else { panic!() };
        assert_eq!((range, resolution), (None, None), "{bad:?}");
        assert!(sensor.info().notes[0].contains("states no range"));
    }
}

#[test]
fn counters_that_cannot_be_read_leave_a_zone_out() {
    let tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 10)
        .file("intel-rapl:1", "name", "package-1\n")
        .file("intel-rapl:2", "name", "package-2\n")
        .file("intel-rapl:3", "name", "package-3\n");
    // A folder instead of a file, a file whose reads give EIO, and none at all.
    fs::create_dir(tree.base().join("intel-rapl:1/energy_uj")).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", tree.base().join("intel-rapl:2/energy_uj")).unwrap();
    let sensor = tree.sensor();
    assert_eq!(names(&*sensor), ["package-0"]);
    let notes = &sensor.info().notes;
    for (note, words) in notes.iter().zip(["Is a directory", "Input/output error", "is gone"]) {
        assert!(note.contains(words), "{notes:?}");
    }
    assert_eq!(notes.len(), 3);
}

#[test]
fn nothing_there_says_what_was_looked_for() {
    let tree = Tree::new();
    assert!(tree.absent().contains("sys/class/powercap"), "{}", tree.absent());
    fs::create_dir_all(tree.base()).unwrap();
    assert!(tree.absent().contains("holds no RAPL zone"), "{}", tree.absent());
    tree.zone("intel-rapl:0", "package-0", 10).file("intel-rapl:0", "energy_uj", "nonsense");
    assert!(tree.absent().contains("`nonsense` is no counter value"), "{}", tree.absent());
    fs::create_dir_all(tree.dir.path().join("proc")).unwrap();
    fs::write(tree.dir.path().join("proc/cpuinfo"), "flags : hypervisor\n").unwrap();
    assert!(tree.absent().contains("virtual machine"), "{}", tree.absent());
}

#[test]
fn a_counter_that_breaks_in_the_middle_is_unknown_and_a_tree_that_goes_is_vanished() {
    let tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 10).zone("intel-rapl:1", "package-1", 20);
    let mut sensor = tree.sensor();
    tree.file("intel-rapl:1", "energy_uj", "");
    assert_eq!(values(&mut *sensor), [Some(10), None]);
    tree.file("intel-rapl:0", "energy_uj", "");
    let clock = Clock::start();
    assert!(matches!(sensor.read(&clock), Err(SensorError::Broken { sensor: "rapl", .. })));
    fs::remove_dir_all(tree.base()).unwrap();
    let error = sensor.read(&clock).unwrap_err();
    assert!(matches!(&error, SensorError::Vanished { detail, .. } if detail.contains("energy_uj")), "{error}");
}

#[test]
fn a_read_brackets_its_values() {
    let tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 10);
    let (mut sensor, clock) = (tree.sensor(), Clock::start());
    let start = clock.now();
    let reading = sensor.read(&clock).unwrap();
    assert!(start <= reading.before && reading.before < reading.after && reading.after <= clock.now());
}
