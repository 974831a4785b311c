//! The report as one HTML file: no network, no external font, and a content security policy that
//! runs nothing but the one script whose hash it names.

use super::plots::{self, Figure, PlotError, palette};
use super::{Format, ReportError, ReportModel};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// The format's entry in the registry.
pub const FORMAT: Format = Format {
    id: "html",
    extension: "html",
    binary: false,
    summary: "self-contained page with charts, light and dark",
    render,
};

const TEMPLATE: &str =
    concat!(include_str!("../../../templates/parts.html.j2"), include_str!("../../../templates/report.html.j2"));
const STYLE: &str = include_str!("../../../templates/report.css");
/// Sorting of tables.
pub(in crate::report) const SCRIPT: &str = include_str!("../../../templates/report.js");

/// Renders the report as UTF-8 HTML.
///
/// # Errors
/// [`ReportError::Render`] when a chart cannot be drawn or the template refuses the model.
pub fn render(model: &ReportModel) -> Result<Vec<u8>, ReportError> {
    let chart = |id: &str, figure: Option<Result<Figure, PlotError>>| -> Result<Value, ReportError> {
        match figure {
            None => Ok(Value::from(())),
            Some(Ok(figure)) => Ok(Value::from_safe_string(figure.to_html(id))),
            Some(Err(error)) => Err(failed(&error)),
        }
    };
    let crossovers = model.crossover.charts.iter().enumerate();
    let crossovers = crossovers
        .map(|(n, c)| chart(&format!("crossover-{n}"), plots::crossover(c)))
        .collect::<Result<Vec<_>, _>>()?;
    let charts = context! {
        bars => chart("bars", plots::bars(&model.bars))?,
        roofline => chart("roofline", plots::roofline(&model.roofline))?,
        crossover => crossovers,
        trace => chart("trace", plots::trace(&model.trace))?,
    };
    let page = page()?;
    let html = page
        .templates
        .get_template("report.html")
        .and_then(|template| {
            template.render(context! {
                report => Value::from(Serde(model)),
                charts,
                css => Value::from_safe_string(page.css.clone()),
                script => Value::from_safe_string(SCRIPT.to_owned()),
                policy => page.policy.clone(),
            })
        })
        .map_err(|error| failed(&format_args!("{error:#}")))?;
    Ok(html.into_bytes())
}

fn failed(reason: &dyn std::fmt::Display) -> ReportError {
    ReportError::Render { format: FORMAT.id, reason: reason.to_string() }
}

/// What is the same on every page.
struct Page {
    templates: Environment<'static>,
    css: String,
    policy: String,
}

fn page() -> Result<&'static Page, ReportError> {
    static PAGE: OnceLock<Result<Page, String>> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        // The name's ending switches escaping for HTML on.
        templates.add_template("report.html", TEMPLATE).map_err(|error| format!("{error:#}"))?;
        let css = style();
        let policy = policy(&css, SCRIPT);
        Ok(Page { templates, css, policy })
    });
    page.as_ref().map_err(|reason| failed(reason))
}

/// The style sheet of reports, with the palette of both themes.
pub(in crate::report) fn style() -> String {
    format!(
        ":root{{color-scheme:light dark;{}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n{STYLE}",
        palette::css_properties(false),
        palette::css_properties(true),
    )
}

/// A content security policy that lets nothing in but this style sheet and this script.
pub(in crate::report) fn policy(css: &str, script: &str) -> String {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        integrity(css),
        integrity(script),
    )
}

/// Hash of an inline block as a content security policy names it.
pub(in crate::report) fn integrity(block: &str) -> String {
    format!("sha256-{}", base64(&Sha256::digest(block.as_bytes())))
}

/// Base 64 with padding, RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (word >> (18 - 6 * place)) as usize & 63;
            out.push(if place <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
pub(in crate::report) mod tests;
