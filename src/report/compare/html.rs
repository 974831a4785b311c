//! A comparison as one HTML file, in the look of the report: no network, and a policy that runs nothing but its script.

use super::CompareModel;
use crate::report::ReportError;
use crate::report::html::{SCRIPT, policy, style};
use crate::report::plots::{self, Figure, PlotError};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use std::sync::OnceLock;

const TEMPLATE: &str =
    concat!(include_str!("../../../templates/parts.html.j2"), include_str!("../../../templates/compare.html.j2"));
const STYLE: &str = include_str!("../../../templates/compare.css");
const MORE: &str = include_str!("../../../templates/compare.js");

/// Cases whose front is drawn: each is ten kilobytes of SVG.
const FRONTS: usize = 60;

/// Renders the comparison as UTF-8 HTML.
pub(super) fn render(model: &CompareModel<'_>) -> Result<Vec<u8>, ReportError> {
    let chart = |id: &str, figure: Option<Result<Figure, PlotError>>| -> Result<Value, ReportError> {
        match figure {
            None => Ok(Value::from(())),
            Some(Ok(figure)) => Ok(Value::from_safe_string(figure.to_html(id))),
            Some(Err(error)) => Err(failed(&error)),
        }
    };
    let fronts = model.cases.iter().enumerate().map(|(i, case)| {
        let drawn = if i < FRONTS { plots::pareto(&case.front) } else { None };
        chart(&format!("front-{}", case.number), drawn)
    });
    let charts = context! {
        means => chart("means", plots::intervals(&model.means))?,
        roofline => chart("overlay", plots::overlay(&model.roofline))?,
        fronts => fronts.collect::<Result<Vec<_>, _>>()?,
        fronts_drawn => FRONTS,
    };
    let page = page()?;
    page.templates
        .get_template("compare.html")
        .and_then(|template| {
            template.render(context! {
                c => Value::from(Serde(model)),
                charts,
                fronts_left_out => model.cases.len() > FRONTS,
                css => Value::from_safe_string(page.css.clone()),
                script => Value::from_safe_string(page.script.clone()),
                policy => page.policy.clone(),
            })
        })
        .map(String::into_bytes)
        .map_err(|error| failed(&format_args!("{error:#}")))
}

fn failed(reason: &dyn std::fmt::Display) -> ReportError {
    ReportError::Render { format: "compare.html", reason: reason.to_string() }
}

/// What is the same on every page.
struct Page {
    templates: Environment<'static>,
    css: String,
    script: String,
    policy: String,
}

fn page() -> Result<&'static Page, ReportError> {
    static PAGE: OnceLock<Result<Page, String>> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        // The name's ending switches escaping for HTML on.
        templates.add_template("compare.html", TEMPLATE).map_err(|error| format!("{error:#}"))?;
        let css = format!("{}{STYLE}", style());
        let script = format!("{SCRIPT}{MORE}");
        let policy = policy(&css, &script);
        Ok(Page { templates, css, script, policy })
    });
    page.as_ref().map_err(|reason| failed(reason))
}
