//! `answer-checked`: the answer of every window was compared.

use super::judge::*;
use crate::record::Coverage;

pub(super) const RULE: Rule = Rule {
    code: "answer-checked",
    title: "the answer of every window was compared",
    rationale: "An answer that nobody looked at may be wrong, and then its energy means nothing.",
    source: "docs/kernels.md, the check",
    limits: &["answers.rows"],
    fix: "use a kernel whose output can be compared",
    unknown: None,
    spared: Some("no workload has a window that counts"),
    example: "1 of 10 windows was not compared",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.rows;
    let asked = policy(format!("every element, or at least {} rows", limit.value), limit.line);
    RULE.each(subject, asked, |case| {
        let open = case.windows().filter(|s| s.correctness.is_none()).count();
        if open > 0 {
            let were = if open == 1 { "window was" } else { "windows were" };
            return Some(Seen::Broken(format!("{open} {were} not compared")));
        }
        let rows = case.windows().filter_map(|s| match s.correctness?.coverage {
            Coverage::Rows { checked, of } if checked < of => Some(checked),
            _ => None,
        });
        Some(match rows.min() {
            None => kept("every element"),
            Some(rows) if rows >= u64::from(limit.value) => kept(&format!("at least {rows} rows")),
            Some(rows) => Seen::Broken(format!("only {rows} rows were compared")),
        })
    })
}
