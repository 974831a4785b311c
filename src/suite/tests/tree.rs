use crate::suite::tree::{MAX_BYTES, Mark, Node, Value, parse};
use proptest::prelude::*;

fn at(line: u32, column: u32) -> Mark {
    Mark { line, column }
}

#[test]
fn every_scalar_and_container_knows_its_place() {
    let text = "a: 1\nb:\n  - x y\n  - {c: [2.5, ~]}\n";
    let tree = parse(text).unwrap();
    let Value::Map(entries) = &tree.value else { panic!("a map") };
    assert_eq!(entries[0].0.mark(), Some(at(1, 1)));
    assert_eq!(entries[0].1.mark(), Some(at(1, 4)));
    let Value::List(items) = &entries[1].1.value else { panic!("a list") };
    assert_eq!(items[0].mark(), Some(at(3, 5)));
    assert_eq!(items[1].located(text), Some(at(4, 5)));
    let Value::Map(inner) = &items[1].value else { panic!("a map") };
    assert_eq!(inner[0].1.located(text), Some(at(4, 9)));
    let Value::List(numbers) = &inner[0].1.value else { panic!("a list") };
    assert!(matches!(numbers[0].value, Value::Real(x) if (x - 2.5).abs() < 1e-12));
    assert!(matches!(numbers[1].value, Value::Null));
    assert_eq!(numbers[1].mark(), Some(at(4, 15)));
}

#[test]
fn a_document_of_one_scalar_parses() {
    assert_eq!(parse("hello").unwrap().text(), Some("hello"));
}

#[test]
fn aliases_keep_their_value_and_cannot_explode() {
    let tree = parse("a: &x [1, 2]\nb: *x\n").unwrap();
    let Value::Map(entries) = &tree.value else { panic!("a map") };
    assert_eq!(entries[1].1.one_or_many().len(), 2);
    // 9^8 leaves would be 43 million; serde_yaml's limit alone lets a wide bomb of 10^5 pass.
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for i in 1..9 {
        let row = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb += &format!("a{i}: &a{i} [{row}]\n");
    }
    assert!(parse(&bomb).unwrap_err().message.contains("aliases"));
    let wide = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(20_000), vec!["*a"; 60].join(","));
    assert!(parse(&wide).unwrap_err().message.contains("aliases"));
}

#[test]
fn deep_nesting_is_refused_without_a_stack_overflow() {
    for text in ["[".repeat(10_000), "- ".repeat(10_000), "? ".repeat(10_000), "{a: ".repeat(10_000)] {
        let error = parse(&text).unwrap_err();
        assert!(error.mark.is_some(), "{error:?}");
    }
    let long = "[".repeat(MAX_BYTES);
    assert!(parse(&long).unwrap_err().message.contains("brackets"));
}

#[test]
fn syntax_errors_tell_place_and_remedy() {
    let error = parse("a: 1\n\tb: 2\n").unwrap_err();
    assert_eq!((error.message.as_str(), error.mark), ("a tab where YAML wants spaces", Some(at(2, 1))));
    let error = parse("a: 1\n---\nb: 1\n").unwrap_err();
    assert_eq!(error.mark, Some(at(2, 1)));
    assert!(parse("").unwrap_err().message.contains("no YAML document"));
    assert!(parse("a: !x 1").unwrap_err().message.contains("tags"));
    assert!(parse("a: *nowhere").unwrap_err().message.contains("not valid YAML"));
}

#[rustfmt::skip]
const NOISE: [&str; 28] = [
    "- ", ": ", "? ", "[", "]", "{", "}", ",", "\n", "  ", "&a ", "*a", "!x ", "!!str ", "|\n", "'", "\"", "#", "a", "1",
    "---\n", "...\n", "%YAML 1.2\n", "\t", "\r", "<<", "\\", "\u{85}",
];

fn same(node: &Node, value: &serde_yaml::Value, text: &str) -> bool {
    use serde_yaml::Value as Yaml;
    let begins = |start: &str| {
        let mark = node.mark().expect("a scalar has a mark");
        let line = text.lines().nth(mark.line as usize - 1).unwrap_or_default();
        let rest: String = line.chars().skip(mark.column as usize - 1).collect();
        rest.starts_with(start) || rest.starts_with(['"', '\'', '|', '>'])
    };
    match (&node.value, value) {
        (Value::Null, Yaml::Null) => begins("null"),
        (Value::Bool(a), Yaml::Bool(b)) => a == b && begins(&b.to_string()),
        (Value::Integer(a), Yaml::Number(b)) => {
            b.as_i64().is_some_and(|b| i128::from(b) == *a) && begins(&a.to_string())
        }
        (Value::Real(a), Yaml::Number(b)) => b.as_f64().is_some_and(|b| b.to_bits() == a.to_bits()) && begins(""),
        (Value::Text(a), Yaml::String(b)) => a == b && begins(b),
        (Value::List(a), Yaml::Sequence(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, text)),
        (Value::Map(a), Yaml::Mapping(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, va), (kb, vb))| same(ka, kb, text) && same(va, vb, text))
        }
        _ => false,
    }
}

fn documents() -> impl Strategy<Value = serde_yaml::Value> {
    use serde_yaml::Value as Yaml;
    let leaf = prop_oneof![
        Just(Yaml::Null),
        any::<bool>().prop_map(Yaml::from),
        any::<i64>().prop_map(Yaml::from),
        (-1e9f64..1e9).prop_map(Yaml::from),
        "[ -~äµ\n]{0,12}".prop_map(Yaml::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let map = prop::collection::vec(("[a-z: #\\-]{1,8}", inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Yaml::Sequence),
            map.prop_map(|entries| Yaml::Mapping(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())),
        ]
    })
}

proptest! {
    /// Catching the errors of scalars loses no step: the tree equals serde_yaml's own value, and
    /// each mark points at what it marks.
    #[test]
    fn the_tree_is_what_serde_yaml_reads(value in documents()) {
        let text = serde_yaml::to_string(&value).unwrap();
        let node = parse(&text).unwrap();
        prop_assert!(same(&node, &value, &text), "{text}\n{node:?}");
    }

    /// Text made of YAML's own signs gives a tree or an error, never a panic.
    #[test]
    fn yaml_noise_never_panics(parts in prop::collection::vec(0..NOISE.len(), 0..40)) {
        let text: String = parts.into_iter().map(|n| NOISE[n]).collect();
        if let Err(error) = parse(&text) {
            prop_assert!(!error.message.is_empty() && !error.help.is_empty());
        }
    }
}
