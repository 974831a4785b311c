//! Uncertainty budgets after the GUM (JCGM 100:2008): terms, combination, coverage factor, ratios.
//!
//! Everything is relative to the value: all figures of energy are products and quotients, so a
//! relative sensitivity is a small number (1 for most terms) and a budget holds for a figure and its
//! reciprocal alike. Where terms come from is in [`super::sources`].

use super::student;
use crate::policy::Coverage;
use serde::{Serialize, Serializer};

/// The uncertainty of a figure, and all that goes into it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Budget {
    /// Keys of the figures it holds for.
    pub figures: Vec<&'static str>,
    /// Every term, known or not.
    pub terms: Vec<Term>,
    /// What follows from them.
    #[serde(flatten)]
    pub result: Combined,
}

/// What a budget comes to, or the reason why it cannot be closed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Combined {
    /// Every term is known.
    Stated(Expanded),
    /// A term is not.
    NotStated {
        /// Which, for people.
        reason: String,
    },
}

/// Combined and expanded uncertainty, relative to the value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Expanded {
    /// u_c = √Σu².
    pub combined_standard_uncertainty: f64,
    /// ν_eff by Welch–Satterthwaite.
    pub effective_degrees_of_freedom: Dof,
    /// k.
    pub coverage_factor: f64,
    /// U = k·u_c.
    pub expanded_uncertainty: f64,
    /// Probability that value · (1 ± U) covers the true value.
    pub confidence: f64,
}

/// One source of uncertainty.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Term {
    /// What it is.
    pub name: TermName,
    /// Where its number comes from; for an unknown term, why it is unknown.
    pub source: String,
    /// What is assumed of its error.
    pub distribution: Distribution,
    /// Standard deviation (type A) or half-width of the bounds (type B), relative. `None` when unknown.
    pub value: Option<f64>,
    /// What turns `value` into a standard uncertainty.
    pub divisor: f64,
    /// Relative change of the figure for a relative change of this input.
    pub sensitivity: f64,
    /// |sensitivity| · value / divisor; `None` when unknown.
    pub contribution: Option<f64>,
    /// Degrees of freedom of `value`.
    pub degrees_of_freedom: Dof,
    /// Names an error that other figures have as well (the gain of one sensor): it is the same number
    /// in all of them, so it cancels in their ratio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<String>,
}

/// What a term is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TermName {
    /// Scatter of the windows: type A.
    Scatter,
    /// Gain of a sensor, under load.
    Gain,
    /// Gain of a sensor at rest, where idle energy is subtracted.
    GainAtRest,
    /// Deviation from proportionality between loads.
    Linearity,
    /// Steps of the counter at both edges of a window.
    Quantisation,
    /// Updates of the counter against the edges of a window.
    Alignment,
    /// Power between the edges of the window and the reads of the counter.
    Span,
    /// What polling did not see.
    Aliasing,
    /// Rate of the clock.
    Clock,
    /// Change of idle power between before and after.
    IdleDrift,
}

impl TermName {
    /// All of them, in the order in which tables show them.
    pub const ALL: [Self; 10] = [
        Self::Scatter,
        Self::Gain,
        Self::GainAtRest,
        Self::Linearity,
        Self::Quantisation,
        Self::Alignment,
        Self::Span,
        Self::Aliasing,
        Self::Clock,
        Self::IdleDrift,
    ];

    /// Whether it is a bounded error of single windows, independent from case to case; other bounded errors are those of a
    /// sensor or clock, the same in all cases of a record.
    #[must_use]
    pub const fn is_of_windows(self) -> bool {
        matches!(self, Self::Quantisation | Self::Alignment | Self::Span)
    }

    /// For people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Scatter => "scatter",
            Self::Gain => "gain",
            Self::GainAtRest => "gain at rest",
            Self::Linearity => "linearity",
            Self::Quantisation => "quantisation",
            Self::Alignment => "alignment",
            Self::Span => "span",
            Self::Aliasing => "aliasing",
            Self::Clock => "clock",
            Self::IdleDrift => "idle drift",
        }
    }
}

/// Distribution assumed of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Estimated from repeats.
    Student,
    /// Normal: the value is a standard deviation.
    Normal,
    /// Anywhere between two bounds: a / √3 (GUM 4.3.7).
    Rectangular,
    /// Difference of two rectangular errors of width a each: a / √6 (GUM 4.3.9).
    Triangular,
}

impl Distribution {
    /// What turns a half-width (or standard deviation) into a standard uncertainty.
    #[must_use]
    pub fn divisor(self) -> f64 {
        match self {
            Self::Student | Self::Normal => 1.0,
            Self::Rectangular => 3f64.sqrt(),
            Self::Triangular => 6f64.sqrt(),
        }
    }
}

/// Degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dof {
    /// That many.
    Finite(f64),
    /// The value is taken as exactly known (GUM G.4.3).
    Infinite,
}

impl Serialize for Dof {
    /// A number, or the word `infinite`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Finite(dof) => serializer.serialize_f64(*dof),
            Self::Infinite => serializer.serialize_str("infinite"),
        }
    }
}

impl Term {
    /// A term with sensitivity 1 and infinite degrees of freedom. `value` is relative; not finite or
    /// negative is unknown.
    #[must_use]
    pub fn new(name: TermName, distribution: Distribution, value: Option<f64>, source: impl Into<String>) -> Self {
        let value = value.filter(|v| v.is_finite() && *v >= 0.0);
        let divisor = distribution.divisor();
        Self {
            name,
            source: source.into(),
            distribution,
            value,
            divisor,
            sensitivity: 1.0,
            contribution: value.map(|v| v / divisor),
            degrees_of_freedom: Dof::Infinite,
            shared: None,
        }
    }

    /// With this relative sensitivity.
    #[must_use]
    pub fn sensitivity(mut self, sensitivity: f64) -> Self {
        self.sensitivity = sensitivity;
        let contribution = self.value.map(|v| sensitivity.abs() * v / self.divisor);
        self.contribution = contribution.filter(|u| u.is_finite());
        self
    }

    /// With so many degrees of freedom.
    #[must_use]
    pub fn degrees_of_freedom(mut self, dof: f64) -> Self {
        self.degrees_of_freedom = Dof::Finite(dof);
        self
    }

    /// An error that every figure naming the same `key` has with the same value.
    #[must_use]
    pub fn shared(mut self, key: impl Into<String>) -> Self {
        self.shared = Some(key.into());
        self
    }
}

impl Budget {
    /// Combines `terms`, which are independent of one another.
    #[must_use]
    pub fn new(figures: Vec<&'static str>, terms: Vec<Term>, coverage: &Coverage) -> Self {
        let result = combine(&terms, coverage);
        Self { figures, terms, result }
    }

    /// A budget that cannot be drawn up, and why.
    #[must_use]
    pub fn not_stated(figures: Vec<&'static str>, reason: impl Into<String>) -> Self {
        Self { figures, terms: Vec::new(), result: Combined::NotStated { reason: reason.into() } }
    }

    /// Combined and expanded uncertainty; `None` where a term is unknown.
    #[must_use]
    pub const fn expanded(&self) -> Option<&Expanded> {
        match &self.result {
            Combined::Stated(expanded) => Some(expanded),
            Combined::NotStated { .. } => None,
        }
    }

    /// Why there is none.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match &self.result {
            Combined::Stated(_) => None,
            Combined::NotStated { reason } => Some(reason),
        }
    }

    /// Root of the sum of squares of all contributions called `name`; `None` when there are none or
    /// one is unknown.
    #[must_use]
    pub fn contribution(&self, name: TermName) -> Option<f64> {
        let mut terms = self.terms.iter().filter(|t| t.name == name).peekable();
        terms.peek()?;
        terms.map(|t| t.contribution.map(|u| u * u)).sum::<Option<f64>>().map(f64::sqrt)
    }

    /// Budget of this figure divided by `other`.
    ///
    /// A term that both [share](Term::shared), with the same bounds, is one error in both: its
    /// sensitivities are subtracted (GUM 5.2.2 with r = 1), so the gain of one sensor cancels where it
    /// bears on both figures alike. All other terms are independent and stay in full.
    #[must_use]
    pub fn over(&self, other: &Self, figures: Vec<&'static str>, coverage: &Coverage) -> Self {
        for arm in [self, other] {
            if let (Some(reason), true) = (arm.reason(), arm.terms.is_empty()) {
                return Self::not_stated(figures, reason);
            }
        }
        let same = |a: &Term, b: &Term| {
            a.shared.is_some()
                && (&a.shared, a.name, a.value, a.distribution) == (&b.shared, b.name, b.value, b.distribution)
        };
        let mut theirs: Vec<&Term> = other.terms.iter().collect();
        let mut terms: Vec<Term> = Vec::with_capacity(self.terms.len() + theirs.len());
        for mine in &self.terms {
            let twin = theirs.iter().position(|t| same(mine, t)).map(|i| theirs.remove(i));
            let left = mine.sensitivity - twin.map_or(0.0, |t| t.sensitivity);
            terms.push(mine.clone().sensitivity(left));
        }
        terms.extend(theirs.into_iter().map(|t| t.clone().sensitivity(-t.sensitivity)));
        Self::new(figures, terms, coverage)
    }
}

/// u_c, ν_eff, k and U of independent terms.
fn combine(terms: &[Term], coverage: &Coverage) -> Combined {
    let unknown: Vec<String> = terms
        .iter()
        .filter(|t| t.contribution.is_none())
        .map(|t| format!("{} is unknown: {}", t.name.title(), t.source))
        .collect();
    if !unknown.is_empty() {
        return Combined::NotStated { reason: unknown.join("; ") };
    }
    let parts: Vec<(f64, Dof)> = terms.iter().filter_map(|t| Some((t.contribution?, t.degrees_of_freedom))).collect();
    let combined = parts.iter().map(|(u, _)| u * u).sum::<f64>().sqrt();
    let dof = welch_satterthwaite(combined, &parts);
    let factor = coverage_factor(dof, coverage);
    let expanded = factor * combined;
    if !expanded.is_finite() {
        return Combined::NotStated { reason: "the uncertainty is not finite".to_owned() };
    }
    Combined::Stated(Expanded {
        combined_standard_uncertainty: combined,
        effective_degrees_of_freedom: dof,
        coverage_factor: factor,
        expanded_uncertainty: expanded,
        confidence: coverage.confidence,
    })
}

/// ν_eff = u_c⁴ / Σ(u_i⁴/ν_i) (GUM G.4.1).
fn welch_satterthwaite(combined: f64, parts: &[(f64, Dof)]) -> Dof {
    // Shares of the variance, so that tiny uncertainties do not underflow in the fourth power.
    let share = |u: f64| (u / combined) * (u / combined);
    let sum: f64 = parts
        .iter()
        .map(|(u, dof)| match dof {
            Dof::Finite(dof) => share(*u) * share(*u) / dof,
            Dof::Infinite => 0.0,
        })
        .sum();
    let dof = 1.0 / sum;
    if dof.is_finite() { Dof::Finite(dof) } else { Dof::Infinite }
}

/// t of ν_eff cut to a whole number (GUM G.4.1), or the policy's factor from many degrees on.
pub(super) fn coverage_factor(dof: Dof, coverage: &Coverage) -> f64 {
    match dof {
        Dof::Finite(dof) if dof < f64::from(coverage.normal_from) => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 < dof < normal_from")]
            let whole = dof as u32;
            student::two_sided(coverage.confidence, whole)
        }
        _ => coverage.normal_factor,
    }
}

#[cfg(test)]
mod tests;
