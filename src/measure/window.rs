//! One timed window: edges of the counters outside, iterations inside, the answer checked after.

use super::card::Card;
use super::state::Watch;
use crate::backends::{BackendError, Workload};
use crate::clock::{Clock, Moment};
use crate::meter::bank::{self, Edge, SharedBank};
use crate::record::{Activity, EnergySpan, Flag, Sample, State};
use crate::sensors::perf::ActivityCounters;
use crate::units::Seconds;
use std::sync::atomic::{AtomicBool, Ordering};

/// Iterations run between two looks at the stop flag last about this long.
const CHUNK_S: f64 = 0.25;

/// What surrounds every window of a run.
pub(super) struct Bench<'a> {
    pub(super) clock: &'a Clock,
    pub(super) bank: &'a SharedBank,
    pub(super) stop: &'a AtomicBool,
    /// The card that the case runs on, where a sensor reads it.
    pub(super) card: Option<Card<'a>>,
}

/// A window that ran to its end.
pub(super) struct Timed {
    pub(super) start: Moment,
    pub(super) wall: Seconds,
    pub(super) device_time: Option<Seconds>,
    pub(super) iterations: u64,
    pub(super) energy: Vec<EnergySpan>,
    pub(super) activity: Activity,
    pub(super) state: State,
    pub(super) flags: Vec<Flag>,
}

impl Bench<'_> {
    /// Times `workload` for at least `length`. `None` when the user asked to stop in the middle:
    /// an unfinished window is no measurement.
    pub(super) fn time(
        &self,
        workload: &mut dyn Workload,
        counters: &mut ActivityCounters,
        watch: &mut Watch,
        length: Seconds,
        per_iteration: Seconds,
    ) -> Result<Option<Timed>, BackendError> {
        // Asking for processes and errors takes its time, so it is done before and after all else.
        if let Some(card) = &self.card {
            card.begin();
        }
        workload.poison();
        watch.begin(self.clock);
        counters.begin();
        let first = match &self.card {
            Some(card) => card.first(self.clock, self.bank),
            None => bank::edge(self.bank, self.clock),
        };
        let start = self.clock.now();
        let mut iterations = 0;
        loop {
            // The warm-up's time per iteration plans the first batch; after that the window itself
            // knows better. A window is never shorter than asked for.
            let elapsed = self.clock.now().since(start);
            let typical = if iterations == 0 { per_iteration } else { elapsed * (1.0 / iterations as f64) };
            let batch = batch(length - elapsed, typical);
            workload.run(batch)?;
            iterations += batch;
            if self.clock.now().since(start) >= length {
                break;
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
        let end = self.clock.now();
        let (last, gauges) = match &self.card {
            Some(_) => Card::last(self.clock, self.bank),
            None => (bank::edge(self.bank, self.clock), None),
        };
        let activity = counters.end();
        let (mut state, mut flags) = watch.end(self.clock);
        if let Some(card) = &self.card {
            card.end(gauges, (&first, &last), &mut state, &mut flags);
        }
        let (energy, energy_flags) = Edge::spans(&first, &last);
        flags.extend(energy_flags);
        let (wall, device_time) = (end.since(start), workload.device_time());
        Ok(Some(Timed { start, wall, device_time, iterations, energy, activity, state, flags }))
    }
}

impl Timed {
    /// As a sample of the record, with the answer that this very window left behind.
    pub(super) fn into_sample(self, case: &str, repeat: u32, workload: &mut dyn Workload) -> Sample {
        let correctness = workload.check();
        let mut flags = self.flags;
        if !correctness.passed() {
            let detail = match correctness.error {
                Some(error) => format!("error {error:.3e} above the limit {:.3e}", correctness.limit),
                None => "an output is NaN, infinite or was never written".to_owned(),
            };
            flags.insert(0, Flag { code: WRONG_ANSWER.into(), detail });
        }
        Sample {
            case: case.to_owned(),
            repeat,
            start: self.start,
            wall: self.wall,
            device_time: self.device_time,
            iterations: self.iterations,
            energy: self.energy,
            activity: self.activity,
            state: self.state,
            correctness: Some(correctness),
            flags,
        }
    }
}

/// Code of the flag that voids a case.
pub(super) const WRONG_ANSWER: &str = "wrong-answer";

/// Iterations that fill what is left of a window, but not more than [`CHUNK_S`], and at least one.
pub(super) fn batch(left: Seconds, per_iteration: Seconds) -> u64 {
    let wanted = left.get().clamp(0.0, CHUNK_S);
    ((wanted / per_iteration.get().max(1e-9)).ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(x: f64) -> Seconds {
        Seconds::new(x).unwrap()
    }

    #[test]
    fn batches_fill_what_is_left_and_bound_the_reaction_to_a_stop() {
        assert_eq!(batch(s(0.15), s(0.001)), 150);
        assert_eq!(batch(s(60.0), s(0.001)), 250);
        assert_eq!(batch(s(0.0004), s(0.001)), 1);
        assert_eq!(batch(s(4.0), s(3.0)), 1);
        assert_eq!(batch(s(-1.0), s(0.001)), 1);
        assert!(batch(s(0.1), Seconds::ZERO) >= 1);
    }
}
