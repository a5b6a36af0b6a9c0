//! `driftless explain`, on a site whose daemon heals.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

#[test]
fn an_object_is_explained_with_its_sync_who_changed_it_and_where() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: canary-wanted}\n";
    let site = Site::with(&[("a.yaml", &config_map("a", "1")), ("s.yaml", secret)]);
    let mut sync = site.sync("shop");
    sync["interval"] = json!("24h");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.edit("configmaps", "a", "tuner", &json!({"data": {"value": "by hand", "extra": "theirs"}}));
    site.edit("secrets", "s", "tuner", &json!({"stringData": {"password": "canary-found"}}));
    eventually("both drifts are in the stored status", || {
        let explained = ["ConfigMap/a", "secrets/s"].map(|object| site.cli(&["explain", object]).expect_code(0).stdout);
        check(explained.iter().all(|text| text.contains("healed: ")), explained.concat())
    });
    let namespace = site.namespace.as_str();
    let shown = site.cli(&["explain", "configmaps/a", "-n", namespace]).expect_code(0).stdout;
    for part in [
        &format!("ConfigMap {namespace}/a\n"),
        "sync       shop (Synced)\n",
        &site.repo.head()[..12],
        "manifest   a.yaml:1\n",
        "live       exists; as last applied\n",
        "tuner changed data.value from 1 to by hand",
        "\ntuner  ",
        "\ndriftless  ",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
    }
    let parsed: Value =
        serde_json::from_str(&site.cli(&["explain", "configmap/a", "-o", "json"]).stdout).expect("JSON");
    assert_eq!(parsed["syncs"][0]["drift"][0]["blame"]["fields"][0]["path"], "data.value", "{parsed:#}");
    assert_eq!((&parsed["exists"], &parsed["syncs"][0]["state"]), (&json!(true), &json!("asApplied")), "{parsed:#}");
    for output in ["text", "json", "yaml", "markdown"] {
        let shown = site.cli(&["explain", "secret/s", "-o", output]).expect_code(0).all();
        assert!(shown.contains("data.password"), "{shown}");
        assert!(!shown.contains("canary") && !shown.contains("Y2FuYXJ5"), "{shown}");
    }

    let missing = site.cli(&["explain", "configmap/nothing"]).expect_code(1);
    assert!(missing.stderr.contains("no sync has configmap/nothing"), "{}", missing.stderr);
    assert!(missing.stderr.contains("of: shop"), "{}", missing.stderr);
    let elsewhere = site.cli(&["explain", "configmap/a", "-n", "elsewhere"]).expect_code(1);
    assert!(elsewhere.stderr.contains(namespace), "{}", elsewhere.stderr);
}

#[test]
fn what_was_just_healed_is_explained_at_once_where_the_agent_can_be_asked() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    // A port that was free a moment ago: the command has to know it.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    site.configure_with(&[site.sync("shop")], |config| config["listen"] = json!(free.to_string()));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let explain = || site.cli(&["explain", "configmap/a", "-n", &site.namespace]).expect_code(0).stdout;
    assert!(explain().contains("none, says the running agent"), "{}", explain());
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    agent.eventually_logs(&["/a healed after"]);
    let text = explain();
    assert!(text.contains("kubectl-edit") && text.contains("data.value"), "{text}");
    drop(agent);
    assert!(explain().contains("drift "), "{}", explain());
}
