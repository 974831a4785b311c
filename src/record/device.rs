//! The devices of a run besides the processor.

use crate::sensors::Domain;
use crate::suite::DeviceId;
use crate::units::Bytes;
use serde::{Deserialize, Serialize};

/// A device that cases were planned for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Its id in this record.
    pub id: DeviceId,
    /// Name for people.
    pub name: String,
    /// How it is reached: `Vulkan`, `CUDA 13.0`.
    pub interface: String,
    /// Driver and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// PCI address, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<String>,
    /// Memory.
    #[serde(rename = "memory_bytes", default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Whether it is the processor in disguise, which can never be certified as a device.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub software: bool,
    /// The domain whose energy is that of this device, and of no other; `None` where no sensor has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
}
