//! Counters that stand still although they cannot have: their driver hangs, and their energy is unknown.
//!
//! A counter stood still in a window when it shows no energy at all over more than [`WHOLE`] of its update
//! periods, or when it was read for more than [`track::PERIODS`] of them without a change. The second
//! finds a counter that hangs half-way, and one that catches up later: nobody knows when that energy was
//! drawn. It takes more periods, because how often a counter is read in a window is not up to it.
//!
//! Whether it may stand still is a question of the domain. The whole of a package, a platform or a board
//! always draws power. Memory does too, but some machines list a counter of it that nothing feeds; it is
//! held to what other counters do. Cores and uncore may be switched off. A counter whose update period is
//! not known may be slow.
//!
//! [`track::PERIODS`]: super::track::PERIODS

use super::{ChannelEdge, ChannelState, Edge, Outcome};
use crate::record::{EnergyMethod, EnergySpan, Flag};
use crate::sensors::Domain;
use crate::units::MicroJoules;

/// So many update periods without an update are no accident of the moment.
const WHOLE: f64 = 10.0;

/// What a domain may do while the machine runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Never,
    UnlessOthersDraw,
    May,
}

const fn rest(domain: &Domain) -> Rest {
    match domain {
        Domain::Cores { .. } | Domain::Uncore { .. } | Domain::Other { .. } => Rest::May,
        Domain::Dram { .. } | Domain::DramOfDie { .. } => Rest::UnlessOthersDraw,
        _ => Rest::Never,
    }
}

/// Voids the energy of counters that stood still from `first` to `last` although they cannot have. Of a
/// check the figure is kept: that it differs is what it is there to show.
pub(super) fn void(first: &Edge, last: &Edge, outcomes: &mut [Outcome]) {
    let rose = |o: &Outcome| {
        o.counts && o.result.as_ref().is_ok_and(|s| s.method == EnergyMethod::Counter && s.energy.get() > 0)
    };
    let rising: Vec<bool> = outcomes.iter().map(rose).collect();
    for (i, outcome) in outcomes.iter_mut().enumerate().filter(|(_, outcome)| outcome.counts) {
        let Ok(span) = &outcome.result else { continue };
        let others = rising.iter().enumerate().any(|(j, rose)| *rose && j != i);
        let cannot = match rest(&outcome.domain) {
            Rest::Never => true,
            Rest::UnlessOthersDraw => others,
            Rest::May => false,
        };
        if let Some(how) = stood_still(span, first, last)
            && cannot
        {
            let beside = if others { ", while others rose" } else { "" };
            outcome.result = Err(Flag {
                code: "stalled".into(),
                detail: format!("the counter of {} {how}{beside}", outcome.domain),
            });
        }
    }
}

/// How the counter of `span` stood still, if it did.
fn stood_still(span: &EnergySpan, first: &Edge, last: &Edge) -> Option<&'static str> {
    let period = span.update_period.filter(|_| span.method == EnergyMethod::Counter)?;
    if span.energy == MicroJoules::new(0) && span.to.since(span.from) > period * WHOLE {
        return Some("did not advance in the whole window");
    }
    let stall = |edge| match channel(edge, span)?.state {
        ChannelState::Energy(_, stall) => Some(stall),
        _ => None,
    };
    let (before, after) = (stall(first)?, stall(last)?);
    (after.times > before.times || (before.now && after.now)).then_some("stood still within the window")
}

fn channel<'a>(edge: &'a Edge, span: &EnergySpan) -> Option<&'a ChannelEdge> {
    let slot = edge.slots.iter().flatten().find(|slot| *slot.sensor == *span.sensor)?;
    let mut counters = slot.channels.iter().filter(|c| matches!(c.state, ChannelState::Energy(..)));
    counters.find(|c| *c.domain == span.domain)
}
