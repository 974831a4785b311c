//! The keys of a policy file: one table that the reader, the JSON Schema and `wattproof explain` share.

use super::certification::{Certification, Limit};
use crate::suite::problem::Report;
use crate::suite::quantity::{Quantity, whole};
use crate::suite::suggest::hint;
use crate::suite::tree::Node;
use crate::suite::wire::{Key, key};

/// A number of a policy.
pub(super) struct Number {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) meaning: &'static str,
    pub(super) quantity: Quantity,
    pub(super) set: fn(&mut Certification, Limit<f64>),
    line: fn(&Certification) -> u32,
}

/// A choice of words.
pub(super) struct Word {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) meaning: &'static str,
    pub(super) words: fn() -> Vec<&'static str>,
    pub(super) set: fn(&mut Certification, &str, u32),
    line: fn(&Certification) -> u32,
}

const PART: Quantity = Quantity::Fraction { min: 0.0, max: 1.0 };
const TIME: Quantity = Quantity::Duration { min: 0.0, max: 86_400.0 };
const COUNT: Quantity = Quantity::Count { min: 0, max: 1_000_000 };
const SOME: Quantity = Quantity::Count { min: 1, max: 1_000_000 };
const KELVIN: Quantity = Quantity::Number { min: 0.0, max: 200.0 };

pub(super) fn count(x: f64) -> u32 {
    u32::try_from(whole(x)).unwrap_or(u32::MAX)
}

macro_rules! real {
    ($section:literal, $key:literal, $field:ident, $quantity:expr, $meaning:literal) => {
        Number {
            section: $section,
            key: $key,
            meaning: $meaning,
            quantity: $quantity,
            set: |p, limit| p.$field = limit,
            line: |p| p.$field.line,
        }
    };
}
macro_rules! natural {
    ($section:literal, $key:literal, $field:ident, $quantity:expr, $meaning:literal) => {
        Number {
            section: $section,
            key: $key,
            meaning: $meaning,
            quantity: $quantity,
            set: |p, limit| p.$field = Limit { value: count(limit.value), line: limit.line },
            line: |p| p.$field.line,
        }
    };
}

/// Every number, in the order of the shipped file.
#[rustfmt::skip]
pub(super) const KEYS: &[Number] = &[
    natural!("record", "schema", schema, COUNT, "Oldest schema of records that is accepted."),
    real!("evidence", "cross_check", cross_check, PART, "Largest difference of two readers of one domain."),
    real!("windows", "floor", window_floor, TIME, "Shortest window."),
    natural!("windows", "periods", window_periods, SOME, "Fewest update periods of the slowest rated counter in a window."),
    real!("windows", "alignment", alignment, PART, "Largest alignment error of a window."),
    real!("windows", "span", span, PART, "Largest part of a counter's span outside its window."),
    natural!("windows", "repeats", repeats, SOME, "Fewest windows of a workload that count."),
    real!("windows", "time_scatter", time_scatter, PART, "Largest coefficient of variation of the time an iteration."),
    real!("windows", "energy_scatter", energy_scatter, PART, "Largest coefficient of variation of the energy an iteration."),
    real!("windows", "discarded", discarded, PART, "Largest share of a workload's windows that were discarded."),
    real!("windows", "interleaving", interleaving, PART, "Smallest part of the run over which the windows of a workload are spread."),
    real!("idle", "length", idle_length, TIME, "Shortest idle window before and after."),
    real!("idle", "drift", idle_drift, PART, "Largest relative drift of idle power."),
    real!("state", "foreign_load", foreign_load, PART, "Largest share of CPU time used by other processes."),
    real!("state", "steal", steal, PART, "Largest share of CPU time stolen by a hypervisor."),
    natural!("state", "throttle_events", throttle_events, COUNT, "Most throttle events in a window."),
    real!("state", "frequency_fall", frequency_fall, PART, "Where nothing counts throttling: largest fall of a window's frequency below the median."),
    real!("state", "clock_jump", clock_jump, TIME, "Largest step of the wall clock in a window."),
    real!("state", "temperature_spread", temperature_spread, KELVIN, "Largest spread of temperature between the windows of a workload, in kelvin."),
    real!("sampler", "gap", sampler_gap, TIME, "Longest time without a point of the power trace."),
    real!("sampler", "overhead", sampler_overhead, PART, "Largest CPU time of the sampler over its wall time."),
    natural!("answers", "rows", rows, SOME, "Fewest rows compared where not every element is."),
    real!("figures", "uncertainty", uncertainty, PART, "Largest expanded uncertainty of a rated figure."),
    real!("figures", "above_peak", above_peak, PART, "How far the lower end of a rate may exceed its arithmetic ceiling."),
];

/// Every choice of words.
pub(super) const WORDS: &[Word] = &[
    Word {
        section: "record",
        key: "profile",
        meaning: "Shipped profile that the record's own must not be laxer than.",
        words: || crate::suite::Profile::shipped().collect(),
        set: |p, word, line| p.profile = Limit { value: word.to_owned(), line },
        line: |p| p.profile.line,
    },
    // D and E are not among the words: polled power and models are never rated, by no policy.
    Word {
        section: "evidence",
        key: "grade",
        meaning: "The weakest evidence grade that is rated.",
        words: || vec!["A", "B", "C"],
        set: |p, word, line| p.grade = Limit { value: word.chars().next().unwrap_or('A'), line },
        line: |p| p.grade.line,
    },
    Word {
        section: "state",
        key: "battery",
        meaning: "Whether a machine on battery is certified.",
        words: || vec!["refused", "allowed"],
        set: |p, word, line| p.battery_refused = Limit { value: word == "refused", line },
        line: |p| p.battery_refused.line,
    },
    Word {
        section: "answers",
        key: "canary",
        meaning: "Whether every workload needs a precision canary.",
        words: || vec!["required", "optional"],
        set: |p, word, line| p.canary_required = Limit { value: word == "required", line },
        line: |p| p.canary_required.line,
    },
];

/// The sections that hold numbers or words, in the order of the file.
pub(super) fn sections() -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    for section in ["record", "evidence"].into_iter().chain(KEYS.iter().map(|k| k.section)) {
        if !all.contains(&section) {
            all.push(section);
        }
    }
    all
}

/// The keys of a section; all are required.
pub(super) fn keys_of(section: &str) -> Vec<Key> {
    let numbers = KEYS.iter().filter(|k| k.section == section).map(|k| key(k.key, true, k.meaning));
    let words = WORDS.iter().filter(|w| w.section == section).map(|w| key(w.key, true, w.meaning));
    let suites = (section == "record").then(|| key("suites", true, "Suites that may be rated; empty: any."));
    numbers.chain(words).chain(suites).collect()
}

/// A number with its line, or `None` after a report.
pub(super) fn number(report: &mut Report, node: Option<&Node>, name: &str, quantity: Quantity) -> Option<Limit<f64>> {
    let node = node?;
    match quantity.read(node) {
        Ok(value) => Some(Limit { value, line: node.mark().map_or(0, |m| m.line) }),
        Err(fault) => {
            report.at(node, format!("`{name}`: {}", fault.message), fault.help);
            None
        }
    }
}

/// One of `words` with its line, or `None` after a report.
pub(super) fn word(
    report: &mut Report,
    node: Option<&Node>,
    name: &str,
    words: &[&'static str],
) -> Option<(String, u32)> {
    let node = node?;
    match node.text().filter(|t| words.contains(t)) {
        Some(text) => Some((text.to_owned(), node.mark().map_or(0, |m| m.line))),
        None => {
            let help = hint(node.text().unwrap_or_default(), "words", words.iter().copied());
            report.at(node, format!("`{name}`: {} is none of its words", node.describe()), help);
            None
        }
    }
}

impl Certification {
    /// Line of the file on which `section.key` stands, from 1; `None` for a key that policies do not have.
    #[must_use]
    pub fn line_of(&self, name: &str) -> Option<u32> {
        let (section, key) = name.split_once('.')?;
        let number = KEYS.iter().find(|k| k.section == section && k.key == key).map(|k| (k.line)(self));
        let word = || WORDS.iter().find(|w| w.section == section && w.key == key).map(|w| (w.line)(self));
        let suites = || (name == "record.suites").then_some(self.suites.line);
        number.or_else(word).or_else(suites)
    }
}
