//! `report.json`: every figure unrounded, with n and method. The schema is in docs/analysis.md.

use super::model::{Identity, ReportModel};
use super::{Format, ReportError};
use crate::analysis::Summary;
use serde::Serialize;

/// Schema of `report.json`. A change of meaning or the loss of a key raises it; new keys do not.
pub const SCHEMA: u32 = 1;

/// The format.
pub const FORMAT: Format =
    Format { id: "json", extension: "json", binary: false, summary: "every figure unrounded, for programs", render };

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    record: &'a Identity,
    #[serde(flatten)]
    summary: &'a Summary,
}

fn render(model: &ReportModel) -> Result<Vec<u8>, ReportError> {
    let document = Document { schema: SCHEMA, record: &model.data.identity, summary: &model.data.summary };
    let mut bytes = serde_json::to_vec_pretty(&document)
        .map_err(|e| ReportError::Render { format: FORMAT.id, reason: e.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}
