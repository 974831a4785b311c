//! Where sparse work beats the dense work that it replaces: in time, and in joules.
//!
//! The partner of a sparse case is the case that does the whole dense work: as many operations as the sparse one's
//! dense equivalent, the same element type and threads, and the same value of every whole-number parameter that it has.

use super::summary::{CaseSummary, Estimate, Figure};
use crate::record::{Params, Role};
use serde::Serialize;

/// One family of sparse cases beside the dense case that they replace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossover {
    /// Id of the dense case.
    pub dense: String,
    /// Kernel of the sparse cases.
    pub kernel: String,
    /// What tells the family apart, for people: `spmm-bsr, block 16, 2 threads`.
    pub label: String,
    /// The sparse cases, from the lowest density up.
    pub points: Vec<CrossoverPoint>,
    /// Density at which both take the same time.
    pub time: BreakEven,
    /// Density at which both take the same energy.
    pub energy: BreakEven,
}

/// One sparse case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrossoverPoint {
    /// Case id.
    pub case: String,
    /// Useful operations over those of the dense case, in (0, 1).
    pub density: f64,
    /// Time of the dense case over that of this one: above 1, sparsity pays.
    pub speedup: Figure,
    /// Energy of the dense case over that of this one. Both are of one sensor, so its gain cancels and the interval
    /// holds scatter alone.
    pub energy_ratio: Figure,
}

/// Where a family crosses the dense case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "crosses")]
pub enum BreakEven {
    /// Between two measured densities; interpolated on logarithms of both axes.
    At {
        /// The density.
        density: f64,
    },
    /// Nowhere: the sparse cases are better at every density measured.
    Always {
        /// The highest of them.
        up_to: f64,
    },
    /// Nowhere: the dense case is better at every density measured.
    Never {
        /// The lowest of them.
        down_to: f64,
    },
    /// Nothing is known: no ratio was measured.
    Unknown,
}

/// Every family of sparse cases that has a dense partner among `cases`.
pub(super) fn of(cases: &[CaseSummary]) -> Vec<Crossover> {
    let mut families: Vec<(Key<'_>, Vec<&CaseSummary>)> = Vec::new();
    for case in cases.iter().filter(|c| c.role == Role::Workload) {
        let Some(dense) = partner(case, cases) else { continue };
        let key = Key { dense, kernel: &case.kernel, words: words(&case.params), threads: case.threads, extra: None };
        match families.iter_mut().find(|(known, _)| *known == key) {
            Some((_, members)) => members.push(case),
            None => families.push((key, vec![case])),
        }
    }
    families.into_iter().flat_map(|(key, members)| split(key, members)).map(|(key, m)| family(&key, &m)).collect()
}

/// What the cases of a family have in common.
#[derive(Debug, Clone)]
struct Key<'a> {
    dense: &'a CaseSummary,
    kernel: &'a str,
    words: Vec<(String, String)>,
    threads: Option<u32>,
    /// A whole-number parameter that tells apart cases of one density: the size of a block.
    extra: Option<(String, u64)>,
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.dense.id == other.dense.id
            && (self.kernel, &self.words, self.threads) == (other.kernel, &other.words, other.threads)
    }
}

/// What decides whether one case does the whole work of another.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    /// Work of one iteration.
    pub work: Option<crate::record::Work>,
    /// Parameters.
    pub params: &'a Params,
    /// Threads it ran on.
    pub threads: Option<u32>,
    /// Device it ran on; `None` where it does not matter.
    pub device: Option<&'a crate::record::DeviceId>,
    /// Workload or ceiling probe.
    pub role: Role,
    /// Whether its operands came from memory in every iteration.
    pub cold: bool,
}

impl<'a> Shape<'a> {
    fn of(case: &'a CaseSummary) -> Self {
        Self {
            work: case.work,
            params: &case.params,
            threads: case.threads,
            device: case.device.as_ref(),
            role: case.role,
            cold: case.cache.is_cold(),
        }
    }
}

/// Whether `dense` does the whole work of `sparse`, and `sparse` leaves a part of it out.
#[must_use]
pub fn replaces(dense: &Shape<'_>, sparse: &Shape<'_>) -> bool {
    let Some(whole) = sparse.work.filter(|w| w.dense_equivalent > w.useful).map(|w| w.dense_equivalent) else {
        return false;
    };
    let whole_work = dense.work.is_some_and(|w| w.useful == whole && w.dense_equivalent == whole);
    let alike = (dense.params.dtype, dense.threads, dense.cold) == (sparse.params.dtype, sparse.threads, sparse.cold);
    let shape = || integers(dense.params).all(|(name, n)| integers(sparse.params).any(|(k, m)| (k, m) == (name, n)));
    whole_work && alike && dense.role == Role::Workload && dense.device == sparse.device && shape()
}

/// The dense case that does the whole work of `case`, where that is sparse.
fn partner<'a>(case: &CaseSummary, cases: &'a [CaseSummary]) -> Option<&'a CaseSummary> {
    cases.iter().find(|other| replaces(&Shape::of(other), &Shape::of(case)))
}

fn integers(params: &Params) -> impl Iterator<Item = (&str, u64)> {
    params.values.iter().filter_map(|(name, value)| match value {
        crate::kernels::ParamValue::Integer(n) => Some((name.as_str(), *n)),
        _ => None,
    })
}

fn words(params: &Params) -> Vec<(String, String)> {
    let word = |(name, value): (&String, &crate::kernels::ParamValue)| match value {
        crate::kernels::ParamValue::Word(word) => Some((name.clone(), word.clone())),
        _ => None,
    };
    params.values.iter().filter_map(word).collect()
}

fn density(case: &CaseSummary) -> f64 {
    case.work.map_or(1.0, |w| w.useful.get() / w.dense_equivalent.get())
}

/// Parts a family whose cases have one density twice by the whole-number parameter that tells them apart.
fn split<'a>(key: Key<'a>, members: Vec<&'a CaseSummary>) -> Vec<(Key<'a>, Vec<&'a CaseSummary>)> {
    let twice = |all: &[&CaseSummary]| {
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.02;
        all.iter().enumerate().any(|(i, a)| all[..i].iter().any(|b| near(density(a), density(b))))
    };
    if !twice(&members) {
        return vec![(key, members)];
    }
    let names: Vec<String> = members
        .iter()
        .flat_map(|m| integers(&m.params))
        .map(|(name, _)| name)
        .filter(|name| integers(&key.dense.params).all(|(known, _)| known != *name))
        .map(str::to_owned)
        .collect();
    let value = |case: &CaseSummary, name: &str| integers(&case.params).find(|(k, _)| *k == name).map(|(_, n)| n);
    for name in names {
        let mut parts: Vec<(Key<'a>, Vec<&'a CaseSummary>)> = Vec::new();
        for case in &members {
            let Some(n) = value(case, &name) else { continue };
            match parts.iter_mut().find(|(k, _)| k.extra.as_ref().is_some_and(|(_, m)| *m == n)) {
                Some((_, all)) => all.push(case),
                None => parts.push((Key { extra: Some((name.clone(), n)), ..key.clone() }, vec![case])),
            }
        }
        if parts.len() > 1 && parts.iter().all(|(_, all)| !twice(all)) {
            return parts;
        }
    }
    vec![(key, members)]
}

fn family(key: &Key<'_>, members: &[&CaseSummary]) -> Crossover {
    let mut label = key.kernel.to_owned();
    for (name, word) in &key.words {
        label.push_str(&format!(", {name} {word}"));
    }
    if let Some((name, n)) = &key.extra {
        label.push_str(&format!(", {name} {n}"));
    }
    if key.dense.cache.is_cold() {
        label.push_str(", cold");
    }
    match key.threads {
        Some(1) => label.push_str(", 1 thread"),
        Some(n) => label.push_str(&format!(", {n} threads")),
        None => {}
    }
    let mut points: Vec<CrossoverPoint> = members.iter().map(|case| point(key.dense, case)).collect();
    points.sort_by(|a, b| a.density.total_cmp(&b.density));
    let even = |pick: fn(&CrossoverPoint) -> &Figure| {
        break_even(points.iter().filter_map(|p| Some((p.density, pick(p).estimate()?.median))))
    };
    let (time, energy) = (even(|p| &p.speedup), even(|p| &p.energy_ratio));
    Crossover { dense: key.dense.id.clone(), kernel: key.kernel.to_owned(), label, points, time, energy }
}

fn point(dense: &CaseSummary, sparse: &CaseSummary) -> CrossoverPoint {
    CrossoverPoint {
        case: sparse.id.clone(),
        density: density(sparse),
        speedup: ratio(&dense.time, &sparse.time),
        energy_ratio: ratio(&dense.energy.per_iteration, &sparse.energy.per_iteration),
    }
}

fn ratio(dense: &Figure, sparse: &Figure) -> Figure {
    let of = |e: &Estimate, other: &Estimate| e.over(*other);
    match (dense.estimate(), sparse.estimate()) {
        (Some(a), Some(b)) => of(a, b).map_or_else(|| Figure::missing("a figure is not positive"), Figure::Measured),
        (None, _) => Figure::missing(format!("of the dense case: {}", dense.reason().unwrap_or("it was not measured"))),
        (_, None) => Figure::missing(sparse.reason().unwrap_or("it was not measured")),
    }
}

/// Where a ratio crosses 1, densities rising. With several crossings the highest density counts: below it sparsity
/// pays at every measured density down to the next crossing.
fn break_even(points: impl Iterator<Item = (f64, f64)>) -> BreakEven {
    let points: Vec<(f64, f64)> = points.collect();
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return BreakEven::Unknown };
    let crossing = points.windows(2).rev().find(|w| w[0].1 >= 1.0 && w[1].1 < 1.0);
    match crossing {
        Some(w) => {
            let [(x0, y0), (x1, y1)] = [w[0], w[1]].map(|(x, y)| (libm::log(x), libm::log(y)));
            BreakEven::At { density: libm::exp(x0 + (x1 - x0) * y0 / (y0 - y1)) }
        }
        None if last.1 >= 1.0 => BreakEven::Always { up_to: last.0 },
        None => BreakEven::Never { down_to: first.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summarise;
    use crate::record::fixture;

    #[test]
    fn a_crossing_is_interpolated_on_logarithms() {
        let at = |points: &[(f64, f64)]| break_even(points.iter().copied());
        // Twice as fast at 0.1, half as fast at 0.4: as fast at the geometric mean.
        assert_eq!(at(&[(0.1, 2.0), (0.4, 0.5)]), BreakEven::At { density: 0.2 });
        assert_eq!(at(&[(0.02, 9.0), (0.1, 2.0)]), BreakEven::Always { up_to: 0.1 });
        assert_eq!(at(&[(0.02, 0.9), (0.1, 0.2)]), BreakEven::Never { down_to: 0.02 });
        assert_eq!(at(&[]), BreakEven::Unknown);
        // A dip between two densities that pay: the highest crossing.
        let BreakEven::At { density } = at(&[(0.1, 2.0), (0.2, 0.8), (0.3, 1.2), (0.4, 0.9)]) else { panic!() };
        assert!((0.3..0.4).contains(&density));
    }

    #[test]
    fn sparse_products_stand_beside_the_dense_one_of_their_shape_and_threads() {
        let summary = summarise(&fixture::crossing());
        let found = of(&summary.cases);
        let labels: Vec<&str> = found.iter().map(|c| c.label.as_str()).collect();
        assert_eq!(
            labels,
            [
                "spmm-csr, 2 threads",
                "spmm-bsr, block 16, 2 threads",
                "spmm-bsr, block 64, 2 threads",
                "spmm-2-4, 2 threads"
            ]
        );
        assert!(found.iter().all(|c| c.dense.starts_with("gemm-f32") && c.dense.contains("k1024")));
        let csr = &found[0];
        assert_eq!(csr.points.iter().map(|p| (p.density * 100.0).round()).collect::<Vec<_>>(), [2.0, 10.0, 50.0]);
        let dense = summary.cases.iter().find(|c| c.id == csr.dense).unwrap();
        let sparse = summary.cases.iter().find(|c| c.id == csr.points[1].case).unwrap();
        let median = |f: &Figure| f.estimate().unwrap().median;
        assert!((median(&csr.points[1].speedup) - median(&dense.time) / median(&sparse.time)).abs() < 1e-12);
        let energy = median(&dense.energy.per_iteration) / median(&sparse.energy.per_iteration);
        assert!((median(&csr.points[1].energy_ratio) - energy).abs() < 1e-12);
        assert!(matches!(csr.time, BreakEven::At { density } if (0.1..0.5).contains(&density)), "{:?}", csr.time);
        assert!(matches!(found[3].time, BreakEven::Always { .. } | BreakEven::Never { .. }));
        // Without energy nothing is said of it.
        let bare = of(&summarise(&fixture::cpu_only()).cases);
        assert!(bare.iter().all(|c| c.energy == BreakEven::Unknown));
    }
}
