//! Which items of two lists are the same item: Kubernetes' merge keys, guessed from the items
//! themselves, since the schemas of custom resources are not available.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// The values of a merge key's fields, each as JSON.
pub type Identity = Vec<String>;

/// The fields that distinguish items of a list, by Kubernetes' `patchMergeKey` and `listMapKey`
/// markers. In this order: a volume mount has a name, but its mount path is what makes it unique.
const MERGE_KEYS: [&[&str]; 10] = [
    &["mountPath"],
    &["devicePath"],
    &["containerPort", "protocol"],
    &["port", "protocol"],
    &["name"],
    &["ip"],
    &["topologyKey"],
    &["key"],
    &["type"],
    &["uid"],
];

/// The fields that identify an item in both lists: every item has them, and no two items of one
/// list agree on them. `None` where items can only be identified by their place.
pub fn merge_key(left: &[Value], right: &[Value]) -> Option<&'static [&'static str]> {
    if left.is_empty() && right.is_empty() {
        return None;
    }
    MERGE_KEYS.into_iter().find(|key| is_unique(left, key) && is_unique(right, key))
}

/// The place of each item by its identity.
pub fn places(items: &[Value], key: &[&str]) -> HashMap<Identity, usize> {
    items.iter().enumerate().filter_map(|(place, item)| Some((identity(item, key)?, place))).collect()
}

/// The values of an item's merge key, as JSON; `None` where it lacks one.
pub fn identity(item: &Value, key: &[&str]) -> Option<Identity> {
    key.iter()
        .map(|field| match item.as_object()?.get(*field) {
            Some(value) if value.is_string() || value.is_number() => Some(value.to_string()),
            // The API server fills it in, so one side may have it and the other not.
            None if *field == "protocol" => Some("\"TCP\"".into()),
            _ => None,
        })
        .collect()
}

/// An item's merge key as the step of a path has it: each field with its value, sorted by field.
pub fn keys(key: &[&str], identity: &[String]) -> Vec<(String, Value)> {
    let value = |json: &String| serde_json::from_str(json).unwrap_or_else(|_| Value::from(json.as_str()));
    let mut keys: Vec<_> = key.iter().zip(identity).map(|(field, json)| ((*field).to_owned(), value(json))).collect();
    keys.sort_by(|left, right| left.0.cmp(&right.0));
    keys
}

fn is_unique(items: &[Value], key: &[&str]) -> bool {
    let mut seen = HashSet::with_capacity(items.len());
    items.iter().all(|item| identity(item, key).is_some_and(|identity| seen.insert(identity)))
}
