//! The result in one honest sentence.

use super::energy::Meters;
use super::{CaseSummary, Grade, Status, Verdict};
use crate::record::{Role, RunRecord, RunState, SensorStatus};

/// Counts workloads (probes are the measure, not the measured) and puts the counts into words.
pub(super) fn of(record: &RunRecord, cases: &[CaseSummary], meters: &Meters<'_>, grade: Option<&Grade>) -> Verdict {
    let workloads: Vec<&CaseSummary> = cases.iter().filter(|c| c.role == Role::Workload).collect();
    let count = |test: &dyn Fn(&CaseSummary) -> bool| {
        u32::try_from(workloads.iter().filter(|c| test(c)).count()).unwrap_or(u32::MAX)
    };
    let planned = count(&|_| true);
    let has_figures = |c: &CaseSummary| c.time.estimate().is_some();
    let correct = count(&|c| has_figures(c) && c.correctness.is_some());
    let unchecked = count(&|c| has_figures(c) && c.correctness.is_none());
    let wrong = count(&|c| matches!(c.status, Status::WrongAnswer { .. }));
    let failed = count(&|c| matches!(c.status, Status::Failed { .. }));
    let full = count(&|c| c.status == Status::Measured);
    let with_energy = count(&|c| c.energy.per_iteration.estimate().is_some());

    let mut parts = vec![format!("{correct} of {planned} cases correct")];
    if wrong > 0 {
        parts.push(format!("{wrong} WRONG and void"));
    }
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if unchecked > 0 {
        parts.push(format!("{unchecked} without an answer to check"));
    }
    let left = planned.saturating_sub(correct + unchecked + wrong + failed);
    if left > 0 {
        parts.push(format!("{left} without a window that counts"));
    }
    let mut text = parts.join(", ");
    if planned == 0 {
        text = "no workload in this record".to_owned();
    }
    text.push_str("; ");
    text.push_str(&energy_clause(record, meters, planned, with_energy, grade));
    text.push_str(match record.header.state {
        RunState::Complete => "",
        RunState::Interrupted => "; the run was interrupted",
        RunState::Running => "; the run did not end",
    });
    if !record.header.simulated.is_empty() {
        text.push_str("; simulated, no measurement of real hardware");
    }
    let probes_clean = cases.iter().all(|c| c.status == Status::Measured);
    let clean = planned > 0 && full == planned && probes_clean && record.header.state == RunState::Complete;
    Verdict { text, clean, planned, correct, wrong, with_energy }
}

fn energy_clause(
    record: &RunRecord,
    meters: &Meters<'_>,
    planned: u32,
    with_energy: u32,
    grade: Option<&Grade>,
) -> String {
    if with_energy > 0 {
        let grade = grade.map_or_else(String::new, |g| format!(", evidence grade {}", g.letter));
        let boundary = meters.boundary().text;
        let of = if with_energy == planned { "all".to_owned() } else { format!("{with_energy} of {planned}") };
        return format!("energy measured for {of} ({boundary}{grade})");
    }
    let denied = record.header.sensors.iter().any(|s| matches!(s, SensorStatus::Denied { .. }));
    let why = if !record.lost_sensors.is_empty() && meters.all.is_empty() {
        "the sensor was lost"
    } else if meters.all.is_empty() && denied {
        "a counter exists that this user may not read"
    } else if meters.all.is_empty() {
        "no energy counter on this machine"
    } else {
        "no window has a reading of every domain needed"
    };
    format!("energy not measured: {why}")
}
