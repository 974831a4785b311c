//! The rules: one file each, with a permanent code.

mod energy_measured;
mod evidence_grade;
mod simulated;
mod wrong_answer;

use super::{Finding, Status, Subject};

/// A rule of certification.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Permanent kebab-case code.
    pub code: &'static str,
    /// What it asks for, in a few words.
    pub title: &'static str,
    /// Why it exists.
    pub rationale: &'static str,
    /// Standard, paper or document it follows.
    pub source: &'static str,
    /// Applies it: one finding for the record, or one a case.
    pub check: fn(&Subject<'_>) -> Vec<Finding>,
}

/// Every rule, in the order of a certificate's list.
pub const REGISTRY: &[Rule] = &[simulated::RULE, wrong_answer::RULE, energy_measured::RULE, evidence_grade::RULE];

/// The rule with this code.
#[must_use]
pub fn find(code: &str) -> Option<&'static Rule> {
    REGISTRY.iter().find(|rule| rule.code == code)
}
