//! Applying an object of which others own fields that git does not leave to them. An apply removes
//! only what its own manager owned before (KEP-555), so these fields become ours first. If the apply
//! then fails, everybody owns again what they owned before: an object that git does not get is not ours.

use crate::cluster::{ApiError, Applied, Cluster, DryRun, Resource, Taken};
use crate::plan::{Desired, Step};

use super::body;
use super::error::ApplyError;
use super::ignored::{trial, write as write_alone};

/// Applies an object, and takes over of it what an apply takes over.
pub(super) async fn write(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
) -> Result<Applied, ApplyError> {
    let mut taken = None;
    if let Some(live) = step.live.as_ref().filter(|live| live.takeover) {
        // An object that is ours already is drift, which is not to wait for one more request.
        if live.part_of.is_none() {
            try_to_adopt(cluster, step, desired, resource, set_id).await?;
        }
        taken = take_over(cluster, step, resource).await?;
    }
    let mut outcome = write_alone(cluster, desired, resource, set_id).await;
    if step.live.is_some() && matches!(&outcome, Err(ApplyError::Api(error)) if error.is_about_port_names()) {
        match cluster.take_over_ports(&step.id, resource).await {
            Ok(ports) => {
                taken = match taken {
                    Some(before) => Some(before.and(ports)),
                    None => ports,
                };
                outcome = write_alone(cluster, desired, resource, set_id).await;
            }
            Err(error) => outcome = Err(error.into()),
        }
    }
    match (outcome, taken) {
        (Err(cause), Some(taken)) => Err(given_back(cluster, step, desired, resource, &taken, cause).await),
        (outcome, _) => outcome,
    }
}

async fn take_over(cluster: &Cluster, step: &Step, resource: &Resource) -> Result<Option<Taken>, ApplyError> {
    match cluster.take_over(&step.id, resource).await {
        // Somebody wrote in between; once more on what they wrote.
        Err(error) if error.is_conflict() => Ok(cluster.take_over(&step.id, resource).await?),
        other => Ok(other?),
    }
}

/// Finds out whether an object that is in no set yet can be adopted.
async fn try_to_adopt(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
) -> Result<(), ApplyError> {
    let ignores = !desired.manifest.directives.ignore_fields.is_empty();
    let live = if ignores { cluster.read(&step.id, resource).await? } else { None };
    let tried = trial(desired, set_id, live.as_ref());
    match cluster.apply(&step.id, resource, &tried, DryRun::Yes).await {
        Err(refused) if !may_be_adopted(cluster, step, desired, resource, set_id, &refused).await => {
            Err(refused.into())
        }
        _ => Ok(()),
    }
}

/// Whether an object may be adopted although a dry run of its apply is refused. That cannot show a
/// takeover with the apply after it: what is refused may be a field that goes with the takeover, where
/// the object as git has it would be admitted.
pub(super) async fn may_be_adopted(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
    refused: &ApiError,
) -> bool {
    let takes = step.live.as_ref().is_some_and(|live| live.takeover && live.part_of.is_none());
    if !takes || !refused.is_definite() || refused.denied().is_some() || refused.immutable_fields().is_some() {
        return false;
    }
    let whole = body(desired, set_id, None);
    let created = cluster.try_create(resource, step.id.namespace.as_deref(), &whole).await;
    created.is_err_and(|error| error.is_already_exists())
}

/// Gives back what was taken for an apply that failed. One whose answer did not arrive may have been
/// carried out: then the object is ours by now.
async fn given_back(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    taken: &Taken,
    cause: ApplyError,
) -> ApplyError {
    let unknown = matches!(cause.cause(), Some(error) if error.code().is_none());
    if unknown
        && let Ok(Some(live)) = cluster.look_at(&step.id, resource).await
        && live.digest == Some(desired.digest)
    {
        return cause;
    }
    match cluster.give_back(&step.id, resource, taken).await {
        Ok(()) | Err(ApiError::NotLeader(_)) => cause,
        Err(error) => ApplyError::CoOwned { cause: Box::new(cause), error },
    }
}
