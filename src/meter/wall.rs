//! The log of an external wall meter while it is written: a file that grows, a pipe, standard input.

use super::energy::{DomainEnergy, Figure};
use super::uncertainty::{Origin, Terms};
use crate::clock::{Clock, Moment};
use crate::policy::Policy;
use crate::record::{EnergyMethod, wall_span};
use crate::sensors::Domain;
use crate::sensors::wall::csv::Reader;
use crate::sensors::wall::{Accuracy, Alignment, Columns, ID, Pulse, Row};
use crate::units::{MicroJoules, Seconds};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a log that are read at most.
const MAX_BYTES: u64 = 256 << 20;

/// The header stands within so many bytes.
const HEADER_BYTES: u64 = 1 << 16;

/// So much of the end of a file tells whether it was appended to or written anew.
const TAIL_BYTES: u64 = 4096;

/// Rows that a record keeps of a log that could not be aligned.
const UNALIGNED_ROWS: usize = 100_000;

/// Usual intervals before the first pulse and after the last one whose rows are kept.
const MARGIN: f64 = 20.0;

/// Between two looks at a log that is still written.
const LOOK: Duration = Duration::from_millis(250);

/// A log that a meter is writing.
pub struct MeterLog {
    source: Source,
    columns: Columns,
}

enum Source {
    /// A file; what stood in it before the run is not of the run.
    File { path: PathBuf, before: u64, tail: Vec<u8> },
    /// A pipe, read by a thread.
    Pipe(Arc<Mutex<Vec<u8>>>),
}

impl MeterLog {
    /// Opens the log at `path`, `-` being standard input, at the start of a run: rows that a file
    /// holds already are not of the run. A file need not exist yet.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(path: &Path, columns: Columns) -> io::Result<Self> {
        let pipe = |from: Box<dyn FnOnce() -> io::Result<Box<dyn Read>> + Send>| -> io::Result<Source> {
            let buffer = Arc::new(Mutex::new(Vec::new()));
            let shared = Arc::clone(&buffer);
            std::thread::Builder::new().name("wall-meter".into()).spawn(move || drain(from, &shared))?;
            Ok(Source::Pipe(buffer))
        };
        let source = if path == Path::new("-") {
            pipe(Box::new(|| Ok(Box::new(io::stdin()))))?
        } else if std::fs::metadata(path).is_ok_and(|m| m.file_type().is_fifo()) {
            // Opening waits for the writer, so it is left to the thread.
            let path = path.to_owned();
            pipe(Box::new(move || Ok(Box::new(File::open(path)?))))?
        } else {
            let before = match std::fs::metadata(path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
            let from = before.saturating_sub(TAIL_BYTES);
            let tail = if before > 0 { read(path, from, before - from)? } else { Vec::new() };
            Source::File { path: path.to_owned(), before, tail }
        };
        Ok(Self { source, columns })
    }

    /// The rows written since [`Self::open`], in their order. A last line without an end is still
    /// being written and is left out.
    ///
    /// # Errors
    /// Why there are none, in words.
    pub fn rows(&self) -> Result<Vec<Row>, String> {
        let mut reader = Reader::new(self.columns.clone());
        match &self.source {
            Source::Pipe(buffer) => {
                let buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
                if buffer.len() as u64 >= MAX_BYTES {
                    return Err(format!("its log is longer than {} MiB", MAX_BYTES >> 20));
                }
                feed(&mut reader, &buffer)?;
            }
            Source::File { path, before, tail } => {
                let failed = |e: io::Error| format!("cannot read {}: {e}", path.display());
                let length = std::fs::metadata(path).map_err(failed)?.len();
                let start = before.saturating_sub(tail.len() as u64);
                let grown = length >= *before && read(path, start, tail.len() as u64).map_err(failed)? == *tail;
                let mut from = 0;
                if grown && *before > 0 {
                    feed(&mut reader, &read(path, 0, HEADER_BYTES.min(*before)).map_err(failed)?)?;
                    // What stood there before may have ended within a line.
                    let whole = tail.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
                    from = start + whole as u64;
                    if reader.has_header() {
                        reader.skip();
                    } else {
                        // The header itself may still have been missing.
                        (reader, from) = (Reader::new(self.columns.clone()), 0);
                    }
                }
                if length - from.min(length) > MAX_BYTES {
                    return Err(format!("{} grew by more than {} MiB", path.display(), MAX_BYTES >> 20));
                }
                feed(&mut reader, &read(path, from, MAX_BYTES).map_err(failed)?)?;
            }
        }
        if !reader.has_header() {
            return Err(reader.no_header());
        }
        Ok(reader.rows().to_vec())
    }

    /// Waits until the log covers the pulses, `patience` at most, and aligns it. The rows are those of
    /// the run; all of them where the log cannot be aligned.
    pub fn finish(
        &self,
        pulses: &[Pulse],
        clock: &Clock,
        patience: Seconds,
        stop: &dyn Fn() -> bool,
    ) -> (Vec<Row>, Result<Alignment, String>) {
        let start = clock.now();
        loop {
            let rows = self.rows();
            let aligned = rows.as_ref().map_err(Clone::clone).and_then(|rows| Alignment::of(rows, pulses));
            match aligned {
                Ok(alignment) => {
                    let rows = rows.map(|rows| of_run(rows, &alignment, pulses)).unwrap_or_default();
                    // The record holds these rows only, so they are what decides.
                    let aligned = Alignment::of(&rows, pulses);
                    return (rows, aligned);
                }
                Err(why) if clock.now().since(start) >= patience || stop() => {
                    let mut rows = rows.unwrap_or_default();
                    rows.drain(..rows.len().saturating_sub(UNALIGNED_ROWS));
                    return (rows, Err(why));
                }
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }
}

/// The rows of a log that was exported after the run, and where it lies on the run's clock.
///
/// # Errors
/// Why it cannot be read or aligned.
pub fn exported(path: &Path, columns: Columns, pulses: &[Pulse]) -> Result<(Vec<Row>, Alignment), String> {
    let length = std::fs::metadata(path).map_err(|e| format!("cannot be read: {e}"))?.len();
    if length > MAX_BYTES {
        return Err(format!("is longer than {} MiB", MAX_BYTES >> 20));
    }
    let mut bytes = read(path, 0, MAX_BYTES).map_err(|e| format!("cannot be read: {e}"))?;
    // Nobody is writing it any more, so its last line is whole whether it has an end or not.
    bytes.push(b'\n');
    let mut reader = Reader::new(columns);
    feed(&mut reader, &bytes)?;
    if !reader.has_header() {
        return Err(reader.no_header());
    }
    let alignment = Alignment::of(reader.rows(), pulses)?;
    let rows = of_run(reader.rows().to_vec(), &alignment, pulses);
    // The record holds these rows only, so they are what decides.
    let alignment = Alignment::of(&rows, pulses)?;
    Ok((rows, alignment))
}

/// The rows from a little before the first pulse to a little after the last one.
fn of_run(mut rows: Vec<Row>, alignment: &Alignment, pulses: &[Pulse]) -> Vec<Row> {
    let margin = alignment.meter_log().interval() * MARGIN;
    let (Some(first), Some(last)) = (pulses.first(), pulses.last()) else { return rows };
    let (from, to) = (alignment.meter_time(first.start) - margin, alignment.meter_time(last.end) + margin);
    let inside = |row: &Row| row.at.is_some_and(|t| t.get() >= from && t.get() <= to);
    let begin = rows.iter().position(inside).unwrap_or(0);
    let end = rows.iter().rposition(inside).map_or(rows.len(), |i| i + 1);
    rows.truncate(end);
    rows.drain(..begin);
    rows
}

/// Takes in whole lines.
fn feed(reader: &mut Reader, bytes: &[u8]) -> Result<(), String> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    String::from_utf8_lossy(&bytes[..whole]).lines().try_for_each(|line| reader.line(line))
}

fn read(path: &Path, from: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads until the writer ends, or the buffer is full. An error ends the log where it is.
fn drain(from: Box<dyn FnOnce() -> io::Result<Box<dyn Read>> + Send>, into: &Mutex<Vec<u8>>) {
    let Ok(mut input) = from() else { return };
    let mut chunk = vec![0; 1 << 16];
    while let Ok(length) = input.read(&mut chunk) {
        let mut buffer = into.lock().unwrap_or_else(PoisonError::into_inner);
        if length == 0 || buffer.len() as u64 >= MAX_BYTES {
            return;
        }
        buffer.extend_from_slice(&chunk[..length]);
    }
}

/// The wall's energy between two moments, for a measurement beside counters. Its bound is the one
/// that was declared, or that of the policy.
#[must_use]
pub fn part(
    alignment: &Result<Alignment, String>,
    from: Moment,
    to: Moment,
    accuracy: Option<&Accuracy>,
) -> DomainEnergy {
    let method = alignment.as_ref().map_or(EnergyMethod::Integrated, |a| a.meter_log().method());
    let figure = alignment.as_ref().map_err(Clone::clone).and_then(|alignment| {
        let span = wall_span(alignment, from, to)?;
        let energy = span.energy.to_joules();
        let power = energy.over(to.since(from)).ok_or("the window has no length")?;
        let policy = Policy::shipped();
        let gain = policy
            .with_declared(ID, accuracy.map(|a| (a.bound, a.source.as_str())))
            .systematic_bound(ID, method)
            .ok_or("the uncertainty policy states no bound for wall meters")?;
        let resolution = alignment.meter_log().step().map(|step| MicroJoules::new((step * 1e6).ceil() as u64));
        let origin = Origin { gain, update_period: span.update_period, resolution, wraps: 0 };
        Ok(Figure {
            energy,
            power,
            net: None,
            terms: Terms::of(energy, power, origin),
            wraps: 0,
            update_period: span.update_period,
            n: 1,
            spread: None,
        })
    });
    DomainEnergy { domain: Domain::Wall, sensor: ID.to_owned(), inside: None, method, figure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn opened(path: &Path) -> MeterLog {
        MeterLog::open(path, Columns::default()).unwrap()
    }

    fn times(log: &MeterLog) -> Vec<f64> {
        log.rows().unwrap().iter().map(|r| r.at.unwrap().get()).collect()
    }

    fn append(path: &Path, text: &str) {
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn only_what_is_written_during_the_run_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        append(&path, "time,power\n1,10\n2,10\n");
        let log = opened(&path);
        assert_eq!(times(&log), [0.0; 0]);
        append(&path, "3,10\n4,10\n5,1");
        assert_eq!(times(&log), [3.0, 4.0], "the last line is still being written");
        append(&path, "0\n");
        assert_eq!(times(&log), [3.0, 4.0, 5.0]);
        // The logger was in the middle of a line when the run began.
        append(&path, "6,1");
        let log = opened(&path);
        append(&path, "0\n7,10\n");
        assert_eq!(times(&log), [6.0, 7.0]);
    }

    #[test]
    fn a_file_that_is_written_anew_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        let log = opened(&path);
        assert!(log.rows().unwrap_err().contains("cannot read"), "it does not exist yet");
        append(&path, "time,power\n1,10\n");
        assert_eq!(times(&log), [1.0]);
        let log = opened(&path);
        std::fs::write(&path, "time,power\n7,10\n8,10\n9,10\n").unwrap();
        assert_eq!(times(&log), [7.0, 8.0, 9.0]);
        let log = opened(&path);
        std::fs::write(&path, "power\n").unwrap();
        assert!(log.rows().unwrap_err().contains("name the columns"));
        assert!(MeterLog::open(&dir.path().join("x\0y"), Columns::default()).is_err());
    }

    #[test]
    fn a_pipe_is_read_as_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let log = opened(&path);
        let mut writer = File::options().write(true).open(&path).unwrap();
        writer.write_all(b"time,power\n1,10\n2,").unwrap();
        let clock = Clock::start();
        while log.rows().map_or(0, |rows| rows.len()) == 0 && clock.now().seconds().get() < 10.0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(times(&log), [1.0]);
    }

    #[test]
    fn waiting_has_an_end_and_says_what_was_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.csv");
        let log = opened(&path);
        append(&path, "time,power\n1,10\n2,10\n3,10\n4,10\n");
        let at = |s: f64| Moment::from_nanos((s * 1e9) as u64);
        let pulse = |s: f64| Pulse { start: at(s), on: at(s + 1.0), off: at(s + 2.0), end: at(s + 3.0) };
        let (rows, aligned) =
            log.finish(&[pulse(0.0), pulse(9.0)], &Clock::start(), Seconds::new(0.3).unwrap(), &|| false);
        assert_eq!(rows.len(), 4, "kept, so that the refusal can be checked");
        assert!(aligned.unwrap_err().contains("its log covers 3.0 s"));
    }
}
