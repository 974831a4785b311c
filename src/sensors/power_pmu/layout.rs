//! What the kernel says of its `power` PMU in sysfs: which events there are, which CPU to ask for
//! which package, and what a count is worth.

use super::scale::Scale;
use crate::host::Host;
use crate::sensors::Domain;
use crate::sensors::attribute::parse_number;
use std::collections::{BTreeMap, BTreeSet};

/// Folder of the PMU. `power_core` beside it (AMD) counts single cores, which lie inside the packages.
pub(super) const ROOT: &str = "sys/bus/event_source/devices/power";

/// One counter to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Event file: `energy-pkg`.
    pub(super) event: &'static str,
    /// `type` of the PMU.
    pub(super) pmu: u32,
    /// `config` of the event.
    pub(super) config: u64,
    /// CPU that the kernel reads this package on.
    pub(super) cpu: u32,
    pub(super) scale: Scale,
    pub(super) domain: Domain,
}

/// What is to be opened, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) sources: Vec<Source>,
    pub(super) notes: Vec<String>,
}

/// Events of arch/x86/events/rapl.c, package first.
const EVENTS: [&str; 5] = ["energy-pkg", "energy-cores", "energy-gpu", "energy-ram", "energy-psys"];

/// A CPU of the mask with its place in the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reader {
    cpu: u32,
    package: u32,
    /// `None` where the package has one reader, who then speaks for all of it.
    die: Option<u32>,
}

impl Layout {
    /// Reads the description of the PMU; `Err` with the reason when there is none that can be used.
    pub(super) fn discover(host: &Host) -> Result<Self, String> {
        let place = host.path(ROOT).display().to_string();
        let Some(pmu) = host.read(&format!("{ROOT}/type")) else {
            return Err(format!("the kernel has no power PMU ({place}/type does not exist)"));
        };
        let pmu = parse_number(pmu.as_bytes())
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(|| format!("{place}/type: `{pmu}` is no number of a PMU"))?;
        let mut layout = Self::default();
        let readers = layout.readers(host)?;
        for event in EVENTS {
            match describe(host, event) {
                Ok(Some((config, scale))) => layout.add(event, pmu, config, scale, &readers),
                Ok(None) => {}
                Err(why) => layout.notes.push(format!("{event} is left out: {why}")),
            }
        }
        if layout.sources.is_empty() {
            return Err(format!("{place} offers no energy event that can be read: {}", layout.notes.join("; ")));
        }
        Ok(layout)
    }

    /// Every CPU of the mask with its package, by the topology and not by its place in the list.
    fn readers(&mut self, host: &Host) -> Result<Vec<Reader>, String> {
        let path = format!("{ROOT}/cpumask");
        let place = host.path(&path).display().to_string();
        let mask = host.read(&path).ok_or_else(|| format!("{place} is empty or cannot be read"))?;
        let cpus = crate::host::cpu_list(&mask).ok_or_else(|| format!("{place}: `{mask}` is no list of CPUs"))?;
        let mut readers = Vec::new();
        for cpu in cpus {
            let topology = |file: &str| {
                let text = host.read(&format!("sys/devices/system/cpu/cpu{cpu}/topology/{file}"))?;
                parse_number(text.as_bytes()).and_then(|n| u32::try_from(n).ok())
            };
            match topology("physical_package_id") {
                Some(package) => readers.push(Reader { cpu, package, die: topology("die_id") }),
                None => self.notes.push(format!("CPU {cpu} of the power PMU is left out: its package is unknown")),
            }
        }
        let mut of_package: BTreeMap<u32, Vec<Option<u32>>> = BTreeMap::new();
        for reader in &readers {
            of_package.entry(reader.package).or_default().push(reader.die);
        }
        let mut seen = BTreeSet::new();
        readers.retain_mut(|reader| {
            let dies = &of_package[&reader.package];
            if dies.len() == 1 {
                reader.die = None;
                return true;
            }
            // Several readers of one package that the topology does not tell apart: one is kept.
            seen.insert((reader.package, reader.die))
        });
        if readers.is_empty() {
            return Err(format!("{place} names no CPU whose package is known"));
        }
        Ok(readers)
    }

    fn add(&mut self, event: &'static str, pmu: u32, config: u64, scale: Scale, readers: &[Reader]) {
        for reader in readers {
            let Some(domain) = domain(event, *reader) else { continue };
            // The platform is one, whoever reads it.
            if self.sources.iter().any(|s| s.domain == domain) {
                continue;
            }
            self.sources.push(Source { event, pmu, config, cpu: reader.cpu, scale, domain });
        }
    }
}

/// Domain of an event as one reader sees it; the same names as those of powercap's zones. Cores
/// and graphics of one die of several have none: they lie inside the package.
fn domain(event: &str, reader: Reader) -> Option<Domain> {
    let socket = reader.package;
    match (event, reader.die) {
        ("energy-pkg", die) => Some(Domain::Package { socket, die }),
        ("energy-cores", None) => Some(Domain::Cores { socket }),
        ("energy-gpu", None) => Some(Domain::Uncore { socket }),
        ("energy-ram", None) => Some(Domain::Dram { socket }),
        ("energy-ram", Some(die)) => Some(Domain::DramOfDie { socket, die }),
        ("energy-psys", _) => Some(Domain::Psys),
        _ => None,
    }
}

/// Config and scale of an event; `None` where the PMU does not have it.
fn describe(host: &Host, event: &str) -> Result<Option<(u64, Scale)>, String> {
    let file = |suffix: &str| host.read(&format!("{ROOT}/events/{event}{suffix}"));
    let Some(text) = file("") else { return Ok(None) };
    let config = event_config(&text).ok_or_else(|| format!("`{text}` is no event"))?;
    // The kernel gives the field `event` the lowest eight bits of config; another layout is not read.
    match host.read(&format!("{ROOT}/format/event")) {
        Some(format) if format != "config:0-7" => return Err(format!("its field lies at `{format}`")),
        _ => {}
    }
    let unit = file(".unit").ok_or("it states no unit")?;
    if unit != "Joules" {
        return Err(format!("its unit is `{unit}`, not Joules"));
    }
    let scale = file(".scale").ok_or("it states no scale")?;
    let scale = Scale::parse(&scale).ok_or_else(|| format!("`{scale}` is no scale"))?;
    Ok(Some((config, scale)))
}

/// `event=0x02` → 2, at most eight bits.
fn event_config(text: &str) -> Option<u64> {
    let value = text.trim().strip_prefix("event=")?;
    let config = match value.strip_prefix("0x") {
        Some(hex) if !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
            u64::from_str_radix(hex, 16).ok()?
        }
        Some(_) => return None,
        None => parse_number(value.as_bytes())?,
    };
    (config <= 0xff).then_some(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn event_words() {
        for (text, config) in [("event=0x02\n", Some(2)), ("event=5", Some(5)), ("event=0xff", Some(255))] {
            assert_eq!(event_config(text), config, "{text}");
        }
        for bad in
            ["", "event=", "event=0x", "event=0x100", "event=-1", "umask=0x2", "event=0x02,umask=1", "event=0x+2"]
        {
            assert_eq!(event_config(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_event_word_is_safe(text in "(event=)?(0x)?.{0,20}") {
            if let Some(config) = event_config(&text) {
                prop_assert!(config <= 0xff);
            }
        }
    }
}
