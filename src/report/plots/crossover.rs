//! A ratio of dense over sparse by density, on logarithmic axes, with the line where both are equal.

use super::labels::{Key, KeyEntry, Mark, axis_title, marker};
use super::palette::Ink;
use super::sheet::{Anchor, Figure, NAME, SMALL, Scale, draw};
use super::{PlotError, WIDTH, ticks};
use crate::report::model::CrossoverChart;
use plotters::prelude::{IntoLogRange, LogCoord};

const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 6.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 330.0;
const KEY_TOP: f64 = 374.0;

/// Draws the crossover; `None` without series or with axes that have no extent.
///
/// # Errors
/// [`PlotError`] when plotters refuses, which drawing to memory gives no cause for.
pub fn crossover(chart: &CrossoverChart) -> Option<Result<Figure, PlotError>> {
    let extent = |min: f64, max: f64| min > 0.0 && max > min && max.is_finite();
    let drawable = !chart.series.is_empty() && extent(chart.x.min, chart.x.max) && extent(chart.y.min, chart.y.max);
    drawable.then(|| paint(chart))
}

fn paint(chart: &CrossoverChart) -> Result<Figure, PlotError> {
    let entry = |(i, s): (usize, &crate::report::model::CrossoverSeries)| KeyEntry {
        mark: Mark::Point(i),
        text: s.label.clone(),
    };
    let key = Key::new(chart.series.iter().enumerate().map(entry).collect(), WIDTH);
    draw(&chart.title, &chart.description, (WIDTH, KEY_TOP + key.height()), |sheet| {
        let log = |min: f64, max: f64| (min..max).log_scale();
        let ranges = (log(chart.x.min, chart.x.max), log(chart.y.min, chart.y.max));
        let scale: Scale<LogCoord<f64>, LogCoord<f64>> = sheet.coordinates(ranges, (LEFT, TOP), (RIGHT, BOTTOM));
        for tick in ticks::logarithmic(chart.x.min, chart.x.max) {
            let x = scale.at(tick, chart.y.min).0;
            sheet.line((x, TOP), (x, BOTTOM), Ink::Line, 0.75)?;
            // A tick at the very edge keeps its label inside.
            let (at, anchor) = if x > RIGHT - 14.0 { (RIGHT, Anchor::End) } else { (x, Anchor::Middle) };
            sheet.text(&format!("{} %", ticks::label(tick * 100.0)), (at, BOTTOM + 12.0), anchor, SMALL)?;
        }
        for tick in ticks::logarithmic(chart.y.min, chart.y.max) {
            let y = scale.at(chart.x.min, tick).1;
            sheet.line((LEFT, y), (RIGHT, y), Ink::Line, 0.75)?;
            sheet.text(&format!("{}×", ticks::label(tick)), (LEFT - 8.0, y), Anchor::End, SMALL)?;
        }
        let equal = scale.at(chart.x.min, 1.0).1;
        sheet.line((LEFT, equal), (RIGHT, equal), Ink::Text, 1.5)?;
        sheet.text("sparse is better above", (LEFT + 6.0, equal - 9.0), Anchor::Start, NAME)?;
        sheet.line((LEFT, BOTTOM), (RIGHT, BOTTOM), Ink::Muted, 1.0)?;
        sheet.line((LEFT, TOP), (LEFT, BOTTOM), Ink::Muted, 1.0)?;
        axis_title(sheet, &chart.y.label, (0.0, 10.0), Anchor::Start)?;
        axis_title(sheet, &chart.x.label, (RIGHT, BOTTOM + 30.0), Anchor::End)?;
        let clamp = |y: f64| y.clamp(chart.y.min, chart.y.max);
        for (i, series) in chart.series.iter().enumerate() {
            let at: Vec<(f64, f64)> =
                series.points.iter().map(|p| scale.at(p.x.clamp(chart.x.min, chart.x.max), clamp(p.y))).collect();
            if at.len() > 1 {
                sheet.path(&at, Ink::Series(i), 1.5)?;
            }
            for (point, (x, _)) in series.points.iter().zip(&at) {
                if let Some((low, high)) = point.interval {
                    let y = |v: f64| scale.at(point.x, clamp(v)).1;
                    sheet.line((*x, y(low)), (*x, y(high)), Ink::Text, 1.25)?;
                }
            }
            for place in at {
                marker(sheet, place, i)?;
            }
        }
        key.draw(sheet, (0.0, KEY_TOP))
    })
}
