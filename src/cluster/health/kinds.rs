//! Which kinds have a health of their own.

use crate::object::GroupKind;

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
