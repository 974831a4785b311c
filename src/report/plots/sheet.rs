//! A sheet of SVG that plotters draws on, and the finished figure that comes off it.
//!
//! plotters places everything on whole pixels. A sheet is therefore drawn [`FINE`] times larger
//! than it is shown, and the view box scales it back: a quarter pixel is finer than print.

use super::palette::{self, Ink};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::Ranged;
use plotters::coord::{CoordTranslate, Shift};
use plotters::element::{Drawable, PointCollection};
use plotters::prelude::{
    Circle, DrawingArea, IntoDrawingArea, IntoFont, PathElement, Polygon, Rectangle, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, ShapeStyle, TextStyle};

/// Device pixels of a sheet per unit of its size.
const FINE: f64 = 4.0;
/// plotters divides font sizes by this factor when it writes SVG.
const FONT_FACTOR: f64 = 1.24;

/// A chart that could not be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the chart cannot be drawn: {0}")]
pub struct PlotError(pub(super) String);

impl PlotError {
    pub(super) fn from_display(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// A finished chart: drawing, name and description, still in sentinel colours.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Short name, read out first.
    pub title: String,
    /// What a reader who cannot see the chart needs to know.
    pub description: String,
    width: f64,
    height: f64,
    body: String,
}

impl Figure {
    /// Width and height in units.
    #[must_use]
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// An `<svg>` element for a page whose style sheet defines the palette's custom properties.
    /// `id` prefixes the ids inside and must be unique on the page.
    #[must_use]
    pub fn to_html(&self, id: &str) -> String {
        let body =
            themed(&self.body, |ink| format!("var({})", ink.property())).replace(" font-family=\"sans-serif\"", "");
        let (w, h) = (fine(self.width), fine(self.height));
        format!(
            "<svg role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" viewBox=\"0 0 {w} {h}\">\n<title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n{body}</svg>",
            escape(&self.title),
            escape(&self.description),
        )
    }

    /// A whole SVG document in the colours of paper, for a renderer that has a font of that name.
    #[must_use]
    pub fn to_document(&self, font: &str) -> String {
        let body = themed(&self.body, |ink| palette::hex(ink.light()))
            .replace(" font-family=\"sans-serif\"", &format!(" font-family=\"{}\"", escape(font)));
        let (w, h) = (fine(self.width), fine(self.height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{}\" height=\"{}\">\n\
             <title>{}</title>\n<desc>{}</desc>\n{body}</svg>\n",
            self.width,
            self.height,
            escape(&self.title),
            escape(&self.description),
        )
    }
}

/// Replaces every sentinel. They are looked for with their quotes, which text cannot contain
/// unescaped, so a case that is named like a colour keeps its name.
fn themed(body: &str, colour: impl Fn(Ink) -> String) -> String {
    Ink::all().fold(body.to_owned(), |svg, ink| {
        let sentinel = ink.sentinel();
        svg.replace(
            &format!("\"#{:02X}{:02X}{:02X}\"", sentinel.0, sentinel.1, sentinel.2),
            &format!("\"{}\"", colour(ink)),
        )
    })
}

/// Escapes text for SVG content and attributes; control characters, which XML forbids, are dropped.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if allowed_in_xml(c) => out.push(c),
            _ => {}
        }
    }
    out
}

/// XML 1.0 `Char`, less the control characters it merely discourages.
fn allowed_in_xml(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

#[expect(clippy::cast_possible_truncation, reason = "sheets are a few thousand units wide; casts saturate")]
fn fine(units: f64) -> i32 {
    (units * FINE).round() as i32
}

/// Where a text hangs on its point, horizontally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lettering {
    pub(super) size: f64,
    pub(super) ink: Ink,
}

/// Labels, ticks and values.
pub(super) const SMALL: Lettering = Lettering { size: 11.5, ink: Ink::Muted };
/// Names.
pub(super) const NAME: Lettering = Lettering { ink: Ink::Text, ..SMALL };

/// Upper estimate of the width of `text`: sans-serif text is about 0.55 em a character, wide
/// scripts 1 em. Without font metrics an overestimate is the safe side.
pub(super) fn width_of(text: &str, size: f64) -> f64 {
    text.chars().map(|c| if u32::from(c) >= 0x1100 { 1.0 } else { 0.58 }).sum::<f64>() * size
}

/// Shortens `text` in the middle, where names of cases differ least, to at most `width`.
pub(super) fn fit(text: &str, size: f64, width: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let mut keep = chars.len().min(400);
    while keep > 2 {
        let (head, tail) = (keep.div_ceil(2), keep / 2);
        let short: String =
            chars[..head].iter().chain(std::iter::once(&'…')).chain(&chars[chars.len() - tail..]).collect();
        if width_of(&short, size) <= width {
            return short;
        }
        keep -= 1;
    }
    "…".to_owned()
}

/// Data coordinates on a sheet.
pub(super) struct Scale<X: Ranged, Y: Ranged>(Cartesian2d<X, Y>);

impl<X: Ranged<ValueType = f64>, Y: Ranged<ValueType = f64>> Scale<X, Y> {
    /// Where `(x, y)` lies on the sheet.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = self.0.translate(&(x, y));
        (f64::from(x) / FINE, f64::from(y) / FINE)
    }
}

/// A sheet being drawn on. All coordinates are units from the top left corner.
pub(super) struct Sheet<'s> {
    area: DrawingArea<SVGBackend<'s>, Shift>,
}

type Drawn = Result<(), PlotError>;

/// Draws a figure of `width` × `height` units.
pub(super) fn draw(
    title: impl Into<String>,
    description: impl Into<String>,
    (width, height): (f64, f64),
    paint: impl FnOnce(&Sheet<'_>) -> Drawn,
) -> Result<Figure, PlotError> {
    let mut svg = String::new();
    {
        let size = (fine(width).unsigned_abs(), fine(height).unsigned_abs());
        let sheet = Sheet { area: SVGBackend::with_string(&mut svg, size).into_drawing_area() };
        paint(&sheet)?;
        sheet.area.present().map_err(PlotError::from_display)?;
    }
    // The root element is written by `Figure`, which knows its use; only what is inside is kept.
    let inside = svg.find('\n').map_or(0, |end| end + 1);
    let body = svg[inside..].trim_end().strip_suffix("</svg>").unwrap_or_default();
    let body = body.replace(" opacity=\"1\"", "").replace(" stroke=\"none\"", "");
    Ok(Figure { title: title.into(), description: description.into(), width, height, body })
}

impl<'s> Sheet<'s> {
    /// A coordinate system of plotters on the part of the sheet between `from` (top left) and `to`
    /// (bottom right), the vertical axis pointing up.
    pub(super) fn coordinates<X: Ranged, Y: Ranged>(
        &self,
        (x, y): (impl Into<X>, impl Into<Y>),
        from: (f64, f64),
        to: (f64, f64),
    ) -> Scale<X, Y> {
        let (left, top, right, bottom) = (fine(from.0), fine(from.1), fine(to.0), fine(to.1));
        Scale(Cartesian2d::new(x, y, (left..right, bottom..top)))
    }

    pub(super) fn line(&self, from: (f64, f64), to: (f64, f64), ink: Ink, width: f64) -> Drawn {
        self.path(&[from, to], ink, width)
    }

    pub(super) fn path(&self, points: &[(f64, f64)], ink: Ink, width: f64) -> Drawn {
        let points: Vec<_> = points.iter().map(|&p| pixel(p)).collect();
        self.put(&PathElement::new(points, stroke(ink, width)))
    }

    pub(super) fn polygon(&self, points: &[(f64, f64)], ink: Ink) -> Drawn {
        let points: Vec<_> = points.iter().map(|&p| pixel(p)).collect();
        self.put(&Polygon::new(points, ink.sentinel().filled()))
    }

    pub(super) fn rect(&self, from: (f64, f64), to: (f64, f64), ink: Ink) -> Drawn {
        self.put(&Rectangle::new([pixel(from), pixel(to)], ink.sentinel().filled()))
    }

    pub(super) fn circle(&self, centre: (f64, f64), radius: f64, ink: Ink) -> Drawn {
        self.put(&Circle::new(pixel(centre), fine(radius), ink.sentinel().filled()))
    }

    /// Text whose middle height is at `at`.
    pub(super) fn text(&self, text: &str, at: (f64, f64), anchor: Anchor, look: Lettering) -> Drawn {
        let clean: String = text.chars().filter(|&c| allowed_in_xml(c)).collect();
        let horizontal = match anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        let font = ("sans-serif", look.size * FINE * FONT_FACTOR).into_font();
        let colour = look.ink.sentinel();
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(horizontal, VPos::Center));
        self.put(&Text::new(clean, pixel(at), style))
    }

    /// Draws an element of plotters in pixel coordinates.
    fn put<'e, E>(&self, element: &'e E) -> Drawn
    where
        &'e E: PointCollection<'e, (i32, i32)>,
        E: Drawable<SVGBackend<'s>>,
    {
        self.area.draw(element).map_err(PlotError::from_display)
    }
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    (fine(x), fine(y))
}

fn stroke(ink: Ink, width: f64) -> ShapeStyle {
    ink.sentinel().stroke_width(fine(width).unsigned_abs().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle_and_fit() {
        let name = "attention-f32-b1-h8-q1024-kv1024-d64-causal-t2".repeat(300);
        let short = fit(&name, 11.5, 200.0);
        assert!(width_of(&short, 11.5) <= 200.0);
        assert!(short.starts_with("attention") && short.ends_with("causal-t2") && short.contains('…'));
        assert_eq!(fit("gemm", 11.5, 200.0), "gemm");
        assert_eq!(fit("gemm", 11.5, 1.0), "…");
    }

    #[test]
    fn text_that_looks_like_markup_or_a_sentinel_stays_text() {
        let evil = "</text><script>\u{1}\"#01FE01\"&";
        let figure = draw(evil, evil, (40.0, 20.0), |sheet| sheet.text(evil, (1.0, 2.0), Anchor::Start, NAME)).unwrap();
        for svg in [figure.to_html("x"), figure.to_document("Inter")] {
            assert!(!svg.contains("<script") && !svg.contains("</text><") && !svg.contains('\u{1}'), "{svg}");
            assert_eq!(svg.matches("&quot;#01FE01&quot;&amp;").count(), 3, "{svg}");
        }
    }

    #[test]
    fn html_uses_the_palette_and_paper_plain_colours() {
        let figure = draw("t", "d", (40.0, 20.0), |s| s.rect((0.0, 0.0), (1.0, 1.25), Ink::Accent)).unwrap();
        assert!(figure.to_html("x").contains("height=\"5\" fill=\"var(--accent)\""), "{}", figure.to_html("x"));
        assert!(figure.to_document("Inter").contains(&palette::hex(Ink::Accent.light())));
    }
}
