//! What the rules found, grouped by rule: the one place that looks into a [`Finding`].

use super::model::{FindingGroup, FindingLine};
use crate::report::model::grid::{text_column, words};
use crate::report::model::plain::{plain, sentence, shorten};
use crate::report::model::{CellKind, Row, Table, Tone};
use crate::verdict::{Finding, Status, rules};

/// How many rules have a finding of this status.
pub(super) fn rules_with(findings: &[Finding], status: Status) -> usize {
    let mut codes: Vec<&str> = findings.iter().filter(|f| f.status == status).map(|f| f.code).collect();
    codes.dedup();
    codes.len()
}

/// Rules that are not kept: broken ones first, then those that could not be applied; each with all that
/// it found.
pub(super) fn broken(findings: &[Finding]) -> Vec<FindingGroup> {
    let mut groups: Vec<(Status, FindingGroup)> = Vec::new();
    for status in [Status::Fail, Status::Inconclusive] {
        for finding in findings.iter().filter(|f| f.status == status) {
            let at = groups.iter().position(|(s, g)| *s == status && g.code == finding.code);
            let group = match at {
                Some(at) => &mut groups[at].1,
                None => {
                    groups.push((status, group(finding)));
                    let last = groups.len() - 1;
                    &mut groups[last].1
                }
            };
            add(group, finding);
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn group(finding: &Finding) -> FindingGroup {
    let rule = rules::find(finding.code);
    FindingGroup {
        tone: if finding.status == Status::Fail { Tone::Bad } else { Tone::Warning },
        state: state(finding.status),
        title: rule.map_or_else(|| finding.code.to_owned(), |r| sentence(r.title)),
        code: finding.code.to_owned(),
        why: rule.map_or_else(String::new, |r| format!("{} Source: {}.", sentence(r.rationale), plain(r.source))),
        place: place(finding),
        lines: Vec::new(),
    }
}

/// Adds what was found; cases with the very same answer share a line.
fn add(group: &mut FindingGroup, finding: &Finding) {
    let cases: Vec<String> = cases(finding).iter().map(|case| shorten(case, 120)).collect();
    let (observed, limit, fix) = (sentence(&finding.observed), sentence(&finding.limit), sentence(&finding.fix));
    let alike = |l: &&mut FindingLine| {
        !l.cases.is_empty() && !cases.is_empty() && (&l.observed, &l.limit, &l.fix) == (&observed, &limit, &fix)
    };
    match group.lines.iter_mut().find(alike) {
        Some(line) => line.cases.extend(cases),
        None => group.lines.push(FindingLine { cases, observed, limit, fix }),
    }
}

/// The cases a finding is about.
fn cases(finding: &Finding) -> &[String] {
    finding.case.as_slice()
}

/// Where the limit of a finding stands.
fn place(finding: &Finding) -> String {
    match finding.policy_line {
        Some(line) => format!("policy, line {line}"),
        None => "part of the program: no policy can change it".to_owned(),
    }
}

pub(super) const fn state(status: Status) -> &'static str {
    match status {
        Status::Fail => "failed",
        Status::Inconclusive => "inconclusive",
        Status::Pass => "kept",
        Status::NotApplicable => "does not apply",
    }
}

/// Every rule on one line: what it asked for, what was found, what it came to.
pub(super) fn table(findings: &[Finding]) -> Table {
    let mut rows: Vec<(Status, &Finding, usize)> = Vec::new();
    for finding in findings {
        // The gravest finding of a rule stands for it.
        match rows.iter_mut().find(|(_, f, _)| f.code == finding.code) {
            Some(row) => {
                row.2 += 1;
                if finding.status < row.0 {
                    (row.0, row.1) = (finding.status, finding);
                }
            }
            None => rows.push((finding.status, finding, 1)),
        }
    }
    let row = |(n, (status, finding, count)): (usize, (Status, &Finding, usize))| {
        let kind = match status {
            Status::Pass => CellKind::Passed,
            Status::Fail => CellKind::Failed,
            Status::Inconclusive | Status::NotApplicable => CellKind::Missing,
        };
        let title = rules::find(finding.code).map_or("", |r| r.title);
        let more = if count > 1 { format!(" ({count} findings)") } else { String::new() };
        Row {
            anchor: format!("rule-{n}"),
            tone: Tone::Neutral,
            cells: vec![
                words(finding.code, CellKind::Code, None),
                words(sentence(title), CellKind::Text, None),
                words(format!("{}{more}", shorten(&finding.observed, 160)), CellKind::Text, None),
                words(shorten(&finding.limit, 160), CellKind::Text, None),
                words(
                    finding.policy_line.map_or_else(|| "program".to_owned(), |l| format!("line {l}")),
                    CellKind::Text,
                    None,
                ),
                words(state(status), kind, None),
            ],
        }
    };
    Table {
        id: "rules",
        caption: "Every rule and what it came to".to_owned(),
        columns: vec![
            text_column("code", "Rule", "its permanent code"),
            text_column("title", "What it asks", ""),
            text_column("observed", "Observed", ""),
            text_column("limit", "Limit", ""),
            text_column("place", "Policy", "line of the policy; `program` where no policy can change it"),
            text_column("state", "Answer", ""),
        ],
        rows: rows.into_iter().enumerate().map(row).collect(),
        notes: Vec::new(),
        empty: "No rule was applied.".to_owned(),
    }
}
