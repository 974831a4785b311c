//! `foreign-load`: nothing else ran on the machine, nor on the card.

use super::judge::*;
use crate::record::CardState;

pub(super) const RULE: Rule = Rule {
    code: "foreign-load",
    title: "nothing else ran on the machine, nor on the card",
    rationale: "Energy counters count for everybody; foreign work would be rated as the item's own.",
    source: "docs/measurement.md, state checks",
    limits: &["state.foreign_load"],
    fix: "stop services and jobs for the time of the measurement",
    unknown: Some(
        "run on Linux with a readable /proc/stat, on a card with nothing else on it and outside of a container",
    ),
    spared: Some("no workload has a window that counts"),
    example: "other processes used up to 7.00 %",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let limit = subject.policy.foreign_load;
    RULE.each(subject, policy(format!("at most {}", percent(limit.value)), limit.line), |case| {
        let Some(share) = worst(case.windows().map(|s| s.state.foreign_load)) else {
            return Some(Seen::Unknown("a window does not say".to_owned()));
        };
        let host = at_most(share, limit.value, format!("other processes used up to {}", percent(share)));
        if matches!(host, Seen::Broken(_)) || !case.on_card() {
            return Some(host);
        }
        let cards: Result<Vec<f64>, String> = case.windows().map(|s| on_card(s.state.card.as_ref())).collect();
        Some(match cards.map(|shares| shares.into_iter().fold(0.0, f64::max)) {
            Ok(card) if card > limit.value => {
                Seen::Broken(format!("other processes used up to {} of the card", percent(card)))
            }
            Ok(card) if card > share => {
                at_most(card, limit.value, format!("other processes used up to {} of the card", percent(card)))
            }
            Ok(_) => host,
            Err(why) => Seen::Unknown(why),
        })
    })
}

/// The share of a card that other processes had in a window, or why it is unknown.
fn on_card(card: Option<&CardState>) -> Result<f64, String> {
    let card = card.ok_or("a window does not say who else used the card")?;
    match (card.foreign_load, card.others) {
        (Some(share), _) => Ok(share),
        // Nobody else had a context there, so there is nothing that a share could be of.
        (None, Some(others)) if others.count == 0 => Ok(0.0),
        (None, Some(others)) => Err(format!(
            "{} other processes had a context on the card, and what they used of it is unknown",
            others.count
        )),
        (None, None) => Err("the driver does not list the processes on the card".to_owned()),
    }
}
