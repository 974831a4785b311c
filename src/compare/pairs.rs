//! Which figures can be told apart: families of all pairs, Holm (1979), ranks that the data leave possible.
//!
//! An arm can have any rank from one more than the arms that are certainly better to the number of arms less those that are
//! certainly worse. While every statement of the family is true, which Holm keeps with probability 1 − α, all true ranks
//! lie in these ranges (Klein, Wright & Wieczorek 2020; Mogstad, Romano, Shaikh & Wilhelm 2024).

use super::Family;
use crate::analysis::{Ladder, Spread};
use serde::Serialize;

/// Pairs beyond which only the first step of Holm's procedure is taken (Bonferroni's): it is valid and needs no memory for
/// the significance of each.
const STEPWISE: u64 = 5_000_000;

/// Figures of one table, the smaller the better.
#[derive(Debug, Default)]
pub(super) struct Contest<'s> {
    pub(super) members: Vec<Member<'s>>,
}

/// A figure in a contest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'s> {
    /// Whose, by place among the arms.
    pub(super) arm: usize,
    /// On logarithms.
    pub(super) center: f64,
    pub(super) spread: &'s Spread,
}

/// The level at which pairs are told apart.
#[derive(Debug, Clone)]
pub(super) struct Level {
    tests: u64,
    alpha: f64,
    stepwise: bool,
    ladder: Ladder,
}

/// Ranks that the data leave possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rank {
    /// The best one, from 1: one more than the arms that are certainly better.
    pub best: usize,
    /// The worst one: all arms less those that are certainly worse.
    pub worst: usize,
}

/// Whether an arm is on the Pareto front of time against energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Front {
    /// Certainly: against every other arm it is certainly better in time or in energy.
    On,
    /// Nothing is certain.
    Possible,
    /// Certainly not: another arm is certainly better in both.
    Dominated,
}

/// What is certain of the pairs of a contest.
pub(super) struct Decided {
    size: usize,
    /// Row by row: 1 where the first is certainly better, −1 where the second is.
    sign: Vec<i8>,
}

impl Level {
    /// Holm over all pairs of `contests` with the family-wise error `alpha`.
    ///
    /// The steps of Holm are Bonferroni's, repeated with the tests that are left until nothing more is told apart.
    pub(super) fn of(contests: &[&Contest<'_>], alpha: f64) -> Self {
        let tests: u64 = contests.iter().map(|c| pairs(c.members.len())).sum();
        let first = alpha / tests.max(1) as f64;
        let stepwise = tests <= STEPWISE;
        let level = if stepwise { steps(contests, alpha, first, tests) } else { first };
        Self { tests, alpha: level, stepwise, ladder: Ladder::new(level) }
    }

    pub(super) const fn public(&self) -> Family {
        Family { pairs: self.tests, level: self.alpha, stepwise: self.stepwise }
    }

    /// What is certain of the pairs of `contest`.
    pub(super) fn decide(&self, contest: &Contest<'_>) -> Decided {
        let size = contest.members.len();
        let mut sign = vec![0i8; size * size];
        for (i, a) in contest.members.iter().enumerate() {
            for (j, b) in contest.members.iter().enumerate().skip(i + 1) {
                let of = a.spread.over(b.spread);
                let t = (a.center - b.center) / of.standard();
                if t.abs() > self.ladder.critical(&of) {
                    let better = if t < 0.0 { 1 } else { -1 };
                    (sign[i * size + j], sign[j * size + i]) = (better, -better);
                }
            }
        }
        Decided { size, sign }
    }

    /// Whether `a` and `b` are told apart.
    pub(super) fn apart(&self, a: &Member<'_>, b: &Member<'_>) -> bool {
        let of = a.spread.over(b.spread);
        ((a.center - b.center) / of.standard()).abs() > self.ladder.critical(&of)
    }
}

fn pairs(n: usize) -> u64 {
    let n = n as u64;
    n * n.saturating_sub(1) / 2
}

/// The level of Holm's last step.
fn steps(contests: &[&Contest<'_>], alpha: f64, first: f64, tests: u64) -> f64 {
    let (certain, possible) = (Ladder::new(first), Ladder::new(alpha));
    let mut apart = 0u64;
    let mut open = Vec::new();
    for contest in contests {
        for (i, a) in contest.members.iter().enumerate() {
            for b in &contest.members[i + 1..] {
                let of = a.spread.over(b.spread);
                let t = ((a.center - b.center) / of.standard()).abs();
                if t > certain.critical(&of) {
                    apart += 1;
                } else if t > possible.critical(&of) {
                    open.push(Ladder::tail(t, &of));
                }
            }
        }
    }
    open.sort_unstable_by(f64::total_cmp);
    for p in open {
        if p > alpha / (tests - apart) as f64 {
            break;
        }
        apart += 1;
    }
    alpha / (tests - apart).max(1) as f64
}

impl Decided {
    /// Whether the `i`-th member is certainly better (1) or worse (−1) than the `j`-th; 0 where nothing is certain.
    pub(super) fn sign(&self, i: usize, j: usize) -> i8 {
        self.sign[i * self.size + j]
    }

    /// The ranks that are possible, member by member.
    pub(super) fn ranks(&self) -> Vec<Rank> {
        let row = |i: usize| &self.sign[i * self.size..(i + 1) * self.size];
        let count = |i: usize, sign: i8| row(i).iter().filter(|s| **s == sign).count();
        (0..self.size).map(|i| Rank { best: 1 + count(i, -1), worst: self.size - count(i, 1) }).collect()
    }
}

/// The front of two contests whose members are the same arms in the same order.
pub(super) fn front(time: &Decided, energy: &Decided) -> Vec<Front> {
    let one = |i: usize| {
        let others = || (0..time.size).filter(|j| *j != i);
        if others().any(|j| time.sign(i, j) < 0 && energy.sign(i, j) < 0) {
            Front::Dominated
        } else if others().all(|j| time.sign(i, j) > 0 || energy.sign(i, j) > 0) {
            Front::On
        } else {
            Front::Possible
        }
    };
    (0..time.size).map(one).collect()
}
