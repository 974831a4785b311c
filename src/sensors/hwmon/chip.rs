//! The chips below `/sys/class/hwmon` and the files of theirs that state energy or power.

use crate::host::Host;
use crate::sensors::Quantity;
use crate::sensors::attribute::parse_number;
use crate::units::Seconds;
use std::path::{Path, PathBuf};

/// Where the chips are found.
pub(super) const ROOT: &str = "sys/class/hwmon";

/// What a file states. Energy is read first, then the power of the moment, then the average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `energyN_input`, µJ.
    Energy,
    /// `powerN_input`, µW.
    Instant,
    /// `powerN_average`, µW.
    Average,
}

impl Kind {
    /// `power1_average` → average, 1; `None` for every other file of a chip.
    fn parse(file: &str) -> Option<(Self, u32)> {
        let (numbered, kind) = if let Some(rest) = file.strip_prefix("energy") {
            (rest.strip_suffix("_input")?, Self::Energy)
        } else {
            let rest = file.strip_prefix("power")?;
            match rest.strip_suffix("_input") {
                Some(number) => (number, Self::Instant),
                None => (rest.strip_suffix("_average")?, Self::Average),
            }
        };
        let index = parse_number(numbered.as_bytes()).and_then(|n| u32::try_from(n).ok())?;
        // The kernel writes no leading zeros, so a file that has them is not the kernel's.
        (numbered == index.to_string()).then_some((kind, index))
    }

    pub(super) const fn stem(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Instant | Self::Average => "power",
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Instant => "power",
            Self::Average => "power-average",
        }
    }
}

/// A chip with at least one file that states energy or power.
#[derive(Debug)]
pub(super) struct Chip {
    /// Folder in [`ROOT`]: `hwmon3`.
    pub(super) id: String,
    /// Its driver's name: `amdgpu`.
    pub(super) name: String,
    /// PCI address of the device, where it is a PCI device.
    pub(super) pci: Option<String>,
    /// Whether the device is a battery or charger, which has a sensor of its own.
    pub(super) supply: bool,
    /// For `amdgpu`: whether the GPU shares its chip with a CPU; `None` where it does not say.
    pub(super) integrated: Option<bool>,
    /// Files in the order in which they are read.
    pub(super) files: Vec<StatingFile>,
}

/// A file that states energy or power.
#[derive(Debug)]
pub(super) struct StatingFile {
    pub(super) kind: Kind,
    pub(super) index: u32,
    pub(super) label: Option<String>,
    pub(super) quantity: Quantity,
    pub(super) path: PathBuf,
}

/// Every chip that states energy or power, in the order of their numbers, and how many there are
/// in all. `None` when the host has no hwmon interface.
pub(super) fn discover(host: &Host) -> Option<(Vec<Chip>, usize)> {
    let root = host.path(ROOT);
    if !root.is_dir() {
        return None;
    }
    let number = |id: &str| parse_number(id.strip_prefix("hwmon")?.as_bytes());
    let mut ids: Vec<(u64, String)> = host.list(ROOT).into_iter().filter_map(|id| Some((number(&id)?, id))).collect();
    ids.sort();
    let all = ids.len();
    Some((ids.into_iter().filter_map(|(_, id)| Chip::read(host, id)).collect(), all))
}

impl Chip {
    fn read(host: &Host, id: String) -> Option<Self> {
        let folder = host.path(ROOT).join(&id);
        let device = folder.join("device");
        // Drivers of the old kind, the ACPI power meter among them, put their files on the device.
        let mut files = stating_files(&folder);
        if files.is_empty() {
            files = stating_files(&device);
        }
        if files.is_empty() {
            return None;
        }
        let name = text(&folder.join("name")).or_else(|| text(&device.join("name"))).unwrap_or_else(|| id.clone());
        let real = std::fs::canonicalize(&device).ok();
        let last = real.as_deref().and_then(Path::file_name).and_then(|n| n.to_str());
        let subsystem = std::fs::canonicalize(device.join("subsystem")).ok();
        Some(Self {
            pci: last.filter(|n| is_pci_address(n)).map(str::to_owned),
            supply: subsystem.is_some_and(|s| s.ends_with("power_supply")),
            integrated: if name == "amdgpu" { is_integrated(&device) } else { None },
            id,
            name,
            files,
        })
    }
}

fn stating_files(folder: &Path) -> Vec<StatingFile> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    let mut found: Vec<(Kind, u32, String)> =
        names.filter_map(|file| Kind::parse(&file).map(|(kind, index)| (kind, index, file))).collect();
    found.sort();
    let describe = |(kind, index, file): (Kind, u32, String)| {
        let stem = kind.stem();
        let label = text(&folder.join(format!("{stem}{index}_label")))
            .or_else(|| text(&folder.join(format!("{stem}{index}_oem_info"))));
        let quantity = match kind {
            // No driver states a step or a range; all widen their registers to 64 bits.
            Kind::Energy => Quantity::Energy { resolution: None, range: None, max_power: None },
            Kind::Instant => Quantity::InstantPower,
            Kind::Average => Quantity::AveragePower { interval: interval(folder, index) },
        };
        StatingFile { kind, index, label, quantity, path: folder.join(file) }
    };
    found.into_iter().map(describe).collect()
}

/// `powerN_average_interval`, milliseconds.
fn interval(folder: &Path, index: u32) -> Option<Seconds> {
    let millis = parse_number(text(&folder.join(format!("power{index}_average_interval")))?.as_bytes())?;
    Seconds::new(millis as f64 / 1e3).ok().filter(|s| s.get() > 0.0)
}

/// The header of `gpu_metrics` names the layout of what follows: 1.x describes boards, 2.x and
/// 3.x describe processors with graphics (drivers/gpu/drm/amd/include/kgd_pp_interface.h).
fn is_integrated(device: &Path) -> Option<bool> {
    let table = std::fs::read(device.join("gpu_metrics")).ok()?;
    match table.get(2)? {
        1 => Some(false),
        2 | 3 => Some(true),
        _ => None,
    }
}

/// `0000:03:00.0`: domain, bus, device, function.
fn is_pci_address(name: &str) -> bool {
    let hex = |part: &str, digits: usize| part.len() >= digits && part.bytes().all(|b| b.is_ascii_hexdigit());
    let mut parts = name.split([':', '.']);
    let mut next = |digits| parts.next().is_some_and(|part| hex(part, digits));
    next(4) && next(2) && next(2) && next(1) && parts.next().is_none()
}

/// The trimmed text of a small file; `None` when it cannot be read, is empty or is no text.
fn text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.chars().take(80).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_that_state_energy_or_power() {
        for (file, expected) in [
            ("energy1_input", Some((Kind::Energy, 1))),
            ("energy128_input", Some((Kind::Energy, 128))),
            ("power1_input", Some((Kind::Instant, 1))),
            ("power2_average", Some((Kind::Average, 2))),
            ("power1_average_interval", None),
            ("power1_average_min", None),
            ("power1_cap", None),
            ("power_input", None),
            ("power01_input", None),
            ("energy1_label", None),
            ("energy1_average", None),
            ("energy-1_input", None),
            ("temp1_input", None),
            ("power99999999999_input", None),
        ] {
            assert_eq!(Kind::parse(file), expected, "{file}");
        }
    }

    #[test]
    fn pci_addresses() {
        assert!(is_pci_address("0000:03:00.0") && is_pci_address("10000:e1:1f.7"));
        for bad in ["", "ACPI000D:00", "BAT0", "0000:03:00", "0000:03:00.0.1", "1-0040", "00:03:00.0", "zzzz:03:00.0"] {
            assert!(!is_pci_address(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_file_name_is_safe(name in "(energy|power)?.{0,12}(_input|_average)?") {
            if let Some((kind, index)) = Kind::parse(&name) {
                let start = format!("{}{index}_", kind.stem());
                prop_assert!(name.starts_with(&start));
            }
            let _ = is_pci_address(&name);
        }
    }
}
