//! What the windows say of the graphics cards that cases ran on, discarded ones included.

use super::context::{fact, maybe};
use super::plain::{domain_name, shorten};
use super::{Fact, FactGroup};
use crate::record::{CardState, Clocks, RunRecord};
use crate::report::si;
use std::collections::{BTreeMap, BTreeSet};

/// A group of facts a card whose state was read; none for records of processors.
pub(in crate::report) fn groups(record: &RunRecord) -> Vec<FactGroup> {
    let mut cards: BTreeMap<String, Vec<&CardState>> = BTreeMap::new();
    for measurement in &record.measurements {
        let Some(prepared) = &measurement.prepared else { continue };
        let states = measurement.samples.iter().filter_map(|s| s.state.card.as_ref());
        for state in states {
            cards.entry(prepared.device.0.clone()).or_default().push(state);
        }
    }
    let group = |(id, states): (String, Vec<&CardState>)| FactGroup {
        title: format!("{} in its windows", shorten(&id, 40)),
        facts: facts(&states),
    };
    cards.into_iter().map(group).collect()
}

fn facts(states: &[&CardState]) -> Vec<Fact> {
    let domains: BTreeSet<String> =
        states.iter().map(|s| format!("{} ({})", domain_name(&s.domain), s.sensor)).collect();
    let readings = states.iter().map(|s| u64::from(s.readings)).fold(0, u64::saturating_add);
    let temperatures = extent(states, |s| s.temperature.map(|t| t.get()));
    let limits = extent(states, |s| s.power_limit.map(|w| w.get()));
    let load = extent(states, |s| s.foreign_load);
    let mut facts = vec![
        fact("Card", shorten(&domains.into_iter().collect::<Vec<_>>().join(", "), 160)),
        fact("Read", format!("{readings} times in {} windows", states.len())),
        maybe("Clock", clocks(states, |s| s.sm_clock)),
        maybe("Clock of its memory", clocks(states, |s| s.memory_clock)),
        maybe(
            "Temperature",
            temperatures.map(|(l, h)| format!("{} °C", between(&format!("{l:.0}"), &format!("{h:.0}")))),
        ),
        maybe("Power limit", limits.map(|(l, h)| between(&si::setting(l, "W"), &si::setting(h, "W")))),
        maybe("Lower clocks because of", reasons(states)),
        maybe("Slowdowns", rises(states, |s| s.throttle_events)),
        maybe("Memory errors, corrected", rises(states, |s| CardState::rise(s.ecc_corrected))),
        maybe("Memory errors, uncorrected", rises(states, |s| CardState::rise(s.ecc_uncorrected))),
        maybe("Critical errors (Xid)", xids(states)),
        maybe("Transfers repeated by its link", rises(states, |s| CardState::rise(s.pcie_replays))),
        maybe("Other processes on it", others(states)),
        maybe(
            "Load of other processes",
            load.map(|(_, h)| format!("{} of it at most{}", si::percent(h), of(states, |s| s.foreign_load.is_some()))),
        ),
    ];
    facts.extend(pauses(states).map(|text| fact("Left alone to cool down", text)));
    facts
}

fn pauses(states: &[&CardState]) -> Option<String> {
    let pauses: Vec<_> = states.iter().filter_map(|s| s.cool_down.as_ref()).collect();
    let seconds = pauses.iter().map(|p| p.wall.get()).fold(0.0, |sum, s| sum + s);
    let in_vain = pauses.iter().filter(|p| !p.over).count();
    let text = format!("{} before {} of {} windows", si::quantity(seconds, "s"), pauses.len(), states.len());
    let text = if in_vain == 0 { text } else { format!("{text}, {in_vain} times in vain") };
    (!pauses.is_empty()).then_some(text)
}

/// Of how many windows a figure speaks, where it is not all of them.
fn of(states: &[&CardState], known: impl Fn(&CardState) -> bool) -> String {
    let n = states.iter().filter(|s| known(s)).count();
    if n == states.len() { String::new() } else { format!(" ({n} of {} windows say)", states.len()) }
}

fn extent(states: &[&CardState], pick: impl Fn(&CardState) -> Option<f64>) -> Option<(f64, f64)> {
    let known: Vec<f64> = states.iter().filter_map(|s| pick(s)).collect();
    Some((known.iter().copied().min_by(f64::total_cmp)?, known.iter().copied().max_by(f64::total_cmp)?))
}

fn between(low: &str, high: &str) -> String {
    if low == high { low.to_owned() } else { format!("{low} to {high}") }
}

/// Medians of the windows, and the lowest reading of all.
fn clocks(states: &[&CardState], pick: impl Fn(&CardState) -> Option<Clocks>) -> Option<String> {
    let (low, high) = extent(states, |s| pick(s).map(|c| c.median.get()))?;
    let (min, _) = extent(states, |s| pick(s).map(|c| c.min.get()))?;
    let medians = between(&si::quantity(low, "Hz"), &si::quantity(high, "Hz"));
    Some(format!(
        "{medians} (medians of the windows), lowest reading {}{}",
        si::quantity(min, "Hz"),
        of(states, |s| pick(s).is_some())
    ))
}

fn reasons(states: &[&CardState]) -> Option<String> {
    let known: Vec<&Vec<String>> = states.iter().filter_map(|s| s.throttle.as_ref()).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in known.iter().flat_map(|reasons| reasons.iter()) {
        *counts.entry(reason).or_default() += 1;
    }
    let list: Vec<String> =
        counts.iter().map(|(reason, n)| format!("{} in {n} of {} windows", shorten(reason, 40), known.len())).collect();
    (!known.is_empty()).then(|| if list.is_empty() { "nothing".to_owned() } else { shorten(&list.join(", "), 300) })
}

fn rises(states: &[&CardState], pick: impl Fn(&CardState) -> Option<u64>) -> Option<String> {
    let known: Vec<u64> = states.iter().filter_map(|s| pick(s)).collect();
    let sum = known.iter().copied().fold(0, u64::saturating_add);
    (!known.is_empty()).then(|| format!("{sum}{}", of(states, |s| pick(s).is_some())))
}

fn xids(states: &[&CardState]) -> Option<String> {
    let known: Vec<&Vec<u64>> = states.iter().filter_map(|s| s.xids.as_ref()).collect();
    let numbers: BTreeSet<u64> = known.iter().flat_map(|xids| xids.iter().copied()).collect();
    let list: Vec<String> = numbers.iter().take(16).map(u64::to_string).collect();
    (!known.is_empty()).then(|| if list.is_empty() { "none".to_owned() } else { list.join(", ") })
}

fn others(states: &[&CardState]) -> Option<String> {
    let known: Vec<_> = states.iter().filter_map(|s| s.others).collect();
    let most = known.iter().map(|o| o.count).max()?;
    let hidden = known.iter().any(|o| !o.own_seen);
    let count = if most == 0 { "none".to_owned() } else { format!("{most} at most") };
    let taken = if hidden { "; one listed under a number unknown here was taken for this program" } else { "" };
    Some(format!("{count}{}{taken}", of(states, |s| s.others.is_some())))
}
