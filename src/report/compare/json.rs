//! `compare.json`: every figure unrounded. The keys are in docs/compare.md.

use super::CompareModel;
use crate::report::ReportError;

/// Renders the comparison as JSON.
pub(super) fn render(model: &CompareModel<'_>) -> Result<Vec<u8>, ReportError> {
    // Not indented: of 200 arms that would be half of the file.
    let mut bytes =
        serde_json::to_vec(model.data).map_err(|e| ReportError::Render { format: "json", reason: e.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}
