//! Which records and bundles a folder holds. Links are not followed.

use crate::cli::Failure;
use crate::evidence::archive;
use crate::evidence::bundle::STATEMENT;
use crate::record::store::HEADER_FILE;
use crate::report::site::LeftOut;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders deeper than this are left out.
const DEEPEST: usize = 16;

/// What lies in a folder, each list in order of path.
#[derive(Debug, Default)]
pub(in crate::cli) struct Found {
    /// Folders with a record.
    pub(in crate::cli) records: Vec<PathBuf>,
    /// Folders and archives with a bundle.
    pub(in crate::cli) bundles: Vec<PathBuf>,
    /// What was not looked into.
    pub(in crate::cli) left_out: Vec<LeftOut>,
}

/// Looks through `root`. Hidden folders and sites that wattproof made are passed over.
///
/// # Errors
/// Exit code 2 where `root` is no folder that can be read, or a site.
pub(in crate::cli) fn find(root: &Path) -> Result<Found, Failure> {
    let kind = fs::metadata(root).map_err(|e| Failure::usage(format!("cannot read {}: {e}", root.display())))?;
    if !kind.is_dir() {
        return Err(Failure::usage(format!("{} is no folder; give a folder of records", root.display())));
    }
    if root.join(super::output::MARKER).exists() {
        let message = "is a site that wattproof made; give the folder of records that it was made of";
        return Err(Failure::usage(format!("{} {message}", root.display())));
    }
    let mut found = Found::default();
    look(root, root, 0, &mut found);
    Ok(found)
}

/// `path` below `root`, for people; the whole of it where it is `root`.
pub(in crate::cli) fn below(root: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let shown = if inside.as_os_str().is_empty() { path } else { inside };
    shown.to_string_lossy().into_owned()
}

fn look(root: &Path, dir: &Path, depth: usize, found: &mut Found) {
    let mut leave = |path: &Path, reason: &str| found.left_out.push(LeftOut::new(&below(root, path), reason));
    let entries = match fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries,
        Err(error) => return leave(dir, &format!("cannot be read: {error}")),
    };
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    let is_plain = |name: &str| fs::symlink_metadata(dir.join(name)).is_ok_and(|kind| kind.is_file());
    if is_plain(super::output::MARKER) {
        return;
    }
    if is_plain(STATEMENT) {
        return found.bundles.push(dir.to_owned());
    }
    if is_plain(HEADER_FILE) {
        found.records.push(dir.to_owned());
    } else if paths.iter().any(|p| p.file_name().is_some_and(|n| n == HEADER_FILE)) {
        leave(dir, "its record.json is no plain file; links are not followed");
    }
    for path in paths {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        let Ok(kind) = fs::symlink_metadata(&path) else { continue };
        if kind.is_dir() && depth < DEEPEST {
            look(root, &path, depth + 1, found);
        } else if kind.is_dir() {
            found.left_out.push(LeftOut::new(&below(root, &path), "lies too deep; give a folder further down"));
        } else if kind.is_file() && name.ends_with(archive::EXTENSION) {
            found.bundles.push(path);
        } else if kind.is_symlink() && path.is_dir() {
            found.left_out.push(LeftOut::new(&below(root, &path), "is a link; links are not followed"));
        }
    }
}
