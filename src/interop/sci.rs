//! Software Carbon Intensity, ISO/IEC 21031:2024: SCI = ((E · I) + M) per R.
//!
//! The functional unit R is one run of a workload. E is measured; I and M are inputs of the user, and without
//! them there is no score.

use super::{ExportFormat, Given, KWH, measured, pretty, uncertainty};
use crate::certificate::Dossier;
use serde_json::{Value, json};

pub(super) const FORMAT: ExportFormat = ExportFormat {
    id: "sci",
    file: "sci.json",
    summary: "Software Carbon Intensity inputs and score, ISO/IEC 21031:2024",
    render,
};

fn render(dossier: &Dossier, given: &Given) -> String {
    let certificate = &dossier.certificate;
    let workloads: Vec<Value> = measured(dossier)
        .map(|(case, energy, time)| {
            let kwh = energy / KWH;
            let operational = given.carbon_intensity.map(|i| kwh * i);
            let embodied = given.embodied_per_hour.map(|m| m * time / 3600.0);
            json!({
                "functional-unit": format!("one run of {}", case.id),
                "energy": kwh,
                "energy-expanded-uncertainty": uncertainty(case),
                "duration": time,
                "grid/carbon-intensity": given.carbon_intensity,
                "carbon-operational": operational,
                "carbon-embodied": embodied,
                "sci": operational.zip(embodied).map(|(o, m)| o + m),
            })
        })
        .collect();
    pretty(&json!({
        "specification": "ISO/IEC 21031:2024",
        "formula": "SCI = ((E * I) + M) per R",
        "units": {
            "energy": "kWh", "duration": "s", "grid/carbon-intensity": "gCO2eq/kWh", "carbon-operational": "gCO2eq",
            "carbon-embodied": "gCO2eq", "sci": "gCO2eq per functional unit",
        },
        "certificate": certificate.id,
        "software-boundary": format!("the kernel alone; energy of {}", certificate.boundary.text),
        "not-measured": not_measured(given),
        "workloads": workloads,
    }))
}

/// The inputs that nobody gave, in words.
fn not_measured(given: &Given) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if given.carbon_intensity.is_none() {
        missing.push("I: carbon intensity of the electricity; there is no score without it");
    }
    if given.embodied_per_hour.is_none() {
        missing.push("M: embodied emissions of the hardware; there is no score without them");
    }
    missing
}
