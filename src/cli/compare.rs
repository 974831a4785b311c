//! `wattproof compare`: any number of records side by side, ranked as far as the data allow.

use super::{Exit, Failure, Format, baseline, print, style, table};
use crate::compare::{Accept, By, Comparison, Entrant, Options, Refused, compare};
use crate::gate::{Skipped, inert};
use crate::policy::Policy;
use crate::record::store::{self, HEADER_FILE, StoreError};
use crate::report::compare::{self as documents, CompareModel, FORMATS};
use crate::suite::problem::escaped;
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most records that are read.
const MOST: usize = 10_000;
/// Reasons that an error quotes; the rest is counted.
const QUOTED: usize = 5;

const EXAMPLES: &str = "\
Examples:
  wattproof compare reports/a reports/b
  wattproof compare reports/ --by device --reference 'AMD EPYC 9654 96-Core Processor'
  wattproof compare lab-1/ lab-2/ --by vendor --out vendors --format json | jq .text
  wattproof compare reports/a --by dtype --only html

A folder is searched for records, three levels down. Ranks such as 2–4 are ties: the data leave all of them possible.
Written are compare.html, .pdf, .json and .md (docs/compare.md).

Exit code 0: compared. 2: fewer than two arms, or nothing that can be read. 3: the records cannot be compared.";

/// Rank any number of records by performance per watt, energy and time
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Records (a folder or its record.json), or folders of records
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// What makes an arm; records of one arm are runs of it
    #[arg(long, value_enum, default_value_t = Grouping::Record)]
    by: Grouping,
    /// The arm that ratios refer to: its name, or the beginning of it [default: the first]
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Folder for the files [default: reports/compare-<id>]
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only this format: html, pdf, json, markdown; may be given again
    #[arg(long, value_name = "FORMAT")]
    only: Vec<String>,
    /// A difference that does not matter here; may be given again
    #[arg(long, value_enum, value_name = "CODE")]
    accept: Vec<Accepted>,
    /// Standard deviation between runs of the same code, where you know it: 0.5%
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "0%")]
    run_to_run: f64,
    /// Bounds of systematic error [default: those of this program]
    #[arg(long, value_name = "FILE")]
    uncertainty: Option<PathBuf>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Grouping {
    /// Each record
    Record,
    /// The vendor of the processor or GPU
    Vendor,
    /// Its model
    Device,
    /// A GPU's driver; of a CPU the kernel release
    Driver,
    /// The element type, inside the same records
    Dtype,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Accepted {
    /// Energies of other parts of the machine
    Boundary,
    /// Records of another suite
    Suite,
    /// Simulated records beside measured ones
    Simulated,
}

fn percent(text: &str) -> Result<f64, String> {
    let digits = text.trim().trim_end_matches('%').trim_end();
    match digits.parse::<f64>() {
        Ok(value) if (0.0..50.0).contains(&value) && text.trim().ends_with('%') => Ok(value / 100.0),
        _ => Err("write a percentage from 0 % to below 50 %, such as 0.5%".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let formats = chosen(&args.only)?;
    let policy = match &args.uncertainty {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
            Policy::parse(&text).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?
        }
        None => Policy::shipped(),
    };
    let options = options(args);
    let (entrants, skipped) = read(&args.records, &policy);
    // A record may hold several devices and element types, but is one record.
    let least = if options.by == By::Record { 2 } else { 1 };
    if entrants.len() < least {
        return Err(Failure::usage(too_few(entrants.len(), least, &skipped)));
    }
    let comparison = compare(&entrants, skipped, &options, &policy).map_err(|refused| match refused {
        Refused::NotComparable { .. } => Failure { exit: Exit::Refused, message: escaped(&refused.to_string()) },
        _ => Failure::usage(escaped(&refused.to_string())),
    })?;
    drop(entrants);
    let model = CompareModel::of(&comparison);
    let dir = args.out.clone().unwrap_or_else(|| Path::new("reports").join(&comparison.id));
    let mut files = Vec::new();
    let mut json = None;
    for format in formats {
        let bytes = (format.render)(&model).map_err(Failure::internal)?;
        let path = dir.join(format!("compare.{}", format.extension));
        let failed = |e: std::io::Error| Failure::usage(format!("cannot write {}: {e}", path.display()));
        fs::create_dir_all(&dir).map_err(failed)?;
        fs::write(&path, &bytes).map_err(failed)?;
        files.push((path, bytes.len()));
        if format.id == "json" {
            json = Some(bytes);
        }
    }
    match args.format {
        Format::Json => {
            let bytes = match json {
                Some(bytes) => bytes,
                None => rendered_json(&model)?,
            };
            print(&String::from_utf8(bytes).map_err(Failure::internal)?)?;
        }
        Format::Text => {
            print(&text(&comparison, &model))?;
            print(&table::written("comparison", &files))?;
        }
    }
    Ok(Exit::Ok)
}

fn rendered_json(model: &CompareModel<'_>) -> Result<Vec<u8>, Failure> {
    let format = documents::find("json").ok_or_else(|| Failure::internal("the JSON format is not registered"))?;
    (format.render)(model).map_err(Failure::internal)
}

fn chosen(names: &[String]) -> Result<Vec<&'static documents::Format>, Failure> {
    if names.is_empty() {
        return Ok(FORMATS.iter().collect());
    }
    let known = || FORMATS.iter().map(|f| f.id).collect::<Vec<_>>().join(", ");
    let find = |name: &String| {
        let none = || Failure::usage(format!("no format is called `{}`; there are {}", escaped(name), known()));
        documents::find(name).ok_or_else(none)
    };
    names.iter().map(find).collect()
}

fn options(args: &Args) -> Options {
    Options {
        by: match args.by {
            Grouping::Record => By::Record,
            Grouping::Vendor => By::Vendor,
            Grouping::Device => By::Device,
            Grouping::Driver => By::Driver,
            Grouping::Dtype => By::Dtype,
        },
        reference: args.reference.clone(),
        accept: args
            .accept
            .iter()
            .map(|a| match a {
                Accepted::Boundary => Accept::Boundary,
                Accepted::Suite => Accept::Suite,
                Accepted::Simulated => Accept::Simulated,
            })
            .collect(),
        run_to_run: args.run_to_run,
    }
}

fn too_few(found: usize, least: usize, skipped: &[Skipped]) -> String {
    let what = if found == 1 { "one record" } else { "no record" };
    let more = if least == 2 && found == 1 { "; name a second one, or --by dtype" } else { "" };
    let mut message = format!("{what} to compare{more}");
    for skip in skipped.iter().take(QUOTED) {
        message.push_str(&format!("\n  {}: {}", escaped(&skip.record), escaped(&skip.reason)));
    }
    if skipped.len() > QUOTED {
        message.push_str(&format!("\n  and {} more", skipped.len() - QUOTED));
    }
    message
}

/// Every record that `paths` name, in their order, each id once, reduced one after the other; and what was left out.
fn read(paths: &[PathBuf], policy: &Policy) -> (Vec<Entrant>, Vec<Skipped>) {
    let mut skipped = Vec::new();
    let mut places = Vec::new();
    for path in paths {
        if path.is_dir() && !path.join(HEADER_FILE).exists() {
            let before = (places.len(), skipped.len());
            baseline::look(path, baseline::DEPTH, &mut places, &mut skipped);
            if (places.len(), skipped.len()) == before {
                let reason = format!("no record in it (no {HEADER_FILE} in it or in the folders below)");
                skipped.push(Skipped { record: path.display().to_string(), reason });
            }
        } else {
            places.push(path.clone());
        }
    }
    if places.len() > MOST {
        let reason = format!("{} records beyond the first {MOST} were not read", places.len() - MOST);
        skipped.push(Skipped { record: places[MOST].display().to_string(), reason });
        places.truncate(MOST);
    }
    let mut ids = BTreeSet::new();
    let mut entrants = Vec::new();
    for (place, read) in places.iter().zip(reduce(&places, policy)) {
        let record = place.display().to_string();
        match read {
            Err(error) => skipped.push(Skipped { record, reason: error.to_string() }),
            Ok(entrant) if !ids.insert(entrant.id.clone()) => {
                let reason = format!("a second record with the id {}", entrant.id);
                skipped.push(Skipped { record, reason });
            }
            Ok(entrant) => entrants.push(entrant),
        }
    }
    (entrants, skipped)
}

/// The records at `places`, reduced by as many threads as there are CPUs: reading is most of the time of a comparison.
fn reduce(places: &[PathBuf], policy: &Policy) -> Vec<Result<Entrant, StoreError>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Entrant, StoreError>)>> = Mutex::new(Vec::with_capacity(places.len()));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(8).min(places.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((index, place)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    places.get(index).map(|place| (index, place))
                } {
                    let read = store::load_without_trace(place).map(|record| Entrant::of(&record, policy));
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, read));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, read)| read).collect()
}

/// Caveats first, then the ranking, then the result. Nothing in it steers a terminal, whatever the records hold.
fn text(comparison: &Comparison, model: &CompareModel<'_>) -> String {
    let mut parts = vec![format!("{}\n{}", style::bold(&inert(&model.title)), style::dim(&inert(&model.subtitle)))];
    let mut said: Vec<String> =
        model.caveats.iter().map(|c| format!("{} {}", table::tone(c.tone, c.code), inert(&c.text))).collect();
    said.extend(
        comparison
            .skipped
            .iter()
            .map(|skip| format!("{} {}: {}", style::warn("skipped"), inert(&skip.record), inert(&skip.reason))),
    );
    for left in comparison.left_out.iter().take(QUOTED) {
        said.push(format!("{} {}: {}", style::warn("left out"), inert(&left.what), inert(&left.reason)));
    }
    if comparison.left_out.len() > QUOTED {
        let more = comparison.left_out.len() - QUOTED;
        said.push(style::dim(&format!("{more} more were left out, with their reasons in the written files")));
    }
    if !said.is_empty() {
        parts.push(said.join("\n"));
    }
    let mut ranking = documents::text(model);
    ranking.rows.iter_mut().flat_map(|r| &mut r.cells).for_each(|cell| *cell = inert(cell));
    let notes: Vec<String> = ranking.notes.iter().map(|n| style::dim(&inert(n))).collect();
    parts.push(format!("{}{}", table::text_table(&ranking), notes.join("\n")).trim_end().to_owned());
    parts.push(table::tone(model.verdict.tone, &inert(&model.verdict.text)));
    parts.join("\n\n")
}
