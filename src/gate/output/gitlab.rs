//! GitLab code quality: a list of findings, as a merge request shows them.

use super::finding::{self, Level};
use super::{Format, Outcome, pretty};
use crate::record::store::sha256_hex;
use crate::suite::problem::escaped;
use serde_json::{Value, json};

pub(super) const FORMAT: Format = Format {
    id: "gitlab",
    file: "gl-code-quality-report.json",
    summary: "GitLab code quality (artifacts: reports: codequality)",
    render,
};

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    // GitLab compares by path with the files of the repository and takes no leading `./`.
    let path = escaped(outcome.suite.trim_start_matches("./"));
    let findings: Vec<Value> = finding::of(outcome)
        .iter()
        .map(|f| {
            let severity = match f.level {
                Level::Error => "major",
                Level::Warning => "minor",
                Level::Note => "info",
            };
            json!({
                "description": escaped(&f.message),
                "check_name": format!("wattproof-{}", f.code),
                "fingerprint": sha256_hex(format!("{}\n{}\n{}", f.code, f.case, outcome.suite).as_bytes()),
                "severity": severity,
                "location": {"path": path, "lines": {"begin": f.line}},
            })
        })
        .collect();
    pretty(&findings)
}
