//! Batteries: what a laptop draws while it runs on them.
//!
//! While a battery discharges and nothing charges, what leaves it is what the whole machine takes,
//! less the loss inside the cells. On mains power its gauge says nothing of the machine, so the
//! sensor is absent then, and a charger that is plugged in during a run makes its values unknown.

use super::attribute::{Attribute, AttributeError};
use super::{
    Channel, Domain, Probe, Quantity, ReaderRole, Reading, Sensor, SensorError, SensorFamily, SensorInfo, Value,
};
use crate::clock::Clock;
use crate::host::Host;
use crate::units::{MicroJoules, Watts};
use std::path::PathBuf;

const ID: &str = "battery";
const TITLE: &str = "battery (whole laptop while it discharges)";
const ROOT: &str = "sys/class/power_supply";

/// Batteries in the registry.
pub const FAMILY: SensorFamily = SensorFamily { id: ID, title: TITLE, probe };

/// The counter starts here and rises as the battery empties. A gauge that corrects itself upwards
/// then makes a counter that goes back, which voids the window; it cannot fall below 0.
const ORIGIN: i128 = 1_000_000_000_000_000;

/// One µWh in µJ.
const MICROWATT_HOUR: i128 = 3600;

/// Looks for batteries on `host` that discharge.
///
/// Units are those of the kernel's Documentation/ABI/testing/sysfs-class-power: µWh, µAh, µV, µA, µW.
#[must_use]
pub fn probe(host: &Host) -> Probe {
    let place = host.path(ROOT);
    let names = host.list(ROOT);
    let is_battery = |name: &&String| {
        // `scope` is Device for the batteries of mice and headphones.
        host.read(&format!("{ROOT}/{name}/type")).as_deref() == Some("Battery")
            && host.read(&format!("{ROOT}/{name}/scope")).as_deref() != Some("Device")
            && host.read(&format!("{ROOT}/{name}/present")).as_deref() != Some("0")
    };
    let found: Vec<&String> = names.iter().filter(is_battery).collect();
    if found.is_empty() {
        return Probe::Absent { reason: format!("{} lists no battery of this machine", place.display()) };
    }
    let mut batteries = Vec::new();
    for name in found {
        match Battery::open(host, name) {
            Ok(battery) => batteries.push(battery),
            Err(AttributeError::Denied(path)) => {
                return Probe::Denied {
                    reason: format!("{path} may not be read by this user"),
                    remedy: format!(
                        "give one group the right to read it: `sudo chgrp energy {path}; sudo chmod g+r {path}`"
                    ),
                };
            }
            // The sum over all batteries is the machine; without one of them it is not.
            Err(error) => return Probe::Absent { reason: format!("{name} cannot be read: {error}") },
        }
    }
    if let Err(why) = discharging(&batteries) {
        return Probe::Absent { reason: format!("{why}; pull the plug to measure the whole machine") };
    }
    ready(host, batteries)
}

fn ready(host: &Host, mut batteries: Vec<Battery>) -> Probe {
    let names = batteries.iter().map(|b| b.name.clone()).collect::<Vec<_>>().join(" + ");
    let mut kinds = Vec::new();
    let mut channels = Vec::new();
    let channel = |what: &str, quantity| Channel {
        name: format!("{names}/{what}"),
        domain: Domain::Node,
        quantity,
        role: ReaderRole::default(),
        update_period: None,
    };
    if energy(&mut batteries).is_some() {
        let resolution = batteries.iter().map(Battery::resolution).sum::<Option<u64>>().map(MicroJoules::new);
        kinds.push(Kind::Energy);
        channels.push(channel("energy", Quantity::Energy { resolution, range: None, max_power: None }));
    }
    if power(&batteries).is_some() {
        kinds.push(Kind::Power);
        channels.push(channel("power", Quantity::InstantPower));
    }
    if channels.is_empty() {
        return Probe::Absent { reason: format!("{names} states neither its charge nor its power") };
    }
    let mut notes = vec![
        "what leaves the battery: losses inside its cells are not in it, those of the voltage converters are"
            .to_owned(),
    ];
    if let Some(Quantity::Energy { resolution: Some(step), .. }) = channels.first().map(|c| c.quantity) {
        notes.push(format!(
            "the gauge counts in steps of at least {} J: short windows see no step",
            step.to_joules().get()
        ));
    }
    let info = SensorInfo {
        id: ID.to_owned(),
        title: TITLE.to_owned(),
        source: format!("direct reader, {}", host.path(ROOT).display()),
        channels,
        notes,
        simulated: host.is_redirected(),
        accuracy: None,
    };
    Probe::Ready(Box::new(BatterySensor { info, kinds, batteries }))
}

/// What a channel delivers.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Energy,
    Power,
}

struct Battery {
    name: String,
    status: Attribute,
    gauge: Option<Gauge>,
    power: Option<PowerFile>,
    /// What the gauge states beside its present value, for its step: full, as designed.
    capacities: Vec<u64>,
}

/// How a battery says what is left in it.
enum Gauge {
    /// `energy_now`, µWh.
    Energy(Attribute),
    /// `charge_now`, µAh, with `voltage_now`, µV. The energy drawn is the sum of U·ΔQ over the
    /// reads: the difference of two products U·Q would count the fall of the voltage as well.
    Charge { charge: Attribute, voltage: Attribute, last: Option<(u64, u64)>, drawn: i128 },
}

enum PowerFile {
    /// `power_now`, µW.
    Power(Attribute),
    /// `current_now`, µA, with `voltage_now`, µV.
    Current { current: Attribute, voltage: Attribute },
}

impl Battery {
    fn open(host: &Host, name: &str) -> Result<Self, AttributeError> {
        let path = |file: &str| -> PathBuf { host.path(ROOT).join(name).join(file) };
        // A file that does not exist is a way the gauge does not have; any other trouble is an error.
        let optional = |file: &str| match Attribute::open(path(file)) {
            Ok(attribute) => Ok(Some(attribute)),
            Err(AttributeError::Gone(_)) => Ok(None),
            Err(error) => Err(error),
        };
        let pair = |file: &str| Ok(optional(file)?.zip(optional("voltage_now")?));
        let gauge = match optional("energy_now")? {
            Some(energy) => Some(Gauge::Energy(energy)),
            None => {
                pair("charge_now")?.map(|(charge, voltage)| Gauge::Charge { charge, voltage, last: None, drawn: 0 })
            }
        };
        let power = match optional("power_now")? {
            Some(power) => Some(PowerFile::Power(power)),
            None => pair("current_now")?.map(|(current, voltage)| PowerFile::Current { current, voltage }),
        };
        let stem = if matches!(gauge, Some(Gauge::Charge { .. })) { "charge" } else { "energy" };
        let capacity = |which: &str| Attribute::open(path(&format!("{stem}_{which}"))).ok()?.read().ok();
        let capacities = ["now", "full", "full_design"].into_iter().filter_map(capacity).collect();
        Ok(Self { name: name.to_owned(), status: Attribute::open(path("status"))?, gauge, power, capacities })
    }

    /// Energy drawn from it, µJ, from an origin of its own.
    fn drawn(&mut self) -> Option<i128> {
        match self.gauge.as_mut()? {
            Gauge::Energy(energy) => Some(-i128::from(energy.read().ok()?) * MICROWATT_HOUR),
            Gauge::Charge { charge, voltage, last, drawn } => {
                let (charge, voltage) = (charge.read().ok()?, voltage.read().ok().filter(|v| *v > 0)?);
                if let Some((charge_then, voltage_then)) = last.replace((charge, voltage)) {
                    // µAh · µV = pWh; two voltages, so half of it.
                    let step = i128::from(charge_then) - i128::from(charge);
                    *drawn += step * (i128::from(voltage_then) + i128::from(voltage)) * MICROWATT_HOUR / 2_000_000;
                }
                Some(*drawn)
            }
        }
    }

    /// Power in watts.
    fn power(&self) -> Option<f64> {
        match self.power.as_ref()? {
            // Some drivers give what flows out a minus sign; it discharges, so the sign says nothing.
            PowerFile::Power(power) => Some(power.read_signed().ok()?.unsigned_abs() as f64 / 1e6),
            PowerFile::Current { current, voltage } => {
                let (current, voltage) = (current.read_signed().ok()?.unsigned_abs(), voltage.read().ok()?);
                Some(current as f64 / 1e6 * (voltage as f64 / 1e6))
            }
        }
    }

    /// Step of the gauge, µJ: gauges count in round units (ACPI in mWh or mAh, most chips coarser),
    /// so the step is taken as the power of ten that divides all that it states, 0.1 Wh at most.
    fn resolution(&self) -> Option<u64> {
        let divides = |unit: &u64| self.capacities.iter().all(|c| c % unit == 0);
        let unit =
            [100_000, 10_000, 1_000, 100, 10, 1].into_iter().find(divides).filter(|_| !self.capacities.is_empty())?;
        match self.gauge.as_ref()? {
            Gauge::Energy(_) => Some(unit * 3600),
            Gauge::Charge { voltage, .. } => {
                let microjoules = u128::from(unit) * u128::from(voltage.read().ok()?) * 3600 / 1_000_000;
                u64::try_from(microjoules).ok().filter(|step| *step > 0)
            }
        }
    }
}

/// Whether what leaves the batteries is what the machine takes, or why not: at least one
/// discharges and none is being charged.
fn discharging(batteries: &[Battery]) -> Result<(), String> {
    if let Some(charging) = batteries.iter().find(|b| b.status.says("Charging")) {
        return Err(format!("{} is being charged: the machine runs on mains power", charging.name));
    }
    if batteries.iter().any(|b| b.status.says("Discharging")) {
        return Ok(());
    }
    let names: Vec<&str> = batteries.iter().map(|b| b.name.as_str()).collect();
    Err(format!("{} does not discharge: the machine runs on mains power", names.join(" + ")))
}

/// Reading of the counter over all batteries; every gauge is read, so that none misses a step.
fn energy(batteries: &mut [Battery]) -> Option<MicroJoules> {
    let drawn: Vec<Option<i128>> = batteries.iter_mut().map(Battery::drawn).collect();
    let total = drawn.into_iter().sum::<Option<i128>>()?;
    u64::try_from(ORIGIN + total).ok().map(MicroJoules::new)
}

fn power(batteries: &[Battery]) -> Option<Watts> {
    Watts::new(batteries.iter().map(Battery::power).sum::<Option<f64>>()?).ok()
}

struct BatterySensor {
    info: SensorInfo,
    kinds: Vec<Kind>,
    batteries: Vec<Battery>,
}

impl Sensor for BatterySensor {
    fn info(&self) -> &SensorInfo {
        &self.info
    }

    /// # Errors
    /// [`SensorError::Vanished`] when the machine no longer runs on its batteries alone: energy
    /// from the charger would be missing in everything that follows.
    fn read(&mut self, clock: &Clock) -> Result<Reading, SensorError> {
        let before = clock.now();
        let mut values = Vec::with_capacity(self.kinds.len());
        for kind in &self.kinds {
            values.push(match kind {
                Kind::Energy => energy(&mut self.batteries).map(Value::Energy),
                Kind::Power => power(&self.batteries).map(Value::Power),
            });
        }
        // Asked after the values: a plug that came before them shows.
        discharging(&self.batteries).map_err(|detail| SensorError::Vanished { sensor: ID, detail })?;
        Ok(Reading { before, after: clock.now(), values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sensors::counter::{Accumulator, Counter, Step};
    use proptest::prelude::*;
    use std::fs;

    struct Laptop {
        dir: tempfile::TempDir,
    }

    impl Laptop {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap() }
        }

        fn battery(&self, name: &str, files: &[(&str, &str)]) -> &Self {
            let folder = self.dir.path().join(ROOT).join(name);
            fs::create_dir_all(&folder).unwrap();
            for (file, text) in
                [("type", "Battery\n"), ("present", "1\n"), ("status", "Discharging\n")].iter().chain(files)
            {
                fs::write(folder.join(file), text).unwrap();
            }
            self
        }

        fn set(&self, file: &str, text: &str) {
            fs::write(self.dir.path().join(ROOT).join(file), text).unwrap();
        }

        fn sensor(&self) -> Box<dyn Sensor> {
            match probe(&Host::at(self.dir.path())) {
                Probe::Ready(sensor) => sensor,
                Probe::Absent { reason } | Probe::Denied { reason, .. } => panic!("{reason}"),
            }
        }

        fn absent(&self) -> String {
            match probe(&Host::at(self.dir.path())) {
                Probe::Absent { reason } => reason,
                _ => panic!("a sensor was found"),
            }
        }
    }

    /// A gauge in µWh, as most laptops have it.
    const THINKPAD: &[(&str, &str)] = &[
        ("energy_now", "31450000\n"),
        ("energy_full", "47520000\n"),
        ("energy_full_design", "50490000\n"),
        ("power_now", "8215000\n"),
        ("voltage_now", "11400000\n"),
    ];

    fn read(sensor: &mut dyn Sensor) -> Vec<Option<Value>> {
        sensor.read(&Clock::start()).unwrap().values
    }

    fn counter(sensor: &mut dyn Sensor) -> u64 {
        match read(sensor)[0] {
            Some(Value::Energy(energy)) => energy.get(),
            ref other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_leaves_an_energy_gauge_is_counted_exactly() {
        let laptop = Laptop::new();
        laptop.battery("BAT0", THINKPAD);
        let mut sensor = laptop.sensor();
        let channel = &sensor.info().channels[0];
        assert_eq!((channel.domain.clone(), sensor.info().simulated), (Domain::Node, true));
        let Quantity::Energy { resolution, .. } = channel.quantity else { panic!("{channel:?}") };
        assert_eq!(resolution, Some(MicroJoules::new(36_000_000)), "10 mWh divides all three capacities");
        assert_eq!(read(&mut *sensor)[1], Watts::new(8.215).ok().map(Value::Power));
        let first = counter(&mut *sensor);
        laptop.set("BAT0/energy_now", "31440000\n");
        assert_eq!(counter(&mut *sensor) - first, 36_000_000);
    }

    #[test]
    fn what_leaves_a_charge_gauge_is_charge_times_voltage_and_not_the_fall_of_the_voltage() {
        let laptop = Laptop::new();
        let gauge = [
            ("charge_now", "3000000\n"),
            ("charge_full", "4000000\n"),
            ("voltage_now", "12000000\n"),
            ("current_now", "-700000\n"),
        ];
        laptop.battery("BAT1", &gauge);
        let mut sensor = laptop.sensor();
        let first = counter(&mut *sensor);
        assert_eq!(read(&mut *sensor)[1], Watts::new(0.7 * 12.0).ok().map(Value::Power));
        laptop.set("BAT1/voltage_now", "11800000\n");
        assert_eq!(counter(&mut *sensor), first, "the voltage alone draws nothing");
        laptop.set("BAT1/charge_now", "2999000\n");
        laptop.set("BAT1/voltage_now", "11600000\n");
        // 1 mAh at 11.7 V on average.
        assert_eq!(counter(&mut *sensor) - first, 42_120_000);
    }

    #[test]
    fn two_batteries_are_one_machine() {
        let laptop = Laptop::new();
        laptop.battery("BAT0", THINKPAD).battery("BAT1", THINKPAD);
        laptop.set("BAT1/status", "Not charging\n");
        laptop.set("BAT1/power_now", "0\n");
        let mut sensor = laptop.sensor();
        assert_eq!(sensor.info().channels[0].name, "BAT0 + BAT1/energy");
        let first = counter(&mut *sensor);
        laptop.set("BAT0/energy_now", "31430000\n");
        laptop.set("BAT1/energy_now", "31440000\n");
        assert_eq!(counter(&mut *sensor) - first, 3 * 36_000_000);
        assert_eq!(read(&mut *sensor)[1], Watts::new(8.215).ok().map(Value::Power));
        laptop.set("BAT1/energy_now", "\n");
        assert_eq!(read(&mut *sensor)[0], None, "without one of them the sum is unknown");
    }

    #[test]
    fn a_gauge_that_corrects_itself_upwards_voids_the_window() {
        let laptop = Laptop::new();
        laptop.battery("BAT0", THINKPAD);
        let (mut sensor, clock) = (laptop.sensor(), Clock::start());
        let mut accumulator = Accumulator::new(Counter::of(&sensor.info().channels[0].quantity).unwrap());
        accumulator.push(MicroJoules::new(counter(&mut *sensor)), clock.now());
        laptop.set("BAT0/energy_now", "31460000\n");
        let (_, step) = accumulator.push(MicroJoules::new(counter(&mut *sensor)), clock.now());
        assert!(matches!(step, Some(Step::Reset { .. })), "{step:?}");
    }

    #[test]
    fn on_mains_power_there_is_no_sensor_and_a_plug_ends_it() {
        let laptop = Laptop::new();
        laptop.battery("BAT0", THINKPAD);
        for status in ["Charging\n", "Full\n", "Not charging\n", "Unknown\n", "\n", "Discharging soon\n"] {
            laptop.set("BAT0/status", status);
            assert!(laptop.absent().contains("mains power"), "{status}: {}", laptop.absent());
        }
        laptop.set("BAT0/status", "Discharging\n");
        let mut sensor = laptop.sensor();
        laptop.set("BAT0/status", "Charging\n");
        let error = sensor.read(&Clock::start()).unwrap_err();
        assert!(matches!(&error, SensorError::Vanished { detail, .. } if detail.contains("being charged")), "{error}");
    }

    #[test]
    fn chargers_and_the_batteries_of_mice_are_no_batteries_of_the_machine() {
        let laptop = Laptop::new();
        assert!(laptop.absent().contains("power_supply"), "{}", laptop.absent());
        laptop.battery("AC", &[("type", "Mains\n"), ("online", "1\n")]);
        laptop.battery("hidpp_battery_0", &[("scope", "Device\n"), ("energy_now", "5\n")]);
        laptop.battery("BAT9", &[("present", "0\n"), ("energy_now", "5\n")]);
        assert!(laptop.absent().contains("no battery of this machine"), "{}", laptop.absent());
        laptop.battery("BAT0", &[]);
        assert!(laptop.absent().contains("neither its charge nor its power"), "{}", laptop.absent());
    }

    #[test]
    fn files_that_misbehave_are_unknown_and_never_zero() {
        for bad in ["", "x\n", "-5\n", "1.5\n", "99999999999999999999\n"] {
            let laptop = Laptop::new();
            laptop.battery("BAT0", THINKPAD);
            let mut sensor = laptop.sensor();
            laptop.set("BAT0/energy_now", bad);
            laptop.set("BAT0/power_now", if bad.starts_with('-') { "-" } else { bad });
            assert_eq!(read(&mut *sensor), [None, None], "{bad:?}");
            assert!(laptop.absent().contains("neither"), "{bad:?}: {}", laptop.absent());
        }
        let laptop = Laptop::new();
        laptop.battery("BAT0", &[("energy_now", "18446744073709551615\n")]);
        assert!(laptop.absent().contains("neither"), "beyond all reason: {}", laptop.absent());
    }

    proptest! {
        // Every case writes a tree of files.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_charge_gauge_never_panics_and_never_counts_backwards_while_it_falls(
            reads in proptest::collection::vec((any::<u32>(), 1u64..50_000_000), 1..30),
        ) {
            let laptop = Laptop::new();
            laptop.battery("BAT0", &[("charge_now", "5000000000\n"), ("voltage_now", "12000000\n")]);
            let mut sensor = laptop.sensor();
            let (mut charge, mut last) = (5_000_000_000u64, counter(&mut *sensor));
            for (step, voltage) in reads {
                charge = charge.saturating_sub(u64::from(step % 1_000_000));
                laptop.set("BAT0/charge_now", &charge.to_string());
                laptop.set("BAT0/voltage_now", &voltage.to_string());
                let now = counter(&mut *sensor);
                prop_assert!(now >= last);
                last = now;
            }
        }
    }
}
