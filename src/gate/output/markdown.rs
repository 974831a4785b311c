//! Markdown, for the step summary of GitHub Actions and for comments on merge requests.

use super::{Format, Outcome};
use crate::gate::{Decision, Line, Verdict, lines};
use crate::report::markdown;
use crate::suite::problem::escaped;

pub(super) const FORMAT: Format =
    Format { id: "markdown", file: "gate.md", summary: "step summary of GitHub Actions, comments", render };

/// Rows of cases without a finding that are shown; a summary has a limit of 1 MiB.
const MOST: usize = 200;

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    let mark = match outcome.verdict {
        Verdict::Passed => "✅",
        Verdict::Inconclusive => "⚠️",
        Verdict::Failed | Verdict::Refused | Verdict::EnergyMissing => "❌",
    };
    let mut text = format!("## {mark} wattproof gate\n\n{}\n", escape(&outcome.text));
    let rows = lines(outcome);
    if !rows.is_empty() {
        text.push_str(&format!("\n| {} |\n|{}\n", Line::HEADER.join(" | "), "---|".repeat(Line::HEADER.len())));
        for row in rows.iter().take(MOST) {
            let strong = matches!(row.decision, Decision::Worse);
            let cells = row.cells.iter().map(|c| if strong { format!("**{}**", escape(c)) } else { escape(c) });
            text.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
        }
        if rows.len() > MOST {
            text.push_str(&format!("\n{} more rows, none of them worse than those shown.\n", rows.len() - MOST));
        }
    }
    let mut list = |title: &str, items: Vec<String>| {
        if !items.is_empty() {
            text.push_str(&format!("\n### {title}\n\n"));
            text.extend(items.iter().take(MOST).map(|item| format!("- {}\n", escape(item))));
        }
    };
    let differences = |accepted: bool| {
        outcome.differences.iter().filter(|d| d.accepted == accepted).map(|d| d.text()).collect::<Vec<_>>()
    };
    list("Not comparable", differences(false));
    list("Differences that the gate file accepts", differences(true));
    list("To know", outcome.notes.iter().map(|n| n.text.clone()).collect());
    list("Baseline records left out", outcome.skipped.iter().map(|s| format!("{}: {}", s.record, s.reason)).collect());
    let baseline: Vec<String> = outcome.baseline.iter().map(|p| p.id.clone()).collect();
    text.push_str(&format!(
        "\nCandidate {} against {}. How it is decided: docs/gate.md of wattproof.\n",
        escape(&outcome.candidate.id),
        escape(&baseline.join(", "))
    ));
    Ok(text.into_bytes())
}

/// Text that Markdown shows and nothing else, and that reads in the order it is written in.
fn escape(text: &str) -> String {
    markdown::escape(&escaped(text))
}
