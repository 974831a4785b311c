//! Devices on the command line: looking for them, tying each to the sensor that reads its energy, listing them.

mod tie;

use crate::backends::cpu::CpuBackend;
use crate::backends::{self, DeviceInfo, Fleet, Probe};
use crate::host::Host;
use crate::measure::UsedDevice;
use crate::plan::{Devices, PlannedDevice};
use crate::record::{self, Gpu};
use crate::report::si;
use crate::sensors::nvml::BoardWatch;
use crate::sensors::{Domain, SensorInfo};
use crate::suite::Case;
use serde_json::{Value, json};

/// What looking for the devices of one family came to.
pub(super) struct Finding {
    pub(super) family: &'static str,
    pub(super) title: &'static str,
    pub(super) state: State,
}

/// As a sensor's: ready, absent or denied.
pub(super) enum State {
    Ready(Vec<DeviceInfo>),
    Absent(String),
    Denied { reason: String, remedy: String },
}

/// The backends of a run, and what was found of each family that was looked for.
pub(super) struct Found {
    pub(super) fleet: Fleet,
    pub(super) findings: Vec<Finding>,
}

impl Found {
    /// Looks for the devices of the families that `wanted` names; the processor is always there.
    pub(super) fn probe(host: &Host, gpus: &[Gpu], wanted: impl Fn(&str) -> bool) -> Self {
        let mut fleet = Fleet::default().with(Box::new(CpuBackend::new(host)));
        let mut findings = Vec::new();
        for family in backends::REGISTRY.iter().filter(|f| wanted(f.id)) {
            // A machine that is made up has no devices of this one.
            let elsewhere =
                || Probe::Absent { reason: "the root is another machine's, its devices are not here".into() };
            let state = match if host.is_redirected() { elsewhere() } else { (family.probe)() } {
                Probe::Absent { reason } => State::Absent(reason),
                Probe::Denied { reason, remedy } => State::Denied { reason, remedy },
                Probe::Ready(backend) => {
                    let mut devices = backend.devices();
                    devices.iter_mut().for_each(|d| tie::complete(d, host, gpus));
                    fleet = fleet.with(backend);
                    State::Ready(devices)
                }
            };
            findings.push(Finding { family: family.id, title: family.title, state });
        }
        Self { fleet, findings }
    }

    /// Looks for those that `cases` ask for.
    pub(super) fn for_cases(host: &Host, gpus: &[Gpu], cases: &[Case]) -> Self {
        Self::probe(host, gpus, |family| cases.iter().any(|c| c.device.family() == family))
    }

    fn infos(&self) -> impl Iterator<Item = &DeviceInfo> {
        self.findings.iter().flat_map(|f| match &f.state {
            State::Ready(devices) => devices.as_slice(),
            State::Absent(_) | State::Denied { .. } => &[],
        })
    }

    /// Why a record of `cases` is no measurement of real devices; empty where they are real.
    pub(super) fn simulated(&self, cases: &[Case]) -> Vec<String> {
        let used = self.infos().filter(|d| cases.iter().any(|c| c.device == d.id));
        let reasons: std::collections::BTreeSet<&String> = used.filter_map(|d| d.simulated.as_ref()).collect();
        reasons.into_iter().cloned().collect()
    }

    /// What a plan has to know of them.
    pub(super) fn for_plan(&self, allow_software: bool) -> Devices {
        let missing = self.findings.iter().filter_map(|f| match &f.state {
            State::Ready(_) => None,
            State::Absent(reason) => Some((f.family.to_owned(), reason.clone())),
            State::Denied { reason, remedy } => Some((f.family.to_owned(), format!("{reason}; {remedy}"))),
        });
        Devices { found: self.infos().map(planned).collect(), missing: missing.collect(), allow_software }
    }

    /// The devices that `cases` run on, as they stand in the record, and as a run uses them.
    pub(super) fn used<'s>(
        &self,
        host: &Host,
        cases: &[Case],
        gpus: &[Gpu],
        sensors: impl Iterator<Item = &'s SensorInfo>,
    ) -> (Vec<record::Device>, Vec<UsedDevice>) {
        let domains: Vec<&Domain> = sensors.flat_map(|s| &s.channels).map(|c| &c.domain).collect();
        let used = self.infos().filter(|d| cases.iter().any(|c| c.device == d.id));
        used.map(|info| {
            let domain = tie::domain_of(info, gpus, &domains);
            let device = record::Device {
                id: info.id.clone(),
                name: info.name.clone(),
                interface: info.interface.clone(),
                driver: info.driver.clone(),
                pci: info.pci.clone(),
                memory: info.memory,
                software: info.software,
                domain: domain.clone(),
            };
            let watch = domain.as_ref().and_then(|domain| match domain {
                Domain::Gpu { uuid } | Domain::GpuModule { uuid } => BoardWatch::open(host.nvml_library(), uuid),
                _ => None,
            });
            (device, UsedDevice { planned: planned(info), domain, watch })
        })
        .unzip()
    }
}

fn planned(info: &DeviceInfo) -> PlannedDevice {
    PlannedDevice {
        id: info.id.clone(),
        name: info.name.clone(),
        memory: info.free.or(info.memory),
        cache: info.cache,
        target: info.target.clone(),
        software: info.software,
        emulated: info.software || info.simulated.is_some(),
        refused: info.refused.clone(),
    }
}

/// A line a device, or a line that says why a family has none.
pub(super) fn rows(findings: &[Finding]) -> Vec<Vec<String>> {
    let mut rows =
        vec![vec!["cpu".to_owned(), "ready".to_owned(), "the processor".to_owned(), String::new(), String::new()]];
    for finding in findings {
        match &finding.state {
            State::Ready(devices) => rows.extend(devices.iter().map(|d| {
                let memory = d.free.or(d.memory).map(|m| si::bytes(m.get())).unwrap_or_default();
                let place = d.pci.clone().unwrap_or_else(|| if d.software { "software".into() } else { String::new() });
                let driver = d.driver.as_ref().map(|v| format!(", {v}")).unwrap_or_default();
                let what = format!("{} ({}{driver})", d.name, d.interface);
                match &d.refused {
                    Some(why) => vec![d.id.to_string(), "refused".into(), format!("{what}: {why}"), memory, place],
                    None => vec![d.id.to_string(), "ready".into(), what, memory, place],
                }
            })),
            State::Absent(reason) => rows.push(empty(finding.family, "absent", reason)),
            State::Denied { reason, remedy } => {
                rows.push(empty(finding.family, "denied", &format!("{reason}; {remedy}")));
            }
        }
    }
    rows
}

fn empty(family: &str, state: &str, why: &str) -> Vec<String> {
    vec![family.to_owned(), state.to_owned(), why.to_owned(), String::new(), String::new()]
}

/// The same for programs.
pub(super) fn as_json(findings: &[Finding]) -> Value {
    let families = findings.iter().map(|f| match &f.state {
        State::Ready(devices) => json!({
            "family": f.family, "title": f.title, "state": "ready",
            "devices": devices.iter().map(device_json).collect::<Vec<_>>(),
        }),
        State::Absent(reason) => json!({"family": f.family, "title": f.title, "state": "absent", "reason": reason}),
        State::Denied { reason, remedy } => {
            json!({"family": f.family, "title": f.title, "state": "denied", "reason": reason, "remedy": remedy})
        }
    });
    families.collect()
}

fn device_json(d: &DeviceInfo) -> Value {
    let facts: serde_json::Map<String, Value> = d.facts.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    json!({
        "id": d.id, "name": d.name, "interface": d.interface, "driver": d.driver, "pci": d.pci,
        "memory_bytes": d.memory, "free_bytes": d.free, "software": d.software, "simulated": d.simulated,
        "refused": d.refused, "public_id": d.uuid.as_deref().map(crate::sensors::nvml::public_id), "facts": facts,
        "limits": {
            "shared_bytes": d.target.limits.shared_bytes, "block_threads": d.target.limits.block_threads,
            "buffer_bytes": d.target.limits.buffer_bytes, "half": d.target.limits.half,
        },
        "libraries": d.target.libraries.iter().map(|l| json!({"kernel": l.kernel, "dtype": l.dtype, "path": l.path, "missing": l.missing})).collect::<Vec<_>>(),
    })
}
