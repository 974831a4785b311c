use super::*;
use crate::record::fixture;
use crate::units::MicroJoules;
use std::path::Path;

fn rules(text: &str) -> Rules {
    Rules::read(Path::new("gate.yaml"), &format!("version: 1\n{text}")).unwrap_or_else(|e| panic!("{e}"))
}

/// The fixture as a second run, with the joules of every window of case `index` times `factor`.
pub(super) fn changed(mut record: RunRecord, index: Option<usize>, factor: f64) -> RunRecord {
    record.header.id = "20261123T074512Z-reference-aaaa".into();
    record.header.started_at = record.header.started_at.plus_days(1);
    let workloads = |m: &&mut crate::record::Measurement| super::tests::is_workload(&m.case.kernel);
    for (i, measurement) in record.measurements.iter_mut().filter(workloads).enumerate() {
        if index.is_none_or(|index| index == i) {
            for span in measurement.samples.iter_mut().flat_map(|s| &mut s.energy) {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fixture's joules")]
                let scaled = (span.energy.get() as f64 * factor).round() as u64;
                span.energy = MicroJoules::new(scaled);
            }
        }
    }
    record
}

pub(super) fn is_workload(kernel: &str) -> bool {
    crate::kernels::find(kernel).is_some_and(|k| k.info().role == Role::Workload)
}

fn gate(new: &RunRecord, old: &RunRecord, rules: &Rules) -> Outcome {
    compare(new, std::slice::from_ref(old), Vec::new(), rules, &Policy::shipped())
}

fn of(outcome: &Outcome, metric: Metric) -> Vec<&Comparison> {
    outcome.comparisons.iter().filter(|c| c.metric == metric).collect()
}

#[test]
fn the_same_figures_are_the_same() {
    let old = fixture::with_rapl();
    let outcome = gate(&changed(old.clone(), None, 1.0), &old, &Rules::default());
    assert_eq!(outcome.verdict, Verdict::Passed, "{}", outcome.text);
    assert!(outcome.comparisons.iter().all(|c| c.decision == Decision::Same && !c.fails), "{outcome:#?}");
    let energy = of(&outcome, Metric::Energy);
    assert_eq!(energy.len(), 8);
    assert!(energy.iter().all(|c| c.change.as_ref().unwrap().gain_cancels == Some(true)));
    assert_eq!(outcome.family as usize, energy.len() + of(&outcome, Metric::Time).len());
}

#[test]
fn a_case_that_draws_more_fails_and_its_efficiency_with_it() {
    let old = fixture::with_rapl();
    let outcome = gate(&changed(old.clone(), Some(0), 1.10), &old, &Rules::default());
    assert_eq!(outcome.verdict, Verdict::Failed);
    let worse: Vec<_> = outcome.comparisons.iter().filter(|c| c.decision == Decision::Worse).collect();
    assert_eq!(worse.iter().map(|c| c.metric).collect::<Vec<_>>(), [Metric::Energy, Metric::PerfPerWatt]);
    let change = worse[0].change.as_ref().unwrap();
    assert!((change.ratio - 1.10).abs() < 1e-4 && change.low < 1.10 && change.high > 1.10, "{change:?}");
    let inverse = worse[1].change.as_ref().unwrap();
    assert!(
        (inverse.ratio * change.ratio - 1.0).abs() < 1e-12 && (inverse.p_adjusted - change.p_adjusted).abs() < 1e-15
    );
    let better = gate(&changed(old.clone(), Some(0), 0.9), &old, &Rules::default());
    assert_eq!((better.verdict, better.counts["better"]), (Verdict::Passed, 2));
}

#[test]
fn a_change_below_the_smallest_effect_is_the_same() {
    let old = fixture::with_rapl();
    let new = changed(old.clone(), Some(0), 1.03);
    let decision = |text: &str| of(&gate(&new, &old, &rules(text)), Metric::Energy)[0].decision;
    assert_eq!(decision(""), Decision::Worse);
    assert_eq!(decision("minimum_effect: 10 %\n"), Decision::Same);
    assert_eq!(decision("effects: {energy: 10 %}\n"), Decision::Same);
    assert_eq!(decision("effects: {time: 10 %}\n"), Decision::Worse);
}

#[test]
fn another_machine_has_another_gain() {
    let old = fixture::with_rapl();
    let mut new = changed(old.clone(), Some(0), 1.05);
    new.header.environment.host.machine_hash = Some("another".into());
    let outcome = gate(&new, &old, &Rules::default());
    let row = of(&outcome, Metric::Energy)[0];
    assert_eq!((row.decision, row.change.as_ref().unwrap().gain_cancels), (Decision::Ambiguous, Some(false)));
    // 5 % bounds, rectangular, once a side: √2 · 5 %/√3 at least.
    assert!(row.change.as_ref().unwrap().standard_uncertainty > 0.0408, "{row:?}");
    assert!(outcome.notes.iter().any(|n| n.code == "other-machine"));
    assert_eq!(gate(&new, &old, &rules("fail_on: [worse, ambiguous]\n")).verdict, Verdict::Inconclusive);
    assert_eq!(outcome.verdict, Verdict::Passed, "ambiguous is no failure unless the file says so");
}

#[test]
fn welch_is_that_of_scipy() {
    // scipy.stats.ttest_ind(log([10, 11, 12, 13]), log([6, 7, 8, 9.5]), equal_var=False): t = 3.7258132377844553,
    // ν = 4.802577236398763; 2·t.sf(t, 4) = 0.020371028849118594, because ν is cut to a whole number here.
    let mut old = fixture::hand_made(&[6.0, 7.0, 8.0, 9.5]);
    let mut new = fixture::hand_made(&[10.0, 11.0, 12.0, 13.0]);
    old.header.environment.host.machine_hash = Some("one".into());
    new.header.environment.host.machine_hash = Some("one".into());
    new.header.id = "new".into();
    new.header.started_at = new.header.started_at.plus_days(1);
    let outcome = gate(&new, &old, &rules("metrics: time\n"));
    let change = outcome.comparisons[0].change.as_ref().unwrap();
    assert_eq!(change.pairing, Pairing::Independent);
    let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    near(change.ratio, 1.522_697_379_060_231_4);
    near(libm::log(change.ratio) / change.standard_uncertainty, 3.725_813_237_784_455);
    near(change.p, 0.020_371_028_849_118_6);
    // t of 95 % for 4 degrees of freedom is 2.776 (GUM Table G.2).
    near(change.high / change.ratio, libm::exp(2.776_445 * change.standard_uncertainty));
}

#[test]
fn runs_that_took_turns_are_paired() {
    // A drift that both share: independent windows hide a change of 3 %, pairs show it.
    let drift = [1.0, 1.2, 1.4, 1.6, 1.8, 2.0];
    let noise = [1.001, 0.999, 1.0005, 1.0, 0.9995, 1.0];
    let mut old = fixture::hand_made(&drift);
    let slower: Vec<f64> = drift.iter().zip(noise).map(|(d, n)| d * 1.03 * n).collect();
    let mut new = fixture::hand_made(&slower);
    new.header.id = "new".into();
    for (i, (a, b)) in old.measurements[0].samples.iter_mut().zip(&mut new.measurements[0].samples).enumerate() {
        a.start = crate::clock::Moment::from_nanos(i as u64 * 10_000_000_000_000);
        b.start = crate::clock::Moment::from_nanos(i as u64 * 10_000_000_000_000 + 5_000_000_000_000);
    }
    let rules = rules("metrics: time\n");
    let row = &gate(&new, &old, &rules).comparisons[0];
    assert_eq!((row.change.as_ref().unwrap().pairing, row.decision), (Pairing::Paired, Decision::Worse));
    new.header.started_at = new.header.started_at.plus_days(1);
    let row = &gate(&new, &old, &rules).comparisons[0];
    assert_eq!((row.change.as_ref().unwrap().pairing, row.decision), (Pairing::Independent, Decision::Ambiguous));
}

#[test]
fn one_window_decides_nothing() {
    let (old, mut new) = (fixture::hand_made(&[1.0]), fixture::hand_made(&[9.0]));
    new.header.id = "new".into();
    let row = &gate(&new, &old, &rules("metrics: time\n")).comparisons[0];
    assert_eq!((row.decision, row.change.is_none()), (Decision::Ambiguous, true));
    assert!(row.reason.contains("one window has no scatter"), "{}", row.reason);
}

#[test]
fn holm_is_stricter_the_more_is_tested() {
    // Six equal p of 0.02: one alone is significant, six are not (6 · 0.02 > 0.05).
    let row = |p: f64, metric| Comparison {
        case: format!("case-{metric:?}-{p}"),
        line: 1,
        metric,
        decision: Decision::Ambiguous,
        reason: String::new(),
        baseline: None,
        candidate: None,
        candidate_interval: None,
        change: Some(Change {
            ratio: 1.5,
            low: 1.1,
            high: 2.0,
            confidence: 0.95,
            p,
            p_adjusted: p,
            n_candidate: 5,
            n_baseline: 5,
            pairing: Pairing::Independent,
            gain_cancels: None,
            standard_uncertainty: 0.1,
        }),
        fails: false,
    };
    let adjusted = |ps: &[f64]| {
        let mut rows: Vec<Comparison> = ps.iter().map(|p| row(*p, Metric::Time)).collect();
        decide(&mut rows, &Rules::default());
        rows.iter().map(|r| (r.change.as_ref().unwrap().p_adjusted * 1e6).round() / 1e6).collect::<Vec<_>>()
    };
    // Holm (1979): 0.01 · 4, 0.02 · 3, then the running maximum: 0.03 · 2 = 0.06, and 0.04 · 1 is not below it.
    assert_eq!(adjusted(&[0.04, 0.01, 0.03, 0.02]), [0.06, 0.04, 0.06, 0.06]);
    assert_eq!(adjusted(&[0.02]), [0.02]);
    assert_eq!(adjusted(&[0.02; 6]), [0.12; 6]);
    let mut rows = [row(0.02, Metric::Time)];
    decide(&mut rows, &Rules::default());
    assert_eq!(rows[0].decision, Decision::Worse);
    let mut rows = [0.02; 6].map(|p| row(p, Metric::Time));
    decide(&mut rows, &Rules::default());
    assert!(rows.iter().all(|r| r.decision == Decision::Ambiguous));
}

#[test]
fn records_that_differ_are_refused_with_both_values() {
    type Change = fn(&mut RunRecord);
    let cases: [(&str, Change, &str, &str); 10] = [
        ("suite", |r| r.header.suite.digest = "00".repeat(32), "reference 9b1f0c6e5d2a", "reference 000000000000"),
        ("simulated", |r| r.header.simulated.clear(), "simulated", "measured"),
        ("device", |r| r.header.environment.cpu.model = Some("Other CPU".into()), "", "Other CPU"),
        ("power-limit", |r| r.header.environment.state.power_cap = crate::units::Watts::new(65.0).ok(), "W", "65 W"),
        ("path", |r| path(r, "portable"), "", "portable"),
        (
            "threads",
            |r| r.measurements.iter_mut().for_each(|m| m.prepared.as_mut().unwrap().program.threads = 77),
            "",
            "77",
        ),
        (
            "parameters",
            |r| r.measurements.iter_mut().for_each(|m| m.case.params.dtype = crate::record::Dtype::F64),
            "f32",
            "f64",
        ),
        (
            "parameters",
            |r| {
                let cold = crate::record::CacheState::Cold { copies: Some(9) };
                r.measurements.iter_mut().for_each(|m| m.case.cache = cold);
            },
            "f32",
            "cache cold",
        ),
        (
            "work",
            |r| {
                r.measurements
                    .iter_mut()
                    .for_each(|m| m.prepared.as_mut().unwrap().work.useful = crate::units::Flops::new(1.0).unwrap())
            },
            "FLOP",
            "1 FLOP",
        ),
        ("boundary", without_memory, "package-0 + dram-0", "package-0"),
    ];
    for (code, change, before, after) in cases {
        let mut old = fixture::with_rapl();
        old.header.environment.state.power_cap = crate::units::Watts::new(125.0).ok();
        let mut new = changed(old.clone(), None, 1.0);
        change(&mut new);
        let outcome = gate(&new, &old, &Rules::default());
        assert_eq!(outcome.verdict, Verdict::Refused, "{code}: {}", outcome.text);
        let found =
            outcome.differences.iter().find(|d| d.code == code).unwrap_or_else(|| panic!("{code}: {outcome:#?}"));
        assert!(found.baseline.contains(before) && found.candidate.contains(after), "{found:?}");
        let accepted = gate(&new, &old, &rules(&format!("accept: {code}\n")));
        assert_ne!(accepted.verdict, Verdict::Refused, "{code}: {:#?}", accepted.differences);
        assert!(accepted.differences.iter().any(|d| d.code == code && d.accepted), "{code}");
        assert!(!accepted.comparisons.is_empty());
    }
}

fn path(record: &mut RunRecord, path: &str) {
    record.measurements.iter_mut().for_each(|m| m.prepared.as_mut().unwrap().program.path = path.into());
}

fn without_memory(record: &mut RunRecord) {
    for sample in record.measurements.iter_mut().flat_map(|m| &mut m.samples) {
        sample.energy.retain(|s| s.domain.to_string() != "dram-0");
    }
    record.idle.iter_mut().for_each(|w| w.energy.retain(|s| s.domain.to_string() != "dram-0"));
}

#[test]
fn answers_that_became_wrong_are_worse_and_missing_cases_are_refused() {
    let old = fixture::with_rapl();
    let outcome = gate(&changed(fixture::wrong_answer(), None, 1.0), &old, &Rules::default());
    assert_eq!(outcome.verdict, Verdict::Failed);
    let worse: Vec<_> = outcome.comparisons.iter().filter(|c| c.decision == Decision::Worse).collect();
    assert_eq!(worse.len(), 3, "a wrong answer, a failed canary, a case that failed: {worse:#?}");
    assert!(worse.iter().all(|c| c.metric == Metric::Accuracy && c.change.is_none()));
    let back = gate(&changed(old.clone(), None, 1.0), &fixture::wrong_answer(), &Rules::default());
    assert_eq!((back.verdict, back.counts["better"]), (Verdict::Passed, 3));
    let both = gate(&changed(fixture::wrong_answer(), None, 1.0), &fixture::wrong_answer(), &Rules::default());
    assert_eq!(both.differences.iter().filter(|d| d.code == "correctness").count(), 3);
    assert_eq!(both.verdict, Verdict::Refused);
    let unfinished = gate(&changed(fixture::partial(), None, 1.0), &old, &Rules::default());
    assert!(unfinished.differences.iter().any(|d| d.code == "cases" && d.candidate == "not run"), "{unfinished:#?}");
    assert_eq!(unfinished.verdict, Verdict::Refused);
}

#[test]
fn a_larger_error_on_the_same_inputs_is_worse() {
    let old = fixture::with_rapl();
    let mut new = changed(old.clone(), None, 1.0);
    let last = new.measurements.len() - 1;
    for sample in &mut new.measurements[last].samples {
        sample.correctness.iter_mut().for_each(|c| c.error = Some(c.limit * 0.99));
    }
    let accuracy =
        |new: &RunRecord| gate(new, &old, &rules("metrics: accuracy\n")).comparisons.last().unwrap().decision;
    assert_eq!(accuracy(&new), Decision::Worse);
    new.header.seed += 1;
    assert_eq!(accuracy(&new), Decision::Ambiguous, "other inputs");
}

#[test]
fn without_counters_time_is_gated_and_the_outcome_says_so() {
    let old = fixture::cpu_only();
    let outcome = gate(&changed(old.clone(), None, 1.0), &old, &Rules::default());
    assert_eq!(outcome.verdict, Verdict::Passed);
    assert!(outcome.comparisons.iter().all(|c| !c.metric.needs_energy()));
    assert!(!of(&outcome, Metric::CpuTime).is_empty() && !of(&outcome, Metric::Time).is_empty());
    let said: Vec<_> = outcome.notes.iter().filter(|n| n.code == "energy-not-gated").collect();
    assert!(said.len() == 1 && said[0].text.starts_with("energy was not gated: neither record"), "{said:?}");
    let one = gate(&changed(old, None, 1.0), &fixture::with_rapl(), &rules("energy: required\naccept: [device]\n"));
    assert_eq!(one.verdict, Verdict::EnergyMissing, "{one:#?}");
}

#[test]
fn five_baselines_bring_the_scatter_between_runs_and_two_do_not() {
    let runs: Vec<RunRecord> = [1.0, 1.02, 0.98, 1.01, 0.99]
        .iter()
        .enumerate()
        .map(|(n, factor)| {
            let mut run = changed(fixture::with_rapl(), None, *factor);
            run.header.id = format!("run-{n}");
            run
        })
        .collect();
    let new = changed(fixture::with_rapl(), None, 1.03);
    let decision = |n: usize| {
        let outcome = compare(&new, &runs[..n], Vec::new(), &Rules::default(), &Policy::shipped());
        let row = of(&outcome, Metric::Energy)[0].clone();
        (row.decision, row.change.unwrap().pairing, outcome.skipped.len())
    };
    assert_eq!(decision(2), (Decision::Worse, Pairing::Independent, 1));
    assert_eq!(decision(5), (Decision::Ambiguous, Pairing::BetweenRuns, 0));
}

#[test]
fn gate_files_are_read_like_suites() {
    let read = |text: &str| Rules::read(Path::new("gate.yaml"), text);
    assert_eq!(read("version: 1\n").unwrap(), Rules::default());
    let all = read(
        "version: 1\nmetrics: [time, cpu-time]\nfail_on: [worse, ambiguous]\nminimum_effect: 5 %\neffects: {energy: 1 %}\n\
         alpha: 0.01\nrun_to_run: 0.5 %\naccuracy_margin: 10 %\nenergy: required\naccept: [suite, power-limit]\n",
    )
    .unwrap();
    assert_eq!(all.metrics, Some(vec![Metric::Time, Metric::CpuTime]));
    assert_eq!((all.effect(Metric::PerfPerWatt), all.effect(Metric::Time)), (0.01, 0.05));
    assert_eq!(all.accept, ["suite", "power-limit"]);
    for (text, message, help) in [
        ("version: 1\nmetric: time\n", "unknown key `metric`", "did you mean `metrics`?"),
        ("version: 2\n", "version 2", "use a newer wattproof"),
        ("fail_on: worse\n", "lacks the key `version`", "add `version:`"),
        ("version: 1\nfail_on: [wors]\n", "`fail_on`: `wors`", "did you mean `worse`?"),
        ("version: 1\nfail_on: []\n", "the list `fail_on` is empty", "leave the key out"),
        ("version: 1\nmetrics: [time, time]\n", "`time` is written twice", "keep one"),
        ("version: 1\nminimum_effect: -2 %\n", "`minimum_effect`", "write"),
        ("version: 1\nalpha: 0\n", "`alpha`", "write"),
        ("version: 1\neffects: {energie: 1 %}\n", "unknown key `energie`", "did you mean `energy`?"),
        ("version: 1\nenergy: [if-measured, required]\n", "`energy` is one word", "write if-measured or required"),
        ("version: 1\naccept: everything\n", "`accept`", "the words are"),
        ("version: 1\n  : [", "", ""),
    ] {
        let errors = read(text).unwrap_err();
        let problem = &errors.problems()[0];
        assert!(problem.message.contains(message) && problem.help.contains(help), "{text}: {errors}");
    }
}

#[test]
fn the_schema_knows_every_key() {
    let schema = rules_schema();
    let known = schema["properties"].as_object().unwrap();
    for key in ["version", "metrics", "fail_on", "minimum_effect", "effects", "alpha", "run_to_run", "energy", "accept"]
    {
        assert!(known[key]["description"].as_str().unwrap().len() > 10, "{key}");
    }
    assert_eq!(known["effects"]["properties"].as_object().unwrap().len(), 5);
}
