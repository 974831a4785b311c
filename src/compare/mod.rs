//! Any number of records → arms → figures with intervals, ratios, ranks with ties, means, fronts (docs/compare.md).
//!
//! Pure, like everything right of the record. A record is reduced to an [`Entrant`] before the next one is read. Nothing is
//! compared that is not comparable, and what was left out is data.

mod arms;
mod caveats;
mod ceilings;
mod differences;
mod entrant;
mod means;
mod pairs;
mod pool;
#[cfg(test)]
mod simulation;
mod sparse;
mod tables;
#[cfg(test)]
mod tests;

pub use arms::{Arm, By};
pub use caveats::Caveat;
pub use ceilings::Roof;
pub use differences::{Differing, Held};
pub use entrant::Entrant;
pub use means::{Mean, MeanRow};
pub use pairs::{Front, Rank};
pub use sparse::{Sparse, SparseRow};
pub use tables::{Case, Entry, Figure, Ratio};

use crate::analysis::Factors;
use crate::gate::Skipped;
use crate::policy::Policy;
use arms::Grouped;
use pairs::{Contest, Level};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Schema of `compare.json`; a change of meaning or the loss of a key raises it, new keys do not.
pub const SCHEMA: u32 = 1;

/// Family-wise probability of any false distinction in a comparison.
pub const ALPHA: f64 = 0.05;

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Gross joules an iteration; performance per watt is its reciprocal times the work, so the same test.
    Energy,
    /// Seconds an iteration.
    Time,
}

/// A difference that forbids a comparison unless it is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accept {
    /// Energies of other parts of the machine.
    Boundary,
    /// Records of another suite.
    Suite,
    /// Simulated records beside measured ones.
    Simulated,
}

impl Accept {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Boundary, Self::Suite, Self::Simulated];

    /// Its word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boundary => "boundary",
            Self::Suite => "suite",
            Self::Simulated => "simulated",
        }
    }
}

/// How to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What makes an arm.
    pub by: By,
    /// The arm that ratios refer to; the first where `None`.
    pub reference: Option<String>,
    /// Differences that do not matter here.
    pub accept: Vec<Accept>,
    /// Standard deviation between runs of the same code, relative, where it is known.
    pub run_to_run: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { by: By::Record, reference: None, accept: Vec::new(), run_to_run: 0.0 }
    }
}

/// Something that does not take part, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// A case id or label, a record id.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// A family of tests under Holm's procedure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Family {
    /// Pairs in it.
    pub pairs: u64,
    /// Significance at which a pair is told apart.
    pub level: f64,
    /// Whether all of Holm's steps were taken; beyond five million pairs the first alone is.
    pub stepwise: bool,
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its id.
    pub id: String,
    /// SHA-256 of its samples.
    pub samples_sha256: String,
    /// When its run began, RFC 3339.
    pub started_at: String,
}

/// All that a comparison says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `compare-` and a digest of the samples and options: the same comparison has the same id.
    pub id: String,
    /// The newest start of a run, RFC 3339: the only date of a comparison.
    pub date: String,
    /// The result in one sentence.
    pub text: String,
    /// What makes an arm.
    pub by: By,
    /// The arm that ratios refer to, by place in `arms`.
    pub reference: usize,
    /// Confidence of every interval, for itself alone.
    pub confidence: f64,
    /// [`ALPHA`].
    pub alpha: f64,
    /// The tests behind the ranks of means: half of `alpha`.
    pub of_means: Family,
    /// The tests behind the ranks of single cases: the other half.
    pub of_cases: Family,
    /// Standard deviation between runs that was declared.
    pub run_to_run: f64,
    /// Why there is no energy, where no arm has any.
    pub without_energy: Option<String>,
    /// What a reader must know, gravest first.
    pub caveats: Vec<Caveat>,
    /// The arms, in the order in which they came.
    pub arms: Vec<Arm>,
    /// Geometric means over the cases that all arms have; energy first where there is any.
    pub means: Vec<Mean>,
    /// Every case that at least two arms have.
    pub cases: Vec<Case>,
    /// Sparse cases beside the dense ones that they replace.
    pub sparse: Vec<Sparse>,
    /// Measured ceilings of each arm.
    pub roofs: Vec<Roof>,
    /// What differs between the environments of the arms.
    pub environment: Vec<Differing>,
    /// Cases and records that were left out.
    pub left_out: Vec<LeftOut>,
    /// Records that could not be read, or came twice.
    pub skipped: Vec<Skipped>,
    /// The records that take part.
    pub records: Vec<Source>,
}

impl Comparison {
    /// The mean over `metric`.
    #[must_use]
    pub fn mean(&self, metric: Metric) -> Option<&Mean> {
        self.means.iter().find(|m| m.metric == metric)
    }

    /// The metric that arms are ranked by: energy where it is known.
    #[must_use]
    pub fn ranked_by(&self) -> Metric {
        if self.without_energy.is_none() { Metric::Energy } else { Metric::Time }
    }
}

/// Why there is no comparison.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `--reference` names no arm.
    #[error("no arm is called `{name}`: {hint}")]
    NoSuchArm {
        /// What was asked for.
        name: String,
        /// What there is.
        hint: String,
    },
    /// Everything falls into one arm.
    #[error("{count} to compare: by {by} there is {names}; {advice}")]
    OneArm {
        /// `nothing` or `only one arm`.
        count: &'static str,
        /// The grouping.
        by: &'static str,
        /// The arm's name.
        names: String,
        /// What to do.
        advice: &'static str,
    },
    /// Records and cases are there and none of them may be compared.
    #[error("the records cannot be compared: {}", reasons.join("; "))]
    NotComparable {
        /// Why, the first few.
        reasons: Vec<String>,
    },
}

/// Compares `entrants`, in their order; `skipped` are those that could not be read.
///
/// # Errors
/// [`Refused`] where fewer than two arms have a case in common that may be compared.
pub fn compare(
    entrants: &[Entrant],
    skipped: Vec<Skipped>,
    options: &Options,
    policy: &Policy,
) -> Result<Comparison, Refused> {
    let Grouped { arms, reference, mut left_out } = arms::group(entrants, options)?;
    let factors = Factors::new(&policy.coverage);
    let pooled = tables::pool(&arms, reference, options, &mut left_out);
    if pooled.cases.is_empty() {
        let reasons = left_out.iter().take(5).map(|l| format!("{}: {}", l.what, l.reason)).collect();
        return Err(Refused::NotComparable { reasons });
    }
    let energy = means::of(Metric::Energy, &pooled, arms.len());
    let time = means::of(Metric::Time, &pooled, arms.len());
    let contests: Vec<(Contest<'_>, Contest<'_>)> =
        pooled.cases.iter().map(|case| (case.contest(Metric::Energy), case.contest(Metric::Time))).collect();
    let (energy_contest, time_contest) = (energy.contest(), time.contest());
    // Half of the error for the means, half for the cases: many cases must not blunt what a comparison begins with.
    let by_case: Vec<&Contest<'_>> = contests.iter().flat_map(|(e, t)| [e, t]).collect();
    let level = Level::of(&by_case, ALPHA / 2.0);
    let of_means = Level::of(&[&energy_contest, &time_contest], ALPHA / 2.0);
    let cases: Vec<Case> = pooled
        .cases
        .iter()
        .zip(&contests)
        .map(|(case, (energy, time))| case.table(energy, time, reference, &level, &factors))
        .collect();
    let without_energy = tables::without_energy(&arms, &cases);
    let mut means = Vec::new();
    if without_energy.is_none() {
        means.push(energy.table(&pooled, reference, &of_means, &factors));
    }
    means.push(time.table(&pooled, reference, &of_means, &factors));
    let arms_out: Vec<Arm> = arms.iter().map(|a| a.public(entrants)).collect();
    let sparse = sparse::of(&pooled, &factors);
    let environment = differences::between(&arms_out, entrants);
    let mut comparison = Comparison {
        schema: SCHEMA,
        id: id(entrants, options, &arms_out[reference].name),
        date: entrants.iter().map(|e| e.started_at).max().map_or_else(String::new, String::from),
        text: String::new(),
        by: options.by,
        reference,
        confidence: policy.coverage.confidence,
        alpha: ALPHA,
        of_means: of_means.public(),
        of_cases: level.public(),
        run_to_run: options.run_to_run,
        without_energy,
        caveats: Vec::new(),
        roofs: ceilings::of(&arms_out, entrants),
        arms: arms_out,
        means,
        cases,
        sparse,
        environment,
        left_out,
        skipped,
        records: entrants.iter().map(source).collect(),
    };
    comparison.caveats = caveats::of(&comparison, entrants, options);
    comparison.text = means::sentence(&comparison);
    Ok(comparison)
}

fn source(entrant: &Entrant) -> Source {
    Source {
        id: entrant.id.clone(),
        samples_sha256: entrant.samples.clone(),
        started_at: String::from(entrant.started_at),
    }
}

fn id(entrants: &[Entrant], options: &Options, reference: &str) -> String {
    let mut sha = Sha256::new();
    for entrant in entrants {
        sha.update(format!("{}\n{}\n", entrant.id.len(), entrant.id));
        sha.update(&entrant.samples);
    }
    sha.update(format!("{:?} {reference} {:?} {}", options.by, options.accept, options.run_to_run.to_bits()));
    let hex: String = sha.finalize().iter().take(4).map(|b| format!("{b:02x}")).collect();
    format!("compare-{hex}")
}
