//! The shipped suites, the format's reference and the JSON Schema agree with the parser.

use super::super::{SHIPPED, profile::NUMBERS, schema, wire};
use super::*;
use serde_json::Value;

const FORMAT: &str = include_str!("../../../suites/FORMAT.md");

/// The fenced blocks with this info string.
fn blocks(info: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in FORMAT.lines() {
        match &mut open {
            Some(block) if line == "```" => {
                found.push(std::mem::take(block));
                open = None;
            }
            Some(block) => *block += &format!("{line}\n"),
            None if line == format!("```{info}") => open = Some(String::new()),
            None => {}
        }
    }
    found
}

#[test]
fn the_shipped_suites_are_valid() {
    for &(id, text) in SHIPPED {
        let suite = parse(text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(suite.id, id);
        assert!(!suite.title.is_empty() && !suite.description.is_empty());
    }
    let quick = SHIPPED.iter().find(|(id, _)| *id == "quick").map(|(_, text)| parse(text).unwrap()).unwrap();
    assert!(quick.cases.len() <= 16, "{}", quick.cases.len());
    for wanted in ["gemm", "spmv-csr", "spmm-csr", "attention", "triad"] {
        for threads in [Threads::Count(1), Threads::All] {
            assert!(quick.cases.iter().any(|c| c.kernel == wanted && c.threads == threads), "{wanted}");
        }
    }
}

#[test]
fn every_shipped_suite_is_registered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites");
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = files.filter_map(|f| f.strip_suffix(".yaml").map(str::to_owned)).collect();
    found.sort_unstable();
    assert_eq!(found, SHIPPED.iter().map(|(id, _)| *id).collect::<Vec<_>>());
}

#[test]
fn every_example_of_the_reference_parses() {
    let whole = blocks("yaml");
    let entries = blocks("yaml cases");
    assert!(whole.len() >= 2 && entries.len() >= 5, "{} and {}", whole.len(), entries.len());
    for text in whole {
        parse(&text).unwrap_or_else(|e| panic!("{e}"));
    }
    for text in entries {
        let indented: String = text.lines().map(|l| format!("  {l}\n")).collect();
        cases(&indented);
    }
}

#[test]
fn the_error_shown_in_the_reference_is_the_real_one() {
    let wrong = blocks("yaml wrong").remove(0);
    let shown = Suite::parse(Path::new("mine.yaml"), &wrong, &catalog()).unwrap_err().to_string();
    assert_eq!(blocks("text").remove(0).trim_end(), shown);
}

#[test]
fn the_reference_names_every_key_profile_and_setting() {
    let keys = wire::SUITE.iter().chain(wire::ENTRY).chain(wire::PROFILE).map(|k| k.name);
    let numbers = NUMBERS.iter().map(|n| n.key);
    for key in keys.chain(numbers).chain(super::super::Profile::shipped()) {
        assert!(FORMAT.contains(&format!("`{key}`")), "{key}");
    }
}

/// Keys of an object schema, sorted.
fn keys(schema: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(schema["additionalProperties"], false);
    keys.sort_unstable();
    keys
}

fn names<'k>(all: impl Iterator<Item = &'k str>) -> Vec<&'k str> {
    let mut all: Vec<&str> = all.collect();
    all.sort_unstable();
    all
}

#[test]
fn schema_and_parser_know_the_same_keys() {
    let schema = schema(&catalog());
    assert_eq!(keys(&schema), names(wire::SUITE.iter().map(|k| k.name)));
    assert_eq!(keys(&schema["properties"]["settings"]), names(NUMBERS.iter().map(|n| n.key)));
    let entries = schema["properties"]["cases"]["items"]["oneOf"].as_array().unwrap();
    assert_eq!(entries.len(), catalog().infos(crate::kernels::Role::Workload).count());
    for entry in entries {
        assert_eq!(keys(entry), names(wire::ENTRY.iter().map(|k| k.name)));
        let id = entry["properties"]["kernel"]["const"].as_str().unwrap();
        let info = catalog().find(id).unwrap().info();
        let own = info.params.iter().map(|p| p.name).chain(["dtype", "program", "shape", "threads"]);
        assert_eq!(keys(&entry["properties"]["with"]), names(own), "{id}");
    }
    // The parser itself accepts every key of the tables and refuses any other.
    for key in wire::SUITE {
        let found = errors(&format!("{}: 1\nzzzz: 1\n", key.name));
        let unknown: Vec<_> = found.problems().iter().filter(|p| p.message.contains("unknown key")).collect();
        assert_eq!((unknown.len(), unknown[0].marked()), (1, "zzzz"), "{}", key.name);
    }
}

/// Whether `value` has the structure that `schema` describes: the part of JSON Schema that the
/// generated schema uses, except patterns.
fn satisfies(value: &Value, schema: &Value) -> bool {
    let any = |name: &str, need: fn(usize) -> bool| {
        schema[name].as_array().is_none_or(|all| need(all.iter().filter(|s| satisfies(value, s)).count()))
    };
    let kind = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("number") => value.is_number(),
        Some(other) => panic!("the test does not know the type {other}"),
    };
    let fixed = schema.get("const").is_none_or(|c| c == value)
        && schema["enum"].as_array().is_none_or(|all| all.contains(value));
    let ranged = value.as_f64().is_none_or(|x| {
        schema["minimum"].as_f64().is_none_or(|m| x >= m) && schema["maximum"].as_f64().is_none_or(|m| x <= m)
    });
    let object = value.as_object().is_none_or(|map| {
        schema["required"].as_array().is_none_or(|all| all.iter().all(|k| map.contains_key(k.as_str().unwrap())))
            && schema["properties"]
                .as_object()
                .is_none_or(|known| map.iter().all(|(k, v)| known.get(k).is_some_and(|s| satisfies(v, s))))
    });
    let array = value.as_array().is_none_or(|all| {
        all.len() as u64 >= schema["minItems"].as_u64().unwrap_or(0)
            && schema.get("items").is_none_or(|s| all.iter().all(|v| satisfies(v, s)))
    });
    kind && fixed && ranged && object && array && any("anyOf", |n| n >= 1) && any("oneOf", |n| n == 1)
}

#[test]
fn what_the_parser_takes_satisfies_the_schema_and_what_it_refuses_does_not() {
    let schema = schema(&catalog());
    let json = |text: &str| serde_yaml::from_str::<Value>(text).unwrap();
    let examples = blocks("yaml");
    for text in SHIPPED.iter().map(|(_, t)| *t).chain(examples.iter().map(String::as_str)) {
        assert!(satisfies(&json(text), &schema), "{text}");
    }
    for cases in [
        "  - {kernel: gem}\n",
        "  - {kernel: gemm, wiht: {shape: 8x8x8}}\n",
        "  - {kernel: gemm, with: {shape: 8x8x8, x: 1}}\n",
        "  - {kernel: gemm, with: {m: 0, n: 1, k: 1}}\n",
        "  - {kernel: gemm, with: {shape: 8x8x8, dtype: f23}}\n",
        "  - {kernel: gemm, with: {shape: 8x8x8, dtype: [f32]}}\n",
        "  - {kernel: attention, with: {shape: 8x8, mask: casual}}\n",
        "  - {kernel: fma-peak}\n",
        "  []\n",
    ] {
        let text = with_cases(cases);
        assert!(parse(&text).is_err(), "{cases}");
        assert!(!satisfies(&json(&text), &schema), "{cases}");
    }
}
