//! Apache Parquet, so that DuckDB, pandas and Polars start at once.

use super::{Format, Outcome, columns};

pub(super) const FORMAT: Format =
    Format { id: "parquet", file: "gate.parquet", summary: "Apache Parquet, the columns of csv", render };

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    crate::columns::parquet("gate", &columns::of(outcome), outcome.comparisons.len())
}
