//! Sending the apply of one object: whole, or without the fields that are left to others.

use serde_json::Value;

use crate::cluster::{Applied, Cluster, DryRun, Resource};
use crate::plan::Desired;

use super::error::ApplyError;
use super::ignored::{cede_fields, is_ceded, is_outdated, is_owned};
use super::payload::{body, is_first_autoscaler, without_other_metrics};

/// How often to begin anew when somebody writes in between.
const ATTEMPTS: usize = 8;
/// The creation, one of list items that came in between, and the apply without the fields.
const ROUNDS: usize = 3;

/// Applies one object, having first handed the fields that are to be ignored to the manager `driftless-initial`.
///
/// # Errors
/// A request fails, or a field that is to be ignored cannot be handed over.
pub(super) async fn send_apply(
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
            send_whole(cluster, desired, resource, &object).await
        } else {
            send_without_ignored(cluster, desired, resource, set_id).await
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

async fn send_whole(
    cluster: &Cluster,
    desired: &Desired,
    resource: &Resource,
    object: &Value,
) -> Result<Applied, ApplyError> {
    let id = &desired.manifest.id;
    let applied = cluster.apply(id, resource, object, DryRun::No).await?;
    if !is_ceded(&applied.object) {
        return Ok(applied);
    }
    cluster.take_back(id, resource).await?;
    Ok(cluster.apply(id, resource, object, DryRun::No).await?)
}

async fn send_without_ignored(
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
            cede_fields(cluster, desired, resource, live).await?;
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
