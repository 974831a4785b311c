//! `wattproof import`: results of other harnesses as a table, and the log of a wall meter into a record.

mod meter;

use super::{Exit, Failure, Format, print, print_json, style, table};
use crate::import::criterion::{self, Imported, Unit};
use crate::report::si;
use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;

/// Number of the JSON's shape; a key that changes meaning or goes away raises it.
const SCHEMA: u32 = 1;

const EXAMPLES: &str = "\
Examples:
  wattproof import criterion target/criterion
  wattproof import criterion target/criterion --unit J --format json | jq '.benchmarks[].median'
  wattproof import meter reports/20261122T080000Z-quick-3f2a plug.csv --meter-accuracy 1%";

/// Take in what others measured: a harness's results, the log of a wall meter
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Criterion(CriterionArgs),
    Meter(Box<meter::Args>),
}

/// What the criterion harness saved below a folder
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct CriterionArgs {
    /// The folder that `cargo bench` wrote: target/criterion, or a part of it
    dir: PathBuf,
    /// What was measured, where raw.csv does not state it [default: as the form of the numbers tells]
    #[arg(long, value_enum, value_name = "UNIT")]
    unit: Option<AskedUnit>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AskedUnit {
    /// Nanoseconds: criterion's wall time
    Ns,
    /// Joules: wattproof::criterion::Energy
    #[value(name = "J", alias = "j")]
    J,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    source: &'static str,
    benchmarks: &'a [Imported],
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.from {
        From::Criterion(args) => of_criterion(args),
        From::Meter(args) => meter::run(args),
    }
}

fn of_criterion(args: &CriterionArgs) -> Result<Exit, Failure> {
    let unit = args.unit.map(|unit| match unit {
        AskedUnit::Ns => Unit::Nanoseconds,
        AskedUnit::J => Unit::Joules,
    });
    let benchmarks = criterion::import(&args.dir, unit).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::usage(lines.join("\n"))
    })?;
    match args.format {
        Format::Json => print_json(&Document { schema: SCHEMA, source: "criterion", benchmarks: &benchmarks })?,
        Format::Text => print(&text(&benchmarks))?,
    }
    Ok(Exit::Ok)
}

/// One row a benchmark, then what must be known about the figures.
fn text(benchmarks: &[Imported]) -> String {
    let header = ["benchmark", "median", "interval", "criterion", "throughput", "samples"];
    let rows: Vec<Vec<String>> = benchmarks.iter().map(row).collect();
    let mut text = table::plain(&header, &rows);
    text.push('\n');
    for benchmark in benchmarks {
        for note in &benchmark.notes {
            text.push_str(&format!("\n{}: {note}", style::warn(&benchmark.id)));
        }
    }
    text.push_str(
        "\nan import is no record: the machine, its state and the answers are not known, so nothing is rated",
    );
    text
}

fn row(benchmark: &Imported) -> Vec<String> {
    let value = |value: f64| match benchmark.unit.per() {
        Some((unit, scale)) => si::quantity(value * scale, unit),
        None => si::number(value),
    };
    let median = benchmark.median;
    let bounds = median.and_then(|m| Some((m.low?, m.high?, m.confidence)));
    let theirs = benchmark.criterion.as_ref().map(|c| c.slope.unwrap_or(c.mean).point_estimate);
    let rate = benchmark.throughput.and_then(|t| Some(si::quantity(t.rate?, &format!("{}/{}", t.of, t.per?))));
    let absent = || "–".to_owned();
    vec![
        benchmark.id.clone(),
        median.map_or_else(absent, |m| value(m.median)),
        bounds.map_or_else(absent, |(low, high, confidence)| {
            format!("{} to {} ({})", value(low), value(high), si::set_percent(confidence))
        }),
        theirs.map_or_else(absent, value),
        rate.unwrap_or_else(absent),
        benchmark.samples.to_string(),
    ]
}
