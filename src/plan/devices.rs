//! Cases of a suite on the devices of a host.

use super::{Capacity, MEMORY_SHARE, cold, human, judge};
use crate::kernels::{Chosen, Target, Work};
use crate::suite::{Case, Catalog, DeviceId, Threads};
use crate::units::Bytes;

/// Bytes that a library may ask for besides the operands.
const WORKSPACE: f64 = 67_108_864.0;

/// A device that cases can be planned for.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedDevice {
    /// Its id, with its number.
    pub id: DeviceId,
    /// Name for people.
    pub name: String,
    /// Memory that is free on it; `None` when unknown, and then nothing is skipped for it.
    pub memory: Option<Bytes>,
    /// What its last-level cache holds; `None` when unknown, and then cold cases take it for as large as that of any card.
    pub cache: Option<Bytes>,
    /// What programs for it are written in, and what it can do.
    pub target: Target,
    /// Whether it is the processor in disguise: right answers, and no device whose energy says anything.
    pub software: bool,
    /// Whether the processor computes in its place, as software or as a double of the project's tests: ceilings say nothing.
    pub emulated: bool,
    /// Why nothing can be measured on it although it answered.
    pub refused: Option<String>,
}

/// The devices of a host, besides its processor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Devices {
    /// Those that answered, in the order of their ids.
    pub found: Vec<PlannedDevice>,
    /// Families without any, and why: `cuda`, `libcuda.so.1 was not found`.
    pub missing: Vec<(String, String)>,
    /// Whether `*` stands for software devices as well.
    pub allow_software: bool,
}

impl Devices {
    /// The device of this id.
    #[must_use]
    pub fn get(&self, id: &DeviceId) -> Option<&PlannedDevice> {
        self.found.iter().find(|d| d.id == *id)
    }

    /// The devices that a suite means with `wanted`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn meant(&self, wanted: &DeviceId) -> Result<Vec<&PlannedDevice>, String> {
        let family = wanted.family();
        let all: Vec<_> = self.found.iter().filter(|d| d.id.family() == family).collect();
        let allowed = |d: &&PlannedDevice| !(wanted.is_any() && d.software && !self.allow_software);
        let meant: Vec<_> = all.iter().copied().filter(|d| wanted.means(&d.id)).filter(allowed).collect();
        if !meant.is_empty() {
            return Ok(meant);
        }
        let missing = self.missing.iter().find(|(f, _)| f == family);
        Err(match (missing, all.as_slice()) {
            (Some((_, why)), []) => format!("there is no {family} device: {why}"),
            (None, []) => format!("there is no {family} device: this program knows none"),
            (_, all) if wanted.is_any() => {
                let names: Vec<_> = all.iter().map(|d| format!("{} ({})", d.id, d.name)).collect();
                format!(
                    "there is no {family} device but {}, which is software: name it in `devices`, or allow it with \
                     `--allow-software`",
                    names.join(", ")
                )
            }
            (_, all) => {
                let names: Vec<_> = all.iter().map(|d| d.id.to_string()).collect();
                format!("there is no device `{wanted}` here; there is {}", names.join(", "))
            }
        })
    }
}

/// Memory that a case takes on a device, with all its copies where it is cold.
///
/// # Errors
/// Why the device cannot compute it.
pub fn device_bytes(case: &Case, device: &PlannedDevice, catalog: &Catalog) -> Result<Bytes, String> {
    let kernel = catalog.find(&case.kernel).ok_or_else(|| format!("this build has no kernel `{}`", case.kernel))?;
    let copies = f64::from(case.cache.copies().unwrap_or(1));
    match device.target.choose(kernel, &case.params) {
        Ok(Chosen::Own(program)) => match program.beyond(&device.target.limits) {
            Some(why) => Err(format!("{} ({}) cannot run it: {why}", device.id, device.name)),
            None => Ok(program.bytes() * copies),
        },
        Ok(Chosen::Library(_)) => {
            let workspace = Bytes::new(WORKSPACE).unwrap_or_default();
            kernel.work(&case.params).map(|w| (w.bytes + workspace) * copies).map_err(|e| e.to_string())
        }
        Err(why) => Err(format!("{} in {} on {} ({}): {why}", case.kernel, case.params.dtype, device.id, device.name)),
    }
}

/// `case` as it can run on `device`, with its copies where it is cold, and its work.
pub(super) fn fits(
    case: &Case,
    device: &PlannedDevice,
    capacity: &Capacity,
    catalog: &Catalog,
) -> Result<(Case, Work), String> {
    if let Some(why) = &device.refused {
        return Err(why.clone());
    }
    // Operands and reference are made in the memory of the host.
    let work = judge(case, 1, capacity, catalog)?;
    let needed = device_bytes(case, device, catalog)?;
    match device.memory {
        Some(free) if needed.get() > free.get() * MEMORY_SHARE => {
            let (share, needed, free) = (MEMORY_SHARE * 100.0, human(needed), human(free));
            Err(format!(
                "it needs {needed} on {} ({}), more than {share} % of the {free} free there: use a smaller shape or \
                 free memory",
                device.id, device.name
            ))
        }
        _ => copied(case, device, &work, needed).map(|case| (case, work)),
    }
}

/// A case with its copies, each of which takes `each` of the device's memory.
fn copied(case: &Case, device: &PlannedDevice, work: &Work, each: Bytes) -> Result<Case, String> {
    if !case.cache.is_cold() {
        return Ok(case.clone());
    }
    let held = device.cache.map_or(Bytes::new(cold::OF_ANY_CARD).unwrap_or_default(), |held| held);
    let case = cold::planned(case, work, held)?;
    let needed = each * f64::from(case.cache.copies().unwrap_or(1));
    let place = format!(" on {} ({})", device.id, device.name);
    match device.memory.and_then(|free| cold::beyond(&case, needed, free, MEMORY_SHARE, &place)) {
        Some(reason) => Err(reason),
        None => Ok(case),
    }
}

/// `case` on `device`, with the one thread that submits.
pub(super) fn placed(case: &Case, device: &PlannedDevice) -> Case {
    Case { threads: Threads::Count(1), ..case.on(&device.id) }
}
