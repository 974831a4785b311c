//! Where kernels run. A backend turns a case into a [`Workload`]: built and allocated outside the
//! window, run inside it.

pub mod cpu;
pub mod fault;

use crate::kernels::{Array, Canary, Correctness, KernelError};
use crate::suite::Case;
use serde::{Deserialize, Serialize};

/// Which device a case runs on: `cpu`, later `cuda:0`, `wgpu:1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(pub String);

impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device that cases can run on.
pub trait Backend {
    /// Its id.
    fn device(&self) -> DeviceId;

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

    /// Compares what the last [`run`](Workload::run) left with the reference. Not timed.
    fn check(&mut self) -> Correctness;

    /// What the last [`run`](Workload::run) left, for comparisons with other programs; `None` where the
    /// program does not hand it out.
    fn output(&self) -> Option<Array> {
        None
    }

    /// The precision canary. Not timed.
    fn canary(&mut self) -> Option<Canary>;

    /// Operating-system ids of the threads that do the work, for per-thread counters.
    fn thread_ids(&self) -> Vec<i32>;
}

/// How a workload runs, as it stands in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramInfo {
    /// Code path: `avx512/nest`, `portable/tiled`.
    pub path: String,
    /// Logical CPU of each thread, in thread order; empty where threads could not be pinned.
    pub cpus: Vec<u32>,
    /// Threads used.
    pub threads: u32,
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
