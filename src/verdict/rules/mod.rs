//! The rules: one file each, with a permanent code.

mod above_peak;
mod alignment;
mod answer_checked;
mod boundary_complete;
mod canary;
mod case_measured;
mod clock_jump;
mod cross_check;
mod device_category;
mod discarded_windows;
mod dropped_windows;
mod energy_coverage;
mod energy_measured;
mod energy_scatter;
mod evidence_grade;
mod foreign_load;
mod idle_drift;
mod idle_length;
mod interleaved;
mod judge;
mod mig_instance;
mod on_battery;
mod page;
mod plan_of_suite;
mod profile_strict;
mod record_schema;
mod repeats;
mod run_complete;
mod sampler_gap;
mod sampler_overhead;
mod sensor_lost;
mod simulated;
mod software_device;
mod span_correction;
mod steal;
mod suite_allowed;
mod table_complete;
mod temperature_spread;
mod throttled;
mod time_scatter;
mod uncertainty;
mod warm_up;
mod window_length;
mod work_by_formula;
mod wrong_answer;

pub use page::{Explanation, markdown};

use super::{Finding, Status, Subject};

/// A rule of certification.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Permanent kebab-case code.
    pub code: &'static str,
    /// What it asks for, in a few words.
    pub title: &'static str,
    /// Why it exists.
    pub rationale: &'static str,
    /// Standard, paper or document it follows.
    pub source: &'static str,
    /// Keys of the policy (`section.key`) whose numbers it compares with; empty where no policy can
    /// change it.
    pub limits: &'static [&'static str],
    /// How to make it right where it is broken.
    pub fix: &'static str,
    /// What to do where the record does not hold enough; `None`: it is never inconclusive.
    pub unknown: Option<&'static str>,
    /// When it does not concern a record; `None`: it always does.
    pub spared: Option<&'static str>,
    /// What a broken record shows, as an example.
    pub example: &'static str,
    /// Applies it: one finding for the record, or one a case.
    pub check: fn(&Subject<'_>) -> Vec<Finding>,
}

/// Every rule, in the order of a certificate's list.
pub const REGISTRY: &[Rule] = &[
    simulated::RULE,
    software_device::RULE,
    wrong_answer::RULE,
    energy_measured::RULE,
    run_complete::RULE,
    case_measured::RULE,
    record_schema::RULE,
    profile_strict::RULE,
    suite_allowed::RULE,
    plan_of_suite::RULE,
    work_by_formula::RULE,
    table_complete::RULE,
    device_category::RULE,
    evidence_grade::RULE,
    sensor_lost::RULE,
    boundary_complete::RULE,
    cross_check::RULE,
    mig_instance::RULE,
    energy_coverage::RULE,
    window_length::RULE,
    alignment::RULE,
    span_correction::RULE,
    repeats::RULE,
    time_scatter::RULE,
    energy_scatter::RULE,
    discarded_windows::RULE,
    dropped_windows::RULE,
    interleaved::RULE,
    warm_up::RULE,
    uncertainty::RULE,
    idle_length::RULE,
    idle_drift::RULE,
    foreign_load::RULE,
    steal::RULE,
    throttled::RULE,
    clock_jump::RULE,
    temperature_spread::RULE,
    on_battery::RULE,
    answer_checked::RULE,
    canary::RULE,
    sampler_gap::RULE,
    sampler_overhead::RULE,
    above_peak::RULE,
];

/// The rule with this code.
#[must_use]
pub fn find(code: &str) -> Option<&'static Rule> {
    REGISTRY.iter().find(|rule| rule.code == code)
}

#[cfg(test)]
pub(crate) mod breaks;
#[cfg(test)]
mod tests;
