//! Applying one object: what is sent, what its refusal means, and replacing it where it asks
//! for that.

use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::{ApiError, Cluster, Deletion, Resource};
use crate::object::{FieldPath, Observed, names};
use crate::plan::{ApplyResult, Desired, Step};

use super::ignored::{ignored, write};

/// How long a replaced object may take to be gone.
const GONE: Duration = Duration::from_mins(1);
/// In place of a Secret's value.
const HIDDEN: &str = "<hidden>";

/// Why an object was not applied, in words for people.
#[derive(Debug)]
pub(super) enum ApplyError {
    Api(ApiError),
    Immutable {
        fields: Vec<String>,
        message: String,
        /// Whether data would go with the object.
        data: bool,
    },
    NotGone,
    /// A field is to be ignored that is written only together with others.
    Atomic(FieldPath),
}

impl ApplyError {
    pub fn cause(&self) -> Option<&ApiError> {
        match self {
            Self::Api(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ApiError> for ApplyError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(error) => error.fmt(out),
            Self::Immutable { fields, message, data: true } => write!(
                out,
                "{} cannot be changed in place, and a claim that is deleted takes its data along; put back in git what the cluster has, or move the data to a claim of another name ({message})",
                fields.join(", ")
            ),
            Self::Immutable { fields, message, data: false } => write!(
                out,
                "{} cannot be changed in place; set the annotation {}: \"true\" to have the object deleted and created again ({message})",
                fields.join(", "),
                names::REPLACE
            ),
            Self::Atomic(path) => write!(
                out,
                "{} names {path}, which is written only as a part of the field around it; name that field",
                names::IGNORE_FIELDS
            ),
            Self::NotGone => write!(
                out,
                "it is to be replaced, and its deletion did not end within {} s; its finalizers or its grace period hold it",
                GONE.as_secs()
            ),
        }
    }
}

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

/// Applies one object. The result tells whether the live object is another than before.
pub(super) async fn apply_one(
    cluster: &Cluster,
    step: &Step,
    desired: &Desired,
    resource: &Resource,
    set_id: &str,
) -> Result<(ApplyResult, Observed), ApplyError> {
    let refused = |error: ApiError| describe(error, desired);
    if step.live.as_ref().is_some_and(|live| live.takeover) {
        match cluster.take_over(&step.id, resource).await {
            // Somebody wrote in between; once more on what they wrote.
            Err(error) if error.is_conflict() => cluster.take_over(&step.id, resource).await.map_err(refused)?,
            other => other.map_err(refused)?,
        }
    }
    let mut outcome = write(cluster, desired, resource, set_id).await;
    if step.live.is_some() && matches!(&outcome, Err(ApplyError::Api(error)) if error.is_about_port_names()) {
        cluster.take_over_ports(&step.id, resource).await.map_err(refused)?;
        outcome = write(cluster, desired, resource, set_id).await;
    }
    match outcome {
        Ok(applied) => Ok((compare(step, &applied.live), applied.live)),
        Err(ApplyError::Api(error)) => match (error.immutable_fields(), &step.live) {
            (Some(_), Some(live)) if desired.manifest.directives.replace => {
                replace(cluster, step, live, resource).await?;
                let applied = write(cluster, desired, resource, set_id).await.map_err(|error| match error {
                    ApplyError::Api(error) => refused(error),
                    other => other,
                })?;
                Ok((ApplyResult::Replaced, applied.live))
            }
            _ => Err(refused(error)),
        },
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

async fn replace(cluster: &Cluster, step: &Step, live: &Observed, resource: &Resource) -> Result<(), ApplyError> {
    if cluster.delete(&step.id, resource, &live.uid).await? == Deletion::Gone {
        return Ok(());
    }
    let until = Instant::now() + GONE;
    let mut pause = Duration::from_millis(50);
    while cluster.look_at(&step.id, resource).await?.is_some_and(|now| now.uid == live.uid) {
        if Instant::now() > until {
            return Err(ApplyError::NotGone);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
    Ok(())
}

/// Says what a refusal means. The server repeats values that it does not like, so the message
/// about a Secret goes through a sieve that knows them.
pub(super) fn describe(error: ApiError, desired: &Desired) -> ApplyError {
    let error = if desired.manifest.is_secret() {
        let secrets = values(&desired.manifest.to_value());
        error.map_messages(|message| hide(message, &secrets))
    } else {
        error
    };
    match error.immutable_fields() {
        Some(fields) => {
            let data = desired.manifest.id.gk.is("", "PersistentVolumeClaim");
            ApplyError::Immutable { fields, message: error.to_string(), data }
        }
        None => ApplyError::Api(error),
    }
}

/// Says what a refusal means, as text for people.
#[must_use]
pub fn explain(error: ApiError, desired: &Desired) -> String {
    describe(error, desired).to_string()
}

/// Every text in a Secret's data, as it stands there and decoded, the longest first.
fn values(secret: &Value) -> Vec<String> {
    let mut values = Vec::new();
    for value in secret.get("data").and_then(Value::as_object).into_iter().flatten().map(|(_, value)| value) {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        if let Some(plain) = STANDARD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
            values.push(plain);
        }
        values.push(text);
    }
    values.retain(|value| !value.trim().is_empty());
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values
}

fn hide(message: &str, secrets: &[String]) -> String {
    secrets.iter().fold(message.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
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

    #[test]
    fn a_refused_secret_shows_no_value() {
        let wanted = desired(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "data": {"password": "aHVudGVyMg==", "port": "5432"}}));
        let answer = ApiError::Refused {
            code: 422,
            reason: "Invalid".into(),
            message: "got aHVudGVyMg== and hunter2 and Value:5432".into(),
            causes: Vec::new(),
        };
        let text = describe(answer, &wanted).to_string();
        assert_eq!(text, "got <hidden> and <hidden> and Value:<hidden>");
    }

    /// What is told when the server refuses to change a field of an object of this kind.
    fn immutable(kind: &str, field: &str) -> String {
        let wanted = desired(json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "s"}}));
        let answer = ApiError::Refused {
            code: 422,
            reason: "Invalid".into(),
            message: "it is invalid".into(),
            causes: vec![crate::cluster::Cause {
                reason: "FieldValueInvalid".into(),
                message: "field is immutable".into(),
                field: field.into(),
            }],
        };
        describe(answer, &wanted).to_string()
    }

    #[test]
    fn an_immutable_field_is_named_with_the_way_out() {
        let text = immutable("Service", "spec.clusterIP");
        assert!(text.starts_with("spec.clusterIP cannot be changed in place"), "{text}");
        assert!(text.contains("driftless.dev/replace"), "{text}");
    }

    #[test]
    fn nobody_is_advised_to_delete_data() {
        let text = immutable("PersistentVolumeClaim", "spec.storageClassName");
        assert!(text.starts_with("spec.storageClassName cannot be changed in place"), "{text}");
        assert!(!text.contains("driftless.dev/replace"), "{text}");
    }
}
