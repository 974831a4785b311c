//! `alignment`: windows are long against the update period of the counter.

use super::judge::*;

pub(super) const RULE: Rule = Rule {
    code: "alignment",
    title: "windows are long against the update period of the counter",
    rationale: "A counter that updates in steps gives or takes a step at each edge of the window: u = τ/(T·√6).",
    source: "JCGM 100:2008, 4.3.9; docs/uncertainty.md",
    limits: &["windows.periods", "windows.alignment"],
    fix: "measure with the certify profile, or with longer windows for a slow counter",
    unknown: Some("run on a machine whose counter lets its update period be probed"),
    spared: Some("no energy was measured"),
    example: "120 update periods, alignment error 0.34 %",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let (periods, alignment) = (subject.policy.window_periods, subject.policy.alignment);
    let text = format!("at least {} update periods and at most {} of error", periods.value, percent(alignment.value));
    RULE.each(subject, policy(text, periods.line), |case| {
        let error = case.summary.energy.type_b?.u_align;
        let counted: Option<Vec<f64>> = case.windows().map(|s| case.periods_in(s)).collect();
        let (Some(error), Some(counted)) = (error, counted) else {
            return Some(Seen::Unknown("the update period of a counter is unknown".to_owned()));
        };
        let fewest = counted.into_iter().fold(f64::INFINITY, f64::min);
        let text = format!("{fewest:.0} update periods, alignment error {}", percent(error));
        let good = fewest >= f64::from(periods.value) && error <= alignment.value;
        Some(if good { Seen::Kept(error, text) } else { Seen::Broken(text) })
    })
}
