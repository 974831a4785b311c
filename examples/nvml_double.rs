//! A stand-in for `libnvidia-ml.so.1` whose GPUs draw a known power.
//!
//! It reads its script from the file beside it that has the same name and the ending `.script`,
//! so copies of the library in several folders are machines of their own. One statement a line:
//!
//! ```text
//! init driver-not-loaded       answer of nvmlInit (also: no-permission); absent: success
//! driver 580.82.07             driver version
//! gpu NVIDIA H200              begins a GPU of this name; the statements below describe it
//! power 0 100000               from second 0 after nvmlInit on it draws 100 000 mW
//! power 2.5 300000
//! period-ms 20                 energy and power change every 20 ms only
//! energy-start-mj 5000000      value of the energy counter at nvmlInit
//! limit-mw 700000              at a power of the limit and above it reports a power cap
//! without energy               this function is not supported (also: fields, power, clock,
//!                              temperature, throttle, limit)
//! lost-at 3                    from second 3 on the GPU is lost
//! mig                          it is split into instances
//! reload 1 2                   (before the first gpu) from second 1 to 2 the driver is not loaded; after that
//!                              nvmlInit has to be called again, and energy counts from its start anew
//! slowdown 1 2                 from second 1 to 2 it is throttled for heat
//! ```
//!
//! A script that is missing or wrong makes `nvmlInit` fail with NVML_ERROR_UNKNOWN (999).

#![expect(unsafe_code, reason = "it implements a C interface")]
#![expect(clippy::disallowed_methods, reason = "a GPU has a clock of its own")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_longlong, c_uint, c_ulonglong, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

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
const REASON_IDLE: c_ulonglong = 0x1;
const REASON_POWER_CAP: c_ulonglong = 0x4;
const REASON_THERMAL: c_ulonglong = 0x20;

/// What the script says.
struct Machine {
    start: Instant,
    init: Return,
    driver: String,
    gpus: Vec<Gpu>,
    reload: Option<(f64, f64)>,
    /// Whether nvmlInit was called since the reload.
    renewed: AtomicBool,
}

struct Gpu {
    name: String,
    /// Second and milliwatts from then on, in time order.
    power: Vec<(f64, u32)>,
    period: Option<f64>,
    energy_start: u64,
    limit: u32,
    without: Vec<String>,
    lost_at: Option<f64>,
    mig: bool,
    slowdown: Option<(f64, f64)>,
    /// Second from which energy counts.
    counts_from: f64,
}

impl Gpu {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            power: Vec::new(),
            period: None,
            energy_start: 5_000_000,
            limit: 700_000,
            without: Vec::new(),
            lost_at: None,
            mig: false,
            slowdown: None,
            counts_from: 0.0,
        }
    }

    /// The last moment at which the values changed.
    fn updated(&self, seconds: f64) -> f64 {
        self.period.map_or(seconds, |period| (seconds / period).floor() * period)
    }

    fn milliwatts(&self, seconds: f64) -> u32 {
        let now = self.updated(seconds);
        self.power.iter().rev().find(|step| step.0 <= now).map_or(0, |step| step.1)
    }

    /// Integral of the power curve.
    fn millijoules(&self, seconds: f64) -> u64 {
        let now = self.updated(seconds);
        let ends = self.power.iter().skip(1).map(|step| step.0).chain([f64::INFINITY]);
        // A driver that was reloaded has forgotten what was before.
        let from = if now >= self.counts_from { self.counts_from } else { 0.0 };
        let steps = self.power.iter().zip(ends);
        let drawn: f64 = steps.map(|(step, end)| (end.min(now) - step.0.max(from)).max(0.0) * f64::from(step.1)).sum();
        self.energy_start + drawn as u64
    }

    fn has(&self, function: &str) -> bool {
        !self.without.iter().any(|w| w == function)
    }
}

/// Parses a script; `None` when a statement is not understood.
fn parse(script: &str) -> Option<Machine> {
    let mut machine = Machine {
        start: Instant::now(),
        init: SUCCESS,
        driver: "580.82.07".to_owned(),
        gpus: Vec::new(),
        reload: None,
        renewed: AtomicBool::new(false),
    };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let pair = || {
            let (from, to) = rest.split_once(' ')?;
            Some((from.parse::<f64>().ok()?, to.parse::<f64>().ok()?))
        };
        match word {
            "init" => {
                machine.init = match rest {
                    "driver-not-loaded" => DRIVER_NOT_LOADED,
                    "no-permission" => NO_PERMISSION,
                    _ => return None,
                }
            }
            "driver" => machine.driver = rest.to_owned(),
            "reload" => machine.reload = Some(pair()?),
            "gpu" => {
                let mut gpu = Gpu::new(rest);
                gpu.counts_from = machine.reload.map_or(0.0, |(_, to)| to);
                machine.gpus.push(gpu);
            }
            _ => {
                let gpu = machine.gpus.last_mut()?;
                match word {
                    "power" => {
                        let (second, milliwatts) = rest.split_once(' ')?;
                        gpu.power.push((second.parse().ok()?, milliwatts.parse().ok()?));
                    }
                    "period-ms" => gpu.period = Some(rest.parse::<f64>().ok()? / 1e3),
                    "energy-start-mj" => gpu.energy_start = rest.parse().ok()?,
                    "limit-mw" => gpu.limit = rest.parse().ok()?,
                    "without" => gpu.without.push(rest.to_owned()),
                    "mig" => gpu.mig = true,
                    "slowdown" => gpu.slowdown = Some(pair()?),
                    "lost-at" => gpu.lost_at = Some(rest.parse().ok()?),
                    _ => return None,
                }
            }
        }
    }
    Some(machine)
}

static MACHINE: OnceLock<Option<Machine>> = OnceLock::new();

fn machine() -> Option<&'static Machine> {
    MACHINE.get().and_then(Option::as_ref)
}

/// Path of this very library, asked of the dynamic loader.
fn own_path() -> Option<PathBuf> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is that of a function in this library, and `info` outlives the call.
    let found = unsafe { libc::dladdr(nvmlShutdown as *const c_void, info.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: dladdr succeeded and filled in the structure; the name stays valid while the library
    // is loaded, and a null name is refused before it is used.
    let name = unsafe {
        let info = info.assume_init();
        (!info.dli_fname.is_null()).then(|| CStr::from_ptr(info.dli_fname))
    }?;
    Some(Path::new(OsStr::from_bytes(name.to_bytes())).to_owned())
}

/// What every call answers while the driver is away, and until nvmlInit is called after that.
fn away(machine: &Machine) -> Option<Return> {
    let (from, to) = machine.reload?;
    let seconds = machine.start.elapsed().as_secs_f64();
    match seconds {
        _ if seconds < from => None,
        _ if seconds < to => Some(DRIVER_NOT_LOADED),
        _ => (!machine.renewed.load(Ordering::Relaxed)).then_some(UNINITIALIZED),
    }
}

/// The GPU behind a handle, which is its number plus one, and seconds since `nvmlInit`.
fn gpu(handle: *mut c_void) -> Result<(&'static Gpu, f64), Return> {
    let machine = machine().ok_or(UNINITIALIZED)?;
    if let Some(code) = away(machine) {
        return Err(code);
    }
    let gpu = (handle as usize).checked_sub(1).and_then(|i| machine.gpus.get(i)).ok_or(INVALID_ARGUMENT)?;
    let seconds = machine.start.elapsed().as_secs_f64();
    if gpu.lost_at.is_some_and(|lost| seconds >= lost) { Err(GPU_IS_LOST) } else { Ok((gpu, seconds)) }
}

/// Writes what `value` gives for the GPU behind `handle` to `out`.
///
/// # Safety
/// `out` must be valid for a write.
unsafe fn answer<T>(handle: *mut c_void, function: &str, out: *mut T, value: impl FnOnce(&Gpu, f64) -> T) -> Return {
    match gpu(handle) {
        Ok((gpu, seconds)) if gpu.has(function) => {
            // SAFETY: the caller promises that `out` may be written.
            unsafe { out.write(value(gpu, seconds)) };
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
    let machine = MACHINE.get_or_init(|| parse(&std::fs::read_to_string(own_path()?.with_extension("script")).ok()?));
    let Some(machine) = machine else { return UNKNOWN };
    match away(machine) {
        Some(UNINITIALIZED) => machine.renewed.store(true, Ordering::Relaxed),
        Some(code) => return code,
        None => {}
    }
    machine.init
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
    // SAFETY: the caller's promise is passed on.
    machine().map_or(UNINITIALIZED, |machine| unsafe { put(&machine.driver, out, length) })
}

/// Number of GPUs in the script.
///
/// # Safety
/// As in NVML: `count` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> Return {
    let Some(machine) = machine() else { return UNINITIALIZED };
    // SAFETY: the caller promises that `count` may be written.
    unsafe { count.write(machine.gpus.len() as c_uint) };
    SUCCESS
}

/// Handle of a GPU.
///
/// # Safety
/// As in NVML: `handle` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, handle: *mut *mut c_void) -> Return {
    let Some(machine) = machine() else { return UNINITIALIZED };
    if index as usize >= machine.gpus.len() {
        return INVALID_ARGUMENT;
    }
    // SAFETY: the caller promises that `handle` may be written.
    unsafe { handle.write(std::ptr::without_provenance_mut(index as usize + 1)) };
    SUCCESS
}

/// Name of a GPU.
///
/// # Safety
/// As in NVML: `out` holds `length` bytes.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(handle: *mut c_void, out: *mut c_char, length: c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    gpu(handle).map_or_else(|code| code, |(gpu, _)| unsafe { put(&gpu.name, out, length) })
}

/// `GPU-double-0` and so on.
///
/// # Safety
/// As in NVML: `out` holds `length` bytes.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(handle: *mut c_void, out: *mut c_char, length: c_uint) -> Return {
    let uuid = format!("GPU-double-{}", (handle as usize).wrapping_sub(1));
    // SAFETY: the caller's promise is passed on.
    gpu(handle).map_or_else(|code| code, |_| unsafe { put(&uuid, out, length) })
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
    unsafe { answer(handle, "energy", millijoules, Gpu::millijoules) }
}

/// Power.
///
/// # Safety
/// As in NVML: `milliwatts` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPowerUsage(handle: *mut c_void, milliwatts: *mut c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, "power", milliwatts, Gpu::milliwatts) }
}

/// Power limit.
///
/// # Safety
/// As in NVML: `milliwatts` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEnforcedPowerLimit(handle: *mut c_void, milliwatts: *mut c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, "limit", milliwatts, |gpu, _| gpu.limit) }
}

/// Every clock runs at 1980 MHz.
///
/// # Safety
/// As in NVML: `megahertz` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetClockInfo(handle: *mut c_void, _clock: c_uint, megahertz: *mut c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, "clock", megahertz, |_, _| 1980) }
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
    unsafe { answer(handle, "temperature", celsius, |gpu, seconds| 30 + gpu.milliwatts(seconds) / 10_000) }
}

/// A power cap at the limit, idle otherwise.
///
/// # Safety
/// As in NVML: `reasons` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(
    handle: *mut c_void,
    reasons: *mut c_ulonglong,
) -> Return {
    let reason = |gpu: &Gpu, seconds: f64| {
        if gpu.slowdown.is_some_and(|(a, b)| (a..b).contains(&seconds)) {
            REASON_THERMAL
        } else if gpu.milliwatts(seconds) >= gpu.limit {
            REASON_POWER_CAP
        } else {
            REASON_IDLE
        }
    };
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, "throttle", reasons, reason) }
}

/// Whether the board is split into instances, now and after the next reset.
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
    // SAFETY: the caller's promise is passed on.
    match unsafe { answer(handle, "mig", current, |gpu, _| c_uint::from(gpu.mig)) } {
        // SAFETY: as above.
        SUCCESS => unsafe { answer(handle, "mig", pending, |gpu, _| c_uint::from(gpu.mig)) },
        code => code,
    }
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
    let (gpu, seconds) = match gpu(handle) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let Ok(count) = usize::try_from(count) else { return INVALID_ARGUMENT };
    // SAFETY: the caller promises `count` entries.
    for entry in unsafe { std::slice::from_raw_parts_mut(values, count) } {
        entry.timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as c_longlong);
        entry.latency = 12;
        let known = matches!(entry.field, FIELD_POWER_AVERAGE | FIELD_POWER_INSTANT);
        if known && entry.scope == 0 && gpu.has("fields") {
            entry.status = SUCCESS;
            entry.kind = VALUE_UNSIGNED_INT;
            entry.value = FieldContent { wide: 0 };
            entry.value.unsigned = gpu.milliwatts(seconds);
        } else {
            entry.status = NOT_SUPPORTED;
        }
    }
    SUCCESS
}
