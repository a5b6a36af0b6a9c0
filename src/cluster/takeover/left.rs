//! What a takeover leaves where it is of what nobody recorded ([`names::UNRECORDED`]): fields that the
//! server and its controllers have written. An apply that owned these and does not declare them would
//! remove them: the server refuses (`spec.selector` of a Job), or a user loses fields they rely on (the
//! finalizer of a volume claim, the replicas that an autoscaler chose).
//!
//! [`names::UNRECORDED`]: crate::object::names::UNRECORDED

use crate::object::{Choice, Element, FieldSet, GroupKind};

/// Fields of any object.
const ALWAYS: [&[&str]; 4] =
    [&["metadata", "finalizers"], &["metadata", "ownerReferences"], &["spec", "replicas"], &["status"]];

/// Fields of one kind. A spec is left whole where the server lets nothing be removed from it.
const OF_KIND: [(&str, &str, &[&str]); 5] = [
    ("batch", "Job", &["spec", "selector"]),
    ("", "PersistentVolumeClaim", &["spec"]),
    ("", "PersistentVolume", &["spec"]),
    ("", "ServiceAccount", &["secrets"]),
    ("", "ServiceAccount", &["imagePullSecrets"]),
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
pub(super) fn split(gk: &GroupKind, fields: &mut FieldSet) -> FieldSet {
    let taken = fields.select((), |path, node, ()| match (is_left(gk, path), node.is_leaf()) {
        (true, _) => Choice::Leave,
        (false, true) => Choice::Whole,
        (false, false) => Choice::Within { context: (), itself: true },
    });
    fields.subtract(&taken);
    taken
}

fn is_left(gk: &GroupKind, path: &[&Element]) -> bool {
    let is_known =
        |element: &Element| element.field().is_some_and(|key| KEYS.iter().any(|known| key.starts_with(known)));
    ALWAYS.iter().any(|wanted| Element::are_fields(path, wanted))
        || OF_KIND.iter().any(|(group, kind, wanted)| gk.is(group, kind) && Element::are_fields(path, wanted))
        || match path {
            // Of the object, or of the Pods that it makes.
            [.., metadata, map, key]
                if metadata.field() == Some("metadata") && matches!(map.field(), Some("labels" | "annotations")) =>
            {
                is_known(key)
            }
            // What injects an authority's certificate. An item of a list is not left: without the
            // rest of it, it could not be removed any more.
            [above @ .., last] if last.field() == Some("caBundle") => !above.iter().any(|key| key.keys().is_some()),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn gk(group: &str, kind: &str) -> GroupKind {
        GroupKind { group: group.into(), kind: kind.into() }
    }

    /// Splits, and gives what is taken and what is left.
    fn parts(gk: &GroupKind, fields: &Value) -> (Value, Value) {
        let mut fields = FieldSet::from_json(fields);
        let taken = split(gk, &mut fields);
        (taken.to_json(), fields.to_json())
    }

    #[test]
    fn what_the_server_generated_for_a_job_is_left() {
        let labels = json!({".": {}, "f:app": {}, "f:controller-uid": {}, "f:batch.kubernetes.io/job-name": {}});
        let template = json!({"f:metadata": {"f:labels": labels}, "f:spec": {"f:restartPolicy": {}}});
        let (taken, left) =
            parts(&gk("batch", "Job"), &json!({"f:spec": {"f:selector": {}, "f:suspend": {}, "f:template": template}}));
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
            &json!({"f:metadata": {"f:annotations": annotations, "f:finalizers": finalizers},
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
        assert_eq!(parts(&gk("", "ConfigMap"), &fields), (fields, json!({})));
    }

    #[test]
    fn an_injected_certificate_is_left_outside_of_lists() {
        let hook = json!({"k:{\"name\":\"a\"}": {".": {}, "f:clientConfig": {"f:caBundle": {}}}});
        let fields = json!({"f:spec": {"f:caBundle": {}, "f:service": {}}, "f:webhooks": hook});
        let (taken, left) = parts(&gk("example.com", "Any"), &fields);
        assert_eq!(left, json!({"f:spec": {"f:caBundle": {}}}));
        assert_eq!(taken, json!({"f:spec": {"f:service": {}}, "f:webhooks": hook}));
    }
}
