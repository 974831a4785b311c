//! What a store gives back, in order: timelines of a case and metric, each of one or more series. Pure.

use super::changes::{self, ChangePoint, Observation, Segmentation, Settings};
use super::figures::SeriesKey;
use crate::gate::Metric;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run that figures come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Seconds since 1970: when it began.
    pub started: i64,
    /// The same as RFC 3339.
    pub started_at: String,
    /// Record id.
    pub record: String,
    /// Commit of the code that was measured.
    pub commit: Option<String>,
    /// Branch.
    pub branch: Option<String>,
}

/// A figure of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its run, shared by all figures of it.
    pub run: Arc<Run>,
    /// The figure; finite and positive.
    pub value: f64,
    /// Lower bound at 95 % from the scatter of the windows.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
    /// Standard error of the logarithm of the value.
    pub error: Option<f64>,
    /// Windows that count.
    pub windows: u32,
}

/// Figures that can be compared with one another, in the order of their runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What they have in common.
    pub key: SeriesKey,
    /// At least one.
    pub points: Vec<Point>,
}

/// All series of a case and metric, the one that began first in front.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Suite id.
    pub suite: String,
    /// Case id.
    pub case: String,
    /// Metric.
    pub metric: Metric,
    /// At least one.
    pub series: Vec<Series>,
}

/// Where comparable runs end and others begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    /// When the new series began, in seconds since 1970.
    pub started: i64,
    /// Its first record.
    pub record: String,
    /// What differs from the series before: name, old value, new value.
    pub differences: Vec<(String, String, String)>,
}

impl Break {
    /// `path: avx2 → avx512; threads: 2 → 4`.
    #[must_use]
    pub fn text(&self) -> String {
        let one = |(name, old, new): &(String, String, String)| format!("{name}: {old} → {new}");
        self.differences.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// Orders `series` into timelines by suite, case and metric; those of a metric that is not known here are left out.
#[must_use]
pub fn timelines(series: Vec<Series>) -> Vec<Timeline> {
    let mut all: BTreeMap<(String, String, Metric), Vec<Series>> = BTreeMap::new();
    for mut one in series.into_iter().filter(|s| !s.points.is_empty()) {
        let Some(metric) = Metric::ALL.into_iter().find(|m| m.name() == one.key.metric) else { continue };
        one.points.sort_by(|a, b| (a.run.started, &a.run.record).cmp(&(b.run.started, &b.run.record)));
        all.entry((one.key.suite.clone(), one.key.case.clone(), metric)).or_default().push(one);
    }
    let ordered = all.into_iter().map(|((suite, case, metric), mut series)| {
        series.sort_by(|a, b| (a.points[0].run.started, &a.key).cmp(&(b.points[0].run.started, &b.key)));
        Timeline { suite, case, metric, series }
    });
    ordered.collect()
}

impl Timeline {
    /// What keeps the n-th series from being a continuation: against the series whose run came last before it began.
    /// `None` for the first.
    #[must_use]
    pub fn break_before(&self, n: usize) -> Option<Break> {
        let first = &self.series.get(n)?.points.first()?.run;
        let last_before = |s: &Series| s.points.iter().rev().map(|p| p.run.started).find(|t| *t <= first.started);
        let earlier = self.series[..n].iter().filter_map(|s| Some((last_before(s)?, s)));
        let (_, before) = earlier.max_by_key(|(t, _)| *t)?;
        let old: BTreeMap<&str, &str> =
            before.key.conditions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let differs = self.series[n].key.conditions.iter().filter_map(|(name, value)| {
            let before = old.get(name.as_str()).copied().unwrap_or("unknown");
            (before != value).then(|| (name.clone(), before.to_owned(), value.clone()))
        });
        Some(Break { started: first.started, record: first.record.clone(), differences: differs.collect() })
    }

    /// Whether it is searched for changes: the reciprocal of energy is not, for its changes are those of energy.
    #[must_use]
    pub fn is_searched(&self) -> bool {
        self.metric != Metric::PerfPerWatt
    }
}

/// A series taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Searched<'t> {
    /// The timeline it belongs to.
    pub timeline: &'t Timeline,
    /// Which series of it.
    pub index: usize,
    /// Its levels and changes.
    pub found: Segmentation,
}

impl<'t> Searched<'t> {
    /// The series.
    #[must_use]
    pub fn series(&self) -> &'t Series {
        &self.timeline.series[self.index]
    }

    /// Whether a change is for the worse.
    #[must_use]
    pub fn is_worse(&self, change: &ChangePoint) -> bool {
        (change.ratio > 1.0) != self.timeline.metric.larger_is_better()
    }

    /// Whether the code of both sides of a change is known to be the same: then it is not the code that changed.
    #[must_use]
    pub fn same_commit(&self, change: &ChangePoint) -> bool {
        let points = &self.series().points;
        let commit = |i: usize| points.get(i).and_then(|p| p.run.commit.as_ref());
        commit(change.at).is_some() && commit(change.at) == change.at.checked_sub(1).and_then(commit)
    }
}

/// Searches every series of every timeline; the family is all those with room for a change.
#[must_use]
pub fn search<'t>(timelines: &'t [Timeline], alpha: f64, minimum_effect: f64) -> Vec<Searched<'t>> {
    let long = |s: &Series| s.points.len() >= 2 * changes::FEWEST;
    let count = timelines.iter().filter(|t| t.is_searched()).flat_map(|t| &t.series).filter(|s| long(s)).count();
    let family = u32::try_from(count).unwrap_or(u32::MAX);
    let settings = Settings { alpha, minimum_effect, family };
    let all = timelines.iter().flat_map(|t| (0..t.series.len()).map(move |i| (t, i)));
    all.map(|(timeline, index)| {
        let points = &timeline.series[index].points;
        let runs: Vec<Observation> = points.iter().map(|p| Observation { value: p.value, error: p.error }).collect();
        Searched { timeline, index, found: changes::find(&runs, &settings) }
    })
    .collect()
}
