//! What keeps a number of pods running: `Deployment`, `StatefulSet`, `DaemonSet`, `ReplicaSet`.

use serde_json::Value;

use super::fields::{condition, count, current, failed, in_progress, integer, settled, text};
use crate::object::Health;

/// What the Deployment controller reads as "no deadline" (`deployment_util.go`, `HasProgressDeadline`).
const NO_DEADLINE: i64 = i32::MAX as i64;

/// The rules of kstatus, apart from a pause: while `spec.paused` is true the controller neither rolls out nor reports
/// progress, so that what runs is all that there is to wait for, and kstatus would wait until the timeout. The
/// message adds what the API server said when it refused a pod (a quota, an admission policy).
pub(super) fn deployment(object: &Value) -> Health {
    let refused = condition(object, "ReplicaFailure").filter(|found| found.is("True")).and_then(|found| found.words());
    let with_refusal = |message: String| match &refused {
        Some(refused) => format!("{message}; pods are refused: {refused}"),
        None => message,
    };
    let progressing = condition(object, "Progressing");
    if let Some(late) = progressing.as_ref().filter(|found| found.reason() == "ProgressDeadlineExceeded") {
        return failed(with_refusal(late.words().unwrap_or_default()));
    }
    // Without a deadline the controller never sets the condition.
    let progressed = integer(object, "/spec/progressDeadlineSeconds").unwrap_or(NO_DEADLINE) == NO_DEADLINE
        || progressing.is_some_and(|found| found.is("True") && found.reason() == "NewReplicaSetAvailable");
    let available = condition(object, "Available").is_some_and(|found| found.is("True"));

    let wanted = wanted(object);
    let [replicas, updated, ready, availables] =
        ["/status/replicas", "/status/updatedReplicas", "/status/readyReplicas", "/status/availableReplicas"]
            .map(|pointer| count(object, pointer));
    if object.pointer("/spec/paused") == Some(&Value::Bool(true)) {
        let lack = fewer(replicas, wanted, "exist")
            .or_else(|| fewer(availables, wanted, "are available"))
            .or_else(|| fewer(ready, wanted, "are ready"));
        let paused = "its rollout does not go on while spec.paused is true";
        return match lack {
            Some(lack) => in_progress(format!("{}; {paused}", with_refusal(lack))),
            None if updated < wanted => current(format!("{updated} of {wanted} replicas are updated; {paused}")),
            None => Health::current(),
        };
    }
    let lack = fewer(replicas, wanted, "exist")
        .or_else(|| fewer(updated, wanted, "are updated"))
        .or_else(|| more(replicas, wanted))
        .or_else(|| fewer(availables, updated, "are available"))
        .or_else(|| fewer(ready, wanted, "are ready"))
        .or_else(|| (!progressed).then(|| "its new ReplicaSet is not available yet".into()))
        .or_else(|| (!available).then(|| "it is not available yet".into()));
    settled(lack.map(with_refusal))
}

/// The rules of kstatus, apart from `OnDelete`: a person replaces the pods then, so there is no update to wait
/// for, but the pods that there are have to be ready all the same. With a partition only the pods above
/// it are replaced.
pub(super) fn stateful_set(object: &Value) -> Health {
    let wanted = wanted(object);
    let [replicas, ready, at_current, updated] =
        ["/status/replicas", "/status/readyReplicas", "/status/currentReplicas", "/status/updatedReplicas"]
            .map(|pointer| count(object, pointer));
    let lack = fewer(replicas, wanted, "exist")
        .or_else(|| fewer(ready, wanted, "are ready"))
        .or_else(|| more(replicas, wanted));
    if on_delete(object) {
        let words = "its pods are replaced when somebody deletes them (update strategy OnDelete)";
        return lack.map_or_else(|| current(words), in_progress);
    }
    let lack = lack.or_else(|| match integer(object, "/spec/updateStrategy/rollingUpdate/partition") {
        Some(partition) => fewer(updated, wanted.saturating_sub(partition), "are updated"),
        None => fewer(at_current, wanted, "are current").or_else(|| {
            let differ = text(object, "/status/currentRevision") != text(object, "/status/updateRevision");
            differ.then(|| "its update has not reached all replicas".into())
        }),
    });
    settled(lack)
}

/// The rules of kstatus, apart from `OnDelete`: a person replaces the pods then, as with a
/// `StatefulSet`, and kstatus would wait for that until the timeout.
pub(super) fn daemon_set(object: &Value) -> Health {
    // The controller always sets these, so that their absence means it has not seen the object.
    let seen = integer(object, "/metadata/generation").and(integer(object, "/status/observedGeneration"));
    let Some(wanted) = seen.and(integer(object, "/status/desiredNumberScheduled")) else {
        return in_progress("its controller has not seen it yet");
    };
    let [scheduled, updated, available, ready] = [
        "/status/currentNumberScheduled",
        "/status/updatedNumberScheduled",
        "/status/numberAvailable",
        "/status/numberReady",
    ]
    .map(|pointer| count(object, pointer));
    let updated = if on_delete(object) { wanted } else { updated };
    settled(
        fewer(scheduled, wanted, "are scheduled")
            .or_else(|| fewer(updated, wanted, "are updated"))
            .or_else(|| fewer(available, wanted, "are available"))
            .or_else(|| fewer(ready, wanted, "are ready")),
    )
}

/// The rules of kstatus.
pub(super) fn replica_set(object: &Value) -> Health {
    if let Some(refused) = condition(object, "ReplicaFailure").filter(|found| found.is("True")) {
        return in_progress(format!("pods are refused: {}", refused.words().unwrap_or_default()));
    }
    let wanted = wanted(object);
    let [replicas, labelled, available, ready] =
        ["/status/replicas", "/status/fullyLabeledReplicas", "/status/availableReplicas", "/status/readyReplicas"]
            .map(|pointer| count(object, pointer));
    settled(
        fewer(labelled, wanted, "carry all labels")
            .or_else(|| fewer(available, wanted, "are available"))
            .or_else(|| fewer(ready, wanted, "are ready"))
            .or_else(|| more(replicas, wanted)),
    )
}

/// The API server makes one replica of none given.
fn wanted(object: &Value) -> i64 {
    integer(object, "/spec/replicas").unwrap_or(1)
}

fn on_delete(object: &Value) -> bool {
    text(object, "/spec/updateStrategy/type") == Some("OnDelete")
}

fn fewer(have: i64, wanted: i64, what: &str) -> Option<String> {
    (have < wanted).then(|| format!("{have} of {wanted} replicas {what}"))
}

fn more(have: i64, wanted: i64) -> Option<String> {
    let extra = have.saturating_sub(wanted);
    let plural = if extra == 1 { "" } else { "s" };
    (extra > 0).then(|| format!("{extra} old replica{plural} still to end"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{check, says};
    use crate::object::HealthStatus::{Current, Failed, InProgress};

    fn progressing(status: &str, reason: &str) -> Value {
        says("Progressing", status, reason, "")
    }

    /// A Deployment whose rollout is done, and its conditions.
    fn rolled_out() -> (Value, [Value; 2]) {
        let done = [progressing("True", "NewReplicaSetAvailable"), says("Available", "True", "", "")];
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "generation": 1},
            "spec": {"replicas": 3, "progressDeadlineSeconds": 600},
            "status": {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3,
                "availableReplicas": 3, "conditions": done},
        });
        (deployment, done)
    }

    #[test]
    fn a_paused_deployment_has_nothing_to_wait_for_but_what_runs() {
        let (deployment, done) = rolled_out();
        check(
            &deployment,
            &[
                (
                    "a pause is reported while something lacks",
                    json!({"spec": {"paused": true}, "status": {"availableReplicas": 2}}),
                    InProgress,
                    "2 of 3 replicas are available; its rollout does not go on while spec.paused is true",
                ),
                (
                    "a paused one that is available is current, though its controller reports no progress",
                    json!({"spec": {"paused": true},
                        "status": {"conditions": [progressing("Unknown", "DeploymentPaused"), done[1].clone()]}}),
                    Current,
                    "",
                ),
                (
                    "a paused one with old replicas is as git says, and that is reported",
                    json!({"spec": {"paused": true}, "status": {"updatedReplicas": 1}}),
                    Current,
                    "1 of 3 replicas are updated",
                ),
            ],
        );
    }

    #[test]
    fn a_deployment_is_current_when_its_rollout_is_done() {
        let (deployment, done) = rolled_out();
        let late = says("Progressing", "False", "ProgressDeadlineExceeded", "ReplicaSet web-1 has timed out");
        let refused = says("ReplicaFailure", "True", "FailedCreate", "exceeded quota: pods");
        let status = |status| json!({"status": status});
        check(
            &deployment,
            &[
                ("a finished rollout is current", json!({}), Current, ""),
                ("one without a status is in progress", json!({"status": null}), InProgress, "0 of 3 replicas exist"),
                (
                    "no replicas given means one",
                    json!({"spec": {"replicas": null}, "status": null}),
                    InProgress,
                    "0 of 1 replicas exist",
                ),
                ("missing replicas", status(json!({"replicas": 2})), InProgress, "2 of 3 replicas exist"),
                (
                    "refused pods are reported",
                    status(json!({"replicas": 2, "conditions": [refused.clone()]})),
                    InProgress,
                    "2 of 3 replicas exist; pods are refused: exceeded quota: pods",
                ),
                ("outdated replicas", status(json!({"updatedReplicas": 1})), InProgress, "1 of 3 replicas are updated"),
                ("an old replica on its way out", status(json!({"replicas": 4})), InProgress, "1 old replica still"),
                ("old replicas on their way out", status(json!({"replicas": 5})), InProgress, "2 old replicas still"),
                (
                    "unavailable replicas",
                    status(json!({"availableReplicas": 2})),
                    InProgress,
                    "2 of 3 replicas are available",
                ),
                (
                    "replicas that are not ready",
                    status(json!({"readyReplicas": 2})),
                    InProgress,
                    "2 of 3 replicas are ready",
                ),
                (
                    "a new ReplicaSet that is not available yet",
                    status(json!({"conditions": [progressing("True", "ReplicaSetUpdated"), done[1].clone()]})),
                    InProgress,
                    "new ReplicaSet",
                ),
                (
                    "without a deadline the controller does not report its progress",
                    json!({"spec": {"progressDeadlineSeconds": null}, "status": {"conditions": [done[1].clone()]}}),
                    Current,
                    "",
                ),
                (
                    "the largest deadline is none",
                    json!({"spec": {"progressDeadlineSeconds": i32::MAX}, "status": {"conditions": [done[1].clone()]}}),
                    Current,
                    "",
                ),
                (
                    "one that is not available",
                    status(json!({"conditions": [done[0].clone(), says("Available", "False", "", "")]})),
                    InProgress,
                    "not available",
                ),
                (
                    "a missed deadline is a failure",
                    status(json!({"conditions": [late.clone()]})),
                    Failed,
                    "ReplicaSet web-1 has timed out",
                ),
                (
                    "a missed deadline with its cause",
                    status(json!({"conditions": [late, refused]})),
                    Failed,
                    "timed out; pods are refused: exceeded quota",
                ),
                (
                    "a Deployment of no replicas is current",
                    json!({"spec": {"replicas": 0}, "status": {"replicas": null, "updatedReplicas": null,
                        "readyReplicas": null, "availableReplicas": null}}),
                    Current,
                    "",
                ),
            ],
        );
    }

    #[test]
    fn a_stateful_set_is_current_when_all_or_the_partition_are_updated() {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {"replicas": 3},
            "status": {"replicas": 3, "readyReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3,
                "currentRevision": "a", "updateRevision": "a"},
        });
        let strategy = |strategy| json!({"spec": {"updateStrategy": strategy}, "status": {"updatedReplicas": 1}});
        check(
            &set,
            &[
                ("a finished rollout is current", json!({}), Current, ""),
                ("missing replicas", json!({"status": {"replicas": 1}}), InProgress, "1 of 3 replicas exist"),
                (
                    "replicas that are not ready",
                    json!({"status": {"readyReplicas": 1}}),
                    InProgress,
                    "1 of 3 replicas are ready",
                ),
                ("replicas on their way out", json!({"spec": {"replicas": 2}}), InProgress, "1 old replica still"),
                (
                    "outdated replicas",
                    json!({"status": {"currentReplicas": 1}}),
                    InProgress,
                    "1 of 3 replicas are current",
                ),
                ("two revisions", json!({"status": {"updateRevision": "b"}}), InProgress, "has not reached all"),
                (
                    "with a partition the pods above it are updated",
                    strategy(json!({"rollingUpdate": {"partition": 1}})),
                    InProgress,
                    "1 of 2 replicas are updated",
                ),
                ("and the others are not", strategy(json!({"rollingUpdate": {"partition": 2}})), Current, ""),
                (
                    "a partition beyond all replicas is fine",
                    strategy(json!({"rollingUpdate": {"partition": 9}})),
                    Current,
                    "",
                ),
                ("OnDelete has no update to wait for", strategy(json!({"type": "OnDelete"})), Current, "OnDelete"),
                (
                    "with OnDelete pods have to be ready, too",
                    json!({"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"readyReplicas": 0}}),
                    InProgress,
                    "0 of 3 replicas are ready",
                ),
            ],
        );
    }

    #[test]
    fn a_daemon_set_is_current_when_every_node_has_its_pod() {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "log", "generation": 1}, "spec": {},
            "status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "currentNumberScheduled": 2,
                "updatedNumberScheduled": 2, "numberAvailable": 2, "numberReady": 2},
        });
        check(
            &set,
            &[
                ("pods on all nodes are current", json!({}), Current, ""),
                ("no generation", json!({"metadata": {"generation": null}}), InProgress, "not seen it"),
                ("no observed generation", json!({"status": {"observedGeneration": null}}), InProgress, "not seen it"),
                ("no desired number", json!({"status": {"desiredNumberScheduled": null}}), InProgress, "not seen it"),
                (
                    "nodes without a pod",
                    json!({"status": {"currentNumberScheduled": 1}}),
                    InProgress,
                    "1 of 2 replicas are scheduled",
                ),
                ("outdated pods", json!({"status": {"updatedNumberScheduled": 1}}), InProgress, "are updated"),
                ("unavailable pods", json!({"status": {"numberAvailable": 1}}), InProgress, "are available"),
                ("pods that are not ready", json!({"status": {"numberReady": 1}}), InProgress, "are ready"),
                (
                    "with OnDelete outdated pods wait for a person",
                    json!({"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"updatedNumberScheduled": 0}}),
                    Current,
                    "",
                ),
                ("no nodes are fine", json!({"status": {"desiredNumberScheduled": 0}}), Current, ""),
            ],
        );
    }

    #[test]
    fn a_replica_set_is_current_when_its_replicas_are() {
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web-1"}, "spec": {"replicas": 2},
            "status": {"replicas": 2, "fullyLabeledReplicas": 2, "availableReplicas": 2, "readyReplicas": 2},
        });
        let refused = says("ReplicaFailure", "True", "FailedCreate", "exceeded quota");
        check(
            &set,
            &[
                ("all replicas are current", json!({}), Current, ""),
                ("refused pods", json!({"status": {"conditions": [refused]}}), InProgress, "exceeded quota"),
                ("missing replicas", json!({"status": {"fullyLabeledReplicas": 1}}), InProgress, "carry all labels"),
                ("unavailable replicas", json!({"status": {"availableReplicas": 1}}), InProgress, "are available"),
                ("replicas that are not ready", json!({"status": {"readyReplicas": 1}}), InProgress, "are ready"),
                ("replicas on their way out", json!({"spec": {"replicas": 0}}), InProgress, "2 old replicas"),
            ],
        );
    }
}
