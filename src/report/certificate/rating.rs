//! Class and index in words, on a scale and as a table.

use super::model::RatingPanel;
use crate::analysis::{Dof, Term};
use crate::certificate::Dossier;
use crate::report::model::grid::{text_column, words};
use crate::report::model::plain::{plain, shorten};
use crate::report::model::uncertainty::{factor, two_digits};
use crate::report::model::{CellKind, Column, Row, Table, Tone};
use crate::report::plots::{ClassBand, ClassScale};
use crate::report::si;
use crate::verdict::{Rating, RatingRow};

/// What page one says of the rating; `None` where there is none.
pub(super) fn panel(dossier: &Dossier) -> Option<RatingPanel> {
    let certificate = &dossier.certificate;
    let rating = certificate.rating.as_ref()?;
    let letter = letter(rating.class.letter);
    Some(RatingPanel {
        open: rating
            .class
            .not_excluded
            .map(|c| format!("class {} is not excluded", self::letter(c)))
            .unwrap_or_default(),
        index: si::number(rating.index),
        interval: interval(rating),
        basis: format!(
            "Weighted geometric mean of performance per watt over the reference table {}: 1 is the reference. The class is \
             taken on the lower end of the interval.",
            shorten(&certificate.method.table.name, 60)
        ),
        provisional: certificate
            .method
            .table_provisional
            .as_ref()
            .map(|why| format!("Provisional reference: {}.", shorten(why, 160).trim_end_matches('.'))),
        scale: scale(rating, &dossier.policy.classes),
        letter,
    })
}

/// A class as it is printed: a policy may name its classes by any character.
fn letter(class: char) -> String {
    let text = plain(&class.to_string());
    if text.is_empty() { "?".to_owned() } else { text }
}

/// `1.76 to 1.98 (U = 5.8 %, k = 2)`.
fn interval(rating: &Rating) -> String {
    let bounds = si::interval(rating.lower, rating.upper, rating.index).replace('–', " to ");
    format!("{bounds} (U = {}, k = {})", two_digits(rating.expanded_uncertainty), factor(rating.coverage_factor))
}

/// A bound as the policy writes it: it was set, so no digit is added.
pub(super) fn set(bound: f64) -> String {
    shorten(&bound.to_string(), 8)
}

/// The classes side by side, the best to the right, on a logarithmic axis.
fn scale(rating: &Rating, classes: &[(char, f64)]) -> Option<ClassScale> {
    let mut bounds: Vec<(char, f64)> = classes.iter().copied().filter(|(_, b)| b.is_finite() && *b > 0.0).collect();
    bounds.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (lowest, highest) = (bounds.first()?.1, bounds.last()?.1);
    // Half an octave of the class below all bounds and of the best one would look like less than a class.
    let (start, end) = (log2(lowest) - 1.0, log2(highest) + 1.0);
    let at = |value: f64| if value > 0.0 { ((log2(value) - start) / (end - start)).clamp(0.0, 1.0) } else { 0.0 };
    let current = rating.class.letter;
    let mut bands = vec![ClassBand { letter: letter('G'), from: 0.0, to: at(lowest), current: current == 'G' }];
    for (i, (class, bound)) in bounds.iter().enumerate() {
        let to = bounds.get(i + 1).map_or(1.0, |(_, next)| at(*next));
        bands.push(ClassBand { letter: letter(*class), from: at(*bound), to, current: *class == current });
    }
    let listed: Vec<String> = bounds.iter().rev().map(|(c, b)| format!("{} from {}", letter(*c), set(*b))).collect();
    Some(ClassScale {
        title: "Classes".to_owned(),
        description: format!(
            "Scale of the classes from G to A: {}, G below. The index {} with its interval {} lies in class {}.",
            listed.join(", "),
            si::number(rating.index),
            interval(rating),
            letter(current)
        ),
        bounds: bounds.iter().map(|(_, bound)| (at(*bound), set(*bound))).collect(),
        bands,
        reference: at(1.0),
        index: at(rating.index),
        interval: (at(rating.lower), at(rating.upper)),
        text: si::number(rating.index),
    })
}

/// log₂ to 2⁻²⁴ by squaring: the same digits on every machine, whatever its mathematical library.
/// `value` is positive and finite.
fn log2(value: f64) -> f64 {
    let mut mantissa = value;
    let mut whole = 0.0;
    while mantissa >= 2.0 {
        mantissa /= 2.0;
        whole += 1.0;
    }
    while mantissa < 1.0 {
        mantissa *= 2.0;
        whole -= 1.0;
    }
    let (mut fraction, mut place) = (0.0, 0.5);
    for _ in 0..24 {
        mantissa *= mantissa;
        if mantissa >= 2.0 {
            mantissa /= 2.0;
            fraction += place;
        }
        place /= 2.0;
    }
    whole + fraction
}

/// One row a case of the index.
pub(super) fn table(dossier: &Dossier) -> Table {
    let rows = dossier.certificate.rating.as_ref().map(|r| r.rows.as_slice()).unwrap_or_default();
    let numeric = |key, title: &str, unit: Option<&str>, meaning: &str| Column {
        numeric: true,
        unit: unit.map(str::to_owned),
        ..text_column(key, title, meaning)
    };
    let row = |(n, row): (usize, &RatingRow)| {
        let source = dossier.table.row(&row.case).map_or_else(String::new, |r| shorten(&r.source, 160));
        let figure = |text: String, sort| {
            let mut cell = words(text, CellKind::Measured, None);
            cell.sort = Some(sort);
            cell
        };
        Row {
            anchor: format!("index-{n}"),
            tone: Tone::Neutral,
            cells: vec![
                words(shorten(&row.case, 120), CellKind::Code, None),
                figure(si::number(row.weight * 100.0), row.weight),
                figure(si::quantity(row.efficiency, "FLOP/J"), row.efficiency),
                figure(si::quantity(row.reference, "FLOP/J"), row.reference),
                figure(si::number(row.ratio), row.ratio),
                figure(two_digits(row.expanded_uncertainty), row.expanded_uncertainty),
                words(source, CellKind::Text, None),
            ],
        }
    };
    Table {
        id: "index",
        caption: "What went into the index".to_owned(),
        columns: vec![
            text_column("case", "Case", "the case"),
            numeric("weight", "Weight", Some("%"), "share in the index"),
            numeric("efficiency", "Perf/W", None, "median of the useful operations a joule"),
            numeric("reference", "Reference", None, "efficiency with index 1"),
            numeric("ratio", "Ratio", None, "perf/W over reference"),
            numeric("u", "U", None, "expanded uncertainty of perf/W"),
            text_column("source", "Source of the reference", "where the reference comes from"),
        ],
        rows: rows.iter().enumerate().map(row).collect(),
        notes: Vec::new(),
        empty: "No index could be formed: a case of the reference table has no figure, or the table has no row."
            .to_owned(),
    }
}

/// The uncertainty budget of the index, term by term; `None` where there is no index.
pub(super) fn budget(dossier: &Dossier) -> Option<Table> {
    let rating = dossier.certificate.rating.as_ref()?;
    let percent = |x: f64| {
        let mut cell = words(two_digits(x), CellKind::Measured, None);
        cell.sort = Some(x);
        cell
    };
    let unknown = || words("unknown", CellKind::Missing, None);
    let row = |(n, term): (usize, &Term)| Row {
        anchor: format!("index-term-{n}"),
        tone: Tone::Neutral,
        cells: vec![
            words(term.name.title(), CellKind::Text, None),
            words(shorten(&term.source, 160), CellKind::Text, None),
            term.value.map_or_else(unknown, percent),
            words(si::number(term.divisor), CellKind::Measured, None),
            words(si::number(term.sensitivity), CellKind::Measured, None),
            term.contribution.map_or_else(unknown, percent),
        ],
    };
    let notes = rating.budget.expanded().map(|e| {
        let (combined, k) = (two_digits(e.combined_standard_uncertainty), factor(e.coverage_factor));
        let dof = match e.effective_degrees_of_freedom {
            Dof::Finite(dof) if dof <= 1000.0 => si::number(dof),
            Dof::Finite(_) => "above 1000".to_owned(),
            Dof::Infinite => "infinite".to_owned(),
        };
        let u = two_digits(e.expanded_uncertainty);
        format!("u_c = {combined}, ν_eff = {dof}, k = {k}, U = k·u_c = {u}; scatter of each case apart, gain as one error of all cases.")
    });
    let numeric = |key, title: &str, meaning: &str| Column { numeric: true, ..text_column(key, title, meaning) };
    Some(Table {
        id: "index-budget",
        caption: "Uncertainty of the index".to_owned(),
        columns: vec![
            text_column("term", "Term", "the source of uncertainty"),
            text_column("source", "Source", "where its number comes from"),
            numeric("value", "Value", "standard deviation or half-width, relative"),
            numeric("divisor", "Divisor", "what makes a standard uncertainty of it"),
            numeric("weight", "Sensitivity", "relative change of the index for a relative change of the input"),
            numeric("contribution", "Contribution", "sensitivity · value / divisor"),
        ],
        rows: rating.budget.terms.iter().enumerate().map(row).collect(),
        notes: notes.into_iter().collect(),
        empty: "No term is known.".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Budget;
    use crate::verdict::Class;

    #[test]
    fn the_own_logarithm_agrees_with_the_library() {
        for value in [1e-9, 0.18, 0.71, 1.0, 1.41, 2.0, 5.66, 1000.0] {
            assert!((log2(value) - f64::log2(value)).abs() < 1e-6, "{value}: {}", log2(value));
        }
        assert_eq!((log2(8.0), log2(0.25)), (3.0, -2.0));
    }

    #[test]
    fn bands_meet_and_the_one_in_force_holds_the_lower_end() {
        let class = Class { letter: 'D', not_excluded: Some('C') };
        let rating = Rating {
            index: 1.4,
            expanded_uncertainty: 0.06,
            coverage_factor: 2.0,
            lower: 1.4 / 1.06,
            upper: 1.4 * 1.06,
            class,
            budget: Budget::not_stated(vec!["index"], "not drawn up for this test"),
            rows: Vec::new(),
        };
        let policy = crate::policy::Certification::shipped();
        let scale = scale(&rating, &policy.classes).unwrap();
        assert_eq!(scale.bands.iter().map(|b| b.letter.as_str()).collect::<String>(), "GFEDCBA");
        assert!(scale.bands.windows(2).all(|w| (w[0].to - w[1].from).abs() < 1e-12 && w[0].from < w[0].to));
        let current: Vec<&ClassBand> = scale.bands.iter().filter(|b| b.current).collect();
        assert_eq!(current.len(), 1);
        assert!(current[0].from <= scale.interval.0 && scale.interval.0 < current[0].to);
        assert!(scale.interval.1 > current[0].to, "the interval reaches into C");
        assert!(scale.interval.0 < scale.index && scale.index < scale.interval.1);
    }

    #[test]
    fn bounds_that_cannot_be_drawn_give_no_scale() {
        let class = Class { letter: 'A', not_excluded: None };
        let rating = Rating {
            index: f64::MAX,
            expanded_uncertainty: 0.0,
            coverage_factor: 2.0,
            lower: 0.0,
            upper: f64::MAX,
            class,
            budget: Budget::not_stated(vec!["index"], "not drawn up for this test"),
            rows: Vec::new(),
        };
        assert_eq!(super::scale(&rating, &[('A', 0.0), ('B', f64::NAN)]), None);
        let one = super::scale(&rating, &[('A', 1.0)]).unwrap();
        assert_eq!((one.index, one.interval), (1.0, (0.0, 1.0)));
    }
}
