//! Canonical JSON after RFC 8785: one value, one sequence of bytes.

use serde::Serialize;

/// A value that has no canonical form.
#[derive(Debug, thiserror::Error)]
#[error("no canonical JSON: {0}")]
pub struct NotCanonical(String);

/// The canonical JSON of `value`.
///
/// # Errors
/// [`NotCanonical`] when it cannot be serialised.
pub fn to_vec(value: &impl Serialize) -> Result<Vec<u8>, NotCanonical> {
    serde_json_canonicalizer::to_vec(value).map_err(|e| NotCanonical(e.to_string()))
}
