//! The host: identity and state, read from sysfs and procfs below an injectable root.
//!
//! Everything here is read from small kernel files. A file that is missing, empty, cut off or
//! nonsense makes its figure unknown; it never ends the program.

pub mod activity;
mod arm;
mod build_facts;
mod caches;
mod cpu;
mod identity;
mod kernel_text;
mod memory;
pub mod readiness;
mod state;
mod temperature;

pub use build_facts::{commit, compiler, features};
pub use caches::caches_hold;
pub use identity::{container, is_virtual, salted_hash};
pub use memory::available_memory;
pub use readiness::{Advice, Readiness, readiness};

use crate::record::{Environment, Gpu};
use std::path::{Path, PathBuf};

/// Where sysfs and procfs are found. Redirecting the root lets tests bring their own machine; a
/// record made that way is `simulated` for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    root: PathBuf,
    nvml_library: Option<PathBuf>,
}

impl Host {
    /// The real machine.
    #[must_use]
    pub fn real() -> Self {
        Self { root: PathBuf::from("/"), nvml_library: None }
    }

    /// A machine below `root`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), nvml_library: None }
    }

    /// The same machine with the NVML library at `path` instead of the system's: a double.
    #[must_use]
    pub fn with_nvml_library(self, path: impl Into<PathBuf>) -> Self {
        Self { nvml_library: Some(path.into()), ..self }
    }

    /// The NVML library to use instead of the system's.
    #[must_use]
    pub fn nvml_library(&self) -> Option<&Path> {
        self.nvml_library.as_deref()
    }

    /// Why a record of this host is simulated, for people; empty for the real machine, unless its processor is emulated.
    #[must_use]
    pub fn simulated(&self) -> Vec<String> {
        let root = self.is_redirected().then(|| format!("the root is redirected to {}", self.root.display()));
        let library = self.nvml_library().map(|p| format!("the NVML library is {}", p.display()));
        root.into_iter().chain(library).chain(arm::emulated(self)).collect()
    }

    /// Whether sysfs and procfs are not those of the real machine.
    #[must_use]
    pub fn is_redirected(&self) -> bool {
        self.root != Path::new("/")
    }

    /// `sys/class/powercap` → the path below this host's root.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative.trim_start_matches('/'))
    }

    /// The trimmed text of a file, `None` when it cannot be read or is empty.
    #[must_use]
    pub fn read(&self, relative: &str) -> Option<String> {
        read_text(&self.path(relative))
    }

    /// Names of the entries of a folder, sorted; empty when it cannot be read.
    #[must_use]
    pub fn list(&self, relative: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(relative)) else { return Vec::new() };
        let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

/// `0-3,8,10-11` → the CPU numbers, sorted, each once; `None` for any other text.
pub(crate) fn cpu_list(text: &str) -> Option<Vec<u32>> {
    kernel_text::cpu_list(text)
}

fn read_text(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let trimmed = text.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// Everything about `host` that a record keeps. `gpus` come from the GPU sensors' inventory.
#[must_use]
pub fn environment(host: &Host, gpus: Vec<Gpu>) -> Environment {
    Environment {
        host: identity::identity(host),
        cpu: cpu::cpu(host),
        memory: host.read("proc/meminfo").and_then(|text| kernel_text::memory_total(&text)),
        gpus,
        state: state::state(host),
        compiler: compiler(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these files below its root, for as long as the folder lives.
    pub(super) fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let host = Host::at(dir.path());
        (dir, host)
    }

    #[test]
    fn the_real_machine_is_described_and_quickly() {
        let clock = crate::clock::Clock::start();
        let environment = environment(&Host::real(), Vec::new());
        let took = clock.now().seconds().get();
        println!("{took:.4} s {}", serde_json::to_string_pretty(&environment).unwrap());
        assert!(environment.host.kernel.is_some() && environment.memory.is_some());
        assert!(environment.cpu.usable >= 1 && environment.cpu.logical.is_some());
        assert!(took < 0.1, "{took} s");
    }

    #[test]
    fn paths_stay_below_the_root() {
        let host = Host::at("/tmp/machine");
        assert_eq!(host.path("/proc/stat"), Path::new("/tmp/machine/proc/stat"));
        assert!(host.is_redirected() && !Host::real().is_redirected());
        let of_machine = Host::real().simulated();
        assert!(of_machine.iter().all(|reason| reason.contains("emulated")), "{of_machine:?}");
        assert_eq!(host.simulated(), ["the root is redirected to /tmp/machine"]);
        let library = "the NVML library is /x.so".to_owned();
        let expected: Vec<String> = std::iter::once(library).chain(of_machine).collect();
        assert_eq!(Host::real().with_nvml_library("/x.so").simulated(), expected);
        assert_eq!(Host::real().path("proc/stat"), Path::new("/proc/stat"));
        assert!(host.list("nowhere").is_empty() && host.read("nowhere").is_none());
    }
}
