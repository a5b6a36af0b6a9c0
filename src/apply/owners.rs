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
            try_to_adopt(cluster, desired, resource, set_id).await?;
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

/// Finds out whether an object that is in no set yet can be adopted. A dry run cannot show a takeover
/// with the apply after it. So where the apply alone is refused, it counts whether the object would be
/// admitted as git has it: then it may be a field that goes with the takeover which is refused.
async fn try_to_adopt(
    cluster: &Cluster,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
) -> Result<(), ApplyError> {
    let id = &desired.manifest.id;
    let live = match desired.manifest.directives.ignore_fields.is_empty() {
        true => None,
        false => cluster.read(id, resource).await?,
    };
    let tried = trial(desired, set_id, live.as_ref());
    let Err(refused) = cluster.apply(id, resource, &tried, DryRun::Yes).await else { return Ok(()) };
    if refused.code() != Some(422) || refused.immutable_fields().is_some() {
        return Err(refused.into());
    }
    let whole = body(desired, set_id, None);
    match cluster.try_create(resource, id.namespace.as_deref(), &whole).await {
        Err(error) if error.is_already_exists() => Ok(()),
        _ => Err(refused.into()),
    }
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
        Ok(()) => cause,
        Err(ApiError::NotLeader(_)) => cause,
        Err(error) => ApplyError::CoOwned { cause: Box::new(cause), error },
    }
}
