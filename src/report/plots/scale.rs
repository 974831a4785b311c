//! The scale of classes: bands on a logarithmic axis, the index as a point with its interval.

use super::PlotError;
use super::palette::Ink;
use super::sheet::{Anchor, Figure, Lettering, SMALL, draw};
use serde::Serialize;

/// What the scale shows; positions are fractions of its width, from the lowest class to the best.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassScale {
    /// Short name.
    pub title: String,
    /// What it shows, for screen readers.
    pub description: String,
    /// The classes, lowest first, without gaps.
    pub bands: Vec<ClassBand>,
    /// Bounds between them, with their texts.
    pub bounds: Vec<(f64, String)>,
    /// Where the reference lies.
    pub reference: f64,
    /// Where the index lies.
    pub index: f64,
    /// Where its interval begins and ends.
    pub interval: (f64, f64),
    /// The index as text.
    pub text: String,
}

/// A class on the scale.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassBand {
    /// Its letter.
    pub letter: String,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Whether it is the class in force.
    pub current: bool,
}

const TOP: f64 = 34.0;
const BAND: f64 = 30.0;
const GAP: f64 = 1.5;
const HEIGHT: f64 = TOP + BAND + 44.0;
const LETTER: Lettering = Lettering { size: 15.0, ink: Ink::Muted };
const IN_FORCE: Lettering = Lettering { size: 17.0, ink: Ink::Paper };
const VALUE: Lettering = Lettering { size: 14.0, ink: Ink::Text };

/// Draws the scale, `width` units wide: type keeps its size, so a telephone gets a narrow one.
///
/// # Errors
/// [`PlotError`] when plotters refuses, which drawing to memory gives no cause for.
pub fn classes(scale: &ClassScale, width: f64) -> Result<Figure, PlotError> {
    let x = |at: f64| at.clamp(0.0, 1.0) * width;
    draw(&scale.title, &scale.description, (width, HEIGHT), |sheet| {
        let bottom = TOP + BAND;
        for band in &scale.bands {
            let (from, to) = (x(band.from) + GAP, x(band.to) - GAP);
            let (rise, ink, look) = if band.current { (5.0, Ink::Accent, IN_FORCE) } else { (0.0, Ink::Line, LETTER) };
            sheet.rect((from, TOP - rise), (to, bottom + rise), ink)?;
            let look = if band.current { look } else { Lettering { ink: Ink::Text, ..look } };
            sheet.text(&band.letter, ((from + to) / 2.0, TOP + BAND / 2.0), Anchor::Middle, look)?;
        }
        for (at, text) in &scale.bounds {
            sheet.text(text, (x(*at), bottom + 15.0), Anchor::Middle, SMALL)?;
        }
        let reference = x(scale.reference);
        sheet.line((reference, bottom + 7.0), (reference, bottom + 28.0), Ink::Muted, 1.0)?;
        sheet.text("1 = reference", (reference, bottom + 36.0), Anchor::Middle, SMALL)?;

        let (low, high, index) = (x(scale.interval.0), x(scale.interval.1), x(scale.index));
        let line = TOP - 13.0;
        sheet.line((low, line), (high, line), Ink::Text, 1.5)?;
        for end in [low, high] {
            sheet.line((end, line - 4.0), (end, line + 4.0), Ink::Text, 1.5)?;
        }
        sheet.circle((index, line), 4.5, Ink::Text)?;
        let (anchor, at) = if high.max(index) > width * 0.88 {
            (Anchor::End, low.min(index - 5.0) - 8.0)
        } else {
            (Anchor::Start, high.max(index + 5.0) + 8.0)
        };
        sheet.text(&scale.text, (at, line), anchor, VALUE)
    })
}
