//! `evidence-grade`: the energy is evidence of a grade that can be rated.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "evidence-grade",
    title: "the energy is evidence of a grade that can be rated",
    rationale: "Polled power and counters shared with other guests are too weak to carry a class.",
    source: "docs/analysis.md, evidence grades",
    limits: &["evidence.grade"],
    fix: "measure on the bare machine with a hardware energy counter or an external meter",
    unknown: None,
    spared: Some("no energy was measured"),
    example: "D: the counters of a virtual machine (KVM) may be shared with other guests",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.grade;
    let asked = policy(format!("{} or better", limit.value), limit.line);
    let Some(grade) = &subject.summary.grade else { return RULE.spare(asked, "no energy was measured") };
    let text = format!("{}: {}", grade.letter, grade.reason);
    // Whatever a policy says, below C nothing is rated.
    let good = grade.letter <= limit.value && grade.letter <= 'C';
    RULE.whole(asked, if good { kept(&text) } else { Seen::Broken(text) })
}
