//! Handles on the doubles: built as examples, found beside the test binary.

#![allow(dead_code, clippy::allow_attributes, reason = "every test binary uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use wattproof::clock::{Clock, Moment};
use wattproof::sensors::{Probe, Sensor, Value};

/// Path of a built example.
pub(crate) fn example(file: &str) -> PathBuf {
    let mut folder = std::env::current_exe().unwrap();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join("examples").join(file);
    assert!(path.exists(), "{} is missing: build it with `cargo build --release --examples`", path.display());
    path
}

/// The run's clock with its place on `CLOCK_MONOTONIC`, which the doubles use.
pub(crate) struct Timeline {
    pub(crate) clock: Clock,
    origin: u64,
}

impl Timeline {
    pub(crate) fn start() -> Self {
        let clock = Clock::start();
        Self { clock, origin: monotonic() }
    }

    /// Nanoseconds of `CLOCK_MONOTONIC` at a moment of the run.
    pub(crate) fn absolute(&self, moment: Moment) -> u64 {
        self.origin + moment.nanos()
    }
}

#[expect(unsafe_code, reason = "clock_gettime")]
fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer and outlives the call.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) }, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A running powercap double; ends with the value.
pub(crate) struct Powercap {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Powercap {
    /// Starts it on `folder` and waits until all files exist.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(example("powercap_double"))
            .arg(folder)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut double = Self { output: BufReader::new(child.stdout.take().unwrap()), child, input };
        assert_eq!(double.line(), "ready");
        double
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// True energy in µJ of the zone at `path` between two moments of the timeline.
    pub(crate) fn energy(&mut self, path: &str, timeline: &Timeline, from: Moment, to: Moment) -> f64 {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "energy {path} {} {}", timeline.absolute(from), timeline.absolute(to)).unwrap();
        let answer = self.line();
        answer.parse().unwrap_or_else(|_| panic!("{answer}"))
    }
}

impl Drop for Powercap {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// The sensor of a probe that must have found one.
pub(crate) fn ready(probe: Probe) -> Box<dyn Sensor> {
    match probe {
        Probe::Ready(sensor) => sensor,
        Probe::Absent { reason } | Probe::Denied { reason, .. } => panic!("no sensor: {reason}"),
    }
}

/// Raw value of an energy channel.
pub(crate) fn energy(value: &Option<Value>) -> wattproof::units::MicroJoules {
    match value {
        Some(Value::Energy(energy)) => *energy,
        other => panic!("no energy: {other:?}"),
    }
}
