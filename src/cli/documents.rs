//! The documents of a certificate: what `certify` writes beside `certificate.json`, and `verify` draws again.

use crate::certificate::{Dossier, Seal};

/// Draws every document that this build can draw: file name and bytes, from the dossier alone.
///
/// # Errors
/// What a renderer says.
pub(super) fn documents(_: &Dossier, _: &Seal) -> Result<Vec<(String, Vec<u8>)>, String> {
    Ok(Vec::new())
}
