//! The functions of the double of NVML that tell boards apart, and what else happens on one: address, processes, errors.

use super::machine::{Present, gpu, machine};
use super::{INSUFFICIENT_SIZE, INVALID_ARGUMENT, NOT_SUPPORTED, Return, SUCCESS, UNINITIALIZED, answer};
use crate::board::{Process, times};
use std::ffi::{c_char, c_uint, c_ulonglong, c_void};
use std::sync::atomic::{AtomicU64, Ordering};

const NOT_FOUND: Return = 6;
const TIMEOUT: Return = 10;
const NO_INSTANCE: c_uint = u32::MAX;
const XID: c_ulonglong = 0x8;

/// `nvmlPciInfo_t`.
#[repr(C)]
pub(crate) struct PciInfo {
    legacy: [c_char; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    ids: [c_uint; 2],
    bus_id: [c_char; 32],
}

/// The address of the script.
///
/// # Safety
/// As in NVML: `info` may be written.
// SAFETY: no other library of the process exports NVML's names; the loader binds them per handle.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(handle: *mut c_void, info: *mut PciInfo) -> Return {
    let present = match gpu(handle, "nvmlDeviceGetPciInfo_v3") {
        Ok(present) => present,
        Err(code) => return code,
    };
    let Some(pci) = &present.gpu.board.pci else { return NOT_SUPPORTED };
    let mut bus_id = [0; 32];
    for (to, from) in bus_id.iter_mut().take(31).zip(pci.bytes()) {
        *to = from as c_char;
    }
    // SAFETY: the caller promises that `info` may be written.
    unsafe { info.write(PciInfo { legacy: [0; 16], domain: 0, bus: 0, device: 0, ids: [0; 2], bus_id }) };
    SUCCESS
}

/// Errors of the memory since the driver was loaded.
///
/// # Safety
/// As in NVML: `count` may be written.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetTotalEccErrors(
    handle: *mut c_void,
    kind: c_uint,
    _counter: c_uint,
    count: *mut c_ulonglong,
) -> Return {
    let errors = |p: &Present| {
        let of = if kind == 0 { p.gpu.board.corrected } else { p.gpu.board.uncorrected };
        of.map(|(first, every)| first + every.map_or(0, |every| times(p.seconds, every)))
    };
    match gpu(handle, "nvmlDeviceGetTotalEccErrors").map(|p| errors(&p)) {
        Ok(Some(errors)) => {
            // SAFETY: the caller promises that `count` may be written.
            unsafe { count.write(errors) };
            SUCCESS
        }
        Ok(None) => NOT_SUPPORTED,
        Err(code) => code,
    }
}

/// The link never repeats anything.
///
/// # Safety
/// As in NVML: `count` may be written.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetPcieReplayCounter(handle: *mut c_void, count: *mut c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetPcieReplayCounter", "replays"), count, |_| 0) }
}

/// `nvmlProcessInfo_t`.
#[repr(C)]
pub(crate) struct ProcessInfo {
    pid: c_uint,
    memory: c_ulonglong,
    instances: [c_uint; 2],
}

fn number(process: &Process) -> u32 {
    process.pid.unwrap_or_else(std::process::id)
}

/// Writes `entries` to `to`, which holds `count`; a `count` that is too small learns how many there are.
///
/// # Safety
/// `count` may be read and written, and `to` holds so many entries.
unsafe fn list<T>(entries: Vec<T>, count: *mut c_uint, to: *mut T) -> Return {
    // SAFETY: the caller's promise.
    let room = unsafe { count.read() } as usize;
    // SAFETY: the caller's promise.
    unsafe { count.write(entries.len() as c_uint) };
    if entries.is_empty() {
        return SUCCESS;
    }
    if room < entries.len() || to.is_null() {
        return INSUFFICIENT_SIZE;
    }
    for (at, entry) in entries.into_iter().enumerate() {
        // SAFETY: there is room for all of them.
        unsafe { to.add(at).write(entry) };
    }
    SUCCESS
}

/// # Safety
/// As for [`list`].
unsafe fn processes(
    handle: *mut c_void,
    name: &str,
    graphics: bool,
    count: *mut c_uint,
    to: *mut ProcessInfo,
) -> Return {
    match gpu(handle, name).map(|p| p.gpu.board.processes.as_ref()) {
        Ok(Some(all)) => {
            let own = all.iter().filter(|p| p.graphics == graphics);
            let info = |p| ProcessInfo { pid: number(p), memory: 1 << 20, instances: [NO_INSTANCE; 2] };
            // SAFETY: the caller's promise is passed on.
            unsafe { list(own.map(info).collect(), count, to) }
        }
        Ok(None) => NOT_SUPPORTED,
        Err(code) => code,
    }
}

/// Processes that compute.
///
/// # Safety
/// As in NVML: `infos` holds `count` entries.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    handle: *mut c_void,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { processes(handle, "nvmlDeviceGetComputeRunningProcesses_v3", false, count, infos) }
}

/// Processes that draw.
///
/// # Safety
/// As in NVML: `infos` holds `count` entries.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    handle: *mut c_void,
    count: *mut c_uint,
    infos: *mut ProcessInfo,
) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { processes(handle, "nvmlDeviceGetGraphicsRunningProcesses_v3", true, count, infos) }
}

/// `nvmlProcessUtilizationSample_t`.
#[repr(C)]
pub(crate) struct UtilizationSample {
    pid: c_uint,
    timestamp: c_ulonglong,
    shares: [c_uint; 4],
}

/// What each process has of the multiprocessors, as if measured this moment.
///
/// # Safety
/// As in NVML: `samples` holds `count` entries.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceGetProcessUtilization(
    handle: *mut c_void,
    samples: *mut UtilizationSample,
    count: *mut c_uint,
    since: c_ulonglong,
) -> Return {
    let all = match gpu(handle, "nvmlDeviceGetProcessUtilization") {
        Ok(present) => present.gpu.board.processes.as_deref().unwrap_or_default(),
        Err(code) => return code,
    };
    if all.iter().all(|p| p.sm.is_none()) {
        return NOT_SUPPORTED;
    }
    let sample = |p: &Process| {
        Some(UtilizationSample { pid: number(p), timestamp: since + 1, shares: [p.sm.filter(|sm| *sm > 0)?, 0, 0, 0] })
    };
    let samples_now: Vec<UtilizationSample> = all.iter().filter_map(sample).collect();
    if samples_now.is_empty() {
        return NOT_FOUND;
    }
    // SAFETY: the caller's promise is passed on.
    unsafe { list(samples_now, count, samples) }
}

/// A set of events: the GPU that is registered, and how many of its errors were told.
struct EventSet {
    handle: AtomicU64,
    told: AtomicU64,
}

/// Errors of the GPU behind `handle` so far, and their number.
fn errors(handle: *mut c_void) -> Option<(u64, u64)> {
    let present = gpu(handle, "nvmlEventSetWait_v2").ok()?;
    let (code, every) = present.gpu.board.xid?;
    Some((code, times(present.seconds, every)))
}

/// A set of its own.
///
/// # Safety
/// As in NVML: `set` may be written.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlEventSetCreate(set: *mut *mut c_void) -> Return {
    if machine().is_none() {
        return UNINITIALIZED;
    }
    let new = Box::new(EventSet { handle: AtomicU64::new(0), told: AtomicU64::new(0) });
    // SAFETY: the caller promises that `set` may be written.
    unsafe { set.write(Box::into_raw(new).cast()) };
    SUCCESS
}

/// Remembers the GPU; what happened before is not told.
///
/// # Safety
/// As in NVML: `set` is one of [`nvmlEventSetCreate`].
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlDeviceRegisterEvents(
    handle: *mut c_void,
    _events: c_ulonglong,
    set: *mut c_void,
) -> Return {
    match gpu(handle, "nvmlDeviceRegisterEvents") {
        Ok(present) if present.gpu.board.xid.is_none() => NOT_SUPPORTED,
        Ok(_) => {
            // SAFETY: the caller's promise.
            let set = unsafe { &*set.cast::<EventSet>() };
            set.handle.store(handle.addr() as u64, Ordering::Relaxed);
            set.told.store(errors(handle).map_or(0, |(_, n)| n), Ordering::Relaxed);
            SUCCESS
        }
        Err(code) => code,
    }
}

/// `nvmlEventData_t`.
#[repr(C)]
pub(crate) struct EventData {
    device: *mut c_void,
    kind: c_ulonglong,
    data: c_ulonglong,
    instances: [c_uint; 2],
}

/// The next error that was not told; never waits.
///
/// # Safety
/// As in NVML: `set` is one of [`nvmlEventSetCreate`], and `data` may be written.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlEventSetWait_v2(
    set: *mut c_void,
    data: *mut EventData,
    _timeout: c_uint,
) -> Return {
    if set.is_null() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller's promise.
    let set = unsafe { &*set.cast::<EventSet>() };
    let device = std::ptr::without_provenance_mut(set.handle.load(Ordering::Relaxed) as usize);
    match errors(device) {
        Some((code, so_far)) if so_far > set.told.load(Ordering::Relaxed) => {
            set.told.fetch_add(1, Ordering::Relaxed);
            // SAFETY: the caller's promise.
            unsafe { data.write(EventData { device, kind: XID, data: code, instances: [NO_INSTANCE; 2] }) };
            SUCCESS
        }
        _ => TIMEOUT,
    }
}

/// Gives the set back.
///
/// # Safety
/// As in NVML: `set` is one of [`nvmlEventSetCreate`], freed once.
// SAFETY: as above.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn nvmlEventSetFree(set: *mut c_void) -> Return {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(set.cast::<EventSet>()) });
    SUCCESS
}
