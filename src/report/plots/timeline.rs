//! Figures run after run: each with its interval, the levels they form, where a level changed and where runs stop being
//! comparable.

use super::labels::{Key, KeyEntry, Mark, axis_title};
use super::palette::{Ink, SERIES};
use super::sheet::{Anchor, Figure, Lettering, SMALL, Scale, Sheet, draw, width_of};
use super::{PlotError, WIDTH, ticks};
use plotters::coord::types::RangedCoordf64;
use serde::Serialize;

/// What the chart shows. All texts are final; x counts runs from 0, y is in the unit of the axis.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TimelineChart {
    /// Short name.
    pub title: String,
    /// What it shows, for screen readers and below the chart.
    pub description: String,
    /// What to print where there is nothing to draw.
    pub empty: String,
    /// Label of the vertical axis, with its unit.
    pub axis: String,
    /// Names of series, in the order of their numbers.
    pub series: Vec<String>,
    /// Runs on the horizontal axis.
    pub runs: f64,
    /// Labels below it: place, date, commit.
    pub dates: Vec<(f64, String, String)>,
    /// Figures.
    pub marks: Vec<TimelineMark>,
    /// What a mark stands for.
    pub legend: String,
    /// Levels.
    pub levels: Vec<TimelineLevel>,
    /// Changes of level.
    pub changes: Vec<TimelineChange>,
    /// Places where a new series begins, with a letter.
    pub breaks: Vec<(f64, String)>,
}

/// One figure, or several neighbouring ones together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimelineMark {
    /// Place.
    pub x: f64,
    /// Figure.
    pub y: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Number of its series.
    pub series: usize,
    /// Left out of levels as an outlier.
    pub outlier: bool,
}

/// A level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimelineLevel {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Its value.
    pub y: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Number of its series.
    pub series: usize,
}

/// A change of level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimelineChange {
    /// Between the last run of the old level and the first of the new one.
    pub x: f64,
    /// Where it may have been, at 95 %.
    pub place: (f64, f64),
    /// How large.
    pub text: String,
    /// Whether it is for the worse.
    pub worse: bool,
}

const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 290.0;
const KEY_TOP: f64 = 334.0;
const CHANGE: f64 = 12.0;
/// A mark of this radius; a marker of many would hide its interval.
const DOT: f64 = 2.6;

type Linear = Scale<RangedCoordf64, RangedCoordf64>;

/// Draws the timeline; `None` without a figure.
///
/// # Errors
/// [`PlotError`] when plotters refuses, which drawing to memory gives no cause for.
pub fn timeline(chart: &TimelineChart) -> Option<Result<Figure, PlotError>> {
    let (low, high) = extent(chart)?;
    (chart.runs >= 1.0 && high > low && (high - low).is_finite()).then(|| paint(chart, low, high))
}

/// Lowest and highest value on the vertical axis, which does not begin at 0: changes of a few per cent have to show.
fn extent(chart: &TimelineChart) -> Option<(f64, f64)> {
    let of = |y: f64, interval: Option<(f64, f64)>| {
        let (low, high) = interval.unwrap_or((y, y));
        [y, low, high]
    };
    let marks = chart.marks.iter().flat_map(|m| of(m.y, m.interval));
    let values: Vec<f64> =
        marks.chain(chart.levels.iter().flat_map(|l| of(l.y, l.interval))).filter(|v| v.is_finite()).collect();
    let (low, high) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
    let margin = if high > low { (high - low) * 0.08 } else { (high.abs() * 0.05).max(f64::MIN_POSITIVE) };
    Some((low - margin, high + margin))
}

/// Hue of a series: the first is the house colour.
fn ink(series: usize) -> Ink {
    Ink::Series(series % SERIES)
}

fn paint(chart: &TimelineChart, low: f64, high: f64) -> Result<Figure, PlotError> {
    let key = key(chart);
    draw(&chart.title, &chart.description, (WIDTH, KEY_TOP + key.height()), |sheet| {
        let scale: Linear = sheet.coordinates((-0.5..chart.runs - 0.5, low..high), (LEFT, TOP), (RIGHT, BOTTOM));
        let x = |run: f64| scale.at(run.clamp(-0.5, chart.runs - 0.5), low).0;
        let y = |value: f64| scale.at(0.0, value.clamp(low, high)).1;
        for change in &chart.changes {
            let (from, to) = (x(change.place.0 - 0.5), x(change.place.1 - 0.5));
            sheet.rect((from.min(to), TOP), (to.max(from + 1.0), BOTTOM), Ink::Surface)?;
        }
        for level in &chart.levels {
            if let Some((a, b)) = level.interval {
                let corners = ((x(level.from - 0.5), y(b)), (x(level.to + 0.5), y(a)));
                sheet.rect(corners.0, corners.1, Ink::Tint(level.series % SERIES))?;
            }
        }
        for tick in ticks::linear(low, high, 5) {
            sheet.line((LEFT, y(tick)), (RIGHT, y(tick)), Ink::Line, 0.75)?;
            sheet.text(&ticks::label(tick), (LEFT - 8.0, y(tick)), Anchor::End, SMALL)?;
        }
        dates(sheet, chart, &x)?;
        axis_title(sheet, &chart.axis, (0.0, 10.0), Anchor::Start)?;
        for (at, letter) in &chart.breaks {
            let at = x(at - 0.5);
            let mut from = TOP;
            while from < BOTTOM {
                sheet.line((at, from), (at, (from + 4.0).min(BOTTOM)), Ink::Muted, 1.0)?;
                from += 8.0;
            }
            sheet.text(letter, (at, TOP - 8.0), Anchor::Middle, SMALL)?;
        }
        for mark in &chart.marks {
            if let Some((a, b)) = mark.interval {
                sheet.line((x(mark.x), y(a)), (x(mark.x), y(b)), Ink::Muted, 0.75)?;
            }
        }
        for mark in &chart.marks {
            let at = (x(mark.x), y(mark.y));
            sheet.circle(at, DOT, ink(mark.series))?;
            if mark.outlier {
                sheet.circle(at, DOT - 1.1, Ink::Paper)?;
            }
        }
        for level in &chart.levels {
            sheet.line((x(level.from - 0.5), y(level.y)), (x(level.to + 0.5), y(level.y)), Ink::Text, 1.5)?;
        }
        changes(sheet, chart, &x)?;
        sheet.line((LEFT, BOTTOM), (RIGHT, BOTTOM), Ink::Muted, 1.0)?;
        key.draw(sheet, (0.0, KEY_TOP))
    })
}

fn dates(sheet: &Sheet<'_>, chart: &TimelineChart, x: &impl Fn(f64) -> f64) -> Result<(), PlotError> {
    for (at, date, commit) in &chart.dates {
        let at = x(*at);
        sheet.line((at, BOTTOM), (at, BOTTOM + 4.0), Ink::Muted, 0.75)?;
        let half = width_of(date, SMALL.size) / 2.0;
        let (at, anchor) = if at + half > WIDTH { (WIDTH, Anchor::End) } else { (at, Anchor::Middle) };
        sheet.text(date, (at, BOTTOM + 13.0), anchor, SMALL)?;
        sheet.text(commit, (at, BOTTOM + 27.0), anchor, SMALL)?;
    }
    Ok(())
}

/// Lines with their sizes on top, in as many rows as keep them apart.
fn changes(sheet: &Sheet<'_>, chart: &TimelineChart, x: &impl Fn(f64) -> f64) -> Result<(), PlotError> {
    let mut taken: [f64; 2] = [f64::NEG_INFINITY; 2];
    for change in &chart.changes {
        let (at, ink) = (x(change.x - 0.5), if change.worse { Ink::Bad } else { Ink::Accent });
        sheet.line((at, TOP), (at, BOTTOM), ink, 1.5)?;
        let half = width_of(&change.text, SMALL.size) / 2.0;
        let middle = at.clamp(LEFT + half, RIGHT - half);
        // Without room its size stands in the table below the chart alone.
        if let Some(row) = taken.iter().position(|end| middle - half > *end + 4.0) {
            taken[row] = middle + half;
            let place = (middle, TOP - 9.0 - CHANGE * row as f64);
            sheet.text(&change.text, place, Anchor::Middle, Lettering { ink, ..SMALL })?;
        }
    }
    Ok(())
}

fn key(chart: &TimelineChart) -> Key {
    let mut entries = vec![KeyEntry { mark: Mark::Line(Ink::Text), text: "level, with its interval".to_owned() }];
    entries.push(KeyEntry { mark: Mark::Line(Ink::Muted), text: chart.legend.clone() });
    if chart.changes.iter().any(|c| c.worse) {
        entries.push(KeyEntry { mark: Mark::Line(Ink::Bad), text: "change for the worse".to_owned() });
    }
    if chart.changes.iter().any(|c| !c.worse) {
        entries.push(KeyEntry { mark: Mark::Line(Ink::Accent), text: "change for the better".to_owned() });
    }
    if chart.marks.iter().any(|m| m.outlier) {
        entries.push(KeyEntry { mark: Mark::Swatch(Ink::Paper), text: "hollow: an outlier, in no level".to_owned() });
    }
    if chart.series.len() > 1 {
        let named = chart.series.iter().enumerate();
        entries.extend(named.map(|(i, text)| KeyEntry { mark: Mark::Swatch(ink(i)), text: text.clone() }));
    }
    Key::new(entries, WIDTH)
}
