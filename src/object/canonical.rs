//! Canonical JSON: one byte string for all notations of the same content, so that its hash
//! can stand for the content.

use serde_json::{Number, Value};

/// Integers of a larger magnitude have no exact counterpart among the doubles (RFC 8259, section 6).
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// The canonical JSON of a value: no white space, keys in byte order, strings escaped as
/// `serde_json` does, and numbers in one notation (`1`, `1.0` and `1e0` are all `1`).
///
/// Unlike RFC 8785, integers keep all their digits: Kubernetes has 64-bit fields.
#[must_use]
pub fn canonical_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            // Sorted here, since a dependency may switch on serde_json's insertion order.
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (index, (key, field)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_value(field, out);
            }
            out.push(b'}');
        }
    }
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    let text = match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT_INTEGERS => {
            // Adding zero turns the negative zero into the positive one.
            format!("{:.0}", float + 0.0)
        }
        _ => number.to_string(),
    };
    out.extend_from_slice(text.as_bytes());
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory never fails.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        String::from_utf8(canonical_json(value)).unwrap()
    }

    #[test]
    fn numbers_have_one_notation() {
        for same in ["1", "1.0", "1e0", "10e-1"] {
            let value: Value = serde_json::from_str(same).unwrap();
            assert_eq!(text(&value), "1", "{same}");
        }
        assert_eq!(text(&json!(-0.0)), "0");
        assert_eq!(text(&json!(0.5)), "0.5");
        assert_eq!(text(&json!(9_223_372_036_854_775_807_i64)), "9223372036854775807");
        assert_eq!(text(&json!(18_446_744_073_709_551_615_u64)), "18446744073709551615");
    }

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{"b":{"d":1,"c":[{"z":0,"a":"ä\n"}]},"a":null}"#).unwrap();
        assert_eq!(text(&value), r#"{"a":null,"b":{"c":[{"a":"ä\n","z":0}],"d":1}}"#);
    }

    /// Any JSON value of modest depth.
    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,4}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// The same content with the keys of every object written in reverse.
    fn reversed(value: &Value) -> String {
        match value {
            Value::Object(fields) => {
                let mut parts: Vec<String> =
                    fields.iter().map(|(key, field)| format!("{}: {}", json!(key), reversed(field))).collect();
                parts.sort();
                parts.reverse();
                format!("{{ {} }}", parts.join(" , "))
            }
            Value::Array(items) => format!("[{}]", items.iter().map(reversed).collect::<Vec<_>>().join(" ,\n")),
            leaf => leaf.to_string(),
        }
    }

    proptest! {
        #[test]
        fn key_order_and_white_space_do_not_matter(value in any_json()) {
            let other: Value = serde_json::from_str(&reversed(&value)).unwrap();
            prop_assert_eq!(canonical_json(&value), canonical_json(&other));
        }

        #[test]
        fn canonical_json_is_json_of_the_same_content(value in any_json()) {
            let bytes = canonical_json(&value);
            let again: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(canonical_json(&again), bytes);
        }

        #[test]
        fn different_content_has_different_canonical_json(left in any_json(), right in any_json()) {
            // Through the parser, so that 1 and 1.0 do not count as different.
            let equal = left == right
                || serde_json::from_slice::<Value>(&canonical_json(&left)).unwrap()
                    == serde_json::from_slice::<Value>(&canonical_json(&right)).unwrap();
            prop_assert_eq!(canonical_json(&left) == canonical_json(&right), equal);
        }
    }
}
