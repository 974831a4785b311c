//! The shape of a suite file: which keys stand where. Values are still raw YAML nodes here; the
//! neighbours turn them into validated types.
//!
//! The key tables are the one definition of the format: the reader refuses every other key, and the
//! JSON Schema is generated from them.

use super::problem::{Report, quoted};
use super::suggest::hint;
use super::tree::{Node, Value};

/// One key of a map.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) meaning: &'static str,
    pub(crate) required: bool,
}

pub(crate) const fn key(name: &'static str, required: bool, meaning: &'static str) -> Key {
    Key { name, meaning, required }
}

/// Keys of a suite.
pub(crate) const SUITE: &[Key] = &[
    key("version", true, "Version of the format: 1."),
    key("suite", true, "Id: lower-case words, digits and `-`."),
    key("title", false, "Title for people; the id when left out."),
    key("description", false, "What the suite is for, in a sentence or two."),
    key("profile", false, "How to measure: quick, ci, certify or the path of a profile file; quick when left out."),
    key("settings", false, "Numbers that replace those of the profile."),
    key("devices", false, "Where the cases run: `cpu`, `cuda:*`, `wgpu:0`; on the processor when left out."),
    key("cases", true, "What to measure: a list of entries, each one kernel."),
];

/// Keys of one entry of `cases`.
pub(crate) const ENTRY: &[Key] = &[
    key("kernel", true, "Id of the kernel; `wattproof list kernels` shows all."),
    key("label", false, "A word put before the ids of the entry's cases."),
    key("with", false, "Parameters with one value each."),
    key("matrix", false, "Parameters with several values: every combination becomes a case."),
    key("exclude", false, "Combinations to leave out: a list of partial maps."),
    key("devices", false, "Where the entry's cases run, instead of the suite's devices."),
];

/// Keys of a profile file besides its numbers.
pub(crate) const PROFILE: &[Key] = &[
    key("version", true, "Version of the format: 1."),
    key("profile", true, "Name of the profile."),
    key("certifiable", true, "Whether records made with it may be certified, if its numbers allow it."),
];

/// The version of the format that this program reads.
pub(crate) const VERSION: i128 = 1;

/// A suite file, keys checked, values raw.
pub(crate) struct WireSuite<'t> {
    pub(crate) version: Option<&'t Node>,
    pub(crate) id: Option<&'t Node>,
    pub(crate) title: Option<&'t Node>,
    pub(crate) description: Option<&'t Node>,
    pub(crate) profile: Option<&'t Node>,
    pub(crate) settings: Option<&'t Node>,
    pub(crate) devices: Option<&'t Node>,
    pub(crate) cases: Vec<WireEntry<'t>>,
}

/// One entry of `cases`.
pub(crate) struct WireEntry<'t> {
    pub(crate) kernel: &'t Node,
    pub(crate) label: Option<&'t Node>,
    pub(crate) with: Option<&'t Node>,
    pub(crate) matrix: Option<&'t Node>,
    pub(crate) exclude: &'t [Node],
    pub(crate) devices: Option<&'t Node>,
    /// Whether a key was unknown: what seems to be missing may then only be misspelt.
    pub(crate) flawed: bool,
}

/// The key-value pairs of a map whose keys are distinct words.
pub(crate) fn pairs<'t>(report: &mut Report, node: &'t Node, what: &str) -> Vec<(&'t str, &'t Node, &'t Node)> {
    let Value::Map(entries) = &node.value else {
        report.at(node, format!("{what} is a map, this is {}", node.describe()), "write `key: value` pairs");
        return Vec::new();
    };
    let mut found: Vec<(&str, &Node, &Node)> = Vec::new();
    let mut seen = std::collections::HashMap::new();
    for (key, value) in entries {
        let Some(name) = key.text() else {
            report.at(
                key,
                format!("{} cannot be a key", key.describe()),
                "keys are words; put quotes around other things",
            );
            continue;
        };
        if let Some(earlier) = seen.insert(name, key) {
            let message = format!("{} is written twice in {what}", quoted(name));
            report.at_both(key, message, "keep one of them", (earlier, "first written here"));
        } else {
            found.push((name, key, value));
        }
    }
    found
}

/// A map read against a table of keys.
pub(crate) struct Fields<'t> {
    found: Vec<(&'t str, &'t Node)>,
}

impl<'t> Fields<'t> {
    /// Reports keys that are not in `known` and required keys that are not there.
    pub(crate) fn read(report: &mut Report, node: &'t Node, what: &str, known: &[Key]) -> Self {
        Self::read_advised(report, node, what, known, &|_| None)
    }

    /// Like [`read`](Self::read), with advice for keys that belong somewhere else.
    pub(crate) fn read_advised(
        report: &mut Report,
        node: &'t Node,
        what: &str,
        known: &[Key],
        advice: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let names = || known.iter().map(|k| k.name);
        let mut found = Vec::new();
        let before = report.count();
        for (name, key, value) in pairs(report, node, what) {
            if known.iter().any(|k| k.name == name) {
                found.push((name, value));
            } else {
                let help = advice(name).unwrap_or_else(|| hint(name, "keys", names()));
                report.at(key, format!("unknown key {} in {what}", quoted(name)), help);
            }
        }
        // A misspelt key is reported once, not also as missing.
        if report.count() == before {
            for k in known.iter().filter(|k| k.required && !found.iter().any(|(n, _)| *n == k.name)) {
                let anchor = match &node.value {
                    Value::Map(entries) => entries.first().map_or(node, |(key, _)| key),
                    _ => node,
                };
                report.at(
                    anchor,
                    format!("{what} lacks the key `{}`", k.name),
                    format!("add `{}:` — {}", k.name, k.meaning),
                );
            }
        }
        Self { found }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'t Node> {
        self.found.iter().find(|(n, _)| *n == name).map(|(_, node)| *node)
    }
}

impl<'t> WireSuite<'t> {
    /// `parameter` tells whether any kernel has a parameter of this name.
    pub(crate) fn read(report: &mut Report, root: &'t Node, parameter: &dyn Fn(&str) -> bool) -> Self {
        let fields = Fields::read(report, root, "a suite", SUITE);
        let cases = fields.get("cases").map_or_else(Vec::new, |node| match &node.value {
            Value::List(items) => {
                if items.is_empty() {
                    report.at(node, "the list of cases is empty", "add an entry such as `- kernel: gemm`");
                }
                items.iter().filter_map(|item| WireEntry::read(report, item, parameter)).collect()
            }
            _ => {
                let message = format!("`cases` is a list, this is {}", node.describe());
                report.at(node, message, "begin each entry with `- kernel:`");
                Vec::new()
            }
        });
        Self {
            version: fields.get("version"),
            id: fields.get("suite"),
            title: fields.get("title"),
            description: fields.get("description"),
            profile: fields.get("profile"),
            settings: fields.get("settings"),
            devices: fields.get("devices"),
            cases,
        }
    }
}

impl<'t> WireEntry<'t> {
    fn read(report: &mut Report, node: &'t Node, parameter: &dyn Fn(&str) -> bool) -> Option<Self> {
        let before = report.count();
        let inside = |name: &str| {
            parameter(name).then(|| format!("`{name}` is a parameter: write it inside `with:` or `matrix:`"))
        };
        let fields = Fields::read_advised(report, node, "a case", ENTRY, &inside);
        Some(Self {
            flawed: report.count() > before,
            kernel: fields.get("kernel")?,
            label: fields.get("label"),
            with: fields.get("with"),
            matrix: fields.get("matrix"),
            exclude: fields.get("exclude").map_or(&[], Node::one_or_many),
            devices: fields.get("devices"),
        })
    }
}

/// Checks the `version` of a file.
pub(crate) fn check_version(report: &mut Report, node: Option<&Node>) {
    match node.map(|n| (n, &n.value)) {
        None | Some((_, Value::Integer(VERSION))) => {}
        Some((node, Value::Integer(n))) if *n > VERSION => {
            let message = format!("the file has version {n}, this program reads version {VERSION}");
            report.at(node, message, "use a newer wattproof");
        }
        Some((node, _)) => {
            report.at(node, format!("{} is no version of the format", node.describe()), "write `version: 1`");
        }
    }
}

/// A word of lower-case letters, digits and `-`, or `None` after a report.
pub(crate) fn identifier<'t>(report: &mut Report, node: &'t Node, what: &str, longest: usize) -> Option<&'t str> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |t: &str| t.starts_with('-') || t.ends_with('-');
    match node.text() {
        Some(t) if !t.is_empty() && t.len() <= longest && t.chars().all(good) && !edge(t) => Some(t),
        _ => {
            let help = format!("write lower-case letters, digits and `-`, at most {longest} characters");
            report.at(node, format!("{} is no {what}", node.describe()), help);
            None
        }
    }
}

/// Text for people, or an empty string after a report.
pub(crate) fn prose(report: &mut Report, node: Option<&Node>, longest: usize) -> String {
    let Some(node) = node else { return String::new() };
    let Some(text) = node.text() else {
        report.at(node, format!("{} is no text", node.describe()), "put it in quotes");
        return String::new();
    };
    let text = text.trim();
    let plain: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > longest {
        report.at(node, "the text is too long", format!("write at most {longest} characters"));
    } else if super::problem::escaped(&plain) != plain {
        report.at(node, "the text holds control characters", "remove them: they can steer a terminal");
    }
    plain
}
