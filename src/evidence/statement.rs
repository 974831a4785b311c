//! The in-toto Statement v1 that is signed: digests of every file, and the result.

use crate::certificate::{Certificate, FileDigest};
use crate::verdict::Decision;
use serde_json::{Value, json};

/// Type of the statement.
pub const TYPE: &str = "https://in-toto.io/Statement/v1";
/// Type of its predicate.
pub const PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// The statement over `files` with the result of `certificate`.
#[must_use]
pub fn of(certificate: &Certificate, files: &[FileDigest]) -> Value {
    let result = match certificate.decision {
        Decision::Certified => "PASSED",
        Decision::Inconclusive => "WARNED",
        Decision::Refused => "FAILED",
    };
    let subject: Vec<Value> = files.iter().map(|f| json!({"name": f.name, "digest": {"sha256": f.sha256}})).collect();
    json!({
        "_type": TYPE,
        "subject": subject,
        "predicateType": PREDICATE,
        "predicate": {
            "result": result,
            "configuration": [{"name": certificate.method.policy.name, "digest": {"sha256": certificate.method.policy.sha256}}],
        },
    })
}
