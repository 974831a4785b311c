//! What is kept of one channel from read to read.

use super::{ChannelState, MAX_POLL_GAP, is_power};
use crate::clock::Moment;
use crate::sensors::counter::{Accumulator, Counter};
use crate::sensors::{Channel, Quantity, Value};
use crate::units::{Joules, MicroJoules, Seconds, Watts};

/// A counter that was read for so many of its update periods without a change is stalled.
pub(super) const PERIODS: f64 = 100.0;

/// Reasons for a lower clock that are no setting of the owner: heat, power supply, a fault.
const SLOWDOWNS: [&str; 4] = ["hardware-slowdown", "thermal", "hardware-thermal", "power-brake"];

pub(super) enum Track {
    Counter {
        accumulator: Accumulator,
        /// Value of the last change and when it was seen.
        changed: Option<(MicroJoules, Moment)>,
        stall: Stall,
    },
    /// Trapezoid over polled power; beside a counter of the domain it checks that.
    Power {
        last: Option<(Moment, Watts)>,
        integral: Joules,
        gaps: u32,
    },
    /// Slowdowns seen so far, and those that go on.
    Throttle {
        events: u64,
        active: Vec<String>,
    },
    Gauge,
}

/// How a counter stood still so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stall {
    /// Times that it did for too long.
    pub(super) times: u32,
    /// Whether it does just now.
    pub(super) now: bool,
}

impl Track {
    pub(super) fn of(channel: &Channel, all: &[Channel]) -> Self {
        if let Some(counter) = Counter::of(&channel.quantity) {
            return Self::Counter { accumulator: Accumulator::new(counter), changed: None, stall: Stall::default() };
        }
        if channel.quantity == Quantity::Throttle {
            return Self::Throttle { events: 0, active: Vec::new() };
        }
        // Of two powers of one domain (instantaneous and averaged) the first is integrated.
        let first = all.iter().filter(|c| c.domain == channel.domain).find(|c| is_power(c));
        if is_power(channel) && first.is_some_and(|f| f.name == channel.name) {
            return Self::Power { last: None, integral: Joules::ZERO, gaps: 0 };
        }
        Self::Gauge
    }

    /// Takes in a value; `period` is how often the channel changes, where that is known.
    pub(super) fn push(&mut self, value: &Value, at: Moment, period: Option<Seconds>) -> ChannelState {
        match (self, value) {
            (Self::Counter { accumulator, changed, stall }, Value::Energy(raw)) => {
                match changed {
                    Some((value, since)) if value == raw => {
                        let stands = period.is_some_and(|tau| at.since(*since) > tau * PERIODS);
                        stall.times += u32::from(stands && !stall.now);
                        stall.now = stands;
                    }
                    _ => (*changed, stall.now) = (Some((*raw, at)), false),
                }
                ChannelState::Energy(accumulator.push(*raw, at).0, *stall)
            }
            (Self::Power { last, integral, gaps }, Value::Power(power)) => {
                if let Some((then, before)) = *last {
                    let gap = at.since(then);
                    *integral += (before + *power) * 0.5 * gap;
                    *gaps += u32::from(gap > MAX_POLL_GAP);
                }
                *last = Some((at, *power));
                ChannelState::Power { integral: *integral, gaps: *gaps }
            }
            (Self::Throttle { events, active }, Value::Throttle(reasons)) => {
                let slowing: Vec<String> =
                    reasons.iter().filter(|r| SLOWDOWNS.contains(&r.as_str())).cloned().collect();
                *events += slowing.iter().filter(|r| !active.contains(r)).count() as u64;
                active.clone_from(&slowing);
                ChannelState::Throttle { events: *events, active: slowing }
            }
            (_, Value::Temperature(t)) => ChannelState::Temperature(*t),
            _ => ChannelState::Other,
        }
    }
}
