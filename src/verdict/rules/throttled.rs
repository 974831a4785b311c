//! `throttled`: neither the processor nor the card was throttled.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "throttled",
    title: "neither the processor nor the card was throttled",
    rationale: "A throttled window measures the cooling, at a frequency that nobody chose.",
    source: "docs/measurement.md, state checks",
    limits: &["state.throttle_events", "state.frequency_fall"],
    fix: "improve the cooling or lower the power limit, and measure again",
    unknown: Some(
        "let the kernel count throttle events or state frequencies (cpufreq); on a card let its driver state throttle reasons or \
         clocks",
    ),
    spared: Some("no workload has a window that counts"),
    example: "3 throttle events in a window",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (events, fall) = (subject.policy.throttle_events, subject.policy.frequency_fall);
    let text = format!(
        "at most {} events; where nothing counts them, a fall of at most {}",
        events.value,
        percent(fall.value)
    );
    RULE.each(subject, policy(text, events.line), |case| {
        if case.on_card() {
            let cards = || case.windows().map(|s| s.state.card.as_ref());
            // The card's events are among those of the window; where it has none, its clock has to do.
            if worst(cards().map(|c| c?.throttle_events.map(|n| n as f64))).is_none() {
                let clocks: Option<Vec<f64>> = cards().map(|c| Some(c?.sm_clock?.median.get())).collect();
                match clocks.and_then(deepest_fall) {
                    Some(found) if found <= fall.value => {}
                    Some(found) => {
                        return Some(Seen::Broken(format!("the clock of the card fell by {}", percent(found))));
                    }
                    None => {
                        return Some(Seen::Unknown("neither slowdowns nor clocks of the card are known".to_owned()));
                    }
                }
            }
        }
        if let Some(most) = worst(case.windows().map(|s| s.state.throttle_events.map(|n| n as f64))) {
            return Some(at_most(most, f64::from(events.value), format!("{most:.0} throttle events in a window")));
        }
        let frequencies: Option<Vec<f64>> = case.windows().map(|s| Some(s.state.frequency?.get())).collect();
        Some(match frequencies.and_then(deepest_fall) {
            Some(found) => at_most(found, fall.value, format!("the frequency fell by {}", percent(found))),
            None => Seen::Unknown("neither throttle events nor frequencies are known".to_owned()),
        })
    })
}

/// How far the lowest value lies below the median, relative to it.
fn deepest_fall(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let median = *values.get(values.len() / 2)?;
    Some(1.0 - values.first()? / median).filter(|x| x.is_finite())
}
