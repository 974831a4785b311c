//! Chips as real machines list them, and what must not happen when their files misbehave.
//!
//! File names, labels and units are those of the kernel's Documentation/hwmon/sysfs-interface.rst,
//! acpi_power_meter.rst, fam15h_power.rst, amd_energy.rst, of Documentation/gpu/amdgpu/thermal.rst
//! and of Documentation/ABI/testing/sysfs-driver-intel-{i915,xe}-hwmon.

use super::*;
use crate::sensors::Quantity;
use crate::units::Seconds;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(machine.dir.path().join("sys/class/hwmon")).unwrap();
        machine
    }

    fn folder(&self, id: &str) -> PathBuf {
        self.dir.path().join("sys/class/hwmon").join(id)
    }

    /// A chip with files of its own; `device` is a path below `sys/devices`.
    fn chip(&self, id: &str, device: &str, files: &[(&str, &str)]) -> &Self {
        let real = self.dir.path().join("sys/devices").join(device);
        fs::create_dir_all(&real).unwrap();
        fs::create_dir_all(self.folder(id)).unwrap();
        symlink(&real, self.folder(id).join("device")).unwrap();
        for (file, text) in files {
            fs::write(self.folder(id).join(file), text).unwrap();
        }
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

/// `domain quantity value` of every channel.
fn lines(sensor: &mut dyn Sensor) -> Vec<String> {
    let reading = sensor.read(&Clock::start()).unwrap();
    let line = |(channel, value): (&Channel, &Option<Value>)| {
        let quantity = match channel.quantity {
            Quantity::Energy { .. } => "energy".to_owned(),
            Quantity::InstantPower => "power".to_owned(),
            Quantity::AveragePower { interval } => {
                format!("average({})", interval.map_or_else(|| "?".to_owned(), |i: Seconds| i.get().to_string()))
            }
            other => panic!("{other:?}"),
        };
        let value = match value {
            Some(Value::Energy(e)) => format!("{} uJ", e.get()),
            Some(Value::Power(w)) => format!("{} W", w.get()),
            None => "-".to_owned(),
            other => panic!("{other:?}"),
        };
        format!("{} {quantity} {value}", channel.domain)
    };
    sensor.info().channels.iter().zip(&reading.values).map(line).collect()
}

fn gpu_at(address: &str) -> String {
    format!("gpu-{}", crate::sensors::nvml::public_id(&format!("pci-{address}")))
}

/// Header of `gpu_metrics`: size, format revision, content revision.
fn metrics(machine: &Machine, device: &str, format: u8) {
    let mut table = vec![0u8; 120];
    table[..4].copy_from_slice(&[120, 0, format, 3]);
    fs::write(machine.dir.path().join("sys/devices").join(device).join("gpu_metrics"), table).unwrap();
}

#[test]
fn a_workstation_with_two_amd_gpus_one_of_them_in_the_processor() {
    let machine = Machine::new();
    let (board, chip) = ("pci0000:00/0000:03:00.0", "pci0000:00/0000:0a:00.0");
    machine
        .chip("hwmon0", "platform/coretemp.0", &[("name", "coretemp\n"), ("temp1_input", "41000\n")])
        .chip("hwmon1", "pci0000:00/0000:01:00.0/nvme/nvme0", &[("name", "nvme\n"), ("temp1_input", "36850\n")])
        .chip(
            "hwmon2",
            board,
            &[
                ("name", "amdgpu\n"),
                ("power1_average", "29000000\n"),
                ("power1_input", "31000000\n"),
                ("power1_label", "PPT\n"),
                ("power1_cap", "303000000\n"),
            ],
        )
        .chip("hwmon10", chip, &[("name", "amdgpu\n"), ("power1_input", "9068000\n"), ("power1_label", "PPT\n")]);
    metrics(&machine, board, 1);
    metrics(&machine, chip, 2);
    let mut sensor = machine.sensor();
    let gpu = gpu_at("0000:03:00.0");
    assert_eq!(
        lines(&mut *sensor),
        [
            format!("{gpu} power 31 W"),
            format!("{gpu} average(?) 29 W"),
            "other-amdgpu-hwmon10-power1-ppt power 9.068 W".to_owned(),
        ]
    );
    let info = sensor.info();
    assert!(info.simulated && info.notes.len() == 1, "{:?}", info.notes);
    assert!(info.notes[0].contains("hwmon10") && info.notes[0].contains("CPU cores"), "{:?}", info.notes);
}

#[test]
fn intel_cards_are_counted_once() {
    let machine = Machine::new();
    machine
        .chip(
            "hwmon3",
            "pci0000:3a/0000:3d:00.0",
            &[
                ("name", "xe\n"),
                ("energy1_input", "183094062500\n"),
                ("energy1_label", "card\n"),
                ("energy2_input", "150000000000\n"),
                ("energy2_label", "pkg\n"),
                ("power1_max", "300000000\n"),
            ],
        )
        .chip("hwmon4", "pci0000:4a/0000:4d:00.0", &[("name", "i915\n"), ("energy1_input", "77000000\n")])
        .chip("hwmon5", "pci0000:4a/0000:4d:00.0", &[("name", "i915_gt0\n"), ("energy1_input", "70000000\n")]);
    let mut sensor = machine.sensor();
    assert_eq!(
        lines(&mut *sensor),
        [
            format!("{} energy 183094062500 uJ", gpu_at("0000:3d:00.0")),
            format!("{} energy 77000000 uJ", gpu_at("0000:4d:00.0")),
        ]
    );
    assert_eq!(sensor.info().notes.len(), 2, "{:?}", sensor.info().notes);
}

/// The ACPI meter's files lie on the device, not in the hwmon folder.
fn acpi_meter(machine: &Machine, number: u32, oem: &str, microwatts: &str) {
    let device = format!("LNXSYSTM:00/ACPI000D:{number:02}");
    machine.chip(&format!("hwmon{number}"), &device, &[]);
    let real = machine.dir.path().join("sys/devices").join(device);
    for (file, text) in [
        ("name", "power_meter\n"),
        ("power1_average", microwatts),
        ("power1_average_interval", "50\n"),
        ("power1_oem_info", oem),
        ("power1_is_battery", "0\n"),
    ] {
        fs::write(real.join(file), text).unwrap();
    }
}

#[test]
fn a_grace_hopper_module() {
    let machine = Machine::new();
    acpi_meter(&machine, 1, "Module Power Socket 0\n", "211000000\n");
    acpi_meter(&machine, 2, "Grace Power Socket 0\n", "85000000\n");
    acpi_meter(&machine, 3, "CPU Power Socket 0\n", "43000000\n");
    acpi_meter(&machine, 4, "SysIO Power Socket 0\n", "12000000\n");
    let mut sensor = machine.sensor();
    assert_eq!(
        lines(&mut *sensor),
        [
            "other-power-meter-hwmon1-power1-module-power-socket-0 average(0.05) 211 W",
            "package-0 average(0.05) 85 W",
            "cores-0 average(0.05) 43 W",
            "uncore-0 average(0.05) 12 W",
        ]
    );
    assert!(sensor.info().notes.iter().any(|n| n.contains("memory included")), "{:?}", sensor.info().notes);
}

#[test]
fn one_meter_without_a_name_is_the_node_and_two_are_nothing_known() {
    let machine = Machine::new();
    acpi_meter(&machine, 1, "\n", "287000000\n");
    assert_eq!(lines(&mut *machine.sensor()), ["node average(0.05) 287 W"]);
    acpi_meter(&machine, 2, "\n", "143000000\n");
    let domains: Vec<String> = lines(&mut *machine.sensor());
    assert!(domains.iter().all(|d| d.starts_with("other-power-meter-hwmon")), "{domains:?}");
}

#[test]
fn two_meters_that_claim_one_part_are_both_set_aside() {
    let machine = Machine::new();
    acpi_meter(&machine, 1, "Grace Power Socket 0\n", "85000000\n");
    acpi_meter(&machine, 2, "Grace Power Socket 0\n", "15000000\n");
    acpi_meter(&machine, 3, "Grace Power Socket 1\n", "70000000\n");
    let sensor = machine.sensor();
    let placed: Vec<String> =
        sensor.info().channels.iter().filter(|c| c.domain.is_placed()).map(|c| c.domain.to_string()).collect();
    assert_eq!(placed, ["package-1"]);
    assert_eq!(sensor.info().notes.iter().filter(|n| n.contains("both claim package-0")).count(), 2);
}

#[test]
fn processors_of_the_past() {
    let machine = Machine::new();
    let energy = [
        ("name", "amd_energy\n"),
        ("energy1_input", "8\n"),
        ("energy1_label", "Ecore000\n"),
        ("energy2_input", "9\n"),
        ("energy2_label", "Ecore001\n"),
        ("energy3_input", "123456789\n"),
        ("energy3_label", "Esocket0\n"),
    ];
    machine.chip("hwmon0", "platform/amd_energy.0", &energy);
    let mut sensor = machine.sensor();
    assert_eq!(lines(&mut *sensor), ["package-0 energy 123456789 uJ"]);
    assert_eq!(sensor.info().notes.len(), 1, "one note for all cores: {:?}", sensor.info().notes);
    let machine = Machine::new();
    let power = [("name", "fam15h_power\n"), ("power1_input", "17580000\n"), ("power1_crit", "95060000\n")];
    machine.chip("hwmon0", "pci0000:00/0000:00:18.4", &power);
    assert_eq!(lines(&mut *machine.sensor()), ["package-0 power 17.58 W"]);
}

#[test]
fn rails_of_a_board_are_shown_and_batteries_are_not() {
    let machine = Machine::new();
    machine.chip("hwmon0", "i2c-1/1-0040", &[("name", "ina226\n"), ("power1_input", "4250000\n")]).chip(
        "hwmon1",
        "power_supply/BAT0",
        &[("name", "BAT0\n"), ("power1_input", "8000000\n")],
    );
    let class = machine.dir.path().join("sys/class/power_supply");
    fs::create_dir_all(&class).unwrap();
    symlink(&class, machine.folder("hwmon1").join("device/subsystem")).unwrap();
    let mut sensor = machine.sensor();
    assert_eq!(lines(&mut *sensor), ["other-ina226-hwmon0-power1 power 4.25 W"]);
    assert!(sensor.info().notes.iter().any(|n| n.contains("battery")), "{:?}", sensor.info().notes);
}

#[test]
fn files_that_misbehave_are_unknown_and_never_zero() {
    for bad in ["", "\n", "-5\n", "x", "1.5", "99999999999999999999999"] {
        let machine = Machine::new();
        acpi_meter(&machine, 1, "\n", "287000000\n");
        machine.chip("hwmon4", "pci0000:4a/0000:4d:00.0", &[("name", "i915\n"), ("energy1_input", "77\n")]);
        let mut sensor = machine.sensor();
        fs::write(machine.folder("hwmon1").join("device/power1_average"), bad).unwrap();
        assert_eq!(lines(&mut *sensor)[0], "node average(0.05) -", "{bad:?}");
        let again = machine.sensor();
        assert_eq!(again.info().channels.len(), 1, "{bad:?}");
        assert!(again.info().notes.iter().any(|n| n.contains("power1_average")), "{:?}", again.info().notes);
    }
}

#[test]
fn an_error_of_the_driver_leaves_a_meter_out_and_its_interval_unknown() {
    let machine = Machine::new();
    acpi_meter(&machine, 1, "\n", "287000000\n");
    machine.chip("hwmon4", "pci0000:4a/0000:4d:00.0", &[("name", "i915\n")]);
    // Reads of this file give EIO.
    symlink("/proc/self/mem", machine.folder("hwmon4").join("energy1_input")).unwrap();
    fs::write(machine.folder("hwmon1").join("device/power1_average_interval"), "0\n").unwrap();
    let mut sensor = machine.sensor();
    assert_eq!(lines(&mut *sensor), ["node average(?) 287 W"]);
    assert!(sensor.info().notes.iter().any(|n| n.contains("Input/output error")), "{:?}", sensor.info().notes);
}

#[test]
fn a_meter_that_goes_is_vanished_only_when_it_was_the_last() {
    let machine = Machine::new();
    let gpu = |n: u32| format!("pci0000:4a/0000:4{n}:00.0");
    machine.chip("hwmon4", &gpu(4), &[("name", "i915\n"), ("energy1_input", "77\n")]).chip(
        "hwmon5",
        &gpu(5),
        &[("name", "i915\n"), ("energy1_input", "88\n")],
    );
    let mut sensor = machine.sensor();
    fs::remove_file(machine.folder("hwmon4").join("energy1_input")).unwrap();
    fs::write(machine.folder("hwmon5").join("energy1_input"), "nonsense").unwrap();
    let clock = Clock::start();
    // Unlinked files can still be read here; sysfs answers ENODEV. Emptied, they count as gone.
    let reading = sensor.read(&clock).unwrap();
    assert_eq!(reading.values[1], None);
    assert!(reading.before < reading.after);
}

#[test]
fn nothing_there_says_what_was_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    let Probe::Absent { reason } = probe(&Host::at(empty.path())) else { panic!("a sensor was found") };
    assert!(reason.contains("sys/class/hwmon"), "{reason}");
    let machine = Machine::new();
    machine.chip("hwmon0", "platform/coretemp.0", &[("name", "coretemp\n"), ("temp1_input", "41000\n")]);
    assert!(machine.absent().contains("none of the 1 chips"), "{}", machine.absent());
    machine.chip("hwmon1", "pci0000:4a/0000:4d:00.0", &[("name", "i915\n"), ("energy1_input", "nonsense")]);
    assert!(machine.absent().contains("`nonsense` is no counter value"), "{}", machine.absent());
}
