//! The certificate as a document: one view model, then HTML, PDF, a badge and a text for the terminal.
//!
//! Everything here is a pure function of a [`Dossier`] and its [`Seal`]: no clock, no random id, no file.
//! The same dossier gives the same bytes. Page one is what one frames, the pages after it are what an
//! engineer audits (docs/certificate.md).

mod audit;
mod badge;
mod boundary;
mod findings;
mod front;
mod html;
mod measurement;
pub mod model;
#[cfg(feature = "pdf")]
mod pdf;
mod qr;
mod rating;
mod results;
#[doc(hidden)]
pub mod specimen;
mod text;

pub use badge::badge;
pub use html::render as html;
pub use model::CertificateModel;
#[cfg(feature = "pdf")]
pub use pdf::render as pdf;
pub use text::text;

use super::ReportError;
use crate::certificate::{Dossier, Seal};

/// Name of the page inside a bundle.
pub const HTML: &str = "certificate.html";
/// Name of the PDF inside a bundle.
pub const PDF: &str = "certificate.pdf";

/// Every document of a certificate or a refusal, by the name it has in a bundle. The PDF is left out of
/// builds without the `pdf` feature.
///
/// # Errors
/// [`ReportError`] when a document cannot be drawn, which is a defect of the program.
pub fn documents(dossier: &Dossier, seal: &Seal) -> Result<Vec<(String, Vec<u8>)>, ReportError> {
    let model = CertificateModel::of(dossier, seal)?;
    Ok(vec![
        (HTML.to_owned(), html(&model)?),
        #[cfg(feature = "pdf")]
        (PDF.to_owned(), pdf(&model)?),
    ])
}

#[cfg(test)]
mod tests;
