//! The part of a live object that a manifest speaks of, for a comparison without the API server's
//! help: a dry-run needs the permission to write, which somebody who plans may not have.

use serde_json::{Map, Value};

use super::{lists, quantity};

/// Mappings whose values are quantities (`ResourceList` and what is built of it).
const RESOURCE_LISTS: [&str; 11] = [
    "requests",
    "limits",
    "capacity",
    "hard",
    "podFixed",
    "allocatable",
    // Of a LimitRange.
    "default",
    "defaultRequest",
    "max",
    "min",
    "maxLimitRequestRatio",
];
/// Fields that are quantities.
const QUANTITIES: [&str; 3] = ["sizeLimit", "averageValue", "divisor"];

/// What `live` says about the fields that `declared` names, in the notation of `declared` where
/// both mean the same. Equal to `declared` when nothing that git declares differs.
///
/// An approximation, since the schema is not known: items of lists are matched by guessed merge
/// keys; items and fields that `declared` does not name count as somebody else's, except in lists
/// that only have places; a field that the API server drops for being empty counts as there.
#[must_use]
pub fn project(live: &Value, declared: &Value) -> Value {
    field(live, declared, "", "")
}

/// `name` is the field's, `parent` that of the field which holds it.
fn field(live: &Value, declared: &Value, name: &str, parent: &str) -> Value {
    match (live, declared) {
        (Value::Object(live), Value::Object(declared)) => {
            let mut kept = Map::new();
            for (key, declared) in declared {
                match live.get(key) {
                    // A null of the server is Go's nil list, which stands for an empty one.
                    None | Some(Value::Null) if is_dropped(key, declared) => {
                        _ = kept.insert(key.clone(), declared.clone());
                    }
                    Some(live) => _ = kept.insert(key.clone(), field(live, declared, key, name)),
                    None => {}
                }
            }
            Value::Object(kept)
        }
        (Value::Array(live), Value::Array(declared)) => Value::Array(items(live, declared, name)),
        // What the server makes of a null, the empty value or the default, only its schema says.
        (_, Value::Null) => Value::Null,
        (live, declared) if is_quantity(name, parent) && quantity::same(live, declared) => declared.clone(),
        (Value::String(one), Value::String(other)) if is_base64(name, parent) && unbroken(one).eq(unbroken(other)) => {
            declared.clone()
        }
        (Value::Number(one), Value::Number(other))
            if one.as_f64() == other.as_f64() && (one.is_f64() || other.is_f64()) =>
        {
            declared.clone()
        }
        _ => live.clone(),
    }
}

fn items(live: &[Value], declared: &[Value], name: &str) -> Vec<Value> {
    if let Some(key) = lists::merge_key(live, declared).filter(|_| !declared.is_empty()) {
        let places = lists::places(live, key);
        let find = |item| places.get(&lists::identity(item, key)?).map(|place| &live[*place]);
        return declared.iter().filter_map(|item| Some(field(find(item)?, item, name, ""))).collect();
    }
    // A set of strings to which everybody adds their own (apimachinery, ObjectMeta).
    if name == "finalizers" {
        return declared.iter().filter(|item| live.contains(item)).cloned().collect();
    }
    let common = live.iter().zip(declared).map(|(live, declared)| field(live, declared, name, ""));
    common.chain(live.iter().skip(declared.len()).cloned()).collect()
}

fn is_quantity(name: &str, parent: &str) -> bool {
    RESOURCE_LISTS.contains(&parent) || QUANTITIES.contains(&name) || (name, parent) == ("value", "target")
}

/// Whether a field holds base64, which the API server keeps without the line breaks that it may have.
fn is_base64(name: &str, parent: &str) -> bool {
    parent == "binaryData" || name == "caBundle"
}

fn unbroken(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|sign| !matches!(sign, '\n' | '\r'))
}

/// Whether the API server stores this as the absence of the field (`omitempty`). Empty text is a
/// value in labels and data, but nothing in an environment variable.
fn is_dropped(name: &str, declared: &Value) -> bool {
    match declared {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() && name == "value",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}
