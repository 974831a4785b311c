//! The machine behind the double of NVML: its script, its clock, and what a GPU is at this moment.

use super::script::{Gpu, Script};
use super::{DRIVER_NOT_LOADED, GPU_IS_LOST, INVALID_ARGUMENT, Return, UNINITIALIZED, nvmlShutdown};
use std::ffi::{CStr, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What the script says, and when it began.
pub(super) struct Machine {
    pub(super) script: Script,
    pub(super) origin: u64,
    pub(super) triggers: Option<PathBuf>,
    /// Length of the file of triggers when it was read last, and what it said.
    pub(super) triggered: Mutex<(u64, Vec<f64>)>,
    /// Whether nvmlInit was called since the driver was loaded anew.
    pub(super) renewed: AtomicBool,
}

impl Machine {
    pub(super) fn load() -> Option<Self> {
        let library = own_path()?;
        let script = Script::parse(&std::fs::read_to_string(library.with_extension("script")).ok()?).ok()?;
        let origin = script.origin.unwrap_or_else(monotonic);
        let triggers = script.gpus.iter().any(|g| g.load.idle.is_some()).then(|| library.with_file_name("triggers"));
        Some(Self { script, origin, triggers, triggered: Mutex::new((0, Vec::new())), renewed: AtomicBool::new(false) })
    }

    pub(super) fn seconds(&self) -> f64 {
        (monotonic() as f64 - self.origin as f64) / 1e9
    }

    /// Seconds at which the curves were triggered.
    pub(super) fn triggers(&self) -> Vec<f64> {
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
    pub(super) fn away(&self) -> Option<Return> {
        let (from, to) = self.script.reload?;
        match self.seconds() {
            seconds if seconds < from => None,
            seconds if seconds < to => Some(DRIVER_NOT_LOADED),
            _ => (!self.renewed.load(Ordering::Relaxed)).then_some(UNINITIALIZED),
        }
    }

    /// Second from which energy counts: a driver that was loaded anew has forgotten what was before.
    pub(super) fn counts_from(&self) -> f64 {
        self.script.reload.map(|(_, to)| to).filter(|to| self.seconds() >= *to).unwrap_or(0.0)
    }

    /// The code with which a function fails at this moment.
    pub(super) fn failure(&self, function: &str) -> Option<Return> {
        if let Some(code) = self.away() {
            return Some(code);
        }
        let seconds = self.seconds();
        self.script.failures.iter().find(|f| f.function == function && seconds >= f.from).map(|f| f.code)
    }
}

/// A GPU at one moment.
pub(super) struct Present {
    pub(super) gpu: &'static Gpu,
    pub(super) seconds: f64,
    pub(super) counts_from: f64,
    pub(super) triggers: Vec<f64>,
}

impl Present {
    pub(super) fn mean(&self, from: f64, to: f64) -> f64 {
        (self.gpu.load.energy(to, &self.triggers) - self.gpu.load.energy(from, &self.triggers)) / (to - from)
    }

    /// Power as the fields show it: sampled where the script says so.
    pub(super) fn instant(&self) -> u32 {
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
    pub(super) fn averaged(&self) -> u32 {
        let mean = self.gpu.average.map(|length| self.mean(self.seconds - length, self.seconds));
        mean.map_or_else(|| self.instant(), |watts| (watts * 1e3).round() as u32)
    }

    /// Integral of the power curve.
    pub(super) fn millijoules(&self) -> u64 {
        let period = self.gpu.counter_period.or(self.gpu.period);
        let now = period.map_or(self.seconds, |period| (self.seconds / period).floor() * period);
        let joules = |t: f64| self.gpu.load.energy(t, &self.triggers);
        self.gpu.energy_start_mj + ((joules(now.max(self.counts_from)) - joules(self.counts_from)) * 1e3) as u64
    }

    pub(super) fn has(&self, function: &str) -> bool {
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

pub(super) static MACHINE: OnceLock<Option<Machine>> = OnceLock::new();

pub(super) fn machine() -> Option<&'static Machine> {
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
pub(super) fn gpu(handle: *mut c_void, function: &str) -> Result<Present, Return> {
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

/// The failure that the script wants of a function that is about no GPU.
pub(super) fn fails(function: &str) -> Option<Return> {
    machine().map_or(Some(UNINITIALIZED), |machine| machine.failure(function))
}
