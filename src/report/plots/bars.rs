//! Horizontal bars with intervals: one row a case, name to the left, value to the right.

use super::labels::axis_title;
use super::palette::Ink;
use super::sheet::{Anchor, Figure, NAME, SMALL, draw, fit, width_of};
use super::{PlotError, WIDTH, ticks};
use crate::report::model::BarChart;
use plotters::coord::types::RangedCoordf64;

const ROW: f64 = 23.0;
const BAR: f64 = 13.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 8.0;
const GAP: f64 = 12.0;

/// Draws the bars; `None` when there are none.
///
/// # Errors
/// [`PlotError`] when plotters refuses, which drawing to memory gives no cause for.
pub fn bars(chart: &BarChart) -> Option<Result<Figure, PlotError>> {
    (!chart.bars.is_empty()).then(|| paint(chart))
}

fn paint(chart: &BarChart) -> Result<Figure, PlotError> {
    let widest = |limit: f64, texts: &mut dyn Iterator<Item = &str>| {
        texts.map(|t| width_of(t, NAME.size)).fold(20.0, f64::max).min(limit)
    };
    let names = widest(WIDTH * 0.4, &mut chart.bars.iter().map(|b| b.label.as_str()));
    let values = widest(WIDTH * 0.25, &mut chart.bars.iter().map(|b| b.text.as_str()));
    let (left, right) = (names + GAP, WIDTH - values - GAP);
    let bottom = TOP + chart.bars.len() as f64 * ROW;
    let longest =
        chart.bars.iter().map(|b| b.interval.map_or(b.value, |(_, high)| high.max(b.value))).fold(0.0, f64::max);
    // A chart of zeros still needs an axis.
    let end = if longest > 0.0 { longest * 1.02 } else { 1.0 };

    draw(&chart.title, &chart.description, (WIDTH, bottom + BOTTOM), |sheet| {
        let scale =
            sheet.coordinates::<RangedCoordf64, RangedCoordf64>((0.0..end, 0.0..1.0), (left, TOP), (right, bottom));
        let x = |value: f64| scale.at(value.clamp(0.0, end), 0.0).0;
        axis_title(sheet, &chart.axis, (WIDTH, 8.0), Anchor::End)?;
        for tick in ticks::linear(0.0, end, 5) {
            let at = x(tick);
            sheet.line((at, TOP - 4.0), (at, bottom), Ink::Line, 0.75)?;
            sheet.text(&ticks::label(tick), (at, TOP - 13.0), Anchor::Middle, SMALL)?;
        }
        for (row, bar) in chart.bars.iter().enumerate() {
            let middle = TOP + (row as f64 + 0.5) * ROW;
            sheet.text(&fit(&bar.label, NAME.size, names), (names, middle), Anchor::End, NAME)?;
            sheet.rect((left, middle - BAR / 2.0), (x(bar.value), middle + BAR / 2.0), Ink::Accent)?;
            if let Some((low, high)) = bar.interval {
                // A rim in the page's colour keeps the whisker visible on the bar.
                let (low, high) = (x(low), x(high));
                sheet.line((low, middle), (high, middle), Ink::Paper, 4.0)?;
                for end in [low, high] {
                    sheet.line((end, middle - 5.0), (end, middle + 5.0), Ink::Paper, 4.0)?;
                }
                sheet.line((low, middle), (high, middle), Ink::Text, 1.5)?;
                for end in [low, high] {
                    sheet.line((end, middle - 4.0), (end, middle + 4.0), Ink::Text, 1.5)?;
                }
            }
            sheet.text(&fit(&bar.text, NAME.size, values), (WIDTH, middle), Anchor::End, NAME)?;
        }
        sheet.line((left, TOP - 4.0), (left, bottom), Ink::Muted, 1.0)
    })
}
