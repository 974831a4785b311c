//! Entries → cases: every combination of a matrix, less the exclusions, each with an id.

use super::axes::{self, Assignment, Axis, Role as MapRole};
use super::catalog::Catalog;
use super::problem::{Report, quoted};
use super::quantity::size;
use super::suggest::hint;
use super::tree::Node;
use super::wire::{self, WireEntry, WireSuite};
use super::{Case, DeviceId, Threads, device};
use crate::kernels::{Dtype, Kernel, KernelInfo, PROGRAM, ParamKind, ParamValue, Params, Role};
use std::collections::{BTreeMap, HashMap};

/// Most cases of a suite, counted before exclusions.
pub(super) const MAX_CASES: usize = 10_000;

/// Most values in all exclusions of an entry: each is compared with each case.
const MAX_EXCLUDED: usize = 1000;

/// An entry whose parameters are known to be valid one by one.
struct Entry<'t> {
    kernel: &'static dyn Kernel,
    at: &'t Node,
    label: Option<&'t str>,
    axes: Vec<Axis<'t>>,
    excludes: Vec<(&'t Node, Vec<Axis<'t>>)>,
    devices: Vec<DeviceId>,
}

/// All cases of a suite in the order of the file.
pub(super) fn expand(report: &mut Report, suite: &WireSuite<'_>, catalog: &Catalog) -> Vec<Case> {
    let common = suite.devices.map_or_else(|| Some(vec![DeviceId::cpu()]), |node| device::read(report, node));
    let common = common.unwrap_or_default();
    let mut total: u128 = 0;
    let mut checked = Vec::new();
    for wire in &suite.cases {
        if let Some(entry) = check(report, wire, &common, catalog) {
            // Multiplied before anything is expanded: a short file can ask for 10^9 cases.
            let devices = entry.devices.len() as u128;
            let product = entry.axes.iter().fold(devices, |n, a| n.saturating_mul(a.choices.len() as u128));
            let fits = total <= MAX_CASES as u128;
            total = total.saturating_add(product);
            if fits && total > MAX_CASES as u128 {
                let at = entry.axes.iter().max_by_key(|a| a.choices.len()).map_or(entry.at, |a| a.key);
                let message = format!("the suite comes to {total} cases here, more than {MAX_CASES}");
                report.at(at, message, "shorten the lists of the matrix, or split the suite");
            }
            checked.push(entry);
        }
    }
    if total > MAX_CASES as u128 {
        return Vec::new();
    }
    let mut cases = Vec::new();
    let mut owners: HashMap<String, usize> = HashMap::new();
    for (index, entry) in checked.iter().enumerate() {
        let own = combinations(report, entry);
        let mut clashes = BTreeMap::new();
        for ((params, threads), device) in own.iter().flat_map(|c| entry.devices.iter().map(move |d| (c, d))) {
            // Only the processor runs on threads that a suite chooses.
            let threads = if device.is_cpu() { *threads } else { Threads::Count(1) };
            let bare = identity(entry.kernel.info(), params, threads, device);
            if let Some(owner) = owners.get(&bare) {
                // Counts of threads of one entry all come to the same case on another device.
                if device.is_cpu() || *owner != index {
                    clashes.entry(*owner).or_insert_with(|| (bare.clone(), 0)).1 += 1;
                }
                continue;
            }
            // A full stop cannot stand in a label, and after one in a number comes no letter.
            let id = entry.label.map_or_else(|| bare.clone(), |label| format!("{label}.{bare}"));
            owners.insert(bare, index);
            let kernel = entry.kernel.info().id.to_owned();
            let (params, device) = (params.clone(), device.clone());
            cases.push(Case { id, kernel, params, threads, device, line: line(entry.at) });
        }
        for (owner, (id, n)) in clashes {
            let earlier = checked[owner].at;
            let more = if n > 1 { format!(" and {} more", n - 1) } else { String::new() };
            let message = format!("case {}{more} stands already in line {}", quoted(&id), line(earlier));
            report.at_both(
                entry.at,
                message,
                "remove it from one of the two entries, or use `exclude:`",
                (earlier, "first here"),
            );
        }
    }
    cases
}

/// The line of a kernel's name, which is always a scalar.
fn line(kernel: &Node) -> u32 {
    kernel.mark().map_or(1, |m| m.line)
}

fn check<'t>(report: &mut Report, wire: &WireEntry<'t>, common: &[DeviceId], catalog: &Catalog) -> Option<Entry<'t>> {
    let before = report.count();
    let devices = wire.devices.map_or_else(|| Some(common.to_vec()), |node| device::read(report, node));
    let label = wire.label.and_then(|node| wire::identifier(report, node, "label", 32));
    let name = wire.kernel.text().unwrap_or_default();
    let Some(kernel) = catalog.find(name) else {
        let help = hint(name, "kernels", catalog.infos(Role::Workload).map(|i| i.id));
        report.at(wire.kernel, format!("unknown kernel {}", wire.kernel.describe()), help);
        return None;
    };
    let info = kernel.info();
    if info.role != Role::Workload {
        let help = "remove the entry: the plan adds every ceiling probe that the cases need";
        report.at(wire.kernel, format!("kernel `{name}` is a ceiling probe"), help);
        return None;
    }
    let mut axes = wire.with.map_or_else(Vec::new, |n| axes::read(report, info, n, MapRole::With));
    axes.extend(wire.matrix.map_or_else(Vec::new, |n| axes::read(report, info, n, MapRole::Matrix)));
    let excludes: Vec<_> = wire.exclude.iter().map(|n| (n, axes::read(report, info, n, MapRole::Exclude))).collect();
    let excluded: usize = excludes.iter().flat_map(|(_, axes)| axes).map(|a| a.choices.len()).sum();
    if excluded > MAX_EXCLUDED {
        let message = format!("the exclusions list {excluded} values, more than {MAX_EXCLUDED}");
        report.at(wire.exclude.first().unwrap_or(wire.kernel), message, "shorten the matrix instead");
    }
    if report.count() == before {
        conflicts(report, info, &axes);
        if !wire.flawed {
            missing(report, info, &axes, wire.kernel);
        }
    }
    (report.count() == before && !wire.flawed).then_some(Entry {
        kernel,
        at: wire.kernel,
        label,
        axes,
        excludes,
        devices: devices.unwrap_or_default(),
    })
}

/// A parameter may be fixed in one place only.
fn conflicts(report: &mut Report, info: &KernelInfo, axes: &[Axis<'_>]) {
    for (n, axis) in axes.iter().enumerate() {
        for earlier in &axes[..n] {
            let shared = info.params.iter().enumerate().find(|(i, _)| axis.fixes(*i) && earlier.fixes(*i));
            let name = if axis.name == earlier.name { Some(axis.name) } else { shared.map(|(_, p)| p.name) };
            if let Some(name) = name {
                let message = format!("`{name}` is given twice");
                report.at_both(axis.key, message, "keep it in one place", (earlier.key, "first given here"));
            }
        }
    }
}

/// Every parameter without a default must be given, for a shape by each of its values.
fn missing(report: &mut Report, info: &KernelInfo, axes: &[Axis<'_>], at: &Node) {
    let shape = axes.iter().find(|a| a.name == "shape");
    let open: Vec<usize> = (0..info.params.len())
        .filter(|i| info.params[*i].default.is_none())
        .filter(|i| !axes.iter().any(|a| a.name != "shape" && a.fixes(*i)))
        .collect();
    let mut lacking = |node: &Node, lacks: Vec<usize>, what: &str| {
        if let Some(first) = lacks.first() {
            let names: Vec<String> = lacks.iter().map(|i| format!("`{}`", info.params[*i].name)).collect();
            let meaning = info.params[*first].meaning;
            report.at(node, format!("{what} lacks {}", names.join(", ")), format!("add {} — {meaning}", names[0]));
        }
    };
    match shape {
        None => lacking(at, open, &format!("kernel `{}`", info.id)),
        Some(axis) => {
            for choice in &axis.choices {
                lacking(choice.node, open.iter().copied().filter(|i| !choice.fixes(*i)).collect(), "the shape");
            }
        }
    }
}

/// Every combination in the order of the file, the first axis slowest.
fn combinations(report: &mut Report, entry: &Entry<'_>) -> Vec<(Params, Threads)> {
    let info = entry.kernel.info();
    let Some(first) = info.dtypes.first() else { return Vec::new() };
    let total: usize = entry.axes.iter().map(|a| a.choices.len()).product();
    let mut used = vec![false; entry.excludes.len()];
    let mut found = Vec::with_capacity(total);
    let mut refused = false;
    for n in 0..total {
        let mut rest = n;
        let mut sets: Vec<&Assignment> = Vec::new();
        for axis in entry.axes.iter().rev() {
            sets.extend(&axis.choices[rest % axis.choices.len()].sets);
            rest /= axis.choices.len();
        }
        let (params, threads) = resolve(info, *first, &sets);
        let mut excluded = false;
        for (i, (_, axes)) in entry.excludes.iter().enumerate() {
            let hit =
                axes.iter().all(|a| a.choices.iter().any(|c| c.sets.iter().all(|s| holds(info, s, &params, threads))));
            used[i] |= hit;
            excluded |= hit;
        }
        if excluded {
            continue;
        }
        if let Err(error) = entry.kernel.work(&params)
            && !std::mem::replace(&mut refused, true)
        {
            let id = identity(info, &params, threads, &DeviceId::cpu());
            report.at(
                entry.at,
                format!("kernel `{}` refuses case {}: {error}", info.id, quoted(&id)),
                "change its parameters",
            );
        }
        found.push((params, threads));
    }
    for ((node, _), _) in entry.excludes.iter().zip(&used).filter(|(_, used)| !**used) {
        report.at(node, "this exclusion removes no case", "remove it, or correct its values");
    }
    if found.is_empty() {
        report.at(entry.at, "the exclusions leave no case", "remove the entry or one of its exclusions");
    }
    found
}

fn resolve(info: &KernelInfo, first: Dtype, sets: &[&Assignment]) -> (Params, Threads) {
    let (mut dtype, mut threads) = (first, Threads::All);
    let defaults = info.params.iter().filter_map(|p| Some((p.name.to_owned(), p.default?.into())));
    let mut values: BTreeMap<String, ParamValue> = defaults.collect();
    for set in sets {
        match set {
            Assignment::Dtype(d) => dtype = *d,
            Assignment::Threads(t) => threads = *t,
            Assignment::Program(p) => {
                values.insert(PROGRAM.to_owned(), ParamValue::Word(p.name().to_owned()));
            }
            Assignment::Param(i, value) => {
                values.insert(info.params[*i].name.to_owned(), value.clone());
            }
        }
    }
    (Params { dtype, values }, threads)
}

fn holds(info: &KernelInfo, set: &Assignment, params: &Params, threads: Threads) -> bool {
    match set {
        Assignment::Dtype(d) => *d == params.dtype,
        Assignment::Threads(t) => *t == threads,
        Assignment::Program(p) => params.choice() == Some(*p),
        Assignment::Param(i, value) => params.values.get(info.params[*i].name) == Some(value),
    }
}

/// Kernel, type, parameters in the kernel's order and threads or device, safe as a file name.
///
/// It is unique among the cases of a kernel because it spells every parameter out.
pub(crate) fn identity(info: &KernelInfo, params: &Params, threads: Threads, device: &DeviceId) -> String {
    let mut id = format!("{}-{}", info.id, params.dtype);
    for spec in info.params {
        let Some(value) = params.values.get(spec.name) else { continue };
        id += "-";
        id += &match (spec.kind, value) {
            (ParamKind::Choice(_), word) => word.to_string(),
            (ParamKind::Size { .. }, ParamValue::Integer(n)) => format!("{}{}", spec.name, size(*n).replace(' ', "")),
            (_, value) => format!("{}{value}", spec.name),
        };
    }
    if let Some(choice) = params.choice() {
        id = format!("{id}-{}", choice.name());
    }
    if !device.is_cpu() {
        return format!("{id}-{}", device.word());
    }
    id + &match threads {
        Threads::Count(n) => format!("-t{n}"),
        Threads::Cores => "-t-cores".to_owned(),
        Threads::All => "-t-all".to_owned(),
    }
}
