//! `wattproof gate`: is a change worse, and is that certain?

use super::{Exit, Failure, baseline, print, style, table};
use crate::gate::output::FORMATS;
use crate::gate::{Decision, Line, Outcome, Rules, Verdict, compare, inert, lines};
use crate::policy::Policy;
use crate::record::store;
use crate::suite::problem::escaped;
use clap::ValueEnum;
use std::fs;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  wattproof gate reports/<new> --baseline reports/<old>
  wattproof gate reports/<new> --baseline main:reports/baseline --gate gate.yaml
  wattproof gate reports/<new> --baseline v1.2 --path reports/baseline
  wattproof gate reports/<new> --baseline history/ --out junit=gate.xml --out sarif=gate.sarif

A folder is searched for records; from five on, their scatter between runs counts. REF:PATH is relative to the
root of the repository. `wattproof list gates` shows the formats of --out; `-` as FILE is stdout.

Exit code 0: nothing is certainly worse. 7: something is. 4: ambiguous, and the gate file fails on it.
3: the records cannot be compared. 6: energy is required and missing. 2: a file or ref cannot be read.";

/// Compare a record with a baseline; fail on what is certainly worse
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The record under test: its folder or its record.json
    record: PathBuf,
    /// A record, a folder of records, REF:PATH or a git ref
    #[arg(long, value_name = "RECORD|DIR|GIT-REF")]
    baseline: String,
    /// Folder of records at the git ref that --baseline names
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Rules (docs/gate.md) [default: 2 % and 5 %, fail on worse]
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// Bounds of systematic error [default: those of this program]
    #[arg(long, value_name = "FILE")]
    uncertainty: Option<PathBuf>,
    /// Write the outcome to a file; may be given again
    #[arg(long, value_name = "FORMAT=FILE", value_parser = target)]
    out: Vec<Target>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Shown::Table)]
    format: Shown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    /// For people
    Table,
    /// For programs; stable
    Json,
}

/// A file to write and its format.
#[derive(Debug, Clone)]
struct Target {
    format: &'static str,
    file: PathBuf,
}

fn target(text: &str) -> Result<Target, String> {
    let (name, file) = text.split_once('=').ok_or("write FORMAT=FILE, such as junit=gate.xml")?;
    let names = || FORMATS.iter().map(|f| f.id);
    let format = FORMATS.iter().find(|f| f.id == name).ok_or_else(|| {
        let hint = crate::suite::suggest::hint(name, "formats", names().collect::<Vec<_>>());
        format!("no format is called `{}`: {hint}", escaped(name))
    })?;
    if file.is_empty() {
        return Err(format!("{name}= names no file"));
    }
    Ok(Target { format: format.id, file: PathBuf::from(file) })
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let rules = match &args.gate {
        Some(path) => Rules::load(path).map_err(|e| Failure::usage(e.render(style::colored())))?,
        None => Rules::default(),
    };
    let policy = match &args.uncertainty {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
            Policy::parse(&text).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?
        }
        None => Policy::shipped(),
    };
    // Reading is most of the time of a gate, and the two sides do not need each other.
    let (candidate, baseline) = std::thread::scope(|scope| {
        let candidate = scope.spawn(|| store::load_without_trace(&args.record));
        let baseline = baseline::read(&args.baseline, args.path.as_deref());
        (candidate.join(), baseline)
    });
    let candidate = candidate.map_err(|_| Failure::internal("reading the record failed"))??;
    let mut baseline = baseline?;
    let before = baseline.records.len();
    baseline.records.retain(|r| r.header.id != candidate.header.id);
    if baseline.records.is_empty() {
        return Err(Failure::usage(format!(
            "the baseline is the record under test ({}); name an older one",
            escaped(&candidate.header.id)
        )));
    }
    if baseline.records.len() < before {
        let reason = "it is the record under test".to_owned();
        baseline.skipped.push(crate::gate::Skipped { record: candidate.header.id.clone(), reason });
    }
    let outcome = compare(&candidate, &baseline.records, baseline.skipped, &rules, &policy);
    let mut to_stdout = false;
    for target in &args.out {
        to_stdout |= write(&outcome, target)?;
    }
    match args.format {
        _ if to_stdout => {}
        Shown::Json => {
            print(&rendered(&outcome, "json").and_then(|b| String::from_utf8(b).map_err(Failure::internal))?)?
        }
        Shown::Table => print(&text(&outcome))?,
    }
    Ok(match outcome.verdict {
        Verdict::Passed => Exit::Ok,
        Verdict::Failed => Exit::Regression,
        Verdict::Inconclusive => Exit::Inconclusive,
        Verdict::Refused => Exit::Refused,
        Verdict::EnergyMissing => Exit::Missing,
    })
}

fn rendered(outcome: &Outcome, id: &str) -> Result<Vec<u8>, Failure> {
    let format = FORMATS.iter().find(|f| f.id == id).ok_or_else(|| Failure::internal("the format is gone"))?;
    (format.render)(outcome).map_err(Failure::internal)
}

/// Writes one file; whether it went to stdout.
fn write(outcome: &Outcome, target: &Target) -> Result<bool, Failure> {
    let bytes = rendered(outcome, target.format)?;
    if target.file == Path::new("-") {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        out.write_all(&bytes).and_then(|()| out.flush()).map_err(Failure::internal)?;
        return Ok(true);
    }
    let failed = |e: std::io::Error| Failure::usage(format!("cannot write {}: {e}", target.file.display()));
    if let Some(dir) = target.file.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    fs::write(&target.file, bytes).map_err(failed)?;
    Ok(false)
}

/// Nothing in it steers a terminal or a CI runner, whatever the records hold.
fn text(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    let parties = |list: &[crate::gate::Party]| list.iter().map(|p| inert(&p.id)).collect::<Vec<_>>().join(", ");
    let candidate = std::slice::from_ref(&outcome.candidate);
    parts.push(style::dim(&format!("candidate {}\nbaseline  {}", parties(candidate), parties(&outcome.baseline))));
    let rows = lines(outcome);
    if !rows.is_empty() {
        let cells: Vec<Vec<String>> = rows.iter().map(|r| r.cells.iter().map(|c| inert(c)).collect()).collect();
        let drawn = table::plain(&Line::HEADER, &cells);
        let mut drawn = drawn.lines();
        let mut text: Vec<String> = drawn.by_ref().take(2).map(str::to_owned).collect();
        text.extend(drawn.zip(&rows).map(|(line, row)| tone(row.decision, line)));
        parts.push(text.join("\n"));
    }
    let mut said: Vec<String> = Vec::new();
    for difference in &outcome.differences {
        let word = if difference.accepted { style::dim("accepted") } else { style::error("differs") };
        said.push(format!("{word} {}", inert(&difference.text())));
    }
    said.extend(outcome.notes.iter().map(|n| format!("{} {}", style::warn(n.code), inert(&n.text))));
    for skip in &outcome.skipped {
        said.push(format!("{} {}: {}", style::warn("skipped"), inert(&skip.record), inert(&skip.reason)));
    }
    if !said.is_empty() {
        parts.push(said.join("\n"));
    }
    parts.push(match outcome.verdict {
        Verdict::Passed => style::good(&inert(&outcome.text)),
        Verdict::Inconclusive => style::warn(&outcome.text),
        Verdict::Failed | Verdict::Refused | Verdict::EnergyMissing => style::error(&outcome.text),
    });
    parts.join("\n\n")
}

fn tone(decision: Decision, line: &str) -> String {
    match decision {
        Decision::Worse => style::error(line),
        Decision::Ambiguous => style::warn(line),
        Decision::Better => style::good(line),
        Decision::Same => line.to_owned(),
    }
}
