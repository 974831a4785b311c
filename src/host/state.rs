//! State of the machine that decides how fast and how hot it runs.

use super::temperature::TemperatureFiles;
use super::{Host, kernel_text};
use crate::record::MachineState;
use crate::units::Watts;
use std::os::unix::fs::FileExt;

pub(super) fn state(host: &Host) -> MachineState {
    MachineState {
        governor: host.read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        turbo: turbo(host),
        load_1min: host.read("proc/loadavg").and_then(|text| load(&text)),
        autogroup: host.read("proc/sys/kernel/sched_autogroup_enabled").and_then(|t| kernel_text::switch(&t)),
        huge_pages: host.read("sys/kernel/mm/transparent_hugepage/enabled").and_then(|t| kernel_text::chosen(&t)),
        perf_event_paranoid: host.read("proc/sys/kernel/perf_event_paranoid").and_then(|t| t.parse().ok()),
        clock_source: host.read("sys/devices/system/clocksource/clocksource0/current_clocksource"),
        temperature: TemperatureFiles::find(host).hottest(),
        energy_filtering: energy_filtering(host),
        power_cap: power_cap(host),
        on_battery: on_battery(host),
    }
}

fn turbo(host: &Host) -> Option<bool> {
    let intel = host.read("sys/devices/system/cpu/intel_pstate/no_turbo").and_then(|t| kernel_text::switch(&t));
    match intel {
        Some(off) => Some(!off),
        None => host.read("sys/devices/system/cpu/cpufreq/boost").and_then(|t| kernel_text::switch(&t)),
    }
}

fn load(text: &str) -> Option<f64> {
    let value: f64 = text.split_whitespace().next()?.parse().ok()?;
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// Bit 0 of `MSR_MISC_PACKAGE_CTLS` (0xBC): the processor adds noise to its energy counters
/// against power side channels (Intel, "Running Average Power Limit Energy Reporting"). Only
/// where the `msr` module is loaded and the user may read it; on a part without the register the
/// read fails.
fn energy_filtering(host: &Host) -> Option<bool> {
    const MISC_PACKAGE_CTLS: u64 = 0xBC;
    let file = std::fs::File::open(host.path("dev/cpu/0/msr")).ok()?;
    let mut value = [0u8; 8];
    file.read_exact_at(&mut value, MISC_PACKAGE_CTLS).ok()?;
    Some(value[0] & 1 == 1)
}

/// The long-term limit of the first package. It is world-readable, unlike the counters.
fn power_cap(host: &Host) -> Option<Watts> {
    let zone = ["sys/class/powercap/intel-rapl:0", "sys/class/powercap/intel-rapl/intel-rapl:0"]
        .into_iter()
        .find(|zone| host.read(&format!("{zone}/name")).is_some_and(|name| name.starts_with("package-0")))?;
    let number =
        (0..4).find(|n| host.read(&format!("{zone}/constraint_{n}_name")).is_some_and(|name| name == "long_term"))?;
    let microwatts = kernel_text::digits(&host.read(&format!("{zone}/constraint_{number}_power_limit_uw"))?)?;
    (microwatts > 0).then(|| Watts::new(microwatts as f64 / 1e6).ok()).flatten()
}

/// `None` where the machine shows no power supply at all, as most servers and virtual machines.
fn on_battery(host: &Host) -> Option<bool> {
    let mut answer = None;
    for supply in host.list("sys/class/power_supply") {
        let file = |name: &str| host.read(&format!("sys/class/power_supply/{supply}/{name}"));
        // A mouse has a battery too.
        if file("scope").is_some_and(|scope| scope == "Device") {
            continue;
        }
        match file("type").as_deref() {
            Some("Battery") => match file("status").as_deref() {
                Some("Discharging") => return Some(true),
                Some("Charging" | "Full" | "Not charging") => answer = Some(false),
                _ => {}
            },
            Some("Mains" | "USB") if file("online").as_deref() == Some("1") => answer = Some(false),
            _ => {}
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::machine;
    use proptest::prelude::*;
    use std::fs;

    #[test]
    fn an_empty_machine_and_one_of_empty_files_are_unknown() {
        let empty = MachineState {
            governor: None,
            turbo: None,
            load_1min: None,
            autogroup: None,
            huge_pages: None,
            perf_event_paranoid: None,
            clock_source: None,
            temperature: None,
            energy_filtering: None,
            power_cap: None,
            on_battery: None,
        };
        let (_dir, host) = machine(&[]);
        assert_eq!(state(&host), empty);
        for content in ["", "\n", "garbage", "-", "-1 -1", "99999999999999999999"] {
            let (_dir, host) = machine(&[
                ("sys/devices/system/cpu/intel_pstate/no_turbo", content),
                ("proc/loadavg", if content == "99999999999999999999" { "x" } else { content }),
                ("proc/sys/kernel/sched_autogroup_enabled", content),
                ("sys/kernel/mm/transparent_hugepage/enabled", content),
                ("proc/sys/kernel/perf_event_paranoid", content),
                ("dev/cpu/0/msr", content),
                ("sys/class/powercap/intel-rapl:0/name", "package-0"),
                ("sys/class/powercap/intel-rapl:0/constraint_0_name", "long_term"),
                ("sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw", content),
                ("sys/class/power_supply/BAT0/type", content),
            ]);
            assert_eq!(state(&host), empty, "{content:?}");
        }
    }

    #[test]
    fn files_whose_reads_fail_are_unknown() {
        // Reading this file from its start gives EIO, as firmware-backed attributes may.
        let (dir, host) = machine(&[("sys/class/power_supply/BAT0/scope", "System")]);
        for file in
            ["proc/loadavg", "proc/sys/kernel/perf_event_paranoid", "dev/cpu/0/msr", "sys/class/power_supply/BAT0/type"]
        {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink("/proc/self/mem", path).unwrap();
        }
        let state = state(&host);
        assert_eq!((state.load_1min, state.perf_event_paranoid), (None, None));
        assert_eq!((state.energy_filtering, state.on_battery), (None, None));
    }

    #[test]
    fn a_laptop_on_battery() {
        let mut msr = vec![0u8; 0xBC];
        msr.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        let msr = String::from_utf8(msr).unwrap();
        let (_dir, host) = machine(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/intel_pstate/no_turbo", "0\n"),
            ("proc/loadavg", "0.52 0.58 0.59 1/1234 5678\n"),
            ("proc/sys/kernel/sched_autogroup_enabled", "1\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
            ("proc/sys/kernel/perf_event_paranoid", "-1\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
            ("dev/cpu/0/msr", &msr),
            ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
            ("sys/class/powercap/intel-rapl:0/constraint_0_name", "short_term\n"),
            ("sys/class/powercap/intel-rapl:0/constraint_1_name", "long_term\n"),
            ("sys/class/powercap/intel-rapl:0/constraint_1_power_limit_uw", "65000000\n"),
            ("sys/class/power_supply/AC/type", "Mains\n"),
            ("sys/class/power_supply/AC/online", "0\n"),
            ("sys/class/power_supply/BAT0/type", "Battery\n"),
            ("sys/class/power_supply/BAT0/status", "Discharging\n"),
            ("sys/class/power_supply/hid-mouse/type", "Battery\n"),
            ("sys/class/power_supply/hid-mouse/scope", "Device\n"),
            ("sys/class/power_supply/hid-mouse/status", "Full\n"),
        ]);
        let state = state(&host);
        assert_eq!(state.governor.as_deref(), Some("powersave"));
        assert_eq!((state.turbo, state.autogroup, state.on_battery), (Some(true), Some(true), Some(true)));
        assert_eq!((state.load_1min, state.perf_event_paranoid), (Some(0.52), Some(-1)));
        assert_eq!(state.huge_pages.as_deref(), Some("always"));
        assert_eq!(state.energy_filtering, Some(true));
        assert_eq!(state.power_cap, Watts::new(65.0).ok());
    }

    #[test]
    fn a_desktop_with_a_wireless_mouse_is_not_on_battery() {
        let (_dir, host) = machine(&[
            ("sys/class/power_supply/hid-mouse/type", "Battery\n"),
            ("sys/class/power_supply/hid-mouse/scope", "Device\n"),
            ("sys/class/power_supply/hid-mouse/status", "Discharging\n"),
        ]);
        assert_eq!(on_battery(&host), None);
    }

    proptest! {
        #[test]
        fn no_load_average_makes_the_parser_panic(text in "(?s).{0,60}", word in "[0-9eE+.naif-]{0,20}") {
            for text in [text, word] {
                if let Some(value) = load(&text) {
                    prop_assert!(value.is_finite() && value >= 0.0);
                }
            }
        }
    }
}
