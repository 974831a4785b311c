//! A wall meter from its rows in the record to figures and grades.

use crate::analysis::{Combined, Severity, summarise};
use crate::clock::Moment;
use crate::record::{Accuracy, Domain, Event, MeterRow, PolicyDigest, Pulse, RunRecord, SensorStatus, fixture};
use crate::units::{Joules, Seconds, Watts};

fn at(seconds: f64) -> Moment {
    Moment::from_nanos((seconds * 1e9) as u64)
}

fn pulse(t: f64) -> Pulse {
    Pulse { start: at(t), on: at(t + 4.0), off: at(t + 8.0), end: at(t + 12.0) }
}

/// Windows of 10 s from 20 s on, 100 W in them and 40 W at rest, seen by a meter 1000 s ahead that logs twice a second.
fn record(accuracy: Option<Accuracy>, energy: bool, change: impl Fn(&mut Vec<MeterRow>)) -> RunRecord {
    let template = fixture::hand_made(&[1e-2; 6]);
    let measurement = &template.measurements[0];
    let loads: Vec<(f64, f64)> =
        (0..6).map(|i| 20.0 + 12.0 * f64::from(i)).map(|t| (t, t + 10.0)).chain([(4.0, 8.0), (104.0, 108.0)]).collect();
    let total = |t: f64| 40.0 * t + loads.iter().map(|(a, b)| 60.0 * (t.clamp(*a, *b) - a)).sum::<f64>();
    let mut rows: Vec<MeterRow> = (0..250)
        .map(|i| {
            let t = f64::from(i) * 0.5 - 2.0;
            MeterRow {
                at: Seconds::new(1000.0 + t).ok(),
                power: Watts::new((total(t + 0.25) - total(t - 0.25)) * 2.0).ok(),
                energy: Joules::new(1e6 + total(t)).ok().filter(|_| energy),
                fault: None,
            }
        })
        .collect();
    change(&mut rows);
    let mut events = vec![Event::Pulse(pulse(0.0))];
    events.extend(measurement.prepared.clone().map(Event::Prepared));
    for (i, sample) in measurement.samples.iter().enumerate() {
        let mut sample = sample.clone();
        sample.start = at(20.0 + 12.0 * i as f64);
        sample.wall = Seconds::new(10.0).unwrap();
        events.push(Event::Sample(sample));
    }
    events.push(Event::Pulse(pulse(100.0)));
    events.extend(rows.chunks(100).map(|rows| Event::MeterRows { rows: rows.to_vec() }));
    let lines: Vec<String> = events.iter().map(|e| serde_json::to_string(e).unwrap()).collect();
    let events: Vec<Event> = lines.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut header = template.header.clone();
    let alignment = crate::sensors::wall::Alignment::of(&rows, &[pulse(0.0), pulse(100.0)]);
    header.sensors.push(SensorStatus::Ready(crate::sensors::wall::info("test".into(), &alignment, accuracy)));
    header.environment.host.virtualization = None;
    header.environment.host.container = None;
    RunRecord::fold(header, events, String::new())
}

fn declared(bound: f64, calibrated: Option<&str>) -> Option<Accuracy> {
    Some(Accuracy { bound, source: "declared".into(), calibrated: calibrated.map(str::to_owned), serial_hash: None })
}

fn letter(accuracy: Option<Accuracy>, energy: bool) -> char {
    summarise(&record(accuracy, energy, |_| {})).grade.unwrap().letter
}

#[test]
fn windows_get_their_energy_from_the_rows() {
    for energy in [true, false] {
        let record = record(declared(0.01, Some("2026-03-01")), energy, |_| {});
        let summary = summarise(&record);
        let case = &summary.cases[0];
        assert_eq!(summary.boundary.domains, [Domain::Wall]);
        assert_eq!((summary.boundary.text.as_str(), case.windows.counted), ("the wall socket", 6));
        let power = case.energy.power.estimate().unwrap();
        // The mean over the half second around an edge is half load: an eighth of a second is lost there.
        assert!((power.median - if energy { 100.0 } else { 98.5 }).abs() < 0.1, "{power:?}");
        let Combined::Stated(stated) = case.energy.budget("energy_j").unwrap().result else {
            panic!("{:?}", case.energy.budgets)
        };
        // 1 %/√3, half a second of 10 s, and aliasing of polled power.
        assert!((0.04..0.07).contains(&stated.expanded_uncertainty), "{stated:?}");
        let gain = &case.energy.budget("energy_j").unwrap().terms[1];
        assert_eq!((gain.value, gain.source.as_str()), (Some(0.01), "declared"));
    }
}

#[test]
fn grades_follow_accuracy_and_calibration() {
    // The fixture's run began on 2026-11-22.
    for (bound, calibrated, expected) in [
        (0.01, Some("2026-03-01"), 'A'),
        (0.005, Some("2025-11-22"), 'A'),
        (0.02, Some("2026-03-01"), 'B'),
        (0.03, Some("2026-03-01"), 'C'),
        (0.01, Some("2025-11-20"), 'C'),
        (0.01, Some("2026-11-23"), 'C'),
        (0.01, Some("yesterday"), 'C'),
        (0.01, None, 'C'),
    ] {
        assert_eq!(letter(declared(bound, calibrated), true), expected, "{bound} {calibrated:?}");
    }
    assert_eq!(letter(declared(0.01, Some("2026-03-01")), false), 'A', "power of a calibrated meter");
    assert_eq!(letter(declared(0.03, Some("2026-03-01")), false), 'D');
    assert_eq!(letter(None, false), 'D');
    let mut shared = record(declared(0.01, Some("2026-03-01")), true, |_| {});
    shared.header.environment.host.virtualization = Some("KVM".into());
    assert_eq!(summarise(&shared).grade.unwrap().letter, 'D', "the lowest row that matches wins");
}

#[test]
fn a_window_with_a_fault_is_discarded_and_a_log_that_does_not_fit_voids_none() {
    let broken = record(declared(0.01, None), true, |rows| {
        let row = rows.iter_mut().find(|r| r.at.unwrap().get() > 1036.0).unwrap();
        (row.energy, row.power, row.fault) = (None, None, Some("line 9: power is negative (-4)".into()));
    });
    let case = &summarise(&broken).cases[0];
    assert_eq!((case.windows.counted, case.windows.discarded.as_slice()), (5, &[("wall-meter".to_owned(), 1)][..]));
    let foreign = record(declared(0.01, None), true, |rows| {
        rows.iter_mut().for_each(|r| (r.energy, r.power) = (None, Watts::new(7.0).ok()));
    });
    let summary = summarise(&foreign);
    assert_eq!(summary.cases[0].windows.counted, 6);
    assert!(summary.grade.is_none() && summary.cases[0].energy.power.estimate().is_none());
    let caveat = summary.caveats.iter().find(|c| c.code == "sensor-lost").unwrap();
    assert!(caveat.text.contains("wall-meter: the pulse before"), "{}", caveat.text);
}

#[test]
fn a_policy_that_changed_since_is_told() {
    let told = |record: &RunRecord| summarise(record).caveats.into_iter().find(|c| c.code == "policy-changed");
    let mut record = fixture::with_rapl();
    assert_eq!(told(&record), None, "records from before the digest say nothing");
    let now = crate::policy::Policy::shipped();
    record.header.uncertainty_policy = Some(PolicyDigest { policy: now.policy, sha256: now.sha256 });
    assert_eq!(told(&record), None);
    record.header.uncertainty_policy = Some(PolicyDigest { policy: "old".into(), sha256: "0123456789abcdef".into() });
    let caveat = told(&record).unwrap();
    assert!(caveat.severity == Severity::Warning && caveat.text.contains("`old` (0123456789ab)"), "{caveat:?}");
}
