//! The devices: found, described, and each with one context and one stream.

#![expect(unsafe_code, reason = "handles of the driver")]

use super::driver::{self, CudaError, attribute, call};
use super::nvrtc::Architecture;
use crate::backends::{DeviceId, DeviceInfo};
use crate::kernels::{Api, Cooperative, Limits, Target};
use crate::units::Bytes;
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute};
use std::cell::RefCell;

/// A device with its primary context, which other libraries in the process share, and a stream.
pub(super) struct Gpu {
    device: sys::CUdevice,
    context: sys::CUcontext,
    stream: sys::CUstream,
    lost: RefCell<Option<String>>,
    pub(super) id: DeviceId,
    pub(super) architecture: Architecture,
    pub(super) info: DeviceInfo,
}

impl Gpu {
    /// Opens the device of this number, as the driver counts.
    pub(super) fn open(index: u32, version: (u32, u32)) -> Result<Self, CudaError> {
        let ordinal = i32::try_from(index).unwrap_or(i32::MAX);
        let device = call("cuDeviceGet", || result::device::get(ordinal))?;
        let name = call("cuDeviceGetName", || result::device::get_name(device))?;
        let (major, minor) = (
            attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        // SAFETY: the device was given by the driver; released when this is dropped.
        let context = call("cuDevicePrimaryCtxRetain", || unsafe { result::primary_ctx::retain(device) })?;
        let id = DeviceId(format!("cuda:{index}"));
        let opened = Self::describe(&id, device, context, version, name, (major, minor));
        match opened {
            Ok((stream, info)) => {
                let architecture = Architecture { major, minor };
                Ok(Self { device, context, stream, lost: RefCell::new(None), id, architecture, info })
            }
            Err(error) => {
                // SAFETY: retained above, released once.
                drop(call("cuDevicePrimaryCtxRelease", || unsafe { result::primary_ctx::release(device) }));
                Err(error)
            }
        }
    }

    fn describe(
        id: &DeviceId,
        device: sys::CUdevice,
        context: sys::CUcontext,
        version: (u32, u32),
        name: String,
        capability: (u32, u32),
    ) -> Result<(sys::CUstream, DeviceInfo), CudaError> {
        // SAFETY: the context was retained by the caller.
        call("cuCtxSetCurrent", || unsafe { result::ctx::set_current(context) })?;
        let stream = call("cuStreamCreate", || result::stream::create(result::stream::StreamKind::NonBlocking))?;
        let (free, total) = call("cuMemGetInfo", result::mem_get_info)?;
        let bytes = |n: usize| Bytes::new(n as f64).ok();
        let mut facts = vec![("compute-capability".to_owned(), format!("{}.{}", capability.0, capability.1))];
        let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
        let multiprocessors = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        fact("multiprocessors", multiprocessors.to_string());
        let l2: u32 = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?;
        let l2 = l2 as usize;
        fact("l2-cache-bytes", l2.to_string());
        let ecc = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_ECC_ENABLED)? != 0;
        fact("ecc", if ecc { "on" } else { "off" }.to_owned());
        // An instance of a divided board has no meter of its own: the sensor of the board is never rated then.
        let instance = name.contains(" MIG ");
        if instance {
            fact("mig", "an instance of a divided board".to_owned());
        }
        let uuid = driver::uuid(device).map(|id| format!("{}-{id}", if instance { "MIG" } else { "GPU" }));
        if let Some(visible) = std::env::var_os("CUDA_VISIBLE_DEVICES") {
            fact("CUDA_VISIBLE_DEVICES", visible.to_string_lossy().into_owned());
        }
        let limits = Limits {
            shared_bytes: attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            block_threads: attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            grid: [
                attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X)?,
                attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)?,
                attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)?,
            ],
            buffer_bytes: total as u64,
            buffers: 64,
            subgroup: Some((32, 32)),
            half: true,
            cooperative: Cooperative::default(),
            capability: Some(capability),
            multiprocessors: Some(multiprocessors).filter(|n| *n > 0),
        };
        let info = DeviceInfo {
            id: id.clone(),
            name,
            interface: format!("CUDA {}.{}", version.0, version.1),
            driver: None,
            pci: driver::pci_address(device)?,
            uuid,
            memory: bytes(total),
            free: bytes(free),
            cache: bytes(l2).filter(|b| b.get() > 0.0),
            software: false,
            simulated: driver::is_double().then(|| "the CUDA library is a double of the project's tests".to_owned()),
            refused: None,
            target: Target { api: Api::Cuda, limits, libraries: Vec::new() },
            facts,
        };
        Ok((stream, info))
    }

    /// Makes the context current on this thread.
    pub(super) fn enter(&self) -> Result<(), CudaError> {
        // SAFETY: the context lives as long as `self`.
        call("cuCtxSetCurrent", || unsafe { result::ctx::set_current(self.context) })
    }

    /// Where all work of the device is queued.
    pub(super) const fn stream(&self) -> sys::CUstream {
        self.stream
    }

    /// Waits until the device has done all that was queued.
    pub(super) fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: the stream lives as long as `self`.
        call("cuStreamSynchronize", || unsafe { result::stream::synchronize(self.stream) })
    }

    /// Why the device is of no use any more.
    pub(super) fn lost(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    /// Notes an error; after one that stays, the device is lost to the process.
    pub(super) fn note(&self, error: &CudaError) {
        if error.is_sticky() {
            self.lost.borrow_mut().get_or_insert_with(|| error.to_string());
        }
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY: created by `open`, destroyed and released once; on a lost device both fail, which is all right.
        drop(call("cuStreamDestroy", || unsafe { result::stream::destroy(self.stream) }));
        // SAFETY: as above.
        drop(call("cuDevicePrimaryCtxRelease", || unsafe { result::primary_ctx::release(self.device) }));
    }
}
