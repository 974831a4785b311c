//! `wattproof history`: figures of many records, their changes over commits, charts and tables.

mod add;
mod changes;
mod export;
mod plot;
mod show;

use super::{Exit, Failure, print};
use crate::gate::{Metric, inert};
use crate::history::series::{self, Searched, Timeline};
use crate::history::store::{self, Access, Asked, Place, Store, StoreError};
use clap::Subcommand;
use std::time::Duration;

/// Number of the JSON's shape; a key that changes meaning or goes away raises it.
const SCHEMA: u32 = 1;
/// Where a history lies by default.
const DEFAULT: &str = "reports/history.sqlite";

const EXAMPLES: &str = "\
Examples:
  wattproof history add reports/<id> --branch main      one record, or several
  wattproof history import reports                      every record in a folder
  wattproof history list                                records, newest first
  wattproof history show gemm-f32-m1024-n1024-k1024-t2  the runs of a case
  wattproof history changes --fail-recent 5             what changed, and is it certain? exit code 7 if lately worse
  wattproof history plot --case 'gemm*' -o history.html
  wattproof history export --parquet history.parquet    for DuckDB, pandas and Polars
  wattproof history add reports/<id> --store postgres://bench@localhost/results

A store is one SQLite file, or a PostgreSQL server (password from the address or PGPASSWORD). It only grows.
Exit codes: 0 done · 2 a record, a store or an argument that is not valid (`import`: some records were skipped)
  7 `changes --fail-recent`: certainly worse of late · 1 the store is locked or cannot be reached";

/// Keep figures of many records; find, show and export how they change
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Add(add::Args),
    Import(add::ImportArgs),
    List(show::ListArgs),
    Show(show::Args),
    Changes(changes::Args),
    Plot(plot::Args),
    Export(export::Args),
    Migrate(MigrateArgs),
}

/// Bring a store to the newest version; nothing else in it changes
#[derive(Debug, clap::Args)]
struct MigrateArgs {
    #[command(flatten)]
    store: StoreArgs,
}

/// Which store.
#[derive(Debug, clap::Args)]
struct StoreArgs {
    /// The history: an SQLite file or postgres://USER@HOST/DATABASE
    #[arg(long, value_name = "FILE|URL", env = "WATTPROOF_STORE", hide_env_values = true, default_value = DEFAULT)]
    store: String,
    /// How long another process may hold it
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    wait: f64,
}

/// Which figures.
#[derive(Debug, clap::Args)]
struct Selection {
    /// Only cases of this id; `*` stands for anything
    #[arg(long, value_name = "PATTERN")]
    case: Option<String>,
    /// Only this suite
    #[arg(long, value_name = "ID")]
    suite: Option<String>,
    /// Only runs of this branch
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Only this metric; may be given again
    #[arg(long, value_name = "METRIC", value_parser = metric)]
    metric: Vec<Metric>,
}

/// How changes are found.
#[derive(Debug, clap::Args)]
struct Certainty {
    /// Probability of any false alarm in all series together
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = percent)]
    alpha: f64,
    /// Smallest change that counts
    #[arg(long, value_name = "PERCENT", default_value = "2%", value_parser = percent)]
    minimum_effect: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|x| (0.0..=86_400.0).contains(x));
    number.ok_or_else(|| "write a number of seconds from 0 to 86400".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().ok().map(|x| x / scale).filter(|x| (0.0..1.0).contains(x));
    share.ok_or_else(|| "write a percentage below 100, such as 2%".to_owned())
}

fn metric(text: &str) -> Result<Metric, String> {
    let known = || Metric::ALL.into_iter().filter(|m| *m != Metric::Accuracy);
    known().find(|m| m.name() == text).ok_or_else(|| {
        let names: Vec<&str> = known().map(Metric::name).collect();
        format!("a history has {}", names.join(", "))
    })
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.what {
        What::Add(args) => add::run(args),
        What::Import(args) => add::import(args),
        What::List(args) => show::list(args),
        What::Show(args) => show::run(args),
        What::Changes(args) => changes::run(args),
        What::Plot(args) => plot::run(args),
        What::Export(args) => export::run(args),
        What::Migrate(args) => {
            let store = args.store.to_write()?;
            print(&format!("{} has history version {}", inert(store.name()), store.version()))?;
            Ok(Exit::Ok)
        }
    }
}

impl StoreArgs {
    fn to_read(&self) -> Result<Box<dyn Store>, Failure> {
        self.open(false)
    }

    fn to_write(&self) -> Result<Box<dyn Store>, Failure> {
        self.open(true)
    }

    fn open(&self, write: bool) -> Result<Box<dyn Store>, Failure> {
        let password = std::env::var("PGPASSWORD").ok().filter(|p| !p.is_empty());
        let access = Access { write, wait: Duration::from_secs_f64(self.wait), password };
        Ok(store::open(&Place::parse(&self.store), &access)?)
    }
}

impl Selection {
    fn asked(&self, usual: &[Metric]) -> Asked {
        let metrics = if self.metric.is_empty() { usual.to_vec() } else { self.metric.clone() };
        Asked { suite: self.suite.clone(), case: self.case.clone(), metrics, branch: self.branch.clone() }
    }

    /// The timelines asked for; says what there is where nothing fits.
    fn timelines(&self, store: &mut dyn Store, usual: &[Metric]) -> Result<Vec<Timeline>, Failure> {
        let found = series::timelines(store.series(&self.asked(usual))?);
        if found.is_empty() {
            return Err(self.nothing(store)?);
        }
        Ok(found)
    }

    fn nothing(&self, store: &mut dyn Store) -> Result<Failure, Failure> {
        let cases = store.cases()?;
        let name = inert(store.name());
        if cases.is_empty() {
            return Ok(Failure::usage(format!("{name} holds no figure yet")));
        }
        let hint = match self.case.as_deref().filter(|c| !c.contains('*')) {
            Some(case) if !cases.iter().any(|(_, c)| c == case) => {
                let names: Vec<&str> = cases.iter().map(|(_, case)| case.as_str()).collect();
                format!(
                    "no case is called {}: {}",
                    inert(case),
                    inert(&crate::suite::suggest::hint(case, "cases", names))
                )
            }
            _ => format!("no figure of its {} cases fits; `wattproof history list --cases` shows them", cases.len()),
        };
        Ok(Failure::usage(format!("{name}: {hint}")))
    }
}

impl Certainty {
    fn search<'t>(&self, timelines: &'t [Timeline]) -> Vec<Searched<'t>> {
        series::search(timelines, self.alpha, self.minimum_effect)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let message = inert(&error.to_string());
        if error.may_pass() { Self::internal(message) } else { Self::usage(message) }
    }
}
