//! What is sent for an object, and what is left out of it since others own it on purpose.

use serde_json::{Value, json};

use crate::object::{FieldPath, names};
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
    // Metrics that were applied as `autoscaling/v2` belong to nobody in the view of `v1`, and would stay for ever.
    let manifest = &desired.manifest;
    if manifest.id.gk.is("autoscaling", "HorizontalPodAutoscaler") && &*manifest.version == "v1" {
        let annotations = &mut object["metadata"]["annotations"];
        if annotations.get(OTHER_METRICS).is_none() {
            annotations[OTHER_METRICS] = "[]".into();
        }
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
    fn an_autoscaler_in_its_first_version_has_no_metrics_but_those_that_git_declares() {
        let metrics = |version: &str, annotations: Value| {
            let wanted = desired(json!({"apiVersion": version, "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "h", "annotations": annotations}, "spec": {"maxReplicas": 3}}));
            body(&wanted, "set", None)["metadata"]["annotations"][OTHER_METRICS].clone()
        };
        assert_eq!(metrics("autoscaling/v1", json!({})), "[]");
        assert_eq!(metrics("autoscaling/v1", json!({OTHER_METRICS: "[1]"})), "[1]");
        assert_eq!(metrics("autoscaling/v2", json!({})), Value::Null);
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
