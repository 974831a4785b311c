//! in-toto test result, predicate version 0.1: the rules as tests, the evidence as subject.

use super::{ExportFormat, Given, pretty};
use crate::certificate::Dossier;
use crate::verdict::{Decision, Status, rules};
use serde_json::{Value, json};

pub(super) const FORMAT: ExportFormat = ExportFormat {
    id: "in-toto",
    file: "test-result.intoto.json",
    summary: "in-toto Statement v1 with a test-result predicate v0.1: every rule is a test",
    render,
};

fn render(dossier: &Dossier, _: &Given) -> String {
    let certificate = &dossier.certificate;
    let subject: Vec<Value> =
        certificate.evidence.iter().map(|f| json!({"name": f.name, "digest": {"sha256": f.sha256}})).collect();
    // A rule speaks for several cases: what it comes to is the gravest of its findings.
    let with = |wanted: Status| -> Vec<&str> {
        let worst = |code: &str| certificate.findings.iter().filter(|f| f.code == code).map(|f| f.status).min();
        rules::REGISTRY.iter().map(|r| r.code).filter(|code| worst(code) == Some(wanted)).collect()
    };
    let method = &certificate.method;
    let configuration: Vec<Value> = [&method.policy, &method.table, &method.uncertainty, &method.suite]
        .map(|n| json!({"name": n.name, "digest": {"sha256": n.sha256}}))
        .into();
    pretty(&json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1",
        "predicate": {
            "result": match certificate.decision {
                Decision::Certified => "PASSED",
                Decision::Inconclusive => "WARNED",
                Decision::Refused => "FAILED",
            },
            "configuration": configuration,
            "passedTests": with(Status::Pass),
            "warnedTests": with(Status::Inconclusive),
            "failedTests": with(Status::Fail),
        },
    }))
}
