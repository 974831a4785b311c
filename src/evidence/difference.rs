//! What differs between what is stated and what was found, by file and field.

use serde::Serialize;
use serde_json::Value;

/// Differences of one comparison that are listed; more are counted.
const MOST: usize = 10_000;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The file.
    pub file: String,
    /// The field as a JSON pointer (RFC 6901); `None` for the file as a whole.
    pub pointer: Option<String>,
    /// What is stated, as JSON; `None` where nothing is.
    pub stated: Option<String>,
    /// What was found or recomputed, as JSON; `None` where there is nothing.
    pub found: Option<String>,
    /// For people: what is wrong.
    pub text: String,
}

impl Difference {
    /// A difference of a whole file.
    #[must_use]
    pub fn of_file(file: &str, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), pointer: None, stated: None, found: None, text: text.into() }
    }
}

/// Every field of `file` that `stated` and `recomputed` do not share.
#[must_use]
pub fn between(file: &str, stated: &Value, recomputed: &Value) -> Vec<Difference> {
    let mut found = Walk { file, differences: Vec::new(), more: 0 };
    found.walk(Some(stated), Some(recomputed), &mut String::new());
    if found.more > 0 {
        let text = format!("{} further fields differ", found.more);
        found.differences.push(Difference::of_file(file, text));
    }
    found.differences
}

/// Number of leaves of a value: numbers, texts, booleans, nulls, and empty lists and objects.
#[must_use]
pub fn leaves(value: &Value) -> usize {
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().map(leaves).sum(),
        Value::Object(entries) if !entries.is_empty() => entries.values().map(leaves).sum(),
        _ => 1,
    }
}

/// Appends one step to a JSON pointer.
pub(super) fn step(pointer: &mut String, key: &str) {
    pointer.push('/');
    for c in key.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

struct Walk<'a> {
    file: &'a str,
    differences: Vec<Difference>,
    more: usize,
}

impl Walk<'_> {
    fn walk(&mut self, stated: Option<&Value>, recomputed: Option<&Value>, pointer: &mut String) {
        let length = pointer.len();
        match (stated, recomputed) {
            (Some(Value::Object(stated)), Some(Value::Object(recomputed))) => {
                let keys: std::collections::BTreeSet<&String> = stated.keys().chain(recomputed.keys()).collect();
                for key in keys {
                    step(pointer, key);
                    self.walk(stated.get(key), recomputed.get(key), pointer);
                    pointer.truncate(length);
                }
            }
            (Some(Value::Array(stated)), Some(Value::Array(recomputed))) => {
                for index in 0..stated.len().max(recomputed.len()) {
                    step(pointer, &index.to_string());
                    self.walk(stated.get(index), recomputed.get(index), pointer);
                    pointer.truncate(length);
                }
            }
            (stated, recomputed) if stated == recomputed => {}
            _ if self.differences.len() >= MOST => self.more += 1,
            (stated, found) => self.differences.push(Difference {
                file: self.file.to_owned(),
                pointer: Some(pointer.clone()),
                stated: stated.map(Value::to_string),
                found: found.map(Value::to_string),
                text: match (stated, found) {
                    (None, _) => "is missing".to_owned(),
                    (_, None) => "is stated, and recomputing gives no such field".to_owned(),
                    _ => "is not what recomputing gives".to_owned(),
                },
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_differing_field_is_named_once() {
        let stated = json!({"a": [1, 2, {"x/y": "s"}], "b": null, "same": {"k": 1.5}});
        let recomputed = json!({"a": [1, 3, {"x/y": "t"}, 4], "c": true, "same": {"k": 1.5}});
        let found = between("certificate.json", &stated, &recomputed);
        let pointers: Vec<_> = found.iter().map(|d| d.pointer.as_deref().unwrap()).collect();
        assert_eq!(pointers, ["/a/1", "/a/2/x~1y", "/a/3", "/b", "/c"]);
        assert_eq!((found[0].stated.as_deref(), found[0].found.as_deref()), (Some("2"), Some("3")));
        assert_eq!((found[2].stated.as_deref(), found[4].stated.as_deref()), (None, None));
        assert_eq!(between("f", &stated, &stated), []);
        assert_eq!(leaves(&stated), 5);
    }

    #[test]
    fn a_flood_of_differences_is_counted_and_not_listed() {
        let list = |n: usize| Value::from((0..n).map(|i| i + 1).collect::<Vec<_>>());
        let found = between("f", &list(MOST + 7), &json!([]));
        assert_eq!(found.len(), MOST + 1);
        assert!(found[MOST].text.starts_with("7 further"));
    }
}
