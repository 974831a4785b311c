//! The result table: one row a workload, every cell final.

use super::grid::{Grid, Numbers, how, missing, text_column, tone, void_rows, words};
use super::plain::{plain, sentence, shorten};
use super::uncertainty;
use super::{Cell, CellKind, Table};
use crate::analysis::{Binding, CaseSummary, Estimate, Figure, Method, Status, Summary};
use crate::record::Coverage;
use crate::report::si;

/// One row a workload.
pub(super) fn results(summary: &Summary, anchors: &[(String, &CaseSummary)]) -> Table {
    let cases: Vec<&CaseSummary> = anchors.iter().map(|(_, c)| *c).collect();
    let mut grid = Grid::new();
    grid.push((
        text_column("case", "Case", "kernel, element type, parameters and threads"),
        cases.iter().map(|c| words(shorten(&c.id, 120), CellKind::Code, Some(how(c)))).collect(),
    ));
    grid.push((
        text_column("answer", "Answer", "every timed run compared with an f64 reference"),
        cases.iter().map(|c| answer(c)).collect(),
    ));
    let figures = |pick: &dyn Fn(&CaseSummary) -> Figure| cases.iter().map(|c| pick(c)).collect::<Vec<_>>();
    let void = void_rows(&cases);
    let mut add = |key, title, unit, missing, meaning, pick: &dyn Fn(&CaseSummary) -> Figure| {
        let numbers = Numbers { key, title, unit, meaning, missing, kind: CellKind::Measured };
        let (column, mut cells) = numbers.fill(&figures(pick), &void);
        let budgeted = match key {
            "energy" | "efficiency" | "dense-efficiency" | "per-flop" => Some("energy_j"),
            "power" => Some("power_w"),
            "net-energy" => Some("net_energy_j"),
            _ => None,
        };
        if let Some(figure) = budgeted {
            let budgets: Vec<_> = cases.iter().map(|c| c.energy.budget(figure)).collect();
            uncertainty::state(&mut cells, &budgets);
        }
        grid.push((column, cells));
    };
    let equal = |f: &Option<Figure>, useful: &Figure| f.clone().unwrap_or_else(|| useful.clone());
    let sparse = cases.iter().any(|c| c.dense_rate.is_some());
    add("time", "Time", "s", "–", "seconds an iteration", &|c| c.time.clone());
    add("rate", "Rate", "FLOP/s", "–", "useful operations a second", &|c| c.rate.clone());
    if sparse {
        let meaning = "operations a dense kernel would need, a second; never rated";
        add("dense-rate", "Dense-eq. rate", "FLOP/s", "–", meaning, &|c| equal(&c.dense_rate, &c.rate));
    }
    add("bandwidth", "Bandwidth", "B/s", "–", "compulsory traffic a second", &|c| c.bandwidth.clone());
    add("of-peak", "Of peak", "%", "–", "rate over the arithmetic probe of this run", &|c| c.of_peak.clone());
    add("of-read", "Of read", "%", "–", "bandwidth over the read probe of this run", &|c| c.of_read.clone());
    if cases.iter().any(|c| c.of_copy.is_some()) {
        let meaning = "bandwidth over the copy probe of this run: reads and writes together";
        let none = Figure::NotMeasured { reason: "no copy probe of this device in the record".to_owned() };
        add("of-copy", "Of copy", "%", "–", meaning, &|c| c.of_copy.clone().unwrap_or_else(|| none.clone()));
    }
    let none = "not measured";
    add("energy", "Energy", "J", none, "gross joules an iteration", &|c| c.energy.per_iteration.clone());
    add("power", "Power", "W", none, "mean power over the window", &|c| c.energy.power.clone());
    let rated = "useful operations a joule: performance per watt, the rated figure";
    add("efficiency", "Perf/W", "FLOP/J", none, rated, &|c| c.energy.efficiency.clone());
    if summary.verdict.with_energy > 0 {
        if sparse {
            let meaning = "operations a dense kernel would need, a joule; never rated";
            add("dense-efficiency", "Dense-eq. perf/W", "FLOP/J", none, meaning, &|c| {
                equal(&c.energy.dense_efficiency, &c.energy.efficiency)
            });
        }
        add("per-flop", "Energy/op", "J/FLOP", none, "joules a useful operation", &|c| c.energy.per_flop.clone());
        let meaning = "joules an iteration above idle power; printed second, never rated";
        add("net-energy", "Net energy", "J", none, meaning, &|c| c.energy.net_per_iteration.clone());
    }
    if cases.iter().any(|c| c.estimated.is_some()) {
        estimates(&mut grid, &cases);
    }
    grid.push((
        text_column("bound", "Bound", "the ceiling that binds at this intensity"),
        cases.iter().map(|c| bound(c)).collect(),
    ));
    grid.push((
        text_column("windows", "Windows", "windows that count, of those planned"),
        cases.iter().map(|c| windows(c)).collect(),
    ));
    let (columns, rows) = grid.rows(anchors.iter().map(|(a, c)| (a.clone(), tone(c))).collect());
    Table {
        id: "results",
        caption: "Results by case: median and interval".to_owned(),
        columns,
        rows,
        notes: result_notes(summary, &cases),
        empty: "The suite has no workload that could be planned on this machine.".to_owned(),
    }
}

fn estimates(grid: &mut Grid, cases: &[&CaseSummary]) {
    let plain_figure = |value: Option<f64>, why: &str| match value {
        Some(median) => Figure::Measured(Estimate {
            median,
            low: None,
            high: None,
            n: 1,
            confidence: 0.0,
            method: Method::SingleWindow,
        }),
        None => Figure::NotMeasured { reason: why.to_owned() },
    };
    let energy = |c: &&CaseSummary| plain_figure(c.estimated.as_ref().map(|e| e.per_iteration), "the case has no time");
    let efficiency =
        |c: &&CaseSummary| plain_figure(c.estimated.as_ref().and_then(|e| e.efficiency), "the case has no operations");
    let void = void_rows(cases);
    let columns = [
        ("estimated-energy", "Energy, estimated", "J", cases.iter().map(energy).collect::<Vec<_>>()),
        ("estimated-efficiency", "Perf/W, estimated", "FLOP/J", cases.iter().map(efficiency).collect()),
    ];
    for (key, title, unit, figures) in columns {
        let meaning = "from an assumed power: a model, not a measurement";
        let numbers = Numbers { key, title, unit, meaning, missing: "–", kind: CellKind::Estimated };
        let (column, mut cells) = numbers.fill(&figures, &void);
        for (cell, case) in cells.iter_mut().zip(cases) {
            if let (CellKind::Estimated, Some(estimate)) = (cell.kind, &case.estimated) {
                cell.note = Some(format!("estimated: {}", estimate.inputs));
            }
        }
        grid.push((column, cells));
    }
}

fn answer(case: &CaseSummary) -> Cell {
    let checked = case.correctness.map(|c| {
        let rows = match c.coverage {
            Coverage::Full => "every element compared".to_owned(),
            Coverage::Rows { checked, of } => format!("{checked} of {of} rows compared"),
        };
        let error = c.error.map_or_else(|| "not a number".to_owned(), |e| format!("{e:.1e}"));
        let canary = case.canary.as_ref().map_or_else(String::new, |k| {
            format!(", precision canary {}", if k.passed() { "passed" } else { "FAILED" })
        });
        format!("largest error {error}, limit {:.1e}, {rows}{canary}", c.limit)
    });
    match &case.status {
        Status::WrongAnswer { reason } => words("wrong", CellKind::Failed, Some(plain(reason))),
        Status::Failed { reason } => words("failed", CellKind::Failed, Some(plain(reason))),
        Status::NotRun => missing("not run", "the run ended before this case"),
        Status::Measured | Status::Partial { .. } => match checked {
            Some(note) => words("correct", CellKind::Passed, Some(note)),
            None => missing("unchecked", "the kernel leaves nothing to compare"),
        },
    }
}

fn bound(case: &CaseSummary) -> Cell {
    match case.binding {
        None if case.time.estimate().is_none() => missing("–", case.time.reason().unwrap_or_default()),
        Some(Binding::Compute) => words("compute", CellKind::Text, None),
        Some(Binding::Memory) => words("memory", CellKind::Text, None),
        None => missing("–", "a ceiling of this type and thread count is missing"),
    }
}

fn windows(case: &CaseSummary) -> Cell {
    let w = &case.windows;
    let list: Vec<String> = w.discarded.iter().map(|(code, n)| format!("{n} {}", shorten(code, 60))).collect();
    let note = (!list.is_empty()).then(|| format!("discarded: {}", list.join(", ")));
    let mut cell = words(format!("{}/{}", w.counted, w.planned), CellKind::Text, note);
    cell.sort = Some(f64::from(w.counted));
    cell
}

fn confidence(cases: &[&CaseSummary]) -> String {
    let first = cases.iter().find_map(|c| c.time.estimate());
    first.map_or_else(String::new, |e| si::set_percent(e.confidence))
}

fn result_notes(summary: &Summary, cases: &[&CaseSummary]) -> Vec<String> {
    let mut notes = Vec::new();
    if summary.verdict.with_energy == 0 {
        let reason = cases.iter().find_map(|c| match c.status {
            Status::Measured | Status::Partial { .. } => c.energy.per_iteration.reason(),
            _ => None,
        });
        notes.push(format!("Energy was not measured. {}", sentence(reason.unwrap_or(&summary.boundary.text))));
    } else {
        notes.push(format!("Energy is that of {}: gross, idle power included.", summary.boundary.text));
        notes.push(format!(
            "± is the expanded uncertainty of the median, sensor included ({}); other intervals are {} intervals of the \
             median.",
            si::set_percent(summary.uncertainty_policy.coverage.confidence),
            confidence(cases)
        ));
    }
    if cases.iter().any(|c| c.dense_rate.is_some()) {
        let text = "Dense-equivalent figures count what a dense kernel would compute for the same result; \
                    only useful operations are rated.";
        notes.push(text.to_owned());
    }
    if let Some(estimate) = cases.iter().find_map(|c| c.estimated.as_ref()) {
        notes.push(format!("Estimated columns assume a {}: a model, not a measurement.", estimate.inputs));
    }
    notes
}
