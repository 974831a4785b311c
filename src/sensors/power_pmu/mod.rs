//! The kernel's `power` PMU: the RAPL counters once more, through `perf_event_open`.
//!
//! It counts the same registers as powercap, so it is never added to them. Where both work it
//! checks them; where only it works (a user with `cap_perfmon` and without the right to read
//! powercap) it serves alone.

mod layout;
mod scale;

use super::quiet::catch_quietly;
use super::{
    Channel, Domain, Probe, Quantity, ReaderRole, Reading, Sensor, SensorError, SensorFamily, SensorInfo, Value,
};
use crate::clock::Clock;
use crate::host::Host;
use crate::units::MicroJoules;
use layout::{Layout, Source};
use perf_event::{Builder, Counter};
use std::io;

const ID: &str = "power-pmu";
const TITLE: &str = "power PMU (RAPL through perf)";

/// The power PMU in the registry.
pub const FAMILY: SensorFamily = SensorFamily { id: ID, title: TITLE, probe };

/// What lets one program count for the whole machine, and nothing else.
pub(super) const REMEDY: &str = "give the program the right to count events of the whole machine: `sudo setcap cap_perfmon=ep \
     \"$(command -v wattproof)\"` (Linux 5.8 or later; again after every update of the program). For all users, until \
     the next boot: `sudo sysctl kernel.perf_event_paranoid=0`. In a container the seccomp profile has to allow \
     perf_event_open as well";

/// Looks for the power PMU of `host` and opens every counter of it.
///
/// The number of a PMU is the running kernel's own, so a redirected host has none: an event with
/// another machine's number would count something else here.
#[must_use]
pub fn probe(host: &Host) -> Probe {
    if host.is_redirected() {
        return Probe::Absent {
            reason: "the host's root is redirected, and the running kernel's PMU is not asked then".to_owned(),
        };
    }
    probe_described(host)
}

/// As [`probe`], also for a redirected description.
fn probe_described(host: &Host) -> Probe {
    let mut layout = match Layout::discover(host) {
        Ok(layout) => layout,
        Err(reason) => return Probe::Absent { reason: reason + &hint(host) },
    };
    let mut gauges = Vec::new();
    let mut refused = None;
    for source in layout.sources {
        match open(&source).and_then(|mut counter| read(&mut counter).map(|_| counter)) {
            Ok(counter) => gauges.push(Gauge { source, counter }),
            Err(error) => {
                let Source { event, cpu, .. } = source;
                layout.notes.push(format!("{event} on CPU {cpu} is left out: {error}"));
                refused = refused.or_else(|| is_refusal(&error).then(|| format!("{event} on CPU {cpu}: {error}")));
            }
        }
    }
    drop_doubtful_dies(&mut gauges, &mut layout.notes);
    if gauges.is_empty() {
        return match refused {
            Some(what) => Probe::Denied { reason: format!("{what}{}", paranoid(host)), remedy: REMEDY.to_owned() },
            None => Probe::Absent { reason: format!("no counter of the power PMU opens: {}", layout.notes.join("; ")) },
        };
    }
    let info = SensorInfo {
        id: ID.to_owned(),
        title: TITLE.to_owned(),
        source: format!("perf_event_open, {}", host.path(layout::ROOT).display()),
        channels: gauges.iter().map(Gauge::channel).collect(),
        notes: layout.notes,
        simulated: host.is_redirected(),
        accuracy: None,
    };
    Probe::Ready(Box::new(PowerPmu { info, gauges }))
}

fn hint(host: &Host) -> String {
    if crate::host::is_virtual(host) {
        "; this is a virtual machine, and hypervisors do not pass RAPL on".to_owned()
    } else {
        "; on bare metal try `sudo modprobe rapl`".to_owned()
    }
}

/// The setting that decides, in words.
fn paranoid(host: &Host) -> String {
    host.read("proc/sys/kernel/perf_event_paranoid").map_or_else(String::new, |level| {
        format!(": kernel.perf_event_paranoid is {level}, and counting for the whole machine needs 0 or cap_perfmon")
    })
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM))
}

/// Opens a counter for all processes on the CPU of its package. The PMU cannot leave anything
/// out (user, kernel, hypervisor), and refuses to be asked to.
fn open(source: &Source) -> io::Result<Counter> {
    let mut builder = Builder::new().any_pid().one_cpu(source.cpu as usize);
    let attributes = builder.attrs_mut();
    attributes.type_ = source.pmu;
    attributes.config = source.config;
    builder.exclude_kernel(false).exclude_hv(false).enabled(true);
    builder.build()
}

/// The count; an error when the event was taken off its counter for some of the time, because
/// energy is missing then.
fn read(counter: &mut Counter) -> io::Result<u64> {
    // The crate asserts that running ≤ enabled; a kernel that says otherwise must not end a run.
    let value = catch_quietly(|| counter.read_count_and_time()).map_err(io::Error::other)??;
    if value.time_running < value.time_enabled {
        return Err(io::Error::other("the event did not run all the time"));
    }
    Ok(value.count)
}

struct Gauge {
    source: Source,
    counter: Counter,
}

impl Gauge {
    fn channel(&self) -> Channel {
        Channel {
            name: format!("{}/cpu{}", self.source.event, self.source.cpu),
            domain: self.source.domain.clone(),
            // The kernel widens the register to 64 bits and shifts it to the stated scale, so the
            // step of the hardware does not show and the count does not wrap in a machine's life.
            quantity: Quantity::Energy { resolution: None, range: None, max_power: None },
            role: ReaderRole::default(),
            update_period: None,
        }
    }
}

/// Before Linux 6.10 some AMD packages have one reader a die, all of the same register, and counts
/// start at 0 when they are opened, so nothing tells them from dies with registers of their own
/// (Intel parts of several dies, which count memory by die as well). In doubt packages are left out.
fn drop_doubtful_dies(gauges: &mut Vec<Gauge>, notes: &mut Vec<String>) {
    let by_die = |g: &Gauge| matches!(g.source.domain, Domain::Package { die: Some(_), .. });
    if !gauges.iter().any(by_die) || gauges.iter().any(|g| matches!(g.source.domain, Domain::DramOfDie { .. })) {
        return;
    }
    gauges.retain(|g| !by_die(g));
    notes.push(
        "packages are left out: the kernel reads them once a die and does not say whether the dies share a counter"
            .to_owned(),
    );
}

struct PowerPmu {
    info: SensorInfo,
    gauges: Vec<Gauge>,
}

impl Sensor for PowerPmu {
    fn info(&self) -> &SensorInfo {
        &self.info
    }

    fn read(&mut self, clock: &Clock) -> Result<Reading, SensorError> {
        let before = clock.now();
        let counts: Vec<io::Result<u64>> = self.gauges.iter_mut().map(|g| read(&mut g.counter)).collect();
        let after = clock.now();
        if counts.iter().all(Result::is_err) {
            let detail = counts.into_iter().find_map(Result::err).map_or_else(String::new, |e| e.to_string());
            return Err(SensorError::Broken { sensor: ID, detail });
        }
        let value = |(gauge, count): (&Gauge, io::Result<u64>)| {
            Some(Value::Energy(MicroJoules::new(gauge.source.scale.microjoules(count.ok()?)?)))
        };
        Ok(Reading { before, after, values: self.gauges.iter().zip(counts).map(value).collect() })
    }
}

#[cfg(test)]
mod tests;
