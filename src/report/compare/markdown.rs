//! A comparison as Markdown, for pull requests and issue trackers: tables, no HTML.

use super::CompareModel;
use super::tables::cut;
use crate::report::ReportError;
use crate::report::markdown::{environment, table};
use minijinja::value::Serde;
use minijinja::{Error, Value, context};

const TEMPLATE: &str = include_str!("../../../templates/compare.md.j2");

/// Arms of the ranking, and of a case: GitHub takes 65,536 characters.
const RANKED: usize = 50;
const ARMS: usize = 6;
/// Cases that are written out.
const CASES: usize = 20;
/// Rows of what was left out, and of records.
const ROWS: usize = 30;

/// Renders the comparison as Markdown.
pub(super) fn render(model: &CompareModel<'_>) -> Result<Vec<u8>, ReportError> {
    fill(model)
        .map(String::into_bytes)
        .map_err(|e| ReportError::Render { format: "compare.md", reason: format!("{e:#}") })
}

fn fill(model: &CompareModel<'_>) -> Result<String, Error> {
    let environment_of = environment("compare.md", TEMPLATE)?;
    let whole = "compare.html and compare.json";
    let part = |t: &crate::report::model::Table, most, more| Value::from_safe_string(table(&cut(t, most, more, whole)));
    let safe = |t: &crate::report::model::Table, most| part(t, most, 0);
    let cases: Vec<Value> = model
        .cases
        .iter()
        .take(CASES)
        .map(|case| {
            context! {
                number => case.number,
                title => case.title.clone(),
                lead => case.lead.clone(),
                caption => case.table.caption.clone(),
                table => part(&case.table, ARMS, case.more),
            }
        })
        .collect();
    let more = model.cases.len().saturating_sub(CASES);
    let more = if more > 0 { format!("{more} more cases stand in {whole}.") } else { String::new() };
    environment_of.get_template("compare.md")?.render(context! {
        c => Value::from(Serde(model)),
        ranking => safe(&model.ranking, RANKED),
        cases,
        more,
        sparse => safe(&model.sparse, ROWS),
        environment => safe(&model.environment, 100),
        left_out => safe(&model.left_out, ROWS),
        records => safe(&model.records, ROWS),
    })
}
