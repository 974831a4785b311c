//! The report as PDF: Typst as a library, PDF/A-2a for archives and PDF/UA-1 for screen readers.
//!
//! The same model gives the same bytes: no clock, no random id, fonts embedded.

pub(in crate::report) mod columns;
mod literal;
mod world;

use super::model::BarChart;
use super::plots::{self, Figure, PlotError, palette};
use super::{Format, ReportError, ReportModel};
pub(in crate::report) use literal::displayable;
use literal::{literal, unbroken};
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use palette::Ink;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};
use typst::foundations::Smart;
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards};
use world::ReportWorld;
pub(in crate::report) use world::SANS;

/// The format's entry in the registry.
pub const FORMAT: Format = Format {
    id: "pdf",
    extension: "pdf",
    binary: true,
    summary: "PDF/A-2a and PDF/UA-1 for archives, print and screen readers",
    render,
};

const TEMPLATE: &str =
    concat!(include_str!("../../../templates/parts.typ.j2"), include_str!("../../../templates/report.typ.j2"));

/// Width and height in mm that a chart may take on a portrait page.
const ROOM: (f64, f64) = (178.0, 225.0);
/// Bars on one page.
const BARS: usize = 40;

/// Renders the report as PDF.
///
/// # Errors
/// [`ReportError::Render`] when a chart cannot be drawn, the template refuses the model, Typst
/// cannot lay it out, or the result would break one of the two standards.
pub fn render(model: &ReportModel) -> Result<Vec<u8>, ReportError> {
    let (source, files) = prepare(model)?;
    let result = export(source, files, &options(&format!("report:{}", model.record_id))?);
    // Typst memoises globally; without this a long-lived process would keep every report it made.
    typst::comemo::evict(0);
    result
}

/// Files by name.
pub(in crate::report) type Files = Vec<(String, String)>;

/// The Typst source of a report and the charts that it includes.
fn prepare(model: &ReportModel) -> Result<(String, Files), ReportError> {
    let mut files = Vec::new();
    let bars = bar_pages(&model.bars)
        .map(|chart| place("bars", plots::bars(&chart), &mut files))
        .collect::<Result<Vec<_>, _>>()?;
    let crossovers = model.crossover.charts.iter().enumerate();
    let crossovers = crossovers
        .map(|(n, chart)| place(&format!("crossover-{n}"), plots::crossover(chart), &mut files))
        .collect::<Result<Vec<_>, _>>()?;
    let charts = context! {
        bars,
        roofline => place("roofline", plots::roofline(&model.roofline), &mut files)?,
        crossover => crossovers,
        trace => place("trace", plots::trace(&model.trace), &mut files)?,
    };
    let widths = context! {
        results => columns::shares(&model.results), uncertainty => columns::shares(&model.uncertainty),
        domains => columns::shares(&model.domains),
        ceilings => columns::shares(&model.ceilings), counters => columns::shares(&model.counters), idle => columns::shares(&model.idle),
    };
    let context = context! {
        report => Value::from(Serde(model)), charts, widths, date => date(&model.date)?, ink => inks(),
    };
    let source = templates()?
        .get_template("report.typ")
        .and_then(|template| template.render(context))
        .map_err(|error| failed(format!("{error:#}")))?;
    Ok((source, files))
}

pub(in crate::report) fn failed(reason: impl Into<String>) -> ReportError {
    ReportError::Render { format: FORMAT.id, reason: reason.into() }
}

/// Both standards, and `wattproof:` and `ident` as the document's id: the same for the same document.
pub(in crate::report) fn options(ident: &str) -> Result<PdfOptions, ReportError> {
    let standards =
        PdfStandards::new(&[PdfStandard::A_2a, PdfStandard::Ua_1]).map_err(|e| failed(e.message().to_string()))?;
    Ok(PdfOptions {
        ident: Smart::Custom(format!("wattproof:{ident}")),
        creator: Smart::Custom(Some("wattproof".to_owned())),
        standards,
        ..PdfOptions::default()
    })
}

/// Lays out a document and writes it.
pub(in crate::report) fn export(source: String, files: Files, options: &PdfOptions) -> Result<Vec<u8>, ReportError> {
    let world = ReportWorld::new(source, files).map_err(failed)?;
    let reasons = |errors: typst::ecow::EcoVec<typst::diag::SourceDiagnostic>| {
        failed(errors.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join("; "))
    };
    let document = typst::compile::<PagedDocument>(&world).output.map_err(reasons)?;
    typst_pdf::pdf(&document, options).map_err(reasons)
}

/// A chart as a file of the document: its name, alternative text and width in mm. Nothing when
/// there is no chart.
pub(in crate::report) fn place(
    name: &str,
    figure: Option<Result<Figure, PlotError>>,
    files: &mut Files,
) -> Result<Value, ReportError> {
    place_within(ROOM, name, figure, files)
}

/// As [`place`], within a width and height in mm.
pub(in crate::report) fn place_within(
    room: (f64, f64),
    name: &str,
    figure: Option<Result<Figure, PlotError>>,
    files: &mut Files,
) -> Result<Value, ReportError> {
    let Some(figure) = figure else { return Ok(Value::from(())) };
    let figure = figure.map_err(|error| failed(error.to_string()))?;
    let path = format!("{name}-{}.svg", files.len());
    let (width, height) = figure.size();
    let scale = (room.0 / width).min(room.1 / height);
    let alt = format!("{}. {}", figure.title, figure.description);
    files.push((path.clone(), displayable(&figure.to_document(SANS)).collect()));
    Ok(context! { path, alt, width => format!("{:.2}", width * scale) })
}

/// The bars in as many charts as pages they need.
pub(in crate::report) fn bar_pages(chart: &BarChart) -> impl Iterator<Item = BarChart> + '_ {
    let pages = chart.bars.len().div_ceil(BARS).max(1);
    // Equal pages look better than a full one and a rest.
    chart
        .bars
        .chunks(chart.bars.len().div_ceil(pages).max(1))
        .map(|bars| BarChart { bars: bars.to_vec(), ..chart.clone() })
}

/// `datetime(…)` arguments of an RFC 3339 date. Both standards require one, and inventing it would
/// be worse than no report.
pub(in crate::report) fn date(text: &str) -> Result<Value, ReportError> {
    let date = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| failed(format!("the date `{text}` of the record is not RFC 3339: {error}")))?
        .to_offset(UtcOffset::UTC);
    Ok(context! {
        year => date.year(), month => u8::from(date.month()), day => date.day(),
        hour => date.hour(), minute => date.minute(), second => date.second(),
    })
}

/// The palette by name, in the colours of paper.
pub(in crate::report) fn inks() -> Value {
    let name = |ink: Ink| ink.property().trim_start_matches('-').to_owned();
    Value::from(Ink::all().map(|ink| (name(ink), palette::hex(ink.light()))).collect::<BTreeMap<_, _>>())
}

fn templates() -> Result<&'static Environment<'static>, ReportError> {
    static TEMPLATES: OnceLock<Result<Environment<'static>, String>> = OnceLock::new();
    TEMPLATES.get_or_init(|| environment("report.typ", TEMPLATE)).as_ref().map_err(failed)
}

/// Templates of Typst source: nothing is printed as it is.
pub(in crate::report) fn environment(
    name: &'static str,
    template: &'static str,
) -> Result<Environment<'static>, String> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.set_auto_escape_callback(|_| AutoEscape::Custom("typst".into()));
    // Nothing is printed as it is: a value without a filter comes out as a literal as well.
    templates.set_formatter(|out, _state, value| {
        let text = value.to_string();
        let shown = if value.is_safe() { text } else { literal(&text) };
        out.write_str(&shown).map_err(minijinja::Error::from)
    });
    // For ids that may be copied out of the document.
    templates.add_filter("id", |text: &str| Value::from_safe_string(unbroken(text)));
    // For headings, which PDF/UA does not allow to be empty.
    templates.add_filter("heading", |text: &str| {
        let text = if displayable(text).all(char::is_whitespace) { "(untitled)" } else { text };
        Value::from_safe_string(literal(text))
    });
    // For names and numbers that this module made itself.
    templates.add_filter("bare", |value: &Value| Value::from_safe_string(value.to_string()));
    templates.add_template(name, template).map_err(|error| format!("{error:#}"))?;
    Ok(templates)
}

#[cfg(test)]
mod tests;
