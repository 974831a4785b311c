//! Index and class: the weighted geometric mean of efficiency over reference, with its uncertainty.

use super::Subject;
use serde::Serialize;

/// Index, interval and class.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rating {
    /// The index I; 1 is the reference.
    pub index: f64,
    /// Expanded uncertainty U of the index, relative.
    pub expanded_uncertainty: f64,
    /// Coverage factor of U.
    pub coverage_factor: f64,
    /// I / (1 + U), on which the class is taken.
    pub lower: f64,
    /// I · (1 + U), which says which better class is not excluded.
    pub upper: f64,
    /// The class.
    pub class: Class,
    /// What went into it.
    pub rows: Vec<RatingRow>,
}

/// A class and what the interval leaves open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Class {
    /// A … G, taken on the lower end of the interval.
    pub letter: char,
    /// The best class that the interval does not exclude, where it is another one.
    pub not_excluded: Option<char>,
}

/// One case of the index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatingRow {
    /// Case id.
    pub case: String,
    /// Weight, normalised over all rows.
    pub weight: f64,
    /// Measured useful FLOP/J (median).
    #[serde(rename = "efficiency_flop_per_j")]
    pub efficiency: f64,
    /// Reference useful FLOP/J.
    #[serde(rename = "reference_flop_per_j")]
    pub reference: f64,
    /// efficiency / reference.
    pub ratio: f64,
    /// Relative expanded uncertainty of the efficiency.
    pub expanded_uncertainty: f64,
}

/// Rates the record; `None` where a case of the table has no figure, or the table has no rows.
pub(super) fn rate(subject: &Subject<'_>) -> Option<Rating> {
    let total: f64 = subject.table.rows.iter().map(|r| r.weight).sum();
    if subject.table.rows.is_empty() || total <= 0.0 {
        return None;
    }
    let mut rows = Vec::new();
    let mut coverage_factor: f64 = 2.0;
    for row in &subject.table.rows {
        let case = subject.summary.cases.iter().find(|c| c.id == row.case)?;
        let efficiency = case.energy.efficiency.estimate()?.median;
        let crate::analysis::Combined::Stated(expanded) = &case.energy.budget("efficiency_flop_per_j")?.result else {
            return None;
        };
        coverage_factor = coverage_factor.max(expanded.coverage_factor);
        rows.push(RatingRow {
            case: row.case.clone(),
            weight: row.weight / total,
            efficiency,
            reference: row.efficiency,
            ratio: efficiency / row.efficiency,
            expanded_uncertainty: expanded.expanded_uncertainty,
        });
    }
    let index = rows.iter().map(|r| r.weight * r.ratio.ln()).sum::<f64>().exp();
    // The gain of one sensor is one error in all rows, so the uncertainties add up linearly.
    let expanded_uncertainty = rows.iter().map(|r| r.weight * r.expanded_uncertainty).sum::<f64>();
    let (lower, upper) = (index / (1.0 + expanded_uncertainty), index * (1.0 + expanded_uncertainty));
    let class_of = |x: f64| subject.policy.classes.iter().find(|(_, bound)| x >= *bound).map_or('G', |(c, _)| *c);
    let letter = class_of(lower);
    let best = class_of(upper);
    let class = Class { letter, not_excluded: (best != letter).then_some(best) };
    Some(Rating { index, expanded_uncertainty, coverage_factor, lower, upper, class, rows })
}
