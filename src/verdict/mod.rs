//! The verdict: rules applied to a record, and the rating. Pure: record, summary, policy and table in,
//! [`Assessment`] out.

mod finding;
mod rating;
pub mod rules;

pub use finding::{Finding, Status, grouped};
pub use rating::{Class, Rating, RatingRow};

use crate::analysis::Summary;
use crate::policy::{Certification, Table};
use crate::record::RunRecord;
use serde::Serialize;

/// Everything a rule may look at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The record.
    pub record: &'a RunRecord,
    /// Its analysis.
    pub summary: &'a Summary,
    /// The limits.
    pub policy: &'a Certification,
    /// The reference.
    pub table: &'a Table,
}

/// What the rules come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Every rule that applies is kept.
    Certified,
    /// At least one rule is broken.
    Refused,
    /// No rule is broken, but the record does not hold enough to apply all of them.
    Inconclusive,
}

/// Decision, findings and rating.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assessment {
    /// What it comes to.
    pub decision: Decision,
    /// Every finding, in the order of the rules, then of the cases.
    pub findings: Vec<Finding>,
    /// Index and class; `None` where nothing can be rated (no energy, or a case without reference).
    pub rating: Option<Rating>,
}

/// Applies every rule, then rates. A class is only given to a certified record.
#[must_use]
pub fn assess(subject: &Subject<'_>) -> Assessment {
    let findings: Vec<Finding> = rules::REGISTRY.iter().flat_map(|rule| (rule.check)(subject)).collect();
    let decision = match findings.iter().map(|f| f.status).min() {
        Some(Status::Fail) => Decision::Refused,
        Some(Status::Inconclusive) | None => Decision::Inconclusive,
        Some(Status::Pass | Status::NotApplicable) => Decision::Certified,
    };
    let rating = rating::rate(subject);
    Assessment { decision, findings, rating }
}
