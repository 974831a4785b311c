//! `cross-check`: two readers of one domain agree.

use super::judge::*;
use crate::analysis::CrossCheck;

pub(super) const RULE: Rule = Rule {
    code: "cross-check",
    title: "two readers of one domain agree",
    rationale: "Where two ways to the same counter differ, one of them is wrong, and nobody knows which.",
    source: "docs/analysis.md, two readers of one domain",
    limits: &["evidence.cross_check"],
    fix: "update kernel and firmware; report the machine, its kernel and `wattproof doctor --format json`",
    unknown: None,
    spared: Some("no domain has a second reader"),
    example: "power-pmu reads package-0 at +3.10 % of rapl",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.cross_check;
    let asked = policy(format!("at most {}", percent(limit.value)), limit.line);
    // Polled power is no second way to the counter: what it misses says nothing of the counter.
    let checks = subject.summary.cross_checks.iter().filter(|c| !c.polled);
    let text = |c: &CrossCheck| match c.difference {
        Some(d) => format!("{} reads {} at {:+.2} % of {}", c.check, c.domain, d * 100.0, c.of_record),
        None => format!("{} or {} counted nothing on {}", c.check, c.of_record, c.domain),
    };
    let size = |c: &CrossCheck| c.difference.map_or(f64::INFINITY, f64::abs);
    match checks.max_by(|a, b| size(a).total_cmp(&size(b))) {
        None => RULE.spare(asked, "no domain has a second reader"),
        Some(worst) if size(worst) <= limit.value => RULE.whole(asked, kept(&text(worst))),
        Some(worst) => RULE.whole(asked, Seen::Broken(text(worst))),
    }
}
