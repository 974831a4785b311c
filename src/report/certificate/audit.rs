//! The pages after the first, section by section.

use super::model::{Block, Section};
use super::{boundary, findings, front, measurement, rating, results};
use crate::certificate::{Dossier, FileDigest, Named, Seal};
use crate::report::ReportModel;
use crate::report::model::cards;
use crate::report::model::context::{code, fact, maybe};
use crate::report::model::grid::{text_column, words};
use crate::report::model::plain::{plain, sentence, shorten};
use crate::report::model::{CellKind, Column, Fact, FactGroup, Paragraph, Row, SpanKind, Table, Tone, Trace};
use crate::report::si;
use crate::verdict::Decision;
use std::collections::BTreeSet;

/// Cases that the legend of the power trace names one by one.
const LEGEND: usize = 16;

/// Every section, in the order of the document.
pub(super) fn sections(dossier: &Dossier, seal: &Seal, report: ReportModel) -> Vec<Section> {
    vec![
        Section { id: "decision", title: "Decision", blocks: decision(dossier) },
        Section { id: "results", title: "Results by kernel", blocks: figures(dossier, &report) },
        Section { id: "uncertainty", title: "Uncertainty", blocks: uncertainty(dossier, &report) },
        Section { id: "measurement", title: "Measurement", blocks: measured(dossier, &report) },
        Section { id: "environment", title: "Surroundings", blocks: surroundings(dossier, &report) },
        Section { id: "item", title: "Item", blocks: item(&report) },
        Section { id: "method", title: "Method", blocks: method(dossier, &report) },
        Section { id: "deviations", title: "Deviations and caveats", blocks: deviations(dossier, report) },
        Section { id: "evidence", title: "Evidence", blocks: evidence(dossier, seal) },
    ]
}

fn group(title: &str, facts: Vec<Fact>) -> Block {
    Block::Facts(FactGroup { title: title.to_owned(), facts })
}

fn decision(dossier: &Dossier) -> Vec<Block> {
    let certificate = &dossier.certificate;
    let mut facts = vec![fact("Decision", front::word(certificate.decision))];
    // A class belongs to a certified result alone; the index of another is a figure like any other.
    if let Some(rating) = &certificate.rating {
        let bounds = si::interval(rating.lower, rating.upper, rating.index);
        let u = crate::report::model::uncertainty::two_digits(rating.expanded_uncertainty);
        let k = crate::report::model::uncertainty::factor(rating.coverage_factor);
        facts.push(fact("Index", format!("{}, U = {u}, k = {k}", si::number(rating.index))));
        facts.push(fact("Interval of the index", format!("{bounds}: index / (1 + U) and index · (1 + U)")));
        if certificate.decision == Decision::Certified {
            facts.push(fact("Class", class(rating)));
            facts.push(fact("Rule of the class", class_rule(dossier)));
        }
    }
    facts.push(match &certificate.grade {
        Some(grade) => fact("Evidence grade", format!("{}: {}", grade.letter, grade.reason)),
        None => fact("Evidence grade", "none: no energy was measured"),
    });
    facts.push(fact("Claims", "none: figures are compared with the reference table and with no other product"));
    facts.push(fact("SCI inputs (ISO/IEC 21031)", sci(dossier)));
    let mut blocks = vec![group("", facts)];
    let broken = findings::broken(&certificate.findings);
    if !broken.is_empty() {
        blocks.push(Block::Findings(broken));
    }
    blocks.push(Block::Table(findings::table(&certificate.findings)));
    blocks.push(Block::Table(rating::table(dossier)));
    blocks
}

/// What a Software Carbon Intensity can take from this certificate, and what it cannot.
fn sci(dossier: &Dossier) -> String {
    let workloads = dossier.summary.cases.iter().filter(|c| c.role == crate::record::Role::Workload);
    let joules = workloads.filter_map(|c| Some(c.energy.per_iteration.estimate()?.median));
    let range = joules.fold(None, |range: Option<(f64, f64)>, e| match range {
        None => Some((e, e)),
        Some((low, high)) => Some((low.min(e), high.max(e))),
    });
    let hours = |joules: f64| si::quantity(joules / 3600.0, "Wh");
    let energy = match range {
        None => "E was not measured".to_owned(),
        Some((low, high)) if low < high => {
            format!("E of one run is {} to {}, by workload", hours(low), hours(high))
        }
        Some((one, _)) => format!("E of one run is {}", hours(one)),
    };
    format!("{energy}; I and M are not measured (`wattproof export --to sci` takes them)")
}

fn class(rating: &crate::verdict::Rating) -> String {
    match rating.class.not_excluded {
        Some(better) => format!("{} ({better} not excluded)", rating.class.letter),
        None => rating.class.letter.to_string(),
    }
}

fn class_rule(dossier: &Dossier) -> String {
    let bounds: Vec<String> =
        dossier.policy.classes.iter().map(|(class, bound)| format!("{class} from {}", rating::set(*bound))).collect();
    format!("taken on the lower end of the interval: {}, G below", bounds.join(", "))
}

fn figures(dossier: &Dossier, report: &ReportModel) -> Vec<Block> {
    vec![
        Block::Bars(report.bars.clone()),
        Block::Table(results::performance(dossier, report)),
        Block::Table(results::answers(dossier, report)),
    ]
}

fn uncertainty(dossier: &Dossier, report: &ReportModel) -> Vec<Block> {
    let mut blocks = vec![Block::Table(results::budgets(dossier, report)), Block::Table(results::sources(dossier))];
    blocks.extend(rating::budget(dossier).map(Block::Table));
    blocks
}

fn measured(dossier: &Dossier, report: &ReportModel) -> Vec<Block> {
    vec![
        Block::Boundary(boundary::of(dossier)),
        Block::Table(measurement::meters(dossier)),
        group("Gaps, coverage, overhead", measurement::quality(dossier)),
        Block::Trace(trace(&report.trace)),
        Block::Sensors(report.sensors.clone()),
    ]
}

/// The trace, without its windows where shading them and naming their cases would take the room of the lines.
fn trace(trace: &Trace) -> Trace {
    let mut trace = trace.clone();
    let windows = trace.spans.iter().filter(|s| s.kind != SpanKind::Idle);
    let cases: BTreeSet<&str> = windows.map(|s| s.label.as_str()).collect();
    if cases.len() > LEGEND {
        let lines = trace.description.split(';').next().unwrap_or_default().to_owned();
        trace.description = format!("{lines}; the windows of {} cases are not shaded.", cases.len());
        trace.spans.retain(|s| s.kind == SpanKind::Idle);
    }
    trace
}

fn surroundings(dossier: &Dossier, report: &ReportModel) -> Vec<Block> {
    let mut blocks =
        vec![Block::Table(report.idle.clone()), group("State in all windows", measurement::surroundings(dossier))];
    blocks.extend(cards::groups(&dossier.record).into_iter().map(Block::Facts));
    blocks
}

fn item(report: &ReportModel) -> Vec<Block> {
    report.environment.iter().cloned().map(Block::Facts).collect()
}

fn method(dossier: &Dossier, report: &ReportModel) -> Vec<Block> {
    let method = &dossier.certificate.method;
    let tool = &method.measured_by;
    let (policy, table) = (&method.policy, &method.table);
    let rows = [
        ("Policy", policy, "the limits of the rules and the bounds of the classes"),
        ("Reference table", table, "the efficiency of each case that has index 1"),
        ("Suite", &method.suite, "the kernels and their sizes"),
        ("Bounds of error", &method.uncertainty, "systematic errors of sensors and clock"),
    ];
    let row = |(n, (what, named, meaning)): (usize, (&str, &Named, &str))| Row {
        anchor: format!("method-{n}"),
        tone: Tone::Neutral,
        cells: vec![
            words(what, CellKind::Text, Some(meaning.to_owned())),
            words(name(named), CellKind::Text, None),
            words(shorten(&named.sha256, 64), CellKind::Code, None),
        ],
    };
    let documents = Table {
        id: "documents",
        caption: "Documents it was decided with".to_owned(),
        columns: vec![
            text_column("what", "Document", ""),
            text_column("name", "Name", ""),
            text_column("sha256", "SHA-256", ""),
        ],
        rows: rows.into_iter().enumerate().map(row).collect(),
        notes: method
            .table_provisional
            .iter()
            .map(|why| format!("The reference table is provisional: {}.", shorten(why, 200).trim_end_matches('.')))
            .collect(),
        empty: String::new(),
    };
    let harness = vec![
        fact("Measured by", format!("{} {}", tool.name, tool.version)),
        Fact { mono: true, ..maybe("Commit", tool.commit.as_ref()) },
        fact("Features", if tool.features.is_empty() { "none".to_owned() } else { tool.features.join(", ") }),
        fact("Decided by", format!("wattproof {}", method.decided_by)),
        fact("Profile", &method.profile),
        code("Record", &method.record),
        fact("Begun", front::moment(method.measured_from)),
        maybe("Ended", method.measured_to.map(front::moment)),
    ];
    vec![Block::Table(documents), group("Harness", harness), Block::Paragraphs(report.method.clone())]
}

fn deviations(dossier: &Dossier, report: ReportModel) -> Vec<Block> {
    let stated = &dossier.certificate.deviations;
    let mut blocks = if stated.is_empty() {
        vec![Block::Text("No deviation from the suite or the method is stated.".to_owned())]
    } else {
        stated.iter().map(|text| Block::Text(sentence(text))).collect()
    };
    let simulated = &dossier.record.header.simulated;
    if !simulated.is_empty() {
        let why: Vec<String> = simulated.iter().map(|s| shorten(s, 200)).collect();
        blocks.push(Block::Text(format!("The record is simulated: {}.", why.join("; ").trim_end_matches('.'))));
    }
    if report.caveats.is_empty() {
        blocks.push(Block::Text("The analysis found nothing that weakens the figures.".to_owned()));
    } else {
        blocks.push(Block::Caveats(report.caveats));
    }
    blocks
}

fn evidence(dossier: &Dossier, seal: &Seal) -> Vec<Block> {
    let certificate = &dossier.certificate;
    let row = |(n, file): (usize, &FileDigest)| Row {
        anchor: format!("file-{n}"),
        tone: Tone::Neutral,
        cells: vec![
            words(shorten(&file.name, 80), CellKind::Code, None),
            words(si::bytes(file.bytes as f64), CellKind::Measured, None),
            words(shorten(&file.sha256, 64), CellKind::Code, None),
        ],
    };
    let files = Table {
        id: "files",
        caption: "Files it was computed from".to_owned(),
        columns: vec![
            text_column("name", "File", "name inside the bundle"),
            Column { numeric: true, ..text_column("bytes", "Size", "") },
            text_column("sha256", "SHA-256", ""),
        ],
        rows: certificate.evidence.iter().enumerate().map(row).collect(),
        notes: Vec::new(),
        empty: "No file is named.".to_owned(),
    };
    let identity = vec![
        code("Certificate", &certificate.id),
        fact("Issued by", certificate.issue.issuer.as_deref().map_or("not stated".to_owned(), plain)),
        fact("Place", certificate.issue.place.as_deref().map_or("not stated".to_owned(), plain)),
        fact("Issued", front::moment(certificate.issue.issued_at)),
        match certificate.expires_at {
            Some(end) => fact("Valid until", front::moment(end)),
            None => fact("Valid until", "not valid: nothing is certified"),
        },
        match &seal.key_id {
            Some(key) => code("Signed with key", key),
            None => fact("Signature", "UNSIGNED"),
        },
    ];
    let paragraph = |title: &str, text: &str| Paragraph { title: title.to_owned(), text: text.to_owned() };
    let how = vec![
        paragraph(
            "How to verify",
            "Get the whole bundle and the public key of the issuer, then run `wattproof verify BUNDLE --key ISSUER.pub`. It \
             needs no network. It checks the signature and every digest, recomputes all figures, findings and the decision \
             from the raw samples, and names each difference.",
        ),
        paragraph(
            "What a signature says",
            "It proves who issued the bundle and that nothing in it was changed since. It does not prove that the \
             measurement was honest.",
        ),
    ];
    vec![group("Identity", identity), Block::Paragraphs(how), Block::Table(files)]
}

fn name(named: &Named) -> String {
    match &named.title {
        Some(title) => format!("{}: {}", shorten(&named.name, 60), shorten(title, 120)),
        None => shorten(&named.name, 60),
    }
}
