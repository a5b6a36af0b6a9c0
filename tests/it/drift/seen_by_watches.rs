//! What the watches see: drift is undone at once, with a name to it, and quiet costs nothing. The
//! cycles of these syncs come once a day, so that nothing here is the work of one.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};
use crate::support::watched::watched;

fn edit(site: &Site, name: &str, manager: &str, value: &str) {
    let change = json!({"data": {"value": value}});
    cluster().merge(&path("configmaps", Some(&site.namespace), name), manager, &change);
}

/// Scenarios 17 and 18
#[test]
fn drift_is_undone_at_once_and_who_did_it_is_reported_everywhere() {
    let (site, agent) = watched(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    edit(&site, "a", "tuner", "by hand");
    site.eventually_has("a", "1");
    agent.eventually_logs(&["drift in ConfigMap", "/a", "tuner changed data.value from 1 to by hand"]);
    cluster().delete(&path("configmaps", Some(&site.namespace), "b"));
    site.eventually_has("b", "1");
    agent.eventually_logs(&["drift in ConfigMap", "/b", "deleted"]);
    let labels = ["kind=\"ConfigMap\"", "manager=\"tuner\""];
    eventually("the metric names who", || {
        let count = agent.metric("driftless_drift_detected_total", &labels);
        check(count == Some(1.0), format!("{count:?}"))
    });
    let drift = agent.sync("shop")["drift"].clone();
    assert_eq!(drift[0]["blame"]["manager"], "tuner", "{drift}");
    assert_eq!(drift[0]["blame"]["fields"][0]["path"], "data.value", "{drift}");
    assert_eq!(drift[0]["healed"], true, "{drift}");
}

/// A Secret's values are in no place where drift is reported.
#[test]
fn the_drift_of_a_secret_is_reported_without_its_values() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: canary-wanted}\n";
    let (site, agent) = watched(&[("s.yaml", secret)]);
    let change = json!({"stringData": {"password": "canary-found"}});
    cluster().merge(&path("secrets", Some(&site.namespace), "s"), "tuner", &change);
    agent.eventually_logs(&["drift in Secret", "tuner", "data.password"]);
    agent.eventually_logs(&["Secret", "/s healed after"]);
    let shown = format!("{}{}{}", agent.log().join("\n"), agent.status(), agent.metrics());
    for canary in ["canary", "Y2FuYXJ5"] {
        assert!(!shown.contains(canary), "{shown}");
    }
}

/// Scenario 13
#[test]
fn drift_is_undone_while_another_object_keeps_failing() {
    let site = Site::with(&[
        ("a.yaml", &config_map("a", "1")),
        ("bad.yaml", &config_map("bad", "1").replace("\ndata:", "\ndatum:")),
    ]);
    let mut sync = site.sync("shop");
    sync["interval"] = json!("24h");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_is("shop", "Failing");
    edit(&site, "a", "tuner", "by hand");
    site.eventually_has("a", "1");
    agent.eventually_logs(&["/a healed after"]);
    assert_eq!(agent.sync("shop")["phase"], "Failing");
}

#[test]
fn a_quiet_cluster_is_asked_nothing_and_status_updates_change_nothing_about_that() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1")), ("web.yaml", &deployment("web", "nginx"))]);
    site.configure(&[site.sync("shop")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    agent.cycles("shop", 2);
    let Some(mark) = audit::mark() else { return };
    let web = format!("{}/status", path("deployments.apps", Some(&site.namespace), "web"));
    for number in 0..100 {
        cluster().merge(&web, "status-writer", &json!({"status": {"terminatingReplicas": number}}));
    }
    agent.cycles("shop", 10);
    let asked = audit::requests_since(mark, &site.user());
    let asked: Vec<_> = asked.iter().filter(|asked| asked.verb != "watch").collect();
    assert!(asked.is_empty(), "{asked:#?}");
}

#[test]
fn a_restart_with_nothing_changed_lists_each_kind_once_and_writes_nothing() {
    let (site, agent) = watched(&[("a.yaml", &config_map("a", "1")), ("web.yaml", &deployment("web", "nginx"))]);
    agent.stop();
    let Some(mark) = audit::mark() else { return };
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    eventually("it watches", || {
        let asked = audit::requests_since(mark, &site.user());
        check(asked.iter().filter(|asked| asked.verb == "watch").count() >= 2, format!("{asked:?}"))
    });
    let asked = audit::requests_since(mark, &site.user());
    let writes: Vec<_> = asked.iter().filter(|asked| asked.writes()).collect();
    assert!(writes.is_empty(), "{writes:#?}");
    for kind in ["configmaps /", "deployments /", "deployments.apps /"] {
        let lists = asked.iter().filter(|asked| asked.verb == "list" && asked.what.starts_with(kind)).count();
        assert!(lists <= 1, "{kind}: {asked:#?}");
    }
}

/// Scenario 21
#[test]
fn a_contested_field_is_healed_more_and_more_slowly_and_another_one_at_once() {
    let (site, agent) = watched(&[(
        "a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {value: '1', other: '1'}\n",
    )]);
    let until = Instant::now() + Duration::from_secs(6);
    let mut number = 0;
    while Instant::now() < until {
        number += 1;
        edit(&site, "a", "rival", &format!("rival {number}"));
        std::thread::sleep(Duration::from_millis(50));
    }
    agent.eventually_logs(&["contested", "rival", "data.value"]);
    let heals = agent.metric("driftless_drift_healed_total", &["kind=\"ConfigMap\""]).unwrap_or_default();
    assert!((3.0..=8.0).contains(&heals), "{heals} heals in 6 s against {number} writes");
    assert_eq!(agent.metric("driftless_contested_objects", &["sync=\"shop\""]), Some(1.0));
    assert_eq!(agent.sync("shop")["contested"][0]["manager"], "rival");
    edit(&site, "a", "rival", "once more");
    let began = Instant::now();
    cluster().merge(&path("configmaps", Some(&site.namespace), "a"), "other", &json!({"data": {"other": "by hand"}}));
    eventually("the other field is back", || {
        let live = site.get("configmaps", "a").expect("it exists");
        check(live["data"]["other"] == "1", live["data"].clone())
    });
    assert!(began.elapsed() < Duration::from_secs(3), "it was held back for {:?}", began.elapsed());
}

/// Scenario 21, where the rivals are two
#[test]
fn two_managers_that_alternate_on_one_field_are_a_contest_and_both_are_named() {
    let (site, agent) = watched(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let began = Instant::now();
    for number in 0..60 {
        edit(&site, "a", ["left", "right"][number % 2], &format!("rival {number}"));
        std::thread::sleep(Duration::from_millis(100));
    }
    let heals = agent.metric("driftless_drift_healed_total", &["kind=\"ConfigMap\""]).unwrap_or_default();
    let took = began.elapsed();
    assert!((3.0..=10.0).contains(&heals), "{heals} heals in {took:?} against 60 writes");
    agent.eventually_logs(&["/a is contested", "left", "right", "data.value"]);
    let contested = agent.sync("shop")["contested"].clone();
    let managers = contested[0]["managers"].to_string();
    assert!(managers.contains("left") && managers.contains("right"), "{contested}");
    assert_eq!(agent.metric("driftless_contested_objects", &["sync=\"shop\""]), Some(1.0));
    let explained = site.cli(&["explain", "configmap/b", "-n", &site.namespace]).expect_code(0).stdout;
    assert!(!explained.contains("contested"), "{explained}");
    edit(&site, "b", "person", "by hand");
    site.eventually_has("b", "1");
}

/// Scenario 24
#[test]
fn an_object_that_says_mutation_ignore_is_made_when_it_is_missing_and_never_changed() {
    let once = |value: &str| {
        let annotation = "annotations: {client.lifecycle.config.k8s.io/mutation: ignore}";
        config_map("once", value).replace("metadata:", &format!("metadata:\n  {annotation}"))
    };
    let (site, agent) = watched(&[("once.yaml", &once("1"))]);
    edit(&site, "once", "owner", "theirs");
    let head = site.repo.commit(&[("once.yaml", &once("2"))]);
    agent.passes("shop", 1);
    agent.eventually_synced("shop", &head);
    assert_eq!(site.value_of("once").as_deref(), Some("theirs"));
    cluster().delete(&path("configmaps", Some(&site.namespace), "once"));
    site.eventually_has("once", "2");
}
