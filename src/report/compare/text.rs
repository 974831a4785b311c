//! The ranking as plain rows, for the terminal. Borders, widths and colours are the command line's.

use super::CompareModel;
use super::cases::rank_word;
use crate::compare::Metric;
use crate::report::model::Tone;
use crate::report::text::{TextRow, TextTable};

/// Arms that a terminal shows.
const SHOWN: usize = 60;

/// The ranking, narrowed to what fits a terminal: rank, arm, ratios with intervals, grade.
#[must_use]
pub fn ranking(model: &CompareModel<'_>) -> TextTable {
    let table = &model.ranking;
    let wanted = ["rank", "arm", "efficiency", "time", "time-rank", "device", "grade"];
    let place = |key: &str| table.columns.iter().position(|c| c.key == key);
    let columns: Vec<usize> = wanted.iter().filter_map(|key| place(key)).collect();
    let heading = |i: &usize| {
        let column = &table.columns[*i];
        match column.key {
            "efficiency" | "time" => format!("{}, {}", column.title, column.unit.as_deref().unwrap_or_default()),
            _ => column.title.clone(),
        }
    };
    let rows = table.rows.iter().take(SHOWN).map(|row| TextRow {
        tone: Tone::Neutral,
        cells: columns
            .iter()
            .map(|i| match &row.cells[*i] {
                cell if table.columns[*i].key == "arm" => cell.text.clone(),
                cell => cell.interval.as_ref().map_or_else(|| cell.text.clone(), |v| format!("{} ({v})", cell.text)),
            })
            .collect(),
        kinds: columns.iter().map(|i| row.cells[*i].kind).collect(),
    });
    let mut notes = table.notes.clone();
    if table.rows.len() > SHOWN {
        notes.push(format!("{} more arms stand in the written files.", table.rows.len() - SHOWN));
    }
    // Where nothing is ranked, the reasons are what a reader looks for.
    let c = model.data;
    if c.arms.iter().enumerate().all(|(i, _)| rank_word(c, Metric::Time, i) == "–") && notes.is_empty() {
        notes.push("Arms have no case in common, so there is no overall rank; cases are ranked one by one.".to_owned());
    }
    TextTable {
        header: columns.iter().map(heading).collect(),
        numeric: columns.iter().map(|i| table.columns[*i].numeric).collect(),
        rows: rows.collect(),
        notes: if table.rows.is_empty() { vec![table.empty.clone()] } else { notes },
    }
}
