//! What is sent for an object, and what is left out of it since others own it on purpose.

use serde_json::{Value, json};

use crate::object::{FieldPath, ManagedFieldsEntry, entries, names};
use crate::plan::Desired;

/// Where `autoscaling/v1` keeps the metrics of a `HorizontalPodAutoscaler` other than its processor time
/// (autoscaling/v1, `MetricSpecsAnnotation`).
const OTHER_METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";

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

/// Whether the apply of an object depends on the version in which it was applied before ([`without_other_metrics`]).
pub(super) fn is_first_autoscaler(desired: &Desired) -> bool {
    desired.manifest.id.gk.is("autoscaling", "HorizontalPodAutoscaler") && &*desired.manifest.version == "v1"
}

/// Removes the metrics that we have applied as `autoscaling/v2` from an object that is applied as `autoscaling/v1` from
/// now on: in the view of that version they belong to nobody, and would stay for ever. What others have set since stays.
pub(super) fn without_other_metrics(mut object: Value, desired: &Desired, live: Option<&Value>) -> Value {
    let is_newer = |entry: &ManagedFieldsEntry<'_>| entry.is_ours() && entry.version.starts_with("autoscaling/v2");
    if !is_first_autoscaler(desired) || !live.is_some_and(|live| entries(live).iter().any(is_newer)) {
        return object;
    }
    let annotation = json!({"metadata": {"annotations": {OTHER_METRICS: ""}}});
    let ignored = desired.manifest.directives.ignore_fields.iter().any(|path| path.get(&annotation).is_some());
    let annotations = &mut object["metadata"]["annotations"];
    if annotations.get(OTHER_METRICS).is_none() && !ignored {
        annotations[OTHER_METRICS] = "[]".into();
    }
    object
}

/// The fields of an object that are not applied now: all that are to be ignored, save those of list
/// items that the live object has yet to get.
fn ignored<'a>(desired: &'a Desired, live: &Value) -> impl Iterator<Item = &'a FieldPath> {
    let paths = desired.manifest.directives.ignore_fields.iter();
    paths.filter(|path| path.item().is_none_or(|item| item.get(live).is_some()))
}

/// Takes the fields that are left to others out of a state of the live object that is to be compared.
pub fn without_ignored(desired: &Desired, live: Option<&Value>, state: &mut Value) {
    for path in live.into_iter().flat_map(|live| ignored(desired, live)) {
        path.remove(state);
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
    fn metrics_of_the_second_version_go_when_the_first_one_is_applied_over_it() {
        let live = |version: &str, manager: &str| json!({"metadata": {"managedFields": [{"manager": manager, "operation": "Apply", "apiVersion": version}]}});
        let metrics = |version: &str, annotations: Value, live: &Value| {
            let wanted = desired(json!({"apiVersion": version, "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "h", "annotations": annotations}, "spec": {"maxReplicas": 3}}));
            let sent = without_other_metrics(body(&wanted, "set", None), &wanted, Some(live));
            sent["metadata"]["annotations"][OTHER_METRICS].clone()
        };
        let [before, since] = ["autoscaling/v2", "autoscaling/v1"].map(|version| live(version, "driftless"));
        assert_eq!(metrics("autoscaling/v1", json!({}), &before), "[]");
        assert_eq!(metrics("autoscaling/v1", json!({OTHER_METRICS: "[1]"}), &before), "[1]");
        let path = format!("metadata.annotations[\"{OTHER_METRICS}\"]");
        assert_eq!(metrics("autoscaling/v1", json!({names::IGNORE_FIELDS: path}), &before), Value::Null);
        assert_eq!(metrics("autoscaling/v1", json!({}), &since), Value::Null);
        assert_eq!(metrics("autoscaling/v1", json!({}), &live("autoscaling/v2", "keda")), Value::Null, "another's");
        assert_eq!(metrics("autoscaling/v2", json!({}), &before), Value::Null);
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
