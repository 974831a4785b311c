//! hwmon: energy and power that drivers state under `/sys/class/hwmon`: AMD and Intel GPUs, Grace
//! modules, ACPI power meters, meters on boards.

mod chip;
mod coverage;

use super::attribute::{Attribute, AttributeError};
use super::{Channel, Domain, Probe, ReaderRole, Reading, Sensor, SensorError, SensorFamily, SensorInfo, Value};
use crate::clock::Clock;
use crate::host::Host;
use crate::units::{MicroJoules, Watts};
use chip::{Chip, Kind, StatingFile};
use coverage::{Coverage, Facts};

const ID: &str = "hwmon";
const TITLE: &str = "hwmon (GPUs, Grace, board meters)";

/// hwmon in the registry.
pub const FAMILY: SensorFamily = SensorFamily { id: ID, title: TITLE, probe };

pub(super) const REMEDY: &str = "let one group read the meters: `sudo groupadd --system energy; sudo usermod -aG energy $USER; \
     sudo cp ci/99-wattproof-hwmon.rules /etc/udev/rules.d/; sudo udevadm control --reload; \
     sudo udevadm trigger --action=add --subsystem-match=hwmon`, then log in again";

/// Looks for chips on `host` that state energy or power, and reads each channel once.
#[must_use]
pub fn probe(host: &Host) -> Probe {
    let place = host.path(chip::ROOT);
    let Some((chips, all)) = chip::discover(host) else {
        return Probe::Absent { reason: format!("there is no hwmon interface ({} does not exist)", place.display()) };
    };
    let mut found = Found::default();
    for chip in &chips {
        let namesakes = chips.iter().filter(|c| c.name == chip.name && !c.supply).count();
        for file in &chip.files {
            found.open(chip, file, namesakes);
        }
    }
    found.settle_shared_domains();
    if found.channels.is_empty() {
        return match found.denied.into_iter().next() {
            Some(path) => {
                Probe::Denied { reason: format!("{path} may not be read by this user"), remedy: REMEDY.to_owned() }
            }
            None if found.notes.is_empty() => Probe::Absent {
                reason: format!("none of the {all} chips in {} states energy or power", place.display()),
            },
            None => {
                Probe::Absent { reason: format!("no meter in {} serves: {}", place.display(), found.notes.join("; ")) }
            }
        };
    }
    if let Some(path) = found.denied.first() {
        found.notes.push(format!("some meters may not be read by this user, the first is {path}"));
    }
    let (channels, files) = found.channels.into_iter().unzip();
    let info = SensorInfo {
        id: ID.to_owned(),
        title: TITLE.to_owned(),
        source: format!("direct reader, {}", place.display()),
        channels,
        notes: found.notes,
        simulated: host.is_redirected(),
        accuracy: None,
    };
    Probe::Ready(Box::new(HwmonSensor { info, files }))
}

#[derive(Default)]
struct Found {
    channels: Vec<(Channel, (Kind, Attribute))>,
    notes: Vec<String>,
    denied: Vec<String>,
}

impl Found {
    fn open(&mut self, chip: &Chip, file: &StatingFile, namesakes: usize) {
        let name = format!("{}/{}/{}{}", chip.id, chip.name, file.kind.word(), file.index);
        if chip.supply {
            return self.note(format!("{name} is left out: a battery or charger, which has a sensor of its own"));
        }
        let facts = Facts {
            chip: &chip.name,
            index: file.index,
            label: file.label.as_deref(),
            pci: chip.pci.as_deref(),
            integrated: chip.integrated,
            namesakes,
        };
        let shown = file.label.as_ref().map_or_else(|| name.clone(), |label| format!("{name} ({label})"));
        let domain = match coverage::coverage(&facts) {
            Coverage::Known(domain, remark) => {
                self.notes.extend(remark.map(|remark| format!("{shown}: {remark}")));
                domain
            }
            Coverage::Unknown(why) => {
                self.notes.push(format!("{shown} is shown and enters no sum: {why}"));
                nowhere(chip, file)
            }
            // A big processor has a hundred cores: one note says it for all that share a reason.
            Coverage::LeftOut(why) => return self.note(format!("{} of {} are left out: {why}", chip.name, chip.id)),
        };
        let attribute = match Attribute::open(file.path.clone()).and_then(|a| a.read().map(|_| a)) {
            Ok(attribute) => attribute,
            Err(AttributeError::Denied(path)) => return self.denied.push(path),
            Err(error) => return self.notes.push(format!("{shown} is left out: {error}")),
        };
        let channel =
            Channel { name, domain, quantity: file.quantity, role: ReaderRole::default(), update_period: None };
        self.channels.push((channel, (file.kind, attribute)));
    }

    fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Two meters that claim one domain may measure parts of it: neither is taken for the whole.
    /// Energy, power and average power of one meter (same chip, same number) are not two meters.
    fn settle_shared_domains(&mut self) {
        let meter = |c: &Channel| {
            let (chip, what) = c.name.rsplit_once('/').unwrap_or(("", &c.name));
            (chip.to_owned(), what.trim_start_matches(|x: char| !x.is_ascii_digit()).to_owned())
        };
        let claims: Vec<(Domain, (String, String))> =
            self.channels.iter().map(|(c, _)| (c.domain.clone(), meter(c))).collect();
        for (channel, _) in &mut self.channels {
            let mine = meter(channel);
            let rival = claims.iter().find(|(domain, other)| *domain == channel.domain && *other != mine);
            if let Some((domain, (chip, _))) = rival.filter(|(domain, _)| domain.is_placed()) {
                self.notes.push(format!("{} and {chip} both claim {domain}: neither enters a sum", channel.name));
                channel.domain = Domain::other(&channel.name);
            }
        }
    }
}

/// The domain of a channel that nobody can place; unique in the machine.
fn nowhere(chip: &Chip, file: &StatingFile) -> Domain {
    let label = file.label.as_deref().unwrap_or_default();
    Domain::other(&format!("{} {} {}{} {label}", chip.name, chip.id, file.kind.stem(), file.index))
}

struct HwmonSensor {
    info: SensorInfo,
    files: Vec<(Kind, Attribute)>,
}

impl Sensor for HwmonSensor {
    fn info(&self) -> &SensorInfo {
        &self.info
    }

    /// A meter that fails alone is unknown for this once: drivers answer with an error while a
    /// device sleeps. The sensor is lost when every file of it is gone.
    fn read(&mut self, clock: &Clock) -> Result<Reading, SensorError> {
        let before = clock.now();
        let raw: Vec<_> = self.files.iter().map(|(_, file)| file.read()).collect();
        let after = clock.now();
        if raw.iter().all(|r| matches!(r, Err(AttributeError::Gone(_)))) {
            let detail = raw.into_iter().find_map(Result::err).map_or_else(String::new, |e| e.to_string());
            return Err(SensorError::Vanished { sensor: ID, detail });
        }
        let value = |((kind, _), raw): (&(Kind, Attribute), Result<u64, AttributeError>)| match kind {
            Kind::Energy => Some(Value::Energy(MicroJoules::new(raw.ok()?))),
            Kind::Instant | Kind::Average => Some(Value::Power(Watts::new(raw.ok()? as f64 / 1e6).ok()?)),
        };
        Ok(Reading { before, after, values: self.files.iter().zip(raw).map(value).collect() })
    }
}

#[cfg(test)]
mod tests;
