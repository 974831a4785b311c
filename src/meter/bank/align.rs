//! Window edges that do not depend on when a counter was last updated.
//!
//! A counter that is updated every τ shows at a window's edge the energy of up to τ ago, which makes
//! an error of up to P·τ at either end: 0.05 % of a window of 2 s at 1 ms, 1 % at 20 ms. But the
//! moment of an update can be seen by whoever reads without pause. So before a window begins, and
//! after it has ended, each counter is watched until it has moved twice: the updates next to the
//! window mark an energy that is exact, the others tell the power beside them. What lies between the
//! window and its updates is taken off at that power.

use super::{Bank, ChannelState, SharedBank, SlotEdge};
use crate::clock::{Clock, Moment};
use crate::record::EnergySpan;
use crate::sensors::counter::Mark;
use crate::units::{MicroJoules, Seconds, Watts};
use std::sync::PoisonError;

/// Counters slower than this are not waited for.
const SLOWEST: Seconds = match Seconds::new(0.15) {
    Ok(period) => period,
    Err(_) => Seconds::ZERO,
};
/// How many update periods the two updates are waited for.
const PATIENCE: f64 = 4.0;
/// An update is seen if the two reads around it lie no further apart than this share of the period.
const BRACKET: f64 = 0.125;
/// Counters that are slower than this are read with pauses of a 200th of their period; a faster one
/// has moved before a thread would wake up.
const SPIN_BELOW: f64 = 0.005;

/// Which end of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The window begins after the updates: the fastest counter is watched last.
    Begin,
    /// The window has ended before the updates: the fastest counter is watched first.
    Finish,
}

/// An update of each counter beside one end of a window, by sensor and channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Updates(Vec<Vec<Option<Update>>>);

#[derive(Debug, Clone, Copy)]
struct Update {
    /// Life of its sensor: marks of two lives have nothing in common.
    lives: u32,
    mark: Mark,
    at: Moment,
    /// Power between it and its neighbour.
    power: Watts,
}

/// Watches all counters until each moved twice, or for four update periods.
pub(crate) fn updates(bank: &SharedBank, clock: &Clock, end: End) -> Updates {
    let lock = || bank.lock().unwrap_or_else(PoisonError::into_inner);
    let mut slots = lock().watched();
    slots.sort_by(|a, b| a.1.get().total_cmp(&b.1.get()));
    if end == End::Begin {
        slots.reverse();
    }
    let mut updates = Updates::default();
    for (slot, slowest) in slots {
        updates.0.resize_with(updates.0.len().max(slot + 1), Vec::new);
        updates.0[slot] = watch(|| lock().read_slot(slot, clock), clock, slowest, end);
    }
    updates
}

fn watch(mut read: impl FnMut() -> Option<SlotEdge>, clock: &Clock, slowest: Seconds, end: End) -> Vec<Option<Update>> {
    let start = clock.now();
    let Some(mut before) = read() else { return Vec::new() };
    // Marks and moments of two updates in a row.
    let mut seen: Vec<[Option<(Mark, Moment)>; 2]> = vec![[None; 2]; before.channels.len()];
    let wanted: Vec<bool> = before.channels.iter().map(|c| period(c.update_period, &c.state).is_some()).collect();
    while clock.now().since(start) < slowest * PATIENCE
        && wanted.iter().zip(&seen).any(|(wanted, seen)| *wanted && seen[1].is_none())
    {
        if slowest.get() >= SPIN_BELOW {
            std::thread::sleep((slowest * 0.005).to_duration());
        }
        // What was seen of a sensor that came back in between belongs to nothing.
        let Some(after) = read().filter(|after| after.lives == before.lives) else { break };
        for ((from, to), seen) in before.channels.iter().zip(&after.channels).zip(&mut seen) {
            if let Some(period) = period(to.update_period, &to.state)
                && let (ChannelState::Energy(a, _), ChannelState::Energy(b, _)) = (&from.state, &to.state)
                && a.raw != b.raw
            {
                let sharp = after.at.since(before.at) <= period * BRACKET;
                let update = sharp.then(|| (*b, before.at.midpoint(after.at)));
                match seen {
                    [_, Some(_)] => {}
                    [Some(_), second] if update.is_some() => *second = update,
                    // One that was missed ends the row.
                    [first, _] => *first = update,
                }
            }
        }
        before = after;
    }
    seen.into_iter().map(|[first, second]| update(before.lives, first?, second?, end)).collect()
}

fn update(lives: u32, first: (Mark, Moment), second: (Mark, Moment), end: End) -> Option<Update> {
    let energy = first.0.until(&second.0)?.energy.to_joules();
    let power = energy.over(second.1.since(first.1))?;
    let (mark, at) = if end == End::Begin { second } else { first };
    Some(Update { lives, mark, at, power })
}

/// The update period of a counter that can be waited for.
fn period(period: Option<Seconds>, state: &ChannelState) -> Option<Seconds> {
    period.filter(|p| *p <= SLOWEST && *p > Seconds::ZERO && matches!(state, ChannelState::Energy(..)))
}

impl Bank {
    /// Sensors with a counter that can be waited for, and the period of the slowest such counter.
    fn watched(&self) -> Vec<(usize, Seconds)> {
        let slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.lost.is_none());
        slots
            .filter_map(|(i, slot)| {
                let counters = slot.info.channels.iter().zip(&slot.tracks);
                let periods = counters.filter(|(_, track)| matches!(track, super::Track::Counter { .. }));
                let periods = periods.filter_map(|(c, _)| c.update_period.filter(|p| *p <= SLOWEST));
                Some((i, periods.max_by(|a, b| a.get().total_cmp(&b.get()))?))
            })
            .collect()
    }

    fn read_slot(&mut self, slot: usize, clock: &Clock) -> Option<SlotEdge> {
        self.slots.get_mut(slot)?.read(clock, &mut self.losses, None)
    }

    /// `span`, a counter's energy between the reads at the ends of a window, taken to `window` itself
    /// by the updates beside them; as it is where one of these was not seen.
    pub(crate) fn aligned(
        &self,
        span: &EnergySpan,
        (before, after): (&Updates, &Updates),
        window: (Moment, Moment),
    ) -> EnergySpan {
        let place = self.slots.iter().enumerate().find(|(_, slot)| slot.info.id == span.sensor);
        let channel = place.and_then(|(i, slot)| {
            let channels = slot.info.channels.iter().zip(&slot.tracks);
            let mut channels =
                channels.enumerate().filter(|(_, (_, track))| matches!(track, super::Track::Counter { .. }));
            channels.find(|(_, (channel, _))| channel.domain == span.domain).map(|(k, _)| (i, k))
        });
        let update = |updates: &Updates| {
            let (slot, channel) = channel?;
            *updates.0.get(slot)?.get(channel)?
        };
        match (update(before), update(after)) {
            (Some(a), Some(b)) if a.lives == b.lives => between(a, b, window).map_or_else(
                || span.clone(),
                |energy| EnergySpan { energy, from: window.0, to: window.1, ..span.clone() },
            ),
            _ => span.clone(),
        }
    }
}

/// Energy of a window from the update before it to the update after it, less what lies outside.
fn between(a: Update, b: Update, (from, to): (Moment, Moment)) -> Option<MicroJoules> {
    let whole = a.mark.until(&b.mark)?.energy.to_joules();
    let inside = whole - a.power * from.since(a.at) - b.power * b.at.since(to);
    let microjoules = (inside.get() * 1e6).round();
    (microjoules >= 1.0).then(|| MicroJoules::new(microjoules as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(total: u64, at_us: u64) -> (Mark, Moment) {
        let (total, at) = (MicroJoules::new(total), Moment::from_nanos(at_us * 1000));
        (Mark { total, raw: total, wraps: 0, breaks: 0, at }, at)
    }

    #[test]
    fn what_lies_outside_the_window_is_taken_off_at_the_power_of_its_updates() {
        // 65 W. The window begins 0.1 ms after an update and ends 0.4 ms before another.
        let a = update(0, mark(0, 9_000), mark(65_000, 10_000), End::Begin).unwrap();
        let b = update(0, mark(130_065_000, 2_010_000), mark(130_130_000, 2_011_000), End::Finish).unwrap();
        let window = (Moment::from_nanos(10_100_000), Moment::from_nanos(2_009_600_000));
        assert_eq!(between(a, b, window), Some(MicroJoules::new(129_967_500)), "65 W over 1.9995 s");
        // At the end it draws three times as much, and that update came half a millisecond late.
        let b = update(0, mark(130_065_000, 2_010_000), mark(130_357_500, 2_011_500), End::Finish).unwrap();
        assert_eq!(between(a, b, window), Some(MicroJoules::new(129_915_500)));
    }

    #[test]
    fn a_reset_beside_the_window_and_an_empty_window_are_not_corrected() {
        let a = update(0, mark(0, 9_000), mark(65_000, 10_000), End::Begin).unwrap();
        let mut b = update(0, mark(130_000, 11_000), mark(195_000, 12_000), End::Finish).unwrap();
        let at = |us: u64| Moment::from_nanos(us * 1000);
        assert_eq!(between(a, b, (at(10_000), at(10_000))), None);
        b.mark.breaks = 1;
        assert_eq!(between(a, b, (at(10_000), at(11_000))), None);
        let mut late = mark(195_000, 12_000);
        late.0.breaks = 1;
        assert!(update(0, mark(130_000, 11_000), late, End::Finish).is_none());
    }
}
