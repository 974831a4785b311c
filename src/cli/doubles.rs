//! Doubles for tests: another root, another NVML library, faults.

use crate::backends::fault::Fault;
use crate::host::Host;
use crate::record::Gpu;
use crate::sensors::nvml;
use std::path::PathBuf;

/// Doubles for tests: whatever is made with them is marked as simulated for ever.
#[derive(Debug, clap::Args)]
pub(super) struct Doubles {
    /// Read sysfs and procfs below this folder (the record is marked as simulated)
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub(super) sysfs_root: Option<PathBuf>,
    /// Load this NVML library (the record is marked as simulated)
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(super) nvml_library: Option<PathBuf>,
    /// Spoil cases on purpose, e.g. wrong-answer=gemm* (the record is marked as simulated)
    #[arg(long, value_name = "FAULT", hide_short_help = true, value_parser = Fault::parse)]
    pub(super) inject: Option<Fault>,
}

impl Doubles {
    pub(super) fn host(&self) -> Host {
        let host = self.sysfs_root.as_ref().map_or_else(Host::real, Host::at);
        match &self.nvml_library {
            Some(library) => host.with_nvml_library(library),
            None => host,
        }
    }

    /// GPUs of this machine; none below a redirected root, unless a library was named.
    pub(super) fn gpus(&self) -> Vec<Gpu> {
        match (&self.nvml_library, &self.sysfs_root) {
            (None, Some(_)) => Vec::new(),
            (library, _) => nvml::inventory(library.as_deref()),
        }
    }

    /// Why a record made with these is no measurement of real hardware; empty without doubles.
    pub(super) fn reasons(&self) -> Vec<String> {
        let mut reasons = self.host().simulated();
        if let Some(fault) = &self.inject {
            reasons.push(format!("a fault was injected: {fault}"));
        }
        reasons
    }
}
