//! The view model: everything a report shows, final. Numbers are scaled, units chosen, sentences
//! written; a renderer only places things. Every string is plain text without control characters,
//! and every renderer must escape it for its own format.

mod build;
pub(in crate::report) mod cards;
mod charts;
pub(in crate::report) mod context;
mod crossover;
pub(in crate::report) mod grid;
pub(in crate::report) mod plain;
mod results;
pub(in crate::report) mod short;
mod tables;
mod trace;
pub(in crate::report) mod uncertainty;

use crate::analysis::Summary;
use serde::Serialize;

/// All that a report shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReportModel {
    /// Title of the suite.
    pub title: String,
    /// One line below it: machine, date, tool.
    pub subtitle: String,
    /// Record id: stands in every page's footer.
    pub record_id: String,
    /// Start of the run, RFC 3339. The only date a renderer may print or embed.
    pub date: String,
    /// The result in one sentence.
    pub verdict: VerdictLine,
    /// Short facts for the head of the report.
    pub facts: Vec<Fact>,
    /// The result table: one row a workload case.
    pub results: Table,
    /// Energy by domain; no rows when none was read.
    pub domains: Table,
    /// Processor counters by case; counters this host lacks have no column.
    pub counters: Table,
    /// Ceilings measured in the same run.
    pub ceilings: Table,
    /// Power at rest; no rows when none was read.
    pub idle: Table,
    /// Uncertainty budgets of the rated figures; no rows when no energy was measured.
    pub uncertainty: Table,
    /// Performance per watt, or performance where energy is not known.
    pub bars: BarChart,
    /// Efficiency (or performance) over intensity, log-log.
    pub roofline: Roofline,
    /// Sparse cases beside the dense ones that they replace.
    pub crossover: Crossover,
    /// Power over the run.
    pub trace: Trace,
    /// Every sensor family and its state.
    pub sensors: Vec<SensorCard>,
    /// The machine, in groups.
    pub environment: Vec<FactGroup>,
    /// What a reader must know, gravest first.
    pub caveats: Vec<CaveatLine>,
    /// How the figures were obtained, with the numbers of the profile.
    pub method: Vec<Paragraph>,
    /// Digests, tool and ids.
    pub provenance: Vec<Fact>,
    /// Unrounded figures for machine-readable formats; templates do not see them.
    #[serde(skip)]
    pub data: Data,
}

/// What machine-readable formats need besides the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Every figure, unrounded.
    pub summary: Summary,
    /// Identity of the record.
    pub identity: Identity,
}

/// Identity of the record a report was made from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Identity {
    /// Record id.
    pub id: String,
    /// Schema of the record.
    pub record_schema: u32,
    /// Start, RFC 3339.
    pub started_at: String,
    /// End; `None` when it was cut short.
    pub finished_at: Option<String>,
    /// `running`, `interrupted` or `complete`.
    pub state: &'static str,
    /// Why the record is no measurement of real hardware; empty for a real one.
    pub simulated: Vec<String>,
    /// Program and version.
    pub tool: String,
    /// Suite id.
    pub suite: String,
    /// SHA-256 of the suite's text.
    pub suite_sha256: String,
    /// SHA-256 of `samples.jsonl`.
    pub samples_sha256: String,
    /// Profile name.
    pub profile: String,
    /// Seed of inputs, order and bootstrap.
    pub seed: u64,
}

/// How something should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// In order.
    Good,
    /// Weaker than it looks.
    Warning,
    /// Void or failed.
    Bad,
    /// Neither.
    Neutral,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictLine {
    /// Its tone.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
}

/// A label and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Label.
    pub label: String,
    /// Value; `unknown` where it could not be found out.
    pub value: String,
    /// Whether the value is an identifier or code, to be set in a monospaced face.
    pub mono: bool,
}

/// Facts under one heading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactGroup {
    /// Heading.
    pub title: String,
    /// The facts.
    pub facts: Vec<Fact>,
}

/// A table. Every row has as many cells as there are columns; the first cell heads its row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Anchor of the table, unique in the report: `results`.
    pub id: &'static str,
    /// Caption.
    pub caption: String,
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows.
    pub rows: Vec<Row>,
    /// Notes below the table (what a dash means, which column is an estimate).
    pub notes: Vec<String>,
    /// What to print instead when there are no rows.
    pub empty: String,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Permanent key: `energy`.
    pub key: &'static str,
    /// Heading.
    pub title: String,
    /// Unit of all cells; `None` when cells carry their own unit or have none.
    pub unit: Option<String>,
    /// Whether cells are numbers (set right, tabular figures).
    pub numeric: bool,
    /// What it means, for a tooltip or legend.
    pub meaning: String,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Anchor, unique in the report: safe in HTML ids and URL fragments.
    pub anchor: String,
    /// Tone of the whole row (a void case is bad).
    pub tone: Tone,
    /// Cells, one a column.
    pub cells: Vec<Cell>,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// What stands in it, final: `12.3`, `12.3 mJ`, `not measured`.
    pub text: String,
    /// Interval, final: `12.1–12.6`; in the unit of the text.
    pub interval: Option<String>,
    /// What it is.
    pub kind: CellKind,
    /// Why, how, n: for a tooltip or footnote.
    pub note: Option<String>,
    /// Unscaled number to sort by.
    pub sort: Option<f64>,
}

/// What a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellKind {
    /// Words.
    Text,
    /// An identifier, to be set in a monospaced face.
    Code,
    /// A measured number.
    Measured,
    /// A number from a model, to be told apart from measured ones.
    Estimated,
    /// A number that was not measured; the note says why.
    Missing,
    /// A check that passed.
    Passed,
    /// A check that failed.
    Failed,
}

/// Horizontal bars with intervals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BarChart {
    /// Title.
    pub title: String,
    /// What it shows in a sentence or two, for screen readers.
    pub description: String,
    /// Label of the value axis with its unit: `GFLOP/J`.
    pub axis: String,
    /// Bars in the order of the table.
    pub bars: Vec<Bar>,
    /// Cases without a bar, and why.
    pub missing: Vec<Fact>,
    /// What to print instead when there are no bars.
    pub empty: String,
}

/// One bar, in the unit of the axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// Case id.
    pub label: String,
    /// Anchor of the table row.
    pub anchor: String,
    /// Length.
    pub value: f64,
    /// Interval, lower and upper.
    pub interval: Option<(f64, f64)>,
    /// Value as text, with unit.
    pub text: String,
}

/// Efficiency or performance over intensity, both axes logarithmic. All values are positive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Roofline {
    /// Title.
    pub title: String,
    /// What it shows, for screen readers.
    pub description: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Ceilings as polylines, left to right.
    pub ceilings: Vec<CeilingLine>,
    /// Cases.
    pub points: Vec<RooflinePoint>,
    /// What to print instead when there are no points.
    pub empty: String,
}

/// An axis: label with unit, and the range that holds all data with some air.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Axis {
    /// Label with unit: `FLOP/B`.
    pub label: String,
    /// Smallest value shown.
    pub min: f64,
    /// Largest value shown.
    pub max: f64,
}

/// A ceiling.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CeilingLine {
    /// Label: `f32 peak, 2 threads: 228 GFLOP/s`.
    pub label: String,
    /// `(x, y)` from left to right, inside the axes.
    pub points: Vec<(f64, f64)>,
}

/// A case in the roofline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RooflinePoint {
    /// Case id.
    pub label: String,
    /// Anchor of the table row.
    pub anchor: String,
    /// FLOP/B.
    pub x: f64,
    /// In the unit of the vertical axis.
    pub y: f64,
    /// Interval of `y`.
    pub interval: Option<(f64, f64)>,
    /// Values as text.
    pub text: String,
}

/// Where sparsity pays: time and energy of dense work over those of the sparse work that replaces it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossover {
    /// One chart for time, one for energy where it was measured; none without sparse cases that have a dense partner.
    pub charts: Vec<CrossoverChart>,
    /// Each family and where it crosses the dense case, in words.
    pub facts: Vec<Fact>,
}

/// A ratio over density, both axes logarithmic. All values are positive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossoverChart {
    /// Title.
    pub title: String,
    /// What it shows, for screen readers.
    pub description: String,
    /// Density: useful over dense operations.
    pub x: Axis,
    /// Dense over sparse.
    pub y: Axis,
    /// One line a family.
    pub series: Vec<CrossoverSeries>,
    /// What to print instead when there are no series.
    pub empty: String,
}

/// A family of sparse cases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossoverSeries {
    /// Its name.
    pub label: String,
    /// Densities rising.
    pub points: Vec<CrossoverPlace>,
}

/// A sparse case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CrossoverPlace {
    /// Density.
    pub x: f64,
    /// Dense over sparse.
    pub y: f64,
    /// Interval of `y`.
    pub interval: Option<(f64, f64)>,
}

/// Power over the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    /// Title.
    pub title: String,
    /// What it shows, for screen readers.
    pub description: String,
    /// Time in seconds since the start of the run.
    pub x: Axis,
    /// Power in watts.
    pub y: Axis,
    /// One line a domain, at most 2,000 points each, peaks kept.
    pub series: Vec<Series>,
    /// Windows to shade, in time order.
    pub spans: Vec<Span>,
    /// What to print instead when there are no series.
    pub empty: String,
}

/// A line of the trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// Domain, with a note when it lies inside another: `cores-0 (inside package-0)`.
    pub label: String,
    /// `(s, W)` in time order.
    pub points: Vec<(f64, f64)>,
}

/// A window in the trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// Start in seconds.
    pub from: f64,
    /// End in seconds.
    pub to: f64,
    /// Case id, or `idle before`, `idle after`.
    pub label: String,
    /// What it is.
    pub kind: SpanKind,
}

/// What a span of the trace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpanKind {
    /// The machine at rest.
    Idle,
    /// A window that counts.
    Window,
    /// A window that was discarded.
    Discarded,
}

/// A sensor family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SensorCard {
    /// Family id.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// Tone of its state.
    pub tone: Tone,
    /// `used`, `absent`, `denied`, `lost during the run`.
    pub state: &'static str,
    /// Why it is in that state, or how it was read.
    pub detail: String,
    /// What to do about it, exact.
    pub remedy: Option<String>,
    /// Its channels and notes.
    pub lines: Vec<String>,
}

/// A caveat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaveatLine {
    /// Permanent code.
    pub code: &'static str,
    /// Its tone.
    pub tone: Tone,
    /// Case id, or empty for the whole record.
    pub case: String,
    /// The text.
    pub text: String,
}

/// A paragraph under a heading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paragraph {
    /// Heading.
    pub title: String,
    /// The text.
    pub text: String,
}
