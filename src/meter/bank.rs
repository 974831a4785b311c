//! All sensors of a run, read together: at window edges by the measuring thread and in between by
//! the sampler. Whoever reads advances the same accumulators, so wraps are never missed.

pub(crate) mod align;
mod stall;
mod track;

use track::{Stall, Track};

use crate::clock::{Clock, Moment};
use crate::record::{EnergyMethod, EnergySpan, Flag, TracePoint};
use crate::sensors::counter::Mark;
use crate::sensors::{Channel, Domain, Quantity, Sensor, SensorInfo, assign_roles};
use crate::units::{Celsius, Joules, MicroJoules, Seconds, Watts};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The bank, shared by the measuring thread and the sampler.
pub type SharedBank = Arc<Mutex<Bank>>;

/// Wraps a bank for sharing.
#[must_use]
pub fn share(bank: Bank) -> SharedBank {
    Arc::new(Mutex::new(bank))
}

/// Every sensor that was ready.
pub struct Bank {
    slots: Vec<Slot>,
    losses: Vec<Loss>,
    last_trace: Option<Edge>,
    power: Option<Watts>,
}

/// A sensor that stopped answering.
pub(crate) struct Loss {
    pub(crate) at: Moment,
    pub(crate) sensor: String,
    pub(crate) reason: String,
}

struct Slot {
    sensor: Box<dyn Sensor>,
    info: SensorInfo,
    tracks: Vec<Track>,
    /// When it was last asked whether it came back; `None` while it answers.
    lost: Option<Moment>,
    /// How often it came back: readings of two lives have nothing in common.
    lives: u32,
    /// Its id and the domains of its channels, for edges: a point of a trace copies no text.
    id: Arc<str>,
    domains: Vec<Arc<Domain>>,
}

/// A sensor that is lost is asked again this often: asking a driver to start takes time.
const ASK_AGAIN: Seconds = match Seconds::new(1.0) {
    Ok(time) => time,
    Err(_) => Seconds::ZERO,
};

/// Polls of power further apart than this leave the energy in between unknown.
const MAX_POLL_GAP: Seconds = match Seconds::new(1.0) {
    Ok(gap) => gap,
    Err(_) => Seconds::ZERO,
};

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
    slots: Vec<Option<SlotEdge>>,
}

#[derive(Debug, Clone)]
struct SlotEdge {
    sensor: Arc<str>,
    lives: u32,
    at: Moment,
    channels: Vec<ChannelEdge>,
}

#[derive(Debug, Clone)]
struct ChannelEdge {
    domain: Arc<Domain>,
    /// Whether trouble with it voids a window.
    counts: bool,
    /// Whether it only checks another channel of its domain.
    check: bool,
    update_period: Option<Seconds>,
    state: ChannelState,
}

#[derive(Debug, Clone)]
enum ChannelState {
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

/// Reads the shared bank.
pub(crate) fn edge(bank: &SharedBank, clock: &Clock) -> Edge {
    bank.lock().unwrap_or_else(PoisonError::into_inner).read(clock)
}

/// Waits until polled power changes, for its update period at most; that period. `None` at once where no
/// energy is integrated or the period is unknown.
pub(crate) fn await_update(bank: &SharedBank, clock: &Clock) -> Option<Seconds> {
    /// A thousand reads a second would not see an update much better.
    const LOOK: std::time::Duration = std::time::Duration::from_millis(1);
    let lock = || bank.lock().unwrap_or_else(PoisonError::into_inner);
    let period = lock().polled_period()?;
    let (start, before) = (clock.now(), lock().polled(clock));
    while clock.now().since(start) < period && lock().polled(clock) == before {
        std::thread::sleep(LOOK);
    }
    Some(period)
}

impl Bank {
    /// A bank of sensors that are ready. Of those that read one domain it decides which one counts.
    #[must_use]
    pub fn new(sensors: Vec<Box<dyn Sensor>>) -> Self {
        let mut slots: Vec<Slot> = sensors
            .into_iter()
            .map(|sensor| {
                let info = sensor.info().clone();
                let tracks = info.channels.iter().map(|c| Track::of(c, &info.channels)).collect();
                let domains = info.channels.iter().map(|c| Arc::new(c.domain.clone())).collect();
                Slot { sensor, tracks, lost: None, lives: 0, id: info.id.as_str().into(), domains, info }
            })
            .collect();
        assign_roles(&mut slots.iter_mut().map(|s| &mut s.info).collect::<Vec<_>>());
        Self { slots, losses: Vec::new(), last_trace: None, power: None }
    }

    /// Descriptions of the sensors, probed update periods included.
    pub fn infos(&self) -> impl Iterator<Item = &SensorInfo> {
        self.slots.iter().map(|s| &s.info)
    }

    /// Probes the update period τ of every energy and power channel on this machine.
    pub fn probe_periods(&mut self, clock: &Clock) {
        for slot in &mut self.slots {
            let periods = crate::sensors::probe_period(slot.sensor.as_mut(), clock);
            for (channel, (_, period)) in slot.info.channels.iter_mut().zip(periods) {
                channel.update_period = period;
            }
        }
    }

    /// Domains whose energy is counted or integrated, with the sensor and the description of the
    /// channel, in the order of the sensors.
    pub(crate) fn metered(&self) -> impl Iterator<Item = (&SensorInfo, &Channel)> {
        self.slots.iter().flat_map(|slot| {
            let channels = slot.info.channels.iter().zip(&slot.tracks);
            channels
                .filter(|(channel, track)| {
                    matches!(track, Track::Counter { .. } | Track::Power { .. }) && channel.role.is_of_record()
                })
                .map(|(channel, _)| (&slot.info, channel))
        })
    }

    /// The metered channels that may be added: no domain of them contains another.
    #[cfg(feature = "criterion")]
    pub(crate) fn outermost(&self) -> Vec<(&SensorInfo, &Channel)> {
        let metered: Vec<_> = self.metered().collect();
        let domains: Vec<&Domain> = metered.iter().map(|(_, channel)| &channel.domain).collect();
        outermost(&domains).into_iter().map(|i| metered[i]).collect()
    }

    /// Whether the energy of any domain is integrated from polled power, but for a check.
    pub(crate) fn integrates(&self) -> bool {
        self.metered().any(|(_, channel)| is_power(channel))
    }

    /// Polled powers of record just now: what changes when their sensor updates.
    pub(crate) fn polled(&mut self, clock: &Clock) -> Vec<Watts> {
        self.read(clock);
        let tracks = self.slots.iter().flat_map(|s| s.info.channels.iter().zip(&s.tracks));
        let power = |(channel, track): (&Channel, &Track)| match track {
            Track::Power { last, .. } if channel.role.is_of_record() => last.map(|l| l.1),
            _ => None,
        };
        tracks.filter_map(power).collect()
    }

    /// Longest update period of polled power; `None` where no energy is integrated or it is unknown.
    pub(crate) fn polled_period(&self) -> Option<Seconds> {
        let slots = self.slots.iter().filter(|s| s.lost.is_none());
        let polled = slots.flat_map(|s| s.info.channels.iter().zip(&s.tracks));
        polled
            .filter(|(channel, track)| matches!(track, Track::Power { .. }) && channel.role.is_of_record())
            .filter_map(|(channel, _)| channel.update_period)
            .max_by(|a, b| a.get().total_cmp(&b.get()))
    }

    /// Whether any sensor delivers energy or power of a domain that covers the CPU.
    #[must_use]
    pub fn covers_cpu(&self) -> bool {
        let delivers = |c: &Channel| matches!(c.quantity, Quantity::Energy { .. }) || is_power(c);
        self.slots.iter().any(|s| {
            s.lost.is_none() && s.info.channels.iter().any(|c| delivers(c) && c.counts() && covers_cpu(&c.domain))
        })
    }

    /// Update period of the slowest energy counter that covers the CPU; `None` without one.
    pub(crate) fn slowest_cpu_period(&self) -> Option<Seconds> {
        let channels = self.slots.iter().filter(|s| s.lost.is_none()).flat_map(|s| &s.info.channels);
        let counters: Vec<&Channel> = channels
            .filter(|c| matches!(c.quantity, Quantity::Energy { .. }) && c.counts() && covers_cpu(&c.domain))
            .collect();
        // Where packages are counted, a gauge of the whole machine that steps every few seconds has
        // no say in how long a window has to be.
        let packages = counters.iter().any(|c| matches!(c.domain, Domain::Package { .. }));
        let whole = |c: &&Channel| matches!(c.domain, Domain::Node | Domain::Wall);
        counters
            .into_iter()
            .filter(|c| !(packages && whole(c)))
            .filter_map(|c| c.update_period)
            .max_by(|a, b| a.get().total_cmp(&b.get()))
    }

    /// How often counters must be read so that no wrap is missed.
    pub(crate) fn poll_interval(&self) -> Option<Seconds> {
        let tracks = self.slots.iter().flat_map(|s| &s.tracks);
        tracks
            .filter_map(|t| match t {
                Track::Counter { accumulator, .. } => accumulator.counter().poll_interval(),
                _ => None,
            })
            .min_by(|a, b| a.get().total_cmp(&b.get()))
    }

    /// Power of the non-overlapping domains at the last trace point.
    pub(crate) fn power_now(&self) -> Option<Watts> {
        self.power
    }

    /// Sensors lost so far that nobody took.
    pub(crate) fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// Sensors lost since the last call.
    pub(crate) fn take_lost(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    pub(crate) fn read(&mut self, clock: &Clock) -> Edge {
        let losses = &mut self.losses;
        Edge { slots: self.slots.iter_mut().map(|slot| slot.read(clock, losses)).collect() }
    }

    /// A point of the power trace: mean power since the point before.
    pub(crate) fn trace(&mut self, clock: &Clock) -> Option<TracePoint> {
        let edge = self.read(clock);
        let at = edge.moments().max()?;
        let power = match &self.last_trace {
            Some(before) => edge.powers_since(before),
            None => Vec::new(),
        };
        let point = TracePoint { at, temperature: edge.hottest(), power };
        self.last_trace = Some(edge);
        self.power = total(&point.power);
        (!point.power.is_empty() || point.temperature.is_some()).then_some(point)
    }
}

impl Slot {
    fn read(&mut self, clock: &Clock, losses: &mut Vec<Loss>) -> Option<SlotEdge> {
        if let Some(asked) = self.lost {
            let now = clock.now();
            if now.since(asked) < ASK_AGAIN {
                return None;
            }
            if !self.sensor.revive() {
                self.lost = Some(now);
                return None;
            }
            // A driver that was loaded anew counts from somewhere else: all begins again.
            self.lost = None;
            self.lives += 1;
            self.tracks = self.info.channels.iter().map(|c| Track::of(c, &self.info.channels)).collect();
        }
        let reading = match self.sensor.read(clock) {
            Ok(reading) => reading,
            Err(error) => {
                let at = clock.now();
                self.lost = Some(at);
                losses.push(Loss { at, sensor: self.info.id.clone(), reason: error.to_string() });
                return None;
            }
        };
        let at = reading.before.midpoint(reading.after);
        let channels = self
            .info
            .channels
            .iter()
            .zip(&self.domains)
            .zip(&mut self.tracks)
            .zip(&reading.values)
            .map(|(((channel, domain), track), value)| ChannelEdge {
                domain: Arc::clone(domain),
                counts: channel.counts(),
                check: !channel.role.is_of_record(),
                update_period: channel.update_period,
                state: value.as_ref().map_or(ChannelState::Missing, |v| track.push(v, at, channel.update_period)),
            })
            .collect();
        Some(SlotEdge { sensor: Arc::clone(&self.id), lives: self.lives, at, channels })
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

    /// Slowdowns that devices reported from `first` to `last`, those that were on at the start included;
    /// `None` where no device reports any.
    pub(crate) fn throttled(first: &Self, last: &Self) -> Option<(u64, Vec<String>)> {
        let (mut seen, mut words) = (None, Vec::new());
        for (a, b) in first.slots.iter().zip(&last.slots).filter_map(|(a, b)| Some((a.as_ref()?, b.as_ref()?))) {
            for (from, to) in a.channels.iter().zip(&b.channels).filter(|_| a.lives == b.lives) {
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
    fn powers_since(&self, before: &Self) -> Vec<(Domain, Watts)> {
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

    fn hottest(&self) -> Option<Celsius> {
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
                let (method, energy) = (EnergyMethod::Integrated, MicroJoules::new(microjoules.max(0.0) as u64));
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

fn covers_cpu(domain: &Domain) -> bool {
    !matches!(domain, Domain::Gpu { .. } | Domain::GpuModule { .. })
}

fn is_power(channel: &Channel) -> bool {
    matches!(channel.quantity, Quantity::InstantPower | Quantity::AveragePower { .. })
}

/// Sum over the outermost domains only: nothing is counted twice, and nothing that nobody can place.
fn total(powers: &[(Domain, Watts)]) -> Option<Watts> {
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

#[cfg(test)]
mod tests;
