use super::*;
use crate::analysis::summarise;
use crate::policy::{Certification, Table};
use crate::record::{RunRecord, fixture};
use crate::units::MicroJoules;
use crate::verdict::rules::breaks::{Bed, Draw};

fn rating(bed: &Bed) -> Option<Rating> {
    bed.assess().rating
}

/// A table of the record's own figures, each `part` of what was measured.
fn own_table(record: &RunRecord, part: f64) -> Table {
    let mut table = Table::shipped("reference-cpu-1").unwrap();
    let summary = summarise(record);
    for row in &mut table.rows {
        let case = summary.cases.iter().find(|c| c.id == row.case).unwrap();
        row.efficiency = case.energy.efficiency.estimate().unwrap().median * part;
    }
    table
}

#[test]
fn the_index_is_the_weighted_geometric_mean() {
    let mut bed = Bed::certifiable();
    bed.table = own_table(&bed.record, 1.0);
    let whole = rating(&bed).unwrap();
    assert!((whole.index - 1.0).abs() < 1e-12, "{}", whole.index);
    // Weights 1.5, 1.5, 3, 3, 1.5, 1.5, 3 of 15: a fourfold first row counts with 4^0.1.
    bed.table.rows[0].efficiency /= 4.0;
    bed.table.rows[6].efficiency *= 2.0;
    let changed = rating(&bed).unwrap();
    let expected = 4f64.powf(0.1) * 0.5f64.powf(0.2);
    assert!((changed.index / expected - 1.0).abs() < 1e-12, "{} {expected}", changed.index);
    assert!((changed.rows.iter().map(|r| r.weight).sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn gain_adds_up_linearly_and_scatter_as_root_of_squares() {
    let mut bed = Bed::certifiable();
    bed.table = own_table(&bed.record, 1.0);
    let rating = rating(&bed).unwrap();
    let budget = &rating.budget;
    // One sensor read every case: its gain bears on the index as on one case, 5 % / √3.
    let gain = budget.contribution(TermName::Gain).unwrap();
    assert!((gain - 0.05 / 3f64.sqrt()).abs() < 1e-12, "{gain}");
    assert_eq!(budget.terms.iter().filter(|t| t.name == TermName::Gain).count(), 1);
    let summary = summarise(&bed.record);
    let scatter = rating.rows.iter().map(|row| {
        let case = summary.cases.iter().find(|c| c.id == row.case).unwrap();
        let budget = case.energy.budget("efficiency_flop_per_j").unwrap();
        (row.weight * budget.contribution(TermName::Scatter).unwrap()).powi(2)
    });
    let expected = scatter.sum::<f64>().sqrt();
    let found = budget.contribution(TermName::Scatter).unwrap();
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
    assert_eq!(budget.terms.iter().filter(|t| t.name == TermName::Scatter).count(), rating.rows.len());
    let sum: f64 = budget.terms.iter().map(|t| t.contribution.unwrap().powi(2)).sum();
    let expanded = budget.expanded().unwrap();
    assert!((expanded.combined_standard_uncertainty - sum.sqrt()).abs() < 1e-12);
    assert!((rating.expanded_uncertainty - expanded.coverage_factor * sum.sqrt()).abs() < 1e-12);
}

#[test]
fn the_class_is_taken_on_the_lower_end_and_names_what_is_not_excluded() {
    let mut bed = Bed::certifiable();
    for (index, letter, not_excluded) in [
        (6.1, 'A', None),
        (5.7, 'B', Some('A')),
        (5.2, 'B', None),
        (1.41, 'D', Some('C')),
        (1.5, 'C', None),
        (0.18, 'G', Some('F')),
        (0.05, 'G', None),
    ] {
        bed.table = own_table(&bed.record, 1.0 / index);
        let rating = rating(&bed).unwrap();
        assert!((rating.index / index - 1.0).abs() < 1e-9);
        assert_eq!(rating.class, Class { letter, not_excluded }, "{index}: {}", rating.expanded_uncertainty);
        assert!(rating.lower < rating.index && rating.index < rating.upper);
    }
}

#[test]
fn what_cannot_be_rated_is_not() {
    let mut bed = Bed::certifiable();
    bed.table.rows.clear();
    assert_eq!(rating(&bed), None);
    let mut bed = Bed::certifiable();
    bed.table.rows[0].case = "gemm-of-another-suite".to_owned();
    assert_eq!(rating(&bed), None);
    // Without an update period the alignment is unknown, so no uncertainty can be stated.
    let mut bed = Bed::certifiable();
    for sample in bed.record.measurements.iter_mut().flat_map(|m| &mut m.samples) {
        sample.energy.iter_mut().for_each(|e| e.update_period = None);
    }
    assert_eq!(rating(&bed), None);
}

/// One kind of campaign: gain drawn from ± bound, scatter normal, windows and cases as they say.
struct Campaign {
    name: &'static str,
    sensor: &'static str,
    bound: f64,
    scatter: f64,
    windows: usize,
    cases: usize,
    /// The class bound that the true index is.
    at: f64,
}

/// The index's true value lies exactly at a class bound: how often is the better class given?
///
/// Every trial goes the whole way, from counter values through the analysis to the class.
fn false_acceptance(campaign: &Campaign, trials: u32, draw: &mut Draw) -> f64 {
    let mut record = fixture::certifiable();
    record.trace.clear();
    record.header.profile.bootstrap_resamples = 200;
    record.measurements.retain(|m| !matches!(m.case.kernel.as_str(), "fma-peak" | "read-bandwidth"));
    record.measurements.truncate(campaign.cases);
    let mut table = Table::shipped("reference-cpu-1").unwrap();
    table.rows.truncate(campaign.cases);
    if campaign.sensor != "rapl" {
        for status in &mut record.header.sensors {
            if let crate::record::SensorStatus::Ready(info) = status {
                info.id = campaign.sensor.to_owned();
            }
        }
    }
    // Only the package is counted: a second domain at rest would belong to the boundary.
    record.idle.clear();
    let watts = 60.0;
    for (measurement, row) in record.measurements.iter_mut().zip(&mut table.rows) {
        row.case.clone_from(&measurement.case.id);
        let first = measurement.samples[0].clone();
        measurement.samples.resize(campaign.windows, first);
        for sample in &mut measurement.samples {
            sample.energy.truncate(1);
            sample.energy[0].sensor = campaign.sensor.to_owned();
        }
        // What a meter without error would find.
        let work = measurement.prepared.as_ref().unwrap().work.useful.get();
        let sample = &measurement.samples[0];
        row.efficiency = work * sample.iterations as f64 / (watts * sample.wall.get()) / campaign.at;
        let (iterations, wall) = (sample.iterations, sample.wall);
        for sample in &mut measurement.samples {
            (sample.iterations, sample.wall) = (iterations, wall);
        }
    }
    let policy = Certification::shipped();
    let mut accepted = 0u32;
    for _ in 0..trials {
        let gain = 1.0 + campaign.bound * draw.between(-1.0, 1.0);
        for sample in record.measurements.iter_mut().flat_map(|m| &mut m.samples) {
            let span = &mut sample.energy[0];
            let length = span.to.since(span.from).get();
            let joules = watts * length * gain * (1.0 + campaign.scatter * normal(draw));
            span.energy = MicroJoules::new((joules * 1e6).round() as u64);
        }
        let summary = summarise(&record);
        let subject = Subject { record: &record, summary: &summary, policy: &policy, table: &table };
        accepted += u32::from(rate(&subject).unwrap().lower >= campaign.at);
    }
    f64::from(accepted) / f64::from(trials)
}

const fn campaign(
    name: &'static str,
    (sensor, bound): (&'static str, f64),
    scatter: f64,
    (windows, cases): (usize, usize),
    at: f64,
) -> Campaign {
    Campaign { name, sensor, bound, scatter, windows, cases, at }
}

fn normal(draw: &mut Draw) -> f64 {
    let (u, v) = (1.0 - draw.unit(), draw.unit());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

const CAMPAIGNS: [Campaign; 7] = [
    campaign("RAPL, 10 windows, 0.5 % scatter, 1 case, bound 1.41", ("rapl", 0.05), 0.005, (10, 1), 1.41),
    campaign("RAPL, 10 windows, 5 % scatter, 1 case, bound 1.41", ("rapl", 0.05), 0.05, (10, 1), 1.41),
    campaign("RAPL, 10 windows, 5 % scatter, 4 cases, bound 5.66", ("rapl", 0.05), 0.05, (10, 4), 5.66),
    campaign("RAPL, 20 windows, 10 % scatter, 2 cases, bound 0.35", ("rapl", 0.05), 0.1, (20, 2), 0.35),
    campaign("unknown counter, 10 windows, 1 % scatter, 2 cases, bound 0.71", ("acme", 0.10), 0.01, (10, 2), 0.71),
    campaign(
        "RAPL without error of gain, 10 windows, 5 % scatter, 2 cases, bound 2.83",
        ("rapl", 0.0),
        0.05,
        (10, 2),
        2.83,
    ),
    campaign("RAPL, 10 windows, 15 % scatter, 4 cases, bound 0.18", ("rapl", 0.05), 0.15, (10, 4), 0.18),
];

#[test]
fn a_true_index_at_a_bound_gets_the_better_class_in_less_than_a_fortieth_of_the_cases() {
    let page = include_str!("../../../docs/rating.md");
    let shares: Vec<f64> = std::thread::scope(|scope| {
        let run = |(n, campaign)| scope.spawn(move || false_acceptance(campaign, 10_000, &mut Draw(20_260_407 + n)));
        let running: Vec<_> = (0u64..).zip(&CAMPAIGNS).map(run).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let rows: Vec<String> = CAMPAIGNS
        .iter()
        .zip(&shares)
        .map(|(campaign, share)| format!("| {} | {:.2} % |", campaign.name, share * 100.0))
        .collect();
    assert!(shares.iter().all(|share| *share < 0.025), "{}", rows.join("\n"));
    assert!(rows.iter().all(|row| page.contains(row)), "docs/rating.md should say\n{}", rows.join("\n"));
}
