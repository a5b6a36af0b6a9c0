//! What a takeover leaves where it is of what nobody recorded ([`names::UNRECORDED`]): fields that the
//! server and its controllers have written. An apply that owned these and does not declare them would
//! remove them: the server refuses (`spec.selector` of a Job), or a user loses fields they rely on (the
//! finalizer of a volume claim, the replicas that an autoscaler chose).
//!
//! [`names::UNRECORDED`]: crate::object::names::UNRECORDED

use serde_json::{Map, Value};

use crate::object::GroupKind;

/// Fields of any object.
const ALWAYS: [&[&str]; 4] =
    [&["f:metadata", "f:finalizers"], &["f:metadata", "f:ownerReferences"], &["f:spec", "f:replicas"], &["f:status"]];

/// Fields of one kind. A spec is left whole where the server lets nothing be removed from it.
const OF_KIND: [(&str, &str, &[&str]); 5] = [
    ("batch", "Job", &["f:spec", "f:selector"]),
    ("", "PersistentVolumeClaim", &["f:spec"]),
    ("", "PersistentVolume", &["f:spec"]),
    ("", "ServiceAccount", &["f:secrets"]),
    ("", "ServiceAccount", &["f:imagePullSecrets"]),
];

/// Labels and annotations: these, and those that begin so (well-known ones, kubernetes.io/docs).
const KEYS: [&str; 8] = [
    "batch.kubernetes.io/",
    "controller-uid",
    "deployment.kubernetes.io/",
    "job-name",
    "kubernetes.io/service-account.uid",
    "pv.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "volume.kubernetes.io/",
];

/// Takes out of a field set what may become ours.
pub(super) fn split(gk: &GroupKind, fields: &mut Value) -> Value {
    below(gk, &mut Vec::new(), fields)
}

fn below(gk: &GroupKind, path: &mut Vec<String>, fields: &mut Value) -> Value {
    let mut taken = Map::new();
    let Some(fields) = fields.as_object_mut() else { return Value::Null };
    fields.retain(|key, within| {
        path.push(key.clone());
        let is_left = is_left(gk, path);
        if !is_left {
            let is_leaf = within.as_object().is_none_or(Map::is_empty);
            let part = if is_leaf { within.take() } else { below(gk, path, within) };
            if is_leaf || part.as_object().is_some_and(|part| !part.is_empty()) {
                taken.insert(key.clone(), part);
            }
        }
        path.pop();
        is_left || within.as_object().is_some_and(|within| !within.is_empty())
    });
    Value::Object(taken)
}

fn is_left(gk: &GroupKind, path: &[String]) -> bool {
    let is = |wanted: &[&str]| path.iter().map(String::as_str).eq(wanted.iter().copied());
    let is_known =
        |key: &str| KEYS.iter().any(|known| key.strip_prefix("f:").is_some_and(|key| key.starts_with(known)));
    ALWAYS.iter().any(|wanted| is(wanted))
        || OF_KIND.iter().any(|(group, kind, wanted)| gk.is(group, kind) && is(wanted))
        || match path {
            // Of the object, or of the Pods that it makes.
            [.., metadata, map, key] if metadata == "f:metadata" && (map == "f:labels" || map == "f:annotations") => {
                is_known(key)
            }
            // What injects an authority's certificate. An item of a list is not left: without the
            // rest of it, it could not be removed any more.
            [above @ .., last] if last == "f:caBundle" => !above.iter().any(|key| key.starts_with("k:")),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gk(group: &str, kind: &str) -> GroupKind {
        GroupKind { group: group.into(), kind: kind.into() }
    }

    /// Splits, and gives what is taken and what is left.
    fn parts(gk: &GroupKind, mut fields: Value) -> (Value, Value) {
        let taken = split(gk, &mut fields);
        (taken, fields)
    }

    #[test]
    fn what_the_server_generated_for_a_job_is_left() {
        let labels = json!({".": {}, "f:app": {}, "f:controller-uid": {}, "f:batch.kubernetes.io/job-name": {}});
        let template = json!({"f:metadata": {"f:labels": labels}, "f:spec": {"f:restartPolicy": {}}});
        let (taken, left) =
            parts(&gk("batch", "Job"), json!({"f:spec": {"f:selector": {}, "f:suspend": {}, "f:template": template}}));
        let labels = json!({"f:controller-uid": {}, "f:batch.kubernetes.io/job-name": {}});
        assert_eq!(left, json!({"f:spec": {"f:selector": {}, "f:template": {"f:metadata": {"f:labels": labels}}}}));
        let template = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:restartPolicy": {}}});
        assert_eq!(taken, json!({"f:spec": {"f:suspend": {}, "f:template": template}}));
    }

    #[test]
    fn a_bound_claim_keeps_its_volume_and_its_finalizer() {
        let annotations = json!({".": {}, "f:pv.kubernetes.io/bind-completed": {}, "f:note": {}});
        let finalizers = json!({".": {}, "v:\"kubernetes.io/pvc-protection\"": {}});
        let (taken, left) = parts(
            &gk("", "PersistentVolumeClaim"),
            json!({"f:metadata": {"f:annotations": annotations, "f:finalizers": finalizers},
                "f:spec": {"f:volumeName": {}, "f:volumeMode": {}}}),
        );
        assert_eq!(taken, json!({"f:metadata": {"f:annotations": {".": {}, "f:note": {}}}}));
        let annotations = json!({"f:pv.kubernetes.io/bind-completed": {}});
        let metadata = json!({"f:annotations": annotations, "f:finalizers": finalizers});
        assert_eq!(left, json!({"f:metadata": metadata, "f:spec": {"f:volumeName": {}, "f:volumeMode": {}}}));
    }

    #[test]
    fn what_people_write_is_taken_whole() {
        let fields = json!({"f:data": {".": {}, "f:controller-uid": {}}, "f:metadata": {"f:labels": {"f:app": {}}}});
        assert_eq!(parts(&gk("", "ConfigMap"), fields.clone()), (fields, json!({})));
    }

    #[test]
    fn an_injected_certificate_is_left_outside_of_lists() {
        let hook = json!({"k:{\"name\":\"a\"}": {".": {}, "f:clientConfig": {"f:caBundle": {}}}});
        let fields = json!({"f:spec": {"f:caBundle": {}, "f:service": {}}, "f:webhooks": hook});
        let (taken, left) = parts(&gk("example.com", "Any"), fields);
        assert_eq!(left, json!({"f:spec": {"f:caBundle": {}}}));
        assert_eq!(taken, json!({"f:spec": {"f:service": {}}, "f:webhooks": hook}));
    }
}
