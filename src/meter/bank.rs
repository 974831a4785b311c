//! All sensors of a run, read together: at window edges by the measuring thread and in between by
//! the sampler. Whoever reads advances the same accumulators, so wraps are never missed.

pub(crate) mod align;
mod edge;
mod gauges;
mod stall;
mod track;

use edge::{ChannelEdge, ChannelState, SlotEdge, total};
pub(crate) use edge::{Edge, Outcome, outermost};
use gauges::Gauges;
use track::Track;

use crate::clock::{Clock, Moment};
use crate::record::{CardState, TracePoint};
use crate::sensors::{Channel, Domain, Quantity, Sensor, SensorInfo, assign_roles};
use crate::units::{Seconds, Watts};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
    /// The card whose state is being watched.
    gauges: Option<Gauges>,
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

/// Reads the shared bank.
pub(crate) fn edge(bank: &SharedBank, clock: &Clock) -> Edge {
    bank.lock().unwrap_or_else(PoisonError::into_inner).read(clock)
}

/// Update period taken for polled power whose own could not be found, because nothing changed while it was looked
/// for: that of the A100 and H100, and a multiple of that of older boards (20 ms; Yang, Adamek & Armour,
/// arXiv:2312.02741). It places starts and bounds nothing.
const USUAL_PERIOD: Duration = Duration::from_millis(100);

/// Waits for a moment that has the same phase in the updates of polled power every time; their period. `None` at once
/// where no energy is integrated.
///
/// That moment is a change of the reading. Power that does not change shows no update: then it is a multiple of the period
/// on the clock, which keeps its phase from one repeat to the next, though nobody knows which it is.
pub(crate) fn await_update(bank: &SharedBank, clock: &Clock) -> Option<Seconds> {
    /// A thousand reads a second would not see an update much better.
    const LOOK: Duration = Duration::from_millis(1);
    let lock = || bank.lock().unwrap_or_else(PoisonError::into_inner);
    let before = lock().polled(clock);
    if before.is_empty() {
        return None;
    }
    let probed = lock().polled_period();
    if let Some(period) = probed {
        let start = clock.now();
        while clock.now().since(start) < period {
            if lock().polled(clock) != before {
                return Some(period);
            }
            std::thread::sleep(LOOK);
        }
    }
    let period = probed.map_or(USUAL_PERIOD, Seconds::to_duration);
    let grid = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
    std::thread::sleep(Duration::from_nanos(grid - clock.now().nanos() % grid));
    Seconds::new(period.as_secs_f64()).ok()
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
        Self { slots, losses: Vec::new(), last_trace: None, power: None, gauges: None }
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

    /// Whether any sensor delivers energy or power of the card with this domain, or of the whole machine with all its cards.
    #[must_use]
    pub fn covers_card(&self, card: Option<&Domain>) -> bool {
        let covers = |domain: &Domain| matches!(domain, Domain::Node | Domain::Wall) || Some(domain) == card;
        self.metered().any(|(_, channel)| covers(&channel.domain) && channel.counts())
    }

    /// Update period of the slowest energy counter that covers the CPU, or `device` besides it; `None` without one.
    pub(crate) fn slowest_period(&self, device: Option<&Domain>) -> Option<Seconds> {
        let channels = self.slots.iter().filter(|s| s.lost.is_none()).flat_map(|s| &s.info.channels);
        let counters: Vec<&Channel> = channels
            .filter(|c| {
                matches!(c.quantity, Quantity::Energy { .. })
                    && c.counts()
                    && (covers_cpu(&c.domain) || Some(&c.domain) == device)
            })
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
        let (losses, gauges) = (&mut self.losses, &mut self.gauges);
        Edge { slots: self.slots.iter_mut().map(|slot| slot.read(clock, losses, gauges.as_mut())).collect() }
    }

    /// What slows the card with this domain down just now; `None` where nobody says.
    pub(crate) fn slowdowns(&mut self, clock: &Clock, card: &Domain) -> Option<Vec<String>> {
        self.read(clock).slowing(card)
    }

    /// Reads, and keeps what this reading and later ones say of the state of the card with this domain.
    pub(crate) fn first_of_card(&mut self, clock: &Clock, card: &Domain) -> Edge {
        self.gauges = Some(Gauges::of(card.clone()));
        self.read(clock)
    }

    /// Reads for the last time, and hands out the state of the card over all these readings; `None` where none told any.
    pub(crate) fn last_of_card(&mut self, clock: &Clock) -> (Edge, Option<CardState>) {
        let edge = self.read(clock);
        (edge, self.gauges.take().and_then(Gauges::state))
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
    fn read(&mut self, clock: &Clock, losses: &mut Vec<Loss>, gauges: Option<&mut Gauges>) -> Option<SlotEdge> {
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
        if let Some(gauges) = gauges {
            gauges.take(&self.info, &reading.values);
        }
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

fn covers_cpu(domain: &Domain) -> bool {
    !matches!(domain, Domain::Gpu { .. } | Domain::GpuModule { .. })
}

fn is_power(channel: &Channel) -> bool {
    matches!(channel.quantity, Quantity::InstantPower | Quantity::AveragePower { .. })
}

#[cfg(test)]
mod tests;
