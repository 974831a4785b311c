//! How often a sensor's values change on this very host.

use super::{Channel, Quantity, Sensor, Value};
use crate::clock::{Clock, Moment};
use crate::units::Seconds;

/// Changes that are enough for a median.
const ENOUGH: usize = 20;
/// Fewer changes than this say nothing.
const LEAST: usize = 5;
/// Longest time spent on it, in nanoseconds.
const LIMIT: u64 = 2_500_000_000;
/// A channel without a change for this long, in nanoseconds, cannot change often enough within
/// the limit: it is not waited for.
const HOPELESS: u64 = 600_000_000;

/// Probes the update period τ of every channel of `sensor`: reads without pause until the energy
/// channels (power channels where there are none) changed 20 times, for 2.5 s at most. The period
/// is the median time between changes; `None` for a channel that changed fewer than five times.
/// A channel that stands still at first is not waited for.
/// A sensor that fails on the way ends the probe with what was seen until then.
pub fn probe_period(sensor: &mut dyn Sensor, clock: &Clock) -> Vec<(String, Option<Seconds>)> {
    let mut watched: Vec<Watched> = sensor.info().channels.iter().map(Watched::new).collect();
    let energy = watched.iter().any(|w| w.energy);
    let start = clock.now();
    while let Ok(reading) = sensor.read(clock) {
        let at = reading.before.midpoint(reading.after);
        for (channel, value) in watched.iter_mut().zip(&reading.values) {
            channel.see(value.as_ref(), at);
        }
        let mut decisive = watched.iter().filter(|w| if energy { w.energy } else { w.power }).peekable();
        let elapsed = clock.now().nanos().saturating_sub(start.nanos());
        let finished = |w: &Watched| w.intervals.len() >= ENOUGH || (w.changed.is_none() && elapsed >= HOPELESS);
        let done = decisive.peek().is_none() || decisive.all(finished);
        if done || elapsed >= LIMIT {
            break;
        }
    }
    watched.into_iter().map(|w| (w.name, median(w.intervals))).collect()
}

struct Watched {
    name: String,
    energy: bool,
    power: bool,
    value: Option<Value>,
    changed: Option<Moment>,
    intervals: Vec<u64>,
}

impl Watched {
    fn new(channel: &Channel) -> Self {
        Self {
            name: channel.name.clone(),
            energy: matches!(channel.quantity, Quantity::Energy { .. }),
            power: matches!(channel.quantity, Quantity::InstantPower | Quantity::AveragePower { .. }),
            value: None,
            changed: None,
            intervals: Vec::new(),
        }
    }

    fn see(&mut self, value: Option<&Value>, at: Moment) {
        let Some(value) = value else { return };
        match &self.value {
            Some(last) if last == value => return,
            // The first value is no change: how long it had stood is not known.
            None => {}
            Some(_) => {
                if let Some(before) = self.changed {
                    self.intervals.push(at.nanos().saturating_sub(before.nanos()));
                }
                self.changed = Some(at);
            }
        }
        self.value = Some(value.clone());
    }
}

fn median(mut intervals: Vec<u64>) -> Option<Seconds> {
    if intervals.len() < LEAST {
        return None;
    }
    intervals.sort_unstable();
    let middle = intervals.len() / 2;
    let nanos =
        if intervals.len() % 2 == 1 { intervals[middle] } else { intervals[middle - 1].midpoint(intervals[middle]) };
    Some(Moment::from_nanos(nanos).seconds())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensors::{Domain, Reading, SensorError, SensorInfo};
    use crate::units::{MicroJoules, Watts};

    /// Channel 0 steps every `period` ns of the clock, channel 1 never changes.
    struct Stepping {
        info: SensorInfo,
        period: u64,
        reads_left: u32,
    }

    impl Stepping {
        fn new(period: u64, reads_left: u32) -> Self {
            let energy = Quantity::Energy { resolution: None, range: None, max_power: None };
            let channel = |name: &str, quantity| Channel {
                name: name.to_owned(),
                domain: Domain::Node,
                quantity,
                role: crate::sensors::ReaderRole::default(),
                update_period: None,
            };
            let info = SensorInfo {
                id: "stepping".to_owned(),
                title: "stepping".to_owned(),
                source: "test".to_owned(),
                channels: vec![channel("energy", energy), channel("power", Quantity::InstantPower)],
                notes: Vec::new(),
                simulated: true,
                accuracy: None,
            };
            Self { info, period, reads_left }
        }
    }

    impl Sensor for Stepping {
        fn info(&self) -> &SensorInfo {
            &self.info
        }
        fn read(&mut self, clock: &Clock) -> Result<Reading, SensorError> {
            self.reads_left = self
                .reads_left
                .checked_sub(1)
                .ok_or_else(|| SensorError::Vanished { sensor: "stepping", detail: "end of the script".to_owned() })?;
            let before = clock.now();
            let energy = Value::Energy(MicroJoules::new(before.nanos() / self.period));
            Ok(Reading { before, after: before, values: vec![Some(energy), Watts::new(65.0).ok().map(Value::Power)] })
        }
    }

    #[test]
    fn a_counter_that_steps_every_two_milliseconds_is_found_out() {
        let clock = Clock::start();
        let periods = probe_period(&mut Stepping::new(2_000_000, u32::MAX), &clock);
        assert_eq!(periods[0].0, "energy");
        let tau = periods[0].1.unwrap().get();
        assert!((tau - 0.002).abs() < 0.0005, "{tau}");
        assert_eq!(periods[1], ("power".to_owned(), None));
    }

    #[test]
    fn a_counter_that_stands_still_has_no_period_and_is_not_waited_for() {
        let clock = Clock::start();
        let periods = probe_period(&mut Stepping::new(60_000_000_000, u32::MAX), &clock);
        assert_eq!(periods[0].1, None);
        let took = clock.now().seconds().get();
        assert!((0.6..1.5).contains(&took), "{took}");
    }

    #[test]
    fn a_slow_counter_is_given_the_whole_time() {
        let clock = Clock::start();
        let periods = probe_period(&mut Stepping::new(300_000_000, u32::MAX), &clock);
        let tau = periods[0].1.unwrap().get();
        assert!((tau - 0.3).abs() < 0.03, "{tau}");
        let periods = probe_period(&mut Stepping::new(590_000_000, u32::MAX), &clock);
        assert_eq!(periods[0].1, None, "fewer than five changes say nothing");
    }

    #[test]
    fn a_sensor_that_vanishes_ends_the_probe() {
        let clock = Clock::start();
        assert_eq!(probe_period(&mut Stepping::new(1, 3), &clock)[0].1, None);
    }

    #[test]
    fn the_median_needs_five_intervals() {
        assert_eq!(median(vec![1, 2, 3, 4]), None);
        assert_eq!(median(vec![5, 1, 3, 2, 4]), Seconds::new(3e-9).ok());
        assert_eq!(median(vec![9, 1, 3, 2, 5, 1000]), Seconds::new(4e-9).ok());
    }
}
