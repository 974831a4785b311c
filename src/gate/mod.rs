//! Two records in, a decision a case and metric out: is this change worse, and is that certain (docs/gate.md)?
//!
//! Pure: comparability, then the comparison of each case, then Holm over all of them, then the decision. What
//! differs between the records and what was left out is data, and stands in every output.

mod accuracy;
mod between;
mod comparable;
mod figures;
mod metric;
pub mod output;
mod ratio;
mod rules;
#[cfg(test)]
pub(crate) mod simulation;
mod table;
#[cfg(test)]
mod tests;

pub use comparable::{Difference, Note};
pub use figures::{CaseFigure, figures};
pub use metric::Metric;
pub use ratio::{Change, Pairing};
pub use rules::{EnergyRule, Rules, rules_schema};
pub use table::{Line, inert, lines};

use crate::analysis::{CaseGauge, gauge};
use crate::policy::Policy;
use crate::record::{Role, RunRecord};
use comparable::Code;
use ratio::Arm;
use serde::Serialize;
use std::collections::BTreeMap;

/// Schema of the JSON output; a reader refuses a higher number.
pub const SCHEMA: u32 = 1;

/// What is certain of one case and metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Certainly worse, by at least the smallest effect that counts.
    Worse,
    /// The records do not hold enough to tell.
    Ambiguous,
    /// Certainly within the smallest effect that counts.
    Same,
    /// Certainly better, by at least the smallest effect that counts.
    Better,
}

impl Decision {
    /// For people and programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Ambiguous => "ambiguous",
            Self::Same => "same",
            Self::Better => "better",
        }
    }

    /// All of them, the worst first.
    pub const ALL: [Self; 4] = [Self::Worse, Self::Ambiguous, Self::Same, Self::Better];
}

/// One metric of one case, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Case id.
    pub case: String,
    /// Line of the candidate's suite it came from, from 1.
    pub line: u32,
    /// What was compared.
    pub metric: Metric,
    /// What is certain.
    pub decision: Decision,
    /// Why, for people.
    pub reason: String,
    /// Figure of the baseline in [`Metric::unit`]; `None` where there is none.
    pub baseline: Option<f64>,
    /// Figure of the candidate.
    pub candidate: Option<f64>,
    /// Scatter interval of the candidate's figure.
    pub candidate_interval: Option<(f64, f64)>,
    /// Candidate over baseline; `None` for accuracy and where a figure is missing.
    pub change: Option<Change>,
    /// Whether `fail_on` names the decision.
    pub fails: bool,
}

/// A record that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Party {
    /// Record id.
    pub id: String,
    /// When its run began.
    pub started_at: String,
    /// Git commit of the program that measured, where known.
    pub commit: Option<String>,
}

/// A record that was offered as a baseline and left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Where it lies, or its id.
    pub record: String,
    /// Why.
    pub reason: String,
}

/// How a gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing that the rules fail on.
    Passed,
    /// Something is worse.
    Failed,
    /// The rules fail on what is ambiguous, and something is.
    Inconclusive,
    /// Something cannot be compared.
    Refused,
    /// The rules require energy, and a record has none.
    EnergyMissing,
}

/// All that a gate says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// [`SCHEMA`].
    pub schema: u32,
    /// How it ended.
    pub verdict: Verdict,
    /// In one sentence.
    pub text: String,
    /// The record under test.
    pub candidate: Party,
    /// What it was compared with, newest first.
    pub baseline: Vec<Party>,
    /// The candidate's suite as its user named it: what code findings point at.
    pub suite: String,
    /// The rules in force.
    pub rules: Rules,
    /// Comparisons by decision.
    pub counts: BTreeMap<&'static str, u32>,
    /// Comparisons that the family of Holm's procedure holds.
    pub family: u32,
    /// Every case and metric, in plan order.
    pub comparisons: Vec<Comparison>,
    /// What keeps cases or records from being compared, with both values.
    pub differences: Vec<Difference>,
    /// What a reader should know.
    pub notes: Vec<Note>,
    /// Records that were offered as a baseline and left out.
    pub skipped: Vec<Skipped>,
}

/// Compares `candidate` with `baselines` (newest first; at least one) by `rules`, systematic errors bounded by `policy`.
///
/// Of several baselines those that cannot be compared are left out with a reason, unless all are. `skipped` are
/// those that could not even be read.
#[must_use]
pub fn compare(
    candidate: &RunRecord,
    baselines: &[RunRecord],
    skipped: Vec<Skipped>,
    rules: &Rules,
    policy: &Policy,
) -> Outcome {
    let mut gate = Gate { rules, differences: Vec::new(), notes: Vec::new(), skipped, rows: Vec::new() };
    let new = gauge(candidate, policy);
    let used = gate.choose(candidate, &new, baselines);
    let old: Vec<Vec<CaseGauge>> = used.iter().map(|r| gauge(r, policy)).collect();
    let refused = gate.differences.iter().any(|d| d.case.is_none() && !d.accepted);
    let mut energy_known = true;
    if let (Some(first), Some(gauges), false) = (used.first(), old.first(), refused) {
        energy_known = gate.energy_known(&new, gauges);
        let parties = Parties { candidate, baseline: first, energy_known, policy };
        gate.compare_cases(&parties, &new, &old);
    }
    let family = decide(&mut gate.rows, rules);
    gate.close(candidate, &used, family, energy_known)
}

struct Gate<'g> {
    rules: &'g Rules,
    differences: Vec<Difference>,
    notes: Vec<Note>,
    skipped: Vec<Skipped>,
    rows: Vec<Comparison>,
}

/// What all cases share.
struct Parties<'g> {
    candidate: &'g RunRecord,
    baseline: &'g RunRecord,
    energy_known: bool,
    policy: &'g Policy,
}

impl Gate<'_> {
    /// The baselines that take part. Fewer than [`between::FEWEST`] say nothing of the scatter between
    /// runs: then the newest one stands alone.
    fn choose<'r>(
        &mut self,
        candidate: &RunRecord,
        new: &[CaseGauge],
        baselines: &'r [RunRecord],
    ) -> Vec<&'r RunRecord> {
        let mut used: Vec<&RunRecord> = Vec::new();
        let mut first = None;
        for record in baselines {
            let (found, notes) = comparable::records(candidate, record, new, self.rules);
            let refusing: Vec<String> = found.iter().filter(|d| !d.accepted).map(Difference::text).collect();
            if refusing.is_empty() {
                if used.is_empty() {
                    self.differences = found;
                    self.notes.extend(notes);
                }
                used.push(record);
            } else {
                self.skipped.push(Skipped { record: record.header.id.clone(), reason: refusing.join("; ") });
                first.get_or_insert((record, found));
            }
        }
        if let (true, Some((record, found))) = (used.is_empty(), first) {
            // Nothing can be compared: what differs is the result.
            self.skipped.retain(|s| s.record != record.header.id);
            self.differences = found;
            return vec![record];
        }
        if used.len() > 1 && used.len() < between::FEWEST {
            for left in used.drain(1..) {
                let reason = format!("only the newest is used: scatter between runs takes {} records", between::FEWEST);
                self.skipped.push(Skipped { record: left.header.id.clone(), reason });
            }
        }
        if used.len() >= between::FEWEST {
            self.notes
                .push(Note::new("between-runs", format!("scatter between runs from {} baseline records", used.len())));
        } else if self.rules.run_to_run == 0.0 {
            let text = "scatter between runs is not known: one record a side shows the scatter inside a run only";
            self.notes.push(Note::new("within-run", text.to_owned()));
        }
        used
    }

    /// Whether both records have energy; says once where they do not.
    fn energy_known(&mut self, new: &[CaseGauge], old: &[CaseGauge]) -> bool {
        let has = |cases: &[CaseGauge]| cases.iter().any(|c| c.role == Role::Workload && c.energy.is_ok());
        let why = |cases: &[CaseGauge]| {
            let mut reasons = cases.iter().filter(|c| c.role == Role::Workload).filter_map(|c| c.energy.as_ref().err());
            reasons.next().map_or_else(|| "no case".to_owned(), Clone::clone)
        };
        let lacking = match (has(new), has(old)) {
            (true, true) => return true,
            (false, false) => format!("neither record has it ({})", why(new)),
            (false, true) => format!("the candidate has none ({})", why(new)),
            (true, false) => format!("the baseline has none ({})", why(old)),
        };
        self.notes.push(Note::new("energy-not-gated", format!("energy was not gated: {lacking}")));
        false
    }

    fn compare_cases(&mut self, parties: &Parties<'_>, new: &[CaseGauge], old: &[Vec<CaseGauge>]) {
        let index: Vec<BTreeMap<&str, &CaseGauge>> =
            old.iter().map(|cases| cases.iter().map(|c| (c.id.as_str(), c)).collect()).collect();
        let mut fresh = 0u32;
        for case in new.iter().filter(|c| c.role == Role::Workload) {
            let arms: Vec<&CaseGauge> = index.iter().filter_map(|i| i.get(case.id.as_str()).copied()).collect();
            match arms.first() {
                None => fresh += 1,
                Some(_) => self.compare_case(parties, case, &arms),
            }
        }
        if fresh > 0 {
            self.notes
                .push(Note::new("new-cases", format!("{fresh} cases are not in the baseline and were not gated")));
        }
        let known: std::collections::BTreeSet<&str> = new.iter().map(|c| c.id.as_str()).collect();
        for gone in old[0].iter().filter(|c| c.role == Role::Workload && !known.contains(c.id.as_str())) {
            self.differ(Code::Cases, &gone.id, "measured".to_owned(), "not in the candidate".to_owned());
        }
    }

    fn differ(&mut self, code: Code, case: &str, baseline: String, candidate: String) {
        let accepted = self.rules.accept.contains(&code.name());
        self.differences.push(Difference {
            code: code.name(),
            case: Some(case.to_owned()),
            baseline,
            candidate,
            accepted,
        });
    }

    fn compare_case(&mut self, parties: &Parties<'_>, new: &CaseGauge, old: &[&CaseGauge]) {
        let found = comparable::cases(new, old[0], self.rules);
        let refusing = found.iter().any(|d| !d.accepted);
        self.differences.extend(found);
        if refusing {
            return;
        }
        let answers = accuracy::compare(parties.candidate, parties.baseline, new, old[0], self.rules);
        let counts = answers.as_ref().is_none_or(|a| a.counts);
        if let Some(answers) = answers.filter(|_| self.rules.gates(Metric::Accuracy, parties.energy_known)) {
            self.rows.push(answers.row);
        }
        if !counts {
            return;
        }
        let alone = old.len() < between::FEWEST;
        for metric in Metric::ALL.into_iter().filter(|m| *m != Metric::Accuracy) {
            if !self.rules.gates(metric, parties.energy_known) {
                continue;
            }
            let Some(candidate) = Arm::of(metric, new, parties.candidate, parties.policy) else { continue };
            let arms: Vec<Arm> =
                old.iter().filter_map(|c| Arm::of(metric, c, parties.baseline, parties.policy)).collect();
            let Some(first) = arms.first() else { continue };
            let others = if alone { &[][..] } else { &arms[..] };
            let flip = metric == Metric::PerfPerWatt;
            let row = ratio::compare(&candidate, first, others, self.rules.run_to_run, &parties.policy.coverage);
            let useful = new.work.map_or(0.0, |w| w.useful.get());
            let figure = |joules: f64| if flip { useful / joules } else { joules };
            let interval = candidate.interval(&parties.policy.coverage).map(|(low, high)| {
                let (a, b) = (figure(low), figure(high));
                (a.min(b), a.max(b))
            });
            let (change, reason) = match row {
                Ok(change) => (Some(if flip { change.inverse() } else { change }), String::new()),
                Err(reason) => (None, reason),
            };
            self.rows.push(Comparison {
                case: new.id.clone(),
                line: new.line,
                metric,
                decision: Decision::Ambiguous,
                reason,
                baseline: first.value().map(figure),
                candidate: candidate.value().map(figure),
                candidate_interval: interval,
                change,
                fails: false,
            });
        }
    }

    fn close(self, candidate: &RunRecord, used: &[&RunRecord], family: u32, energy_known: bool) -> Outcome {
        let refused: Vec<&Difference> = self.differences.iter().filter(|d| !d.accepted).collect();
        let count =
            |d: Decision| u32::try_from(self.rows.iter().filter(|r| r.decision == d).count()).unwrap_or(u32::MAX);
        let counts: BTreeMap<&'static str, u32> = Decision::ALL.iter().map(|d| (d.name(), count(*d))).collect();
        let fails = |d: Decision| self.rows.iter().any(|r| r.fails && r.decision == d);
        let verdict = if fails(Decision::Worse) {
            Verdict::Failed
        } else if !refused.is_empty() {
            Verdict::Refused
        } else if self.rules.energy == EnergyRule::Required && !energy_known {
            Verdict::EnergyMissing
        } else if self.rows.is_empty() {
            Verdict::Refused
        } else if fails(Decision::Ambiguous) {
            Verdict::Inconclusive
        } else {
            Verdict::Passed
        };
        let cases: std::collections::BTreeSet<&str> = self.rows.iter().map(|r| r.case.as_str()).collect();
        let numbers: Vec<String> = Decision::ALL.iter().map(|d| format!("{} {}", count(*d), d.name())).collect();
        let word = match verdict {
            Verdict::Passed => "gate passed",
            Verdict::Failed => "gate FAILED",
            Verdict::Inconclusive => "gate inconclusive",
            Verdict::Refused => "gate refused: not comparable",
            Verdict::EnergyMissing => "gate refused: energy is required and was not measured",
        };
        let mut text =
            format!("{word}; {} cases, {} comparisons: {}", cases.len(), self.rows.len(), numbers.join(", "));
        if !refused.is_empty() {
            text.push_str(&format!("; {} differences forbid a comparison", refused.len()));
        }
        let party = |r: &RunRecord| Party {
            id: r.header.id.clone(),
            started_at: String::from(r.header.started_at),
            commit: r.header.tool.commit.clone(),
        };
        Outcome {
            schema: SCHEMA,
            verdict,
            text,
            candidate: party(candidate),
            baseline: used.iter().map(|r| party(r)).collect(),
            suite: candidate.header.suite.path.clone(),
            rules: self.rules.clone(),
            counts,
            family,
            comparisons: self.rows,
            differences: self.differences,
            notes: self.notes,
            skipped: self.skipped,
        }
    }
}

/// Holm (1979) over every test, then the decision of every row; returns the size of the family.
///
/// Performance per watt is the energy test read the other way round, so it is no test of its own where energy is
/// gated too. Accuracy has no error model, and so no test.
fn decide(rows: &mut [Comparison], rules: &Rules) -> u32 {
    let energy: std::collections::BTreeSet<String> =
        rows.iter().filter(|r| r.metric == Metric::Energy).map(|r| r.case.clone()).collect();
    let twin = |r: &Comparison| r.metric == Metric::PerfPerWatt && energy.contains(&r.case);
    let mut tests: Vec<(usize, f64)> = rows
        .iter()
        .enumerate()
        .filter(|(_, r)| !twin(r))
        .filter_map(|(i, r)| Some((i, r.change.as_ref()?.p)))
        .collect();
    tests.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut adjusted: BTreeMap<usize, f64> = BTreeMap::new();
    let mut largest = 0.0f64;
    for (rank, (row, p)) in tests.iter().enumerate() {
        largest = largest.max((p * (tests.len() - rank) as f64).min(1.0));
        adjusted.insert(*row, largest);
    }
    let of_energy: BTreeMap<String, f64> = adjusted
        .iter()
        .filter(|(i, _)| rows[**i].metric == Metric::Energy)
        .map(|(i, p)| (rows[*i].case.clone(), *p))
        .collect();
    for (i, row) in rows.iter_mut().enumerate() {
        if row.metric != Metric::Accuracy
            && let Some(change) = &mut row.change
        {
            let p = adjusted.get(&i).or_else(|| of_energy.get(&row.case)).copied().unwrap_or(1.0);
            change.p_adjusted = p;
            (row.decision, row.reason) = ratio::decide(row.metric, change, p, rules);
        }
        row.fails = rules.fail_on.contains(&row.decision);
    }
    u32::try_from(tests.len()).unwrap_or(u32::MAX)
}
