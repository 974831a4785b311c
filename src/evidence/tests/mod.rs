//! Whole bundles, and what becomes of them when they are changed.

mod archives;
mod mutations;
mod resigned;
mod whole;

use super::bundle::{Bundle, CERTIFICATE, STATEMENT};
use super::{Options, Verification, verify};
use crate::certificate::{Dossier, Issue, Seal};
use crate::clock::Utc;
use crate::policy::{Certification, Table};
use crate::record::{RunRecord, fixture};
use ed25519_dalek::SigningKey;
use serde_json::Value;

/// A record of a server with three windows a case: small, so that thousands of bundles take seconds.
fn small_record() -> RunRecord {
    let mut record = fixture::certifiable();
    record.header.profile.repeats = 3;
    record.header.profile.bootstrap_resamples = 200;
    record.measurements.iter_mut().for_each(|m| m.samples.truncate(3));
    record.trace.truncate(4);
    record
}

fn issue() -> Issue {
    let issued_at = Utc::try_from("2026-11-22T12:00:00Z".to_owned()).unwrap();
    Issue { issuer: Some("Energy lab".into()), place: Some("Wien".into()), issued_at }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// A bundle of [`small_record`], signed where there is a key.
fn bundle(key: Option<&SigningKey>) -> Bundle {
    let (header, samples) = fixture::on_disk(&small_record());
    let table = Table::shipped("reference-cpu-1").unwrap();
    let (mut bundle, dossier) = Bundle::of(&header, &samples, &Certification::shipped(), &table, &issue()).unwrap();
    bundle.seal(&dossier, key).unwrap();
    bundle
}

/// Documents are the report's business.
fn no_documents(_: &Dossier, _: &Seal) -> Result<Vec<(String, Vec<u8>)>, String> {
    Ok(Vec::new())
}

fn verified(bundle: &Bundle, key: Option<&SigningKey>) -> Verification {
    let key = key.map(SigningKey::verifying_key);
    verify(bundle, &Options { key: key.as_ref(), policy: None, documents: &no_documents })
}

/// JSON pointers of all leaves.
fn leaves(value: &Value) -> Vec<String> {
    fn walk(value: &Value, pointer: &mut String, found: &mut Vec<String>) {
        let length = pointer.len();
        let mut into = |key: &str, child: &Value| {
            super::difference::step(pointer, key);
            walk(child, pointer, found);
            pointer.truncate(length);
        };
        match value {
            Value::Array(items) if !items.is_empty() => {
                items.iter().enumerate().for_each(|(i, item)| into(&i.to_string(), item));
            }
            Value::Object(entries) if !entries.is_empty() => entries.iter().for_each(|(k, v)| into(k, v)),
            _ => found.push(pointer.clone()),
        }
    }
    let mut found = Vec::new();
    walk(value, &mut String::new(), &mut found);
    found
}

/// Another value of the same type.
fn edited(value: &Value) -> Value {
    match value {
        Value::Null => Value::from(1),
        Value::Bool(b) => Value::from(!b),
        Value::Number(n) => match (n.as_u64(), n.as_f64()) {
            (Some(n), _) => Value::from(n / 10 * 9 + 1 + u64::from(n == 1)),
            (None, x) => Value::from(x.unwrap() * 0.9 - 1e-3),
        },
        Value::String(s) => match s.parse::<u64>() {
            Ok(n) => Value::from((n / 10 * 9 + 1 + u64::from(n == 1)).to_string()),
            Err(_) => Value::from(format!("{s}x")),
        },
        Value::Array(_) => Value::from(vec![1]),
        Value::Object(_) => serde_json::json!({"x": 1}),
    }
}

/// `root` with the leaf at `pointer` edited.
fn edit(root: &Value, pointer: &str) -> Value {
    let mut root = root.clone();
    let leaf = root.pointer_mut(pointer).unwrap();
    *leaf = edited(leaf);
    root
}

/// `root` without the leaf at `pointer`.
fn cut(root: &Value, pointer: &str) -> Value {
    let mut root = root.clone();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let last = last.replace("~1", "/").replace("~0", "~");
    match root.pointer_mut(parent).unwrap() {
        Value::Array(items) => {
            items.remove(last.parse().unwrap());
        }
        Value::Object(entries) => {
            entries.remove(&last).unwrap();
        }
        _ => unreachable!("a parent is a list or an object"),
    }
    root
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Lines of a JSON Lines file.
fn lines(bytes: &[u8]) -> Vec<Value> {
    bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()).map(json).collect()
}

fn of_lines(lines: &[Value]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

/// The bundle with another content of one file.
fn with(bundle: &Bundle, name: &str, bytes: Vec<u8>) -> Bundle {
    let mut bundle = bundle.clone();
    bundle.files.insert(name.to_owned(), bytes);
    bundle
}

fn certificate(bundle: &Bundle) -> Value {
    json(&bundle.files[CERTIFICATE])
}

fn envelope(bundle: &Bundle) -> super::dsse::Envelope {
    super::dsse::Envelope::parse(&bundle.files[STATEMENT]).unwrap()
}
