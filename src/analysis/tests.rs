//! Figures against numbers computed by hand, and what must never happen.

mod wall;

use super::*;
use crate::record::{DeviceId, Domain, IdlePhase, IdleWindow, Outcome, RunRecord, SensorStatus, State, fixture};
use crate::units::{Flops, MicroJoules, Seconds};

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs()
}

fn median(figure: &Figure) -> f64 {
    figure.estimate().unwrap_or_else(|| panic!("{figure:?}")).median
}

/// Three windows of 1,000 iterations at 2, 1 and 4 ms, 2e9 FLOP and 1e9 B an iteration, and on
/// every window package-0 at 50 W, cores-0 at 30 W, dram-0 at 5 W, psys at 80 W.
fn by_hand() -> RunRecord {
    let mut record = fixture::hand_made(&[2e-3, 1e-3, 4e-3]);
    for sample in &mut record.measurements[0].samples {
        for (domain, watts) in [("package-0", 50.0), ("cores-0", 30.0), ("dram-0", 5.0), ("psys", 80.0)] {
            fixture::add_energy(sample, domain, watts);
        }
    }
    record
}

/// Idle of 10 s with `watts` on package-0 and dram-0.
fn idle(record: &mut RunRecord, phase: IdlePhase, package: f64, dram: f64) {
    let mut sample = record.measurements[0].samples[0].clone();
    sample.energy.clear();
    sample.wall = Seconds::new(10.0).unwrap();
    fixture::add_energy(&mut sample, "package-0", package);
    fixture::add_energy(&mut sample, "dram-0", dram);
    record.idle.push(IdleWindow {
        phase,
        start: sample.start,
        wall: sample.wall,
        energy: sample.energy,
        state: State::default(),
        flags: Vec::new(),
    });
}

#[test]
fn time_and_rates_are_those_of_the_middle_window() {
    let summary = summarise(&by_hand());
    let case = &summary.cases[0];
    assert!(close(median(&case.time), 2e-3));
    assert!(close(median(&case.rate), 1e12));
    assert!(close(median(&case.bandwidth), 5e11));
    assert_eq!(case.time.estimate().unwrap().n, 3);
    assert_eq!(case.intensity, Some(2.0));
    assert_eq!(case.dense_rate, None);
    let (time, rate) = (case.time.estimate().unwrap(), case.rate.estimate().unwrap());
    assert!(close(rate.low.unwrap(), 2e9 / time.high.unwrap()));
}

#[test]
fn energy_figures_by_hand() {
    let mut record = by_hand();
    idle(&mut record, IdlePhase::Before, 18.0, 2.0);
    idle(&mut record, IdlePhase::After, 22.0, 2.0);
    let summary = summarise(&record);
    let energy = &summary.cases[0].energy;
    // 55 W on windows of 2, 1 and 4 s: 110, 55, 220 J; the middle one is 110 J for 1,000 iterations.
    assert!(close(median(&energy.window), 110.0));
    assert!(close(median(&energy.per_iteration), 0.11));
    assert!(close(median(&energy.power), 55.0));
    assert!(close(median(&energy.efficiency), 2e9 / 0.11));
    assert!(close(median(&energy.per_flop), 0.11 / 2e9));
    // Idle 20 + 2 W: (55 − 22) W · 2 ms.
    assert!(close(median(&energy.net_per_iteration), 0.066));
    let package = summary.idle.iter().find(|i| i.domain.to_string() == "package-0").unwrap();
    assert!(close(package.mean, 20.0) && close(package.drift.unwrap(), 0.2) && package.n == 2);
    assert!(summary.caveats.iter().any(|c| c.code == "idle-drift" && c.text.contains("package-0")));
}

#[test]
fn overlapping_domains_are_shown_apart_and_never_summed() {
    let summary = summarise(&by_hand());
    let names: Vec<String> = summary.boundary.domains.iter().map(Domain::to_string).collect();
    assert_eq!(names, ["package-0", "dram-0"]);
    let domains = &summary.cases[0].domains;
    assert_eq!(domains.len(), 4);
    let cores = domains.iter().find(|d| d.domain.to_string() == "cores-0").unwrap();
    assert!(!cores.rated && cores.inside.is_some());
    assert!(close(median(&cores.figures.power), 30.0));
    for a in &summary.boundary.domains {
        for b in &summary.boundary.domains {
            assert!(a == b || !a.overlaps(b), "{a} and {b} are added");
        }
    }
}

#[test]
fn a_die_inside_a_counted_package_is_not_added_to_it() {
    let mut record = by_hand();
    for sample in &mut record.measurements[0].samples {
        fixture::add_energy(sample, "package-0-die-0", 25.0);
    }
    assert!(close(median(&summarise(&record).cases[0].energy.power), 55.0));
}

#[test]
fn without_a_package_the_smallest_enclosing_domain_is_rated() {
    let mut record = by_hand();
    for sample in &mut record.measurements[0].samples {
        sample.energy.retain(|s| s.domain == Domain::Psys || matches!(s.domain, Domain::Dram { .. }));
        fixture::add_energy(sample, "wall", 120.0);
    }
    let summary = summarise(&record);
    assert_eq!(summary.boundary.domains, [Domain::Psys]);
    assert!(close(median(&summary.cases[0].energy.power), 80.0));
}

#[test]
fn spans_are_scaled_to_the_window() {
    let mut record = by_hand();
    for sample in &mut record.measurements[0].samples {
        for span in &mut sample.energy {
            // Reads 1 % apart from the window, at the same power.
            let length = span.to.nanos() - span.from.nanos();
            span.to = crate::clock::Moment::from_nanos(span.to.nanos() + length / 100);
            span.energy = MicroJoules::new(span.energy.get() + span.energy.get() / 100);
        }
    }
    let energy = &summarise(&record).cases[0].energy;
    assert!(close(median(&energy.window), 110.0));
    assert!((energy.type_b.unwrap().span_correction - (1.0 - 1.0 / 1.01)).abs() < 1e-6);
}

#[test]
fn alignment_and_quantisation_follow_their_formulas() {
    let mut record = by_hand();
    let ready = fixture::with_rapl().header.sensors[0].clone();
    record.header.sensors[0] = ready;
    let type_b = summarise(&record).cases[0].energy.type_b.unwrap();
    // Worst window: T = 1 s, E = 55 J; τ = 1 ms; two counters with a step of 61 µJ each.
    assert!(close(type_b.u_align.unwrap(), 1e-3 / 6f64.sqrt()));
    assert!(close(type_b.u_quantisation.unwrap(), 61e-6 * 2f64.sqrt() / (55.0 * 6f64.sqrt())));
    assert_eq!(type_b.aligned, Some(true));
    record.header.profile.alignment_limit = 1e-4;
    let summary = summarise(&record);
    assert_eq!(summary.cases[0].energy.type_b.unwrap().aligned, Some(false));
    assert!(summary.caveats.iter().any(|c| c.code == "alignment"));
    record.measurements[0].samples[0].energy[0].update_period = None;
    let type_b = summarise(&record).cases[0].energy.type_b.unwrap();
    assert_eq!((type_b.u_align, type_b.aligned), (None, None));
}

#[test]
fn windows_without_every_rated_domain_do_not_count_for_energy() {
    let mut record = by_hand();
    record.measurements[0].samples[2].energy.retain(|s| !matches!(s.domain, Domain::Dram { .. }));
    let case = &summarise(&record).cases[0];
    assert_eq!(case.time.estimate().unwrap().n, 3);
    assert_eq!(case.energy.per_iteration.estimate().unwrap().n, 2);
    assert!(close(median(&case.energy.window), (110.0 + 55.0) / 2.0));
}

#[test]
fn a_counter_that_stands_still_is_unknown_and_not_zero() {
    let mut record = by_hand();
    record.measurements[0].samples[1].energy[0].energy = MicroJoules::new(0);
    let case = &summarise(&record).cases[0];
    assert!(case.energy.per_iteration.reason().unwrap().contains("did not advance in 1 of 3"));
    assert!(case.time.estimate().is_some());
}

#[test]
fn without_a_counter_every_energy_figure_says_why() {
    let summary = summarise(&fixture::cpu_only());
    assert_eq!(summary.verdict.with_energy, 0);
    assert_eq!(summary.grade, None);
    for case in &summary.cases {
        assert!(case.time.estimate().is_some());
        for figure in [&case.energy.per_iteration, &case.energy.power, &case.energy.net_per_iteration] {
            let reason = figure.reason().unwrap();
            assert!(reason.contains("rapl: /sys/class/powercap") && reason.contains("nvml: "), "{reason}");
        }
    }
    let json = serde_json::to_string(&summary).unwrap();
    assert!(!json.contains("\"energy_j\":0") && json.contains("\"energy_j\":{\"not_measured\""));
}

#[test]
fn estimates_stand_apart_and_carry_their_inputs() {
    let summary = summarise(&fixture::estimated());
    let case = &summary.cases[7];
    let estimated = case.estimated.as_ref().unwrap();
    assert!(close(estimated.per_iteration, 95.0 * median(&case.time)));
    assert!(estimated.inputs.contains("95 W"));
    assert!(case.energy.per_iteration.estimate().is_none());
    assert_eq!(summary.verdict.with_energy, 0);
}

#[test]
fn shares_use_the_probe_of_the_same_type_threads_and_size() {
    let summary = summarise(&fixture::cpu_only());
    let find = |id: &str| summary.cases.iter().find(|c| c.id.starts_with(id)).unwrap();
    let gemm = find("gemm-f32-k1024-m1024-n1024-t1");
    let peak = find("fma-peak-f32-t1");
    assert!(close(median(&gemm.of_peak), median(&gemm.rate) / median(&peak.rate)));
    assert_eq!(gemm.binding, Some(Binding::Compute));
    // 64 MiB lie above the 4 MiB probe and below the 256 MiB one.
    let triad = find("triad");
    let read = find("read-bandwidth-f32-bytes268435456-t2");
    assert!(close(median(&triad.of_read), median(&triad.bandwidth) / median(&read.bandwidth)));
    assert_eq!(triad.binding, Some(Binding::Memory));
    // f64 has a probe with two threads only.
    assert!(find("gemm-f64").of_peak.estimate().is_some());
    assert!(peak.of_peak.reason().unwrap().contains("itself"));
}

#[test]
fn a_cold_case_is_compared_with_memory_however_small_it_is() {
    let share = |cache| {
        let mut record = fixture::cpu_only();
        let case = record.measurements.iter_mut().find(|m| m.case.id.starts_with("triad")).unwrap();
        case.case.cache = cache;
        case.prepared.as_mut().unwrap().work.bytes = crate::units::Bytes::new(1e6).unwrap();
        let summary = summarise(&record);
        let find = |id: &str| summary.cases.iter().find(|c| c.id.starts_with(id)).unwrap().clone();
        let (triad, small) = (find("triad"), find("read-bandwidth-f32-bytes4194304-t2"));
        let large = find("read-bandwidth-f32-bytes268435456-t2");
        let of = |probe: &CaseSummary| median(&triad.bandwidth) / median(&probe.bandwidth);
        (median(&triad.of_read), of(&small), of(&large))
    };
    let (warm, small, large) = share(crate::record::CacheState::Warm);
    assert!(close(warm, small) && !close(small, large));
    let (cold, _, large) = share(crate::record::CacheState::Cold { copies: Some(9) });
    assert!(close(cold, large));
}

#[test]
fn a_share_of_the_copy_bandwidth_stands_where_the_record_has_its_probe() {
    let without = summarise(&fixture::cpu_only());
    assert!(without.cases.iter().all(|c| c.of_copy.is_none()));
    let text = serde_json::to_string(&without).unwrap();
    assert!(!text.contains("fraction_of_copy_bandwidth"), "records without the probe read as ever");
    let summary = summarise(&fixture::with_copy_probe());
    let find = |id: &str| summary.cases.iter().find(|c| c.id.starts_with(id)).unwrap();
    let (copy, triad) = (find("copy"), find("triad"));
    assert_eq!((copy.role, &copy.of_copy), (crate::record::Role::CopyCeiling, &None));
    let share = median(triad.of_copy.as_ref().unwrap());
    assert!(close(share, median(&triad.bandwidth) / median(&copy.bandwidth)));
    assert!(!close(share, median(&triad.of_read)));
    // Another number of threads, another machine.
    assert!(find("gemm-f32-k1024-m1024-n1024-t1").of_copy.is_none());
    assert!(find("gemm-f32-k1024-m1024-n1024-t2").of_copy.is_some());
}

#[test]
fn a_cold_sparse_case_replaces_no_warm_dense_one() {
    let families = |cold: bool| {
        let mut record = fixture::cpu_only();
        let is_sparse = |m: &&mut crate::record::Measurement| {
            cold && m.prepared.as_ref().is_some_and(|p| p.work.dense_equivalent > p.work.useful)
        };
        let state = crate::record::CacheState::Cold { copies: Some(9) };
        record.measurements.iter_mut().filter(is_sparse).for_each(|m| m.case.cache = state);
        summarise(&record).crossovers.len()
    };
    assert!(families(false) > 0);
    assert_eq!(families(true), 0);
}

#[test]
fn a_missing_ceiling_leaves_its_share_unknown() {
    let mut record = fixture::cpu_only();
    record.measurements.retain(|m| m.case.kernel != "fma-peak");
    let summary = summarise(&record);
    let gemm = summary.cases.iter().find(|c| c.kernel == "gemm").unwrap();
    assert!(gemm.of_peak.reason().unwrap().contains("no arithmetic probe"));
    assert_eq!(gemm.binding, None);
}

#[test]
fn wrong_answers_void_every_figure() {
    let summary = summarise(&fixture::wrong_answer());
    let void: Vec<&CaseSummary> =
        summary.cases.iter().filter(|c| matches!(c.status, Status::WrongAnswer { .. })).collect();
    assert_eq!(void.len(), 2, "one wrong answer, one failed canary");
    for case in void {
        assert!(case.time.estimate().is_none() && case.energy.efficiency.estimate().is_none());
        assert!(case.energy.efficiency.reason().unwrap().starts_with("wrong answer"));
        assert_eq!((case.windows.counted, case.binding), (0, None));
    }
    assert_eq!((summary.verdict.wrong, summary.verdict.correct, summary.verdict.clean), (2, 5, false));
    assert!(summary.verdict.text.starts_with("5 of 8 cases correct, 2 WRONG and void, 1 failed"));
}

#[test]
fn a_wrong_answer_the_record_calls_measured_is_found() {
    let mut record = fixture::with_rapl();
    let case = &mut record.measurements[8];
    assert_eq!(case.outcome, Outcome::Measured);
    case.samples[3].correctness.as_mut().unwrap().error = None;
    assert!(matches!(summarise(&record).cases[8].status, Status::WrongAnswer { .. }));
}

#[test]
fn partial_records_say_what_is_missing() {
    let summary = summarise(&fixture::partial());
    assert!(!summary.verdict.clean);
    assert!(summary.verdict.text.contains("7 of 8 cases correct") && summary.verdict.text.contains("interrupted"));
    let codes: Vec<&str> = summary.caveats.iter().map(|c| c.code).collect();
    for code in
        ["simulated", "interrupted", "sensor-lost", "partial-case", "not-run", "discarded", "few-windows", "idle-once"]
    {
        assert!(codes.contains(&code), "{code} is not among {codes:?}");
    }
    let discarded = summary.cases.iter().find(|c| !c.windows.discarded.is_empty()).unwrap();
    assert_eq!(discarded.windows.discarded, [("foreign-load".to_owned(), 1)]);
    assert_eq!(discarded.time.estimate().unwrap().n, 2);
}

#[test]
fn counters_of_a_virtual_machine_are_grade_d() {
    let mut record = fixture::with_rapl();
    assert_eq!(summarise(&record).grade.unwrap().letter, 'C');
    record.header.environment.host.virtualization = Some("KVM".into());
    let summary = summarise(&record);
    assert_eq!(summary.grade.unwrap().letter, 'D');
    assert!(summary.caveats.iter().any(|c| c.code == "grade-d"));
}

#[test]
fn verdicts_are_honest_sentences() {
    let text = |record: &RunRecord| summarise(record).verdict.text;
    let mark = "; simulated, no measurement of real hardware";
    assert_eq!(
        text(&fixture::cpu_only()),
        format!("8 of 8 cases correct; energy not measured: no energy counter on this machine{mark}")
    );
    assert_eq!(
        text(&fixture::with_rapl()),
        format!("8 of 8 cases correct; energy measured for all (CPU packages and memory, evidence grade C){mark}")
    );
    assert!(text(&fixture::denied()).contains("a counter exists that this user may not read"));
    assert!(matches!(fixture::denied().header.sensors[0], SensorStatus::Denied { .. }));
}

#[test]
fn a_gpu_beside_cpu_cases_is_shown_and_not_rated() {
    let summary = summarise(&fixture::with_gpu());
    let gpu = summary.cases[8].domains.iter().find(|d| matches!(d.domain, Domain::Gpu { .. })).unwrap();
    assert!(!gpu.rated && gpu.inside.is_none());
    assert_eq!(summary.boundary.text, "CPU packages and memory");
}

#[test]
fn a_case_on_a_card_is_rated_on_its_own_card_and_the_packages() {
    let mut record = by_hand();
    for sample in &mut record.measurements[0].samples {
        for (domain, watts) in [("gpu-GPU-a", 200.0), ("gpu-GPU-b", 300.0)] {
            fixture::add_energy(sample, domain, watts);
        }
    }
    let id = DeviceId("cuda:0".to_owned());
    record.measurements[0].prepared.as_mut().unwrap().device = id.clone();
    let rated = |record: &RunRecord| -> (Vec<String>, Option<f64>) {
        let case = summarise(record).cases.remove(0);
        let domains = case.domains.iter().filter(|d| d.rated).map(|d| d.domain.to_string()).collect();
        (domains, case.energy.power.estimate().map(|e| e.median))
    };
    record.header.devices = vec![fixture::card(id.clone(), "gpu-GPU-b")];
    let (domains, power) = rated(&record);
    assert_eq!(domains, ["package-0", "dram-0", "gpu-GPU-b"]);
    assert!(close(power.unwrap(), 355.0), "{power:?}");
    assert_eq!(summarise(&record).boundary.text, "CPU packages and memory, for a case on a card with that card");
    // A card that no sensor reads: what encloses the whole machine, or nothing at all.
    record.header.devices = vec![fixture::card(id.clone(), "gpu-GPU-c")];
    assert_eq!(rated(&record), (Vec::new(), None));
    let why = summarise(&record).cases.remove(0).energy.power;
    assert!(
        matches!(&why, Figure::NotMeasured { reason } if reason.contains("no sensor counts the energy of cuda:0")),
        "{why:?}"
    );
    let mut whole = record.clone();
    whole.measurements[0].samples.iter_mut().for_each(|s| fixture::add_energy(s, "node", 900.0));
    assert_eq!(rated(&whole).0, ["node"]);
    // Software is the processor, and every report says so.
    let mut software = fixture::card(id, "gpu-GPU-b");
    software.software = true;
    record.header.devices = vec![software];
    assert_eq!(rated(&record).0, ["package-0", "dram-0"]);
    let summary = summarise(&record);
    let caveat = summary.caveats.iter().find(|c| c.code == "software-device").unwrap();
    assert!(caveat.severity == Severity::Critical && caveat.text.contains("never certified"), "{}", caveat.text);
}

#[test]
fn dense_equivalents_are_printed_beside_useful_figures() {
    let mut record = by_hand();
    record.measurements[0].prepared.as_mut().unwrap().work.dense_equivalent = Flops::new(2e10).unwrap();
    let case = &summarise(&record).cases[0];
    assert!(close(median(case.dense_rate.as_ref().unwrap()), 1e13));
    assert!(close(median(case.energy.dense_efficiency.as_ref().unwrap()), 2e10 / 0.11));
    assert!(close(median(&case.energy.efficiency), 2e9 / 0.11));
}

#[test]
fn counters_are_medians_over_the_windows_that_have_them() {
    let mut record = by_hand();
    for (sample, instructions) in record.measurements[0].samples.iter_mut().zip([4e9, 2e9, 9e9]) {
        let wall = sample.wall.get();
        sample.activity = crate::record::Activity {
            instructions: Some(instructions as u64),
            cycles: Some(2_000_000_000),
            task_clock: Seconds::new(wall * 1.5).ok(),
            ..Default::default()
        };
    }
    record.measurements[0].samples[2].activity.cycles = None;
    let activity = &summarise(&record).cases[0].activity;
    assert!(close(median(&activity.instructions), 4e6));
    assert!(close(median(&activity.per_cycle), 1.5));
    assert_eq!(activity.per_cycle.estimate().unwrap().n, 2);
    assert!(close(median(&activity.cpus), 1.5));
    assert_eq!(activity.page_faults.reason(), Some("this host does not count page faults"));
}

#[test]
fn a_case_above_its_ceiling_is_pointed_out() {
    let mut record = fixture::cpu_only();
    let codes = |record: &RunRecord| summarise(record).caveats.iter().any(|c| c.code == "above-ceiling");
    assert!(!codes(&record));
    let gemm = record.measurements.iter_mut().find(|m| m.case.kernel == "gemm").unwrap();
    for sample in &mut gemm.samples {
        sample.iterations *= 2;
    }
    assert!(codes(&record));
}

#[test]
fn energy_known_for_some_windows_only_is_said() {
    let mut record = by_hand();
    record.measurements[0].samples[2].energy.clear();
    let summary = summarise(&record);
    let caveat = summary.caveats.iter().find(|c| c.code == "energy-partial").unwrap();
    assert_eq!(caveat.text, "energy is known for 2 of 3 windows that count");
}

#[test]
fn registered_probes_have_the_role_their_id_stands_for() {
    for kernel in crate::kernels::REGISTRY {
        let info = kernel.info();
        assert_eq!(ceilings::role_of(info.id), info.role, "{}", info.id);
    }
}

#[test]
fn times_without_the_work_they_belong_to_stay_times() {
    let mut record = by_hand();
    record.measurements[0].prepared = None;
    let case = &summarise(&record).cases[0];
    assert!(close(median(&case.time), 2e-3));
    for figure in [&case.rate, &case.bandwidth, &case.energy.efficiency] {
        assert_eq!(figure.reason(), Some("the record does not say what an iteration computes"));
    }
}

#[test]
fn few_windows_are_pointed_out() {
    let text = |times: &[f64]| {
        let caveats = summarise(&fixture::hand_made(times)).caveats;
        caveats.into_iter().find(|c| c.code == "few-windows").map(|c| c.text)
    };
    assert!(text(&[1e-3]).unwrap().contains("one window and have no interval"));
    assert!(text(&[1e-3, 2e-3]).unwrap().contains("rest on 2 windows"));
    assert_eq!(text(&[1e-3; 5]), None);
}

#[test]
fn steps_of_the_wall_clock_are_said_and_drift_is_not() {
    let with_jump = |jump: f64| {
        let mut record = by_hand();
        record.measurements[0].samples[1].state.clock_jump = Seconds::new(jump).ok();
        summarise(&record).caveats.into_iter().find(|c| c.code == "clock-jump")
    };
    assert!(with_jump(-3600.0).unwrap().text.contains("during 1 of the windows"));
    assert_eq!(with_jump(2e-5), None);
}

#[test]
fn every_caveat_code_is_documented() {
    let mut codes = std::collections::BTreeSet::new();
    for call in include_str!("caveats.rs").split("Severity::").skip(1) {
        // `Severity::Note, "code", …`: nothing but the severity and a comma before the code.
        let mut parts = call.split('"');
        let is_call = |before: &str| before.trim().ends_with(',') && !before.contains(['(', ')', ';', '=']);
        if parts.next().is_some_and(is_call) {
            codes.extend(parts.next());
        }
    }
    assert!(codes.len() > 20, "{codes:?}");
    let page = include_str!("../../docs/analysis.md");
    let section = page.split("## Caveat codes").nth(1).unwrap().split("\n## ").next().unwrap();
    let documented: std::collections::BTreeSet<&str> = section.split('`').skip(1).step_by(2).collect();
    assert_eq!(codes, documented);
}

#[test]
fn empty_records_are_summarised_without_panic() {
    let mut record = fixture::with_rapl();
    record.measurements.clear();
    record.idle.clear();
    record.trace.clear();
    let summary = summarise(&record);
    assert!(!summary.verdict.clean && summary.cases.is_empty());
    assert!(summary.verdict.text.starts_with("no workload in this record"));
}

#[test]
fn what_was_drawn_before_changes_no_bit() {
    let draws = Draws::default();
    let policy = Policy::shipped();
    for record in [fixture::with_rapl(), fixture::partial(), fixture::with_rapl(), fixture::fifty_cases()] {
        let alone = summarise(&record);
        assert_eq!(summarise_remembering(&record, &policy, &draws), alone);
        let mut reseeded = record;
        reseeded.header.seed ^= 1;
        let other = summarise_remembering(&reseeded, &policy, &draws);
        assert_eq!(other, summarise(&reseeded));
        assert_ne!(other.cases, alone.cases, "another seed draws other ranks");
    }
}
