//! Timelines as charts and as a page: every number scaled, every text final. Pure.

use super::changes::{ChangePoint, FEWEST};
use super::series::{Run, Searched, Timeline};
use crate::gate::Metric;
use crate::report::plots::{TimelineChange, TimelineChart, TimelineLevel, TimelineMark};
use crate::report::si::{self, Scale};
use crate::report::timeline::{TimelinePage, TimelineSection};
use crate::suite::problem::escaped;

/// Most marks on a chart; beyond, neighbouring runs share one.
const MARKS: usize = 240;
/// Dates below a chart.
const DATES: usize = 6;

/// Headings of [`change_cells`].
pub const CHANGE_HEADER: [&str; 8] =
    ["case", "metric", "change", "95 % interval", "first run", "commit", "may have begun", "p"];

/// What the axis of a metric is called.
fn axis(metric: Metric) -> &'static str {
    match metric {
        Metric::Energy => "energy of an iteration",
        Metric::PerfPerWatt => "useful work per energy",
        Metric::Time => "time of an iteration",
        Metric::CpuTime => "CPU time of an iteration",
        Metric::Instructions => "instructions of an iteration",
        Metric::Accuracy => "error",
    }
}

/// The date of a run; of a text that is no date its beginning.
#[must_use]
pub fn date(run: &Run) -> String {
    escaped(&run.started_at.chars().take(10).collect::<String>())
}

/// Seven characters of a commit, as git shows it.
#[must_use]
pub fn short(commit: Option<&String>) -> String {
    commit.map_or_else(|| "–".to_owned(), |c| escaped(&c.chars().take(7).collect::<String>()))
}

/// `+3.12 %`.
#[must_use]
pub fn signed(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    let decimals = if percent.abs() < 10.0 { 2 } else { usize::from(percent.abs() < 1000.0) };
    format!("{percent:+.decimals$} %").replace('-', "−")
}

/// `12.3 mJ`.
#[must_use]
pub fn figure(metric: Metric, value: f64) -> String {
    let unit = if metric == Metric::Instructions { "" } else { metric.unit() };
    si::quantity(value, unit)
}

/// `12.31 to 12.48 mJ`, with as many digits as tell the bounds apart.
#[must_use]
pub fn interval(metric: Metric, (low, high): (f64, f64), value: f64) -> String {
    let scale = Scale::of(value);
    let unit = scale.unit(if metric == Metric::Instructions { "" } else { metric.unit() });
    let text = si::interval(scale.apply(low), scale.apply(high), scale.apply(value)).replace('–', " to ");
    format!("{text} {unit}").trim_end().to_owned()
}

/// A change as a row of a table.
#[must_use]
pub fn change_cells(searched: &Searched<'_>, change: &ChangePoint) -> [String; 8] {
    let run = |i: usize| &searched.series().points[i].run;
    let new = run(change.at);
    let old = run(change.at.saturating_sub(1));
    let commits = if searched.same_commit(change) {
        format!("{} on both sides: not the code", short(new.commit.as_ref()))
    } else {
        format!("{} → {}", short(old.commit.as_ref()), short(new.commit.as_ref()))
    };
    let place = if change.earliest == change.latest {
        "this run".to_owned()
    } else {
        format!("{} to {}", date(run(change.earliest)), date(run(change.latest)))
    };
    [
        escaped(&searched.timeline.case),
        searched.timeline.metric.name().to_owned(),
        signed(change.ratio),
        format!("{} to {}", signed(change.low), signed(change.high)),
        format!("{} {}", date(new), escaped(&new.record)),
        commits,
        place,
        if change.p < 1e-4 { "< 0.0001".to_owned() } else { format!("{:.4}", change.p) },
    ]
}

/// A timeline as a chart; `searched` are its series, in order.
#[must_use]
pub fn chart(timeline: &Timeline, searched: &[&Searched<'_>]) -> TimelineChart {
    // Runs of all series in one order: a place on the axis each.
    let mut order: Vec<(i64, &str, usize, usize)> = Vec::new();
    for (s, series) in timeline.series.iter().enumerate() {
        order.extend(series.points.iter().enumerate().map(|(i, p)| (p.run.started, p.run.record.as_str(), s, i)));
    }
    order.sort_unstable();
    let mut place: Vec<Vec<f64>> = timeline.series.iter().map(|s| vec![0.0; s.points.len()]).collect();
    for (x, (_, _, s, i)) in order.iter().enumerate() {
        place[*s][*i] = x as f64;
    }
    let values: Vec<f64> = timeline.series.iter().flat_map(|s| s.points.iter().map(|p| p.value)).collect();
    let scale = Scale::of_column(&values).unwrap_or(Scale::ONE);
    let at = |value: f64| scale.apply(value);
    let both = |low: Option<f64>, high: Option<f64>| Some((at(low?), at(high?)));
    let each = order.len().div_ceil(MARKS).max(1);
    let mut chart = TimelineChart {
        title: format!("{}: {}", escaped(&timeline.case), timeline.metric.name()),
        empty: "No run has this figure.".to_owned(),
        axis: match timeline.metric {
            Metric::Instructions => format!("{}, {}", axis(timeline.metric), scale.unit("")),
            metric => format!("{}, {}", axis(metric), scale.unit(metric.unit())),
        },
        runs: order.len() as f64,
        legend: if each == 1 {
            "interval of a run, 95 %".to_owned()
        } else {
            format!("{each} runs: median, lowest to highest bound")
        },
        ..TimelineChart::default()
    };
    for (s, series) in timeline.series.iter().enumerate() {
        chart.series.push(name(timeline, s));
        let found = searched.iter().find(|f| f.index == s).map(|f| &f.found);
        let is_outlier = |i: usize| found.is_some_and(|f| f.outliers.binary_search(&i).is_ok());
        let indices: Vec<usize> = (0..series.points.len()).collect();
        for group in indices.chunks(each) {
            let points: Vec<_> = group.iter().map(|i| &series.points[*i]).collect();
            let mut sorted: Vec<f64> = points.iter().map(|p| p.value).collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let low = points.iter().map(|p| p.low.unwrap_or(p.value)).fold(f64::INFINITY, f64::min);
            let high = points.iter().map(|p| p.high.unwrap_or(p.value)).fold(0.0, f64::max);
            let known = group.len() > 1 || points[0].low.is_some();
            chart.marks.push(TimelineMark {
                x: group.iter().map(|i| place[s][*i]).sum::<f64>() / group.len() as f64,
                y: at(sorted[sorted.len() / 2]),
                interval: if known { both(Some(low), Some(high)) } else { None },
                series: s,
                outlier: group.len() == 1 && is_outlier(group[0]),
            });
        }
        let Some(found) = found else { continue };
        for level in &found.levels {
            chart.levels.push(TimelineLevel {
                from: place[s][level.from],
                to: place[s][level.to - 1],
                y: at(level.value),
                interval: both(level.low, level.high),
                series: s,
            });
        }
        for change in &found.changes {
            chart.changes.push(TimelineChange {
                x: place[s][change.at],
                place: (place[s][change.earliest], place[s][change.latest]),
                text: signed(change.ratio),
                worse: (change.ratio > 1.0) != timeline.metric.larger_is_better(),
            });
        }
        if s > 0 {
            chart.breaks.push((place[s][0], letter(s)));
        }
    }
    chart.changes.sort_by(|a, b| a.x.total_cmp(&b.x));
    let shown = order.len().min(DATES);
    let last = order.len().saturating_sub(1);
    for n in 0..shown {
        let x = if shown > 1 { n * last / (shown - 1) } else { 0 };
        let (_, _, s, i) = order[x];
        let run = &timeline.series[s].points[i].run;
        chart.dates.push((x as f64, date(run), short(run.commit.as_ref())));
    }
    chart.description = describe(timeline, &chart, searched);
    chart
}

/// `A` for the second series, `B` for the third; numbers behind `Z`.
fn letter(series: usize) -> String {
    match u8::try_from(series) {
        Ok(n @ 1..=26) => char::from(b'A' + n - 1).to_string(),
        _ => series.to_string(),
    }
}

fn name(timeline: &Timeline, series: usize) -> String {
    match (series, timeline.break_before(series)) {
        (0, _) | (_, None) => "first series".to_owned(),
        (n, Some(found)) => format!("{}  {}", letter(n), escaped(&found.text())),
    }
}

fn describe(timeline: &Timeline, chart: &TimelineChart, searched: &[&Searched<'_>]) -> String {
    let runs = match order_of(timeline) {
        (1, first, _) => format!("One run, {first}."),
        (n, first, last) => format!("{n} runs from {first} to {last}."),
    };
    let changes: Vec<String> = chart.changes.iter().map(|c| c.text.clone()).collect();
    let changes = match changes.len() {
        0 => "No change of level is certain.".to_owned(),
        1 => format!("One change of level is certain: {}.", changes[0]),
        n => format!("{n} changes of level are certain: {}.", changes.join(", ")),
    };
    let latest = searched.last().and_then(|s| s.found.levels.last());
    let level = latest.map(|l| {
        let text = figure(timeline.metric, l.value);
        match (l.low, l.high) {
            (Some(low), Some(high)) => {
                let bounds = interval(timeline.metric, (low, high), l.value);
                format!(" The latest level is {text} ({bounds} at 95 %).")
            }
            _ => format!(" The latest level is {text}."),
        }
    });
    let short = timeline.series.iter().filter(|s| s.points.len() < 2 * FEWEST).count();
    let short = if short > 0 { format!(" Below {} runs a series is not searched.", 2 * FEWEST) } else { String::new() };
    format!("{runs} {changes}{}{short} The vertical axis does not begin at 0.", level.unwrap_or_default())
}

/// Number of runs, and the dates of the first and the last.
fn order_of(timeline: &Timeline) -> (usize, String, String) {
    let mut runs: Vec<&Run> = timeline.series.iter().flat_map(|s| s.points.iter().map(|p| p.run.as_ref())).collect();
    runs.sort_by_key(|run| run.started);
    let named = |run: Option<&&Run>| run.map_or_else(|| "–".to_owned(), |r| date(r));
    (runs.len(), named(runs.first()), named(runs.last()))
}

/// All timelines on one page; `store` is named on it as given.
#[must_use]
pub fn page(title: &str, store: &str, timelines: &[Timeline], searched: &[Searched<'_>]) -> TimelinePage {
    let of = |timeline: &Timeline| -> Vec<&Searched<'_>> {
        searched.iter().filter(|s| std::ptr::eq(s.timeline, timeline)).collect()
    };
    let mut changes: Vec<(&Searched<'_>, &ChangePoint)> = searched
        .iter()
        .filter(|s| s.timeline.is_searched())
        .flat_map(|s| s.found.changes.iter().map(move |c| (s, c)))
        .collect();
    changes.sort_by_key(|(s, c)| std::cmp::Reverse(s.series().points[c.at].run.started));
    let worse = changes.iter().filter(|(s, c)| s.is_worse(c)).count();
    let (verdict, tone) = match (changes.len(), worse) {
        (0, _) => ("No change of level is certain.".to_owned(), "good"),
        (1, 0) => ("One certain change, for the better.".to_owned(), "good"),
        (1, _) => ("One certain change, for the worse.".to_owned(), "bad"),
        (n, 0) => (format!("{n} certain changes, all for the better."), "good"),
        (n, w) => (format!("{n} certain changes, {w} for the worse."), "bad"),
    };
    let mut sections: Vec<TimelineSection> = Vec::new();
    for timeline in timelines {
        let chart = chart(timeline, &of(timeline));
        let title = format!("{} · {}", escaped(&timeline.suite), escaped(&timeline.case));
        if sections.last().is_none_or(|s| s.title != title) {
            sections.push(TimelineSection { title, ..TimelineSection::default() });
        }
        if let Some(section) = sections.last_mut() {
            section.charts.push(chart);
            for n in 1..timeline.series.len() {
                let Some(found) = timeline.break_before(n) else { continue };
                let text = (
                    format!("{} {}", timeline.metric.name(), letter(n)),
                    format!("A new series begins with {}: {}.", escaped(&found.record), escaped(&found.text())),
                );
                section.breaks.push(text);
            }
        }
    }
    let fact = |label: &str, value: String| (label.to_owned(), value);
    let runs: std::collections::BTreeSet<(i64, &str)> = timelines
        .iter()
        .flat_map(|t| &t.series)
        .flat_map(|s| &s.points)
        .map(|p| (p.run.started, p.run.record.as_str()))
        .collect();
    TimelinePage {
        title: escaped(title),
        subtitle: "Figures run after run, in the order in which the runs began.".to_owned(),
        verdict,
        tone: tone.to_owned(),
        facts: vec![
            fact("History", escaped(store)),
            fact("Runs", runs.len().to_string()),
            fact(
                "Figures",
                timelines.iter().flat_map(|t| &t.series).map(|s| s.points.len()).sum::<usize>().to_string(),
            ),
        ],
        change_columns: CHANGE_HEADER.iter().map(|h| (*h).to_owned()).collect(),
        changes: changes
            .iter()
            .map(|(s, c)| (if s.is_worse(c) { "bad" } else { "good" }.to_owned(), change_cells(s, c).to_vec()))
            .collect(),
        sections,
        method: METHOD.iter().map(|(title, text)| fact(title, (*text).to_owned())).collect(),
    }
}

const METHOD: [(&str, &str); 3] = [
    (
        "Figures",
        "A figure is the mean on logarithms of the windows of a run that count. Its interval is that of their scatter \
         alone; the scatter between runs shows in the chart.",
    ),
    (
        "Series",
        "Only runs with the same parameters, device, machine, power limit, path, threads, work and energy boundary \
         form a series. Where one of these differs a new series begins.",
    ),
    (
        "Changes",
        "Candidates come from seeded binary segmentation. A change is shown where Student's t of the neighbouring \
         levels is certain at 5 % for all series on this page together and the change is at least the smallest effect. \
         The shaded band is where it may have been, at 95 %.",
    ),
];
