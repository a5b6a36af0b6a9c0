//! Applying one object: what is sent, and what becomes of a refusal.

use serde_json::Value;

use crate::cluster::{ApiError, Cluster, Resource};
use crate::config::PrunePolicy;
use crate::object::{FieldChange, Observed, rewritten};
use crate::plan::{ApplyResult, Desired, Replaceable, Step, Verb, may_replace};

use super::Applier;
use super::error::ApplyError;
use super::owners::{apply_with_takeover, may_yet_be_applied};
use super::payload::without_ignored;
use super::replace::{prove, replace, takes_claims};
use super::shown::shown;

/// One object that was applied.
pub(super) struct WrittenObject {
    /// Whether the live object is another than before.
    pub result: ApplyResult,
    pub live: Observed,
    /// What others had added and the apply removed.
    pub removed: Vec<FieldChange>,
    /// Paths of declared fields of which the live object has another value.
    pub rewritten: Vec<String>,
}

/// Applies one object.
pub(super) async fn apply_one(
    applier: &Applier<'_>,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
) -> Result<WrittenObject, ApplyError> {
    let Applier { cluster, set_id, drift, stop, .. } = *applier;
    if step.verb == Verb::Replace {
        let replaced = replace(cluster, step, desired, resource, set_id, stop).await;
        let replaced = replaced.map_err(|error| match error {
            ApplyError::Api(error) => ApplyError::Api(shown(error, desired)),
            other => other,
        })?;
        let rewritten = rewritten_of(desired, &replaced.object);
        return Ok(WrittenObject {
            result: ApplyResult::Replaced,
            live: replaced.live,
            removed: Vec::new(),
            rewritten,
        });
    }
    let refusal = |error| refusal(cluster, step, desired, resource, set_id, error);
    match apply_with_takeover(cluster, step, desired, resource, set_id, drift).await {
        Ok((written, removed)) => {
            let rewritten = rewritten_of(desired, &written.object);
            Ok(WrittenObject { result: compare(step, &written.live), live: written.live, removed, rewritten })
        }
        Err(ApplyError::Api(error)) => Err(refusal(error).await),
        Err(ApplyError::CoOwned { cause, error }) => {
            let cause = match *cause {
                ApplyError::Api(error) => refusal(error).await,
                other => other,
            };
            Err(ApplyError::CoOwned { cause: Box::new(cause), error: shown(error, desired) })
        }
        Err(other) => Err(other),
    }
}

/// Which declared fields of a live object have another value than git declares, apart from those that are left to others.
/// Paths only, since an object may be a Secret.
#[must_use]
pub fn rewritten_of(desired: &Desired, live: &Value) -> Vec<String> {
    let mut declared = desired.manifest.to_value();
    without_ignored(desired, Some(live), &mut declared);
    if desired.manifest.is_secret() {
        // The server keeps base64 without the line breaks that it may have.
        for value in
            declared.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(|data| data.values_mut())
        {
            if let Some(text) = value.as_str().filter(|text| text.contains(['\n', '\r'])) {
                *value = text.replace(['\n', '\r'], "").into();
            }
        }
    }
    rewritten(&declared, live)
}

fn compare(step: &Step, after: &Observed) -> ApplyResult {
    match &step.live {
        None => ApplyResult::Created,
        Some(before) if before.uid != after.uid => ApplyResult::Created,
        Some(before) if before.resource_version == after.resource_version => ApplyResult::Unchanged,
        Some(_) => ApplyResult::Configured,
    }
}

/// What a refusal to apply an object means. Of one that cannot be changed in place, and asks to be
/// replaced then, it is found out whether it could be created again; nothing is written.
pub(super) async fn refusal(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
    error: ApiError,
) -> ApplyError {
    let (Some(fields), Some(live)) = (error.immutable_fields(), &step.live) else {
        return ApplyError::Api(shown(error, desired));
    };
    if desired.manifest.directives.replace {
        return match prove(cluster, desired, resource, set_id, fields).await {
            Ok((proof, _)) => ApplyError::Replaceable(proof),
            Err(other) => other,
        };
    }
    // Only for the advice, so that one which cannot be read is no obstacle.
    let whole = cluster.read(&step.id, resource).await.ok().flatten();
    let claims = whole.is_some_and(|live| takes_claims(&live));
    let against = may_replace(&PrunePolicy::default(), desired, live, claims).err();
    ApplyError::Immutable { fields, error: shown(error, desired), against }
}

/// What the refusal of a dry run means. `None`: an apply may succeed all the same, since it takes over
/// fields of others before. Otherwise the object could be replaced.
///
/// # Errors
/// What is wrong.
pub async fn explain(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
    error: ApiError,
) -> Result<Option<Replaceable>, ApplyError> {
    if may_yet_be_applied(cluster, step, desired, resource, set_id, &error).await {
        return Ok(None);
    }
    match refusal(cluster, step, desired, resource, set_id, error).await {
        ApplyError::Replaceable(proof) => Ok(Some(proof)),
        other => Err(other),
    }
}
