//! The uncertainty of a figure on logarithms, reduced to what ratios and means of many figures need.
//!
//! A [`Budget`](super::Budget) names every term and is made to be printed; a ranking of 200 records asks for millions of ratios.
//! A [`Spread`] holds the same terms as numbers: scatter, what is independent from window to window, and the systematic
//! errors by a key that tells which of them are one error in several figures.

use super::budget::coverage_factor;
use super::{Dof, Term, TermName, two_sided_tail};
use crate::policy::Coverage;
use sha2::{Digest, Sha256};

/// Uncertainty of the logarithm of a figure.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spread {
    /// Variance that repetition shows.
    random: f64,
    /// Σ u⁴/ν of it, for Welch–Satterthwaite.
    quartic: f64,
    /// Variance of bounded errors that are independent from case to case: edges of windows.
    edges: f64,
    /// Errors that figures of one sensor, or one clock, have with the same value: key and standard uncertainty, by key.
    shared: Vec<(u64, f64)>,
    /// Systematic errors that all cases of a record have alike, and of which nobody says that another record has them too.
    own: Vec<(u64, f64)>,
}

impl Spread {
    /// Of independent `terms`, as a budget has them.
    ///
    /// # Errors
    /// Which term is unknown, for people.
    pub fn of<'t>(terms: impl IntoIterator<Item = &'t Term>) -> Result<Self, String> {
        let mut spread = Self::default();
        let mut unknown = Vec::new();
        for term in terms {
            let Some(u) = term.contribution else {
                unknown.push(format!("{} is unknown: {}", term.name.title(), term.source));
                continue;
            };
            match (term.name, &term.shared) {
                (TermName::Scatter, _) => spread.scatter(u * u, term.degrees_of_freedom),
                (name, None) if name.is_of_windows() => spread.edges += u * u,
                (_, Some(_)) => add(&mut spread.shared, key(term), u),
                (_, None) => add(&mut spread.own, key(term), u),
            }
        }
        if unknown.is_empty() { Ok(spread) } else { Err(unknown.join("; ")) }
    }

    fn scatter(&mut self, variance: f64, dof: Dof) {
        self.random += variance;
        if let Dof::Finite(dof) = dof {
            self.quartic += variance * variance / dof;
        }
    }

    /// Of the mean of figures: scatter and edges are independent, systematic errors are one error in all that have them.
    #[must_use]
    pub fn mean<'s>(parts: impl IntoIterator<Item = &'s Self>) -> Self {
        let mut sum = Self::default();
        let mut n = 0.0;
        for part in parts {
            n += 1.0;
            sum.random += part.random;
            sum.quartic += part.quartic;
            sum.edges += part.edges;
            part.shared.iter().for_each(|(key, u)| add(&mut sum.shared, *key, *u));
            part.own.iter().for_each(|(key, u)| add(&mut sum.own, *key, *u));
        }
        let square = n * n;
        (sum.random, sum.quartic, sum.edges) =
            (sum.random / square, sum.quartic / (square * square), sum.edges / square);
        sum.shared.iter_mut().chain(&mut sum.own).for_each(|(_, u)| *u /= n);
        sum
    }

    /// Variance of the scatter.
    #[must_use]
    pub const fn random(&self) -> f64 {
        self.random
    }

    /// With another scatter in place of its own.
    #[must_use]
    pub fn with_scatter(mut self, variance: f64, dof: f64) -> Self {
        (self.random, self.quartic) = (0.0, 0.0);
        self.scatter(variance, Dof::Finite(dof));
        self
    }

    /// With a scatter of known variance besides its own.
    #[must_use]
    pub fn and_scatter(mut self, variance: f64) -> Self {
        self.scatter(variance, Dof::Infinite);
        self
    }

    /// Whether a systematic error of a sensor is shared with `other`, so that it cancels in a ratio.
    #[must_use]
    pub fn shares_with(&self, other: &Self) -> bool {
        self.shared.iter().any(|(key, _)| other.shared.iter().any(|(theirs, _)| theirs == key))
    }

    /// Of the figure itself.
    #[must_use]
    pub fn alone(&self) -> Uncertainty {
        let squares: f64 = self.shared.iter().chain(&self.own).map(|(_, u)| u * u).sum();
        Uncertainty { variance: self.random + self.edges + squares, quartic: self.quartic }
    }

    /// Of the figure over `other`: an error that both have is one error (GUM 5.2.2 with r = 1), so that it is subtracted.
    #[must_use]
    pub fn over(&self, other: &Self) -> Uncertainty {
        let own: f64 = self.own.iter().chain(&other.own).map(|(_, u)| u * u).sum();
        let (mut left, mut right) = (self.shared.iter().peekable(), other.shared.iter().peekable());
        let mut shared = 0.0;
        // Both are sorted by key.
        loop {
            let u = match (left.peek(), right.peek()) {
                (Some((a, u)), Some((b, v))) if a == b => {
                    left.next();
                    right.next();
                    u - v
                }
                (Some((a, u)), Some((b, _))) if a < b => {
                    left.next();
                    *u
                }
                (_, Some((_, v))) => {
                    right.next();
                    *v
                }
                (Some((_, u)), None) => {
                    left.next();
                    *u
                }
                (None, None) => break,
            };
            shared += u * u;
        }
        Uncertainty {
            variance: self.random + other.random + self.edges + other.edges + own + shared,
            quartic: self.quartic + other.quartic,
        }
    }
}

/// Adds to the entry of a key; entries stay sorted.
fn add(list: &mut Vec<(u64, f64)>, key: u64, u: f64) {
    match list.binary_search_by_key(&key, |(k, _)| *k) {
        Ok(at) => list[at].1 += u,
        Err(at) => list.insert(at, (key, u)),
    }
}

/// Names an error by all that two terms of it have in common, as [`Budget::over`](super::Budget::over) compares them.
fn key(term: &Term) -> u64 {
    let which = term.shared.as_ref().unwrap_or(&term.source);
    let value = term.value.map_or(0, f64::to_bits);
    let text = format!("{:?} {:?} {value} {} {which}", term.name, term.distribution, term.shared.is_some());
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte))
}

/// Combined uncertainty of the logarithm of a figure or ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uncertainty {
    /// u_c².
    pub variance: f64,
    /// Σ u⁴/ν.
    pub quartic: f64,
}

impl Uncertainty {
    /// Standard uncertainty.
    #[must_use]
    pub fn standard(&self) -> f64 {
        self.variance.sqrt()
    }

    /// ν_eff by Welch–Satterthwaite (GUM G.4.1).
    #[must_use]
    pub fn dof(&self) -> Dof {
        let dof = self.variance * self.variance / self.quartic;
        if dof.is_finite() { Dof::Finite(dof) } else { Dof::Infinite }
    }
}

/// Coverage factors, worked out once.
#[derive(Debug, Clone)]
pub struct Factors {
    few: Vec<f64>,
    many: f64,
}

impl Factors {
    /// By the rule of `coverage`.
    #[must_use]
    pub fn new(coverage: &Coverage) -> Self {
        let few = (0..coverage.normal_from).map(|dof| coverage_factor(Dof::Finite(f64::from(dof)), coverage)).collect();
        Self { few, many: coverage.normal_factor }
    }

    /// U = k·u of a logarithm.
    #[must_use]
    pub fn expanded(&self, of: &Uncertainty) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table before")]
        let factor = match of.dof() {
            Dof::Finite(dof) if dof < self.few.len() as f64 => self.few[dof.max(0.0) as usize],
            _ => self.many,
        };
        factor * of.standard()
    }
}

/// Critical values of a two-sided t at one level. Degrees of freedom are cut to the next rung below, as GUM G.4.1 cuts them
/// to whole numbers: the critical value is never too small, and no tail needs a long sum.
#[derive(Debug, Clone)]
pub struct Ladder {
    critical: [f64; RUNGS.len()],
}

/// Rungs; the last stands for infinitely many.
const RUNGS: [f64; 24] = [
    1.0,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    7.0,
    8.0,
    9.0,
    10.0,
    12.0,
    14.0,
    16.0,
    18.0,
    20.0,
    25.0,
    30.0,
    40.0,
    60.0,
    100.0,
    200.0,
    500.0,
    20_000.0,
    f64::INFINITY,
];

impl Ladder {
    /// At the level `alpha` in (0, 1).
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { critical: RUNGS.map(|dof| critical(alpha, dof)) }
    }

    /// The value that a |t| with the degrees of freedom of `of` has to exceed.
    #[must_use]
    pub fn critical(&self, of: &Uncertainty) -> f64 {
        self.critical[rung(of)]
    }

    /// P of a |t| at least this large, on the same rung.
    #[must_use]
    pub fn tail(t: f64, of: &Uncertainty) -> f64 {
        let dof = RUNGS[rung(of)];
        two_sided_tail(t, Some(dof).filter(|d| d.is_finite()))
    }
}

fn rung(of: &Uncertainty) -> usize {
    match of.dof() {
        Dof::Infinite => RUNGS.len() - 1,
        Dof::Finite(dof) => RUNGS[..RUNGS.len() - 1].partition_point(|r| *r <= dof).saturating_sub(1),
    }
}

fn critical(alpha: f64, dof: f64) -> f64 {
    let dof = Some(dof).filter(|d| d.is_finite());
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided_tail(high, dof) > alpha && high < 1e300 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = low + (high - low) / 2.0;
        if two_sided_tail(middle, dof) > alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{Budget, Distribution, gauge};
    use crate::policy::Policy;
    use crate::record::fixture;

    /// A spread and the budget of the same terms agree, alone and in ratios on one machine and across two.
    #[test]
    fn it_is_the_budget_in_numbers() {
        let policy = Policy::shipped();
        let here = fixture::with_rapl();
        let mut there = here.clone();
        there.header.environment.host.machine_hash = Some("another".into());
        let terms = |record: &crate::record::RunRecord, n: usize| {
            let case = &gauge(record, &policy)[6 + n];
            let mut terms = case.energy.as_ref().unwrap().terms.clone();
            let scatter = Some(0.003 + n as f64 * 1e-3);
            terms.push(Term::new(TermName::Scatter, Distribution::Student, scatter, "x").degrees_of_freedom(4.0));
            terms
        };
        let coverage = &policy.coverage;
        for other in [&here, &there] {
            let (a, b) = (terms(&here, 0), terms(other, 1));
            let budget = |t: &[Term]| Budget::new(Vec::new(), t.to_vec(), coverage);
            let (x, y) = (Spread::of(&a).unwrap(), Spread::of(&b).unwrap());
            for (spread, budget) in
                [(x.alone(), budget(&a)), (x.over(&y), budget(&a).over(&budget(&b), Vec::new(), coverage))]
            {
                let expected = budget.expanded().unwrap();
                let u = expected.combined_standard_uncertainty;
                assert!((spread.standard() / u - 1.0).abs() < 1e-12, "{} {u}", spread.standard());
                let expanded = Factors::new(coverage).expanded(&spread);
                assert!((expanded / expected.expanded_uncertainty - 1.0).abs() < 1e-9);
                match (spread.dof(), expected.effective_degrees_of_freedom) {
                    (Dof::Finite(a), Dof::Finite(b)) => assert!((a / b - 1.0).abs() < 1e-9, "{a} {b}"),
                    (a, b) => assert_eq!(a, b),
                }
            }
            assert_eq!(x.shares_with(&y), std::ptr::eq(other, &here));
        }
    }

    #[test]
    fn the_mean_of_one_figure_is_the_figure_and_gain_does_not_average_out() {
        let policy = Policy::shipped();
        let record = fixture::with_rapl();
        let gauges = gauge(&record, &policy);
        let spreads: Vec<Spread> =
            gauges.iter().filter_map(|c| Spread::of(&c.energy.as_ref().ok()?.terms).ok()).collect();
        assert_eq!(Spread::mean([&spreads[0]]), spreads[0]);
        let mean = Spread::mean(&spreads);
        let gain = 0.05 / 3f64.sqrt();
        assert!(mean.alone().standard() > gain * 0.999, "{}", mean.alone().standard());
        // Against the same sensor it is gone.
        assert!(mean.over(&spreads[0]).standard() < gain / 5.0);
        let scattered: Vec<Spread> = spreads.iter().map(|s| s.clone().with_scatter(1e-4, 9.0)).collect();
        let n = scattered.len() as f64;
        assert!((Spread::mean(&scattered).random() / (1e-4 / n) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn unknown_terms_leave_it_unstated() {
        let term = Term::new(TermName::Alignment, Distribution::Triangular, None, "no period");
        assert_eq!(Spread::of([&term]), Err("alignment is unknown: no period".to_owned()));
    }

    #[test]
    fn critical_values_are_never_below_those_of_the_exact_degrees() {
        for alpha in [0.05, 1e-4, 1e-9] {
            let ladder = Ladder::new(alpha);
            for dof in [1.0, 3.7, 11.0, 29.0, 350.0, 1e5, f64::INFINITY] {
                let of = Uncertainty { variance: 1.0, quartic: 1.0 / dof };
                let exact = critical(alpha, dof);
                let ours = ladder.critical(&of);
                assert!(ours >= exact * (1.0 - 1e-9) && ours < exact * 1.25, "{alpha} {dof}: {ours} {exact}");
                assert!((Ladder::tail(ours, &of) / alpha - 1.0).abs() < 1e-3, "{alpha} {dof}");
            }
        }
    }
}
