//! Geometric means over the cases that all arms have, and the sentence that a comparison comes to.
//!
//! The mean of logarithms over the same cases of two arms is the geometric mean of their ratios. Scatter is independent from
//! case to case; the gain of a sensor is one error in all of them, so that it does not average out.

use super::pairs::{Contest, Level, Member};
use super::pool::{self, Pooled};
use super::tables::{self, PooledArm, PooledCases};
use super::{Comparison, LeftOut, Metric, Rank, Ratio};
use crate::analysis::{Factors, Spread};
use crate::report::si;
use serde::Serialize;
use std::collections::BTreeSet;

/// Reasons that name arms name so many of them.
const NAMED: usize = 3;

/// The geometric mean of one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mean {
    /// Of what.
    pub metric: Metric,
    /// The cases it is over: those that all ranked arms have.
    pub cases: Vec<String>,
    /// The arms that have the metric at all, the best first.
    pub rows: Vec<MeanRow>,
    /// Cases that were left out, and why.
    pub left_out: Vec<LeftOut>,
}

/// An arm in a mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanRow {
    /// The arm, by place in `arms`.
    pub arm: usize,
    /// Geometric mean of its ratios to the reference: of energies, of times. `None` where there is no common case, or the
    /// reference has no figure.
    pub ratio: Option<Ratio>,
    /// The ranks that the data leave possible; `None` where its uncertainty is not known.
    pub rank: Option<Rank>,
}

/// A mean before ranks are known.
pub(super) struct PooledMean {
    metric: Metric,
    /// Places among the pooled cases.
    cases: Vec<usize>,
    arms: Vec<(usize, Pooled)>,
    left_out: Vec<(usize, Vec<usize>)>,
}

/// The mean of `metric` over the cases that all arms have which have it in any.
pub(super) fn of(metric: Metric, pooled: &PooledCases<'_>, arms: usize) -> PooledMean {
    let has = |case: usize, arm: usize| pooled.cases[case].arms.get(&arm).is_some_and(|a| a.figure(metric).is_some());
    let all = || 0..pooled.cases.len();
    let taking_part: Vec<usize> = (0..arms).filter(|arm| all().any(|case| has(case, *arm))).collect();
    let mut cases = Vec::new();
    let mut left_out = Vec::new();
    for case in all() {
        let lacking: Vec<usize> = taking_part.iter().copied().filter(|arm| !has(case, *arm)).collect();
        if lacking.is_empty() { cases.push(case) } else { left_out.push((case, lacking)) }
    }
    let mean = |arm: usize| -> Option<(usize, Pooled)> {
        let members: Vec<&PooledArm<'_>> = cases.iter().filter_map(|c| pooled.cases[*c].arms.get(&arm)).collect();
        Some((arm, mean_of(metric, &members, pooled.run_to_run)?))
    };
    let arms = if taking_part.len() > 1 { taking_part.into_iter().filter_map(mean).collect() } else { Vec::new() };
    PooledMean { metric, cases, arms, left_out }
}

/// The mean over the cases of one arm. What a run has in all its cases (a warm day) shows between the means of runs.
fn mean_of(metric: Metric, cases: &[&PooledArm<'_>], run_to_run: f64) -> Option<Pooled> {
    let figures: Vec<&Pooled> = cases.iter().filter_map(|c| c.figure(metric)).collect();
    if figures.is_empty() {
        return None;
    }
    let n = figures.len() as f64;
    let spreads: Result<Vec<&Spread>, String> =
        figures.iter().map(|f| f.spread.as_ref().map_err(Clone::clone)).collect();
    let runs = |case: &PooledArm<'_>| -> Vec<(usize, f64)> {
        let of = if metric == Metric::Energy { &case.energies } else { &case.runs };
        of.iter()
            .filter_map(|(entrant, run)| {
                let gauged = if metric == Metric::Energy { &run.energy } else { &run.time };
                Some((*entrant, gauged.as_ref().ok()?.center))
            })
            .collect()
    };
    let by_case: Vec<Vec<(usize, f64)>> = cases.iter().map(|c| runs(c)).collect();
    let complete: BTreeSet<usize> = by_case.first().into_iter().flatten().map(|(e, _)| *e).collect();
    let means: Vec<f64> = complete
        .into_iter()
        .filter_map(|entrant| {
            let of = |case: &Vec<(usize, f64)>| case.iter().find(|(e, _)| *e == entrant).map(|(_, center)| *center);
            Some(by_case.iter().map(of).sum::<Option<f64>>()? / n)
        })
        .collect();
    Some(Pooled {
        center: figures.iter().map(|f| f.center).sum::<f64>() / n,
        spread: spreads.map(|s| {
            let within = Spread::mean(s);
            // A declared scatter between runs may be common to all cases of a run as well.
            if means.len() > 1 {
                pool::between(&means, within, 0.0)
            } else {
                within.and_scatter(run_to_run * run_to_run * (1.0 - 1.0 / n))
            }
        }),
        windows: figures.iter().map(|f| f.windows).fold(0, u32::saturating_add),
        runs: figures.iter().map(|f| f.runs).max().unwrap_or(0),
    })
}

impl PooledMean {
    /// The means whose uncertainty is known.
    pub(super) fn contest(&self) -> Contest<'_> {
        let mut members = Vec::new();
        for (arm, pooled) in &self.arms {
            if let Ok(spread) = &pooled.spread {
                members.push(Member { arm: *arm, center: pooled.center, spread });
            }
        }
        Contest { members }
    }

    /// The finished mean, the best arm first.
    pub(super) fn table(&self, pooled: &PooledCases<'_>, reference: usize, level: &Level, factors: &Factors) -> Mean {
        let contest = self.contest();
        let ranks = level.decide(&contest).ranks();
        let rank = |arm: usize| contest.members.iter().position(|m| m.arm == arm).map(|i| ranks[i]);
        let theirs = self.arms.iter().find(|(arm, _)| *arm == reference).map(|(_, p)| p);
        let mut order: Vec<&(usize, Pooled)> = self.arms.iter().collect();
        order.sort_by(|a, b| a.1.center.total_cmp(&b.1.center).then(a.0.cmp(&b.0)));
        let rows = order.into_iter().map(|(arm, mine)| MeanRow {
            arm: *arm,
            ratio: theirs.and_then(|theirs| {
                let same = *arm == reference;
                tables::ratio((mine.center, &mine.spread), (theirs.center, &theirs.spread), same, level, factors)
            }),
            rank: rank(*arm),
        });
        let name = |arm: &usize| pooled.names[*arm];
        let left_out = self.left_out.iter().map(|(case, lacking)| {
            let named: Vec<&str> = lacking.iter().take(NAMED).map(name).collect();
            let more =
                if lacking.len() > NAMED { format!(" and {} more", lacking.len() - NAMED) } else { String::new() };
            let what = if self.metric == Metric::Energy { "energy" } else { "figure" };
            LeftOut {
                what: pooled.cases[*case].label.clone(),
                reason: format!("no {what} of it that may be compared from {}{more}", named.join(", ")),
            }
        });
        Mean {
            metric: self.metric,
            cases: self.cases.iter().map(|c| pooled.cases[*c].label.clone()).collect(),
            rows: rows.collect(),
            left_out: left_out.collect(),
        }
    }
}

/// What a comparison comes to, in one sentence.
pub(super) fn sentence(of: &Comparison) -> String {
    let metric = of.ranked_by();
    let what = match metric {
        Metric::Energy => "performance per watt",
        Metric::Time => "speed (energy was not measured)",
    };
    let scope = |n: usize| {
        if n == 1 { "the one case that all arms have".to_owned() } else { format!("{n} cases that all arms have") }
    };
    let Some(mean) = of.mean(metric).filter(|m| !m.rows.is_empty() && !m.cases.is_empty()) else {
        return format!("{} arms have no case in common; there are ranks by case, and no overall one", of.arms.len());
    };
    let first: Vec<&MeanRow> = mean.rows.iter().filter(|r| r.rank.is_some_and(|k| k.best == 1)).collect();
    let name = |row: &MeanRow| of.arms[row.arm].name.as_str();
    let over = scope(mean.cases.len());
    match first.as_slice() {
        [] => format!("nothing is ranked by {what}: the uncertainty of the figures is not known"),
        [only] => {
            let ratio = match (only.arm == of.reference, only.ratio.map(Ratio::inverse)) {
                (false, Some(Ratio { ratio, low: Some(low), high: Some(high), .. })) => format!(
                    ": {} times that of {} ({})",
                    si::number(ratio),
                    of.arms[of.reference].name,
                    si::interval(low, high, ratio)
                ),
                _ => String::new(),
            };
            format!("{} certainly has the highest {what} over {over}{ratio}", name(only))
        }
        several if several.len() == mean.rows.len() => {
            format!("no arm can be told apart from the others by {what} over {over}")
        }
        several => {
            let names: Vec<&str> = several.iter().take(NAMED).map(|r| name(r)).collect();
            let more = several.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{} arms share the first place by {what} over {over}: {}{more}", several.len(), names.join(", "))
        }
    }
}
