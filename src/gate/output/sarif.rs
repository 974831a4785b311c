//! SARIF 2.1.0 (OASIS): findings at lines of the suite, for code scanning.

use super::finding::{self, Finding, Level};
use super::{Format, Outcome, pretty};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub(super) const FORMAT: Format =
    Format { id: "sarif", file: "gate.sarif", summary: "SARIF 2.1.0 at the lines of the suite", render };

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    let findings = finding::of(outcome);
    let codes: BTreeMap<&str, usize> = findings
        .iter()
        .map(|f| f.code.as_str())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .zip(0..)
        .collect();
    let rules: Vec<Value> = codes
        .keys()
        .map(|code| {
            json!({
                "id": code,
                "shortDescription": {"text": code.replace('-', " ")},
                "help": {"text": "docs/gate.md says how it is decided and what to do."},
            })
        })
        .collect();
    let uri = uri(&outcome.suite);
    let results: Vec<Value> = findings.iter().map(|f| result(f, codes[f.code.as_str()], &uri)).collect();
    pretty(&json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "wattproof gate",
                "version": env!("CARGO_PKG_VERSION"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "properties": {"verdict": outcome.verdict, "candidate": outcome.candidate.id},
            "results": results,
        }],
    }))
}

fn result(finding: &Finding, rule: usize, uri: &str) -> Value {
    let level = match finding.level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    };
    json!({
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": level,
        "message": {"text": plain(&finding.message)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri},
            "region": {"startLine": finding.line},
        }}],
        // The same case and code is the same alert in the next run, whatever its figures are.
        "partialFingerprints": {"wattproof/v1": crate::record::store::sha256_hex(
            format!("{}\n{}", finding.code, finding.case).as_bytes(),
        )},
    })
}

/// Without what steers terminals; `[text](target)` would be a link in SARIF messages (3.11.6).
fn plain(text: &str) -> String {
    crate::suite::problem::escaped(text).replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

/// A path as a URI reference: everything but unreserved characters and `/` percent-encoded.
fn uri(path: &str) -> String {
    let path = path.trim_start_matches("./");
    let mut out = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
