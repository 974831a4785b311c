//! Budgets of whole records, term by term against numbers computed by hand.

use super::*;
use crate::analysis::{Dof, EnergyFigures, Expanded, summarise};
use crate::record::{EnergySpan, IdlePhase, IdleWindow, RunRecord, State, fixture};
use crate::units::{MicroJoules, Seconds};

/// Windows of 2, 1 and 4 s with package-0 at 50 W and dram-0 at 5 W; idle 18 and 22 W, and 2 W.
fn by_hand() -> RunRecord {
    let mut record = fixture::hand_made(&[2e-3, 1e-3, 4e-3]);
    record.header.sensors[0] = fixture::with_rapl().header.sensors[0].clone();
    for sample in &mut record.measurements[0].samples {
        fixture::add_energy(sample, "package-0", 50.0);
        fixture::add_energy(sample, "dram-0", 5.0);
    }
    for (phase, watts) in [(IdlePhase::Before, 18.0), (IdlePhase::After, 22.0)] {
        let mut sample = record.measurements[0].samples[0].clone();
        sample.energy.clear();
        sample.wall = Seconds::new(10.0).unwrap();
        fixture::add_energy(&mut sample, "package-0", watts);
        fixture::add_energy(&mut sample, "dram-0", 2.0);
        let (start, wall, energy) = (sample.start, sample.wall, sample.energy);
        record.idle.push(IdleWindow { phase, start, wall, energy, state: State::default(), flags: Vec::new() });
    }
    record
}

fn energy(record: &RunRecord) -> EnergyFigures {
    summarise(record).cases[0].energy.clone()
}

fn stated(budget: &Budget) -> Expanded {
    *budget.expanded().unwrap_or_else(|| panic!("{:?}", budget.reason()))
}

fn contribution(budget: &Budget, name: TermName) -> f64 {
    budget.contribution(name).unwrap_or_else(|| panic!("{name:?} in {:?}", budget.terms))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs()
}

/// All spans of all windows.
fn spans(record: &mut RunRecord) -> impl Iterator<Item = &mut EnergySpan> {
    record.measurements.iter_mut().flat_map(|m| &mut m.samples).flat_map(|s| &mut s.energy)
}

#[test]
fn every_term_of_mean_power_is_the_one_computed_by_hand() {
    let energy = energy(&by_hand());
    let budget = energy.budget("power_w").unwrap();
    // All windows have 55 W, so nothing scatters. The shortest is 1 s and has 55 J.
    let (root3, root6) = (3f64.sqrt(), 6f64.sqrt());
    for (name, expected) in [
        (TermName::Scatter, 0.0),
        (TermName::Gain, 0.05 / root3),
        (TermName::Linearity, 0.0),
        (TermName::Quantisation, 61e-6 * 2f64.sqrt() / 55.0 / root6),
        (TermName::Alignment, 1e-3 / root6),
        (TermName::Span, 0.0),
        (TermName::Clock, 0.0005 / root3),
    ] {
        let found = contribution(budget, name);
        assert!((found - expected).abs() < 1e-9, "{name:?}: {found}, by hand {expected}");
    }
    assert_eq!(budget.terms.len(), 7, "one gain for package and memory: one sensor counts both");
    let sum = budget.terms.iter().map(|t| t.contribution.unwrap().powi(2)).sum::<f64>().sqrt();
    let e = stated(budget);
    assert!(close(e.combined_standard_uncertainty, sum) && close(e.expanded_uncertainty, 2.0 * sum));
    assert_eq!((e.effective_degrees_of_freedom, e.coverage_factor), (Dof::Infinite, 2.0));
}

#[test]
fn scatter_of_three_windows_rules_the_coverage_factor() {
    let energy = energy(&by_hand());
    let budget = energy.budget("energy_j").unwrap();
    assert_eq!(budget, energy.budget("efficiency_flop_per_j").unwrap());
    // 110, 55 and 220 mJ: exact bootstrap of three, weights 7/27, 13/27, 7/27.
    let (weights, values): ([f64; 3], _) = ([7.0, 13.0, 7.0].map(|w| w / 27.0), [55.0, 110.0, 220.0]);
    let mean: f64 = weights.iter().zip(values).map(|(w, v)| w * v).sum();
    let variance: f64 = weights.iter().zip(values).map(|(w, v)| w * (v - mean).powi(2)).sum();
    let exact = (variance * 1.5).sqrt() / 110.0;
    assert!((contribution(budget, TermName::Scatter) / exact - 1.0).abs() < 0.02);
    // ν = 2 for the scatter, which is nearly all: ν_eff just above 2, k = t(2) = 4.30.
    assert_eq!(format!("{:.2}", stated(budget).coverage_factor), "4.30");
}

#[test]
fn net_energy_has_two_gains_and_the_drift_at_rest() {
    let energy = energy(&by_hand());
    let budget = energy.budget("net_energy_j").unwrap();
    // Idle is 20 + 2 W of 55 W, so net is 0.6 of gross; before and after lie 2 W from their mean.
    let gain = 0.05 / 3f64.sqrt();
    assert!(close(contribution(budget, TermName::Gain), gain / 0.6));
    assert!(close(contribution(budget, TermName::GainAtRest), gain * 0.4 / 0.6));
    assert!(close(contribution(budget, TermName::IdleDrift), 2.0 / 55.0 / 0.6 / 3f64.sqrt()));
    assert!(close(contribution(budget, TermName::Alignment), 1e-3 / 6f64.sqrt() / 0.6));
}

#[test]
fn net_energy_without_drift_or_above_nothing_is_not_stated() {
    let mut record = by_hand();
    record.idle.truncate(1);
    let reason = |record: &RunRecord| energy(record).budget("net_energy_j").unwrap().reason().unwrap().to_owned();
    assert_eq!(reason(&record), "idle drift is unknown: idle power was measured on one side of the cases only");
    let mut record = by_hand();
    for span in record.idle.iter_mut().flat_map(|w| &mut w.energy) {
        span.energy = MicroJoules::new(span.energy.get() * 4);
    }
    assert_eq!(reason(&record), "net energy is not positive");
}

#[test]
fn wraps_add_steps() {
    let mut record = by_hand();
    spans(&mut record).for_each(|span| span.wraps = 2);
    // q²/6 + w²·q²/3 with w = 2 is 9 times q²/6.
    let found = contribution(energy(&record).budget("energy_j").unwrap(), TermName::Quantisation);
    assert!((found - 3.0 * 61e-6 * 2f64.sqrt() / 55.0 / 6f64.sqrt()).abs() < 1e-9);
}

#[test]
fn polled_power_has_aliasing_and_no_steps_and_an_unknown_sensor_is_trusted_less() {
    let mut record = by_hand();
    record.idle.clear();
    spans(&mut record).for_each(|span| span.method = EnergyMethod::Integrated);
    let polled = energy(&record);
    let budget = polled.budget("power_w").unwrap();
    let root3 = 3f64.sqrt();
    assert!(close(contribution(budget, TermName::Aliasing), 0.05 / root3));
    assert!(close(contribution(budget, TermName::Gain), 0.10 / root3));
    assert_eq!(budget.contribution(TermName::Quantisation), None);
    let mut record = by_hand();
    spans(&mut record).for_each(|span| span.sensor = "new-meter".to_owned());
    let unknown = energy(&record);
    let terms = &unknown.budget("power_w").unwrap().terms;
    let linearity = terms.iter().find(|t| t.name == TermName::Linearity).unwrap();
    assert_eq!((linearity.value, linearity.source.as_str()), (Some(0.10), "policy: any counter"));
    // Its step is not stated, so neither is its uncertainty.
    assert!(unknown.budget("power_w").unwrap().reason().unwrap().starts_with("quantisation is unknown"));
}

#[test]
fn gains_of_two_sensors_are_independent_and_weighted_by_their_energy() {
    let mut record = by_hand();
    spans(&mut record).filter(|s| s.domain.to_string() == "dram-0").for_each(|s| s.sensor = "hwmon".to_owned());
    let budget = energy(&record).budget("power_w").unwrap().clone();
    let expected = (0.05 * 50.0 / 55.0f64).hypot(0.10 * 5.0 / 55.0) / 3f64.sqrt();
    assert!(close(contribution(&budget, TermName::Gain), expected));
}

#[test]
fn one_window_or_no_period_leaves_the_uncertainty_open() {
    let mut record = by_hand();
    record.measurements[0].samples.truncate(1);
    let reason = energy(&record).budget("energy_j").unwrap().reason().unwrap().to_owned();
    assert_eq!(reason, "scatter is unknown: one window has no scatter");
    let mut record = by_hand();
    spans(&mut record).next().unwrap().update_period = None;
    assert!(energy(&record).budget("power_w").unwrap().reason().unwrap().starts_with("alignment is unknown"));
}

#[test]
fn the_gain_cancels_between_cases_of_one_machine_and_not_between_machines() {
    let record = fixture::with_rapl();
    let here = summarise(&record);
    let coverage = here.uncertainty_policy.coverage;
    let key = "efficiency_flop_per_j";
    let of = |summary: &crate::analysis::Summary, case: usize| summary.cases[case].energy.budget(key).unwrap().clone();
    let ratio = of(&here, 7).over(&of(&here, 8), vec!["ratio"], &coverage);
    assert!(contribution(&ratio, TermName::Gain) < 1e-12);
    assert!(stated(&ratio).expanded_uncertainty < 0.02, "{ratio:?}");
    let mut record = record;
    record.header.environment.host.machine_hash = Some("another".to_owned());
    let there = summarise(&record);
    let ratio = of(&here, 7).over(&of(&there, 8), vec!["ratio"], &coverage);
    assert!(close(contribution(&ratio, TermName::Gain), 0.05 * 2f64.sqrt() / 3f64.sqrt()));
}

#[test]
fn every_measured_figure_of_energy_has_a_budget() {
    for record in [fixture::with_rapl(), fixture::with_gpu(), fixture::fifty_cases(), fixture::partial()] {
        for case in &summarise(&record).cases {
            let sets = case.domains.iter().map(|d| &d.figures).chain([&case.energy]);
            for set in sets {
                for (figure, key) in [
                    (&set.window, "window_energy_j"),
                    (&set.per_iteration, "energy_j"),
                    (&set.power, "power_w"),
                    (&set.efficiency, "efficiency_flop_per_j"),
                    (&set.per_flop, "energy_per_flop_j"),
                    (&set.net_per_iteration, "net_energy_j"),
                ] {
                    assert!(figure.estimate().is_none() || set.budget(key).is_some(), "{key} of {}", case.id);
                }
                let dense = "dense_equivalent_efficiency_flop_per_j";
                assert_eq!(
                    set.dense_efficiency.as_ref().is_some_and(|f| f.estimate().is_some()),
                    set.budget(dense).is_some()
                );
            }
        }
    }
}
