//! A daemon whose cycles come once a day: what it does after its first sync, the watches made it do.

use http::Method;
use serde_json::{Value, json};

use super::agent::Agent;
use super::cluster::{cluster, path};
use super::site::Site;

/// A site whose daemon has synced these files and polls again tomorrow.
#[track_caller]
pub fn watched(files: &[(&str, &str)]) -> (Site, Agent) {
    watched_with(files, |_| {})
}

/// The same with another configuration of the sync.
#[track_caller]
pub fn watched_with(files: &[(&str, &str)], adjust: impl FnOnce(&mut Value)) -> (Site, Agent) {
    let site = Site::with(files);
    let mut sync = daily(&site, "shop");
    adjust(&mut sync);
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    (site, agent)
}

/// A sync that polls once a day.
pub fn daily(site: &Site, name: &str) -> Value {
    let mut sync = site.sync(name);
    sync["interval"] = json!("24h");
    sync
}

/// Commits files and waits until they are synced.
#[track_caller]
pub fn commit(site: &Site, agent: &Agent, files: &[(&str, &str)]) {
    let head = site.repo.commit(files);
    agent.poll_now("shop");
    agent.eventually_synced("shop", &head);
}

/// Says of every pod whether it is ready, as its kubelet would.
pub fn set_ready(site: &Site, ready: &str) {
    let pods = cluster().get(&path("pods", Some(&site.namespace), "")).expect("a list");
    for pod in pods["items"].as_array().expect("items") {
        let name = pod["metadata"]["name"].as_str().expect("a name");
        let status = path("pods", Some(&site.namespace), name) + "/status?fieldManager=kubelet";
        let conditions = json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let answer =
            cluster().ask(&Method::PATCH, &status, "application/strategic-merge-patch+json", Some(&conditions));
        answer.expect("its status is changed");
    }
}
