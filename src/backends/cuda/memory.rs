//! Memory on a device, and transfers through pinned memory of the host.

#![expect(unsafe_code, reason = "pointers of the driver")]

use super::device::Gpu;
use super::driver::{CudaError, call};
use crate::kernels::Format;
use cudarc::driver::{result, sys};
use std::ffi::c_void;
use std::rc::Rc;

/// Bytes that go to or from a device in one piece.
const STAGE: usize = 16 << 20;

/// Memory on a device, freed when it goes out of use.
pub(super) struct DeviceMemory {
    gpu: Rc<Gpu>,
    at: sys::CUdeviceptr,
    bytes: usize,
}

impl DeviceMemory {
    /// Takes `bytes` of memory, at least one.
    pub(super) fn new(gpu: &Rc<Gpu>, bytes: usize) -> Result<Self, CudaError> {
        gpu.enter()?;
        // SAFETY: the context of the device is current.
        let at = call("cuMemAlloc", || unsafe { result::malloc_sync(bytes.max(1)) })?;
        Ok(Self { gpu: Rc::clone(gpu), at, bytes })
    }

    /// Where it begins, for the arguments of a launch.
    pub(super) const fn address(&self) -> sys::CUdeviceptr {
        self.at
    }

    /// Fills it with what no program leaves: see [`Format::poison`]. Ordered before later launches.
    pub(super) fn poison(&self, format: Format) -> Result<(), CudaError> {
        let element = format.poison(1);
        let stream = self.gpu.stream();
        match element[..] {
            [byte] => {
                // SAFETY: the range is ours; the context is current.
                call("cuMemsetD8Async", || unsafe { sys::cuMemsetD8Async(self.at, byte, self.bytes, stream) }.result())
            }
            [a, b] => {
                let (value, len) = (u16::from_le_bytes([a, b]), self.bytes / 2);
                // SAFETY: the range is ours; the context is current.
                call("cuMemsetD16Async", || unsafe { sys::cuMemsetD16Async(self.at, value, len, stream) }.result())
            }
            // The upper half of a NaN in double precision makes a NaN in both halves.
            [.., a, b, c, d] => {
                let (value, len) = (u32::from_le_bytes([a, b, c, d]), self.bytes / 4);
                // SAFETY: the range is ours; the context is current.
                call("cuMemsetD32Async", || unsafe { sys::cuMemsetD32Async(self.at, value, len, stream) }.result())
            }
            _ => Ok(()),
        }
    }

    /// Fills it with zeros.
    pub(super) fn clear(&self) -> Result<(), CudaError> {
        let stream = self.gpu.stream();
        // SAFETY: the range is ours; the context is current.
        call("cuMemsetD8Async", || unsafe { sys::cuMemsetD8Async(self.at, 0, self.bytes, stream) }.result())
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        // Of a lost device nothing can be freed; the driver takes it back with the process.
        if self.gpu.enter().is_ok() {
            // SAFETY: allocated by `new`, freed once; a launch that still uses it is waited for by the driver.
            drop(call("cuMemFree", || unsafe { result::free_sync(self.at) }));
        }
    }
}

/// Pinned memory of the host, through which transfers go.
pub(super) struct Stage {
    gpu: Rc<Gpu>,
    at: *mut c_void,
}

impl Stage {
    /// Takes it.
    pub(super) fn new(gpu: &Rc<Gpu>) -> Result<Self, CudaError> {
        gpu.enter()?;
        // SAFETY: the context of the device is current.
        let at = call("cuMemHostAlloc", || unsafe { result::malloc_host(STAGE, 0) })?;
        Ok(Self { gpu: Rc::clone(gpu), at })
    }

    /// Writes `bytes` to the front of `to`, which is at least as long.
    pub(super) fn upload(&mut self, bytes: &[u8], to: &DeviceMemory) -> Result<(), CudaError> {
        for (index, piece) in bytes.chunks(STAGE).enumerate() {
            let at = to.at + (index * STAGE) as u64;
            // SAFETY: a piece fits the stage; nothing uses the stage before the transfer is waited for.
            let stage = unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), self.at.cast(), piece.len());
                std::slice::from_raw_parts(self.at.cast::<u8>(), piece.len())
            };
            // SAFETY: the caller promises that the range lies in `to`.
            call("cuMemcpyHtoDAsync", || unsafe { result::memcpy_htod_async(at, stage, self.gpu.stream()) })?;
            self.gpu.wait()?;
        }
        Ok(())
    }

    /// Reads all of `from`.
    pub(super) fn download(&mut self, from: &DeviceMemory) -> Result<Vec<u8>, CudaError> {
        let mut bytes = Vec::with_capacity(from.bytes);
        while bytes.len() < from.bytes {
            let len = STAGE.min(from.bytes - bytes.len());
            let at = from.at + bytes.len() as u64;
            // SAFETY: `len` fits the stage, which was written by the driver or is plain bytes of any value.
            let stage = unsafe { std::slice::from_raw_parts_mut(self.at.cast::<u8>(), len) };
            // SAFETY: the range lies in `from`; the stage lives until the transfer is waited for.
            call("cuMemcpyDtoHAsync", || unsafe { result::memcpy_dtoh_async(stage, at, self.gpu.stream()) })?;
            self.gpu.wait()?;
            bytes.extend_from_slice(stage);
        }
        Ok(bytes)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.gpu.enter().is_ok() {
            // SAFETY: allocated by `new`, freed once, and no transfer is under way.
            drop(call("cuMemFreeHost", || unsafe { result::free_host(self.at) }));
        }
    }
}
