//! Ways to break a certifiable record so that one rule, and no other, sees it.

use crate::analysis::summarise;
use crate::clock::Moment;
use crate::policy::{Certification, Table};
use crate::record::{
    CardState, Channel, Clocks, Coverage, DeviceId, Domain, EnergyMethod, EnergySpan, Flag, Gpu, IdlePhase,
    Measurement, Others, Outcome, ReaderRole, Role, RunRecord, RunState, Sample, SensorStatus, fixture,
};
use crate::units::{Celsius, Hertz, MicroJoules, Seconds};
use crate::verdict::{Assessment, Status, Subject, assess};

/// A record, and what it is judged by.
#[derive(Clone)]
pub(crate) struct Bed {
    pub(crate) record: RunRecord,
    pub(crate) policy: Certification,
    pub(crate) table: Table,
}

impl Bed {
    pub(crate) fn certifiable() -> Self {
        let table = Table::shipped("reference-cpu-1").unwrap();
        Self { record: fixture::certifiable(), policy: Certification::shipped(), table }
    }

    pub(crate) fn assess(&self) -> Assessment {
        let summary = summarise(&self.record);
        let Self { record, policy, table } = self;
        assess(&Subject { record, summary: &summary, policy, table })
    }

    /// One of the workloads.
    fn workload(&mut self, draw: &mut Draw) -> &mut Measurement {
        let workloads = self.record.measurements.iter().filter(|m| is_workload(m)).count();
        let n = draw.below(workloads);
        self.record.measurements.iter_mut().filter(|m| is_workload(m)).nth(n).unwrap()
    }

    /// One window of one of the workloads.
    fn window(&mut self, draw: &mut Draw) -> &mut Sample {
        let case = self.workload(draw);
        let n = draw.below(case.samples.len());
        &mut case.samples[n]
    }
}

fn is_workload(m: &Measurement) -> bool {
    !matches!(m.case.kernel.as_str(), "fma-peak" | "read-bandwidth" | "copy")
}

/// Seeded draws: SplitMix64 (Steele, Lea & Flood 2014).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((self.unit() * n as f64) as usize).min(n - 1)
    }
}

/// A break of the rule `code`, which then comes to `status`.
pub(crate) struct Break {
    pub(crate) code: &'static str,
    pub(crate) status: Status,
    pub(crate) apply: fn(&mut Bed, &mut Draw),
}

const fn fail(code: &'static str, apply: fn(&mut Bed, &mut Draw)) -> Break {
    Break { code, status: Status::Fail, apply }
}
const fn unknown(code: &'static str, apply: fn(&mut Bed, &mut Draw)) -> Break {
    Break { code, status: Status::Inconclusive, apply }
}
const fn spared(code: &'static str, apply: fn(&mut Bed, &mut Draw)) -> Break {
    Break { code, status: Status::NotApplicable, apply }
}

fn s(x: f64) -> Seconds {
    Seconds::new(x).unwrap()
}
fn moment(seconds: f64) -> Moment {
    Moment::from_nanos((seconds * 1e9) as u64)
}
fn scaled(energy: MicroJoules, by: f64) -> MicroJoules {
    MicroJoules::new((energy.get() as f64 * by).round() as u64)
}
/// The same power over a window `by` times as long.
fn stretch(sample: &mut Sample, by: f64) {
    sample.wall = s(sample.wall.get() * by);
    sample.iterations = ((sample.iterations as f64 * by).round() as u64).max(1);
    for span in &mut sample.energy {
        let length = span.to.since(span.from).get();
        span.to = moment(span.from.seconds().get() + length * by);
        span.energy = scaled(span.energy, by);
    }
}
fn flag(code: &str) -> Flag {
    Flag { code: code.to_owned(), detail: format!("{code}: more than the limit") }
}
fn void_all(bed: &mut Bed) {
    for m in &mut bed.record.measurements {
        m.outcome = Outcome::Failed { reason: "out of memory".to_owned() };
    }
}
fn no_energy(bed: &mut Bed) {
    bed.record.measurements.iter_mut().flat_map(|m| &mut m.samples).for_each(|s| s.energy.clear());
    bed.record.idle.iter_mut().for_each(|w| w.energy.clear());
}
fn on_gpu(bed: &mut Bed, mig: Option<bool>) {
    bed.table.category = "gpu".to_owned();
    bed.record.header.environment.gpus = vec![Gpu {
        name: "a card".to_owned(),
        uuid_hash: "1d0c4e".to_owned(),
        driver: None,
        power_limit: None,
        memory: None,
        ecc: None,
        mig,
        pci: None,
    }];
    let (id, domain) = (DeviceId("cuda:0".to_owned()), Domain::Gpu { uuid: "GPU-1d0c4e".to_owned() });
    for m in &mut bed.record.measurements {
        m.prepared.as_mut().unwrap().device = id.clone();
    }
    bed.record.header.devices = vec![fixture::card(id, &domain.to_string())];
    // Its meter, which reads as that of the first package does.
    let SensorStatus::Ready(info) = &mut bed.record.header.sensors[0] else { panic!("RAPL is ready") };
    let channel = Channel { domain: domain.clone(), ..info.channels[0].clone() };
    info.channels.push(channel);
    let idle = bed.record.idle.iter_mut().map(|w| &mut w.energy);
    for spans in bed.record.measurements.iter_mut().flat_map(|m| &mut m.samples).map(|s| &mut s.energy).chain(idle) {
        spans.push(EnergySpan { domain: domain.clone(), ..spans[0].clone() });
    }
    let calm = fixture::calm_card(domain);
    bed.record.measurements.iter_mut().flat_map(|m| &mut m.samples).for_each(|s| s.state.card = Some(calm.clone()));
}
/// The card in one window of a workload on a card.
fn card<'a>(bed: &'a mut Bed, draw: &mut Draw) -> &'a mut CardState {
    on_gpu(bed, Some(false));
    bed.window(draw).state.card.as_mut().unwrap()
}
/// Another counter of package 0, reading `difference` more.
fn second_reader(bed: &mut Bed, difference: f64) {
    let SensorStatus::Ready(mut info) = bed.record.header.sensors[0].clone() else { panic!("RAPL is ready") };
    info.id = "power-pmu".to_owned();
    info.channels.truncate(1);
    info.channels[0].role = ReaderRole::CrossCheck;
    bed.record.header.sensors.push(SensorStatus::Ready(info));
    let idle = bed.record.idle.iter_mut().map(|w| &mut w.energy);
    for spans in bed.record.measurements.iter_mut().flat_map(|m| &mut m.samples).map(|s| &mut s.energy).chain(idle) {
        let mut span = spans[0].clone();
        span.sensor = "power-pmu".to_owned();
        span.energy = scaled(span.energy, 1.0 + difference);
        spans.push(span);
    }
}

/// Every way, at least one for each status a rule can come to besides passing.
#[rustfmt::skip]
pub(crate) const BREAKS: &[Break] = &[
    fail("simulated", |b, d| b.record.header.simulated.push(format!("replay {}", d.below(9)))),
    fail("simulated", |b, _| if let SensorStatus::Ready(info) = &mut b.record.header.sensors[0] { info.simulated = true }),
    fail("wrong-answer", |b, d| { let e = d.between(2e-6, 1.0); b.window(d).correctness.as_mut().unwrap().error = Some(e); }),
    fail("wrong-answer", |b, d| b.window(d).correctness.as_mut().unwrap().error = None),
    fail("wrong-answer", |b, d| { let e = d.between(2e-6, 1.0); b.workload(d).prepared.as_mut().unwrap().canary.as_mut().unwrap().error = Some(e); }),
    fail("energy-measured", |b, d| b.workload(d).samples.iter_mut().for_each(|s| s.energy.clear())),
    fail("energy-measured", |b, d| { b.record.header.estimate = Some(crate::record::TdpModel { tdp: crate::units::Watts::new(95.0).unwrap() });
        b.workload(d).samples.iter_mut().for_each(|s| s.energy.retain(|e| e.domain.to_string() != "package-0")); }),
    spared("energy-measured", |b, _| void_all(b)),
    fail("run-complete", |b, d| b.record.header.state = [RunState::Interrupted, RunState::Running][d.below(2)]),
    fail("case-measured", |b, d| b.workload(d).outcome = Outcome::Failed { reason: "out of memory".to_owned() }),
    fail("case-measured", |b, d| { let m = b.workload(d); m.samples.clear(); m.outcome = Outcome::NotRun; }),
    fail("case-measured", |b, d| b.workload(d).samples.iter_mut().for_each(|s| s.flags.push(flag("steal")))),
    spared("case-measured", |b, _| { b.record.measurements.retain(|m| !is_workload(m)); b.table.rows.clear(); }),
    fail("record-schema", |b, _| b.record.header.schema = 0),
    fail("record-schema", |b, d| b.policy.schema.value = 2 + d.below(9) as u32),
    fail("profile-strict", |b, d| b.record.header.profile.retries = 3 + d.below(9) as u32),
    fail("profile-strict", |b, d| b.record.header.profile.idle_drift_limit = d.between(0.06, 1.0)),
    fail("profile-strict", |b, _| b.record.header.profile.certifiable = false),
    fail("suite-allowed", |b, d| b.record.header.suite.text += &format!("# {}\n", d.below(1000))),
    fail("suite-allowed", |b, d| b.record.header.suite.id = format!("mine-{}", d.below(9))),
    spared("suite-allowed", |b, _| b.policy.suites.value.clear()),
    fail("plan-of-suite", |b, d| { let n = d.below(8); let c = b.record.header.plan.cases.iter_mut().filter(|c| !c.kernel.contains("peak") && !c.kernel.contains("read")).nth(n).unwrap();
        c.id = format!("{}-{}", c.id, d.below(99)); }),
    fail("plan-of-suite", |b, d| { let n = d.below(8); let c = b.record.header.plan.cases.iter_mut().filter(|c| c.params.values.contains_key("n")).nth(n % 4).unwrap();
        c.params.values.insert("n".to_owned(), crate::kernels::ParamValue::Integer(64 + d.below(99) as u64)); }),
    fail("plan-of-suite", |b, d| { let n = d.below(8); let c = b.record.header.plan.cases.iter_mut().filter(|c| !c.kernel.contains("peak") && !c.kernel.contains("read")).nth(n).unwrap();
        c.cache = crate::record::CacheState::Cold { copies: Some(2 + d.below(99) as u32) }; }),
    // Other work under the name of the suite's, consistent in plan, measurement and work.
    fail("plan-of-suite", |b, d| { let m = b.record.measurements.iter_mut().find(|m| m.case.kernel == "gemm").unwrap();
        m.case.params.values.insert("k".to_owned(), crate::kernels::ParamValue::Integer(1000 + d.below(24) as u64));
        m.prepared.as_mut().unwrap().work = crate::kernels::find("gemm").unwrap().work(&m.case.params).unwrap();
        let case = m.case.clone(); b.record.header.plan.cases.iter_mut().filter(|c| c.id == case.id).for_each(|c| c.clone_from(&case)); }),
    fail("work-by-formula", |b, d| { let w = &mut b.workload(d).prepared.as_mut().unwrap().work; w.useful = crate::units::Flops::new((w.useful.get() * d.between(1.001, 1.02)).round()).unwrap(); }),
    fail("work-by-formula", |b, d| { let w = &mut b.workload(d).prepared.as_mut().unwrap().work; w.bytes = crate::units::Bytes::new(w.bytes.get() + 64.0).unwrap(); }),
    spared("work-by-formula", |b, _| void_all(b)),
    fail("table-complete", |b, d| { let n = d.below(b.table.rows.len()); let id = b.table.rows[n].case.clone();
        b.record.measurements.retain(|m| m.case.id != id); }),
    fail("table-complete", |b, d| { let mut row = b.table.rows[0].clone(); row.case = format!("gemm-{}", d.below(99)); b.table.rows.push(row); }),
    unknown("table-complete", |b, _| b.table.rows.clear()),
    fail("device-category", |b, _| b.table.category = "gpu".to_owned()),
    spared("device-category", |b, _| void_all(b)),
    fail("software-device", |b, d| b.workload(d).prepared.as_mut().unwrap().program.software = true),
    spared("software-device", |b, _| void_all(b)),
    fail("evidence-grade", |b, d| b.record.header.environment.host.virtualization = Some(["KVM", "Xen", "VMware"][d.below(3)].to_owned())),
    fail("evidence-grade", |b, _| b.record.header.environment.host.container = Some("docker".to_owned())),
    fail("evidence-grade", |b, d| b.policy.grade.value = ['A', 'B'][d.below(2)]),
    spared("evidence-grade", |b, _| no_energy(b)),
    fail("sensor-lost", |b, d| b.record.lost_sensors.push(("rapl".to_owned(), format!("error {}", d.below(99))))),
    spared("sensor-lost", |b, _| no_energy(b)),
    fail("boundary-complete", |b, d| b.record.header.environment.cpu.sockets = Some(2 + d.below(7) as u32)),
    unknown("boundary-complete", |b, _| b.record.header.environment.cpu.sockets = None),
    spared("boundary-complete", |b, _| no_energy(b)),
    fail("cross-check", |b, d| { let sign = [-1.0, 1.0][d.below(2)]; second_reader(b, sign * d.between(0.011, 0.5)); }),
    fail("cross-check", |b, _| second_reader(b, -1.0)),
    spared("cross-check", |_, _| {}),
    fail("mig-instance", |b, _| on_gpu(b, Some(true))),
    unknown("mig-instance", |b, _| on_gpu(b, None)),
    spared("mig-instance", |_, _| {}),
    fail("energy-coverage", |b, d| b.window(d).energy.clear()),
    fail("energy-coverage", |b, d| b.window(d).energy.retain(|e| e.domain.to_string() != "dram-0")),
    spared("energy-coverage", |b, _| no_energy(b)),
    fail("window-length", |b, d| { let by = d.between(0.3, 0.95); stretch(b.window(d), by); }),
    fail("window-length", |b, d| { let by = d.between(0.3, 0.95); b.workload(d).samples.iter_mut().for_each(|s| stretch(s, by)); }),
    spared("window-length", |b, _| void_all(b)),
    fail("alignment", |b, d| { let period = d.between(0.31, 3.0); b.window(d).energy[0].update_period = Some(s(period)); }),
    unknown("alignment", |b, d| b.window(d).energy[0].update_period = None),
    spared("alignment", |b, _| no_energy(b)),
    fail("span-correction", |b, d| { let by = d.between(1.004, 1.05); for sample in &mut b.workload(d).samples { for span in &mut sample.energy {
        let length = span.to.since(span.from).get(); span.to = moment(span.from.seconds().get() + length * by); span.energy = scaled(span.energy, by); } } }),
    spared("span-correction", |b, _| no_energy(b)),
    fail("repeats", |b, d| b.window(d).flags.push(flag(["foreign-load", "steal", "throttled"][d.below(3)]))),
    fail("repeats", |b, d| b.policy.repeats.value = 11 + d.below(50) as u32),
    spared("repeats", |b, _| void_all(b)),
    fail("time-scatter", |b, d| { let by = d.between(0.5, 0.8); let w = b.window(d); w.iterations = (w.iterations as f64 * by) as u64;
        w.energy.iter_mut().for_each(|e| e.energy = scaled(e.energy, by)); }),
    unknown("time-scatter", |b, d| { let m = b.workload(d); m.samples.iter_mut().skip(1).for_each(|s| s.flags.push(flag("steal"))); }),
    spared("time-scatter", |b, _| void_all(b)),
    fail("energy-scatter", |b, d| { let by = d.between(1.2, 1.5); b.window(d).energy.iter_mut().for_each(|e| e.energy = scaled(e.energy, by)); }),
    unknown("energy-scatter", |b, d| b.window(d).energy.clear()),
    spared("energy-scatter", |b, _| no_energy(b)),
    fail("discarded-windows", |b, d| { let more = 3 + d.below(6); let m = b.workload(d); for _ in 0..more { let mut w = m.samples[1].clone(); w.flags.push(flag("steal")); m.samples.push(w); } }),
    spared("discarded-windows", |b, _| void_all(b)),
    fail("dropped-windows", |b, d| b.record.header.profile.repeats = 11 + d.below(20) as u32),
    spared("dropped-windows", |b, _| void_all(b)),
    fail("interleaved", |b, d| { let to = d.between(0.0, 0.5); let m = b.workload(d); let first = m.samples[0].start.seconds().get();
        for w in &mut m.samples { let shift = (w.start.seconds().get() - first) * (1.0 - to); w.start = moment(w.start.seconds().get() - shift);
            for e in &mut w.energy { e.from = moment(e.from.seconds().get() - shift); e.to = moment(e.to.seconds().get() - shift); } } }),
    spared("interleaved", |b, _| { let mut seen = false; b.record.measurements.retain(|m| !is_workload(m) || !std::mem::replace(&mut seen, true)); }),
    fail("warm-up", |b, d| b.workload(d).prepared.as_mut().unwrap().warm_up.stable = false),
    unknown("warm-up", |b, d| b.workload(d).prepared = None),
    spared("warm-up", |b, _| void_all(b)),
    // A counter that no study has looked at: 10 % gain and 10 % linearity.
    fail("uncertainty", |b, _| { let rename = |e: &mut crate::record::EnergySpan| e.sensor = "acme".to_owned();
        b.record.measurements.iter_mut().flat_map(|m| &mut m.samples).flat_map(|s| &mut s.energy).for_each(rename);
        b.record.idle.iter_mut().flat_map(|w| &mut w.energy).for_each(rename);
        if let SensorStatus::Ready(info) = &mut b.record.header.sensors[0] { info.id = "acme".to_owned() } }),
    fail("uncertainty", |b, d| b.policy.uncertainty.value = d.between(0.0, 0.05)),
    unknown("uncertainty", |b, d| b.window(d).energy[0].update_period = None),
    spared("uncertainty", |b, _| no_energy(b)),
    fail("idle-length", |b, d| { let n = d.below(2); b.record.idle.remove(n); }),
    fail("idle-length", |b, d| { let (n, by) = (d.below(2), d.between(0.1, 0.9)); let w = &mut b.record.idle[n]; w.wall = s(w.wall.get() * by); }),
    spared("idle-length", |b, _| no_energy(b)),
    fail("idle-drift", |b, d| { let by = d.between(1.08, 1.6); let after = b.record.idle.iter_mut().find(|w| w.phase == IdlePhase::After).unwrap();
        after.energy.iter_mut().for_each(|e| e.energy = scaled(e.energy, by)); }),
    unknown("idle-drift", |b, d| { let n = d.below(2); b.record.idle[n].energy.clear(); }),
    spared("idle-drift", |b, _| no_energy(b)),
    fail("foreign-load", |b, d| b.window(d).state.foreign_load = Some(d.between(0.021, 1.0))),
    unknown("foreign-load", |b, d| b.window(d).state.foreign_load = None),
    fail("foreign-load", |b, d| { let share = d.between(0.021, 1.0); card(b, d).foreign_load = Some(share); }),
    unknown("foreign-load", |b, d| { let n = 1 + d.below(9) as u32; let c = card(b, d); c.foreign_load = None; c.others = Some(Others { count: n, own_seen: true }); }),
    unknown("foreign-load", |b, d| { let c = card(b, d); c.foreign_load = None; c.others = None; }),
    spared("foreign-load", |b, _| void_all(b)),
    fail("steal", |b, d| b.window(d).state.steal = Some(d.between(0.006, 1.0))),
    unknown("steal", |b, d| b.window(d).state.steal = None),
    spared("steal", |b, _| void_all(b)),
    fail("throttled", |b, d| b.window(d).state.throttle_events = Some(1 + d.below(999) as u64)),
    fail("throttled", |b, d| { let m = b.workload(d); m.samples.iter_mut().for_each(|s| s.state.throttle_events = None);
        let n = d.below(10); m.samples[n].state.frequency = Hertz::new(d.between(1e9, 3.2e9)).ok(); }),
    fail("throttled", |b, d| { card(b, d).throttle_events = None; let hertz = d.between(1e8, 1.8e9);
        b.record.measurements.iter_mut().flat_map(|m| &mut m.samples).for_each(|s| s.state.card.as_mut().unwrap().throttle_events = None);
        let slow = Hertz::new(hertz).unwrap(); b.window(d).state.card.as_mut().unwrap().sm_clock = Some(Clocks { median: slow, min: slow }); }),
    unknown("throttled", |b, d| { let c = card(b, d); c.throttle_events = None; c.sm_clock = None; }),
    unknown("throttled", |b, d| { let w = b.window(d); w.state.throttle_events = None; w.state.frequency = None; }),
    spared("throttled", |b, _| void_all(b)),
    fail("clock-jump", |b, d| { let sign = [-1.0, 1.0][d.below(2)]; b.window(d).state.clock_jump = Some(s(sign * d.between(0.06, 9.0))); }),
    unknown("clock-jump", |b, d| b.window(d).state.clock_jump = None),
    spared("clock-jump", |b, _| void_all(b)),
    fail("temperature-spread", |b, d| b.window(d).state.temperature = Celsius::new(61.0 + d.between(10.5, 40.0)).ok()),
    unknown("temperature-spread", |b, d| b.window(d).state.temperature = None),
    fail("temperature-spread", |b, d| { let hot = 54.0 + d.between(10.5, 40.0); card(b, d).temperature = Celsius::new(hot).ok(); }),
    unknown("temperature-spread", |b, d| card(b, d).temperature = None),
    spared("temperature-spread", |b, _| void_all(b)),
    fail("on-battery", |b, _| b.record.header.environment.state.on_battery = Some(true)),
    spared("on-battery", |b, _| b.record.header.environment.state.on_battery = None),
    spared("on-battery", |b, _| b.policy.battery_refused.value = false),
    fail("answer-checked", |b, d| b.window(d).correctness = None),
    fail("answer-checked", |b, d| { let checked = d.below(16) as u64; b.window(d).correctness.as_mut().unwrap().coverage = Coverage::Rows { checked, of: 4096 }; }),
    spared("answer-checked", |b, _| void_all(b)),
    fail("canary", |b, d| b.workload(d).prepared.as_mut().unwrap().canary = None),
    spared("canary", |b, _| b.policy.canary_required.value = false),
    fail("sampler-gap", |b, d| b.record.sampler.as_mut().unwrap().longest_gap = s(d.between(1.1, 60.0))),
    unknown("sampler-gap", |b, _| b.record.sampler = None),
    fail("sampler-overhead", |b, d| { let sampler = b.record.sampler.as_mut().unwrap(); sampler.cpu = s(sampler.wall.get() * d.between(0.006, 1.0)); }),
    unknown("sampler-overhead", |b, _| b.record.sampler = None),
    fail("above-peak", |b, d| { let by = d.between(1.5, 3.0); b.record.measurements.iter_mut().filter(|m| m.case.kernel == "fma-peak").flat_map(|m| &mut m.samples).for_each(|s| stretch_time(s, by)); }),
    unknown("above-peak", |b, _| b.record.measurements.retain(|m| m.case.kernel != "fma-peak")),
    spared("above-peak", |b, _| void_all(b)),
];

/// The same work in a longer time, as a slower machine would take.
fn stretch_time(sample: &mut Sample, by: f64) {
    sample.iterations = ((sample.iterations as f64 / by).round() as u64).max(1);
}

/// What the property test over policies does to a record: no policy may certify any of these.
pub(crate) const NEVER: &[fn(&mut Bed, &mut Draw)] = &[
    |b, _| b.record.header.simulated.push("replay".to_owned()),
    |b, _| {
        if let SensorStatus::Ready(info) = &mut b.record.header.sensors[0] {
            info.simulated = true;
        }
    },
    |b, d| b.workload(d).prepared.as_mut().unwrap().program.software = true,
    |b, d| b.window(d).correctness.as_mut().unwrap().error = Some(1.0),
    |b, d| b.workload(d).outcome = Outcome::WrongAnswer { reason: "error 1".to_owned() },
    |b, _| no_energy(b),
    |b, _| {
        no_energy(b);
        b.record.header.estimate = Some(crate::record::TdpModel { tdp: crate::units::Watts::new(95.0).unwrap() });
    },
    // Polled power is no counter.
    |b, _| {
        let polled = |e: &mut crate::record::EnergySpan| e.method = EnergyMethod::Integrated;
        b.record.measurements.iter_mut().flat_map(|m| &mut m.samples).flat_map(|s| &mut s.energy).for_each(polled);
    },
];

/// Whether the roles of the summary and the breaks above mean the same workloads.
pub(crate) fn agree_on_workloads(bed: &Bed) -> bool {
    let summary = summarise(&bed.record);
    let pairs = summary.cases.iter().zip(&bed.record.measurements);
    pairs.into_iter().all(|(c, m)| (c.role == Role::Workload) == is_workload(m))
}
