//! Certificates in the formats of others (docs/interop.md). Pure: a dossier in, the text of a file out.
//!
//! A format says what the certificate says and nothing more: what it asks for and nobody measured is `null` or
//! absent, never a guess.

mod cyclonedx;
mod in_toto;
mod row;
mod sci;
#[cfg(test)]
mod tests;

pub(crate) use row::cell as csv_cell;

use crate::analysis::CaseSummary;
use crate::certificate::Dossier;
use crate::record::Role;
use serde_json::Value;

/// What a certificate cannot know and its user may. `None` is left out of the formats.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Given {
    /// Grams of CO₂ equivalent a kilowatt hour of the electricity used.
    pub carbon_intensity: Option<f64>,
    /// Grams of CO₂ equivalent of embodied emissions that fall on an hour of the machine.
    pub embodied_per_hour: Option<f64>,
}

/// A format of others.
#[derive(Debug, Clone, Copy)]
pub struct ExportFormat {
    /// Its id on the command line.
    pub id: &'static str,
    /// Usual name of its file.
    pub file: &'static str,
    /// What it is, with its specification.
    pub summary: &'static str,
    /// Writes it.
    pub render: fn(&Dossier, &Given) -> String,
}

/// Every format.
pub const FORMATS: &[ExportFormat] = &[sci::FORMAT, in_toto::FORMAT, cyclonedx::FORMAT, row::FORMAT];

/// Joules in a kilowatt hour.
const KWH: f64 = 3.6e6;

/// The workloads with a rated energy figure: case, joules an iteration, seconds an iteration.
fn measured(dossier: &Dossier) -> impl Iterator<Item = (&CaseSummary, f64, f64)> {
    let workloads = dossier.certificate.results.iter().filter(|c| c.role == Role::Workload);
    workloads.filter_map(|case| {
        let energy = case.energy.per_iteration.estimate()?.median;
        Some((case, energy, case.time.estimate()?.median))
    })
}

/// Relative expanded uncertainty of the energy of an iteration, where it is stated.
fn uncertainty(case: &CaseSummary) -> Option<f64> {
    Some(case.energy.budget("energy_j")?.expanded()?.expanded_uncertainty)
}

/// JSON for people and programs, with a final line break.
fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
