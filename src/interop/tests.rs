use super::*;
use crate::certificate::{FileDigest, Issue, issue};
use crate::clock::Utc;
use crate::policy::{Certification, Table};
use crate::record::{RunRecord, fixture};

fn dossier(record: RunRecord) -> Dossier {
    let issued_at = Utc::try_from("2026-11-23T09:30:00Z".to_owned()).unwrap();
    let who = Issue { issuer: None, place: None, issued_at };
    let evidence = vec![FileDigest { name: "record.json".to_owned(), sha256: "ab".repeat(32), bytes: 3 }];
    let table = Table::shipped("reference-cpu-1").unwrap();
    issue(record, &Certification::shipped(), &table, who, evidence)
}

fn json(id: &str, dossier: &Dossier, given: &Given) -> Value {
    let format = FORMATS.iter().find(|f| f.id == id).unwrap();
    serde_json::from_str(&(format.render)(dossier, given)).unwrap()
}

const BOTH: Given = Given { carbon_intensity: Some(400.0), embodied_per_hour: Some(36.0) };

#[test]
fn the_score_follows_from_the_measured_energy_and_the_inputs_given() {
    let dossier = dossier(fixture::certifiable());
    let sci = json("sci", &dossier, &BOTH);
    let workloads = sci["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), 8);
    for (row, (_, energy, time)) in workloads.iter().zip(measured(&dossier)) {
        let score = energy / 3.6e6 * 400.0 + 36.0 * time / 3600.0;
        assert!((row["sci"].as_f64().unwrap() / score - 1.0).abs() < 1e-12, "{row}");
    }
    assert_eq!(sci["not-measured"].as_array().unwrap().len(), 0);
}

#[test]
fn there_is_no_score_without_its_inputs() {
    let dossier = dossier(fixture::certifiable());
    for given in [
        Given::default(),
        Given { carbon_intensity: Some(400.0), embodied_per_hour: None },
        Given { carbon_intensity: None, embodied_per_hour: Some(36.0) },
    ] {
        let sci = json("sci", &dossier, &given);
        for row in sci["workloads"].as_array().unwrap() {
            assert!(row["sci"].is_null() && row["energy"].as_f64().unwrap() > 0.0, "{row}");
        }
        assert!(!sci["not-measured"].as_array().unwrap().is_empty());
        let bom = json("cyclonedx", &dossier, &given);
        let text = bom.to_string();
        assert_eq!(text.contains("co2CostEquivalent"), given.carbon_intensity.is_some());
    }
}

#[test]
fn every_rule_is_a_test_of_the_in_toto_result() {
    let good = json("in-toto", &dossier(fixture::certifiable()), &Given::default());
    assert_eq!(good["predicate"]["result"], "PASSED");
    assert_eq!(good["predicate"]["failedTests"].as_array().unwrap().len(), 0);
    let mut record = fixture::certifiable();
    record.header.environment.state.on_battery = Some(true);
    record.sampler = None;
    let bad = json("in-toto", &dossier(record), &Given::default());
    assert_eq!(bad["predicate"]["result"], "FAILED");
    assert_eq!(bad["predicate"]["failedTests"], serde_json::json!(["on-battery"]));
    assert_eq!(bad["predicate"]["warnedTests"], serde_json::json!(["sampler-gap", "sampler-overhead"]));
    let count = |v: &Value| v["predicate"]["passedTests"].as_array().unwrap().len();
    assert_eq!(count(&good), count(&bad) + 3);
}

#[test]
fn a_record_without_energy_exports_no_figure() {
    let dossier = dossier(fixture::cpu_only());
    assert_eq!(json("sci", &dossier, &BOTH)["workloads"].as_array().unwrap().len(), 0);
    assert_eq!(json("cyclonedx", &dossier, &BOTH)["components"].as_array().unwrap().len(), 0);
    let rows = (row::FORMAT.render)(&dossier, &BOTH);
    assert_eq!(rows.lines().count(), 1);
}

#[test]
fn rows_have_the_energy_of_a_thousand_runs_and_no_stars() {
    let dossier = dossier(fixture::certifiable());
    let rows = (row::FORMAT.render)(&dossier, &Given::default());
    let lines: Vec<&str> = rows.lines().collect();
    let (_, energy, _) = measured(&dossier).next().unwrap();
    let cells: Vec<&str> = lines[1].split(',').collect();
    assert_eq!(lines.len(), 9);
    assert!((cells[4].parse::<f64>().unwrap() / (energy / 3600.0) - 1.0).abs() < 1e-12);
    assert_eq!(cells[5], "", "energy of a processor is not GPU energy");
    assert!(!rows.contains("star") && !rows.contains("score"));
}

#[test]
fn hostile_text_stays_a_cell_and_a_string() {
    let dossier = dossier(fixture::hostile());
    let rows = (row::FORMAT.render)(&dossier, &Given::default());
    let columns = |line: &str| {
        let mut quoted = false;
        line.chars()
            .filter(|c| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            })
            .count()
            + 1
    };
    for line in rows.lines() {
        assert_eq!(columns(line), 8, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    for id in ["sci", "in-toto", "cyclonedx"] {
        json(id, &dossier, &BOTH);
    }
}
