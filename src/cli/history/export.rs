//! `wattproof history export`: every figure as a table.

use super::{Selection, StoreArgs};
use crate::cli::{Exit, Failure, print};
use crate::gate::inert;
use crate::history::export::{Csv, Parquet, Sink};
use crate::history::store::{Asked, Store};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// Write figures as Apache Parquet or CSV, one row a figure
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattproof history export --parquet history.parquet
  wattproof history export --csv energy.csv --metric energy --branch main

  duckdb -c \"select commit, value, low, high from 'history.parquet' where metric = 'energy' order by started\"")]
#[command(group = clap::ArgGroup::new("file").required(true).multiple(true))]
pub(super) struct Args {
    /// Apache Parquet, for DuckDB, pandas and Polars
    #[arg(long, value_name = "FILE", group = "file")]
    parquet: Option<PathBuf>,
    /// CSV (RFC 4180)
    #[arg(long, value_name = "FILE", group = "file")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut store = args.store.to_read()?;
    // Asked before a file is made: a pattern that fits nothing must not leave an empty one.
    let cases = cases(args, store.as_mut())?;
    for (path, kind) in [(&args.parquet, "parquet"), (&args.csv, "csv")] {
        let Some(path) = path else { continue };
        let written = |reason: String| Failure::usage(format!("cannot write {}: {reason}", path.display()));
        let file = BufWriter::new(open(path).map_err(|e| written(e.to_string()))?);
        let rows = if kind == "parquet" {
            let sink = Parquet::new(file).map_err(written)?;
            pour(args, &cases, store.as_mut(), sink, &written)?
        } else {
            pour(args, &cases, store.as_mut(), Csv::new(file), &written)?
        };
        print(&inert(&format!("{} ({rows} figures)", path.display())))?;
    }
    Ok(Exit::Ok)
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    File::create(path)
}

/// Suite and case of all figures asked for.
fn cases(args: &Args, store: &mut dyn Store) -> Result<Vec<(String, String)>, Failure> {
    let mut cases = store.cases()?;
    let fits =
        |pattern: &Option<String>, text: &str| pattern.as_ref().is_none_or(|p| crate::history::store::fits(p, text));
    let suite = &args.selection.suite;
    cases.retain(|(s, c)| suite.as_ref().is_none_or(|suite| suite == s) && fits(&args.selection.case, c));
    if cases.is_empty() {
        return Err(args.selection.nothing(store)?);
    }
    Ok(cases)
}

/// One case at a time, so that memory holds one case.
fn pour(
    args: &Args,
    cases: &[(String, String)],
    store: &mut dyn Store,
    mut sink: impl Sink,
    written: &dyn Fn(String) -> Failure,
) -> Result<usize, Failure> {
    let mut rows = 0;
    for (suite, case) in cases {
        let asked = Asked { suite: Some(suite.clone()), case: Some(case.clone()), ..args.selection.asked(&[]) };
        let mut found = store.series(&asked)?;
        // An id may hold a star itself, and would fit others then.
        found.retain(|s| &s.key.case == case);
        rows += sink.series(found).map_err(written)?;
    }
    sink.end().map_err(written)?;
    Ok(rows)
}
