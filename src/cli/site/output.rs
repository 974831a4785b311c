//! The folder of a site: made as a draft beside it, taken whole. What wattproof did not make is never deleted.

use crate::cli::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The file that says that a folder is a site, and which files in it were made.
pub(in crate::cli) const MARKER: &str = "wattproof-site.json";

/// Schema of [`MARKER`].
const SCHEMA: u32 = 1;

/// Longest list of files that is read.
const MOST_BYTES: u64 = 256 << 20;

/// The contents of [`MARKER`].
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// [`SCHEMA`] of the writer.
    schema: u32,
    /// Program and version.
    made_by: String,
    /// Every file but this one, in order, with `/` between folder and name.
    files: Vec<String>,
}

/// What is at the place of the site.
#[derive(Debug)]
pub(in crate::cli) enum Place {
    /// Nothing, or an empty folder.
    Free,
    /// A site, with nothing in it that wattproof did not make.
    Site(BTreeSet<String>),
}

impl Place {
    /// Looks at `out`.
    ///
    /// # Errors
    /// Exit code 2 where something is there that must not be replaced.
    pub(in crate::cli) fn of(out: &Path) -> Result<Self, Failure> {
        let refused = |why: &str| Failure::usage(format!("{} {why}; choose another --out", out.display()));
        match fs::symlink_metadata(out) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::Free),
            Err(error) => return Err(refused(&format!("cannot be looked at: {error}"))),
            Ok(kind) if !kind.is_dir() => return Err(refused("is no folder")),
            Ok(_) => {}
        }
        let present = files_in(out).map_err(|e| refused(&format!("cannot be read: {e}")))?;
        if present.is_empty() && fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none()) {
            return Ok(Self::Free);
        }
        let made =
            files(out).map_err(|why| refused(&format!("is not empty, and no site that wattproof made ({why})")))?;
        match present.iter().find(|file| *file != MARKER && !made.contains(*file)) {
            None => Ok(Self::Site(made)),
            Some(foreign) => Err(refused(&format!(
                "is a site, but holds {}, which wattproof did not make and would have to delete",
                foreign.escape_debug()
            ))),
        }
    }
}

/// The files that a site was made of, from its list.
///
/// # Errors
/// Why it is no site, in words.
pub(in crate::cli) fn files(site: &Path) -> Result<BTreeSet<String>, String> {
    let path = site.join(MARKER);
    let kind = fs::symlink_metadata(&path).map_err(|_| format!("there is no {MARKER} in it"))?;
    if !kind.is_file() || kind.len() > MOST_BYTES {
        return Err(format!("its {MARKER} is no list of files"));
    }
    let mut text = String::new();
    let file = fs::File::open(&path).map_err(|e| format!("{MARKER}: {e}"))?;
    file.take(MOST_BYTES).read_to_string(&mut text).map_err(|e| format!("{MARKER}: {e}"))?;
    let list: Manifest = serde_json::from_str(&text).map_err(|e| format!("{MARKER}: {e}"))?;
    if list.schema > SCHEMA {
        return Err(format!("{MARKER} has schema {}; a newer wattproof made it", list.schema));
    }
    let strange = |name: &&String| name.split('/').any(|part| matches!(part, "" | "." | "..")) || name.contains('\0');
    match list.files.iter().find(strange) {
        Some(name) => Err(format!("{MARKER} names {}, which is no file of a site", name.escape_debug())),
        None => Ok(list.files.into_iter().collect()),
    }
}

/// Lists the files of a finished draft in it.
///
/// # Errors
/// Exit code 2 where it cannot be written.
pub(in crate::cli) fn seal(site: &Path) -> Result<(), Failure> {
    let failed =
        |e: &dyn std::fmt::Display| Failure::usage(format!("cannot write {}: {e}", site.join(MARKER).display()));
    let files = files_in(site).map_err(|e| failed(&e))?;
    let made_by = concat!("wattproof ", env!("CARGO_PKG_VERSION")).to_owned();
    let list = Manifest { schema: SCHEMA, made_by, files: files.into_iter().collect() };
    let text = serde_json::to_string(&list).map_err(Failure::internal)?;
    fs::write(site.join(MARKER), text + "\n").map_err(|e| failed(&e))
}

/// Every file below `dir`, and every folder that holds nothing; links are files. Names that are no UTF-8 are changed, so
/// that no list can hold them.
fn files_in(dir: &Path) -> std::io::Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    let mut left = vec![dir.to_owned()];
    while let Some(folder) = left.pop() {
        let mut empty = true;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            empty = false;
            if fs::symlink_metadata(&path)?.is_dir() {
                left.push(path);
            } else {
                files.insert(name_below(dir, &path));
            }
        }
        if empty && folder != dir {
            files.insert(name_below(dir, &folder) + "/");
        }
    }
    Ok(files)
}

fn name_below(dir: &Path, path: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).to_string_lossy().into_owned()
}

/// A site that is being made; it goes away unless it is taken.
#[derive(Debug)]
pub(in crate::cli) struct Draft(PathBuf);

impl Draft {
    /// An empty folder beside `out`, on the same file system.
    ///
    /// # Errors
    /// Exit code 2 where it cannot be made.
    pub(in crate::cli) fn beside(out: &Path) -> Result<Self, Failure> {
        let path = hidden(out, "draft")?;
        let failed = |e: std::io::Error| Failure::usage(format!("cannot create {}: {e}", path.display()));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::create_dir(&path).map_err(failed)?;
        Ok(Self(path))
    }

    /// Its folder.
    pub(in crate::cli) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it the name `out`. An old site goes away when the new one stands; where something was put into it
    /// meanwhile, it is kept under the name that is returned.
    ///
    /// # Errors
    /// Exit code 2 where it cannot be renamed; then `out` is as it was.
    pub(in crate::cli) fn take(self, out: &Path, place: Place) -> Result<Option<PathBuf>, Failure> {
        let failed = |e: std::io::Error| Failure::usage(format!("cannot write {}: {e}", out.display()));
        let Place::Site(files) = place else {
            fs::rename(&self.0, out).map_err(failed)?;
            return Ok(None);
        };
        let old = hidden(out, "old")?;
        fs::rename(out, &old).map_err(failed)?;
        if let Err(error) = fs::rename(&self.0, out) {
            fs::rename(&old, out).map_err(failed)?;
            return Err(failed(error));
        }
        remove(&old, &files);
        Ok(old.exists().then_some(old))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // It was made empty by this process, and everything in it as well.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `.<name>.<process>.<word>` beside `out`.
fn hidden(out: &Path, word: &str) -> Result<PathBuf, Failure> {
    let name = out.file_name().ok_or_else(|| Failure::usage(format!("{} has no name", out.display())))?;
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(parent.join(format!(".{}.{}.{word}", name.to_string_lossy(), std::process::id())))
}

/// Deletes the files of a site and the folders that are empty then, and nothing else.
fn remove(site: &Path, files: &BTreeSet<String>) {
    let mut folders = BTreeSet::from([site.to_owned()]);
    for name in files.iter().map(String::as_str).chain([MARKER]) {
        let path = site.join(name);
        let _ = fs::remove_file(&path);
        folders.extend(path.ancestors().skip(1).take_while(|p| p.starts_with(site)).map(Path::to_owned));
    }
    // The deepest first.
    for folder in folders.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in files {
            let path = dir.path().join("out").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        seal(&dir.path().join("out")).unwrap();
        dir
    }

    #[test]
    fn an_old_site_is_replaced_and_nothing_is_left_beside_it() {
        let dir = site(&["index.html", "r/a/index.html"]);
        let out = dir.path().join("out");
        let place = Place::of(&out).unwrap();
        let draft = Draft::beside(&out).unwrap();
        fs::write(draft.path().join("index.html"), "new").unwrap();
        seal(draft.path()).unwrap();
        assert_eq!(draft.take(&out, place).unwrap(), None);
        assert_eq!(files(&out).unwrap(), BTreeSet::from(["index.html".to_owned()]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_not_made_is_not_deleted() {
        for foreign in ["mine.txt", "r/a/mine.txt", ".git/config"] {
            let dir = site(&["index.html", "r/a/index.html"]);
            let out = dir.path().join("out");
            let early = Place::of(&out).unwrap();
            fs::create_dir_all(out.join(foreign).parent().unwrap()).unwrap();
            fs::write(out.join(foreign), "mine").unwrap();
            let message = Place::of(&out).unwrap_err().to_string();
            assert!(message.contains(foreign), "{message}");
            // It came after the look.
            let draft = Draft::beside(&out).unwrap();
            seal(draft.path()).unwrap();
            let kept = draft.take(&out, early).unwrap().unwrap();
            assert_eq!(fs::read_to_string(kept.join(foreign)).unwrap(), "mine");
        }
    }

    #[test]
    fn only_an_empty_folder_or_a_site_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        assert!(matches!(Place::of(&out), Ok(Place::Free)));
        fs::create_dir(&out).unwrap();
        assert!(matches!(Place::of(&out), Ok(Place::Free)));
        for (list, why) in [
            ("{}", "missing field"),
            (r#"{"schema":9,"made_by":"x","files":[]}"#, "newer"),
            (r#"{"schema":1,"made_by":"x","files":["../../etc/passwd"]}"#, "no file of a site"),
        ] {
            fs::write(out.join(MARKER), list).unwrap();
            let message = Place::of(&out).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
        fs::remove_file(out.join(MARKER)).unwrap();
        fs::create_dir(out.join("empty")).unwrap();
        assert!(Place::of(&out).unwrap_err().to_string().contains("no site"));
    }

    #[test]
    fn a_draft_that_is_not_taken_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::beside(&dir.path().join("out")).unwrap();
        fs::write(draft.path().join("x"), "x").unwrap();
        drop(draft);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
