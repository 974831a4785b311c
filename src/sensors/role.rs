//! Which of several readers of one domain is the reader of record.
//!
//! Some energy can be read in two ways: RAPL through powercap and through the kernel's `power`
//! PMU, or a GPU's through its counter and through its power. One reader's figures count; the other's are compared with them and added to nothing.

use super::{Channel, Domain, Quantity, SensorInfo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the readings of a channel are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReaderRole {
    /// They are the figures of their domain.
    #[default]
    OfRecord,
    /// Another sensor reads the same domain, or the same one counts its energy; these check its figures.
    CrossCheck,
}

impl ReaderRole {
    /// Whether it is the default, which records leave out.
    #[must_use]
    pub fn is_of_record(&self) -> bool {
        *self == Self::OfRecord
    }
}

impl Channel {
    /// Whether its readings may become figures: the reader of record of a domain that is known.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.role.is_of_record() && self.domain.is_placed()
    }
}

/// Decides for every domain that several sensors read which one is of record: a counter before
/// polled power, then the first in the order given, which is that of [`super::REGISTRY`]. Power of a domain
/// whose energy is counted checks the counter.
pub fn assign_roles(infos: &mut [&mut SensorInfo]) {
    /// Rank of a reader: counters first, then the order of the sensors.
    type Rank = (bool, usize);
    let rank = |channel: &Channel, sensor: usize| -> Option<Rank> {
        match channel.quantity {
            Quantity::Energy { .. } => Some((false, sensor)),
            Quantity::InstantPower | Quantity::AveragePower { .. } => Some((true, sensor)),
            _ => None,
        }
    };
    let mut best: BTreeMap<Domain, Rank> = BTreeMap::new();
    for (sensor, info) in infos.iter().enumerate() {
        for channel in &info.channels {
            if let Some(rank) = rank(channel, sensor) {
                let entry = best.entry(channel.domain.clone()).or_insert(rank);
                *entry = rank.min(*entry);
            }
        }
    }
    for (sensor, info) in infos.iter_mut().enumerate() {
        for channel in &mut info.channels {
            let Some(rank) = rank(channel, sensor) else { continue };
            let of_record = best.get(&channel.domain).is_none_or(|first| *first == rank);
            channel.role = if of_record { ReaderRole::OfRecord } else { ReaderRole::CrossCheck };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTER: Quantity = Quantity::Energy { resolution: None, range: None, max_power: None };

    fn info(id: &str, channels: &[(&str, Quantity)]) -> SensorInfo {
        let channel = |(domain, quantity): &(&str, Quantity)| Channel {
            name: (*domain).to_owned(),
            domain: domain.parse().unwrap(),
            quantity: *quantity,
            role: ReaderRole::default(),
            update_period: None,
        };
        SensorInfo {
            id: id.to_owned(),
            title: id.to_owned(),
            source: "test".to_owned(),
            channels: channels.iter().map(channel).collect(),
            notes: Vec::new(),
            simulated: true,
            accuracy: None,
        }
    }

    fn roles(infos: &mut [SensorInfo]) -> Vec<Vec<bool>> {
        assign_roles(&mut infos.iter_mut().collect::<Vec<_>>());
        infos.iter().map(|i| i.channels.iter().map(|c| c.role.is_of_record()).collect()).collect()
    }

    #[test]
    fn the_first_reader_of_a_domain_counts_and_a_counter_beats_power() {
        let mut both = [
            info("rapl", &[("package-0", COUNTER), ("dram-0", COUNTER)]),
            info("power-pmu", &[("package-0", COUNTER), ("dram-0", COUNTER), ("psys", COUNTER)]),
        ];
        assert_eq!(roles(&mut both), [vec![true, true], vec![false, false, true]]);
        let mut alone = [both[1].clone()];
        assert_eq!(roles(&mut alone), [vec![true, true, true]], "alone it serves");
        let mut power = [
            info("hwmon", &[("node", Quantity::InstantPower), ("node", Quantity::Temperature)]),
            info("battery", &[("node", COUNTER), ("node", Quantity::InstantPower)]),
        ];
        assert_eq!(
            roles(&mut power),
            [vec![false, true], vec![true, false]],
            "its power checks the battery's own counter"
        );
    }

    #[test]
    fn old_records_have_no_role_and_every_reader_of_theirs_is_of_record() {
        let old = r#"{"name":"package-0","domain":"package-0","quantity":"instant-power","update_period_s":null}"#;
        let mut channel: Channel = serde_json::from_str(old).unwrap();
        assert!(channel.counts());
        assert_eq!(serde_json::to_string(&channel).unwrap(), old);
        channel.role = ReaderRole::CrossCheck;
        let json = serde_json::to_string(&channel).unwrap();
        assert!(json.contains(r#""role":"cross-check""#), "{json}");
        assert_eq!(serde_json::from_str::<Channel>(&json).unwrap(), channel);
        assert!(!channel.counts());
    }
}
