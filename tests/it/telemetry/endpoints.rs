//! What the agent serves over HTTP.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::site::{Site, config_map};

#[test]
fn the_daemon_serves_health_metrics_and_status() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let agent = Agent::start(&site);
    let commit = site.repo.head();
    agent.eventually_synced("shop", &commit);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(agent.http(path).0, 200, "{path}");
    }
    assert_eq!(agent.http("/nothing").0, 404);
    let shop = "sync=\"shop\"";
    for (name, labels, value) in [
        ("driftless_sync_ready", &[shop][..], 1.0),
        ("driftless_objects", &[shop, "health=\"Current\""], 1.0),
        ("driftless_apply_total", &[shop, "kind=\"ConfigMap\"", "result=\"created\""], 1.0),
        ("driftless_config_valid", &[], 1.0),
        ("driftless_build_info", &[concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"")], 1.0),
        ("driftless_sync_suspended", &[shop], 0.0),
        ("driftless_prune_held_objects", &[shop], 0.0),
    ] {
        assert_eq!(agent.metric(name, labels), Some(value), "{name}");
    }
    assert!(agent.metric("driftless_kube_requests_total", &["verb=\"patch\"", "code=\"200\""]) >= Some(1.0));
    assert!(agent.metric("driftless_git_fetch_total", &[shop, "result=\"fetched\""]) == Some(1.0));
    let status = agent.status();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["ready"], &status["config"]["syncs"]), (&json!(true), &json!(1)));
    let shop = agent.sync("shop");
    assert_eq!((&shop["objects"], &shop["synced"]["id"]), (&json!(1), &json!(commit)));
    let (took, log) = agent.stop();
    assert!(took.as_secs() < 5, "{took:?}: {log:?}");
}
