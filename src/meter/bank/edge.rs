//! What all sensors said at one moment, and what lies between two such moments.

use super::{MAX_POLL_GAP, stall, track::Stall};
use crate::clock::Moment;
use crate::record::{EnergyMethod, EnergySpan, Flag};
use crate::sensors::counter::Mark;
use crate::sensors::{Channel, Domain, Quantity, SensorInfo};
use crate::units::{Celsius, Joules, MicroJoules, Seconds, Watts};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What became of one domain between two edges.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) domain: Domain,
    pub(crate) sensor: String,
    pub(crate) method: EnergyMethod,
    /// Whether trouble with it voids a window: not for a check, nor for a meter nobody can place.
    pub(crate) counts: bool,
    pub(crate) result: Result<EnergySpan, Flag>,
}

impl Outcome {
    /// Whether it is that of this channel, not of one that checks it.
    pub(crate) fn is_of(&self, sensor: &SensorInfo, channel: &Channel) -> bool {
        let counted = matches!(channel.quantity, Quantity::Energy { .. });
        self.sensor == sensor.id && self.domain == channel.domain && counted == (self.method == EnergyMethod::Counter)
    }
}

/// What a channel added up between two edges.
struct Advance {
    method: EnergyMethod,
    energy: MicroJoules,
    raw: Option<(MicroJoules, MicroJoules)>,
    wraps: u32,
}

/// All channels at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(super) slots: Vec<Option<SlotEdge>>,
}

#[derive(Debug, Clone)]
pub(super) struct SlotEdge {
    pub(super) sensor: Arc<str>,
    pub(super) lives: u32,
    pub(super) at: Moment,
    pub(super) channels: Vec<ChannelEdge>,
}

#[derive(Debug, Clone)]
pub(super) struct ChannelEdge {
    pub(super) domain: Arc<Domain>,
    /// Whether trouble with it voids a window.
    pub(super) counts: bool,
    /// Whether it only checks another channel of its domain.
    pub(super) check: bool,
    pub(super) update_period: Option<Seconds>,
    pub(super) state: ChannelState,
}

#[derive(Debug, Clone)]
pub(super) enum ChannelState {
    Energy(Mark, Stall),
    Throttle {
        events: u64,
        active: Vec<String>,
    },
    Power {
        integral: Joules,
        gaps: u32,
    },
    Temperature(Celsius),
    Other,
    /// Not readable just now.
    Missing,
}

impl ChannelState {
    const fn is_metered(&self) -> bool {
        matches!(self, Self::Energy(..) | Self::Power { .. })
    }

    /// How a metered channel comes by energy.
    const fn method(&self) -> EnergyMethod {
        if matches!(self, Self::Power { .. }) { EnergyMethod::Integrated } else { EnergyMethod::Counter }
    }
}

impl Edge {
    /// When each sensor that still answers was read.
    pub(crate) fn moments(&self) -> impl Iterator<Item = Moment> {
        self.slots.iter().flatten().map(|s| s.at)
    }

    /// What became of every metered domain from `first` to `last`: its energy, or what is wrong
    /// with it. A domain that was not readable at `first` has no outcome.
    pub(crate) fn outcomes(first: &Self, last: &Self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for (a, b) in first.slots.iter().zip(&last.slots) {
            let Some(a) = a else { continue };
            for (i, from) in a.channels.iter().enumerate().filter(|(_, c)| c.state.is_metered()) {
                let result = match b {
                    Some(b) if b.lives != a.lives => Some(Err(Flag {
                        code: "sensor-lost".into(),
                        detail: format!("{} stopped answering and came back", a.sensor),
                    })),
                    Some(b) => from.span(&b.channels[i], &a.sensor, (a.at, b.at)).transpose(),
                    None => Some(Err(Flag {
                        code: "sensor-lost".into(),
                        detail: format!("{} stopped answering", a.sensor),
                    })),
                };
                let (domain, sensor) = ((*from.domain).clone(), a.sensor.to_string());
                outcomes.extend(result.map(|result| Outcome {
                    domain,
                    sensor,
                    method: from.state.method(),
                    counts: from.counts,
                    result,
                }));
            }
        }
        stall::void(first, last, &mut outcomes);
        outcomes
    }

    /// Slowdowns that the card with this domain reported from `first` to `last`, those that were on at the start included,
    /// and their reasons; `None` where it reports none. Another card's are nothing to a case that does not run there.
    pub(crate) fn throttled(first: &Self, last: &Self, card: &Domain) -> Option<(u64, Vec<String>)> {
        let (mut seen, mut words) = (None, Vec::new());
        for (a, b) in first.slots.iter().zip(&last.slots).filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?))) {
            let own = a.channels.iter().zip(&b.channels).filter(|(c, _)| a.lives == b.lives && *c.domain == *card);
            for (from, to) in own {
                let (
                    ChannelState::Throttle { events: before, active: was },
                    ChannelState::Throttle { events: after, active: is },
                ) = (&from.state, &to.state)
                else {
                    continue;
                };
                let events = after.saturating_sub(*before) + was.len() as u64;
                seen = Some(seen.unwrap_or(0) + events);
                if events > 0 {
                    let reasons: BTreeSet<&str> = was.iter().chain(is).map(String::as_str).collect();
                    let reasons: Vec<&str> = reasons.into_iter().collect();
                    words.push(format!("{} {}", from.domain, reasons.join(", ")).trim_end().to_owned());
                }
            }
        }
        seen.map(|events| (events, words))
    }

    /// What slows the card with this domain down at this moment; `None` where no sensor says.
    pub(super) fn slowing(&self, card: &Domain) -> Option<Vec<String>> {
        let own = self.slots.iter().flatten().flat_map(|s| &s.channels).filter(|c| *c.domain == *card);
        let mut active = own.filter_map(|c| match &c.state {
            ChannelState::Throttle { active, .. } => Some(active),
            _ => None,
        });
        let first = active.next()?.clone();
        Some(first.into_iter().chain(active.flatten().cloned()).collect())
    }

    /// Energy of every domain from `first` to `last`, and what is wrong with it. A domain whose
    /// chain of reads broke has no span: its energy is unknown, not zero.
    pub(crate) fn spans(first: &Self, last: &Self) -> (Vec<EnergySpan>, Vec<Flag>) {
        let (mut spans, mut flags) = (Vec::new(), Vec::new());
        for outcome in Self::outcomes(first, last) {
            match outcome.result {
                Ok(span) => spans.push(span),
                // A lost sensor is one flag, however many domains it had. A check, or a meter that
                // nobody can place, has no figure that could be wrong.
                Err(flag) if outcome.counts && !flags.contains(&flag) => flags.push(flag),
                Err(_) => {}
            }
        }
        (spans, flags)
    }

    /// Mean power of the non-overlapping domains since `before`.
    pub(crate) fn power_since(&self, before: &Self) -> Option<Watts> {
        total(&self.powers_since(before))
    }

    /// One power a domain: that of the reader of record, where it has one.
    pub(super) fn powers_since(&self, before: &Self) -> Vec<(Domain, Watts)> {
        let mut powers: Vec<(bool, &Domain, Watts)> = Vec::new();
        for (check, domain, _, power) in Self::course(before, before, self) {
            powers.extend(power.map(|power| (check, domain, power)));
        }
        powers.sort_by_key(|(check, ..)| *check);
        let mut seen = BTreeSet::new();
        powers.into_iter().filter(|p| seen.insert(p.1)).map(|(_, domain, power)| (domain.clone(), power)).collect()
    }

    /// Of every metered channel that answered at `first`, whether it is a check, its domain, the
    /// energy since `first` and the mean power since `before`; `None` where they are not known any more.
    pub(crate) fn course<'a>(
        first: &'a Self,
        before: &'a Self,
        now: &'a Self,
    ) -> impl Iterator<Item = (bool, &'a Domain, Option<MicroJoules>, Option<Watts>)> {
        let slots = first.slots.iter().zip(&before.slots).zip(&now.slots);
        slots.filter_map(|((first, before), now)| Some((first.as_ref()?, before, now))).flat_map(
            |(first, before, now)| {
                let metered = first.channels.iter().enumerate().filter(|(_, channel)| channel.state.is_metered());
                metered.filter_map(move |(i, channel)| {
                    // A sensor that came back counts from somewhere else.
                    let Some(now) = now.as_ref().filter(|now| now.lives == first.lives) else {
                        return Some((channel.check, &*channel.domain, None, None));
                    };
                    let energy = channel.advance(&now.channels[i]).transpose()?.ok().map(|advance| advance.energy);
                    let power = before.as_ref().filter(|before| before.lives == now.lives).and_then(|before| {
                        let step = before.channels[i].advance(&now.channels[i]).ok()??;
                        step.energy.to_joules().over(now.at.since(before.at))
                    });
                    Some((channel.check, &*channel.domain, energy, power))
                })
            },
        )
    }

    pub(super) fn hottest(&self) -> Option<Celsius> {
        let states = self.slots.iter().flatten().flat_map(|s| &s.channels).map(|c| &c.state);
        states
            .filter_map(|s| if let ChannelState::Temperature(t) = s { Some(*t) } else { None })
            .max_by(|a, b| a.get().total_cmp(&b.get()))
    }
}

impl ChannelEdge {
    fn span(&self, to: &Self, sensor: &str, (from_at, to_at): (Moment, Moment)) -> Result<Option<EnergySpan>, Flag> {
        Ok(self.advance(to)?.map(|advance| EnergySpan {
            domain: (*self.domain).clone(),
            sensor: sensor.to_owned(),
            method: advance.method,
            energy: advance.energy,
            from: from_at,
            to: to_at,
            raw: advance.raw,
            wraps: advance.wraps,
            update_period: self.update_period,
        }))
    }

    /// What was added up from here to `to`; `None` for a channel that adds nothing up.
    fn advance(&self, to: &Self) -> Result<Option<Advance>, Flag> {
        Ok(Some(match (&self.state, &to.state) {
            (ChannelState::Energy(a, _), ChannelState::Energy(b, _)) => {
                let span = a.until(b).ok_or_else(|| Flag {
                    code: "counter-reset".into(),
                    detail: format!(
                        "the counter of {} was set back, jumped or went unread between {} and {} µJ",
                        self.domain,
                        a.raw.get(),
                        b.raw.get()
                    ),
                })?;
                let (method, raw) = (EnergyMethod::Counter, Some((a.raw, b.raw)));
                Advance { method, energy: span.energy, raw, wraps: span.wraps }
            }
            (ChannelState::Power { gaps: a, .. }, ChannelState::Power { gaps: b, .. }) if a != b => {
                return Err(Flag {
                    code: "sampler-gap".into(),
                    detail: format!("power of {} went unread for more than {} s", self.domain, MAX_POLL_GAP.get()),
                });
            }
            (ChannelState::Power { integral: a, .. }, ChannelState::Power { integral: b, .. }) => {
                let microjoules = ((b.get() - a.get()) * 1e6).round();
                if microjoules < 0.0 {
                    return Err(Flag {
                        code: "negative-power".into(),
                        detail: format!("the readings of {} come to {:.3} J", self.domain, microjoules / 1e6),
                    });
                }
                let (method, energy) = (EnergyMethod::Integrated, MicroJoules::new(microjoules as u64));
                Advance { method, energy, raw: None, wraps: 0 }
            }
            (ChannelState::Energy(..) | ChannelState::Power { .. }, ChannelState::Missing) => {
                return Err(Flag {
                    code: "unreadable".into(),
                    detail: format!("{} could not be read at the end of the window", self.domain),
                });
            }
            _ => return Ok(None),
        }))
    }
}

/// Sum over the outermost domains only: nothing is counted twice, and nothing that nobody can place.
pub(super) fn total(powers: &[(Domain, Watts)]) -> Option<Watts> {
    let domains: Vec<&Domain> = powers.iter().map(|(domain, _)| domain).collect();
    outermost(&domains).into_iter().map(|i| powers[i].1).reduce(|sum, watts| sum + watts)
}

/// Indices of the domains that can be placed and that no other of `domains` contains, each domain
/// once. Only these may be added.
pub(crate) fn outermost(domains: &[&Domain]) -> Vec<usize> {
    let outer = |&i: &usize| {
        let contained = domains.iter().any(|other| other.contains(domains[i]));
        domains[i].is_placed() && !contained && !domains[..i].contains(&domains[i])
    };
    (0..domains.len()).filter(outer).collect()
}
