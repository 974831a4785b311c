//! What part of the machine a channel of a hwmon chip covers, from the chip's name and the
//! channel's label. What no document names is not guessed: it becomes [`Domain::Other`].

use crate::sensors::{Domain, nvml};

/// What is known of a channel before its domain is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// Name of the chip: `amdgpu`.
    pub(super) chip: &'a str,
    /// Number in the file's name: 1 in `power1_input`.
    pub(super) index: u32,
    /// `powerN_label`, `energyN_label`, or the firmware's `powerN_oem_info`.
    pub(super) label: Option<&'a str>,
    /// PCI address of the chip's device.
    pub(super) pci: Option<&'a str>,
    /// For `amdgpu`: whether the GPU shares its chip with a CPU.
    pub(super) integrated: Option<bool>,
    /// Chips of this name in the machine.
    pub(super) namesakes: usize,
}

/// What a channel covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Coverage {
    /// This, and a remark for the reader where the name of the domain does not tell all.
    Known(Domain, Option<&'static str>),
    /// Nobody can say, and why.
    Unknown(&'static str),
    /// A part of what another channel counts, or read by another sensor: not used, and why.
    LeftOut(&'static str),
}

/// Coverage of a channel. Sources: the kernel's Documentation/hwmon and
/// Documentation/ABI/testing/sysfs-driver-intel-{i915,xe}-hwmon; for Grace the NVIDIA Grace
/// Performance Tuning Guide, "Power Telemetry".
pub(super) fn coverage(facts: &Facts<'_>) -> Coverage {
    match facts.chip {
        "amdgpu" => match facts.integrated {
            Some(false) => gpu(facts),
            Some(true) => Coverage::Unknown("the power of a whole chip, its CPU cores and its graphics together"),
            None => Coverage::Unknown("the driver does not say whether this GPU shares its chip with a CPU"),
        },
        "nouveau" => gpu(facts),
        "i915" => gpu(facts),
        "xe" => match (facts.index, facts.label) {
            (1, None | Some("card")) => gpu(facts),
            _ => Coverage::LeftOut("a part of the card, whose energy is read"),
        },
        chip if chip.starts_with("i915_gt") => Coverage::LeftOut("a tile of the card, whose energy is read"),
        // One chip a processor package; the driver skips the other nodes of a multi-node package.
        "fam15h_power" if facts.namesakes == 1 => Coverage::Known(Domain::Package { socket: 0, die: None }, None),
        "fam15h_power" => Coverage::Unknown("one of several processors, and the driver does not say which"),
        "amd_energy" => amd_energy(facts.label),
        "power_meter" => acpi_meter(facts),
        _ => Coverage::Unknown("the driver does not say what it measures"),
    }
}

fn gpu(facts: &Facts<'_>) -> Coverage {
    match facts.pci {
        Some(address) => Coverage::Known(Domain::Gpu { uuid: nvml::public_id(&format!("pci-{address}")) }, None),
        None => Coverage::Unknown("its device has no PCI address"),
    }
}

/// `Esocket0` counts a package, `Ecore000` one of its cores.
fn amd_energy(label: Option<&str>) -> Coverage {
    match label.map(|l| (l, l.strip_prefix("Esocket").and_then(number))) {
        Some((_, Some(socket))) => Coverage::Known(Domain::Package { socket, die: None }, None),
        Some((label, None)) if label.starts_with("Ecore") => Coverage::LeftOut("one core of a package that is read"),
        _ => Coverage::Unknown("its label is neither a socket nor a core"),
    }
}

/// An ACPI power meter. Grace boards have four a socket and name them; one without a name is the
/// meter of the whole machine.
fn acpi_meter(facts: &Facts<'_>) -> Coverage {
    let Some(label) = facts.label else {
        return if facts.namesakes == 1 && facts.index == 1 {
            Coverage::Known(Domain::Node, Some("taken for the meter of the whole machine: its firmware names no part"))
        } else {
            Coverage::Unknown("one of several meters without a name")
        };
    };
    let lower = label.to_ascii_lowercase();
    let Some((kind, socket)) = lower.split_once(" power socket ").and_then(|(k, s)| Some((k, number(s)?))) else {
        return Coverage::Unknown("its name says no part that is known");
    };
    match kind {
        "grace" => Coverage::Known(
            Domain::Package { socket, die: None },
            Some("covers the CPU side of a Grace module, its memory included"),
        ),
        "cpu" => Coverage::Known(Domain::Cores { socket }, None),
        "sysio" => Coverage::Known(Domain::Uncore { socket }, None),
        "module" => Coverage::Unknown("a Grace module with all that is on it, a GPU where there is one"),
        _ => Coverage::Unknown("its name says no part that is known"),
    }
}

fn number(digits: &str) -> Option<u32> {
    let digits = digits.trim();
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BARE: Facts<'_> = Facts { chip: "", index: 1, label: None, pci: None, integrated: None, namesakes: 1 };
    const PCI: Option<&str> = Some("0000:03:00.0");

    /// The domain, `?` for an unknown one and `-` for one that is left out.
    fn word(facts: Facts<'_>) -> String {
        match coverage(&facts) {
            Coverage::Known(domain, _) => domain.to_string(),
            Coverage::Unknown(_) => "?".to_owned(),
            Coverage::LeftOut(_) => "-".to_owned(),
        }
    }

    #[test]
    fn chips_and_labels_that_are_documented() {
        let gpu = word(Facts { chip: "i915", pci: PCI, ..BARE });
        assert!(gpu.starts_with("gpu-GPU-") && !gpu.contains("03"), "{gpu}");
        let cases = [
            (Facts { chip: "amdgpu", pci: PCI, integrated: Some(false), label: Some("PPT"), ..BARE }, gpu.as_str()),
            (Facts { chip: "amdgpu", pci: PCI, integrated: Some(true), label: Some("PPT"), ..BARE }, "?"),
            (Facts { chip: "amdgpu", pci: PCI, label: Some("PPT"), ..BARE }, "?"),
            (Facts { chip: "amdgpu", integrated: Some(false), ..BARE }, "?"),
            (Facts { chip: "i915_gt0", pci: PCI, ..BARE }, "-"),
            (Facts { chip: "xe", pci: PCI, ..BARE }, &gpu),
            (Facts { chip: "xe", pci: PCI, label: Some("card"), ..BARE }, &gpu),
            (Facts { chip: "xe", pci: PCI, label: Some("pkg"), index: 2, ..BARE }, "-"),
            (Facts { chip: "fam15h_power", ..BARE }, "package-0"),
            (Facts { chip: "fam15h_power", namesakes: 2, ..BARE }, "?"),
            (Facts { chip: "amd_energy", label: Some("Esocket1"), index: 66, ..BARE }, "package-1"),
            (Facts { chip: "amd_energy", label: Some("Ecore012"), index: 13, ..BARE }, "-"),
            (Facts { chip: "amd_energy", ..BARE }, "?"),
            (Facts { chip: "power_meter", ..BARE }, "node"),
            (Facts { chip: "power_meter", namesakes: 2, ..BARE }, "?"),
            (Facts { chip: "power_meter", index: 2, ..BARE }, "?"),
            (Facts { chip: "power_meter", label: Some("Module Power Socket 0"), namesakes: 4, ..BARE }, "?"),
            (Facts { chip: "power_meter", label: Some("Grace Power Socket 1"), namesakes: 8, ..BARE }, "package-1"),
            (Facts { chip: "power_meter", label: Some("CPU Power Socket 0"), namesakes: 4, ..BARE }, "cores-0"),
            (Facts { chip: "power_meter", label: Some("SysIO Power Socket 0"), namesakes: 4, ..BARE }, "uncore-0"),
            (Facts { chip: "power_meter", label: Some("Grace Power Socket -1"), namesakes: 4, ..BARE }, "?"),
            (Facts { chip: "power_meter", label: Some("Intel(R) Node Manager"), ..BARE }, "?"),
            (Facts { chip: "ina226", label: Some("VDD_CPU"), ..BARE }, "?"),
            (Facts { chip: "corsairpsu", label: Some("power total"), ..BARE }, "?"),
        ];
        for (facts, expected) in cases {
            assert_eq!(word(facts), expected, "{facts:?}");
        }
        assert_ne!(gpu, word(Facts { chip: "i915", pci: Some("0000:04:00.0"), ..BARE }));
    }

    proptest! {
        #[test]
        fn any_name_and_label_are_safe(
            chip in "(power_meter|amd_energy|xe|amdgpu|[a-z0-9_]{0,12})",
            label in proptest::option::of("(Grace Power Socket |Esocket)?.{0,24}"),
            index in any::<u32>(), namesakes in 0usize..4,
        ) {
            let facts = Facts { chip: &chip, index, label: label.as_deref(), pci: None, integrated: None, namesakes };
            if let Coverage::Known(domain, _) = coverage(&facts) {
                prop_assert_eq!(domain.to_string().parse::<Domain>().unwrap(), domain);
            }
        }
    }
}
