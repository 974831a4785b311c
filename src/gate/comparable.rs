//! What keeps two records, or two cases, from being compared: each difference with both values.

use super::Rules;
use crate::analysis::{CaseGauge, Status};
use crate::record::{Role, RunRecord};
use serde::Serialize;

/// Permanent names of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Another suite, or another version of it.
    Suite,
    /// One record is simulated and the other is not.
    Simulated,
    /// Another processor or GPU.
    Device,
    /// Another limit of power.
    PowerLimit,
    /// Energy of other parts of the machine.
    Boundary,
    /// The same case id with other parameters or another element type.
    Parameters,
    /// Another code path: instruction set or library.
    Path,
    /// Another number of threads.
    Threads,
    /// Another amount of work an iteration.
    Work,
    /// Cases of the baseline that the candidate does not have, or did not come to.
    Cases,
    /// No right answer on either side.
    Correctness,
}

impl Code {
    pub(super) const ALL: [Self; 11] = [
        Self::Suite,
        Self::Simulated,
        Self::Device,
        Self::PowerLimit,
        Self::Boundary,
        Self::Parameters,
        Self::Path,
        Self::Threads,
        Self::Work,
        Self::Cases,
        Self::Correctness,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Suite => "suite",
            Self::Simulated => "simulated",
            Self::Device => "device",
            Self::PowerLimit => "power-limit",
            Self::Boundary => "boundary",
            Self::Parameters => "parameters",
            Self::Path => "path",
            Self::Threads => "threads",
            Self::Work => "work",
            Self::Cases => "cases",
            Self::Correctness => "correctness",
        }
    }
}

/// Something that differs, with both values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Permanent kebab-case code, as `accept` of a gate file names it.
    pub code: &'static str,
    /// The case; `None` for the records as a whole.
    pub case: Option<String>,
    /// What the baseline has.
    pub baseline: String,
    /// What the candidate has.
    pub candidate: String,
    /// Whether the rules accept it.
    pub accepted: bool,
}

impl Difference {
    /// `power-limit: baseline 125 W, candidate 95 W`.
    #[must_use]
    pub fn text(&self) -> String {
        let case = self.case.as_ref().map(|c| format!("{c}: ")).unwrap_or_default();
        format!("{case}{}: baseline {}, candidate {}", self.code, self.baseline, self.candidate)
    }
}

/// Something a reader should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Permanent kebab-case code.
    pub code: &'static str,
    /// For people.
    pub text: String,
}

impl Note {
    pub(super) fn new(code: &'static str, text: String) -> Self {
        Self { code, text }
    }
}

/// Pairs of values; equal ones say nothing.
struct Differences<'r> {
    case: Option<&'r str>,
    rules: &'r Rules,
    found: Vec<Difference>,
}

impl Differences<'_> {
    fn unless_equal(&mut self, code: Code, baseline: String, candidate: String) {
        if baseline != candidate {
            let accepted = self.rules.accept.contains(&code.name());
            let case = self.case.map(str::to_owned);
            self.found.push(Difference { code: code.name(), case, baseline, candidate, accepted });
        }
    }
}

/// What differs between two records as a whole, and what a reader should know of them.
pub(super) fn records(
    new: &RunRecord,
    old: &RunRecord,
    cases: &[CaseGauge],
    rules: &Rules,
) -> (Vec<Difference>, Vec<Note>) {
    let mut list = Differences { case: None, rules, found: Vec::new() };
    let (n, o) = (&new.header, &old.header);
    let suite = |r: &RunRecord| format!("{} {}", r.header.suite.id, short(&r.header.suite.digest));
    if n.suite.digest != o.suite.digest {
        list.unless_equal(Code::Suite, suite(old), suite(new));
    }
    let simulated = |r: &RunRecord| if r.header.simulated.is_empty() { "measured" } else { "simulated" }.to_owned();
    list.unless_equal(Code::Simulated, simulated(old), simulated(new));
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    list.unless_equal(Code::Device, known(&o.environment.cpu.model), known(&n.environment.cpu.model));
    let on_gpu = cases.iter().any(|c| c.role == Role::Workload && c.device.as_ref().is_some_and(|d| d.0 != "cpu"));
    if on_gpu {
        let names = |r: &RunRecord| join(r.header.environment.gpus.iter().map(|g| g.name.clone()));
        list.unless_equal(Code::Device, names(old), names(new));
        let devices = |r: &RunRecord| join(r.header.devices.iter().map(|d| format!("{} ({})", d.name, d.id)));
        list.unless_equal(Code::Device, devices(old), devices(new));
        let limits =
            |r: &RunRecord| join(r.header.environment.gpus.iter().map(|g| watts(g.power_limit.map(|w| w.get()))));
        list.unless_equal(Code::PowerLimit, limits(old), limits(new));
    }
    let mut notes = Vec::new();
    let cap = |r: &RunRecord| r.header.environment.state.power_cap.map(|w| w.get());
    match (cap(old), cap(new)) {
        (None, None) => {}
        (Some(_), Some(_)) => list.unless_equal(Code::PowerLimit, watts(cap(old)), watts(cap(new))),
        (a, b) => notes.push(Note::new(
            "power-limit-unknown",
            format!("power limit of the package: baseline {}, candidate {}", watts(a), watts(b)),
        )),
    }
    let machine = |r: &RunRecord| r.header.environment.host.machine_hash.clone();
    if machine(new).is_none() || machine(new) != machine(old) {
        let text = "not known to be the same machine: the gain of the energy sensors counts in full on both sides";
        notes.push(Note::new("other-machine", text.to_owned()));
    }
    let host = |r: &RunRecord| [known(&r.header.environment.host.kernel), known(&r.header.environment.cpu.microcode)];
    let state = |r: &RunRecord| {
        let s = &r.header.environment.state;
        [known(&s.governor), known(&s.turbo.map(|t| t.to_string())), known(&s.on_battery.map(|b| b.to_string()))]
    };
    let names = ["kernel", "microcode", "governor", "turbo", "on battery"];
    let (a, b) = ([&host(old)[..], &state(old)[..]].concat(), [&host(new)[..], &state(new)[..]].concat());
    for ((name, a), b) in names.iter().zip(a).zip(b).filter(|((_, a), b)| a != b) {
        notes.push(Note::new("environment", format!("{name}: baseline {a}, candidate {b}")));
    }
    (list.found, notes)
}

/// What differs between the two measurements of a case.
pub(super) fn cases(new: &CaseGauge, old: &CaseGauge, rules: &Rules) -> Vec<Difference> {
    let mut list = Differences { case: Some(&new.id), rules, found: Vec::new() };
    let params = |c: &CaseGauge| {
        let values = c.params.values.iter().map(|(name, value)| format!("{name} {value}"));
        let cold = c.cache.is_cold().then(|| "cache cold".to_owned());
        join(std::iter::once(c.params.dtype.to_string()).chain(values).chain(cold))
    };
    list.unless_equal(Code::Parameters, params(old), params(new));
    let wrong = |c: &CaseGauge| match &c.status {
        Status::Measured | Status::Partial { .. } if !c.windows.is_empty() => None,
        Status::Measured | Status::Partial { .. } => Some("no window counts".to_owned()),
        Status::WrongAnswer { reason } => Some(format!("wrong answer: {reason}")),
        Status::Failed { reason } => Some(format!("failed: {reason}")),
        Status::NotRun => Some("not run".to_owned()),
    };
    let unfinished = |c: &CaseGauge| {
        matches!(c.status, Status::NotRun)
            || (c.windows.is_empty() && matches!(c.status, Status::Measured | Status::Partial { .. }))
    };
    match (wrong(old), wrong(new)) {
        (Some(a), Some(b)) => {
            let accepted = rules.accept.contains(&Code::Correctness.name());
            let case = Some(new.id.clone());
            list.found.push(Difference { code: Code::Correctness.name(), case, baseline: a, candidate: b, accepted });
        }
        (a, b) if unfinished(new) || unfinished(old) => {
            let measured = || "measured".to_owned();
            list.unless_equal(Code::Cases, a.unwrap_or_else(measured), b.unwrap_or_else(measured));
        }
        // Right on one side and wrong on the other is a result: accuracy decides.
        (Some(_), None) | (None, Some(_)) => {}
        (None, None) => {
            let known = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
            let device = |c: &CaseGauge| known(c.device.as_ref().map(|d| d.0.clone()));
            list.unless_equal(Code::Device, device(old), device(new));
            list.unless_equal(Code::Path, known(old.path.clone()), known(new.path.clone()));
            let threads = |c: &CaseGauge| known(c.threads.map(|t| t.to_string()));
            list.unless_equal(Code::Threads, threads(old), threads(new));
            let work = |c: &CaseGauge| known(c.work.map(|w| format!("{} FLOP, {} B", w.useful.get(), w.bytes.get())));
            list.unless_equal(Code::Work, work(old), work(new));
            if let (Ok(a), Ok(b)) = (&old.energy, &new.energy) {
                let domains = |e: &crate::analysis::EnergyGauge| join(e.meters.iter().map(|m| m.domain.to_string()));
                list.unless_equal(Code::Boundary, domains(a), domains(b));
            }
        }
    }
    list.found
}

fn watts(power: Option<f64>) -> String {
    power.map_or_else(|| "unknown".to_owned(), |w| crate::report::si::setting(w, "W"))
}

fn join(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(" + ") }
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}
