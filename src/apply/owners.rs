//! Applying an object of which others own fields that git does not leave to them. An apply removes
//! only what its own manager owned before (KEP-555), so these fields become ours first. If the apply
//! then fails, everybody owns again what they owned before: an object that git does not get is not ours.

use crate::cluster::{ApiError, Applied, Cluster, DryRun, Resource, Taken, Taking};
use crate::config::DriftPolicy;
use crate::object::{FieldChange, Observed};
use crate::plan::{Desired, Reason, Step, never_changes};

use super::body;
use super::error::ApplyError;
use super::ignored::trial;
use super::send::send_apply;

/// Versions of one kind that were dropped since the object was written in them.
const STALE_VERSIONS: usize = 4;

/// Which fields of others an apply of a live object takes over first, where there may be such. Additions go
/// where drift is healed; what stands in the way of git goes in any case, once the server refuses it.
#[must_use]
pub fn taking(live: &Observed, reason: &Reason, drift: DriftPolicy) -> Option<Taking> {
    match (&live.part_of, live.added()) {
        _ if !live.takeover => None,
        (None, _) if matches!(reason, Reason::Adopted | Reason::HandedOver { .. }) => Some(Taking::Adopt),
        // It was ours, and lost its label: what people have added goes by the policy for drift.
        (None, _) => Some(if drift == DriftPolicy::Heal { Taking::Again } else { Taking::Shared }),
        (Some(_), Some(_)) if drift == DriftPolicy::Heal => Some(Taking::Additions),
        (Some(_), _) => Some(Taking::Shared),
    }
}

/// Applies an object, and takes over of it what an apply takes over. With what others had added to it,
/// and what is removed by that.
pub(super) async fn apply_with_takeover(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
    drift: DriftPolicy,
) -> Result<(Applied, Vec<FieldChange>), ApplyError> {
    if let Some(field) = never_changes(step) {
        return Err(ApiError::immutable(field).into());
    }
    let declared = body(desired, set_id, None);
    let mut taken = None;
    if let Some(taking) = step.live.as_ref().and_then(|live| taking(live, &step.reason, drift)) {
        try_to_apply(cluster, step, desired, resource, set_id).await?;
        taken = cluster.take_over(&step.id, resource, taking, &declared).await?;
    }
    let mut outcome = send_past_stale_versions(cluster, step, desired, resource, set_id).await;
    if let Err(ApplyError::Api(error)) = &outcome
        && may_exclude(cluster, step, desired, resource, set_id, error).await
    {
        match cluster.take_over_what_excludes(&step.id, resource, &declared, &error.objections()).await {
            Ok(None) => {}
            Ok(Some(more)) => {
                taken = Some(match taken {
                    Some(before) => before.and(Some(more)),
                    None => more,
                });
                outcome = send_apply(cluster, desired, resource, set_id).await;
            }
            Err(error) => outcome = Err(error.into()),
        }
    }
    match (outcome, taken) {
        (Err(cause), Some(taken)) => Err(given_back(cluster, step, desired, resource, &taken, cause).await),
        (outcome, taken) => Ok((outcome?, taken.map(|taken| taken.removed).unwrap_or_default())),
    }
}

/// Sends an apply, and again without the entries of `managedFields` in versions that the server no longer knows, or with
/// those in other versions as ones of the version that is applied, where the server cannot convert the object to theirs.
async fn send_past_stale_versions(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
) -> Result<Applied, ApplyError> {
    let mut outcome = send_apply(cluster, desired, resource, set_id).await;
    for _ in 0..STALE_VERSIONS {
        let Err(ApplyError::Api(error)) = &outcome else { break };
        if let Some(version) = error.stale_version() {
            cluster.drop_stale_owners(&step.id, resource, version).await?;
        } else if !error.is_about_owners_of_another_version() || !cluster.migrate_owners(&step.id, resource).await? {
            break;
        }
        outcome = send_apply(cluster, desired, resource, set_id).await;
    }
    outcome
}

/// Whether a refused apply may succeed once what excludes its fields is gone. Only where the object would be admitted as
/// git has it: nobody's fields are touched for any other.
async fn may_exclude(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
    refused: &ApiError,
) -> bool {
    step.live.is_some()
        && refused.immutable_fields().is_none()
        && !refused.objections().is_empty()
        && may_yet_be_applied(cluster, step, desired, resource, set_id, refused).await
}

/// Finds out whether an object can be applied of which others own fields that are to be ours first.
async fn try_to_apply(
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
        Err(refused) if !may_yet_be_applied(cluster, step, desired, resource, set_id, &refused).await => {
            Err(refused.into())
        }
        _ => Ok(()),
    }
}

/// Whether an object may be applied although a dry run of that is refused. It cannot show a takeover with
/// the apply after it: what is refused may be a field that goes with the takeover, where the object as git
/// has it would be admitted.
pub(super) async fn may_yet_be_applied(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
    refused: &ApiError,
) -> bool {
    // Its entries in a version that is gone are dropped first, and those in another one become ones of this.
    if refused.stale_version().is_some() || refused.is_about_owners_of_another_version() {
        return true;
    }
    let takes = step.live.as_ref().is_some_and(|live| live.takeover || !refused.objections().is_empty());
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
    let unknown = matches!(cause.answer(), Some(error) if error.code().is_none());
    if unknown
        && let Ok(Some(live)) = cluster.read_one(&step.id, resource).await
        && live.digest == Some(desired.digest)
    {
        return cause;
    }
    match cluster.give_back(&step.id, resource, taken).await {
        Ok(()) | Err(ApiError::NotLeader(_)) => cause,
        Err(error) => ApplyError::CoOwned { cause: Box::new(cause), error },
    }
}
