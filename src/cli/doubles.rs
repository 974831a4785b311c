//! Doubles for tests: another root, another NVML library, faults.

use crate::backends::fault::Fault;
use crate::host::Host;
use crate::record::Gpu;
use crate::sensors::{Probe, SensorFamily, nvml};
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
        self.sysfs_root.as_ref().map_or_else(Host::real, Host::at)
    }

    /// Asks a sensor family; the NVML family of the library named here.
    pub(super) fn probe(&self, family: &SensorFamily, host: &Host) -> Probe {
        match &self.nvml_library {
            Some(library) if family.id == nvml::FAMILY.id => nvml::probe_with(host, Some(library)),
            _ => (family.probe)(host),
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
        let mut reasons = Vec::new();
        if let Some(root) = &self.sysfs_root {
            reasons.push(format!("sysfs and procfs were read below {}", root.display()));
        }
        if self.nvml_library.is_some() {
            reasons.push("NVML was replaced by another library".to_owned());
        }
        if let Some(fault) = &self.inject {
            reasons.push(format!("a fault was injected: {fault}"));
        }
        reasons
    }
}
