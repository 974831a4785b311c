//! Power that is sampled for 25 of every 100 ms, as A100 and H100 do (Yang, Adamek & Armour, arXiv:2312.02741),
//! against the true integral of loads that are in step with it. No time passes: reads carry scripted moments.

use super::*;
use crate::meter::phase::phase;
use crate::record::phase_weights;

/// Update period of the sensor and how much of it is averaged.
const UPDATE: f64 = 0.1;
const SEEN: f64 = 0.025;
/// Two polls in an update.
const POLL: f64 = 0.05;
/// 200 update periods, the shortest window of the profile `certify`.
const LENGTH: f64 = 20.0;

/// 400 W for `duty` of every `period` from the start of the window on, 100 W otherwise.
#[derive(Clone, Copy)]
struct Load {
    period: f64,
    duty: f64,
    start: f64,
}

impl Load {
    /// Joules from the start of the window to `t`.
    fn energy(self, t: f64) -> f64 {
        let t = t - self.start;
        if t <= 0.0 {
            return 100.0 * t;
        }
        let whole = (t / self.period).floor();
        // Not `t % period`: at a whole number of periods the two may round to different sides.
        let part = t - whole * self.period;
        100.0 * t + 300.0 * self.duty * self.period * whole + 300.0 * part.min(self.duty * self.period)
    }
}

struct Sampled {
    info: SensorInfo,
    load: Load,
    start: f64,
    reads: u32,
}

impl Sensor for Sampled {
    fn info(&self) -> &SensorInfo {
        &self.info
    }

    fn read(&mut self, _: &Clock) -> Result<Reading, SensorError> {
        let t = self.start + f64::from(self.reads) * POLL;
        let update = (t / UPDATE + 1e-9).floor() * UPDATE;
        let watts = (self.load.energy(update) - self.load.energy(update - SEEN)) / SEEN;
        let at = Moment::from_nanos((t * 1e9).round() as u64);
        self.reads += 1;
        Ok(Reading { before: at, after: at, values: vec![Watts::new(watts).ok().map(Value::Power)] })
    }
}

/// Measured over true energy of a window that begins `phase` of an update after an update.
fn ratio(period: f64, duty: f64, phase: f64) -> f64 {
    let start = 1.0 + phase * UPDATE;
    let load = Load { period, duty, start };
    let info = steady("nvml", &[("gpu-GPU-1", Quantity::InstantPower, 0.0)]).info;
    let mut bank = Bank::new(vec![Box::new(Sampled { info, load, start, reads: 0 })]);
    let clock = Clock::start();
    let first = bank.read(&clock);
    let last = (0..(LENGTH / POLL).round() as u32).map(|_| bank.read(&clock)).last().unwrap();
    let span = &Edge::spans(&first, &last).0[0];
    assert!((span.to.since(span.from).get() - LENGTH).abs() < 1e-6);
    span.energy.to_joules().get() / (load.energy(start + LENGTH) - load.energy(start))
}

/// What `repeats` repeats show together, over the truth.
fn spread(period: f64, duty: f64, start: f64, repeats: u32) -> f64 {
    let all: Vec<u32> = (0..repeats).collect();
    let weights = phase_weights(&all, repeats);
    all.iter().zip(weights).map(|(r, w)| w * ratio(period, duty, phase(start, *r, repeats))).sum()
}

#[test]
fn spread_starts_see_a_load_in_step_with_the_sensor_and_fixed_ones_do_not() {
    // In step with the sensor, nearly so, several or a fraction of its periods, and shorter than what it averages.
    let periods = [0.1, 0.0999, 0.1001, 0.099, 0.101, 0.05, 0.2, 0.0251, 0.133, 0.4, 0.02, 0.0125, 0.01];
    let (mut worst_fixed, mut worst) = (0.0f64, std::collections::BTreeMap::<u32, f64>::new());
    for period in periods {
        for duty in [0.05, 0.25, 0.5, 0.8] {
            // Wherever a run's windows begin, if they all begin there.
            let fixed = (0..20).map(|i| (ratio(period, duty, f64::from(i) / 20.0) - 1.0).abs()).fold(0.0, f64::max);
            worst_fixed = worst_fixed.max(fixed);
            for repeats in [4, 5, 6, 7, 9, 10, 11, 12] {
                let errors = [0.0, 0.013, 0.37].map(|start| (spread(period, duty, start, repeats) - 1.0).abs());
                let error = worst.entry(repeats).or_default();
                *error = errors.into_iter().fold(*error, f64::max);
            }
        }
    }
    println!("worst fixed start: {:.1} %; spread, by repeats: {worst:.4?}", worst_fixed * 100.0);
    assert!(worst_fixed > 0.3, "{worst_fixed}");
    assert!(worst.values().all(|error| *error < 0.01), "{worst:?}");
}

/// The same through the record and the analysis: what a report prints.
#[test]
fn the_printed_energy_of_polled_power_is_the_mean_over_all_phases() {
    const REPEATS: u32 = 10;
    let (period, duty) = (0.1, 0.25);
    let template = fixture::hand_made(&[1e-3; REPEATS as usize]);
    let info = steady("hwmon", &[("node", Quantity::InstantPower, 0.0)]).info;
    let mut header = template.header.clone();
    header.sensors = vec![SensorStatus::Ready(info.clone())];
    let measurement = &template.measurements[0];
    let mut events: Vec<Event> = measurement.prepared.clone().map(Event::Prepared).into_iter().collect();
    let mut alone = Vec::new();
    for sample in &measurement.samples {
        let start = 1.0 + phase(0.13, sample.repeat, REPEATS) * UPDATE;
        let load = Load { period, duty, start };
        let mut bank = Bank::new(vec![Box::new(Sampled { info: info.clone(), load, start, reads: 0 })]);
        let first = bank.read(&Clock::start());
        let last = (0..(LENGTH / POLL).round() as u32).map(|_| bank.read(&Clock::start())).last().unwrap();
        let mut sample = sample.clone();
        (sample.energy, sample.flags) = Edge::spans(&first, &last);
        sample.wall = Seconds::new(LENGTH).unwrap();
        alone.push(sample.energy[0].energy.to_joules().get() / LENGTH);
        events.push(Event::Sample(sample));
    }
    let summary = summarise(&RunRecord::fold(header, events, String::new()));
    let power = summary.cases[0].energy.power.estimate().unwrap();
    let truth = 100.0 + 300.0 * duty;
    assert!((power.median / truth - 1.0).abs() < 0.01, "{power:?}");
    assert_eq!((power.n, power.method), (REPEATS, crate::analysis::Method::BootstrapMean));
    assert!(power.low.unwrap() < truth && truth < power.high.unwrap(), "{power:?}");
    // The middle window says something else.
    alone.sort_unstable_by(f64::total_cmp);
    let off = |watts: f64| (watts / truth - 1.0).abs();
    assert!(off((alone[4] + alone[5]) / 2.0) > 0.3 && off(alone[9]) > 0.3, "{alone:?}");
}

#[test]
fn polls_too_far_apart_leave_the_energy_unknown() {
    let info = steady("nvml", &[("gpu-GPU-1", Quantity::InstantPower, 0.0)]).info;
    let load = Load { period: 0.1, duty: 0.5, start: 0.0 };
    let mut bank = Bank::new(vec![Box::new(Sampled { info: info.clone(), load, start: 1.0, reads: 0 })]);
    let first = bank.read(&Clock::start());
    let slow = Sampled { info, load, start: 2.2, reads: 0 };
    bank.slots[0].sensor = Box::new(slow);
    let (spans, flags) = Edge::spans(&first, &bank.read(&Clock::start()));
    assert!(spans.is_empty() && flags[0].code == "sampler-gap", "{flags:?}");
}

#[test]
fn power_that_does_not_change_has_its_starts_placed_by_the_clock() {
    let mut gpu = steady("nvml", &[("gpu-GPU-1", Quantity::InstantPower, 100.0)]);
    gpu.info.channels[0].update_period = None;
    let (bank, clock) = (share(Bank::new(vec![Box::new(gpu)])), Clock::start());
    let mut late = [0; 5].map(|_: i32| {
        std::thread::sleep(std::time::Duration::from_millis(37));
        assert_eq!(await_update(&bank, &clock), Seconds::new(0.1).ok());
        clock.now().nanos() % 100_000_000
    });
    late.sort_unstable();
    // Five starts without a grid would be 50 ms past one in the middle; a busy machine wakes late.
    assert!(late[2] < 25_000_000, "{late:?}");
    let counter =
        steady("rapl", &[("package-0", Quantity::Energy { resolution: None, range: None, max_power: None }, 1.0)]);
    assert_eq!(await_update(&share(Bank::new(vec![Box::new(counter)])), &clock), None, "nothing is integrated");
}
