//! What a site knows of a record: a row of the table, and what its own page is made of.

use super::attached::Attached;
use super::figures;
use crate::analysis::{CaseSummary, Status, Summary};
use crate::record::store::sha256_hex;
use crate::record::{DeviceId, Role, RunRecord, RunState};
use crate::report::model::Tone;
use crate::report::model::plain::{plain, shorten};
use crate::report::model::short::Short;
use crate::report::model::uncertainty::two_digits;
use crate::report::{ReportError, si};
use crate::verdict::Decision;
use serde::Serialize;
use std::collections::BTreeSet;

/// Longest part of a record's id that becomes part of a file name.
const LONGEST_NAME: usize = 60;

/// Longest text of one facet; two that only differ further on fall together.
const LONGEST_FACET: usize = 80;

/// Names a record by its bytes: two records are the same where all of them are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Of the bytes of `record.json` and the SHA-256 of `samples.jsonl` (lower-case hex).
    #[must_use]
    pub fn of(header: &[u8], samples_digest: &str) -> Self {
        Self(sha256_hex(format!("{} {samples_digest}", sha256_hex(header)).as_bytes()))
    }
}

/// A record, ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its row in the table of all records.
    pub row: Row,
    /// Its figures for the comparison in the browser: a plain script.
    pub figures: String,
    pub(super) short: Short,
    pub(super) certificates: Vec<Attached>,
    pub(super) simulated: Vec<String>,
    pub(super) report: bool,
}

/// A row of the table. Strings are final, without control characters; every format has to escape them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Name of its folder: letters, digits and dashes, with ten digits of the key at the end.
    pub slug: String,
    /// Id of the record.
    pub id: String,
    /// Start: `2026-11-22 07:45`.
    pub date: String,
    /// Start, RFC 3339.
    pub started: String,
    /// What the workloads ran on.
    pub machines: Vec<Machine>,
    /// Suite id.
    pub suite: String,
    /// Profile.
    pub profile: String,
    /// Kernels of the workloads.
    pub kernels: Vec<String>,
    /// Element types of the workloads.
    pub dtypes: Vec<String>,
    /// Class, or what else a certificate says: `A`, `not certified`, `no certificate`.
    pub class: String,
    /// Tone of the class.
    pub class_tone: Tone,
    /// Index, last day, or nothing.
    pub class_note: String,
    /// Index to sort by; `None` where nothing is certified.
    #[serde(skip)]
    pub index: Option<f64>,
    /// `measured`, `partly measured`, `not measured`.
    pub energy: &'static str,
    /// Grade of the evidence, or nothing.
    pub grade: String,
    /// Highest performance per watt of a workload.
    pub efficiency: Option<Best>,
    /// Highest rate of a workload.
    pub rate: Option<Best>,
    /// What must not be overlooked.
    pub marks: Vec<Mark>,
}

/// A vendor and its device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Machine {
    /// `AMD`, `Intel`, `NVIDIA`, or as the machine says.
    pub vendor: String,
    /// Model.
    pub device: String,
}

/// The best figure of a record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Best {
    /// To sort by.
    #[serde(skip)]
    pub value: f64,
    /// `2.67 GFLOP/J`.
    pub text: String,
    /// `± 5.8 %`, or nothing.
    pub spread: String,
    /// Case id.
    pub case: String,
}

/// Something that must not be overlooked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// What it says.
    pub text: String,
    /// How it should look.
    pub tone: Tone,
}

impl Mark {
    /// A mark of this tone.
    #[must_use]
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }
}

impl Entry {
    /// From a record, the summary made of it, its verified certificates, and whether its report stands beside its page.
    ///
    /// # Errors
    /// [`ReportError::Render`] when the figures cannot be written.
    pub fn of(
        key: &Key,
        record: &RunRecord,
        summary: &Summary,
        mut certificates: Vec<Attached>,
        report: bool,
    ) -> Result<Self, ReportError> {
        certificates.sort_by(|a, b| (&b.issued, &b.id).cmp(&(&a.issued, &a.id)));
        let row = row(key, record, summary, certificates.first());
        let boundary = plain(&summary.boundary.text);
        let figures = figures::script(&row, &boundary, record, summary).map_err(|e| super::failed(&e))?;
        let simulated = record.header.simulated.iter().map(|why| plain(why)).collect();
        Ok(Self { short: Short::of(record, summary), row, figures, certificates, simulated, report })
    }
}

fn row(key: &Key, record: &RunRecord, summary: &Summary, certificate: Option<&Attached>) -> Row {
    let header = &record.header;
    let workloads = || summary.cases.iter().filter(|c| c.role == Role::Workload);
    let t = header.started_at.date_time();
    let facet = |text: &str| shorten(text, LONGEST_FACET);
    let set = |texts: BTreeSet<String>| texts.into_iter().collect::<Vec<_>>();
    let (class, class_tone, class_note) = match certificate {
        None => ("no certificate".to_owned(), Tone::Neutral, String::new()),
        Some(c) => {
            let until = c.until.as_ref().map(|day| format!("until {day}"));
            let note =
                [c.index.as_ref().map(|i| format!("index {i}")), until].into_iter().flatten().collect::<Vec<_>>();
            let tone = match c.decision {
                Decision::Certified => Tone::Good,
                Decision::Refused => Tone::Bad,
                Decision::Inconclusive => Tone::Warning,
            };
            (c.class.clone().unwrap_or_else(|| c.word.to_owned()), tone, note.join(", "))
        }
    };
    let with_energy = workloads().filter(|c| c.energy.per_iteration.estimate().is_some()).count();
    Row {
        slug: slug(&header.id, key),
        id: shorten(&header.id, 120),
        date: format!("{:04}-{:02}-{:02} {:02}:{:02}", t.year(), u8::from(t.month()), t.day(), t.hour(), t.minute()),
        started: header.started_at.to_string(),
        machines: machines(record, workloads()),
        suite: facet(&header.suite.id),
        profile: facet(&header.profile.name),
        kernels: set(workloads().map(|c| facet(&c.kernel)).collect()),
        dtypes: set(workloads().map(|c| c.params.dtype.to_string()).collect()),
        class,
        class_tone,
        class_note,
        index: certificate.and_then(|c| c.value),
        energy: match with_energy {
            0 => "not measured",
            n if n == workloads().count() => "measured",
            _ => "partly measured",
        },
        grade: summary.grade.as_ref().map(|g| g.letter.to_string()).unwrap_or_default(),
        efficiency: best(workloads(), "FLOP/J", |c| {
            let spread = c.energy.budget("efficiency_flop_per_j").and_then(|b| b.expanded());
            let spread = spread.map(|e| format!("± {}", two_digits(e.expanded_uncertainty)));
            Some((c.energy.efficiency.estimate()?.median, spread))
        }),
        rate: best(workloads(), "FLOP/s", |c| Some((c.rate.estimate()?.median, None))),
        marks: marks(record, summary),
    }
}

/// The folder of a record's page: its id in lower case, letters, digits and single dashes, never a path; the key makes
/// it unique.
#[must_use]
pub fn slug(id: &str, key: &Key) -> String {
    let mut slug = String::new();
    for c in id.chars().take(LONGEST_NAME) {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_end_matches('-');
    let (slug, dash) = if slug.is_empty() { ("record", "-") } else { (slug, "-") };
    format!("{slug}{dash}{}", &key.0[..10])
}

fn best<'a>(
    cases: impl Iterator<Item = &'a CaseSummary>,
    unit: &str,
    figure: impl Fn(&CaseSummary) -> Option<(f64, Option<String>)>,
) -> Option<Best> {
    let figures = cases.filter_map(|c| figure(c).map(|(value, spread)| (c, value, spread)));
    let (case, value, spread) = figures.max_by(|a, b| a.1.total_cmp(&b.1))?;
    let case = shorten(&case.id, LONGEST_FACET);
    Some(Best { value, text: si::quantity(value, unit), spread: spread.unwrap_or_default(), case })
}

/// What the workloads ran on; the processor where none of them ran.
fn machines<'a>(record: &RunRecord, workloads: impl Iterator<Item = &'a CaseSummary>) -> Vec<Machine> {
    let devices: BTreeSet<&DeviceId> = workloads.filter_map(|c| c.device.as_ref()).collect();
    let mut machines: BTreeSet<Machine> = devices.into_iter().map(|device| machine(record, &device.0)).collect();
    if machines.is_empty() {
        machines.insert(machine(record, "cpu"));
    }
    machines.into_iter().collect()
}

/// The device called `id`: `cpu`, or a backend and a number, `cuda:0`.
fn machine(record: &RunRecord, id: &str) -> Machine {
    let environment = &record.header.environment;
    if id == "cpu" {
        let known =
            |text: &Option<String>| text.as_deref().map(|t| shorten(t, LONGEST_FACET)).filter(|t| !t.is_empty());
        return Machine {
            vendor: known(&environment.cpu.vendor).map_or_else(|| "unknown".to_owned(), |v| vendor(&v)),
            device: known(&environment.cpu.model).unwrap_or_else(|| "unknown processor".to_owned()),
        };
    }
    let number = id.rsplit(':').next().and_then(|n| n.parse::<usize>().ok());
    let gpu = match (environment.gpus.as_slice(), number) {
        ([only], _) => Some(only),
        (gpus, Some(n)) => gpus.get(n),
        _ => None,
    };
    match gpu {
        Some(gpu) => Machine { vendor: vendor(&gpu.name), device: shorten(&gpu.name, LONGEST_FACET) },
        None => Machine { vendor: "unknown".to_owned(), device: shorten(id, LONGEST_FACET) },
    }
}

/// Vendors as people call them; what is not known is shown as the machine says it, of a product's name the first word.
fn vendor(text: &str) -> String {
    let known = [
        ("AuthenticAMD", "AMD"),
        ("GenuineIntel", "Intel"),
        ("NVIDIA", "NVIDIA"),
        ("AMD", "AMD"),
        ("Radeon", "AMD"),
        ("Intel", "Intel"),
        ("Apple", "Apple"),
        ("ARM", "Arm"),
        ("Arm", "Arm"),
    ];
    match known.iter().find(|(begin, _)| text.starts_with(begin)) {
        Some((_, name)) => (*name).to_owned(),
        None => text.split(' ').next().map(|word| shorten(word, LONGEST_FACET)).unwrap_or_default(),
    }
}

fn marks(record: &RunRecord, summary: &Summary) -> Vec<Mark> {
    let mut marks = Vec::new();
    if !record.header.simulated.is_empty() {
        marks.push(Mark::new(Tone::Bad, "simulated"));
    }
    let count = |is: fn(&Status) -> bool| summary.cases.iter().filter(|c| is(&c.status)).count();
    match count(|s| matches!(s, Status::WrongAnswer { .. })) {
        0 => {}
        n => marks.push(Mark::new(Tone::Bad, format!("{n} wrong"))),
    }
    match count(|s| matches!(s, Status::Failed { .. })) {
        0 => {}
        n => marks.push(Mark::new(Tone::Bad, format!("{n} failed"))),
    }
    if record.header.state != RunState::Complete {
        marks.push(Mark::new(Tone::Warning, "incomplete"));
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_never_a_path() {
        let key = Key::of(b"{}", "00");
        let end = key.0[..10].to_owned();
        for (id, name) in [
            ("20261122T074512Z-quick-3f2a", "20261122t074512z-quick-3f2a"),
            ("../../etc/passwd", "etc-passwd"),
            ("..", "record"),
            ("", "record"),
            ("C:\\x\0y", "c-x-y"),
            ("<script>", "script"),
            ("שלום", "record"),
        ] {
            assert_eq!(slug(id, &key), format!("{name}-{end}"), "{id:?}");
        }
        assert!(slug(&"n".repeat(10_000), &key).len() < 80);
        assert_ne!(slug("a", &key), slug("a", &Key::of(b"{}", "01")));
    }

    #[test]
    fn vendors_are_called_as_people_call_them() {
        for (text, name) in [
            ("AuthenticAMD", "AMD"),
            ("NVIDIA H200", "NVIDIA"),
            ("Intel(R) Arc(TM) A770", "Intel"),
            ("HygonGenuine", "HygonGenuine"),
            ("Moore Threads S80", "Moore"),
        ] {
            assert_eq!(vendor(text), name);
        }
    }
}
