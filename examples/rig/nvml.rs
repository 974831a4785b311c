//! A stand-in for `libnvidia-ml.so.1` whose GPUs draw a known power.
//!
//! It reads its script from the file beside it that has the same name and the ending `.script`,
//! so copies of the library in several folders are machines of their own. The grammar is the rig's
//! (`script.rs`); what it says of zones is read and left aside. Second 0 is that of the script's
//! `origin`, or the call of `nvmlInit`. Triggers are read from the file `triggers` beside it.
//!
//! A script that is missing or wrong makes `nvmlInit` fail with NVML_ERROR_UNKNOWN (999).

#![allow(dead_code, clippy::allow_attributes, reason = "it has no zones, which the modules it shares know")]
#![expect(unsafe_code, reason = "it implements a C interface")]
#![expect(clippy::disallowed_methods, reason = "a GPU has a clock of its own")]

mod board;
mod card;
mod curve;
mod machine;
mod script;

use machine::{MACHINE, Machine, Present, fails, gpu, machine};
use std::ffi::{c_char, c_int, c_longlong, c_uint, c_ulonglong, c_void};
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

type Return = c_uint;
const SUCCESS: Return = 0;
const UNINITIALIZED: Return = 1;
const INVALID_ARGUMENT: Return = 2;
const NOT_SUPPORTED: Return = 3;
const NO_PERMISSION: Return = 4;
const INSUFFICIENT_SIZE: Return = 7;
const DRIVER_NOT_LOADED: Return = 9;
const GPU_IS_LOST: Return = 15;
const UNKNOWN: Return = 999;

const FIELD_POWER_AVERAGE: c_uint = 185;
const FIELD_POWER_INSTANT: c_uint = 186;
const VALUE_UNSIGNED_INT: c_uint = 1;
const CLOCK_MEMORY: c_uint = 2;
const REASON_IDLE: c_ulonglong = 0x1;
const REASON_POWER_CAP: c_ulonglong = 0x4;
const REASON_THERMAL: c_ulonglong = 0x20;

/// Writes what `value` gives for the GPU behind `handle` to `out`. `function` is NVML's name of it,
/// `word` that of the script.
///
/// # Safety
/// `out` must be valid for a write.
unsafe fn answer<T>(
    handle: *mut c_void,
    (function, word): (&str, &str),
    out: *mut T,
    value: impl FnOnce(&Present) -> T,
) -> Return {
    match gpu(handle, function) {
        Ok(present) if present.has(word) => {
            // SAFETY: the caller promises that `out` may be written.
            unsafe { out.write(value(&present)) };
            SUCCESS
        }
        Ok(_) => NOT_SUPPORTED,
        Err(code) => code,
    }
}

/// Copies `text` and its final zero to `out`, which holds `length` bytes.
///
/// # Safety
/// `out` must be valid for `length` bytes.
unsafe fn put(text: &str, out: *mut c_char, length: c_uint) -> Return {
    if text.len() >= length as usize {
        return INSUFFICIENT_SIZE;
    }
    // SAFETY: the text and one more byte fit into `length` bytes, which the caller vouches for.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), out.cast::<u8>(), text.len());
        out.add(text.len()).write(0);
    }
    SUCCESS
}

/// Reads the script and starts the clock.
// SAFETY: no other library of the process exports NVML's names; the loader binds them per handle.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> Return {
    let Some(machine) = MACHINE.get_or_init(Machine::load) else { return UNKNOWN };
    if machine.away() == Some(UNINITIALIZED) {
        machine.renewed.store(true, Ordering::Relaxed);
    }
    match machine.script.init.as_deref() {
        Some("driver-not-loaded") => DRIVER_NOT_LOADED,
        Some(_) => NO_PERMISSION,
        None => machine.failure("nvmlInit_v2").unwrap_or(SUCCESS),
    }
}

/// As [`nvmlInit_v2`]; the flags ask for nothing that is there.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> Return {
    nvmlInit_v2()
}

/// Nothing to give back.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> Return {
    SUCCESS
}

/// Driver version of the script.
///
/// # Safety
/// As in NVML: `out` holds `length` bytes.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(out: *mut c_char, length: c_uint) -> Return {
    if let Some(code) = fails("nvmlSystemGetDriverVersion") {
        return code;
    }
    // SAFETY: the caller's promise is passed on.
    machine().map_or(UNINITIALIZED, |machine| unsafe { put(&machine.script.driver, out, length) })
}

/// Number of GPUs in the script.
///
/// # Safety
/// As in NVML: `count` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> Return {
    if let Some(code) = fails("nvmlDeviceGetCount_v2") {
        return code;
    }
    let Some(machine) = machine() else { return UNINITIALIZED };
    // SAFETY: the caller promises that `count` may be written.
    unsafe { count.write(machine.script.gpus.len() as c_uint) };
    SUCCESS
}

/// Handle of a GPU.
///
/// # Safety
/// As in NVML: `handle` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, handle: *mut *mut c_void) -> Return {
    if let Some(code) = fails("nvmlDeviceGetHandleByIndex_v2") {
        return code;
    }
    let Some(machine) = machine() else { return UNINITIALIZED };
    if index as usize >= machine.script.gpus.len() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller promises that `handle` may be written.
    unsafe { handle.write(std::ptr::without_provenance_mut(index as usize + 1)) };
    SUCCESS
}

/// Hopper, or Pascal for a GPU without energy counter: these came with Volta.
///
/// # Safety
/// As in NVML: `architecture` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetArchitecture(handle: *mut c_void, architecture: *mut c_uint) -> Return {
    let known = |p: &Present| if p.has("energy") { 9 } else { 4 };
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetArchitecture", "architecture"), architecture, known) }
}

/// Name of a GPU.
///
/// # Safety
/// As in NVML: `out` holds `length` bytes.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(handle: *mut c_void, out: *mut c_char, length: c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    gpu(handle, "nvmlDeviceGetName").map_or_else(|code| code, |p| unsafe { put(&p.gpu.name, out, length) })
}

/// That of the script, or `GPU-double-0` and so on.
///
/// # Safety
/// As in NVML: `out` holds `length` bytes.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(handle: *mut c_void, out: *mut c_char, length: c_uint) -> Return {
    let own = || format!("GPU-double-{}", (handle as usize).wrapping_sub(1));
    // SAFETY: the caller's promise is passed on.
    let put = |p: Present| unsafe { put(&p.gpu.board.uuid.clone().unwrap_or_else(own), out, length) };
    gpu(handle, "nvmlDeviceGetUUID").map_or_else(|code| code, put)
}

/// The energy counter.
///
/// # Safety
/// As in NVML: `millijoules` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTotalEnergyConsumption(
    handle: *mut c_void,
    millijoules: *mut c_ulonglong,
) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetTotalEnergyConsumption", "energy"), millijoules, Present::millijoules) }
}

/// Power.
///
/// # Safety
/// As in NVML: `milliwatts` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPowerUsage(handle: *mut c_void, milliwatts: *mut c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetPowerUsage", "power"), milliwatts, Present::averaged) }
}

/// Power limit.
///
/// # Safety
/// As in NVML: `milliwatts` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEnforcedPowerLimit(handle: *mut c_void, milliwatts: *mut c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetEnforcedPowerLimit", "limit"), milliwatts, |p| p.gpu.limit_mw) }
}

/// 2619 MHz for the memory; for the rest 1980 MHz, or what the script says.
///
/// # Safety
/// As in NVML: `megahertz` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetClockInfo(handle: *mut c_void, clock: c_uint, megahertz: *mut c_uint) -> Return {
    let now = |p: &Present| if clock == CLOCK_MEMORY { 2619 } else { p.gpu.board.sm_clock(p.seconds) };
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetClockInfo", "clock"), megahertz, now) }
}

/// 30 °C and one more for every 10 W.
///
/// # Safety
/// As in NVML: `celsius` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTemperature(
    handle: *mut c_void,
    _sensor: c_uint,
    celsius: *mut c_uint,
) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetTemperature", "temperature"), celsius, |p| 30 + p.instant() / 10_000) }
}

/// Heat where the script says so, a power cap at the limit, idle otherwise.
///
/// # Safety
/// As in NVML: `reasons` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(
    handle: *mut c_void,
    reasons: *mut c_ulonglong,
) -> Return {
    let reason = |p: &Present| match p.gpu.board.is_throttled(p.seconds) {
        true => REASON_THERMAL,
        false if p.instant() >= p.gpu.limit_mw => REASON_POWER_CAP,
        false => REASON_IDLE,
    };
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetCurrentClocksThrottleReasons", "throttle"), reasons, reason) }
}

/// Split into instances, now and after the next reset, where the script says so; a board that cannot be
/// split has no such function.
///
/// # Safety
/// As in NVML: `current` and `pending` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    handle: *mut c_void,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> Return {
    match gpu(handle, "nvmlDeviceGetMigMode") {
        Ok(present) if present.gpu.mig => {
            // SAFETY: the caller promises that both may be written.
            unsafe {
                current.write(1);
                pending.write(1);
            }
            SUCCESS
        }
        Ok(_) => NOT_SUPPORTED,
        Err(code) => code,
    }
}

/// Memory that nobody knows the size of.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo(_handle: *mut c_void, _memory: *mut c_void) -> Return {
    NOT_SUPPORTED
}

/// `nvmlUtilization_t`.
#[repr(C)]
pub struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

/// Always busy.
///
/// # Safety
/// As in NVML: `rates` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUtilizationRates(handle: *mut c_void, rates: *mut Utilization) -> Return {
    let busy = |_: &Present| Utilization { gpu: 100, memory: 0 };
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetUtilizationRates", "utilization"), rates, busy) }
}

/// The default compute mode.
///
/// # Safety
/// As in NVML: `mode` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeMode(handle: *mut c_void, mode: *mut c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetComputeMode", "mode"), mode, |_| 0) }
}

/// `nvmlValue_t`: its widest members.
#[repr(C)]
pub union FieldContent {
    unsigned: c_uint,
    wide: c_ulonglong,
}

/// `nvmlFieldValue_t`.
#[repr(C)]
pub struct FieldValue {
    field: c_uint,
    scope: c_uint,
    timestamp: c_longlong,
    latency: c_longlong,
    kind: c_uint,
    status: Return,
    value: FieldContent,
}

/// Power fields.
///
/// # Safety
/// As in NVML: `values` holds `count` entries.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    handle: *mut c_void,
    count: c_int,
    values: *mut FieldValue,
) -> Return {
    let present = match gpu(handle, "nvmlDeviceGetFieldValues") {
        Ok(present) => present,
        Err(code) => return code,
    };
    let Ok(count) = usize::try_from(count) else { return INVALID_ARGUMENT };
    // SAFETY: the caller promises `count` entries.
    for entry in unsafe { std::slice::from_raw_parts_mut(values, count) } {
        entry.timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as c_longlong);
        entry.latency = 12;
        let known = matches!(entry.field, FIELD_POWER_AVERAGE | FIELD_POWER_INSTANT);
        if known && entry.scope == 0 && present.has("fields") {
            entry.status = SUCCESS;
            entry.kind = VALUE_UNSIGNED_INT;
            entry.value = FieldContent { wide: 0 };
            entry.value.unsigned =
                if entry.field == FIELD_POWER_AVERAGE { present.averaged() } else { present.instant() };
        } else {
            entry.status = NOT_SUPPORTED;
        }
    }
    SUCCESS
}
