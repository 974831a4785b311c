//! The policy of certification: what a record must show, and the bounds of the classes. Data, from
//! `suites/policies/green-ai-1.yaml`.

use super::limits::{self, KEYS, WORDS};
use crate::suite::SuiteErrors;
use crate::suite::problem::Report;
use crate::suite::quantity::Quantity;
use crate::suite::tree::{Node, Value};
use crate::suite::wire::{self, Fields, Key, key};
use serde::Serialize;
use std::path::Path;

/// The policy this program ships.
pub(super) const SHIPPED: &str = include_str!("../../suites/policies/green-ai-1.yaml");

/// A number of the policy and the line it stands on, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit<T> {
    /// The number.
    pub value: T,
    /// Line of the policy file.
    pub line: u32,
}

impl<T: Default> Default for Limit<T> {
    fn default() -> Self {
        Self { value: T::default(), line: 0 }
    }
}

/// What a record must show to be certified. Fractions are of 1, times in seconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Certification {
    /// Its permanent name.
    pub name: String,
    /// Its title, for people.
    pub title: String,
    /// SHA-256 of its text, lower-case hex.
    pub sha256: String,
    /// The file, byte for byte.
    pub text: String,
    /// Days from issue to expiry.
    pub validity_days: u32,
    /// Oldest schema of records.
    pub schema: Limit<u32>,
    /// Shipped profile that the record's must not be laxer than.
    pub profile: Limit<String>,
    /// Suites that may be rated; empty: any.
    pub suites: Limit<Vec<SuiteName>>,
    /// The weakest evidence grade that is rated: A, B or C.
    pub grade: Limit<char>,
    /// Largest difference of two readers of one domain.
    pub cross_check: Limit<f64>,
    /// Shortest window.
    pub window_floor: Limit<f64>,
    /// Fewest update periods τ of the slowest rated counter in a window.
    pub window_periods: Limit<u32>,
    /// Largest alignment error τ/(T·√6).
    pub alignment: Limit<f64>,
    /// Largest part of a counter's span outside its window.
    pub span: Limit<f64>,
    /// Fewest windows that count, a workload.
    pub repeats: Limit<u32>,
    /// Largest coefficient of variation of the time an iteration.
    pub time_scatter: Limit<f64>,
    /// Largest coefficient of variation of the energy an iteration.
    pub energy_scatter: Limit<f64>,
    /// Largest share of windows that were discarded.
    pub discarded: Limit<f64>,
    /// Smallest part of the run over which the windows of a workload are spread.
    pub interleaving: Limit<f64>,
    /// Shortest idle window on either side.
    pub idle_length: Limit<f64>,
    /// Largest relative drift of idle power.
    pub idle_drift: Limit<f64>,
    /// Largest share of CPU time used by other processes.
    pub foreign_load: Limit<f64>,
    /// Largest share of CPU time stolen by a hypervisor.
    pub steal: Limit<f64>,
    /// Most throttle events in a window.
    pub throttle_events: Limit<u32>,
    /// Largest fall of a window's frequency below the median of its workload.
    pub frequency_fall: Limit<f64>,
    /// Largest step of the wall clock.
    pub clock_jump: Limit<f64>,
    /// Largest spread of temperature between the windows of a workload, in kelvin.
    pub temperature_spread: Limit<f64>,
    /// Whether a machine on battery is refused.
    pub battery_refused: Limit<bool>,
    /// Longest time without a point of the trace.
    pub sampler_gap: Limit<f64>,
    /// Largest CPU time of the sampler over its wall time.
    pub sampler_overhead: Limit<f64>,
    /// Fewest rows compared where not every element is.
    pub rows: Limit<u32>,
    /// Whether every workload needs a precision canary.
    pub canary_required: Limit<bool>,
    /// Largest expanded uncertainty of a rated figure.
    pub uncertainty: Limit<f64>,
    /// How far the lower end of a rate may exceed its arithmetic ceiling.
    pub above_peak: Limit<f64>,
    /// Classes from the best: letter and lowest index (lower end of the interval).
    pub classes: Vec<(char, f64)>,
}

/// A suite that may be rated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuiteName {
    /// Its id.
    pub id: String,
    /// SHA-256 of its text, where it must be that very file.
    pub sha256: Option<String>,
}

/// Keys of a policy file.
pub(super) const POLICY: &[Key] = &[
    key("version", true, "Version of the format: 1."),
    key("policy", true, "Permanent name of the policy."),
    key("title", true, "Title for people."),
    key("validity_days", true, "Days from issue to expiry."),
    key("record", true, "What was run."),
    key("evidence", true, "How strong the evidence of energy is."),
    key("windows", true, "The timed windows of each workload."),
    key("idle", true, "The machine at rest."),
    key("state", true, "The machine during the windows that count."),
    key("sampler", true, "The background sampler."),
    key("answers", true, "The answers of the timed runs."),
    key("figures", true, "The figures."),
    key("classes", true, "Lowest index of each class, from A."),
];

/// Keys of an entry of `suites`.
pub(super) const SUITE: &[Key] = &[
    key("id", true, "Id of the suite."),
    key("sha256", false, "SHA-256 of its file, lower-case hex; any file with the id when left out."),
];

const DAYS: Quantity = Quantity::Count { min: 1, max: 36_500 };
pub(super) const INDEX: Quantity = Quantity::Number { min: 1e-6, max: 1e6 };
/// Letters of the classes; below the last one comes G.
pub(super) const LETTERS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

impl Certification {
    /// The policy that this program ships.
    #[must_use]
    pub fn shipped() -> Self {
        Self::parse(SHIPPED).expect("the shipped policy is read by a test")
    }

    /// A policy from the text of its file.
    ///
    /// # Errors
    /// Every problem, with line, column and caret, as one text.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(Path::new("policy.yaml"), text).map_err(|e| e.to_string())
    }

    /// Reads and validates a policy file.
    ///
    /// # Errors
    /// [`SuiteErrors`] when the file cannot be read, or with every problem found in it.
    pub fn load(path: &Path) -> Result<Self, SuiteErrors> {
        Self::read(path, &crate::suite::read_file(path, "policy")?)
    }

    /// A policy from the text of its file; `path` stands in the errors.
    ///
    /// # Errors
    /// Every problem of the text, up to a limit, with its place.
    pub fn read(path: &Path, text: &str) -> Result<Self, SuiteErrors> {
        let (mut report, root) = Report::open(path, text)?;
        let mut policy = Self { sha256: super::sha256_hex(text), text: text.to_owned(), ..Self::default() };
        policy.fill(&mut report, &root);
        report.finish()?;
        Ok(policy)
    }

    fn fill(&mut self, report: &mut Report, root: &Node) {
        let fields = Fields::read(report, root, "a policy", POLICY);
        wire::check_version(report, fields.get("version"));
        if let Some(name) = fields.get("policy").and_then(|n| wire::identifier(report, n, "name of a policy", 64)) {
            self.name = name.to_owned();
        }
        self.title = wire::prose(report, fields.get("title"), 200);
        if let Some(days) = limits::number(report, fields.get("validity_days"), "validity_days", DAYS) {
            self.validity_days = limits::count(days.value);
        }
        for section in limits::sections() {
            let Some(node) = fields.get(section) else { continue };
            let known = limits::keys_of(section);
            let fields = Fields::read(report, node, &format!("`{section}`"), &known);
            for k in KEYS.iter().filter(|k| k.section == section) {
                if let Some(limit) = limits::number(report, fields.get(k.key), k.key, k.quantity) {
                    (k.set)(self, limit);
                }
            }
            for w in WORDS.iter().filter(|w| w.section == section) {
                if let Some((word, line)) = limits::word(report, fields.get(w.key), w.key, &(w.words)()) {
                    (w.set)(self, &word, line);
                }
            }
            if section == "record" {
                self.suites = suites(report, fields.get("suites"));
            }
        }
        self.classes = classes(report, fields.get("classes"));
    }
}

fn suites(report: &mut Report, node: Option<&Node>) -> Limit<Vec<SuiteName>> {
    let Some(node) = node else { return Limit::default() };
    let line = node.mark().or_else(|| node.near()).map_or(0, |m| m.line);
    let Value::List(items) = &node.value else {
        report.at(node, format!("`suites` is a list, this is {}", node.describe()), "begin each entry with `- id:`");
        return Limit::default();
    };
    let mut value = Vec::new();
    for item in items {
        let fields = Fields::read(report, item, "a suite of the policy", SUITE);
        let Some(id) = fields.get("id").and_then(|n| wire::identifier(report, n, "suite id", 64)) else { continue };
        let digest = fields.get("sha256");
        let good = |t: &str| t.len() == 64 && t.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
        if let Some(node) = digest.filter(|n| !n.text().is_some_and(good)) {
            let message = format!("{} is no SHA-256", node.describe());
            report.at(node, message, "write 64 lower-case hex digits, as `sha256sum` prints them");
        }
        value.push(SuiteName { id: id.to_owned(), sha256: digest.and_then(Node::text).map(str::to_owned) });
    }
    Limit { value, line }
}

fn classes(report: &mut Report, node: Option<&Node>) -> Vec<(char, f64)> {
    let Some(node) = node else { return Vec::new() };
    let known: Vec<Key> = LETTERS.iter().map(|l| key(l, true, "lowest index of the class")).collect();
    let fields = Fields::read(report, node, "`classes`", &known);
    let mut found: Vec<(char, f64)> = Vec::new();
    for letter in LETTERS {
        let Some(limit) = limits::number(report, fields.get(letter), letter, INDEX) else { continue };
        if let (Some((above, bound)), Some(node)) = (found.last(), fields.get(letter))
            && limit.value >= *bound
        {
            let message = format!("class {letter} begins at {}, class {above} at {bound}", limit.value);
            report.at(node, message, "let the bounds fall from A to F");
        }
        found.extend(letter.chars().next().map(|c| (c, limit.value)));
    }
    found
}

#[cfg(test)]
mod tests;
