//! Ties a device to its board: by the UUID and by the PCI address, which have to agree.

use crate::backends::DeviceInfo;
use crate::backends::cpu::Topology;
use crate::host::Host;
use crate::record::Gpu;
use crate::sensors::{Domain, nvml};

/// Adds what a backend does not know: of a software device memory and caches of the host, of an NVIDIA card what NVML says of its
/// board. A card for which two boards answer is refused.
pub(super) fn complete(device: &mut DeviceInfo, host: &Host, gpus: &[Gpu]) {
    if device.software {
        device.free = device.free.or_else(|| crate::host::available_memory(host));
        device.cache = device.cache.or_else(|| crate::host::caches_hold(host, Topology::read(host).all()));
    }
    match board(device, gpus) {
        Ok(Some(board)) => {
            device.memory = device.memory.or(board.memory);
            device.driver = device.driver.take().or_else(|| board.driver.clone());
        }
        Ok(None) => {}
        Err(why) => device.refused = Some(why),
    }
}

/// Whether the id is that of an instance of a divided board, which has one of its own.
fn is_instance(uuid: &str) -> bool {
    uuid.starts_with("MIG-")
}

/// The board of a device among those that NVML lists. Numbers are not compared: the driver counts what
/// CUDA_VISIBLE_DEVICES leaves, fastest first, and NVML all boards in the order of their addresses.
///
/// # Errors
/// UUID and address name two different boards: which of them a sensor would read is anybody's guess.
fn board<'g>(device: &DeviceInfo, gpus: &'g [Gpu]) -> Result<Option<&'g Gpu>, String> {
    if device.software {
        return Ok(None);
    }
    let there = device.pci.as_deref().and_then(|pci| gpus.iter().find(|g| g.pci.as_deref() == Some(pci)));
    // An instance has a UUID of its own, which no board has.
    let Some(uuid) = device.uuid.as_deref().filter(|uuid| !is_instance(uuid)) else { return Ok(there) };
    let hash = nvml::uuid_hash(uuid);
    let named = gpus.iter().find(|g| g.uuid_hash == hash);
    let (own, pci) = (nvml::public_id_of(&hash), device.pci.as_deref());
    let describe = |g: &Gpu| format!("{} ({})", nvml::public_id_of(&g.uuid_hash), g.name);
    let contradiction = |of_nvml: String| {
        Err(format!(
            "{} is {own} at {} for its driver, but {of_nvml} for NVML, so nobody can tell whose energy would be read: see that \
             both libraries are of the driver that runs (`nvidia-smi -L`)",
            device.id,
            pci.unwrap_or("an unknown address"),
        ))
    };
    match (there, named) {
        (Some(there), Some(named)) if there.uuid_hash == named.uuid_hash => Ok(Some(there)),
        (Some(there), _) if there.mig != Some(true) || named.is_some() => {
            let place = pci.unwrap_or_default();
            contradiction(format!("{} is at {place}", describe(there)))
        }
        (Some(there), _) => Ok(Some(there)),
        // A board whose address one of the two does not know.
        (None, Some(named)) if pci.is_none() || named.pci.is_none() => Ok(Some(named)),
        (None, Some(named)) => {
            contradiction(format!("{} is at {}", describe(named), named.pci.as_deref().unwrap_or_default()))
        }
        (None, None) => Ok(None),
    }
}

/// The domain of a device among those that sensors read: NVML's of its board, or the one that hwmon names after its
/// address. A board that is divided has none: its meter counts all tenants.
pub(super) fn domain_of(device: &DeviceInfo, gpus: &[Gpu], domains: &[&Domain]) -> Option<Domain> {
    if device.software || device.refused.is_some() {
        return None;
    }
    let board = board(device, gpus).ok()?.map(|g| nvml::public_id_of(&g.uuid_hash));
    let ids = [board, device.pci.as_deref().map(|pci| nvml::public_id(&format!("pci-{pci}")))];
    let is_own = |domain: &&&Domain| match domain {
        Domain::Gpu { uuid } | Domain::GpuModule { uuid } => ids.iter().flatten().any(|id| id == uuid),
        _ => false,
    };
    domains.iter().find(is_own).map(|domain| (*domain).clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Api, Cooperative, Limits, Target};
    use crate::sensors::{Probe, hwmon};
    use crate::suite::DeviceId;
    use std::path::Path;

    fn device(pci: Option<&str>, software: bool) -> DeviceInfo {
        let limits = Limits {
            shared_bytes: 0,
            block_threads: 1,
            grid: [1; 3],
            buffer_bytes: 1,
            buffers: 1,
            subgroup: None,
            half: false,
            cooperative: Cooperative::default(),
            capability: None,
            multiprocessors: None,
        };
        DeviceInfo {
            id: DeviceId("wgpu:0".into()),
            name: "a card".into(),
            interface: "Vulkan".into(),
            driver: None,
            pci: pci.map(str::to_owned),
            uuid: None,
            memory: None,
            free: None,
            cache: None,
            software,
            simulated: None,
            refused: None,
            target: Target { api: Api::Wgsl, limits, libraries: Vec::new() },
            facts: Vec::new(),
        }
    }

    fn board_of(uuid_hash: String, pci: Option<&str>) -> Gpu {
        Gpu {
            name: "n".into(),
            uuid_hash,
            driver: Some("580.82.07".into()),
            power_limit: None,
            memory: None,
            ecc: None,
            mig: None,
            pci: pci.map(str::to_owned),
        }
    }

    const FIRST: &str = "GPU-11111111-1111-1111-1111-111111111111";
    const SECOND: &str = "GPU-22222222-2222-2222-2222-222222222222";

    #[test]
    fn a_device_is_tied_to_the_sensor_with_its_address_and_to_no_other() {
        let gpus =
            [board_of("aaaa".repeat(16), Some("0000:01:00.0")), board_of("bbbb".repeat(16), Some("0000:02:00.0"))];
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

    #[test]
    fn uuid_and_address_have_to_name_one_board() {
        let gpus = [
            board_of(nvml::uuid_hash(FIRST), Some("0000:01:00.0")),
            board_of(nvml::uuid_hash(SECOND), Some("0000:02:00.0")),
        ];
        let card = |uuid: Option<&str>, pci: Option<&str>| {
            let mut card = DeviceInfo { uuid: uuid.map(str::to_owned), ..device(pci, false) };
            complete(&mut card, &Host::at("/nonexistent"), &gpus);
            card
        };
        let hash = |card: &DeviceInfo| board(card, &gpus).unwrap().map(|g| g.uuid_hash.clone());
        let (first, second) = (Some(nvml::uuid_hash(FIRST)), Some(nvml::uuid_hash(SECOND)));
        assert_eq!(hash(&card(Some(FIRST), Some("0000:01:00.0"))), first);
        assert_eq!(hash(&card(Some(SECOND), None)), second, "the UUID alone");
        assert_eq!(hash(&card(None, Some("0000:02:00.0"))), second, "the address alone");
        assert_eq!(hash(&card(None, None)), None);
        assert_eq!(card(Some(FIRST), None).driver.as_deref(), Some("580.82.07"));
        // Swapped, an unknown UUID at a known address, and a known UUID elsewhere.
        let stranger = "GPU-33333333-3333-3333-3333-333333333333";
        for (uuid, pci, both) in [
            (FIRST, "0000:02:00.0", [FIRST, SECOND]),
            (stranger, "0000:01:00.0", [stranger, FIRST]),
            (FIRST, "0000:09:00.0", [FIRST, FIRST]),
        ] {
            let card = card(Some(uuid), Some(pci));
            let why = card.refused.as_deref().unwrap();
            assert!(both.iter().all(|uuid| why.contains(&nvml::public_id(uuid))) && why.contains(pci), "{why}");
            assert!(!why.contains(uuid), "the UUID is not published: {why}");
            let own = Domain::Gpu { uuid: nvml::public_id(FIRST) };
            assert_eq!(domain_of(&card, &gpus, &[&own]), None, "nothing of it is rated");
        }
        // An instance has an id of its own at the address of its board.
        assert_eq!(card(Some("MIG-33333333-3333-3333-3333-333333333333"), Some("0000:01:00.0")).refused, None);
    }

    /// A card's chip in a tree of sysfs: `hwmonN` with `file`, whose device is at `pci`.
    fn chip(root: &Path, number: u32, name: &str, (file, value): (&str, &str), pci: &str) {
        let device = root.join(format!("sys/devices/pci0000:00/{pci}"));
        let folder = device.join(format!("hwmon/hwmon{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("name"), name).unwrap();
        std::fs::write(folder.join(file), value).unwrap();
        std::os::unix::fs::symlink(&device, folder.join("device")).unwrap();
        let class = root.join("sys/class/hwmon");
        std::fs::create_dir_all(&class).unwrap();
        std::os::unix::fs::symlink(&folder, class.join(format!("hwmon{number}"))).unwrap();
    }

    #[test]
    fn a_card_of_any_maker_finds_the_chip_at_its_address() {
        let dir = tempfile::tempdir().unwrap();
        // Layout 1.x of `gpu_metrics`: a board, not a processor with graphics.
        chip(dir.path(), 0, "amdgpu", ("power1_average", "90000000"), "0000:03:00.0");
        std::fs::write(dir.path().join("sys/devices/pci0000:00/0000:03:00.0/gpu_metrics"), [0x78, 0, 1, 3]).unwrap();
        chip(dir.path(), 1, "i915", ("energy1_input", "123456"), "0000:04:00.0");
        chip(dir.path(), 2, "xe", ("energy1_input", "654321"), "0000:05:00.0");
        let Probe::Ready(mut sensor) = hwmon::probe(&Host::at(dir.path())) else { panic!("three chips are there") };
        let info = sensor.info().clone();
        let reading = sensor.read(&crate::clock::Clock::start()).unwrap();
        let domains: Vec<&Domain> = info.channels.iter().map(|c| &c.domain).collect();
        let mut seen = Vec::new();
        for (pci, value) in [
            ("0000:03:00.0", crate::sensors::Value::Power(crate::units::Watts::new(90.0).unwrap())),
            ("0000:04:00.0", crate::sensors::Value::Energy(crate::units::MicroJoules::new(123_456))),
            ("0000:05:00.0", crate::sensors::Value::Energy(crate::units::MicroJoules::new(654_321))),
        ] {
            let own = domain_of(&device(Some(pci), false), &[], &domains).unwrap_or_else(|| panic!("nothing at {pci}"));
            let at = info.channels.iter().position(|c| c.domain == own).unwrap();
            assert_eq!(reading.values[at], Some(value), "{pci}");
            seen.push(own);
        }
        seen.dedup();
        assert_eq!(seen.len(), 3, "each has its own");
        assert_eq!(domain_of(&device(Some("0000:06:00.0"), false), &[], &domains), None);
        assert_eq!(domain_of(&device(None, false), &[], &domains), None, "without an address nothing is tied");
    }
}
