//! A table row a workload, as the leaderboard of AI Energy Score keeps them: kilowatt hours for a thousand runs.
//! Its stars rank models against one another, which one certificate cannot do; there are none here.

use super::{ExportFormat, Given, KWH, measured, uncertainty};
use crate::certificate::Dossier;

pub(super) const FORMAT: ExportFormat = ExportFormat {
    id: "row",
    file: "energy.csv",
    summary: "CSV in the manner of AI Energy Score: kWh for 1,000 runs, without stars",
    render,
};

const HEADER: &str = "model,task,hardware,boundary,total_energy,total_gpu_energy,expanded_uncertainty,certificate";

fn render(dossier: &Dossier, _: &Given) -> String {
    let certificate = &dossier.certificate;
    let mut lines = vec![HEADER.to_owned()];
    for (case, energy, _) in measured(dossier) {
        let on_gpu = case.device.as_ref().is_some_and(|d| d.0 != "cpu");
        let gpu = certificate.item.gpus.first().map(|g| g.name.as_str());
        let hardware = if on_gpu { gpu } else { certificate.item.cpu.model.as_deref() };
        let thousand = (energy / KWH * 1000.0).to_string();
        // Energy of a processor is no GPU energy: the column of the leaderboard stays empty then.
        let of_gpu = if on_gpu { thousand.as_str() } else { "" };
        let uncertainty = uncertainty(case).map(|u| u.to_string()).unwrap_or_default();
        let cells = [
            case.id.as_str(),
            case.kernel.as_str(),
            hardware.unwrap_or_default(),
            certificate.boundary.text.as_str(),
            &thousand,
            of_gpu,
            &uncertainty,
            certificate.id.as_str(),
        ];
        lines.push(cells.map(cell).join(","));
    }
    lines.join("\r\n") + "\r\n"
}

/// A cell after RFC 4180. A leading `=`, `+`, `-` or `@` would be a formula to a spreadsheet, and a control
/// character could steer a terminal.
pub(crate) fn cell(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let guard = if plain.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if plain.contains([',', '"']) || !guard.is_empty() {
        format!("\"{guard}{}\"", plain.replace('"', "\"\""))
    } else {
        plain
    }
}
