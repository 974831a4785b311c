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
    public_id_of(&uuid_hash(uuid))
}

/// The same, from a salted hash as [`Gpu::uuid_hash`] holds it.
#[must_use]
pub fn public_id_of(uuid_hash: &str) -> String {
    format!("GPU-{}", uuid_hash.chars().take(12).collect::<String>())
}

/// Salted SHA-256 of a UUID, as [`Gpu::uuid_hash`] holds it.
#[must_use]
pub fn uuid_hash(uuid: &str) -> String {
    salted_hash("gpu-uuid", uuid)
}

/// The PCI address as the kernel writes it: NVML's has eight digits of a domain and capital letters.
fn kernel_address(bus_id: &str) -> Option<String> {
    let lower = bus_id.trim().to_ascii_lowercase();
    let (domain, rest) = lower.split_once(':')?;
    let number = u32::from_str_radix(domain, 16).ok()?;
    (rest.len() == 7).then(|| format!("{number:04x}:{rest}"))
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
        pci: device.pci_info().ok().and_then(|pci| kernel_address(&pci.bus_id)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_the_form_of_the_kernel() {
        assert_eq!(kernel_address("00000000:C1:00.0").as_deref(), Some("0000:c1:00.0"));
        assert_eq!(kernel_address("00010000:03:00.0").as_deref(), Some("10000:03:00.0"));
        for bad in ["", "x:03:00.0", "0000:03:00", "0000"] {
            assert_eq!(kernel_address(bad), None, "{bad}");
        }
    }
}
