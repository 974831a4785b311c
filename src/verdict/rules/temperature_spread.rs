//! `temperature-spread`: temperatures, on a card its own as well, are alike in all windows of a workload.

use super::judge::*;
use crate::units::Celsius;

pub(super) const RULE: Rule = Rule {
    code: "temperature-spread",
    title: "temperatures are alike in all windows of a workload",
    rationale: "Leakage grows with temperature, so windows at different temperatures are different measurements.",
    source: "docs/measurement.md, state checks",
    limits: &["state.temperature_spread"],
    fix: "warm the machine up for longer, or steady its cooling",
    unknown: Some("load the driver of the temperature sensor (coretemp, k10temp); of a card, let NVML read it"),
    spared: Some("no workload has a window that counts"),
    example: "22.0 K between the windows",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.temperature_spread;
    RULE.each(subject, policy(format!("at most {} K", limit.value), limit.line), |case| {
        let Some(host) = spread(case.windows().map(|s| s.state.temperature)) else {
            return Some(Seen::Unknown("a window has no temperature".to_owned()));
        };
        let of_host = at_most(host, limit.value, format!("{host:.1} K between the windows"));
        if matches!(of_host, Seen::Broken(_)) || !case.on_card() {
            return Some(of_host);
        }
        let card = spread(case.windows().map(|s| s.state.card.as_ref()?.temperature));
        Some(match card {
            None => Seen::Unknown("a window has no temperature of the card".to_owned()),
            Some(card) if card > limit.value || card > host => {
                at_most(card, limit.value, format!("{card:.1} K of the card between the windows"))
            }
            Some(_) => of_host,
        })
    })
}

/// From the coolest window to the hottest, in kelvins; `None` where one is unknown.
fn spread(temperatures: impl Iterator<Item = Option<Celsius>>) -> Option<f64> {
    let all: Option<Vec<f64>> = temperatures.map(|t| Some(t?.get())).collect();
    let (low, high) = all?.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), t| (l.min(*t), h.max(*t)));
    Some(high - low).filter(|x| x.is_finite())
}
