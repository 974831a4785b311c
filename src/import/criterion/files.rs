//! The files of one benchmark, as criterion 0.5 to 0.8 writes them, checked before anything is reckoned.

use super::{ImportError, read};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Samples of one benchmark at most; criterion's default is 100.
const MAX_SAMPLES: usize = 1_000_000;

/// `benchmark.json`: which benchmark it is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Benchmark {
    /// `group/function/value`.
    pub full_id: String,
    /// Work an iteration.
    #[serde(default)]
    pub throughput: Option<Throughput>,
}

/// Work an iteration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub enum Throughput {
    /// Bits.
    Bits(u64),
    /// Bytes.
    Bytes(u64),
    /// Bytes, printed in thousands.
    BytesDecimal(u64),
    /// Elements.
    Elements(u64),
    /// Both; elements count.
    ElementsAndBytes {
        /// Elements.
        elements: u64,
    },
}

impl Throughput {
    /// What is counted and how much of it.
    pub(super) fn work(&self) -> (&'static str, f64) {
        match self {
            Self::Bits(n) => ("b", *n as f64),
            Self::Bytes(n) | Self::BytesDecimal(n) => ("B", *n as f64),
            Self::Elements(n) | Self::ElementsAndBytes { elements: n } => ("elem", *n as f64),
        }
    }
}

/// `sample.json`: iterations and measured value of every sample.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct SavedSample {
    pub(super) sampling_mode: String,
    pub(super) iters: Vec<f64>,
    pub(super) times: Vec<f64>,
}

/// `estimates.json`: what criterion reckoned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimates {
    /// Mean of the samples.
    pub mean: Saved,
    /// Median of the samples.
    pub median: Saved,
    /// Slope of the line through the origin; `None` for flat sampling.
    #[serde(default)]
    pub slope: Option<Saved>,
}

/// One of criterion's estimates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Its interval.
    pub confidence_interval: Interval,
    /// Its value.
    pub point_estimate: f64,
}

/// An interval of criterion's bootstrap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// 0.95 unless the benchmark says otherwise.
    pub confidence_level: f64,
    /// Lower bound.
    pub lower_bound: f64,
    /// Upper bound.
    pub upper_bound: f64,
}

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub(super) benchmark: Benchmark,
    pub(super) sample: SavedSample,
    pub(super) estimates: Option<Estimates>,
    /// Unit of `raw.csv`, which only criterion's feature `csv_output` writes.
    pub(super) raw_unit: Option<String>,
}

/// Reads the files of `folder`.
pub(super) fn open(folder: &Path) -> Result<Parsed, ImportError> {
    let required = |file: &str| {
        let path = folder.join(file);
        let missing = |path| ImportError::Io { path, source: std::io::ErrorKind::NotFound.into() };
        read(&path)?.ok_or_else(|| missing(path))
    };
    let (benchmark, sample) = (required("benchmark.json")?, required("sample.json")?);
    let (estimates, raw) = (read(&folder.join("estimates.json"))?, read(&folder.join("raw.csv"))?);
    parse(folder, &benchmark, &sample, estimates.as_deref(), raw.as_deref())
}

/// Parses the bytes of the files of `folder`.
///
/// # Errors
/// [`ImportError::Malformed`] with file, line and column.
pub fn parse(
    folder: &Path,
    benchmark: &[u8],
    sample: &[u8],
    estimates: Option<&[u8]>,
    raw: Option<&[u8]>,
) -> Result<Parsed, ImportError> {
    let sample = from_json::<SavedSample>(folder, "sample.json", sample)?;
    let wrong =
        |file: &str, reason: String| ImportError::Malformed { path: folder.join(file), place: String::new(), reason };
    check(&sample).map_err(|reason| wrong("sample.json", reason))?;
    let estimates = estimates.map(|text| from_json::<Estimates>(folder, "estimates.json", text)).transpose()?;
    Ok(Parsed {
        benchmark: from_json(folder, "benchmark.json", benchmark)?,
        sample,
        estimates,
        raw_unit: raw.map(raw_unit).transpose().map_err(|reason| wrong("raw.csv", reason))?,
    })
}

fn from_json<'a, T: Deserialize<'a>>(folder: &Path, file: &str, text: &'a [u8]) -> Result<T, ImportError> {
    serde_json::from_slice(text).map_err(|error| ImportError::Malformed {
        path: folder.join(file),
        place: format!(":{}:{}", error.line(), error.column()),
        reason: error.to_string(),
    })
}

/// Whether there is something to reckon with.
fn check(sample: &SavedSample) -> Result<(), String> {
    let (iters, times) = (&sample.iters, &sample.times);
    if iters.len() != times.len() {
        return Err(format!("it has {} iteration counts and {} values", iters.len(), times.len()));
    }
    if iters.is_empty() || iters.len() > MAX_SAMPLES {
        return Err(format!("it has {} samples; there must be 1 to {MAX_SAMPLES}", iters.len()));
    }
    if let Some(i) = iters.iter().position(|n| !(1.0..=9e15).contains(n) || n.fract() != 0.0) {
        return Err(format!("sample {} has {} iterations", i + 1, iters[i]));
    }
    if let Some(i) = times.iter().position(|t| !(0.0..1e30).contains(t)) {
        return Err(format!("sample {} has the value {}", i + 1, times[i]));
    }
    Ok(())
}

/// The unit that every row states: the last but one of eight columns. The names before it may
/// be quoted and hold commas, so rows are read from their end.
fn raw_unit(text: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut lines = text.lines().enumerate();
    let header = lines.next().map(|(_, line)| line.trim_end());
    if header.is_none_or(|h| !h.ends_with("sample_measured_value,unit,iteration_count")) {
        return Err("its last columns are not sample_measured_value, unit, iteration_count".to_owned());
    }
    let mut unit = None;
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let mut columns = line.rsplit(',');
        let (count, name) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
        let known = count.trim_end().parse::<u64>().is_ok() && !name.is_empty();
        if !known || unit.is_some_and(|unit| unit != name) {
            return Err(format!("line {} does not end in the same unit and a count", number + 1));
        }
        unit = Some(name);
    }
    unit.map(str::to_owned).ok_or_else(|| "it has no row".to_owned())
}
