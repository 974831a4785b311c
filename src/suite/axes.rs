//! `with`, `matrix` and `exclude`: maps of parameters, checked against the kernel.

use super::problem::{Report, quoted};
use super::quantity::{Quantity, whole};
use super::suggest::hint;
use super::tree::{Node, Value};
use super::wire::{self, pairs};
use super::{Catalog, Threads};
use crate::kernels::{Dtype, KernelInfo, PROGRAM, ParamKind, ParamSpec, ParamValue, ProgramChoice, Role as KernelRole};
use std::collections::HashMap;

/// Most threads a case may ask for.
pub(super) const MAX_THREADS: u64 = 4096;

/// One choice along an axis fixes one or, for a shape, several of these.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Assignment {
    Dtype(Dtype),
    Threads(Threads),
    Program(ProgramChoice),
    /// Index into the kernel's parameters, and the value.
    Param(usize, ParamValue),
}

/// One value of an axis.
pub(super) struct Choice<'t> {
    pub(super) node: &'t Node,
    pub(super) sets: Vec<Assignment>,
}

/// A key of the map and its values.
pub(super) struct Axis<'t> {
    pub(super) name: &'t str,
    pub(super) key: &'t Node,
    pub(super) choices: Vec<Choice<'t>>,
}

impl Axis<'_> {
    /// Whether any of its choices fixes this parameter.
    pub(super) fn fixes(&self, param: usize) -> bool {
        self.choices.iter().any(|c| c.fixes(param))
    }
}

impl Choice<'_> {
    pub(super) fn fixes(&self, param: usize) -> bool {
        self.sets.iter().any(|s| matches!(s, Assignment::Param(p, _) if *p == param))
    }
}

/// What a map of parameters stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// One value each.
    With,
    /// Lists of values.
    Matrix,
    /// Values that together name combinations.
    Exclude,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::With => "`with`",
            Self::Matrix => "`matrix`",
            Self::Exclude => "`exclude`",
        }
    }
}

/// Keys that every kernel understands.
const COMMON: [&str; 4] = ["shape", "dtype", "threads", PROGRAM];

/// Whether any kernel understands this key inside `with` or `matrix`.
pub(super) fn is_parameter(catalog: &Catalog, name: &str) -> bool {
    let own = |info: &KernelInfo| info.params.iter().any(|p| p.name == name);
    COMMON.contains(&name) || catalog.infos(KernelRole::Workload).any(own)
}

/// Reads a map of parameters.
pub(super) fn read<'t>(report: &mut Report, info: &KernelInfo, node: &'t Node, role: Role) -> Vec<Axis<'t>> {
    let mut axes = Vec::new();
    for (name, key, value) in pairs(report, node, role.name()) {
        let spec = info.params.iter().position(|p| p.name == name);
        if spec.is_none() && !COMMON.contains(&name) {
            let help = if wire::ENTRY.iter().any(|k| k.name == name) {
                format!("write `{name}:` beside {}, not inside", role.name())
            } else {
                hint(name, "parameters", info.params.iter().map(|p| p.name).chain(COMMON.iter().copied()))
            };
            report.at(key, format!("kernel `{}` has no parameter {}", info.id, quoted(name)), help);
            continue;
        }
        if let (Role::With, Value::List(_)) = (role, &value.value) {
            report.at(value, format!("`{name}` is a list, and `with` takes one value"), "move it to `matrix:`");
            continue;
        }
        let items = value.one_or_many();
        if items.is_empty() {
            report.at(value, format!("the list of `{name}` is empty"), "write at least one value, or remove the key");
        }
        let mut choices: Vec<Choice<'t>> = Vec::new();
        let mut seen = HashMap::new();
        for item in items {
            let Some(sets) = choice(report, info, name, spec, item) else { continue };
            if let Some(earlier) = seen.insert(format!("{sets:?}"), item) {
                report.at_both(
                    item,
                    format!("a value of `{name}` is repeated"),
                    "remove one",
                    (earlier, "first written here"),
                );
            } else {
                choices.push(Choice { node: item, sets });
            }
        }
        axes.push(Axis { name, key, choices });
    }
    axes
}

fn choice(
    report: &mut Report,
    info: &KernelInfo,
    name: &str,
    spec: Option<usize>,
    node: &Node,
) -> Option<Vec<Assignment>> {
    match (name, spec) {
        (_, Some(index)) => param(report, &info.params[index], node).map(|v| vec![Assignment::Param(index, v)]),
        ("shape", _) => shape(report, info, node),
        ("dtype", _) => dtype(report, info, node).map(|d| vec![Assignment::Dtype(d)]),
        (PROGRAM, _) => program(report, node).map(|p| vec![Assignment::Program(p)]),
        _ => threads(report, node).map(|t| vec![Assignment::Threads(t)]),
    }
}

fn param(report: &mut Report, spec: &ParamSpec, node: &Node) -> Option<ParamValue> {
    if let ParamKind::Choice(words) = spec.kind {
        return match node.text() {
            Some(text) if words.contains(&text) => Some(ParamValue::Word(text.to_owned())),
            other => {
                let help = hint(other.unwrap_or_default(), "words", words.iter().copied());
                report.at(node, format!("`{}`: {} is none of its words", spec.name, node.describe()), help);
                None
            }
        };
    }
    let quantity = Quantity::of(spec.kind)?;
    match quantity.read(node) {
        Ok(value) if matches!(quantity, Quantity::Fraction { .. }) => Some(ParamValue::Real(value)),
        Ok(value) => Some(ParamValue::Integer(whole(value))),
        Err(fault) => {
            report.at(
                node,
                format!("`{}`: {}", spec.name, fault.message),
                format!("{} ({})", fault.help, spec.meaning),
            );
            None
        }
    }
}

fn dtype(report: &mut Report, info: &KernelInfo, node: &Node) -> Option<Dtype> {
    let text = node.text().unwrap_or_default();
    let found = info.dtypes.iter().copied().find(|d| d.name() == text);
    if found.is_none() {
        let help = hint(text, "types", info.dtypes.iter().map(|d| d.name()));
        report.at(node, format!("kernel `{}` has no type {}", info.id, node.describe()), help);
    }
    found
}

fn program(report: &mut Report, node: &Node) -> Option<ProgramChoice> {
    let text = node.text().unwrap_or_default();
    let found = ProgramChoice::ALL.iter().copied().find(|p| p.name() == text);
    if found.is_none() {
        let help = hint(text, "words", ProgramChoice::ALL.iter().map(|p| p.name()));
        report.at(node, format!("`{PROGRAM}`: {} is none of its words", node.describe()), help);
    }
    found
}

fn threads(report: &mut Report, node: &Node) -> Option<Threads> {
    match &node.value {
        Value::Text(text) if text == "cores" => return Some(Threads::Cores),
        Value::Text(text) if text == "all" => return Some(Threads::All),
        Value::Text(_) => {}
        _ => {
            if let Ok(n) = (Quantity::Count { min: 1, max: MAX_THREADS }).read(node) {
                return u32::try_from(whole(n)).ok().map(Threads::Count);
            }
        }
    }
    let help = format!("write a whole number from 1 to {MAX_THREADS}, `cores` or `all`");
    report.at(node, format!("{} is no number of threads", node.describe()), help);
    None
}

/// How many parts the compact form needs: up to the last parameter without a default.
pub(super) fn compact_parts(info: &KernelInfo) -> usize {
    let last = compact(info).iter().rposition(|i| info.params[*i].default.is_none());
    last.map_or(1, |n| n + 1)
}

/// The parameters that the compact form `MxNxK` lists, in its order.
pub(super) fn compact(info: &KernelInfo) -> Vec<usize> {
    let count = |(_, p): &(usize, &ParamSpec)| matches!(p.kind, ParamKind::Count { .. });
    info.params.iter().enumerate().filter(count).map(|(i, _)| i).collect()
}

fn shape(report: &mut Report, info: &KernelInfo, node: &Node) -> Option<Vec<Assignment>> {
    let counts = compact(info);
    let order = counts.iter().map(|i| info.params[*i].name).collect::<Vec<_>>().join("x");
    match &node.value {
        Value::Map(_) => {
            let before = report.count();
            let mut sets = Vec::new();
            for (name, key, value) in pairs(report, node, "a shape") {
                match info.params.iter().position(|p| p.name == name) {
                    Some(i) => sets.extend(param(report, &info.params[i], value).map(|v| Assignment::Param(i, v))),
                    None => {
                        let help = hint(name, "parameters", info.params.iter().map(|p| p.name));
                        report.at(key, format!("kernel `{}` has no parameter {}", info.id, quoted(name)), help);
                    }
                }
            }
            if sets.is_empty() && report.count() == before {
                report.at(node, "an empty shape", "name its sizes or remove it");
            }
            (report.count() == before).then_some(sets)
        }
        Value::Text(text) => {
            let parts: Vec<&str> = text.split('x').collect();
            if parts.len() < compact_parts(info) || parts.len() > counts.len() {
                let help = if counts.is_empty() {
                    "this kernel has no such shape: name its parameters".to_owned()
                } else {
                    format!("write `{order}`, or a map")
                };
                report.at(node, format!("{} is no shape of kernel `{}`", node.describe(), info.id), help);
                return None;
            }
            let mut sets = Vec::new();
            for (index, part) in counts.iter().zip(&parts) {
                let spec = &info.params[*index];
                let ParamKind::Count { min, max } = spec.kind else { continue };
                match part.trim().parse::<u64>() {
                    Ok(n) if (min..=max).contains(&n) => sets.push(Assignment::Param(*index, ParamValue::Integer(n))),
                    _ => {
                        let help = format!("write `{order}`; `{}` is a whole number from {min} to {max}", spec.name);
                        report.at(node, format!("`{}` of the shape {} is not valid", spec.name, quoted(text)), help);
                        return None;
                    }
                }
            }
            Some(sets)
        }
        _ if counts.len() == 1 => {
            param(report, &info.params[counts[0]], node).map(|v| vec![Assignment::Param(counts[0], v)])
        }
        _ => {
            let help = if counts.is_empty() {
                "write a map of parameters".to_owned()
            } else {
                format!("write `{order}`, or a map")
            };
            report.at(node, format!("{} is no shape", node.describe()), help);
            None
        }
    }
}
