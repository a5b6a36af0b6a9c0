//! What runs to an end, or by itself: `Pod` and `Job`.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::fields::{condition, count, current, failed, in_progress, items, text};
use crate::object::{Health, HealthStatus};

/// How long a pod may find no node. kstatus says 15 s; but an autoscaler needs minutes to bring a
/// node, and gives up after 15 min (cluster-autoscaler, `--max-node-provision-time`).
const NO_NODE_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// Reasons with which the kubelet says that a container is on its way.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// By kstatus, with two differences. A pod that ended without success is `Failed`, where kstatus has
/// `Current`: nobody who declared a pod meant it to fail. A container that crashes again and again is
/// `InProgress`, where kstatus has `Failed`: many crash until what they need has come up, so that the
/// sync's timeout should decide; until then the message names the container and the reason.
pub(super) fn pod(object: &Value, now: Timestamp) -> Health {
    match text(object, "/status/phase") {
        Some("Succeeded") => current("it has completed"),
        Some("Failed") => failed(ended_badly(object)),
        Some("Running") if condition(object, "Ready").is_some_and(|found| found.is("True")) => Health::current(),
        Some("Running") => in_progress(waiting(object).unwrap_or_else(|| "it runs but is not ready".into())),
        Some("Pending") => pending(object, now),
        None => in_progress("no kubelet has seen it yet"),
        Some(phase) => Health::new(HealthStatus::Unknown, format!("its phase is {phase}")),
    }
}

fn pending(object: &Value, now: Timestamp) -> Health {
    let unscheduled = condition(object, "PodScheduled").filter(|found| found.is("False"));
    let Some(unscheduled) = unscheduled.filter(|found| found.reason() == "Unschedulable") else {
        return in_progress(waiting(object).unwrap_or_else(|| "it has not started yet".into()));
    };
    let created = text(object, "/metadata/creationTimestamp").and_then(|text| text.parse::<Timestamp>().ok());
    let overdue = created.is_some_and(|created| now.duration_since(created) >= NO_NODE_AFTER);
    let message = format!("no node takes it: {}", unscheduled.words().unwrap_or_default());
    if overdue { failed(message) } else { in_progress(message) }
}

/// The first container that waits for something other than its turn.
fn waiting(object: &Value) -> Option<String> {
    let statuses = items(object, "/status/initContainerStatuses").chain(items(object, "/status/containerStatuses"));
    statuses.into_iter().find_map(|status| {
        let reason = text(status, "/state/waiting/reason").filter(|reason| !ON_ITS_WAY.contains(reason))?;
        let name = text(status, "/name").unwrap_or("without a name");
        let detail = text(status, "/state/waiting/message").map(|words| format!(": {words}")).unwrap_or_default();
        Some(format!("container {name} waits with {reason}{detail}"))
    })
}

/// Why a pod failed: the kubelet's own words (an eviction, a deadline), else the container that did.
fn ended_badly(object: &Value) -> String {
    if let Some(words) = text(object, "/status/message").or_else(|| text(object, "/status/reason")) {
        return words.into();
    }
    let statuses = items(object, "/status/initContainerStatuses").chain(items(object, "/status/containerStatuses"));
    let ended = statuses.into_iter().find_map(|status| {
        let code = status.pointer("/state/terminated/exitCode").and_then(Value::as_i64).filter(|code| *code != 0)?;
        Some(format!("container {} ended with exit code {code}", text(status, "/name")?))
    });
    ended.unwrap_or_else(|| "it ended without success".into())
}

/// By kstatus: a Job that has started is `Current` while it runs, since a Job may run for days; its
/// failure still turns it into `Failed`. Whoever needs it done first says so with `depends-on`.
pub(super) fn job(object: &Value) -> Health {
    let holds = |kind: &str| condition(object, kind).filter(|found| found.is("True"));
    if let Some(found) = holds("Failed") {
        return failed(found.words().unwrap_or_else(|| "it has failed".into()));
    }
    if holds("Complete").is_some() {
        return current("it has completed");
    }
    if holds("Suspended").is_some() {
        return current("it is suspended");
    }
    if text(object, "/status/startTime").is_none() {
        return in_progress("it has not started yet");
    }
    let [active, succeeded, ended_badly] =
        ["/status/active", "/status/succeeded", "/status/failed"].map(|pointer| count(object, pointer));
    current(format!("it runs ({active} active, {succeeded} succeeded, {ended_badly} failed)"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{check, says};
    use crate::object::HealthStatus::{Current, Failed, InProgress, Unknown};

    fn waits(name: &str, reason: &str, message: &str) -> Value {
        json!([{"name": name, "state": {"waiting": {"reason": reason, "message": message}}}])
    }

    #[test]
    fn a_pod_is_current_when_it_is_ready_or_has_succeeded() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "creationTimestamp": "2026-01-01T11:50:00Z"},
            "status": {"phase": "Running", "conditions": [says("Ready", "True", "", "")]},
        });
        let status = |status| json!({"status": status});
        let running = |containers| json!({"status": {"conditions": null, "containerStatuses": containers}});
        let no_node = says("PodScheduled", "False", "Unschedulable", "0/3 nodes are available");
        let unscheduled = json!({"phase": "Pending", "conditions": [no_node]});
        check(
            &pod,
            &[
                ("running and ready is current", json!({}), Current, ""),
                ("success is current", status(json!({"phase": "Succeeded"})), Current, "completed"),
                ("failure is one", status(json!({"phase": "Failed"})), Failed, "without success"),
                (
                    "the kubelet's words are reported",
                    status(json!({"phase": "Failed", "message": "low on memory"})),
                    Failed,
                    "low on memory",
                ),
                ("its reason else", status(json!({"phase": "Failed", "reason": "Evicted"})), Failed, "Evicted"),
                (
                    "the container that failed else",
                    status(json!({"phase": "Failed", "containerStatuses": [
                        {"name": "ok", "state": {"terminated": {"exitCode": 0}}},
                        {"name": "job", "state": {"terminated": {"exitCode": 3}}},
                    ]})),
                    Failed,
                    "container job ended with exit code 3",
                ),
                ("running without being ready", running(json!([])), InProgress, "runs but is not ready"),
                (
                    "a crash loop names the container",
                    running(waits("app", "CrashLoopBackOff", "back-off 5m0s")),
                    InProgress,
                    "container app waits with CrashLoopBackOff: back-off 5m0s",
                ),
                (
                    "a reason without a message",
                    running(waits("app", "ErrImagePull", "")),
                    InProgress,
                    "app waits with ErrImagePull",
                ),
                (
                    "a container that starts is no change",
                    running(waits("app", "ContainerCreating", "")),
                    InProgress,
                    "not ready",
                ),
                (
                    "an image that cannot be pulled names the container",
                    status(json!({"phase": "Pending", "conditions": null,
                        "initContainerStatuses": waits("init", "ImagePullBackOff", "no such image")})),
                    InProgress,
                    "container init waits with ImagePullBackOff: no such image",
                ),
                ("pending", status(json!({"phase": "Pending", "conditions": null})), InProgress, "not started"),
                ("without a node it waits for one", status(unscheduled.clone()), InProgress, "0/3 nodes are available"),
                (
                    "not for ever",
                    json!({"metadata": {"creationTimestamp": "2026-01-01T11:45:00Z"}, "status": unscheduled.clone()}),
                    Failed,
                    "0/3 nodes are available",
                ),
                (
                    "a pod of unknown age waits",
                    json!({"metadata": {"creationTimestamp": "yesterday"}, "status": unscheduled}),
                    InProgress,
                    "0/3 nodes",
                ),
                ("no phase yet", status(json!({"phase": null})), InProgress, "no kubelet"),
                ("a lost node", status(json!({"phase": "Unknown"})), Unknown, "Unknown"),
            ],
        );
    }

    #[test]
    fn a_job_is_current_once_it_runs_and_fails_when_it_fails() {
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
            "status": {"startTime": "2026-01-01T11:00:00Z", "active": 1},
        });
        let holds = |kind, status, message| json!({"status": {"conditions": [says(kind, status, "R", message)]}});
        check(
            &job,
            &[
                ("a running job is current", json!({}), Current, "1 active, 0 succeeded, 0 failed"),
                ("one that has not started is not", json!({"status": null}), InProgress, "not started"),
                ("a complete one is", holds("Complete", "True", ""), Current, "completed"),
                ("a suspended one is", holds("Suspended", "True", ""), Current, "suspended"),
                (
                    "a failed one says why",
                    holds("Failed", "True", "backoff limit reached"),
                    Failed,
                    "backoff limit reached",
                ),
                ("conditions that do not hold say nothing", holds("Failed", "False", "x"), Current, "it runs"),
            ],
        );
    }
}
