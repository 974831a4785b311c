//! The report's colours, once for HTML (CSS custom properties, light and dark) and PDF (light).
//!
//! Charts are drawn in sentinel colours that no reader ever sees; [`Ink`] names them, and each
//! output replaces them by the value of its own theme.

use plotters::style::RGBColor;
use std::fmt::Write as _;

/// How many hues tell kernels, cases and domains apart before they repeat.
pub const SERIES: usize = 6;

/// An sRGB colour.
pub type Rgb = [u8; 3];

/// What a mark in a chart or on the page means. The theme decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Text and intervals.
    Text,
    /// Secondary text and axes.
    Muted,
    /// Grid and table rules.
    Line,
    /// The page.
    Paper,
    /// Raised areas: cards, table heads, idle time.
    Surface,
    /// Bars, links, a good verdict.
    Accent,
    /// A caution.
    Warn,
    /// A failure.
    Bad,
    /// The n-th hue of a categorical series; wraps at [`SERIES`].
    Series(usize),
    /// The n-th hue, as a background that text can stand on.
    Tint(usize),
}

/// One theme: a colour for each ink.
#[derive(Debug)]
struct Theme {
    text: Rgb,
    muted: Rgb,
    line: Rgb,
    paper: Rgb,
    surface: Rgb,
    accent: Rgb,
    warn: Rgb,
    bad: Rgb,
    /// Distinct in lightness as well as hue, so they survive colour blindness and grey printing
    /// together with the marker shapes.
    series: [Rgb; SERIES],
    /// Share of the hue in a tint, in percent.
    tint: u16,
}

const LIGHT: Theme = Theme {
    text: [0x15, 0x1d, 0x1a],
    muted: [0x52, 0x5f, 0x59],
    line: [0xd8, 0xdf, 0xdb],
    paper: [0xff, 0xff, 0xff],
    surface: [0xf4, 0xf7, 0xf5],
    accent: [0x0a, 0x6b, 0x4f],
    warn: [0x86, 0x50, 0x00],
    bad: [0xb0, 0x24, 0x1c],
    series: [
        [0x0a, 0x6b, 0x4f],
        [0xb8, 0x57, 0x0b],
        [0x23, 0x5f, 0xa8],
        [0x9c, 0x35, 0x78],
        [0x6a, 0x6d, 0x00],
        [0x5b, 0x4a, 0xa8],
    ],
    tint: 14,
};

const DARK: Theme = Theme {
    text: [0xe7, 0xed, 0xea],
    muted: [0xa2, 0xb1, 0xaa],
    line: [0x2d, 0x38, 0x33],
    paper: [0x0f, 0x14, 0x12],
    surface: [0x18, 0x1f, 0x1c],
    accent: [0x55, 0xc7, 0x95],
    warn: [0xef, 0xb4, 0x5c],
    bad: [0xff, 0x8c, 0x82],
    series: [
        [0x55, 0xc7, 0x95],
        [0xee, 0x9b, 0x52],
        [0x77, 0xb0, 0xf2],
        [0xe8, 0x86, 0xbd],
        [0xc6, 0xc4, 0x50],
        [0xb1, 0xa1, 0xf0],
    ],
    tint: 22,
};

impl Theme {
    fn colour(&self, ink: Ink) -> Rgb {
        match ink {
            Ink::Text => self.text,
            Ink::Muted => self.muted,
            Ink::Line => self.line,
            Ink::Paper => self.paper,
            Ink::Surface => self.surface,
            Ink::Accent => self.accent,
            Ink::Warn => self.warn,
            Ink::Bad => self.bad,
            Ink::Series(n) => self.series[n % SERIES],
            Ink::Tint(n) => mix(self.series[n % SERIES], self.paper, self.tint),
        }
    }
}

/// `percent` of `a` over `b`, opaque: PDF/A and printers are happier without transparency.
fn mix(a: Rgb, b: Rgb, percent: u16) -> Rgb {
    std::array::from_fn(|i| {
        let sum = u16::from(a[i]) * percent + u16::from(b[i]) * (100 - percent);
        u8::try_from(sum / 100).unwrap_or(u8::MAX)
    })
}

impl Ink {
    /// Every ink, each once.
    pub fn all() -> impl Iterator<Item = Self> {
        let named =
            [Self::Text, Self::Muted, Self::Line, Self::Paper, Self::Surface, Self::Accent, Self::Warn, Self::Bad];
        named.into_iter().chain((0..SERIES).map(Self::Series)).chain((0..SERIES).map(Self::Tint))
    }

    /// The CSS custom property that holds it: `--accent`.
    #[must_use]
    pub fn property(self) -> String {
        match self {
            Self::Series(n) => format!("--s{}", n % SERIES),
            Self::Tint(n) => format!("--t{}", n % SERIES),
            named => format!("--{named:?}").to_lowercase(),
        }
    }

    /// Its colour on paper.
    #[must_use]
    pub fn light(self) -> Rgb {
        LIGHT.colour(self)
    }

    /// Its colour on a dark screen.
    #[must_use]
    pub fn dark(self) -> Rgb {
        DARK.colour(self)
    }

    /// The colour it is drawn in before a theme replaces it. The red channel numbers the ink; the
    /// other two are a mark that no theme uses.
    pub(super) fn sentinel(self) -> RGBColor {
        let number = match self {
            Self::Text => 1,
            Self::Muted => 2,
            Self::Line => 3,
            Self::Paper => 4,
            Self::Surface => 5,
            Self::Accent => 6,
            Self::Warn => 7,
            Self::Bad => 8,
            Self::Series(n) => 16 + n % SERIES,
            Self::Tint(n) => 32 + n % SERIES,
        };
        RGBColor(u8::try_from(number).unwrap_or(0), 0xfe, 0x01)
    }
}

/// `#rrggbb`.
#[must_use]
pub fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// The custom properties of one theme: `--ink:#…;--muted:#…;`.
#[must_use]
pub fn css_properties(dark: bool) -> String {
    Ink::all().fold(String::new(), |mut css, ink| {
        let colour = if dark { ink.dark() } else { ink.light() };
        // Writing to a string cannot fail.
        let _ = write!(css, "{}:{};", ink.property(), hex(colour));
        css
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast ratio of two colours, WCAG 2.2 "contrast ratio" and "relative luminance".
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let luminance = |c: Rgb| {
            let [r, g, b] = c.map(|v| {
                let v = f64::from(v) / 255.0;
                if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            });
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn contrast_of_known_pairs() {
        assert!((contrast([0, 0, 0], [255, 255, 255]) - 21.0).abs() < 1e-9);
        // #767676 on white is the well-known lightest grey that passes AA: 4.54.
        assert!((contrast([0x76; 3], [255; 3]) - 4.54).abs() < 0.005);
    }

    #[test]
    fn text_meets_aa_on_every_ground_it_stands_on() {
        for theme in [&LIGHT, &DARK] {
            for ground in [Ink::Paper, Ink::Surface].into_iter().chain((0..SERIES).map(Ink::Tint)) {
                let ratio = contrast(theme.colour(Ink::Text), theme.colour(ground));
                assert!(ratio >= 7.0, "text on {ground:?}: {ratio:.2}");
            }
            for ink in [Ink::Muted, Ink::Accent, Ink::Warn, Ink::Bad] {
                for ground in [Ink::Paper, Ink::Surface] {
                    let ratio = contrast(theme.colour(ink), theme.colour(ground));
                    assert!(ratio >= 4.5, "{ink:?} on {ground:?}: {ratio:.2}");
                }
            }
        }
    }

    #[test]
    fn marks_meet_three_to_one_on_the_page_and_on_tints() {
        for theme in [&LIGHT, &DARK] {
            for n in 0..SERIES {
                let mark = theme.colour(Ink::Series(n));
                for ground in [Ink::Paper, Ink::Surface].into_iter().chain((0..SERIES).map(Ink::Tint)) {
                    let ratio = contrast(mark, theme.colour(ground));
                    assert!(ratio >= 3.0, "series {n} on {ground:?}: {ratio:.2}");
                }
            }
        }
    }

    #[test]
    fn every_ink_has_its_own_sentinel_and_property() {
        let count = Ink::all().count();
        let sentinels: std::collections::BTreeSet<_> = Ink::all().map(|i| i.sentinel().0).collect();
        let properties: std::collections::BTreeSet<_> = Ink::all().map(Ink::property).collect();
        assert_eq!((sentinels.len(), properties.len()), (count, count));
    }
}
