//! Records → arms: what is compared with what, and what may not be.

use super::entrant::{Device, Entry};
use super::{Accept, Entrant, LeftOut, Options, Refused};
use crate::record::Threads;
use crate::suite::suggest;
use serde::Serialize;
use std::collections::BTreeMap;

/// What makes an arm; the records of one arm are runs of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Each record by itself.
    Record,
    /// The vendor of the processor or GPU that a case ran on.
    Vendor,
    /// The model of it.
    Device,
    /// The driver of a GPU; of a CPU the kernel release.
    Driver,
    /// The element type: cases of one shape, in the same records.
    Dtype,
}

impl By {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Vendor => "vendor",
            Self::Device => "device",
            Self::Driver => "driver",
            Self::Dtype => "dtype",
        }
    }
}

/// An arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Arm {
    /// Its name: a record id, a vendor, a device, a driver, an element type.
    pub name: String,
    /// What its cases ran on.
    pub devices: Vec<String>,
    /// Its records: runs.
    pub records: Vec<String>,
    /// Weakest evidence grade of its energies; `None` without energy.
    pub grade: Option<char>,
    /// Why it has no energy, where it has none.
    pub why_no_energy: Option<String>,
    /// Whether any of its records is simulated.
    pub simulated: bool,
    #[serde(skip)]
    pub(super) entrants: Vec<usize>,
}

/// An arm with its cases.
pub(super) struct Group<'e> {
    pub(super) name: String,
    pub(super) entrants: Vec<usize>,
    /// Runs of a case by its key: entrant and entry.
    pub(super) cases: BTreeMap<String, Vec<(usize, &'e Entry)>>,
    /// Keys in the order of the plan.
    pub(super) order: Vec<String>,
}

/// Arms, the reference among them, and the records that were left out.
pub(super) struct Grouped<'e> {
    pub(super) arms: Vec<Group<'e>>,
    pub(super) reference: usize,
    pub(super) left_out: Vec<LeftOut>,
}

/// Groups the cases of `entrants`.
pub(super) fn group<'e>(entrants: &'e [Entrant], options: &Options) -> Result<Grouped<'e>, Refused> {
    let mut left_out = Vec::new();
    let all: Vec<usize> = (0..entrants.len()).collect();
    let first = collect(entrants, &all, options.by);
    let reference = find(&first, options.reference.as_deref())?;
    let Some(leader) = first.get(reference).and_then(|g| g.entrants.first()).map(|e| &entrants[*e]) else {
        let advice = "give records that hold measured cases";
        return Err(Refused::OneArm { count: "nothing", by: options.by.name(), names: "no case".to_owned(), advice });
    };
    let kept: Vec<usize> = all
        .into_iter()
        .filter(|e| match forbidden(&entrants[*e], leader, options) {
            None => true,
            Some(reason) => {
                left_out.push(LeftOut { what: entrants[*e].id.clone(), reason });
                false
            }
        })
        .collect();
    let name = first[reference].name.clone();
    let arms = collect(entrants, &kept, options.by);
    let reference = arms.iter().position(|a| a.name == name).unwrap_or(0);
    if arms.len() < 2 {
        if !left_out.is_empty() {
            let reasons = left_out.iter().take(5).map(|l| format!("{}: {}", l.what, l.reason)).collect();
            return Err(Refused::NotComparable { reasons });
        }
        let advice = match options.by {
            By::Record => "give a second record",
            By::Dtype => "the suite has to measure a shape in a second element type",
            _ => "leave out --by to compare record with record",
        };
        let names = format!("`{name}` alone");
        return Err(Refused::OneArm { count: "only one arm", by: options.by.name(), names, advice });
    }
    Ok(Grouped { arms, reference, left_out })
}

/// Why a record may not stand beside the reference's.
fn forbidden(entrant: &Entrant, leader: &Entrant, options: &Options) -> Option<String> {
    let accepted = |what| options.accept.contains(&what);
    if entrant.suite != leader.suite && !accepted(Accept::Suite) {
        return Some(format!(
            "its suite is {}, that of the reference is {}: other cases (--accept suite compares those of equal \
             parameters)",
            entrant.suite, leader.suite
        ));
    }
    let word = |e: &Entrant| if e.simulated.is_empty() { "measured" } else { "simulated" };
    (word(entrant) != word(leader) && !accepted(Accept::Simulated)).then(|| {
        format!("it is {}, the reference is {} (--accept simulated compares them)", word(entrant), word(leader))
    })
}

fn find(arms: &[Group<'_>], name: Option<&str>) -> Result<usize, Refused> {
    let Some(name) = name else { return Ok(0) };
    if let Some(place) = arms.iter().position(|a| a.name == name) {
        return Ok(place);
    }
    let mut near = arms.iter().enumerate().filter(|(_, a)| a.name.starts_with(name));
    match (near.next(), near.next()) {
        (Some((place, _)), None) => Ok(place),
        (Some(_), Some(_)) => {
            Err(Refused::NoSuchArm { name: name.to_owned(), hint: "several names begin like this".to_owned() })
        }
        (None, _) => {
            let names = arms.iter().take(20).map(|a| a.name.as_str());
            let hint = suggest::hint(name, "first arms", names.collect::<Vec<_>>());
            Err(Refused::NoSuchArm { name: name.to_owned(), hint })
        }
    }
}

fn collect<'e>(entrants: &'e [Entrant], kept: &[usize], by: By) -> Vec<Group<'e>> {
    let mut arms: Vec<Group<'e>> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for index in kept {
        for entry in &entrants[*index].cases {
            let name = name(by, &entrants[*index], entry);
            let place = *places.entry(name).or_insert_with(|| {
                let name = name.to_owned();
                arms.push(Group { name, entrants: Vec::new(), cases: BTreeMap::new(), order: Vec::new() });
                arms.len() - 1
            });
            let arm = &mut arms[place];
            if arm.entrants.last() != Some(index) {
                arm.entrants.push(*index);
            }
            let key = key(by, entry);
            let runs = arm.cases.entry(key.clone()).or_default();
            if runs.is_empty() {
                arm.order.push(key);
            }
            // A second case of one shape in one record is another case, not another run.
            if runs.last().is_none_or(|(e, _)| e != index) {
                runs.push((*index, entry));
            }
        }
    }
    arms
}

fn name<'e>(by: By, entrant: &'e Entrant, entry: &'e Entry) -> &'e str {
    let device = |pick: fn(&Device) -> &str| entry.device.as_ref().map_or("unknown", pick);
    match by {
        By::Record => &entrant.id,
        By::Vendor => device(|d| &d.vendor),
        By::Device => device(|d| &d.name),
        By::Driver => device(|d| &d.driver),
        By::Dtype => entry.params.dtype.name(),
    }
}

/// What cases of different arms must have in common to be one case.
fn key(by: By, entry: &Entry) -> String {
    match by {
        By::Dtype => {
            let values = entry.params.values.iter().map(|(name, value)| format!(" {name}={value}"));
            let threads = match entry.asked {
                Threads::Count(n) => n.to_string(),
                Threads::Cores => "cores".to_owned(),
                Threads::All => "all".to_owned(),
            };
            let cache = entry.cache.word();
            format!("{}{} threads={threads} cache={cache}", entry.kernel, values.collect::<String>())
        }
        _ => entry.id.clone(),
    }
}

impl Group<'_> {
    pub(super) fn public(&self, entrants: &[Entrant]) -> Arm {
        let members = || self.entrants.iter().map(|e| &entrants[*e]);
        let mut devices: Vec<String> = Vec::new();
        for name in members().flat_map(Entrant::devices) {
            if !devices.iter().any(|d| d == name) {
                devices.push(name.to_owned());
            }
        }
        Arm {
            name: self.name.clone(),
            devices,
            records: members().map(|e| e.id.clone()).collect(),
            grade: members().filter_map(|e| e.grade.as_ref()).map(|g| g.letter).max(),
            why_no_energy: self.why_no_energy(),
            simulated: members().any(|e| !e.simulated.is_empty()),
            entrants: self.entrants.clone(),
        }
    }

    /// Why no case of the arm has an energy; `None` where one has.
    pub(super) fn why_no_energy(&self) -> Option<String> {
        let entries = || self.cases.values().flatten().map(|(_, entry)| entry);
        if entries().any(|e| e.energy.is_ok()) {
            return None;
        }
        // A void case says nothing of the sensors.
        let of = |void: bool| entries().filter(|e| e.void.is_some() == void).find_map(|e| e.energy.as_ref().err());
        of(false).or_else(|| of(true)).cloned()
    }
}
