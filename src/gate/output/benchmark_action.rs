//! Entries of github-action-benchmark, tool `customSmallerIsBetter`: figures of the candidate.

use super::{Format, Outcome, pretty};
use crate::suite::problem::escaped;
use serde_json::{Value, json};

pub(super) const FORMAT: Format = Format {
    id: "benchmark-action",
    file: "benchmark.json",
    summary: "github-action-benchmark, customSmallerIsBetter",
    render,
};

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    let smaller = outcome.comparisons.iter().filter(|r| !r.metric.larger_is_better());
    let entries: Vec<Value> = smaller
        .filter_map(|row| {
            let value = row.candidate.filter(|v| v.is_finite())?;
            let mut entry = json!({
                "name": format!("{}: {}", escaped(&row.case), row.metric.name()),
                "value": value,
                "unit": row.metric.unit(),
                "extra": format!("{}: {}", row.decision.name(), escaped(&row.reason)),
            });
            if let Some((low, high)) = row.candidate_interval {
                // Its charts draw a symmetric range.
                entry["range"] = json!(format!("± {}", (high - low) / 2.0));
            }
            Some(entry)
        })
        .collect();
    pretty(&entries)
}
