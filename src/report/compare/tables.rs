//! The tables of a comparison, and the cells that its sections share.

use super::words::{self, NAME, arm};
use crate::compare::{Comparison, Figure, Metric, Rank, Ratio};
use crate::report::model::grid::{missing, text_column, words as text_cell};
use crate::report::model::plain::{plain, shorten};
use crate::report::model::{Cell, CellKind, Column, Row, Table, Tone};
use crate::report::si::{self, Scale};

/// Arms of the ranking; more stand in the JSON.
const RANKED: usize = 500;
/// Up to this many arms stand side by side where environments differ.
const BESIDE: usize = 6;
/// Arms that a value of the environment names.
const NAMED: usize = 4;
/// Rows about what was left out.
const LEFT_OUT: usize = 200;

/// What stands below the name of the reference.
pub(super) const REFERENCE: &str = "reference";

/// A column of numbers.
pub(super) fn numbers(key: &'static str, title: &str, unit: Option<String>, meaning: &str) -> Column {
    Column { key, title: title.to_owned(), unit, numeric: true, meaning: meaning.to_owned() }
}

/// A figure with its interval in `scale`, or with a unit of its own.
pub(super) fn figure(of: Option<&Figure>, scale: Option<Scale>, unit: &str, why: &str) -> Cell {
    let Some(figure) = of else { return missing("–", why) };
    let used = scale.unwrap_or_else(|| Scale::of(figure.value));
    let number = si::number(used.apply(figure.value));
    let bounds = figure.low.zip(figure.high);
    Cell {
        text: if scale.is_some() { number } else { format!("{number} {}", used.unit(unit)) },
        interval: bounds.map(|(l, h)| si::interval(used.apply(l), used.apply(h), used.apply(figure.value))),
        kind: CellKind::Measured,
        note: (bounds.is_none() && !why.is_empty()).then(|| plain(why)),
        sort: Some(figure.value),
    }
}

/// One scale for a column, where its values allow it.
pub(super) fn scale<'f>(figures: impl Iterator<Item = Option<&'f Figure>>) -> Option<Scale> {
    let values: Vec<f64> = figures.flatten().map(|f| f.value).collect();
    Scale::of_column(&values)
}

/// A ratio to the reference.
pub(super) fn ratio(of: Option<Ratio>, is_reference: bool, why: &str) -> Cell {
    match of {
        None => missing("–", why),
        Some(_) if is_reference => Cell { sort: Some(1.0), ..text_cell("1", CellKind::Measured, None) },
        Some(r) => Cell {
            text: si::number(r.ratio),
            interval: r.low.zip(r.high).map(|(l, h)| si::interval(l, h, r.ratio)),
            kind: CellKind::Measured,
            note: Some(match (r.certain, r.gain_cancels) {
                (true, true) => "told apart from the reference; one sensor, its gain cancels".to_owned(),
                (true, false) => "told apart from the reference; two sensors, their gains count in full".to_owned(),
                (false, true) => "not told apart from the reference; one sensor, its gain cancels".to_owned(),
                (false, false) => {
                    "not told apart from the reference; two sensors, their gains count in full".to_owned()
                }
            }),
            sort: Some(r.ratio),
        },
    }
}

/// `1`, `2–4`.
pub(super) fn rank_text(rank: Rank) -> String {
    if rank.best == rank.worst { rank.best.to_string() } else { format!("{}–{}", rank.best, rank.worst) }
}

/// Possible ranks.
pub(super) fn rank(of: Option<Rank>, why: &str) -> Cell {
    match of {
        None => missing("–", why),
        Some(rank) => {
            let note =
                (rank.best != rank.worst).then(|| "a tie: the data leave all of these ranks possible".to_owned());
            let sort = Some(rank.best as f64 + rank.worst as f64 / 1e6);
            Cell { sort, ..text_cell(rank_text(rank), CellKind::Text, note) }
        }
    }
}

/// The first `most` of `order`, the reference among them.
pub(super) fn readable(order: &[usize], most: usize, reference: usize) -> Vec<usize> {
    let mut kept: Vec<usize> = order.iter().copied().take(most).collect();
    if !kept.contains(&reference) && order.contains(&reference) && !kept.is_empty() {
        kept.pop();
        kept.push(reference);
    }
    kept
}

/// Arms by the mean they are ranked by, then those without one.
pub(super) fn order(c: &Comparison) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    for metric in [c.ranked_by(), Metric::Time] {
        let rows = c.mean(metric).map_or(&[][..], |m| m.rows.as_slice());
        for row in rows {
            if !order.contains(&row.arm) {
                order.push(row.arm);
            }
        }
    }
    let mut known = vec![false; c.arms.len()];
    order.iter().for_each(|a| known[*a] = true);
    order.extend((0..c.arms.len()).filter(|a| !known[*a]));
    order
}

/// Every arm, the best first.
pub(super) fn ranking(c: &Comparison) -> Table {
    let order = order(c);
    let shown = readable(&order, RANKED, c.reference);
    let of = |metric: Metric, arm: usize| c.mean(metric).and_then(|m| m.rows.iter().find(|r| r.arm == arm));
    let energy = c.without_energy.is_none();
    let mut columns = vec![text_column("arm", words_of(c), "what is compared")];
    let times = || Some("× reference".to_owned());
    if energy {
        columns.push(numbers("rank", "Rank", None, "by performance per watt: the ranks that the data leave possible"));
        columns.push(numbers(
            "efficiency",
            "Perf/W",
            times(),
            "geometric mean over the common cases; higher is better",
        ));
        columns.push(numbers("energy", "Energy", times(), "geometric mean of joules an iteration; lower is better"));
    }
    let title = if energy { "Rank by time" } else { "Rank" };
    columns.push(numbers("time", "Time", times(), "geometric mean of seconds an iteration; lower is better"));
    columns.push(numbers("time-rank", title, None, "by time: the ranks that the data leave possible"));
    columns.push(text_column("device", "Device", "what its cases ran on"));
    columns.push(text_column("grade", "Grade", "weakest evidence grade of its energies"));
    columns.push(numbers("runs", "Runs", None, "records of the arm"));
    let none = "no case that all arms have";
    let rows = shown.iter().map(|place| {
        let a = &c.arms[*place];
        let is_reference = *place == c.reference;
        let why = a.why_no_energy.as_deref().unwrap_or(none);
        let note = is_reference.then(|| "the reference".to_owned());
        let mut cells = vec![text_cell(shorten(&a.name, NAME), CellKind::Code, note)];
        if is_reference {
            cells[0].interval = Some(REFERENCE.to_owned());
        }
        if energy {
            let row = of(Metric::Energy, *place);
            cells.push(rank(row.and_then(|r| r.rank), why));
            let energy = row.and_then(|r| r.ratio);
            cells.push(ratio(energy.map(Ratio::inverse), is_reference, why));
            cells.push(ratio(energy, is_reference, why));
        }
        let row = of(Metric::Time, *place);
        cells.push(ratio(row.and_then(|r| r.ratio), is_reference, none));
        cells.push(rank(row.and_then(|r| r.rank), none));
        cells.push(text_cell(shorten(&a.devices.join(", "), 60), CellKind::Text, None));
        cells.push(match (a.grade, &a.why_no_energy) {
            (Some(grade), _) => text_cell(grade.to_string(), CellKind::Text, None),
            (None, why) => missing("–", why.as_deref().unwrap_or("no energy")),
        });
        let mut runs = text_cell(a.records.len().to_string(), CellKind::Text, None);
        runs.sort = Some(a.records.len() as f64);
        cells.push(runs);
        Row { anchor: format!("arm-{}", place + 1), tone: Tone::Neutral, cells }
    });
    let mut notes = Vec::new();
    for mean in &c.means {
        if !mean.left_out.is_empty() {
            let what = if mean.metric == Metric::Energy { "energy" } else { "time" };
            notes.push(format!(
                "The mean of {what} is over {} of {} cases; the others are listed below with their reasons.",
                mean.cases.len(),
                c.cases.len()
            ));
        }
    }
    if let Some(why) = &c.without_energy {
        notes.push(format!("Energy was not compared. {}", crate::report::model::plain::sentence(why)));
    }
    let table = Table {
        id: "ranking",
        caption: format!(
            "Geometric means over the cases that all {} have, with {} intervals",
            words::kind(c.by),
            si::set_percent(c.confidence)
        ),
        columns,
        rows: rows.collect(),
        notes,
        empty: "No arm has a figure.".to_owned(),
    };
    say_more(table, order.len() - shown.len())
}

const fn words_of(c: &Comparison) -> &'static str {
    match c.by {
        crate::compare::By::Record => "Record",
        crate::compare::By::Vendor => "Vendor",
        crate::compare::By::Device => "Device",
        crate::compare::By::Driver => "Driver",
        crate::compare::By::Dtype => "Element type",
    }
}

/// With a note about rows that are not shown.
pub(super) fn say_more(mut table: Table, more: usize) -> Table {
    if more > 0 {
        table.notes.push(format!("{more} more rows stand in compare.json."));
    }
    table
}

/// The first `most` rows of a table, that of the reference among them, and a note about the others, of which `more`
/// are not in the table either.
pub(super) fn cut(table: &Table, most: usize, more: usize, elsewhere: &str) -> Table {
    let mut short = table.clone();
    let left = short.rows.len().saturating_sub(most);
    let is_reference = |row: &Row| row.cells.first().is_some_and(|c| c.interval.as_deref() == Some(REFERENCE));
    let reference = short.rows.iter().position(is_reference).filter(|place| *place >= most);
    if let (Some(place), Some(last)) = (reference, most.checked_sub(1)) {
        short.rows.swap(last, place);
    }
    short.rows.truncate(most);
    if left + more > 0 {
        short.notes.push(format!("{} more rows stand in {elsewhere}.", left + more));
    }
    short
}

/// What differs, side by side for a few arms, by value for many.
pub(super) fn environment(c: &Comparison) -> Table {
    let beside = c.arms.len() <= BESIDE;
    let unknown = |value: &Option<String>| match value {
        Some(value) => text_cell(shorten(value, 120), CellKind::Text, None),
        None => missing("unknown", "the record does not say"),
    };
    let mut columns = vec![text_column("what", "What", "")];
    let mut rows = Vec::new();
    if beside {
        columns.extend((0..c.arms.len()).map(|a| text_column("arm", &arm(c, a), "")));
    } else {
        columns.extend([text_column("value", "Value", ""), text_column("arms", "Arms", "")]);
    }
    for (number, differing) in c.environment.iter().enumerate() {
        if beside {
            let of = |place: usize| differing.values.iter().find(|v| v.arms.contains(&place)).map(|v| &v.value);
            let mut cells = vec![text_cell(differing.what, CellKind::Text, None)];
            cells.extend((0..c.arms.len()).map(|a| unknown(of(a).unwrap_or(&None))));
            rows.push(Row { anchor: format!("differs-{}", number + 1), tone: Tone::Neutral, cells });
            continue;
        }
        for (place, held) in differing.values.iter().take(NAMED * 5).enumerate() {
            let named: Vec<String> = held.arms.iter().take(NAMED).map(|a| arm(c, *a)).collect();
            let more = held.arms.len().saturating_sub(NAMED);
            let names = if more > 0 { format!("{} and {more} more", named.join(", ")) } else { named.join(", ") };
            let what = if place == 0 { differing.what } else { "" };
            let cells = vec![
                text_cell(what, CellKind::Text, None),
                unknown(&held.value),
                text_cell(shorten(&names, 390), CellKind::Text, None),
            ];
            rows.push(Row { anchor: format!("differs-{}-{}", number + 1, place + 1), tone: Tone::Neutral, cells });
        }
        if differing.values.len() > NAMED * 5 {
            let more = format!("and {} more values", differing.values.len() - NAMED * 5);
            let cells =
                vec![text_cell("", CellKind::Text, None), missing(&more, ""), text_cell("", CellKind::Text, None)];
            rows.push(Row { anchor: format!("differs-{}-more", number + 1), tone: Tone::Neutral, cells });
        }
    }
    Table {
        id: "environment",
        caption: "Only what differs is shown".to_owned(),
        columns,
        rows,
        notes: Vec::new(),
        empty: "Nothing that the records state differs between the arms.".to_owned(),
    }
}

/// Sparse cases beside the dense ones.
pub(super) fn sparse(c: &Comparison) -> Table {
    let shown = readable(&order(c), super::model::MARKS, c.reference);
    let energy = c.without_energy.is_none();
    let mut columns = vec![
        text_column("case", "Sparse case", ""),
        text_column("dense", "Dense case", "the case that does the whole work"),
        numbers("density", "Density", None, "useful over dense operations"),
        text_column("arm", words_of(c), ""),
        numbers("speedup", "Time gained", Some("×".to_owned()), "time of the dense case over that of the sparse one"),
    ];
    if energy {
        let meaning = "energy of the dense case over that of the sparse one; one sensor, so its gain cancels";
        columns.push(numbers("energy-ratio", "Energy gained", Some("×".to_owned()), meaning));
    }
    let mut rows = Vec::new();
    for (number, family) in c.sparse.iter().enumerate() {
        for place in &shown {
            let Some(row) = family.rows.iter().find(|r| r.arm == *place) else { continue };
            let mut density = text_cell(si::percent(family.density), CellKind::Measured, None);
            density.sort = Some(family.density);
            let gain = |of: Option<Ratio>| {
                let mut cell = ratio(of, false, "not measured");
                cell.note = of.map(|r| if r.certain { "certain for itself" } else { "not certain" }.to_owned());
                cell
            };
            let mut cells = vec![
                text_cell(shorten(&family.case, 120), CellKind::Code, None),
                text_cell(shorten(&family.dense, 120), CellKind::Code, None),
                density,
                text_cell(arm(c, *place), CellKind::Text, None),
                gain(row.speedup),
            ];
            if energy {
                cells.push(gain(row.energy_ratio));
            }
            rows.push(Row { anchor: format!("sparse-{}-{}", number + 1, place + 1), tone: Tone::Neutral, cells });
        }
    }
    let mut notes = Vec::new();
    if c.arms.len() > shown.len() && !rows.is_empty() {
        notes.push(format!("The best {} of {} arms are shown; all stand in compare.json.", shown.len(), c.arms.len()));
    }
    Table {
        id: "sparse",
        caption: "Above 1 sparsity pays".to_owned(),
        columns,
        rows,
        notes,
        empty: "No sparse case has a dense partner in this suite.".to_owned(),
    }
}

/// Cases, records and means that something is missing from.
pub(super) fn left_out(c: &Comparison) -> Table {
    let mut all: Vec<(&str, &str, &str)> = Vec::new();
    all.extend(c.skipped.iter().map(|s| ("record", s.record.as_str(), s.reason.as_str())));
    all.extend(c.left_out.iter().map(|l| ("comparison", l.what.as_str(), l.reason.as_str())));
    for mean in &c.means {
        let of = if mean.metric == Metric::Energy { "mean of energy" } else { "mean of time" };
        all.extend(mean.left_out.iter().map(|l| (of, l.what.as_str(), l.reason.as_str())));
    }
    let rows: Vec<Row> = all
        .iter()
        .take(LEFT_OUT)
        .enumerate()
        .map(|(i, (of, what, reason))| Row {
            anchor: format!("left-out-{}", i + 1),
            tone: Tone::Warning,
            cells: vec![
                text_cell(shorten(what, 160), CellKind::Code, None),
                text_cell(*of, CellKind::Text, None),
                text_cell(plain(reason), CellKind::Text, None),
            ],
        })
        .collect();
    let table = Table {
        id: "left-out",
        caption: "What was left out, and why".to_owned(),
        columns: vec![
            text_column("what", "What", ""),
            text_column("of", "Left out of", ""),
            text_column("why", "Why", ""),
        ],
        rows,
        notes: Vec::new(),
        empty: "Nothing was left out.".to_owned(),
    };
    say_more(table, all.len().saturating_sub(LEFT_OUT))
}

/// The records.
pub(super) fn records(c: &Comparison) -> Table {
    let rows: Vec<Row> = c
        .records
        .iter()
        .take(RANKED)
        .enumerate()
        .map(|(i, r)| Row {
            anchor: format!("record-{}", i + 1),
            tone: Tone::Neutral,
            cells: vec![
                text_cell(shorten(&r.id, 120), CellKind::Code, None),
                text_cell(plain(&r.started_at), CellKind::Text, None),
                text_cell(shorten(&r.samples_sha256, 64), CellKind::Code, None),
            ],
        })
        .collect();
    let table = Table {
        id: "records",
        caption: "The records and the SHA-256 of their samples".to_owned(),
        columns: vec![
            text_column("record", "Record", ""),
            text_column("started", "Started", ""),
            text_column("sha256", "Samples SHA-256", ""),
        ],
        rows,
        notes: Vec::new(),
        empty: "No record.".to_owned(),
    };
    say_more(table, c.records.len().saturating_sub(RANKED))
}
