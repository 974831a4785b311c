//! Processor activity through `perf_event_open`: what the measured threads did in a window.
//!
//! Counters are opened once a thread, run all the time and are read at both edges of a window, so
//! an edge costs one system call a counter and nothing is enabled or disabled while a kernel runs.
//!
//! For a command that is about to be started they are opened on the thread that starts it, disabled: its
//! children inherit them, and `exec` switches them on. So the command counts from its first instruction, and
//! so do all processes that it starts. A group cannot be inherited and read as one, so each stands alone.

use crate::record::Activity;
use crate::sensors::quiet::catch_quietly;
use crate::units::Seconds;
use perf_event::events::{Event, Hardware, Software};
use perf_event::{Builder, CountAndTime, Counter};
use std::io;

/// What is counted. The order is that of [`Activity`].
const KINDS: [Kind; 6] = [
    Kind { name: "instructions", event: Event::Hardware(Hardware::INSTRUCTIONS), in_kernel: false },
    Kind { name: "cycles", event: Event::Hardware(Hardware::CPU_CYCLES), in_kernel: false },
    // The kernel maps this event to last-level cache misses on Intel and AMD parts.
    Kind { name: "llc-misses", event: Event::Hardware(Hardware::CACHE_MISSES), in_kernel: false },
    Kind { name: "task-clock", event: Event::Software(Software::TASK_CLOCK), in_kernel: false },
    Kind { name: "context-switches", event: Event::Software(Software::CONTEXT_SWITCHES), in_kernel: true },
    Kind { name: "page-faults", event: Event::Software(Software::PAGE_FAULTS), in_kernel: false },
];

struct Kind {
    name: &'static str,
    event: Event,
    /// Whether it happens in the kernel only, so that counting user mode alone would give 0.
    in_kernel: bool,
}

/// Whom a counter that is opened on a thread counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Thread,
    Children,
}

/// Why one counter is not available.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unavailable {
    /// `instructions`, `llc-misses`.
    pub counter: &'static str,
    /// What the kernel said, and what to do where something can be done.
    pub reason: String,
}

/// Counters of a set of threads.
pub struct ActivityCounters {
    /// One list of threads a kind, `None` where the kind is unavailable.
    counters: [Option<Vec<Counter>>; KINDS.len()],
    /// Values at the last `begin`.
    start: [Option<Vec<CountAndTime>>; KINDS.len()],
    unavailable: Vec<Unavailable>,
    user_only: bool,
}

impl ActivityCounters {
    /// Opens the counters for the threads with these kernel ids (`gettid`); 0 is the calling one.
    /// Never fails: what the host does not offer is listed in [`Self::unavailable`].
    ///
    /// Each kind is tried alone, on the first thread, before it is opened for all. Counting
    /// includes the kernel's work for the threads where `perf_event_paranoid` permits it.
    #[must_use]
    pub fn open(thread_ids: &[i32]) -> Self {
        Self::open_for(thread_ids, Whose::Thread)
    }

    /// Counters of the processes that the calling thread starts from now on, and of all their
    /// descendants, from their `exec` on; the thread itself is not counted. A window has begun with the call.
    /// Descendants that still run are in [`Self::end`] up to then.
    #[must_use]
    pub fn of_children() -> Self {
        let mut counters = Self::open_for(&[0], Whose::Children);
        counters.begin();
        counters
    }

    fn open_for(thread_ids: &[i32], whose: Whose) -> Self {
        let mut unavailable = Vec::new();
        let mut user_only = false;
        let counters = KINDS.map(|kind| match open_kind(&kind, thread_ids, whose, &mut user_only) {
            Ok(counters) => Some(counters),
            Err(reason) => {
                unavailable.push(Unavailable { counter: kind.name, reason });
                None
            }
        });
        Self { counters, start: [const { None }; KINDS.len()], unavailable, user_only }
    }

    /// The counters that this host or user does not have, with reasons.
    #[must_use]
    pub fn unavailable(&self) -> &[Unavailable] {
        &self.unavailable
    }

    /// Names of the counters that work.
    pub fn available(&self) -> impl Iterator<Item = &'static str> {
        KINDS.iter().zip(&self.counters).filter(|(_, c)| c.is_some()).map(|(kind, _)| kind.name)
    }

    /// Whether the kernel's work for the threads is not counted.
    #[must_use]
    pub const fn is_user_only(&self) -> bool {
        self.user_only
    }

    /// Marks the start of a window.
    pub fn begin(&mut self) {
        self.start = self.read();
    }

    /// Activity since the last [`Self::begin`], summed over the threads. `None` for a counter that
    /// is unavailable, could not be read, or never ran in the window.
    pub fn end(&mut self) -> Activity {
        let end = self.read();
        let mut sums = [None; KINDS.len()];
        for ((sum, start), end) in sums.iter_mut().zip(&self.start).zip(&end) {
            if let (Some(start), Some(end)) = (start, end) {
                *sum = start.iter().zip(end).map(|(a, b)| scaled_difference(a, b)).sum::<Option<u64>>();
            }
        }
        let [instructions, cycles, llc_misses, task_clock, context_switches, page_faults] = sums;
        let task_clock = task_clock.and_then(|nanos| Seconds::new(nanos as f64 / 1e9).ok());
        Activity { instructions, cycles, llc_misses, task_clock, context_switches, page_faults }
    }

    fn read(&mut self) -> [Option<Vec<CountAndTime>>; KINDS.len()] {
        let counters = &mut self.counters;
        // The crate asserts that running ≤ enabled; a kernel that says otherwise must not end a run.
        catch_quietly(|| {
            let mut values = [const { None }; KINDS.len()];
            for (value, counters) in values.iter_mut().zip(counters.iter_mut()) {
                *value = counters
                    .as_mut()
                    .and_then(|list| list.iter_mut().map(|c| c.read_count_and_time().ok()).collect::<Option<Vec<_>>>());
            }
            values
        })
        .unwrap_or([const { None }; KINDS.len()])
    }
}

fn open_kind(kind: &Kind, threads: &[i32], whose: Whose, user_only: &mut bool) -> Result<Vec<Counter>, String> {
    let Some(&first) = threads.first() else { return Err("no thread to observe".to_owned()) };
    let with_kernel = match open_one(kind, first, whose, true) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !kind.in_kernel => {
            open_one(kind, first, whose, false).map_err(|e| explain(&e))?;
            *user_only = true;
            false
        }
        Err(error) => return Err(explain(&error)),
    };
    threads.iter().map(|&tid| open_one(kind, tid, whose, with_kernel).map_err(|e| explain(&e))).collect()
}

fn open_one(kind: &Kind, tid: i32, whose: Whose, with_kernel: bool) -> io::Result<Counter> {
    let mut builder = Builder::new().observe_pid(tid).any_cpu().kind(kind.event.clone());
    builder.exclude_kernel(!with_kernel).exclude_hv(!with_kernel);
    let children = whose == Whose::Children;
    builder.enabled(!children).inherit(children).enable_on_exec(children);
    builder.build()
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => {
            format!("the processor offers no such counter here, as on most virtual machines ({error})")
        }
        Some(libc::EACCES | libc::EPERM) => format!(
            "refused ({error}): lower kernel.perf_event_paranoid to 1 (`sudo sysctl kernel.perf_event_paranoid=1`), \
             give the program cap_perfmon, or allow perf_event_open in the container's seccomp profile"
        ),
        Some(libc::ENOSYS) => format!("the kernel was built without perf events ({error})"),
        Some(libc::EMFILE | libc::ENFILE) => {
            format!("too many open files ({error}): raise `ulimit -n`; one is needed for each counter and thread")
        }
        Some(libc::ESRCH) => format!("the thread has ended ({error})"),
        _ => error.to_string(),
    }
}

/// Events between two reads. The kernel shares the processor's few counters among the events that
/// are open; the count is then scaled by the time it was enabled over the time it really ran.
/// `None` when it did not run at all although it was enabled, or went backwards.
fn scaled_difference(start: &CountAndTime, end: &CountAndTime) -> Option<u64> {
    let count = end.count.checked_sub(start.count)?;
    let enabled = end.time_enabled.checked_sub(start.time_enabled)?;
    let running = end.time_running.checked_sub(start.time_running)?;
    match (enabled, running) {
        (enabled, running) if enabled == running => Some(count),
        (_, 0) => None,
        (enabled, running) => {
            let scaled = u128::from(count) * u128::from(enabled) / u128::from(running);
            u64::try_from(scaled).ok()
        }
    }
}

#[cfg(test)]
mod tests;
