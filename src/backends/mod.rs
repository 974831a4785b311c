//! Where kernels run. A backend turns a case into a [`Workload`]: built and allocated outside the
//! window, run inside it.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod fault;
mod fleet;
mod judge;
mod rotation;
#[cfg(feature = "wgpu")]
mod wgpu;

pub use crate::suite::DeviceId;
pub use fleet::Fleet;
pub use judge::{Judge, failed_canary};

use crate::kernels::{Array, Canary, Correctness, KernelError, Target};
use crate::suite::Case;
use crate::units::{Bytes, Seconds};
use serde::{Deserialize, Serialize};

/// A family of devices besides the processor.
pub struct Family {
    /// What ids of its devices begin with: `wgpu`.
    pub id: &'static str,
    /// Name for people.
    pub title: &'static str,
    /// Looks for devices. Never panics, whatever libraries are there or missing.
    pub probe: fn() -> Probe,
}

/// Every family, in the order in which `list devices` prints them. A build without one has it all the same, absent.
pub const REGISTRY: &[Family] = &[CUDA, WGPU];

/// NVIDIA GPUs.
const CUDA: Family = Family {
    id: "cuda",
    title: "CUDA (NVIDIA GPUs)",
    #[cfg(feature = "cuda")]
    probe: cuda::probe,
    #[cfg(not(feature = "cuda"))]
    probe: || Probe::Absent { reason: "this program was built without the feature `cuda`".to_owned() },
};

/// Any other card, and NVIDIA's as well.
const WGPU: Family = Family {
    id: "wgpu",
    title: "Vulkan, Metal or DirectX 12 through wgpu",
    #[cfg(feature = "wgpu")]
    probe: wgpu::probe,
    #[cfg(not(feature = "wgpu"))]
    probe: || Probe::Absent { reason: "this program was built without the feature `wgpu`".to_owned() },
};

/// What looking for devices of a family came to.
pub enum Probe {
    /// There are some.
    Ready(Box<dyn Backend>),
    /// There is none.
    Absent {
        /// Why.
        reason: String,
    },
    /// There may be some, but this user may not use them.
    Denied {
        /// What was refused.
        reason: String,
        /// How to allow it: an exact command.
        remedy: String,
    },
}

/// A device, described.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceInfo {
    /// Its id.
    pub id: DeviceId,
    /// Name for people.
    pub name: String,
    /// How it is reached: `Vulkan`, `CUDA 13.0`.
    pub interface: String,
    /// Driver and its version, where known.
    pub driver: Option<String>,
    /// PCI address in the form of the kernel, `0000:03:00.0`, where it has one.
    pub pci: Option<String>,
    /// Memory of the device, where known.
    pub memory: Option<Bytes>,
    /// Memory that is free on it, where known.
    pub free: Option<Bytes>,
    /// What its last-level cache holds, where known.
    pub cache: Option<Bytes>,
    /// Whether it is the processor in disguise (llvmpipe, SwiftShader, WARP).
    pub software: bool,
    /// What programs for it are written in, and what it can do.
    pub target: Target,
    /// What else is worth knowing.
    pub facts: Vec<(String, String)>,
}

/// Devices that cases can run on.
pub trait Backend {
    /// Whether it has this device.
    fn serves(&self, device: &DeviceId) -> bool;

    /// Its devices besides the processor, in the order of their ids.
    fn devices(&self) -> Vec<DeviceInfo> {
        Vec::new()
    }

    /// Builds and allocates a case.
    ///
    /// # Errors
    /// [`BackendError`] when the case cannot run here.
    fn prepare(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Workload>, BackendError>;
}

/// A case ready to run.
pub trait Workload {
    /// How it runs: code path, threads, buffers.
    fn program(&self) -> ProgramInfo;

    /// Overwrites the outputs so that a run which does nothing cannot pass. Not timed.
    fn poison(&mut self);

    /// Runs the kernel `iterations` times and returns when the results are in memory. Timed.
    ///
    /// # Errors
    /// [`BackendError`] when the device fails.
    fn run(&mut self, iterations: u64) -> Result<(), BackendError>;

    /// Time that the device itself counted since [`poison`](Workload::poison), by its own clock; `None` where it
    /// counts none.
    fn device_time(&mut self) -> Option<Seconds> {
        None
    }

    /// Compares what the last [`run`](Workload::run) left with the reference. Not timed.
    fn check(&mut self) -> Correctness;

    /// What the last [`run`](Workload::run) left, for comparisons with other programs; `None` where the
    /// program does not hand it out.
    fn output(&self) -> Option<Array> {
        None
    }

    /// The precision canary. Not timed.
    fn canary(&mut self) -> Option<Canary>;

    /// Operating-system ids of the threads that do the work, for per-thread counters; none where a device does it.
    fn thread_ids(&self) -> Vec<i32>;
}

/// How a workload runs, as it stands in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramInfo {
    /// Code path: `avx512/nest`, `portable/tiled`.
    pub path: String,
    /// Logical CPU of each thread, in thread order; empty where threads could not be pinned.
    pub cpus: Vec<u32>,
    /// Threads used; the one that submits where a device does the work.
    pub threads: u32,
    /// Whether the device is the processor in disguise: answers count, energy and time say nothing of a device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub software: bool,
    /// Facts of the instance: `nnz`, huge pages, index width.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<(String, String)>,
}

/// Why a case cannot run on a backend.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The kernel could not be built.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// No kernel of this id is registered.
    #[error("no kernel is called `{0}`")]
    UnknownKernel(String),
    /// The device failed.
    #[error("{device} failed: {detail}")]
    Device {
        /// The device.
        device: DeviceId,
        /// What happened.
        detail: String,
    },
}
