//! Widths of table columns, from the lengths of their texts.
//!
//! Typst could find them itself, by laying every cell out once more: for a table of 50 cases that
//! is half of the whole rendering time.

use crate::report::model::{Cell, CellKind, Table};

/// Intervals and units are set smaller than figures by this factor.
const SMALL: f64 = 0.86;
/// Characters of a column's padding.
const PADDING: f64 = 2.0;
/// Monospaced text and tabular figures are wider than words by this factor.
const WIDE: f64 = 1.15;
/// Texts wrap in columns wider than this many characters; in tables of many columns earlier.
const LONGEST: f64 = 52.0;
const LONGEST_AMONG_MANY: f64 = 26.0;

/// The share of the table's width each column gets, in characters of its widest line.
pub(in crate::report) fn shares(table: &Table) -> Vec<f64> {
    let longest = if table.columns.len() > 9 { LONGEST_AMONG_MANY } else { LONGEST };
    table
        .columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            let cells = table.rows.iter().filter_map(|row| row.cells.get(i)).map(needed);
            // Titles may wrap, but not inside a word.
            let word = column.title.split([' ', '-']).map(length).fold(0.0, f64::max) * 1.08;
            let unit = column.unit.as_deref().map_or(0.0, length) * SMALL;
            let widest = cells.fold(word.max(unit), f64::max);
            widest.min(longest) + PADDING
        })
        .collect()
}

fn needed(cell: &Cell) -> f64 {
    let face = if matches!(cell.kind, CellKind::Code | CellKind::Measured | CellKind::Estimated) { WIDE } else { 1.0 };
    // A check has its mark before the word.
    let mark = if matches!(cell.kind, CellKind::Passed | CellKind::Failed) { 2.0 } else { 0.0 };
    (length(&cell.text) * face + mark).max(cell.interval.as_deref().map_or(0.0, length) * SMALL * WIDE)
}

fn length(text: &str) -> f64 {
    text.chars().count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots::specimen::specimen;

    #[test]
    fn the_widest_text_decides_and_an_absurd_one_does_not() {
        let plain = specimen(5, &|s| s.to_owned()).results;
        let shares = shares(&plain);
        assert_eq!(shares.len(), plain.columns.len());
        // `attention-f32-b1-h8-q1024-causal-t3-v2` is the longest id: 38 · 1.15 + 2. `12.3 ms` with its
        // interval `12.1–12.6` needs 9 · 0.86 · 1.15 + 2.
        assert!((shares[0] - 45.7).abs() < 1e-9 && (shares[1] - 10.901).abs() < 1e-9, "{shares:?}");
        let absurd = specimen(5, &|s| s.repeat(1000)).results;
        assert!(super::shares(&absurd).iter().all(|w| *w <= LONGEST + PADDING));
    }
}
