//! JSON patches of `metadata.managedFields` (KEP-555), as pure functions of the live object. Each is guarded by the
//! object's UID and resource version.

use serde_json::{Value, json};

use crate::object::{FieldSet, names};

/// Takes the fields that are to be ours out of what an entry of `managedFields` owns.
pub(super) type Take<'a> = &'a (dyn Fn(&Value, &mut FieldSet) -> FieldSet + Sync);

pub(super) fn entries(live: &Value) -> impl Iterator<Item = &Value> {
    live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

/// The JSON patch that makes `managedFields` what they were `before` a takeover, and keeps what others have done
/// since. `version`: the object's resource version after the takeover.
pub(super) fn return_of(live: &Value, before: &[Value], version: &Value) -> Option<Value> {
    // Where the apply has moved the owners to another version on its way, the former one stays gone: the server could
    // convert nothing for them.
    let versions: Vec<&Value> = entries(live).map(|entry| &entry["apiVersion"]).collect();
    let moved = |entry: &Value| {
        let mut entry = entry.clone();
        if !versions.contains(&&entry["apiVersion"]) && versions.contains(&&live["apiVersion"]) {
            entry["apiVersion"] = live["apiVersion"].clone();
        }
        entry
    };
    let before: Vec<Value> = before.iter().map(moved).collect();
    let ours = before.iter().find(|entry| is_ours(entry));
    let returned = if live["metadata"]["resourceVersion"] == *version {
        before.clone()
    } else {
        let mut now: Vec<Value> = entries(live).filter(|entry| !is_ours(entry)).cloned().collect();
        for before in before.iter().filter(|entry| !is_ours(entry)) {
            match now.iter_mut().find(|entry| is_same_owner(entry, before)) {
                Some(entry) => add_fields(entry, [&FieldSet::from_json(&before["fieldsV1"])]),
                None => now.push(before.clone()),
            }
        }
        now.extend(ours.cloned());
        now
    };
    let same = entries(live).eq(&returned);
    (!same).then(|| owners(live, &returned))
}

/// The JSON patch that takes the entries of a version out of `managedFields`; ours becomes one of the live version.
pub(super) fn without_stale(live: &Value, version: &str) -> Option<Value> {
    let is_stale = |entry: &&Value| entry["apiVersion"] == version;
    let mut kept: Vec<Value> = entries(live).filter(|entry| !is_stale(entry)).cloned().collect();
    if kept.len() == entries(live).count() {
        return None;
    }
    if let Some(ours) = entries(live).find(|entry| is_stale(entry) && is_ours(entry)) {
        if let Some(entry) = kept.iter_mut().find(|entry| is_ours(entry)) {
            add_fields(entry, [&FieldSet::from_json(&ours["fieldsV1"])]);
        } else {
            let mut ours = ours.clone();
            ours["apiVersion"] = live["apiVersion"].clone();
            kept.push(ours);
        }
    }
    Some(owners(live, &kept))
}

/// The JSON patch that has every entry of `managedFields` be of the live object's version; `None` where all are. The fields stay those of
/// their owners: the names of fields mean the same in all versions of a kind, or the conversion between them is a webhook's.
pub(super) fn of_one_version(live: &Value) -> Option<Value> {
    let version = &live["apiVersion"];
    if entries(live).all(|entry| entry["apiVersion"] == *version) {
        return None;
    }
    let mut migrated: Vec<Value> = Vec::new();
    for entry in entries(live) {
        let mut entry = entry.clone();
        entry["apiVersion"] = version.clone();
        match migrated.iter_mut().find(|known| is_same_owner(known, &entry)) {
            Some(known) => add_fields(known, [&FieldSet::from_json(&entry["fieldsV1"])]),
            None => migrated.push(entry),
        }
    }
    Some(owners(live, &migrated))
}

/// Entries are distinguished by these (KEP-555).
fn is_same_owner(one: &Value, other: &Value) -> bool {
    ["manager", "operation", "apiVersion", "subresource"].iter().all(|key| one.get(key) == other.get(key))
}

/// The JSON patch that sets `managedFields`, if nobody has written the object since it was read.
fn owners(live: &Value, entries: &[Value]) -> Value {
    let metadata = &live["metadata"];
    json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
    ])
}

/// The JSON patch that moves fields of others into our own Apply entry, and those that nobody owns.
pub(super) fn takeover(live: &Value, take: Take<'_>, unowned: &FieldSet) -> Option<Value> {
    let metadata = live.get("metadata")?;
    let mut ours = None;
    let (mut kept, mut taken) = (Vec::new(), Vec::new());
    for entry in metadata.get("managedFields")?.as_array()? {
        let mut entry = entry.clone();
        if is_ours(&entry) {
            ours = Some(entry);
            continue;
        }
        let mut fields = FieldSet::from_json(&entry["fieldsV1"]);
        let part = take(&entry, &mut fields);
        if !part.is_empty() {
            entry["fieldsV1"] = fields.to_json();
            taken.push((entry["apiVersion"].clone(), part));
        }
        if !fields.is_empty() {
            kept.push(entry);
        }
    }
    if !unowned.is_empty() {
        taken.push((live["apiVersion"].clone(), unowned.clone()));
    }
    let version = &taken.first()?.0;
    let mut entry = ours.unwrap_or_else(|| {
        json!({"manager": names::FIELD_MANAGER, "operation": "Apply", "apiVersion": version,
            "fieldsType": "FieldsV1", "fieldsV1": {}})
    });
    add_fields(&mut entry, taken.iter().map(|(_, fields)| fields));
    kept.push(entry);
    Some(owners(live, &kept))
}

/// Has an entry own these fields as well.
fn add_fields<'f>(entry: &mut Value, more: impl IntoIterator<Item = &'f FieldSet>) {
    let mut fields = FieldSet::from_json(&entry["fieldsV1"]);
    for more in more {
        fields.unite(more);
    }
    entry["fieldsV1"] = fields.to_json();
}

fn is_ours(entry: &Value) -> bool {
    entry["manager"] == names::FIELD_MANAGER && entry["operation"] == "Apply" && entry.get("subresource").is_none()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields})
    }

    pub fn live(entries: &[Value]) -> Value {
        json!({"metadata": {"uid": "u", "resourceVersion": "7", "managedFields": entries}})
    }

    /// An entry with one field.
    fn owner(manager: &str, operation: &str, version: &str, field: &str) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": version, "fieldsV1": {field: {}}})
    }

    /// An object as it is read in the version `e.com/v1`.
    fn in_version_one(resource_version: &str, entries: &[Value]) -> Value {
        json!({"apiVersion": "e.com/v1",
            "metadata": {"uid": "u", "resourceVersion": resource_version, "managedFields": entries}})
    }

    fn returned(live: &Value, before: &Value, version: &str) -> Option<Value> {
        let before: Vec<Value> = entries(before).cloned().collect();
        return_of(live, &before, &version.into())
    }

    #[test]
    fn what_was_taken_is_given_back_as_it_was() {
        let kubectl = entry("kubectl", "Update", &json!({"f:data": {"f:a": {}}}));
        let before = live(&[kubectl]);
        let after = live(&[entry("driftless", "Apply", &json!({"f:data": {"f:a": {}}}))]);
        let patch = returned(&after, &before, "7").unwrap();
        assert_eq!(patch[1]["value"], before["metadata"]["managedFields"]);
        assert_eq!(patch[2]["value"], "7");
        assert_eq!(returned(&before, &before, "7"), None, "nothing to give back");
    }

    #[test]
    fn owners_that_were_moved_to_another_version_meanwhile_stay_there() {
        let before = in_version_one(
            "7",
            &[owner("other", "Update", "e.com/v1beta1", "f:b"), owner("driftless", "Apply", "e.com/v1beta1", "f:a")],
        );
        let now = in_version_one("9", &[owner("driftless", "Apply", "e.com/v1", "f:a")]);
        let patch = returned(&now, &before, "8").unwrap();
        let expected =
            json!([owner("other", "Update", "e.com/v1", "f:b"), owner("driftless", "Apply", "e.com/v1", "f:a")]);
        assert_eq!(patch[1]["value"], expected);
    }

    #[test]
    fn entries_of_a_version_that_is_gone_are_dropped_and_ours_goes_over_to_the_one_that_is_served() {
        let entries = [
            owner("driftless", "Apply", "e.com/v1alpha1", "f:a"),
            owner("other", "Update", "e.com/v1alpha1", "f:b"),
            owner("third", "Update", "e.com/v1", "f:c"),
        ];
        let patch = without_stale(&in_version_one("7", &entries), "e.com/v1alpha1").unwrap();
        let kept = json!([owner("third", "Update", "e.com/v1", "f:c"), owner("driftless", "Apply", "e.com/v1", "f:a")]);
        assert_eq!((&patch[1]["value"], &patch[2]["value"]), (&kept, &json!("7")));
        assert_eq!(without_stale(&in_version_one("7", &entries), "e.com/v2"), None);
        let both = [entries[0].clone(), owner("driftless", "Apply", "e.com/v1", "f:d")];
        let patch = without_stale(&in_version_one("7", &both), "e.com/v1alpha1").unwrap();
        assert_eq!(patch[1]["value"][0]["fieldsV1"], json!({"f:a": {}, "f:d": {}}));
    }

    #[test]
    fn entries_of_all_versions_become_ones_of_one_and_stay_those_of_their_owners() {
        let entries = [
            owner("driftless", "Apply", "e.com/v1beta1", "f:a"),
            owner("other", "Update", "e.com/v1beta1", "f:b"),
            owner("driftless", "Apply", "e.com/v1", "f:c"),
            owner("driftless", "Update", "e.com/v1", "f:d"),
        ];
        let patch = of_one_version(&in_version_one("7", &entries)).unwrap();
        let expected = json!([
            {"manager": "driftless", "operation": "Apply", "apiVersion": "e.com/v1", "fieldsV1": {"f:a": {}, "f:c": {}}},
            owner("other", "Update", "e.com/v1", "f:b"),
            owner("driftless", "Update", "e.com/v1", "f:d"),
        ]);
        assert_eq!((&patch[1]["value"], &patch[2]["value"]), (&expected, &json!("7")));
        assert_eq!(of_one_version(&in_version_one("7", &entries[2..])), None);
    }

    #[test]
    fn what_others_did_since_stays_when_fields_are_given_back() {
        let ours = entry("driftless", "Apply", &json!({"f:data": {"f:ours": {}}}));
        let flux = |fields: &Value| entry("kustomize-controller", "Apply", fields);
        let before = live(&[ours.clone(), flux(&json!({"f:data": {"f:a": {}}}))]);
        let since = [
            entry("driftless", "Apply", &json!({"f:data": {"f:ours": {}, "f:a": {}}})),
            flux(&json!({"f:data": {"f:b": {}}})),
            entry("somebody", "Update", &json!({"f:data": {"f:c": {}}})),
        ];
        let patch = returned(&live(&since), &before, "5").unwrap();
        let both = flux(&json!({"f:data": {"f:a": {}, "f:b": {}}}));
        assert_eq!(patch[1]["value"], json!([both, since[2], ours]));
    }
}
