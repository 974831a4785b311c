//! What criterion saved (`target/criterion/**/new`), with its statistics reckoned anew.

mod files;
mod unit;

pub use files::{Benchmark, Interval, Throughput, parse};
pub use unit::{Unit, UnitSource};

use super::{ImportError, read};
use crate::analysis::{self, Estimate};
use files::Parsed;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Folders nest as deep as group, function and value: three, and one more for `new`.
const MAX_DEPTH: usize = 8;
/// Resamples of our bootstrap, as the profiles have it.
const RESAMPLES: u32 = 10_000;
/// Draws of one bootstrap at most: a file with very many samples gets fewer resamples.
const MAX_DRAWS: usize = 100_000_000;
/// Confidence where criterion's estimates do not state one: its default.
const CONFIDENCE: f64 = 0.95;
/// Point estimates that are reckoned from the same numbers differ by rounding alone.
const ROUNDING: f64 = 1e-9;

/// One benchmark, an iteration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Imported {
    /// `group/function/value`.
    pub id: String,
    /// Its folder.
    pub path: PathBuf,
    /// What was measured.
    pub unit: Unit,
    /// How the unit is known: criterion's JSON does not state it.
    pub unit_source: UnitSource,
    /// `Linear` or `Flat`, as criterion calls it.
    pub sampling_mode: String,
    /// Samples.
    pub samples: usize,
    /// Iterations of all samples.
    pub iterations: f64,
    /// Median of the samples with our interval.
    pub median: Option<Estimate>,
    /// Mean of the samples, reckoned anew.
    pub mean: f64,
    /// Slope of the line through the origin, reckoned anew; `None` for flat sampling.
    pub slope: Option<f64>,
    /// What criterion itself reckoned; `None` where it left no estimates.
    pub criterion: Option<files::Estimates>,
    /// Work an iteration and work per second or joule; `None` where none was declared.
    pub throughput: Option<Rate>,
    /// Where our figures and criterion's do not agree, and what was assumed.
    pub notes: Vec<String>,
}

/// Work done for a unit of what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// What is counted: `elem`, `B` or `b`.
    pub of: &'static str,
    /// Per `s` or `J`; `None` for an unknown unit.
    pub per: Option<&'static str>,
    /// Work an iteration.
    pub work: f64,
    /// Work over the median; `None` where that is not known.
    pub rate: Option<f64>,
}

/// Reads every benchmark below `dir`. `unit` says what was measured where the files do not.
///
/// # Errors
/// Every file that cannot be read or is no result of criterion, or that there is none.
pub fn import(dir: &Path, unit: Option<Unit>) -> Result<Vec<Imported>, Vec<ImportError>> {
    let (mut folders, mut failed) = (Vec::new(), Vec::new());
    search(dir, MAX_DEPTH, &mut folders, &mut failed);
    folders.sort();
    let mut imported = Vec::new();
    for folder in folders {
        match files::open(&folder) {
            Ok(parsed) => imported.push(figures(parsed, folder, unit)),
            Err(error) => failed.push(error),
        }
    }
    if imported.is_empty() && failed.is_empty() {
        failed.push(ImportError::Nothing { path: dir.to_owned() });
    }
    if failed.is_empty() { Ok(imported) } else { Err(failed) }
}

/// Folders called `new` that hold a result. Links are not followed.
fn search(dir: &Path, depth: usize, found: &mut Vec<PathBuf>, failed: &mut Vec<ImportError>) {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(source) => return failed.push(ImportError::Io { path: dir.to_owned(), source }),
    };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        let path = entry.path();
        let saved = || ["benchmark.json", "sample.json"].iter().any(|file| path.join(file).is_file());
        if entry.file_name() == "new" && saved() {
            found.push(path);
        } else if depth > 0 {
            search(&path, depth - 1, found, failed);
        }
    }
}

/// Everything that is reckoned from one benchmark's files.
fn figures(parsed: Parsed, path: PathBuf, asked: Option<Unit>) -> Imported {
    let Parsed { benchmark, sample, estimates, raw_unit } = parsed;
    let per_iteration: Vec<f64> = sample.times.iter().zip(&sample.iters).map(|(time, iters)| time / iters).collect();
    let n = per_iteration.len() as f64;
    let mean = per_iteration.iter().sum::<f64>() / n;
    let linear = sample.sampling_mode == "Linear";
    let slope = linear.then(|| slope(&sample.iters, &sample.times));
    let confidence = estimates.as_ref().map_or(CONFIDENCE, |e| e.median.confidence_interval.confidence_level);
    let resamples = u32::try_from(MAX_DRAWS / per_iteration.len()).unwrap_or(RESAMPLES).min(RESAMPLES);
    let median = analysis::median(&benchmark.full_id, &per_iteration, resamples, confidence);
    let (unit, unit_source) = unit::decide(asked, raw_unit.as_deref(), &sample.times);
    let mut notes: Vec<String> = unit::note(unit, unit_source).into_iter().collect();
    if let Some(theirs) = &estimates {
        let slopes = slope.zip(theirs.slope.as_ref()).map(|(ours, theirs)| ("slope", ours, theirs));
        let medians = median.map(|ours| ("median", ours.median, &theirs.median));
        for (name, ours, theirs) in [Some(("mean", mean, &theirs.mean)), medians, slopes].into_iter().flatten() {
            notes.extend(disagreement(name, ours, theirs));
        }
    }
    let throughput = benchmark.throughput.as_ref().map(|t| {
        let (of, work) = t.work();
        let rate = unit.per().zip(median).map(|((_, scale), m)| work / (m.median * scale)).filter(|r| r.is_finite());
        Rate { of, per: unit.per().map(|per| per.0), work, rate }
    });
    Imported {
        id: benchmark.full_id,
        path,
        unit,
        unit_source,
        sampling_mode: sample.sampling_mode,
        samples: sample.times.len(),
        iterations: sample.iters.iter().sum(),
        median,
        mean,
        slope,
        criterion: estimates,
        throughput,
        notes,
    }
}

/// Least squares through the origin, as criterion fits it: Σxy / Σx².
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(x, y) / dot(x, x)
}

/// What to say where our figure is not the one that criterion saved.
fn disagreement(name: &str, ours: f64, theirs: &files::Saved) -> Option<String> {
    let Interval { lower_bound, upper_bound, .. } = theirs.confidence_interval;
    let difference = ours / theirs.point_estimate - 1.0;
    if ours < lower_bound || ours > upper_bound {
        return Some(format!(
            "the {name} of sample.json, {ours:e}, lies outside the interval {lower_bound:e} to {upper_bound:e} of \
             estimates.json: the two do not belong together"
        ));
    }
    // A difference of zero over zero is no difference.
    (difference.abs() > ROUNDING).then(|| {
        format!("the {name} of sample.json, {ours:e}, is not {:e} as in estimates.json", theirs.point_estimate)
    })
}

/// Reads one benchmark from the bytes of its files; for tests and fuzzing.
///
/// # Errors
/// What is wrong with the first file that is no result of criterion.
pub fn from_bytes(
    benchmark: &[u8],
    sample: &[u8],
    estimates: Option<&[u8]>,
    raw: Option<&[u8]>,
) -> Result<Imported, ImportError> {
    Ok(figures(parse(Path::new(""), benchmark, sample, estimates, raw)?, PathBuf::new(), None))
}

#[cfg(test)]
mod tests;
