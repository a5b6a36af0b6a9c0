//! `driftless.dev/ignore-fields`: fields that are set once and then left to others.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::cluster;
use crate::support::site::{Site, deployment};
use crate::support::wait::{check, eventually};
use crate::support::watched::watched;

/// A Deployment whose `spec.replicas` are left to others.
fn ignoring(replicas: u32, image: &str) -> String {
    let annotation = "metadata:\n  annotations: {driftless.dev/ignore-fields: spec.replicas}\n";
    plain(replicas, image).replacen("metadata:\n", annotation, 1)
}

fn plain(replicas: u32, image: &str) -> String {
    deployment("web", image).replace("replicas: 1", &format!("replicas: {replicas}"))
}

fn image(live: &Value) -> &Value {
    &live["spec"]["template"]["spec"]["containers"][0]["image"]
}

#[track_caller]
fn web(site: &Site) -> Value {
    site.get("deployments.apps", "web").expect("it exists")
}

#[track_caller]
fn replicas(site: &Site) -> Value {
    web(site)["spec"]["replicas"].clone()
}

/// Who owns `spec.replicas`.
#[track_caller]
fn managers(site: &Site) -> Vec<Value> {
    let live = web(site);
    let entries = live["metadata"]["managedFields"].as_array().expect("entries").iter();
    let owns = |entry: &&Value| entry.pointer("/fieldsV1/f:spec/f:replicas").is_some();
    entries.filter(owns).map(|entry| entry["manager"].clone()).collect()
}

fn scale(site: &Site, replicas: u32) {
    cluster().kubectl(&["-n", &site.namespace, "scale", "deployment/web", &format!("--replicas={replicas}")]);
}

#[track_caller]
fn commit(site: &Site, agent: &Agent, file: &str) {
    let head = site.repo.commit(&[("web.yaml", file)]);
    agent.passes("shop", 1);
    agent.eventually_synced("shop", &head);
}

#[test]
fn what_others_own_is_set_once_and_left_to_them() {
    let (site, agent) = watched(&[("web.yaml", &ignoring(2, "nginx:1"))]);
    assert_eq!(replicas(&site), 2);
    scale(&site, 5);
    commit(&site, &agent, &ignoring(2, "nginx:2"));
    assert_eq!((replicas(&site), image(&web(&site)).clone()), (json!(5), json!("nginx:2")));
    assert!(site.cli(&["plan"]).expect_code(0).stdout.contains("nothing is to change"));
    commit(&site, &agent, &ignoring(3, "nginx:2"));
    assert_eq!(replicas(&site), 5);
    commit(&site, &agent, &ignoring(3, "nginx:2").replace("  replicas: 3\n", ""));
    assert_eq!(replicas(&site), 5);
    // What a person sets by kubectl is taken over by the next apply, and handed over at once.
    let edit = r#"{"spec": {"replicas": 6}}"#;
    cluster().kubectl(&["-n", &site.namespace, "patch", "deployment/web", "-p", edit]);
    commit(&site, &agent, &ignoring(3, "nginx:2"));
    assert_eq!(replicas(&site), 6);
    let drift = agent.metric("driftless_drift_detected_total", &["kind=\"Deployment\""]);
    assert!(drift.unwrap_or_default() < 0.5, "{drift:?}");

    let edit = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "by-hand"}]);
    let edit = edit.to_string();
    cluster().kubectl(&["-n", &site.namespace, "patch", "deployment/web", "--type=json", "-p", &edit]);
    agent.eventually_logs(&["drift in Deployment", "image from nginx:2 to by-hand"]);
    eventually("the image is back", || {
        let live = web(&site);
        check(image(&live) == "nginx:2", live["spec"].clone())
    });
    assert_eq!(replicas(&site), 6);

    commit(&site, &agent, &ignoring(4, "nginx:2"));
    site.delete("deployments.apps", "web");
    eventually("it is made again as git has it", || {
        let live = site.get("deployments.apps", "web").unwrap_or_default();
        check(live["spec"]["replicas"] == 4, live["spec"].clone())
    });
}

#[test]
fn a_field_keeps_its_value_when_it_is_ignored_later_and_is_taken_back_when_it_no_longer_is() {
    let (site, agent) = watched(&[("web.yaml", &plain(3, "nginx:1"))]);
    assert_eq!(replicas(&site), 3);
    let file = ignoring(2, "nginx:1");
    site.repo.commit(&[("web.yaml", &file)]);
    let plan = site.cli(&["plan"]).expect_code(2).stdout;
    assert!(!plan.contains("replicas:"), "{plan}");
    commit(&site, &agent, &file.replace("nginx:1", "nginx:2"));
    assert_eq!(replicas(&site), 3);
    assert_eq!(managers(&site), ["driftless-initial"]);

    commit(&site, &agent, &plain(2, "nginx:2"));
    assert_eq!(replicas(&site), 2);
    assert_eq!(managers(&site), ["driftless"]);
    assert!(!web(&site)["metadata"]["managedFields"].to_string().contains("driftless-initial"));
}

/// As a crash between the creation and the handover leaves it.
#[test]
fn an_object_that_was_created_and_not_handed_over_keeps_its_values() {
    let site = Site::of_shop(&[("web.yaml", &ignoring(2, "nginx:1"))]);
    let created = ignoring(2, "nginx:1");
    let arguments = ["-n", &site.namespace, "apply", "--server-side", "--field-manager=driftless", "-f", "-"];
    cluster().kubectl_with(&arguments, Some(&created), &[]).expect_code(0);
    assert_eq!(managers(&site), ["driftless"]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(replicas(&site), 2);
    assert_eq!(managers(&site), ["driftless-initial"]);
}
