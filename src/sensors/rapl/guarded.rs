//! The `rapl-energy` crate as a reader: exact counters through its public fields, panics caught.
//!
//! The crate finds zones only at the kernel's fixed path, by decimal number, without holes and two
//! levels deep, and panics on a file that does not parse. So it serves where it sees exactly the
//! zones that the layout found; everywhere else the direct reader does. Its own `elapsed()` is not
//! used: it rounds to `f32` and adds domains to those that contain them.

use super::powercap::PowercapReader;
use super::zone::{Control, Zone};
use crate::clock::Clock;
use crate::sensors::quiet::catch_quietly;
use crate::sensors::{Reading, Sensor, SensorError, SensorInfo, Value};
use crate::units::MicroJoules;
use rapl_energy::Rapl;

/// Where a zone stands in the crate's tree: package, subzone.
type Place = (usize, Option<usize>);

/// `rapl-energy` with the direct reader behind it.
pub(super) struct Guarded {
    /// `None` once it panicked: its locks are poisoned then and it never works again.
    rapl: Option<Rapl>,
    places: Vec<Place>,
    direct: PowercapReader,
}

/// Opens the crate's reader and finds every one of `zones` in it.
///
/// # Errors
/// Why the crate cannot serve this machine.
pub(super) fn open(zones: &[Zone]) -> Result<(Rapl, Vec<Place>), String> {
    let rapl = catch_quietly(|| Rapl::new(true))
        .map_err(|panic| format!("it panics on this machine: {panic}"))?
        .ok_or("it finds no zone")?;
    let places = zones.iter().map(|zone| place(&rapl, zones, zone)).collect::<Option<Vec<_>>>();
    places.map(|places| (rapl, places)).ok_or_else(|| "it does not see every zone of this machine".to_owned())
}

/// The one place whose names and range are those of `zone`; `None` when there is none or several.
fn place(rapl: &Rapl, zones: &[Zone], zone: &Zone) -> Option<Place> {
    if zone.id.control != Control::Msr {
        return None;
    }
    let range = zone.range?.get();
    let package_of =
        |name: &str| only(rapl.packages.iter().enumerate().filter(|(_, p)| p.name == name).map(|(i, _)| i));
    if zone.id.is_top() {
        let package = package_of(&zone.name)?;
        return (rapl.packages[package].max_energy_range_uj == range).then_some((package, None));
    }
    let parent_id = zone.id.parent()?;
    let parent = zones.iter().find(|z| z.id == parent_id && z.id.is_top())?;
    let package = package_of(&parent.name)?;
    let full_name = format!("{}-{}", parent.name, zone.name);
    let matches = rapl.packages[package].subzones.iter().enumerate();
    let subzone = only(matches.filter(|(_, s)| s.name == full_name && s.max_energy_range_uj == range).map(|(i, _)| i))?;
    Some((package, Some(subzone)))
}

fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let first = items.next()?;
    items.next().is_none().then_some(first)
}

impl Guarded {
    pub(super) const fn new(rapl: Rapl, places: Vec<Place>, direct: PowercapReader) -> Self {
        Self { rapl: Some(rapl), places, direct }
    }
}

impl Sensor for Guarded {
    fn info(&self) -> &SensorInfo {
        self.direct.info()
    }

    fn read(&mut self, clock: &Clock) -> Result<Reading, SensorError> {
        let Some(rapl) = self.rapl.as_mut() else { return self.direct.read(clock) };
        let before = clock.now();
        // `reset` reads every counter anew into the public fields.
        let result = catch_quietly(|| rapl.reset());
        let after = clock.now();
        match result {
            Ok(()) => {
                let counter = |&(package, subzone): &Place| {
                    let package = rapl.packages.get(package)?;
                    let raw = match subzone {
                        None => package.package_energy_uj,
                        Some(subzone) => package.subzones.get(subzone)?.energy_uj,
                    };
                    Some(Value::Energy(MicroJoules::new(raw)))
                };
                Ok(Reading { before, after, values: self.places.iter().map(counter).collect() })
            }
            Err(panic) => {
                // Both read the same counters, so the direct reader goes on without a gap; it
                // also tells a zone that is gone from one that answers nonsense.
                self.rapl = None;
                self.direct.note(format!(
                    "rapl-energy panicked {:.1} s into the run ({panic}); the direct reader went on",
                    after.seconds().get()
                ));
                self.direct.read(clock)
            }
        }
    }
}
