//! Tables on the terminal.

use super::{duration, style};
use crate::plan::Plan;
use crate::report::model::{CellKind, ReportModel, Table as ModelTable, Tone};
use crate::suite::Suite;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use std::path::{Path, PathBuf};

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
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
    for table in [&model.results, &model.ceilings] {
        if !table.rows.is_empty() {
            text.push_str(&format!("\n{}\n{}\n", style::bold(&table.caption), model_table(table)));
            for note in &table.notes {
                text.push_str(&format!("{}\n", style::dim(note)));
            }
        }
    }
    for caveat in &model.caveats {
        let subject = if caveat.case.is_empty() { String::new() } else { format!("{}: ", caveat.case) };
        text.push_str(&format!("{} {subject}{}\n", tone(caveat.tone, caveat.code), caveat.text));
    }
    text.push_str(&format!("\n{}", tone(model.verdict.tone, &model.verdict.text)));
    text
}

fn tone(tone: Tone, text: &str) -> String {
    match tone {
        Tone::Good => style::good(text),
        Tone::Warning => style::warn(text),
        Tone::Bad => style::error(text),
        Tone::Neutral => text.to_owned(),
    }
}

fn model_table(source: &ModelTable) -> Table {
    let mut table = new_table();
    table.set_header(source.columns.iter().map(|c| match &c.unit {
        Some(unit) => format!("{}\n{unit}", c.title),
        None => c.title.clone(),
    }));
    for row in &source.rows {
        table.add_row(row.cells.iter().zip(&source.columns).map(|(cell, column)| {
            let text = match cell.kind {
                CellKind::Failed => style::error(&cell.text),
                CellKind::Missing => style::dim(&cell.text),
                _ => cell.text.clone(),
            };
            let text = match &cell.interval {
                Some(interval) => format!("{text}\n{}", style::dim(interval)),
                None => text,
            };
            let align = if column.numeric { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(text).set_alignment(align)
        }));
    }
    table
}

/// Which files were written, and how large they are.
pub(super) fn files(dir: &Path, files: &[(PathBuf, usize)]) -> String {
    let mut text = format!("record   {}\n", dir.join("record.json").display());
    for (path, bytes) in files {
        text.push_str(&format!("report   {} ({} kB)\n", path.display(), bytes.div_ceil(1000)));
    }
    text
}
