//! The fields whose live value is not the declared one, by the comparison of `project`.

use serde_json::Value;

use crate::object::fields::{Lost, ManifestStep, Trail, is_identity};
use crate::object::lists;
use crate::object::path::PathStep;

/// The fields of `desired` that differ in `projected`, which is the live object as
/// [`project`](crate::object::project()) reduces it: in the notation of `desired` where both mean
/// the same, so that what is left compares as it stands. In the order of `desired`.
pub fn differing<'a>(desired: &'a Value, projected: &Value) -> Vec<Lost<'a>> {
    let mut trail = Trail::default();
    walk(&mut trail, desired, Some(projected));
    trail.found
}

fn walk<'a>(trail: &mut Trail<'a>, desired: &'a Value, found: Option<&Value>) {
    match (desired, found) {
        (Value::Object(fields), Some(Value::Object(found))) if !trail.is_deepest() => {
            for (key, value) in fields {
                if !is_identity(&trail.place, key) {
                    trail.within_field(key, |trail| walk(trail, value, found.get(key)));
                }
            }
        }
        (desired, Some(found)) if desired == found => {}
        (Value::Array(items), Some(Value::Array(found))) if !trail.is_deepest() => {
            walk_items(trail, desired, items, found);
        }
        // These hold what identifies the object, so that they never differ as a whole.
        (Value::Object(fields), _) if trail.is_open() => {
            for (key, value) in fields {
                if !is_identity(&trail.place, key) {
                    trail.within_field(key, |trail| walk(trail, value, None));
                }
            }
        }
        _ => trail.note(desired),
    }
}

fn walk_items<'a>(trail: &mut Trail<'a>, list: &'a Value, items: &'a [Value], found: &[Value]) {
    if let Some(key) = lists::merge_key(found, items) {
        let places = lists::places(found, key);
        for (index, item) in items.iter().enumerate() {
            let Some(identity) = lists::identity(item, key) else { continue };
            let other = places.get(&identity).map(|place| &found[*place]);
            trail.within(PathStep::Item(lists::keys(key, &identity)), ManifestStep::Index(index), |trail| {
                walk(trail, item, other);
            });
        }
    } else if items.len() == found.len() && items.iter().chain(found).all(Value::is_object) {
        for (index, (item, other)) in items.iter().zip(found).enumerate() {
            trail.within(PathStep::Index(index), ManifestStep::Index(index), |trail| walk(trail, item, Some(other)));
        }
    } else {
        trail.note(list);
    }
}
