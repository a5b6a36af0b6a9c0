//! What of an object's metadata the API server alone writes: one list for everybody who leaves it out.

use serde_json::{Map, Value};

/// Fields of `metadata` that only the API server writes. Manifests exported with `kubectl get -o yaml` carry these,
/// and an apply would be refused for some of them (`managedFields`) or conflict (`resourceVersion`). The source is
/// `ObjectMeta` of apimachinery (`meta/v1/types.go`): the fields documented as "populated by the system, read-only",
/// and `managedFields`.
const SERVER_METADATA: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Whether a field of `metadata` is the API server's alone.
#[must_use]
pub fn is_server_metadata(field: &str) -> bool {
    SERVER_METADATA.contains(&field)
}

/// Removes from `metadata` what only the API server writes.
pub fn remove_server_metadata(metadata: &mut Map<String, Value>) {
    metadata.retain(|field, _| !is_server_metadata(field));
}
