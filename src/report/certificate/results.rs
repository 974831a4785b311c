//! Results a kernel: what was done and drawn, the budget of its rated figure, and its answers.

use crate::analysis::{CaseSummary, TermName};
use crate::certificate::Dossier;
use crate::record::{Coverage, Role};
use crate::report::ReportModel;
use crate::report::model::grid::{missing, text_column, words};
use crate::report::model::plain::{plain, shorten};
use crate::report::model::uncertainty::{factor, rated, two_digits};
use crate::report::model::{Cell, CellKind, Column, Row, Table};
use crate::report::si;

fn numeric(key: &'static str, title: &str, unit: Option<&str>, meaning: &str) -> Column {
    Column { numeric: true, unit: unit.map(str::to_owned), ..text_column(key, title, meaning) }
}

fn number(text: String) -> Cell {
    words(text, CellKind::Measured, None)
}

fn workloads(dossier: &Dossier) -> Vec<&CaseSummary> {
    dossier.summary.cases.iter().filter(|c| c.role == Role::Workload).collect()
}

/// The columns `keys` of a table, in that order; those it lacks are left out.
fn picked(table: &Table, keys: &[&str]) -> (Vec<Column>, Vec<Row>) {
    let places: Vec<usize> = keys.iter().filter_map(|key| table.columns.iter().position(|c| c.key == *key)).collect();
    let columns = places.iter().map(|i| table.columns[*i].clone()).collect();
    let rows = table
        .rows
        .iter()
        .map(|row| Row { cells: places.iter().map(|i| row.cells[*i].clone()).collect(), ..row.clone() });
    (columns, rows.collect())
}

/// Work, time, energy and performance per watt of every workload.
pub(super) fn performance(dossier: &Dossier, report: &ReportModel) -> Table {
    let keys = ["case", "time", "energy", "net-energy", "power", "efficiency", "of-peak", "of-read"];
    let (mut columns, mut rows) = picked(&report.results, &keys);
    columns.insert(1, numeric("work", "Work", None, "useful operations an iteration"));
    columns.push(numeric("ratio", "× ref.", None, "performance per watt over the reference table"));
    let ratios = dossier.certificate.rating.as_ref().map(|r| r.rows.as_slice()).unwrap_or_default();
    for (row, case) in rows.iter_mut().zip(workloads(dossier)) {
        let work = case.work.as_ref().map(|w| si::quantity(w.useful.get(), "FLOP"));
        row.cells.insert(1, work.map_or_else(|| missing("–", "the case never ran"), number));
        let ratio = ratios.iter().find(|r| r.case == case.id).map(|r| si::number(r.ratio));
        row.cells.push(ratio.map_or_else(|| missing("–", "the reference table has no figure for it"), number));
    }
    Table {
        id: "results",
        caption: "Results by kernel, an iteration: median and uncertainty".to_owned(),
        columns,
        rows,
        notes: report.results.notes.clone(),
        empty: report.results.empty.clone(),
    }
}

/// The whole budget of every rated figure.
pub(super) fn budgets(dossier: &Dossier, report: &ReportModel) -> Table {
    let rated: Vec<&CaseSummary> = workloads(dossier).into_iter().filter(|c| rated(&c.energy).is_some()).collect();
    let terms: Vec<&str> =
        report.uncertainty.columns.iter().map(|c| c.key).filter(|key| key.starts_with("u-")).collect();
    let keys: Vec<&str> = ["case"].into_iter().chain(terms).chain(["combined", "dof"]).collect();
    let (mut columns, mut rows) = picked(&report.uncertainty, &keys);
    columns.insert(1, numeric("n", "n", None, "windows that count"));
    columns.insert(2, numeric("cv", "CV", Some("%"), "standard deviation of the energy an iteration over its mean"));
    columns.push(numeric("k", "k", None, "coverage factor"));
    columns.push(numeric("expanded", "U", Some("%"), "expanded uncertainty, k·u_c"));
    for (row, case) in rows.iter_mut().zip(rated) {
        row.cells.insert(1, number(case.windows.counted.to_string()));
        let spread = case.energy_cv.map(|cv| number(si::number(cv * 100.0)));
        row.cells.insert(2, spread.unwrap_or_else(|| missing("–", "fewer than two windows have a figure")));
        let budget = case.energy.budget("efficiency_flop_per_j").or_else(|| case.energy.budget("energy_j"));
        match budget.and_then(|b| b.expanded()) {
            Some(e) => {
                row.cells.push(number(factor(e.coverage_factor)));
                row.cells.push(number(two_digits(e.expanded_uncertainty).trim_end_matches(" %").to_owned()));
            }
            None => {
                let why = plain(budget.and_then(|b| b.reason()).unwrap_or_default());
                row.cells.extend([missing("unknown", &why), missing("unknown", &why)]);
            }
        }
    }
    Table { id: "budgets", columns, rows, ..report.uncertainty.clone() }
}

/// Where the numbers of the budgets come from: every term once.
pub(super) fn sources(dossier: &Dossier) -> Table {
    let mut seen: Vec<(TermName, &str)> = Vec::new();
    for case in workloads(dossier) {
        if let Some((.., budget)) = rated(&case.energy) {
            for term in &budget.terms {
                if !seen.contains(&(term.name, term.source.as_str())) {
                    seen.push((term.name, &term.source));
                }
            }
        }
    }
    seen.sort_by_key(|(name, _)| *name);
    Table {
        id: "terms",
        caption: "Where the terms come from".to_owned(),
        columns: vec![text_column("term", "Term", ""), text_column("source", "Source", "")],
        rows: seen
            .iter()
            .enumerate()
            .map(|(n, (name, source))| Row {
                anchor: format!("term-{n}"),
                tone: crate::report::model::Tone::Neutral,
                cells: vec![
                    words(name.title(), CellKind::Text, None),
                    words(shorten(source, 240), CellKind::Text, None),
                ],
            })
            .collect(),
        notes: Vec::new(),
        empty: "No budget was drawn up.".to_owned(),
    }
}

/// Errors against their limits, canaries and windows of every workload.
pub(super) fn answers(dossier: &Dossier, report: &ReportModel) -> Table {
    let (mut columns, mut rows) = picked(&report.results, &["case", "answer"]);
    columns.extend([
        numeric("error", "Largest error", None, "largest of all windows, relative"),
        numeric("limit", "Limit", None, "fixed limit of the error"),
        text_column("compared", "Compared", "how much of every answer was compared"),
        text_column("canary", "Precision canary", "an input whose exact answer needs the declared precision"),
        numeric("canary-error", "Its error", None, "relative"),
        numeric("canary-limit", "Limit", None, "limit of the canary"),
        text_column("windows", "Windows", "windows that count, of those planned"),
        text_column("discarded", "Discarded", "windows that do not count, by reason"),
    ]);
    let scientific = |value: f64| match value {
        0.0 => number("0".to_owned()),
        value => number(format!("{value:.1e}").replace('-', "−")),
    };
    for (row, case) in rows.iter_mut().zip(workloads(dossier)) {
        let not_compared = || missing("–", "the kernel leaves nothing to compare");
        let error = |e: Option<f64>| e.map_or_else(|| words("not a number", CellKind::Failed, None), scientific);
        let check = case.correctness;
        row.cells.push(check.map_or_else(not_compared, |c| error(c.error)));
        row.cells.push(check.map_or_else(not_compared, |c| scientific(c.limit)));
        row.cells.push(check.map_or_else(not_compared, |c| match c.coverage {
            Coverage::Full => words("every element", CellKind::Text, None),
            Coverage::Rows { checked, of } => words(format!("{checked} of {of} rows"), CellKind::Text, None),
        }));
        let none = || missing("–", "the kernel has no canary");
        let canary = case.canary.as_ref();
        row.cells.push(canary.map_or_else(none, |c| {
            let kind = if c.passed() { CellKind::Passed } else { CellKind::Failed };
            words(shorten(&c.name, 60), kind, None)
        }));
        row.cells.push(canary.map_or_else(none, |c| error(c.error)));
        row.cells.push(canary.map_or_else(none, |c| scientific(c.limit)));
        let w = &case.windows;
        row.cells.push(words(format!("{} of {}", w.counted, w.planned), CellKind::Text, None));
        let list: Vec<String> = w.discarded.iter().map(|(code, n)| format!("{n} {}", shorten(code, 40))).collect();
        row.cells.push(words(if list.is_empty() { "none".to_owned() } else { list.join(", ") }, CellKind::Text, None));
    }
    Table {
        id: "answers",
        caption: "Answers: the very runs that were timed, against an f64 reference".to_owned(),
        columns,
        rows,
        notes: Vec::new(),
        empty: report.results.empty.clone(),
    }
}
