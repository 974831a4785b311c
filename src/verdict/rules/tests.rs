use super::breaks::{BREAKS, Bed, Draw, NEVER, agree_on_workloads};
use super::*;
use crate::policy::{Certification, Limit};
use crate::verdict::Decision;
use std::collections::BTreeSet;

fn codes(findings: &[Finding], status: Status) -> BTreeSet<&str> {
    findings.iter().filter(|f| f.status == status).map(|f| f.code).collect()
}

#[test]
fn the_whole_record_passes_every_rule() {
    let bed = Bed::certifiable();
    assert!(agree_on_workloads(&bed));
    let assessment = bed.assess();
    let wrong: Vec<&Finding> = assessment.findings.iter().filter(|f| f.status < Status::Pass).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(assessment.decision, Decision::Certified);
    // One finding a rule, in the order of the registry.
    let order: Vec<&str> = assessment.findings.iter().map(|f| f.code).collect();
    assert_eq!(order, REGISTRY.iter().map(|r| r.code).collect::<Vec<_>>());
    let passed = codes(&assessment.findings, Status::Pass);
    for rule in REGISTRY {
        let second = ["cross-check", "mig-instance"].contains(&rule.code);
        assert_eq!(passed.contains(rule.code), !second, "{}", rule.code);
    }
}

#[test]
fn rules_have_permanent_codes_and_say_everything() {
    let mut seen = BTreeSet::new();
    let policy = Certification::shipped();
    for rule in REGISTRY {
        let kebab = rule.code.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !rule.code.starts_with('-');
        assert!(kebab && seen.insert(rule.code), "{}", rule.code);
        for text in [rule.title, rule.rationale, rule.source, rule.fix, rule.example] {
            assert!(text.len() > 5, "{} says too little: `{text}`", rule.code);
        }
        for limit in rule.limits {
            assert!(policy.line_of(limit).is_some_and(|line| line > 0), "{}: no key {limit}", rule.code);
        }
        let file = format!("{}/src/verdict/rules/{}.rs", env!("CARGO_MANIFEST_DIR"), rule.code.replace('-', "_"));
        assert!(std::path::Path::new(&file).is_file(), "{file}");
    }
}

#[test]
fn every_rule_comes_to_every_status_it_claims_and_to_no_other() {
    for rule in REGISTRY {
        let statuses: BTreeSet<Status> = BREAKS.iter().filter(|b| b.code == rule.code).map(|b| b.status).collect();
        let mut claimed = BTreeSet::from([Status::Fail]);
        claimed.extend(rule.unknown.map(|_| Status::Inconclusive));
        claimed.extend(rule.spared.map(|_| Status::NotApplicable));
        assert_eq!(statuses, claimed, "{}: what it claims and what is tried differ", rule.code);
    }
    for (n, broken) in BREAKS.iter().enumerate() {
        let mut bed = Bed::certifiable();
        (broken.apply)(&mut bed, &mut Draw(n as u64));
        let found = bed.assess().findings;
        let mine: Vec<&Finding> = found.iter().filter(|f| f.code == broken.code).collect();
        let worst = mine.iter().map(|f| f.status).min().unwrap();
        assert_eq!(worst, broken.status, "break {n}: {mine:#?}");
        for finding in mine.iter().filter(|f| f.status == worst) {
            assert!(!finding.observed.is_empty() && !finding.limit.is_empty(), "{finding:?}");
            assert_eq!(finding.fix.is_empty(), worst >= Status::Pass, "{finding:?}");
        }
    }
}

/// What `plan-of-suite` says of a record.
fn planned(bed: &Bed) -> (Status, String) {
    let finding = bed.assess().findings.into_iter().find(|f| f.code == "plan-of-suite").unwrap();
    (finding.status, finding.observed)
}

#[test]
fn a_plan_on_devices_follows_from_the_suite() {
    use crate::plan::Skip;
    use crate::record::DeviceId;
    use crate::suite::{Catalog, Suite, Threads};
    let mut bed = Bed::certifiable();
    let text = bed.record.header.suite.text.replacen("\ncases:", "\ndevices: [cpu, \"wgpu:*\"]\ncases:", 1);
    let cases = Suite::cases_of(&text, &Catalog::builtin()).unwrap();
    bed.record.header.suite.text = text;
    let asked: Vec<_> = cases.iter().filter(|c| !c.device.is_cpu()).cloned().collect();
    assert!(!asked.is_empty());
    let (status, why) = planned(&bed);
    assert!(status == Status::Fail && why.contains("neither planned nor skipped"), "{why}");
    // A skip for all cards, or one on each of them.
    let skip = |case: &crate::suite::Case| Skip { case: case.clone(), reason: "no card".to_owned() };
    bed.record.header.plan.skips.extend(asked.iter().map(skip));
    assert_eq!(planned(&bed).0, Status::Pass);
    let card = DeviceId("wgpu:0".to_owned());
    bed.record.header.plan.skips.pop();
    let on_card = asked[asked.len() - 1].on(&card);
    bed.record.header.plan.cases.push(on_card.clone());
    assert_eq!(planned(&bed).0, Status::Pass);
    let last = bed.record.header.plan.cases.len() - 1;
    bed.record.header.plan.cases[last].device = DeviceId("wgpu:1".to_owned());
    assert_eq!(planned(&bed).0, Status::Fail, "the id names another card");
    bed.record.header.plan.cases[last] = asked[asked.len() - 1].clone();
    assert!(planned(&bed).1.contains("which is no device"), "{:?}", planned(&bed));
    bed.record.header.plan.cases[last] = crate::suite::Case { threads: Threads::Count(2), ..on_card };
    assert_eq!(planned(&bed).0, Status::Fail, "a card has one thread that submits");
}

#[test]
fn only_the_own_card_of_a_case_may_not_be_split() {
    let mut bed = Bed::certifiable();
    let on_gpu = BREAKS.iter().find(|b| b.code == "mig-instance" && b.status == Status::Fail).unwrap();
    (on_gpu.apply)(&mut bed, &mut Draw(1));
    let status = |bed: &Bed| bed.assess().findings.into_iter().find(|f| f.code == "mig-instance").unwrap().status;
    assert_eq!(status(&bed), Status::Fail);
    let mut other = bed.record.header.environment.gpus[0].clone();
    bed.record.header.environment.gpus[0].mig = Some(false);
    other.uuid_hash = "ffff".to_owned();
    bed.record.header.environment.gpus.push(other);
    assert_eq!(status(&bed), Status::Pass, "the card that is split is another one");
    bed.record.header.environment.gpus.remove(0);
    assert_eq!(status(&bed), Status::NotApplicable, "a card that NVML does not know");
}

#[test]
fn every_finding_with_a_line_quotes_the_line_of_its_limit() {
    let policy = Certification::shipped();
    for finding in Bed::certifiable().assess().findings {
        let rule = find(finding.code).unwrap();
        let lines: Vec<Option<u32>> = rule.limits.iter().map(|l| policy.line_of(l)).collect();
        match finding.policy_line {
            None => assert!(rule.limits.is_empty(), "{finding:?}"),
            line => assert!(lines.contains(&line), "{finding:?} {lines:?}"),
        }
    }
}

/// 240 records, each breaking one rule in its own case and by its own amount.
#[test]
fn a_record_that_breaks_one_rule_is_refused_with_exactly_its_code() {
    let mut records = 0;
    let ways: Vec<_> = BREAKS.iter().filter(|b| b.status == Status::Fail).collect();
    let rounds = 240 / ways.len() + 1;
    let whole = Bed::certifiable();
    for round in 0..rounds {
        for (n, broken) in ways.iter().enumerate() {
            let mut bed = whole.clone();
            (broken.apply)(&mut bed, &mut Draw((round * 1000 + n) as u64));
            let assessment = bed.assess();
            assert_eq!(assessment.decision, Decision::Refused, "round {round}: {}", broken.code);
            let failed = codes(&assessment.findings, Status::Fail);
            assert_eq!(failed, BTreeSet::from([broken.code]), "round {round}, way {n}: {:#?}", assessment.findings);
            records += 1;
        }
    }
    assert!(records >= 200, "{records}");
}

/// A policy with every number drawn at random, as lax as the format allows.
fn any_policy(draw: &mut Draw) -> Certification {
    let mut policy = Certification::shipped();
    let lax = Certification::shipped();
    let mut real =
        |limit: &mut Limit<f64>, most: f64| limit.value = if draw.unit() < 0.5 { most } else { draw.unit() * most };
    for limit in [
        &mut policy.cross_check,
        &mut policy.alignment,
        &mut policy.span,
        &mut policy.time_scatter,
        &mut policy.energy_scatter,
        &mut policy.discarded,
        &mut policy.idle_drift,
        &mut policy.foreign_load,
        &mut policy.steal,
        &mut policy.frequency_fall,
        &mut policy.sampler_overhead,
        &mut policy.uncertainty,
        &mut policy.above_peak,
    ] {
        real(limit, 1.0);
    }
    real(&mut policy.clock_jump, 86_400.0);
    real(&mut policy.temperature_spread, 200.0);
    real(&mut policy.sampler_gap, 86_400.0);
    policy.window_floor.value = 0.0;
    policy.idle_length.value = 0.0;
    policy.interleaving.value = 0.0;
    policy.repeats.value = 1;
    policy.window_periods.value = 1;
    policy.rows.value = 1;
    policy.schema.value = 0;
    policy.throttle_events.value = u32::MAX;
    policy.profile.value = "quick".to_owned();
    policy.suites.value.clear();
    policy.battery_refused.value = false;
    policy.canary_required.value = false;
    policy.grade.value = ['A', 'B', 'C', 'D', 'E', 'Z'][draw.below(6)];
    policy.classes.clone_from(&lax.classes);
    policy
}

#[test]
fn no_policy_certifies_a_simulated_modelled_or_wrong_record() {
    let mut draw = Draw(2026);
    let whole = Bed::certifiable();
    let mut certified = 0;
    for round in 0..60 {
        let policy = any_policy(&mut draw);
        let mut bed = Bed { policy: policy.clone(), ..whole.clone() };
        // Without this the test would pass for policies that certify nothing at all.
        certified += usize::from(bed.assess().decision == Decision::Certified);
        let never = NEVER[round % NEVER.len()];
        never(&mut bed, &mut draw);
        let decision = bed.assess().decision;
        assert_ne!(decision, Decision::Certified, "round {round}: {policy:?}");
    }
    assert!(certified >= 10, "only {certified} of the policies certify a good record");
}
