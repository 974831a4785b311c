//! Published worked examples, to the printed digits, and what a ratio keeps.

use super::*;

const COVERAGE: Coverage = Coverage { confidence: 0.95, normal_from: 30, normal_factor: 2.0 };

fn normal(value: f64, dof: Option<f64>) -> Term {
    let term = Term::new(TermName::Scatter, Distribution::Normal, Some(value), "published example");
    match dof {
        Some(dof) => term.degrees_of_freedom(dof),
        None => term,
    }
}

fn stated(terms: Vec<Term>, coverage: &Coverage) -> Expanded {
    *Budget::new(vec!["example"], terms, coverage).expanded().unwrap()
}

fn dof(expanded: &Expanded) -> f64 {
    match expanded.effective_degrees_of_freedom {
        Dof::Finite(dof) => dof,
        Dof::Infinite => f64::INFINITY,
    }
}

/// JCGM 100:2008, H.1: calibration of an end gauge, H.1.3 to H.1.6 and Table H.1. In nanometres.
#[test]
fn the_end_gauge_of_the_gum() {
    // H.1.3.2, the comparison: pooled 13 nm (ν = 24) over 5 readings; 10 nm at 95 % with ν = 5, so t = 2.57; 20 nm
    // at three standard deviations, known to 25 %, so ν = 8.
    let t = student::two_sided(0.95, 5);
    let parts = [(13.0 / 5f64.sqrt(), 24.0), (10.0 / t, 5.0), (20.0 / 3.0, 8.0)];
    let d = stated(parts.map(|(u, dof)| normal(u, Some(dof))).to_vec(), &COVERAGE);
    assert_eq!(format!("{:.1} {:.1}", d.combined_standard_uncertainty, dof(&d)), "9.7 25.6");
    // The standard: 75 nm at three standard deviations, ν = 18. Expansion coefficients ±1e-6/°C known to 10 %,
    // at a deviation of 0.1 °C from 20 °C; temperature difference ±0.05 °C known to 50 %, at 11.5e-6/°C; both
    // rectangular and times the length of 50 mm.
    let length = 50e6;
    let within = |a: f64, c: f64, dof: f64| {
        let term = Term::new(TermName::Gain, Distribution::Rectangular, Some(a), "published example");
        term.sensitivity(c).degrees_of_freedom(dof)
    };
    let terms = vec![
        normal(75.0 / 3.0, Some(18.0)),
        normal(d.combined_standard_uncertainty, Some(dof(&d))),
        within(1e-6, length * 0.1, 50.0),
        within(0.05, -length * 11.5e-6, 2.0),
    ];
    let contributions: Vec<String> = terms.iter().map(|t| format!("{:.1}", t.contribution.unwrap())).collect();
    assert_eq!(contributions, ["25.0", "9.7", "2.9", "16.6"]);
    let l = stated(terms, &Coverage { confidence: 0.99, ..COVERAGE });
    assert_eq!(format!("{:.0}", l.combined_standard_uncertainty.powi(2)), "1002");
    assert_eq!(format!("{:.0}", l.combined_standard_uncertainty), "32");
    assert_eq!(format!("{:.1}", dof(&l)), "16.7");
    assert_eq!(format!("{:.2}", l.coverage_factor), "2.92");
    // The guide multiplies the rounded 32 nm: U99 = 2.92 · 32 nm = 93 nm.
    assert_eq!(format!("{:.0}", l.coverage_factor * l.combined_standard_uncertainty.round()), "93");
    assert!((l.expanded_uncertainty - 92.5).abs() < 0.1, "{l:?}");
}

/// JCGM 100:2008, G.4.1, example: Y = b·X1·X2·X3, relative standard uncertainties of 0.25, 0.57 and 0.82 %
/// from 10, 5 and 15 observations: u_c = 1.03 %, ν_eff = 19.0, U95 = 2.09 · 1.03 % = 2.2 %.
#[test]
fn the_product_of_three_means_of_the_gum() {
    let terms = [(0.0025, 9.0), (0.0057, 4.0), (0.0082, 14.0)].map(|(u, dof)| normal(u, Some(dof)));
    let e = stated(terms.to_vec(), &COVERAGE);
    assert_eq!(format!("{:.2}", e.combined_standard_uncertainty * 100.0), "1.03");
    assert_eq!(format!("{:.1}", dof(&e)), "19.0");
    assert_eq!(format!("{:.1}", e.expanded_uncertainty * 100.0), "2.2");
    // ν_eff is 18.999 before it is rounded. It is cut to 18, never rounded up.
    assert_eq!(format!("{:.2}", e.coverage_factor), "2.10");
}

/// EA-4/02, supplement S2: calibration of a weight of 10 kg, in milligrams, as GUM Workbench prints the
/// example: 45 mg with k = 2, comparator 14.2 mg, rectangular ±15, ±10 and ±10 mg; u = 29.1 mg, U = 58 mg, k = 2.
#[test]
fn the_ten_kilogram_weight_of_ea_4_02() {
    let within = |a: f64| Term::new(TermName::Gain, Distribution::Rectangular, Some(a), "published example");
    let terms = vec![normal(45.0 / 2.0, None), within(15.0), normal(14.2, None), within(10.0), within(10.0)];
    let contributions: Vec<String> = terms.iter().map(|t| format!("{:.2}", t.contribution.unwrap())).collect();
    assert_eq!(contributions, ["22.50", "8.66", "14.20", "5.77", "5.77"]);
    let e = stated(terms, &COVERAGE);
    assert_eq!(format!("{:.1} {:.0}", e.combined_standard_uncertainty, e.expanded_uncertainty), "29.1 58");
    assert_eq!((e.coverage_factor, e.effective_degrees_of_freedom), (2.0, Dof::Infinite));
}

#[test]
fn a_gain_bound_of_five_percent_alone_is_five_point_eight_percent() {
    let e = stated(vec![Term::new(TermName::Gain, Distribution::Rectangular, Some(0.05), "x")], &COVERAGE);
    assert_eq!(format!("{:.1} % (k = {})", e.expanded_uncertainty * 100.0, e.coverage_factor), "5.8 % (k = 2)");
}

#[test]
fn few_repeats_widen_the_interval_and_many_do_not() {
    let k = |dof: f64| stated(vec![normal(0.01, Some(dof))], &COVERAGE).coverage_factor;
    assert_eq!([k(4.0), k(9.0), k(29.9)].map(|k| format!("{k:.3}")), ["2.776", "2.262", "2.045"]);
    assert_eq!([k(30.0), k(1e9)].map(|k| format!("{k:.3}")), ["2.000", "2.000"]);
    // A small type A term beside an exactly known bound does not reduce the degrees of freedom.
    let gain = Term::new(TermName::Gain, Distribution::Rectangular, Some(0.05), "x");
    let both = stated(vec![normal(0.001, Some(4.0)), gain], &COVERAGE);
    assert_eq!(format!("{:.3}", both.coverage_factor), "2.000");
}

#[test]
fn no_error_at_all_is_stated_as_such_and_an_unknown_one_is_not() {
    assert!(stated(vec![normal(0.0, Some(4.0))], &COVERAGE).expanded_uncertainty.abs() < 1e-300);
    for unknown in [None, Some(f64::NAN), Some(f64::INFINITY), Some(-0.1)] {
        let term = Term::new(TermName::Alignment, Distribution::Triangular, unknown, "τ was not probed");
        let budget = Budget::new(vec!["energy_j"], vec![normal(0.01, None), term], &COVERAGE);
        assert_eq!(budget.expanded(), None);
        assert_eq!(budget.reason(), Some("alignment is unknown: τ was not probed"));
        assert_eq!(budget.contribution(TermName::Alignment), None);
    }
}

fn figure(scatter: f64, sensor: &str, gain: f64, share: f64) -> Budget {
    let gain = Term::new(TermName::Gain, Distribution::Rectangular, Some(gain), "policy")
        .sensitivity(share)
        .shared(format!("gain of {sensor}"));
    Budget::new(vec!["energy_j"], vec![normal(scatter, Some(9.0)), gain], &COVERAGE)
}

fn ratio(a: &Budget, b: &Budget) -> Expanded {
    *a.over(b, vec!["ratio"], &COVERAGE).expanded().unwrap()
}

#[test]
fn in_a_ratio_on_one_sensor_the_gain_cancels() {
    let e = ratio(&figure(0.003, "rapl", 0.05, 1.0), &figure(0.004, "rapl", 0.05, 1.0));
    assert!((e.combined_standard_uncertainty - 0.005).abs() < 1e-12, "{e:?}");
    // Two equal scatters of 9 degrees each: u⁴/(2·(u²/2)²/9) = 18.
    let e = ratio(&figure(0.004, "rapl", 0.05, 1.0), &figure(0.004, "rapl", 0.05, 1.0));
    assert!((dof(&e) - 18.0).abs() < 1e-9);
}

#[test]
fn in_a_ratio_across_sensors_both_gains_count_in_full() {
    let e = ratio(&figure(0.003, "rapl", 0.05, 1.0), &figure(0.004, "nvml", 0.05, 1.0));
    let expected = (0.003f64.powi(2) + 0.004f64.powi(2) + 2.0 * 0.05f64.powi(2) / 3.0).sqrt();
    assert!((e.combined_standard_uncertainty - expected).abs() < 1e-12, "{e:?}");
}

#[test]
fn a_sensor_that_counts_parts_of_both_cancels_in_part() {
    let e = ratio(&figure(0.0, "rapl", 0.05, 0.7), &figure(0.0, "rapl", 0.05, 0.4));
    assert!((e.combined_standard_uncertainty - 0.3 * 0.05 / 3f64.sqrt()).abs() < 1e-12);
    // Another bound for the same sensor is another error: nothing cancels.
    let e = ratio(&figure(0.0, "rapl", 0.05, 1.0), &figure(0.0, "rapl", 0.02, 1.0));
    assert!((e.combined_standard_uncertainty - (0.05f64.hypot(0.02) / 3f64.sqrt())).abs() < 1e-12);
}

#[test]
fn a_ratio_to_a_figure_without_budget_has_none() {
    let none = Budget::not_stated(vec!["energy_j"], "net energy is not positive");
    let ratio = figure(0.0, "rapl", 0.05, 1.0).over(&none, vec!["ratio"], &COVERAGE);
    assert_eq!(ratio.reason(), Some("net energy is not positive"));
}
