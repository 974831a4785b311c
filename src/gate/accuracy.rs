//! Answers: right or wrong, and the error as a share of its limit. There is no error model, so there is no test: a
//! right answer that became wrong is worse, and an error that grew by more than a margin is.

use super::{Comparison, Decision, Metric, Rules};
use crate::analysis::{CaseGauge, Status};
use crate::record::{Correctness, RunRecord};
use crate::report::si;

/// The row of a case, and whether its other metrics can be compared.
pub(super) struct Answers {
    pub(super) row: Comparison,
    pub(super) counts: bool,
}

/// `None` for a kernel that leaves nothing to compare.
pub(super) fn compare(
    candidate: &RunRecord,
    baseline: &RunRecord,
    new: &CaseGauge,
    old: &CaseGauge,
    rules: &Rules,
) -> Option<Answers> {
    let share =
        |c: &CaseGauge| c.correctness.and_then(|c: Correctness| Some(c.error? / c.limit)).filter(|s| s.is_finite());
    // The error of a void answer is no figure.
    let counted = |c: &CaseGauge| share(c).filter(|_| broken(&c.status).is_none());
    let (before, after) = (counted(old), counted(new));
    let (decision, reason, counts) = match (broken(&old.status), broken(&new.status)) {
        (Some(_), Some(_)) => return None,
        (None, Some(why)) => (Decision::Worse, why, false),
        (Some(why), None) => (Decision::Better, format!("the baseline was: {why}"), false),
        (None, None) => {
            if new.correctness.is_none() && old.correctness.is_none() {
                return None;
            }
            let (decision, reason) =
                right(before, after, new, old, candidate.header.seed == baseline.header.seed, rules);
            (decision, reason, true)
        }
    };
    let row = Comparison {
        case: new.id.clone(),
        line: new.line,
        metric: Metric::Accuracy,
        decision,
        reason,
        baseline: before,
        candidate: after,
        candidate_interval: None,
        change: None,
        fails: false,
    };
    Some(Answers { row, counts })
}

fn broken(status: &Status) -> Option<String> {
    match status {
        Status::WrongAnswer { reason } => Some(format!("wrong answer: {reason}")),
        Status::Failed { reason } => Some(format!("failed: {reason}")),
        Status::Measured | Status::Partial { .. } | Status::NotRun => None,
    }
}

/// Both answers are right: what became of the error?
fn right(
    before: Option<f64>,
    after: Option<f64>,
    new: &CaseGauge,
    old: &CaseGauge,
    same_inputs: bool,
    rules: &Rules,
) -> (Decision, String) {
    let (Some(before), Some(after)) = (before, after) else {
        return (Decision::Ambiguous, "only one record compared its answers".to_owned());
    };
    let limit = |c: &CaseGauge| c.correctness.map(|c| c.limit);
    if limit(new) != limit(old) {
        return (Decision::Ambiguous, "the limits of the error differ".to_owned());
    }
    let margin = si::set_percent(rules.accuracy_margin);
    if (after - before).abs() <= rules.accuracy_margin {
        return (Decision::Same, format!("right on both sides, error within {margin} of the limit"));
    }
    if !same_inputs {
        let reason = format!("the error moved by more than {margin} of the limit, but on other inputs (seeds differ)");
        return (Decision::Ambiguous, reason);
    }
    let decision = if after > before { Decision::Worse } else { Decision::Better };
    (decision, format!("the error moved by more than {margin} of the limit on the same inputs"))
}
