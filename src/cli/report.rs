//! `wattproof report`: renders a record's reports again, and the pieces `run` shares with it.

use super::{Exit, Failure, Format, print, table};
use crate::record::store;
use crate::report::{self, FORMATS, ReportModel};
use std::fs;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  wattproof report reports/20261122T080000Z-quick-3f2a
  wattproof report reports/20261122T080000Z-quick-3f2a --only html --out /tmp
  wattproof report reports/20261122T080000Z-quick-3f2a --format json | jq .cases[0]";

/// Render the reports of a record again
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The record: its folder or its record.json
    record: PathBuf,
    /// Folder for the reports [default: the record's]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only this format (see `wattproof list formats`); may be given again
    #[arg(long, value_name = "FORMAT")]
    only: Vec<String>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let record = store::load(&args.record)?;
    let model = ReportModel::of(&record);
    let home = if args.record.is_dir() { Some(args.record.as_path()) } else { args.record.parent() };
    let out = args.out.as_deref().or(home).unwrap_or(Path::new("."));
    let files = if args.only.is_empty() { write_all(&model, out)? } else { write_some(&model, out, &args.only)? };
    match args.format {
        Format::Text => {
            print(&table::results(&model))?;
            print(&table::files(home.unwrap_or(Path::new(".")), &files))?;
        }
        Format::Json => print(&json(&model)?)?,
    }
    Ok(Exit::Ok)
}

/// Writes every format to `dir`; returns the files with their sizes.
pub(super) fn write_all(model: &ReportModel, dir: &Path) -> Result<Vec<(PathBuf, usize)>, Failure> {
    FORMATS.iter().map(|format| write(model, dir, format)).collect()
}

fn write_some(model: &ReportModel, dir: &Path, names: &[String]) -> Result<Vec<(PathBuf, usize)>, Failure> {
    let known = || FORMATS.iter().map(|f| f.id).collect::<Vec<_>>().join(", ");
    names
        .iter()
        .map(|name| match report::find(name) {
            Some(format) => write(model, dir, format),
            None => Err(Failure::usage(format!("no format is called `{name}`; there are {}", known()))),
        })
        .collect()
}

fn write(model: &ReportModel, dir: &Path, format: &report::Format) -> Result<(PathBuf, usize), Failure> {
    let path = dir.join(format!("report.{}", format.extension));
    let bytes = (format.render)(model).map_err(Failure::internal)?;
    let failed = |e: std::io::Error| Failure::usage(format!("cannot write {}: {e}", path.display()));
    fs::create_dir_all(dir).map_err(failed)?;
    fs::write(&path, &bytes).map_err(failed)?;
    Ok((path, bytes.len()))
}

/// The report as JSON text.
pub(super) fn json(model: &ReportModel) -> Result<String, Failure> {
    let format = report::find("json").ok_or_else(|| Failure::internal("the JSON format is not registered"))?;
    let bytes = (format.render)(model).map_err(Failure::internal)?;
    String::from_utf8(bytes).map_err(Failure::internal)
}
