//! The CPU: brand, topology, caches.

use super::{Host, arm, kernel_text};
use crate::record::{Cache, Cpu};
use crate::units::Hertz;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};

/// Instruction sets that decide which kernel programs can run, as the kernel names them (x86, Arm).
const FEATURES: [&str; 24] = [
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512dq",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "avx_ifma",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "fphp",
    "sve",
    "sve2",
    "i8mm",
    "bf16",
];

/// The longest first block of `/proc/cpuinfo` that is read.
const BLOCK_LIMIT: u64 = 64 * 1024;

/// Fields of the first CPU in `/proc/cpuinfo`. Only its block is read: the kernel forms the text
/// while it is read, and asks every CPU for its clock on the way.
pub(super) fn first_block(host: &Host) -> BTreeMap<String, String> {
    let Ok(file) = std::fs::File::open(host.path("proc/cpuinfo")) else { return BTreeMap::new() };
    let mut reader = BufReader::with_capacity(4096, file.take(BLOCK_LIMIT));
    let mut block = Vec::new();
    loop {
        let start = block.len();
        match reader.read_until(b'\n', &mut block) {
            Ok(0) | Err(_) => break,
            Ok(_) if block[start..].trim_ascii().is_empty() => break,
            Ok(_) => {}
        }
    }
    kernel_text::cpuinfo_block(&String::from_utf8_lossy(&block))
}

pub(super) fn cpu(host: &Host) -> Cpu {
    let info = first_block(host);
    let field = |name: &str| info.get(name).filter(|v| !v.is_empty()).cloned();
    let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
    let flags: BTreeSet<&str> = flags.split_whitespace().collect();
    let topology = Topology::read(host);
    let number = |name: &str| info.get(name).and_then(|v| kernel_text::digits(v));
    let signature = match (number("cpu family"), number("model"), number("stepping")) {
        (Some(family), Some(model), Some(stepping)) => Some(format!("{family}-{model}-{stepping}")),
        _ => None,
    };
    let arm = arm::identity(&info);
    let vendor = field("vendor_id").or_else(|| arm.as_ref()?.vendor.clone());
    let model = brand(host).or_else(|| field("model name")).or_else(|| Some(arm.as_ref()?.model.clone()));
    Cpu {
        vendor,
        model,
        signature: signature.or_else(|| Some(arm?.signature)),
        microcode: field("microcode"),
        sockets: topology.sockets,
        cores: topology.cores,
        logical: topology.logical,
        usable: usable(host),
        smt: topology.smt,
        numa_nodes: host.read("sys/devices/system/node/online").and_then(|t| count(&t)),
        caches: caches(host),
        max_frequency: host
            .read("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
            .and_then(|t| kernel_text::digits(&t))
            .and_then(|khz| Hertz::new(khz as f64 * 1e3).ok()),
        features: FEATURES.iter().filter(|f| flags.contains(*f)).map(|f| (*f).to_owned()).collect(),
    }
}

fn count(list: &str) -> Option<u32> {
    u32::try_from(kernel_text::cpu_list(list)?.len()).ok()
}

/// CPUs this process may run on: its affinity mask as the kernel prints it.
fn usable(host: &Host) -> u32 {
    let allowed = host.read("proc/self/status").and_then(|text| {
        let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        count(list)
    });
    allowed
        .or_else(|| std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()))
        .unwrap_or(1)
        .max(1)
}

struct Topology {
    sockets: Option<u32>,
    cores: Option<u32>,
    logical: Option<u32>,
    smt: Option<bool>,
}

impl Topology {
    fn read(host: &Host) -> Self {
        let online = host.read("sys/devices/system/cpu/online").and_then(|t| kernel_text::cpu_list(&t));
        let Some(online) = online else { return Self { sockets: None, cores: None, logical: None, smt: None } };
        let (mut sockets, mut cores) = (BTreeSet::new(), BTreeSet::new());
        let mut complete = true;
        for cpu in &online {
            let file = |name: &str| host.read(&format!("sys/devices/system/cpu/cpu{cpu}/topology/{name}"));
            let siblings = file("core_cpus_list").or_else(|| file("thread_siblings_list"));
            match (file("physical_package_id"), siblings.and_then(|t| kernel_text::cpu_list(&t))) {
                (Some(package), Some(core)) => {
                    sockets.insert(package);
                    cores.insert(core);
                }
                // One CPU whose place is unknown makes the sums unknown.
                _ => complete = false,
            }
        }
        let number = |n: usize| u32::try_from(n).ok();
        Self {
            sockets: number(sockets.len()).filter(|_| complete),
            cores: number(cores.len()).filter(|_| complete),
            logical: number(online.len()),
            smt: complete.then(|| cores.iter().any(|core| core.len() > 1)),
        }
    }
}

fn caches(host: &Host) -> Vec<Cache> {
    let folder = "sys/devices/system/cpu/cpu0/cache";
    let indices = host.list(folder).into_iter().filter(|name| name.starts_with("index"));
    indices
        .filter_map(|index| {
            let file = |name: &str| host.read(&format!("{folder}/{index}/{name}"));
            Some(Cache {
                level: u32::try_from(kernel_text::digits(&file("level")?)?).ok()?,
                kind: file("type")?,
                size: kernel_text::cache_size(&file("size")?)?,
                shared_by: file("shared_cpu_list").and_then(|t| count(&t)),
            })
        })
        .collect()
}

/// Brand string of CPUID, `None` for a redirected host: CPUID speaks of this very machine.
#[cfg(target_arch = "x86_64")]
fn brand(host: &Host) -> Option<String> {
    if host.is_redirected() {
        return None;
    }
    let brand = raw_cpuid::CpuId::new().get_processor_brand_string()?;
    Some(brand.as_str().trim().to_owned()).filter(|b| !b.is_empty())
}

#[cfg(not(target_arch = "x86_64"))]
fn brand(_: &Host) -> Option<String> {
    None
}

/// The hypervisor that CPUID names.
#[cfg(target_arch = "x86_64")]
pub(super) fn hypervisor() -> Option<String> {
    let info = raw_cpuid::CpuId::new().get_hypervisor_info()?;
    match info.identify() {
        raw_cpuid::Hypervisor::Unknown(..) => None,
        known => Some(format!("{known:?}")),
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn hypervisor() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn add_cpu(root: &Path, cpu: u32, package: u32, siblings: &str) {
        write(root, &format!("sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id"), &package.to_string());
        write(root, &format!("sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list"), siblings);
    }

    #[test]
    fn an_empty_machine_is_unknown_and_has_a_usable_cpu() {
        let dir = tempfile::tempdir().unwrap();
        let cpu = cpu(&Host::at(dir.path()));
        assert!(cpu.usable >= 1);
        assert_eq!((cpu.model, cpu.sockets, cpu.cores, cpu.logical, cpu.smt), (None, None, None, None, None));
        assert!(cpu.caches.is_empty() && cpu.features.is_empty());
    }

    #[test]
    fn two_sockets_with_smt() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "sys/devices/system/cpu/online", "0-7\n");
        for (cpu, package, siblings) in [(0, 0, "0,4"), (1, 0, "1,5"), (2, 1, "2,6"), (3, 1, "3,7")] {
            add_cpu(root, cpu, package, siblings);
            add_cpu(root, cpu + 4, package, siblings);
        }
        write(root, "sys/devices/system/node/online", "0-1\n");
        write(root, "proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-2\n");
        write(
            root,
            "proc/cpuinfo",
            "vendor_id : AuthenticAMD\ncpu family : 25\nmodel : 1\nstepping : 1\nmodel name : EPYC\nflags : avx2 sse4_2 foo\n\nmodel name : other\n",
        );
        for (file, text) in [("level", "3"), ("type", "Unified"), ("size", "32768K"), ("shared_cpu_list", "0-3")] {
            write(root, &format!("sys/devices/system/cpu/cpu0/cache/index3/{file}"), text);
        }
        write(root, "sys/devices/system/cpu/cpu0/cache/index2/level", "2");
        let cpu = cpu(&Host::at(root));
        assert_eq!((cpu.sockets, cpu.cores, cpu.logical, cpu.smt), (Some(2), Some(4), Some(8), Some(true)));
        assert_eq!((cpu.usable, cpu.numa_nodes), (3, Some(2)));
        assert_eq!(cpu.signature.as_deref(), Some("25-1-1"));
        assert_eq!(cpu.model.as_deref(), Some("EPYC"));
        assert_eq!(cpu.features, ["sse4_2", "avx2"]);
        assert_eq!(cpu.caches.len(), 1, "a cache without size is left out");
        assert_eq!((cpu.caches[0].level, cpu.caches[0].shared_by), (3, Some(4)));
    }

    #[test]
    fn one_cpu_without_topology_makes_the_sums_unknown() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "sys/devices/system/cpu/online", "0-1\n");
        add_cpu(dir.path(), 0, 0, "0");
        let cpu = cpu(&Host::at(dir.path()));
        assert_eq!((cpu.sockets, cpu.cores, cpu.logical, cpu.smt), (None, None, Some(2), None));
    }

    #[test]
    fn a_huge_or_binary_cpuinfo_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("proc")).unwrap();
        fs::write(dir.path().join("proc/cpuinfo"), vec![0xff_u8; 1 << 20]).unwrap();
        assert!(first_block(&Host::at(dir.path())).is_empty());
    }
}
