//! The result as JSON and as a Prometheus text file.

use super::activity::Processors;
use crate::meter::uncertainty::{COVERAGE_FACTOR, Terms};
use crate::meter::{DomainEnergy, Figure, Measurement, Missing, Total};
use crate::record::EnergyMethod;
use crate::sensors::Domain;
use crate::units::{Joules, Seconds, Watts};
use serde::Serialize;
use std::fmt::Write;

/// Number of the JSON's shape; a key that changes meaning or goes away raises it.
const SCHEMA: u32 = 1;

/// One run of the command.
pub(super) struct Run {
    pub(super) measured: Measurement,
    /// The code the shell would see.
    pub(super) exit_code: u8,
    pub(super) processors: Processors,
}

/// Everything that is to be printed.
pub(super) struct Outcome {
    pub(super) command: Vec<String>,
    /// Every run that ended.
    pub(super) runs: Vec<Run>,
    /// The mean of the runs.
    pub(super) mean: Measurement,
    pub(super) idle: Option<Measurement>,
    pub(super) missing: Vec<Missing>,
    pub(super) trace: Option<TraceSummary>,
    pub(super) exit_code: u8,
}

/// What the trace did and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct TraceSummary {
    pub(super) points: u64,
    #[serde(rename = "longest_gap_s")]
    pub(super) longest_gap: Seconds,
    #[serde(rename = "sampler_cpu_s")]
    pub(super) cpu: Seconds,
}

/// Labels and values of one metric.
type Series = Vec<(String, f64)>;

#[derive(Serialize)]
struct Json<'a> {
    schema: u32,
    command: &'a [String],
    window_s: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_ns: Option<(u64, u64)>,
    domains: Vec<DomainJson<'a>>,
    total: TotalJson,
    activity: Option<Processors>,
    exit_code: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    runs: Vec<RunJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<IdleJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<TraceSummary>,
    missing_sensors: &'a [Missing],
    simulated: &'a [String],
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct DomainJson<'a> {
    domain: &'a Domain,
    energy_j: Option<Joules>,
    u_j: Option<Joules>,
    k: f64,
    power_w: Option<Watts>,
    method: EnergyMethod,
    wraps: Option<u32>,
    sensor: &'a str,
    inside: Option<&'a Domain>,
    update_period_s: Option<Seconds>,
    terms: Option<Terms>,
    n: u32,
    spread_j: Option<Joules>,
    net_energy_j: Option<Joules>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct TotalJson {
    energy_j: Option<Joules>,
    u_j: Option<Joules>,
    k: f64,
    power_w: Option<Watts>,
    net_energy_j: Option<Joules>,
    domains: Vec<Domain>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct RunJson<'a> {
    window_s: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_ns: Option<(u64, u64)>,
    exit_code: u8,
    domains: Vec<DomainJson<'a>>,
    total: TotalJson,
    activity: &'a Processors,
}

#[derive(Serialize)]
struct IdleJson<'a> {
    window_s: Seconds,
    domains: Vec<DomainJson<'a>>,
}

impl Outcome {
    /// One line of JSON, so that it can be told from what the command printed before it.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let runs = self.runs.iter().map(|run| RunJson {
            window_s: run.measured.window,
            window_ns: run.measured.on_clock,
            exit_code: run.exit_code,
            domains: domains(&run.measured),
            total: total(&run.measured),
            activity: &run.processors,
        });
        serde_json::to_string(&Json {
            schema: SCHEMA,
            command: &self.command,
            window_s: self.mean.window,
            window_ns: self.mean.on_clock,
            domains: domains(&self.mean),
            total: total(&self.mean),
            activity: self.processors(),
            exit_code: self.exit_code,
            runs: if self.runs.len() > 1 { runs.collect() } else { Vec::new() },
            idle: self.idle.as_ref().map(|idle| IdleJson { window_s: idle.window, domains: domains(idle) }),
            trace: self.trace,
            missing_sensors: &self.missing,
            simulated: &self.mean.simulated,
            warnings: self.mean.warnings(),
        })
    }

    /// What the command did to the processors, the mean of all runs.
    pub(super) fn processors(&self) -> Option<Processors> {
        Processors::mean(self.runs.iter().map(|run| &run.processors))
    }

    /// Gauges in the Prometheus text format, version 0.0.4; `unix_seconds` is now. An unknown figure has no series.
    pub(super) fn prometheus(&self, unix_seconds: f64) -> String {
        let known = || self.mean.domains.iter().filter_map(|d| Some((labels(d), d.figure.as_ref().ok()?)));
        let each = |value: fn(&Figure) -> Option<f64>| -> Series {
            known().filter_map(|(labels, figure)| Some((labels, value(figure)?))).collect()
        };
        let total = self.mean.total().ok();
        let of_total = |value: fn(&Total) -> Option<f64>| -> Series {
            total.iter().filter_map(|t| Some((String::new(), value(t)?))).collect()
        };
        let one = |value: f64| vec![(String::new(), value)];
        let simulated = f64::from(u8::from(!self.mean.simulated.is_empty()));
        let metrics: [(&str, &str, Series); 12] = [
            ("energy_joules", "Energy the domain drew while the command ran.", each(|f| Some(f.energy.get()))),
            ("energy_uncertainty_joules", "Its standard uncertainty (k = 1).", each(|f| Some(f.u().get()))),
            ("net_energy_joules", "Energy above the idle power.", each(|f| f.net.map(Joules::get))),
            ("power_watts", "Mean power of the domain.", each(|f| Some(f.power.get()))),
            ("counter_wraps", "How often the counter wrapped.", each(|f| Some(f64::from(f.wraps)))),
            ("total_energy_joules", "Energy of the outermost domains.", of_total(|t| Some(t.energy.get()))),
            ("total_energy_uncertainty_joules", "Its standard uncertainty (k = 1).", of_total(|t| Some(t.u.get()))),
            ("window_seconds", "How long the command ran.", one(self.mean.window.get())),
            ("runs", "Runs that the figures are the mean of.", one(f64::from(self.mean.runs))),
            ("exit_code", "Exit code of the command.", one(f64::from(self.exit_code))),
            ("simulated", "1 when the counters were doubles.", one(simulated)),
            ("finished_timestamp_seconds", "When the command ended, Unix time.", one(unix_seconds)),
        ];
        let mut text = String::new();
        for (name, help, series) in metrics.into_iter().filter(|m| !m.2.is_empty()) {
            let _ = writeln!(text, "# HELP wattproof_{name} {help}\n# TYPE wattproof_{name} gauge");
            for (labels, value) in series {
                let _ = writeln!(text, "wattproof_{name}{labels} {value}");
            }
        }
        text
    }
}

/// `{domain="package-0",…}`.
fn labels(part: &DomainEnergy) -> String {
    let method = match part.method {
        EnergyMethod::Counter => "counter",
        EnergyMethod::Integrated => "integrated",
    };
    let escape = |text: &str| text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!(
        "{{domain=\"{}\",sensor=\"{}\",method=\"{method}\"}}",
        escape(&part.domain.to_string()),
        escape(&part.sensor)
    )
}

fn domains(measurement: &Measurement) -> Vec<DomainJson<'_>> {
    measurement.domains.iter().map(domain).collect()
}

fn domain(part: &DomainEnergy) -> DomainJson<'_> {
    let known = part.figure.as_ref().ok();
    DomainJson {
        domain: &part.domain,
        energy_j: known.map(|f| f.energy),
        u_j: known.map(Figure::u),
        k: COVERAGE_FACTOR,
        power_w: known.map(|f| f.power),
        method: part.method,
        wraps: known.map(|f| f.wraps),
        sensor: &part.sensor,
        inside: part.inside.as_ref(),
        update_period_s: known.and_then(|f| f.update_period),
        terms: known.map(|f| f.terms),
        n: known.map_or(0, |f| f.n),
        spread_j: known.and_then(|f| f.spread),
        net_energy_j: known.and_then(|f| f.net),
        reason: part.figure.as_ref().err().map(String::as_str),
    }
}

fn total(measurement: &Measurement) -> TotalJson {
    let (known, reason) = match measurement.total() {
        Ok(total) => (Some(total), None),
        Err(reason) => (None, Some(reason)),
    };
    TotalJson {
        energy_j: known.as_ref().map(|t| t.energy),
        u_j: known.as_ref().map(|t| t.u),
        k: COVERAGE_FACTOR,
        power_w: known.as_ref().map(|t| t.power),
        net_energy_j: known.as_ref().and_then(|t| t.net),
        domains: known.map_or_else(Vec::new, |t| t.domains),
        reason,
    }
}
