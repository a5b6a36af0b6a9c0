//! What other objects build on: `CustomResourceDefinition`, `APIService`, `Namespace`, `Service`.

use serde_json::Value;

use super::fields::{condition, failed, in_progress, settled, text};
use crate::object::{Health, HealthStatus};

/// The rules of kstatus: established, or refused because another definition has its names.
pub(super) fn definition(object: &Value) -> Health {
    if let Some(found) = condition(object, "NamesAccepted").filter(|found| found.is("False")) {
        return failed(format!("its names are not accepted: {}", found.words().unwrap_or_default()));
    }
    match condition(object, "Established") {
        Some(found) if found.is("True") => Health::current(),
        Some(found) if found.is("False") && found.reason() != "Installing" => {
            failed(found.words().unwrap_or_else(|| "it is not established".into()))
        }
        _ => in_progress("the API server does not serve it yet"),
    }
}

/// No rule of kstatus: an aggregated API is well when the API server reaches it.
pub(super) fn api_service(object: &Value) -> Health {
    match condition(object, "Available") {
        Some(found) if found.is("True") => Health::current(),
        Some(found) => in_progress(format!("it is not available: {}", found.words().unwrap_or_default())),
        None => in_progress("nobody has tried to reach it yet"),
    }
}

/// No rule of kstatus: the API server makes a namespace `Active` at its creation.
pub(super) fn namespace(object: &Value) -> Health {
    match text(object, "/status/phase") {
        Some("Active") => Health::current(),
        Some("Terminating") => Health::new(HealthStatus::Terminating, "it is being deleted"),
        _ => in_progress("it is not active yet"),
    }
}

/// The rule of kstatus. An external address is not waited for: many clusters have nobody who gives
/// one, and inside the cluster the Service works without.
pub(super) fn service(object: &Value) -> Health {
    let unaddressed = text(object, "/spec/type") == Some("LoadBalancer") && text(object, "/spec/clusterIP").is_none();
    settled(unaddressed.then(|| "it has no cluster IP yet".into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{check, says};
    use crate::object::HealthStatus::{Current, Failed, InProgress, Terminating};

    #[test]
    fn a_definition_is_current_when_it_is_established() {
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"});
        let conditions = |list| json!({"status": {"conditions": list}});
        let accepted = says("NamesAccepted", "True", "", "");
        check(
            &definition,
            &[
                (
                    "established is current",
                    conditions(json!([accepted, says("Established", "True", "", "")])),
                    Current,
                    "",
                ),
                ("no status yet", json!({}), InProgress, "does not serve it"),
                (
                    "being installed",
                    conditions(json!([says("Established", "False", "Installing", "")])),
                    InProgress,
                    "does not serve it",
                ),
                (
                    "names that are taken are a failure",
                    conditions(json!([says("NamesAccepted", "False", "ListKindConflict", "already in use")])),
                    Failed,
                    "not accepted: already in use",
                ),
                (
                    "any other reason is a failure",
                    conditions(json!([says("Established", "False", "NotAccepted", "not all names are accepted")])),
                    Failed,
                    "not all names",
                ),
                (
                    "a failure without words",
                    conditions(json!([says("Established", "False", "", "")])),
                    Failed,
                    "not established",
                ),
            ],
        );
    }

    #[test]
    fn an_api_service_is_current_when_it_can_be_reached() {
        let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"});
        let available = |status, message| json!({"status": {"conditions": [says("Available", status, "R", message)]}});
        check(
            &service,
            &[
                ("available is current", available("True", ""), Current, ""),
                ("unavailable is in progress", available("False", "no endpoints"), InProgress, "no endpoints"),
                ("untried is in progress", json!({}), InProgress, "nobody has tried"),
            ],
        );
    }

    #[test]
    fn a_namespace_is_current_when_it_is_active() {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace"});
        check(
            &namespace,
            &[
                ("active is current", json!({"status": {"phase": "Active"}}), Current, ""),
                ("terminating is said", json!({"status": {"phase": "Terminating"}}), Terminating, "deleted"),
                ("no phase yet", json!({}), InProgress, "not active"),
            ],
        );
    }

    #[test]
    fn a_service_waits_for_a_cluster_ip_and_not_for_an_address_outside() {
        let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer"}});
        check(
            &service,
            &[
                ("a load balancer without a cluster IP", json!({}), InProgress, "no cluster IP"),
                ("one with it is current", json!({"spec": {"clusterIP": "10.0.0.1"}}), Current, ""),
                ("a headless one is", json!({"spec": {"type": "ClusterIP"}}), Current, ""),
                ("one of no type is", json!({"spec": {"type": null}}), Current, ""),
            ],
        );
    }

    #[test]
    fn a_disruption_budget_and_an_autoscaler_are_current_once_seen() {
        let seen = json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2}});
        for (version, kind) in [("policy/v1", "PodDisruptionBudget"), ("autoscaling/v2", "HorizontalPodAutoscaler")] {
            let object =
                json!({"apiVersion": version, "kind": kind, "metadata": seen["metadata"], "status": seen["status"]});
            check(
                &object,
                &[
                    ("seen is current", json!({}), Current, ""),
                    ("unseen is not", json!({"status": {"observedGeneration": 1}}), InProgress, "not seen"),
                ],
            );
        }
    }
}
