//! Changes that somebody else makes in the cluster.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::audit::{self, Asked};
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};

/// A site whose daemon has synced a `ConfigMap` `a` with the value `1`.
fn synced() -> (Site, Agent) {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    (site, agent)
}

/// Scenario 17
#[test]
fn a_deleted_object_is_made_again() {
    let (site, agent) = synced();
    cluster().kubectl(&["delete", "configmap", "a", "--namespace", &site.namespace]);
    eventually("it is back", || check(site.value_of("a").as_deref() == Some("1"), "it is not there"));
    agent.eventually_logs(&["drift in ConfigMap", "/a", "deleted"]);
    agent.eventually_is("shop", "Synced");
    eventually("it is counted", || {
        let healed = agent.metric("driftless_drift_healed_total", &["kind=\"ConfigMap\""]);
        check(healed == Some(1.0), format!("{healed:?}"))
    });
}

/// Scenario 18
#[test]
fn a_changed_field_is_put_back_and_one_that_git_does_not_name_is_left_alone() {
    let (site, agent) = synced();
    let patch = r#"{"data": {"value": "by hand", "extra": "theirs"}, "metadata": {"labels": {"team": "blue"}}}"#;
    cluster().kubectl(&[
        "patch",
        "configmap",
        "a",
        "--namespace",
        &site.namespace,
        "--patch",
        patch,
        "--field-manager=tuner",
    ]);
    eventually("the value is back", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });
    agent.eventually_logs(&["drift in ConfigMap", "/a"]);
    agent.eventually_logs(&["ConfigMap", "/a healed after"]);
    agent.passes("shop", 1);
    let live = site.get("configmaps", "a").expect("it exists");
    assert_eq!(live["data"]["extra"], "theirs");
    assert_eq!(live["metadata"]["labels"]["team"], "blue");
    assert!(agent.metric("driftless_drift_detected_total", &["kind=\"ConfigMap\""]) >= Some(1.0));
}

/// Scenario 18, for fields that controllers own
#[test]
fn replicas_that_git_leaves_out_stay_as_they_were_scaled() {
    let without = deployment("web", "nginx").replace("  replicas: 1\n", "");
    let site = Site::with(&[("web.yaml", &without)]);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    cluster().kubectl(&["scale", "deployment", "web", "--replicas=3", "--namespace", &site.namespace]);
    agent.passes("shop", 2);
    assert_eq!(site.get("deployments.apps", "web").expect("there")["spec"]["replicas"], 3);
    assert_eq!(agent.metric("driftless_drift_detected_total", &[]), None);
}

/// Scenario 19
#[test]
fn our_label_and_our_annotation_are_put_back() {
    let (site, agent) = synced();
    let ours = |site: &Site| {
        let metadata = site.get("configmaps", "a").expect("it exists")["metadata"].clone();
        let label = metadata["labels"]["applyset.kubernetes.io/part-of"].clone();
        (label, metadata["annotations"]["driftless.dev/digest"].clone())
    };
    let before = ours(&site);
    assert!(before.0.is_string() && before.1.is_string(), "{before:?}");
    for patch in [
        json!({"metadata": {"labels": {"applyset.kubernetes.io/part-of": null}}}),
        json!({"metadata": {"annotations": {"driftless.dev/digest": null}}}),
        json!({"metadata": {"labels": null, "annotations": null}}),
    ] {
        site.edit("configmaps", "a", "kubectl-edit", &patch);
        eventually("label and annotation are back", || {
            let now = ours(&site);
            check(now == before, format!("{now:?}"))
        });
    }
    agent.eventually_is("shop", "Synced");
}

/// Scenario 20
#[test]
fn wiped_managed_fields_are_noticed_and_healed() {
    let (site, agent) = synced();
    let wiped = json!({"metadata": {"managedFields": [{}]}});
    site.edit("configmaps", "a", "kubectl-edit", &wiped);
    eventually("our entry is back", || {
        let fields = site.get("configmaps", "a").expect("it exists")["metadata"]["managedFields"].to_string();
        check(fields.contains("\"driftless\""), fields)
    });
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("drift shows again", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });
    agent.eventually_is("shop", "Synced");
}

/// Scenario 22
#[test]
fn of_two_syncs_that_declare_one_object_one_owns_it_and_the_other_says_so() {
    let site = Site::with(&[("x/same.yaml", &config_map("same", "x")), ("y/same.yaml", &config_map("same", "y"))]);
    let [mut first, mut second] = [site.sync("first"), site.sync("second")];
    first["path"] = json!("x");
    second["path"] = json!("y");
    site.configure(&[first.clone()]);
    let agent = Agent::start(&site);
    agent.eventually_synced("first", &site.repo.head());
    site.configure(&[first, second]);
    let status = agent.eventually_is("second", "Failing");
    assert!(status["problems"].to_string().contains("belongs to sync first"), "{status}");
    let before = site.get("configmaps", "same").expect("it exists");
    agent.passes("first", 2);
    agent.passes("second", 1);
    let after = site.get("configmaps", "same").expect("it exists");
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"], "no ping-pong");
    assert_eq!(site.value_of("same").as_deref(), Some("x"));
    assert_eq!(agent.sync("first")["phase"], "Synced");
}

/// Scenario 22, between two agents
#[test]
fn an_object_of_another_applyset_is_refused() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "ours"))]);
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"value": "theirs"}, "metadata": {
        "name": "a", "labels": {"applyset.kubernetes.io/part-of": "applyset-somebody-else-v1"}}});
    cluster().create(&path("configmaps", Some(&site.namespace), ""), &theirs);
    let text = site.once().expect_code(1).all();
    assert!(text.contains("applyset-somebody-else-v1"), "{text}");
    assert_eq!(site.value_of("a").as_deref(), Some("theirs"));
}

/// Scenario 23
#[test]
fn an_object_from_kubectl_apply_is_adopted_with_all_its_fields() {
    let before = config_map("a", "1") + "  old: from-kubectl\n";
    let site = Site::of_shop(&[("a.yaml", &before)]);
    let applied =
        cluster().kubectl_with(&["apply", "--namespace", &site.namespace, "--filename", "-"], Some(&before), &[]);
    applied.expect_code(0);
    let uid = site.get("configmaps", "a").expect("it exists")["metadata"]["uid"].clone();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(site.get("configmaps", "a").expect("it exists")["metadata"]["uid"], uid);

    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "1"))]);
    agent.eventually_synced("shop", &commit);
    let live = site.get("configmaps", "a").expect("it exists");
    assert_eq!(live["data"], json!({"value": "1"}), "what left git leaves the object, too");
}

#[test]
fn drift_is_only_reported_where_the_sync_says_report() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let mut sync = site.sync("shop");
    sync["drift"] = json!("report");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    let mark = audit::mark();
    agent.eventually_logs(&["drift in ConfigMap", "/a"]);
    assert_eq!(agent.metric("driftless_drifted_objects", &["sync=\"shop\""]), Some(1.0));
    agent.passes("shop", 2);
    assert_eq!(site.value_of("a").as_deref(), Some("by hand"));
    let home = format!("{}/", site.home);
    let writes = mark.map(|mark| site.writes(mark)).unwrap_or_default();
    let event = format!("events {}/a.", site.namespace);
    let is_reported =
        |write: &Asked| write.what.contains(&home) || (write.verb == "create" && write.what.starts_with(&event));
    assert!(writes.iter().all(is_reported), "only in its home, and an Event: {writes:?}");
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "two"))]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.value_of("a").as_deref(), Some("two"), "a change in git is rolled out all the same");
}

#[test]
fn drift_is_neither_reported_nor_undone_where_the_sync_says_off() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let mut sync = site.sync("shop");
    sync["drift"] = json!("off");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    agent.passes("shop", 2);
    assert_eq!(site.value_of("a").as_deref(), Some("by hand"));
    assert_eq!(agent.logged(&["drift in"]), None);
}
