//! Sparse work beside the dense work that it replaces, arm by arm: who gains from sparsity, in time and in joules.

use super::tables::{self, PooledCase, PooledCases};
use super::{Metric, Ratio};
use crate::analysis::{Factors, Shape, replaces};
use serde::Serialize;

/// A sparse case and its dense partner.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sparse {
    /// The sparse case.
    pub case: String,
    /// The dense one, which does as many operations as the sparse one's dense equivalent.
    pub dense: String,
    /// Useful over dense operations.
    pub density: f64,
    /// One row for each arm that has both.
    pub rows: Vec<SparseRow>,
}

/// What sparsity gains an arm: above 1 it pays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SparseRow {
    /// The arm, by place in `arms`.
    pub arm: usize,
    /// Time of the dense case over that of the sparse one.
    pub speedup: Option<Ratio>,
    /// Energy of the dense case over that of the sparse one. Both are of one sensor, so its gain cancels.
    pub energy_ratio: Option<Ratio>,
}

/// Every sparse case that has a dense partner.
pub(super) fn of(pooled: &PooledCases<'_>, factors: &Factors) -> Vec<Sparse> {
    let pairs = pooled.cases.iter().filter_map(|sparse| {
        let dense = pooled.cases.iter().find(|dense| replaces(&shape(dense), &shape(sparse)))?;
        let work = sparse.model.work?;
        let rows: Vec<SparseRow> = sparse
            .arms
            .keys()
            .filter(|arm| dense.arms.contains_key(arm))
            .map(|arm| SparseRow {
                arm: *arm,
                speedup: gain(Metric::Time, *arm, dense, sparse, factors),
                energy_ratio: gain(Metric::Energy, *arm, dense, sparse, factors),
            })
            .collect();
        Some(Sparse {
            case: sparse.label.clone(),
            dense: dense.label.clone(),
            density: work.useful.get() / work.dense_equivalent.get(),
            rows,
        })
    });
    pairs.filter(|s| !s.rows.is_empty()).collect()
}

fn shape<'c>(case: &'c PooledCase<'_>) -> Shape<'c> {
    let model = case.model;
    let (cold, role) = (model.cache.is_cold(), model.role);
    Shape { work: model.work, params: &model.params, threads: model.threads, device: None, role, cold }
}

fn gain(
    metric: Metric,
    arm: usize,
    dense: &PooledCase<'_>,
    sparse: &PooledCase<'_>,
    factors: &Factors,
) -> Option<Ratio> {
    let (dense, sparse) = (dense.arms.get(&arm)?.figure(metric)?, sparse.arms.get(&arm)?.figure(metric)?);
    let log = dense.center - sparse.center;
    let known = dense.spread.as_ref().ok().zip(sparse.spread.as_ref().ok());
    let wide = known.map(|(d, s)| factors.expanded(&d.over(s)));
    let (low, high) = tables::bounds(log, wide).unzip();
    Some(Ratio {
        ratio: Some(libm::exp(log)).filter(|r| r.is_finite() && *r > 0.0)?,
        low,
        high,
        gain_cancels: known.is_some_and(|(d, s)| d.shares_with(s)),
        // For itself alone: gains of sparsity are no part of the family of ranks.
        certain: wide.is_some_and(|w| log.abs() > w),
    })
}
