//! Summary → view model → bytes. The view model is computed before rendering, so every format says
//! the same; adding a format is one file and one line in [`FORMATS`].

pub mod certificate;
pub mod compare;
pub mod html;
pub mod json;
pub mod markdown;
pub mod model;
#[cfg(feature = "pdf")]
pub mod pdf;
pub mod plots;
pub mod si;
pub mod site;
pub mod text;
pub mod timeline;

pub use model::ReportModel;

/// A way to write a report.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Permanent id, as `--format` takes it: `markdown`.
    pub id: &'static str,
    /// File name extension without the dot: `md`.
    pub extension: &'static str,
    /// Whether the bytes are no text.
    pub binary: bool,
    /// One line for `list formats`.
    pub summary: &'static str,
    /// Renders it.
    pub render: Render,
}

/// Renders a view model. Pure: the same model gives the same bytes.
pub type Render = fn(&ReportModel) -> Result<Vec<u8>, ReportError>;

/// Every format of the product, in the order in which `list formats` prints them.
pub const FORMATS: &[Format] = &[
    html::FORMAT,
    #[cfg(feature = "pdf")]
    pdf::FORMAT,
    json::FORMAT,
    markdown::FORMAT,
];

/// The format with this id or extension.
#[must_use]
pub fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|f| f.id == name || f.extension == name)
}

/// Why a report could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A template refused the model: a defect of the template.
    #[error("cannot render {format}: {reason}")]
    Render {
        /// Format id.
        format: &'static str,
        /// What the renderer said.
        reason: String,
    },
}

#[cfg(test)]
mod robustness;
#[cfg(test)]
mod tests;
