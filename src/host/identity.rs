//! Which machine and operating system this is, without naming it.

use super::{Host, cpu, kernel_text};
use crate::record::HostIdentity;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Words that board makers leave in place of a name.
const PLACEHOLDERS: [&str; 6] = [
    "To Be Filled By O.E.M.",
    "To be filled by O.E.M.",
    "System manufacturer",
    "System Product Name",
    "Default string",
    "Not Specified",
];

pub(super) fn identity(host: &Host) -> HostIdentity {
    let release = host.read("etc/os-release").or_else(|| host.read("usr/lib/os-release"));
    HostIdentity {
        os: release.and_then(|text| kernel_text::os_release(&text, "PRETTY_NAME")),
        kernel: host.read("proc/sys/kernel/osrelease"),
        arch: std::env::consts::ARCH.to_owned(),
        machine_hash: machine_id(host).map(|id| salted_hash("machine-id", &id)),
        board: board(host),
        virtualization: virtualization(host),
        container: container(host),
    }
}

/// SHA-256, in lower-case hex, of `text` with a salt of the product and of the `kind` of text: an
/// identifier can be compared between records, and not with hashes that others publish.
#[must_use]
pub fn salted_hash(kind: &str, text: &str) -> String {
    let digest = Sha256::digest(format!("wattproof/{kind}/v1\0{text}").as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn machine_id(host: &Host) -> Option<String> {
    let id = host.read("etc/machine-id").or_else(|| host.read("var/lib/dbus/machine-id"))?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}

fn board(host: &Host) -> Option<String> {
    let dmi =
        |file: &str| host.read(&format!("sys/class/dmi/id/{file}")).filter(|t| !PLACEHOLDERS.contains(&t.as_str()));
    let joined = |vendor: &str, name: &str| Some(format!("{} {}", dmi(vendor)?, dmi(name)?));
    joined("sys_vendor", "product_name")
        .or_else(|| joined("board_vendor", "board_name"))
        .or_else(|| host.read("proc/device-tree/model").map(|m| m.trim_end_matches('\0').to_owned()))
}

/// Whether the CPU says that it runs under a hypervisor.
#[must_use]
pub fn is_virtual(host: &Host) -> bool {
    cpu::first_block(host).get("flags").is_some_and(|flags| flags.split_whitespace().any(|f| f == "hypervisor"))
        || host.read("sys/hypervisor/type").is_some()
}

fn virtualization(host: &Host) -> Option<String> {
    if !is_virtual(host) {
        return None;
    }
    // CPUID describes this very machine, so it says nothing about a redirected one.
    let named = if host.is_redirected() { None } else { cpu::hypervisor() };
    named
        .or_else(|| host.read("sys/hypervisor/type"))
        .or_else(|| host.read("sys/class/dmi/id/sys_vendor"))
        .or_else(|| Some("unnamed hypervisor".to_owned()))
}

/// The container runtime, when one is recognised.
#[must_use]
pub fn container(host: &Host) -> Option<String> {
    if let Some(name) = host.read("run/systemd/container") {
        return Some(name);
    }
    for (file, name) in [(".dockerenv", "docker"), ("run/.containerenv", "podman")] {
        if host.path(file).exists() {
            return Some(name.to_owned());
        }
    }
    let groups = host.read("proc/self/cgroup")?;
    let words = [
        ("kubepods", "kubernetes"),
        ("docker", "docker"),
        ("libpod", "podman"),
        ("lxc", "lxc"),
        ("slurm", "slurm job"),
    ];
    let found = words.iter().find(|(word, _)| groups.contains(word));
    // A batch job is a control group, not a container.
    found.map(|(_, name)| (*name).to_owned()).filter(|name| name != "slurm job")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::machine;

    #[test]
    fn an_empty_machine_is_unknown_throughout() {
        let (_dir, host) = machine(&[]);
        let id = identity(&host);
        let unknown = HostIdentity {
            os: None,
            kernel: None,
            arch: std::env::consts::ARCH.to_owned(),
            machine_hash: None,
            board: None,
            virtualization: None,
            container: None,
        };
        assert_eq!(id, unknown);
    }

    #[test]
    fn a_full_machine_is_described_and_its_id_is_hashed() {
        let (_dir, host) = machine(&[
            ("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            ("proc/sys/kernel/osrelease", "6.1.0\n"),
            ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
            ("sys/class/dmi/id/sys_vendor", "Default string\n"),
            ("sys/class/dmi/id/board_vendor", "ASUS\n"),
            ("sys/class/dmi/id/board_name", "PRIME\n"),
            ("proc/cpuinfo", "flags : fpu hypervisor\n"),
            (".dockerenv", ""),
        ]);
        let id = identity(&host);
        assert_eq!(id.os.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(id.board.as_deref(), Some("ASUS PRIME"));
        assert_eq!(id.virtualization.as_deref(), Some("Default string"));
        assert_eq!(id.container.as_deref(), Some("docker"));
        let hash = id.machine_hash.unwrap();
        assert_eq!(hash.len(), 64);
        assert!(!hash.contains("0123456789abcdef"));
        assert_eq!(hash, salted_hash("machine-id", "0123456789abcdef0123456789abcdef"));
        assert_ne!(hash, salted_hash("gpu-uuid", "0123456789abcdef0123456789abcdef"));
    }

    #[test]
    fn a_machine_id_that_is_none_is_not_hashed() {
        for bad in ["", "uninitialized\n", "0123", "0123456789abcdef0123456789abcdeg"] {
            let (_dir, host) = machine(&[("etc/machine-id", bad)]);
            assert_eq!(identity(&host).machine_hash, None, "{bad}");
        }
    }

    #[test]
    fn a_batch_job_is_no_container() {
        let (_dir, host) = machine(&[("proc/self/cgroup", "0::/system.slice/slurmstepd.scope/job_4\n")]);
        assert_eq!(container(&host), None);
        let (_dir, host) = machine(&[("proc/self/cgroup", "0::/kubepods/besteffort/pod1\n")]);
        assert_eq!(container(&host).as_deref(), Some("kubernetes"));
    }
}
