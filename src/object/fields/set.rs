//! Sets of fields as `fieldsV1` writes them: nested objects whose keys are path elements.

use serde_json::{Map, Value, json};

/// The union of two sets.
pub(crate) fn unite(into: &mut Value, from: &Value) {
    let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
    for (key, below) in from {
        unite(into.entry(key).or_insert_with(|| json!({})), below);
    }
}

/// Takes out of a set what another one holds, and gives what was taken. What is left empty goes as
/// well: an empty set would say that the field itself is owned.
pub(crate) fn split_off(set: &mut Value, other: &Value) -> Value {
    let (Some(fields), Some(other)) = (set.as_object_mut(), other.as_object()) else { return Value::Null };
    let mut taken = Map::new();
    fields.retain(|key, below| {
        let Some(others) = other.get(key) else { return true };
        if is_empty(below) {
            taken.insert(key.clone(), json!({}));
            return false;
        }
        let part = split_off(below, others);
        if !is_empty(&part) {
            taken.insert(key.clone(), part);
        }
        !is_empty(below)
    });
    Value::Object(taken)
}

/// Whether nothing is in it; of a part, whether the path that ends there is all of it.
pub(crate) fn is_empty(set: &Value) -> bool {
    set.as_object().is_none_or(Map::is_empty)
}

/// Whether a part holds no more than the path that ends there.
pub(crate) fn is_leaf(set: &Value) -> bool {
    set.as_object().is_none_or(|fields| fields.keys().all(|key| key == "."))
}

/// Whether two sets have a path in common.
pub(crate) fn overlap(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return false };
    one.iter().any(|(key, below)| {
        other.get(key).is_some_and(|others| is_leaf(below) || is_leaf(others) || overlap(below, others))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_sets_share_is_split_off_and_nothing_is_left_empty() {
        let mut set = json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:spec": {"f:x": {"f:y": {}}}});
        let taken = split_off(&mut set, &json!({"f:data": {"f:a": {}, "f:c": {}}, "f:spec": {"f:x": {"f:y": {}}}}));
        assert_eq!(taken, json!({"f:data": {"f:a": {}}, "f:spec": {"f:x": {"f:y": {}}}}));
        assert_eq!(set, json!({"f:data": {".": {}, "f:b": {}}}));
        unite(&mut set, &taken);
        assert_eq!(set, json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:spec": {"f:x": {"f:y": {}}}}));
    }

    #[test]
    fn sets_overlap_where_both_own_a_field() {
        let ours = json!({"f:data": {".": {}, "f:a": {}}, "f:spec": {"f:selector": {}}});
        for (theirs, shared) in [
            (json!({"f:data": {"f:a": {}}}), true),
            (json!({"f:data": {"f:b": {}}}), false),
            (json!({"f:data": {".": {}, "f:b": {}}}), true),
            (json!({"f:spec": {"f:selector": {"f:x": {}}}}), true),
            (json!({"f:spec": {"f:type": {}}}), false),
        ] {
            assert_eq!(overlap(&theirs, &ours), shared, "{theirs}");
        }
    }
}
