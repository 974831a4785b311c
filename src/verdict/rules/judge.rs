//! What rules share: which workloads they look at, and how an observation becomes a finding.
//!
//! A rule quotes one finding for the whole record where it is kept (with the workload nearest to the
//! limit), and one for each workload that breaks it.

pub(super) use super::super::{Finding, Subject};
pub(super) use super::Rule;
use super::Status;
use crate::analysis::CaseSummary;
use crate::record::{Measurement, Role, Sample};

/// What is asked for, and the line of the policy that asks.
pub(super) struct Asked {
    text: String,
    line: Option<u32>,
}

/// Asked for by the program itself.
pub(super) fn program(text: &str) -> Asked {
    Asked { text: text.to_owned(), line: None }
}

/// Asked for in a line of the policy.
pub(super) fn policy(text: String, line: u32) -> Asked {
    Asked { text, line: Some(line) }
}

/// What a rule saw.
pub(super) enum Seen {
    /// Kept; the larger the number, the nearer to the limit.
    Kept(f64, String),
    /// Broken.
    Broken(String),
    /// The record does not say.
    Unknown(String),
}

/// Kept, whatever the numbers.
pub(super) fn kept(text: &str) -> Seen {
    Seen::Kept(0.0, text.to_owned())
}

/// Kept where `value` does not exceed `limit`; NaN does.
pub(super) fn at_most(value: f64, limit: f64, text: String) -> Seen {
    if value <= limit { Seen::Kept(value, text) } else { Seen::Broken(text) }
}

/// Kept where `value` reaches `limit`; NaN does not.
pub(super) fn at_least(value: f64, limit: f64, text: String) -> Seen {
    if value >= limit { Seen::Kept(-value, text) } else { Seen::Broken(text) }
}

/// The largest value; `None` when one is unknown or there is none.
pub(super) fn worst(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let all: Option<Vec<f64>> = values.collect();
    all?.into_iter().reduce(f64::max)
}

/// `0.25 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// A workload with at least one window that counts.
pub(super) struct Live<'a> {
    pub(super) summary: &'a CaseSummary,
    pub(super) measurement: &'a Measurement,
}

impl Live<'_> {
    /// The windows that count.
    pub(super) fn windows(&self) -> impl Iterator<Item = &Sample> {
        self.measurement.valid_samples()
    }

    /// Whether it ran on a graphics card: on another device than the processor that no software imitates.
    pub(super) fn on_card(&self) -> bool {
        let imitated = self.measurement.prepared.as_ref().is_some_and(|p| p.program.software);
        !imitated && self.summary.device.as_ref().is_some_and(|d| !d.is_cpu())
    }

    /// Update periods of the slowest counter of the rated boundary in a window; `None` when one is unknown.
    pub(super) fn periods_in(&self, sample: &Sample) -> Option<f64> {
        let rated = self.summary.domains.iter().filter(|d| d.rated);
        let spans = rated.filter_map(|d| {
            sample.energy.iter().find(|s| s.domain == d.domain && s.sensor == d.sensor && s.method == d.method)
        });
        let slowest = spans.map(|s| s.update_period.map(|t| t.get()));
        worst(slowest).map(|period| sample.wall.get() / period)
    }
}

/// Workloads of the record, whatever became of them.
fn workloads<'a>(subject: &Subject<'a>) -> impl Iterator<Item = Live<'a>> {
    let pairs = subject.summary.cases.iter().zip(&subject.record.measurements);
    pairs.filter(|(c, _)| c.role == Role::Workload).map(|(summary, measurement)| Live { summary, measurement })
}

/// Workloads with a window that counts: void ones have rules of their own.
pub(super) fn live<'a>(subject: &Subject<'a>) -> impl Iterator<Item = Live<'a>> {
    workloads(subject).filter(|w| w.summary.time.estimate().is_some())
}

impl Rule {
    /// A finding of this rule.
    pub(super) fn finding(&self, status: Status, case: Option<&str>, observed: String, asked: Asked) -> Finding {
        let fix = match status {
            Status::Fail => self.fix,
            Status::Inconclusive => self.unknown.unwrap_or(self.fix),
            Status::Pass | Status::NotApplicable => "",
        };
        Finding {
            code: self.code,
            status,
            case: case.map(str::to_owned),
            observed,
            limit: asked.text,
            policy_line: asked.line,
            fix: fix.to_owned(),
        }
    }

    /// One finding about the record.
    pub(super) fn whole(&self, asked: Asked, seen: Seen) -> Vec<Finding> {
        let (status, text) = match seen {
            Seen::Kept(_, text) => (Status::Pass, text),
            Seen::Broken(text) => (Status::Fail, text),
            Seen::Unknown(text) => (Status::Inconclusive, text),
        };
        vec![self.finding(status, None, text, asked)]
    }

    /// The rule does not concern this record.
    pub(super) fn spare(&self, asked: Asked, why: &str) -> Vec<Finding> {
        vec![self.finding(Status::NotApplicable, None, why.to_owned(), asked)]
    }

    /// Judges every workload with a window that counts; `None` spares one.
    pub(super) fn each<'a>(
        &self,
        subject: &Subject<'a>,
        asked: Asked,
        judge: impl Fn(&Live<'a>) -> Option<Seen>,
    ) -> Vec<Finding> {
        self.of(live(subject), asked, judge)
    }

    /// Judges every workload, those without any window as well.
    pub(super) fn every<'a>(
        &self,
        subject: &Subject<'a>,
        asked: Asked,
        judge: impl Fn(&Live<'a>) -> Option<Seen>,
    ) -> Vec<Finding> {
        self.of(workloads(subject), asked, judge)
    }

    fn of<'a>(
        &self,
        cases: impl Iterator<Item = Live<'a>>,
        asked: Asked,
        judge: impl Fn(&Live<'a>) -> Option<Seen>,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut nearest: Option<(f64, String)> = None;
        for case in cases {
            let id = Some(case.summary.id.as_str());
            let asked = Asked { text: asked.text.clone(), line: asked.line };
            match judge(&case) {
                None => {}
                Some(Seen::Broken(text)) => findings.push(self.finding(Status::Fail, id, text, asked)),
                Some(Seen::Unknown(text)) => findings.push(self.finding(Status::Inconclusive, id, text, asked)),
                Some(Seen::Kept(strain, text)) if nearest.as_ref().is_none_or(|(most, _)| strain > *most) => {
                    nearest = Some((strain, text));
                }
                Some(Seen::Kept(..)) => {}
            }
        }
        match nearest {
            _ if !findings.is_empty() => findings,
            Some((_, text)) => vec![self.finding(Status::Pass, None, text, asked)],
            None => self.spare(asked, self.spared.unwrap_or("it does not concern this record")),
        }
    }
}
