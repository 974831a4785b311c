//! One table a case: figures of all arms, ratios to the reference, ranks, the front.

use super::arms::Group;
use super::entrant::Entry as Run;
use super::pairs::{self, Contest, Level, Member};
use super::pool::{self, Pooled};
use super::{Accept, By, Front, LeftOut, Metric, Options, Rank};
use crate::analysis::{Factors, Spread};
use crate::record::{Params, Work};
use serde::Serialize;
use std::collections::BTreeMap;

/// Why an arm without a case is left out of it.
const ABSENT: &str = "it does not have the case";

/// A figure with its interval: all sources, scatter and sensors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// Mean on logarithms.
    pub value: f64,
    /// Lower bound; `None` where the uncertainty is not known.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
}

/// An arm over the reference.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// The ratio.
    pub ratio: f64,
    /// Lower bound; `None` where the uncertainty is not known.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
    /// Whether a sensor or clock is in both and its gain cancels.
    pub gain_cancels: bool,
    /// Whether the two are told apart in the family of all tests.
    pub certain: bool,
}

/// Of the reciprocal figure.
impl Ratio {
    #[must_use]
    pub(crate) fn inverse(self) -> Self {
        Self { ratio: 1.0 / self.ratio, low: self.high.map(|h| 1.0 / h), high: self.low.map(|l| 1.0 / l), ..self }
    }
}

/// A case that at least two arms have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// Case id; by element type the id without it.
    pub id: String,
    /// Kernel id.
    pub kernel: String,
    /// Useful operations an iteration.
    pub useful_flop: Option<f64>,
    /// Operations that dense work would need for the same result.
    pub dense_equivalent_flop: Option<f64>,
    /// Energies are compared inside this boundary; empty without energy.
    pub boundary: String,
    /// One row for each arm that has the case, in the order of the arms.
    pub rows: Vec<Entry>,
    /// Arms that have it not, or whose figures may not be compared, and why.
    pub left_out: Vec<LeftOut>,
}

/// A case of an arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The arm, by place in `arms`.
    pub arm: usize,
    /// Useful FLOP over compulsory bytes; `None` for a kernel without one of them.
    pub intensity_flop_per_b: Option<f64>,
    /// Seconds an iteration.
    pub time_s: Option<Figure>,
    /// Over the reference.
    pub time_ratio: Option<Ratio>,
    /// By time; `None` where its uncertainty is not known.
    pub time_rank: Option<Rank>,
    /// Gross joules an iteration.
    pub energy_j: Option<Figure>,
    /// Over the reference.
    pub energy_ratio: Option<Ratio>,
    /// By energy and so by performance per watt.
    pub energy_rank: Option<Rank>,
    /// Useful FLOP/J.
    pub efficiency_flop_per_j: Option<Figure>,
    /// Dense-equivalent FLOP/J, of sparse work.
    pub dense_equivalent_flop_per_j: Option<Figure>,
    /// Place on the front of time against energy.
    pub front: Option<Front>,
    /// Why there is no energy, or no uncertainty of it.
    pub why: Option<String>,
    /// Windows behind the time.
    pub windows: u32,
    /// Records behind the time.
    pub runs: u32,
}

/// Cases of all arms, pooled.
pub(super) struct PooledCases<'e> {
    pub(super) cases: Vec<PooledCase<'e>>,
    pub(super) names: Vec<&'e str>,
    pub(super) run_to_run: f64,
}

/// A case of all arms, pooled.
pub(super) struct PooledCase<'e> {
    pub(super) label: String,
    pub(super) model: &'e Run,
    pub(super) boundary: String,
    pub(super) arms: BTreeMap<usize, PooledArm<'e>>,
    left_out: Vec<LeftOut>,
}

/// A case of an arm, pooled.
pub(super) struct PooledArm<'e> {
    pub(super) runs: Vec<(usize, &'e Run)>,
    /// Which of `runs` have an energy that may be compared.
    pub(super) energies: Vec<(usize, &'e Run)>,
    pub(super) time: Pooled,
    pub(super) energy: Result<Pooled, String>,
}

impl PooledArm<'_> {
    pub(super) fn figure(&self, metric: Metric) -> Option<&Pooled> {
        match metric {
            Metric::Energy => self.energy.as_ref().ok(),
            Metric::Time => Some(&self.time),
        }
    }
}

/// Matches the cases of `arms`, in the order of the reference's plan.
pub(super) fn pool<'e>(
    arms: &'e [Group<'e>],
    reference: usize,
    options: &Options,
    left_out: &mut Vec<LeftOut>,
) -> PooledCases<'e> {
    let mut order: Vec<usize> = (0..arms.len()).collect();
    order.swap(0, reference);
    let mut seen = std::collections::BTreeSet::new();
    let mut cases = Vec::new();
    for leader in &order {
        for key in &arms[*leader].order {
            if !seen.insert(key.as_str()) {
                continue;
            }
            match pool_case(key, arms, &order, options) {
                Ok(case) => cases.push(case),
                Err(reason) => {
                    let what =
                        arms[*leader].cases[key].first().map_or_else(|| key.clone(), |(_, e)| label(options.by, e));
                    left_out.push(LeftOut { what, reason });
                }
            }
        }
    }
    PooledCases { cases, names: arms.iter().map(|a| a.name.as_str()).collect(), run_to_run: options.run_to_run }
}

/// A case of all arms that have it; the reason where fewer than two do.
fn pool_case<'e>(
    key: &str,
    arms: &'e [Group<'e>],
    order: &[usize],
    options: &Options,
) -> Result<PooledCase<'e>, String> {
    let runs_of = |arm: usize| arms[arm].cases.get(key).map_or(&[][..], Vec::as_slice);
    // The first arm with a figure says what the case is; the reference is asked first.
    let usable = |run: &&(usize, &'e Run)| run.1.time.is_ok();
    let Some((_, model)) = order.iter().find_map(|arm| runs_of(*arm).iter().find(usable)) else {
        let why = order.iter().flat_map(|arm| runs_of(*arm)).find_map(|(_, run)| run.time.as_ref().err());
        return Err(why.map_or_else(|| "nothing was measured".to_owned(), |w| format!("no arm has a figure: {w}")));
    };
    let with_energy = order.iter().flat_map(|arm| runs_of(*arm)).find(|(_, run)| run.energy.is_ok());
    let boundary = with_energy.map(|(_, run)| run.boundary.clone()).unwrap_or_default();
    let mut case =
        PooledCase { label: label(options.by, model), model, boundary, arms: BTreeMap::new(), left_out: Vec::new() };
    for (number, arm) in arms.iter().enumerate() {
        match pool_arm(&case, runs_of(number), options) {
            Ok(pooled) => drop(case.arms.insert(number, pooled)),
            Err(reason) => case.left_out.push(LeftOut { what: arm.name.clone(), reason }),
        }
    }
    if case.arms.len() < 2 {
        let names: Vec<&str> = case.arms.keys().map(|a| arms[*a].name.as_str()).collect();
        let mut reasons: Vec<&str> = case.left_out.iter().map(|l| l.reason.as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let why = reasons.into_iter().take(2).collect::<Vec<_>>().join("; ");
        return Err(match why.as_str() {
            ABSENT => format!("only {} has it", names.join(", ")),
            why => format!("only {} has a figure of it; the others: {why}", names.join(", ")),
        });
    }
    Ok(case)
}

fn pool_arm<'e>(case: &PooledCase<'e>, all: &[(usize, &'e Run)], options: &Options) -> Result<PooledArm<'e>, String> {
    let Some((_, first)) = all.first() else { return Err(ABSENT.to_owned()) };
    let mut reason = None;
    let runs: Vec<(usize, &'e Run)> = all
        .iter()
        .copied()
        .filter(|(_, run)| match differs(run, case.model, options.by) {
            Some(why) => {
                reason.get_or_insert(why);
                false
            }
            None => true,
        })
        .collect();
    let times: Vec<_> = runs.iter().filter_map(|(_, r)| r.time.as_ref().ok()).collect();
    if times.is_empty() {
        let why = reason.or_else(|| first.time.as_ref().err().cloned());
        return Err(why.unwrap_or_else(|| "no window counts".to_owned()));
    }
    let mut why = None;
    let energies: Vec<(usize, &'e Run)> = runs
        .iter()
        .copied()
        .filter(|(_, run)| match &run.energy {
            Err(reason) => {
                why.get_or_insert_with(|| reason.clone());
                false
            }
            Ok(_) if run.boundary != case.boundary && !options.accept.contains(&Accept::Boundary) => {
                why = Some(format!(
                    "its energy is that of {}, here {} is compared (--accept boundary compares them)",
                    run.boundary, case.boundary
                ));
                false
            }
            Ok(_) => true,
        })
        .collect();
    let joules: Vec<_> = energies.iter().filter_map(|(_, r)| r.energy.as_ref().ok()).collect();
    let energy = match joules.as_slice() {
        [] => Err(why.unwrap_or_else(|| "energy was not measured".to_owned())),
        some => Ok(pool::pool(some, options.run_to_run)),
    };
    Ok(PooledArm { time: pool::pool(&times, options.run_to_run), energy, runs, energies })
}

/// Why a run of the same name is not the same case.
fn differs(run: &Run, model: &Run, by: By) -> Option<String> {
    let by_dtype = by == By::Dtype;
    let params = |p: &Params| {
        let dtype = (!by_dtype).then(|| p.dtype.to_string());
        let values = p.values.iter().map(|(name, value)| format!("{name} {value}"));
        dtype.into_iter().chain(values).collect::<Vec<_>>().join(", ")
    };
    let (mine, theirs) = (params(&run.params), params(&model.params));
    if (run.kernel.as_str(), &mine) != (model.kernel.as_str(), &theirs) {
        return Some(format!("other parameters: {} {mine} instead of {} {theirs}", run.kernel, model.kernel));
    }
    if run.cache.is_cold() != model.cache.is_cold() {
        return Some(format!("{} caches instead of {} ones", run.cache.word(), model.cache.word()));
    }
    // Fewer bytes are what another element type is about.
    let work = |w: Option<Work>| {
        w.map(|w| (w.useful, w.dense_equivalent, if by_dtype { crate::units::Bytes::ZERO } else { w.bytes }))
    };
    let text = |w: Option<Work>| {
        w.map_or_else(|| "unknown work".to_owned(), |w| format!("{} FLOP, {} B", w.useful.get(), w.bytes.get()))
    };
    (run.time.is_ok() && work(run.work) != work(model.work))
        .then(|| format!("other work: {} an iteration instead of {}", text(run.work), text(model.work)))
}

/// The name of a case; by element type without it.
fn label(by: By, model: &Run) -> String {
    if by != By::Dtype {
        return model.id.clone();
    }
    let dtype = model.params.dtype.name();
    let parts: Vec<&str> = model.id.split('-').collect();
    let kept: Vec<&str> = parts.iter().copied().filter(|p| *p != dtype).collect();
    if kept.len() + 1 == parts.len() { kept.join("-") } else { model.id.clone() }
}

impl<'e> PooledCase<'e> {
    /// The figures whose uncertainty is known.
    pub(super) fn contest(&self, metric: Metric) -> Contest<'_> {
        let mut members = Vec::new();
        for (arm, pooled) in &self.arms {
            if let Some(Pooled { center, spread: Ok(spread), .. }) = pooled.figure(metric) {
                members.push(Member { arm: *arm, center: *center, spread });
            }
        }
        Contest { members }
    }

    /// Useful FLOP an iteration; `None` for a kernel without.
    fn useful(&self) -> Option<f64> {
        self.model.work.map(|w| w.useful.get()).filter(|f| *f > 0.0)
    }

    /// Dense-equivalent FLOP of sparse work.
    fn dense(&self) -> Option<f64> {
        self.model.work.filter(|w| w.dense_equivalent > w.useful).map(|w| w.dense_equivalent.get())
    }

    /// The finished table.
    pub(super) fn table(
        &self,
        energy: &Contest<'_>,
        time: &Contest<'_>,
        reference: usize,
        level: &Level,
        factors: &Factors,
    ) -> Case {
        let (energy_decided, time_decided) = (level.decide(energy), level.decide(time));
        let by_arm = |contest: &Contest<'_>, ranks: Vec<Rank>| -> BTreeMap<usize, Rank> {
            contest.members.iter().map(|m| m.arm).zip(ranks).collect()
        };
        let energy_ranks = by_arm(energy, energy_decided.ranks());
        let time_ranks = by_arm(time, time_decided.ranks());
        let fronts = if energy.members.len() == self.arms.len() && time.members.len() == self.arms.len() {
            let all = pairs::front(&time_decided, &energy_decided);
            energy.members.iter().map(|m| m.arm).zip(all).collect()
        } else {
            self.fronts(level)
        };
        let row = |(arm, pooled): (&usize, &PooledArm<'e>)| {
            let joules = pooled.energy.as_ref().ok().map(|p| figure(p, factors));
            let per = |flop: Option<f64>| reciprocal(joules?, flop?);
            let work = pooled.runs.first().and_then(|(_, r)| r.work);
            let stated = pooled.energy.as_ref().map(|p| p.spread.as_ref().err());
            let why = match stated {
                Err(reason) => Some(reason.clone()),
                Ok(unknown) => unknown.map(|u| format!("its uncertainty is not known, so it is not ranked: {u}")),
            };
            Entry {
                arm: *arm,
                intensity_flop_per_b: work
                    .map(|w| w.useful.get() / w.bytes.get())
                    .filter(|i| i.is_finite() && *i > 0.0),
                time_s: Some(figure(&pooled.time, factors)),
                time_ratio: self.ratio(Metric::Time, *arm, reference, level, factors),
                time_rank: time_ranks.get(arm).copied(),
                energy_j: joules,
                energy_ratio: self.ratio(Metric::Energy, *arm, reference, level, factors),
                energy_rank: energy_ranks.get(arm).copied(),
                efficiency_flop_per_j: per(self.useful()),
                dense_equivalent_flop_per_j: per(self.dense()),
                front: fronts.get(arm).copied(),
                why,
                windows: pooled.time.windows,
                runs: pooled.time.runs,
            }
        };
        Case {
            id: self.label.clone(),
            kernel: self.model.kernel.clone(),
            useful_flop: self.useful(),
            dense_equivalent_flop: self.model.work.map(|w| w.dense_equivalent.get()).filter(|f| *f > 0.0),
            boundary: self.boundary.clone(),
            rows: self.arms.iter().map(row).collect(),
            left_out: self.left_out.clone(),
        }
    }

    fn ratio(&self, metric: Metric, arm: usize, reference: usize, level: &Level, factors: &Factors) -> Option<Ratio> {
        let (mine, theirs) = (self.arms.get(&arm)?.figure(metric)?, self.arms.get(&reference)?.figure(metric)?);
        ratio((mine.center, &mine.spread), (theirs.center, &theirs.spread), arm == reference, level, factors)
    }

    /// The front among the arms whose two figures are known.
    fn fronts(&self, level: &Level) -> BTreeMap<usize, Front> {
        let of = |metric| self.contest(metric);
        let (mut energy, mut time) = (of(Metric::Energy), of(Metric::Time));
        let both: Vec<usize> =
            energy.members.iter().map(|m| m.arm).filter(|arm| time.members.iter().any(|m| m.arm == *arm)).collect();
        energy.members.retain(|m| both.contains(&m.arm));
        time.members.retain(|m| both.contains(&m.arm));
        let fronts = pairs::front(&level.decide(&time), &level.decide(&energy));
        both.into_iter().zip(fronts).collect()
    }
}

/// Value and interval of a pooled figure.
pub(super) fn figure(pooled: &Pooled, factors: &Factors) -> Figure {
    let wide = pooled.spread.as_ref().ok().map(|s| factors.expanded(&s.alone()));
    let (low, high) = bounds(pooled.center, wide).unzip();
    Figure { value: libm::exp(pooled.center), low, high }
}

/// The bounds of a value on logarithms; `None` where one of them is beyond what a number holds.
pub(super) fn bounds(center: f64, wide: Option<f64>) -> Option<(f64, f64)> {
    let (low, high) = wide.map(|u| (libm::exp(center - u), libm::exp(center + u)))?;
    (low > 0.0 && high.is_finite()).then_some((low, high))
}

/// `amount` over a figure; `None` where no number holds it.
fn reciprocal(of: Figure, amount: f64) -> Option<Figure> {
    let over = |v: f64| Some(amount / v).filter(|r| r.is_finite() && *r > 0.0);
    let (low, high) = of.high.and_then(over).zip(of.low.and_then(over)).unzip();
    Some(Figure { value: over(of.value)?, low, high })
}

/// One figure over another, both on logarithms; `None` where no number holds it.
pub(super) fn ratio(
    (mine, spread): (f64, &Result<Spread, String>),
    (theirs, reference): (f64, &Result<Spread, String>),
    same: bool,
    level: &Level,
    factors: &Factors,
) -> Option<Ratio> {
    if same {
        return Some(Ratio { ratio: 1.0, low: Some(1.0), high: Some(1.0), gain_cancels: true, certain: false });
    }
    let log = mine - theirs;
    let ratio = Some(libm::exp(log)).filter(|r| r.is_finite() && *r > 0.0)?;
    let (Ok(spread), Ok(reference)) = (spread, reference) else {
        return Some(Ratio { ratio, low: None, high: None, gain_cancels: false, certain: false });
    };
    let (low, high) = bounds(log, Some(factors.expanded(&spread.over(reference)))).unzip();
    let (a, b) = (Member { arm: 0, center: mine, spread }, Member { arm: 1, center: theirs, spread: reference });
    Some(Ratio { ratio, low, high, gain_cancels: spread.shares_with(reference), certain: level.apart(&a, &b) })
}

/// Why no arm has an energy that is compared, where that is so.
pub(super) fn without_energy(arms: &[Group<'_>], cases: &[Case]) -> Option<String> {
    if cases.iter().flat_map(|c| &c.rows).any(|r| r.energy_j.is_some()) {
        return None;
    }
    let mut reasons: Vec<String> = arms.iter().filter_map(Group::why_no_energy).collect();
    reasons.sort_unstable();
    reasons.dedup();
    Some(reasons.into_iter().next().unwrap_or_else(|| "no case that is compared has an energy".to_owned()))
}
