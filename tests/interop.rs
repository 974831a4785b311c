//! Exported files before real consumers: the validator of CycloneDX, the classes of in-toto, the Impact Framework
//! of the Green Software Foundation. `ci/test.sh` installs them below `target/interop`.

#![expect(clippy::unwrap_used, reason = "a test may fail here")]

mod skip;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wattproof::certificate::{self, Dossier, Issue};
use wattproof::clock::Utc;
use wattproof::interop::{FORMATS, Given};
use wattproof::policy::{Certification, Table};
use wattproof::record::{RunRecord, fixture};

const GIVEN: Given = Given { carbon_intensity: Some(380.0), embodied_per_hour: Some(42.0) };

/// Certified, refused, without energy, with hostile strings; without and with what a user may give.
fn exports(id: &str) -> Vec<String> {
    let format = FORMATS.iter().find(|f| f.id == id).unwrap();
    let records: [fn() -> RunRecord; 5] =
        [fixture::certifiable, fixture::wrong_answer, fixture::cpu_only, fixture::hostile, fixture::with_gpu];
    let dossiers = records.map(|record| dossier(record()));
    dossiers.iter().flat_map(|d| [(format.render)(d, &Given::default()), (format.render)(d, &GIVEN)]).collect()
}

fn dossier(record: RunRecord) -> Dossier {
    let issued_at = Utc::try_from("2026-11-23T09:30:00Z".to_owned()).unwrap();
    let issue = Issue { issuer: None, place: None, issued_at };
    let table = Table::shipped("reference-cpu-1").unwrap();
    let evidence = vec![certificate::FileDigest { name: "record.json".to_owned(), sha256: "ab".repeat(32), bytes: 3 }];
    certificate::issue(record, &Certification::shipped(), &table, issue, evidence)
}

/// A tool below `target/interop`, or `None` after saying what is left out.
fn tool(path: &str, what: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interop").join(path);
    if !path.exists() {
        skip::skip(what, &format!("{} is not there; ci/test.sh installs it", path.display()));
        return None;
    }
    Some(path)
}

/// Runs a Python program that checks the files it is given; what it says is why it fails.
fn before(python: &Path, program: &str, texts: &[String]) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..texts.len()).map(|n| dir.path().join(n.to_string())).collect();
    for (file, text) in files.iter().zip(texts) {
        fs::write(file, text).unwrap();
    }
    let output = Command::new(python).arg("-c").arg(program).args(&files).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    if output.status.success() { Ok(()) } else { Err(said) }
}

#[test]
fn cyclonedx_validates_against_its_published_schema() {
    let Some(python) = tool("venv/bin/python", "CycloneDX") else { return };
    let program = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
validator = JsonStrictValidator(SchemaVersion.V1_6)
for path in sys.argv[1:]:
    error = validator.validate_str(open(path).read())
    if error: sys.exit(f'{path}: {error}')";
    let texts = exports("cyclonedx");
    before(&python, program, &texts).unwrap();
    // A validator that accepts everything would prove nothing.
    let broken = texts[0].replacen("kWh", "J", 1);
    assert_ne!(broken, texts[0]);
    before(&python, program, &[broken]).unwrap_err();
}

#[test]
fn in_toto_reads_the_statement_and_its_predicate() {
    let Some(python) = tool("venv/bin/python", "in-toto") else { return };
    let program = "
import json, sys
from google.protobuf.json_format import Parse, ParseDict
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as Wire
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult
for path in sys.argv[1:]:
    text = open(path).read()
    Statement.copy_from_pb(Parse(text, Wire())).validate()
    # ParseDict refuses fields that the predicate does not have.
    result = ParseDict(json.loads(text)['predicate'], TestResult())
    assert result.result in ('PASSED', 'WARNED', 'FAILED') and len(result.configuration) == 4";
    let texts = exports("in-toto");
    before(&python, program, &texts).unwrap();
    before(&python, program, &[texts[0].replacen("failedTests", "brokenTests", 1)]).unwrap_err();
}

#[test]
fn a_csv_reader_finds_the_same_columns_in_every_row() {
    let Some(python) = tool("venv/bin/python", "CSV") else { return };
    let program = "
import csv, sys
for path in sys.argv[1:]:
    rows = list(csv.DictReader(open(path, newline=''), strict=True))
    assert all(None not in row and None not in row.values() for row in rows), rows
    [float(row['total_energy']) for row in rows]";
    before(&python, program, &exports("row")).unwrap();
}

#[test]
fn the_impact_framework_comes_to_the_same_score() {
    let Some(run) = tool("node_modules/.bin/if-run", "SCI") else { return };
    let format = FORMATS.iter().find(|f| f.id == "sci").unwrap();
    let sci: Value = serde_json::from_str(&(format.render)(&dossier(fixture::certifiable()), &GIVEN)).unwrap();
    let rows = sci["workloads"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    let inputs: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                // The plugin asks for whole seconds and does not use them.
                "timestamp": "2026-11-23T09:30:00.000Z", "duration": 1, "energy": row["energy"],
                "grid/carbon-intensity": row["grid/carbon-intensity"], "carbon-embodied": row["carbon-embodied"],
                "runs": 1,
            })
        })
        .collect();
    let plugin = |method: &str, config: Value| json!({"path": "builtin", "method": method, "config": config});
    let product = json!({
        "input-parameters": ["energy", "grid/carbon-intensity"], "output-parameter": "carbon-operational",
    });
    let total = json!({"input-parameters": ["carbon-operational", "carbon-embodied"], "output-parameter": "carbon"});
    let children: serde_json::Map<String, Value> = inputs
        .into_iter()
        .enumerate()
        .map(|(n, input)| {
            let child = json!({"pipeline": {"compute": ["operational", "total", "score"]}, "inputs": [input]});
            (format!("case-{n}"), child)
        })
        .collect();
    // JSON is YAML.
    let manifest = json!({
        "name": "wattproof", "description": "one run of every workload",
        "initialize": {"plugins": {
            "operational": plugin("Multiply", product), "total": plugin("Sum", total),
            "score": plugin("Sci", json!({"functional-unit": "runs"})),
        }},
        "tree": {"children": children},
    });
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("manifest.yml"), dir.path().join("out.yaml"));
    fs::write(&file, manifest.to_string()).unwrap();
    let output = Command::new(run).arg("-m").arg(&file).arg("-o").arg(&out).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let result: Value = serde_yaml::from_str(&fs::read_to_string(&out).unwrap_or_else(|_| panic!("{said}"))).unwrap();
    for (n, row) in rows.iter().enumerate() {
        let theirs = result["tree"]["children"][format!("case-{n}")]["outputs"][0]["sci"].as_f64();
        let theirs = theirs.unwrap_or_else(|| panic!("no score: {result} {said}"));
        assert!((theirs / row["sci"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{theirs} {row}");
    }
}
