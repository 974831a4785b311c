//! Many records as a static site: one table of all of them, a page for each, and what a browser needs to search, sort,
//! filter and compare them without a server, without a network and from `file://`.
//!
//! Pure: [`Entry`]s in, the bytes of files out. Names of files come from digests and never from a record's id alone.

mod attached;
mod entry;
mod figures;
mod index;
mod inert;
mod page;
mod quantiles;

pub use attached::Attached;
pub use entry::{Best, Entry, Key, Machine, Mark, Row, slug};
pub use index::{Index, index};
pub use page::{LeftOut, left_out, record_page};

use super::ReportError;
use super::html::integrity;
use super::plots::palette;
use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior};
use std::fmt::Display;
use std::sync::OnceLock;

/// Folder of the pages of records.
pub const RECORDS: &str = "r";
/// The table of all records.
pub const INDEX_FILE: &str = "index.html";
/// What [`Index::data`] holds, as a plain script.
pub const DATA_FILE: &str = "data.js";
/// What [`Entry::figures`] holds, beside the page of a record.
pub const FIGURES_FILE: &str = "figures.js";
/// The list of what could not be shown.
pub const LEFT_OUT_FILE: &str = "left-out.html";

/// What all pages share: style sheet and scripts, by file name.
#[must_use]
pub fn assets() -> Vec<(&'static str, String)> {
    let theme =
        |dark| format!("color-scheme:{};{}", if dark { "dark" } else { "light" }, palette::css_properties(dark));
    let style = format!(
        ":root{{{}}}\n@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n\
         @media screen{{:root[data-theme=dark]{{{dark}}}}}\n{}",
        theme(false),
        include_str!("../../../templates/site/site.css"),
        dark = theme(true),
    );
    vec![
        ("site.css", style),
        ("theme.js", include_str!("../../../templates/site/theme.js").to_owned()),
        ("site.js", include_str!("../../../templates/site/site.js").to_owned()),
        ("compare.js", include_str!("../../../templates/site/compare.js").to_owned()),
    ]
}

/// What every page of the site allows itself: its own files, nothing inline, nothing from elsewhere. Not every browser takes
/// `'self'` for the files beside a page that was opened from a disk.
const POLICY: &str =
    "default-src 'none'; style-src 'self' file:; script-src 'self' file:; base-uri 'none'; form-action 'none'";

/// The policy for a server that shows a site: as that of its pages, with the scripts of reports and the style sheets that
/// reports and certificates carry inside.
#[must_use]
pub fn server_policy() -> String {
    format!(
        "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' '{}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        integrity(super::html::SCRIPT)
    )
}

fn render(name: &'static str, values: Value) -> Result<String, ReportError> {
    let template = templates()?.get_template(name).map_err(|e| failed(&format_args!("{e:#}")))?;
    template.render(values).map_err(|e| failed(&format_args!("{e:#}")))
}

fn failed(reason: &dyn Display) -> ReportError {
    ReportError::Render { format: "site", reason: reason.to_string() }
}

fn templates() -> Result<&'static Environment<'static>, ReportError> {
    static TEMPLATES: OnceLock<Result<Environment<'static>, String>> = OnceLock::new();
    let templates = TEMPLATES.get_or_init(|| {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        // The endings of the names switch escaping for HTML on.
        for (name, text) in [
            ("index.html", include_str!("../../../templates/site/index.html.j2")),
            ("record.html", include_str!("../../../templates/site/record.html.j2")),
            ("left-out.html", include_str!("../../../templates/site/left-out.html.j2")),
        ] {
            templates.add_template(name, text).map_err(|error| format!("{error:#}"))?;
        }
        Ok(templates)
    });
    templates.as_ref().map_err(|reason| failed(reason))
}

#[cfg(test)]
mod tests;
