//! A gate's outcome in the formats of others, one file each. Pure: an outcome in, bytes out.
//!
//! Ids, paths and reasons come from records, which anyone can write: every format escapes what it writes, so that
//! nothing in a record becomes markup, a formula, an escape sequence or a command of a CI runner.

mod bencher;
mod benchmark_action;
mod columns;
mod csv;
mod finding;
mod github;
mod gitlab;
mod json;
mod junit;
mod markdown;
mod parquet;
mod sarif;
#[cfg(test)]
mod tests;

use super::Outcome;

/// A format that `gate --out` writes.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Its id on the command line.
    pub id: &'static str,
    /// Usual name of its file.
    pub file: &'static str,
    /// What it is, with its specification or its reader.
    pub summary: &'static str,
    /// Writes it.
    ///
    /// # Errors
    /// What keeps it from being written, in words.
    pub render: fn(&Outcome) -> Result<Vec<u8>, String>,
}

/// Every format.
pub const FORMATS: &[Format] = &[
    json::FORMAT,
    junit::FORMAT,
    sarif::FORMAT,
    markdown::FORMAT,
    github::FORMAT,
    gitlab::FORMAT,
    bencher::FORMAT,
    benchmark_action::FORMAT,
    csv::FORMAT,
    parquet::FORMAT,
];

/// JSON with a final line break. What steers terminals or begins a command of a CI runner (two number signs) stands in
/// JSON inside strings only, and is written as an escape there.
fn pretty(value: &impl serde::Serialize) -> Result<Vec<u8>, String> {
    let raw = serde_json::to_string_pretty(value).map_err(|e| e.to_string())?.replace("##", "\\u0023\\u0023");
    let mut text = String::with_capacity(raw.len() + 1);
    for c in raw.chars() {
        match c {
            '\n' => text.push(c),
            c if !c.is_ascii() && crate::suite::problem::steers(c) => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            c => text.push(c),
        }
    }
    text.push('\n');
    Ok(text.into_bytes())
}
