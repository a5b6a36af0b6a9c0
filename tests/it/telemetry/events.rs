//! Kubernetes Events: what is reported on objects and on the parent of a sync, and what is not.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};
use crate::support::watched::watched;

/// The Events of driftless in a namespace.
#[track_caller]
fn events_in(namespace: &str) -> Vec<Value> {
    let list = cluster().get(&path("events.events.k8s.io", Some(namespace), "")).expect("a list");
    let items = list["items"].as_array().expect("items").iter();
    items.filter(|event| event["reportingController"] == "driftless.dev/agent").cloned().collect()
}

/// Those about one object, by its kind and name.
#[track_caller]
fn events_of(namespace: &str, kind: &str, name: &str) -> Vec<Value> {
    let about = |event: &Value| event["regarding"]["kind"] == kind && event["regarding"]["name"] == name;
    events_in(namespace).into_iter().filter(about).collect()
}

/// Waits for an Event about an object that has this reason.
#[track_caller]
fn eventually_reported(namespace: &str, kind: &str, name: &str, reason: &str) -> Value {
    eventually(&format!("{reason} is reported of {kind} {name}"), || {
        let events = events_of(namespace, kind, name);
        let found = events.iter().find(|event| event["reason"] == reason).cloned();
        found.ok_or_else(|| format!("{events:#?}"))
    })
}

#[track_caller]
fn eventually_reported_of_the_sync(site: &Site, reason: &str) -> Value {
    eventually_reported(&site.home, "ConfigMap", "driftless-shop", reason)
}

#[test]
fn a_hand_edit_is_one_event_on_its_object_and_the_same_again_makes_it_a_series() {
    let (site, agent) = watched(&[("web.yaml", &deployment("web", "nginx"))]);
    let scale = || {
        site.edit("deployments.apps", "web", "tuner", &json!({"spec": {"replicas": 4}}));
        eventually("it is scaled back", || {
            let live = site.get("deployments.apps", "web").expect("a Deployment");
            check(live["spec"]["replicas"] == 1, live["spec"]["replicas"].clone())
        });
    };
    scale();
    let event = eventually_reported(&site.namespace, "Deployment", "web", "DriftHealed");
    let note = event["note"].as_str().expect("a note");
    for part in ["tuner changed spec.replicas from 1 to 4", " at 20", "put back", "sync shop"] {
        assert!(note.contains(part), "{note}");
    }
    let live = site.get("deployments.apps", "web").expect("a Deployment");
    assert_eq!(event["regarding"]["uid"], live["metadata"]["uid"]);
    assert_eq!(event["regarding"]["apiVersion"], "apps/v1");
    assert_eq!(event["related"]["name"], "driftless-shop");
    assert_eq!(event["type"], "Normal");
    assert_eq!(events_of(&site.namespace, "Deployment", "web").len(), 1);

    scale();
    let series = eventually("it is a series", || {
        let event = events_of(&site.namespace, "Deployment", "web").remove(0);
        if event["series"]["count"] == 2 { Ok(event) } else { Err(event) }
    });
    assert_eq!(series["metadata"]["name"], event["metadata"]["name"]);
    assert_eq!(events_of(&site.namespace, "Deployment", "web").len(), 1);

    let listed = cluster().kubectl(&["get", "events.events.k8s.io", "-n", &site.namespace]);
    assert!(listed.contains("DriftHealed") && listed.contains("tuner changed spec.replicas"), "{listed}");
    let described = cluster().kubectl(&["describe", "deployment", "web", "-n", &site.namespace]);
    assert!(described.contains("DriftHealed") && described.contains("from 1 to 4"), "{described}");

    site.edit("deployments.apps", "web", "other", &json!({"spec": {"paused": true, "replicas": 2}}));
    eventually("another drift is another Event", || {
        let events = events_of(&site.namespace, "Deployment", "web");
        let other = |event: &Value| event["note"].as_str().is_some_and(|note| note.starts_with("other changed"));
        check(events.len() == 2 && events.iter().any(other), format!("{events:#?}"))
    });
    drop(agent);
}

#[test]
fn an_event_never_holds_the_value_of_a_secret() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: canary-wanted}\n";
    let (site, _agent) = watched(&[("s.yaml", secret)]);
    site.edit("secrets", "s", "tuner", &json!({"stringData": {"password": "canary-found"}}));
    let event = eventually_reported(&site.namespace, "Secret", "s", "DriftHealed");
    assert!(event["note"].as_str().is_some_and(|note| note.contains("data.password")), "{event}");
    let all = format!("{:?}{:?}", events_in(&site.namespace), events_in(&site.home));
    for canary in ["canary", "Y2FuYXJ5"] {
        assert!(!all.contains(canary), "{all}");
    }
}

#[test]
fn what_is_outside_of_all_namespaces_is_reported_in_the_default_one() {
    let site = Site::with(&[]);
    let name = format!("it:{}:viewer", site.id);
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: '{name}'}}\nrules: \
         [{{apiGroups: [''], resources: [pods], verbs: [get]}}]\n"
    );
    let role_path = site.cluster_scoped("clusterroles.rbac.authorization.k8s.io", &name);
    let head = site.repo.commit(&[("role.yaml", &role)]);
    site.configure(&[site.sync("shop")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &head);
    cluster().merge(&role_path, "tuner", &json!({"rules": []}));
    let event = eventually_reported("default", "ClusterRole", &name, "DriftHealed");
    assert!(event["note"].as_str().is_some_and(|note| note.contains("tuner")), "{event}");
    assert_eq!(event["regarding"]["namespace"], Value::Null);
}

#[test]
#[allow(clippy::cast_precision_loss, reason = "small numbers")]
fn a_burst_of_drift_is_healed_whole_and_reported_within_the_limit() {
    let all: String = (0..200).map(|number| config_map(&format!("c{number}"), "1") + "---\n").collect();
    let (site, agent) = watched(&[("all.yaml", &all)]);
    let began = Instant::now();
    let members =
        format!("{}?labelSelector=applyset.kubernetes.io/part-of", path("configmaps", Some(&site.namespace), ""));
    cluster().ask(&http::Method::DELETE, &members, "", None).expect("they are deleted");
    eventually("all are there again", || {
        let count = site.config_maps().len();
        check(count == 200, count)
    });
    agent.eventually_logs(&["shop", "Kubernetes Events were not written", "more than 25 at once"]);
    let drifts = agent.metric("driftless_drift_detected_total", &["sync=\"shop\""]);
    assert_eq!(drifts, Some(200.0));
    let written = eventually("each is either written or counted as dropped", || {
        let written = events_in(&site.namespace).len();
        let dropped = agent.metric("driftless_events_dropped_total", &["sync=\"shop\""]);
        check(dropped == Some((200 - written) as f64), format!("{written} and {dropped:?}")).map(|()| written)
    });
    let seconds = began.elapsed().as_secs();
    let limit = 25 + usize::try_from(seconds).expect("a small number") + 1;
    assert!((25..=limit).contains(&written), "{written} Events in {seconds} s");
}

/// The user `reader` gets all but Events.
fn let_work(site: &Site) {
    site.make_namespace(&site.home);
    for namespace in [&site.namespace, &site.home] {
        let group = "rbac.authorization.k8s.io";
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "worker"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["*"]}]});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "worker"}, "roleRef": {"apiGroup": group, "kind": "Role", "name": "worker"},
            "subjects": [{"kind": "User", "name": site.reader(), "apiGroup": group}]});
        cluster().create(&path("roles.rbac.authorization.k8s.io", Some(namespace), ""), &role);
        cluster().create(&path("rolebindings.rbac.authorization.k8s.io", Some(namespace), ""), &binding);
    }
}

#[test]
fn without_the_permission_it_is_said_once_and_all_else_goes_on() {
    if cluster().is_foreign() {
        return;
    }
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let_work(&site);
    site.configure(&[site.sync("shop")]);
    let mark = audit::mark();
    let agent = Agent::start_with(&site, |command| {
        command.args(["--context", "reader"]);
    });
    agent.eventually_synced("shop", &site.repo.head());
    agent.eventually_logs(&["cannot write Kubernetes Events", "create and patch on events.events.k8s.io"]);
    for round in 0..2 {
        let change = json!({"data": {"value": format!("by hand {round}")}});
        site.edit("configmaps", "a", "tuner", &change);
        site.eventually_has("a", "1");
    }
    let head = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    agent.eventually_synced("shop", &head);
    site.eventually_has("a", "2");
    let Some(mark) = mark else { return };
    eventually("both namespaces were tried", || {
        let asked = audit::requests_since(mark, &site.reader());
        let tries = asked.iter().filter(|asked| asked.what.starts_with("events ")).count();
        check(tries == 2, tries)
    });
    let lines = agent.log().iter().filter(|line| line.contains("Kubernetes Events")).count();
    assert_eq!(lines, 1, "{:#?}", agent.log());
    assert_eq!((events_in(&site.namespace).len(), events_in(&site.home).len()), (0, 0));
}

#[test]
fn the_parent_of_a_sync_reports_how_it_fares() {
    let few: Vec<String> = (0..8).map(|number| config_map(&format!("c{number}"), "1")).collect();
    let site = Site::of_shop(&[("web.yaml", &deployment("web", "nginx")), ("few.yaml", &few.join("---\n"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let event = eventually_reported_of_the_sync(&site, "Synced");
    let parent = site.parent("shop").expect("a parent");
    assert_eq!(event["regarding"]["uid"], parent["metadata"]["uid"], "{event}");
    assert_eq!(event["type"], "Normal");
    assert!(event["note"].as_str().is_some_and(|note| note.contains(&site.repo.head()[..12])), "{event}");

    // One object that exists and cannot be changed so, and one that cannot be made.
    let selector = deployment("web", "nginx").replace("app: web", "app: other");
    let unknown = config_map("bad", "1").replace("\ndata:", "\ndatum:");
    site.repo.commit(&[("web.yaml", &selector), ("bad.yaml", &unknown)]);
    let failed = eventually_reported_of_the_sync(&site, "SyncFailed");
    assert_eq!(failed["type"], "Warning", "{failed}");
    let on_object = eventually_reported(&site.namespace, "Deployment", "web", "ApplyFailed");
    let live = site.get("deployments.apps", "web").expect("a Deployment");
    assert_eq!(on_object["regarding"]["uid"], live["metadata"]["uid"]);
    let note = on_object["note"].as_str().expect("a note");
    assert!(note.contains("web.yaml:1") && note.contains("selector"), "{note}");
    let on_parent = eventually_reported_of_the_sync(&site, "ApplyFailed");
    assert!(on_parent["note"].as_str().is_some_and(|note| note.contains("/bad: cannot be applied")), "{on_parent}");
    assert_eq!(on_parent["related"]["name"], "bad");

    // All is as it was before: nothing is to be changed for the recovery.
    let head = site.repo.commit(&[("web.yaml", &deployment("web", "nginx")), ("bad.yaml", "")]);
    agent.eventually_synced("shop", &head);
    eventually("the recovery is reported", || {
        let events = events_of(&site.home, "ConfigMap", "driftless-shop");
        let recovered = |event: &Value| {
            event["reason"] == "Synced" && event["note"].as_str().is_some_and(|note| note.contains(&head[..12]))
        };
        check(events.iter().any(recovered), format!("{events:#?}"))
    });

    site.cli(&["suspend", "shop"]).expect_code(0);
    eventually_reported_of_the_sync(&site, "Suspended");
    site.cli(&["resume", "shop"]).expect_code(0);
    eventually_reported_of_the_sync(&site, "Resumed");

    site.repo.commit(&[("few.yaml", "")]);
    let waits = eventually_reported_of_the_sync(&site, "PruneHeld");
    assert!(waits["note"].as_str().is_some_and(|note| note.contains("driftless approve shop")), "{waits}");
}

#[test]
fn a_sync_that_stays_unhealthy_says_so_and_says_when_it_is_well() {
    let well = deployment("web", "nginx");
    let unhealthy = well.replace("      containers:\n", "      nodeSelector: {no-such: node}\n      containers:\n");
    let site = Site::with(&[("web.yaml", &unhealthy)]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!("1s");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_is("shop", "Unhealthy");
    let event = eventually_reported_of_the_sync(&site, "Unhealthy");
    assert_eq!(event["type"], "Warning");
    assert!(event["note"].as_str().is_some_and(|note| note.contains("/web")), "{event}");
    let head = site.repo.commit(&[("web.yaml", &well)]);
    agent.eventually_synced("shop", &head);
    eventually_reported_of_the_sync(&site, "Synced");
}

#[test]
fn a_contest_is_reported_on_the_object() {
    let (site, _agent) = watched(&[("a.yaml", &config_map("a", "1"))]);
    for _ in 0..3 {
        site.edit("configmaps", "a", "rival", &json!({"data": {"value": "theirs"}}));
        site.eventually_has("a", "1");
    }
    let event = eventually_reported(&site.namespace, "ConfigMap", "a", "Contested");
    assert_eq!(event["type"], "Warning");
    let note = event["note"].as_str().expect("a note");
    assert!(note.contains("rival and driftless both write data.value"), "{note}");
}

#[test]
fn a_quiet_cycle_and_a_restart_write_no_event() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.edit("configmaps", "a", "tuner", &json!({"data": {"value": "by hand"}}));
    eventually_reported(&site.namespace, "ConfigMap", "a", "DriftHealed");
    eventually_reported_of_the_sync(&site, "Synced");
    agent.cycles("shop", 1);
    let Some(mark) = audit::mark() else { return };
    agent.cycles("shop", 2);
    agent.stop();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    agent.cycles("shop", 2);
    agent.stop();
    let events: Vec<_> = site.requests(mark).into_iter().filter(|asked| asked.what.starts_with("events ")).collect();
    assert_eq!(events, []);
}

#[test]
fn a_single_run_writes_its_events_before_it_ends_and_a_plan_writes_none() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    site.once().expect_code(0);
    let reasons = |events: &[Value]| events.iter().map(|event| event["reason"].to_string()).collect::<Vec<_>>();
    assert_eq!(reasons(&events_in(&site.home)), ["\"Synced\""]);
    site.edit("configmaps", "a", "tuner", &json!({"data": {"value": "by hand"}}));
    let mark = audit::mark();
    site.cli(&["plan"]).expect_code(2);
    if let Some(mark) = mark {
        assert_eq!(site.writes(mark), []);
    }
    site.once().expect_code(0);
    assert_eq!(reasons(&events_of(&site.namespace, "ConfigMap", "a")), ["\"DriftHealed\""]);
}
