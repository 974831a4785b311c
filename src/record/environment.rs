//! The machine a record was made on. `None` is "could not be found out", never a default.

use crate::units::{Bytes, Celsius, Hertz, Watts};
use serde::{Deserialize, Serialize};

/// Host, processors and their state at the start of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Operating system and host.
    pub host: HostIdentity,
    /// The CPU.
    pub cpu: Cpu,
    /// Physical memory.
    #[serde(rename = "memory_bytes")]
    pub memory: Option<Bytes>,
    /// GPUs the driver reports.
    pub gpus: Vec<Gpu>,
    /// What can change from run to run.
    pub state: MachineState,
    /// What built the program.
    pub compiler: Compiler,
}

/// Operating system and host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostIdentity {
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub os: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// `x86_64`.
    pub arch: String,
    /// Salted SHA-256 of the machine id: tells hosts apart without naming them.
    pub machine_hash: Option<String>,
    /// Board or system model (DMI), without serial numbers.
    pub board: Option<String>,
    /// Hypervisor, when the CPU says it runs under one: `KVM`.
    pub virtualization: Option<String>,
    /// Container runtime, when one is recognised.
    pub container: Option<String>,
}

/// The CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Vendor string: `GenuineIntel`.
    pub vendor: Option<String>,
    /// Brand string.
    pub model: Option<String>,
    /// `family-model-stepping`, decimal; on Arm `implementer-part-rVpR`, hexadecimal but for V and R.
    pub signature: Option<String>,
    /// Microcode revision as the kernel prints it.
    pub microcode: Option<String>,
    /// Packages with an online CPU.
    pub sockets: Option<u32>,
    /// Physical cores.
    pub cores: Option<u32>,
    /// Logical CPUs online.
    pub logical: Option<u32>,
    /// Logical CPUs this process may use.
    pub usable: u32,
    /// Whether two logical CPUs share a core.
    pub smt: Option<bool>,
    /// NUMA nodes.
    pub numa_nodes: Option<u32>,
    /// Caches of CPU 0.
    pub caches: Vec<Cache>,
    /// Highest frequency the kernel states.
    #[serde(rename = "max_frequency_hz")]
    pub max_frequency: Option<Hertz>,
    /// Instruction sets of interest that are present: `avx2`, `avx512f`, `avx512_vnni`.
    pub features: Vec<String>,
}

/// One cache of CPU 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    /// 1, 2, 3.
    pub level: u32,
    /// `Data`, `Instruction`, `Unified`.
    pub kind: String,
    /// Size.
    #[serde(rename = "size_bytes")]
    pub size: Bytes,
    /// Logical CPUs that share it.
    pub shared_by: Option<u32>,
}

/// A GPU as its driver describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Product name.
    pub name: String,
    /// Salted SHA-256 of the UUID.
    pub uuid_hash: String,
    /// Driver version.
    pub driver: Option<String>,
    /// Power limit in force.
    #[serde(rename = "power_limit_w")]
    pub power_limit: Option<Watts>,
    /// Memory.
    #[serde(rename = "memory_bytes")]
    pub memory: Option<Bytes>,
    /// Whether ECC is on.
    pub ecc: Option<bool>,
    /// Whether the board is split into MIG instances.
    pub mig: Option<bool>,
    /// PCI address in the form of the kernel, `0000:03:00.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<String>,
}

/// State that decides how fast and how hot the machine runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineState {
    /// cpufreq governor of CPU 0.
    pub governor: Option<String>,
    /// Whether turbo / boost is allowed.
    pub turbo: Option<bool>,
    /// One-minute load average.
    pub load_1min: Option<f64>,
    /// Whether `sched_autogroup_enabled` is on.
    pub autogroup: Option<bool>,
    /// Transparent huge pages: `always`, `madvise`, `never`.
    pub huge_pages: Option<String>,
    /// `perf_event_paranoid`.
    pub perf_event_paranoid: Option<i32>,
    /// Kernel clock source.
    pub clock_source: Option<String>,
    /// Hottest CPU temperature at the start.
    #[serde(rename = "temperature_c")]
    pub temperature: Option<Celsius>,
    /// Whether Intel's energy filtering is on, where the host shows it.
    pub energy_filtering: Option<bool>,
    /// Power cap of package 0 (RAPL long-term constraint).
    #[serde(rename = "power_cap_w")]
    pub power_cap: Option<Watts>,
    /// Whether the machine runs on battery.
    pub on_battery: Option<bool>,
}

/// What built the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compiler {
    /// `rustc 1.95.0 (…)`.
    pub rustc: String,
    /// Target triple.
    pub target: String,
    /// Cargo profile: `release`, `dist`.
    pub profile: String,
}
