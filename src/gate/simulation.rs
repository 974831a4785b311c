//! Simulated comparisons with a known truth: how often a gate cries wolf, and how often it sees one.
//!
//! From counter values through the whole gate: windows of two records scatter on their own (and, where a campaign
//! says so, runs do as well), and a threshold without uncertainty decides on the same data.

use super::{Decision, Metric, Rules, compare};
use crate::clock::{Moment, Utc};
use crate::policy::Policy;
use crate::record::{Role, RunRecord, fixture};
use crate::units::{MicroJoules, Seconds};

const TRIALS: u32 = 1000;

/// What is drawn.
#[derive(Clone, Copy)]
pub(crate) struct Campaign {
    pub(crate) cases: usize,
    pub(crate) windows: usize,
    /// Standard deviation from window to window, relative.
    pub(crate) scatter: f64,
    /// Part of the windows that are disturbed and cost a fifth more.
    pub(crate) disturbed: f64,
    /// Standard deviation from run to run, relative; a draw a run and case.
    pub(crate) between: f64,
    /// True change of the energy of the first case.
    pub(crate) change: f64,
    pub(crate) baselines: usize,
    pub(crate) declared: f64,
    /// Smallest change that counts.
    pub(crate) effect: f64,
}

pub(crate) const QUIET: Campaign = Campaign {
    cases: 20,
    windows: 10,
    scatter: 0.01,
    disturbed: 0.0,
    between: 0.0,
    change: 0.0,
    baselines: 1,
    declared: 0.0,
    effect: 0.02,
};

/// SplitMix64 (Steele, Lea & Flood 2014), and normal draws from it (Box & Muller 1958).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(self.unit())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }
}

/// The record that all runs begin from: every window of a case has the figures of its first one.
pub(crate) fn template(campaign: &Campaign) -> RunRecord {
    let mut record = fixture::fifty_cases();
    let workload = |id: &str| crate::kernels::find(id).is_some_and(|k| k.info().role == Role::Workload);
    record.measurements.retain(|m| workload(&m.case.kernel));
    record.measurements.truncate(campaign.cases);
    for measurement in &mut record.measurements {
        measurement.samples.truncate(campaign.windows);
        let first = measurement.samples[0].clone();
        for sample in &mut measurement.samples {
            (sample.wall, sample.iterations, sample.start) = (first.wall, first.iterations, first.start);
            sample.energy.clone_from(&first.energy);
            sample.correctness = first.correctness;
        }
    }
    record.trace.clear();
    record
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "lengths and energies of a fixture")]
pub(crate) fn run(
    template: &RunRecord,
    campaign: &Campaign,
    number: u32,
    change: &dyn Fn(usize) -> f64,
    random: &mut Random,
) -> RunRecord {
    let mut record = template.clone();
    record.header.id = format!("run-{number}");
    record.header.started_at =
        Utc::try_from("2026-11-22T00:00:00Z".to_owned()).unwrap().plus_seconds(u64::from(number) * 7200);
    for (index, measurement) in record.measurements.iter_mut().enumerate() {
        let true_energy = 1.0 + change(index);
        let between = [random.normal(), random.normal()].map(|z| libm::exp(campaign.between * z));
        for sample in &mut measurement.samples {
            let hit = if random.unit() < campaign.disturbed { 1.2 } else { 1.0 };
            let energy = true_energy * hit * between[0] * libm::exp(campaign.scatter * random.normal());
            let time = hit * between[1] * libm::exp(campaign.scatter * random.normal());
            sample.wall = Seconds::new(sample.wall.get() * time).unwrap();
            for span in &mut sample.energy {
                let covered = span.to.since(span.from).get() * time;
                span.to = Moment::from_nanos(span.from.nanos() + (covered * 1e9) as u64);
                span.energy = MicroJoules::new((span.energy.get() as f64 * energy).round() as u64);
            }
        }
    }
    record
}

/// Trials of a campaign in which something happened.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    /// A row without a change came out worse.
    alarms: u32,
    /// The changed case came out worse in energy.
    caught: u32,
    /// A ratio of means beyond 200 %, 150 % and 103 %, anywhere or (for a changed case) in its energy.
    thresholds: [u32; 3],
}

fn trials(campaign: Campaign) -> Tally {
    let (template, policy) = (template(&campaign), Policy::shipped());
    let rules = Rules { run_to_run: campaign.declared, minimum_effect: campaign.effect, ..Rules::default() };
    let mut random = Random(20_261_122);
    let mut tally = Tally::default();
    let baselines = u32::try_from(campaign.baselines).unwrap();
    for _ in 0..TRIALS {
        let old: Vec<RunRecord> =
            (0..baselines).rev().map(|n| run(&template, &campaign, n, &|_| 0.0, &mut random)).collect();
        let new = run(&template, &campaign, baselines, &|i| if i == 0 { campaign.change } else { 0.0 }, &mut random);
        let outcome = compare(&new, &old, Vec::new(), &rules, &policy);
        let tested = |m: Metric| matches!(m, Metric::Energy | Metric::Time);
        let rows = || outcome.comparisons.iter().filter(|r| tested(r.metric));
        assert_eq!(rows().count(), 2 * campaign.cases, "{:?}", outcome.differences);
        let changed = &template.measurements[0].case.id;
        let subject =
            |r: &&super::Comparison| campaign.change != 0.0 && &r.case == changed && r.metric == Metric::Energy;
        tally.alarms += u32::from(rows().filter(|r| !subject(r)).any(|r| r.decision == Decision::Worse));
        tally.caught += u32::from(rows().filter(subject).any(|r| r.decision == Decision::Worse));
        for (count, threshold) in tally.thresholds.iter_mut().zip([2.0, 1.5, 1.03]) {
            // A chart of single values compares with the one before, whatever else there is.
            let beyond = |r: &super::Comparison| r.candidate.unwrap() / r.baseline.unwrap() > threshold;
            let mut watched = rows().filter(|r| campaign.change == 0.0 || subject(r));
            *count += u32::from(watched.any(beyond));
        }
    }
    tally
}

/// Runs campaigns; docs/gate.md has to have the row of each, word for word.
#[track_caller]
fn documented<const N: usize>(campaigns: [(&str, Campaign); N]) -> [Tally; N] {
    let page = include_str!("../../docs/gate.md");
    let mut missing = Vec::new();
    let tallies = campaigns.map(|(name, campaign)| {
        let tally = trials(campaign);
        let percent = |n: u32| format!("{:.1} %", f64::from(n) * 100.0 / f64::from(TRIALS));
        let ours = if campaign.change == 0.0 { tally.alarms } else { tally.caught };
        let [two, half, three] = tally.thresholds.map(percent);
        let row = format!("| {name} | {} | {two} | {half} | {three} |", percent(ours));
        missing.extend((!page.contains(&row)).then_some(row));
        tally
    });
    assert!(missing.is_empty(), "docs/gate.md does not have these rows:\n{}", missing.join("\n"));
    tallies
}

#[test]
fn no_change_raises_few_alarms() {
    let rough = Campaign { disturbed: 0.1, ..QUIET };
    let tallies = documented([
        ("no change, 20 cases", QUIET),
        ("no change, 20 cases, `minimum_effect: 0`", Campaign { effect: 0.0, ..QUIET }),
        ("no change, 20 cases, a tenth of the windows disturbed by 20 %", rough),
    ]);
    assert!(tallies.iter().all(|t| t.alarms <= TRIALS / 20), "{tallies:?}");
}

#[test]
fn no_change_raises_few_alarms_with_few_windows() {
    let [few] = documented([("no change, 20 cases, 5 windows", Campaign { windows: 5, ..QUIET })]);
    assert!(few.alarms <= TRIALS / 20, "{few:?}");
}

#[test]
fn three_percent_are_caught() {
    let tallies = documented([
        ("3 % more energy, 1 case", Campaign { cases: 1, change: 0.03, ..QUIET }),
        ("3 % more energy in 1 of 20 cases", Campaign { change: 0.03, ..QUIET }),
    ]);
    assert!(tallies.iter().all(|t| t.caught >= 950 && t.alarms <= TRIALS / 20), "{tallies:?}");
}

/// What one record a side cannot know, and the two ways out.
#[test]
fn scatter_between_runs_needs_several_baselines_or_a_declaration() {
    let moving = Campaign { cases: 10, between: 0.01, ..QUIET };
    let [blind, several, declared] = documented([
        ("no change, 10 cases, runs scatter by 1 %, 1 baseline", moving),
        ("the same, 5 baselines", Campaign { baselines: 5, ..moving }),
        ("the same, 1 baseline, `run_to_run: 1 %`", Campaign { declared: 0.01, ..moving }),
    ]);
    assert!(blind.alarms > TRIALS / 10, "the trap that docs/gate.md warns of: {blind:?}");
    assert!(several.alarms <= TRIALS / 20 && declared.alarms <= TRIALS / 20, "{several:?} {declared:?}");
}
