//! Header + events → the record in memory.

use super::wall::{self, WallMeter};
use super::{Event, Header, IdleWindow, Prepared, Sample, SamplerSummary, TracePoint};
use crate::clock::Moment;
use crate::suite::Case;
use crate::units::Seconds;
use std::collections::HashMap;

/// A record, complete or partial.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Who, what, where, with what.
    pub header: Header,
    /// One entry for every planned case, in plan order.
    pub measurements: Vec<Measurement>,
    /// Idle windows.
    pub idle: Vec<IdleWindow>,
    /// The power trace, in time order.
    pub trace: Vec<TracePoint>,
    /// Sensors lost on the way: family id and reason.
    pub lost_sensors: Vec<(String, String)>,
    /// Pulses and rows of a wall meter; its energies stand in the windows.
    pub wall: WallMeter,
    /// What the background sampler cost; `None` where none ran or the run was killed.
    pub sampler: Option<SamplerSummary>,
    /// SHA-256 of `samples.jsonl`, lower-case hex.
    pub samples_digest: String,
    /// Anything odd about the file itself (a torn last line after a kill).
    pub notes: Vec<String>,
}

/// All that is known of one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The case.
    pub case: Case,
    /// How it was built; `None` when the run ended before, or building failed.
    pub prepared: Option<Prepared>,
    /// Every window taken, discarded ones included, in time order.
    pub samples: Vec<Sample>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All repeats have a window that counts.
    Measured,
    /// Some repeats have one, some do not.
    Partial {
        /// Why.
        reason: String,
    },
    /// The answer was wrong: no figure of this case counts.
    WrongAnswer {
        /// Observed error against limit.
        reason: String,
    },
    /// It could not run.
    Failed {
        /// Why.
        reason: String,
    },
    /// The run ended before it began.
    NotRun,
}

impl Measurement {
    /// The windows that count.
    pub fn valid_samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|s| s.flags.is_empty())
    }
}

impl RunRecord {
    /// Folds events into measurements. Pure: the same lines give the same record.
    #[must_use]
    pub fn fold(header: Header, events: impl IntoIterator<Item = Event>, samples_digest: String) -> Self {
        let mut record = Self {
            measurements: header
                .plan
                .cases
                .iter()
                .map(|case| Measurement {
                    case: case.clone(),
                    prepared: None,
                    samples: Vec::new(),
                    outcome: Outcome::NotRun,
                })
                .collect(),
            header,
            idle: Vec::new(),
            trace: Vec::new(),
            lost_sensors: Vec::new(),
            wall: WallMeter::default(),
            sampler: None,
            samples_digest,
            notes: Vec::new(),
        };
        // The first of a name, should a plan have it twice.
        let cases = record.header.plan.cases.iter().enumerate().rev();
        let index: HashMap<String, usize> = cases.map(|(i, case)| (case.id.clone(), i)).collect();
        for event in events {
            record.apply(event, &index);
        }
        wall::attach(&mut record);
        let repeats = record.header.profile.repeats;
        for measurement in &mut record.measurements {
            measurement.settle(repeats);
        }
        record
    }

    /// The latest moment that any event names: a resumed clock goes on from here.
    #[must_use]
    pub fn last_moment(&self) -> Moment {
        let after = |start: Moment, wall: Seconds| {
            Moment::from_nanos(start.nanos().saturating_add(u64::try_from(wall.to_duration().as_nanos()).unwrap_or(0)))
        };
        let idle = self.idle.iter().map(|w| after(w.start, w.wall));
        let samples = self.measurements.iter().flat_map(|m| &m.samples).map(|s| after(s.start, s.wall));
        let trace = self.trace.iter().map(|p| p.at);
        let pulses = self.wall.pulses.iter().map(|p| p.end);
        idle.chain(samples).chain(trace).chain(pulses).max().unwrap_or_default()
    }

    fn apply(&mut self, event: Event, index: &HashMap<String, usize>) {
        match event {
            Event::Resumed { at, utc } => {
                self.notes.push(format!("resumed at {utc}, {:.1} s into the run", at.seconds().get()))
            }
            Event::Idle(window) => self.idle.push(window),
            Event::Sampler(summary) => self.sampler = Some(summary),
            Event::Trace(point) => self.trace.push(point),
            Event::Pulse(pulse) => self.wall.pulses.push(pulse),
            Event::MeterRows { rows } => self.wall.rows.extend(rows),
            Event::SensorLost { sensor, reason, .. } => self.lost_sensors.push((sensor, reason)),
            Event::Prepared(prepared) => {
                if let Some(m) = self.measurement_mut(&prepared.case, index) {
                    m.prepared = Some(prepared);
                }
            }
            Event::Sample(sample) => {
                if let Some(m) = self.measurement_mut(&sample.case, index) {
                    m.samples.push(sample);
                }
            }
            Event::Void { case, wrong_answer, reason } => {
                if let Some(m) = self.measurement_mut(&case, index) {
                    m.outcome = if wrong_answer { Outcome::WrongAnswer { reason } } else { Outcome::Failed { reason } };
                }
            }
        }
    }

    fn measurement_mut(&mut self, case: &str, index: &HashMap<String, usize>) -> Option<&mut Measurement> {
        let found = index.get(case).copied();
        if found.is_none() {
            self.notes.push(format!("an event names the case `{case}`, which the plan does not have"));
        }
        found.map(|i| &mut self.measurements[i])
    }
}

impl Measurement {
    fn settle(&mut self, repeats: u32) {
        if self.outcome != Outcome::NotRun {
            return;
        }
        let counted = self.valid_samples().count();
        let discarded = self.samples.iter().rev().find_map(|s| s.flags.first());
        self.outcome = match discarded {
            _ if self.samples.is_empty() => Outcome::NotRun,
            _ if counted >= repeats as usize => Outcome::Measured,
            Some(flag) => Outcome::Partial {
                reason: format!("{counted} of {repeats} windows count; the last one discarded: {}", flag.detail),
            },
            None => {
                Outcome::Partial { reason: format!("{counted} of {repeats} windows were taken before the run ended") }
            }
        };
    }
}
