//! A daemon whose cycles come once a day: what it does after its first sync, the watches made it do.

use serde_json::{Value, json};

use super::agent::Agent;
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
