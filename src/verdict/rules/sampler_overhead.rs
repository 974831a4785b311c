//! `sampler-overhead`: measuring itself cost next to nothing.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "sampler-overhead",
    title: "measuring itself cost next to nothing",
    rationale: "The sampler runs on the machine it watches, so its work is in the energy.",
    source: "docs/measurement.md, sampler",
    limits: &["sampler.overhead"],
    fix: "leave a processor to the sampler, or lower its rate to 10 Hz",
    unknown: Some("measure again to the end: the sampler says at the end what it did"),
    spared: None,
    example: "the sampler took 2.00 % of a processor",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.sampler_overhead;
    let asked = policy(format!("at most {}", percent(limit.value)), limit.line);
    let seen = match subject.record.sampler {
        None => Seen::Unknown("the record does not say what the sampler did".to_owned()),
        Some(sampler) => {
            let found = sampler.cpu.get() / sampler.wall.get();
            at_most(found, limit.value, format!("the sampler took {} of a processor", percent(found)))
        }
    };
    RULE.whole(asked, seen)
}
