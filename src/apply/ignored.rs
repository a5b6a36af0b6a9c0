//! Fields that others own on purpose (`driftless.dev/ignore-fields`): set when the object is
//! created, and then left alone.
//!
//! A field that an apply leaves out falls back to its default if nobody else owns it (KEP-555). So
//! before we cease to apply it, a manager of its own (`driftless-initial`) applies it with the value
//! that it has. From there whoever changes it takes it. Every step can be the last one before a
//! crash: what is to be done is read off the live object.

use serde_json::Value;

use crate::cluster::{Cluster, Resource};
use crate::object::{FieldPath, ManagedFieldsEntry, entries, names, only};
use crate::plan::Desired;

use super::error::ApplyError;
use super::payload::{body, without_other_metrics};

/// What to ask about in a dry-run. Where a field has yet to be handed over, leaving it out would
/// remove it, so it is asked about with the value of git.
#[must_use]
pub fn trial(desired: &Desired, set_id: &str, live: Option<&Value>) -> Value {
    let object = body(desired, set_id, live.filter(|live| !is_owned(desired, live)));
    without_other_metrics(object, desired, live)
}

/// Whether we own a field that is to be ignored.
pub(super) fn is_owned(desired: &Desired, live: &Value) -> bool {
    let paths = &desired.manifest.directives.ignore_fields;
    if paths.is_empty() {
        return false;
    }
    let declared = desired.manifest.to_value();
    // An atomic field is like an empty one, which holds nothing of what git does not declare.
    let owns = |entry: &ManagedFieldsEntry<'_>, path: &FieldPath| {
        entry.owns_within(path) && (!entry.owns_whole(path) || path.get(&declared).is_some())
    };
    entries(live).iter().any(|entry| entry.is_ours() && paths.iter().any(|path| owns(entry, path)))
}

/// Whether fields are held that were to be ignored by another annotation than that of now.
pub(super) fn is_outdated(desired: &Desired, live: &Value) -> bool {
    let annotation = |object: &Value| {
        let annotations = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
        annotations.and_then(|annotations| annotations.get(names::IGNORE_FIELDS)).cloned()
    };
    is_ceded(live) && annotation(live) != annotation(&desired.manifest.to_value())
}

pub(super) fn is_ceded(live: &Value) -> bool {
    entries(live).iter().any(|entry| entry.manager == names::INITIAL_MANAGER)
}

/// Hands the fields over that are to be ignored and are still ours.
///
/// # Errors
/// They are a part of one that can only be owned whole, or a request fails.
pub(super) async fn cede_fields(
    cluster: &Cluster,
    desired: &Desired,
    resource: &Resource,
    live: &Value,
) -> Result<(), ApplyError> {
    if !is_owned(desired, live) {
        return Ok(());
    }
    let paths = &desired.manifest.directives.ignore_fields;
    let entries = entries(live);
    let mut ours = entries.iter().filter(|entry| entry.is_ours());
    if let Some(path) = ours.find_map(|entry| paths.iter().find(|path| entry.owns_whole(path))) {
        return Err(ApplyError::Atomic(path.clone()));
    }
    let mut fields = only(live, paths);
    for field in ["uid", "resourceVersion"] {
        fields["metadata"][field] = live["metadata"][field].clone();
    }
    Ok(cluster.hand_over(&desired.manifest.id, resource, &fields).await?)
}
