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

mod curve;
mod script;

use script::{Gpu, Script};
use std::ffi::{CStr, OsStr, c_char, c_int, c_longlong, c_uint, c_ulonglong, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
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
const REASON_IDLE: c_ulonglong = 0x1;
const REASON_POWER_CAP: c_ulonglong = 0x4;
const REASON_THERMAL: c_ulonglong = 0x20;

/// What the script says, and when it began.
struct Machine {
    script: Script,
    origin: u64,
    triggers: Option<PathBuf>,
    /// Length of the file of triggers when it was read last, and what it said.
    triggered: Mutex<(u64, Vec<f64>)>,
    /// Whether nvmlInit was called since the driver was loaded anew.
    renewed: AtomicBool,
}

impl Machine {
    fn load() -> Option<Self> {
        let library = own_path()?;
        let script = Script::parse(&std::fs::read_to_string(library.with_extension("script")).ok()?).ok()?;
        let origin = script.origin.unwrap_or_else(monotonic);
        let triggers = script.gpus.iter().any(|g| g.load.idle.is_some()).then(|| library.with_file_name("triggers"));
        Some(Self { script, origin, triggers, triggered: Mutex::new((0, Vec::new())), renewed: AtomicBool::new(false) })
    }

    fn seconds(&self) -> f64 {
        (monotonic() as f64 - self.origin as f64) / 1e9
    }

    /// Seconds at which the curves were triggered.
    fn triggers(&self) -> Vec<f64> {
        let Some(path) = &self.triggers else { return Vec::new() };
        let mut known = self.triggered.lock().unwrap_or_else(PoisonError::into_inner);
        let length = std::fs::metadata(path).map_or(0, |m| m.len());
        if length != known.0 {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let nanos = text.lines().filter_map(|line| line.parse::<u64>().ok());
            *known = (length, nanos.map(|at| at.saturating_sub(self.origin) as f64 / 1e9).collect());
        }
        known.1.clone()
    }

    /// What every call answers while the driver is away, and until nvmlInit is called after that.
    fn away(&self) -> Option<Return> {
        let (from, to) = self.script.reload?;
        match self.seconds() {
            seconds if seconds < from => None,
            seconds if seconds < to => Some(DRIVER_NOT_LOADED),
            _ => (!self.renewed.load(Ordering::Relaxed)).then_some(UNINITIALIZED),
        }
    }

    /// Second from which energy counts: a driver that was loaded anew has forgotten what was before.
    fn counts_from(&self) -> f64 {
        self.script.reload.map(|(_, to)| to).filter(|to| self.seconds() >= *to).unwrap_or(0.0)
    }

    /// The code with which a function fails at this moment.
    fn failure(&self, function: &str) -> Option<Return> {
        if let Some(code) = self.away() {
            return Some(code);
        }
        let seconds = self.seconds();
        self.script.failures.iter().find(|f| f.function == function && seconds >= f.from).map(|f| f.code)
    }
}

/// A GPU at one moment.
struct Present {
    gpu: &'static Gpu,
    seconds: f64,
    counts_from: f64,
    triggers: Vec<f64>,
}

impl Present {
    fn mean(&self, from: f64, to: f64) -> f64 {
        (self.gpu.load.energy(to, &self.triggers) - self.gpu.load.energy(from, &self.triggers)) / (to - from)
    }

    /// Power as the fields show it: sampled where the script says so.
    fn instant(&self) -> u32 {
        let watts = match (self.gpu.sampled, self.gpu.period) {
            (Some((length, period)), _) => {
                let end = (self.seconds / period).floor() * period;
                self.mean(end - length, end)
            }
            (None, Some(period)) => self.gpu.load.power((self.seconds / period).floor() * period, &self.triggers),
            (None, None) => self.gpu.load.power(self.seconds, &self.triggers),
        };
        (watts * 1e3).round() as u32
    }

    /// Power over the last so many seconds, where the script names an average.
    fn averaged(&self) -> u32 {
        let mean = self.gpu.average.map(|length| self.mean(self.seconds - length, self.seconds));
        mean.map_or_else(|| self.instant(), |watts| (watts * 1e3).round() as u32)
    }

    /// Integral of the power curve.
    fn millijoules(&self) -> u64 {
        let period = self.gpu.counter_period.or(self.gpu.period);
        let now = period.map_or(self.seconds, |period| (self.seconds / period).floor() * period);
        let joules = |t: f64| self.gpu.load.energy(t, &self.triggers);
        self.gpu.energy_start_mj + ((joules(now.max(self.counts_from)) - joules(self.counts_from)) * 1e3) as u64
    }

    fn has(&self, function: &str) -> bool {
        !self.gpu.without.iter().any(|w| w == function)
    }
}

/// `CLOCK_MONOTONIC` in nanoseconds.
fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer and outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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

/// The GPU behind a handle, which is its number plus one, as it is now.
fn gpu(handle: *mut c_void, function: &str) -> Result<Present, Return> {
    let machine = machine().ok_or(UNINITIALIZED)?;
    let gpu = (handle as usize).checked_sub(1).and_then(|i| machine.script.gpus.get(i)).ok_or(INVALID_ARGUMENT)?;
    if let Some(code) = machine.failure(function) {
        return Err(code);
    }
    let seconds = machine.seconds();
    if gpu.lost_at.is_some_and(|lost| seconds >= lost) {
        return Err(GPU_IS_LOST);
    }
    Ok(Present { gpu, seconds, counts_from: machine.counts_from(), triggers: machine.triggers() })
}

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

/// The failure that the script wants of a function that is about no GPU.
fn fails(function: &str) -> Option<Return> {
    machine().map_or(Some(UNINITIALIZED), |machine| machine.failure(function))
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

/// `GPU-double-0` and so on.
///
/// # Safety
/// As in NVML: `out` holds `length` bytes.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(handle: *mut c_void, out: *mut c_char, length: c_uint) -> Return {
    let uuid = format!("GPU-double-{}", (handle as usize).wrapping_sub(1));
    // SAFETY: the caller's promise is passed on.
    gpu(handle, "nvmlDeviceGetUUID").map_or_else(|code| code, |_| unsafe { put(&uuid, out, length) })
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

/// Every clock runs at 1980 MHz.
///
/// # Safety
/// As in NVML: `megahertz` may be written.
// SAFETY: as for nvmlInit_v2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetClockInfo(handle: *mut c_void, _clock: c_uint, megahertz: *mut c_uint) -> Return {
    // SAFETY: the caller's promise is passed on.
    unsafe { answer(handle, ("nvmlDeviceGetClockInfo", "clock"), megahertz, |_| 1980) }
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
    let reason = |p: &Present| match p.gpu.slowdown {
        Some((from, to)) if (from..to).contains(&p.seconds) => REASON_THERMAL,
        _ if p.instant() >= p.gpu.limit_mw => REASON_POWER_CAP,
        _ => REASON_IDLE,
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
