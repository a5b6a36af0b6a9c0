//! Fields that others own on purpose (`driftless.dev/ignore-fields`): set when the object is
//! created, and then left alone.
//!
//! A field that an apply leaves out falls back to its default if nobody else owns it (KEP-555). So
//! before we cease to apply it, a manager of its own (`driftless-initial`) applies it with the value
//! that it has. From there whoever changes it takes it. Every step can be the last one before a
//! crash: what is to be done is read off the live object.

use serde_json::Value;

use crate::cluster::{Applied, Cluster, DryRun, Resource};
use crate::object::{Entry, FieldPath, entries, names, only};
use crate::plan::Desired;

use super::error::ApplyError;
use super::payload::{body, is_first_autoscaler, without_other_metrics};

/// How often to begin anew when somebody writes in between.
const ATTEMPTS: usize = 8;
/// The creation, one of list items that came in between, and the apply without the fields.
const ROUNDS: usize = 3;

/// What to ask about in a dry-run. Where a field has yet to be handed over, leaving it out would
/// remove it, so it is asked about with the value of git.
#[must_use]
pub fn trial(desired: &Desired, set_id: &str, live: Option<&Value>) -> Value {
    let object = body(desired, set_id, live.filter(|live| !is_owned(desired, live)));
    without_other_metrics(object, desired, live)
}

/// Whether we own a field that is to be ignored.
fn is_owned(desired: &Desired, live: &Value) -> bool {
    let paths = &desired.manifest.directives.ignore_fields;
    if paths.is_empty() {
        return false;
    }
    let declared = desired.manifest.to_value();
    // An atomic field is like an empty one, which holds nothing of what git does not declare.
    let owns = |entry: &Entry<'_>, path: &FieldPath| {
        entry.owns_within(path) && (!entry.owns_whole(path) || path.get(&declared).is_some())
    };
    entries(live).iter().any(|entry| entry.is_ours() && paths.iter().any(|path| owns(entry, path)))
}

/// Whether fields are held that were to be ignored by another annotation than that of now.
fn is_outdated(desired: &Desired, live: &Value) -> bool {
    let annotation = |object: &Value| {
        let annotations = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
        annotations.and_then(|annotations| annotations.get(names::IGNORE_FIELDS)).cloned()
    };
    is_held(live) && annotation(live) != annotation(&desired.manifest.to_value())
}

fn is_held(live: &Value) -> bool {
    entries(live).iter().any(|entry| entry.manager == names::INITIAL_MANAGER)
}

/// Applies one object, having first handed the fields that are to be ignored to the manager `driftless-initial`.
pub(super) async fn write(
    cluster: &Cluster,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
) -> Result<Applied, ApplyError> {
    let mut attempt = 1;
    loop {
        let outcome = if desired.manifest.directives.ignore_fields.is_empty() {
            let first = is_first_autoscaler(desired);
            let live = if first { cluster.read(&desired.manifest.id, resource).await? } else { None };
            let object = without_other_metrics(body(desired, set_id, None), desired, live.as_ref());
            write_all(cluster, desired, resource, &object).await
        } else {
            write_some(cluster, desired, resource, set_id).await
        };
        match outcome {
            // Also where another object has got the name since it was read.
            Err(ApplyError::Api(error))
                if (error.is_conflict() || error.is_about("metadata.uid")) && attempt < ATTEMPTS =>
            {
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn write_all(
    cluster: &Cluster,
    desired: &Desired,
    resource: &Resource,
    object: &Value,
) -> Result<Applied, ApplyError> {
    let id = &desired.manifest.id;
    let applied = cluster.apply(id, resource, object, DryRun::No).await?;
    if !is_held(&applied.object) {
        return Ok(applied);
    }
    cluster.take_back(id, resource).await?;
    Ok(cluster.apply(id, resource, object, DryRun::No).await?)
}

async fn write_some(
    cluster: &Cluster,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
) -> Result<Applied, ApplyError> {
    let id = &desired.manifest.id;
    let mut live = cluster.read(id, resource).await?;
    if live.as_ref().is_some_and(|live| is_outdated(desired, live)) {
        cluster.take_back(id, resource).await?;
        live = cluster.read(id, resource).await?;
    }
    let mut round = 1;
    loop {
        let mut object = without_other_metrics(body(desired, set_id, live.as_ref()), desired, live.as_ref());
        if let Some(live) = &live {
            hand_over(cluster, desired, resource, live).await?;
            // Should it be deleted meanwhile, it is not to be made without these fields.
            object["metadata"]["uid"] = live["metadata"]["uid"].clone();
        }
        let applied = cluster.apply(id, resource, &object, DryRun::No).await?;
        if round == ROUNDS || !is_owned(desired, &applied.object) {
            return Ok(applied);
        }
        live = Some(applied.object);
        round += 1;
    }
}

async fn hand_over(cluster: &Cluster, desired: &Desired, resource: &Resource, live: &Value) -> Result<(), ApplyError> {
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
