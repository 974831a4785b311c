//! The certificate as PDF/A-2a and PDF/UA-1, by the machinery of the report's PDF.

use super::model::{Block, CertificateModel};
use crate::report::ReportError;
use crate::report::model::Table;
use crate::report::pdf::{
    Files, bar_pages, columns, date, displayable, environment, export, failed, inks, options, place,
};
use crate::report::plots;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, context};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Characters of a SHA-256 in hex.
const DIGEST: usize = 64;
const TEMPLATE: &str = include_str!("../../../templates/certificate.typ.j2");

/// Renders a certificate, a refusal or an inconclusive result as PDF.
///
/// # Errors
/// [`ReportError::Render`] when a chart cannot be drawn, the template refuses the model, Typst cannot lay it
/// out, or the result would break one of the two standards.
pub fn render(model: &CertificateModel) -> Result<Vec<u8>, ReportError> {
    let (source, files) = prepare(model)?;
    let result = export(source, files, &options(&format!("certificate:{}", model.id))?);
    // Typst memoises globally; without this a long-lived process would keep every document it made.
    typst::comemo::evict(0);
    result
}

/// The Typst source and the pictures that it includes.
pub(super) fn prepare(model: &CertificateModel) -> Result<(String, Files), ReportError> {
    let mut files = Vec::new();
    let mut bars = Vec::new();
    let mut trace = Value::from(());
    let mut widths = BTreeMap::new();
    for block in model.sections.iter().flat_map(|s| &s.blocks) {
        match block {
            Block::Bars(chart) => {
                for page in bar_pages(chart) {
                    bars.push(place("bars", plots::bars(&page), &mut files)?);
                }
            }
            Block::Trace(chart) => trace = place("trace", plots::trace(chart), &mut files)?,
            Block::Table(table) => {
                widths.insert(table.id, shares(table));
            }
            _ => {}
        }
    }
    // An empty chart has no picture; the template prints its sentence.
    bars.retain(|chart| !chart.is_none());
    let scale = model.rating.as_ref().and_then(|r| r.scale.as_ref());
    let scale = place("scale", scale.map(|s| plots::classes(s, plots::WIDTH)), &mut files)?;
    if model.verify.code_size > 0 {
        files.push(("code.svg".to_owned(), code(model)));
    }
    let context = context! {
        c => Value::from(Serde(model)),
        charts => context! { bars, trace, scale },
        widths,
        date => date(&model.issued)?,
        ink => inks(),
    };
    let source = templates()?
        .get_template("certificate.typ")
        .and_then(|template| template.render(context))
        .map_err(|error| failed(format!("{error:#}")))?;
    Ok((source, files))
}

/// Shares of the columns: none so narrow that a word breaks, and prose wraps before it takes the room of
/// figures. A digest must stand on one line, so that it can be copied.
fn shares(table: &Table) -> Vec<f64> {
    let (least, most) = if table.columns.len() > 6 { (5.0, 30.0) } else { (11.0, 40.0) };
    let digests = |i: usize| table.rows.iter().any(|row| row.cells.get(i).is_some_and(|c| c.text.len() == DIGEST));
    let wanted = columns::shares(table).into_iter().enumerate();
    wanted.map(|(i, share)| if digests(i) { 66.0 } else { share.clamp(least, most) }).collect()
}

/// The code as an SVG document.
fn code(model: &CertificateModel) -> String {
    let (n, path) = (model.verify.code_size, &model.verify.code_path);
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{n}\" height=\"{n}\" viewBox=\"0 0 {n} {n}\">\
         <rect width=\"{n}\" height=\"{n}\" fill=\"#ffffff\"/><path fill=\"#000000\" d=\"{path}\"/></svg>"
    );
    displayable(&svg).collect()
}

fn templates() -> Result<&'static Environment<'static>, ReportError> {
    static TEMPLATES: OnceLock<Result<Environment<'static>, String>> = OnceLock::new();
    TEMPLATES.get_or_init(|| environment("certificate.typ", TEMPLATE)).as_ref().map_err(failed)
}
