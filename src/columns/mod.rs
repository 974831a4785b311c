//! A table of typed columns, and its files: CSV for spreadsheets, Parquet for DuckDB, pandas and Polars.
//!
//! Whoever has a table (a gate, a history) describes it as columns; how a file is made of them stands here alone.

mod csv;
mod parquet;

pub(crate) use csv::{csv, headings, lines};
pub(crate) use parquet::{Writer, parquet};

/// A column; unknown is `None`.
#[derive(Debug)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) name: &'static str,
    /// One value a row.
    pub(crate) values: Values,
}

/// Values of one type.
#[derive(Debug)]
pub(crate) enum Values {
    /// UTF-8.
    Text(Vec<Option<String>>),
    /// Finite numbers.
    Real(Vec<Option<f64>>),
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
    /// Yes or no.
    Flag(Vec<Option<bool>>),
}

/// A column of text, from every row.
pub(crate) fn text<R>(name: &'static str, rows: &[R], value: impl Fn(&R) -> Option<String>) -> Column {
    Column { name, values: Values::Text(rows.iter().map(value).collect()) }
}

/// A column of numbers; what is not finite is unknown.
pub(crate) fn real<R>(name: &'static str, rows: &[R], value: impl Fn(&R) -> Option<f64>) -> Column {
    Column { name, values: Values::Real(rows.iter().map(|r| value(r).filter(|v| v.is_finite())).collect()) }
}

/// A column of whole numbers.
pub(crate) fn whole<R>(name: &'static str, rows: &[R], value: impl Fn(&R) -> Option<i64>) -> Column {
    Column { name, values: Values::Whole(rows.iter().map(value).collect()) }
}

/// A column of yes and no.
pub(crate) fn flag<R>(name: &'static str, rows: &[R], value: impl Fn(&R) -> Option<bool>) -> Column {
    Column { name, values: Values::Flag(rows.iter().map(value).collect()) }
}
