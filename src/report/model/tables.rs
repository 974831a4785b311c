//! The tables of the report: every cell final.

use super::plain::{domain_name, plain, sentence, shorten};
use super::{Cell, CellKind, Column, Row, Table, Tone};
use crate::analysis::{Binding, CaseSummary, Estimate, Figure, IdlePower, Method, Status, Summary};
use crate::kernels::{Coverage, Role};
use crate::report::si::{self, Scale};

/// A column of figures before its unit is chosen.
struct Numbers<'a> {
    key: &'static str,
    title: &'a str,
    unit: &'a str,
    meaning: &'a str,
    /// What stands in a cell without a figure.
    missing: &'a str,
    kind: CellKind,
}

impl Numbers<'_> {
    /// Chooses one unit for the column, or one a cell where they differ too much.
    /// `void` tells for each row that nothing in it counts.
    fn fill(&self, figures: &[Figure], void: &[bool]) -> (Column, Vec<Cell>) {
        let medians: Vec<f64> = figures.iter().filter_map(|f| f.estimate().map(|e| e.median)).collect();
        let percent = self.unit == "%";
        let scale = if percent { Some(Scale::ONE) } else { Scale::of_column(&medians) };
        let column = Column {
            key: self.key,
            title: self.title.to_owned(),
            unit: scale.map(|s| s.unit(self.unit)),
            numeric: true,
            meaning: self.meaning.to_owned(),
        };
        let cells = figures.iter().zip(void).map(|(figure, void)| match figure {
            Figure::NotMeasured { reason } => missing(if *void { "void" } else { self.missing }, reason),
            Figure::Measured(e) => {
                let used = scale.unwrap_or_else(|| Scale::of(e.median));
                let show = |v: f64| if percent { v * 100.0 } else { used.apply(v) };
                let number = si::number(show(e.median));
                Cell {
                    text: if scale.is_some() { number } else { format!("{number} {}", used.unit(self.unit)) },
                    interval: e.low.zip(e.high).map(|(l, h)| si::interval(show(l), show(h), show(e.median))),
                    kind: self.kind,
                    note: Some(basis(e)),
                    sort: Some(e.median),
                }
            }
        });
        (column, cells.collect())
    }
}

/// `n = 5, 95 % interval, bootstrap of the median`.
fn basis(e: &Estimate) -> String {
    let confidence = si::set_percent(e.confidence);
    match e.method {
        Method::SingleWindow => "n = 1, no interval".to_owned(),
        Method::BootstrapMedian => format!("n = {}, {confidence} interval, bootstrap of the median", e.n),
        Method::Transformed => format!("n = {}, {confidence} interval, from a bootstrapped median", e.n),
        Method::RatioOfMedians => format!("n = {}, {confidence} interval, ratio of two medians", e.n),
    }
}

fn missing(text: &str, reason: &str) -> Cell {
    Cell { text: text.to_owned(), interval: None, kind: CellKind::Missing, note: Some(plain(reason)), sort: None }
}

fn words(text: impl Into<String>, kind: CellKind, note: Option<String>) -> Cell {
    Cell { text: text.into(), interval: None, kind, note, sort: None }
}

fn text_column(key: &'static str, title: &str, meaning: &str) -> Column {
    Column { key, title: title.to_owned(), unit: None, numeric: false, meaning: meaning.to_owned() }
}

/// Collects columns, then turns them into rows.
struct Grid {
    columns: Vec<Column>,
    cells: Vec<Vec<Cell>>,
}

impl Grid {
    fn new() -> Self {
        Self { columns: Vec::new(), cells: Vec::new() }
    }

    fn push(&mut self, (column, cells): (Column, Vec<Cell>)) {
        self.columns.push(column);
        self.cells.push(cells);
    }

    fn rows(self, anchors: Vec<(String, Tone)>) -> (Vec<Column>, Vec<Row>) {
        let mut columns: Vec<_> = self.cells.into_iter().map(Vec::into_iter).collect();
        let rows = anchors
            .into_iter()
            .map(|(anchor, tone)| Row { anchor, tone, cells: columns.iter_mut().filter_map(Iterator::next).collect() })
            .collect();
        (self.columns, rows)
    }
}

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
        grid.push(Numbers { key, title, unit, meaning, missing, kind: CellKind::Measured }.fill(&figures(pick), &void));
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

/// Rows of which no figure counts.
fn void_rows(cases: &[&CaseSummary]) -> Vec<bool> {
    cases.iter().map(|c| matches!(c.status, Status::WrongAnswer { .. } | Status::Failed { .. })).collect()
}

fn how(case: &CaseSummary) -> String {
    let mut parts = vec![format!("kernel {}", shorten(&case.kernel, 60))];
    parts.extend(case.path.as_ref().map(|p| format!("path {}", shorten(p, 60))));
    parts.extend(case.threads.map(|t| if t == 1 { "1 thread".to_owned() } else { format!("{t} threads") }));
    parts.extend(case.facts.iter().map(|(k, v)| format!("{} {}", shorten(k, 40), shorten(v, 40))));
    parts.join(", ")
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

fn tone(case: &CaseSummary) -> Tone {
    match case.status {
        Status::Measured => Tone::Neutral,
        Status::Partial { .. } | Status::NotRun => Tone::Warning,
        Status::WrongAnswer { .. } | Status::Failed { .. } => Tone::Bad,
    }
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

/// One row a ceiling probe.
pub(super) fn ceilings(anchors: &[(String, &CaseSummary)]) -> Table {
    let cases: Vec<&CaseSummary> = anchors.iter().map(|(_, c)| *c).collect();
    let mut grid = Grid::new();
    grid.push((
        text_column("case", "Probe", "what was probed"),
        cases.iter().map(|c| words(shorten(&c.id, 120), CellKind::Code, Some(how(c)))).collect(),
    ));
    grid.push((
        text_column("kind", "Ceiling of", "arithmetic or read bandwidth"),
        cases
            .iter()
            .map(|c| words(if c.role == Role::ComputeCeiling { "arithmetic" } else { "reading" }, CellKind::Text, None))
            .collect(),
    ));
    let void = void_rows(&cases);
    let columns: [(_, _, _, _, &dyn Fn(&&CaseSummary) -> Figure); 4] = [
        ("rate", "Rate", "FLOP/s", "operations a second", &|c| c.rate.clone()),
        ("bandwidth", "Bandwidth", "B/s", "bytes a second", &|c| c.bandwidth.clone()),
        ("power", "Power", "W", "mean power over the window", &|c| c.energy.power.clone()),
        ("efficiency", "Perf/W", "FLOP/J", "operations a joule", &|c| c.energy.efficiency.clone()),
    ];
    let energy = cases.iter().any(|c| c.energy.power.estimate().is_some());
    for (key, title, unit, meaning, pick) in columns {
        if matches!(key, "power" | "efficiency") && !energy {
            continue;
        }
        let figures: Vec<Figure> = cases.iter().map(pick).collect();
        grid.push(Numbers { key, title, unit, meaning, missing: "–", kind: CellKind::Measured }.fill(&figures, &void));
    }
    let (columns, rows) = grid.rows(anchors.iter().map(|(a, c)| (a.clone(), tone(c))).collect());
    Table {
        id: "ceilings",
        caption: "Ceilings measured in this run".to_owned(),
        columns,
        rows,
        notes: vec!["They are the denominators of the columns “of peak” and “of read”.".to_owned()],
        empty: "No ceiling was measured in this run.".to_owned(),
    }
}

/// One row a case and domain.
pub(super) fn domains(summary: &Summary, anchors: &[(String, &CaseSummary)]) -> Table {
    let rows: Vec<_> = anchors.iter().flat_map(|(a, c)| c.domains.iter().map(move |d| (a, *c, d))).collect();
    let mut grid = Grid::new();
    let code = |text: &str| words(shorten(text, 120), CellKind::Code, None);
    grid.push((text_column("case", "Case", "the case"), rows.iter().map(|(_, c, _)| code(&c.id)).collect()));
    grid.push((
        text_column("domain", "Domain", "the part of the machine"),
        rows.iter().map(|(.., d)| code(&domain_name(&d.domain))).collect(),
    ));
    grid.push((
        text_column("use", "Counts as", "whether it is part of the rated boundary"),
        rows.iter()
            .map(|(.., d)| match (&d.inside, d.rated) {
                (_, true) => words("rated", CellKind::Text, None),
                (Some(outer), false) => words(format!("inside {}", domain_name(outer)), CellKind::Text, None),
                (None, false) => words("shown apart", CellKind::Text, None),
            })
            .collect(),
    ));
    let void = vec![false; rows.len()];
    type Pick<'a> = &'a dyn Fn(&crate::analysis::EnergyFigures) -> Figure;
    let columns: [(_, _, _, _, Pick<'_>); 3] = [
        ("energy", "Energy", "J", "gross joules an iteration", &|f| f.per_iteration.clone()),
        ("net-energy", "Net energy", "J", "joules an iteration above idle", &|f| f.net_per_iteration.clone()),
        ("power", "Power", "W", "mean power", &|f| f.power.clone()),
    ];
    for (key, title, unit, meaning, pick) in columns {
        let figures: Vec<Figure> = rows.iter().map(|(.., d)| pick(&d.figures)).collect();
        let numbers = Numbers { key, title, unit, meaning, missing: "not measured", kind: CellKind::Measured };
        grid.push(numbers.fill(&figures, &void));
    }
    let relative = |u: Option<f64>, why: &str| match u {
        Some(u) => Cell { sort: Some(u), ..words(si::percent(u), CellKind::Measured, None) },
        None => missing("unknown", why),
    };
    grid.push((
        Column { numeric: true, ..text_column("u-align", "u align", "alignment error of counter updates, relative") },
        rows.iter()
            .map(|(.., d)| relative(d.figures.type_b.and_then(|b| b.u_align), "the update period is not known"))
            .collect(),
    ));
    let anchors = rows.iter().map(|(a, _, d)| (format!("{a}-{}", domain_name(&d.domain)), Tone::Neutral));
    let anchors = anchors.collect();
    let (columns, rows) = grid.rows(anchors);
    Table {
        id: "domains",
        caption: "Energy by domain".to_owned(),
        columns,
        rows,
        notes: vec!["Domains inside others are shown, and never added to them.".to_owned()],
        empty: format!("No domain was read. {}", sentence(&summary.boundary.text)),
    }
}

/// One row a domain at rest.
pub(super) fn idle(summary: &Summary) -> Table {
    let watts = |value: Option<f64>| match value {
        Some(w) => Cell { sort: Some(w), ..words(si::number(w), CellKind::Measured, None) },
        None => missing("not measured", "no undisturbed idle window on this side"),
    };
    let row = |i: &IdlePower| Row {
        anchor: format!("idle-{}", domain_name(&i.domain)),
        tone: Tone::Neutral,
        cells: vec![
            words(domain_name(&i.domain), CellKind::Code, None),
            watts(i.before),
            watts(i.after),
            watts(Some(i.mean)),
            match i.drift {
                Some(d) => Cell { sort: Some(d), ..words(si::percent(d), CellKind::Measured, None) },
                None => missing("unknown", "idle was measured on one side only"),
            },
        ],
    };
    let numeric = |key, title: &str, unit: Option<&str>| Column {
        numeric: true,
        unit: unit.map(str::to_owned),
        ..text_column(key, title, "")
    };
    Table {
        id: "idle",
        caption: "Power at rest".to_owned(),
        columns: vec![
            text_column("domain", "Domain", "the part of the machine"),
            numeric("before", "Before", Some("W")),
            numeric("after", "After", Some("W")),
            numeric("mean", "Mean", Some("W")),
            numeric("drift", "Drift", None),
        ],
        rows: summary.idle.iter().map(row).collect(),
        notes: vec!["Net energy is gross energy less the mean of these times the length of the window.".to_owned()],
        empty: format!("Power at rest was not measured. {}", sentence(&summary.boundary.text)),
    }
}
