//! Figures as files, case by case: whoever writes a million of them holds one case in memory.

use super::series::Series;
use super::table;
use crate::columns;
use std::io::Write;

/// Takes series as they come.
pub trait Sink {
    /// Writes the figures of `series`, in the order of their runs; how many.
    ///
    /// # Errors
    /// What keeps them from being written, in words.
    fn series(&mut self, series: Vec<Series>) -> Result<usize, String>;

    /// Ends the file.
    ///
    /// # Errors
    /// What keeps it from being written, in words.
    fn end(self) -> Result<(), String>;
}

/// Apache Parquet, a row group a case.
pub struct Parquet<W: Write> {
    writer: columns::Writer<W>,
}

impl<W: Write> Parquet<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// What keeps it from being written, in words.
    pub fn new(out: W) -> Result<Self, String> {
        let mut writer = columns::Writer::new(out, "history")?;
        // A history without figures is a table of these columns all the same.
        writer.group(&table::of(&[]).0, 0)?;
        Ok(Self { writer })
    }
}

impl<W: Write> Sink for Parquet<W> {
    fn series(&mut self, series: Vec<Series>) -> Result<usize, String> {
        let (columns, rows) = table::of(&in_order(series));
        self.writer.group(&columns, rows)?;
        Ok(rows)
    }

    fn end(self) -> Result<(), String> {
        self.writer.finish().map(|_| ())
    }
}

/// CSV after RFC 4180.
pub struct Csv<W: Write> {
    out: W,
    begun: bool,
}

impl<W: Write> Csv<W> {
    /// Begins a file.
    pub fn new(out: W) -> Self {
        Self { out, begun: false }
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        self.out.write_all(text.as_bytes()).map_err(|e| e.to_string())
    }
}

impl<W: Write> Sink for Csv<W> {
    fn series(&mut self, series: Vec<Series>) -> Result<usize, String> {
        let (columns, rows) = table::of(&in_order(series));
        if !std::mem::replace(&mut self.begun, true) {
            self.write(&columns::headings(&columns))?;
        }
        self.write(&columns::lines(&columns, rows))?;
        Ok(rows)
    }

    fn end(mut self) -> Result<(), String> {
        if !self.begun {
            self.write(&columns::headings(&table::of(&[]).0))?;
        }
        self.out.flush().map_err(|e| e.to_string())
    }
}

/// Series by their keys, figures by their runs: the same store gives the same bytes.
fn in_order(mut series: Vec<Series>) -> Vec<Series> {
    series.sort_by(|a, b| a.key.cmp(&b.key));
    for one in &mut series {
        one.points.sort_by(|a, b| (a.run.started, &a.run.record).cmp(&(b.run.started, &b.run.record)));
    }
    series
}
