//! Points with intervals on a logarithmic axis around 1: one row an arm.

use super::labels::axis_title;
use super::palette::Ink;
use super::sheet::{Anchor, Figure, NAME, SMALL, draw, fit, width_of};
use super::{PlotError, WIDTH, ticks};
use crate::report::compare::model::Intervals;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{IntoLogRange, LogCoord};

const ROW: f64 = 23.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 8.0;
const GAP: f64 = 12.0;

/// Draws the intervals; `None` when there are no rows.
///
/// # Errors
/// [`PlotError`] when plotters refuses, which drawing to memory gives no cause for.
pub fn intervals(chart: &Intervals) -> Option<Result<Figure, PlotError>> {
    let ends = chart.rows.iter().flat_map(|r| [Some((r.value, r.value)), r.interval]).flatten();
    let drawable = ends.clone().all(|(low, high)| low > 1e-100 && high < 1e100);
    (!chart.rows.is_empty() && drawable).then(|| paint(chart))
}

fn paint(chart: &Intervals) -> Result<Figure, PlotError> {
    let widest = |limit: f64, texts: &mut dyn Iterator<Item = &str>| {
        texts.map(|t| width_of(t, NAME.size)).fold(20.0, f64::max).min(limit)
    };
    let names = widest(WIDTH * 0.34, &mut chart.rows.iter().map(|r| r.label.as_str()));
    let values = widest(WIDTH * 0.24, &mut chart.rows.iter().map(|r| r.text.as_str()));
    let (left, right) = (names + GAP, WIDTH - values - GAP);
    let bottom = TOP + chart.rows.len() as f64 * ROW;
    let ends = chart.rows.iter().flat_map(|r| {
        let (low, high) = r.interval.unwrap_or((r.value, r.value));
        [r.value, low, high]
    });
    let (low, high) = ends.fold((1.0f64, 1.0f64), |(l, h), v| (l.min(v), h.max(v)));
    // An axis of one point still needs an extent.
    let (low, high) = (low / 1.04, high * 1.04);
    draw(&chart.title, &chart.description, (WIDTH, bottom + BOTTOM), |sheet| {
        let range = (low..high).log_scale();
        let scale = sheet.coordinates::<LogCoord<f64>, RangedCoordf64>((range, 0.0..1.0), (left, TOP), (right, bottom));
        let x = |value: f64| scale.at(value.clamp(low, high), 0.0).0;
        axis_title(sheet, &chart.axis, (WIDTH, 8.0), Anchor::End)?;
        let marks = match ticks::logarithmic(low, high) {
            // Less than an octave has no 1-2-5 steps.
            few if few.len() < 3 => ticks::linear(low, high, 5),
            marks => marks,
        };
        for tick in marks {
            let at = x(tick);
            sheet.line((at, TOP - 4.0), (at, bottom), Ink::Line, 0.75)?;
            sheet.text(&ticks::label(tick), (at, TOP - 13.0), Anchor::Middle, SMALL)?;
        }
        sheet.line((x(1.0), TOP - 4.0), (x(1.0), bottom), Ink::Muted, 1.5)?;
        for (number, row) in chart.rows.iter().enumerate() {
            let middle = TOP + (number as f64 + 0.5) * ROW;
            sheet.text(&fit(&row.label, NAME.size, names), (names, middle), Anchor::End, NAME)?;
            if let Some((low, high)) = row.interval {
                let (low, high) = (x(low), x(high));
                sheet.line((low, middle), (high, middle), Ink::Text, 1.5)?;
                for end in [low, high] {
                    sheet.line((end, middle - 4.0), (end, middle + 4.0), Ink::Text, 1.5)?;
                }
            }
            let ink = if row.reference { Ink::Muted } else { Ink::Accent };
            sheet.circle((x(row.value), middle), 5.0, Ink::Paper)?;
            sheet.circle((x(row.value), middle), 4.0, ink)?;
            sheet.text(&fit(&row.text, NAME.size, values), (WIDTH, middle), Anchor::End, NAME)?;
        }
        Ok(())
    })
}
