//! `wattproof history list` and `show`: what a store holds.

use super::{Certainty, SCHEMA, Selection, StoreArgs};
use crate::cli::{Exit, Failure, Format, print, print_json, table};
use crate::gate::inert;
use crate::history::chart::{date, figure, interval, short, signed};
use crate::history::series::{Searched, Timeline};
use serde_json::{Value, json};

/// List records, newest first, or cases
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  wattproof history list --last 5\n  wattproof history list --cases --format json")]
pub(super) struct ListArgs {
    /// Cases instead of records
    #[arg(long)]
    cases: bool,
    /// At most so many records
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    store: StoreArgs,
}

/// Show the runs of a case with their figures, levels and changes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattproof history show gemm-f32-m1024-n1024-k1024-t2
  wattproof history show 'gemm*' --metric energy --last 5 --format json")]
pub(super) struct Args {
    /// Case id; `*` stands for anything
    case: String,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    certainty: Certainty,
    /// At most so many runs of a series, the latest
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let mut store = args.store.to_read()?;
    if args.cases {
        let cases = store.cases()?;
        match args.format {
            Format::Json => {
                let rows: Vec<Value> =
                    cases.iter().map(|(suite, case)| json!({"suite": suite, "case": case})).collect();
                print_json(&json!({"schema": SCHEMA, "cases": rows}))?;
            }
            Format::Text => {
                let rows: Vec<Vec<String>> = cases.iter().map(|(a, b)| vec![inert(a), inert(b)]).collect();
                print(&table::plain(&["suite", "case"], &rows))?;
            }
        }
        return Ok(Exit::Ok);
    }
    let records = store.records()?;
    let shown = records.iter().take(args.last);
    match args.format {
        Format::Json => {
            let row = |r: &crate::history::RecordEntry| {
                json!({
                    "id": r.id, "digest": r.digest, "started_at": r.started_at, "commit": r.commit,
                    "branch": r.branch, "suite": r.suite, "tool": r.tool, "processor": r.processor,
                    "machine": r.machine, "simulated": r.simulated, "cases": r.cases, "void": r.void,
                })
            };
            let rows: Vec<Value> = shown.map(row).collect();
            print_json(&json!({"schema": SCHEMA, "records_in_all": records.len(), "records": rows}))?;
        }
        Format::Text => {
            let known = |text: &Option<String>| text.as_deref().map_or_else(|| "–".to_owned(), inert);
            let rows: Vec<Vec<String>> = shown
                .map(|r| {
                    let void = if r.void > 0 { format!(" ({} void)", r.void) } else { String::new() };
                    let simulated = if r.simulated { ", simulated" } else { "" };
                    vec![
                        inert(&r.started_at),
                        inert(&r.id),
                        inert(&r.suite),
                        inert(&short(r.commit.as_ref())),
                        known(&r.branch),
                        format!("{}{void}{simulated}", r.cases),
                        known(&r.processor),
                    ]
                })
                .collect();
            let header = ["began", "record", "suite", "commit", "branch", "cases", "processor"];
            let count = format!("\n{} of {} records", rows.len(), records.len());
            print(&(table::plain(&header, &rows) + &count))?;
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    if args.selection.case.is_some() {
        return Err(Failure::usage("the case is the argument of `show`; leave --case out"));
    }
    let selection = Selection {
        case: Some(args.case.clone()),
        suite: args.selection.suite.clone(),
        branch: args.selection.branch.clone(),
        metric: args.selection.metric.clone(),
    };
    let mut store = args.store.to_read()?;
    let timelines = selection.timelines(store.as_mut(), &[])?;
    let searched = args.certainty.search(&timelines);
    match args.format {
        Format::Json => print_json(&json!({
            "schema": SCHEMA,
            "series": searched.iter().map(|s| series(s, args.last)).collect::<Vec<_>>(),
        }))?,
        Format::Text => {
            let parts: Vec<String> = searched.iter().map(|s| text(s, args.last)).collect();
            print(&parts.join("\n\n"))?;
        }
    }
    Ok(Exit::Ok)
}

/// What a series is and what it found, for programs.
pub(super) fn series(searched: &Searched<'_>, last: usize) -> Value {
    let (timeline, series) = (searched.timeline, searched.series());
    let run = |i: usize| &series.points[i].run;
    let levels = searched.found.levels.iter().map(|l| {
        json!({
            "first_record": run(l.from).record, "last_record": run(l.to - 1).record, "runs": l.to - l.from,
            "value": l.value, "low": l.low, "high": l.high,
        })
    });
    let changes = searched.found.changes.iter().map(|c| {
        let before = run(c.at.saturating_sub(1));
        json!({
            "record": run(c.at).record, "started_at": run(c.at).started_at, "commit": run(c.at).commit,
            "record_before": before.record, "commit_before": before.commit,
            "same_commit": searched.same_commit(c), "worse": searched.is_worse(c),
            "runs_since": series.points.len() - c.at,
            "earliest_record": run(c.earliest).record, "latest_record": run(c.latest).record,
            "ratio": c.ratio, "low": c.low, "high": c.high, "p": c.p,
        })
    });
    let points = series.points.iter().skip(series.points.len().saturating_sub(last)).map(|p| {
        json!({
            "record": p.run.record, "started_at": p.run.started_at, "commit": p.run.commit, "branch": p.run.branch,
            "value": p.value, "low": p.low, "high": p.high, "standard_error": p.error, "windows": p.windows,
        })
    });
    let conditions: serde_json::Map<String, Value> =
        series.key.conditions.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    json!({
        "suite": timeline.suite, "case": timeline.case, "metric": timeline.metric.name(),
        "unit": timeline.metric.unit(), "series": series.key.digest(), "conditions": conditions,
        "break": timeline.break_before(searched.index).map(|b| b.text()),
        "runs": series.points.len(), "scatter": searched.found.scatter,
        "outliers": searched.found.outliers.iter().map(|i| run(*i).record.clone()).collect::<Vec<_>>(),
        "levels": levels.collect::<Vec<_>>(), "changes": changes.collect::<Vec<_>>(),
        "points": points.collect::<Vec<_>>(),
    })
}

fn text(searched: &Searched<'_>, last: usize) -> String {
    let (timeline, series) = (searched.timeline, searched.series());
    let from = series.points.len().saturating_sub(last);
    let rows: Vec<Vec<String>> = series
        .points
        .iter()
        .enumerate()
        .skip(from)
        .map(|(i, point)| {
            let value = |v: f64| figure(timeline.metric, v);
            let interval = match (point.low, point.high) {
                (Some(low), Some(high)) => interval(timeline.metric, (low, high), point.value),
                _ => "one window".to_owned(),
            };
            let mut said = Vec::new();
            if let Some(change) = searched.found.changes.iter().find(|c| c.at == i) {
                let word = if searched.is_worse(change) { "worse" } else { "better" };
                said.push(format!("{word}: {}", signed(change.ratio)));
            }
            if searched.found.outliers.contains(&i) {
                said.push("outlier".to_owned());
            }
            let branch = point.run.branch.as_deref().map_or_else(|| "–".to_owned(), inert);
            let commit = inert(&short(point.run.commit.as_ref()));
            let run = &point.run;
            vec![inert(&date(run)), inert(&run.record), commit, branch, value(point.value), interval, said.join(", ")]
        })
        .collect();
    let header = ["date", "record", "commit", "branch", timeline.metric.name(), "95 % of its windows", "since then"];
    let shown = format!("{} of {} runs", rows.len(), series.points.len());
    format!("{}\n{}\n{shown}", heading(timeline, searched.index), table::plain(&header, &rows))
}

/// The name of a series, and what sets it apart from the one before.
pub(super) fn heading(timeline: &Timeline, index: usize) -> String {
    let name = format!("{} · {}", inert(&timeline.suite), inert(&timeline.case));
    let broken = timeline
        .break_before(index)
        .map(|b| format!("\nnot comparable with the runs before {}: {}", inert(&b.record), inert(&b.text())));
    format!("{name}{}", broken.unwrap_or_default())
}
