//! `kubectl` in the namespace of a test, and the pods that it changes.

use serde_json::Value;

use crate::support::agent::Agent;
use crate::support::cluster::cluster;
use crate::support::site::Site;
use crate::support::wait::{check, eventually};

/// What `kubectl` does in the namespace of a test.
pub(super) fn kubectl(site: &Site, arguments: &[&str]) {
    cluster().kubectl(&[&["--namespace", &site.namespace], arguments].concat());
}

/// The spec of the pods of Deployment `web`.
pub(super) fn pod(site: &Site) -> Value {
    site.get("deployments.apps", "web").expect("it exists")["spec"]["template"]["spec"].clone()
}

#[track_caller]
pub(super) fn eventually_pod(site: &Site, wanted: &Value) {
    eventually("the pod is as in git", || {
        let pod = pod(site);
        check(pod == *wanted, format!("{pod:#}"))
    });
}

pub(super) fn detected(agent: &Agent) -> Option<f64> {
    agent.metric("driftless_drift_detected_total", &["sync=\"shop\""])
}
