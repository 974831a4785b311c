//! What `gate --baseline` names: a record, a folder of records, or records at a git ref.

use super::Failure;
use crate::gate::Skipped;
use crate::record::RunRecord;
use crate::record::store::{self, HEADER_FILE, SAMPLES_FILE, StoreError};
use crate::suite::problem::escaped;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders below the one named in which records are looked for.
pub(super) const DEPTH: usize = 3;
/// Most records of a baseline that are read.
const MOST: usize = 1000;
/// Reasons that an error quotes; the rest is counted.
const QUOTED: usize = 5;

/// Records to compare with, newest first, and those that could not be read.
#[derive(Debug)]
pub(super) struct Baseline {
    pub(super) records: Vec<RunRecord>,
    pub(super) skipped: Vec<Skipped>,
}

/// Where a baseline lies.
enum Source<'a> {
    Record(&'a Path),
    Folder(&'a Path),
    Git { reference: &'a str, folder: String },
}

/// Reads everything that `named` (with `path` below a git ref) stands for.
///
/// # Errors
/// Exit code 2 when it names nothing, or nothing in it is a record that can be read.
pub(super) fn read(named: &str, path: Option<&Path>) -> Result<Baseline, Failure> {
    let found = match source(named, path)? {
        Source::Record(path) => {
            return Ok(Baseline { records: vec![store::load_without_trace(path)?], skipped: Vec::new() });
        }
        Source::Folder(dir) => {
            let mut dirs = Vec::new();
            let mut skipped = Vec::new();
            look(dir, DEPTH, &mut dirs, &mut skipped);
            let found = dirs.into_iter().map(|d| (d.display().to_string(), store::load_without_trace(&d))).collect();
            (found, skipped)
        }
        Source::Git { reference, folder } => (from_git(reference, &folder)?, Vec::new()),
    };
    select(named, found)
}

fn source<'a>(named: &'a str, path: Option<&Path>) -> Result<Source<'a>, Failure> {
    let here = Path::new(named);
    if path.is_none() && here.exists() {
        let is_record = !here.is_dir() || here.join(HEADER_FILE).exists();
        return Ok(if is_record { Source::Record(here) } else { Source::Folder(here) });
    }
    let text = |path: &Path| match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Failure::usage(format!("--path {}: not UTF-8", path.display()))),
    };
    let (reference, folder) = match (path, named.split_once(':')) {
        (Some(path), _) => (named, text(path)?),
        (None, Some((reference, folder))) => (reference, folder.to_owned()),
        (None, None) => (named, String::new()),
    };
    let folder = folder.trim_start_matches("./").trim_end_matches('/').to_owned();
    let folder = folder.strip_suffix(HEADER_FILE).map_or(folder.as_str(), |f| f.trim_end_matches('/')).to_owned();
    Ok(Source::Git { reference, folder })
}

/// Folders that hold a record, `depth` levels down. Links to folders are not followed: they can form a circle.
pub(super) fn look(dir: &Path, depth: usize, found: &mut Vec<PathBuf>, skipped: &mut Vec<Skipped>) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            skipped.push(Skipped { record: dir.display().to_string(), reason: format!("cannot be read: {error}") });
            return;
        }
    };
    let mut dirs: Vec<PathBuf> =
        entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect();
    dirs.sort();
    for dir in dirs {
        if dir.join(HEADER_FILE).exists() {
            found.push(dir);
        } else if depth > 1 {
            look(&dir, depth - 1, found, skipped);
        }
    }
}

type Found = Vec<(String, Result<RunRecord, StoreError>)>;

/// The records among `found`, each id once, newest first.
fn select(named: &str, (found, mut skipped): (Found, Vec<Skipped>)) -> Result<Baseline, Failure> {
    let mut records: Vec<RunRecord> = Vec::new();
    let mut ids = BTreeSet::new();
    let left = found.len().saturating_sub(MOST);
    if left > 0 {
        let reason = format!("{left} records beyond the first {MOST} were not read");
        skipped.push(Skipped { record: named.to_owned(), reason });
    }
    for (place, read) in found.into_iter().take(MOST) {
        match read {
            Err(error) => skipped.push(Skipped { record: place, reason: error.to_string() }),
            Ok(record) if !ids.insert(record.header.id.clone()) => {
                let reason = format!("a second record with the id {}", record.header.id);
                skipped.push(Skipped { record: place, reason });
            }
            Ok(record) => records.push(record),
        }
    }
    if records.is_empty() {
        let named = escaped(named);
        let mut message = if skipped.is_empty() {
            format!("{named} holds no record (no {HEADER_FILE} in it or in the folders below)")
        } else {
            format!("{named} holds no record that can be read:")
        };
        for skip in skipped.iter().take(QUOTED) {
            message.push_str(&format!("\n  {}: {}", escaped(&skip.record), escaped(&skip.reason)));
        }
        if skipped.len() > QUOTED {
            message.push_str(&format!("\n  and {} more", skipped.len() - QUOTED));
        }
        return Err(Failure::usage(message));
    }
    records.sort_by(|a, b| {
        let key = |r: &RunRecord| (r.header.started_at.date_time(), r.header.id.clone());
        key(b).cmp(&key(a))
    });
    Ok(Baseline { records, skipped })
}

/// Every record in `folder` (the root of the repository when empty) at `reference`.
fn from_git(reference: &str, folder: &str) -> Result<Found, Failure> {
    let shown = escaped(reference);
    let commit = git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{reference}^{{commit}}")])
        .map_err(|why| match why {
            GitError::Absent(why) => Failure::usage(format!("{shown} is no path, and git cannot be asked: {why}")),
            GitError::Said(_) => Failure::usage(format!(
                "--baseline {shown}: there is no such file or folder, and no git ref or commit of that name here; \
                 give a record, a folder of records, REF:PATH, or a REF with --path (in CI: fetch the ref first)"
            )),
        })?;
    let commit = String::from_utf8_lossy(&commit).trim().to_owned();
    let asked = |why: GitError| Failure::usage(format!("git at {shown}: {}", escaped(&why.to_string())));
    let mut list = vec!["ls-tree", "-r", "-z", "--name-only", "--full-tree", &commit];
    let below = format!("{folder}/");
    if !folder.is_empty() {
        list.extend(["--", &below]);
    }
    let names = git(&list).map_err(asked)?;
    let names = String::from_utf8_lossy(&names);
    let ending = format!("/{HEADER_FILE}");
    let headers = names.split('\0').filter(|n| *n == HEADER_FILE || n.ends_with(&ending));
    let mut found = Vec::new();
    for header in headers {
        let dir = header.strip_suffix(HEADER_FILE).unwrap_or_default();
        let place = format!("{reference}:{}", dir.trim_end_matches('/'));
        let named = |file: &str| PathBuf::from(format!("{reference}:{dir}{file}"));
        let blob = |file: &str| {
            let path = named(file);
            git(&["cat-file", "blob", &format!("{commit}:{dir}{file}")]).map_err(|why| StoreError::Io {
                action: "read",
                path,
                source: std::io::Error::other(why.to_string()),
            })
        };
        let read = blob(HEADER_FILE).and_then(|header| {
            let samples = blob(SAMPLES_FILE)?;
            store::parse(&named(HEADER_FILE), &header, &named(SAMPLES_FILE), &samples)
        });
        found.push((place, read));
    }
    if found.is_empty() {
        let place = if folder.is_empty() { "anywhere in it".to_owned() } else { format!("in {}", escaped(folder)) };
        let message = format!(
            "{shown} is a git ref without a record: no {HEADER_FILE} {place}; commit a record there, or name its \
             folder with {shown}:PATH"
        );
        return Err(Failure::usage(message));
    }
    Ok(found)
}

/// Why git did not answer.
#[derive(Debug, thiserror::Error)]
enum GitError {
    #[error("it cannot be started ({0})")]
    Absent(std::io::Error),
    #[error("{0}")]
    Said(String),
}

fn git(args: &[&str]) -> Result<Vec<u8>, GitError> {
    let output = Command::new("git").args(args).output().map_err(GitError::Absent)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(GitError::Said(said.lines().next().unwrap_or("it failed without a word").to_owned()))
}
