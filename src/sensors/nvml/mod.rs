//! NVML: energy, power, clocks and temperature of NVIDIA GPUs, through the driver's own library.

mod device;
mod inventory;
mod watch;

pub use inventory::{inventory, public_id, public_id_of, uuid_hash};
pub use watch::{BoardEvents, BoardWatch};

use super::{Probe, Reading, Sensor, SensorError, SensorFamily, SensorInfo};
use crate::clock::Clock;
use crate::host::Host;
use device::Gpu;
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use std::path::{Path, PathBuf};

const ID: &str = "nvml";
const TITLE: &str = "NVML (NVIDIA GPU counters)";

/// NVML in the registry.
pub const FAMILY: SensorFamily = SensorFamily { id: ID, title: TITLE, probe };

/// Looks for NVIDIA GPUs, through the host's NVML library where it names one. A redirected host
/// that names none has no GPU: mixing a real one into another machine's record would be false.
#[must_use]
pub fn probe(host: &Host) -> Probe {
    if host.is_redirected() && host.nvml_library().is_none() {
        return Probe::Absent {
            reason: "the host's root is redirected, and the system's NVML is not asked then".to_owned(),
        };
    }
    probe_with(host, host.nvml_library())
}

/// Looks for GPUs through the NVML library at `library`, or the system's when `None`. A sensor
/// from a named library says `simulated`: it may be a double.
#[must_use]
pub fn probe_with(host: &Host, library: Option<&Path>) -> Probe {
    let nvml = match load(library) {
        Ok(nvml) => nvml,
        Err(probe) => return probe,
    };
    let count = match nvml.device_count() {
        Ok(count) => count,
        Err(error) => return refusal("the GPUs cannot be counted", &error),
    };
    if count == 0 {
        return Probe::Absent { reason: "the driver reports no GPU".to_owned() };
    }
    // Devices borrow the library. It stays loaded until the process ends, as the driver advises.
    let nvml: &'static Nvml = Box::leak(Box::new(nvml));
    let mut notes = Vec::new();
    let mut gpus = Vec::new();
    let mut last_error = None;
    for index in 0..count {
        match nvml.device_by_index(index).and_then(|device| Gpu::open(device, &mut notes)) {
            Ok(gpu) => gpus.push(gpu),
            Err(error) => {
                notes.push(format!("GPU {index} is left out: {error}"));
                last_error = Some(error);
            }
        }
    }
    let channels: Vec<_> = gpus.iter().flat_map(Gpu::channels).collect();
    if channels.is_empty() {
        return match last_error {
            Some(error) => refusal("no GPU can be read", &error),
            None => Probe::Absent { reason: format!("no GPU offers a reading: {}", notes.join("; ")) },
        };
    }
    let version = nvml.sys_driver_version().unwrap_or_else(|_| "unknown version".to_owned());
    let place = library.map_or_else(|| "the system's libnvidia-ml".to_owned(), |p| p.display().to_string());
    let info = SensorInfo {
        id: ID.to_owned(),
        title: TITLE.to_owned(),
        source: format!("nvml-wrapper {}, {place}, driver {version}", env!("WATTPROOF_NVML_WRAPPER")),
        channels,
        notes,
        simulated: host.is_redirected() || library.is_some(),
        accuracy: None,
    };
    Probe::Ready(Box::new(NvmlSensor { info, gpus, library: library.map(Path::to_owned) }))
}

/// Loads and initialises the library.
fn load(library: Option<&Path>) -> Result<Nvml, Probe> {
    let loaded = match library {
        Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
        None => Nvml::init(),
    };
    loaded.map_err(|error| refusal("the NVIDIA driver's library cannot be used", &error))
}

fn refusal(what: &str, error: &NvmlError) -> Probe {
    match error {
        NvmlError::NoPermission => Probe::Denied {
            reason: format!("{what}: {error}"),
            remedy: "the user needs read and write access to /dev/nvidiactl and /dev/nvidia0: add it to the group \
                     that owns them (`ls -l /dev/nvidia*`, often `video`), or start the container with `--gpus all`"
                .to_owned(),
        },
        NvmlError::LibloadingError(loader) => Probe::Absent { reason: format!("{what}: {}", loader_words(loader)) },
        NvmlError::DriverNotLoaded => {
            Probe::Absent { reason: format!("{what}: {error}; `sudo modprobe nvidia` loads it") }
        }
        NvmlError::LibRmVersionMismatch => Probe::Absent {
            reason: format!("{what}: {error}; the driver was updated while the old one runs: restart the machine"),
        },
        _ => Probe::Absent { reason: format!("{what}: {error}") },
    }
}

/// The dynamic loader's own sentence.
fn loader_words(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

struct NvmlSensor {
    info: SensorInfo,
    gpus: Vec<Gpu>,
    library: Option<PathBuf>,
}

impl Sensor for NvmlSensor {
    fn info(&self) -> &SensorInfo {
        &self.info
    }

    fn read(&mut self, clock: &Clock) -> Result<Reading, SensorError> {
        let before = clock.now();
        let mut values = Vec::with_capacity(self.info.channels.len());
        for gpu in &self.gpus {
            gpu.read(&mut values)
                .map_err(|error| SensorError::Vanished { sensor: ID, detail: format!("{}: {error}", gpu.name()) })?;
        }
        Ok(Reading { before, after: clock.now(), values })
    }

    fn revive(&mut self) -> bool {
        let Ok(nvml) = load(self.library.as_deref()) else { return false };
        let Ok(count) = nvml.device_count() else { return false };
        // As at the first start; a driver that is reloaded leaves one small handle behind.
        let nvml: &'static Nvml = Box::leak(Box::new(nvml));
        let mut notes = Vec::new();
        let reopened: Vec<Gpu> = (0..count)
            .filter_map(|index| nvml.device_by_index(index).and_then(|device| Gpu::open(device, &mut notes)).ok())
            .collect();
        // The same boards in the same order with the same functions, or the channels would be mixed up.
        let channels: Vec<String> = reopened.iter().flat_map(Gpu::channels).map(|c| c.name).collect();
        let same = channels.iter().eq(self.info.channels.iter().map(|c| &c.name));
        if same {
            self.gpus = reopened;
        }
        same
    }
}
