//! Power over the run: one line a domain, timed windows shaded by case, idle marked.

use super::labels::{Key, KeyEntry, Mark, axis_title};
use super::palette::{Ink, SERIES};
use super::sheet::{Anchor, Figure, Lettering, SMALL, Scale, Sheet, draw, width_of};
use super::{PlotError, WIDTH, ticks};
use crate::report::model::{Span, SpanKind, Trace};
use plotters::coord::types::RangedCoordf64;

const LEFT: f64 = 46.0;
const RIGHT: f64 = WIDTH - 6.0;
/// Names of windows stand in a band above the plot.
const TOP: f64 = 46.0;
const BAND: f64 = 17.0;
const BOTTOM: f64 = 270.0;
const KEY_TOP: f64 = 306.0;
const TAG: Lettering = Lettering { size: 9.5, ink: Ink::Text };

type Linear = Scale<RangedCoordf64, RangedCoordf64>;

/// Draws the trace; `None` without a line or with axes that have no extent.
///
/// # Errors
/// [`PlotError`] when plotters refuses, which drawing to memory gives no cause for.
pub fn trace(chart: &Trace) -> Option<Result<Figure, PlotError>> {
    let extent = |min: f64, max: f64| max > min && (max - min).is_finite();
    let drawable = chart.series.iter().any(|s| !s.points.is_empty())
        && extent(chart.x.min, chart.x.max)
        && extent(chart.y.min, chart.y.max);
    drawable.then(|| paint(chart))
}

/// Line of the n-th domain: the first is darkest, for it is usually the one that is rated.
fn line_ink(n: usize) -> Ink {
    if n == 0 { Ink::Text } else { Ink::Series(n) }
}

fn paint(chart: &Trace) -> Result<Figure, PlotError> {
    let cases = cases(&chart.spans);
    let mut entries: Vec<KeyEntry> = (chart.series.iter().enumerate())
        .map(|(i, s)| KeyEntry { mark: Mark::Line(line_ink(i)), text: s.label.clone() })
        .collect();
    if chart.spans.iter().any(|s| s.kind == SpanKind::Idle) {
        entries.push(KeyEntry { mark: Mark::Swatch(Ink::Line), text: "idle".to_owned() });
    }
    if chart.spans.iter().any(|s| s.kind == SpanKind::Discarded) {
        entries.push(KeyEntry { mark: Mark::Swatch(Ink::Bad), text: "window discarded".to_owned() });
    }
    entries.extend(
        (cases.iter().enumerate())
            .map(|(i, case)| KeyEntry { mark: Mark::Swatch(Ink::Tint(i)), text: format!("{}  {case}", i + 1) }),
    );
    let key = Key::new(entries, WIDTH);

    draw(&chart.title, &chart.description, (WIDTH, KEY_TOP + key.height()), |sheet| {
        let scale: Linear =
            sheet.coordinates((chart.x.min..chart.x.max, chart.y.min..chart.y.max), (LEFT, TOP), (RIGHT, BOTTOM));
        for (from, to, span) in merged(&chart.spans) {
            shade(sheet, chart, &scale, (from, to, span), &cases)?;
        }
        for tick in ticks::linear(chart.y.min, chart.y.max, 5) {
            let y = scale.at(chart.x.min, tick).1;
            sheet.line((LEFT, y), (RIGHT, y), Ink::Line, 0.75)?;
            sheet.text(&ticks::label(tick), (LEFT - 8.0, y), Anchor::End, SMALL)?;
        }
        for tick in ticks::linear(chart.x.min, chart.x.max, 8) {
            let x = scale.at(tick, chart.y.min).0;
            sheet.line((x, BOTTOM), (x, BOTTOM + 4.0), Ink::Muted, 0.75)?;
            sheet.text(&ticks::label(tick), (x, BOTTOM + 13.0), Anchor::Middle, SMALL)?;
        }
        axis_title(sheet, &chart.y.label, (0.0, 10.0), Anchor::Start)?;
        axis_title(sheet, &chart.x.label, (RIGHT, BOTTOM + 28.0), Anchor::End)?;
        // The first series is drawn last, on top.
        for (i, series) in chart.series.iter().enumerate().rev() {
            let points: Vec<_> = (series.points.iter())
                .map(|&(x, y)| scale.at(x.clamp(chart.x.min, chart.x.max), y.clamp(chart.y.min, chart.y.max)))
                .collect();
            if points.len() > 1 {
                sheet.path(&points, line_ink(i), 1.25)?;
            }
        }
        sheet.line((LEFT, BOTTOM), (RIGHT, BOTTOM), Ink::Muted, 1.0)?;
        key.draw(sheet, (0.0, KEY_TOP))
    })
}

/// Cases in the order in which their first windows ran.
fn cases(spans: &[Span]) -> Vec<&str> {
    let mut cases: Vec<&str> = Vec::new();
    for span in spans.iter().filter(|s| s.kind != SpanKind::Idle) {
        if !cases.contains(&span.label.as_str()) {
            cases.push(&span.label);
        }
    }
    cases
}

/// Neighbouring windows of one case and kind as one.
fn merged(spans: &[Span]) -> Vec<(f64, f64, &Span)> {
    let mut out: Vec<(f64, f64, &Span)> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some((_, to, last)) if last.label == span.label && last.kind == span.kind => *to = to.max(span.to),
            _ => out.push((span.from, span.to, span)),
        }
    }
    out
}

fn shade(
    sheet: &Sheet<'_>,
    chart: &Trace,
    scale: &Linear,
    (from, to, span): (f64, f64, &Span),
    cases: &[&str],
) -> Result<(), PlotError> {
    let x = |t: f64| scale.at(t.clamp(chart.x.min, chart.x.max), chart.y.min).0;
    let (left, right) = (x(from), x(to));
    let case = cases.iter().position(|c| *c == span.label);
    let ink = match (span.kind, case) {
        (SpanKind::Idle, _) => Ink::Line,
        (_, Some(n)) => Ink::Tint(n % SERIES),
        (_, None) => Ink::Surface,
    };
    if span.kind == SpanKind::Idle {
        // Idle is marked in the band alone: the plot below stays empty, like the machine.
        sheet.rect((left, TOP - BAND), (right, TOP), Ink::Line)?;
    } else {
        sheet.rect((left, TOP - BAND), (right, BOTTOM), ink)?;
    }
    if span.kind == SpanKind::Discarded {
        sheet.rect((left, TOP - BAND), (right, TOP - BAND + 3.0), Ink::Bad)?;
    }
    let number = case.map(|n| (n + 1).to_string()).unwrap_or_default();
    let idle = if span.kind == SpanKind::Idle { "idle" } else { "" };
    let names = [if case.is_some() { span.label.as_str() } else { "" }, idle, number.as_str()];
    let room = right - left - 2.0;
    let text = names.into_iter().find(|t| !t.is_empty() && width_of(t, TAG.size) <= room);
    match text {
        Some(text) => sheet.text(text, (f64::midpoint(left, right), TOP - BAND / 2.0), Anchor::Middle, TAG),
        None => Ok(()),
    }
}
