//! Synthetic records for tests, benches and examples: deterministic, and marked as simulated.
//!
//! They are made the way a run makes them (events folded into a record), so nothing downstream can
//! tell them from a real one except by the mark.

mod cases;
mod disk;
mod machine;
mod rivals;
mod timeline;

pub use self::disk::on_disk;
pub use self::rivals::{rival, widened};

use self::cases::CaseSpec;
use self::timeline::{Meters, Timeline};
use super::{Outcome, RunRecord, RunState, SuiteSource, TdpModel};
use crate::units::Watts;

/// A virtual machine without any energy counter: 6 ceiling probes and 8 workloads, 5 windows each.
#[must_use]
pub fn cpu_only() -> RunRecord {
    let mut timeline = Timeline::new("quick", Meters::None);
    timeline.header.environment.host.virtualization = Some("KVM".into());
    timeline.run(&cases::reference())
}

/// As [`cpu_only`], with a copy probe among the ceilings, as plans of cards have one.
#[must_use]
pub fn with_copy_probe() -> RunRecord {
    let mut timeline = Timeline::new("quick", Meters::None);
    timeline.header.environment.host.virtualization = Some("KVM".into());
    timeline.run(&cases::with_copy_probe())
}

/// As [`cpu_only`], with a power model the user asked for.
#[must_use]
pub fn estimated() -> RunRecord {
    let mut record = cpu_only();
    record.header.estimate = Some(TdpModel { tdp: timeline::quantity(Watts::new(95.0)) });
    record
}

/// RAPL present but readable by root alone.
#[must_use]
pub fn denied() -> RunRecord {
    let mut record = Timeline::new("quick", Meters::None).run(&cases::reference());
    record.header.sensors[0] = machine::rapl_denied();
    record
}

/// A desktop machine with RAPL counters for the package, its cores and the memory.
#[must_use]
pub fn with_rapl() -> RunRecord {
    Timeline::new("quick", Meters::Rapl).run(&cases::reference())
}

/// RAPL as in [`with_rapl`] and a GPU that idles beside the CPU cases.
#[must_use]
pub fn with_gpu() -> RunRecord {
    Timeline::new("quick", Meters::RaplAndGpu).run(&cases::reference())
}

/// [`with_rapl`], interrupted in the third round: some cases lack windows, one never ran, one window
/// was discarded, the idle after is missing, a sensor was lost.
#[must_use]
pub fn partial() -> RunRecord {
    let mut record = with_rapl();
    record.header.state = RunState::Interrupted;
    record.header.finished_at = None;
    record.idle.truncate(1);
    record.lost_sensors.push(("nvml".into(), "nvml vanished: the driver was unloaded".into()));
    let last = record.measurements.len() - 1;
    for (i, measurement) in record.measurements.iter_mut().enumerate() {
        let keep = if i < 9 { 3 } else { 2 };
        measurement.samples.truncate(keep);
        if i == 7 {
            timeline::flag(
                &mut measurement.samples[1],
                "foreign-load",
                "other processes used 31 % of the CPUs, limit 5 %",
            );
        }
        let counted = measurement.valid_samples().count();
        measurement.outcome =
            Outcome::Partial { reason: format!("{counted} of 5 windows were taken before the run ended") };
        if i == last {
            measurement.samples.clear();
            measurement.prepared = None;
            measurement.outcome = Outcome::NotRun;
        }
    }
    record.notes.push("the last line of samples.jsonl was torn and is left out".into());
    record
}

/// [`with_rapl`] with a wrong answer in one case, a failed canary in a second and a third that could
/// not run.
#[must_use]
pub fn wrong_answer() -> RunRecord {
    let mut record = with_rapl();
    let n = record.measurements.len();
    let wrong = &mut record.measurements[n - 3];
    for sample in &mut wrong.samples {
        sample.correctness.iter_mut().for_each(|c| c.error = Some(3.1e-4));
        timeline::flag(sample, "wrong-answer", "error 3.1e-4, limit 1.0e-6");
    }
    wrong.outcome = Outcome::WrongAnswer { reason: "error 3.1e-4, limit 1.0e-6".into() };
    if let Some(canary) = record.measurements[n - 2].prepared.as_mut().and_then(|p| p.canary.as_mut()) {
        canary.error = Some(4.9e-4);
    }
    let failed = &mut record.measurements[n - 1];
    failed.samples.clear();
    failed.prepared = None;
    failed.outcome = Outcome::Failed { reason: "cannot allocate 68719476736 bytes for the inputs".into() };
    record
}

/// [`with_rapl`] with hostile text wherever text comes from outside: markup of every format,
/// control characters, right-to-left overrides and a name of 10,000 characters.
#[must_use]
pub fn hostile() -> RunRecord {
    let mut record = with_rapl();
    machine::poison_with(&mut record, HOSTILE);
    record
}

/// The text that [`hostile`] puts into every field.
pub const HOSTILE: &str = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(2)> \
    {{ 7*7 }} {% raw %} #panic(\"typst\") $x$ `code` *bold* _it_ | pipe \\ back\u{1b}[31mred\u{7}\u{0}\r\nline two\t\
    \u{202e}rtl\u{2066} [link](javascript:alert(3)) ![i](x) <!-- --> &amp; <?php ?> ]]> שלום 你好 🔋";

/// A server run of 50 cases under the `ci` profile, 10 windows each, counters as in [`with_rapl`]:
/// the load of the speed tests.
#[must_use]
pub fn fifty_cases() -> RunRecord {
    let mut timeline = Timeline::new("ci", Meters::Rapl);
    timeline.header.profile.repeats = 10;
    timeline.header.profile.window_floor = timeline::seconds(2.0);
    timeline.run(&cases::fifty())
}

/// As [`with_rapl`], of one product, dense and sparse, at several densities.
#[must_use]
pub fn crossing() -> RunRecord {
    Timeline::new("quick", Meters::Rapl).run(&cases::crossing())
}

/// A run of the shipped suite `certify-cpu` on a server as a real machine would write it: not marked as
/// simulated, so that rules and documents of certified records can be tested. Ten windows of a minute; 6
/// ceiling probes and 8 workloads. Its power trace has one point in ten seconds, to be small.
#[must_use]
pub fn certifiable() -> RunRecord {
    let mut timeline = Timeline::new("certify", Meters::Rapl);
    timeline.header.simulated.clear();
    timeline.header.sensors.iter_mut().for_each(machine::as_if_real);
    let (suite, cases) = cases::certified();
    timeline.header.suite = SuiteSource::of(&suite);
    timeline.header.profile = suite.profile;
    timeline.calm().run_as(&cases)
}

/// One workload with `times` seconds an iteration, one window each, and nothing else: for tests
/// with figures computed by hand. 1,000 iterations of 2e9 FLOP and 1e9 B a window.
#[must_use]
pub fn hand_made(times: &[f64]) -> RunRecord {
    let mut timeline = Timeline::new("quick", Meters::None);
    timeline.header.profile.repeats = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let case = CaseSpec::workload("gemm", 2e9, 1e9, 1e-3).with("m", 1000).with("n", 1000).with("k", 1000);
    let mut record = timeline.run(&[case]);
    record.idle.clear();
    record.trace.clear();
    let mut start = 0;
    for (sample, time) in record.measurements[0].samples.iter_mut().zip(times) {
        sample.start = crate::clock::Moment::from_nanos(start);
        sample.iterations = 1000;
        sample.wall = timeline::seconds(time * 1000.0);
        start += 2_000_000_000 + timeline::nanos(time * 1000.0);
    }
    record
}

/// A graphics card whose energy is that of `domain`.
#[must_use]
pub fn card(id: super::DeviceId, domain: &str) -> super::Device {
    super::Device {
        id,
        name: "a card".into(),
        interface: "CUDA 13.0".into(),
        driver: None,
        pci: None,
        memory: None,
        software: false,
        domain: domain.parse().ok(),
    }
}

/// A card with this domain that was left alone and did nothing but its work.
#[must_use]
pub fn calm_card(domain: super::Domain) -> super::CardState {
    let hertz = |x| timeline::quantity(crate::units::Hertz::new(x));
    let clocks = |x| Some(super::Clocks { median: hertz(x), min: hertz(x) });
    super::CardState {
        domain,
        sensor: "nvml".into(),
        readings: 20,
        sm_clock: clocks(1.98e9),
        memory_clock: clocks(2.619e9),
        temperature: crate::units::Celsius::new(54.0).ok(),
        power_limit: crate::units::Watts::new(700.0).ok(),
        throttle: Some(Vec::new()),
        throttle_events: Some(0),
        ecc_corrected: Some((2, 2)),
        ecc_uncorrected: Some((0, 0)),
        pcie_replays: Some((0, 0)),
        xids: Some(Vec::new()),
        others: Some(super::Others { count: 0, own_seen: true }),
        foreign_load: Some(0.0),
        cool_down: None,
    }
}

/// Adds a counter span that covers the window of `sample` exactly, `watts` times its length.
pub fn add_energy(sample: &mut super::Sample, domain: &str, watts: f64) {
    timeline::add_span(sample, domain, watts);
}
