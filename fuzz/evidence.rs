//! What a certificate stands on, and what strangers send: JSON, envelopes, keys, archives, whole bundles.

use super::is_a_message;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use wattproof::certificate::{Dossier, METHOD, SCHEMA, Seal};
use wattproof::evidence::bundle::{self, Bundle};
use wattproof::evidence::dsse::{self, Envelope};
use wattproof::evidence::{
    Options, archive as archives, canonical, difference, keys as pem, statement, strict, verify,
};
use wattproof::record::fixture;
use wattproof::record::store::sha256_hex;

/// One JSON text: read strictly, written in canonical form.
pub(crate) fn json_text(input: &[u8]) -> bool {
    let loose = serde_json::from_slice::<Value>(input);
    if let Err(error) = strict::check(input) {
        assert!(loose.is_err() || error.contains("stands twice"), "refused for another reason: {error}");
        return is_a_message(&error);
    }
    let value = loose.expect("what is read strictly is JSON");
    assert!(difference::between("a.json", &value, &value).is_empty());
    let Ok(text) = canonical::to_vec(&value) else { return false };
    let again = doubles(strict::parse(&text).expect("canonical JSON is read strictly"));
    assert_eq!(canonical::to_vec(&again).ok().as_ref(), Some(&text), "a value has one form");
    assert!(same(&value, &again), "canonical JSON lost something: {value} became {again}");
    true
}

/// With doubles for all numbers, as RFC 8785 reads them: 9e16 is written like an integer, which is refused as one.
fn doubles(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => items.into_iter().map(doubles).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, value)| (key, doubles(value))).collect(),
        other => other,
    }
}

/// Equal, where 1, 1.0 and -0.0, 0 are one number: RFC 8785 writes doubles, and no sign of zero.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

/// An envelope, and the payload of one.
pub(crate) fn envelope(input: &[u8]) -> bool {
    let key = SigningKey::from_bytes(&[1; 32]);
    let mut accepted = false;
    match Envelope::parse(input) {
        Ok(envelope) => {
            assert_eq!(canonical::to_vec(&envelope).ok().as_deref(), Some(input), "an envelope has one form");
            assert!(envelope.signed_by(&key.verifying_key()).len() <= envelope.signatures.len());
            let body = envelope.body().expect("an envelope that was read has a payload");
            let _ = statement::parse(&body);
            accepted = true;
        }
        Err(error) => {
            is_a_message(&error);
        }
    }
    match statement::parse(input) {
        Ok(stated) => {
            assert!(stated.files.keys().all(|name| statement::is_file_name(name)));
            accepted = true;
        }
        Err(error) => {
            is_a_message(&error);
        }
    }
    // Whatever is sealed reads again, and counts for its key alone.
    let sealed = canonical::to_vec(&dsse::seal(input, Some(&key))).expect("an envelope is JSON");
    let sealed = Envelope::parse(&sealed).expect("what is sealed reads");
    assert_eq!(sealed.body().as_deref(), Ok(input));
    assert_eq!(sealed.signed_by(&key.verifying_key()), [0]);
    assert!(sealed.signed_by(&SigningKey::from_bytes(&[2; 32]).verifying_key()).is_empty());
    accepted
}

/// The text of a key file.
pub(crate) fn keys(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let mut accepted = false;
    match pem::public_from_pem(text) {
        Ok(key) => {
            let written = pem::public_pem(&key).expect("a key has a file");
            assert_eq!(pem::public_from_pem(&written), Ok(key));
            accepted = true;
        }
        Err(error) => {
            is_a_message(&error);
        }
    }
    match pem::private_from_pem(text) {
        Ok(key) => {
            let written = pem::private_pem(&key).expect("a key has a file");
            let again = pem::private_from_pem(written.as_ref()).map(|key| key.to_bytes());
            assert_eq!(again, Ok(key.to_bytes()));
            accepted = true;
        }
        Err(error) => {
            is_a_message(&error);
        }
    }
    accepted
}

/// Most bytes of an archive that are tried: 4 bytes of a frame can unpack to 128 KiB, and that takes time.
const LONGEST: usize = 16 << 10;

/// A `.tar.zst`; what is no Zstandard frame is taken as the tar inside of one.
pub(crate) fn archive(input: &[u8]) -> bool {
    let input = &input[..input.len().min(LONGEST)];
    let packed = if input.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) { input.to_vec() } else { frame(input) };
    let bundle = match archives::read(packed.as_slice()) {
        Ok(bundle) => bundle,
        Err(error) => return is_a_message(&error),
    };
    assert!(bundle.files.len() <= bundle::MOST_FILES);
    for (name, bytes) in &bundle.files {
        assert!(statement::is_file_name(name), "{name:?}");
        assert!(bytes.len() as u64 <= bundle::most_bytes(name), "{name} has {} bytes", bytes.len());
    }
    let total: usize = bundle.files.values().map(Vec::len).sum();
    assert!(total <= (packed.len() / 4) << 17, "{total} bytes from {}: more than 128 KiB a block", packed.len());
    if total < 1 << 20 {
        let written = archives::write(&bundle).expect("what was read can be written");
        assert_eq!(archives::read(written.as_slice()).as_ref(), Ok(&bundle), "it reads the same");
    }
    let result = verify(&bundle, &Options { key: None, policy: None, documents: &no_documents });
    assert!(!result.checks.is_empty());
    true
}

/// A Zstandard frame of one raw block (RFC 8878, §3.1.1.2).
fn frame(contents: &[u8]) -> Vec<u8> {
    let header = u32::try_from(contents.len()).expect("an input is short") << 3 | 1;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    frame.extend_from_slice(&header.to_le_bytes()[..3]);
    frame.extend_from_slice(contents);
    frame
}

/// Header and samples of a record that can be certified, with three windows a case.
fn right_record() -> &'static (Vec<u8>, Vec<u8>) {
    static RECORD: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    RECORD.get_or_init(|| {
        let mut record = fixture::certifiable();
        record.header.profile.repeats = 3;
        record.header.profile.bootstrap_resamples = 200;
        record.measurements.iter_mut().for_each(|m| m.samples.truncate(3));
        record.trace.truncate(4);
        fixture::on_disk(&record)
    })
}

/// The inputs of a verdict between NUL bytes: issue, policy, table, bounds, header and samples of the record. A
/// piece that is empty or not there is a right one. The suite is the one that the header holds.
pub(crate) fn bundle(input: &[u8]) -> bool {
    let issue = format!(
        r#"{{"decided_by":"0","issued_at":"2026-11-22T12:00:00Z","issuer":"Lab","method":{METHOD},"place":null,"schema":{SCHEMA}}}"#
    );
    let (header, samples) = right_record();
    let right: [(&str, &[u8]); 6] = [
        (bundle::ISSUE, issue.as_bytes()),
        (bundle::POLICY, include_bytes!("../suites/policies/green-ai-1.yaml")),
        (bundle::TABLE, include_bytes!("../suites/policies/reference-cpu-1.yaml")),
        (bundle::UNCERTAINTY, include_bytes!("../suites/policies/uncertainty.yaml")),
        (bundle::RECORD, header),
        (bundle::SAMPLES, samples),
    ];
    let mut files: BTreeMap<String, Vec<u8>> =
        right.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    for ((name, _), piece) in right.iter().zip(input.split(|b| *b == 0)).filter(|(_, piece)| !piece.is_empty()) {
        files.insert((*name).to_owned(), piece.to_vec());
    }
    let mut header = serde_json::from_slice::<Value>(&files[bundle::RECORD]).unwrap_or_default();
    if files[bundle::RECORD] == right[4].1 && files[bundle::SAMPLES] != right[5].1 {
        // Other samples need the right header closed over them.
        let samples = &files[bundle::SAMPLES];
        header["samples"] = json!({"sha256": sha256_hex(samples), "bytes": samples.len()});
        files.insert(bundle::RECORD.to_owned(), header.to_string().into_bytes());
    }
    let suite = header.pointer("/suite/text").and_then(Value::as_str).unwrap_or_default();
    files.insert(bundle::SUITE.to_owned(), suite.as_bytes().to_vec());
    let mut bundle = Bundle { files };
    let dossier = match bundle.decide() {
        Ok(dossier) => dossier,
        Err(error) => return is_a_message(&error.to_string()),
    };
    // Integers that a double cannot hold are refused by name.
    let text = match canonical::to_vec(&dossier.certificate) {
        Ok(text) => text,
        Err(error) => return is_a_message(&error.to_string()),
    };
    bundle.files.insert(bundle::CERTIFICATE.to_owned(), text);
    let key = SigningKey::from_bytes(&[1; 32]);
    bundle.seal(&dossier, Some(&key)).expect("a statement has a form");
    let key = key.verifying_key();
    let result = verify(&bundle, &Options { key: Some(&key), policy: None, documents: &no_documents });
    assert!(result.holds(), "what was decided does not verify: {:?} {:?}", result.checks, result.differences);
    true
}

/// Documents are no parser's business.
fn no_documents(_: &Dossier, _: &Seal) -> Result<Vec<(String, Vec<u8>)>, String> {
    Ok(Vec::new())
}
