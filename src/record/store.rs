//! The record on disk: a folder with `record.json` and `samples.jsonl`.
//!
//! Every event is one `write` of one whole line to a file opened for appending, so a kill leaves
//! at most one torn line at the end. `record.json` is replaced by rename and is never half-written.

use super::{Event, Header, RunRecord, SCHEMA, SamplesDigest};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// File name of the header.
pub const HEADER_FILE: &str = "record.json";
/// File name of the events.
pub const SAMPLES_FILE: &str = "samples.jsonl";

/// A record that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: `create`, `append to`, `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The folder holds a record already.
    #[error("{path} holds a record already; choose another --out, or --resume {path}")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// There is no record at the path.
    #[error("{path} holds no record (no {HEADER_FILE} in it); give the folder that `wattproof run` wrote")]
    NotARecord {
        /// The folder or file named.
        path: PathBuf,
    },
    /// The text is no valid record.
    #[error("{path}:{line}:{column}: not a valid record: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What serde said.
        reason: String,
    },
    /// A newer program wrote it.
    #[error("{path} has record schema {found}, and this wattproof reads up to {SCHEMA}; use a newer wattproof")]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
    /// The samples are not those that the header was closed with.
    #[error("{path} was changed after the run: its SHA-256 is {found}, the record was closed with {expected}")]
    Altered {
        /// The samples file.
        path: PathBuf,
        /// Digest in the header.
        expected: String,
        /// Digest of the file.
        found: String,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

/// Writes a record while it is measured.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    samples: File,
    /// Bytes of whole lines: where a failed write is cut off.
    length: u64,
    line: Vec<u8>,
}

impl Writer {
    /// Makes the folder (and its parents) and writes the header.
    ///
    /// # Errors
    /// [`StoreError`] when the folder holds a record already or cannot be written.
    pub fn create(dir: &Path, header: &Header) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(io_error("create the folder", dir))?;
        if dir.join(HEADER_FILE).exists() || dir.join(SAMPLES_FILE).exists() {
            return Err(StoreError::Exists { path: dir.to_owned() });
        }
        let path = dir.join(SAMPLES_FILE);
        let samples =
            OpenOptions::new().append(true).create_new(true).open(&path).map_err(io_error("create", &path))?;
        let writer = Self { dir: dir.to_owned(), samples, length: 0, line: Vec::with_capacity(4096) };
        writer.write_header(header)?;
        Ok(writer)
    }

    /// Opens an unfinished record to go on with it. A torn last line is cut off first.
    ///
    /// # Errors
    /// [`StoreError`] when the files cannot be opened.
    pub fn reopen(dir: &Path, header: &Header) -> Result<Self, StoreError> {
        let path = dir.join(SAMPLES_FILE);
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
        let samples = OpenOptions::new().append(true).open(&path).map_err(io_error("append to", &path))?;
        if whole < bytes.len() {
            samples.set_len(whole as u64).map_err(io_error("cut the torn last line of", &path))?;
        }
        let writer = Self { dir: dir.to_owned(), samples, length: whole as u64, line: Vec::with_capacity(4096) };
        writer.write_header(header)?;
        Ok(writer)
    }

    /// Makes a new record in `dir` that begins with the samples of the one in `from`.
    ///
    /// # Errors
    /// [`StoreError`] when the folder holds a record already, or the files cannot be read or written.
    pub fn continue_in(dir: &Path, from: &Path, header: &Header) -> Result<Self, StoreError> {
        let source = from.join(SAMPLES_FILE);
        let samples = fs::read(&source).map_err(io_error("read", &source))?;
        let mut writer = Self::create(dir, header)?;
        let path = dir.join(SAMPLES_FILE);
        writer.samples.write_all(&samples).map_err(io_error("append to", &path))?;
        writer.length = samples.len() as u64;
        Ok(writer)
    }

    /// The record's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends one event.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the disk is full or gone. What was appended before stays readable.
    pub fn append(&mut self, event: &Event) -> Result<(), StoreError> {
        self.line.clear();
        let path = || self.dir.join(SAMPLES_FILE);
        serde_json::to_writer(&mut self.line, event).map_err(|e| io_error("encode a line of", &path())(e.into()))?;
        self.line.push(b'\n');
        match self.samples.write_all(&self.line) {
            Ok(()) => self.length += self.line.len() as u64,
            Err(error) => {
                // A full disk can take half a line; later lines must not be glued to it.
                let _ = self.samples.set_len(self.length);
                return Err(io_error("append to", &path())(error));
            }
        }
        Ok(())
    }

    /// Writes the final header, with the digest of the samples.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the files cannot be written.
    pub fn finish(self, header: &mut Header) -> Result<(), StoreError> {
        let path = self.dir.join(SAMPLES_FILE);
        self.samples.sync_data().map_err(io_error("flush", &path))?;
        header.samples = Some(digest_of(&path).map_err(io_error("read", &path))?);
        self.write_header(header)
    }

    fn write_header(&self, header: &Header) -> Result<(), StoreError> {
        let path = self.dir.join(HEADER_FILE);
        let draft = self.dir.join(".record.json.new");
        let mut text = serde_json::to_vec_pretty(header).map_err(|e| io_error("encode", &path)(e.into()))?;
        text.push(b'\n');
        fs::write(&draft, text).map_err(io_error("write", &draft))?;
        fs::rename(&draft, &path).map_err(io_error("write", &path))
    }
}

/// Reads the record in `path`: its folder, or its `record.json`.
///
/// # Errors
/// [`StoreError`] naming the file and the place in it.
pub fn load(path: &Path) -> Result<RunRecord, StoreError> {
    load_parts(path, Trace::Read)
}

/// As [`load`], for readers that have no use for the power trace, which is most of a long record: it is left empty.
/// The digest of the samples holds for all of them all the same.
///
/// # Errors
/// [`StoreError`] naming the file and the place in it.
pub fn load_without_trace(path: &Path) -> Result<RunRecord, StoreError> {
    load_parts(path, Trace::Skipped)
}

/// As [`load_without_trace`], with the SHA-256 of `record.json` in lower-case hex: of the very bytes that were parsed.
///
/// # Errors
/// [`StoreError`] naming the file and the place in it.
pub fn load_with_digest(path: &Path) -> Result<(RunRecord, String), StoreError> {
    load_both(path, Trace::Skipped)
}

fn load_parts(path: &Path, trace: Trace) -> Result<RunRecord, StoreError> {
    load_both(path, trace).map(|(record, _)| record)
}

fn load_both(path: &Path, trace: Trace) -> Result<(RunRecord, String), StoreError> {
    let (dir, header_path) = locate(path)?;
    let text = fs::read(&header_path).map_err(io_error("read", &header_path))?;
    let samples_path = dir.join(SAMPLES_FILE);
    let samples = fs::read(&samples_path).map_err(io_error("read", &samples_path))?;
    Ok((parse_parts(&header_path, &text, &samples_path, &samples, trace)?, sha256_hex(&text)))
}

/// The record in these bytes; the paths are for messages.
///
/// # Errors
/// [`StoreError`] naming the file and the place in it.
pub fn parse(header_path: &Path, header: &[u8], samples_path: &Path, samples: &[u8]) -> Result<RunRecord, StoreError> {
    parse_parts(header_path, header, samples_path, samples, Trace::Read)
}

/// What becomes of the points of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    Read,
    Skipped,
}

fn parse_parts(
    header_path: &Path,
    header: &[u8],
    samples_path: &Path,
    samples: &[u8],
    trace: Trace,
) -> Result<RunRecord, StoreError> {
    let header = parse_header(header_path, header)?;
    let digest = sha256_hex(samples);
    if let Some(closed) = &header.samples
        && closed.sha256 != digest
    {
        let path = samples_path.to_owned();
        return Err(StoreError::Altered { path, expected: closed.sha256.clone(), found: digest });
    }
    let (events, torn) = parse_events(samples_path, samples, trace)?;
    let mut record = RunRecord::fold(header, events, digest);
    if torn {
        record
            .notes
            .push("the last line of the samples is torn (the run was killed while writing it); it was left out".into());
    }
    Ok(record)
}

fn locate(path: &Path) -> Result<(PathBuf, PathBuf), StoreError> {
    let header = if path.is_dir() { path.join(HEADER_FILE) } else { path.to_owned() };
    if !header.is_file() {
        return Err(StoreError::NotARecord { path: path.to_owned() });
    }
    let dir = header.parent().map(Path::to_owned).unwrap_or_default();
    Ok((dir, header))
}

/// Only the schema number: read before the rest, so a newer record is refused by name.
#[derive(Deserialize)]
struct SchemaOnly {
    schema: u32,
}

fn parse_header(path: &Path, text: &[u8]) -> Result<Header, StoreError> {
    let malformed = |e: serde_json::Error| StoreError::Malformed {
        path: path.to_owned(),
        line: e.line(),
        column: e.column(),
        reason: e.to_string(),
    };
    let SchemaOnly { schema } = serde_json::from_slice(text).map_err(malformed)?;
    if schema > SCHEMA {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found: schema });
    }
    serde_json::from_slice(text).map_err(malformed)
}

/// Parses whole lines; says whether an incomplete one was left at the end.
fn parse_events(path: &Path, bytes: &[u8], trace: Trace) -> Result<(Vec<Event>, bool), StoreError> {
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    let mut events = Vec::new();
    for (index, line) in bytes[..whole].split(|&b| b == b'\n').enumerate() {
        if line.is_empty() || (trace == Trace::Skipped && line.starts_with(TRACE)) {
            continue;
        }
        events.push(parse_event(line).map_err(|e| StoreError::Malformed {
            path: path.to_owned(),
            line: index + 1,
            column: e.column(),
            reason: e.to_string(),
        })?);
    }
    Ok((events, whole < bytes.len()))
}

/// How lines of the two frequent events begin.
const SAMPLE: &[u8] = br#"{"event":"sample","#;
const TRACE: &[u8] = br#"{"event":"trace","#;

/// One line. Samples and points of the trace are nearly all of a record; read straight into their types they need no
/// copy in between, which finding out the kind of an event takes.
fn parse_event(line: &[u8]) -> serde_json::Result<Event> {
    if line.starts_with(SAMPLE) {
        return serde_json::from_slice(line).map(Event::Sample);
    }
    if line.starts_with(TRACE) {
        return serde_json::from_slice(line).map(Event::Trace);
    }
    serde_json::from_slice(line)
}

/// Digest of a file piece by piece: the trace of a long run is larger than what memory should hold.
fn digest_of(path: &Path) -> io::Result<SamplesDigest> {
    let (mut file, mut sha, mut bytes) = (File::open(path)?, Sha256::new(), 0u64);
    let mut piece = vec![0u8; 64 * 1024];
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            let sha256 = sha.finalize().iter().map(|b| format!("{b:02x}")).collect();
            return Ok(SamplesDigest { sha256, bytes });
        }
        sha.update(&piece[..length]);
        bytes += length as u64;
    }
}

/// SHA-256 as lower-case hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn a_record_without_its_trace_is_the_same_record() {
        let record = fixture::with_gpu();
        let (header, samples) = fixture::on_disk(&record);
        let read = |samples: &[u8], trace| {
            parse_parts(Path::new("record.json"), &header, Path::new("samples.jsonl"), samples, trace)
        };
        let (mut whole, lean) = (read(&samples, Trace::Read).unwrap(), read(&samples, Trace::Skipped).unwrap());
        assert!(whole.trace.len() > 100 && lean.trace.is_empty());
        whole.trace.clear();
        assert_eq!(whole, lean);
        let mut altered = samples;
        let last = altered.len() - 3;
        altered[last] ^= 1;
        assert!(matches!(read(&altered, Trace::Skipped), Err(StoreError::Altered { .. })));
    }

    #[test]
    fn the_frequent_events_are_read_as_all_others_are() {
        let (_, samples) = fixture::on_disk(&fixture::with_gpu());
        let mut fast = 0;
        for line in samples.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            fast += usize::from(line.starts_with(SAMPLE) || line.starts_with(TRACE));
            assert_eq!(parse_event(line).unwrap(), serde_json::from_slice::<Event>(line).unwrap());
        }
        assert!(fast > 100, "the writer puts the tag first");
        assert!(parse_event(br#"{"event":"sample","case":1}"#).is_err() && parse_event(b"{}").is_err());
    }
}
