//! A pulse of load on all CPUs that a wall meter cannot overlook: idle – load – idle.

use crate::clock::Clock;
use crate::sensors::wall::Pulse;
use crate::units::Seconds;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two looks at whether to stop.
const LOOK: Duration = Duration::from_millis(20);

/// Independent sums, so that the arithmetic is bound by its units and not by their latency.
const LANES: usize = 32;

/// Rests for `length`, loads every CPU that this process may use for `length`, and rests again.
/// `None` when `stop` says so in between: half a pulse aligns nothing.
#[must_use]
pub fn pulse(clock: &Clock, length: Seconds, stop: &dyn Fn() -> bool) -> Option<Pulse> {
    let start = clock.now();
    rest(clock, length, stop)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (ready, done) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let (on, off, whole) = std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                ready.wait();
                while !done.load(Ordering::Relaxed) {
                    work();
                }
            });
        }
        // All threads exist before any of them works, so the edge is as steep as the scheduler allows.
        ready.wait();
        let on = clock.now();
        let whole = rest(clock, length, stop);
        let off = clock.now();
        done.store(true, Ordering::Relaxed);
        (on, off, whole)
    });
    whole?;
    rest(clock, length, stop)?;
    Some(Pulse { start, on, off, end: clock.now() })
}

fn rest(clock: &Clock, length: Seconds, stop: &dyn Fn() -> bool) -> Option<()> {
    let start = clock.now();
    loop {
        let left = length - clock.now().since(start);
        if left <= Seconds::ZERO {
            return Some(());
        }
        if stop() {
            return None;
        }
        std::thread::sleep(left.to_duration().min(LOOK));
    }
}

/// Some microseconds of multiplications and additions.
fn work() {
    let mut sums = [1.0f64; LANES];
    let factor = black_box(1.000_000_1);
    for _ in 0..1000 {
        for sum in &mut sums {
            *sum = *sum * factor + 1e-9;
        }
    }
    black_box(sums);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::thread_cpu_time;

    #[test]
    fn a_pulse_rests_works_and_rests() {
        let clock = Clock::start();
        let length = Seconds::new(0.1).unwrap();
        let cpu = thread_cpu_time();
        let pulse = pulse(&clock, length, &|| false).unwrap();
        assert!((thread_cpu_time() - cpu).get() < 0.05, "the calling thread only waits");
        for (from, to) in [(pulse.start, pulse.on), (pulse.on, pulse.off), (pulse.off, pulse.end)] {
            assert!(to.since(from) >= length, "{pulse:?}");
            assert!(to.since(from) < length * 5.0, "{pulse:?}");
        }
    }

    #[test]
    fn a_stop_ends_it_at_once_and_leaves_none() {
        let clock = Clock::start();
        assert_eq!(pulse(&clock, Seconds::new(60.0).unwrap(), &|| true), None);
        assert!(clock.now().seconds().get() < 5.0);
        let late = |clock: Clock| move || clock.now().seconds().get() > 0.15;
        assert_eq!(pulse(&Clock::start(), Seconds::new(0.1).unwrap(), &late(Clock::start())), None);
    }
}
