//! `wattproof history add` and `import`: records into a store.

use super::StoreArgs;
use crate::cli::baseline::{DEPTH, look};
use crate::cli::{Exit, Failure, print, style};
use crate::gate::inert;
use crate::history::store::{Added, Store, StoreError};
use crate::history::{Entry, Provenance, entry};
use crate::policy::Policy;
use crate::record::store::{HEADER_FILE, load_with_digest};
use std::path::{Path, PathBuf};

/// Records of a folder that are stored together.
const BATCH: usize = 100;

/// Variables in which CI systems name the commit: GitHub, GitLab, Jenkins, Azure.
const COMMITS: [&str; 4] = ["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILD_SOURCEVERSION"];
/// The same for the branch; that of a pull request first.
const BRANCHES: [&str; 7] = [
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_COMMIT_BRANCH",
    "CI_COMMIT_REF_NAME",
    "BRANCH_NAME",
    "GIT_BRANCH",
    "BUILD_SOURCEBRANCHNAME",
];

/// Add records: all of them, or none
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattproof history add reports/<id>
  wattproof history add reports/<id> --commit \"$(git rev-parse HEAD)\" --branch main

A record that is there already is said and not stored again; the same id with other bytes is refused.
Commit: --commit, or that of the CI job (GITHUB_SHA, CI_COMMIT_SHA, GIT_COMMIT, BUILD_SOURCEVERSION), or the one the
record names. The output says which.")]
pub(super) struct Args {
    /// Records: their folders or their record.json
    #[arg(required = true)]
    records: Vec<PathBuf>,
    /// Commit of the code that was measured [default: of the CI job, or of the record]
    #[arg(long, value_name = "SHA")]
    commit: Option<String>,
    /// Branch it was measured on [default: of the CI job]
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Add every record of a folder, three levels down; skip what cannot be read, and say why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattproof history import reports
  wattproof history import archive --branch main --store postgres://bench@localhost/results

Commits are those that the records name. Exit code 0 when every record found is in the history now, 2 when one was
skipped: the others are added all the same.")]
pub(super) struct ImportArgs {
    /// The folder
    dir: PathBuf,
    /// Branch that all of them were measured on
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

/// Where a text comes from: the command line, a variable, or the record.
struct Given {
    value: Option<String>,
    source: String,
}

fn given(option: Option<&String>, flag: &str, variables: &[&str], otherwise: &str) -> Given {
    if let Some(value) = option {
        return Given { value: Some(value.clone()), source: flag.to_owned() };
    }
    let set = |name: &&str| std::env::var(name).ok().filter(|v| !v.is_empty()).map(|v| (v, (*name).to_owned()));
    match variables.iter().find_map(set) {
        Some((value, source)) => Given { value: Some(value), source },
        None => Given { value: None, source: otherwise.to_owned() },
    }
}

fn read(path: &Path, from: &Provenance, policy: &Policy) -> Result<Entry, String> {
    let (record, digest) = load_with_digest(path).map_err(|e| e.to_string())?;
    entry(&record, &digest, from, policy).map_err(|e| e.to_string())
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let commit = given(args.commit.as_ref(), "--commit", &COMMITS, "the record");
    let branch = given(args.branch.as_ref(), "--branch", &BRANCHES, "unknown");
    let from = Provenance { commit: commit.value, branch: branch.value };
    let policy = Policy::shipped();
    let mut entries = Vec::new();
    for path in &args.records {
        let failed = |why: String| {
            // What the reader says begins with the path, the reason of a record that is unfit does not.
            let shown = path.display().to_string();
            let why = if why.starts_with(&shown) { why } else { format!("{shown}: {why}") };
            Failure::usage(inert(&why))
        };
        entries.push(read(path, &from, &policy).map_err(failed)?);
    }
    let mut store = args.store.to_write()?;
    let added = store.add(&entries)?;
    for (entry, added) in entries.iter().zip(&added) {
        print(&said(entry, added, &commit.source, &branch.source))?;
    }
    print(&summary(store.as_ref(), &added, 0))?;
    Ok(Exit::Ok)
}

fn said(entry: &Entry, added: &Added, commit: &str, branch: &str) -> String {
    let record = &entry.record;
    if *added == Added::Known {
        return format!("{} {}: the same record is there already", style::dim("known"), inert(&record.id));
    }
    let of = |value: &Option<String>, source: &str, what: &str| match value {
        Some(value) => format!("{what} {} (from {source})", inert(value)),
        None => format!("{what} unknown"),
    };
    let void =
        if record.void > 0 { format!(", {} of {} cases void", record.void, record.cases) } else { String::new() };
    format!(
        "{} {}: {} figures{void}, {}, {}",
        style::good("added"),
        inert(&record.id),
        entry.figures.len(),
        of(&record.commit, commit, "commit"),
        of(&record.branch, branch, "branch")
    )
}

fn summary(store: &dyn Store, added: &[Added], skipped: usize) -> String {
    let new = added.iter().filter(|a| **a == Added::New).count();
    let skipped = if skipped > 0 { format!(", {skipped} skipped") } else { String::new() };
    format!("{}: {new} added, {} known already{skipped}", inert(store.name()), added.len() - new)
}

pub(super) fn import(args: &ImportArgs) -> Result<Exit, Failure> {
    let shown = args.dir.display().to_string();
    if !args.dir.is_dir() {
        return Err(Failure::usage(format!("{shown} is no folder; `wattproof history add` takes single records")));
    }
    let (mut dirs, mut skipped) = (Vec::new(), Vec::new());
    if args.dir.join(HEADER_FILE).exists() {
        dirs.push(args.dir.clone());
    }
    look(&args.dir, DEPTH, &mut dirs, &mut skipped);
    let mut skipped: Vec<(String, String)> = skipped.into_iter().map(|s| (s.record, s.reason)).collect();
    if dirs.is_empty() && skipped.is_empty() {
        return Err(Failure::usage(format!(
            "{shown} holds no record (no {HEADER_FILE} in it or in the folders below)"
        )));
    }
    let from = Provenance { commit: None, branch: args.branch.clone() };
    let policy = Policy::shipped();
    let mut store = args.store.to_write()?;
    let mut all = Vec::new();
    for batch in dirs.chunks(BATCH) {
        let mut entries = Vec::new();
        for dir in batch {
            match read(dir, &from, &policy) {
                Ok(entry) => entries.push((dir.display().to_string(), entry)),
                Err(why) => skipped.push((dir.display().to_string(), why)),
            }
        }
        all.extend(add_batch(store.as_mut(), entries, &mut skipped)?);
    }
    for (place, why) in &skipped {
        print(&format!("{} {}: {}", style::warn("skipped"), inert(place), inert(why)))?;
    }
    print(&summary(store.as_ref(), &all, skipped.len()))?;
    Ok(if skipped.is_empty() { Exit::Ok } else { Exit::Usage })
}

/// Stores a batch in one step; those that are in conflict with what is there are left out one by one.
fn add_batch(
    store: &mut dyn Store,
    mut entries: Vec<(String, Entry)>,
    skipped: &mut Vec<(String, String)>,
) -> Result<Vec<Added>, Failure> {
    loop {
        let batch: Vec<Entry> = entries.iter().map(|(_, entry)| entry.clone()).collect();
        match store.add(&batch) {
            Ok(added) => {
                for ((place, entry), _) in entries.iter().zip(&added).filter(|(_, a)| **a == Added::Known) {
                    let text = format!("{} {}: record {}", style::dim("known"), inert(place), inert(&entry.record.id));
                    print(&text)?;
                }
                return Ok(added);
            }
            Err(StoreError::Conflict { store, record, stored, given }) => {
                let doomed = entries.iter().rposition(|(_, e)| e.record.id == record && e.record.digest == given);
                let Some(doomed) = doomed else {
                    return Err(StoreError::Conflict { store, record, stored, given }.into());
                };
                let (place, _) = entries.remove(doomed);
                let why = format!("the id {record} is there with other bytes ({stored}, here {given})");
                skipped.push((place, why));
            }
            Err(other) => return Err(other.into()),
        }
    }
}
