//! A thread that does one thing at a fixed rate: reads of counters often enough that none wraps
//! unseen, and traces.

use crate::clock::{Clock, thread_cpu_time};
use crate::record::SamplerSummary;
use crate::units::Seconds;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A sampler that runs until it is stopped.
pub(crate) struct Sampler<E> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<SamplerSummary, E>>,
}

impl<E: Send + 'static> Sampler<E> {
    /// Calls `tick` every `period`; it says whether it took a point, and an error ends the
    /// sampler. `None` when no thread can be started.
    pub(crate) fn start(
        period: Seconds,
        clock: Clock,
        mut tick: impl FnMut() -> Result<bool, E> + Send + 'static,
    ) -> Option<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let body = move || {
            let begin = clock.now();
            let mut summary =
                SamplerSummary { points: 0, wall: Seconds::ZERO, cpu: Seconds::ZERO, longest_gap: Seconds::ZERO };
            let (mut last, mut due) = (begin, 0u64);
            loop {
                // Deadlines are multiples of the period, so the rate does not drift with the cost.
                // Parking goes to sleep at once; a channel would spin first, at every point.
                due += 1;
                let mut wait = period * due as f64 - clock.now().since(begin);
                while wait > Seconds::ZERO && !stopped.load(Ordering::Acquire) {
                    std::thread::park_timeout(wait.to_duration());
                    wait = period * due as f64 - clock.now().since(begin);
                }
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                let took = tick()?;
                let now = clock.now();
                let gap = now.since(last);
                if gap > summary.longest_gap {
                    summary.longest_gap = gap;
                }
                last = now;
                due = due.max((now.since(begin).get() / period.get()) as u64);
                summary.points += u64::from(took);
            }
            summary.wall = clock.now().since(begin);
            summary.cpu = thread_cpu_time();
            Ok(summary)
        };
        let thread = std::thread::Builder::new().name("sampler".into()).spawn(body).ok()?;
        Some(Self { stop, thread })
    }

    /// Stops sampling and says what it cost.
    pub(crate) fn stop(self) -> Result<SamplerSummary, E> {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        match self.thread.join() {
            Ok(summary) => summary,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
