//! The outcome as a table with typed columns, for CSV and Parquet: one row a case and metric.

use crate::columns::{self, Column};
use crate::gate::{Comparison, Outcome};

/// Every column, in order; all have one value a comparison.
pub(super) fn of(outcome: &Outcome) -> Vec<Column> {
    let rows = &outcome.comparisons[..];
    let text = |name, value: &dyn Fn(&Comparison) -> Option<String>| columns::text(name, rows, value);
    let real = |name, value: &dyn Fn(&Comparison) -> Option<f64>| columns::real(name, rows, value);
    let whole =
        |name, value: &dyn Fn(&Comparison) -> Option<u32>| columns::whole(name, rows, |r| value(r).map(i64::from));
    let flag = |name, value: &dyn Fn(&Comparison) -> Option<bool>| columns::flag(name, rows, value);
    let baseline = outcome.baseline.first();
    vec![
        text("candidate_record", &|_| Some(outcome.candidate.id.clone())),
        text("candidate_started_at", &|_| Some(outcome.candidate.started_at.clone())),
        text("candidate_commit", &|_| outcome.candidate.commit.clone()),
        text("baseline_record", &|_| baseline.map(|b| b.id.clone())),
        text("suite", &|_| Some(outcome.suite.clone())),
        text("case", &|r| Some(r.case.clone())),
        whole("line", &|r| Some(r.line)),
        text("metric", &|r| Some(r.metric.name().to_owned())),
        text("unit", &|r| Some(r.metric.unit().to_owned())),
        text("decision", &|r| Some(r.decision.name().to_owned())),
        flag("fails", &|r| Some(r.fails)),
        real("baseline", &|r| r.baseline),
        real("candidate", &|r| r.candidate),
        real("candidate_low", &|r| r.candidate_interval.map(|i| i.0)),
        real("candidate_high", &|r| r.candidate_interval.map(|i| i.1)),
        real("ratio", &|r| r.change.as_ref().map(|c| c.ratio)),
        real("ratio_low", &|r| r.change.as_ref().map(|c| c.low)),
        real("ratio_high", &|r| r.change.as_ref().map(|c| c.high)),
        real("confidence", &|r| r.change.as_ref().map(|c| c.confidence)),
        real("p", &|r| r.change.as_ref().map(|c| c.p)),
        real("p_adjusted", &|r| r.change.as_ref().map(|c| c.p_adjusted)),
        whole("n_candidate", &|r| r.change.as_ref().map(|c| c.n_candidate)),
        whole("n_baseline", &|r| r.change.as_ref().map(|c| c.n_baseline)),
        text("pairing", &|r| r.change.as_ref().map(|c| c.pairing.name().to_owned())),
        flag("gain_cancels", &|r| r.change.as_ref().and_then(|c| c.gain_cancels)),
        text("reason", &|r| Some(r.reason.clone())),
    ]
}
