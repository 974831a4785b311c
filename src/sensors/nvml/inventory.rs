//! The GPUs of the machine as they stand in the record's environment.

use crate::host::salted_hash;
use crate::record::Gpu;
use crate::units::{Bytes, Watts};
use nvml_wrapper::{Device, Nvml};
use std::path::Path;

/// Public id of a GPU: `GPU-` and the first 12 digits of its salted hash, so that a published
/// record tells boards apart without naming one. The hash itself is [`Gpu::uuid_hash`].
#[must_use]
pub fn public_id(uuid: &str) -> String {
    let hash = uuid_hash(uuid);
    format!("GPU-{}", &hash[..12])
}

fn uuid_hash(uuid: &str) -> String {
    salted_hash("gpu-uuid", uuid)
}

/// Every GPU that the driver reports, through the NVML library at `library` or the system's when
/// `None`; empty without driver. A GPU that does not even tell its UUID is left out.
#[must_use]
pub fn inventory(library: Option<&Path>) -> Vec<Gpu> {
    let Ok(nvml) = super::load(library) else { return Vec::new() };
    let driver = nvml.sys_driver_version().ok();
    let count = nvml.device_count().unwrap_or(0);
    (0..count).filter_map(|index| describe(&nvml, index, driver.clone())).collect()
}

fn describe(nvml: &Nvml, index: u32, driver: Option<String>) -> Option<Gpu> {
    let device: Device<'_> = nvml.device_by_index(index).ok()?;
    let uuid = device.uuid().ok()?;
    Some(Gpu {
        name: device.name().ok()?,
        uuid_hash: uuid_hash(&uuid),
        driver,
        power_limit: device.enforced_power_limit().ok().and_then(|mw| Watts::new(f64::from(mw) / 1e3).ok()),
        memory: device.memory_info().ok().and_then(|m| Bytes::new(m.total as f64).ok()),
        ecc: device.is_ecc_enabled().ok().map(|e| e.currently_enabled),
        mig: device.mig_mode().ok().map(|m| m.current != 0),
    })
}
