//! Logs of meters whose power, clock and faults are known.

use super::align::Alignment;
use super::csv::{Columns, EnergyUnit, PowerUnit, TimeUnit, parse};
use super::*;
use crate::kernels::random::SplitMix64;
use proptest::prelude::*;

fn moment(seconds: f64) -> Moment {
    Moment::from_nanos((seconds * 1e9).round() as u64)
}

/// Load from 14 s to 18 s and from 94 s to 98 s, and a window of load from 30 s to 80 s.
fn pulses() -> [Pulse; 2] {
    let pulse = |t: f64| Pulse { start: moment(t), on: moment(t + 4.0), off: moment(t + 8.0), end: moment(t + 12.0) };
    [pulse(10.0), pulse(90.0)]
}

const WINDOW: (f64, f64) = (30.0, 80.0);

/// True energy from 0 to `t` on the run's clock: 50 W at rest, 130 W under load.
fn true_energy(t: f64) -> f64 {
    let loads = [(14.0, 18.0), (WINDOW.0, WINDOW.1), (94.0, 98.0)];
    50.0 * t + loads.iter().map(|(on, off)| 80.0 * (t.min(*off) - on).max(0.0)).sum::<f64>()
}

#[derive(Clone, Copy)]
struct Meter {
    interval: f64,
    /// Its clock at the run's zero, and its rate less one.
    offset: f64,
    drift: f64,
    /// Reports the mean over its interval; otherwise the power of the moment.
    averages: bool,
    /// Standard deviation of a reading, watts.
    noise: f64,
    seed: u64,
}

const METER: Meter = Meter { interval: 1.0, offset: 1000.0, drift: 0.0, averages: true, noise: 0.5, seed: 1 };

impl Meter {
    /// Rows from −5 s to 110 s of the run's clock: power, and the register.
    fn rows(&self) -> Vec<Row> {
        let random = SplitMix64::new(self.seed, 7);
        let uniform = |i: u64| random.at(i) as f64 / 2f64.powi(64);
        let phase = uniform(0) * self.interval;
        let count = (115.0 / self.interval) as u64;
        (0..count)
            .map(|i| {
                let t = -5.0 + phase + i as f64 * self.interval;
                let half = if self.averages { self.interval / 2.0 } else { 1e-6 };
                let energy = |t: f64| if t > 0.0 { true_energy(t) } else { 50.0 * t };
                let noise = (0..12).map(|k| uniform(1 + 12 * i + k)).sum::<f64>() - 6.0;
                let power = (energy(t + half) - energy(t - half)) / (2.0 * half) + noise * self.noise;
                Row {
                    at: Seconds::new(self.offset + t * (1.0 + self.drift)).ok(),
                    power: Watts::new(power).ok(),
                    energy: Joules::new(1e6 + energy(t)).ok(),
                    fault: None,
                }
            })
            .collect()
    }

    fn powers(&self) -> Vec<Row> {
        self.rows().into_iter().map(|r| Row { energy: None, ..r }).collect()
    }
}

fn aligned(rows: &[Row]) -> Alignment {
    Alignment::of(rows, &pulses()).unwrap()
}

#[test]
fn offset_and_drift_are_found_within_their_uncertainty() {
    let mut within = 0;
    let mut worst = 0.0f64;
    let campaigns = 120;
    for seed in 0..campaigns {
        let drift = (seed as f64 / 60.0 - 1.0) * 3e-4;
        let offset = [1000.0, 1.7e9, -50.0][seed as usize % 3] + seed as f64 * 0.137;
        let interval = [1.0, 0.25, 0.1][(seed / 3) as usize % 3];
        let meter = Meter { offset, drift, interval, averages: seed % 2 == 0, seed, ..METER };
        let alignment = aligned(&meter.powers());
        let error = |t: f64| (alignment.meter_time(moment(t)) - (offset + t * (1.0 + drift))).abs();
        for t in [16.0, 56.0, 96.0] {
            within += u32::from(error(t) <= 2.0 * alignment.u());
            worst = worst.max(error(t) / alignment.u());
        }
        assert!(alignment.u() < interval, "{} s at {interval} s", alignment.u());
    }
    println!("{within} of {} within 2 u, worst {worst:.2} u", 3 * campaigns);
    assert!(within >= 354 && worst < 2.5, "{within} of {} within 2 u, worst {worst:.2} u", 3 * campaigns);
}

#[test]
fn energies_of_windows_are_true_within_their_alignment_term() {
    let (from, to) = WINDOW;
    let truth = true_energy(to) - true_energy(from);
    let mut within = 0;
    for seed in 0..60 {
        let meter = Meter { seed, averages: seed % 2 == 0, drift: 2e-4, offset: 1.7e9 + seed as f64 * 0.61, ..METER };
        for rows in [meter.powers(), meter.rows().into_iter().map(|r| Row { power: None, ..r }).collect()] {
            let alignment = aligned(&rows);
            let energy = alignment.energy(moment(from), moment(to)).unwrap();
            // The alignment term of budgets: P·τ/√6.
            let u = truth / (to - from) * alignment.period().unwrap().get() / 6f64.sqrt();
            within += u32::from((energy - truth).abs() <= 2.0 * u);
            assert!((energy / truth - 1.0).abs() < 0.02, "{energy} J of {truth} J");
        }
    }
    assert!(within >= 114, "{within} of 120");
}

#[test]
fn the_register_goes_before_power_unless_it_is_too_coarse() {
    let rows = METER.rows();
    assert_eq!(aligned(&rows).meter_log().method(), EnergyMethod::Counter);
    // Steps of 10 Wh: a register that says nothing within a pulse.
    let coarse: Vec<Row> = rows
        .into_iter()
        .map(|r| Row { energy: r.energy.and_then(|e| Joules::new((e.get() / 36_000.0).floor() * 36_000.0).ok()), ..r })
        .collect();
    assert_eq!(aligned(&coarse).meter_log().method(), EnergyMethod::Integrated);
}

#[test]
fn logs_that_cannot_be_aligned_are_refused_with_the_reason() {
    let refused = |rows: &[Row]| match Alignment::of(rows, &pulses()) {
        Ok(alignment) => panic!("aligned: {}", alignment.describe()),
        Err(why) => why,
    };
    let rows = METER.powers();
    let flat: Vec<Row> = rows.iter().map(|r| Row { power: Watts::new(80.0).ok(), ..r.clone() }).collect();
    assert!(refused(&flat).contains("is not in its log"), "{}", refused(&flat));
    let noisy = Meter { noise: 200.0, ..METER }.powers();
    assert!(
        refused(&noisy).contains("not in its log") || refused(&noisy).contains("two places"),
        "{}",
        refused(&noisy)
    );
    assert!(refused(&rows[..60]).contains("its log covers"), "{}", refused(&rows[..60]));
    assert!(refused(&[]).contains("no row"), "{}", refused(&[]));
    assert!(Alignment::of(&rows, &pulses()[..1]).unwrap_err().contains("before and after"));
    // A pulse upside down is a load of something else.
    let turned: Vec<Row> = rows
        .iter()
        .map(|r| Row { power: r.power.and_then(|p| Watts::new(200.0 - p.get()).ok()), ..r.clone() })
        .collect();
    assert!(refused(&turned).contains("not in its log"), "{}", refused(&turned));
    // Two seconds forward in the middle: more than clocks drift.
    let set: Vec<Row> = rows
        .iter()
        .map(|r| {
            let t = r.at.unwrap().get();
            Row { at: Seconds::new(if t > 1050.0 { t + 2.0 } else { t }).ok(), ..r.clone() }
        })
        .collect();
    let why = refused(&set);
    assert!(["it was set", "not in its log", "two places"].iter().any(|words| why.contains(words)), "{why}");
    let back: Vec<Row> = rows
        .iter()
        .map(|r| {
            let t = r.at.unwrap().get();
            Row { at: Seconds::new(if t > 1050.0 { t - 40.0 } else { t }).ok(), ..r.clone() }
        })
        .collect();
    assert!(refused(&back).contains("set back"), "{}", refused(&back));
}

#[test]
fn a_periodic_load_that_fits_twice_is_no_alignment() {
    // Every 12 s 4 s of load, before, between and after.
    let rows: Vec<Row> = (0..400)
        .map(|i| {
            let t = f64::from(i) - 100.0;
            let power = if (t - 14.0).rem_euclid(16.0) < 4.0 { 130.0 } else { 50.0 };
            Row { at: Seconds::new(t).ok(), power: Watts::new(power).ok(), energy: None, fault: None }
        })
        .collect();
    let error = Alignment::of(&rows, &pulses()).unwrap_err();
    assert!(error.contains("two places"), "{error}");
}

/// Energy of the window after `change` to the rows.
fn changed(change: impl Fn(usize, &mut Vec<Row>)) -> Result<f64, String> {
    let mut rows = METER.powers();
    let middle = rows.iter().position(|r| r.at.unwrap().get() > 1050.0).unwrap();
    change(middle, &mut rows);
    aligned(&rows).energy(moment(WINDOW.0), moment(WINDOW.1))
}

#[test]
fn a_window_that_touches_a_fault_has_no_energy_and_others_do() {
    assert!(changed(|_, _| {}).is_ok());
    let says = |result: Result<f64, String>, words: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(words), "{error}");
    };
    says(changed(|i, rows| drop(rows.drain(i..i + 4))), "gap of 5");
    assert!(changed(|i, rows| drop(rows.drain(i..i + 2))).is_ok(), "two lost rows are bridged");
    says(changed(|i, rows| rows.insert(i, rows[i].clone())), "time of the row before");
    says(changed(|i, rows| rows.swap(i, i + 1)), "goes back in time");
    says(
        changed(|i, rows| {
            rows[i].power = None;
            rows[i].fault = Some("line 7: power is negative (-3)".into());
        }),
        "line 7: power is negative",
    );
    says(
        changed(|i, rows| {
            rows[i].at = None;
            rows[i].fault = Some("line 7: `x` is no time".into());
        }),
        "is no time",
    );
    // Outside the window it is no matter.
    let before = |_: usize, rows: &mut Vec<Row>| {
        let at = rows.iter().position(|r| r.at.unwrap().get() > 1026.0).unwrap();
        rows[at].power = None;
    };
    assert!(changed(before).is_ok());
    // A register that was set back.
    let mut rows: Vec<Row> = METER.rows().into_iter().map(|r| Row { power: None, ..r }).collect();
    for row in rows.iter_mut().filter(|r| r.at.unwrap().get() > 1050.0) {
        row.energy = row.energy.and_then(|e| Joules::new(e.get() - 1e6).ok());
    }
    let error = aligned(&rows).energy(moment(WINDOW.0), moment(WINDOW.1)).unwrap_err();
    assert!(error.contains("went back"), "{error}");
    let beyond = aligned(&METER.powers()).energy(moment(90.0), moment(200.0)).unwrap_err();
    assert!(beyond.contains("does not cover"), "{beyond}");
}

fn values(text: &str, columns: &str) -> Vec<(f64, Option<f64>, Option<f64>)> {
    let columns = if columns.is_empty() { Columns::default() } else { Columns::parse(columns).unwrap() };
    let rows = parse(text, columns).unwrap();
    rows.iter()
        .map(|r| {
            assert_eq!(r.fault, None);
            (r.at.unwrap().get(), r.power.map(Watts::get), r.energy.map(Joules::get))
        })
        .collect()
}

#[test]
fn logs_of_common_meters_are_read() {
    let plug = "# shelly\ntimestamp,apower,aenergy_wh\n1772323200.5,41.25,10\n1772323201.5,42,10.5\n";
    assert_eq!(
        values(plug, ""),
        [(1_772_323_200.5, Some(41.25), Some(36_000.0)), (1_772_323_201.5, Some(42.0), Some(37_800.0))]
    );
    let analyser = "\u{feff}Model;WT310\r\n\r\nTime;P [W];WP [Wh]\r\n2026-03-01 00:00:00,500;41,25;0,5\r\n";
    assert_eq!(values(analyser, ""), [(1_772_323_200.5, Some(41.25), None)]);
    assert_eq!(values(analyser, "time=Time,power=P [W],energy=WP [Wh]:Wh")[0].2, Some(1800.0));
    let iso = "time\tpower_kW\n\"2026-03-01T01:00:00+01:00\"\t\"0.04125\"\n";
    assert_eq!(values(iso, ""), [(1_772_323_200.0, Some(41.25), None)]);
    let ms = "time_ms,power_mw\n500,41250\n";
    assert_eq!(values(ms, ""), [(0.5, Some(41.25), None)]);
    assert_eq!(values("t,x\n1772323200500,7\n", "time=t,power=x"), [(1_772_323_200.5, Some(7.0), None)]);
    assert_eq!(values("t,e\n3,0.001\n", "time=t:s,energy=e:kWh"), [(3.0, None, Some(3600.0))]);
}

#[test]
fn bad_rows_keep_their_place_and_say_why() {
    let text = "time,power\n1,50\n2,nan\n3,-4\nsoon,50\n5,1e999\n6\n7,50,extra\n8,0x10\n";
    let rows = parse(text, Columns::default()).unwrap();
    let faults: Vec<Option<&str>> = rows.iter().map(|r| r.fault.as_deref()).collect();
    assert_eq!(
        faults,
        [
            None,
            Some("line 3: `nan` is no power"),
            Some("line 4: power is negative (-4)"),
            Some("line 5: `soon` is no time; write ISO 8601 or seconds"),
            Some("line 6: `1e999` is no power"),
            Some("line 7: the line ends before its power"),
            None,
            Some("line 9: `0x10` is no power"),
        ]
    );
    for (text, words) in [
        ("a,b\n1,2\n", "name the columns"),
        ("", "name the columns"),
        ("time,energy\n1,2\n", "unit of the column `energy` is not stated"),
    ] {
        let error = parse(text, Columns::default()).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let endless = "x,y\n".repeat(300);
    assert!(parse(&endless, Columns::default()).unwrap_err().contains("name the columns"));
}

#[test]
fn columns_are_declared_by_name_and_unit() {
    let columns = Columns::parse("time=ts:ms, power=Active Power:kW,energy=E:total:J").unwrap();
    assert_eq!(columns.time, Some(("ts".to_owned(), Some(TimeUnit::Milliseconds))));
    assert_eq!(columns.power, Some(("Active Power".to_owned(), Some(PowerUnit::Kilowatts))));
    assert_eq!(columns.energy, Some(("E:total".to_owned(), Some(EnergyUnit::Joules))));
    for wrong in ["", "power", "volt=U", "time=", "power=P:VA", "time=t:min", "energy=E:BTU"] {
        assert!(Columns::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn rows_survive_the_record() {
    let rows = parse("time,power\n1.25,50\n2,x\n", Columns::default()).unwrap();
    let json = serde_json::to_string(&rows).unwrap();
    assert_eq!(json, r#"[{"t_s":1.25,"power_w":50.0},{"t_s":2.0,"fault":"line 3: `x` is no power"}]"#);
    assert_eq!(serde_json::from_str::<Vec<Row>>(&json).unwrap(), rows);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_but_never_panics(text in "\\PC{0,200}", body in "[-0-9.,;:eETZ \t\n\"]{0,300}") {
        let _ = parse(&text, Columns::default());
        let rows = parse(&format!("time,power,energy_wh\n{body}"), Columns::default()).unwrap();
        for row in &rows {
            prop_assert!(row.fault.is_some() || (row.at.is_some() && row.power.is_some()));
            prop_assert!(row.power.is_none_or(|p| p.get() >= 0.0));
        }
        let _ = Alignment::of(&rows, &pulses());
    }

    #[test]
    fn energies_add_up_and_are_never_negative(cut in 31.0f64..79.0, seed in 0u64..50) {
        let alignment = aligned(&Meter { seed, ..METER }.powers());
        let part = |a: f64, b: f64| alignment.energy(moment(a), moment(b)).unwrap();
        let (left, right, whole) = (part(30.0, cut), part(cut, 80.0), part(30.0, 80.0));
        prop_assert!(left >= 0.0 && right >= 0.0);
        prop_assert!((left + right - whole).abs() < 1e-6 * whole, "{left} + {right} is not {whole}");
    }
}

#[test]
fn a_clock_that_was_set_by_decades_is_searched_only_where_there_are_rows() {
    // A meter that counts from 1970 until it learns the time, before the run begins.
    let mut rows: Vec<Row> = METER.powers().into_iter().take(20).collect();
    let late = Meter { offset: 1.7e9, ..METER };
    rows.extend(late.powers());
    let found = aligned(&rows);
    assert!((found.meter_time(moment(30.0)) - 1.7e9 - 30.0).abs() < 0.5, "{}", found.describe());
}

#[test]
fn times_that_no_search_could_cover_are_refused_at_once() {
    let row =
        |t: f64, watts: f64| Row { at: Seconds::new(t).ok(), power: Watts::new(watts).ok(), energy: None, fault: None };
    let steady = |times: &[f64]| times.iter().map(|t| row(*t, 50.0)).collect::<Vec<Row>>();
    // A double cannot tell such times apart in steps of a pulse.
    let far: Vec<f64> = (0..200).map(|i| if i < 150 { f64::from(i) } else { 1e18 * f64::from(i) }).collect();
    let error = Alignment::of(&steady(&far), &pulses()).unwrap_err();
    assert!(error.contains("too much time to look for pulses"), "{error}");
    // Most rows femtoseconds apart: the usual interval is no measure of the pulses.
    let near: Vec<f64> =
        (0..4000).map(|i| if i < 3000 { f64::from(i) * 1e-15 } else { f64::from(i - 2999) * 0.2 }).collect();
    assert!(Alignment::of(&steady(&near), &pulses()).is_err());
}
