//! Devices on the command line: looking for them, tying each to the sensor that reads its energy, listing them.

use crate::backends::cpu::{CpuBackend, Topology};
use crate::backends::{self, DeviceInfo, Fleet, Probe};
use crate::host::Host;
use crate::measure::UsedDevice;
use crate::plan::{Devices, PlannedDevice};
use crate::record::{self, Gpu};
use crate::report::si;
use crate::sensors::{Domain, SensorInfo, nvml};
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
                    devices.iter_mut().for_each(|d| know_memory(d, host, gpus));
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
        cases: &[Case],
        gpus: &[Gpu],
        sensors: impl Iterator<Item = &'s SensorInfo>,
    ) -> (Vec<record::Device>, Vec<UsedDevice>) {
        let domains: Vec<&Domain> = sensors.flat_map(|s| &s.channels).map(|c| &c.domain).collect();
        let used = self.infos().filter(|d| cases.iter().any(|c| c.device == d.id));
        used.map(|info| {
            let domain = domain_of(info, gpus, &domains);
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
            (device, UsedDevice { planned: planned(info), domain })
        })
        .unzip()
    }
}

/// Memory that a backend does not know: of a software device that of the host, of an NVIDIA card what NVML says.
fn know_memory(device: &mut DeviceInfo, host: &Host, gpus: &[Gpu]) {
    if device.software {
        device.free = device.free.or_else(|| crate::host::available_memory(host));
        device.cache = device.cache.or_else(|| crate::host::caches_hold(host, Topology::read(host).all()));
    }
    let board = gpus.iter().find(|g| g.pci.is_some() && g.pci == device.pci);
    device.memory = device.memory.or(board.and_then(|g| g.memory));
}

fn planned(info: &DeviceInfo) -> PlannedDevice {
    PlannedDevice {
        id: info.id.clone(),
        name: info.name.clone(),
        memory: info.free.or(info.memory),
        cache: info.cache,
        target: info.target.clone(),
        software: info.software,
    }
}

/// The domain of a device among those that sensors read, found by its PCI address: NVML's of the board with that
/// address, or the one that hwmon names after it. A board that is split has none: its meter counts all tenants.
fn domain_of(info: &DeviceInfo, gpus: &[Gpu], domains: &[&Domain]) -> Option<Domain> {
    let pci = info.pci.as_deref().filter(|_| !info.software)?;
    let board = gpus.iter().find(|g| g.pci.as_deref() == Some(pci)).map(|g| nvml::public_id_of(&g.uuid_hash));
    let ids = [board, Some(nvml::public_id(&format!("pci-{pci}")))];
    let is_own = |domain: &&&Domain| match domain {
        Domain::Gpu { uuid } | Domain::GpuModule { uuid } => ids.iter().flatten().any(|id| id == uuid),
        _ => false,
    };
    domains.iter().find(is_own).map(|domain| (*domain).clone())
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
                vec![d.id.to_string(), "ready".into(), format!("{} ({}{driver})", d.name, d.interface), memory, place]
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
        "memory_bytes": d.memory, "free_bytes": d.free, "software": d.software, "facts": facts,
        "limits": {
            "shared_bytes": d.target.limits.shared_bytes, "block_threads": d.target.limits.block_threads,
            "buffer_bytes": d.target.limits.buffer_bytes, "half": d.target.limits.half,
        },
        "libraries": d.target.libraries.iter().map(|l| json!({"kernel": l.kernel, "dtype": l.dtype, "path": l.path, "missing": l.missing})).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Api, Limits, Target};
    use crate::suite::DeviceId;

    fn device(pci: Option<&str>, software: bool) -> DeviceInfo {
        let limits = Limits {
            shared_bytes: 0,
            block_threads: 1,
            grid: [1; 3],
            buffer_bytes: 1,
            buffers: 1,
            subgroup: None,
            half: false,
            capability: None,
            multiprocessors: None,
        };
        DeviceInfo {
            id: DeviceId("wgpu:0".into()),
            name: "a card".into(),
            interface: "Vulkan".into(),
            driver: None,
            pci: pci.map(str::to_owned),
            memory: None,
            free: None,
            cache: None,
            software,
            target: Target { api: Api::Wgsl, limits, libraries: Vec::new() },
            facts: Vec::new(),
        }
    }

    fn board(uuid: &str, pci: &str) -> Gpu {
        let uuid_hash = uuid.repeat(16);
        Gpu {
            name: "n".into(),
            uuid_hash,
            driver: None,
            power_limit: None,
            memory: None,
            ecc: None,
            mig: None,
            pci: Some(pci.into()),
        }
    }

    #[test]
    fn a_device_is_tied_to_the_sensor_with_its_address_and_to_no_other() {
        let gpus = [board("aaaa", "0000:01:00.0"), board("bbbb", "0000:02:00.0")];
        let gpu = |uuid: &str| Domain::Gpu { uuid: uuid.to_owned() };
        let amd = gpu(&nvml::public_id("pci-0000:03:00.0"));
        let (first, second) = (gpu("GPU-aaaaaaaaaaaa"), gpu("GPU-bbbbbbbbbbbb"));
        let package = Domain::Package { socket: 0, die: None };
        let all = [&package, &first, &second, &amd];
        let tied = |pci| domain_of(&device(pci, false), &gpus, &all);
        assert_eq!(tied(Some("0000:02:00.0")), Some(second.clone()));
        assert_eq!(tied(Some("0000:01:00.0")), Some(first.clone()));
        assert_eq!(tied(Some("0000:03:00.0")), Some(amd.clone()));
        assert_eq!(tied(Some("0000:04:00.0")), None);
        assert_eq!(tied(None), None);
        assert_eq!(domain_of(&device(Some("0000:01:00.0"), true), &gpus, &all), None);
        let module = Domain::GpuModule { uuid: "GPU-aaaaaaaaaaaa".to_owned() };
        assert_eq!(domain_of(&device(Some("0000:01:00.0"), false), &gpus, &[&module]), Some(module.clone()));
        // A split board is read as `other-mig-…`, which is nobody's.
        let split = Domain::other("mig-gpu-GPU-aaaaaaaaaaaa");
        assert_eq!(domain_of(&device(Some("0000:01:00.0"), false), &gpus, &[&split]), None);
    }
}
