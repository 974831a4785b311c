//! CSV after RFC 4180; unknown is an empty cell.

use super::columns::{self, Values};
use super::{Format, Outcome};
use crate::gate::inert;
use crate::interop::csv_cell;

pub(super) const FORMAT: Format =
    Format { id: "csv", file: "gate.csv", summary: "CSV (RFC 4180), a row a case and metric", render };

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    let columns = columns::of(outcome);
    let mut text = columns.iter().map(|c| c.name).collect::<Vec<_>>().join(",") + "\r\n";
    for row in 0..outcome.comparisons.len() {
        let cells: Vec<String> = columns.iter().map(|c| cell(&c.values, row)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    Ok(text.into_bytes())
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
