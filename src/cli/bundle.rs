//! Bundles on disk: a folder, or one `.tar.zst`. Written whole or not at all; read without trust.

use super::Failure;
use crate::evidence::bundle::{MOST_BYTES, MOST_FILES, most_bytes};
use crate::evidence::statement::is_file_name;
use crate::evidence::{Bundle, archive};
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Reads the bundle at `path`.
///
/// # Errors
/// Exit code 2 where there is nothing to read, 8 where what is there is no bundle.
pub(super) fn read(path: &Path) -> Result<Bundle, Failure> {
    let unreadable = |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", path.display()));
    let kind = fs::metadata(path).map_err(unreadable)?;
    if kind.is_dir() {
        return read_folder(path);
    }
    if !kind.is_file() {
        return Err(Failure::usage(format!("{} is neither a folder nor a file", path.display())));
    }
    let file = File::open(path).map_err(unreadable)?;
    archive::read(BufReader::with_capacity(1 << 16, file))
        .map_err(|why| Failure::evidence(format!("{}: {why}", path.display())))
}

fn read_folder(dir: &Path) -> Result<Bundle, Failure> {
    let unreadable = |path: &Path, e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", path.display()));
    let mut bundle = Bundle::default();
    let mut left = MOST_BYTES;
    for entry in fs::read_dir(dir).map_err(|e| unreadable(dir, e))? {
        let path = entry.map_err(|e| unreadable(dir, e))?.path();
        let refused = |why: String| Failure::evidence(format!("{}: {why}", path.display()));
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let kind = fs::symlink_metadata(&path).map_err(|e| unreadable(&path, e))?.file_type();
        if !kind.is_file() {
            return Err(refused("no plain file; a bundle has no folders, links or devices".to_owned()));
        }
        if !is_file_name(name) {
            return Err(refused("no file of a bundle; names are of letters, digits, `.`, `-` and `_`".to_owned()));
        }
        if bundle.files.len() >= MOST_FILES {
            return Err(Failure::evidence(format!("{}: more than {MOST_FILES} files", dir.display())));
        }
        // A link or pipe that was put there since is not followed and not waited for.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&path).map_err(|e| unreadable(&path, e))?;
        let most = most_bytes(name).min(left);
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(|e| unreadable(&path, e))?;
        if bytes.len() as u64 > most {
            return Err(refused(format!("more than {most} bytes, which is all that is read of it")));
        }
        left -= bytes.len() as u64;
        bundle.files.insert(name.to_owned(), bytes);
    }
    Ok(bundle)
}

/// Says before any work whether a bundle can be written to `out`.
///
/// # Errors
/// Exit code 2 where something is there already.
pub(super) fn is_free(out: &Path) -> Result<(), Failure> {
    let free = match fs::symlink_metadata(out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(Failure::usage(format!("cannot write {}: {error}", out.display()))),
        Ok(kind) if kind.is_dir() && !is_archive(out) => {
            fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_none())
        }
        Ok(_) => false,
    };
    let what = if is_archive(out) { "exists already" } else { "exists and is no empty folder" };
    if free { Ok(()) } else { Err(Failure::usage(format!("{} {what}; choose another --out", out.display()))) }
}

fn is_archive(out: &Path) -> bool {
    out.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.ends_with(archive::EXTENSION))
}

/// Writes a bundle: as one file where `out` ends with `.tar.zst`, else as a folder. A draft beside it takes
/// the name when it is whole.
///
/// # Errors
/// Exit code 2 where `out` is taken or cannot be written.
pub(super) fn write(bundle: &Bundle, out: &Path) -> Result<(), Failure> {
    is_free(out)?;
    let failed = |e: std::io::Error| Failure::usage(format!("cannot write {}: {e}", out.display()));
    let name = out.file_name().ok_or_else(|| Failure::usage(format!("{} has no name", out.display())))?;
    let parent = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    let draft = Draft(parent.join(format!(".{}.{}.draft", name.to_string_lossy(), std::process::id())));
    if is_archive(out) {
        let bytes = archive::write(bundle).map_err(Failure::internal)?;
        create(&draft.0, &bytes).map_err(failed)?;
    } else {
        fs::create_dir(&draft.0).map_err(failed)?;
        for (name, bytes) in &bundle.files {
            create(&draft.0.join(name), bytes).map_err(failed)?;
        }
    }
    fs::rename(&draft.0, out).map_err(failed)
}

fn create(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A draft that goes away unless it was renamed.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
    }
}
