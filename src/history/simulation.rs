//! Simulated series with a known truth: how often a change is seen where there is none, and how soon where there is one.

use super::changes::{Observation, Segmentation, Settings, find};
use crate::gate::simulation::Random;

const TRIALS: u32 = 1000;

/// What is drawn.
#[derive(Clone, Copy)]
struct Campaign {
    runs: usize,
    /// Series of the family; the first one has the change.
    cases: usize,
    /// Standard deviation from run to run, relative.
    scatter: f64,
    /// Correlation of neighbouring runs.
    memory: f64,
    /// Part of the runs that cost a fifth more.
    disturbed: f64,
    /// True change of the first series, and the run it begins with.
    change: f64,
    at: usize,
    /// Where it ends again.
    to: usize,
    effect: f64,
}

const QUIET: Campaign = Campaign {
    runs: 60,
    cases: 20,
    scatter: 0.01,
    memory: 0.0,
    disturbed: 0.0,
    change: 0.0,
    at: 0,
    to: usize::MAX,
    effect: 0.02,
};

/// Windows of a run scatter by a third of what runs do.
fn series(campaign: &Campaign, case: usize, random: &mut Random) -> Segmentation {
    let mut noise = random.normal();
    let fresh = (1.0 - campaign.memory * campaign.memory).sqrt();
    let runs: Vec<Observation> = (0..campaign.runs)
        .map(|i| {
            noise = campaign.memory * noise + fresh * random.normal();
            let changed = case == 0 && (campaign.at..campaign.to).contains(&i);
            let step = if changed { 1.0 + campaign.change } else { 1.0 };
            let hit = if random.unit() < campaign.disturbed { 1.2 } else { 1.0 };
            Observation { value: step * hit * libm::exp(campaign.scatter * noise), error: Some(campaign.scatter / 3.0) }
        })
        .collect();
    let family = u32::try_from(campaign.cases).unwrap();
    find(&runs, &Settings { alpha: 0.05, minimum_effect: campaign.effect, family })
}

#[derive(Debug, Default, PartialEq)]
struct Tally {
    /// Families with a change where there was none.
    alarms: u32,
    /// Families whose change was found within two runs of its place.
    caught: u32,
}

fn trials(campaign: Campaign) -> Tally {
    let (mut random, mut tally) = (Random(20_261_122), Tally::default());
    for _ in 0..TRIALS {
        let (mut alarm, mut caught) = (false, false);
        for case in 0..campaign.cases {
            for change in series(&campaign, case, &mut random).changes {
                let near = |place: usize| change.at.abs_diff(place) <= 2;
                let true_one = case == 0 && campaign.change != 0.0;
                caught |= true_one && near(campaign.at) && (change.ratio > 1.0) == (campaign.change > 0.0);
                alarm |= !(true_one && (near(campaign.at) || near(campaign.to)));
            }
        }
        tally.alarms += u32::from(alarm);
        tally.caught += u32::from(caught);
    }
    tally
}

/// Runs campaigns; docs/history.md has to have the row of each, word for word.
#[track_caller]
fn documented<const N: usize>(campaigns: [(&str, Campaign); N]) -> [Tally; N] {
    let page = include_str!("../../docs/history.md");
    let percent = |n: u32| format!("{:.1} %", f64::from(n) * 100.0 / f64::from(TRIALS));
    let mut missing = Vec::new();
    let tallies = campaigns.map(|(name, campaign)| {
        let tally = trials(campaign);
        let caught = if campaign.change == 0.0 { "–".to_owned() } else { percent(tally.caught) };
        let row = format!("| {name} | {} | {caught} |", percent(tally.alarms));
        missing.extend((!page.contains(&row)).then_some(row));
        tally
    });
    assert!(missing.is_empty(), "docs/history.md does not have these rows:\n{}", missing.join("\n"));
    tallies
}

#[test]
fn no_change_raises_few_alarms() {
    let tallies = documented([
        ("no change, 20 series of 8 runs, no smallest change", Campaign { runs: 8, effect: 0.0, ..QUIET }),
        ("no change, 20 series of 60 runs, no smallest change", Campaign { effect: 0.0, ..QUIET }),
        ("no change, 20 series of 60 runs", QUIET),
        ("no change, 20 series of 300 runs", Campaign { runs: 300, ..QUIET }),
        ("no change, 1 series of 60 runs, no smallest change", Campaign { cases: 1, effect: 0.0, ..QUIET }),
    ]);
    assert!(tallies.iter().all(|t| t.alarms <= TRIALS / 20), "{tallies:?}");
}

#[test]
fn three_percent_are_caught() {
    let step = Campaign { change: 0.03, at: 30, ..QUIET };
    let tallies = documented([
        ("3 % more from the middle of 60 runs, 1 series", Campaign { cases: 1, ..step }),
        ("3 % more from the middle of 60 runs, 1 of 20 series", step),
        ("3 % less from the middle of 60 runs, 1 of 20 series", Campaign { change: -0.03, ..step }),
        ("3 % more for 10 runs in the middle of 200, 1 of 20 series", Campaign { runs: 200, at: 100, to: 110, ..step }),
    ]);
    assert!(tallies.iter().all(|t| t.caught >= 950 && t.alarms <= TRIALS / 20), "{tallies:?}");
}

/// How many runs it takes until a change is certain.
#[test]
fn a_change_is_caught_within_days() {
    let after = |n: usize| Campaign { runs: 40 + n, change: 0.03, at: 40, ..QUIET };
    let tallies = documented([
        ("3 % more, 3 runs old, 40 before, 1 of 20 series", after(3)),
        ("3 % more, 5 runs old, 40 before, 1 of 20 series", after(5)),
        ("3 % more, 8 runs old, 40 before, 1 of 20 series", after(8)),
        ("10 % more, 3 runs old, 40 before, 1 of 20 series", Campaign { change: 0.1, ..after(3) }),
    ]);
    assert!(tallies[2].caught >= 900 && tallies[3].caught >= 900, "{tallies:?}");
    assert!(tallies.iter().all(|t| t.alarms <= TRIALS / 20), "{tallies:?}");
}

/// What the method does not promise, measured all the same.
#[test]
fn unquiet_series() {
    let [rough, rougher, alike, sticky] = documented([
        ("no change, 20 series of 60 runs, 1 % of the runs disturbed by 20 %", Campaign { disturbed: 0.01, ..QUIET }),
        ("no change, 20 series of 60 runs, 5 % of the runs disturbed by 20 %", Campaign { disturbed: 0.05, ..QUIET }),
        ("no change, 20 series of 60 runs, neighbours correlated by 0.2", Campaign { memory: 0.2, ..QUIET }),
        ("no change, 20 series of 60 runs, neighbours correlated by 0.5", Campaign { memory: 0.5, ..QUIET }),
    ]);
    assert!(rough.alarms <= TRIALS / 20 && alike.alarms <= TRIALS / 20, "{rough:?} {alike:?}");
    assert!(sticky.alarms > TRIALS / 20, "the limit that docs/history.md warns of: {sticky:?}");
    assert!(rougher.alarms > rough.alarms, "{rough:?} {rougher:?}");
}
