//! Rows as stores hand them over, and what they may hold. Anyone may have written them: nothing is taken on trust.

use super::{Added, Asked, StoreError};
use crate::history::figures::{Entry, SeriesKey};
use crate::history::series::{Point, Run, Series};
use std::collections::HashMap;
use std::sync::Arc;

/// What a figure's row holds.
pub(super) type FigureRow = (i64, f64, Option<f64>, Option<f64>, Option<f64>, i64);

/// What a series' row holds: id, suite, case, metric, conditions.
pub(super) type SeriesRow = (i64, String, String, String, String);

/// What becomes of a record where one of its id is `stored` under this digest, or none is.
///
/// # Errors
/// [`StoreError::Conflict`]: another record has this id.
pub(super) fn compare(store: &str, entry: &Entry, stored: Option<String>) -> Result<Added, StoreError> {
    match stored {
        None => Ok(Added::New),
        Some(digest) if digest == entry.record.digest => Ok(Added::Known),
        Some(stored) => {
            let (record, given) = (entry.record.id.clone(), entry.record.digest.clone());
            Err(StoreError::Conflict { store: store.to_owned(), record, stored, given })
        }
    }
}

/// The key of a series, with its id.
///
/// # Errors
/// What cannot be right.
pub(super) fn key((id, suite, case, metric, conditions): SeriesRow) -> Result<(i64, SeriesKey), String> {
    let conditions: Vec<(String, String)> =
        serde_json::from_str(&conditions).map_err(|e| format!("the conditions of series {id}: {e}"))?;
    Ok((id, SeriesKey { suite, case, metric, conditions }))
}

/// The conditions of a series as a store keeps them.
pub(super) fn conditions(key: &SeriesKey) -> String {
    // A list of strings is JSON, always.
    serde_json::to_string(&key.conditions).unwrap_or_default()
}

/// Runs that were looked up already; `None` for one of another branch than asked for.
#[derive(Debug, Default)]
pub(super) struct Runs {
    known: HashMap<i64, Option<Arc<Run>>>,
}

impl Runs {
    /// Of these records, those not looked up yet, each once.
    pub(super) fn missing<'r>(&self, rows: impl Iterator<Item = &'r FigureRow>) -> Vec<i64> {
        let mut ids: Vec<i64> = rows.map(|r| r.0).filter(|id| !self.known.contains_key(id)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Takes in a record's row.
    pub(super) fn learn(&mut self, id: i64, run: Run, asked: &Asked) {
        let wanted = asked.branch.is_none() || run.branch == asked.branch;
        self.known.insert(id, wanted.then(|| Arc::new(run)));
    }

    /// A series from its figures.
    ///
    /// # Errors
    /// What cannot be right.
    pub(super) fn series(&self, key: SeriesKey, rows: Vec<FigureRow>) -> Result<Series, String> {
        let mut points = Vec::with_capacity(rows.len());
        for row in rows {
            let run =
                self.known.get(&row.0).ok_or_else(|| format!("a figure names record {}, which is gone", row.0))?;
            if let Some(run) = run {
                points.push(point(run, row)?);
            }
        }
        Ok(Series { key, points })
    }
}

fn point(run: &Arc<Run>, (_, value, low, high, error, windows): FigureRow) -> Result<Point, String> {
    let wrong = |what: &str| format!("record {}: {what}", crate::gate::inert(&run.record));
    let positive = |v: f64| v.is_finite() && v > 0.0;
    if !positive(value) || low.is_some_and(|v| !positive(v)) || high.is_some_and(|v| !positive(v)) {
        return Err(wrong("a figure is not positive"));
    }
    if error.is_some_and(|e| !e.is_finite() || e < 0.0) {
        return Err(wrong("an error is negative"));
    }
    let windows = u32::try_from(windows).ok().filter(|n| *n > 0).ok_or_else(|| wrong("a figure without windows"))?;
    Ok(Point { run: Arc::clone(run), value, low, high, error, windows })
}

/// A count as a record has it.
///
/// # Errors
/// A number that is none.
pub(super) fn count(value: i64, what: &str) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("{value} {what}"))
}
