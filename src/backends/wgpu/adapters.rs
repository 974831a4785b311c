//! Which adapters there are, in an order that does not change from run to run.

#![expect(unsafe_code, reason = "a layer of Mesa takes its orders from the environment")]

use crate::backends::{DeviceId, DeviceInfo};
use crate::kernels::{Api, Cooperative, Limits, Target};
use crate::units::Bytes;
use wgpu::{Backends, CooperativeMatrixProperties, CooperativeScalarType, DeviceType, Features};

/// Said where nothing answers.
pub(super) const NONE: &str = "no adapter answered: there is no Vulkan loader (libvulkan.so.1) or no driver of a card; \
     Mesa's `mesa-vulkan-drivers` holds drivers for AMD and Intel, and a software renderer";

/// The number of the software renderer.
const SOFTWARE: &str = "software";

/// An adapter and its description.
pub(super) struct Adapter {
    pub(super) info: DeviceInfo,
    pub(super) adapter: wgpu::Adapter,
    /// What a device of it is asked for.
    pub(super) features: Features,
}

/// Switches off Mesa's layer that sorts cards by what the user's desktop prefers: the order is ours, and in a session
/// without a desktop the layer complains on stderr about the missing display.
fn without_desktop() {
    const LAYER: &str = "NODEVICE_SELECT";
    if std::env::var_os(LAYER).is_none() {
        // SAFETY: the standard library locks the environment against its own readers, and devices are looked for
        // before any thread of this program or of a driver runs that could read it by other means.
        unsafe { std::env::set_var(LAYER, "1") };
    }
}

/// Every adapter: cards in the order of their addresses, then the first software renderer.
pub(super) fn enumerate() -> Vec<Adapter> {
    without_desktop();
    let backends = Backends::VULKAN | Backends::METAL | Backends::DX12;
    // Where a driver tells how much memory it has left, what would not fit is refused before it is asked for.
    let memory_budget_thresholds =
        wgpu::MemoryBudgetThresholds { for_resource_creation: Some(95), for_device_loss: None };
    let descriptor = wgpu::InstanceDescriptor {
        backends,
        memory_budget_thresholds,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    let found = pollster::block_on(instance.enumerate_adapters(backends));
    let mut found: Vec<(Key, wgpu::Adapter)> = found
        .into_iter()
        .filter(|a| a.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS))
        .map(|a| (Key::of(&a.get_info()), a))
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    // A card that several interfaces reach is one card: the first interface has it.
    found.dedup_by(|later, earlier| later.0.is_same_card(&earlier.0));
    let mut software = false;
    let mut number = 0;
    let mut adapters = Vec::new();
    for (key, adapter) in found {
        let id = if key.software {
            if std::mem::replace(&mut software, true) {
                continue;
            }
            DeviceId(format!("{}:{SOFTWARE}", Api::Wgsl.family()))
        } else {
            number += 1;
            DeviceId::numbered(Api::Wgsl.family(), number - 1)
        };
        adapters.push(describe(id, &key, adapter));
    }
    adapters
}

/// What adapters are sorted by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    software: bool,
    /// Adapters without an address come after those with one.
    unplaced: bool,
    pci: String,
    vendor: u32,
    device: u32,
    name: String,
    interface: u8,
}

impl Key {
    fn of(info: &wgpu::AdapterInfo) -> Self {
        let pci = address(&info.device_pci_bus_id).unwrap_or_default();
        Self {
            software: info.device_type == DeviceType::Cpu,
            unplaced: pci.is_empty(),
            pci,
            vendor: info.vendor,
            device: info.device,
            name: plain(&info.name),
            interface: match info.backend {
                wgpu::Backend::Vulkan => 0,
                wgpu::Backend::Metal => 1,
                wgpu::Backend::Dx12 => 2,
                _ => 3,
            },
        }
    }

    fn is_same_card(&self, other: &Self) -> bool {
        !self.pci.is_empty() && self.pci == other.pci
    }
}

/// An address as the kernel writes it, `0000:03:00.0`; `None` for anything else.
fn address(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = |part: &str, n: usize| part.len() == n && part.bytes().all(|b| b.is_ascii_hexdigit());
    let (rest, function) = lower.rsplit_once('.')?;
    let parts: Vec<&str> = rest.split(':').collect();
    let [domain, bus, device] = parts[..] else { return None };
    (domain.len() >= 4 && digits(domain, domain.len()) && digits(bus, 2) && digits(device, 2) && digits(function, 1))
        .then_some(lower)
}

/// Text of a driver on one line, without what could steer a terminal.
fn plain(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    kept.trim().to_owned()
}

fn describe(id: DeviceId, key: &Key, adapter: wgpu::Adapter) -> Adapter {
    let (info, limits, has) = (adapter.get_info(), adapter.limits(), adapter.features());
    let mut features = has & (Features::TIMESTAMP_QUERY | Features::SHADER_F16 | Features::SUBGROUP);
    let grid = [limits.max_compute_workgroups_per_dimension; 3];
    let subgroup = features.contains(Features::SUBGROUP).then_some((info.subgroup_min_size, info.subgroup_max_size));
    let (cooperative, told) = if has.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        cooperative(&adapter.cooperative_matrix_properties(), features)
    } else {
        (Cooperative::default(), None)
    };
    if cooperative != Cooperative::default() {
        features |= Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    }
    let driver: Vec<String> =
        [&info.driver, &info.driver_info].map(|s| plain(s)).into_iter().filter(|s| !s.is_empty()).collect();
    let mut facts = vec![
        ("timestamps".to_owned(), features.contains(Features::TIMESTAMP_QUERY).to_string()),
        ("f16".to_owned(), features.contains(Features::SHADER_F16).to_string()),
    ];
    facts.extend(subgroup.map(|(min, max)| ("subgroup".to_owned(), format!("{min} to {max}"))));
    facts.extend(told.map(|told| ("cooperative matrices".to_owned(), told)));
    let pci = (!key.pci.is_empty()).then(|| key.pci.clone());
    let (memory, free) = pci.as_deref().map_or((None, None), memory);
    Adapter {
        info: DeviceInfo {
            id,
            name: key.name.clone(),
            interface: interface(info.backend).to_owned(),
            driver: (!driver.is_empty()).then(|| driver.join(" ")),
            pci,
            uuid: None,
            memory,
            free,
            cache: None,
            software: key.software,
            simulated: None,
            refused: None,
            target: Target {
                api: Api::Wgsl,
                limits: Limits {
                    shared_bytes: limits.max_compute_workgroup_storage_size,
                    // Programs are widest in x, where an adapter allows least.
                    block_threads: limits
                        .max_compute_invocations_per_workgroup
                        .min(limits.max_compute_workgroup_size_x),
                    grid,
                    buffer_bytes: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
                    buffers: limits.max_storage_buffers_per_shader_stage,
                    subgroup,
                    half: features.contains(Features::SHADER_F16),
                    cooperative,
                    capability: None,
                    multiprocessors: None,
                },
                libraries: Vec::new(),
            },
            facts,
        },
        adapter,
        features,
    }
}

/// The largest matrices that programs here use of those an adapter offers, and what `list devices` says of them.
fn cooperative(offered: &[CooperativeMatrixProperties], features: Features) -> (Cooperative, Option<String>) {
    let side = |operands: CooperativeScalarType| {
        let square = offered.iter().filter(|c| c.m_size == c.n_size && c.n_size == c.k_size);
        let single = square.filter(|c| c.ab_type == operands && c.cr_type == CooperativeScalarType::F32);
        single.map(|c| c.m_size).filter(|side| matches!(side, 8 | 16)).max()
    };
    if !features.contains(Features::SUBGROUP) {
        return (Cooperative::default(), Some("not used: the adapter has no subgroups for programs".to_owned()));
    }
    let usable = Cooperative {
        half: side(CooperativeScalarType::F16).filter(|_| features.contains(Features::SHADER_F16)),
        single: side(CooperativeScalarType::F32),
    };
    let word = |name: &str, side: Option<u32>| side.map(|n| format!("{name} {n}x{n}"));
    let words: Vec<String> = [word("f16", usable.half), word("f32", usable.single)].into_iter().flatten().collect();
    let told = if words.is_empty() {
        "not used: the adapter offers no square ones with sums in f32".to_owned()
    } else {
        words.join(", ")
    };
    (usable, Some(told))
}

fn interface(backend: wgpu::Backend) -> &'static str {
    match backend {
        wgpu::Backend::Vulkan => "Vulkan",
        wgpu::Backend::Metal => "Metal",
        wgpu::Backend::Dx12 => "DirectX 12",
        _ => "WebGPU",
    }
}

/// Memory of a card and what of it is free, where its driver tells (amdgpu: `mem_info_vram_total` and `…_used`, see the
/// kernel's Documentation/gpu/amdgpu/driver-misc.rst).
fn memory(pci: &str) -> (Option<Bytes>, Option<Bytes>) {
    let read = |file: &str| -> Option<f64> {
        let text = std::fs::read_to_string(format!("/sys/bus/pci/devices/{pci}/{file}")).ok()?;
        text.trim().parse::<u64>().ok().map(|n| n as f64)
    };
    let total = read("mem_info_vram_total");
    let free = total.zip(read("mem_info_vram_used")).map(|(total, used)| (total - used).max(0.0));
    let bytes = |n: Option<f64>| n.and_then(|n| Bytes::new(n).ok());
    (bytes(total), bytes(free))
}

/// A card's node that exists and that this user may not open.
pub(super) fn closed_node() -> Option<String> {
    let mut nodes: Vec<_> = std::fs::read_dir("/dev/dri").ok()?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    nodes.retain(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("renderD")));
    nodes.sort();
    let closed = |path: &std::path::PathBuf| {
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(path);
        opened.is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
    };
    nodes.iter().find(|p| closed(p)).map(|p| p.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(software: bool, pci: &str, name: &str, interface: u8) -> Key {
        let unplaced = pci.is_empty();
        Key { software, unplaced, pci: pci.into(), vendor: 0, device: 0, name: name.into(), interface }
    }

    #[test]
    fn cards_come_in_the_order_of_their_addresses_and_software_last() {
        let mut keys = [
            key(true, "", "llvmpipe", 0),
            key(false, "0000:41:00.0", "b", 2),
            key(false, "", "no address", 0),
            key(false, "0000:41:00.0", "b", 0),
            key(false, "0000:03:00.0", "z", 0),
        ];
        keys.sort();
        let names: Vec<(&str, u8)> = keys.iter().map(|k| (k.name.as_str(), k.interface)).collect();
        assert_eq!(names, [("z", 0), ("b", 0), ("b", 2), ("no address", 0), ("llvmpipe", 0)]);
        assert!(keys[1].is_same_card(&keys[2]) && !keys[3].is_same_card(&keys[4]));
    }

    #[test]
    fn cooperative_matrices_are_used_where_they_are_square_and_sum_in_single_precision() {
        use CooperativeScalarType::{F16, F32};
        let offer = |[m_size, n_size, k_size]: [u32; 3], ab_type, cr_type| CooperativeMatrixProperties {
            m_size,
            n_size,
            k_size,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        };
        let all = Features::SUBGROUP | Features::SHADER_F16;
        let eight = offer([8; 3], F16, F32);
        let (found, told) = cooperative(&[eight, offer([16; 3], F16, F32), offer([8; 3], F32, F32)], all);
        assert_eq!(found, Cooperative { half: Some(16), single: Some(8) });
        assert_eq!(told.as_deref(), Some("f16 16x16, f32 8x8"));
        // Sums in f16, and sides that differ: nothing to use.
        let (found, told) = cooperative(&[offer([8; 3], F16, F16), offer([16, 8, 16], F16, F32)], all);
        assert_eq!(found, Cooperative::default());
        assert!(told.unwrap().contains("no square ones"));
        assert_eq!(cooperative(&[eight], Features::SUBGROUP).0, Cooperative::default(), "f16 without f16 in programs");
        let (found, told) = cooperative(&[eight], Features::SHADER_F16);
        assert_eq!(found, Cooperative::default());
        assert!(told.unwrap().contains("no subgroups"));
    }

    #[test]
    fn addresses_and_names_of_drivers_are_not_trusted() {
        assert_eq!(address("0000:03:00.0").as_deref(), Some("0000:03:00.0"));
        assert_eq!(address("10000:C1:00.0").as_deref(), Some("10000:c1:00.0"));
        for bad in ["", "03:00.0", "0000:03:00", "0000:../:00.0", "0000:03:00.0/..", "0000:3:00.0"] {
            assert_eq!(address(bad), None, "{bad}");
        }
        assert_eq!(plain(" a\u{1b}[31mcard\n"), "a[31mcard");
        assert_eq!(plain(&"x".repeat(500)).len(), 80);
    }
}
