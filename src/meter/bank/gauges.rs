//! Clocks, temperature, limit and throttle reasons of one card, from every reading of a window.

use crate::record::{CardState, Clocks};
use crate::sensors::{Channel, Domain, Quantity, SensorInfo, Value};
use crate::units::{Celsius, Hertz, Watts};
use std::collections::BTreeSet;

/// What was read of one card so far.
#[derive(Debug)]
pub(super) struct Gauges {
    domain: Domain,
    sensor: String,
    readings: u32,
    sm: Vec<Hertz>,
    memory: Vec<Hertz>,
    hottest: Option<Celsius>,
    limit: Option<Watts>,
    reasons: Option<BTreeSet<String>>,
}

impl Gauges {
    pub(super) fn of(domain: Domain) -> Self {
        Self {
            domain,
            sensor: String::new(),
            readings: 0,
            sm: Vec::new(),
            memory: Vec::new(),
            hottest: None,
            limit: None,
            reasons: None,
        }
    }

    /// Takes in one reading of a sensor, where it is about this card.
    pub(super) fn take(&mut self, info: &SensorInfo, values: &[Option<Value>]) {
        let mut any = false;
        for (channel, value) in info.channels.iter().zip(values) {
            if let Some(value) = value.as_ref().filter(|_| channel.domain == self.domain) {
                any |= self.take_one(channel, value);
            }
        }
        if any {
            self.readings += 1;
            self.sensor.clone_from(&info.id);
        }
    }

    /// Whether the channel says something of the card's state.
    fn take_one(&mut self, channel: &Channel, value: &Value) -> bool {
        match (channel.quantity, value) {
            (Quantity::Clock, Value::Clock(clock)) => self.sm.push(*clock),
            (Quantity::MemoryClock, Value::Clock(clock)) => self.memory.push(*clock),
            (Quantity::Temperature, Value::Temperature(t)) => {
                self.hottest = Some(self.hottest.filter(|h| *h > *t).unwrap_or(*t));
            }
            (Quantity::PowerLimit, Value::Power(limit)) => {
                self.limit = Some(self.limit.filter(|l| *l < *limit).unwrap_or(*limit));
            }
            (Quantity::Throttle, Value::Throttle(reasons)) => {
                self.reasons.get_or_insert_default().extend(reasons.iter().cloned());
            }
            _ => return false,
        }
        true
    }

    /// `None` where nothing was read of it.
    pub(super) fn state(self) -> Option<CardState> {
        (self.readings > 0).then(|| CardState {
            domain: self.domain,
            sensor: self.sensor,
            readings: self.readings,
            sm_clock: clocks(self.sm),
            memory_clock: clocks(self.memory),
            temperature: self.hottest,
            power_limit: self.limit,
            throttle: self.reasons.map(|reasons| reasons.into_iter().collect()),
            throttle_events: None,
            ecc_corrected: None,
            ecc_uncorrected: None,
            pcie_replays: None,
            xids: None,
            others: None,
            foreign_load: None,
            cool_down: None,
        })
    }
}

/// Of an even number of readings the lower middle one: a clock that was read.
fn clocks(mut readings: Vec<Hertz>) -> Option<Clocks> {
    readings.sort_by(|a, b| a.get().total_cmp(&b.get()));
    let median = *readings.get(readings.len().checked_sub(1)? / 2)?;
    Some(Clocks { median, min: *readings.first()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_card_is_that_of_its_own_readings() {
        let (own, other) = ("gpu-GPU-1".parse::<Domain>().unwrap(), "gpu-GPU-2".parse::<Domain>().unwrap());
        let kinds =
            [Quantity::Clock, Quantity::MemoryClock, Quantity::Temperature, Quantity::Throttle, Quantity::PowerLimit];
        let channel = |domain: &Domain, quantity| Channel {
            name: "c".into(),
            domain: domain.clone(),
            quantity,
            role: crate::sensors::ReaderRole::OfRecord,
            update_period: None,
        };
        let channels =
            kinds.iter().map(|q| channel(&own, *q)).chain(kinds.iter().map(|q| channel(&other, *q))).collect();
        let info = SensorInfo {
            id: "nvml".into(),
            title: "t".into(),
            source: "s".into(),
            channels,
            notes: Vec::new(),
            simulated: false,
            accuracy: None,
        };
        let values = |mhz: f64, celsius: f64, watts: f64, reason: &str| {
            let hertz = |mhz: f64| Some(Value::Clock(Hertz::new(mhz * 1e6).unwrap()));
            vec![
                hertz(mhz),
                hertz(2619.0),
                Celsius::new(celsius).ok().map(Value::Temperature),
                Some(Value::Throttle(vec![reason.to_owned()])),
                Watts::new(watts).ok().map(Value::Power),
            ]
        };
        let mut gauges = Gauges::of(own.clone());
        for (mhz, celsius, watts, reason) in
            [(1980.0, 50.0, 700.0, "idle"), (600.0, 61.0, 500.0, "power-cap"), (1800.0, 58.0, 700.0, "power-cap")]
        {
            let mut all = values(mhz, celsius, watts, reason);
            all.extend(values(10.0, 99.0, 1.0, "thermal"));
            gauges.take(&info, &all);
        }
        gauges.take(&info, &vec![None; 10]);
        let state = gauges.state().unwrap();
        let hertz = |mhz: f64| Hertz::new(mhz * 1e6).unwrap();
        assert_eq!((state.domain, state.sensor.as_str(), state.readings), (own, "nvml", 3));
        assert_eq!(state.sm_clock, Some(Clocks { median: hertz(1800.0), min: hertz(600.0) }));
        assert_eq!(state.memory_clock, Some(Clocks { median: hertz(2619.0), min: hertz(2619.0) }));
        assert_eq!((state.temperature, state.power_limit), (Celsius::new(61.0).ok(), Watts::new(500.0).ok()));
        assert_eq!(state.throttle, Some(vec!["idle".to_owned(), "power-cap".to_owned()]));
        assert_eq!(Gauges::of(other).state(), None, "nothing was read");
    }
}
