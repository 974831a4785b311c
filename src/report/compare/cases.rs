//! One section a case: its table and its front.

use super::charts;
use super::model::CaseSection;
use super::tables::{REFERENCE, figure, numbers, rank, rank_text, ratio, readable, scale};
use super::words::arm;
use crate::compare::{Case, Comparison, Entry, Front, Metric};
use crate::report::model::grid::{missing, text_column, words};
use crate::report::model::plain::{plain, shorten};
use crate::report::model::{Cell, CellKind, Column, Row, Table, Tone};
use crate::report::si;

/// Arms of a case's table; more stand in the JSON.
const SHOWN: usize = 40;
/// Arms that are left out of a case and named with their reason.
const LEFT_OUT: usize = 5;

/// Every case, in the order of the plan.
pub(super) fn sections(c: &Comparison) -> Vec<CaseSection> {
    c.cases.iter().enumerate().map(|(i, case)| section(c, i + 1, case)).collect()
}

fn section(c: &Comparison, number: usize, case: &Case) -> CaseSection {
    let order = order(case);
    let shown = readable(&order.iter().map(|e| e.arm).collect::<Vec<_>>(), SHOWN, c.reference);
    let rows: Vec<&Entry> = shown.iter().filter_map(|a| case.rows.iter().find(|e| e.arm == *a)).collect();
    CaseSection {
        number,
        title: shorten(&case.id, 120),
        lead: lead(c, &order),
        anchor: format!("case-{number}"),
        table: table(c, number, case, &rows),
        more: case.rows.len() - rows.len(),
        front: charts::front(c, case, &order),
    }
}

/// The best first: by energy where there is any, then by time.
fn order(case: &Case) -> Vec<&Entry> {
    let key = |e: &Entry| {
        let value = |f: Option<crate::compare::Figure>| f.map_or(f64::INFINITY, |f| f.value);
        (value(e.energy_j), value(e.time_s))
    };
    let mut rows: Vec<&Entry> = case.rows.iter().collect();
    rows.sort_by(|a, b| {
        let (x, y) = (key(a), key(b));
        x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)).then(a.arm.cmp(&b.arm))
    });
    rows
}

/// Who is best by performance per watt, or by time, in a few words.
fn lead(c: &Comparison, order: &[&Entry]) -> String {
    let energy = order.iter().any(|e| e.energy_rank.is_some());
    let of = |e: &&&Entry| if energy { e.energy_rank } else { e.time_rank };
    let first: Vec<&&Entry> = order.iter().filter(|e| of(e).is_some_and(|r| r.best == 1)).collect();
    let what = if energy { "best perf/W" } else { "fastest" };
    match first.as_slice() {
        [] => "not ranked".to_owned(),
        [only] => format!("{what}: {}", arm(c, only.arm)),
        several => format!("{what}: {} arms tie", several.len()),
    }
}

struct Builder<'t> {
    columns: Vec<Column>,
    cells: Vec<Vec<Cell>>,
    rows: &'t [&'t Entry],
}

impl Builder<'_> {
    fn add(&mut self, column: Column, cell: impl Fn(&Entry) -> Cell) {
        self.columns.push(column);
        self.cells.push(self.rows.iter().map(|e| cell(e)).collect());
    }

    /// A column of figures in one unit where they allow it.
    fn figures(
        &mut self,
        (key, title, unit, meaning): (&'static str, &str, &str, &str),
        pick: impl Fn(&Entry) -> Option<crate::compare::Figure>,
        why: impl Fn(&Entry) -> String,
    ) {
        let values: Vec<Option<crate::compare::Figure>> = self.rows.iter().map(|e| pick(e)).collect();
        let scale = scale(values.iter().map(Option::as_ref));
        let column = numbers(key, title, scale.map(|s| s.unit(unit)), meaning);
        self.columns.push(column);
        let cells = values.iter().zip(self.rows).map(|(f, e)| figure(f.as_ref(), scale, unit, &why(e)));
        self.cells.push(cells.collect());
    }
}

fn table(c: &Comparison, number: usize, case: &Case, rows: &[&Entry]) -> Table {
    let energy = rows.iter().any(|e| e.energy_j.is_some());
    let sparse = rows.iter().any(|e| e.dense_equivalent_flop_per_j.is_some());
    let reference = |e: &Entry| e.arm == c.reference;
    let why = |e: &Entry| e.why.clone().unwrap_or_default();
    let mut b = Builder { columns: Vec::new(), cells: Vec::new(), rows };
    b.add(text_column("arm", "Arm", ""), |e| {
        let mut cell = words(arm(c, e.arm), CellKind::Code, None);
        cell.interval = reference(e).then(|| REFERENCE.to_owned());
        cell
    });
    if energy {
        let meaning = "by performance per watt, and so by energy: the ranks that the data leave possible";
        b.add(numbers("rank", "Rank", None, meaning), |e| rank(e.energy_rank, &why(e)));
        let none = |e: &Entry| e.why.clone().unwrap_or_else(|| "the kernel has no operations".to_owned());
        b.figures(("efficiency", "Perf/W", "FLOP/J", "useful operations a joule"), |e| e.efficiency_flop_per_j, none);
        if sparse {
            let meaning = "operations that dense work would need, a joule; never ranked";
            b.figures(
                ("dense-efficiency", "Dense-eq. perf/W", "FLOP/J", meaning),
                |e| e.dense_equivalent_flop_per_j,
                none,
            );
        }
        b.figures(("energy", "Energy", "J", "gross joules an iteration"), |e| e.energy_j, why);
        let column =
            numbers("energy-ratio", "Energy", Some("× ref.".to_owned()), "over the reference; lower is better");
        b.add(column, |e| ratio(e.energy_ratio, reference(e), &why(e)));
    }
    b.figures(("time", "Time", "s", "seconds an iteration"), |e| e.time_s, |_| String::new());
    let column = numbers("time-ratio", "Time", Some("× ref.".to_owned()), "over the reference; lower is better");
    b.add(column, |e| ratio(e.time_ratio, reference(e), "the reference does not have the case"));
    let title = if energy { "Rank by time" } else { "Rank" };
    b.add(numbers("time-rank", title, None, "by time: the ranks that the data leave possible"), |e| {
        rank(e.time_rank, "its uncertainty is not known")
    });
    if energy {
        b.add(text_column("front", "Front", "of time against energy"), front);
    }
    let runs = c.arms.iter().any(|a| a.records.len() > 1);
    let title = if runs { "Windows (runs)" } else { "Windows" };
    b.add(text_column("windows", title, "windows that count"), |e| {
        let text = if runs { format!("{} ({})", e.windows, e.runs) } else { e.windows.to_string() };
        Cell { sort: Some(f64::from(e.windows)), ..words(text, CellKind::Text, None) }
    });
    let Builder { columns, cells, .. } = b;
    let mut cells: Vec<_> = cells.into_iter().map(Vec::into_iter).collect();
    let rows: Vec<Row> = rows
        .iter()
        .map(|e| Row {
            anchor: format!("case-{number}-{}", e.arm + 1),
            tone: Tone::Neutral,
            cells: cells.iter_mut().filter_map(Iterator::next).collect(),
        })
        .collect();
    Table {
        id: "case",
        caption: caption(case),
        columns,
        rows,
        notes: notes(case),
        empty: "No arm has a figure.".to_owned(),
    }
}

fn caption(case: &Case) -> String {
    let mut parts = vec![format!("kernel {}", shorten(&case.kernel, 60))];
    match (case.useful_flop, case.dense_equivalent_flop) {
        (Some(useful), Some(dense)) if dense > useful => parts.push(format!(
            "{} useful of {} dense-equivalent",
            si::quantity(useful, "FLOP"),
            si::quantity(dense, "FLOP")
        )),
        (Some(useful), _) => parts.push(si::quantity(useful, "FLOP")),
        (None, _) => {}
    }
    if !case.boundary.is_empty() {
        parts.push(format!("energy of {}", case.boundary));
    }
    parts.join(" · ")
}

fn front(e: &Entry) -> Cell {
    match e.front {
        None => missing("–", e.why.as_deref().unwrap_or("time or energy is not known well enough")),
        Some(Front::On) => words("on", CellKind::Text, Some("certainly on the front".to_owned())),
        Some(Front::Possible) => words("possible", CellKind::Text, Some("the data do not decide it".to_owned())),
        Some(Front::Dominated) => {
            words("no", CellKind::Text, Some("another arm is certainly better in time and in energy".to_owned()))
        }
    }
}

fn notes(case: &Case) -> Vec<String> {
    let mut notes: Vec<String> = case
        .left_out
        .iter()
        .take(LEFT_OUT)
        .map(|l| format!("Left out: {}: {}.", shorten(&l.what, 80), plain(&l.reason)))
        .collect();
    if case.left_out.len() > LEFT_OUT {
        notes.push(format!("{} more arms are left out; see compare.json.", case.left_out.len() - LEFT_OUT));
    }
    let reasons = case.rows.iter().filter(|e| e.energy_j.is_none()).filter_map(|e| e.why.as_deref());
    let mut reasons: Vec<&str> = reasons.collect();
    reasons.sort_unstable();
    reasons.dedup();
    let some = case.rows.iter().any(|e| e.energy_j.is_some());
    notes.extend(reasons.iter().take(if some { 2 } else { 0 }).map(|r| format!("Without energy: {}.", plain(r))));
    notes
}

/// `1`, `2–4` or a dash, for the terminal.
pub(super) fn rank_word(c: &Comparison, metric: Metric, place: usize) -> String {
    let row = c.mean(metric).and_then(|m| m.rows.iter().find(|r| r.arm == place));
    row.and_then(|r| r.rank).map_or_else(|| "–".to_owned(), rank_text)
}
