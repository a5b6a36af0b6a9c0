//! An object reduced to some of its fields, for an apply that owns nothing else.

use serde_json::{Map, Value};

use super::{FieldPath, PathStep};

/// The object reduced to these fields and to what identifies it: apiVersion, kind, name and
/// namespace, and the keys of the list items on the way. Sent as a server-side apply, it owns these
/// fields alone (KEP-555); what the same manager applied before and does not send now is removed, so
/// it is for a manager of its own, or for one that has applied nothing else. Fields that the object
/// lacks are left out.
///
/// A list on the way that is entered by place (`[0]`) is kept whole: such lists are atomic, so a
/// part of one would cut off the rest.
#[must_use]
pub fn only(object: &Value, paths: &[FieldPath]) -> Value {
    let steps: Vec<&[PathStep]> = paths.iter().map(FieldPath::steps).collect();
    let mut reduced = match reduce(object, &steps) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    for field in ["apiVersion", "kind"] {
        if let Some(value) = object.get(field) {
            reduced.insert(field.into(), value.clone());
        }
    }
    for field in ["name", "namespace"] {
        let value = object.get("metadata").and_then(|metadata| metadata.get(field));
        let metadata = reduced.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let (Some(value), Value::Object(metadata)) = (value, metadata) {
            metadata.insert(field.into(), value.clone());
        }
    }
    Value::Object(reduced)
}

/// `None` where none of the paths leads anywhere.
fn reduce(value: &Value, paths: &[&[PathStep]]) -> Option<Value> {
    if paths.iter().any(|path| path.is_empty()) {
        return Some(value.clone());
    }
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for path in paths {
                let Some((PathStep::Field(key), _)) = path.split_first() else { continue };
                if kept.contains_key(key) {
                    continue;
                }
                let below = rest(paths, |step| matches!(step, PathStep::Field(other) if other == key));
                if let Some(child) = fields.get(key).and_then(|child| reduce(child, &below)) {
                    kept.insert(key.clone(), child);
                }
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let places: Vec<Option<usize>> =
                paths.iter().map(|path| path.first().and_then(|step| step.place(items))).collect();
            let by_index = |path: &&[PathStep]| matches!(path.first(), Some(PathStep::Index(_)));
            if paths.iter().zip(&places).any(|(path, place)| place.is_some() && by_index(path)) {
                return Some(value.clone());
            }
            let mut kept = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let here = || paths.iter().zip(&places).filter(|(_, place)| **place == Some(index));
                let below: Vec<&[PathStep]> = here().filter_map(|(path, _)| path.get(1..)).collect();
                let Some(mut reduced) = (!below.is_empty()).then(|| reduce(item, &below)).flatten() else { continue };
                let keys = here().filter_map(|(path, _)| match path.first() {
                    Some(PathStep::Item(keys)) => Some(keys),
                    _ => None,
                });
                for (field, _) in keys.flatten() {
                    if let (Value::Object(fields), Some(value)) = (&mut reduced, item.get(field)) {
                        fields.insert(field.clone(), value.clone());
                    }
                }
                kept.push(reduced);
            }
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => None,
    }
}

/// The paths that begin with a step, without it.
fn rest<'a>(paths: &[&'a [PathStep]], is_first: impl Fn(&PathStep) -> bool) -> Vec<&'a [PathStep]> {
    paths
        .iter()
        .filter_map(|path| path.split_first().filter(|(step, _)| is_first(step)).map(|(_, rest)| rest))
        .collect()
}
