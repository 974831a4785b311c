//! Bencher Metric Format: figures of the candidate with their scatter, for `bencher run --adapter json`.

use super::{Format, Outcome, pretty};
use crate::suite::problem::escaped;
use serde_json::{Map, Value, json};

pub(super) const FORMAT: Format =
    Format { id: "bencher", file: "bmf.json", summary: "Bencher Metric Format (BMF)", render };

/// Longest name of a benchmark that Bencher takes, in characters.
const LONGEST: usize = 1024;

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    let mut benchmarks: Map<String, Value> = Map::new();
    for row in &outcome.comparisons {
        let Some(value) = row.candidate.filter(|v| v.is_finite()) else { continue };
        let mut figure = json!({"value": value});
        if let Some((low, high)) = row.candidate_interval.filter(|(a, b)| a.is_finite() && b.is_finite()) {
            figure["lower_value"] = json!(low);
            figure["upper_value"] = json!(high);
        }
        let name: String = escaped(&row.case).chars().take(LONGEST).collect();
        benchmarks.entry(name).or_insert_with(|| json!({}))[row.metric.name()] = figure;
    }
    pretty(&benchmarks)
}
