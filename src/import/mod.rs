//! Results of other harnesses, read from what they saved and reckoned anew.
//!
//! An import is a table and not a record: nobody knows on which machine, with which counters and
//! beside what else it was measured, and no answer was checked.

pub mod criterion;

use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is read.
const MAX_BYTES: u64 = 64 << 20;

/// A result that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The operating system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The text is not what the harness writes.
    #[error("{path}{place}: not a result of criterion: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// `:line:column`, or nothing.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// There is nothing to import.
    #[error("{path} holds no result of criterion; give the folder that `cargo bench` wrote, e.g. target/criterion")]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
}

/// Bytes of a file of bounded size; `None` where there is no such file.
fn read(path: &Path) -> Result<Option<Vec<u8>>, ImportError> {
    let failed = |source| ImportError::Io { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        let reason = format!("it is larger than {} MiB", MAX_BYTES >> 20);
        return Err(ImportError::Malformed { path: path.to_owned(), place: String::new(), reason });
    }
    Ok(Some(bytes))
}
