//! CSV after RFC 4180; unknown is an empty cell.

use super::{Format, Outcome, columns};

pub(super) const FORMAT: Format =
    Format { id: "csv", file: "gate.csv", summary: "CSV (RFC 4180), a row a case and metric", render };

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    Ok(crate::columns::csv(&columns::of(outcome), outcome.comparisons.len()))
}
