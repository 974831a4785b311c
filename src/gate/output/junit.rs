//! JUnit XML, as Jenkins, GitLab and most others read it: a suite a case, a test a metric.

use super::{Format, Outcome};
use crate::gate::table::{change, figure};
use crate::gate::{Comparison, Decision};
use crate::suite::problem::escaped;
use std::fmt::Write;

pub(super) const FORMAT: Format =
    Format { id: "junit", file: "gate.xml", summary: "JUnit XML: a suite a case, a test a metric", render };

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    let mut cases: Vec<&str> = Vec::new();
    for row in &outcome.comparisons {
        if cases.last() != Some(&row.case.as_str()) {
            cases.push(&row.case);
        }
    }
    let refused: Vec<_> = outcome.differences.iter().filter(|d| !d.accepted).collect();
    let failures = outcome.comparisons.iter().filter(|r| r.fails).count();
    let skipped = outcome.comparisons.iter().filter(|r| is_skipped(r)).count();
    let tests = outcome.comparisons.len() + refused.len();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut line = |text: String| -> Result<(), String> { writeln!(xml, "{text}").map_err(|e| e.to_string()) };
    line(format!(
        "<testsuites name=\"wattproof gate\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{}\" skipped=\"{skipped}\" time=\"0\">",
        refused.len()
    ))?;
    for case in cases {
        let rows: Vec<&Comparison> = outcome.comparisons.iter().filter(|r| r.case == case).collect();
        let failures = rows.iter().filter(|r| r.fails).count();
        let skipped = rows.iter().filter(|r| is_skipped(r)).count();
        line(format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"0\">",
            text(case),
            rows.len()
        ))?;
        for row in rows {
            line(test(row, &outcome.suite))?;
        }
        line("  </testsuite>".to_owned())?;
    }
    if !refused.is_empty() {
        let n = refused.len();
        line(format!(
            "  <testsuite name=\"comparability\" tests=\"{n}\" failures=\"0\" errors=\"{n}\" skipped=\"0\" time=\"0\">"
        ))?;
        for difference in refused {
            let name = difference
                .case
                .as_ref()
                .map_or_else(|| difference.code.to_owned(), |case| format!("{} of {case}", difference.code));
            line(format!(
                "    <testcase classname=\"comparability\" name=\"{}\" time=\"0\"><error type=\"not-comparable\" \
                 message=\"{}\"/></testcase>",
                text(&name),
                text(&difference.text())
            ))?;
        }
        line("  </testsuite>".to_owned())?;
    }
    line("</testsuites>".to_owned())?;
    Ok(xml.into_bytes())
}

/// What is not certain is neither a success nor a failure.
fn is_skipped(row: &Comparison) -> bool {
    row.decision == Decision::Ambiguous && !row.fails
}

fn test(row: &Comparison, suite: &str) -> String {
    let shown = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |v| figure(row.metric, v));
    let message = text(&format!("{} {}: {}", row.metric.name(), row.decision.name(), row.reason));
    let detail =
        text(&format!("baseline {}, candidate {}, change {}", shown(row.baseline), shown(row.candidate), change(row)));
    let body = if row.fails {
        format!("<failure type=\"{}\" message=\"{message}\">{detail}</failure>", row.decision.name())
    } else if is_skipped(row) {
        format!("<skipped message=\"{message}\"/>")
    } else {
        format!("<system-out>{message}; {detail}</system-out>")
    };
    format!(
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\" time=\"0\">{body}</testcase>",
        text(&row.case),
        row.metric.name(),
        text(suite),
        row.line
    )
}

/// Text for content and attributes alike; what XML 1.0 has no character for is written as an escape or U+FFFD.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() + 8);
    for c in escaped(raw).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.replace("##", "&#35;&#35;")
}
