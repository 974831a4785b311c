//! Which windows are still to be taken: all of a new run, the rest of a resumed one.

use crate::plan::Plan;
use crate::record::{Outcome, RunRecord};
use std::collections::BTreeMap;

/// Repeats still to measure, by case id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remaining(BTreeMap<String, Vec<u32>>);

impl Remaining {
    /// Every repeat of every case.
    #[must_use]
    pub fn all(plan: &Plan, repeats: u32) -> Self {
        Self(plan.cases.iter().map(|case| (case.id.clone(), (0..repeats).collect())).collect())
    }

    /// What `record` lacks: repeats without a window that counts, of cases whose answer was not
    /// found wrong. Cases that failed are tried again: the reason may have gone.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        let repeats = record.header.profile.repeats;
        let missing = record.measurements.iter().filter(|m| !matches!(m.outcome, Outcome::WrongAnswer { .. }));
        Self(
            missing
                .map(|m| {
                    let open = (0..repeats).filter(|r| !m.valid_samples().any(|s| s.repeat == *r)).collect();
                    (m.case.id.clone(), open)
                })
                .collect(),
        )
    }

    /// Repeats still to measure of one case.
    #[must_use]
    pub fn repeats(&self, case: &str) -> &[u32] {
        self.0.get(case).map_or(&[], Vec::as_slice)
    }

    /// Windows still to take.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}
