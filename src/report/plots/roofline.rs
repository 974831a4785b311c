//! Efficiency or performance over intensity on logarithmic axes, below its ceilings.

use super::labels::{Area, Key, KeyEntry, Mark, Placer, axis_title, marker};
use super::palette::Ink;
use super::sheet::{Anchor, Figure, NAME, SMALL, Scale, Sheet, draw, fit, width_of};
use super::{PlotError, WIDTH, ticks};
use crate::report::model::{CeilingLine, Roofline, RooflinePoint};
use plotters::prelude::{IntoLogRange, LogCoord};

const FRAME: Area = Area { left: 58.0, top: 30.0, right: WIDTH - 6.0, bottom: 400.0 };
const KEY_TOP: f64 = 444.0;
/// Up to this many points carry their names; more carry numbers that the key explains.
const NAMED: usize = 4;
const LABEL_HEIGHT: f64 = 14.0;
/// Places along a ceiling that labels keep off.
const STEPS: u32 = 200;

type Log = Scale<LogCoord<f64>, LogCoord<f64>>;

/// Draws the roofline; `None` without points or with axes that have no extent.
///
/// # Errors
/// [`PlotError`] when plotters refuses, which drawing to memory gives no cause for.
pub fn roofline(chart: &Roofline) -> Option<Result<Figure, PlotError>> {
    let extent = |min: f64, max: f64| min > 0.0 && max > min && max.is_finite();
    let drawable = !chart.points.is_empty() && extent(chart.x.min, chart.x.max) && extent(chart.y.min, chart.y.max);
    drawable.then(|| paint(chart))
}

/// Kernel of a case: its id up to the first hyphen. Cases of one kernel share hue and shape.
fn kernel(label: &str) -> &str {
    label.split('-').next().unwrap_or(label)
}

fn paint(chart: &Roofline) -> Result<Figure, PlotError> {
    let mut kernels: Vec<&str> = Vec::new();
    for point in &chart.points {
        if !kernels.contains(&kernel(&point.label)) {
            kernels.push(kernel(&point.label));
        }
    }
    let group = |point: &RooflinePoint| kernels.iter().position(|k| *k == kernel(&point.label)).unwrap_or(0);
    let numbered = chart.points.len() > NAMED;
    let entry = |(i, p): (usize, &RooflinePoint)| KeyEntry {
        mark: Mark::Point(group(p)),
        text: if numbered { format!("{}  {}: {}", i + 1, p.label, p.text) } else { format!("{}: {}", p.label, p.text) },
    };
    let key = Key::new(chart.points.iter().enumerate().map(entry).collect(), WIDTH);

    draw(&chart.title, &chart.description, (WIDTH, KEY_TOP + key.height()), |sheet| {
        let log = |min: f64, max: f64| (min..max).log_scale();
        let scale: Log = sheet.coordinates(
            (log(chart.x.min, chart.x.max), log(chart.y.min, chart.y.max)),
            (FRAME.left, FRAME.top),
            (FRAME.right, FRAME.bottom),
        );
        grid(sheet, chart, &scale)?;
        let inner = Area { left: FRAME.left + 4.0, right: FRAME.right - 4.0, top: FRAME.top + 2.0, ..FRAME };
        let mut placer = Placer::new(inner);
        let at = |p: &RooflinePoint| scale.at(p.x.clamp(chart.x.min, chart.x.max), p.y.clamp(chart.y.min, chart.y.max));
        for point in &chart.points {
            placer.block(Area::around(at(point), 6.0));
        }
        for ceiling in &chart.ceilings {
            ceiling_line(sheet, ceiling, &scale, &mut placer)?;
        }
        let names: Vec<String> = (chart.points.iter().enumerate())
            .map(|(i, p)| if numbered { (i + 1).to_string() } else { fit(&p.label, NAME.size, 230.0) })
            .collect();
        // Leaders and intervals lie below all markers and labels.
        let mut labels = Vec::new();
        for (point, name) in chart.points.iter().zip(&names) {
            let from = at(point);
            if let Some((low, high)) = point.interval {
                let y = |v: f64| scale.at(point.x, v.clamp(chart.y.min, chart.y.max)).1;
                sheet.line((from.0, y(low)), (from.0, y(high)), Ink::Text, 1.25)?;
            }
            let Some(place) = placer.place((width_of(name, NAME.size), LABEL_HEIGHT), Placer::around(from)) else {
                // The key still names it.
                continue;
            };
            if libm::hypot(place.at.0 - from.0, place.at.1 - from.1) > 14.0 {
                sheet.line(from, place.at, Ink::Muted, 0.75)?;
            }
            labels.push((name, place));
        }
        // The names of ceilings give way to those of cases.
        for ceiling in &chart.ceilings {
            ceiling_label(sheet, ceiling, &scale, &mut placer)?;
        }
        for point in &chart.points {
            marker(sheet, at(point), group(point))?;
        }
        for (name, place) in labels {
            sheet.rect((place.area.left, place.area.top), (place.area.right, place.area.bottom), Ink::Paper)?;
            sheet.text(name, place.at, place.anchor, NAME)?;
        }
        key.draw(sheet, (0.0, KEY_TOP))
    })
}

fn grid(sheet: &Sheet<'_>, chart: &Roofline, scale: &Log) -> Result<(), PlotError> {
    for tick in ticks::logarithmic(chart.x.min, chart.x.max) {
        let x = scale.at(tick, chart.y.min).0;
        sheet.line((x, FRAME.top), (x, FRAME.bottom), Ink::Line, 0.75)?;
        sheet.text(&ticks::label(tick), (x, FRAME.bottom + 12.0), Anchor::Middle, SMALL)?;
    }
    for tick in ticks::logarithmic(chart.y.min, chart.y.max) {
        let y = scale.at(chart.x.min, tick).1;
        sheet.line((FRAME.left, y), (FRAME.right, y), Ink::Line, 0.75)?;
        sheet.text(&ticks::label(tick), (FRAME.left - 8.0, y), Anchor::End, SMALL)?;
    }
    sheet.line((FRAME.left, FRAME.bottom), (FRAME.right, FRAME.bottom), Ink::Muted, 1.0)?;
    sheet.line((FRAME.left, FRAME.top), (FRAME.left, FRAME.bottom), Ink::Muted, 1.0)?;
    axis_title(sheet, &chart.y.label, (0.0, 10.0), Anchor::Start)?;
    axis_title(sheet, &chart.x.label, (FRAME.right, FRAME.bottom + 30.0), Anchor::End)
}

fn line_points(ceiling: &CeilingLine, scale: &Log) -> Vec<(f64, f64)> {
    ceiling.points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|&(x, y)| scale.at(x, y)).collect()
}

fn ceiling_line(sheet: &Sheet<'_>, ceiling: &CeilingLine, scale: &Log, placer: &mut Placer) -> Result<(), PlotError> {
    let points = line_points(ceiling, scale);
    if points.len() < 2 {
        return Ok(());
    }
    for step in 0..=STEPS {
        if let Some(at) = position(&points, f64::from(step) / f64::from(STEPS)) {
            placer.block(Area::around(at, 2.0));
        }
    }
    sheet.path(&points, Ink::Muted, 1.75)
}

/// Writes a ceiling's name along it, as far right as there is room, above the line before below.
fn ceiling_label(sheet: &Sheet<'_>, ceiling: &CeilingLine, scale: &Log, placer: &mut Placer) -> Result<(), PlotError> {
    let points = line_points(ceiling, scale);
    let label = fit(&ceiling.label, SMALL.size, 330.0);
    // Where the whole name finds no room, its value goes: the description and the table have it.
    for text in [label.as_str(), label.split(':').next().unwrap_or_default()] {
        let stops = (0..60u32).filter_map(|i| position(&points, 1.0 - f64::from(i) / 60.0)).flat_map(|(x, y)| {
            [
                ((x - 2.0, y - 11.0), Anchor::End),
                ((x + 8.0, y + 11.0), Anchor::Start),
                ((x - 2.0, y + 11.0), Anchor::End),
            ]
        });
        if let Some(place) = placer.place((width_of(text, SMALL.size), LABEL_HEIGHT), stops) {
            return sheet.text(text, place.at, place.anchor, NAME);
        }
    }
    Ok(())
}

/// The point at `share` of the horizontal extent of a line.
fn position(points: &[(f64, f64)], share: f64) -> Option<(f64, f64)> {
    let (first, last) = (points.first()?, points.last()?);
    let x = first.0 + (last.0 - first.0) * share;
    let after = points.iter().position(|p| p.0 >= x).unwrap_or(points.len() - 1).max(1);
    let (a, b) = (points.get(after - 1)?, points.get(after)?);
    let part = if b.0 > a.0 { (x - a.0) / (b.0 - a.0) } else { 1.0 };
    Some((x, a.1 + (b.1 - a.1) * part))
}
