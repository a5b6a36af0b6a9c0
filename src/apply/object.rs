//! Applying one object: what is sent, and what becomes of a refusal.

use serde_json::{Value, json};

use crate::cluster::{ApiError, Cluster, Resource};
use crate::config::PrunePolicy;
use crate::object::{FieldChange, Observed, names};
use crate::plan::{ApplyResult, Desired, Replaceable, Step, Verb, may_replace};

use super::Job;
use super::error::ApplyError;
use super::ignored::ignored;
use super::owners::{may_yet_be_applied, write};
use super::replace::{prove, replace, takes_claims};
use super::shown::shown;

/// What is sent for an object: the manifest with our label and digest, and where it exists,
/// without the fields that are left to others.
#[must_use]
pub fn body(desired: &Desired, set_id: &str, live: Option<&Value>) -> Value {
    let mut object = desired.manifest.to_value();
    for path in live.into_iter().flat_map(|live| ignored(desired, live)) {
        path.remove(&mut object);
    }
    for (map, key, value) in
        [("labels", names::PART_OF, set_id.to_owned()), ("annotations", names::DIGEST, desired.digest.to_string())]
    {
        if !object["metadata"][map].is_object() {
            object["metadata"][map] = json!({});
        }
        object["metadata"][map][key] = value.into();
    }
    object
}

/// One object that was applied.
pub(super) struct Written {
    /// Whether the live object is another than before.
    pub result: ApplyResult,
    pub live: Observed,
    /// What others had added and the apply removed.
    pub removed: Vec<FieldChange>,
}

/// Applies one object.
pub(super) async fn apply_one(
    job: &Job<'_>,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
) -> Result<Written, ApplyError> {
    let Job { cluster, set_id, drift, stop, .. } = *job;
    if step.verb == Verb::Replace {
        let replaced = replace(cluster, step, desired, resource, set_id, stop).await;
        let (result, live) = replaced.map_err(|error| match error {
            ApplyError::Api(error) => ApplyError::Api(shown(error, desired)),
            other => other,
        })?;
        return Ok(Written { result, live, removed: Vec::new() });
    }
    let refusal = |error| refusal(cluster, step, desired, resource, set_id, error);
    match write(cluster, step, desired, resource, set_id, drift).await {
        Ok((applied, removed)) => Ok(Written { result: compare(step, &applied.live), live: applied.live, removed }),
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
/// What is wrong, for people.
pub async fn explain(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
    error: ApiError,
) -> Result<Option<Replaceable>, String> {
    if may_yet_be_applied(cluster, step, desired, resource, set_id, &error).await {
        return Ok(None);
    }
    match refusal(cluster, step, desired, resource, set_id, error).await {
        ApplyError::Replaceable(proof) => Ok(Some(proof)),
        other => Err(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::object::{Digest, Manifest, Origin};

    fn desired(value: Value) -> Desired {
        let manifest = Manifest::from_value(value, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
        Desired { digest: Digest::of(&manifest.canonical), manifest: Arc::new(manifest) }
    }

    #[test]
    fn what_is_sent_carries_label_and_digest() {
        let wanted =
            desired(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "labels": {"a": "b"}}}));
        let object = body(&wanted, "applyset-x-v1", None);
        assert_eq!(object["metadata"]["labels"], json!({"a": "b", names::PART_OF: "applyset-x-v1"}));
        assert_eq!(object["metadata"]["annotations"][names::DIGEST], wanted.digest.to_string());
    }

    #[test]
    fn what_is_left_to_others_is_sent_only_where_it_is_not_there_yet() {
        let paths = "spec.replicas,spec.template.spec.containers[name=web].image";
        let wanted = desired(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "annotations": {names::IGNORE_FIELDS: paths}},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "i", "tty": true}]}}}}));
        let spec = |live: Option<&Value>| body(&wanted, "set", live)["spec"].clone();
        let whole = wanted.manifest.to_value()["spec"].clone();
        assert_eq!(spec(None), whole);
        let live = json!({"spec": {"template": {"spec": {"containers": [{"name": "web"}]}}}});
        let rest = json!({"template": {"spec": {"containers": [{"name": "web", "tty": true}]}}});
        assert_eq!(spec(Some(&live)), rest);
        let without_item = json!({"spec": {"template": {"spec": {"containers": [{"name": "other"}]}}}});
        assert_eq!(spec(Some(&without_item)), json!({"template": whole["template"]}));
    }
}
