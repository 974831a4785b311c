//! Comparisons as final strings: the terminal, Markdown and annotations show the same words.

use super::{Comparison, Decision, Metric, Outcome};
use crate::report::si;
use crate::suite::problem::escaped;

/// Text for a log: nothing in it steers a terminal, and nothing is a command to a CI runner that reads the log.
///
/// GitHub trims a line and then looks for `::` at its beginning, and for `##[` anywhere; Azure and TeamCity for
/// `##vso[` and `##teamcity[`.
#[must_use]
pub fn inert(text: &str) -> String {
    escaped(text).replace("::", ": :").replace("##", "# #")
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is certain.
    pub decision: Decision,
    /// Case, metric, baseline, candidate, change with interval, decision, reason.
    pub cells: [String; 7],
}

impl Line {
    /// Headings of [`Self::cells`].
    pub const HEADER: [&'static str; 7] = ["case", "metric", "baseline", "candidate", "change", "decision", "why"];
}

/// All comparisons, those that matter first: worse, ambiguous, better, same; plan order within.
#[must_use]
pub fn lines(outcome: &Outcome) -> Vec<Line> {
    let order = [Decision::Worse, Decision::Ambiguous, Decision::Better, Decision::Same];
    let of = |d: Decision| outcome.comparisons.iter().filter(move |c| c.decision == d);
    order.into_iter().flat_map(of).map(line).collect()
}

fn line(row: &Comparison) -> Line {
    let figure = |value: Option<f64>| value.map_or_else(|| "—".to_owned(), |v| figure(row.metric, v));
    let cells = [
        row.case.clone(),
        row.metric.name().to_owned(),
        figure(row.baseline),
        figure(row.candidate),
        change(row),
        row.decision.name().to_owned(),
        row.reason.clone(),
    ];
    Line { decision: row.decision, cells }
}

/// `12.3 mJ`; of accuracy `12.3 % of the limit`.
pub(super) fn figure(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Accuracy => format!("{} of limit", si::percent(value)),
        Metric::Instructions => si::quantity(value, ""),
        _ => si::quantity(value, metric.unit()),
    }
}

/// `+3.1 % (+2.2 … +4.0)`.
pub(super) fn change(row: &Comparison) -> String {
    let Some(change) = &row.change else { return "—".to_owned() };
    let percent = |ratio: f64| signed((ratio - 1.0) * 100.0);
    format!("{} % ({} … {})", percent(change.ratio), percent(change.low), percent(change.high))
}

/// Two decimals near zero, fewer far from it; with its sign.
fn signed(percent: f64) -> String {
    let decimals = if percent.abs() < 10.0 { 2 } else { usize::from(percent.abs() < 1000.0) };
    format!("{percent:+.decimals$}").replace('-', "−")
}
