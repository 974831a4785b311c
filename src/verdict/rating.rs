//! Index and class: the weighted geometric mean of efficiency over reference, with its uncertainty
//! (docs/rating.md).

use super::Subject;
use crate::analysis::{Budget, Distribution, Term, TermName};
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
    /// The budget of U: the scatter of every case, and what the cases share.
    pub budget: Budget,
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

/// Rates the record; `None` where a case of the table has no figure or no stated uncertainty, or the table
/// has no rows.
pub(super) fn rate(subject: &Subject<'_>) -> Option<Rating> {
    let total: f64 = subject.table.rows.iter().map(|r| r.weight).sum();
    if subject.table.rows.is_empty() || total <= 0.0 {
        return None;
    }
    let mut rows = Vec::new();
    let mut arms = Vec::new();
    for row in &subject.table.rows {
        let case = subject.summary.cases.iter().find(|c| c.id == row.case)?;
        let efficiency = case.energy.efficiency.estimate()?.median;
        let budget = case.energy.budget("efficiency_flop_per_j")?;
        let weight = row.weight / total;
        rows.push(RatingRow {
            case: row.case.clone(),
            weight,
            efficiency,
            reference: row.efficiency,
            ratio: efficiency / row.efficiency,
            expanded_uncertainty: budget.expanded()?.expanded_uncertainty,
        });
        arms.push(Arm { case: &row.case, weight, budget });
    }
    // Not the system's logarithm: a certificate has the same bytes on every machine.
    let index = libm::exp(rows.iter().map(|r| r.weight * libm::log(r.ratio)).sum::<f64>());
    if !index.is_finite() {
        return None;
    }
    let budget = Budget::new(vec!["index"], terms(&arms), &subject.summary.uncertainty_policy.coverage);
    let expanded = *budget.expanded()?;
    let spread = 1.0 + expanded.expanded_uncertainty;
    let (lower, upper) = (index / spread, index * spread);
    let class_of = |x: f64| subject.policy.classes.iter().find(|(_, bound)| x >= *bound).map_or('G', |(c, _)| *c);
    let (letter, best) = (class_of(lower), class_of(upper));
    Some(Rating {
        index,
        expanded_uncertainty: expanded.expanded_uncertainty,
        coverage_factor: expanded.coverage_factor,
        lower,
        upper,
        class: Class { letter, not_excluded: (best != letter).then_some(best) },
        budget,
        rows,
    })
}

/// A case of the index: its weight is the relative sensitivity of the index to it.
struct Arm<'a> {
    case: &'a str,
    weight: f64,
    budget: &'a Budget,
}

/// The terms of the index (JCGM 100:2008, 5.1.6 and 5.2.2). Scatter is independent from case to case, and
/// so are the errors at the edges of windows. Gain, non-linearity and what polling does not see are one
/// error of one sensor in every case: they add up with their weights. Nothing of them cancels, because
/// the reference was not measured with this sensor.
fn terms(arms: &[Arm<'_>]) -> Vec<Term> {
    let mut joined: Vec<Term> = Vec::new();
    let mut edges: Vec<(TermName, Distribution, Option<f64>)> = Vec::new();
    let mut scatter = Vec::new();
    for Arm { case, weight, budget } in arms {
        for term in &budget.terms {
            let sensitivity = weight * term.sensitivity;
            match term.name {
                TermName::Scatter => {
                    let mut mine = term.clone().sensitivity(sensitivity);
                    mine.source = format!("{case}: {}", term.source);
                    scatter.push(mine);
                }
                name if name.is_of_windows() => {
                    let square = term.value.map(|v| (sensitivity * v) * (sensitivity * v));
                    match edges.iter_mut().find(|(n, d, _)| (*n, *d) == (term.name, term.distribution)) {
                        Some((_, _, sum)) => *sum = sum.zip(square).map(|(a, b)| a + b),
                        None => edges.push((term.name, term.distribution, square)),
                    }
                }
                _ => {
                    let same = |t: &&mut Term| {
                        (t.name, t.value, t.distribution, &t.shared, &t.source)
                            == (term.name, term.value, term.distribution, &term.shared, &term.source)
                    };
                    match joined.iter_mut().find(same) {
                        Some(sum) => *sum = sum.clone().sensitivity(sum.sensitivity + sensitivity),
                        None => joined.push(term.clone().sensitivity(sensitivity)),
                    }
                }
            }
        }
    }
    let edges = edges.into_iter().map(|(name, distribution, squares)| {
        let source = format!("root of the sum of squares over {} cases, each with its weight", arms.len());
        Term::new(name, distribution, squares.map(f64::sqrt), source)
    });
    scatter.into_iter().chain(joined).chain(edges).collect()
}

#[cfg(test)]
mod tests;
