//! How tables are put together: columns of figures that share a unit, cells, rows.

use super::plain::{plain, shorten};
use super::{Cell, CellKind, Column, Row, Tone};
use crate::analysis::{CaseSummary, Estimate, Figure, Method, Status};
use crate::report::si::{self, Scale};

/// A column of figures before its unit is chosen.
pub(super) struct Numbers<'a> {
    pub(super) key: &'static str,
    pub(super) title: &'a str,
    pub(super) unit: &'a str,
    pub(super) meaning: &'a str,
    /// What stands in a cell without a figure.
    pub(super) missing: &'a str,
    pub(super) kind: CellKind,
}

impl Numbers<'_> {
    /// Chooses one unit for the column, or one a cell where they differ too much.
    /// `void` tells for each row that nothing in it counts.
    pub(super) fn fill(&self, figures: &[Figure], void: &[bool]) -> (Column, Vec<Cell>) {
        let medians: Vec<f64> = figures.iter().filter_map(|f| f.estimate().map(|e| e.median)).collect();
        let percent = self.unit == "%";
        let scale = if percent { Some(Scale::ONE) } else { Scale::of_column(&medians) };
        let column = Column {
            key: self.key,
            title: self.title.to_owned(),
            unit: scale.map(|s| s.unit(self.unit)).filter(|unit| !unit.is_empty()),
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
                    text: if scale.is_some() {
                        number
                    } else {
                        format!("{number} {}", used.unit(self.unit)).trim_end().to_owned()
                    },
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
        Method::BootstrapMean => format!("n = {}, {confidence} interval, bootstrap of the mean", e.n),
        Method::TransformedMean => format!("n = {}, {confidence} interval, from a bootstrapped mean", e.n),
        Method::Transformed => format!("n = {}, {confidence} interval, from a bootstrapped median", e.n),
        Method::RatioOfMedians => format!("n = {}, {confidence} interval, ratio of two medians", e.n),
    }
}

pub(in crate::report) fn missing(text: &str, reason: &str) -> Cell {
    Cell { text: text.to_owned(), interval: None, kind: CellKind::Missing, note: Some(plain(reason)), sort: None }
}

pub(in crate::report) fn words(text: impl Into<String>, kind: CellKind, note: Option<String>) -> Cell {
    Cell { text: text.into(), interval: None, kind, note, sort: None }
}

pub(in crate::report) fn text_column(key: &'static str, title: &str, meaning: &str) -> Column {
    Column { key, title: title.to_owned(), unit: None, numeric: false, meaning: meaning.to_owned() }
}

/// Collects columns, then turns them into rows.
pub(super) struct Grid {
    columns: Vec<Column>,
    cells: Vec<Vec<Cell>>,
}

impl Grid {
    pub(super) fn new() -> Self {
        Self { columns: Vec::new(), cells: Vec::new() }
    }

    pub(super) fn push(&mut self, (column, cells): (Column, Vec<Cell>)) {
        self.columns.push(column);
        self.cells.push(cells);
    }

    pub(super) fn rows(self, anchors: Vec<(String, Tone)>) -> (Vec<Column>, Vec<Row>) {
        let mut columns: Vec<_> = self.cells.into_iter().map(Vec::into_iter).collect();
        let rows = anchors
            .into_iter()
            .map(|(anchor, tone)| Row { anchor, tone, cells: columns.iter_mut().filter_map(Iterator::next).collect() })
            .collect();
        (self.columns, rows)
    }
}

/// Rows of which no figure counts.
pub(super) fn void_rows(cases: &[&CaseSummary]) -> Vec<bool> {
    cases.iter().map(|c| matches!(c.status, Status::WrongAnswer { .. } | Status::Failed { .. })).collect()
}

pub(in crate::report) fn how(case: &CaseSummary) -> String {
    let mut parts = vec![format!("kernel {}", shorten(&case.kernel, 60))];
    parts.extend(case.path.as_ref().map(|p| format!("path {}", shorten(p, 60))));
    parts.extend(case.threads.map(|t| if t == 1 { "1 thread".to_owned() } else { format!("{t} threads") }));
    parts.extend(case.facts.iter().map(|(k, v)| format!("{} {}", shorten(k, 40), shorten(v, 40))));
    parts.join(", ")
}

pub(in crate::report) fn tone(case: &CaseSummary) -> Tone {
    match case.status {
        Status::Measured => Tone::Neutral,
        Status::Partial { .. } | Status::NotRun => Tone::Warning,
        Status::WrongAnswer { .. } | Status::Failed { .. } => Tone::Bad,
    }
}
