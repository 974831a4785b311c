//! `table-complete`: every workload of the reference table was run.

use super::Status;
use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "table-complete",
    title: "every workload of the reference table was run",
    rationale: "An index over fewer workloads than the table has is another index.",
    source: "docs/rating.md",
    limits: &[],
    fix: "run the suite that the table was made for, with all its workloads",
    unknown: Some("give a reference table with rows"),
    spared: None,
    example: "not in the record",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let rows = &subject.table.rows;
    let asked = || program(&format!("all {} workloads of table {}", rows.len(), subject.table.name));
    if rows.is_empty() {
        let seen = Seen::Unknown(format!("table {} has no rows: there is nothing to rate", subject.table.name));
        return RULE.whole(asked(), seen);
    }
    let missing = rows.iter().filter(|r| !subject.summary.cases.iter().any(|c| c.id == r.case));
    let findings = missing.map(|row| {
        let skip = subject.record.header.plan.skips.iter().find(|s| s.case.id == row.case);
        let why = skip.map_or_else(|| "not in the record".to_owned(), |s| format!("skipped: {}", s.reason));
        RULE.finding(Status::Fail, Some(&row.case), why, asked())
    });
    let findings: Vec<Finding> = findings.collect();
    if findings.is_empty() { RULE.whole(asked(), kept("all of them")) } else { findings }
}
