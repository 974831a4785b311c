//! The background sampler: the power trace, and reads often enough that no counter wraps unseen.

use super::bank::SharedBank;
use crate::clock::{Clock, thread_cpu_time};
use crate::record::store::{StoreError, Writer};
use crate::record::{Event, SamplerSummary};
use crate::units::{Hertz, Seconds};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A sampler that runs until it is stopped.
pub(super) struct Sampler {
    stop: Sender<()>,
    thread: JoinHandle<Result<SamplerSummary, StoreError>>,
}

impl Sampler {
    /// Starts sampling at `rate`, or faster where a counter would wrap. `None` when there is no
    /// sensor to sample, or the rate is zero.
    pub(super) fn start(bank: &SharedBank, writer: &Arc<Mutex<Writer>>, rate: Hertz, clock: Clock) -> Option<Self> {
        let wraps = {
            let bank = bank.lock().unwrap_or_else(PoisonError::into_inner);
            bank.infos().next()?;
            bank.poll_interval()
        };
        let period = Seconds::new(1.0 / rate.get()).ok()?;
        let period = wraps.filter(|w| *w < period).unwrap_or(period);
        let (stop, stopped) = channel::<()>();
        let (bank, writer) = (Arc::clone(bank), Arc::clone(writer));
        let body = move || {
            let begin = clock.now();
            let mut summary =
                SamplerSummary { points: 0, wall: Seconds::ZERO, cpu: Seconds::ZERO, longest_gap: Seconds::ZERO };
            let (mut last, mut due) = (begin, 0u64);
            loop {
                // Deadlines are multiples of the period, so the rate does not drift with the cost.
                due += 1;
                let wait = period * due as f64 - clock.now().since(begin);
                if stopped.recv_timeout(wait.to_duration()) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                let point = bank.lock().unwrap_or_else(PoisonError::into_inner).trace(&clock);
                let now = clock.now();
                let gap = now.since(last);
                if gap > summary.longest_gap {
                    summary.longest_gap = gap;
                }
                last = now;
                due = due.max((now.since(begin).get() / period.get()) as u64);
                if let Some(point) = point {
                    summary.points += 1;
                    writer.lock().unwrap_or_else(PoisonError::into_inner).append(&Event::Trace(point))?;
                }
            }
            summary.wall = clock.now().since(begin);
            summary.cpu = thread_cpu_time();
            Ok(summary)
        };
        let thread = std::thread::Builder::new().name("sampler".into()).spawn(body).ok()?;
        Some(Self { stop, thread })
    }

    /// Stops sampling and says what it cost.
    pub(super) fn stop(self) -> Result<SamplerSummary, StoreError> {
        drop(self.stop);
        match self.thread.join() {
            Ok(summary) => summary,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
