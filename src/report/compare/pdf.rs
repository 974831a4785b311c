//! A comparison as PDF/A-2a and PDF/UA-1, by the machinery of the report's PDF.

use super::CompareModel;
use super::model::CaseSection;
use super::tables::cut;
use crate::report::ReportError;
use crate::report::model::Table;
use crate::report::pdf::{columns, date, environment, export, failed, inks, options, place_within};
use crate::report::plots;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use std::sync::OnceLock;

const TEMPLATE: &str =
    concat!(include_str!("../../../templates/parts.typ.j2"), include_str!("../../../templates/compare.typ.j2"));

/// Width and height in mm that a chart may take on a landscape page.
const ROOM: (f64, f64) = (190.0, 140.0);
/// The same below the table of a case.
const BESIDE_TABLE: (f64, f64) = (150.0, 84.0);

/// Arms of the ranking and of a case that paper holds; all stand in the HTML and the JSON.
const RANKED: usize = 60;
const ARMS: usize = 10;
/// Cases that are printed, and those whose front is drawn.
const CASES: usize = 60;
const FRONTS: usize = 8;
/// Rows of other tables.
const ROWS: usize = 60;

/// Renders the comparison as PDF.
pub(super) fn render(model: &CompareModel<'_>) -> Result<Vec<u8>, ReportError> {
    let mut files = Vec::new();
    let whole = "compare.html and compare.json";
    let short = |t: &Table, most| cut(t, most, 0, whole);
    let shown = |table: Table| {
        let shares = columns::shares(&table);
        context! { table => Value::from(Serde(table)), shares }
    };
    let mut cases = Vec::new();
    for (i, case) in model.cases.iter().take(CASES).enumerate() {
        let CaseSection { title, lead, table, more, front, number, .. } = case;
        let drawn = if i < FRONTS { plots::pareto(front) } else { None };
        cases.push(context! {
            title => format!("{number}. {title}"),
            lead => lead.clone(),
            front => place_within(BESIDE_TABLE, "front", drawn, &mut files)?,
            description => front.description.clone(),
            table => shown(cut(table, ARMS, *more, whole)),
        });
    }
    let more = model.cases.len().saturating_sub(CASES);
    let context = context! {
        c => Value::from(Serde(model)),
        means => place_within(ROOM, "means", plots::intervals(&model.means), &mut files)?,
        roofline => place_within(ROOM, "overlay", plots::overlay(&model.roofline), &mut files)?,
        ranking => shown(short(&model.ranking, RANKED)),
        cases,
        more => if more > 0 { format!("{more} more cases stand in {whole}.") } else { String::new() },
        sparse => shown(short(&model.sparse, ROWS)),
        environment => shown(short(&model.environment, ROWS)),
        left_out => shown(short(&model.left_out, ROWS)),
        records => shown(short(&model.records, ROWS)),
        date => date(&model.date)?,
        ink => inks(),
        widths => Value::from(()),
    };
    let source = templates()?
        .get_template("compare.typ")
        .and_then(|template| template.render(context))
        .map_err(|error| failed(format!("{error:#}")))?;
    let result = export(source, files, &options(&format!("compare:{}", model.id))?);
    // Typst memoises globally; without this a long-lived process would keep every document it made.
    typst::comemo::evict(0);
    result
}

fn templates() -> Result<&'static Environment<'static>, ReportError> {
    static TEMPLATES: OnceLock<Result<Environment<'static>, String>> = OnceLock::new();
    TEMPLATES.get_or_init(|| environment("compare.typ", TEMPLATE)).as_ref().map_err(failed)
}
