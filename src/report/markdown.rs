//! Markdown, for pull requests and issue trackers: GitHub-flavoured tables, no HTML.

use super::model::{Cell, CellKind, Column, ReportModel, Table};
use super::{Format, ReportError};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, UndefinedBehavior, Value, context};

/// The format.
pub const FORMAT: Format = Format {
    id: "markdown",
    extension: "md",
    binary: false,
    summary: "tables for pull requests and issue trackers",
    render,
};

const TEMPLATE: &str = include_str!("../../templates/report.md.j2");

fn render(model: &ReportModel) -> Result<Vec<u8>, ReportError> {
    let text = fill(model).map_err(|e| ReportError::Render { format: FORMAT.id, reason: format!("{e:#}") })?;
    Ok(text.into_bytes())
}

fn fill(model: &ReportModel) -> Result<String, Error> {
    let environment = environment("report.md", TEMPLATE)?;
    let [results, counters, ceilings, domains, idle, uncertainty] =
        [&model.results, &model.counters, &model.ceilings, &model.domains, &model.idle, &model.uncertainty]
            .map(|table| Value::from_safe_string(self::table(table)));
    let report = Value::from(Serde(model));
    environment
        .get_template("report.md")?
        .render(context! { report, results, counters, ceilings, domains, idle, uncertainty })
}

/// Templates of Markdown: every expression is escaped.
pub(in crate::report) fn environment(
    name: &'static str,
    template: &'static str,
) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).keep_trailing_newline(true).build()?);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Every expression of the template passes through here, so no text reaches the page unescaped.
    environment.set_formatter(|out, _, value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let written = if value.is_safe() { text } else { escape(&text) };
        out.write_str(&written).map_err(Error::from)
    });
    environment.add_template(name, template)?;
    Ok(environment)
}

/// A table with its notes, or the sentence that stands for it.
pub(in crate::report) fn table(table: &Table) -> String {
    if table.rows.is_empty() {
        return escape(&table.empty);
    }
    let mut out = String::new();
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    out.push_str(&line(&mut table.columns.iter().map(heading)));
    out.push_str(&line(&mut table.columns.iter().map(|c| if c.numeric { "---:" } else { "---" }.to_owned())));
    for row in &table.rows {
        out.push_str(&line(&mut row.cells.iter().map(cell)));
    }
    for note in &table.notes {
        out.push('\n');
        out.push_str(&escape(note));
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out
}

fn heading(column: &Column) -> String {
    match &column.unit {
        Some(unit) => escape(&format!("{} ({unit})", column.title)),
        None => escape(&column.title),
    }
}

fn cell(cell: &Cell) -> String {
    let text = escape(&cell.text);
    let marked = match cell.kind {
        CellKind::Failed => format!("**{text}**"),
        CellKind::Estimated => format!("_{text}_"),
        _ => text,
    };
    match &cell.interval {
        Some(interval) => format!("{marked} ({})", escape(interval)),
        None => marked,
    }
}

/// `text` so that Markdown shows it and nothing else: markup, table pipes, HTML and automatic
/// links are broken by backslashes, line ends become spaces.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for (i, c) in text.char_indices() {
        let rest = &text[i..];
        match c {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '|' | '!' | '~' | '&' | '$' => {
                out.push('\\');
                out.push(c);
            }
            ':' if rest.starts_with("://") => out.push_str("\\:"),
            '.' if text[..i].to_ascii_lowercase().ends_with("www") => out.push_str("\\."),
            c if c.is_control() || c.is_whitespace() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(escape("a|b\nc"), "a\\|b c");
        assert_eq!(escape("<img src=x> **b** `c` [l](u)"), "\\<img src=x\\> \\*\\*b\\*\\* \\`c\\` \\[l\\](u)");
        assert_eq!(escape("https://x.org www.x.org"), "https\\://x.org www\\.x.org");
        assert_eq!(escape("v0.1.0: 12.3 mJ"), "v0.1.0: 12.3 mJ");
    }
}
