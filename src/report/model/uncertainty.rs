//! Uncertainty for people: `± 5.8 %` beside a figure, and one table of budgets.

use super::grid::{missing, text_column, words};
use super::plain::{plain, shorten};
use super::{Cell, CellKind, Column, Row, Table, Tone};
use crate::analysis::{Budget, CaseSummary, Dof, EnergyFigures, Expanded, Figure, Summary, TermName};
use crate::report::si;

/// Contributions below this are shown as such: they change no printed digit of U.
const SMALLEST: f64 = 5e-6;

/// `5.8 %`: two significant digits (GUM 7.2.6).
pub(in crate::report) fn two_digits(fraction: f64) -> String {
    let percent = fraction * 100.0;
    for decimals in 0..=4 {
        let text = format!("{percent:.decimals$}");
        let digits = text.chars().filter(char::is_ascii_digit).skip_while(|c| *c == '0').count();
        if digits >= 2 {
            return format!("{text} %");
        }
    }
    if percent == 0.0 { "0 %".to_owned() } else { "below 0.001 %".to_owned() }
}

/// `± 5.8 %`.
fn plus_minus(e: &Expanded) -> String {
    format!("± {}", two_digits(e.expanded_uncertainty))
}

/// `2`, `2.26`.
pub(in crate::report) fn factor(k: f64) -> String {
    let text = format!("{k:.2}");
    text.strip_suffix(".00").map_or_else(|| text.clone(), str::to_owned)
}

/// Puts the expanded uncertainty of `figure` in the place of the interval of the median, which stays
/// in the note: an interval of joules has to hold the error of the sensor too.
pub(super) fn state(cells: &mut [Cell], budgets: &[Option<&Budget>]) {
    for (cell, budget) in cells.iter_mut().zip(budgets) {
        let Some(budget) = budget.filter(|_| cell.kind == CellKind::Measured) else { continue };
        let spread = cell.interval.take();
        let median = cell.note.take().unwrap_or_default();
        cell.note = Some(match (budget.expanded(), spread) {
            (Some(e), spread) => {
                cell.interval = Some(plus_minus(e));
                let k = format!("k = {}, covers {}", factor(e.coverage_factor), si::set_percent(e.confidence));
                match spread {
                    Some(spread) => format!("{k}, all sources; scatter of the windows alone {spread} ({median})"),
                    None => format!("{k}, all sources ({median})"),
                }
            }
            (None, spread) => {
                let reason = plain(budget.reason().unwrap_or_default());
                let spread = spread.map(|s| format!("; scatter of the windows alone {s}")).unwrap_or_default();
                format!("uncertainty not stated: {reason}{spread} ({median})")
            }
        });
    }
}

/// The figure a case is rated on, with unit and budget: FLOP/J, or joules where a kernel has no operations.
pub(in crate::report) fn rated(energy: &EnergyFigures) -> Option<(f64, &'static str, &Budget)> {
    let pick = |figure: &Figure, unit, key| {
        let median = figure.estimate()?.median;
        energy.budget(key).map(|budget| (median, unit, budget))
    };
    pick(&energy.efficiency, "FLOP/J", "efficiency_flop_per_j").or_else(|| pick(&energy.per_iteration, "J", "energy_j"))
}

/// `2.67 GFLOP/J ± 5.8 % (k = 2)`.
pub(in crate::report) fn stated(value: f64, unit: &str, budget: &Budget) -> String {
    let value = si::quantity(value, unit);
    match budget.expanded() {
        Some(e) => format!("{value} {} (k = {})", plus_minus(e), factor(e.coverage_factor)),
        None => format!("{value}, uncertainty not stated"),
    }
}

/// `± 5.8 %` of the rated figure of a case, where it is stated.
pub(super) fn of_efficiency(case: &CaseSummary) -> Option<String> {
    case.energy.budget("efficiency_flop_per_j")?.expanded().map(plus_minus)
}

/// One row a workload with a measured energy: the budget of its rated figure.
pub(super) fn table(summary: &Summary, anchors: &[(String, &CaseSummary)]) -> Table {
    let rated: Vec<_> = anchors.iter().filter_map(|(a, c)| Some((a, *c, rated(&c.energy)?))).collect();
    // A term that is 0 everywhere, or in no budget, has no column.
    let (mut shown, mut zero) = (Vec::new(), Vec::new());
    for name in TermName::ALL {
        let terms = || rated.iter().flat_map(|(.., (.., b))| &b.terms).filter(|t| t.name == name);
        if terms().any(|t| t.contribution != Some(0.0)) {
            shown.push(name);
        } else if terms().next().is_some() {
            zero.push(name.title());
        }
    }
    let numeric = |key, title: &str, unit: Option<&str>, meaning: &str| Column {
        numeric: true,
        unit: unit.map(str::to_owned),
        ..text_column(key, title, meaning)
    };
    let mut columns = vec![
        text_column("case", "Case", "the case"),
        text_column("figure", "Rated figure", "value ± expanded uncertainty, with its coverage factor"),
        numeric("combined", "u_c", Some("%"), "combined standard uncertainty: root of the sum of squares of all terms"),
        numeric("dof", "ν_eff", None, "effective degrees of freedom (Welch–Satterthwaite)"),
    ];
    columns.extend(shown.iter().map(|name| numeric(key(*name), &capital(name.title()), Some("%"), meaning(*name))));
    let rows = rated.iter().map(|(anchor, case, (value, unit, budget))| {
        let mut cells = vec![
            words(shorten(&case.id, 120), CellKind::Code, None),
            words(stated(*value, unit, budget), CellKind::Measured, budget.reason().map(plain)),
        ];
        match budget.expanded() {
            Some(e) => {
                cells.push(percent(e.combined_standard_uncertainty));
                cells.push(degrees(e.effective_degrees_of_freedom));
            }
            None => cells.extend([unknown(budget), unknown(budget)]),
        }
        cells.extend(shown.iter().map(|name| match budget.contribution(*name) {
            Some(u) => percent(u),
            None if budget.terms.iter().any(|t| t.name == *name) => unknown(budget),
            None => missing("–", "does not apply"),
        }));
        Row { anchor: format!("{anchor}-uncertainty"), tone: Tone::Neutral, cells }
    });
    let policy = &summary.uncertainty_policy;
    let mut notes = vec![format!(
        "Standard uncertainties relative to the figure. U = k·u_c covers the true value with a confidence of {}. Bounds of the sensors: \
         policy “{}”, SHA-256 {}.",
        si::set_percent(policy.coverage.confidence),
        plain(&policy.policy),
        policy.sha256.get(..12).unwrap_or_default()
    )];
    if !zero.is_empty() {
        notes.push(format!("Taken as 0: {}; report.json says why.", zero.join(", ")));
    }
    Table {
        id: "uncertainty",
        caption: "Uncertainty budget of the rated figure".to_owned(),
        columns,
        rows: rows.collect(),
        notes,
        empty: "No energy was measured, so there is no uncertainty of it.".to_owned(),
    }
}

fn percent(fraction: f64) -> Cell {
    let text = match fraction {
        0.0 => "0".to_owned(),
        u if u < SMALLEST => "< 0.001".to_owned(),
        u => si::number(u * 100.0),
    };
    Cell { sort: Some(fraction), ..words(text, CellKind::Measured, None) }
}

fn degrees(dof: Dof) -> Cell {
    match dof {
        Dof::Infinite => words("∞", CellKind::Measured, None),
        Dof::Finite(dof) if dof >= 1000.0 => Cell { sort: Some(dof), ..words("> 1000", CellKind::Measured, None) },
        Dof::Finite(dof) => Cell { sort: Some(dof), ..words(format!("{}", dof.floor()), CellKind::Measured, None) },
    }
}

fn unknown(budget: &Budget) -> Cell {
    missing("unknown", budget.reason().unwrap_or_default())
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

const fn key(name: TermName) -> &'static str {
    match name {
        TermName::Scatter => "u-scatter",
        TermName::Gain => "u-gain",
        TermName::GainAtRest => "u-gain-at-rest",
        TermName::Linearity => "u-linearity",
        TermName::Quantisation => "u-quantisation",
        TermName::Alignment => "u-alignment",
        TermName::Span => "u-span",
        TermName::Aliasing => "u-aliasing",
        TermName::Clock => "u-clock",
        TermName::IdleDrift => "u-idle-drift",
    }
}

const fn meaning(name: TermName) -> &'static str {
    match name {
        TermName::Scatter => "type A: standard error of the median, by bootstrap",
        TermName::Gain => "bound of the gain of the sensor, over √3",
        TermName::GainAtRest => "bound of the gain of the sensor at rest, over √3",
        TermName::Linearity => "bound of the deviation between loads, over √3",
        TermName::Quantisation => "steps of the counter at both edges: q/(E·√6)",
        TermName::Alignment => "updates of the counter against the edges of a window: τ/(T·√6)",
        TermName::Span => "power between the reads and the edges of the window",
        TermName::Aliasing => "bound of what polling did not see, over √3",
        TermName::Clock => "bound of the rate of the clock, over √3",
        TermName::IdleDrift => "half of the change of idle power, over √3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::report::ReportModel;

    #[test]
    fn uncertainties_have_two_digits() {
        for (u, text) in [
            (0.057_735, "5.8 %"),
            (0.0996, "10 %"),
            (0.136, "14 %"),
            (1.364, "136 %"),
            (0.001_234, "0.12 %"),
            (0.000_012_3, "0.0012 %"),
            (0.000_000_1, "below 0.001 %"),
            (0.0, "0 %"),
        ] {
            assert_eq!(two_digits(u), text, "{u}");
        }
    }

    #[test]
    fn figures_of_energy_state_all_of_their_uncertainty() {
        let model = ReportModel::of(&fixture::with_rapl());
        let at = |table: &Table, key| table.columns.iter().position(|c| c.key == key).unwrap();
        let row = &model.results.rows[0];
        for (key, size) in
            [("energy", "± 5.9 %"), ("power", "± 5.8 %"), ("efficiency", "± 5.9 %"), ("per-flop", "± 5.9 %")]
        {
            let cell = &row.cells[at(&model.results, key)];
            assert_eq!(cell.interval.as_deref(), Some(size), "{key}");
            assert!(cell.note.as_ref().unwrap().starts_with("k = 2, covers 95 %, all sources; scatter"), "{key}");
        }
        assert!(!row.cells[at(&model.results, "time")].interval.as_ref().unwrap().contains('±'));
        let budget = &model.uncertainty.rows[0];
        assert_eq!(budget.cells[1].text, "2.67 GFLOP/J ± 5.9 % (k = 2)");
        assert_eq!(budget.cells[at(&model.uncertainty, "u-gain")].text, "2.89");
        assert!(model.uncertainty.columns.iter().all(|c| c.key != "u-linearity"), "0 everywhere");
    }

    #[test]
    fn a_budget_that_cannot_be_closed_says_so_in_every_place() {
        let mut record = fixture::with_rapl();
        for span in record.measurements.iter_mut().flat_map(|m| &mut m.samples).flat_map(|s| &mut s.energy) {
            span.update_period = None;
        }
        let model = ReportModel::of(&record);
        let energy = model.results.columns.iter().position(|c| c.key == "energy").unwrap();
        let cell = &model.results.rows[0].cells[energy];
        assert_eq!((cell.interval.as_deref(), cell.kind), (None, CellKind::Measured));
        assert!(cell.note.as_ref().unwrap().starts_with("uncertainty not stated: alignment is unknown"));
        let budget = &model.uncertainty.rows[0];
        assert_eq!(budget.cells[1].text, "2.67 GFLOP/J, uncertainty not stated");
        assert_eq!(budget.cells[2].text, "unknown");
    }

    #[test]
    fn without_energy_there_is_no_budget() {
        let model = ReportModel::of(&fixture::cpu_only());
        assert!(model.uncertainty.rows.is_empty() && model.uncertainty.empty.starts_with("No energy was measured"));
    }
}
