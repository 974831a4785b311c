//! Canonical JSON after RFC 8785: one value, one sequence of bytes.
//!
//! RFC 8785 writes every number as an IEEE 754 double. An integer that a double cannot hold would be
//! rounded without a word, so such a value is refused: types write big counters as strings.

use serde::Serialize;

/// Largest integer that a double holds together with all below it: 2^53 − 1 (RFC 7493, §2.2).
pub const LARGEST_INTEGER: u64 = (1 << 53) - 1;

/// A value that has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum NotCanonical {
    /// An integer would be rounded.
    #[error("the integer {value} at `{pointer}` is beyond ±(2^53 − 1) and would be rounded in canonical JSON")]
    Integer {
        /// JSON pointer (RFC 6901).
        pointer: String,
        /// The integer.
        value: String,
    },
    /// A number is not finite, which JSON cannot say.
    #[error("the number at `{pointer}` is {value}, which JSON cannot say")]
    NotFinite {
        /// JSON pointer (RFC 6901).
        pointer: String,
        /// The number.
        value: f64,
    },
    /// It cannot be serialised: a map has keys that are no strings.
    #[error("no canonical JSON: {0}")]
    Value(String),
}

/// The canonical JSON of `value`.
///
/// # Errors
/// [`NotCanonical`] for integers beyond ±(2^53 − 1), for NaN and infinities, and for what is no JSON.
pub fn to_vec(value: &impl Serialize) -> Result<Vec<u8>, NotCanonical> {
    super::guard::check(value)?;
    serde_json_canonicalizer::to_vec(value).map_err(|e| NotCanonical::Value(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn text(value: &impl Serialize) -> String {
        String::from_utf8(to_vec(value).unwrap()).unwrap()
    }

    #[test]
    fn the_published_example_gives_the_published_bytes() {
        // RFC 8785, §3.2.2 and §3.2.3.
        let example = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        let value: Value = serde_json::from_str(example).unwrap();
        let expected = r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}"#;
        assert_eq!(text(&value), expected);
    }

    #[test]
    fn keys_are_in_the_order_of_their_utf_16_units() {
        // RFC 8785, §3.2.3: the emoji (a surrogate pair) comes before U+FB33.
        let value = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        assert_eq!(
            text(&value),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
    }

    #[test]
    fn numbers_are_written_as_the_published_samples() {
        // RFC 8785, appendix B.
        for (bits, expected) in [
            (0x0000_0000_0000_0000u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(text(&f64::from_bits(bits)), expected);
        }
    }

    #[test]
    fn what_a_double_cannot_hold_is_refused_with_its_place() {
        let largest = (1u64 << 53) - 1;
        assert_eq!(text(&json!([largest, -9_007_199_254_740_991i64])), "[9007199254740991,-9007199254740991]");
        for (value, pointer) in [
            (json!({"a": [{"b/c": largest + 1}]}), "/a/0/b~1c"),
            (json!([0, -9_007_199_254_740_992i64]), "/1"),
            (json!({"~": u64::MAX}), "/~0"),
        ] {
            let error = to_vec(&value).unwrap_err().to_string();
            assert!(error.contains(&format!("at `{pointer}`")), "{error}");
        }
        #[derive(Serialize)]
        struct Figures {
            list: Vec<Figure>,
        }
        #[derive(Serialize)]
        enum Figure {
            Of { value: Option<f64> },
        }
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let figures = Figures { list: vec![Figure::Of { value: Some(number) }] };
            let error = to_vec(&figures).unwrap_err().to_string();
            assert!(error.contains("at `/list/0/Of/value`"), "{error}");
            let map = std::collections::BTreeMap::from([("k", (1, number))]);
            assert!(to_vec(&map).unwrap_err().to_string().contains("at `/k/1`"));
        }
    }

    /// JSON values whose integers a double holds.
    fn values() -> impl Strategy<Value = Value> {
        let integer = -9_007_199_254_740_991i64..=9_007_199_254_740_991;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            integer.prop_map(Value::from),
            any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// Equal, where 1 and 1.0 are one number.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| same(v, other)))
            }
            _ => a == b,
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_one_value_has_one_form(value in values()) {
            let bytes = to_vec(&value).unwrap();
            let back: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert!(same(&value, &back), "{value} became {back}");
            prop_assert_eq!(serde_json_canonicalizer::to_vec(&back).unwrap(), bytes);
        }

        #[test]
        fn the_order_of_writing_does_not_matter(mut entries in prop::collection::btree_map(any::<String>(), any::<i32>(), 0..8)) {
            let sorted = to_vec(&entries).unwrap();
            let reversed: serde_json::Map<String, Value> =
                entries.iter().rev().map(|(k, v)| (k.clone(), Value::from(*v))).collect();
            prop_assert_eq!(to_vec(&reversed).unwrap(), sorted.clone());
            entries.insert("another key of its own".into(), 1);
            prop_assert_ne!(to_vec(&entries).unwrap(), sorted);
        }
    }
}
