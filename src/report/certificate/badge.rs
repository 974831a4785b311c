//! The badge: a small SVG for a README, which says what the certificate says and no more.

use super::front::{day, word};
use crate::certificate::Dossier;
use crate::report::model::plain::plain;
use crate::report::plots::palette::{Ink, hex};
use crate::report::plots::xml_escaped;
use crate::report::si;
use crate::verdict::Decision;

/// Height of the badge.
const HEIGHT: f64 = 22.0;
/// Width of a character of the badge's 11 px type, an upper estimate.
const CHARACTER: f64 = 7.4;
/// Space at both ends of a half.
const PADDING: f64 = 8.0;
/// What stands on the left.
const NAME: &str = "wattproof";

/// The badge of a certificate as an SVG document. Its title carries the id and the class, or that nothing is
/// certified; it has no script, no link and no font of its own.
#[must_use]
pub fn badge(dossier: &Dossier) -> String {
    let certificate = &dossier.certificate;
    let (shown, title, ink) = match (certificate.decision, &certificate.rating) {
        (Decision::Certified, Some(rating)) => {
            let class = plain(&rating.class.letter.to_string());
            let valid = certificate.expires_at.map(|end| format!(", valid until {}", day(end))).unwrap_or_default();
            let index = si::number(rating.index);
            (
                format!("class {class}"),
                format!("wattproof certificate {}: class {class}, index {index}{valid}", certificate.id),
                Ink::Accent,
            )
        }
        (Decision::Certified, None) => (
            "certified, no class".to_owned(),
            format!("wattproof certificate {}: certified, no class is stated", certificate.id),
            Ink::Accent,
        ),
        (decision, _) => {
            let reason = if decision == Decision::Inconclusive { " (inconclusive)" } else { "" };
            (
                word(Decision::Refused).to_owned(),
                format!("wattproof {}: {}{reason}", certificate.id, word(Decision::Refused)),
                if decision == Decision::Inconclusive { Ink::Warn } else { Ink::Bad },
            )
        }
    };
    drawn(&shown, &title, ink)
}

fn drawn(shown: &str, title: &str, ink: Ink) -> String {
    let width = |text: &str| text.chars().count() as f64 * CHARACTER + 2.0 * PADDING;
    let (left, right) = (width(NAME), width(shown));
    let whole = left + right;
    let text = |body: &str, middle: f64, space: f64, weight: &str, fill: Ink| {
        format!(
            "<text x=\"{middle:.1}\" y=\"15\" text-anchor=\"middle\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
             font-weight=\"{weight}\" fill=\"{}\">{}</text>\n",
            space - 2.0 * PADDING,
            hex(fill.light()),
            xml_escaped(body)
        )
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{label}\" width=\"{whole:.1}\" \
         height=\"{HEIGHT}\" viewBox=\"0 0 {whole:.1} {HEIGHT}\">\n<title>{label}</title>\n\
         <rect width=\"{whole:.1}\" height=\"{HEIGHT}\" rx=\"3\" fill=\"{}\"/>\n\
         <path d=\"M{left:.1} 0H{end:.1}a3 3 0 0 1 3 3V19a3 3 0 0 1-3 3H{left:.1}z\" fill=\"{}\"/>\n\
         <g font-family=\"Inter,Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">\n{}{}</g>\n</svg>\n",
        hex(Ink::Text.light()),
        hex(ink.light()),
        text(NAME, left / 2.0, left, "400", Ink::Paper),
        text(shown, left + right / 2.0, right, "700", Ink::Paper),
        label = xml_escaped(title),
        end = whole - 3.0,
    )
}
