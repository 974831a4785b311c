//! Finds the RAPL zones of a host and sorts out which of them count.
//!
//! The kernel may list one piece of silicon several times: through two interfaces
//! (`intel-rapl` and `intel-rapl-mmio`), or once a die on AMD parts before Linux 6.10. Each is
//! counted once, and what was left out stands in the notes.

use super::zone::{Control, Zone, ZoneId};
use crate::host::Host;
use crate::sensors::Domain;
use crate::sensors::attribute::{Attribute, AttributeError, parse_number};
use crate::units::MicroJoules;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where powercap zones are found, in the order of preference.
const ROOTS: [&str; 2] = ["sys/class/powercap", "sys/devices/virtual/powercap"];

/// Zones nest three deep at most today; a link that leads back up ends here.
const MAX_DEPTH: usize = 5;

/// The zones that count.
#[derive(Debug)]
pub(super) struct Layout {
    /// Folder that was searched.
    pub(super) root: PathBuf,
    /// In the kernel's order, a zone before its subzones; domains are unique.
    pub(super) zones: Vec<Zone>,
    /// Zones that were left out, and why.
    pub(super) notes: Vec<String>,
}

/// Why there is no zone to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoZone {
    /// None was found, or none that works.
    Absent(String),
    /// There are zones, and this user may read none of them: path of the first.
    Denied(String),
}

impl Layout {
    /// Looks for zones below `host`'s root and opens them.
    pub(super) fn discover(host: &Host) -> Result<Self, NoZone> {
        let searched = || ROOTS.map(|r| host.path(r).display().to_string()).join(" and ");
        let Some(root) = ROOTS.iter().map(|r| host.path(r)).find(|p| p.is_dir()) else {
            return Err(NoZone::Absent(format!("there is no powercap interface ({} do not exist)", searched())));
        };
        let mut folders = BTreeMap::new();
        collect(&root, MAX_DEPTH, &mut folders);
        if folders.is_empty() {
            return Err(NoZone::Absent(format!("{} holds no RAPL zone", root.display())));
        }
        let mut found = Found::default();
        for (id, folder) in folders {
            found.open(id, &folder);
        }
        found.drop_second_interface();
        found.drop_equal_names();
        found.drop_identical_counters();
        let zones = found.into_zones();
        match (zones.0.is_empty(), zones.2.into_iter().next()) {
            (false, denied) => {
                let mut notes = zones.1;
                if let Some(path) = denied {
                    notes.push(format!("some zones may not be read by this user, the first is {path}"));
                }
                Ok(Self { root, zones: zones.0, notes })
            }
            (true, Some(path)) => Err(NoZone::Denied(path)),
            (true, None) => Err(NoZone::Absent(format!("no RAPL zone works: {}", zones.1.join("; ")))),
        }
    }
}

/// Every zone folder below `folder`, by id. The nested and the flat list of the kernel name the
/// same zones; the first path found stays.
fn collect(folder: &Path, depth: usize, into: &mut BTreeMap<ZoneId, PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut inside: Vec<(ZoneId, PathBuf)> = entries
        .flatten()
        .filter_map(|e| Some((ZoneId::parse(e.file_name().to_str()?)?, e.path())))
        .filter(|(_, path)| path.is_dir())
        .collect();
    // The control type sorts before its zones, so the nested paths come first.
    inside.sort();
    for (id, path) in inside {
        if !id.index.is_empty() {
            if into.contains_key(&id) {
                continue;
            }
            into.insert(id, path.clone());
        }
        if depth > 0 {
            collect(&path, depth - 1, into);
        }
    }
}

/// A zone before its domain is known.
struct Candidate {
    id: ZoneId,
    name: String,
    range: Option<MicroJoules>,
    counter: Attribute,
}

#[derive(Default)]
struct Found {
    candidates: Vec<Candidate>,
    notes: Vec<String>,
    denied: Vec<String>,
}

impl Found {
    fn open(&mut self, id: ZoneId, folder: &Path) {
        let attribute = |file: &str| std::fs::read(folder.join(file)).ok();
        let name = attribute("name").and_then(|b| String::from_utf8(b).ok()).map(|n| n.trim().to_owned());
        let Some(name) = name.filter(|n| !n.is_empty()) else {
            self.notes.push(format!("{id} has no name and is left out"));
            return;
        };
        let opened = Attribute::open(folder.join("energy_uj"));
        let counter = match opened.and_then(|counter| counter.read().map(|_| counter)) {
            Ok(counter) => counter,
            Err(AttributeError::Denied(path)) => return self.denied.push(path),
            Err(error) => return self.notes.push(format!("{id} ({name}) is left out: {error}")),
        };
        let range = attribute("max_energy_range_uj").and_then(|text| parse_number(&text)).filter(|r| *r > 0);
        let range = range.map(MicroJoules::new);
        if range.is_none() {
            self.notes.push(format!("{id} ({name}) states no range: a window in which it wraps is discarded"));
        }
        self.candidates.push(Candidate { id, name, range, counter });
    }

    /// Removes the zones at `doomed` and everything inside them.
    fn remove(&mut self, doomed: &[ZoneId]) {
        self.candidates
            .retain(|c| !doomed.iter().any(|d| d.control == c.id.control && c.id.index.starts_with(&d.index)));
    }

    fn top(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().filter(|c| c.id.is_top())
    }

    /// A package that both interfaces list is read through the first.
    fn drop_second_interface(&mut self) {
        let doomed: Vec<(ZoneId, String)> = self
            .top()
            .filter(|c| c.id.control == Control::Mmio)
            .filter(|c| self.top().any(|o| o.id.control == Control::Msr && o.name == c.name))
            .map(|c| (c.id.clone(), c.name.clone()))
            .collect();
        for (id, name) in &doomed {
            self.notes.push(format!("{name} is also listed as {id}; it is counted once"));
        }
        self.remove(&doomed.into_iter().map(|d| d.0).collect::<Vec<_>>());
    }

    /// Of several zones with one name and one parent the first stays: nothing tells what the
    /// others cover.
    fn drop_equal_names(&mut self) {
        let mut doomed = Vec::new();
        for (i, c) in self.candidates.iter().enumerate() {
            let twin =
                |o: &&Candidate| o.name == c.name && o.id.control == c.id.control && o.id.parent() == c.id.parent();
            if let Some(first) = self.candidates[..i].iter().find(twin) {
                let what = if identical(&first.counter, &c.counter) {
                    "counts the same energy"
                } else {
                    "counts other energy, which is NOT in the figures"
                };
                self.notes
                    .push(format!("{} is also called {}, like {}, and is left out: it {what}", c.id, c.name, first.id));
                doomed.push(c.id.clone());
            }
        }
        self.remove(&doomed);
    }

    /// Before Linux 6.10 some AMD packages appear once a die, each time with the package's counter.
    fn drop_identical_counters(&mut self) {
        let packages: Vec<&Candidate> = self.top().filter(|c| c.name.starts_with("package-")).collect();
        let mut doomed: Vec<ZoneId> = Vec::new();
        let mut notes = Vec::new();
        for (i, c) in packages.iter().enumerate() {
            let first = packages[..i].iter().find(|o| !doomed.contains(&o.id) && identical(&o.counter, &c.counter));
            if let Some(first) = first {
                notes.push(format!("{} shows the counter of {} and is counted once", c.name, first.name));
                doomed.push(c.id.clone());
            }
        }
        self.notes.append(&mut notes);
        self.remove(&doomed);
    }

    /// Gives every zone its domain. Returns zones, notes and paths that may not be read.
    fn into_zones(mut self) -> (Vec<Zone>, Vec<String>, Vec<String>) {
        let dies_of = |socket: u32, all: &[Candidate]| {
            all.iter()
                .filter(|c| matches!(package(&c.name), Some((s, Some(_))) if s == socket && c.id.is_top()))
                .count()
        };
        let mut domains: BTreeMap<ZoneId, Domain> = BTreeMap::new();
        for c in &self.candidates {
            let parent = c.id.parent().and_then(|p| domains.get(&p));
            let domain = match (package(&c.name), parent) {
                // One die left of a package that lists its dies: it counts the whole package.
                (Some((socket, Some(_))), _) if c.id.is_top() && dies_of(socket, &self.candidates) == 1 => {
                    Some(Domain::Package { socket, die: None })
                }
                (Some((socket, die)), _) if c.id.is_top() => Some(Domain::Package { socket, die }),
                (None, None) if c.name.starts_with("psys") && c.id.is_top() => Some(Domain::Psys),
                (None, Some(&Domain::Package { socket, die })) => part(&c.name, socket, die),
                _ => None,
            };
            match domain {
                Some(domain) if domains.values().any(|d| *d == domain) => {
                    self.notes.push(format!("{} ({}) is left out: {domain} is already read", c.id, c.name));
                }
                Some(domain) => {
                    domains.insert(c.id.clone(), domain);
                }
                None => {
                    self.notes.push(format!("{} ({}) covers no domain that is known and is left out", c.id, c.name))
                }
            }
        }
        let zones = self
            .candidates
            .into_iter()
            .filter_map(|c| {
                let domain = domains.remove(&c.id)?;
                Some(Zone { id: c.id, name: c.name, domain, range: c.range, counter: c.counter })
            })
            .collect();
        (zones, self.notes, self.denied)
    }
}

/// `package-1-die-0` → socket 1, die 0.
fn package(name: &str) -> Option<(u32, Option<u32>)> {
    match name.parse() {
        Ok(Domain::Package { socket, die }) => Some((socket, die)),
        _ => None,
    }
}

/// Domain of a subzone. Cores and uncore of one die of several have none: they lie inside the
/// package, so nothing is lost.
fn part(name: &str, socket: u32, die: Option<u32>) -> Option<Domain> {
    match (name, die) {
        ("core", None) => Some(Domain::Cores { socket }),
        ("uncore", None) => Some(Domain::Uncore { socket }),
        ("dram", None) => Some(Domain::Dram { socket }),
        ("dram", Some(die)) => Some(Domain::DramOfDie { socket, die }),
        _ => None,
    }
}

/// Whether two counters are one: the second, read between two reads of the first, lies between
/// them. Two packages that merely have the same history differ by far more than one update; zero
/// says nothing. Most of several tries decide: a reader that is kept off the processor between its reads
/// sees packages of like power as one, and an update between the reads of a copy sees one as two.
fn identical(a: &Attribute, b: &Attribute) -> bool {
    let between = |_: &u32| match (a.read(), b.read(), a.read()) {
        (Ok(before), Ok(between), Ok(after)) => between > 0 && before <= between && between <= after,
        _ => false,
    };
    (0..5).filter(between).count() >= 3
}
