//! `idle-drift`: power at rest is the same before and after.

use super::judge::*;
use crate::record::Domain;

pub(super) const RULE: Rule = Rule {
    code: "idle-drift",
    title: "power at rest is the same before and after",
    rationale: "A machine whose idle power moved did something else as well.",
    source: "docs/measurement.md, idle",
    limits: &["idle.drift"],
    fix: "let the machine settle, and measure again",
    unknown: Some("measure idle power on both sides of the cases"),
    spared: Some("no energy was measured"),
    example: "package-0 drifted by 12.00 %",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.idle_drift;
    let asked = policy(format!("at most {}", percent(limit.value)), limit.line);
    let domains = &subject.summary.boundary.domains;
    if domains.is_empty() {
        return RULE.spare(asked, "no energy was measured");
    }
    let drift = |d: &Domain| subject.summary.idle.iter().find(|i| i.domain == *d).and_then(|i| i.drift);
    let mut worst = (0.0, "no drift".to_owned());
    for domain in domains {
        let Some(drift) = drift(domain) else {
            let text = format!("idle power of {domain} was not measured on both sides");
            return RULE.whole(asked, Seen::Unknown(text));
        };
        if drift > worst.0 {
            worst = (drift, format!("{domain} drifted by {}", percent(drift)));
        }
    }
    RULE.whole(asked, at_most(worst.0, limit.value, worst.1))
}
