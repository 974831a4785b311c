//! What a reader must know, as data: permanent codes, plain sentences.

use super::cross_check;
use super::energy::{Meters, declared_of};
use super::{CaseSummary, Caveat, CrossCheck, DomainEnergy, Grade, IdlePower, RatedMeter, Severity, Status};
use crate::record::{Accuracy, CardState, EnergyMethod, Role, RunRecord, RunState, Sample};
use time::macros::format_description;

/// Below this many windows a 95 % interval of a median cannot be had without assumptions: the range
/// of n values covers the median with probability 1 − 2^(1−n), 87.5 % at n = 4.
const FEW_WINDOWS: u32 = 5;

/// The wall clock is disciplined by up to 0.5 ms/s in normal operation; more is a step.
const CLOCK_STEP: f64 = 1e-3;

/// Two readers of the same registers differ by when they are read, which is far less than this over
/// a run; more means that one of them is wrong.
const CROSS_CHECK_LIMIT: f64 = 0.01;

/// Power that was polled may differ from a counter by its own gain bound (policy, polled power).
const POLLED_CHECK_LIMIT: f64 = 0.10;

/// Largest declared error of a calibrated meter by grade.
const GRADES: [(char, f64); 2] = [('A', 0.01), ('B', 0.02)];

/// A calibration is good for a year.
const CALIBRATION_DAYS: i64 = 366;

/// Evidence grade of the rated energy; `None` when no case has any.
pub(super) fn grade(record: &RunRecord, cases: &[CaseSummary]) -> Option<Grade> {
    cases.iter().find(|c| c.energy.per_iteration.estimate().is_some())?;
    let rated = cases.iter().flat_map(|c| &c.domains).filter(|d| d.rated);
    let meter = |d: &DomainEnergy| RatedMeter { domain: d.domain.clone(), sensor: d.sensor.clone(), method: d.method };
    let rated: Vec<RatedMeter> = rated.map(meter).collect();
    Some(grade_of(record, &rated.iter().collect::<Vec<_>>()))
}

/// Evidence grade of energy that was read by the meters `rated`.
pub(super) fn grade_of(record: &RunRecord, rated: &[&RatedMeter]) -> Grade {
    let host = &record.header.environment.host;
    let integrated = rated.iter().any(|m| m.method == EnergyMethod::Integrated);
    let (letter, reason) = if let Some(hypervisor) = &host.virtualization {
        ('D', format!("the counters of a virtual machine ({hypervisor}) may be shared with other guests"))
    } else if let Some(container) = &host.container {
        ('D', format!("the counters seen from a container ({container}) may be shared with others on the host"))
    } else if let Some(grade) = declared_grade(record, rated) {
        grade
    } else if integrated {
        ('D', "energy was integrated from polled power".to_owned())
    } else {
        ('C', "hardware energy counters".to_owned())
    };
    Grade { letter, reason }
}

/// `A` or `B`, where all that is rated was read by meters of a declared accuracy that were calibrated
/// within the year before the run.
fn declared_grade(record: &RunRecord, rated: &[&RatedMeter]) -> Option<(char, String)> {
    let mut worst: Option<&Accuracy> = None;
    for meter in rated {
        let accuracy = declared_of(record, &meter.sensor)?;
        let day = time::Date::parse(accuracy.calibrated.as_ref()?, format_description!("[year]-[month]-[day]")).ok()?;
        let age = (record.header.started_at.date_time().date() - day).whole_days();
        if !(0..=CALIBRATION_DAYS).contains(&age) {
            return None;
        }
        worst = worst.filter(|w| w.bound >= accuracy.bound).or(Some(accuracy));
    }
    let worst = worst?;
    let letter = GRADES.iter().find(|(_, bound)| worst.bound <= *bound)?.0;
    Some((letter, format!("external meter, {}", worst.source)))
}

/// Every caveat, gravest first, then in plan order.
pub(super) fn of(record: &RunRecord, cases: &[CaseSummary], meters: &Meters<'_>) -> Vec<Caveat> {
    let mut list = List::default();
    of_record(record, cases, &mut list);
    of_policy(record, meters, &mut list);
    of_energy(record, cases, meters, &mut list);
    for case in cases {
        of_case(case, record, &mut list);
        of_card(case, record, &mut list);
    }
    list.0.sort_by_key(|c| c.severity);
    list.0
}

#[derive(Default)]
struct List(Vec<Caveat>);

impl List {
    fn add(&mut self, severity: Severity, code: &'static str, text: impl Into<String>) {
        self.0.push(Caveat { code, severity, case: None, text: text.into() });
    }

    fn about(&mut self, case: &CaseSummary, severity: Severity, code: &'static str, text: impl Into<String>) {
        self.0.push(Caveat { code, severity, case: Some(case.id.clone()), text: text.into() });
    }

    fn cross_check(&mut self, of: &CrossCheck) {
        let CrossCheck { domain, of_record, check, polled, difference, n } = of;
        let windows = if *n == 1 { "one window".to_owned() } else { format!("{n} windows") };
        let Some(difference) = difference else {
            let text =
                format!("{check} cannot check {of_record} on {domain}: one of them counted nothing over {windows}");
            return self.add(Severity::Warning, "cross-check-differs", text);
        };
        let text = format!(
            "{check} reads {domain} as well: {:+.2} % against {of_record} over {windows}; it is not added",
            difference * 100.0
        );
        let limit = if *polled { POLLED_CHECK_LIMIT } else { CROSS_CHECK_LIMIT };
        if difference.abs() > limit {
            let limit = limit * 100.0;
            let text = format!("{text}. Above {limit:.0} % one of the two is wrong");
            return self.add(Severity::Warning, "cross-check-differs", text);
        }
        self.add(Severity::Note, "cross-check", text);
    }
}

fn of_record(record: &RunRecord, cases: &[CaseSummary], list: &mut List) {
    let header = &record.header;
    for why in &header.simulated {
        list.add(Severity::Critical, "simulated", format!("no measurement of real hardware, never certified: {why}"));
    }
    for device in header.devices.iter().filter(|d| d.software) {
        let on_it = |c: &&CaseSummary| c.device.as_ref() == Some(&device.id);
        if cases.iter().any(|c| on_it(&c)) {
            let text = format!(
                "{} is software on the processor ({}): answers count, times and energies are those of no such device, \
                 and it is never certified",
                device.id, device.name
            );
            list.add(Severity::Critical, "software-device", text);
        }
    }
    match header.state {
        RunState::Complete => {}
        RunState::Interrupted => {
            list.add(Severity::Warning, "interrupted", "the run was ended before all windows were taken");
        }
        RunState::Running => {
            list.add(Severity::Warning, "unfinished", "the run has not ended, or was killed");
        }
    }
    if !header.profile.certifiable {
        let text = format!("the profile `{}` is for a quick look and can never be certified", header.profile.name);
        list.add(Severity::Note, "not-certifiable", text);
    }
    if let Some(hypervisor) = &header.environment.host.virtualization {
        let text = format!("measured in a virtual machine ({hypervisor}): other guests share caches, memory and power");
        list.add(Severity::Warning, "virtual-machine", text);
    }
    if let Some(container) = &header.environment.host.container {
        list.add(Severity::Note, "container", format!("measured in a container ({container})"));
    }
    if header.environment.state.on_battery == Some(true) {
        list.add(Severity::Warning, "on-battery", "the machine ran on battery: its power limits differ");
    }
    if let Some(model) = &header.estimate {
        let text = format!(
            "columns marked `estimated` rest on a power of {} W that was assumed, not measured; they are never rated",
            model.tdp.get()
        );
        list.add(Severity::Note, "estimate", text);
    }
    for (sensor, why) in &record.lost_sensors {
        list.add(Severity::Warning, "sensor-lost", format!("{sensor}: {why}"));
    }
    let skips = header.plan.skips.iter();
    for skip in skips {
        list.add(Severity::Note, "skipped", format!("`{}` was not run: {}", skip.case.id, skip.reason));
    }
    for note in &record.notes {
        list.add(Severity::Note, "record", note.clone());
    }
    let jumps =
        |s: &&Sample| s.state.clock_jump.is_some_and(|j| j.get().abs() > CLOCK_STEP.max(CLOCK_STEP * s.wall.get()));
    let jumped = record.measurements.iter().flat_map(|m| m.valid_samples()).filter(jumps).count();
    if jumped > 0 {
        let text = format!(
            "the wall clock was stepped during {jumped} of the windows that count; their lengths are monotonic and stand, but \
             the date of the record may be off"
        );
        list.add(Severity::Note, "clock-jump", text);
    }
    let few = cases.iter().filter_map(|c| c.time.estimate()).map(|e| e.n).filter(|n| *n < FEW_WINDOWS).min();
    if let Some(n) = few {
        let text = match n {
            1 => "some figures rest on one window and have no interval".to_owned(),
            _ => {
                format!("some intervals rest on {n} windows: below {FEW_WINDOWS} an interval covers less than it says")
            }
        };
        list.add(Severity::Warning, "few-windows", text);
    }
}

/// Bounds that were in force when the record was made need not be those that its figures are computed with.
fn of_policy(record: &RunRecord, meters: &Meters<'_>, list: &mut List) {
    let Some(then) = &record.header.uncertainty_policy else { return };
    let now = &meters.policy;
    if then.sha256 != now.sha256 {
        let short = |sha256: &str| sha256.chars().take(12).collect::<String>();
        let text = format!(
            "the uncertainty policy has changed since: measured under `{}` ({}), computed with `{}` ({})",
            then.policy,
            short(&then.sha256),
            now.policy,
            short(&now.sha256)
        );
        list.add(Severity::Warning, "policy-changed", text);
    }
}

fn of_energy(record: &RunRecord, cases: &[CaseSummary], meters: &Meters<'_>, list: &mut List) {
    if let Some(Grade { letter: 'D', reason }) = grade(record, cases) {
        list.add(Severity::Warning, "grade-d", format!("energy is evidence of grade D and cannot be rated: {reason}"));
    }
    let limit = record.header.profile.idle_drift_limit;
    for flag in record.idle.iter().filter_map(|w| w.flags.first()) {
        list.add(Severity::Note, "idle-disturbed", format!("an idle window does not count: {}", flag.detail));
    }
    for check in cross_check::compare(record, meters) {
        list.cross_check(&check);
    }
    let measured = cases.iter().any(|c| c.energy.per_iteration.estimate().is_some());
    for IdlePower { domain, drift, .. } in &meters.idle_of_record() {
        if let Some(drift) = drift.filter(|d| *d > limit) {
            let text = format!(
                "idle power of {domain} drifted by {:.1} % between start and end, limit {:.1} %",
                drift * 100.0,
                limit * 100.0
            );
            list.add(Severity::Warning, "idle-drift", text);
        }
    }
    if measured && meters.idle.iter().any(|i| i.after.is_none() || i.before.is_none()) {
        list.add(
            Severity::Note,
            "idle-once",
            "idle power was measured on one side of the cases only: drift is unknown",
        );
    }
}

/// What the windows that count say of the card they ran on.
fn of_card(case: &CaseSummary, record: &RunRecord, list: &mut List) {
    let (Some(device), Some(measurement)) = (&case.device, record.measurements.iter().find(|m| m.case.id == case.id))
    else {
        return;
    };
    let cards: Vec<&CardState> = measurement.valid_samples().filter_map(|s| s.state.card.as_ref()).collect();
    let windows = |test: &dyn Fn(&CardState) -> bool| cards.iter().filter(|c| test(c)).count();
    let all = cards.len();
    let shared = windows(&|c| c.others.is_some_and(|o| o.count > 0));
    if shared > 0 {
        let share = cards.iter().filter_map(|c| c.foreign_load).max_by(f64::total_cmp);
        let used = share.map_or_else(
            || "what they used of it is unknown".to_owned(),
            |s| format!("they used {:.1} % of it at most", s * 100.0),
        );
        let text = format!("other processes had a context on {device} in {shared} of {all} windows: {used}");
        list.about(case, Severity::Warning, "shared-card", text);
    }
    let unknown = windows(&|c| c.others.is_none());
    if unknown > 0 {
        let text = format!(
            "the driver does not say which processes use {device} in {unknown} of {all} windows: whether another was at work is \
             unknown"
        );
        list.about(case, Severity::Note, "card-processes-unknown", text);
    }
    let unseen = windows(&|c| c.others.is_some_and(|o| !o.own_seen));
    if unseen > 0 {
        let text = format!(
            "the driver lists this program under a number of another namespace (a container): one of the processes on {device} was \
             taken for it"
        );
        list.about(case, Severity::Note, "card-processes-renumbered", text);
    }
    let corrected = cards.iter().filter_map(|c| CardState::rise(c.ecc_corrected)).fold(0, u64::saturating_add);
    if corrected > 0 {
        let text = format!("the memory of {device} corrected {corrected} errors (ECC) in the windows that count");
        list.about(case, Severity::Note, "ecc-corrected", text);
    }
    let capped = windows(&|c| c.throttle.as_ref().is_some_and(|t| t.iter().any(|reason| reason == "power-cap")));
    if capped > 0 {
        let limit = cards.iter().filter_map(|c| c.power_limit).map(|w| w.get()).min_by(f64::total_cmp);
        let limit = limit.map_or_else(String::new, |w| format!(" ({w:.0} W)"));
        let text = format!(
            "{device} ran at its power limit{limit} in {capped} of {all} windows: another limit gives other figures"
        );
        list.about(case, Severity::Note, "power-cap", text);
    }
}

fn of_case(case: &CaseSummary, record: &RunRecord, list: &mut List) {
    let probe = if case.role == Role::Workload { "" } else { " (a ceiling: shares of it are missing)" };
    match &case.status {
        Status::Measured => {}
        Status::Partial { reason } => list.about(case, Severity::Warning, "partial-case", reason.clone()),
        Status::WrongAnswer { reason } => {
            let text = format!("wrong answer, no figure of it counts{probe}: {reason}");
            list.about(case, Severity::Critical, "wrong-answer", text);
        }
        Status::Failed { reason } => {
            list.about(case, Severity::Critical, "failed", format!("could not run{probe}: {reason}"));
        }
        Status::NotRun => list.about(case, Severity::Warning, "not-run", format!("the run ended before it{probe}")),
    }
    for (code, count) in &case.windows.discarded {
        if code == "wrong-answer" {
            continue; // said above, and graver
        }
        let text = format!("{count} of {} windows discarded: {code}", case.windows.taken);
        list.about(case, Severity::Note, "discarded", text);
    }
    if case.windows.warm_up_stable == Some(false) {
        let text = "warm-up did not become stable in the time the profile allows";
        list.about(case, Severity::Warning, "unstable-warm-up", text);
    }
    for (share, what) in [(&case.of_peak, "arithmetic"), (&case.of_read, "read")] {
        if let Some(low) = share.estimate().and_then(|e| e.low).filter(|low| *low > 1.0) {
            let text =
                format!("above its {what} ceiling (at least {:.1} %): the probe is no ceiling here", low * 100.0);
            list.about(case, Severity::Warning, "above-ceiling", text);
        }
    }
    if let (Some(energy), Some(time)) = (case.energy.per_iteration.estimate(), case.time.estimate())
        && energy.n < time.n
    {
        let text = format!("energy is known for {} of {} windows that count", energy.n, time.n);
        list.about(case, Severity::Warning, "energy-partial", text);
    }
    let Some(type_b) = &case.energy.type_b else { return };
    let limit = record.header.profile.alignment_limit;
    match type_b.u_align {
        Some(u) if u > limit => {
            let text = format!(
                "window too short for its counter: alignment error {:.2} %, limit {:.2} %",
                u * 100.0,
                limit * 100.0
            );
            list.about(case, Severity::Warning, "alignment", text);
        }
        Some(_) => {}
        None => {
            let text = "the update period of its energy counter is unknown, so the alignment error is as well";
            list.about(case, Severity::Warning, "alignment-unknown", text);
        }
    }
    if type_b.span_correction > limit {
        let text = format!(
            "counter reads lie up to {:.1} % outside the window; energy was scaled to the window",
            type_b.span_correction * 100.0
        );
        list.about(case, Severity::Warning, "span-correction", text);
    }
}
