//! The result table as plain rows, for the terminal. Borders, widths and colours are the CLI's.

use super::model::{CellKind, ReportModel, Table, Tone};

/// A table for the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextTable {
    /// One heading a column, unit included.
    pub header: Vec<String>,
    /// Whether a column holds numbers (set right).
    pub numeric: Vec<bool>,
    /// Rows.
    pub rows: Vec<TextRow>,
    /// Sentences below the table.
    pub notes: Vec<String>,
}

/// A row for the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRow {
    /// Its tone.
    pub tone: Tone,
    /// Cells, one a column.
    pub cells: Vec<String>,
    /// What each cell holds, so that a colour can follow.
    pub kinds: Vec<CellKind>,
}

/// Columns of the terminal's table; the others are in the written reports.
const COLUMNS: [&str; 11] = [
    "case",
    "answer",
    "time",
    "rate",
    "of-peak",
    "of-read",
    "energy",
    "power",
    "efficiency",
    "estimated-energy",
    "windows",
];

/// The result table, narrowed to what fits a terminal: medians only, because intervals would double
/// its width and stand in every written report. Where no energy was measured at all, one
/// column says so instead of three.
#[must_use]
pub fn results(model: &ReportModel) -> TextTable {
    let measured = model.data.summary.verdict.with_energy > 0;
    let spare: &[&str] = if measured { &[] } else { &["power", "efficiency"] };
    narrowed(&model.results, |key| COLUMNS.contains(&key) && !spare.contains(&key))
}

/// The ceilings measured in the run.
#[must_use]
pub fn ceilings(model: &ReportModel) -> TextTable {
    narrowed(&model.ceilings, |_| true)
}

fn narrowed(table: &Table, keep: impl Fn(&str) -> bool) -> TextTable {
    let kept: Vec<usize> = (0..table.columns.len()).filter(|i| keep(table.columns[*i].key)).collect();
    let columns = || kept.iter().map(|i| &table.columns[*i]);
    let header = columns().map(|c| match &c.unit {
        Some(unit) => format!("{} ({unit})", c.title),
        None => c.title.clone(),
    });
    TextTable {
        header: header.collect(),
        numeric: columns().map(|c| c.numeric).collect(),
        rows: table
            .rows
            .iter()
            .map(|row| TextRow {
                tone: row.tone,
                cells: kept.iter().map(|i| row.cells[*i].text.clone()).collect(),
                kinds: kept.iter().map(|i| row.cells[*i].kind).collect(),
            })
            .collect(),
        notes: if table.rows.is_empty() { vec![table.empty.clone()] } else { table.notes.clone() },
    }
}
