//! The page of a record, and the page of what could not be shown.

use super::entry::Entry;
use super::{POLICY, render};
use crate::report::ReportError;
use crate::report::model::plain::shorten;
use minijinja::context;
use minijinja::value::{Serde, Value};
use serde::Serialize;

/// Longest reason that is shown.
const LONGEST_REASON: usize = 1000;

/// Something that could not be shown, or not as it is, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LeftOut {
    /// Where it is, below the folder that the site was made of.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl LeftOut {
    /// With texts from outside made plain.
    #[must_use]
    pub fn new(path: &str, reason: &str) -> Self {
        Self { path: shorten(path, 400), reason: shorten(reason, LONGEST_REASON) }
    }
}

/// Renders the page of a record: `r/<slug>/index.html`.
///
/// # Errors
/// [`ReportError::Render`] when the template refuses it.
pub fn record_page(entry: &Entry) -> Result<String, ReportError> {
    render(
        "record.html",
        context! {
            policy => POLICY,
            row => Value::from(Serde(&entry.row)),
            page => Value::from(Serde(&entry.short)),
            certificates => Value::from(Serde(&entry.certificates)),
            simulated => entry.simulated.clone(),
            report => entry.report,
        },
    )
}

/// Renders the list of what could not be shown.
///
/// # Errors
/// [`ReportError::Render`] when the template refuses it.
pub fn left_out(title: &str, list: &[LeftOut]) -> Result<String, ReportError> {
    render(
        "left-out.html",
        context! { policy => POLICY, title => shorten(title, 200), list => Value::from(Serde(list)) },
    )
}
