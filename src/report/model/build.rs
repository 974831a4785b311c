//! Record and summary → view model.

use super::context::{self, fact};
use super::plain::{Anchors, plain, sentence, shorten};
use super::{
    Data, Fact, FactGroup, Identity, ReportModel, Tone, VerdictLine, cards, charts, crossover, results, tables, trace,
    uncertainty,
};
use crate::analysis::{CaseSummary, Severity, Summary, summarise};
use crate::record::{Role, RunRecord};
use crate::report::si;

impl ReportModel {
    /// Summarises `record` and prepares all that a report shows of it.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        Self::new(record, summarise(record))
    }

    /// From a summary that was already made of `record`.
    #[must_use]
    pub fn new(record: &RunRecord, summary: Summary) -> Self {
        let mut anchors = Anchors::default();
        let anchored: Vec<(String, &CaseSummary)> = summary.cases.iter().map(|c| (anchors.take(&c.id), c)).collect();
        let (workloads, probes): (Vec<_>, Vec<_>) = anchored.into_iter().partition(|(_, c)| c.role == Role::Workload);
        Self {
            title: title(record),
            subtitle: subtitle(record),
            record_id: shorten(&record.header.id, 120),
            date: record.header.started_at.to_string(),
            verdict: verdict(&summary),
            facts: facts(record, &summary),
            results: results::results(&summary, &workloads),
            domains: tables::domains(&summary, &workloads),
            counters: tables::counters(&workloads),
            ceilings: tables::ceilings(&probes),
            idle: tables::idle(&summary),
            uncertainty: uncertainty::table(&summary, &workloads),
            bars: charts::bars(&summary, &workloads),
            roofline: charts::roofline(&summary, &workloads, &probes),
            crossover: crossover::crossover(&summary),
            trace: trace::trace(record, &summary),
            sensors: context::sensors(record),
            environment: environment(record),
            caveats: context::caveats(&summary),
            method: context::method(record, &summary),
            provenance: context::provenance(record, &summary),
            data: Data { identity: identity(record), summary },
        }
    }
}

/// Title of the suite, or its id.
pub(super) fn title(record: &RunRecord) -> String {
    let title = shorten(&record.header.suite.title, 200);
    if title.is_empty() { shorten(&record.header.suite.id, 200) } else { title }
}

pub(super) fn subtitle(record: &RunRecord) -> String {
    let h = &record.header;
    let machine = h.environment.cpu.model.as_deref().unwrap_or("unknown processor");
    let t = h.started_at.date_time();
    let date = format!("{} {} {} {:02}:{:02} UTC", t.day(), t.month(), t.year(), t.hour(), t.minute());
    format!("{} · {date} · {} {}", shorten(machine, 120), plain(&h.tool.name), plain(&h.tool.version))
}

pub(super) fn verdict(summary: &Summary) -> VerdictLine {
    let v = &summary.verdict;
    let grave = summary.caveats.iter().any(|c| c.severity == Severity::Critical);
    let tone = match (v.wrong > 0, v.clean && !grave) {
        (true, _) => Tone::Bad,
        (false, true) => Tone::Good,
        (false, false) => Tone::Warning,
    };
    VerdictLine { tone, text: sentence(&v.text) }
}

/// The machine, and the cards that cases ran on.
fn environment(record: &RunRecord) -> Vec<FactGroup> {
    let mut groups = context::environment(&record.header.environment);
    groups.extend(cards::groups(record));
    groups
}

pub(super) fn facts(record: &RunRecord, summary: &Summary) -> Vec<Fact> {
    let h = &record.header;
    let p = &h.profile;
    let model = h.environment.cpu.model.as_deref().unwrap_or("unknown");
    let mut facts = vec![
        fact("Processor", shorten(model, 120)),
        fact("Usable CPUs", h.environment.cpu.usable),
        fact("Suite", format!("{}, profile {}", h.suite.id, p.name)),
        fact("Windows", format!("{} a case, at least {} each", p.repeats, si::setting(p.window_floor.get(), "s"))),
    ];
    if summary.verdict.with_energy == 0 {
        facts.push(fact("Energy", "not measured"));
    } else {
        facts.push(fact("Energy of", &summary.boundary.text));
    }
    if let Some(grade) = &summary.grade {
        facts.push(fact("Evidence grade", format!("{} ({})", grade.letter, grade.reason)));
    }
    let rated = |i: &&crate::analysis::IdlePower| summary.boundary.domains.contains(&i.domain);
    let idle: Vec<f64> = summary.idle.iter().filter(rated).map(|i| i.mean).collect();
    if !idle.is_empty() && idle.len() == summary.boundary.domains.len() {
        facts.push(fact("Idle power", si::quantity(idle.iter().sum(), "W")));
    }
    facts.extend(best(summary));
    facts
}

/// The case with the highest rated figure, or the highest rate where energy is not known.
fn best(summary: &Summary) -> Option<Fact> {
    let workloads = || summary.cases.iter().filter(|c| c.role == Role::Workload);
    let top = |pick: fn(&CaseSummary) -> Option<f64>| {
        workloads().filter_map(|c| Some((c, pick(c)?))).max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let by_energy = top(|c| c.energy.efficiency.estimate().map(|e| e.median));
    let by_rate = top(|c| c.rate.estimate().map(|e| e.median));
    let measured = by_energy.is_some();
    let (label, (case, value), unit) = match (by_energy, by_rate) {
        (Some(best), _) => ("Highest perf/W", best, "FLOP/J"),
        (None, Some(best)) => ("Highest rate", best, "FLOP/s"),
        (None, None) => return None,
    };
    let size = uncertainty::of_efficiency(case).filter(|_| measured).map(|u| format!(" {u}")).unwrap_or_default();
    Some(fact(label, format!("{}{size} ({})", si::quantity(value, unit), shorten(&case.id, 80))))
}

fn identity(record: &RunRecord) -> Identity {
    let h = &record.header;
    Identity {
        id: h.id.clone(),
        record_schema: h.schema,
        started_at: h.started_at.to_string(),
        finished_at: h.finished_at.map(|utc| utc.to_string()),
        state: context::state(h.state),
        simulated: h.simulated.clone(),
        tool: format!("{} {}", h.tool.name, h.tool.version),
        suite: h.suite.id.clone(),
        suite_sha256: h.suite.digest.clone(),
        samples_sha256: record.samples_digest.clone(),
        profile: h.profile.name.clone(),
        seed: h.seed,
    }
}
