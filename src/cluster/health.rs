//! How well a live object is, by the rules of kstatus (sigs.k8s.io/cli-utils, `pkg/kstatus`).
//! A pure function of the object and the time: it asks nobody and remembers nothing.
//!
//! Where kstatus is followed with a difference, the rule says so and why.

mod fields;
mod foundations;
mod pods;
mod volumes;
mod workloads;

use jiff::Timestamp;
use serde_json::Value;

pub use volumes::waits_for_consumer;

use self::fields::{condition, failed, in_progress, integer, settled, text, texts};
use crate::object::{GroupKind, Health, HealthStatus};

/// Kinds whose health their metadata show: they hold data or rules, or (`CronJob`, `Ingress`,
/// `FlowSchema`, …) have a status that says nothing of whether they work.
const WITHOUT_HEALTH: [(&str, &[&str]); 16] = [
    (
        "",
        &["ConfigMap", "Endpoints", "Event", "LimitRange", "PodTemplate", "ResourceQuota", "Secret", "ServiceAccount"],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apps", &["ControllerRevision"]),
    ("batch", &["CronJob"]),
    ("certificates.k8s.io", &["ClusterTrustBundle"]),
    ("coordination.k8s.io", &["Lease"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("events.k8s.io", &["Event"]),
    ("flowcontrol.apiserver.k8s.io", &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", &["IPAddress", "Ingress", "IngressClass", "NetworkPolicy"]),
    ("node.k8s.io", &["RuntimeClass"]),
    ("rbac.authorization.k8s.io", &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]),
    ("resource.k8s.io", &["DeviceClass", "ResourceClaimTemplate"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("snapshot.storage.k8s.io", &["VolumeSnapshotClass"]),
    ("storage.k8s.io", &["CSIDriver", "CSINode", "CSIStorageCapacity", "StorageClass", "VolumeAttributesClass"]),
];

/// Whether it takes the full object to assess its health. For the others a watch of metadata is
/// enough, so that, say, no Secret's data enters the process. A kind nobody knows here has health.
#[must_use]
pub fn has_health(gk: &GroupKind) -> bool {
    !WITHOUT_HEALTH.iter().any(|(group, kinds)| *group == &*gk.group && kinds.contains(&&*gk.kind))
}

/// The health of a live object that names its own `apiVersion` and `kind`.
///
/// Items of a LIST often leave these two out; use [`health_of`] for them.
#[must_use]
pub fn health(object: &Value, now: Timestamp) -> Health {
    let api_version = text(object, "/apiVersion").unwrap_or_default();
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    health_of(&GroupKind::new(group, text(object, "/kind").unwrap_or_default()), object, now)
}

/// The health of a live object whose kind the caller knows.
///
/// First what holds for every kind, in the order of kstatus: a deletion under way, a status that
/// is about an older generation, the conditions `Reconciling` and `Stalled`. Then the kind's own
/// rule; for a kind without one the condition `Ready`; and an object without that is `Current`.
///
/// Of a kind without health (see [`has_health`]) only the metadata is read, so that a watch
/// of metadata and one of full objects agree.
#[must_use]
pub fn health_of(gk: &GroupKind, object: &Value, now: Timestamp) -> Health {
    if text(object, "/metadata/deletionTimestamp").is_some() {
        return terminating(gk, object);
    }
    if !has_health(gk) {
        return Health::current();
    }
    if let Some(health) = reconciling(object) {
        return health;
    }
    match (&*gk.group, &*gk.kind) {
        ("apps", "Deployment") => workloads::deployment(object),
        ("apps", "StatefulSet") => workloads::stateful_set(object),
        ("apps", "DaemonSet") => workloads::daemon_set(object),
        ("apps", "ReplicaSet") => workloads::replica_set(object),
        ("", "Pod") => pods::pod(object, now),
        ("batch", "Job") => pods::job(object),
        ("", "PersistentVolumeClaim") => volumes::claim(object),
        ("", "Service") => foundations::service(object),
        ("", "Namespace") => foundations::namespace(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => foundations::definition(object),
        ("apiregistration.k8s.io", "APIService") => foundations::api_service(object),
        // The disruption controller reports by observedGeneration alone that it has done its work.
        ("policy", "PodDisruptionBudget") => Health::current(),
        _ => ready(object),
    }
}

/// A namespace holds no finalizer in its metadata; what it waits for stands in its conditions.
fn terminating(gk: &GroupKind, object: &Value) -> Health {
    let finalizers = texts(object, "/metadata/finalizers").collect::<Vec<_>>().join(", ");
    let remaining = ["NamespaceContentRemaining", "NamespaceFinalizersRemaining"]
        .iter()
        .filter_map(|kind| condition(object, kind).filter(|found| gk.is("", "Namespace") && found.is("True")))
        .find_map(|found| found.words());
    let message = match (finalizers.as_str(), remaining) {
        ("", None) => "it is being deleted".to_owned(),
        ("", Some(remaining)) => format!("it is being deleted: {remaining}"),
        (finalizers, _) => format!("it is being deleted and waits for its finalizers: {finalizers}"),
    };
    Health::new(HealthStatus::Terminating, message)
}

/// What controllers say of themselves. Any difference of the generations counts, as in kstatus: after
/// a restore the observed one can be ahead, and is then about another object.
fn reconciling(object: &Value) -> Option<Health> {
    let generation = integer(object, "/metadata/generation");
    let seen = integer(object, "/status/observedGeneration");
    if let (Some(generation), Some(seen)) = (generation, seen)
        && generation != seen
    {
        return Some(in_progress(format!(
            "its controller has not seen the newest change yet (generation {generation}, observed {seen})"
        )));
    }
    if let Some(found) = condition(object, "Reconciling").filter(|found| found.is("True")) {
        return Some(in_progress(found.words().unwrap_or_else(|| "its controller is at work on it".into())));
    }
    let stalled = condition(object, "Stalled").filter(|found| found.is("True"))?;
    Some(failed(stalled.words().unwrap_or_else(|| "its controller cannot go on with it".into())))
}

/// The condition `Ready`, for custom resources and for kinds without a rule of their own.
/// `False` is no failure: most controllers set it from the start and try again.
fn ready(object: &Value) -> Health {
    let lack = condition(object, "Ready").filter(|found| !found.is("True")).map(|found| match found.words() {
        Some(words) => format!("it is not ready: {words}"),
        None => "it is not ready".into(),
    });
    settled(lack)
}

#[cfg(test)]
mod tests;
