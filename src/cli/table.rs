//! Tables on the terminal.

use super::{duration, style};
use crate::plan::Plan;
use crate::report;
use crate::report::model::{ReportModel, Tone};
use crate::report::text::TextTable;
use crate::suite::Suite;
use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use std::path::{Path, PathBuf};

/// A rule under the header and nothing else: many short rows read best that way.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// A table of words.
pub(super) fn plain(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = new_table();
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.clone());
    }
    table.to_string()
}

/// The plan of a dry run.
pub(super) fn plan(suite: &Suite, plan: &Plan) -> String {
    let rows: Vec<Vec<String>> = plan
        .cases
        .iter()
        .enumerate()
        .map(|(i, c)| vec![(i + 1).to_string(), c.id.clone(), format!("{}:{}", suite.path, c.line)])
        .collect();
    let mut text = plain(&["#", "case", "from"], &rows);
    for skip in &plan.skips {
        text.push_str(&format!("\n{} {}: {}", style::warn("skipped"), skip.case.id, skip.reason));
    }
    text.push_str(&format!(
        "\n{} cases · {} skipped · profile {} · about {}",
        plan.cases.len(),
        plan.skips.len(),
        suite.profile.name,
        duration(plan.estimate)
    ));
    text
}

/// The result table, then the caveats, then the verdict.
pub(super) fn results(model: &ReportModel) -> String {
    let mut text = format!("\n{}\n{}\n", style::bold(&model.title), style::dim(&model.subtitle));
    let tables = [(&model.results, report::text::results(model)), (&model.ceilings, report::text::ceilings(model))];
    for (source, table) in tables {
        text.push_str(&format!("\n{}\n{}", style::bold(&source.caption), text_table(&table)));
        for note in &table.notes {
            text.push_str(&format!("{}\n", style::dim(note)));
        }
    }
    text.push('\n');
    for caveat in &model.caveats {
        let subject = if caveat.case.is_empty() { String::new() } else { format!("{}: ", caveat.case) };
        text.push_str(&format!("{} {subject}{}\n", tone(caveat.tone, caveat.code), caveat.text));
    }
    text.push_str(&format!("\n{}", tone(model.verdict.tone, &model.verdict.text)));
    text
}

/// `text` in the colour of its tone.
pub(super) fn tone(tone: Tone, text: &str) -> String {
    match tone {
        Tone::Good => style::good(text),
        Tone::Warning => style::warn(text),
        Tone::Bad => style::error(text),
        Tone::Neutral => text.to_owned(),
    }
}

/// Colours go on whole lines: inside a cell they would count as width.
pub(super) fn text_table(source: &TextTable) -> String {
    let mut table = new_table();
    table.set_header(source.header.clone());
    for row in &source.rows {
        table.add_row(row.cells.iter().zip(&source.numeric).map(|(cell, numeric)| {
            Cell::new(cell).set_alignment(if *numeric { CellAlignment::Right } else { CellAlignment::Left })
        }));
    }
    let text = table.to_string();
    let mut lines = text.lines();
    let mut out: String = lines.by_ref().take(2).map(|line| format!("{line}\n")).collect();
    for (line, row) in lines.zip(&source.rows) {
        let line = if row.tone == Tone::Good { line.to_owned() } else { tone(row.tone, line) };
        out.push_str(&format!("{line}\n"));
    }
    out
}

/// Which files were written, and how large they are.
pub(super) fn files(dir: &Path, files: &[(PathBuf, usize)]) -> String {
    let mut text = format!("record   {}\n", dir.join("record.json").display());
    for (path, bytes) in files {
        text.push_str(&format!("report   {} ({} kB)\n", path.display(), bytes.div_ceil(1000)));
    }
    text
}

/// Which files of a kind were written, and how large they are.
pub(super) fn written(kind: &str, files: &[(PathBuf, usize)]) -> String {
    let line = |(path, bytes): &(PathBuf, usize)| format!("{kind} {} ({} kB)", path.display(), bytes.div_ceil(1000));
    files.iter().map(line).collect::<Vec<_>>().join("\n")
}
