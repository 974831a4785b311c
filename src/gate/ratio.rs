//! Candidate over baseline with its uncertainty: Welch's t on logarithms, with the systematic terms of the budget.
//!
//! Logarithms, because a change is a ratio; Welch, because the two runs need not scatter alike; t, because Holm's
//! procedure over hundreds of cases asks for tails of 1e-4, which no bootstrap of five or ten windows holds.

use super::between;
use super::{Decision, Metric, Rules};
use crate::analysis::{
    Budget, CaseGauge, Distribution, Dof, GaugedWindow, Series, Term, TermName, clock, standard_error, two_sided_tail,
};
use crate::policy::{Coverage, Policy};
use crate::record::RunRecord;
use serde::Serialize;

/// How the windows of the two records were set against one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// One run after the other: windows are independent.
    Independent,
    /// The runs took turns, window by window: each window with its neighbour.
    Paired,
    /// The candidate against the scatter of several baseline runs.
    BetweenRuns,
}

impl Pairing {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Paired => "paired",
            Self::BetweenRuns => "between runs",
        }
    }
}

/// Candidate over baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Ratio of the two figures.
    pub ratio: f64,
    /// Lower bound of the ratio.
    pub low: f64,
    /// Upper bound of the ratio.
    pub high: f64,
    /// Confidence of the bounds, for this comparison alone.
    pub confidence: f64,
    /// P of a change at least this large where nothing changed.
    pub p: f64,
    /// The same after Holm, for the whole family.
    pub p_adjusted: f64,
    /// Windows of the candidate.
    pub n_candidate: u32,
    /// Windows of the baseline.
    pub n_baseline: u32,
    /// How windows were set against one another.
    pub pairing: Pairing,
    /// Whether the gain of a sensor is in both figures and cancels; `None` where no sensor has one.
    pub gain_cancels: Option<bool>,
    /// Combined standard uncertainty of the ratio, relative.
    pub standard_uncertainty: f64,
}

impl Change {
    /// Of the reciprocal figure.
    #[must_use]
    pub(super) fn inverse(self) -> Self {
        Self { ratio: 1.0 / self.ratio, low: 1.0 / self.high, high: 1.0 / self.low, ..self }
    }
}

/// One metric of one case of one record.
pub(super) struct Arm {
    series: Series,
    /// Beginning and end of each window, in seconds since 1970; empty where that is not known.
    spans: Vec<(f64, f64)>,
    why: Option<String>,
}

impl Arm {
    /// The windows of a metric; `None` where this record or this host does not have it.
    pub(super) fn of(metric: Metric, case: &CaseGauge, record: &RunRecord, policy: &Policy) -> Option<Self> {
        let column = |value: &dyn Fn(&GaugedWindow) -> Option<f64>| -> Option<Vec<f64>> {
            case.windows.iter().map(value).collect::<Option<Vec<f64>>>().filter(|v| !v.is_empty())
        };
        let mut terms = Vec::new();
        let mut weights = None;
        let mut why = None;
        let values = match metric {
            Metric::Time => column(&|w| Some(w.time))?,
            Metric::CpuTime => column(&|w| w.cpu_time.filter(|t| *t > 0.0))?,
            Metric::Instructions => column(&|w| w.instructions.filter(|n| *n > 0.0))?,
            Metric::Energy | Metric::PerfPerWatt => match &case.energy {
                Ok(energy) => {
                    let useful = case.work.map_or(0.0, |w| w.useful.get());
                    if metric == Metric::PerfPerWatt && useful <= 0.0 {
                        return None;
                    }
                    (terms, weights) = (energy.terms.clone(), energy.weights.clone());
                    energy.values.clone()
                }
                Err(reason) => {
                    why = Some(reason.clone());
                    Vec::new()
                }
            },
            Metric::Accuracy => return None,
        };
        if matches!(metric, Metric::Time | Metric::CpuTime) {
            terms.push(clock(record, policy));
        }
        // Of a resumed run nobody knows when its windows lay.
        let resumed = record.notes.iter().any(|n| n.starts_with("resumed at"));
        let epoch = record.header.started_at.date_time().unix_timestamp() as f64;
        let span = |w: &GaugedWindow| {
            let start = epoch + w.start_ns as f64 / 1e9;
            (start, start + w.wall)
        };
        let known = !resumed && values.len() == case.windows.len();
        let spans = if known { case.windows.iter().map(span).collect() } else { Vec::new() };
        Some(Self { series: Series::new(values, weights, terms), spans, why })
    }

    fn usable(&self) -> Result<(), String> {
        match &self.why {
            Some(why) => Err(why.clone()),
            None => self.series.usable(),
        }
    }

    /// The mean on logarithms: what ratios are made of. Of polled power the weighted mean.
    pub(super) fn value(&self) -> Option<f64> {
        self.log_center().map(libm::exp)
    }

    /// Standard error of the logarithm of the value; `None` for one window.
    pub(super) fn error(&self) -> Option<f64> {
        self.series.error()
    }

    /// Interval of the figure from its scatter alone, as charts of other tools show it.
    pub(super) fn interval(&self, coverage: &Coverage) -> Option<(f64, f64)> {
        self.usable().ok()?;
        self.series.interval(coverage)
    }

    pub(super) fn len(&self) -> u32 {
        self.series.len()
    }

    pub(super) fn log_center(&self) -> Option<f64> {
        self.usable().ok().map(|()| self.series.center())
    }
}

/// Differences window by window where the runs took turns: no two windows overlap, and the k-th windows of both lie
/// before the next of either.
fn paired(new: &Arm, old: &Arm) -> Option<Vec<f64>> {
    let n = new.spans.len();
    if n < 3 || n != old.spans.len() || new.series.is_weighted() || old.series.is_weighted() {
        return None;
    }
    let apart = |a: (f64, f64), b: (f64, f64)| a.1 <= b.0 || b.1 <= a.0;
    let both = || new.spans.iter().zip(&old.spans);
    let turns = both().zip(both().skip(1)).all(|((a, b), (c, d))| a.1.max(b.1) <= c.0.min(d.0));
    let taken = turns && both().all(|(a, b)| apart(*a, *b));
    taken.then(|| new.series.values().iter().zip(old.series.values()).map(|(a, b)| libm::log(a / b)).collect())
}

/// The change from `old` to `new`; with several `runs` of the baseline their scatter counts where it is larger.
///
/// # Errors
/// Why there is none, for people.
pub(super) fn compare(
    new: &Arm,
    old: &Arm,
    runs: &[Arm],
    run_to_run: f64,
    coverage: &Coverage,
) -> Result<Change, String> {
    new.usable().map_err(|why| format!("candidate: {why}"))?;
    old.usable().map_err(|why| format!("baseline: {why}"))?;
    let arm = |a: &Arm| Budget::new(Vec::new(), a.series.systematic().to_vec(), coverage);
    let systematic = arm(new).over(&arm(old), Vec::new(), coverage);
    let gains: Vec<&Term> = systematic.terms.iter().filter(|t| t.name == TermName::Gain).collect();
    let gain_cancels = (!gains.is_empty()).then(|| gains.iter().all(|t| t.contribution.is_some_and(|u| u < 1e-12)));
    let mut terms = systematic.terms;
    let mut log_ratio = new.series.center() - old.series.center();
    let mut pairing = Pairing::Independent;
    let mut n_baseline = old.len();
    let differences = if runs.is_empty() { paired(new, old) } else { None };
    match (differences, between::of(new, runs)) {
        (Some(differences), _) => {
            pairing = Pairing::Paired;
            let n = differences.len();
            let source = format!("scatter of {n} pairs of windows");
            let term = Term::new(TermName::Scatter, Distribution::Student, standard_error(&differences), source);
            terms.push(term.degrees_of_freedom((n - 1) as f64));
        }
        (None, Some(across)) => {
            pairing = Pairing::BetweenRuns;
            log_ratio = across.log_ratio;
            n_baseline = runs.iter().map(Arm::len).sum();
            let within = new
                .series
                .error()
                .zip(old.series.error())
                .map_or(f64::INFINITY, |(a, b)| libm::hypot(a, b / (runs.len() as f64).sqrt()));
            if within > across.error {
                terms.extend([new.series.scatter(), old.series.scatter()]);
            } else {
                terms.push(across.term());
            }
        }
        (None, None) => terms.extend([new.series.scatter(), old.series.scatter()]),
    }
    if run_to_run > 0.0 && pairing == Pairing::Independent {
        let value = run_to_run * std::f64::consts::SQRT_2;
        let source = "declared: standard deviation between runs, once a side";
        terms.push(Term::new(TermName::Scatter, Distribution::Normal, Some(value), source));
    }
    let budget = Budget::new(Vec::new(), terms, coverage);
    let Some(stated) = budget.expanded() else {
        return Err(budget.reason().unwrap_or("the uncertainty is not known").to_owned());
    };
    let u = stated.combined_standard_uncertainty;
    let dof = match stated.effective_degrees_of_freedom {
        Dof::Finite(dof) => Some(dof),
        Dof::Infinite => None,
    };
    let p = if log_ratio == 0.0 { 1.0 } else { two_sided_tail(log_ratio / u, dof) };
    let wide = stated.expanded_uncertainty;
    Ok(Change {
        ratio: libm::exp(log_ratio),
        low: libm::exp(log_ratio - wide),
        high: libm::exp(log_ratio + wide),
        confidence: stated.confidence,
        p,
        p_adjusted: p,
        n_candidate: new.len(),
        n_baseline,
        pairing,
        gain_cancels,
        standard_uncertainty: u,
    })
}

/// What is certain of a change whose significance in its family is `p`.
pub(super) fn decide(metric: Metric, change: &Change, p: f64, rules: &Rules) -> (Decision, String) {
    let least = 1.0 + rules.effect(metric);
    let sure = p <= rules.alpha;
    let percent = crate::report::si::set_percent(rules.effect(metric));
    let up = change.ratio >= least;
    let down = change.ratio <= 1.0 / least;
    let worse = if metric.larger_is_better() { down } else { up };
    if sure && (up || down) {
        let decision = if worse { Decision::Worse } else { Decision::Better };
        return (decision, format!("certain, and at least {percent}"));
    }
    if change.low >= 1.0 / least && change.high <= least {
        return (Decision::Same, format!("certainly within {percent}"));
    }
    let reason = match (sure, up || down) {
        (false, true) => format!("{percent} or more, but not certain"),
        (true, false) => format!("a change is certain, {percent} is not"),
        _ => format!("neither a change nor the absence of {percent} is certain"),
    };
    (Decision::Ambiguous, reason)
}
