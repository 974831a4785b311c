//! Records no run would write: whatever they hold, figures are finite or absent and nothing panics.

use super::compare::CompareModel;
use super::{FORMATS, ReportModel};
use crate::analysis::summarise;
use crate::clock::Moment;
use crate::compare::{Entrant, Options, compare};
use crate::record::{Flag, RunRecord, fixture};
use crate::units::{Bytes, Flops, MicroJoules, Seconds};
use proptest::prelude::*;

/// One thing that is odd about a record.
#[derive(Debug, Clone)]
enum Oddity {
    Wall(f64),
    Iterations(u64),
    Energy(u64),
    Span(u64, u64),
    Period(f64),
    Work(f64, f64, f64),
    Flagged,
    NoEnergy,
    Start(u64),
    Resamples(u32),
    Confidence(f64),
    Threads(u32),
}

fn real() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-1.0), Just(f64::MIN_POSITIVE), Just(f64::MAX), Just(-f64::MAX), -1e3..1e3, 1e-12..1e12,]
}

fn oddity() -> impl Strategy<Value = Oddity> {
    prop_oneof![
        real().prop_map(Oddity::Wall),
        prop_oneof![Just(0), Just(u64::MAX), 1..10_000u64].prop_map(Oddity::Iterations),
        prop_oneof![Just(0), Just(u64::MAX), 1..10_000u64].prop_map(Oddity::Energy),
        (any::<u64>(), any::<u64>()).prop_map(|(a, b)| Oddity::Span(a, b)),
        real().prop_map(Oddity::Period),
        (real(), real(), real()).prop_map(|(a, b, c)| Oddity::Work(a, b, c)),
        Just(Oddity::Flagged),
        Just(Oddity::NoEnergy),
        any::<u64>().prop_map(Oddity::Start),
        prop_oneof![Just(0), Just(200)].prop_map(Oddity::Resamples),
        real().prop_map(Oddity::Confidence),
        any::<u32>().prop_map(Oddity::Threads),
    ]
}

fn apply(record: &mut RunRecord, case: usize, window: usize, oddity: &Oddity) {
    let cases = record.measurements.len();
    let measurement = &mut record.measurements[case % cases];
    let Some(prepared) = &mut measurement.prepared else { return };
    let windows = measurement.samples.len();
    let sample = &mut measurement.samples[window % windows];
    match oddity {
        Oddity::Wall(v) => sample.wall = Seconds::new(*v).unwrap(),
        Oddity::Iterations(n) => sample.iterations = *n,
        Oddity::Energy(n) => sample.energy.iter_mut().for_each(|s| s.energy = MicroJoules::new(*n)),
        Oddity::Span(a, b) => {
            sample.energy.iter_mut().for_each(|s| (s.from, s.to) = (Moment::from_nanos(*a), Moment::from_nanos(*b)))
        }
        Oddity::Period(v) => sample.energy.iter_mut().for_each(|s| s.update_period = Seconds::new(*v).ok()),
        Oddity::Work(useful, dense, bytes) => {
            prepared.work.useful = Flops::new(*useful).unwrap();
            prepared.work.dense_equivalent = Flops::new(*dense).unwrap();
            prepared.work.bytes = Bytes::new(*bytes).unwrap();
        }
        Oddity::Flagged => sample.flags.push(Flag { code: "odd".into(), detail: "odd".into() }),
        Oddity::NoEnergy => sample.energy.clear(),
        Oddity::Start(n) => sample.start = Moment::from_nanos(*n),
        Oddity::Resamples(n) => record.header.profile.bootstrap_resamples = *n,
        Oddity::Confidence(v) => record.header.profile.confidence = *v,
        Oddity::Threads(n) => prepared.program.threads = *n,
    }
}

fn assert_finite(json: &serde_json::Value, text: &str) {
    // serde_json writes NaN and infinity as null; bounds and medians are never null when measured.
    match json {
        serde_json::Value::Object(map) => {
            if let Some(measured) = map.get("measured") {
                assert!(measured["median"].is_number(), "{text}: {measured}");
                assert_eq!(measured["low"].is_number(), measured["high"].is_number(), "{text}: {measured}");
            }
            map.iter().for_each(|(key, value)| assert_finite(value, key));
        }
        serde_json::Value::Array(all) => all.iter().for_each(|value| assert_finite(value, text)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn odd_records_give_finite_figures_or_none(
        oddities in prop::collection::vec((any::<usize>(), any::<usize>(), oddity()), 1..12)
    ) {
        let mut record = fixture::with_rapl();
        record.header.profile.bootstrap_resamples = 200;
        for (case, window, oddity) in &oddities {
            apply(&mut record, *case, *window, oddity);
        }
        let summary = summarise(&record);
        assert_finite(&serde_json::to_value(&summary).unwrap(), "summary");
        let model = ReportModel::new(&record, summary);
        let (x, y) = (&model.roofline.x, &model.roofline.y);
        for axis in [x, y, &model.trace.x, &model.trace.y] {
            prop_assert!(axis.min.is_finite() && axis.max.is_finite() && axis.min < axis.max, "{axis:?}");
        }
        for point in &model.roofline.points {
            prop_assert!(point.x >= x.min && point.x <= x.max && point.y >= y.min && point.y <= y.max);
        }
        for (low, high) in model.bars.bars.iter().filter_map(|b| b.interval) {
            prop_assert!(low.is_finite() && high.is_finite() && low <= high);
        }
        for cell in model.results.rows.iter().flat_map(|r| &r.cells) {
            prop_assert!(cell.text.len() < 200 && !cell.text.contains("NaN") && !cell.text.contains("inf"), "{cell:?}");
        }
        for format in FORMATS.iter().filter(|f| !f.binary) {
            prop_assert!((format.render)(&model).is_ok(), "{}", format.id);
        }
    }

    #[test]
    fn comparisons_of_odd_records_are_finite_or_absent(
        oddities in prop::collection::vec((any::<usize>(), any::<usize>(), oddity()), 1..12),
        first in any::<bool>(),
    ) {
        let policy = crate::policy::Policy::shipped();
        let plain = fixture::with_rapl();
        let mut odd = fixture::rival(&plain, 1);
        for (case, window, oddity) in &oddities {
            apply(&mut odd, *case, *window, oddity);
        }
        let mut entrants = [&plain, &odd, &fixture::rival(&plain, 2)].map(|r| Entrant::of(r, &policy));
        if first {
            entrants.swap(0, 1);
        }
        let Ok(c) = compare(&entrants, Vec::new(), &Options::default(), &policy) else { return Ok(()) };
        for row in c.cases.iter().flat_map(|k| &k.rows) {
            let figures = [row.time_s, row.energy_j, row.efficiency_flop_per_j, row.dense_equivalent_flop_per_j];
            let ratios = [row.time_ratio, row.energy_ratio].into_iter().flatten().map(|r| (r.ratio, r.low, r.high));
            let all = figures.into_iter().flatten().map(|f| (f.value, f.low, f.high)).chain(ratios);
            for (value, low, high) in all {
                prop_assert!(value.is_finite() && value > 0.0, "{row:?}");
                prop_assert!(low.is_none_or(|l| l > 0.0) && high.is_none_or(f64::is_finite), "{row:?}");
            }
        }
        let model = CompareModel::of(&c);
        for table in model.cases.iter().map(|k| &k.table).chain([&model.ranking, &model.sparse]) {
            for cell in table.rows.iter().flat_map(|r| &r.cells) {
                prop_assert!(!cell.text.contains("NaN") && !cell.text.contains("inf"), "{cell:?}");
            }
        }
        for format in super::compare::FORMATS.iter().filter(|f| f.id != "pdf") {
            prop_assert!((format.render)(&model).is_ok(), "{}", format.id);
        }
    }
}
