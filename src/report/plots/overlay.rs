//! Rooflines of several arms over one another, on logarithmic axes.

use super::labels::{Area, Key, KeyEntry, Mark, Placer, axis_title, marker};
use super::palette::Ink;
use super::sheet::{Anchor, Figure, SMALL, Scale, draw, width_of};
use super::{PlotError, WIDTH, ticks};
use crate::report::compare::model::Overlay;
use plotters::prelude::{IntoLogRange, LogCoord};

const FRAME: Area = Area { left: 58.0, top: 46.0, right: WIDTH - 6.0, bottom: 420.0 };
const KEY_TOP: f64 = 464.0;

/// Draws the rooflines; `None` without points or with axes that have no extent.
///
/// # Errors
/// [`PlotError`] when plotters refuses, which drawing to memory gives no cause for.
pub fn overlay(chart: &Overlay) -> Option<Result<Figure, PlotError>> {
    let extent = |min: f64, max: f64| min > 0.0 && max > min && max.is_finite();
    let drawable = !chart.arms.is_empty() && extent(chart.x.min, chart.x.max) && extent(chart.y.min, chart.y.max);
    drawable.then(|| paint(chart))
}

/// The mark of the n-th arm: hue and shape change in step, so that the first twelve differ in both or in one.
pub(super) const fn mark(arm: usize) -> usize {
    // Six hues and four shapes repeat together after twelve.
    arm % 12
}

fn paint(chart: &Overlay) -> Result<Figure, PlotError> {
    let entry = |(i, arm): (usize, &crate::report::compare::model::OverlayArm)| KeyEntry {
        mark: Mark::Point(mark(i)),
        text: arm.label.clone(),
    };
    let key = Key::new(chart.arms.iter().enumerate().map(entry).collect(), WIDTH);
    draw(&chart.title, &chart.description, (WIDTH, KEY_TOP + key.height()), |sheet| {
        let log = |min: f64, max: f64| (min..max).log_scale();
        let ranges = (log(chart.x.min, chart.x.max), log(chart.y.min, chart.y.max));
        let scale: Scale<LogCoord<f64>, LogCoord<f64>> =
            sheet.coordinates(ranges, (FRAME.left, FRAME.top), (FRAME.right, FRAME.bottom));
        let at = |(x, y): (f64, f64)| scale.at(x.clamp(chart.x.min, chart.x.max), y.clamp(chart.y.min, chart.y.max));
        for tick in ticks::logarithmic(chart.x.min, chart.x.max) {
            let x = at((tick, chart.y.min)).0;
            sheet.line((x, FRAME.top), (x, FRAME.bottom), Ink::Line, 0.75)?;
            // A tick at the very edge keeps its label inside.
            let (place, anchor) = if x > FRAME.right - 16.0 { (FRAME.right, Anchor::End) } else { (x, Anchor::Middle) };
            sheet.text(&ticks::label(tick), (place, FRAME.bottom + 12.0), anchor, SMALL)?;
        }
        for tick in ticks::logarithmic(chart.y.min, chart.y.max) {
            let y = at((chart.x.min, tick)).1;
            sheet.line((FRAME.left, y), (FRAME.right, y), Ink::Line, 0.75)?;
            sheet.text(&ticks::label(tick), (FRAME.left - 8.0, y), Anchor::End, SMALL)?;
        }
        sheet.line((FRAME.left, FRAME.bottom), (FRAME.right, FRAME.bottom), Ink::Muted, 1.0)?;
        sheet.line((FRAME.left, FRAME.top), (FRAME.left, FRAME.bottom), Ink::Muted, 1.0)?;
        axis_title(sheet, &chart.y.label, (0.0, 10.0), Anchor::Start)?;
        axis_title(sheet, &chart.x.label, (FRAME.right, FRAME.bottom + 30.0), Anchor::End)?;
        // Numbers of cases stand above the frame where there is room; those without a number stand below, in order.
        let mut placer = Placer::new(Area { left: FRAME.left - 10.0, top: 20.0, right: WIDTH, bottom: FRAME.top });
        for (x, number) in &chart.numbers {
            let place = at((*x, chart.y.max)).0;
            let rows = [(place, 38.0), (place, 26.0)].map(|at| (at, Anchor::Middle));
            if let Some(found) = placer.place((width_of(number, SMALL.size) + 2.0, 11.0), rows) {
                sheet.text(number, found.at, found.anchor, SMALL)?;
            }
        }
        for (number, arm) in chart.arms.iter().enumerate() {
            let roof: Vec<(f64, f64)> = arm.roof.iter().map(|p| at(*p)).collect();
            if roof.len() > 1 {
                sheet.path(&roof, Ink::Series(mark(number)), 1.75)?;
            }
        }
        for (number, arm) in chart.arms.iter().enumerate() {
            for point in &arm.points {
                marker(sheet, at(*point), mark(number))?;
            }
        }
        key.draw(sheet, (0.0, KEY_TOP))
    })
}
