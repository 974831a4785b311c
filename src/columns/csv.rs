//! CSV after RFC 4180; unknown is an empty cell. No cell becomes a formula, steers a terminal or commands a CI runner.

use super::{Column, Values};
use crate::gate::inert;
use crate::interop::csv_cell;

/// The table as CSV: a line of headings, then `rows` lines.
pub(crate) fn csv(columns: &[Column], rows: usize) -> Vec<u8> {
    (headings(columns) + &lines(columns, rows)).into_bytes()
}

/// The line of headings.
pub(crate) fn headings(columns: &[Column]) -> String {
    columns.iter().map(|c| c.name).collect::<Vec<_>>().join(",") + "\r\n"
}

/// `rows` lines.
pub(crate) fn lines(columns: &[Column], rows: usize) -> String {
    let mut text = String::new();
    for row in 0..rows {
        let cells: Vec<String> = columns.iter().map(|c| cell(&c.values, row)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

fn cell(values: &Values, row: usize) -> String {
    let written = match values {
        Values::Text(values) => values[row].as_deref().map(|text| csv_cell(&inert(text))),
        Values::Real(values) => values[row].map(|v| v.to_string()),
        Values::Whole(values) => values[row].map(|v| v.to_string()),
        Values::Flag(values) => values[row].map(|v| v.to_string()),
    };
    written.unwrap_or_default()
}
