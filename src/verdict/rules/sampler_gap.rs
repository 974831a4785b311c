//! `sampler-gap`: the power trace has no holes.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "sampler-gap",
    title: "the power trace has no holes",
    rationale: "Where the sampler was kept off the processor, counters may have wrapped unseen and the trace shows nothing.",
    source: "docs/measurement.md, sampler",
    limits: &["sampler.gap"],
    fix: "leave a processor to the sampler, or lower its rate to 10 Hz",
    unknown: Some("measure again to the end: the sampler says at the end what it did"),
    spared: None,
    example: "longest gap 4.20 s",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.sampler_gap;
    let asked = policy(format!("at most {} s", limit.value), limit.line);
    let seen = match subject.record.sampler {
        None => Seen::Unknown("the record does not say what the sampler did".to_owned()),
        Some(sampler) => {
            let found = sampler.longest_gap.get();
            at_most(found, limit.value, format!("longest gap {found:.2} s"))
        }
    };
    RULE.whole(asked, seen)
}
