//! Page one in words.

use super::findings;
use super::model::{Mark, Reason};
use crate::certificate::{Certificate, Dossier, Seal};
use crate::clock::Utc;
use crate::report::model::Fact;
use crate::report::model::Tone;
use crate::report::model::context::fact;
use crate::report::model::plain::{sentence, shorten};
use crate::report::si;
use crate::verdict::Decision;

/// What ISO/IEC 17025, 7.8.2.1 l asks of every report.
pub(super) const SCOPE: &str = "The results relate only to the items tested, in the state described here.";

/// Reasons on page one; the others follow in the section on the decision.
const REASONS: usize = 3;
/// Longest name of page one, in characters: two lines of it, three in wide letters.
const NAME: usize = 80;
/// Characters of a key's id in the line that every page carries; the whole id stands under Evidence.
const KEY: usize = 16;
/// Characters that the longest sentence of all reasons together may take: page one stays one page.
const SENTENCES: usize = 300;

pub(super) const fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Certified => "CERTIFIED",
        Decision::Refused => "NOT CERTIFIED",
        Decision::Inconclusive => "INCONCLUSIVE",
    }
}

pub(super) const fn title(decision: Decision) -> &'static str {
    match decision {
        Decision::Certified => "Certificate of performance per watt",
        Decision::Refused => "Refusal of a certificate",
        Decision::Inconclusive => "Inconclusive assessment",
    }
}

pub(super) fn lead(dossier: &Dossier) -> String {
    let certificate = &dossier.certificate;
    let policy = &certificate.method.policy;
    let policy = shorten(policy.title.as_deref().unwrap_or(&policy.name), NAME);
    let count = |status| findings::rules_with(&certificate.findings, status);
    let rules = |n: usize| if n == 1 { "one rule".to_owned() } else { format!("{n} rules") };
    match certificate.decision {
        Decision::Certified => format!("The item was measured and keeps every rule of “{policy}”."),
        Decision::Refused => {
            let failed = count(crate::verdict::Status::Fail);
            format!("The record breaks {} of “{policy}”. This is not a certificate.", rules(failed))
        }
        Decision::Inconclusive => {
            let open = count(crate::verdict::Status::Inconclusive);
            format!(
                "The record does not hold enough to apply {} of “{policy}”. This is not a certificate.",
                if open == 0 { "the rules".to_owned() } else { rules(open) }
            )
        }
    }
}

/// What every page says.
pub(super) fn marks(dossier: &Dossier, seal: &Seal) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut mark = |tone, text: String| marks.push(Mark { tone, text });
    match dossier.certificate.decision {
        Decision::Certified => {}
        Decision::Refused => mark(Tone::Bad, word(Decision::Refused).to_owned()),
        Decision::Inconclusive => mark(Tone::Warning, format!("{}: NOT CERTIFIED", word(Decision::Inconclusive))),
    }
    if !dossier.record.header.simulated.is_empty() {
        mark(Tone::Bad, "SIMULATED".to_owned());
    }
    match &seal.key_id {
        Some(key) => mark(Tone::Neutral, format!("Signed with key {}", shorten(key, KEY))),
        None => mark(Tone::Warning, "UNSIGNED".to_owned()),
    }
    marks
}

/// What is known of the origin.
pub(super) fn origin(seal: &Seal) -> String {
    match &seal.key_id {
        Some(key) => format!(
            "Its bundle is signed with Ed25519, key {}. Check the signature with the issuer's public key: a signature \
             proves origin, not honesty.",
            shorten(key, 72)
        ),
        None => "Its bundle is UNSIGNED: anyone could have written it. The figures can still be recomputed from the \
                 raw samples."
            .to_owned(),
    }
}

/// The first reasons of a refusal, and how many there are beyond them.
pub(super) fn reasons(certificate: &Certificate) -> (Vec<Reason>, Option<String>) {
    if certificate.decision == Decision::Certified {
        return (Vec::new(), None);
    }
    let groups = findings::broken(&certificate.findings);
    let longest = SENTENCES / groups.len().clamp(2, REASONS);
    let reason = |group: &super::model::FindingGroup| {
        let first = group.lines.first();
        let text = |pick: fn(&super::model::FindingLine) -> &String| {
            first.map_or_else(String::new, |line| shorten(pick(line), longest))
        };
        let cases: usize = group.lines.iter().map(|l| l.cases.len()).sum();
        let observed = text(|l| &l.observed);
        let case = first.and_then(|l| l.cases.first()).map(|c| shorten(c, 40));
        Reason {
            tone: group.tone,
            title: shorten(&group.title, NAME),
            code: group.code.clone(),
            observed: match (case, cases) {
                (None, _) => observed,
                (Some(case), 0 | 1) => format!("{observed} ({case})"),
                (Some(case), n) => format!("{observed} ({case} and {} more)", n - 1),
            },
            limit: text(|l| &l.limit),
            fix: text(|l| &l.fix),
        }
    };
    let more = groups.len().saturating_sub(REASONS);
    let words = match more {
        0 => None,
        1 => Some("One rule more is listed under Decision.".to_owned()),
        n => Some(format!("{n} rules more are listed under Decision.")),
    };
    (groups.iter().take(REASONS).map(reason).collect(), words)
}

/// The facts of page one.
pub(super) fn facts(dossier: &Dossier) -> Vec<Fact> {
    let certificate = &dossier.certificate;
    let method = &certificate.method;
    let item = &certificate.item;
    let processor = item.cpu.model.as_deref().unwrap_or("processor unknown");
    let mut facts = vec![
        fact("Item", shorten(processor, NAME)),
        fact("Configuration", configuration(dossier)),
        fact("Energy of", shorten(&sentence(&certificate.boundary.text), NAME)),
        match &certificate.grade {
            Some(grade) => fact("Evidence", format!("Grade {}: {}", grade.letter, shorten(&grade.reason, NAME))),
            None => fact("Evidence", "no energy was measured"),
        },
        fact("Suite", format!("{}, profile {}", shorten(&method.suite.name, 60), shorten(&method.profile, 30))),
        fact("Measured", span(method.measured_from, method.measured_to)),
        fact("Issued by", certificate.issue.issuer.as_deref().map_or("not stated".to_owned(), |i| shorten(i, NAME))),
        fact("Place", certificate.issue.place.as_deref().map_or("not stated".to_owned(), |p| shorten(p, 60))),
        fact("Issued", day(certificate.issue.issued_at)),
    ];
    facts.push(match certificate.expires_at {
        Some(end) => fact("Valid until", day(end)),
        None => fact("Valid until", "not valid: nothing is certified"),
    });
    facts
}

fn configuration(dossier: &Dossier) -> String {
    let item = &dossier.certificate.item;
    let mut parts = Vec::new();
    let mut count = |n: Option<u32>, one: &str, many: &str| {
        if let Some(n) = n {
            parts.push(format!("{n} {}", if n == 1 { one } else { many }));
        }
    };
    count(item.cpu.sockets, "socket", "sockets");
    count(item.cpu.cores, "core", "cores");
    count(item.cpu.logical, "logical CPU", "logical CPUs");
    parts.extend(item.memory.map(|m| si::bytes(m.get())));
    parts.extend(item.gpus.iter().take(2).map(|g| shorten(&g.name, 40)));
    if item.gpus.len() > 2 {
        parts.push(format!("{} GPUs more", item.gpus.len() - 2));
    }
    parts.extend(item.host.os.as_deref().map(|os| shorten(os, 50)));
    parts.extend(item.host.virtualization.as_deref().map(|v| format!("virtual machine ({})", shorten(v, 30))));
    if parts.is_empty() { "unknown".to_owned() } else { shorten(&parts.join(", "), NAME + 20) }
}

/// `22 November 2026`.
pub(super) fn day(utc: Utc) -> String {
    let date = utc.date_time().to_offset(time::UtcOffset::UTC);
    format!("{} {} {}", date.day(), date.month(), date.year())
}

/// `22 November 2026, 07:45 UTC`.
pub(super) fn moment(utc: Utc) -> String {
    let date = utc.date_time().to_offset(time::UtcOffset::UTC);
    format!("{}, {:02}:{:02} UTC", day(utc), date.hour(), date.minute())
}

fn span(from: Utc, to: Option<Utc>) -> String {
    match to {
        None => format!("begun {}, never ended", moment(from)),
        Some(to) if day(from) == day(to) => day(from),
        Some(to) => format!("{} to {}", day(from), day(to)),
    }
}
