//! The figures of a record for the comparison in the browser.

use super::entry::Row;
use super::inert;
use crate::analysis::{Budget, CaseSummary, Dof, Figure, Status, Summary};
use crate::record::{Role, RunRecord};
use crate::report::model::plain::{plain, shorten};
use crate::report::model::uncertainty::two_digits;
use crate::report::si;
use serde::Serialize;

/// A record as `compare.js` reads it.
#[derive(Serialize)]
struct Sheet<'a> {
    slug: &'a str,
    id: &'a str,
    device: String,
    suite: &'a str,
    digest: String,
    boundary: &'a str,
    grade: &'a str,
    simulated: bool,
    cases: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    id: String,
    /// Useful operations, dense-equivalent operations and bytes of one iteration: only the same work is compared.
    work: Option<[f64; 3]>,
    time: Number,
    energy: Number,
    efficiency: Number,
}

/// A figure with the bounds of its interval, or why there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Known {
        text: String,
        spread: String,
        value: f64,
        low: Option<f64>,
        high: Option<f64>,
        /// Degrees of freedom of the interval, cut to a whole number; `None` where there are very many.
        dof: Option<u32>,
    },
    Unknown {
        why: String,
    },
}

/// A plain script that hands the record's figures to whoever put it into a page.
pub(super) fn script(
    row: &Row,
    boundary: &str,
    record: &RunRecord,
    summary: &Summary,
) -> Result<String, serde_json::Error> {
    let device: Vec<&str> = row.machines.iter().map(|m| m.device.as_str()).collect();
    let sheet = Sheet {
        slug: &row.slug,
        id: &row.id,
        device: device.join(", "),
        suite: &row.suite,
        digest: shorten(&record.header.suite.digest, 64),
        boundary,
        grade: &row.grade,
        simulated: !record.header.simulated.is_empty(),
        cases: summary.cases.iter().filter(|c| c.role == Role::Workload).map(case).collect(),
    };
    Ok(format!("wattproofFigures({});\n", inert::script(&sheet)?))
}

fn case(case: &CaseSummary) -> Case {
    let why = match &case.status {
        Status::Measured | Status::Partial { .. } => None,
        Status::WrongAnswer { .. } => Some("wrong answer"),
        Status::Failed { .. } => Some("failed"),
        Status::NotRun => Some("not run"),
    };
    Case {
        id: shorten(&case.id, 120),
        work: case.work.map(|w| [w.useful.get(), w.dense_equivalent.get(), w.bytes.get()]),
        time: number(&case.time, "s", None, why),
        energy: number(&case.energy.per_iteration, "J", Some(case.energy.budget("energy_j")), why),
        efficiency: number(&case.energy.efficiency, "FLOP/J", Some(case.energy.budget("efficiency_flop_per_j")), why),
    }
}

/// `budget` is `None` for a figure that needs none: its interval is that of the bootstrap.
fn number(figure: &Figure, unit: &str, budget: Option<Option<&Budget>>, void: Option<&str>) -> Number {
    let estimate = match (figure, void) {
        (Figure::Measured(estimate), None) => estimate,
        (_, Some(why)) => return Number::Unknown { why: why.to_owned() },
        (Figure::NotMeasured { reason }, None) => return Number::Unknown { why: plain(reason) },
    };
    let value = estimate.median;
    let text = si::quantity(value, unit);
    match budget {
        None => {
            let scale = si::Scale::of(value);
            let bounds = estimate.low.zip(estimate.high);
            let show = |(low, high)| {
                let range = si::interval(scale.apply(low), scale.apply(high), scale.apply(value));
                format!("{range} {}", scale.unit(unit))
            };
            Number::Known {
                text,
                spread: bounds.map_or_else(|| "no interval".to_owned(), show),
                value,
                low: bounds.map(|b| b.0),
                high: bounds.map(|b| b.1),
                dof: Some(estimate.n.saturating_sub(1)),
            }
        }
        Some(budget) => {
            let expanded = budget.and_then(|b| b.expanded());
            let bound = |sign: f64| expanded.map(|e| value * (1.0 + sign * e.expanded_uncertainty));
            Number::Known {
                text,
                spread: expanded.map_or_else(
                    || "uncertainty not stated".to_owned(),
                    |e| format!("± {}", two_digits(e.expanded_uncertainty)),
                ),
                value,
                low: bound(-1.0),
                high: bound(1.0),
                dof: expanded.and_then(|e| match e.effective_degrees_of_freedom {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
                    Dof::Finite(dof) => Some(dof.clamp(0.0, 1e6) as u32),
                    _ => None,
                }),
            }
        }
    }
}
