//! JSON Schema of policy files and reference tables, generated from the key tables their readers use.

use super::certification::{INDEX, LETTERS, POLICY, SUITE};
use super::limits::{self, KEYS, WORDS};
use super::reference::{DERIVED, PART, POSITIVE, ROW, SHARE, TABLE, WEIGHT};
use crate::record::Dtype;
use crate::suite::wire::Key;
use serde_json::{Map, Value, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema (draft 2020-12) of policy files. What needs arithmetic (falling bounds of classes) only the
/// reader can tell.
#[must_use]
pub fn policy_schema() -> Value {
    let mut schema = object(POLICY, |name| match name {
        "version" => json!({"const": 1}),
        "policy" => identifier(),
        "title" => json!({"type": "string", "maxLength": 200}),
        "validity_days" => json!({"type": "integer", "minimum": 1, "maximum": 36_500}),
        "classes" => {
            let bounds = LETTERS.iter().map(|l| ((*l).to_owned(), INDEX.schema())).collect();
            closed(bounds, &LETTERS)
        }
        section => object(&limits::keys_of(section), |name| limit(section, name)),
    });
    schema["$schema"] = json!(DIALECT);
    schema["title"] = json!("wattproof policy of certification");
    schema
}

/// The schema (draft 2020-12) of reference tables. Whether a derived figure follows from the parts only the
/// reader can tell.
#[must_use]
pub fn table_schema() -> Value {
    let text = |longest: u32| json!({"type": "string", "minLength": 1, "maxLength": longest});
    let dtypes: Vec<&str> = Dtype::ALL.iter().map(|d| d.name()).collect();
    let derived = object(DERIVED, |name| match name {
        "bound" => json!({"enum": ["arithmetic", "memory"]}),
        "share" => SHARE.schema(),
        _ => POSITIVE.schema(),
    });
    let row = object(ROW, |name| match name {
        "case" => json!({"type": "string"}),
        "weight" => WEIGHT.schema(),
        "derived" => derived.clone(),
        "source" => text(1000),
        _ => POSITIVE.schema(),
    });
    let part = object(PART, |name| match name {
        "name" => text(200),
        "source" => text(1000),
        _ => POSITIVE.schema(),
    });
    let mut schema = object(TABLE, |name| match name {
        "version" => json!({"const": 1}),
        "table" => identifier(),
        "category" => json!({"enum": ["cpu", "gpu"]}),
        "dtype" => json!({"enum": dtypes}),
        "provisional" => json!({"type": "boolean"}),
        "why_provisional" => json!({"type": "string", "maxLength": 1000}),
        "parts" => json!({"type": "array", "items": part}),
        _ => json!({"type": "array", "items": row}),
    });
    schema["$schema"] = json!(DIALECT);
    schema["title"] = json!("wattproof reference table");
    schema
}

fn limit(section: &str, name: &str) -> Value {
    let number = KEYS.iter().find(|k| k.section == section && k.key == name).map(|k| k.quantity.schema());
    let word = || WORDS.iter().find(|w| w.section == section && w.key == name).map(|w| json!({"enum": (w.words)()}));
    let suite = || {
        let entry = object(SUITE, |name| match name {
            "id" => identifier(),
            _ => json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        });
        json!({"type": "array", "items": entry})
    };
    number.or_else(word).unwrap_or_else(suite)
}

fn identifier() -> Value {
    json!({"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 64})
}

fn object(keys: &[Key], schema: impl Fn(&str) -> Value) -> Value {
    let required: Vec<&str> = keys.iter().filter(|k| k.required).map(|k| k.name).collect();
    let entries = keys.iter().map(|k| {
        let mut value = schema(k.name);
        value["description"] = json!(k.meaning);
        (k.name.to_owned(), value)
    });
    closed(entries.collect(), &required)
}

fn closed(properties: Map<String, Value>, required: &[&str]) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties, "required": required})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether every key of `value` is in `schema`, and every required one in `value`.
    fn fits(value: &Value, schema: &Value, at: &str) {
        match value {
            Value::Object(map) => {
                let known = schema["properties"].as_object().unwrap_or_else(|| panic!("{at} is no object"));
                for (key, value) in map {
                    fits(
                        value,
                        known.get(key).unwrap_or_else(|| panic!("{at}.{key} is unknown")),
                        &format!("{at}.{key}"),
                    );
                }
                for key in schema["required"].as_array().unwrap() {
                    assert!(map.contains_key(key.as_str().unwrap()), "{at} lacks {key}");
                }
            }
            Value::Array(items) => items.iter().for_each(|item| fits(item, &schema["items"], at)),
            Value::Null => panic!("{at} is null"),
            _ => assert!(schema.get("properties").is_none(), "{at} should be a map"),
        }
    }

    #[test]
    fn the_shipped_files_fit_their_schemas() {
        for (text, schema) in [
            (super::super::certification::SHIPPED, policy_schema()),
            (super::super::reference::SHIPPED[0].1, table_schema()),
        ] {
            let value: Value = serde_yaml::from_str(text).unwrap();
            fits(&value, &schema, "file");
        }
    }
}
