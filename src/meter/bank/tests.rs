//! Two sensors that read one domain: from the bank through fold to the figures.

use super::*;
use crate::analysis::{Severity, summarise};
use crate::record::{Event, IdlePhase, IdleWindow, RunRecord, SensorStatus, State, fixture};
use crate::sensors::{ReaderRole, Reading, SensorError, Value};
use crate::units::MicroJoules;
use std::collections::BTreeSet;

mod polled;

/// Energy counters that rise by `watts` on every domain, a second a read; after `lives` reads it is gone.
struct Steady {
    info: SensorInfo,
    watts: Vec<f64>,
    reads: u64,
    lives: u64,
}

const COUNTER: Quantity = Quantity::Energy { resolution: None, range: None, max_power: None };

fn steady(id: &str, channels: &[(&str, Quantity, f64)]) -> Steady {
    let channel = |(domain, quantity, _): &(&str, Quantity, f64)| Channel {
        name: (*domain).to_owned(),
        domain: domain.parse().unwrap(),
        quantity: *quantity,
        role: ReaderRole::default(),
        update_period: Seconds::new(0.001).ok(),
    };
    Steady {
        info: SensorInfo {
            id: id.to_owned(),
            title: id.to_owned(),
            source: "test".to_owned(),
            channels: channels.iter().map(channel).collect(),
            notes: Vec::new(),
            simulated: true,
            accuracy: None,
        },
        watts: channels.iter().map(|c| c.2).collect(),
        reads: 0,
        lives: u64::MAX,
    }
}

impl Sensor for Steady {
    fn info(&self) -> &SensorInfo {
        &self.info
    }

    fn read(&mut self, _: &Clock) -> Result<Reading, SensorError> {
        if self.reads >= self.lives {
            return Err(SensorError::Vanished { sensor: "steady", detail: "end of the script".to_owned() });
        }
        let at = Moment::from_nanos(self.reads * 1_000_000_000);
        let value = |(channel, watts): (&Channel, &f64)| match channel.quantity {
            Quantity::Energy { .. } => Some(Value::Energy(MicroJoules::new((watts * 1e6) as u64 * self.reads))),
            _ => Watts::new(*watts).ok().map(Value::Power),
        };
        let values = self.info.channels.iter().zip(&self.watts).map(value).collect();
        self.reads += 1;
        Ok(Reading { before: at, after: at, values })
    }
}

/// RAPL and the power PMU on one package and its memory; the PMU alone knows the platform.
fn two_readers(pmu_watts: f64) -> Bank {
    let rapl = steady("rapl", &[("package-0", COUNTER, 50.0), ("dram-0", COUNTER, 5.0)]);
    let pmu = steady("power-pmu", &[("package-0", COUNTER, pmu_watts), ("dram-0", COUNTER, 5.0)]);
    Bank::new(vec![Box::new(rapl), Box::new(pmu)])
}

/// A record of three windows of a second, with the spans of `bank`, through its events.
fn record(mut bank: Bank) -> RunRecord {
    let clock = Clock::start();
    let template = fixture::hand_made(&[1e-3, 1e-3, 1e-3]);
    let mut events: Vec<Event> = Vec::new();
    let measurement = &template.measurements[0];
    events.extend(measurement.prepared.clone().map(Event::Prepared));
    let mut first = bank.read(&clock);
    for sample in &measurement.samples {
        let last = bank.read(&clock);
        let mut sample = sample.clone();
        (sample.energy, sample.flags) = Edge::spans(&first, &last);
        sample.wall = Seconds::new(1.0).unwrap();
        first = last;
        events.push(Event::Sample(sample));
    }
    let last = bank.read(&clock);
    events.push(Event::Idle(IdleWindow {
        phase: IdlePhase::After,
        start: Moment::from_nanos(0),
        wall: Seconds::new(1.0).unwrap(),
        energy: Edge::spans(&first, &last).0,
        state: State::default(),
        flags: Vec::new(),
    }));
    let mut header = template.header.clone();
    header.sensors = bank.infos().cloned().map(SensorStatus::Ready).collect();
    // As a record that is written and read again.
    let lines: Vec<String> = events.iter().map(|e| serde_json::to_string(e).unwrap()).collect();
    let events = lines.iter().map(|l| serde_json::from_str(l).unwrap());
    let header = serde_json::from_str(&serde_json::to_string(&header).unwrap()).unwrap();
    RunRecord::fold(header, events, String::new())
}

#[test]
fn two_readers_of_one_package_are_not_added_and_the_difference_is_printed() {
    let record = record(two_readers(50.1));
    let summary = summarise(&record);
    let case = &summary.cases[0];
    let power = case.energy.power.estimate().unwrap().median;
    assert!((power - 55.0).abs() < 1e-6, "package + memory of one reader, not of both: {power} W");
    let rated: Vec<(String, &str)> =
        case.domains.iter().filter(|d| d.rated).map(|d| (d.domain.to_string(), d.sensor.as_str())).collect();
    assert_eq!(rated, [("package-0".to_owned(), "rapl"), ("dram-0".to_owned(), "rapl")]);
    assert_eq!(case.domains.len(), 4, "both readers are shown");
    let idle: Vec<(String, &str)> = summary.idle.iter().map(|i| (i.domain.to_string(), i.sensor.as_str())).collect();
    assert_eq!(idle, [("package-0".to_owned(), "rapl"), ("dram-0".to_owned(), "rapl")]);
    assert!(case.energy.net_per_iteration.estimate().is_some());
    let table = crate::report::ReportModel::of(&record).domains;
    let anchors: BTreeSet<&str> = table.rows.iter().map(|r| r.anchor.as_str()).collect();
    assert_eq!(anchors.len(), 4, "every row of the report has an anchor of its own");
    let checks: Vec<_> = summary.caveats.iter().filter(|c| c.code == "cross-check").collect();
    assert_eq!(checks.len(), 2);
    assert!(checks[0].text.contains("+0.20 % against rapl over 4 windows"), "{}", checks[0].text);
    assert!(checks.iter().all(|c| c.severity == Severity::Note));
}

#[test]
fn the_power_of_a_gpu_checks_its_counter_and_is_not_added() {
    let summary = |polled: f64, order: [usize; 2]| {
        let channels = [("node", COUNTER, 300.0), ("node", Quantity::InstantPower, polled)];
        let bank = Bank::new(vec![Box::new(steady("nvml", &order.map(|i| channels[i])))]);
        assert!(!bank.integrates() && bank.polled_period().is_none(), "nothing has to be polled for a check");
        assert_eq!(bank.metered().count(), 1);
        summarise(&record(bank))
    };
    for order in [[0, 1], [1, 0]] {
        let near = summary(309.0, order);
        let power = near.cases[0].energy.power.estimate().unwrap();
        assert!((power.median - 300.0).abs() < 1e-6, "the counter alone: {power:?}");
        assert_eq!(near.grade.as_ref().map(|g| g.letter), Some('C'));
        let caveat = near.caveats.iter().find(|c| c.code == "cross-check").unwrap();
        assert!(
            caveat.text.contains("polled power of nvml reads node as well: +3.00 % against nvml"),
            "{}",
            caveat.text
        );
    }
    let far = summary(200.0, [0, 1]);
    let caveat = far.caveats.iter().find(|c| c.code == "cross-check-differs").unwrap();
    assert!(caveat.text.contains("-33.33 %") && caveat.text.contains("Above 10 %"), "{}", caveat.text);
}

#[test]
fn readers_that_disagree_are_a_warning() {
    let summary = summarise(&record(two_readers(60.0)));
    let caveat = summary.caveats.iter().find(|c| c.code == "cross-check-differs").unwrap();
    assert_eq!(caveat.severity, Severity::Warning);
    assert!(caveat.text.contains("package-0") && caveat.text.contains("+20.00 %"), "{}", caveat.text);
    let still = summarise(&record(two_readers(0.0)));
    let caveat = still.caveats.iter().find(|c| c.code == "cross-check-differs").unwrap();
    assert!(caveat.text.contains("counted nothing"), "{}", caveat.text);
}

#[test]
fn the_pmu_serves_alone_where_powercap_is_denied() {
    let pmu = steady("power-pmu", &[("package-0", COUNTER, 50.0), ("dram-0", COUNTER, 5.0)]);
    let bank = Bank::new(vec![Box::new(pmu)]);
    assert!(bank.covers_cpu());
    let summary = summarise(&record(bank));
    assert!((summary.cases[0].energy.power.estimate().unwrap().median - 55.0).abs() < 1e-6);
    assert!(summary.caveats.iter().all(|c| !c.code.starts_with("cross-check")));
}

#[test]
fn the_trace_has_one_power_a_domain_and_its_total_counts_it_once() {
    let mut bank = two_readers(50.1);
    let clock = Clock::start();
    bank.trace(&clock);
    let point = bank.trace(&clock).unwrap();
    let power: Vec<String> = point.power.iter().map(|(d, w)| format!("{d} {}", w.get())).collect();
    assert_eq!(power, ["package-0 50", "dram-0 5"]);
    assert_eq!(bank.power_now(), Watts::new(55.0).ok());
}

#[test]
fn a_check_that_is_lost_voids_no_window_and_the_reader_of_record_does() {
    let readers = |rapl_lives, pmu_lives| {
        let rapl = Steady { lives: rapl_lives, ..steady("rapl", &[("package-0", COUNTER, 50.0)]) };
        let pmu = Steady { lives: pmu_lives, ..steady("power-pmu", &[("package-0", COUNTER, 50.0)]) };
        record(Bank::new(vec![Box::new(rapl), Box::new(pmu)]))
    };
    let check_lost = readers(9, 2);
    assert!(check_lost.measurements[0].samples.iter().all(|s| s.flags.is_empty()));
    let lost = readers(2, 9);
    let codes: Vec<&str> =
        lost.measurements[0].samples.iter().flat_map(|s| &s.flags).map(|f| f.code.as_str()).collect();
    assert_eq!(codes, ["sensor-lost"], "the window in which it went, and no other");
}

#[test]
fn a_package_that_stands_still_has_no_energy_and_a_part_of_it_may_rest() {
    let zones = [("package-0", COUNTER, 0.0), ("cores-0", COUNTER, 0.0), ("dram-0", COUNTER, 5.0)];
    let mut bank = Bank::new(vec![Box::new(steady("rapl", &zones))]);
    let clock = Clock::start();
    let (first, last) = (bank.read(&clock), bank.read(&clock));
    let (spans, flags) = Edge::spans(&first, &last);
    let codes: Vec<&str> = flags.iter().map(|f| f.code.as_str()).collect();
    assert_eq!(codes, ["stalled"]);
    assert!(flags[0].detail.contains("package-0"), "{}", flags[0].detail);
    let domains: Vec<String> = spans.iter().map(|s| s.domain.to_string()).collect();
    assert_eq!(domains, ["cores-0", "dram-0"]);
}

#[test]
fn a_meter_nobody_can_place_is_in_no_sum_and_no_requirement() {
    let rail = ("other-ina226-hwmon0-power1", Quantity::InstantPower, 4.25);
    let mut alone = Bank::new(vec![Box::new(steady("hwmon", &[rail]))]);
    assert!(!alone.covers_cpu());
    let clock = Clock::start();
    alone.trace(&clock);
    assert_eq!(alone.trace(&clock).unwrap().power.len(), 1, "it is shown");
    assert_eq!(alone.power_now(), None);
    let rapl = steady("rapl", &[("package-0", COUNTER, 50.0)]);
    let bank = Bank::new(vec![Box::new(rapl), Box::new(steady("hwmon", &[rail]))]);
    let summary = summarise(&record(bank));
    let case = &summary.cases[0];
    assert!((case.energy.power.estimate().unwrap().median - 50.0).abs() < 1e-6);
    let shown = case.domains.iter().find(|d| !d.domain.is_placed()).unwrap();
    assert!(!shown.rated && shown.inside.is_none());
}

#[test]
fn a_gauge_of_the_whole_machine_does_not_stretch_windows_where_packages_are_counted() {
    let rapl = || Box::new(steady("rapl", &[("package-0", COUNTER, 50.0)]));
    let battery = || {
        let mut battery = steady("battery", &[("node", COUNTER, 70.0)]);
        battery.info.channels[0].update_period = Seconds::new(0.4).ok();
        Box::new(battery)
    };
    assert_eq!(Bank::new(vec![rapl(), battery()]).slowest_period(None), Seconds::new(0.001).ok());
    assert_eq!(Bank::new(vec![battery()]).slowest_period(None), Seconds::new(0.4).ok());
}

/// A script of readings, one a second; after an error the sensor can be revived once.
struct Scripted {
    info: SensorInfo,
    script: Vec<Option<Vec<Value>>>,
    next: usize,
    revives: bool,
}

impl Scripted {
    fn new(channels: &[(&str, Quantity, f64)], script: Vec<Option<Vec<Value>>>, revives: bool) -> Box<Self> {
        Box::new(Self { info: steady("scripted", channels).info, script, next: 0, revives })
    }
}

impl Sensor for Scripted {
    fn info(&self) -> &SensorInfo {
        &self.info
    }

    fn read(&mut self, _: &Clock) -> Result<Reading, SensorError> {
        let at = Moment::from_nanos(self.next as u64 * 1_000_000_000);
        let values = self.script.get(self.next).cloned().flatten();
        self.next += 1;
        match values {
            Some(values) => Ok(Reading { before: at, after: at, values: values.into_iter().map(Some).collect() }),
            None => Err(SensorError::Vanished { sensor: "scripted", detail: "the driver was unloaded".to_owned() }),
        }
    }

    fn revive(&mut self) -> bool {
        self.revives
    }
}

fn energy(joules: u64) -> Value {
    Value::Energy(MicroJoules::new(joules * 1_000_000))
}

#[test]
fn windows_after_a_reload_count_and_those_across_it_do_not() {
    // The counter starts anew, and above its old value, so that a difference would look like energy.
    let script = [Some(100), Some(150), None, Some(7000), Some(7050)].map(|j| j.map(|j| vec![energy(j)]));
    let mut bank = Bank::new(vec![Scripted::new(&[("gpu-GPU-1", COUNTER, 0.0)], script.to_vec(), true)]);
    let early = Clock::start();
    // Two seconds on: the sensor is asked again.
    let late = Clock::resume_at(Moment::from_nanos(2_000_000_000));
    let edges: Vec<Edge> = [early, early, early, early, late, late].iter().map(|clock| bank.read(clock)).collect();
    let result = |a: usize, b: usize| Edge::spans(&edges[a], &edges[b]);
    assert_eq!(result(0, 1).0[0].energy, MicroJoules::new(50_000_000));
    assert_eq!(result(1, 2).1[0].code, "sensor-lost");
    assert!(result(2, 3).0.is_empty(), "asked again too soon, it is not there");
    let (spans, flags) = result(1, 4);
    assert!(spans.is_empty() && flags[0].detail.contains("came back"), "{flags:?}");
    assert_eq!(result(4, 5).0[0].energy, MicroJoules::new(50_000_000), "a fresh mark");
    assert_eq!(bank.take_lost().len(), 1, "lost once");
}

#[test]
fn a_counter_that_hangs_while_others_rise_is_stalled() {
    let readings = |hangs: std::ops::Range<u64>| -> Vec<Option<Vec<Value>>> {
        let value = |i: u64| if hangs.contains(&i) { hangs.start } else { i };
        (0..6).map(|i| Some(vec![energy(50 * value(i)), energy(5 * i)])).collect()
    };
    let channels = |first: &'static str| [(first, COUNTER, 0.0), ("dram-0", COUNTER, 0.0)];
    let flags = |first: &'static str, hangs: std::ops::Range<u64>, from: usize| {
        let mut bank = Bank::new(vec![Scripted::new(&channels(first), readings(hangs), false)]);
        let edges: Vec<Edge> = (0..6).map(|_| bank.read(&Clock::start())).collect();
        let (spans, flags) = Edge::spans(&edges[from], &edges[5]);
        (spans.len(), flags.into_iter().map(|f| f.code).collect::<Vec<_>>())
    };
    assert_eq!(flags("package-0", 9..9, 0), (2, vec![]));
    assert_eq!(flags("package-0", 2..9, 0), (1, vec!["stalled".to_owned()]), "it hangs half-way");
    assert_eq!(flags("package-0", 0..9, 3), (1, vec!["stalled".to_owned()]), "it hangs all the time");
    assert_eq!(flags("package-0", 1..4, 0), (1, vec!["stalled".to_owned()]), "and caught up again");
    assert_eq!(flags("package-0", 0..2, 3), (2, vec![]), "it hung before the window");
    assert_eq!(flags("uncore-0", 0..9, 0).1, Vec::<String>::new(), "a part that may be switched off");
    let alone = |domain: &str, values: [u64; 4]| {
        let script = values.iter().map(|j| Some(vec![energy(*j)])).collect();
        let mut bank = Bank::new(vec![Scripted::new(&[(domain, COUNTER, 0.0)], script, false)]);
        let edges: Vec<Edge> = (0..4).map(|_| bank.read(&Clock::start())).collect();
        Edge::spans(&edges[0], &edges[3]).1.into_iter().map(|f| f.code).collect::<Vec<_>>()
    };
    assert_eq!(alone("package-0", [7; 4]), ["stalled"], "a package always draws power, whatever others do");
    assert_eq!(alone("package-0", [7, 8, 8, 9]), ["stalled"], "half-way, too");
    assert!(alone("package-0", [7, 8, 9, 10]).is_empty());
    assert!(alone("dram-0", [7; 4]).is_empty(), "nothing says that something feeds it");
}

#[test]
fn slowdowns_are_counted_and_power_caps_are_settings() {
    let words = |words: &[&str]| Value::Throttle(words.iter().map(|w| (*w).to_owned()).collect());
    let script: Vec<Vec<&str>> =
        vec![vec!["idle"], vec!["power-cap"], vec!["thermal"], vec!["thermal", "power-brake"], vec![], vec!["thermal"]];
    let script = script.iter().map(|w| Some(vec![words(w)])).collect();
    let mut bank = Bank::new(vec![Scripted::new(&[("gpu-GPU-1", Quantity::Throttle, 0.0)], script, false)]);
    let edges: Vec<Edge> = (0..6).map(|_| bank.read(&Clock::start())).collect();
    let events = |a: usize, b: usize| Edge::throttled(&edges[a], &edges[b], &"gpu-GPU-1".parse().unwrap());
    assert_eq!(events(0, 1), Some((0, vec![])));
    assert_eq!(events(0, 4).unwrap().0, 2, "heat, then the brake");
    assert_eq!(events(2, 2), Some((1, vec!["gpu-GPU-1 thermal".to_owned()])), "it was on at the start");
    assert_eq!(events(4, 5).unwrap().0, 1);
    let mut none = Bank::new(vec![Box::new(steady("rapl", &[("package-0", COUNTER, 50.0)]))]);
    let (a, b) = (none.read(&Clock::start()), none.read(&Clock::start()));
    assert_eq!(Edge::throttled(&a, &b, &"package-0".parse().unwrap()), None, "nobody reports any");
    let other = "gpu-GPU-2".parse().unwrap();
    assert_eq!(Edge::throttled(&edges[0], &edges[4], &other), None, "another card's are nothing to it");
}

#[test]
fn power_below_nothing_is_a_reason_and_never_zero() {
    let clock = Clock::start();
    let mut bank = Bank::new(vec![Box::new(steady("hwmon", &[("package-0", Quantity::InstantPower, -5.0)]))]);
    let (first, last) = (bank.read(&clock), bank.read(&clock));
    let (spans, flags) = Edge::spans(&first, &last);
    assert!(spans.is_empty(), "{spans:?}");
    assert_eq!(flags[0].code, "negative-power");
    assert!(flags[0].detail.contains("-5.000 J"), "{}", flags[0].detail);
}
