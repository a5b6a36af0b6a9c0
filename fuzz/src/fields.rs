//! Live objects, whose `managedFields` anybody may have written, against a manifest: JSON with
//! `desired` and `live`.

use driftless::cluster::{health, health_of};
use driftless::object::{
    Blame, FieldPath, FieldSet, GroupKind, Health, ManagedFieldsEntry, Managers, ObjectId, Objection, Observed,
    additions, blame, entries, lost, only, owned_siblings, owners, project,
};
use serde_json::{Value, json};

use super::assert_readable;

pub fn target(data: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(data) else { return };
    let (desired, live) = (&input["desired"], &input["live"]);
    let all = entries(live);
    let ours = all.iter().find(|entry| entry.is_ours()).and_then(ManagedFieldsEntry::fields);
    let others: Vec<&FieldSet> =
        all.iter().filter(|entry| !entry.is_ours()).filter_map(ManagedFieldsEntry::fields).collect();
    for entry in &all {
        assert!(entry.count() <= data.len());
        let Some(fields) = entry.fields() else { continue };
        assert_eq!(FieldSet::from_json(&fields.to_json()), *fields);
        for path in fields.paths().iter().take(50) {
            assert!(fields.contains_within(path), "{path}");
        }
    }
    let mut paths = lost(desired, ours, &others);
    paths.truncate(50);
    for path in &paths {
        let text = path.to_string();
        assert_readable(&text, usize::MAX);
        if text.len() <= 4096 {
            assert_eq!(text.parse::<FieldPath>().as_ref(), Ok(path));
        }
        let owning = owners(&all, path).count();
        assert!(owning <= all.len());
        let mut left = live.clone();
        let found = path.get(live).is_some();
        assert_eq!(path.remove(&mut left), found, "{path}");
        assert!(found || left == *live);
    }
    let reduced = only(desired, &paths);
    assert_eq!(only(&reduced, &paths), reduced, "{paths:?}");
    for secret in [false, true] {
        let blame = blame(desired, Some(live), secret);
        assert!(blame.fields.len() <= Blame::MOST);
        assert_readable(&blame.to_string(), 4_000);
        for field in &blame.fields {
            assert_readable(&field.to_string(), 2_000);
            assert!(!secret || field.wanted.is_none() && field.found.is_none());
        }
    }
    assert_eq!(project(desired, desired), *desired);
    let projected = project(live, desired);
    assert_eq!(project(&projected, desired), projected);

    let id = ObjectId::new("apps", "Deployment", Some("a"), "b");
    let seen =
        |metadata: &Value| Observed::from_metadata(id.clone(), metadata, Health::current(), &Managers::default());
    let observed = seen(&live["metadata"]);
    // The time of an entry says nothing of what it owns.
    let mut later = live["metadata"].clone();
    for entry in later.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
        if entry.get("time").is_some() {
            entry["time"] = json!("2030-01-01T00:00:00Z");
        }
    }
    let later = seen(&later);
    assert_eq!(later.as_ref().map(|seen| seen.fingerprint), observed.as_ref().map(|seen| seen.fingerprint));
    assert_eq!(later.map(|seen| seen.foreign), observed.as_ref().map(|seen| seen.foreign.clone()));

    let added = additions(&id.gk, live, &Managers::default(), None);
    if let Some(observed) = &observed {
        assert_eq!(added.is_empty(), observed.added().is_none());
    }
    let objections = added.iter().map(|one| Objection { field: one.path.to_string(), exclusive: true });
    let siblings = owned_siblings(live, desired, &objections.take(5).collect::<Vec<_>>());
    for secret in [false, true] {
        let blame = blame(desired, Some(live), secret).with(&added, live, secret);
        assert!(blame.fields.len() <= Blame::MOST + Blame::MOST_ADDED);
        assert_readable(&blame.to_string(), 30_000);
        for change in siblings.iter().take(50).map(|one| one.change(live, secret)) {
            assert_readable(&change.to_string(), 2_000);
            assert!(!secret || change.found.is_none());
        }
    }

    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    assert!(!health(live, now).to_string().is_empty());
    for (group, kind) in [
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("", "Pod"),
        ("batch", "Job"),
        ("", "PersistentVolumeClaim"),
        ("", "Service"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("x", "Y"),
    ] {
        assert!(!health_of(&GroupKind::new(group, kind), live, now).to_string().is_empty());
    }
}
