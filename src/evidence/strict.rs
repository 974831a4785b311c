//! JSON read strictly: a key that stands twice in an object is an error.
//!
//! RFC 8259 leaves open what such an object means, so two readers of one signed file could see two
//! different values.

use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// Fails when any object of the JSON text has a key twice, or when it is no JSON text.
///
/// # Errors
/// What is wrong, with line and column.
pub fn check(text: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<Unique>(text).map(|_| ()).map_err(|e| e.to_string())
}

/// As [`check`], for one JSON text a line; lines are counted from 1, empty ones are left out.
///
/// # Errors
/// What is wrong, with line and column.
pub fn check_lines(text: &[u8]) -> Result<(), String> {
    let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    for (index, line) in text[..whole].split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        serde_json::from_slice::<Unique>(line).map_err(|e| {
            let reason = e.to_string();
            // serde_json counts lines inside of this one.
            let reason = reason.split(" at line ").next().unwrap_or_default();
            format!("{reason} at line {} column {}", index + 1, e.column())
        })?;
    }
    Ok(())
}

/// The value in a JSON text whose objects have no key twice.
///
/// # Errors
/// What is wrong, with line and column.
pub fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    check(text)?;
    serde_json::from_slice(text).map_err(|e| e.to_string())
}

/// Any JSON value; only the keys of its objects are looked at.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
        while items.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            if seen.contains(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} stands twice in one object")));
            }
            seen.insert(key);
            entries.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

/// A key, borrowed from the text where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_an_error_at_any_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"c":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
            let error = check(text.as_bytes()).unwrap_err();
            assert!(error.contains("\"a\" stands twice") && error.contains("line 1 column"), "{error}");
        }
        assert_eq!(check(br#"{"a":{"a":[{"a":null},{"a":1.5e3}]},"b":"a"}"#), Ok(()));
    }

    #[test]
    fn lines_are_counted_through_the_file() {
        let error = check_lines(b"{\"a\":1}\n\n{\"a\":1,\"a\":2}\n").unwrap_err();
        assert!(error.ends_with("at line 3 column 10"), "{error}");
        assert_eq!(check_lines(b"{\"a\":1}\n{\"a\":1,\"a\""), Ok(()), "a torn last line is no line");
    }

    #[test]
    fn what_is_no_json_text_is_refused_and_nesting_is_bounded() {
        for text in [&b"{} {}"[..], b"", b"{\"a\":1", b"\xff", b"{\"a\":NaN}"] {
            assert!(check(text).is_err(), "{text:?}");
        }
        assert!(check(&[b'['; 100_000]).unwrap_err().contains("recursion limit"));
    }
}
