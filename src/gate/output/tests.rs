use super::*;
use crate::gate::{Rules, Verdict, compare};
use crate::policy::Policy;
use crate::record::{RunRecord, fixture};
use serde_json::Value;

/// A hostile record against its twin: worse, ambiguous and refused rows with poisoned names.
fn hostile() -> Outcome {
    let old = fixture::hostile();
    let mut new = fixture::wrong_answer();
    new.header = fixture::hostile().header;
    new.header.id = format!("::warning::{}", fixture::HOSTILE);
    new.header.suite.path = "suites/::set-output name=x::y\n::error::z ##[command]##vso[task]%0A,a:b.yaml".into();
    new.measurements.clone_from(&fixture::hostile().measurements);
    for measurement in &mut new.measurements {
        measurement.outcome = crate::record::Outcome::Failed { reason: fixture::HOSTILE.into() };
    }
    let outcome = compare(&new, &[old], Vec::new(), &Rules::default(), &Policy::shipped());
    assert_eq!(outcome.verdict, Verdict::Failed);
    assert!(outcome.comparisons.iter().any(|c| c.case == fixture::HOSTILE));
    outcome
}

fn plain() -> Outcome {
    let old = fixture::with_rapl();
    let mut new: RunRecord = fixture::wrong_answer();
    new.header.id = "new".into();
    compare(&new, &[old], Vec::new(), &Rules::default(), &Policy::shipped())
}

fn text(id: &str, outcome: &Outcome) -> String {
    let format = FORMATS.iter().find(|f| f.id == id).unwrap();
    String::from_utf8((format.render)(outcome).unwrap()).unwrap()
}

#[test]
fn nothing_in_a_record_steers_a_terminal_or_a_runner() {
    let outcome = hostile();
    for format in FORMATS.iter().filter(|f| f.id != "parquet") {
        let text = text(format.id, &outcome);
        let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r') || matches!(c, '\u{202e}' | '\u{2066}');
        assert!(!text.contains(control), "{}: {text}", format.id);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{0}'), "{}", format.id);
        assert!(!text.contains("##[") && !text.contains("##vso["), "{}: {text}", format.id);
        let commands = text.lines().filter(|l| l.trim_start().starts_with("::"));
        let ours = |l: &str| ["::error ", "::warning ", "::notice "].iter().any(|w| l.starts_with(w));
        assert!(commands.clone().all(|l| format.id == "github" && ours(l)), "{}: {text}", format.id);
    }
}

#[test]
fn an_annotation_is_one_line_with_a_place() {
    let text = text("github", &hostile());
    let findings: Vec<&str> = text.lines().collect();
    assert!(findings.len() >= 2 && findings.len() <= 31, "{text}");
    for line in &findings[..findings.len() - 1] {
        let (properties, _) = line[2..].split_once("::").unwrap();
        let values: Vec<&str> = properties.split(',').collect();
        assert_eq!(values.len(), 3, "{line}");
        assert!(values[0].contains(" file=suites/%3A%3Aset-output") && values[1].starts_with("line="), "{line}");
    }
}

#[test]
fn xml_and_markdown_hold_no_markup_of_a_record() {
    let outcome = hostile();
    let junit = text("junit", &outcome);
    assert!(!junit.contains("<script") && !junit.contains("<img") && junit.contains("&lt;script&gt;"), "{junit}");
    let markdown = text("markdown", &outcome);
    assert!(!markdown.contains("<script") || markdown.contains("\\<script"), "{markdown}");
    for line in markdown.lines().filter(|l| l.contains("javascript")) {
        assert!(!line.contains("[link](") && !line.contains("![i]("), "{line}");
    }
    let rows = markdown.lines().filter(|l| l.starts_with("| ") && l.contains("script"));
    for row in rows {
        let cells = row.replace("\\\\", "").replace("\\|", "").matches('|').count();
        assert_eq!(cells, 8, "{row}");
    }
}

/// Programs read these keys; one that goes or changes its name is a new `schema`.
#[test]
fn the_keys_of_the_json_are_stable() {
    let outcome: Value = serde_json::from_str(&text("json", &plain())).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(outcome["schema"], 1);
    assert_eq!(
        keys(&outcome),
        "baseline candidate comparisons counts differences family notes rules schema skipped suite text verdict"
    );
    let row = outcome["comparisons"].as_array().unwrap().iter().find(|c| c["metric"] == "energy").unwrap();
    assert_eq!(keys(row), "baseline candidate candidate_interval case change decision fails line metric reason");
    assert_eq!(
        keys(&row["change"]),
        "confidence gain_cancels high low n_baseline n_candidate p p_adjusted pairing ratio standard_uncertainty"
    );
    assert_eq!(keys(&outcome["baseline"][0]), "commit id started_at");
}

#[test]
fn sarif_points_at_the_line_of_the_suite() {
    let outcome = plain();
    let sarif: Value = serde_json::from_str(&text("sarif", &outcome)).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let errors: Vec<_> = results.iter().filter(|r| r["level"] == "error").collect();
    assert_eq!(errors.len(), outcome.comparisons.iter().filter(|c| c.fails).count());
    let place = &errors[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "suites/reference.yaml");
    let row = outcome.comparisons.iter().find(|c| c.fails).unwrap();
    assert_eq!(place["region"]["startLine"].as_u64(), Some(u64::from(row.line.max(1))));
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
    }
}

#[test]
fn counts_of_junit_are_those_of_the_outcome() {
    let outcome = plain();
    let xml = text("junit", &outcome);
    assert_eq!(xml.matches("<testcase ").count(), outcome.comparisons.len());
    assert_eq!(xml.matches("<failure ").count(), outcome.comparisons.iter().filter(|c| c.fails).count());
    assert!(xml.contains(&format!("tests=\"{}\"", outcome.comparisons.len())), "{xml}");
}

#[test]
fn tables_have_a_row_a_comparison_and_leave_unknown_empty() {
    let outcome = plain();
    let csv = text("csv", &outcome);
    assert_eq!(csv.lines().count(), outcome.comparisons.len() + 1);
    let accuracy = csv.lines().find(|l| l.contains(",accuracy,")).unwrap();
    assert!(accuracy.contains(",,,"), "no ratio: {accuracy}");
    let bytes = (parquet::FORMAT.render)(&outcome).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    let length = u32::from_le_bytes(bytes[bytes.len() - 8..bytes.len() - 4].try_into().unwrap());
    assert!((length as usize) < bytes.len());
}
