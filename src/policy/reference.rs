//! Reference tables: the efficiency of each case that has index 1. Data, from
//! `suites/policies/reference-*.yaml`.

use super::limits;
use crate::record::Dtype;
use crate::suite::SuiteErrors;
use crate::suite::problem::Report;
use crate::suite::quantity::Quantity;
use crate::suite::tree::{Node, Value};
use crate::suite::wire::{self, Fields, Key, key};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The tables this program ships: name and text.
pub(super) const SHIPPED: &[(&str, &str)] =
    &[("reference-cpu-1", include_str!("../../suites/policies/reference-cpu-1.yaml"))];

/// Most rows of a table, and most parts.
const MOST: usize = 10_000;

/// The reference that an index relates to.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its permanent name.
    pub name: String,
    /// SHA-256 of its text, lower-case hex.
    pub sha256: String,
    /// The file, byte for byte.
    pub text: String,
    /// Device category: `cpu`, `gpu`.
    pub category: String,
    /// Precision of its rows; `None` where the table does not bind itself to one.
    pub dtype: Option<Dtype>,
    /// Why its figures are provisional; `None` where they rest on at least 20 measured results.
    pub provisional: Option<String>,
    /// Machines that derived figures rest on.
    pub parts: Vec<Part>,
    /// A row a case.
    pub rows: Vec<Row>,
}

/// The reference of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Case id.
    pub case: String,
    /// Weight in the index, relative to the other rows.
    pub weight: f64,
    /// Useful FLOP/J with index 1.
    #[serde(rename = "efficiency_flop_per_j")]
    pub efficiency: f64,
    /// Where the figure comes from.
    pub source: String,
}

/// A machine as its data sheet describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Operations a second it can do at most: cores · clock · FLOP a cycle.
    pub peak: f64,
    /// Bytes a second its memory can deliver at most.
    pub bandwidth: f64,
    /// Watts: TDP and memory.
    pub power: f64,
    /// Where the facts stand.
    pub source: String,
}

pub(super) const TABLE: &[Key] = &[
    key("version", true, "Version of the format: 1."),
    key("table", true, "Permanent name of the table."),
    key("category", true, "Device category: cpu or gpu."),
    key("dtype", false, "Precision of its rows: f32 or f64."),
    key("provisional", true, "Whether it is derived, or rests on fewer than 20 measured results."),
    key("why_provisional", false, "Why it is provisional."),
    key("parts", false, "Machines that derived figures rest on."),
    key("rows", true, "A row a case."),
];
pub(super) const PART: &[Key] = &[
    key("name", true, "Name of the machine."),
    key("cores", true, "Cores."),
    key("clock_ghz", true, "Sustained clock."),
    key("flop_per_cycle", true, "Operations of a core in a cycle, in the precision of the table."),
    key("bandwidth_gb_per_s", true, "Bandwidth of its memory."),
    key("tdp_w", true, "Power of the processor."),
    key("memory_w", true, "Power of the memory."),
    key("source", true, "Where the facts stand."),
];
pub(super) const ROW: &[Key] = &[
    key("case", true, "Case id."),
    key("weight", true, "Weight in the index, relative to the other rows."),
    key("efficiency_flop_per_j", true, "Useful FLOP/J that has index 1."),
    key("derived", false, "How the figure follows from the parts."),
    key("source", true, "Where the figure comes from."),
];
pub(super) const DERIVED: &[Key] = &[
    key("bound", true, "The ceiling that binds: arithmetic or memory."),
    key("share", true, "Share of the ceiling that a good program reaches."),
    key("flop_per_byte", false, "Useful operations a byte of memory traffic, where memory binds."),
];

pub(super) const WEIGHT: Quantity = Quantity::Number { min: 1e-9, max: 1e9 };
pub(super) const POSITIVE: Quantity = Quantity::Number { min: 1e-3, max: 1e18 };
pub(super) const SHARE: Quantity = Quantity::Fraction { min: 1e-6, max: 1.0 };
/// Derived figures are written with four digits.
const ROUNDING: f64 = 1e-3;

impl Table {
    /// The table that this program ships under `name`.
    #[must_use]
    pub fn shipped(name: &str) -> Option<Self> {
        let (_, text) = SHIPPED.iter().find(|(n, _)| *n == name)?;
        Some(Self::parse(text).expect("the shipped tables are read by a test"))
    }

    /// A table from the text of its file.
    ///
    /// # Errors
    /// Every problem, with line, column and caret, as one text.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(Path::new("table.yaml"), text).map_err(|e| e.to_string())
    }

    /// Reads and validates a table file.
    ///
    /// # Errors
    /// [`SuiteErrors`] when the file cannot be read, or with every problem found in it.
    pub fn load(path: &Path) -> Result<Self, SuiteErrors> {
        Self::read(path, &crate::suite::read_file(path, "reference table")?)
    }

    /// A table from the text of its file; `path` stands in the errors.
    ///
    /// # Errors
    /// Every problem of the text, up to a limit, with its place.
    pub fn read(path: &Path, text: &str) -> Result<Self, SuiteErrors> {
        let (mut report, root) = Report::open(path, text)?;
        let report_on = &mut report;
        let fields = Fields::read(report_on, &root, "a reference table", TABLE);
        wire::check_version(report_on, fields.get("version"));
        let name = fields.get("table").and_then(|n| wire::identifier(report_on, n, "name of a table", 64));
        let category = limits::word(report_on, fields.get("category"), "category", &["cpu", "gpu"]);
        let names: Vec<&str> = Dtype::ALL.iter().map(|d| d.name()).collect();
        let dtype = limits::word(report_on, fields.get("dtype"), "dtype", &names);
        let provisional = provisional(report_on, &fields);
        let parts = list(report_on, fields.get("parts"), "parts", part);
        let rows = list(report_on, fields.get("rows"), "rows", |report, node| row(report, node, &parts));
        twice(report_on, fields.get("rows"), &rows);
        let table = Self {
            name: name.unwrap_or_default().to_owned(),
            sha256: super::sha256_hex(text),
            text: text.to_owned(),
            category: category.unwrap_or_default().0,
            dtype: dtype.and_then(|(word, _)| Dtype::ALL.iter().copied().find(|d| d.name() == word)),
            provisional,
            parts,
            rows,
        };
        report.finish()?;
        Ok(table)
    }

    /// The row of a case.
    #[must_use]
    pub fn row(&self, case: &str) -> Option<&Row> {
        self.rows.iter().find(|r| r.case == case)
    }
}

fn provisional(report: &mut Report, fields: &Fields<'_>) -> Option<String> {
    let node = fields.get("provisional")?;
    let why = wire::prose(report, fields.get("why_provisional"), 1000);
    match &node.value {
        Value::Bool(true) => Some(if why.is_empty() { "it says so".to_owned() } else { why }),
        Value::Bool(false) => None,
        _ => {
            report.at(node, format!("{} is no truth value", node.describe()), "write `true` or `false`");
            None
        }
    }
}

fn list<T>(
    report: &mut Report,
    node: Option<&Node>,
    name: &str,
    read: impl Fn(&mut Report, &Node) -> Option<T>,
) -> Vec<T> {
    match node.map(|n| (n, &n.value)) {
        None => Vec::new(),
        Some((node, Value::List(items))) if items.len() > MOST => {
            report.at(node, format!("`{name}` has {} entries", items.len()), format!("write at most {MOST}"));
            Vec::new()
        }
        Some((_, Value::List(items))) => items.iter().filter_map(|item| read(report, item)).collect(),
        Some((node, _)) => {
            report.at(node, format!("`{name}` is a list, this is {}", node.describe()), "begin each entry with `- `");
            Vec::new()
        }
    }
}

/// Text from a file that documents print: one line, no longer than `longest`, no control characters.
fn text(report: &mut Report, fields: &Fields<'_>, name: &str, longest: usize) -> Option<String> {
    let node = fields.get(name)?;
    let before = report.count();
    let text = wire::prose(report, Some(node), longest);
    if text.is_empty() && report.count() == before {
        report.at(node, format!("`{name}` is empty"), "say where the figure comes from");
    }
    (report.count() == before).then_some(text)
}

fn part(report: &mut Report, node: &Node) -> Option<Part> {
    let fields = Fields::read(report, node, "a part", PART);
    let name = text(report, &fields, "name", 200);
    let source = text(report, &fields, "source", 1000);
    let mut number = |key: &str| limits::number(report, fields.get(key), key, POSITIVE).map(|l| l.value);
    let [cores, clock, flop, bandwidth, tdp, memory] =
        ["cores", "clock_ghz", "flop_per_cycle", "bandwidth_gb_per_s", "tdp_w", "memory_w"].map(&mut number);
    Some(Part {
        name: name?,
        peak: cores? * (clock? * 1e9) * flop?,
        bandwidth: bandwidth? * 1e9,
        power: tdp? + memory?,
        source: source?,
    })
}

fn row(report: &mut Report, node: &Node, parts: &[Part]) -> Option<Row> {
    let fields = Fields::read(report, node, "a row", ROW);
    // Ids come from suites, which know what they may hold; here they are only compared.
    let case = fields.get("case").and_then(|n| match n.text() {
        Some(id) => Some(id.to_owned()),
        None => {
            report.at(n, format!("{} is no case id", n.describe()), "put it in quotes");
            None
        }
    });
    let source = text(report, &fields, "source", 1000);
    let weight = limits::number(report, fields.get("weight"), "weight", WEIGHT);
    let key = "efficiency_flop_per_j";
    let efficiency = limits::number(report, fields.get(key), key, POSITIVE).map(|l| l.value);
    if let (Some(node), Some(stated)) = (fields.get("derived"), efficiency)
        && let Some(derived) = derived(report, node, parts)
        && (stated / derived - 1.0).abs() > ROUNDING
        && let Some(node) = fields.get(key)
    {
        report.at(
            node,
            format!("the parts give {derived:.4e} FLOP/J, not {stated:.4e}"),
            "correct the one or the other",
        );
    }
    Some(Row { case: case?, weight: weight?.value, efficiency: efficiency?, source: source? })
}

/// Geometric mean over the parts of share · ceiling / power.
fn derived(report: &mut Report, node: &Node, parts: &[Part]) -> Option<f64> {
    let fields = Fields::read(report, node, "`derived`", DERIVED);
    let (bound, _) = limits::word(report, fields.get("bound"), "bound", &["arithmetic", "memory"])?;
    let share = limits::number(report, fields.get("share"), "share", SHARE)?.value;
    let intensity = limits::number(report, fields.get("flop_per_byte"), "flop_per_byte", POSITIVE).map(|l| l.value);
    if bound == "memory" && intensity.is_none() {
        report.at(node, "where memory binds, `derived` needs `flop_per_byte`", "add it");
        return None;
    }
    if parts.is_empty() {
        report.at(node, "there are no parts to derive a figure from", "add `parts`, or remove `derived`");
        return None;
    }
    let ceiling = |p: &Part| if bound == "memory" { p.bandwidth * intensity.unwrap_or(0.0) } else { p.peak };
    let logs: f64 = parts.iter().map(|p| libm::log(share * ceiling(p) / p.power)).sum();
    Some(libm::exp(logs / parts.len() as f64))
}

fn twice(report: &mut Report, node: Option<&Node>, rows: &[Row]) {
    let mut seen = std::collections::HashSet::new();
    let again = rows.iter().find(|r| !seen.insert(r.case.as_str()));
    if let (Some(row), Some(node)) = (again, node) {
        let case = crate::suite::problem::quoted(&row.case);
        report.at(node, format!("case {case} has two rows"), "keep one of them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Catalog, Suite};

    fn shipped() -> &'static str {
        SHIPPED[0].1
    }

    #[test]
    fn every_shipped_table_reads_and_carries_its_name() {
        for (name, _) in SHIPPED {
            assert_eq!(Table::shipped(name).unwrap().name, *name);
        }
    }

    #[test]
    fn a_row_follows_from_the_facts_of_the_parts() {
        let table = Table::shipped("reference-cpu-1").unwrap();
        // By hand: 0.85 · √(96 · 2.4e9 · 32 / 420 · 56 · 2e9 · 64 / 390).
        let gemm = 0.85 * (96.0f64 * 2.4e9 * 32.0 / 420.0 * (56.0 * 2.0e9 * 64.0 / 390.0)).sqrt();
        let row = table.row("gemm-f32-m1024-n1024-k1024-t-all").unwrap();
        assert!((row.efficiency / gemm - 1.0).abs() < 1e-3, "{} {gemm}", row.efficiency);
        let triad = 0.80 / 6.0 * (460.8e9f64 / 420.0 * (307.2e9 / 390.0)).sqrt();
        let row = table.row("triad-f32-bytes256MiB-t-all").unwrap();
        assert!((row.efficiency / triad - 1.0).abs() < 1e-3, "{} {triad}", row.efficiency);
        let derived = shipped().matches("derived:").count();
        assert_eq!(derived, table.rows.len(), "every row of a table from data sheets is derived");
    }

    #[test]
    fn the_table_has_a_row_for_every_workload_of_its_suite_and_precision() {
        let table = Table::shipped("reference-cpu-1").unwrap();
        let (_, text) = crate::suite::SHIPPED.iter().find(|(id, _)| *id == "certify-cpu").unwrap();
        let suite = Suite::parse(Path::new("certify-cpu.yaml"), text, &Catalog::builtin()).unwrap();
        let ids: Vec<&str> =
            suite.cases.iter().filter(|c| Some(c.params.dtype) == table.dtype).map(|c| c.id.as_str()).collect();
        let rows: Vec<&str> = table.rows.iter().map(|r| r.case.as_str()).collect();
        assert_eq!(rows, ids);
        assert!(table.provisional.is_some() && !table.parts.is_empty());
    }

    #[test]
    fn bytes_of_the_derived_rows_are_those_of_the_kernels() {
        let (_, text) = crate::suite::SHIPPED.iter().find(|(id, _)| *id == "certify-cpu").unwrap();
        let catalog = Catalog::builtin();
        let suite = Suite::parse(Path::new("certify-cpu.yaml"), text, &catalog).unwrap();
        for (id, stated) in
            [("spmv-csr-f32-m65536-k65536-density0.01-t-all", 0.3323), ("triad-f32-bytes256MiB-t-all", 0.1667)]
        {
            let case = suite.cases.iter().find(|c| c.id == id).unwrap();
            let work = catalog.find(&case.kernel).unwrap().work(&case.params).unwrap();
            let found = work.useful.get() / work.bytes.get();
            assert!((found / stated - 1.0).abs() < 1e-3, "{id}: {found}");
        }
    }

    #[test]
    fn a_broken_table_shows_every_problem_with_its_place() {
        for (from, to, part) in [
            ("efficiency_flop_per_j: 1.5", "efficiency_flop_per_j: 2.5", "the parts give"),
            ("cores: 96", "cores: 192", "the parts give"),
            ("cores: 96", "cores: none", "not a number"),
            ("category: cpu", "category: cpus", "did you mean `cpu`?"),
            ("dtype: f32", "dtype: f9", "none of its words"),
            ("weight: 1.5", "weight: 0", "out of range"),
            ("weight: 1.5", "weight: -.inf", "out of range"),
            ("weight: 1.5", "wieght: 1.5", "did you mean `weight`?"),
            ("provisional: true", "provisional: 1", "no truth value"),
            ("share: 0.85 }", "share: 0.85, flop_per_bite: 1 }", "did you mean `flop_per_byte`?"),
            ("gemm-f32-m2048-n2048-k2048-t-all", "gemm-f32-m1024-n1024-k1024-t-all", "has two rows"),
            ("rows:\n", "rows: 3\nparts2:\n", "is a list"),
        ] {
            let text = shipped().replacen(from, to, 1);
            assert_ne!(text, shipped(), "{from}");
            let errors = Table::read(Path::new("mine.yaml"), &text).unwrap_err();
            assert!(errors.to_string().contains(part), "{from} → {to}: {errors}");
            assert!(errors.problems().iter().all(|p| p.position().is_some()), "{errors}");
        }
    }
}
