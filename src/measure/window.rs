//! One timed window: edges of the counters outside, iterations inside, the answer checked after.

use super::bank::{self, Edge, SharedBank};
use super::state::Watch;
use crate::backends::{BackendError, Workload};
use crate::clock::{Clock, Moment};
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
}

/// A window that ran to its end.
pub(super) struct Timed {
    pub(super) start: Moment,
    pub(super) wall: Seconds,
    pub(super) energy: Vec<EnergySpan>,
    pub(super) activity: Activity,
    pub(super) state: State,
    pub(super) flags: Vec<Flag>,
}

impl Bench<'_> {
    /// Times `iterations` of `workload`. `None` when the user asked to stop in the middle: an
    /// unfinished window is no measurement.
    pub(super) fn time(
        &self,
        workload: &mut dyn Workload,
        counters: &mut ActivityCounters,
        watch: &mut Watch,
        iterations: u64,
        per_iteration: Seconds,
    ) -> Result<Option<Timed>, BackendError> {
        let chunk = chunk(iterations, per_iteration);
        workload.poison();
        watch.begin(self.clock);
        counters.begin();
        let first = bank::edge(self.bank, self.clock);
        let start = self.clock.now();
        let mut left = iterations;
        while left > 0 {
            let now = left.min(chunk);
            workload.run(now)?;
            left -= now;
            if left > 0 && self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
        let end = self.clock.now();
        let last = bank::edge(self.bank, self.clock);
        let activity = counters.end();
        let (state, mut flags) = watch.end(self.clock);
        let (energy, energy_flags) = Edge::spans(&first, &last);
        flags.extend(energy_flags);
        Ok(Some(Timed { start, wall: end.since(start), energy, activity, state, flags }))
    }
}

impl Timed {
    /// As a sample of the record, with the answer that this very window left behind.
    pub(super) fn into_sample(self, case: &str, repeat: u32, iterations: u64, workload: &mut dyn Workload) -> Sample {
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
            iterations,
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

fn chunk(iterations: u64, per_iteration: Seconds) -> u64 {
    let fit = CHUNK_S / per_iteration.get().max(1e-9);
    if fit >= iterations as f64 { iterations } else { (fit as u64).max(1) }
}

/// Iterations that fill `length`, at least one.
pub(super) fn iterations_for(length: Seconds, per_iteration: Seconds) -> u64 {
    length.ratio(per_iteration).map_or(1, |n| (n.ceil() as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(x: f64) -> Seconds {
        Seconds::new(x).unwrap()
    }

    #[test]
    fn windows_are_filled_and_never_empty() {
        assert_eq!(iterations_for(s(0.15), s(0.001)), 150);
        assert_eq!(iterations_for(s(0.15), s(2.0)), 1);
        assert_eq!(iterations_for(s(0.15), Seconds::ZERO), 1);
    }

    #[test]
    fn chunks_bound_the_reaction_to_a_stop() {
        assert_eq!(chunk(100, s(0.001)), 100);
        assert_eq!(chunk(60_000, s(0.001)), 250);
        assert_eq!(chunk(4, s(3.0)), 1);
    }
}
