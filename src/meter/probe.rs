//! Which sensors are there, and why the others are not.

use crate::host::Host;
use crate::record::SensorStatus;
use crate::sensors::{self, Probe, Sensor};

/// Asks every sensor family that `wanted` accepts: what each answered, and those that are ready.
#[must_use]
pub fn probe(host: &Host, wanted: impl Fn(&str) -> bool) -> (Vec<SensorStatus>, Vec<Box<dyn Sensor>>) {
    let (mut statuses, mut ready) = (Vec::new(), Vec::new());
    for family in sensors::REGISTRY.iter().filter(|f| wanted(f.id)) {
        let (id, title) = (family.id.to_owned(), family.title.to_owned());
        statuses.push(match (family.probe)(host) {
            Probe::Ready(sensor) => {
                let status = SensorStatus::Ready(sensor.info().clone());
                ready.push(sensor);
                status
            }
            Probe::Absent { reason } => SensorStatus::Absent { id, title, reason },
            Probe::Denied { reason, remedy } => SensorStatus::Denied { id, title, reason, remedy },
        });
    }
    (statuses, ready)
}

/// Why nothing can be measured: every sensor that cannot serve, with its reason.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub struct Unmeasured {
    /// One entry a sensor.
    pub reasons: Vec<Missing>,
}

/// A sensor that cannot serve.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Missing {
    /// Family id: `rapl`.
    pub sensor: String,
    /// Name for people.
    #[serde(skip)]
    pub title: String,
    /// What was looked for, and what was found instead.
    pub reason: String,
    /// The exact, least-privilege way to allow it, where that would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Unmeasured {
    /// The sensors of `statuses` that are not ready.
    #[must_use]
    pub fn of(statuses: &[SensorStatus]) -> Self {
        Self { reasons: statuses.iter().filter_map(Missing::of).collect() }
    }
}

impl Missing {
    fn of(status: &SensorStatus) -> Option<Self> {
        let (id, title, reason, remedy) = match status {
            SensorStatus::Ready(_) => return None,
            SensorStatus::Absent { id, title, reason } => (id, title, reason, None),
            SensorStatus::Denied { id, title, reason, remedy } => (id, title, reason, Some(remedy.clone())),
        };
        Some(Self { sensor: id.clone(), title: title.clone(), reason: reason.clone(), remedy })
    }
}

impl std::fmt::Display for Unmeasured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no energy counter works here")?;
        self.reasons.iter().try_for_each(|missing| write!(f, "\n  {missing}"))
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.reason)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "\n    to allow it: {remedy}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_machine_gives_every_family_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let (statuses, ready) = probe(&Host::at(dir.path()), |id| id == "rapl");
        assert!(ready.is_empty());
        let unmeasured = Unmeasured::of(&statuses);
        assert_eq!(unmeasured.reasons.len(), 1);
        assert!(unmeasured.to_string().contains("powercap"), "{unmeasured}");
        assert!(probe(&Host::at(dir.path()), |_| false).0.is_empty());
    }

    #[test]
    fn a_denied_sensor_shows_its_remedy() {
        let status = SensorStatus::Denied {
            id: "rapl".into(),
            title: "RAPL".into(),
            reason: "root only".into(),
            remedy: "ask".into(),
        };
        let text = Unmeasured::of(&[status]).to_string();
        assert_eq!(text, "no energy counter works here\n  RAPL: root only\n    to allow it: ask");
    }
}
