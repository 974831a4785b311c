//! The documents of a certificate: what `certify` writes beside `certificate.json`, and `verify` draws again.

use crate::certificate::{Dossier, Seal};
use crate::report::certificate;

/// Draws every document that this build can draw: file name and bytes, from the dossier alone.
///
/// # Errors
/// What a renderer says.
pub(super) fn documents(dossier: &Dossier, seal: &Seal) -> Result<Vec<(String, Vec<u8>)>, String> {
    certificate::documents(dossier, seal).map_err(|e| e.to_string())
}
