//! The paths of fields that differ.

use serde_json::Value;

use super::present::escaped;
use crate::object::lists;

/// The paths of all fields that differ, the smallest that say so: a field that one side lacks is
/// named itself, not what is in it.
pub fn changed(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(old, new, &mut String::new(), &mut found);
    found
}

fn compare(old: &Value, new: &Value, path: &mut String, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                within(path, &field(key, path.is_empty()), |path| match new.get(key) {
                    Some(other) => compare(value, other, path, found),
                    None => found.push(path.clone()),
                });
            }
            for key in new.keys().filter(|key| !old.contains_key(*key)) {
                within(path, &field(key, path.is_empty()), |path| found.push(path.clone()));
            }
        }
        (Value::Array(old), Value::Array(new)) if !compare_items(old, new, path, found) => found.push(path.clone()),
        (Value::Array(_), Value::Array(_)) => {}
        (old, new) if old == new => {}
        _ => found.push(path.clone()),
    }
}

/// Compares lists item by item; `false` where only the list as a whole can be named.
fn compare_items(old: &[Value], new: &[Value], path: &mut String, found: &mut Vec<String>) -> bool {
    if old == new {
        return true;
    }
    if let Some(key) = lists::merge_key(old, new) {
        let before = found.len();
        let (before_by, after_by) = (lists::places(old, key), lists::places(new, key));
        for item in old {
            let Some(identity) = lists::identity(item, key) else { continue };
            within(path, &keyed(&identity, key), |path| match after_by.get(&identity) {
                Some(place) => compare(item, &new[*place], path, found),
                None => found.push(path.clone()),
            });
        }
        for identity in new.iter().filter_map(|item| lists::identity(item, key)) {
            if !before_by.contains_key(&identity) {
                within(path, &keyed(&identity, key), |path| found.push(path.clone()));
            }
        }
        // Nothing but the order differs, and that is the list's.
        return found.len() > before;
    }
    let objects = |items: &[Value]| items.iter().all(Value::is_object);
    if old.len() != new.len() || !objects(old) || !objects(new) {
        return false;
    }
    for (index, (old, new)) in old.iter().zip(new).enumerate() {
        within(path, &format!("[{index}]"), |path| compare(old, new, path, found));
    }
    true
}

fn within(path: &mut String, step: &str, then: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push_str(step);
    then(path);
    path.truncate(length);
}

/// `.name`, or `["a.b/c"]` for keys that would not read as one step.
fn field(key: &str, first: bool) -> String {
    let plain = !key.is_empty() && key.chars().all(|character| character.is_alphanumeric() || "_-".contains(character));
    match (plain, first) {
        (true, true) => key.into(),
        (true, false) => format!(".{key}"),
        (false, _) => format!("[\"{}\"]", escaped(key)),
    }
}

/// `[name=web]`, `[containerPort=80,protocol=TCP]`.
fn keyed(identity: &[String], key: &[&str]) -> String {
    let parts = key.iter().zip(identity).map(|(field, value)| {
        let text = serde_json::from_str::<String>(value);
        format!("{field}={}", escaped(text.as_ref().unwrap_or(value)))
    });
    format!("[{}]", parts.collect::<Vec<_>>().join(","))
}
