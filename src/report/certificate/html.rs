//! The certificate as one HTML file: no script, no network, no font from elsewhere; on paper every page
//! carries the id, the marks and its number.

use super::model::{Block, CertificateModel};
use crate::report::ReportError;
use crate::report::html::integrity;
use crate::report::model::Tone;
use crate::report::plots::{self, Figure, PlotError, palette};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::OnceLock;

const TEMPLATE: &str = include_str!("../../../templates/certificate.html.j2");
const STYLE: &str = include_str!("../../../templates/certificate.css");

/// Width of the scale on a telephone, in units.
const NARROW: f64 = 330.0;

/// Renders a certificate, a refusal or an inconclusive result as UTF-8 HTML.
///
/// # Errors
/// [`ReportError::Render`] when a chart cannot be drawn or the template refuses the model.
pub fn render(model: &CertificateModel) -> Result<Vec<u8>, ReportError> {
    let css = style(model);
    // Nothing runs: not even a script of ours.
    let policy = format!("default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'", integrity(&css));
    templates()?
        .get_template("certificate.html")
        .and_then(|template| {
            template.render(context! {
                c => Value::from(Serde(model)),
                charts => charts(model)?,
                css => Value::from_safe_string(css),
                policy,
            })
        })
        .map(String::into_bytes)
        .map_err(|error| failed(&format_args!("{error:#}")))
}

fn failed(reason: &dyn std::fmt::Display) -> ReportError {
    ReportError::Render { format: "certificate.html", reason: reason.to_string() }
}

fn templates() -> Result<&'static Environment<'static>, ReportError> {
    static TEMPLATES: OnceLock<Result<Environment<'static>, String>> = OnceLock::new();
    let templates = TEMPLATES.get_or_init(|| {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        // The name's ending switches escaping for HTML on.
        templates.add_template("certificate.html", TEMPLATE).map_err(|error| format!("{error:#}"))?;
        Ok(templates)
    });
    templates.as_ref().map_err(|reason| failed(reason))
}

/// The charts of the model as elements, by name; what has no data has none.
fn charts(model: &CertificateModel) -> Result<BTreeMap<&'static str, Value>, minijinja::Error> {
    let mut charts: BTreeMap<&'static str, Value> =
        ["scale", "scale-narrow", "bars", "trace"].map(|name| (name, Value::from(()))).into();
    let mut put = |name: &'static str, figure: Option<Result<Figure, PlotError>>| {
        let Some(figure) = figure else { return Ok(()) };
        let figure =
            figure.map_err(|error| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, error.to_string()))?;
        charts.insert(name, Value::from_safe_string(figure.to_html(name)));
        Ok::<(), minijinja::Error>(())
    };
    if let Some(scale) = model.rating.as_ref().and_then(|r| r.scale.as_ref()) {
        put("scale", Some(plots::classes(scale, plots::WIDTH)))?;
        put("scale-narrow", Some(plots::classes(scale, NARROW)))?;
    }
    for block in model.sections.iter().flat_map(|s| &s.blocks) {
        match block {
            Block::Bars(chart) => put("bars", plots::bars(chart))?,
            Block::Trace(chart) => put("trace", plots::trace(chart))?,
            _ => {}
        }
    }
    Ok(charts)
}

/// The style sheet, with what the margins of every printed page say.
fn style(model: &CertificateModel) -> String {
    let marks = model.marks.iter().map(|m| m.text.as_str()).collect::<Vec<_>>().join(" · ");
    format!(
        ":root{{color-scheme:light dark;{}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n{STYLE}\
         @page{{@bottom-left{{content:{}}}@bottom-center{{content:{};color:{}}}}}\n",
        palette::css_properties(false),
        palette::css_properties(true),
        css_string(&model.id),
        css_string(&marks),
        palette::hex(ink(model).light()),
    )
}

/// The colour of the gravest mark.
fn ink(model: &CertificateModel) -> palette::Ink {
    let any = |tone| model.marks.iter().any(|m| m.tone == tone);
    match (any(Tone::Bad), any(Tone::Warning)) {
        (true, _) => palette::Ink::Bad,
        (false, true) => palette::Ink::Warn,
        (false, false) => palette::Ink::Muted,
    }
}

/// `text` as a CSS string: everything but letters and digits is escaped (CSS Syntax 3, 4.3.7), so that
/// nothing ends it or the style sheet.
fn css_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()).take(400) {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\{:06x}", u32::from(c));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_a_css_string() {
        assert_eq!(css_string("WP-1"), "\"WP\\00002d1\"");
        let evil = css_string("\"}</style><script>\\\n\u{0}é");
        assert!(!evil[1..evil.len() - 1].contains(['"', '<', '}', '\n']), "{evil}");
        assert_eq!(css_string(&"x".repeat(10_000)).len(), 402);
    }
}
