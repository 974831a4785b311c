//! `gate.yaml`: what is gated, from which effect on, and what fails. Read like suites: every mistake at once, with
//! its place and a suggestion. The key table is the one definition; the JSON Schema is made of it.

use super::comparable::Code;
use super::{Decision, Metric};
use crate::suite::SuiteErrors;
use crate::suite::problem::Report;
use crate::suite::quantity::Quantity;
use crate::suite::suggest::hint;
use crate::suite::tree::{Node, Value};
use crate::suite::wire::{Fields, Key, check_version, key};
use serde::Serialize;
use serde_json::{Map, json};
use std::collections::BTreeMap;
use std::path::Path;

/// Keys of a gate file.
const KEYS: &[Key] = &[
    key("version", true, "Version of the format: 1."),
    key(
        "metrics",
        false,
        "What is gated; left out: energy, perf-per-watt, time and accuracy, and without energy counters time, cpu-time, instructions and accuracy.",
    ),
    key("fail_on", false, "Decisions that fail the gate: worse, ambiguous; worse when left out."),
    key("minimum_effect", false, "Smallest change that counts; 2 % when left out."),
    key("effects", false, "Smallest change that counts, of single metrics."),
    key("alpha", false, "Probability of any false alarm in the whole gate; 5 % when left out."),
    key("run_to_run", false, "Standard deviation between runs of the same code, where it is known; 0 when left out."),
    key("accuracy_margin", false, "Growth of the error, as a share of its limit, that counts; 25 % when left out."),
    key("energy", false, "if-measured gates energy where both records have it; required refuses records without."),
    key("accept", false, "Differences between the records that do not keep them from being compared."),
];

const EFFECT: Quantity = Quantity::Fraction { min: 0.0, max: 10.0 };
const ALPHA: Quantity = Quantity::Fraction { min: 1e-6, max: 0.5 };
const SCATTER: Quantity = Quantity::Fraction { min: 0.0, max: 1.0 };
const FAILING: [Decision; 2] = [Decision::Worse, Decision::Ambiguous];

/// Whether records without energy may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnergyRule {
    /// Energy is gated where both records have it.
    IfMeasured,
    /// Records without energy are refused.
    Required,
}

/// The rules of a gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rules {
    /// What is gated; `None` leaves it to what the records hold.
    pub metrics: Option<Vec<Metric>>,
    /// Decisions that fail.
    pub fail_on: Vec<Decision>,
    /// Smallest change that counts, as a fraction.
    pub minimum_effect: f64,
    /// The same for single metrics.
    pub effects: BTreeMap<Metric, f64>,
    /// Probability of any false alarm in the whole gate.
    pub alpha: f64,
    /// Standard deviation between runs of the same code, relative.
    pub run_to_run: f64,
    /// Growth of the error that counts, as a share of its limit.
    pub accuracy_margin: f64,
    /// Whether records without energy may pass.
    pub energy: EnergyRule,
    /// Codes of differences that are accepted.
    pub accept: Vec<&'static str>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            metrics: None,
            fail_on: vec![Decision::Worse],
            minimum_effect: 0.02,
            effects: BTreeMap::new(),
            alpha: 0.05,
            run_to_run: 0.0,
            accuracy_margin: 0.25,
            energy: EnergyRule::IfMeasured,
            accept: Vec::new(),
        }
    }
}

impl Rules {
    /// Reads and validates a gate file.
    ///
    /// # Errors
    /// [`SuiteErrors`] when the file cannot be read, or with every problem found in it.
    pub fn load(path: &Path) -> Result<Self, SuiteErrors> {
        Self::read(path, &crate::suite::read_file(path, "gate file")?)
    }

    /// Rules from the text of a file; `path` stands in the errors.
    ///
    /// # Errors
    /// Every problem of the text, up to a limit, with its place.
    pub fn read(path: &Path, text: &str) -> Result<Self, SuiteErrors> {
        let (mut report, root) = Report::open(path, text)?;
        let mut rules = Self::default();
        rules.fill(&mut report, &root);
        report.finish()?;
        Ok(rules)
    }

    /// Smallest change of a metric that counts.
    #[must_use]
    pub fn effect(&self, metric: Metric) -> f64 {
        // The two are one test, so one bound holds for both unless a file tells them apart.
        let twin = match metric {
            Metric::PerfPerWatt => Some(Metric::Energy),
            _ => None,
        };
        let of = |m| self.effects.get(&m).copied();
        of(metric).or_else(|| twin.and_then(of)).unwrap_or(self.minimum_effect)
    }

    /// Whether a metric is gated, where energy is known of both records or not.
    #[must_use]
    pub fn gates(&self, metric: Metric, energy_known: bool) -> bool {
        match &self.metrics {
            Some(metrics) => metrics.contains(&metric) && (energy_known || !metric.needs_energy()),
            None if energy_known => !matches!(metric, Metric::CpuTime | Metric::Instructions),
            None => !metric.needs_energy(),
        }
    }

    fn fill(&mut self, report: &mut Report, root: &Node) {
        let fields = Fields::read(report, root, "a gate", KEYS);
        check_version(report, fields.get("version"));
        if let Some(node) = fields.get("metrics") {
            let names: Vec<&'static str> = Metric::ALL.iter().map(|m| m.name()).collect();
            let chosen = words(report, node, "metrics", &names);
            self.metrics = Some(Metric::ALL.into_iter().filter(|m| chosen.contains(&m.name())).collect());
        }
        if let Some(node) = fields.get("fail_on") {
            let chosen = words(report, node, "fail_on", &FAILING.map(Decision::name));
            self.fail_on = FAILING.into_iter().filter(|d| chosen.contains(&d.name())).collect();
        }
        for (name, quantity, field) in [
            ("minimum_effect", EFFECT, &mut self.minimum_effect),
            ("alpha", ALPHA, &mut self.alpha),
            ("run_to_run", SCATTER, &mut self.run_to_run),
            ("accuracy_margin", SCATTER, &mut self.accuracy_margin),
        ] {
            if let Some(value) = fields.get(name).and_then(|n| fraction(report, n, name, quantity)) {
                *field = value;
            }
        }
        if let Some(node) = fields.get("effects") {
            let known: Vec<Key> = tested().map(|m| key(m.name(), false, "Smallest change that counts.")).collect();
            let fields = Fields::read(report, node, "`effects`", &known);
            for metric in tested() {
                let value = fields.get(metric.name()).and_then(|n| fraction(report, n, metric.name(), EFFECT));
                self.effects.extend(value.map(|v| (metric, v)));
            }
        }
        if let Some(node) = fields.get("energy") {
            match words(report, node, "energy", &["if-measured", "required"]).as_slice() {
                ["if-measured"] => self.energy = EnergyRule::IfMeasured,
                ["required"] => self.energy = EnergyRule::Required,
                [] => {}
                _ => report.at(node, "`energy` is one word", "write if-measured or required"),
            }
        }
        if let Some(node) = fields.get("accept") {
            self.accept = words(report, node, "accept", &Code::ALL.map(Code::name));
        }
    }
}

/// Metrics that are tested; accuracy has no error model.
fn tested() -> impl Iterator<Item = Metric> {
    Metric::ALL.into_iter().filter(|m| *m != Metric::Accuracy)
}

fn fraction(report: &mut Report, node: &Node, name: &str, quantity: Quantity) -> Option<f64> {
    match quantity.read(node) {
        Ok(value) => Some(value),
        Err(fault) => {
            report.at(node, format!("`{name}`: {}", fault.message), fault.help);
            None
        }
    }
}

/// One word or a list of words out of `known`.
fn words(report: &mut Report, node: &Node, name: &str, known: &[&'static str]) -> Vec<&'static str> {
    let items = match &node.value {
        Value::List(items) if items.is_empty() => {
            report.at(node, format!("the list `{name}` is empty"), "name something, or leave the key out");
            return Vec::new();
        }
        _ => node.one_or_many(),
    };
    let mut found = Vec::new();
    for item in items {
        match known.iter().find(|k| item.text() == Some(**k)) {
            Some(word) if found.contains(word) => {
                report.at(item, format!("`{word}` is written twice in `{name}`"), "keep one of them");
            }
            Some(word) => found.push(*word),
            None => {
                let help = hint(item.text().unwrap_or_default(), "words", known.iter().copied());
                report.at(item, format!("`{name}`: {} is none of its words", item.describe()), help);
            }
        }
    }
    found
}

/// The schema (draft 2020-12) of gate files.
#[must_use]
pub fn rules_schema() -> serde_json::Value {
    let list = |words: Vec<&str>| {
        let word = json!({"enum": words});
        json!({"anyOf": [word, {"type": "array", "minItems": 1, "uniqueItems": true, "items": word}]})
    };
    let mut properties = Map::new();
    for k in KEYS {
        let mut schema = match k.name {
            "version" => json!({"const": 1}),
            "metrics" => list(Metric::ALL.iter().map(|m| m.name()).collect()),
            "fail_on" => list(FAILING.iter().map(|d| d.name()).collect()),
            "minimum_effect" => EFFECT.schema(),
            "alpha" => ALPHA.schema(),
            "run_to_run" | "accuracy_margin" => SCATTER.schema(),
            "effects" => {
                let each: Map<String, serde_json::Value> =
                    tested().map(|m| (m.name().to_owned(), EFFECT.schema())).collect();
                json!({"type": "object", "additionalProperties": false, "properties": each})
            }
            "energy" => json!({"enum": ["if-measured", "required"]}),
            _ => list(Code::ALL.iter().map(|c| c.name()).collect()),
        };
        schema["description"] = json!(k.meaning);
        properties.insert(k.name.to_owned(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "wattproof gate",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": ["version"],
    })
}
