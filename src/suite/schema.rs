//! JSON Schema of suite files, generated from the key tables, the profile's numbers and the kernels.

use super::Profile;
use super::axes::{MAX_THREADS, compact, compact_parts};
use super::catalog::Catalog;
use super::profile::NUMBERS;
use super::quantity::Quantity;
use super::wire::{self, Key};
use crate::kernels::{KernelInfo, PROGRAM, ParamKind, ParamSpec, ProgramChoice, Role};
use serde_json::{Map, Value, json};

/// The schema (draft 2020-12) of suites over the kernels of `catalog`, for editors and checkers.
///
/// It describes structure: keys, words, ranges and units. What needs arithmetic (duplicates, the
/// number of cases, unused exclusions) only [`Suite::parse`](super::Suite::parse) can tell.
#[must_use]
pub fn schema(catalog: &Catalog) -> Value {
    let id = json!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 64});
    let names: Vec<&str> = Profile::shipped().collect();
    let kernels: Vec<Value> = catalog.infos(Role::Workload).map(entry).collect();
    let settings = NUMBERS.iter().map(|n| (n.key.to_owned(), described(n.quantity.schema(), n.meaning))).collect();
    let mut schema = object(wire::SUITE, |name| match name {
        "version" => json!({"const": 1}),
        "suite" => id.clone(),
        "title" => json!({"type": "string", "maxLength": 200}),
        "description" => json!({"type": "string", "maxLength": 2000}),
        "profile" => json!({"anyOf": [{"enum": names}, {"type": "string", "pattern": r"(/|\.ya?ml$)"}]}),
        "settings" => closed(Map::clone(&settings), &[]),
        "devices" => devices(),
        _ => json!({"type": "array", "minItems": 1, "items": {"oneOf": kernels}}),
    });
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("wattproof suite");
    schema["description"] = json!("What to measure and how.");
    schema
}

/// An entry of `cases` for one kernel.
fn entry(info: &KernelInfo) -> Value {
    let mut schema = object(wire::ENTRY, |name| match name {
        "kernel" => json!({"const": info.id}),
        "label" => json!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 32}),
        "with" => parameters(info, |value| value),
        "matrix" => parameters(info, one_or_more),
        "devices" => devices(),
        _ => one_or_more(parameters(info, one_or_more)),
    });
    schema["title"] = json!(info.title);
    schema
}

/// The map of a kernel's parameters; `wrap` says whether lists are allowed.
fn parameters(info: &KernelInfo, wrap: fn(Value) -> Value) -> Value {
    let mut keys = Map::new();
    for spec in info.params {
        keys.insert(spec.name.to_owned(), described(wrap(parameter(spec)), spec.meaning));
    }
    let types: Vec<&str> = info.dtypes.iter().map(|d| d.name()).collect();
    keys.insert("dtype".to_owned(), described(wrap(json!({"enum": types})), "Element type."));
    let count = json!({"type": "integer", "minimum": 1, "maximum": MAX_THREADS});
    let threads = json!({"anyOf": [count, {"enum": ["cores", "all"]}]});
    keys.insert("threads".to_owned(), described(wrap(threads), "Threads: a count, `cores` or `all`."));
    let programs: Vec<&str> = ProgramChoice::ALL.iter().map(|p| p.name()).collect();
    let meaning =
        "Whose program on a device: a library's or the kernel's own; the library's where there is one when left out.";
    keys.insert(PROGRAM.to_owned(), described(wrap(json!({"enum": programs})), meaning));
    keys.insert("shape".to_owned(), described(wrap(shape(info)), "Sizes that belong together."));
    closed(keys, &[])
}

fn parameter(spec: &ParamSpec) -> Value {
    match (spec.kind, Quantity::of(spec.kind)) {
        (ParamKind::Choice(words), _) => json!({"enum": words}),
        (_, Some(quantity)) => quantity.schema(),
        (_, None) => json!({}),
    }
}

fn shape(info: &KernelInfo) -> Value {
    let keys = info.params.iter().map(|p| (p.name.to_owned(), described(parameter(p), p.meaning))).collect();
    let mut map = closed(keys, &[]);
    map["minProperties"] = json!(1);
    let counts = compact(info);
    match counts.len() {
        0 => map,
        most => {
            let pattern = format!("^[0-9]+(x[0-9]+){{{},{}}}$", compact_parts(info) - 1, most - 1);
            let mut forms = vec![map, json!({"type": "string", "pattern": pattern})];
            if most == 1 {
                forms.push(parameter(&info.params[counts[0]]));
            }
            json!({"anyOf": forms})
        }
    }
}

/// A list of devices, or one.
fn devices() -> Value {
    one_or_more(json!({"type": "string", "pattern": super::device::PATTERN}))
}

fn one_or_more(value: Value) -> Value {
    json!({"anyOf": [value, {"type": "array", "minItems": 1, "uniqueItems": true, "items": value}]})
}

fn object(keys: &[Key], schema: impl Fn(&str) -> Value) -> Value {
    let required: Vec<&str> = keys.iter().filter(|k| k.required).map(|k| k.name).collect();
    closed(keys.iter().map(|k| (k.name.to_owned(), described(schema(k.name), k.meaning))).collect(), &required)
}

fn closed(properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required})
}

fn described(mut schema: Value, meaning: &str) -> Value {
    schema["description"] = json!(meaning);
    schema
}
