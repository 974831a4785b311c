//! Whether the machine is fit for measuring, and what to do where it is not.

use crate::record::Environment;
use serde::Serialize;

/// Verdict on one property of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readiness {
    /// Fit.
    Good,
    /// Spoils or blurs figures.
    Warn,
    /// The machine does not show it.
    Unknown,
}

/// One property, its verdict and a way to better it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What it is about: `governor`.
    pub topic: &'static str,
    /// The verdict.
    pub state: Readiness,
    /// What was found, and what it does to figures.
    pub detail: String,
    /// A command or step that betters it; `None` where nothing is to be done.
    pub fix: Option<String>,
}

impl Advice {
    fn good(topic: &'static str, detail: impl Into<String>) -> Self {
        Self { topic, state: Readiness::Good, detail: detail.into(), fix: None }
    }

    fn warn(topic: &'static str, detail: impl Into<String>, fix: &str) -> Self {
        Self { topic, state: Readiness::Warn, detail: detail.into(), fix: Some(fix.to_owned()) }
    }

    fn unknown(topic: &'static str, detail: impl Into<String>) -> Self {
        Self { topic, state: Readiness::Unknown, detail: detail.into(), fix: None }
    }
}

/// Advice on everything that is known to spoil figures, always in the same order.
#[must_use]
pub fn readiness(environment: &Environment) -> Vec<Advice> {
    vec![
        governor(environment),
        smt(environment),
        load(environment),
        autogroup(environment),
        huge_pages(environment),
        virtual_machine(environment),
        perf_events(environment),
        battery(environment),
        energy_filtering(environment),
    ]
}

fn governor(environment: &Environment) -> Advice {
    match environment.state.governor.as_deref() {
        Some("performance") => Advice::good("governor", "performance"),
        Some(other) => Advice::warn(
            "governor",
            format!("{other}: the clock follows the load, so short windows begin slow"),
            "sudo cpupower frequency-set -g performance",
        ),
        None => {
            Advice::unknown("governor", "the kernel does not control this CPU's clock, as on most virtual machines")
        }
    }
}

fn smt(environment: &Environment) -> Advice {
    match environment.cpu.smt {
        Some(false) => Advice::good("smt", "every CPU is a core of its own"),
        Some(true) => Advice::warn(
            "smt",
            "two CPUs share a core: what runs on the sibling slows the measured thread",
            "pin to one CPU a core, or switch it off: echo off | sudo tee /sys/devices/system/cpu/smt/control",
        ),
        None => Advice::unknown("smt", "the topology is not shown"),
    }
}

fn load(environment: &Environment) -> Advice {
    let Some(load) = environment.state.load_1min else { return Advice::unknown("load", "no load average is shown") };
    let cpus = f64::from(environment.cpu.logical.unwrap_or(environment.cpu.usable).max(1));
    let detail = format!("{load:.2} over the last minute on {cpus:.0} CPUs");
    // A tenth of the machine is what the window's own check lets pass by default.
    if load <= (0.1 * cpus).max(0.1) {
        Advice::good("load", detail)
    } else {
        Advice::warn("load", detail + ": other programs draw power that is counted as yours", "stop other programs")
    }
}

fn autogroup(environment: &Environment) -> Advice {
    match environment.state.autogroup {
        Some(false) => Advice::good("autogroup", "off"),
        Some(true) => Advice::warn(
            "autogroup",
            "on: programs of other terminals get an equal share against all measured threads together",
            "echo 0 | sudo tee /proc/sys/kernel/sched_autogroup_enabled",
        ),
        None => Advice::unknown("autogroup", "the kernel has no such switch"),
    }
}

fn huge_pages(environment: &Environment) -> Advice {
    match environment.state.huge_pages.as_deref() {
        Some(mode @ ("always" | "madvise")) => Advice::good("huge pages", mode),
        Some(mode) => Advice::warn(
            "huge pages",
            format!("{mode}: large matrices pay for address translation"),
            "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        None => Advice::unknown("huge pages", "the kernel does not show transparent huge pages"),
    }
}

fn virtual_machine(environment: &Environment) -> Advice {
    match (&environment.host.virtualization, &environment.host.container) {
        (None, None) => Advice::good("virtual machine", "none recognised"),
        (Some(hypervisor), _) => Advice::warn(
            "virtual machine",
            format!("{hypervisor}: energy counters are usually hidden, and neighbours share the hardware"),
            "measure on bare metal",
        ),
        (None, Some(container)) => Advice::warn(
            "virtual machine",
            format!("none, but a container ({container}): others may share the counters"),
            "measure on the host, or have it to yourself",
        ),
    }
}

fn perf_events(environment: &Environment) -> Advice {
    match environment.state.perf_event_paranoid {
        Some(level) if level <= 1 => Advice::good("perf events", format!("perf_event_paranoid is {level}")),
        Some(level) => Advice::warn(
            "perf events",
            format!("perf_event_paranoid is {level}: without root, the kernel's part or all counters are hidden"),
            "sudo sysctl kernel.perf_event_paranoid=1",
        ),
        None => Advice::unknown("perf events", "perf_event_paranoid is not shown"),
    }
}

fn battery(environment: &Environment) -> Advice {
    match environment.state.on_battery {
        Some(false) => Advice::good("battery", "on mains"),
        Some(true) => {
            Advice::warn("battery", "on battery: the firmware lowers power limits", "plug in the power supply")
        }
        None => Advice::unknown("battery", "no power supply is shown, as on most servers"),
    }
}

fn energy_filtering(environment: &Environment) -> Advice {
    match environment.state.energy_filtering {
        Some(false) => Advice::good("energy filtering", "off"),
        Some(true) => Advice::warn(
            "energy filtering",
            "on: the processor adds noise to its energy counters; short windows suffer most",
            "prefer windows of a second and more; the switch is in the firmware (it comes with SGX)",
        ),
        None => Advice::unknown("energy filtering", "the machine does not show it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Host, environment};
    use std::fs;

    fn advice_of(files: &[(&str, &str)]) -> Vec<Advice> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        readiness(&environment(&Host::at(dir.path()), Vec::new()))
    }

    fn state(advice: &[Advice], topic: &str) -> Readiness {
        advice.iter().find(|a| a.topic == topic).unwrap().state
    }

    const GOOD: [(&str, &str); 10] = [
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance"),
        ("sys/devices/system/cpu/online", "0"),
        ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0"),
        ("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0"),
        ("proc/loadavg", "0.05 0.1 0.1 1/1 1"),
        ("proc/sys/kernel/sched_autogroup_enabled", "0"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
        ("proc/sys/kernel/perf_event_paranoid", "1"),
        ("sys/class/power_supply/AC/type", "Mains"),
        ("sys/class/power_supply/AC/online", "1"),
    ];

    #[test]
    fn a_tuned_machine_is_good_and_an_empty_one_unknown() {
        for advice in advice_of(&GOOD) {
            let expected = if advice.topic == "energy filtering" { Readiness::Unknown } else { Readiness::Good };
            assert_eq!(advice.state, expected, "{advice:?}");
            assert_eq!(advice.fix, None);
        }
        for advice in advice_of(&[]) {
            let expected = if advice.topic == "virtual machine" { Readiness::Good } else { Readiness::Unknown };
            assert_eq!(advice.state, expected, "{advice:?}");
        }
    }

    #[test]
    fn every_bad_property_alone_warns_with_a_fix() {
        let bad = [
            ("governor", "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave"),
            ("smt", "sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0-1"),
            ("load", "proc/loadavg", "3.5 1 1 1/1 1"),
            ("autogroup", "proc/sys/kernel/sched_autogroup_enabled", "1"),
            ("huge pages", "sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]"),
            ("virtual machine", "proc/cpuinfo", "flags : hypervisor"),
            ("virtual machine", "run/systemd/container", "systemd-nspawn"),
            ("perf events", "proc/sys/kernel/perf_event_paranoid", "2"),
            ("battery", "sys/class/power_supply/BAT0/status", "Discharging"),
        ];
        for (topic, path, text) in bad {
            let mut files = GOOD.to_vec();
            files.push(("sys/class/power_supply/BAT0/type", "Battery"));
            files.push((path, text));
            let advice = advice_of(&files);
            assert_eq!(state(&advice, topic), Readiness::Warn, "{topic}");
            assert!(advice.iter().filter(|a| a.state == Readiness::Warn).all(|a| a.topic == topic && a.fix.is_some()));
        }
    }
}
