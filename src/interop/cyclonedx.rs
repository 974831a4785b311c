//! CycloneDX 1.6 ML-BOM (ECMA-424): a component a workload, with its energy in the model card.

use super::{ExportFormat, Given, KWH, measured, pretty, uncertainty};
use crate::analysis::CaseSummary;
use crate::certificate::Dossier;
use serde_json::{Value, json};

pub(super) const FORMAT: ExportFormat = ExportFormat {
    id: "cyclonedx",
    file: "bom.cdx.json",
    summary: "CycloneDX 1.6 ML-BOM (ECMA-424) with the energy of every workload",
    render,
};

/// Grams in a tonne: CycloneDX counts CO₂ in tonnes.
const TONNE: f64 = 1e6;

fn render(dossier: &Dossier, given: &Given) -> String {
    let certificate = &dossier.certificate;
    let components: Vec<Value> =
        measured(dossier).map(|(case, energy, _)| component(dossier, given, case, energy)).collect();
    let tool = &certificate.method.measured_by;
    let machine = certificate.item.cpu.model.as_deref().unwrap_or("unknown processor");
    pretty(&json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": certificate.issue.issued_at.to_string(),
            "tools": {"components": [{"type": "application", "name": tool.name, "version": tool.version}]},
            "component": {"type": "device", "bom-ref": "machine", "name": machine},
            "properties": [
                property("wattproof:certificate", &certificate.id),
                property("wattproof:boundary", &certificate.boundary.text),
            ],
        },
        "components": components,
    }))
}

fn component(dossier: &Dossier, given: &Given, case: &CaseSummary, energy: f64) -> Value {
    let measure = json!({"value": energy / KWH, "unit": "kWh"});
    let mut consumption = json!({
        "activity": "other",
        "activityEnergyCost": measure,
        // The format requires a provider; a counter in the machine does not know who fed it.
        "energyProviders": [{"organization": {"name": "unknown"}, "energySource": "unknown", "energyProvided": measure}],
        "properties": [property("wattproof:functional-unit", "one iteration of the kernel")],
    });
    if let Some(u) = uncertainty(case) {
        let text = format!("{:.1} %", u * 100.0);
        let properties = consumption["properties"].as_array_mut();
        properties.into_iter().for_each(|p| p.push(property("wattproof:expanded-uncertainty", &text)));
    }
    if let Some(intensity) = given.carbon_intensity {
        consumption["co2CostEquivalent"] = json!({"value": energy / KWH * intensity / TONNE, "unit": "tCO2eq"});
    }
    let mut metrics = Vec::new();
    if let Some(efficiency) = case.energy.efficiency.estimate() {
        let mut metric = json!({"type": "useful FLOP/J", "value": efficiency.median.to_string()});
        if let (Some(low), Some(high)) = (efficiency.low, efficiency.high) {
            metric["confidenceInterval"] = json!({"lowerBound": low.to_string(), "upperBound": high.to_string()});
        }
        metrics.push(metric);
    }
    json!({
        "type": "machine-learning-model",
        "bom-ref": format!("workload:{}", case.id),
        "name": case.id,
        "version": dossier.certificate.method.suite.name,
        "modelCard": {
            "quantitativeAnalysis": {"performanceMetrics": metrics},
            "considerations": {"environmentalConsiderations": {"energyConsumptions": [consumption]}},
        },
    })
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}
