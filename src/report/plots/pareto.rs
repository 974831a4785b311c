//! Time against energy of one case, with intervals both ways and the front of the points.

use super::labels::{Key, KeyEntry, Mark, axis_title, marker};
use super::overlay::mark;
use super::palette::Ink;
use super::sheet::{Anchor, Figure, SMALL, Scale, draw};
use super::{PlotError, WIDTH, ticks};
use crate::report::compare::model::{Pareto, ParetoPoint};
use plotters::prelude::{IntoLogRange, LogCoord};

const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 6.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 300.0;
const KEY_TOP: f64 = 344.0;

/// Draws the front; `None` without points or with axes that have no extent.
///
/// # Errors
/// [`PlotError`] when plotters refuses, which drawing to memory gives no cause for.
pub fn pareto(chart: &Pareto) -> Option<Result<Figure, PlotError>> {
    let extent = |min: f64, max: f64| min > 0.0 && max > min && max.is_finite();
    let drawable = !chart.points.is_empty() && extent(chart.x.min, chart.x.max) && extent(chart.y.min, chart.y.max);
    drawable.then(|| paint(chart))
}

/// The points that no other one beats in both, from left to right.
fn best(points: &[ParetoPoint]) -> Vec<(f64, f64)> {
    let beaten = |p: &ParetoPoint| points.iter().any(|o| o.x <= p.x && o.y <= p.y && (o.x < p.x || o.y < p.y));
    let mut front: Vec<(f64, f64)> = points.iter().filter(|p| !beaten(p)).map(|p| (p.x, p.y)).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    front
}

/// Round numbers on a logarithmic axis that may be shorter than an octave.
fn marks(min: f64, max: f64) -> Vec<f64> {
    match ticks::logarithmic(min, max) {
        few if few.len() < 3 => ticks::linear(min, max, 4),
        marks => marks,
    }
}

fn paint(chart: &Pareto) -> Result<Figure, PlotError> {
    let entry = |(i, p): (usize, &ParetoPoint)| KeyEntry { mark: Mark::Point(mark(i)), text: p.label.clone() };
    let key = Key::new(chart.points.iter().enumerate().map(entry).collect(), WIDTH);
    draw(&chart.title, &chart.description, (WIDTH, KEY_TOP + key.height()), |sheet| {
        let log = |min: f64, max: f64| (min..max).log_scale();
        let ranges = (log(chart.x.min, chart.x.max), log(chart.y.min, chart.y.max));
        let scale: Scale<LogCoord<f64>, LogCoord<f64>> = sheet.coordinates(ranges, (LEFT, TOP), (RIGHT, BOTTOM));
        let at = |x: f64, y: f64| scale.at(x.clamp(chart.x.min, chart.x.max), y.clamp(chart.y.min, chart.y.max));
        for tick in marks(chart.x.min, chart.x.max) {
            let x = at(tick, chart.y.min).0;
            sheet.line((x, TOP), (x, BOTTOM), Ink::Line, 0.75)?;
            // A tick at the very edge keeps its label inside.
            let (place, anchor) = if x > RIGHT - 16.0 { (RIGHT, Anchor::End) } else { (x, Anchor::Middle) };
            sheet.text(&ticks::label(tick), (place, BOTTOM + 12.0), anchor, SMALL)?;
        }
        for tick in marks(chart.y.min, chart.y.max) {
            let y = at(chart.x.min, tick).1;
            sheet.line((LEFT, y), (RIGHT, y), Ink::Line, 0.75)?;
            sheet.text(&ticks::label(tick), (LEFT - 8.0, y), Anchor::End, SMALL)?;
        }
        sheet.line((LEFT, BOTTOM), (RIGHT, BOTTOM), Ink::Muted, 1.0)?;
        sheet.line((LEFT, TOP), (LEFT, BOTTOM), Ink::Muted, 1.0)?;
        axis_title(sheet, &chart.y.label, (0.0, 10.0), Anchor::Start)?;
        axis_title(sheet, &chart.x.label, (RIGHT, BOTTOM + 30.0), Anchor::End)?;
        let mut steps: Vec<(f64, f64)> = Vec::new();
        for (x, y) in best(&chart.points) {
            if let Some((_, last)) = steps.last().copied() {
                steps.push((at(x, y).0, last));
            }
            steps.push(at(x, y));
        }
        if steps.len() > 1 {
            sheet.path(&steps, Ink::Muted, 1.25)?;
        }
        for point in &chart.points {
            if let Some((low, high)) = point.across {
                sheet.line(at(low, point.y), at(high, point.y), Ink::Text, 1.0)?;
            }
            if let Some((low, high)) = point.along {
                sheet.line(at(point.x, low), at(point.x, high), Ink::Text, 1.0)?;
            }
        }
        for (number, point) in chart.points.iter().enumerate() {
            marker(sheet, at(point.x, point.y), mark(number))?;
        }
        key.draw(sheet, (0.0, KEY_TOP))
    })
}
