//! `wattproof history changes`: what changed its level, and is that certain?

use super::show::{heading, series};
use super::{Certainty, SCHEMA, Selection, StoreArgs};
use crate::cli::{Exit, Failure, Format, print, print_json, style, table};
use crate::gate::{Metric, inert};
use crate::history::ChangePoint;
use crate::history::changes::FEWEST;
use crate::history::chart::{CHANGE_HEADER, change_cells};
use crate::history::series::Searched;
use crate::report::si;
use serde_json::{Value, json};

/// What is searched unless --metric says otherwise. The reciprocal of energy would be the same test once more.
const SEARCHED: [Metric; 4] = [Metric::Energy, Metric::Time, Metric::CpuTime, Metric::Instructions];

/// Find changes of level over commits
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattproof history changes
  wattproof history changes --case 'gemm*' --metric energy --branch main
  wattproof history changes --fail-recent 5 --format json

A change needs three runs on each side. Exit code 7 with --fail-recent N: one for the worse began within the last N
runs of its series; 0 otherwise. docs/history.md has the method and how often it errs.")]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    certainty: Certainty,
    /// Exit code 7 when something became certainly worse within the last N runs of a series
    #[arg(long, value_name = "N")]
    fail_recent: Option<usize>,
    /// What to print on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    store: StoreArgs,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut store = args.store.to_read()?;
    if args.selection.metric.contains(&Metric::PerfPerWatt) {
        return Err(Failure::usage(
            "perf-per-watt is the reciprocal of energy, and is searched as such: --metric energy",
        ));
    }
    let timelines = args.selection.timelines(store.as_mut(), &SEARCHED)?;
    let searched = args.certainty.search(&timelines);
    let mut changes: Vec<(&Searched<'_>, &ChangePoint)> =
        searched.iter().flat_map(|s| s.found.changes.iter().map(move |c| (s, c))).collect();
    // The latest first.
    changes.sort_by_key(|(s, c)| std::cmp::Reverse(s.series().points[c.at].run.started));
    let recent = |s: &Searched<'_>, c: &ChangePoint| {
        args.fail_recent.is_some_and(|n| s.series().points.len() - c.at <= n) && s.is_worse(c)
    };
    let failed = changes.iter().filter(|(s, c)| recent(s, c)).count();
    let family = searched.iter().filter(|s| s.series().points.len() >= 2 * FEWEST).count();
    match args.format {
        Format::Json => {
            let all: Vec<Value> = searched.iter().map(|s| series(s, 0)).collect();
            print_json(&json!({
                "schema": SCHEMA, "store": store.name(), "alpha": args.certainty.alpha,
                "minimum_effect": args.certainty.minimum_effect, "family": family, "changes": changes.len(),
                "worse": changes.iter().filter(|(s, c)| s.is_worse(c)).count(), "recent_and_worse": failed,
                "series": all,
            }))?;
        }
        Format::Text => print(&text(args, &searched, &changes, family, failed))?,
    }
    Ok(if failed > 0 { Exit::Regression } else { Exit::Ok })
}

fn text(
    args: &Args,
    searched: &[Searched<'_>],
    changes: &[(&Searched<'_>, &ChangePoint)],
    family: usize,
    failed: usize,
) -> String {
    let mut parts = Vec::new();
    if !changes.is_empty() {
        let cells: Vec<Vec<String>> =
            changes.iter().map(|(s, c)| change_cells(s, c).iter().map(|cell| inert(cell)).collect()).collect();
        let drawn = table::plain(&CHANGE_HEADER, &cells);
        let mut drawn = drawn.lines();
        let mut lines: Vec<String> = drawn.by_ref().take(2).map(str::to_owned).collect();
        let tone = |worse: bool, line: &str| if worse { style::error(line) } else { style::good(line) };
        lines.extend(drawn.zip(changes).map(|(line, (s, c))| tone(s.is_worse(c), line)));
        parts.push(lines.join("\n"));
    }
    let breaks: Vec<String> = searched
        .iter()
        .filter(|s| s.timeline.break_before(s.index).is_some())
        .map(|s| format!("{} {} {}", style::warn("new series"), s.timeline.metric.name(), heading(s.timeline, s.index)))
        .collect();
    if !breaks.is_empty() {
        parts.push(breaks.join("\n"));
    }
    let worse = changes.iter().filter(|(s, c)| s.is_worse(c)).count();
    let short = searched.len() - family;
    let short = if short > 0 {
        format!("; {short} more have fewer than {} runs and were not", 2 * FEWEST)
    } else {
        String::new()
    };
    let count = match changes.len() {
        1 => "1 change".to_owned(),
        n => format!("{n} changes"),
    };
    let summary = format!(
        "{count}, {worse} for the worse; {family} series were searched{short} (any false alarm: {}, smallest change: \
         {})",
        si::set_percent(args.certainty.alpha),
        si::set_percent(args.certainty.minimum_effect)
    );
    parts.push(match (failed, args.fail_recent) {
        (1.., Some(n)) => style::error(&format!("{summary}\n{failed} for the worse within the last {n} runs")),
        _ if worse > 0 => style::warn(&summary),
        _ => style::good(&summary),
    });
    parts.join("\n\n")
}
