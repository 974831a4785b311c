//! Figures as a table with typed columns: one row a figure. Pure.

use super::series::{Point, Series};
use crate::columns::{self, Column};
use crate::gate::Metric;

/// A figure with the series it belongs to.
struct Row<'s> {
    series: &'s Series,
    digest: &'s str,
    point: &'s Point,
}

/// Every column, and how many rows they have: the figures of `series`, in their order.
pub(crate) fn of(series: &[Series]) -> (Vec<Column>, usize) {
    let digests: Vec<String> = series.iter().map(|s| s.key.digest()).collect();
    let rows: Vec<Row<'_>> = series
        .iter()
        .zip(&digests)
        .flat_map(|(series, digest)| series.points.iter().map(move |point| Row { series, digest, point }))
        .collect();
    let rows = &rows[..];
    let unit = |r: &Row<'_>| Metric::ALL.into_iter().find(|m| m.name() == r.series.key.metric).map(Metric::unit);
    let condition = |name: &'static str, column: &'static str| {
        columns::text(column, rows, move |r| {
            r.series.key.conditions.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
        })
    };
    let columns = vec![
        columns::text("record", rows, |r| Some(r.point.run.record.clone())),
        columns::text("started_at", rows, |r| Some(r.point.run.started_at.clone())),
        columns::whole("started", rows, |r| Some(r.point.run.started)),
        columns::text("commit", rows, |r| r.point.run.commit.clone()),
        columns::text("branch", rows, |r| r.point.run.branch.clone()),
        columns::text("suite", rows, |r| Some(r.series.key.suite.clone())),
        columns::text("case", rows, |r| Some(r.series.key.case.clone())),
        columns::text("metric", rows, |r| Some(r.series.key.metric.clone())),
        columns::text("unit", rows, |r| unit(r).map(str::to_owned)),
        columns::text("series", rows, |r| Some(r.digest.to_owned())),
        condition("parameters", "parameters"),
        condition("device", "device"),
        condition("processor", "processor"),
        condition("machine", "machine"),
        condition("power limit", "power_limit"),
        condition("path", "path"),
        condition("threads", "threads"),
        condition("work", "work"),
        condition("measured", "measured"),
        condition("boundary", "boundary"),
        columns::real("value", rows, |r| Some(r.point.value)),
        columns::real("low", rows, |r| r.point.low),
        columns::real("high", rows, |r| r.point.high),
        columns::real("standard_error", rows, |r| r.point.error),
        columns::whole("windows", rows, |r| Some(i64::from(r.point.windows))),
    ];
    (columns, rows.len())
}
