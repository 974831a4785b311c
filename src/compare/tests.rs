use super::*;
use crate::gate::simulation::Random;
use crate::record::{RunRecord, fixture};
use crate::units::MicroJoules;
use proptest::prelude::*;

fn policy() -> Policy {
    Policy::shipped()
}

fn entrants(records: &[RunRecord]) -> Vec<Entrant> {
    records.iter().map(|r| Entrant::of(r, &policy())).collect()
}

fn compared(records: &[RunRecord], options: &Options) -> Comparison {
    compare(&entrants(records), Vec::new(), options, &policy()).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(records: &[RunRecord], options: &Options) -> Refused {
    compare(&entrants(records), Vec::new(), options, &policy()).unwrap_err()
}

/// The fixture under another name, its joules times `energy` and its seconds times `time`, windows scattered by `scatter`.
fn variant(base: &RunRecord, name: &str, energy: f64, time: f64, scatter: f64) -> RunRecord {
    let mut record = base.clone();
    record.header.id = name.into();
    let mut random = Random(name.bytes().map(u64::from).sum());
    for sample in record.measurements.iter_mut().flat_map(|m| &mut m.samples) {
        let (joules, stretch) =
            (energy * libm::exp(scatter * random.normal()), time * libm::exp(scatter * random.normal()));
        sample.wall = crate::units::Seconds::new(sample.wall.get() * stretch).unwrap();
        for span in &mut sample.energy {
            let covered = span.to.since(span.from).get() * stretch;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fixture's figures")]
            let (to, scaled) =
                (span.from.nanos() + (covered * 1e9) as u64, (span.energy.get() as f64 * joules).round() as u64);
            span.to = crate::clock::Moment::from_nanos(to);
            span.energy = MicroJoules::new(scaled);
        }
    }
    record
}

fn three() -> [RunRecord; 3] {
    let base = fixture::with_rapl();
    [variant(&base, "a", 1.0, 1.0, 0.005), variant(&base, "b", 0.8, 1.2, 0.005), variant(&base, "c", 1.0, 1.0, 0.006)]
}

fn ranks(c: &Comparison, metric: Metric) -> Vec<(&str, Option<Rank>)> {
    c.mean(metric).unwrap().rows.iter().map(|r| (c.arms[r.arm].name.as_str(), r.rank)).collect()
}

#[test]
fn a_true_difference_is_ranked_and_equal_arms_tie() {
    let c = compared(&three(), &Options::default());
    let energy = ranks(&c, Metric::Energy);
    assert_eq!(energy[0], ("b", Some(Rank { best: 1, worst: 1 })));
    assert!(energy[1..].iter().all(|(_, r)| *r == Some(Rank { best: 2, worst: 3 })), "{energy:?}");
    let time = ranks(&c, Metric::Time);
    assert_eq!(time[2], ("b", Some(Rank { best: 3, worst: 3 })));
    assert!(c.text.starts_with("b certainly has the highest performance per watt"), "{}", c.text);
    let ratio = c.mean(Metric::Energy).unwrap().rows[0].ratio.unwrap();
    assert!((ratio.ratio / 0.8 - 1.0).abs() < 0.01 && ratio.certain && ratio.gain_cancels, "{ratio:?}");
    assert!(ratio.low.unwrap() < ratio.ratio && ratio.high.unwrap() > ratio.ratio);
    // Every case of all eight has all three arms: 3 pairs in each of 16 tables, and of 2 means.
    assert_eq!((c.cases.len(), c.of_cases.pairs, c.of_means.pairs), (8, 3 * 16, 3 * 2));
}

#[test]
fn the_gain_cancels_on_one_machine_and_counts_in_full_across_two() {
    let [a, b, _] = three();
    let mut other = b.clone();
    other.header.environment.host.machine_hash = Some("another".into());
    let of = |second: RunRecord| {
        let c = compared(&[a.clone(), second], &Options::default());
        let row = c.mean(Metric::Energy).unwrap().rows.iter().find(|r| r.arm == 1).unwrap().ratio.unwrap();
        let codes: Vec<&str> = c.caveats.iter().map(|c| c.code).collect();
        (row.gain_cancels, libm::log(row.high.unwrap() / row.ratio), codes.contains(&"several-sensors"))
    };
    let (same, there) = (of(b), of(other));
    assert!(same.0 && !same.2 && same.1 < 0.01, "{same:?}");
    // Two gains of 5 %, rectangular, k = 2.
    assert!(!there.0 && there.2 && (there.1 / (2.0 * 0.05 * (2.0f64 / 3.0).sqrt()) - 1.0).abs() < 0.05, "{there:?}");
}

/// The figures are those of the gate: one comparison, two commands.
#[test]
fn the_ratio_is_that_of_the_gate() {
    let [a, b, _] = three();
    let c = compared(&[a.clone(), b.clone()], &Options::default());
    let mut later = b;
    later.header.started_at = later.header.started_at.plus_days(1);
    let outcome = crate::gate::compare(&later, &[a], Vec::new(), &crate::gate::Rules::default(), &policy());
    for (metric, pick) in [
        (crate::gate::Metric::Energy, (|e: &Entry| e.energy_ratio) as fn(&Entry) -> Option<Ratio>),
        (crate::gate::Metric::Time, |e: &Entry| e.time_ratio),
    ] {
        for case in &c.cases {
            let row = outcome.comparisons.iter().find(|r| r.case == case.id && r.metric == metric).unwrap();
            let (theirs, ours) = (row.change.as_ref().unwrap(), pick(&case.rows[1]).unwrap());
            assert!((theirs.ratio / ours.ratio - 1.0).abs() < 1e-12);
            assert!((theirs.low / ours.low.unwrap() - 1.0).abs() < 1e-9, "{theirs:?} {ours:?}");
        }
    }
}

#[test]
fn without_energy_arms_are_ranked_by_time_and_it_is_said() {
    let base = fixture::cpu_only();
    let c =
        compared(&[variant(&base, "a", 1.0, 1.0, 0.005), variant(&base, "b", 1.0, 0.7, 0.005)], &Options::default());
    assert!(c.without_energy.as_ref().unwrap().contains("no energy counter"), "{:?}", c.without_energy);
    assert_eq!((c.means.len(), c.ranked_by()), (1, Metric::Time));
    assert!(c.text.starts_with("b certainly has the highest speed (energy was not measured)"), "{}", c.text);
    assert!(c.caveats.iter().any(|c| c.code == "no-energy"));
    assert!(c.cases.iter().flat_map(|k| &k.rows).all(|r| r.energy_j.is_none() && r.why.is_some() && r.front.is_none()));
}

#[test]
fn an_arm_without_energy_keeps_its_times() {
    let [a, b, mut blind] = three();
    blind.header.sensors = fixture::cpu_only().header.sensors;
    blind.measurements.iter_mut().flat_map(|m| &mut m.samples).for_each(|s| s.energy.clear());
    blind.idle.clear();
    let c = compared(&[a, b, blind], &Options::default());
    assert_eq!(c.mean(Metric::Energy).unwrap().rows.len(), 2);
    assert_eq!(c.mean(Metric::Time).unwrap().rows.len(), 3);
    assert!(c.arms[2].why_no_energy.is_some() && c.arms[2].grade.is_none() && c.arms[0].grade == Some('C'));
    assert!(c.caveats.iter().any(|k| k.code == "arms-without-energy" && k.arms == [2]));
}

#[test]
fn a_cold_case_is_no_run_of_the_warm_one() {
    let [a, mut b, c] = three();
    let last = b.measurements.len() - 1;
    b.measurements[last].case.cache = crate::record::CacheState::Cold { copies: Some(9) };
    let c = compared(&[a, b, c], &Options::default());
    let reasons: Vec<&str> = c.cases.iter().flat_map(|k| &k.left_out).map(|l| l.reason.as_str()).collect();
    assert_eq!(reasons, ["cold caches instead of warm ones"]);
}

#[test]
fn other_parameters_and_other_work_are_no_case_of_that_name() {
    let [a, mut b, c] = three();
    let last = b.measurements.len() - 1;
    b.measurements[last].case.params.values.insert("bytes".into(), crate::kernels::ParamValue::Integer(1));
    let prepared = b.measurements[last - 1].prepared.as_mut().unwrap();
    prepared.work.useful = crate::units::Flops::new(prepared.work.useful.get() * 2.0).unwrap();
    let c = compared(&[a, b, c], &Options::default());
    let of = |n: usize| c.cases[n].left_out.iter().map(|l| l.reason.clone()).collect::<Vec<_>>();
    assert!(of(7)[0].starts_with("other parameters") && of(6)[0].starts_with("other work"), "{:?} {:?}", of(6), of(7));
    assert!(c.cases[6].rows.iter().all(|r| r.arm != 1));
    let mean = c.mean(Metric::Energy).unwrap();
    assert_eq!((mean.cases.len(), mean.left_out.len()), (6, 2));
    assert!(c.caveats.iter().any(|k| k.code == "partial-mean"));
}

#[test]
fn another_suite_or_a_simulated_record_stays_out_unless_accepted() {
    let [a, b, mut c] = three();
    c.header.suite.id = "another".into();
    let out = compared(&[a.clone(), b.clone(), c.clone()], &Options::default());
    assert_eq!((out.arms.len(), out.left_out.len()), (2, 1));
    assert!(out.left_out[0].reason.contains("its suite is another"), "{:?}", out.left_out);
    let accept = Options { accept: vec![Accept::Suite], ..Options::default() };
    let all = compared(&[a.clone(), b.clone(), c.clone()], &accept);
    assert!(all.arms.len() == 3 && all.caveats.iter().any(|k| k.code == "suite-differs"));
    assert!(matches!(refused(&[a.clone(), c], &Options::default()), Refused::NotComparable { .. }));
    let mut real = b;
    real.header.simulated.clear();
    let Refused::NotComparable { reasons } = refused(&[a, real], &Options::default()) else { panic!() };
    assert!(reasons[0].contains("it is measured, the reference is simulated"), "{reasons:?}");
}

#[test]
fn another_version_of_the_suite_is_compared_with_a_caveat() {
    let [a, mut b, _] = three();
    b.header.suite.digest = "00".repeat(32);
    let c = compared(&[a, b], &Options::default());
    assert!(c.cases.len() == 8 && c.caveats.iter().any(|k| k.code == "suite-version"));
}

#[test]
fn energies_of_another_boundary_are_left_out_unless_accepted() {
    let [a, b, mut less] = three();
    let memory: crate::record::Domain = "dram-0".parse().unwrap();
    less.measurements.iter_mut().flat_map(|m| &mut m.samples).for_each(|s| s.energy.retain(|e| e.domain != memory));
    less.idle.iter_mut().for_each(|w| w.energy.retain(|e| e.domain != memory));
    let records = [a, b, less];
    let c = compared(&records, &Options::default());
    assert_eq!(c.caveats.first().map(|k| k.code), Some("simulated"));
    assert!(c.caveats.iter().any(|k| k.code == "boundary-differs"));
    assert!(c.cases.iter().all(|k| k.rows[2].energy_j.is_none() && k.rows[2].time_s.is_some()));
    assert!(c.cases[0].rows[2].why.as_ref().unwrap().contains("its energy is that of CPU packages, here"));
    assert_eq!(c.mean(Metric::Energy).unwrap().rows.len(), 2);
    let accept = Options { accept: vec![Accept::Boundary], ..Options::default() };
    let all = compared(&records, &accept);
    assert_eq!(all.mean(Metric::Energy).unwrap().rows.len(), 3);
    assert!(all.caveats.iter().any(|k| k.code == "boundary-differs"));
}

#[test]
fn a_wrong_answer_has_no_figure_and_leaves_the_mean() {
    let [a, b, _] = three();
    let mut wrong = variant(&fixture::wrong_answer(), "w", 1.0, 1.0, 0.005);
    wrong.header.started_at = a.header.started_at;
    let c = compared(&[a, b, wrong], &Options::default());
    assert_eq!(c.mean(Metric::Time).unwrap().cases.len(), 5);
    let reasons: Vec<&str> = c.cases.iter().flat_map(|k| &k.left_out).map(|l| l.reason.as_str()).collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].starts_with("wrong answer") && reasons[2].starts_with("failed"), "{reasons:?}");
    assert!(c.caveats.iter().any(|k| k.code == "wrong-answer" && k.arms == [2]));
}

#[test]
fn element_types_of_one_record_are_compared_shape_by_shape() {
    let record = fixture::fifty_cases();
    let c = compared(std::slice::from_ref(&record), &Options { by: By::Dtype, ..Options::default() });
    let names: Vec<&str> = c.arms.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["f32", "f64"]);
    assert_eq!(c.cases.len(), 8);
    assert_eq!(c.cases[0].id, "gemm-k256-m256-n256-t1");
    let row = c.cases[0].rows[1].energy_ratio.unwrap();
    assert!(row.gain_cancels && (row.ratio / 2.0 - 1.0).abs() < 0.05, "{row:?}");
    assert!(c.left_out.iter().any(|l| l.reason == "only f32 has it"), "{:?}", c.left_out);
    let one = refused(&[record], &Options::default());
    assert!(one.to_string().contains("give a second record"), "{one}");
}

#[test]
fn records_of_a_group_are_runs_and_their_scatter_counts() {
    let base = fixture::with_rapl();
    let mut records = Vec::new();
    for (n, (vendor, factor)) in
        [("GenuineIntel", 1.0), ("GenuineIntel", 1.04), ("GenuineIntel", 0.96), ("AuthenticAMD", 0.5)]
            .iter()
            .enumerate()
    {
        let mut record = variant(&base, &format!("r{n}"), *factor, 1.0, 0.002);
        record.header.environment.cpu.vendor = Some((*vendor).into());
        records.push(record);
    }
    let c = compared(&records, &Options { by: By::Vendor, reference: Some("AMD".into()), ..Options::default() });
    assert_eq!(
        (c.arms[0].name.as_str(), c.arms[0].records.len(), c.arms[c.reference].name.as_str()),
        ("Intel", 3, "AMD")
    );
    let row = &c.cases[0].rows[0];
    assert_eq!(row.runs, 3);
    // s/√3 = 2.3 %, t of 2 degrees of freedom is 4.3; one run alone would say 0.3 %.
    let ratio = row.energy_ratio.unwrap();
    let half = libm::log(ratio.high.unwrap() / ratio.ratio);
    assert!(half > 0.08 && half < 0.13, "{half}");
    let declared = Options { run_to_run: 0.02, ..Options::default() };
    let [wide, narrow] = [&declared, &Options::default()].map(|o| {
        let c = compared(&records[..2], o);
        let r = c.cases[0].rows[1].energy_ratio.unwrap();
        libm::log(r.high.unwrap() / r.ratio)
    });
    assert!(narrow < 0.02 && (wide / (2.0 * 0.02 * 2f64.sqrt()) - 1.0).abs() < 0.05, "{wide} {narrow}");
}

#[test]
fn the_front_says_what_is_certain() {
    let base = fixture::with_rapl();
    let records = [
        variant(&base, "fast", 1.2, 0.8, 0.004),
        variant(&base, "frugal", 0.8, 1.2, 0.004),
        variant(&base, "neither", 1.5, 1.5, 0.004),
        variant(&base, "like-fast", 1.2, 0.8, 0.004),
    ];
    let c = compared(&records, &Options::default());
    let fronts: Vec<Option<Front>> = c.cases[0].rows.iter().map(|r| r.front).collect();
    assert_eq!(fronts, [Front::Possible, Front::On, Front::Dominated, Front::Possible].map(Some));
}

#[test]
fn sparsity_is_gained_arm_by_arm_with_the_gain_cancelled() {
    let base = fixture::crossing();
    let mut other = variant(&base, "b", 1.1, 1.1, 0.0);
    other.header.environment.host.machine_hash = Some("another".into());
    let c = compared(&[base, other], &Options::default());
    assert!(c.sparse.len() > 5, "{:?}", c.sparse);
    let two = c.sparse.iter().find(|s| (s.density - 0.02).abs() < 1e-9).unwrap();
    for row in &two.rows {
        let speedup = row.speedup.unwrap();
        assert!((speedup.ratio * 0.09 - 1.0).abs() < 0.05 && speedup.certain, "{speedup:?}");
        assert!(row.energy_ratio.unwrap().gain_cancels);
    }
    let case = c.cases.iter().find(|k| k.id == two.case).unwrap();
    let row = &case.rows[0];
    let (useful, dense) = (row.efficiency_flop_per_j.unwrap(), row.dense_equivalent_flop_per_j.unwrap());
    assert!((useful.value / dense.value / 0.02 - 1.0).abs() < 1e-9);
}

#[test]
fn what_differs_is_shown_and_nothing_else() {
    let [a, mut b, _] = three();
    b.header.environment.state.governor = Some("powersave".into());
    b.header.environment.host.kernel = None;
    let c = compared(&[a, b], &Options::default());
    let what: Vec<&str> = c.environment.iter().map(|d| d.what).collect();
    assert_eq!(what, ["kernel", "governor"]);
    assert_eq!(c.environment[0].values[1].value, None);
}

#[test]
fn a_reference_is_found_by_its_name_or_its_beginning() {
    let records = three();
    let with = |name: &str| Options { reference: Some(name.into()), ..Options::default() };
    assert_eq!(compared(&records, &with("b")).reference, 1);
    let message = refused(&records, &with("zzz")).to_string();
    assert!(message.contains("no arm is called `zzz`") && message.contains("`a`, `b`, `c`"), "{message}");
}

#[test]
fn the_id_follows_samples_and_options() {
    let records = three();
    let id = |records: &[RunRecord], options: &Options| compared(records, options).id;
    let first = id(&records, &Options::default());
    assert_eq!(first, id(&records, &Options::default()));
    let mut other = records.clone();
    other[1].samples_digest = "ff".repeat(32);
    assert_ne!(first, id(&other, &Options::default()));
    assert_ne!(first, id(&records, &Options { reference: Some("b".into()), ..Options::default() }));
    assert!(first.starts_with("compare-") && first.len() == 16, "{first}");
}

/// Ranks by arm name.
fn by_name(c: &Comparison) -> std::collections::BTreeMap<String, Vec<Option<Rank>>> {
    let mut all = std::collections::BTreeMap::new();
    for (place, arm) in c.arms.iter().enumerate() {
        let mean = |m| c.mean(m).and_then(|m| m.rows.iter().find(|r| r.arm == place)).and_then(|r| r.rank);
        let mut ranks = vec![mean(Metric::Energy), mean(Metric::Time)];
        for case in &c.cases {
            let row = case.rows.iter().find(|r| r.arm == place);
            ranks.extend([row.and_then(|r| r.energy_rank), row.and_then(|r| r.time_rank)]);
        }
        all.insert(arm.name.clone(), ranks);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the arms are: their order changes no rank, and swapping the reference inverts the ratios.
    #[test]
    fn order_and_reference_change_no_rank(
        arms in prop::collection::vec((0.9f64..1.1, 0.9f64..1.1, 0.0f64..0.03, any::<bool>()), 2..6),
        shuffle in any::<u64>(),
    ) {
        let base = fixture::with_rapl();
        let records: Vec<RunRecord> = arms
            .iter()
            .enumerate()
            .map(|(n, (energy, time, scatter, elsewhere))| {
                let mut record = variant(&base, &format!("arm-{n}"), *energy, *time, *scatter);
                if *elsewhere {
                    record.header.environment.host.machine_hash = Some(format!("machine {n}"));
                }
                record
            })
            .collect();
        let first = compared(&records, &Options::default());
        let mut mixed = records.clone();
        let mut random = Random(shuffle);
        for i in (1..mixed.len()).rev() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of arms")]
            mixed.swap(i, (random.unit() * (i + 1) as f64) as usize);
        }
        let reference = Some(mixed[0].header.id.clone());
        let second = compared(&mixed, &Options { reference, ..Options::default() });
        prop_assert_eq!(by_name(&first), by_name(&second));
        let ratio = |c: &Comparison, of: &str, case: usize| {
            let place = c.arms.iter().position(|a| a.name == of).unwrap();
            c.cases[case].rows.iter().find(|r| r.arm == place).unwrap().energy_ratio.unwrap()
        };
        let other = mixed[0].header.id.as_str();
        for case in 0..first.cases.len() {
            let (there, back) = (ratio(&first, other, case), ratio(&second, "arm-0", case));
            let back = if other == "arm-0" { there } else { back.inverse() };
            prop_assert!((there.ratio / back.ratio - 1.0).abs() < 1e-12);
            prop_assert!((there.low.unwrap() / back.low.unwrap() - 1.0).abs() < 1e-9);
            prop_assert!((there.high.unwrap() / back.high.unwrap() - 1.0).abs() < 1e-9);
        }
        // Ranges of arms that are not told apart overlap, so neither is said to be ahead.
        for case in &first.cases {
            for row in &case.rows {
                let rank = row.energy_rank.unwrap();
                prop_assert!(1 <= rank.best && rank.best <= rank.worst && rank.worst <= case.rows.len());
                if row.arm != first.reference && !row.energy_ratio.unwrap().certain {
                    let theirs = case.rows.iter().find(|r| r.arm == first.reference).unwrap().energy_rank.unwrap();
                    // Two certain steps may lie between them; then the ranges need not meet.
                    if rank.worst < theirs.best || theirs.worst < rank.best {
                        prop_assert!(case.rows.len() > 2);
                    }
                }
            }
        }
    }
}
