//! Annotations of GitHub Actions: workflow commands, to be printed on a step's stdout.

use super::finding::{self, Level};
use super::{Format, Outcome};
use crate::suite::problem::escaped;

pub(super) const FORMAT: Format = Format {
    id: "github",
    file: "annotations.txt",
    summary: "annotations of GitHub Actions; print them on a step's stdout",
    render,
};

/// GitHub shows ten annotations of a kind for a step; the rest would only fill the log.
const MOST: usize = 10;

fn render(outcome: &Outcome) -> Result<Vec<u8>, String> {
    let findings = finding::of(outcome);
    let mut text = String::new();
    for (word, level) in [("error", Level::Error), ("warning", Level::Warning), ("notice", Level::Note)] {
        for finding in findings.iter().filter(|f| f.level == level).take(MOST) {
            let (file, title) = (property(&outcome.suite), property(&format!("wattproof {}", finding.code)));
            let message = data(&finding.message);
            text.push_str(&format!("::{word} file={file},line={},title={title}::{message}\n", finding.line));
        }
    }
    let word = if findings.iter().any(|f| f.level == Level::Error) { "error" } else { "notice" };
    text.push_str(&format!("::{word} title=wattproof gate::{}\n", data(&outcome.text)));
    Ok(text.into_bytes())
}

/// A message: one line, and nothing in it that begins another command.
fn data(text: &str) -> String {
    escaped(text).replace('%', "%25").replace("##", "# #")
}

/// A property, which a comma or a colon would end.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
