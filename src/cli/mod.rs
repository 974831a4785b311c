//! The command line: one file per subcommand. Only this folder prints.
//!
//! Results go to stdout, progress and diagnostics to stderr.

#![expect(clippy::print_stderr, reason = "the command line is the room that prints")]

mod answers;
mod baseline;
mod bundle;
mod certify;
mod compare;
mod completions;
mod devices;
mod doctor;
mod documents;
mod doubles;
mod exit;
mod explain;
mod export;
mod gate;
mod history;
mod import;
mod keygen;
mod list;
mod measure;
mod progress;
mod report;
mod run;
mod schema;
mod serve;
mod site;
mod style;
mod table;
mod verify;
mod wall;

pub use exit::{Exit, Failure};

use crate::units::Seconds;
use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  wattproof run suites/quick.yaml              measure, print a table, write reports/<id>/
  wattproof run suites/quick.yaml --dry-run    show the plan and its time
  wattproof measure -- make -j8                energy of any command
  wattproof doctor                             which sensors work here, and why the others do not
  wattproof report reports/<id>                render the reports of a record again
  wattproof certify reports/<id>               decide on a record, write the evidence bundle
  wattproof verify reports/<id>/certificate    recompute a bundle, print every difference
  wattproof gate reports/<id> --baseline OLD   fail on what is certainly worse than a baseline
  wattproof site reports -o public             a static site of many records
  wattproof compare A B C --by vendor          rank any number of records, with ties
  wattproof history add reports/<id>           keep its figures; `history changes` finds what changed

Exit codes:
  0 done, certified · 1 internal failure · 2 wrong arguments or invalid file · 3 refused
  4 inconclusive · 5 a kernel was wrong or failed · 6 a required sensor or device is missing
  7 gate, history: certainly worse · 8 evidence does not verify · 130 interrupted
  measure: what the command ended with · 126 it cannot be executed · 127 it was not found";

/// Benchmarks sparse and dense kernels with real power counters, and reports performance per watt
/// with uncertainty and provenance.
#[derive(Debug, Parser)]
#[command(name = "wattproof", version, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    /// Colours on stderr and stdout (NO_COLOR is respected)
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto)]
    color: ColorChoice,
    #[command(subcommand)]
    command: Command,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What commands print on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs; stable
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Measure(measure::Args),
    Doctor(doctor::Args),
    List(list::Args),
    Report(report::Args),
    Certify(certify::Args),
    Import(import::Args),
    Explain(explain::Args),
    Export(export::Args),
    Gate(gate::Args),
    Compare(compare::Args),
    History(history::Args),
    Verify(verify::Args),
    Keygen(keygen::Args),
    Schema(schema::Args),
    Serve(serve::Args),
    Site(site::Args),
    Completions(completions::Args),
}

/// Parses the arguments, runs the command and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    style::choose(cli.color);
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Measure(args) => measure::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::List(args) => list::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Certify(args) => certify::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Gate(args) => gate::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::History(args) => history::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Site(args) => site::run(&args),
        Command::Completions(args) => completions::run(&args),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // The problems of a file come with their own headings.
            let message = failure.to_string();
            if message.trim_start_matches(|c: char| c == '\u{1b}' || "[0123456789;m".contains(c)).starts_with("error") {
                eprintln!("{message}");
            } else {
                eprintln!("{} {message}", style::error("error:"));
            }
            failure.exit.into()
        }
    }
}

/// Prints a result; a closed pipe (`| head`) ends the program quietly instead of with a panic.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{newline}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// A duration for people: `250 ms`, `47 s`, `3 min 20 s`.
fn duration(time: Seconds) -> String {
    let seconds = time.get();
    if seconds < 1.0 {
        crate::report::si::quantity(seconds, "s")
    } else if seconds < 90.0 {
        format!("{seconds:.0} s")
    } else {
        let whole = seconds.round();
        format!("{:.0} min {:.0} s", (whole / 60.0).floor(), whole % 60.0)
    }
}

/// Prints a value as JSON.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    print(&serde_json::to_string_pretty(value).map_err(Failure::internal)?)
}
