//! `PersistentVolumeClaim`.

use serde_json::Value;

use super::fields::{annotation, current, failed, in_progress, text};
use crate::object::Health;

/// Set by the scheduler when a pod that uses the claim was given a node.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Set by the volume controller once it wants a volume to be made, and what it was called before 1.23.
const PROVISIONER: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
/// How a class was named before `spec.storageClassName`; it still comes first.
const LEGACY_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// By kstatus a claim must be `Bound`. With two differences: one that waits for its first consumer
/// is `Current` (see [`waits_for_consumer`]), and one that has lost its volume is `Failed`, since
/// nothing brings the volume back.
pub(super) fn claim(object: &Value) -> Health {
    match text(object, "/status/phase") {
        Some("Bound") => Health::current(),
        Some("Lost") => failed("its volume is gone"),
        _ if waits_for_consumer(object) => {
            current(format!("it is bound once a pod uses it (storage class {})", class(object).unwrap_or_default()))
        }
        _ if class(object).is_none() && text(object, "/spec/volumeName").is_none() => {
            in_progress("it waits for a volume that fits; it names no storage class that could make one")
        }
        _ => in_progress("it waits to be bound to a volume"),
    }
}

/// Whether a claim has nothing to wait for but a pod that uses it.
///
/// The binding mode `WaitForFirstConsumer` stands in the storage class, which is not seen here. But
/// the volume controller annotates every claim for which it wants a volume made, at once with
/// `Immediate`, and with `WaitForFirstConsumer` after the scheduler has chosen a node
/// (`pv_controller.go`, `syncUnboundClaim` and `setClaimProvisioner`). So an unbound claim that has a
/// class, and neither annotation, waits for its consumer.
///
/// Two others cannot be distinguished from it: a claim in the moment before the controller sees it, and one whose class
/// does not exist or makes no volumes. Calling these `Current` too does little harm, since the pod that
/// needs the volume reports it. Waiting for them would do more: a sync whose claim is used by a `CronJob`
/// would time out, and an object that depends on its claim would never be applied.
#[must_use]
pub fn waits_for_consumer(object: &Value) -> bool {
    matches!(text(object, "/status/phase"), None | Some("Pending"))
        && class(object).is_some()
        && text(object, "/spec/volumeName").is_none()
        && annotation(object, SELECTED_NODE).is_none()
        && PROVISIONER.iter().all(|key| annotation(object, key).is_none())
}

fn class(object: &Value) -> Option<&str> {
    annotation(object, LEGACY_CLASS).or_else(|| text(object, "/spec/storageClassName"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::check;
    use super::*;
    use crate::object::HealthStatus::{Current, Failed, InProgress};

    #[test]
    fn a_claim_is_current_when_bound_or_when_only_a_consumer_is_missing() {
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
            "spec": {"storageClassName": "local"}, "status": {"phase": "Pending"},
        });
        let annotated = |key: &str| json!({"metadata": {"annotations": {key: "x"}}});
        check(
            &claim,
            &[
                ("bound is current", json!({"status": {"phase": "Bound"}}), Current, ""),
                ("lost is a failure", json!({"status": {"phase": "Lost"}}), Failed, "gone"),
                (
                    "one that waits for its consumer is current",
                    json!({}),
                    Current,
                    "once a pod uses it (storage class local)",
                ),
                ("so is one of no phase", json!({"status": null}), Current, "once a pod uses it"),
                ("one that got a node waits for its volume", annotated(SELECTED_NODE), InProgress, "to be bound"),
                ("one that gets a volume made waits for it", annotated(PROVISIONER[0]), InProgress, "to be bound"),
                ("also by the older name", annotated(PROVISIONER[1]), InProgress, "to be bound"),
                (
                    "one that names a volume waits for it",
                    json!({"spec": {"volumeName": "pv-1"}}),
                    InProgress,
                    "to be bound",
                ),
                (
                    "without a class somebody must make the volume",
                    json!({"spec": {"storageClassName": ""}}),
                    InProgress,
                    "no storage class",
                ),
                (
                    "a class may be named as it was of old",
                    json!({"metadata": {"annotations": {LEGACY_CLASS: "slow"}}, "spec": {"storageClassName": null}}),
                    Current,
                    "storage class slow",
                ),
            ],
        );
    }
}
