//! Figures over many runs as one HTML page: no network, no script, light and dark, print.

use super::ReportError;
use super::html::integrity;
use super::plots::{TimelineChart, palette, timeline};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

/// Everything on the page, as final texts.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TimelinePage {
    /// Heading.
    pub title: String,
    /// One line below it.
    pub subtitle: String,
    /// What was found, in one sentence.
    pub verdict: String,
    /// `good`, `bad` or `neutral`.
    pub tone: String,
    /// Label and value.
    pub facts: Vec<(String, String)>,
    /// Headings of the table of changes.
    pub change_columns: Vec<String>,
    /// Its rows, with their tones.
    pub changes: Vec<(String, Vec<String>)>,
    /// A section a case.
    pub sections: Vec<TimelineSection>,
    /// Heading and text of what to know about the method.
    pub method: Vec<(String, String)>,
}

/// The charts of a case.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct TimelineSection {
    /// Case id.
    pub title: String,
    /// Its charts, one a metric.
    pub charts: Vec<TimelineChart>,
    /// Letter and text of every place where a new series begins.
    pub breaks: Vec<(String, String)>,
}

const TEMPLATE: &str = include_str!("../../templates/history.html.j2");
const STYLE: &str = include_str!("../../templates/report.css");
/// What this page alone needs.
const OWN_STYLE: &str = ".chart+.chart{margin-top:2.5rem}.chart+.pairs{margin-top:1.5rem}";

/// Renders the page as UTF-8 HTML.
///
/// # Errors
/// [`ReportError::Render`] when a chart cannot be drawn or the template refuses the page.
pub fn page(page: &TimelinePage) -> Result<Vec<u8>, ReportError> {
    let failed = |reason: String| ReportError::Render { format: "html", reason };
    let mut drawn: Vec<Vec<Value>> = Vec::new();
    for (n, section) in page.sections.iter().enumerate() {
        let mut figures = Vec::new();
        for (i, chart) in section.charts.iter().enumerate() {
            let figure = timeline(chart).transpose().map_err(|e| failed(e.to_string()))?;
            figures.push(figure.map_or_else(
                || Value::from(()),
                |figure| Value::from_safe_string(figure.to_html(&format!("timeline-{n}-{i}"))),
            ));
        }
        drawn.push(figures);
    }
    let css = format!(
        ":root{{color-scheme:light dark;{}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n{STYLE}\n{OWN_STYLE}",
        palette::css_properties(false),
        palette::css_properties(true),
    );
    let policy = format!("default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'", integrity(&css));
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    // The name's ending switches escaping for HTML on.
    let html = templates
        .add_template("history.html", TEMPLATE)
        .and_then(|()| templates.get_template("history.html"))
        .and_then(|template| {
            let css = Value::from_safe_string(css);
            template.render(context! { page => Value::from(Serde(page)), drawn, css, policy })
        })
        .map_err(|error| failed(format!("{error:#}")))?;
    Ok(html.into_bytes())
}
