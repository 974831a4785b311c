//! The in-toto Statement v1 that is signed: digests of every file, and the result.

use super::strict;
use crate::certificate::{Certificate, FileDigest};
use crate::verdict::Decision;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

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

/// What a statement says of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// SHA-256 by name, lower-case hex.
    pub files: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Digest {
    sha256: String,
}

/// Reads the payload of an envelope.
///
/// # Errors
/// What is wrong: another type, another predicate, a subject that is no file of a bundle.
pub fn parse(payload: &[u8]) -> Result<Stated, String> {
    let wire: Wire = strict::parse(payload)?;
    if wire.kind != TYPE {
        return Err(format!("`_type` is {:?}; a bundle holds a statement of type {TYPE}", wire.kind));
    }
    if wire.predicate_type != PREDICATE {
        return Err(format!("the predicate {:?} is not known; a bundle states {PREDICATE}", wire.predicate_type));
    }
    let mut files = BTreeMap::new();
    for Subject { name, digest } in wire.subject {
        if !is_file_name(&name) {
            return Err(format!("the subject {name:?} is no file of the bundle; names have no folders"));
        }
        if files.insert(name.clone(), digest.sha256).is_some() {
            return Err(format!("the subject {name:?} stands twice"));
        }
    }
    Ok(Stated { files })
}

/// Whether `name` names a file inside of a bundle: no folder, nothing above or outside of it.
#[must_use]
pub fn is_file_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=100).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_of_the_bundle_are_none() {
        for name in ["../record.json", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "a\0b", "re\u{202e}cord", ".hidden"]
        {
            assert!(!is_file_name(name), "{name:?}");
        }
        assert!(is_file_name("record.json") && is_file_name("ml-bom_1.6.json"));
        assert!(!is_file_name(&"a".repeat(101)));
    }

    #[test]
    fn unknown_types_predicates_and_subjects_are_named() {
        let text = |kind: &str, predicate: &str, subject: &str| {
            format!(r#"{{"_type":"{kind}","predicateType":"{predicate}","predicate":{{}},"subject":[{subject}]}}"#)
        };
        let good = r#"{"name":"a.json","digest":{"sha256":"00"}}"#;
        assert_eq!(parse(text(TYPE, PREDICATE, good).as_bytes()).unwrap().files["a.json"], "00");
        for (text, words) in [
            (text("https://in-toto.io/Statement/v0.1", PREDICATE, good), "Statement/v0.1"),
            (text(TYPE, "https://slsa.dev/provenance/v1", good), "slsa.dev/provenance/v1"),
            (text(TYPE, PREDICATE, &format!("{good},{good}")), "stands twice"),
            (text(TYPE, PREDICATE, &good.replace("a.json", "../a.json")), "no file of the bundle"),
            (text(TYPE, PREDICATE, &good.replace("sha256", "md5")), "unknown field `md5`"),
            (text(TYPE, PREDICATE, good).replace("\"_type\"", "\"_type\":\"x\",\"_type\""), "stands twice"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(words), "no `{words}` in: {error}");
        }
    }
}
