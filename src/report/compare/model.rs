//! The view model of a comparison: everything its documents show, final. As for reports, every string is plain text without
//! control characters, and every renderer escapes it for its own format.

use super::{cases, charts, tables, words};
use crate::compare::Comparison;
use crate::report::model::{Axis, CaveatLine, Fact, Paragraph, Table, VerdictLine};
use serde::Serialize;

/// All that a comparison shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompareModel<'c> {
    /// `Comparison of 5 records`.
    pub title: String,
    /// One line below it.
    pub subtitle: String,
    /// Id of the comparison: stands in every page's footer.
    pub id: String,
    /// Newest start of a run, RFC 3339: the only date a renderer may embed.
    pub date: String,
    /// The result in one sentence.
    pub verdict: VerdictLine,
    /// Short facts for the head.
    pub facts: Vec<Fact>,
    /// What a reader must know, gravest first; stands before all figures.
    pub caveats: Vec<CaveatLine>,
    /// All arms, the best first.
    pub ranking: Table,
    /// Geometric means with intervals.
    pub means: Intervals,
    /// Efficiency (or performance) over intensity, all arms in one.
    pub roofline: Overlay,
    /// What differs between the environments.
    pub environment: Table,
    /// One section a case.
    pub cases: Vec<CaseSection>,
    /// Who gains from sparsity.
    pub sparse: Table,
    /// Cases and records that do not take part.
    pub left_out: Table,
    /// How the figures were obtained.
    pub method: Vec<Paragraph>,
    /// The records behind it.
    pub records: Table,
    /// Every figure unrounded, for machine-readable formats; templates do not see it.
    #[serde(skip)]
    pub data: &'c Comparison,
}

impl<'c> CompareModel<'c> {
    /// Prepares all that is shown of `comparison`.
    #[must_use]
    pub fn of(comparison: &'c Comparison) -> Self {
        Self {
            title: words::title(comparison),
            subtitle: words::subtitle(comparison),
            id: comparison.id.clone(),
            date: comparison.date.clone(),
            verdict: words::verdict(comparison),
            facts: words::facts(comparison),
            caveats: words::caveats(comparison),
            ranking: tables::ranking(comparison),
            means: charts::means(comparison),
            roofline: charts::roofline(comparison),
            environment: tables::environment(comparison),
            cases: cases::sections(comparison),
            sparse: tables::sparse(comparison),
            left_out: tables::left_out(comparison),
            method: words::method(comparison),
            records: tables::records(comparison),
            data: comparison,
        }
    }
}

/// A case of the comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseSection {
    /// Its number, as charts show it.
    pub number: usize,
    /// Case id.
    pub title: String,
    /// Who is best, in a few words.
    pub lead: String,
    /// Anchor, unique on the page.
    pub anchor: String,
    /// The arms, the best first, as many as are readable.
    pub table: Table,
    /// Arms that are not in the table.
    pub more: usize,
    /// Time against energy; no points where energy is not known.
    pub front: Pareto,
}

/// Points with intervals on a logarithmic axis, one a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Intervals {
    /// Title.
    pub title: String,
    /// What it shows, for screen readers.
    pub description: String,
    /// Label of the axis.
    pub axis: String,
    /// Rows from the best down.
    pub rows: Vec<IntervalRow>,
    /// What to print instead when there are no rows.
    pub empty: String,
}

/// A point with its interval; all values are positive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntervalRow {
    /// Name of the arm.
    pub label: String,
    /// Where the point is.
    pub value: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Value as text.
    pub text: String,
    /// Whether it is the reference.
    pub reference: bool,
}

/// Rooflines of several arms over one another, both axes logarithmic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overlay {
    /// Title.
    pub title: String,
    /// What it shows, for screen readers.
    pub description: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// One entry an arm, at most [`MARKS`].
    pub arms: Vec<OverlayArm>,
    /// Numbers of cases, with where they stand.
    pub numbers: Vec<(f64, String)>,
    /// What to print instead when there are no arms.
    pub empty: String,
}

/// Arms that marks can tell apart in one chart: six hues and four shapes, no pair of them twice.
pub const MARKS: usize = 12;

/// An arm in a roofline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverlayArm {
    /// Its name.
    pub label: String,
    /// Its roof from left to right; empty where a ceiling was not measured.
    pub roof: Vec<(f64, f64)>,
    /// Its cases.
    pub points: Vec<(f64, f64)>,
}

/// Time against energy of one case, both axes logarithmic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pareto {
    /// Title.
    pub title: String,
    /// What it shows, for screen readers.
    pub description: String,
    /// Time.
    pub x: Axis,
    /// Energy.
    pub y: Axis,
    /// The arms, at most [`MARKS`].
    pub points: Vec<ParetoPoint>,
    /// What to print instead when there are no points.
    pub empty: String,
}

/// An arm on a front.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParetoPoint {
    /// Its name, and whether it is on the front.
    pub label: String,
    /// Time.
    pub x: f64,
    /// Interval of the time.
    pub across: Option<(f64, f64)>,
    /// Energy.
    pub y: f64,
    /// Interval of the energy.
    pub along: Option<(f64, f64)>,
    /// Whether it is certainly not on the front.
    pub dominated: bool,
}
