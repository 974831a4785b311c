//! `wattproof import meter`: a log that was exported after the run becomes part of its record.

use super::super::wall::{DeclaredArgs, append_rows};
use super::super::{Exit, Failure, Format, print, report, table};
use crate::meter::wall;
use crate::record::store::{self, Writer};
use crate::record::{RunRecord, RunState, SensorStatus};
use crate::report::ReportModel;
use crate::sensors::wall::ID;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  wattproof run suites/reference-cpu.yaml --meter-later
  wattproof import meter reports/20261122T080000Z-reference-cpu-3f2a analyser.csv --meter-accuracy 0.2%";

/// The CSV log of a wall meter for a record made with `--meter-later`; writes a new record
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The record: its folder or its record.json; it stays as it is
    record: PathBuf,
    /// The log that the meter exported
    #[arg(value_name = "CSV")]
    meter: PathBuf,
    #[command(flatten)]
    declared: DeclaredArgs,
    /// Folder of the new record [default: the record's, with -metered]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let record = store::load(&args.record)?;
    ready(&record, &args.record)?;
    let shown = args.meter.display();
    let (rows, alignment) = wall::exported(&args.meter, args.declared.columns(), &record.wall.pulses)
        .map_err(|why| Failure::usage(format!("{shown}: {why}; nothing was written")))?;
    let mut info = args.declared.info(&args.meter, &Ok(alignment));
    info.notes.push("the log was added after the run".to_owned());
    let mut header = record.header.clone();
    header.sensors.push(SensorStatus::Ready(info));
    header.samples = None;
    let home = if args.record.is_dir() { &args.record } else { args.record.parent().unwrap_or(Path::new(".")) };
    let out = args.out.clone().unwrap_or_else(|| beside(home));
    let mut writer = Writer::continue_in(&out, home, &header)?;
    append_rows(&mut writer, &rows)?;
    writer.finish(&mut header)?;
    let model = ReportModel::of(&store::load(&out)?);
    let files = report::write_all(&model, &out)?;
    match args.format {
        Format::Text => {
            print(&table::results(&model))?;
            print(&table::files(&out, &files))?;
        }
        Format::Json => print(&report::json(&model)?)?,
    }
    Ok(Exit::Ok)
}

/// A finished run that made its two pulses and has no meter yet.
fn ready(record: &RunRecord, path: &Path) -> Result<(), Failure> {
    let path = path.display();
    let refuse = |why: &str| Err(Failure::usage(format!("{path} {why}")));
    if record.header.state != RunState::Complete {
        return refuse("is not complete: a log can be aligned only by a pulse before and one after the run");
    }
    let known = |status: &SensorStatus| matches!(status, SensorStatus::Ready(info) if info.id == ID);
    if !record.wall.rows.is_empty() || record.header.sensors.iter().any(known) {
        return refuse("has the log of a wall meter already: a window has one energy at the wall");
    }
    match record.wall.pulses.len() {
        2 => Ok(()),
        _ => refuse(
            "has no pulses of load to align a log by: measure with `wattproof run … --meter-later` (the meter logging), \
             then import",
        ),
    }
}

/// `reports/x` gives `reports/x-metered`.
fn beside(home: &Path) -> PathBuf {
    let full = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
    let name = full.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_else(|| "record".to_owned());
    home.components().as_path().with_file_name(format!("{name}-metered"))
}
