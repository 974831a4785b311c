//! `on-battery`: the machine ran on mains power.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "on-battery",
    title: "the machine ran on mains power",
    rationale: "On battery, power limits differ, and the charging circuit takes part.",
    source: "docs/measurement.md",
    limits: &["state.battery"],
    fix: "connect the power supply and measure again",
    unknown: None,
    spared: Some("no battery is known, or the policy allows it"),
    example: "it ran on battery",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let refused = subject.policy.battery_refused;
    if !refused.value {
        return RULE.spare(policy("battery is allowed".to_owned(), refused.line), "the policy allows it");
    }
    let asked = policy("mains power".to_owned(), refused.line);
    match subject.record.header.environment.state.on_battery {
        None => RULE.spare(asked, "no battery is known"),
        Some(false) => RULE.whole(asked, kept("mains power")),
        Some(true) => RULE.whole(asked, Seen::Broken("it ran on battery".to_owned())),
    }
}
