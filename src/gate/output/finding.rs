//! What deserves a reader's attention, at a line of the suite: the shape that SARIF, annotations and code quality share.

use crate::gate::table::{change, figure};
use crate::gate::{Comparison, Decision, Outcome, Verdict};

/// How much it weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// The gate does not pass because of it.
    Error,
    /// Something was not gated.
    Warning,
    /// Good to know.
    Note,
}

/// One finding.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    /// Permanent code: `energy-worse`, `not-comparable`.
    pub(super) code: String,
    pub(super) level: Level,
    /// The case; empty for the records as a whole.
    pub(super) case: String,
    /// Line of the suite, from 1.
    pub(super) line: u32,
    pub(super) message: String,
}

/// All findings, errors first.
pub(super) fn of(outcome: &Outcome) -> Vec<Finding> {
    let mut all: Vec<Finding> = outcome.comparisons.iter().filter_map(row).collect();
    let line_of = |case: &Option<String>| {
        let row = outcome.comparisons.iter().find(|r| Some(&r.case) == case.as_ref());
        row.map_or(1, |r| r.line.max(1))
    };
    all.extend(outcome.differences.iter().filter(|d| !d.accepted).map(|d| Finding {
        code: "not-comparable".to_owned(),
        level: Level::Error,
        case: d.case.clone().unwrap_or_default(),
        line: line_of(&d.case),
        message: format!("not comparable: {}", d.text()),
    }));
    let required = outcome.verdict == Verdict::EnergyMissing;
    all.extend(outcome.notes.iter().filter(|n| n.code == "energy-not-gated").map(|n| Finding {
        code: n.code.to_owned(),
        level: if required { Level::Error } else { Level::Warning },
        case: String::new(),
        line: 1,
        message: n.text.clone(),
    }));
    all.sort_by_key(|f| match f.level {
        Level::Error => 0,
        Level::Warning => 1,
        Level::Note => 2,
    });
    all
}

fn row(row: &Comparison) -> Option<Finding> {
    let level = match (row.decision, row.fails) {
        (_, true) => Level::Error,
        (Decision::Worse, false) => Level::Warning,
        (Decision::Ambiguous, false) => Level::Note,
        (Decision::Same | Decision::Better, false) => return None,
    };
    let shown = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |v| figure(row.metric, v));
    let moved = match &row.change {
        Some(_) => format!(" {}: {} → {}", change(row), shown(row.baseline), shown(row.candidate)),
        None => String::new(),
    };
    let (metric, decision) = (row.metric.name(), row.decision.name());
    Some(Finding {
        code: format!("{metric}-{decision}"),
        level,
        case: row.case.clone(),
        line: row.line.max(1),
        message: format!("{}: {metric} {decision}{moved} ({})", row.case, row.reason),
    })
}
