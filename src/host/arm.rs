//! Which processor of Arm's architecture this is. Its kernels print numbers where x86 prints names.
//!
//! Source: Linux, arch/arm64/kernel/cpuinfo.c (fields of `/proc/cpuinfo`) and arch/arm64/include/asm/cputype.h (numbers);
//! names as lscpu of util-linux has them.

use super::Host;
use std::collections::BTreeMap;

/// Implementer, its name, and the parts of it that are known here.
type Implementer = (u32, &'static str, &'static [(u32, &'static str)]);

const IMPLEMENTERS: &[Implementer] = &[
    (
        0x41,
        "Arm",
        &[
            (0xd03, "Cortex-A53"),
            (0xd05, "Cortex-A55"),
            (0xd07, "Cortex-A57"),
            (0xd08, "Cortex-A72"),
            (0xd09, "Cortex-A73"),
            (0xd0a, "Cortex-A75"),
            (0xd0b, "Cortex-A76"),
            (0xd0c, "Neoverse-N1"),
            (0xd0d, "Cortex-A77"),
            (0xd40, "Neoverse-V1"),
            (0xd41, "Cortex-A78"),
            (0xd42, "Cortex-A78AE"),
            (0xd44, "Cortex-X1"),
            (0xd46, "Cortex-A510"),
            (0xd47, "Cortex-A710"),
            (0xd48, "Cortex-X2"),
            (0xd49, "Neoverse-N2"),
            (0xd4a, "Neoverse-E1"),
            (0xd4d, "Cortex-A715"),
            (0xd4e, "Cortex-X3"),
            (0xd4f, "Neoverse-V2"),
            (0xd80, "Cortex-A520"),
            (0xd81, "Cortex-A720"),
            (0xd82, "Cortex-X4"),
            (0xd84, "Neoverse-V3"),
            (0xd85, "Cortex-X925"),
            (0xd8e, "Neoverse-N3"),
        ],
    ),
    (0x43, "Cavium", &[(0x0af, "ThunderX2-99xx")]),
    (0x46, "Fujitsu", &[(0x001, "A64FX")]),
    (0x48, "HiSilicon", &[(0xd01, "Kunpeng-920")]),
    (0x4e, "NVIDIA", &[(0x004, "Carmel")]),
    (0x51, "Qualcomm", &[]),
    (0x61, "Apple", &[]),
    (0xc0, "Ampere", &[]),
];

/// What the first CPU says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// `Arm`; none where the implementer is not known here.
    pub(super) vendor: Option<String>,
    /// `Arm Neoverse-N1`, or the numbers where they are not known here.
    pub(super) model: String,
    /// `0x41-0xd0c-r3p1`.
    pub(super) signature: String,
}

/// `0xd0c` → 0xd0c.
fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// From the fields of a block of `/proc/cpuinfo`; `None` for other processors than those of Arm's architecture.
pub(super) fn identity(block: &BTreeMap<String, String>) -> Option<Identity> {
    let number = |name: &str| hexadecimal(block.get(name)?);
    let (implementer, part) = (number("CPU implementer")?, number("CPU part")?);
    let revision: u32 = block.get("CPU revision")?.parse().ok()?;
    let known = IMPLEMENTERS.iter().find(|(number, ..)| *number == implementer);
    let vendor = known.map(|(_, name, _)| (*name).to_owned());
    let name = known.and_then(|(_, _, parts)| parts.iter().find(|(number, _)| *number == part));
    let who = vendor.clone().unwrap_or_else(|| format!("implementer {implementer:#x}"));
    let model = name.map_or_else(|| format!("{who} part {part:#05x}"), |(_, name)| format!("{who} {name}"));
    let signature = format!("{implementer:#x}-{part:#05x}-r{}p{revision}", number("CPU variant")?);
    Some(Identity { vendor, model, signature })
}

/// Why the processor that this program sees is none of hardware: a program for another architecture than the kernel's
/// runs in an emulator (qemu-user, Rosetta). `None` where nothing says so, and for a redirected host.
pub(super) fn emulated(host: &Host) -> Option<String> {
    if host.is_redirected() {
        return None;
    }
    let of_kernel = host.read("proc/sys/kernel/arch")?;
    other_architecture(std::env::consts::ARCH, &of_kernel)
}

/// The reason, for a program of one architecture on a kernel of another. 32-bit programs run on the hardware.
fn other_architecture(program: &str, kernel: &str) -> Option<String> {
    let wide = |name: &str| matches!(name, "x86_64" | "aarch64");
    (wide(program) && wide(kernel) && program != kernel)
        .then(|| format!("the processor is emulated: a program for {program} on a kernel for {kernel}"))
}

#[cfg(test)]
mod tests {
    use super::super::kernel_text::cpuinfo_block;
    use super::*;

    fn of(text: &str) -> Option<Identity> {
        identity(&cpuinfo_block(text))
    }

    #[test]
    fn numbers_become_names_where_they_are_known() {
        let block = |implementer: &str, part: &str| {
            of(&format!(
                "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: {implementer}\nCPU architecture: 8\n\
                 CPU variant\t: 0x3\nCPU part\t: {part}\nCPU revision\t: 1\n"
            ))
        };
        let known = block("0x41", "0xd0c").unwrap();
        assert_eq!((known.vendor.as_deref(), known.model.as_str()), (Some("Arm"), "Arm Neoverse-N1"));
        assert_eq!(known.signature, "0x41-0xd0c-r3p1");
        assert_eq!(block("0xc0", "0xac3").unwrap().model, "Ampere part 0xac3");
        let unknown = block("0x99", "0x001").unwrap();
        assert_eq!((unknown.vendor, unknown.model.as_str()), (None, "implementer 0x99 part 0x001"));
        for (implementer, part) in [("", "0xd0c"), ("0x41", "d0c"), ("0x41", "0x"), ("0xfffffffff", "0xd0c")] {
            assert_eq!(block(implementer, part), None, "{implementer} {part}");
        }
        assert_eq!(of("vendor_id : GenuineIntel\nmodel name : x\n"), None);
    }

    #[test]
    fn only_another_architecture_is_an_emulator() {
        assert!(other_architecture("aarch64", "x86_64").unwrap().contains("emulated"));
        assert!(other_architecture("x86_64", "aarch64").is_some());
        for (program, kernel) in [("x86_64", "x86_64"), ("aarch64", "aarch64"), ("x86", "x86_64"), ("arm", "aarch64")] {
            assert_eq!(other_architecture(program, kernel), None, "{program} on {kernel}");
        }
    }
}
