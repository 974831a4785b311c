//! A stand-in for `libcuda`, `libnvrtc` and the vendor's libraries of products, for machines without a GPU: devices with memory of the host, errors on demand, and,
//! where a script says so, programs that run in the emulator of tests/data/cuda_emulator.
//!
//! The file that WATTPROOF_CUDA_DOUBLE names is its script, a line each:
//!
//! ```text
//! driver 13000                    the CUDA that it speaks
//! emulate FOLDER HEADER LIBRARY   run programs: libraries go to FOLDER, HEADER is emulate.hpp, LIBRARY what was compiled beside it
//! fail cuMemAlloc_v2 2 3          a function answers with a code, from the call after three others on
//! silent-tf32 yes                 products in binary32 are computed in TF32
//! narrow-from 120                 products with so many rows or columns take operands in binary32 for bfloat16
//! log FILE                        the address that each launch has as its first argument, a line each
//! device NVIDIA H200              a device; the lines below describe it
//! pci 0000:3b:00.0
//! uuid 8e8ac8d4-1b2c-…         what the driver calls it; without it the driver tells none
//! memory-mib 1024 512             all of it, and what is free
//! capability 9 0
//! l2-kib 96                       of its second-level cache; else 50 MiB
//! ```
//!
//! Without `emulate` a launch does nothing: the poison stays, and the harness has to notice. CUDA_VISIBLE_DEVICES counts as for the
//! driver. It exports `wattproof_double`, by which the harness knows it; what is made with it is simulated, for ever.

#![expect(unsafe_code, reason = "it implements a C interface")]
#![expect(clippy::disallowed_methods, reason = "a GPU has a clock of its own")]

mod emulate;
mod number;
mod script;
mod tensor_map;

use emulate::{Function, Module};
use script::{Device, failing, script};
use std::alloc::Layout;
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use tensor_map::Tensor;

type Return = c_uint;
const SUCCESS: Return = 0;
/// What is asked for has not happened yet.
const NOT_READY: Return = 600;
/// Whether somebody has waited for the stream since the last event was recorded on it.
static AWAITED: AtomicBool = AtomicBool::new(true);
const INVALID_VALUE: Return = 1;
const OUT_OF_MEMORY: Return = 2;
const NO_DEVICE: Return = 100;
const INVALID_IMAGE: Return = 200;
const NOT_FOUND: Return = 500;
const LAUNCH_FAILED: Return = 719;
const NOT_SUPPORTED: Return = 801;

/// By which the harness knows what it talks to.
// SAFETY: no other library of the process exports it.
#[unsafe(no_mangle)]
pub static wattproof_double: c_int = 1;

/// Memory that was given out: its layout, and the device it counts for.
static MEMORY: Mutex<Option<HashMap<usize, (Layout, usize)>>> = Mutex::new(None);

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

fn device(index: c_int) -> Option<&'static Device> {
    script()?.devices.get(usize::try_from(index).ok()?)
}

/// Defines functions of the interface: each looks whether it has to fail first.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),*) $body:block)*) => { $(
        $(#[$doc])*
        ///
        /// # Safety
        /// As for NVIDIA's function of this name: pointers are valid for what it reads and writes.
        // SAFETY: no other library of the process exports the names of these.
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($($argument: $kind),*) -> Return {
            match failing(stringify!($name)) {
                Some(code) => code,
                None => $body,
            }
        }
    )* };
}

// After the macro that they use.
mod cublaslt;
mod cusparse;
mod cusparselt;

/// Writes an answer.
///
/// # Safety
/// `to` is valid for a write.
unsafe fn put<T>(to: *mut T, value: T) -> Return {
    // SAFETY: by the caller's promise.
    unsafe { to.write(value) };
    SUCCESS
}

/// Copies a text with its final zero.
///
/// # Safety
/// `to` is valid for `len` bytes.
unsafe fn put_text(to: *mut c_char, len: c_int, text: &str) -> Return {
    if usize::try_from(len).is_ok_and(|len| text.len() < len) {
        // SAFETY: the text and its zero fit into `len` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), to.cast(), text.len());
            to.add(text.len()).write(0);
        }
        return SUCCESS;
    }
    INVALID_VALUE
}

functions! {
    /// Reads the script.
    cuInit(_flags: c_uint) {
        match script() {
            Some(script) if script.devices.is_empty() => NO_DEVICE,
            Some(_) => SUCCESS,
            None => INVALID_VALUE,
        }
    }
    /// The CUDA that it speaks.
    cuDriverGetVersion(version: *mut c_int) {
        // SAFETY: by the caller's promise.
        unsafe { put(version, script().map_or(0, |s| s.driver)) }
    }
    /// Devices of the script.
    cuDeviceGetCount(count: *mut c_int) {
        let devices = script().map_or(0, |s| s.devices.len());
        // SAFETY: by the caller's promise.
        unsafe { put(count, c_int::try_from(devices).unwrap_or(0)) }
    }
    /// A device is its number.
    cuDeviceGet(to: *mut c_int, ordinal: c_int) {
        // SAFETY: by the caller's promise.
        if device(ordinal).is_some() { unsafe { put(to, ordinal) } } else { 101 }
    }
    /// Name of a device.
    cuDeviceGetName(to: *mut c_char, len: c_int, index: c_int) {
        // SAFETY: by the caller's promise.
        device(index).map_or(101, |d| unsafe { put_text(to, len, &d.name) })
    }
    /// PCI address of a device.
    cuDeviceGetPCIBusId(to: *mut c_char, len: c_int, index: c_int) {
        // SAFETY: by the caller's promise.
        device(index).map_or(101, |d| unsafe { put_text(to, len, &d.pci) })
    }
    /// UUID of a device, where the script says one.
    cuDeviceGetUuid_v2(to: *mut [u8; 16], index: c_int) {
        let Some(device) = device(index) else { return 101 };
        let Some(digits) = device.uuid.as_deref() else { return NOT_SUPPORTED };
        let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap_or(0);
        // SAFETY: by the caller's promise.
        unsafe { put(to, std::array::from_fn(byte)) }
    }
    /// The properties that the harness asks for.
    cuDeviceGetAttribute(to: *mut c_int, which: c_int, index: c_int) {
        let Some(device) = device(index) else { return 101 };
        let value = match which {
            1 => 1024,
            5 => c_int::MAX,
            6 | 7 => 65_535,
            16 => 132,
            32 => 1,
            38 => device.l2_bytes,
            75 => device.capability.0,
            76 => device.capability.1,
            97 => 227 << 10,
            _ => return INVALID_VALUE,
        };
        // SAFETY: by the caller's promise.
        unsafe { put(to, value) }
    }
    /// A context is the number of its device and one.
    cuDevicePrimaryCtxRetain(to: *mut *mut c_void, index: c_int) {
        let number = usize::try_from(index).unwrap_or(0) + 1;
        // SAFETY: by the caller's promise.
        unsafe { put(to, std::ptr::without_provenance_mut(number)) }
    }
    /// Nothing to give back.
    cuDevicePrimaryCtxRelease_v2(_index: c_int) { SUCCESS }
    /// Remembers the device of this thread.
    cuCtxSetCurrent(context: *mut c_void) {
        CURRENT.set(context.addr().saturating_sub(1));
        SUCCESS
    }
    /// Streams are nothing: all work is done at once.
    cuStreamCreate(to: *mut *mut c_void, _flags: c_uint) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, std::ptr::without_provenance_mut(1)) }
    }
    /// Nothing to give back.
    cuStreamDestroy_v2(_stream: *mut c_void) { SUCCESS }
    /// Nothing to wait for.
    cuStreamSynchronize(_stream: *mut c_void) {
        AWAITED.store(true, Ordering::SeqCst);
        SUCCESS
    }
    /// What the script says is free, less what was given out.
    cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let Some(own) = script().and_then(|s| s.devices.get(CURRENT.get())) else { return 201 };
        // SAFETY: by the caller's promise.
        unsafe {
            put(free, own.free.saturating_sub(given(CURRENT.get())));
            put(total, own.memory)
        }
    }
    /// Memory of the host, as long as the device has some.
    cuMemAlloc_v2(to: *mut u64, bytes: usize) {
        let number = CURRENT.get();
        let Some(own) = script().and_then(|s| s.devices.get(number)) else { return 201 };
        if given(number).saturating_add(bytes) > own.free {
            return OUT_OF_MEMORY;
        }
        // SAFETY: by the caller's promise.
        take(bytes, number).map_or(OUT_OF_MEMORY, |at| unsafe { put(to, at.addr() as u64) })
    }
    /// Gives memory back.
    cuMemFree_v2(at: u64) { release(at as usize) }
    /// Memory of the host that counts for no device.
    cuMemHostAlloc(to: *mut *mut c_void, bytes: usize, _flags: c_uint) {
        // SAFETY: by the caller's promise.
        take(bytes, usize::MAX).map_or(OUT_OF_MEMORY, |at| unsafe { put(to, at.cast()) })
    }
    /// Gives it back.
    cuMemFreeHost(at: *mut c_void) { release(at.addr()) }
    /// Fills bytes.
    cuMemsetD8Async(at: u64, value: u8, count: usize, _stream: *mut c_void) {
        // SAFETY: by the caller's promise.
        unsafe { fill(at, value, count) }
    }
    /// Fills words of 16 bits.
    cuMemsetD16Async(at: u64, value: u16, count: usize, _stream: *mut c_void) {
        // SAFETY: by the caller's promise.
        unsafe { fill(at, value, count) }
    }
    /// Fills words of 32 bits.
    cuMemsetD32Async(at: u64, value: u32, count: usize, _stream: *mut c_void) {
        // SAFETY: by the caller's promise.
        unsafe { fill(at, value, count) }
    }
    /// Copies to the device.
    cuMemcpyHtoDAsync_v2(to: u64, from: *const u8, bytes: usize, _stream: *mut c_void) {
        // SAFETY: by the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from, place(to), bytes) };
        SUCCESS
    }
    /// Copies from the device.
    cuMemcpyDtoHAsync_v2(to: *mut u8, from: u64, bytes: usize, _stream: *mut c_void) {
        // SAFETY: by the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(place(from), to, bytes) };
        SUCCESS
    }
    /// An event is the time at which it was recorded.
    cuEventCreate(to: *mut *mut Instant, _flags: c_uint) {
        // SAFETY: by the caller's promise.
        unsafe { put(to, Box::into_raw(Box::new(Instant::now()))) }
    }
    /// Records an event.
    cuEventRecord(event: *mut Instant, _stream: *mut c_void) {
        AWAITED.store(false, Ordering::SeqCst);
        // SAFETY: by the caller's promise.
        unsafe { put(event, Instant::now()) }
    }
    /// Milliseconds between two events; until somebody has waited for the stream they have not happened.
    cuEventElapsedTime_v2(to: *mut f32, first: *const Instant, last: *const Instant) {
        if !AWAITED.load(Ordering::SeqCst) {
            return NOT_READY;
        }
        // SAFETY: by the caller's promise.
        unsafe { put(to, (*last).duration_since(*first).as_secs_f32() * 1e3) }
    }
    /// Gives an event back.
    cuEventDestroy_v2(event: *mut Instant) {
        // SAFETY: made by `cuEventCreate`, and destroyed once.
        drop(unsafe { Box::from_raw(event) });
        SUCCESS
    }
    /// Loads what the compiler below made.
    cuModuleLoadData(to: *mut *mut Module, image: *const u8) {
        // SAFETY: the image is what the compiler below made: its length stands at its front.
        match unsafe { Module::load(image) } {
            // SAFETY: by the caller's promise.
            Some(module) => unsafe { put(to, Box::into_raw(Box::new(module))) },
            None => INVALID_IMAGE,
        }
    }
    /// Gives a module back.
    cuModuleUnload(module: *mut Module) {
        // SAFETY: made by `cuModuleLoadData`, and unloaded once.
        drop(unsafe { Box::from_raw(module) });
        SUCCESS
    }
    /// A function of a module, by name.
    cuModuleGetFunction(to: *mut *mut Function, module: *const Module, name: *const c_char) {
        // SAFETY: by the caller's promise.
        match unsafe { (*module).function(name) } {
            // Functions are few and live as long as the process.
            // SAFETY: by the caller's promise.
            Some(function) => unsafe { put(to, Box::into_raw(Box::new(function))) },
            None => NOT_FOUND,
        }
    }
    /// Maps of tensors of three dimensions, in packed rows and swizzled lines of 128 bytes.
    cuTensorMapEncodeTiled(
        to: *mut [u64; 16], kind: c_uint, rank: c_uint, at: *mut c_void, sizes: *const [u64; 3], pitches: *const [u64; 2],
        tile: *const [u32; 3], steps: *const [u32; 3], interleave: c_uint, swizzle: c_uint, _promotion: c_uint, fill: c_uint
    ) {
        let element = match kind {
            0 => 1,
            1 | 6 | 9 => 2,
            2 | 3 | 7 => 4,
            4 | 5 | 8 => 8,
            _ => return INVALID_VALUE,
        };
        if rank != 3 || interleave != 0 || swizzle != 3 || fill != 0 {
            return INVALID_VALUE;
        }
        // SAFETY: a tensor of three dimensions has so many numbers, by the caller's promise.
        let (sizes, pitches, tile, steps) = unsafe { (*sizes, *pitches, *tile, *steps) };
        let tensor = Tensor { address: at.addr() as u64, element, sizes, pitches, tile };
        match tensor.encode() {
            // SAFETY: by the caller's promise.
            Some(words) if steps == [1; 3] => unsafe { put(to, words) },
            _ => INVALID_VALUE,
        }
    }
    /// Nothing needs permission here.
    cuFuncSetAttribute(_function: *mut c_void, _attribute: c_int, _value: c_int) { SUCCESS }
}

/// Runs a function in the emulator, or does nothing.
///
/// # Safety
/// As for the driver's function: the arguments are those of the kernel.
// SAFETY: no other library of the process exports the driver's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cuLaunchKernel(
    function: *const Function,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared: c_uint,
    _stream: *mut c_void,
    arguments: *mut *mut c_void,
    _extra: *mut *mut c_void,
) -> Return {
    if let Some(code) = failing("cuLaunchKernel") {
        return code;
    }
    if let Some(file) = script().and_then(|s| s.log.as_deref()) {
        // SAFETY: every program of the harness takes the address of a buffer first.
        let first = unsafe { arguments.read().cast::<u64>().read() };
        let log = std::fs::OpenOptions::new().create(true).append(true).open(file);
        if log.and_then(|mut log| writeln!(log, "{first:x}")).is_err() {
            return LAUNCH_FAILED;
        }
    }
    // SAFETY: made by `cuModuleGetFunction`; the arguments are the caller's promise.
    let done = unsafe { (*function).launch([grid_x, grid_y, grid_z], [block_x, block_y, block_z], shared, arguments) };
    if done { SUCCESS } else { LAUNCH_FAILED }
}

/// Name of an error.
///
/// # Safety
/// `to` is valid for a write.
// SAFETY: no other library of the process exports the driver's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cuGetErrorName(code: Return, to: *mut *const c_char) -> Return {
    // SAFETY: by the caller's promise.
    unsafe { put(to, words(code).0.as_ptr()) }
}

/// Words of an error.
///
/// # Safety
/// `to` is valid for a write.
// SAFETY: no other library of the process exports the driver's names.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn cuGetErrorString(code: Return, to: *mut *const c_char) -> Return {
    // SAFETY: by the caller's promise.
    unsafe { put(to, words(code).1.as_ptr()) }
}

const fn words(code: Return) -> (&'static std::ffi::CStr, &'static std::ffi::CStr) {
    match code {
        2 => (c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
        46 => (c"CUDA_ERROR_DEVICE_UNAVAILABLE", c"CUDA-capable device(s) is/are busy or unavailable"),
        100 => (c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected"),
        200 => (c"CUDA_ERROR_INVALID_IMAGE", c"device kernel image is invalid"),
        214 => (c"CUDA_ERROR_ECC_UNCORRECTABLE", c"uncorrectable ECC error encountered"),
        304 => (c"CUDA_ERROR_OPERATING_SYSTEM", c"OS call failed or operation not supported on this OS"),
        719 => (c"CUDA_ERROR_LAUNCH_FAILED", c"unspecified launch failure"),
        803 => {
            (c"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", c"system has unsupported display driver / cuda driver combination")
        }
        _ => (c"CUDA_ERROR_UNKNOWN", c"unknown error"),
    }
}

fn given(device: usize) -> usize {
    let all = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().flatten().filter(|(_, (_, of))| *of == device).map(|(_, (layout, _))| layout.size()).sum()
}

fn take(bytes: usize, device: usize) -> Option<*mut u8> {
    let layout = Layout::from_size_align(bytes.max(1), 256).ok()?;
    // SAFETY: the size is not zero.
    let at = unsafe { std::alloc::alloc_zeroed(layout) };
    if at.is_null() {
        return None;
    }
    let mut all = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    all.get_or_insert_default().insert(at.expose_provenance(), (layout, device));
    Some(at)
}

fn release(at: usize) -> Return {
    let mut all = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    match all.as_mut().and_then(|all| all.remove(&at)) {
        Some((layout, _)) => {
            // SAFETY: given out by `take` with this layout, and taken back once.
            unsafe { std::alloc::dealloc(std::ptr::with_exposed_provenance_mut(at), layout) };
            SUCCESS
        }
        None => INVALID_VALUE,
    }
}

fn place<T>(at: u64) -> *mut T {
    std::ptr::with_exposed_provenance_mut(at as usize)
}

/// # Safety
/// The range is memory of the device.
unsafe fn fill<T: Copy>(at: u64, value: T, count: usize) -> Return {
    // SAFETY: by the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(place::<T>(at), count) }.fill(value);
    SUCCESS
}
