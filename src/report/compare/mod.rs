//! A comparison as documents: one view model, then HTML, PDF, Markdown, JSON and a table for the terminal.

mod cases;
mod charts;
mod html;
mod json;
mod markdown;
pub mod model;
#[cfg(feature = "pdf")]
mod pdf;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod words;

pub use model::CompareModel;
pub use text::ranking as text;

use super::ReportError;

/// A way to write a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Permanent id, as `--only` takes it.
    pub id: &'static str,
    /// File name extension without the dot.
    pub extension: &'static str,
    /// Renders it. Pure: the same model gives the same bytes.
    pub render: fn(&CompareModel<'_>) -> Result<Vec<u8>, ReportError>,
}

/// Every format, in the order in which files are written.
pub const FORMATS: &[Format] = &[
    Format { id: "html", extension: "html", render: html::render },
    #[cfg(feature = "pdf")]
    Format { id: "pdf", extension: "pdf", render: pdf::render },
    Format { id: "json", extension: "json", render: json::render },
    Format { id: "markdown", extension: "md", render: markdown::render },
];

/// The format with this id or extension.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.id == name || f.extension == name)
}
