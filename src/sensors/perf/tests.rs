//! Counters of this very machine, and of a scripted one.

#![expect(unsafe_code, reason = "the scripted kernel stands in for system calls")]

use super::*;
use perf_event::hooks::{Hooks, clear_thread_hooks, set_thread_hooks, sys::bindings::perf_event_attr};
use std::io::{Seek, Write};
use std::os::fd::IntoRawFd;
use std::os::raw::{c_int, c_uint, c_ulong};

/// A kernel whose counters are files: every opened counter holds the values of two reads.
struct Scripted {
    /// (type, config) of the events it knows.
    known: Vec<(u32, u64)>,
    /// Whether counting the kernel's work is refused.
    user_only: bool,
}

const FIRST: [u64; 3] = [100, 1_000, 1_000];
/// 500 events, seen in half of the 2000 ns in between.
const SECOND: [u64; 3] = [600, 3_000, 2_000];

impl Hooks for Scripted {
    unsafe fn perf_event_open(
        &mut self,
        attributes: *mut perf_event_attr,
        _: libc::pid_t,
        _: c_int,
        _: c_int,
        _: c_ulong,
    ) -> c_int {
        // SAFETY: the crate passes a pointer to its own structure.
        let attributes = unsafe { &*attributes };
        let refuse = |code| {
            // SAFETY: errno of this thread is always there.
            unsafe { *libc::__errno_location() = code };
            -1
        };
        if !self.known.contains(&(attributes.type_, attributes.config)) {
            return refuse(libc::ENOENT);
        }
        if self.user_only && attributes.exclude_kernel() == 0 {
            return refuse(libc::EACCES);
        }
        let mut file = tempfile::tempfile().unwrap();
        for value in FIRST.iter().chain(&SECOND) {
            file.write_all(&value.to_ne_bytes()).unwrap();
        }
        file.rewind().unwrap();
        file.into_raw_fd()
    }

    unsafe fn ID(&mut self, _: c_int, id: *mut u64) -> c_int {
        // SAFETY: the crate passes a pointer to a number of its own.
        unsafe { id.write(1) };
        0
    }

    unsafe fn ENABLE(&mut self, _: c_int, _: c_uint) -> c_int {
        0
    }
}

/// What `threads` did between the two reads of a scripted machine.
fn scripted(kernel: Scripted, threads: &[i32]) -> (ActivityCounters, Activity) {
    // SAFETY: the hooks keep to the contract of the system calls they stand for.
    unsafe { set_thread_hooks(Box::new(kernel)) };
    let mut counters = ActivityCounters::open(threads);
    counters.begin();
    let activity = counters.end();
    // SAFETY: hooks were set above.
    unsafe { clear_thread_hooks() };
    (counters, activity)
}

#[test]
fn scripted_hardware_is_scaled_and_summed_over_threads() {
    let known =
        vec![(0, Hardware::INSTRUCTIONS as u64), (0, Hardware::CPU_CYCLES as u64), (1, Software::TASK_CLOCK as u64)];
    let (counters, activity) = scripted(Scripted { known, user_only: false }, &[11, 12, 13]);
    assert_eq!((activity.instructions, activity.cycles), (Some(3_000), Some(3_000)));
    assert_eq!(activity.task_clock, Seconds::new(3e-6).ok());
    assert_eq!((activity.llc_misses, activity.context_switches, activity.page_faults), (None, None, None));
    assert!(!counters.is_user_only());
    let missing = counters.unavailable().iter().find(|u| u.counter == "llc-misses").unwrap();
    assert!(missing.reason.contains("no such counter"), "{missing:?}");
}

#[test]
fn without_rights_user_mode_is_counted_and_what_it_cannot_see_is_unknown() {
    let known = vec![(0, Hardware::INSTRUCTIONS as u64), (1, Software::CONTEXT_SWITCHES as u64)];
    let (counters, activity) = scripted(Scripted { known, user_only: true }, &[11]);
    assert_eq!(activity.instructions, Some(1_000));
    assert!(counters.is_user_only());
    // In user mode alone there is no context switch: that would be a false 0.
    assert_eq!(activity.context_switches, None);
    let missing = counters.unavailable().iter().find(|u| u.counter == "context-switches").unwrap();
    assert!(missing.reason.contains("perf_event_paranoid"), "{missing:?}");
}

#[test]
fn a_counter_that_stops_answering_is_unknown() {
    let known = vec![(0, Hardware::INSTRUCTIONS as u64)];
    let (mut counters, first) = scripted(Scripted { known, user_only: false }, &[11]);
    assert_eq!(first.instructions, Some(1_000));
    // The script has two reads; the third finds the end of the file.
    assert_eq!(counters.end().instructions, None);
}

fn at(count: u64, time_enabled: u64, time_running: u64) -> CountAndTime {
    CountAndTime { count, time_enabled, time_running }
}

#[test]
fn multiplexed_counts_are_scaled_and_silence_is_unknown() {
    let cases = [
        ("alone on its counter", at(10, 100, 100), at(30, 300, 300), Some(20)),
        ("ran half of the time", at(0, 0, 0), at(500, 1_000, 500), Some(1_000)),
        ("ran half of the window", at(100, 1_000, 1_000), at(150, 2_000, 1_500), Some(100)),
        ("never ran", at(0, 0, 0), at(0, 1_000, 0), None),
        ("thread slept all the time", at(7, 50, 50), at(7, 50, 50), Some(0)),
        ("went backwards", at(7, 50, 50), at(6, 60, 60), None),
        ("large", at(0, 0, 0), at(u64::MAX / 2, 3, 1), None),
    ];
    for (what, start, end, expected) in cases {
        assert_eq!(scaled_difference(&start, &end), expected, "{what}");
    }
}

#[test]
fn every_counter_is_available_or_says_why() {
    let counters = ActivityCounters::open(&[0]);
    let available: Vec<_> = counters.available().collect();
    for kind in &KINDS {
        let missing = counters.unavailable().iter().find(|u| u.counter == kind.name);
        assert_eq!(available.contains(&kind.name), missing.is_none(), "{}", kind.name);
        assert!(missing.is_none_or(|m| !m.reason.is_empty()));
    }
}

#[test]
fn no_thread_and_a_dead_thread_are_no_zeroes() {
    assert_eq!(ActivityCounters::open(&[]).end(), Activity::default());
    let mut dead = ActivityCounters::open(&[i32::MAX]);
    dead.begin();
    assert_eq!(dead.end(), Activity::default());
    assert_eq!(dead.unavailable().len(), KINDS.len());
}

#[test]
fn a_busy_thread_shows_its_cpu_time_and_faults() {
    let mut counters = ActivityCounters::open(&[0]);
    counters.begin();
    let pages = 256;
    let mut block = vec![0u8; pages * 4096 + (8 << 20)];
    for page in block.chunks_mut(4096) {
        page[0] = 1;
    }
    let mut x = std::hint::black_box(1u64);
    for i in 0..20_000_000u64 {
        x = std::hint::black_box(x.wrapping_mul(31).wrapping_add(i));
    }
    let activity = counters.end();
    if counters.available().any(|name| name == "task-clock") {
        assert!(activity.task_clock.unwrap().get() > 0.001, "{activity:?}");
        assert!(activity.page_faults.unwrap() > 0, "{activity:?}");
    } else {
        assert_eq!(activity.task_clock, None);
    }
    counters.begin();
    let nothing = counters.end();
    if let (Some(busy), Some(idle)) = (activity.task_clock, nothing.task_clock) {
        assert!(idle.get() < busy.get() / 10.0, "{idle:?} {busy:?}");
    }
    drop(block);
}

#[test]
fn counters_follow_the_thread_they_were_opened_for() {
    // A thread that sleeps: this thread's work must not appear in its counters.
    let (tid_out, tid_in) = std::sync::mpsc::channel();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let sleeper = std::thread::spawn(move || {
        let text = std::fs::read_link("/proc/thread-self").unwrap();
        let tid: i32 = text.file_name().unwrap().to_str().unwrap().parse().unwrap();
        tid_out.send(tid).unwrap();
        let _ = stopped.recv();
    });
    let mut counters = ActivityCounters::open(&[tid_in.recv().unwrap()]);
    let mut own = ActivityCounters::open(&[0]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    counters.begin();
    own.begin();
    let mut x = std::hint::black_box(1u64);
    for i in 0..20_000_000u64 {
        x = std::hint::black_box(x.wrapping_mul(31).wrapping_add(i));
    }
    let (slept, worked) = (counters.end().task_clock, own.end().task_clock);
    drop(stop);
    sleeper.join().unwrap();
    assert_eq!(slept.is_some(), worked.is_some());
    if let (Some(slept), Some(worked)) = (slept, worked) {
        assert!(slept.get() < worked.get() / 10.0, "{slept:?} {worked:?}");
    }
}

#[test]
fn children_and_their_children_are_counted_and_their_parent_is_not() {
    let burn = || {
        let mut x = std::hint::black_box(1u64);
        for i in 0..200_000_000u64 {
            x = std::hint::black_box(x.wrapping_mul(31).wrapping_add(i));
        }
    };
    let mut counters = ActivityCounters::of_children();
    burn();
    let mine = counters.end();
    // The shell starts a shell of its own, whose faults and time count as well.
    let run = |script: &str| {
        let mut counters = ActivityCounters::of_children();
        assert!(std::process::Command::new("sh").args(["-c", script]).status().unwrap().success());
        counters.end()
    };
    let (one, two) = (run("true"), run("sh -c true; sh -c true; true"));
    match (mine.task_clock, one.task_clock, two.task_clock) {
        (Some(mine), Some(one), Some(two)) => {
            assert_eq!(mine, Seconds::ZERO);
            assert!(one > Seconds::ZERO && two > one, "{one:?} {two:?}");
            assert!(two.get() < 0.05, "what this thread burnt is not in it: {two:?}");
        }
        (mine, one, two) => assert_eq!((mine, one, two), (None, None, None)),
    }
    if let (Some(one), Some(two)) = (one.page_faults, two.page_faults) {
        assert!(two > 2 * one, "{one} {two}");
    }
}
