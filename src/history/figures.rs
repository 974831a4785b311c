//! A record → what a history keeps of it. Pure.
//!
//! Figures are those of a gate (docs/gate.md): means on logarithms of the windows that count, each with the scatter of
//! its windows. What has to be the same for two figures to be comparable is part of the series they belong to.

use crate::analysis::{CaseGauge, gauge};
use crate::gate::{self, Metric};
use crate::policy::Policy;
use crate::record::store::sha256_hex;
use crate::record::{Role, RunRecord, RunState};
use crate::report::si;
use serde::{Deserialize, Serialize};

/// Number of the method that figures are reckoned by; another number begins new series.
pub const METHOD: u32 = 1;
/// Longest text of a record that a history keeps, in bytes: what an index of PostgreSQL holds is 2,704.
pub const LONGEST: usize = 2000;
/// Most figures of one record.
pub const MOST: usize = 1_000_000;

/// Where a record comes from, which the record itself does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// Commit of the code that was measured; `None` takes the one the record names.
    pub commit: Option<String>,
    /// Branch it was measured on.
    pub branch: Option<String>,
}

/// A record and its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The record.
    pub record: RecordEntry,
    /// Its figures, in plan order.
    pub figures: Vec<Figure>,
}

/// A record as a history keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordEntry {
    /// Record id; a store holds each once.
    pub id: String,
    /// SHA-256 of `record.json`, a line break, SHA-256 of `samples.jsonl`; of that text the SHA-256 again.
    pub digest: String,
    /// When the run began, RFC 3339.
    pub started_at: String,
    /// The same in seconds since 1970: what runs are ordered by.
    pub started: i64,
    /// Commit of the code that was measured, where known.
    pub commit: Option<String>,
    /// Branch, where known.
    pub branch: Option<String>,
    /// Suite id.
    pub suite: String,
    /// Version of wattproof that measured.
    pub tool: String,
    /// Processor model.
    pub processor: Option<String>,
    /// Hash of the machine, where known.
    pub machine: Option<String>,
    /// Whether anything in it was simulated.
    pub simulated: bool,
    /// Workloads planned.
    pub cases: u32,
    /// Workloads without a right answer in time: no figure of theirs is kept.
    pub void: u32,
}

/// What all figures of a series have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Suite id.
    pub suite: String,
    /// Case id.
    pub case: String,
    /// Word of the metric, as [`Metric::name`] gives it.
    pub metric: String,
    /// Name and value of everything that must not differ, in a fixed order.
    pub conditions: Vec<(String, String)>,
}

impl SeriesKey {
    /// SHA-256 of the key: what stores tell series apart by.
    #[must_use]
    pub fn digest(&self) -> String {
        // A struct of strings is JSON, always.
        sha256_hex(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A figure of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The series it continues.
    pub series: SeriesKey,
    /// In the unit of the metric; finite and positive.
    pub value: f64,
    /// Lower bound at 95 % from the scatter of the windows; `None` for one window.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
    /// Standard error of the logarithm of the value.
    pub error: Option<f64>,
    /// Windows that count.
    pub windows: u32,
}

/// Why a record cannot go into a history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It runs, was killed or was interrupted.
    #[error("the run is not complete, and would have other bytes once it is; finish it with `wattproof run --resume`")]
    Unfinished,
    /// A text that no store should hold.
    #[error("{what} {problem}")]
    Text {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// More figures than any run has.
    #[error("it has {0} figures, and at most {MOST} are kept of one record")]
    TooMany(usize),
}

/// What a history keeps of `record`, whose `record.json` has the SHA-256 `header_digest`.
///
/// # Errors
/// [`Unfit`] for a run that is not complete and for texts that no store should hold.
pub fn entry(record: &RunRecord, header_digest: &str, from: &Provenance, policy: &Policy) -> Result<Entry, Unfit> {
    let header = &record.header;
    if header.state != RunState::Complete || header.samples.is_none() {
        return Err(Unfit::Unfinished);
    }
    let gauges = gauge(record, policy);
    let workloads: Vec<&CaseGauge> = gauges.iter().filter(|c| c.role == Role::Workload).collect();
    let mut figures = Vec::new();
    let mut void = 0;
    for case in &workloads {
        let found = gate::figures(case, record, policy);
        void += u32::from(found.is_empty());
        figures.extend(found.into_iter().map(|figure| Figure {
            series: key(record, case, figure.metric),
            value: figure.value,
            low: figure.interval.map(|i| i.0),
            high: figure.interval.map(|i| i.1),
            error: figure.error,
            windows: figure.windows,
        }));
    }
    if figures.len() > MOST {
        return Err(Unfit::TooMany(figures.len()));
    }
    let record = RecordEntry {
        id: header.id.clone(),
        digest: sha256_hex(format!("{header_digest}\n{}", record.samples_digest).as_bytes()),
        started_at: header.started_at.to_string(),
        started: header.started_at.date_time().unix_timestamp(),
        commit: from.commit.clone().or_else(|| header.tool.commit.clone()),
        branch: from.branch.clone(),
        suite: header.suite.id.clone(),
        tool: header.tool.version.clone(),
        processor: header.environment.cpu.model.clone(),
        machine: header.environment.host.machine_hash.clone(),
        simulated: !header.simulated.is_empty(),
        cases: u32::try_from(workloads.len()).unwrap_or(u32::MAX),
        void,
    };
    let entry = Entry { record, figures };
    entry.texts()?;
    Ok(entry)
}

impl Entry {
    /// Every text has a length and characters that all stores hold.
    fn texts(&self) -> Result<(), Unfit> {
        let r = &self.record;
        let known = |text: &Option<String>| text.clone().unwrap_or_default();
        let fixed = [
            ("the record id", r.id.clone()),
            ("the commit", known(&r.commit)),
            ("the branch", known(&r.branch)),
            ("the suite id", r.suite.clone()),
            ("the version of the program", r.tool.clone()),
            ("the processor's name", known(&r.processor)),
            ("the machine's hash", known(&r.machine)),
        ];
        if r.id.is_empty() {
            return Err(Unfit::Text { what: "the record id", problem: "is empty".to_owned() });
        }
        for (what, text) in &fixed {
            fits(what, text)?;
        }
        for figure in &self.figures {
            fits("a case id", &figure.series.case)?;
            for (_, value) in &figure.series.conditions {
                fits("a parameter, a device or a path", value)?;
            }
        }
        Ok(())
    }
}

fn fits(what: &'static str, text: &str) -> Result<(), Unfit> {
    let problem = if text.len() > LONGEST {
        format!("has {} bytes, and at most {LONGEST} are kept", text.len())
    } else if text.contains('\0') {
        // PostgreSQL has no such text at all.
        "holds a NUL character".to_owned()
    } else {
        return Ok(());
    };
    Err(Unfit::Text { what, problem })
}

/// What must be the same for two figures to be of one series: the differences for which a gate refuses, case by case.
fn key(record: &RunRecord, case: &CaseGauge, metric: Metric) -> SeriesKey {
    let environment = &record.header.environment;
    let unknown = || "unknown".to_owned();
    let known = |text: &Option<String>| text.clone().unwrap_or_else(unknown);
    let watts = |power: Option<f64>| power.map_or_else(unknown, |w| si::setting(w, "W"));
    let values = case.params.values.iter().map(|(name, value)| format!("{name} {value}"));
    let cold = case.cache.is_cold().then(|| "cache cold".to_owned());
    let parameters: Vec<String> = std::iter::once(case.params.dtype.to_string()).chain(values).chain(cold).collect();
    let on_gpu = case.device.as_ref().is_some_and(|d| d.0 != "cpu");
    let gpus: Vec<&str> = environment.gpus.iter().map(|g| g.name.as_str()).collect();
    let processor = if on_gpu { gpus.join(" + ") } else { known(&environment.cpu.model) };
    let limits: Vec<String> = environment.gpus.iter().map(|g| watts(g.power_limit.map(|w| w.get()))).collect();
    let power_limit = if on_gpu { limits.join(" + ") } else { watts(environment.state.power_cap.map(|w| w.get())) };
    let mut conditions = vec![
        ("parameters", parameters.join(", ")),
        ("device", case.device.as_ref().map_or_else(unknown, |d| d.0.clone())),
        ("processor", processor),
        ("machine", known(&environment.host.machine_hash)),
        ("power limit", power_limit),
        ("path", known(&case.path)),
        ("threads", case.threads.map_or_else(unknown, |t| t.to_string())),
        ("work", case.work.map_or_else(unknown, |w| format!("{} FLOP, {} B", w.useful.get(), w.bytes.get()))),
        ("measured", if record.header.simulated.is_empty() { "yes" } else { "simulated" }.to_owned()),
        ("method", METHOD.to_string()),
    ];
    if let (true, Ok(energy)) = (metric.needs_energy(), &case.energy) {
        let meters: Vec<String> = energy.meters.iter().map(|m| format!("{} by {}", m.domain, m.sensor)).collect();
        conditions.push(("boundary", meters.join(" + ")));
    }
    SeriesKey {
        suite: record.header.suite.id.clone(),
        case: case.id.clone(),
        metric: metric.name().to_owned(),
        conditions: conditions.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    }
}
