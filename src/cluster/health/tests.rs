//! The rules that hold for every kind, and what the tables of the kinds are checked with.

use HealthStatus::{Current, Failed, InProgress, Terminating};
use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

/// What is said of an object, what differs from the table's own object (a JSON merge patch,
/// RFC 7386), the status, and a part of the message (nothing: no message).
pub(super) type Row = (&'static str, Value, HealthStatus, &'static str);

/// The time of all tables.
pub(super) const NOW: &str = "2026-01-01T12:00:00Z";

pub(super) fn check(base: &Value, rows: &[Row]) {
    for (sentence, patch, status, message) in rows {
        let mut object = base.clone();
        merge(&mut object, patch);
        let found = health(&object, NOW.parse().unwrap());
        assert_eq!(found.status, *status, "{sentence}: {found}");
        assert!(found.message.contains(message), "{sentence}: {found}");
        assert_eq!(found.message.is_empty(), message.is_empty(), "{sentence}: {found}");
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

/// A condition.
pub(super) fn says(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

#[test]
fn every_kind_is_judged_by_deletion_generation_and_the_standard_conditions() {
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "generation": 2}});
    let conditions = |list: Value| json!({"status": {"conditions": list}});
    let gone = "2026-01-01T00:00:00Z";
    check(
        &widget,
        &[
            ("an object without a status is current", json!({}), Current, ""),
            (
                "one that is being deleted says so",
                json!({"metadata": {"deletionTimestamp": gone}}),
                Terminating,
                "deleted",
            ),
            (
                "one that is held by finalizers names them",
                json!({"metadata": {"deletionTimestamp": gone, "finalizers": ["a.com/x", "b.com/y"]}}),
                Terminating,
                "a.com/x, b.com/y",
            ),
            (
                "a status about an older generation says nothing",
                json!({"status": {"observedGeneration": 1, "conditions": [says("Ready", "True", "", "")]}}),
                InProgress,
                "generation 2, observed 1",
            ),
            (
                "one about a newer generation neither",
                json!({"status": {"observedGeneration": 3}}),
                InProgress,
                "observed 3",
            ),
            ("the same generation is fine", json!({"status": {"observedGeneration": 2}}), Current, ""),
            (
                "one whose controller is at work is in progress",
                conditions(json!([says("Ready", "True", "", ""), says("Reconciling", "True", "R", "rolling out")])),
                InProgress,
                "rolling out",
            ),
            (
                "without a message the reason is reported",
                conditions(json!([says("Reconciling", "True", "Busy", "")])),
                InProgress,
                "Busy",
            ),
            (
                "without both it is reported in general",
                conditions(json!([says("Reconciling", "True", "", "")])),
                InProgress,
                "at work",
            ),
            (
                "one that is stalled has failed",
                conditions(json!([says("Stalled", "True", "S", "no such image")])),
                Failed,
                "no such image",
            ),
            (
                "stalled without words has failed too",
                conditions(json!([says("Stalled", "True", "", "")])),
                Failed,
                "cannot go on",
            ),
            (
                "a condition that does not hold says nothing",
                conditions(json!([says("Stalled", "False", "", ""), says("Reconciling", "Unknown", "", "")])),
                Current,
                "",
            ),
            ("ready is current", conditions(json!([says("Ready", "True", "Ok", "all good")])), Current, ""),
            (
                "not ready is in progress",
                conditions(json!([says("Ready", "False", "R", "no backend")])),
                InProgress,
                "no backend",
            ),
            ("unknown is in progress", conditions(json!([says("Ready", "Unknown", "Wait", "")])), InProgress, "Wait"),
            (
                "not ready without words too",
                conditions(json!([says("Ready", "False", "", "")])),
                InProgress,
                "not ready",
            ),
            ("other conditions say nothing", conditions(json!([says("Synced", "False", "R", "")])), Current, ""),
            (
                "conditions of another shape are ignored",
                conditions(json!([null, 1, {"type": 3}, "Ready"])),
                Current,
                "",
            ),
        ],
    );
}

#[test]
fn a_terminating_namespace_says_what_is_left_in_it() {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"phase": "Terminating", "conditions": [
            says("NamespaceContentRemaining", "True", "SomeResourcesRemain", "pods. has 2 resource instances"),
        ]},
    });
    check(&namespace, &[("it names what remains", json!({}), Terminating, "pods. has 2 resource instances")]);
}

#[test]
fn kinds_that_hold_data_have_no_health_and_unknown_kinds_have() {
    for text in [
        "ConfigMap",
        "Secret",
        "ServiceAccount",
        "LimitRange",
        "ResourceQuota",
        "Endpoints",
        "EndpointSlice.discovery.k8s.io",
        "Role.rbac.authorization.k8s.io",
        "ClusterRoleBinding.rbac.authorization.k8s.io",
        "NetworkPolicy.networking.k8s.io",
        "Ingress.networking.k8s.io",
        "IngressClass.networking.k8s.io",
        "PriorityClass.scheduling.k8s.io",
        "StorageClass.storage.k8s.io",
        "CSIDriver.storage.k8s.io",
        "Lease.coordination.k8s.io",
        "ValidatingWebhookConfiguration.admissionregistration.k8s.io",
        "MutatingWebhookConfiguration.admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy.admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io",
        "RuntimeClass.node.k8s.io",
        "FlowSchema.flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io",
        "CronJob.batch",
    ] {
        assert!(!has_health(&GroupKind::parse(text)), "{text}");
    }
    for text in [
        "Pod",
        "Service",
        "Namespace",
        "PersistentVolumeClaim",
        "Deployment.apps",
        "Job.batch",
        "PodDisruptionBudget.policy",
        "HorizontalPodAutoscaler.autoscaling",
        "CustomResourceDefinition.apiextensions.k8s.io",
        "APIService.apiregistration.k8s.io",
        "Ingress.config.openshift.io",
        "Secret.example.com",
    ] {
        assert!(has_health(&GroupKind::parse(text)), "{text}");
    }
}

#[test]
fn a_kind_without_health_is_assessed_by_its_metadata_alone() {
    let job = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "generation": 2}});
    check(
        &job,
        &[
            ("it is current", json!({}), Current, ""),
            ("its status is not read", json!({"status": {"observedGeneration": 1}}), Current, ""),
            (
                "its deletion is",
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
                Terminating,
                "deleted",
            ),
        ],
    );
}

#[test]
fn an_object_out_of_a_list_is_judged_by_the_kind_its_caller_knows() {
    let bare = json!({"metadata": {"name": "shop"}, "status": {"phase": "Terminating"}});
    let now = NOW.parse().unwrap();
    assert_eq!(health_of(&GroupKind::new("", "Namespace"), &bare, now).status, Terminating);
    assert_eq!(health(&bare, now).status, Current);
}

/// Values as a broken or hostile controller could write them into any field that is read.
fn any_field() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(True|False|Running|Pending|Ready|Available|OnDelete|)".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(type|status|reason|phase|conditions|replicas|state|waiting)", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_shape_of_an_object_is_too_much(
        kind in "(Deployment|StatefulSet|DaemonSet|ReplicaSet|Pod|Job|PersistentVolumeClaim|Service|Namespace)",
        metadata in any_field(),
        spec in any_field(),
        status in any_field(),
    ) {
        let object = json!({"metadata": metadata, "spec": spec, "status": status});
        for group in ["", "apps", "batch"] {
            let _ = health_of(&GroupKind::new(group, &kind), &object, NOW.parse().unwrap());
        }
    }
}
