//! One GPU: which of its functions work, and reading them.

use super::inventory::public_id;
use crate::sensors::{Channel, Domain, Quantity, ReaderRole, Value};
use crate::units::{Celsius, Hertz, MicroJoules, Seconds, Watts};
use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::{NVML_FI_DEV_POWER_AVERAGE, NVML_FI_DEV_POWER_INSTANT};

/// What can be asked of a GPU. Energy stands first, so that it is read next to the window's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Energy,
    InstantPower,
    AveragePower,
    /// `power_usage`: one function of several meanings, used where the fields are missing.
    PowerUsage,
    Clock,
    MemoryClock,
    Temperature,
    Throttle,
    PowerLimit,
}

/// Functions in the order in which they are tried and read.
const FUNCTIONS: [Function; 9] = [
    Function::Energy,
    Function::InstantPower,
    Function::AveragePower,
    Function::PowerUsage,
    Function::Clock,
    Function::MemoryClock,
    Function::Temperature,
    Function::Throttle,
    Function::PowerLimit,
];

impl Function {
    const fn word(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::InstantPower => "power-instant",
            Self::AveragePower => "power-average",
            Self::PowerUsage => "power",
            Self::Clock => "sm-clock",
            Self::MemoryClock => "memory-clock",
            Self::Temperature => "temperature",
            Self::Throttle => "throttle",
            Self::PowerLimit => "power-limit",
        }
    }

    /// `limit` is the highest power limit that can be set.
    fn quantity(self, limit: Option<Watts>) -> Quantity {
        match self {
            // The counter is a 64-bit number of millijoules: it does not wrap. A board can exceed
            // its limit for moments, so twice the limit is what tells a jump from a real step.
            Self::Energy => Quantity::Energy {
                resolution: MicroJoules::from_millijoules(1),
                range: None,
                max_power: limit.map(|l| l * 2.0),
            },
            Self::InstantPower => Quantity::InstantPower,
            // One second on the parts that have the field.
            Self::AveragePower => Quantity::AveragePower { interval: Seconds::new(1.0).ok() },
            Self::PowerUsage => Quantity::AveragePower { interval: None },
            Self::Clock => Quantity::Clock,
            Self::MemoryClock => Quantity::MemoryClock,
            Self::Temperature => Quantity::Temperature,
            Self::Throttle => Quantity::Throttle,
            Self::PowerLimit => Quantity::PowerLimit,
        }
    }
}

/// A GPU with the functions that work on it.
pub(super) struct Gpu {
    device: Device<'static>,
    name: String,
    domain: Domain,
    functions: Vec<Function>,
    /// Highest power limit that can be set.
    limit: Option<Watts>,
}

impl Gpu {
    /// Tries every function once. What does not work is left out with a note.
    pub(super) fn open(device: Device<'static>, notes: &mut Vec<String>) -> Result<Self, NvmlError> {
        let uuid = public_id(&device.uuid()?);
        let name = device.name()?;
        let limit = highest_limit(&device);
        let mut functions = Vec::new();
        for function in FUNCTIONS {
            let has_field = |f: &Function| matches!(f, Function::InstantPower | Function::AveragePower);
            if function == Function::PowerUsage && functions.iter().any(has_field) {
                continue;
            }
            match call(&device, function) {
                Ok(_) => functions.push(function),
                Err(error) => notes.push(format!("{name}: no {}: {error}", function.word())),
            }
        }
        if functions.contains(&Function::PowerUsage) {
            notes.push(format!(
                "{name}: power is an average over up to 1 s on Ampere and later parts except GA100; the driver does \
                 not say over how long here"
            ));
        }
        let domain = if is_module(&name) {
            notes.push(format!("{name}: energy and power cover the whole module, its CPU included"));
            Domain::GpuModule { uuid }
        } else {
            Domain::Gpu { uuid }
        };
        // An instance has no meter. The board's energy holds that of other tenants, so nothing on it is rated.
        let domain = if device.mig_mode().is_ok_and(|mode| mode.current != 0) {
            notes.push(format!(
                "{name}: split into MIG instances, and readings cover the whole board: they are shown as `other-mig-…` and \
                 never rated"
            ));
            Domain::other(&format!("mig-{domain}"))
        } else {
            domain
        };
        Ok(Self { device, name, domain, functions, limit })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn channels(&self) -> Vec<Channel> {
        let channel = |&function: &Function| Channel {
            name: format!("{}/{}", self.domain, function.word()),
            domain: self.domain.clone(),
            quantity: function.quantity(self.limit),
            role: ReaderRole::default(),
            update_period: None,
        };
        self.functions.iter().map(channel).collect()
    }

    /// Appends one value a channel.
    ///
    /// # Errors
    /// The driver's error when the GPU itself is lost; a function that fails alone gives `None`.
    pub(super) fn read(&self, values: &mut Vec<Option<Value>>) -> Result<(), NvmlError> {
        let (begin, mut last) = (values.len(), None);
        for &function in &self.functions {
            values.push(match call(&self.device, function) {
                Ok(value) => Some(value),
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => {
                    last = Some(error);
                    None
                }
            });
        }
        // A driver that is being unloaded answers every call with an unknown error for a while.
        match last {
            Some(error) if values[begin..].iter().all(Option::is_none) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The highest power limit that can be set, or the one in force where that is higher or the only
/// one known: it may be raised while the program runs.
fn highest_limit(device: &Device<'_>) -> Option<Watts> {
    let settable = device.power_management_limit_constraints().ok().map(|c| c.max_limit);
    let in_force = device.enforced_power_limit().ok();
    settable.max(in_force).and_then(milliwatts)
}

/// Whether the error says that the GPU or the driver is gone.
pub(super) const fn is_fatal(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::DriverNotLoaded | NvmlError::Uninitialized
    )
}

/// Grace Hopper and Grace Blackwell report the module, not the GPU alone.
fn is_module(name: &str) -> bool {
    ["GH200", "GB200", "GB300"].iter().any(|word| name.contains(word))
}

fn call(device: &Device<'_>, function: Function) -> Result<Value, NvmlError> {
    match function {
        Function::Energy => {
            let millijoules = device.total_energy_consumption()?;
            MicroJoules::from_millijoules(millijoules).map(Value::Energy).ok_or(NvmlError::Unknown)
        }
        Function::InstantPower => field_power(device, NVML_FI_DEV_POWER_INSTANT),
        Function::AveragePower => field_power(device, NVML_FI_DEV_POWER_AVERAGE),
        Function::PowerUsage => power(device.power_usage()?),
        Function::Clock => clock(device, Clock::SM),
        Function::MemoryClock => clock(device, Clock::Memory),
        Function::Temperature => {
            let celsius = f64::from(device.temperature(TemperatureSensor::Gpu)?);
            Celsius::new(celsius).map(Value::Temperature).map_err(|_| NvmlError::Unknown)
        }
        Function::Throttle => Ok(Value::Throttle(throttle_words(device.current_throttle_reasons()?))),
        Function::PowerLimit => power(device.enforced_power_limit()?),
    }
}

fn clock(device: &Device<'_>, which: Clock) -> Result<Value, NvmlError> {
    let megahertz = f64::from(device.clock_info(which)?);
    Hertz::new(megahertz * 1e6).map(Value::Clock).map_err(|_| NvmlError::Unknown)
}

/// A power field with scope 0: the GPU, not the module.
fn field_power(device: &Device<'_>, field: u32) -> Result<Value, NvmlError> {
    let mut answers = device.field_values_for(&[FieldId(field)])?;
    match answers.pop().ok_or(NvmlError::NoData)??.value? {
        SampleValue::U32(milliwatts) => power(milliwatts),
        SampleValue::U64(milliwatts) => power(u32::try_from(milliwatts).map_err(|_| NvmlError::Unknown)?),
        SampleValue::F64(_) | SampleValue::I64(_) => Err(NvmlError::NoData),
    }
}

fn power(value: u32) -> Result<Value, NvmlError> {
    milliwatts(value).map(Value::Power).ok_or(NvmlError::Unknown)
}

fn milliwatts(value: u32) -> Option<Watts> {
    Watts::new(f64::from(value) / 1e3).ok()
}

/// Why the GPU runs below its clock, in words. An idle GPU is not throttled: that word is kept
/// apart, so that readers can tell.
fn throttle_words(reasons: ThrottleReasons) -> Vec<String> {
    const WORDS: [(ThrottleReasons, &str); 9] = [
        (ThrottleReasons::GPU_IDLE, "idle"),
        (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "application-clocks"),
        (ThrottleReasons::SW_POWER_CAP, "power-cap"),
        (ThrottleReasons::HW_SLOWDOWN, "hardware-slowdown"),
        (ThrottleReasons::SYNC_BOOST, "sync-boost"),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "thermal"),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hardware-thermal"),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power-brake"),
        (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display-clocks"),
    ];
    WORDS.iter().filter(|(reason, _)| reasons.contains(*reason)).map(|(_, word)| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_reasons_become_words() {
        assert_eq!(throttle_words(ThrottleReasons::NONE), Vec::<String>::new());
        let both = ThrottleReasons::SW_POWER_CAP | ThrottleReasons::HW_THERMAL_SLOWDOWN;
        assert_eq!(throttle_words(both), ["power-cap", "hardware-thermal"]);
        assert_eq!(throttle_words(ThrottleReasons::all()).len(), 9);
    }

    #[test]
    fn modules_are_told_from_boards() {
        assert!(is_module("NVIDIA GH200 480GB"));
        assert!(!is_module("NVIDIA H200"));
        assert!(!is_module("NVIDIA H100 80GB HBM3"));
    }
}
