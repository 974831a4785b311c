//! Suite × host → plan: which cases run, which are skipped and why, and how long it will take.

use crate::suite::Case;
use crate::units::Seconds;
use serde::{Deserialize, Serialize};

/// What will run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Cases in the order of the suite; ceiling probes come first.
    pub cases: Vec<Case>,
    /// Cases this host cannot run.
    pub skips: Vec<Skip>,
    /// Estimated time of the whole run.
    #[serde(rename = "estimate_s")]
    pub estimate: Seconds,
}

/// A case that does not run, as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Skip {
    /// The case.
    pub case: Case,
    /// Why, and what would make it run.
    pub reason: String,
}
