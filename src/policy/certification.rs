//! The policy of certification: what a record must show, and the bounds of the classes. Data, from
//! `suites/policies/green-ai-1.yaml`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The policy this program ships.
const SHIPPED: &str = include_str!("../../suites/policies/green-ai-1.yaml");

/// What a record must show to be certified.
#[derive(Debug, Clone, PartialEq)]
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
    /// The weakest evidence grade that is rated.
    pub grade: Limit<char>,
    /// Fewest windows that count, a case.
    pub repeats: Limit<u32>,
    /// Classes from the best: letter and lowest index (lower end of the interval).
    pub classes: Vec<(char, f64)>,
}

/// A number of the policy and the line it stands on, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limit<T> {
    /// The number.
    pub value: T,
    /// Line of the policy file.
    pub line: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u32,
    policy: String,
    title: String,
    validity_days: u32,
    grade: char,
    repeats: u32,
    classes: BTreeMap<char, f64>,
}

impl Certification {
    /// The policy that this program ships.
    #[must_use]
    pub fn shipped() -> Self {
        Self::parse(SHIPPED).expect("the shipped policy is read by a test")
    }

    /// A policy from the text of its file.
    ///
    /// # Errors
    /// What is wrong, in words, with line and column where YAML or a type is at fault.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wire: Wire = serde_yaml::from_str(text).map_err(|e| format!("the policy is malformed: {e}"))?;
        if wire.version != 1 {
            return Err(format!("the policy has version {}, this program reads version 1", wire.version));
        }
        let line = |key: &str| {
            let at = text.lines().position(|l| l.starts_with(&format!("{key}:"))).unwrap_or(0);
            u32::try_from(at + 1).unwrap_or(u32::MAX)
        };
        Ok(Self {
            name: wire.policy,
            title: wire.title,
            sha256: super::sha256_hex(text),
            text: text.to_owned(),
            validity_days: wire.validity_days,
            grade: Limit { value: wire.grade, line: line("grade") },
            repeats: Limit { value: wire.repeats, line: line("repeats") },
            classes: wire.classes.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policy_reads_and_knows_its_lines() {
        let policy = Certification::shipped();
        assert_eq!(policy.classes[0], ('A', 5.66));
        let line = SHIPPED.lines().nth(policy.grade.line as usize - 1).unwrap();
        assert_eq!(line, "grade: C");
    }
}
