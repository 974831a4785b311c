//! What a rule found, as data.

use serde::Serialize;

/// One rule's answer about a record, or about one case of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Permanent kebab-case code of the rule.
    pub code: &'static str,
    /// What it comes to.
    pub status: Status,
    /// The case it is about; `None` for the whole record.
    pub case: Option<String>,
    /// What was found in the record, for people.
    pub observed: String,
    /// What the policy asks for, for people.
    pub limit: String,
    /// Line of the policy file the limit stands on; `None` where the rule is code and no policy can
    /// change it.
    pub policy_line: Option<u32>,
    /// How to make it right; empty when it is right.
    pub fix: String,
}

/// What a finding comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The record breaks the rule.
    Fail,
    /// The record does not hold enough to say.
    Inconclusive,
    /// The record keeps the rule.
    Pass,
    /// The rule does not concern this record.
    NotApplicable,
}
