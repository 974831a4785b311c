//! What else the machine did in a window: other processes, the hypervisor, throttling, the clock.

use super::temperature::TemperatureFiles;
use super::{Host, kernel_text, read_text};
use crate::clock::{Clock, wall_minus_monotonic};
use crate::record::State;
use crate::units::{Celsius, Hertz, Seconds};
use std::path::PathBuf;
use std::time::Duration;

/// CPU times count in ticks of 10 ms. Fewer than this many say nothing of a share.
const LEAST_TICKS: u64 = 10;
/// On older kernels reading a CPU's frequency waits for a sample of it, so few are asked.
const MOST_FREQUENCIES: usize = 8;

/// Looks at the machine at both edges of a window.
#[derive(Debug, Clone)]
pub struct Watcher {
    host: Host,
    cpus: Vec<u32>,
    temperature: TemperatureFiles,
    core_throttle: Vec<PathBuf>,
    package_throttle: Vec<PathBuf>,
    frequency: Vec<PathBuf>,
}

/// The machine at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Glimpse {
    times: Option<CpuTimes>,
    own_ticks: Option<u64>,
    throttle: Option<u64>,
    temperature: Option<Celsius>,
    frequency: Option<Hertz>,
    wall_offset: Duration,
}

/// Ticks of `/proc/stat`, summed over the CPUs looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct CpuTimes {
    busy: u64,
    stolen: u64,
    idle: u64,
}

impl Watcher {
    /// Watches `cpus`, the CPUs that the measured threads may use; all of them when empty.
    #[must_use]
    pub fn new(host: &Host, cpus: &[u32]) -> Self {
        let online = || host.read("sys/devices/system/cpu/online").and_then(|t| kernel_text::cpu_list(&t));
        let cpus = if cpus.is_empty() { online().unwrap_or_default() } else { cpus.to_vec() };
        let existing = |file: &str| -> Vec<PathBuf> {
            let paths = cpus.iter().map(|cpu| host.path(&format!("sys/devices/system/cpu/cpu{cpu}/{file}")));
            paths.filter(|path| path.exists()).collect()
        };
        let mut frequency = existing("cpufreq/scaling_cur_freq");
        frequency.truncate(MOST_FREQUENCIES);
        Self {
            temperature: TemperatureFiles::find(host),
            core_throttle: existing("thermal_throttle/core_throttle_count"),
            package_throttle: existing("thermal_throttle/package_throttle_count"),
            frequency,
            host: host.clone(),
            cpus,
        }
    }

    /// Looks once.
    #[must_use]
    pub fn look(&self, clock: &Clock) -> Glimpse {
        Glimpse {
            times: self.host.read("proc/stat").and_then(|text| cpu_times(&text, &self.cpus)),
            own_ticks: self.host.read("proc/self/stat").and_then(|text| own_ticks(&text)),
            throttle: self.throttle(),
            temperature: self.temperature.hottest(),
            frequency: self.frequency(),
            wall_offset: wall_minus_monotonic(clock),
        }
    }

    /// Throttle events so far. Every CPU of a package repeats the package's count, so of those
    /// the highest is taken; one file that fails makes the sum unknown.
    fn throttle(&self) -> Option<u64> {
        let read = |paths: &[PathBuf]| -> Option<Vec<u64>> {
            paths.iter().map(|p| kernel_text::digits(&read_text(p)?)).collect()
        };
        if self.core_throttle.is_empty() && self.package_throttle.is_empty() {
            return None;
        }
        let cores = read(&self.core_throttle)?.into_iter().fold(0u64, u64::saturating_add);
        let package = read(&self.package_throttle)?.into_iter().max().unwrap_or(0);
        Some(cores.saturating_add(package))
    }

    fn frequency(&self) -> Option<Hertz> {
        let read = |path: &PathBuf| kernel_text::digits(&read_text(path)?);
        let kilohertz: Vec<f64> = self.frequency.iter().filter_map(read).map(|khz| khz as f64).collect();
        Hertz::new(kilohertz.iter().sum::<f64>() / kilohertz.len() as f64 * 1e3).ok()
    }
}

impl Glimpse {
    /// The machine between this glimpse and a `later` one. Shares are `None` for windows too short
    /// for the kernel's 10 ms ticks. A child process counts as foreign until it has ended.
    #[must_use]
    pub fn until(&self, later: &Self) -> State {
        let shares = match (self.times, later.times, self.own_ticks, later.own_ticks) {
            (Some(a), Some(b), Some(own_a), Some(own_b)) => shares(a, b, own_b.saturating_sub(own_a)),
            _ => None,
        };
        let hotter = |a: Celsius, b: Celsius| if b > a { b } else { a };
        State {
            foreign_load: shares.map(|s| s.0),
            steal: shares.map(|s| s.1),
            temperature: match (self.temperature, later.temperature) {
                (Some(a), Some(b)) => Some(hotter(a, b)),
                (a, b) => a.or(b),
            },
            frequency: later.frequency.or(self.frequency),
            throttle_events: match (self.throttle, later.throttle) {
                (Some(a), Some(b)) => b.checked_sub(a),
                _ => None,
            },
            clock_jump: Seconds::new(later.wall_offset.as_secs_f64() - self.wall_offset.as_secs_f64()).ok(),
            card: None,
        }
    }
}

/// Foreign and stolen shares of the CPU time that passed; own time outside the CPUs looked at
/// only lowers the foreign share, never below zero.
fn shares(a: CpuTimes, b: CpuTimes, own: u64) -> Option<(f64, f64)> {
    let (busy, stolen, idle) =
        (b.busy.saturating_sub(a.busy), b.stolen.saturating_sub(a.stolen), b.idle.saturating_sub(a.idle));
    let all = busy.saturating_add(stolen).saturating_add(idle);
    if all < LEAST_TICKS {
        return None;
    }
    Some((busy.saturating_sub(own) as f64 / all as f64, stolen as f64 / all as f64))
}

/// Sums the lines of `cpus` in `/proc/stat`; `None` when one is missing or does not parse.
fn cpu_times(text: &str, cpus: &[u32]) -> Option<CpuTimes> {
    if cpus.is_empty() {
        return None;
    }
    let mut sum = CpuTimes::default();
    let mut found = 0;
    // The per-CPU lines stand first; behind them are lines of many kilobytes.
    for line in text.lines().take_while(|line| line.starts_with("cpu")) {
        let (name, rest) = line.split_once(' ')?;
        let Some(cpu) = name.strip_prefix("cpu").and_then(kernel_text::digits) else { continue };
        if !cpus.iter().any(|c| u64::from(*c) == cpu) {
            continue;
        }
        // user nice system idle iowait irq softirq steal; guest time is part of user time.
        let ticks: Vec<u64> = rest.split_whitespace().take(8).map(kernel_text::digits).collect::<Option<_>>()?;
        let &[user, nice, system, idle, iowait, irq, softirq, steal] = ticks.as_slice() else { return None };
        let add = |values: &[u64]| values.iter().copied().fold(0u64, u64::saturating_add);
        sum.busy = add(&[sum.busy, user, nice, system, irq, softirq]);
        sum.idle = add(&[sum.idle, idle, iowait]);
        sum.stolen = add(&[sum.stolen, steal]);
        found += 1;
    }
    (found == cpus.len()).then_some(sum)
}

/// CPU time of this process and of its children that have ended, from `/proc/self/stat`.
fn own_ticks(text: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    let times: Vec<u64> = fields.split_whitespace().skip(11).take(4).map(kernel_text::digits).collect::<Option<_>>()?;
    (times.len() == 4).then(|| times.into_iter().fold(0u64, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;

    const SELF: &str = "42 (a b) c) R 1 1 1 0 -1 4194304 100 0 0 0 30 20 3 2 20 0 1 0 9 1 1";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn own_time_stands_behind_a_name_with_parentheses() {
        assert_eq!(own_ticks(SELF), Some(55));
        for bad in ["", "42 (x)", "42 (x) R 1 2", "no parenthesis 1 2 3", "1 (x) R 1 1 1 0 -1 4 1 0 0 0 -3 2 3 2"] {
            assert_eq!(own_ticks(bad), None, "{bad}");
        }
    }

    #[test]
    fn cpu_lines_are_picked_by_number() {
        let text = "cpu  99 0 0 0 0 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 9\ncpu1 10 0 0 10 0 0 0 0 0 0\nintr 5\n";
        assert_eq!(cpu_times(text, &[0]), Some(CpuTimes { busy: 19, stolen: 8, idle: 9 }));
        assert_eq!(cpu_times(text, &[0, 1]), Some(CpuTimes { busy: 29, stolen: 8, idle: 19 }));
        assert_eq!(cpu_times(text, &[2]), None);
        assert_eq!(cpu_times(text, &[]), None);
        for bad in ["", "cpu0", "cpu0 1 2 3\n", "cpu0 1 2 x 4 5 6 7 8\n", "cpu0 -1 2 3 4 5 6 7 8\n"] {
            assert_eq!(cpu_times(bad, &[0]), None, "{bad}");
        }
    }

    #[test]
    fn a_window_with_a_noisy_neighbour() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let (host, clock) = (Host::at(root), Clock::start());
        write(root, "sys/devices/system/cpu/online", "0-1\n");
        write(root, "proc/stat", "cpu  0\ncpu0 100 0 0 100 0 0 0 0 0 0\ncpu1 0 0 0 200 0 0 0 0 0 0\n");
        write(root, "proc/self/stat", SELF);
        for cpu in 0..2 {
            let folder = format!("sys/devices/system/cpu/cpu{cpu}");
            write(root, &format!("{folder}/thermal_throttle/core_throttle_count"), "3\n");
            write(root, &format!("{folder}/thermal_throttle/package_throttle_count"), "7\n");
            write(
                root,
                &format!("{folder}/cpufreq/scaling_cur_freq"),
                if cpu == 0 { "2000000\n" } else { "3000000\n" },
            );
        }
        let watcher = Watcher::new(&host, &[]);
        let before = watcher.look(&clock);
        // 100 ticks on each CPU: 80 busy of which 50 are ours, 20 stolen.
        write(root, "proc/stat", "cpu  0\ncpu0 160 0 0 120 0 0 0 20 0 0\ncpu1 20 0 0 280 0 0 0 0 0 0\n");
        write(root, "proc/self/stat", &SELF.replace("30 20 3 2", "70 30 3 2"));
        write(root, "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "9\n");
        let state = before.until(&watcher.look(&clock));
        assert_eq!((state.foreign_load, state.steal), (Some(0.15), Some(0.1)));
        assert_eq!(state.throttle_events, Some(2));
        assert_eq!(state.frequency, Hertz::new(2.5e9).ok());
        assert_eq!(state.temperature, None);
        assert!(state.clock_jump.unwrap().get().abs() < 0.05);
        // The same glimpse twice is too short a window to know a share.
        assert_eq!(before.until(&before).foreign_load, None);
    }

    #[test]
    fn a_machine_without_files_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::start();
        let watcher = Watcher::new(&Host::at(dir.path()), &[0, 1]);
        let glimpse = watcher.look(&clock);
        let state = glimpse.until(&watcher.look(&clock));
        assert_eq!(State { clock_jump: None, ..state }, State::default());
    }

    #[test]
    fn a_throttle_counter_that_breaks_is_unknown_and_not_zero() {
        let dir = tempfile::tempdir().unwrap();
        let file = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count";
        write(dir.path(), file, "3\n");
        let (clock, watcher) = (Clock::start(), Watcher::new(&Host::at(dir.path()), &[0]));
        let before = watcher.look(&clock);
        assert_eq!(before.throttle, Some(3));
        for content in ["", "-1", "x", "2"] {
            write(dir.path(), file, content);
            assert_eq!(before.until(&watcher.look(&clock)).throttle_events, None, "{content}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "(?s).{0,200}", line in "cpu[0-9 \\-x]{0,80}", fields in "[0-9 ()\\-R]{0,80}") {
            let _ = (cpu_times(&text, &[0]), cpu_times(&line, &[0]), own_ticks(&text), own_ticks(&fields));
        }

        #[test]
        fn shares_are_shares(a in any::<[u32; 3]>(), b in any::<[u32; 3]>(), own in any::<u64>()) {
            let times = |t: [u32; 3]| CpuTimes { busy: t[0].into(), stolen: t[1].into(), idle: t[2].into() };
            if let Some((foreign, steal)) = shares(times(a), times(b), own) {
                prop_assert!((0.0..=1.0).contains(&foreign) && (0.0..=1.0).contains(&steal));
            }
        }
    }
}
