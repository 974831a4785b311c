//! Departures from the suite and the method, in words: what a certificate has to state (ISO/IEC 17025:2017,
//! 7.8.2.1 n).

use crate::record::{Profile, RunRecord};
use std::collections::BTreeMap;

/// Every departure that the record tells of: cases left out, numbers of the profile that the suite
/// replaced, windows measured again, interruptions, sensors lost.
pub(super) fn of(record: &RunRecord) -> Vec<String> {
    let header = &record.header;
    let mut found: Vec<String> = Vec::new();
    let skips = header.plan.skips.iter();
    found.extend(skips.map(|skip| format!("the case {} of the suite was not run: {}", skip.case.id, skip.reason)));
    let shipped = Profile::named(&header.profile.name).ok();
    let replaced = shipped.map(|shipped| header.profile.differs_from(&shipped)).unwrap_or_default();
    if !replaced.is_empty() {
        let (name, keys) = (&header.profile.name, replaced.join(", "));
        found.push(format!("the suite replaces numbers of the profile {name}: {keys}"));
    }
    let samples = || record.measurements.iter().flat_map(|m| &m.samples);
    let mut discarded: BTreeMap<&str, usize> = BTreeMap::new();
    for flag in samples().filter_map(|s| s.flags.first()) {
        *discarded.entry(&flag.code).or_default() += 1;
    }
    if !discarded.is_empty() {
        let of = samples().count();
        let total: usize = discarded.values().sum();
        let codes: Vec<String> = discarded.iter().map(|(code, n)| format!("{n} {code}")).collect();
        found.push(format!("{total} of {of} windows were discarded and stay in the record: {}", codes.join(", ")));
    }
    found.extend(record.lost_sensors.iter().map(|(sensor, why)| format!("the sensor {sensor} was lost: {why}")));
    found.extend(record.notes.iter().cloned());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn an_undisturbed_run_departs_from_nothing() {
        assert_eq!(of(&fixture::certifiable()), Vec::<String>::new());
    }

    #[test]
    fn what_was_left_out_replaced_or_disturbed_is_named() {
        let mut record = fixture::partial();
        record.header.profile.repeats += 1;
        let found = of(&record).join("\n");
        for expected in [
            "the suite replaces numbers of the profile quick: repeats",
            "windows were discarded and stay in the record: 1 foreign-load",
            "the sensor nvml was lost",
            "the last line of samples.jsonl was torn",
        ] {
            assert!(found.contains(expected), "{expected} is not in:\n{found}");
        }
    }
}
