//! Simulated comparisons with a known truth: how often equal arms are told apart, how often a difference is found, how often
//! the interval of a geometric mean holds the truth. From counter values through the whole comparison.

use super::{By, Comparison, Entrant, Metric, Options, Rank, compare};
use crate::gate::simulation::{Campaign, QUIET, Random, run, template};
use crate::policy::Policy;
use crate::record::RunRecord;

/// What is drawn.
#[derive(Clone, Copy)]
struct Field {
    arms: u32,
    cases: usize,
    /// Records of each arm.
    runs: u32,
    /// Standard deviation from run to run, relative; a draw a run and case.
    between: f64,
    /// Whether every arm has a machine of its own, whose sensor has a gain within ±5 %.
    machines: bool,
    /// By how much the last arm draws more, in every case.
    change: f64,
    declared: f64,
    trials: u32,
}

const LEVEL: Field =
    Field { arms: 4, cases: 10, runs: 1, between: 0.0, machines: false, change: 0.0, declared: 0.0, trials: 1000 };

/// Shares of trials.
#[derive(Debug, Default)]
struct Tally {
    /// Any two arms were told apart, in any case or mean.
    apart: f64,
    /// The last arm was certainly the worst in the mean of energy.
    found: f64,
    /// It was certainly the worst in a case: share of all cases.
    found_by_case: f64,
    /// The interval of its mean over the first arm's held the truth.
    covered: f64,
}

fn record(base: &RunRecord, field: &Field, arm: u32, number: u32, gain: f64, random: &mut Random) -> RunRecord {
    let campaign = Campaign { cases: field.cases, between: field.between, ..QUIET };
    let truth = if arm + 1 == field.arms { 1.0 + field.change } else { 1.0 };
    let mut record = run(base, &campaign, number, &|_| truth * gain - 1.0, random);
    record.header.environment.cpu.vendor = Some(format!("vendor {arm}"));
    if field.machines {
        record.header.environment.host.machine_hash = Some(format!("machine {arm}"));
    }
    record
}

fn trial(base: &RunRecord, field: &Field, policy: &Policy, random: &mut Random) -> Comparison {
    let mut entrants = Vec::new();
    for arm in 0..field.arms {
        let gain = if field.machines { 1.0 + 0.05 * (2.0 * random.unit() - 1.0) } else { 1.0 };
        for run in 0..field.runs {
            let record = record(base, field, arm, arm * field.runs + run, gain, random);
            entrants.push(Entrant::of(&record, policy));
        }
    }
    let by = if field.runs > 1 { By::Vendor } else { By::Record };
    let options = Options { by, run_to_run: field.declared, ..Options::default() };
    compare(&entrants, Vec::new(), &options, policy).unwrap_or_else(|e| panic!("{e}"))
}

fn trials(field: Field) -> Tally {
    let campaign = Campaign { cases: field.cases, ..QUIET };
    let (base, policy) = (template(&campaign), Policy::shipped());
    let mut random = Random(20_261_123);
    let mut tally = Tally::default();
    let arms = field.arms as usize;
    let last = arms - 1;
    let worst = |rank: Option<Rank>| rank == Some(Rank { best: arms, worst: arms });
    for _ in 0..field.trials {
        let c = trial(&base, &field, &policy, &mut random);
        assert_eq!((c.cases.len(), c.arms.len()), (field.cases, arms));
        let of_means = c.means.iter().flat_map(|m| &m.rows).map(|r| r.rank);
        let of_cases = c.cases.iter().flat_map(|k| &k.rows).flat_map(|r| [r.energy_rank, r.time_rank]);
        let tie = Some(Rank { best: 1, worst: arms });
        let apart = of_means.chain(of_cases).any(|rank| rank != tie);
        let mean = c.mean(Metric::Energy).unwrap().rows.iter().find(|r| r.arm == last).unwrap();
        let ratio = mean.ratio.unwrap();
        let truth = 1.0 + field.change;
        let found = c.cases.iter().filter(|k| worst(k.rows[last].energy_rank)).count();
        tally.apart += f64::from(apart);
        tally.found += f64::from(worst(mean.rank));
        tally.found_by_case += found as f64 / field.cases as f64;
        tally.covered += f64::from(ratio.low.unwrap() <= truth && truth <= ratio.high.unwrap());
    }
    for share in [&mut tally.apart, &mut tally.found, &mut tally.found_by_case, &mut tally.covered] {
        *share /= f64::from(field.trials);
    }
    tally
}

/// Runs fields; docs/compare.md has to have the row of each, word for word.
#[track_caller]
fn documented<const N: usize>(fields: [(&str, Field); N]) -> [Tally; N] {
    let page = include_str!("../../docs/compare.md");
    let mut missing = Vec::new();
    let tallies = fields.map(|(name, field)| {
        let tally = trials(field);
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let (equal, different) = (field.change == 0.0, field.change != 0.0);
        let show = |shown: bool, share: f64| if shown { percent(share) } else { "–".to_owned() };
        let row = format!(
            "| {name} | {} | {} | {} | {} |",
            show(equal, tally.apart),
            show(different, tally.found),
            show(different, tally.found_by_case),
            percent(tally.covered)
        );
        missing.extend((!page.contains(&row)).then_some(row));
        tally
    });
    assert!(missing.is_empty(), "docs/compare.md does not have these rows:\n{}", missing.join("\n"));
    tallies
}

#[test]
fn equal_arms_are_seldom_told_apart_and_means_hold_the_truth() {
    let [here, there] = documented([
        ("4 equal arms, 10 cases, one machine", LEVEL),
        ("4 equal arms, 10 cases, a machine each, gains anywhere within ±5 %", Field { machines: true, ..LEVEL }),
    ]);
    assert!(here.apart <= 0.05 && there.apart <= 0.05, "{here:?} {there:?}");
    // 1.4 % is two standard deviations of a share of 95 % in 1,000 trials.
    assert!(here.covered >= 0.936 && there.covered >= 0.936, "{here:?} {there:?}");
}

#[test]
fn a_true_difference_is_found() {
    let [small, large, gained] = documented([
        ("one of 4 arms draws 1 % more, one machine", Field { change: 0.01, ..LEVEL }),
        ("one of 4 arms draws 3 % more, one machine", Field { change: 0.03, trials: 500, ..LEVEL }),
        (
            "one of 4 arms draws 30 % more, a machine each, gains anywhere within ±5 %",
            Field { change: 0.3, machines: true, trials: 500, ..LEVEL },
        ),
    ]);
    assert!(small.found >= 0.9 && large.found >= 0.999 && large.found_by_case >= 0.8, "{small:?} {large:?}");
    assert!(gained.found >= 0.95, "{gained:?}");
    assert!([small, large, gained].iter().all(|t| t.covered >= 0.92));
}

/// What one record an arm cannot know, and the two ways out.
#[test]
fn scatter_between_runs_needs_several_records_or_a_declaration() {
    let moving = Field { between: 0.01, trials: 300, ..LEVEL };
    let [blind, several, declared] = documented([
        ("4 equal arms, 10 cases, runs scatter by 1 %, 1 record each", moving),
        ("the same, 5 records each", Field { runs: 5, ..moving }),
        ("the same, 1 record each, `--run-to-run 1%`", Field { declared: 0.01, ..moving }),
    ]);
    assert!(blind.apart > 0.1, "the trap that docs/compare.md warns of: {blind:?}");
    assert!(several.apart <= 0.05 && declared.apart <= 0.05, "{several:?} {declared:?}");
    assert!(several.covered >= 0.92 && declared.covered >= 0.92, "{several:?} {declared:?}");
}
