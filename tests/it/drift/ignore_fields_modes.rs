//! `driftless.dev/ignore-fields` together with `atomic`, with `driftless.dev/replace`, and for an
//! item of a list.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::cluster;
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};
use crate::support::watched::{commit, watched, watched_with};

fn annotated(annotations: &str, file: &str) -> String {
    file.replacen("metadata:\n", &format!("metadata:\n  annotations: {{{annotations}}}\n"), 1)
}

/// A Deployment whose `spec.replicas` are left to others.
fn ignoring(replicas: u32, image: &str) -> String {
    let file = deployment("web", image).replace("replicas: 1", &format!("replicas: {replicas}"));
    annotated("driftless.dev/ignore-fields: spec.replicas", &file)
}

#[track_caller]
fn web(site: &Site) -> Value {
    site.get("deployments.apps", "web").expect("it exists")
}

#[track_caller]
fn replicas_and_image(site: &Site) -> (Value, Value) {
    let live = web(site);
    (live["spec"]["replicas"].clone(), live["spec"]["template"]["spec"]["containers"][0]["image"].clone())
}

fn scale(site: &Site, replicas: u32) {
    cluster().kubectl(&["-n", &site.namespace, "scale", "deployment/web", &format!("--replicas={replicas}")]);
}

fn no_drift(agent: &Agent) {
    let drift = agent.metric("driftless_drift_detected_total", &["kind=\"Deployment\""]);
    assert!(drift.unwrap_or_default() < 0.5, "{drift:?}");
}

#[test]
fn an_atomic_sync_leaves_an_ignored_field_to_its_owner_and_asks_about_it_without_changing_it() {
    let (site, agent) = watched_with(&[("web.yaml", &ignoring(2, "nginx:1"))], |sync| sync["atomic"] = json!(true));
    assert_eq!(replicas_and_image(&site), (json!(2), json!("nginx:1")));
    scale(&site, 5);
    commit(&site, &agent, &[("web.yaml", &ignoring(3, "nginx:2"))]);
    assert_eq!(replicas_and_image(&site), (json!(5), json!("nginx:2")));

    let mark = audit::mark();
    let bad = config_map("bad", "1").replace("\ndata:", "\ndatum:");
    site.repo.commit(&[("web.yaml", &ignoring(3, "nginx:3")), ("bad.yaml", &bad)]);
    agent.poll_now("shop");
    agent.eventually_is("shop", "Failing");
    assert_eq!(replicas_and_image(&site), (json!(5), json!("nginx:2")));
    let writes = mark.map(|mark| site.writes(mark)).unwrap_or_default();
    assert!(writes.iter().all(|write| !write.what.contains(&site.namespace)), "{writes:#?}");
    commit(&site, &agent, &[("bad.yaml", &config_map("bad", "1"))]);
    assert_eq!(replicas_and_image(&site), (json!(5), json!("nginx:3")));
    no_drift(&agent);
}

/// Also where the field was applied before it is to be ignored: leaving it out would reset it.
#[test]
fn an_atomic_sync_begins_to_ignore_a_field_without_a_change_of_its_value() {
    let plain = deployment("web", "nginx:1").replace("replicas: 1", "replicas: 4");
    let (site, agent) = watched_with(&[("web.yaml", &plain)], |sync| sync["atomic"] = json!(true));
    commit(&site, &agent, &[("web.yaml", &ignoring(2, "nginx:1"))]);
    assert_eq!(replicas_and_image(&site).0, 4);
    scale(&site, 5);
    commit(&site, &agent, &[("web.yaml", &ignoring(2, "nginx:2"))]);
    assert_eq!(replicas_and_image(&site), (json!(5), json!("nginx:2")));
    no_drift(&agent);
}

#[test]
fn an_object_that_is_replaced_begins_as_git_has_it_and_is_left_to_others_again() {
    let annotations = "driftless.dev/ignore-fields: spec.replicas, driftless.dev/replace: 'true'";
    let file = |label: &str, image: &str| {
        let file = deployment("web", image).replace("replicas: 1", "replicas: 2");
        annotated(annotations, &file.replace("{app: web}", &format!("{{app: {label}}}")))
    };
    let (site, agent) = watched(&[("web.yaml", &file("web", "nginx:1"))]);
    scale(&site, 5);
    let before = web(&site)["metadata"]["uid"].clone();
    commit(&site, &agent, &[("web.yaml", &file("other", "nginx:1"))]);
    assert_ne!(web(&site)["metadata"]["uid"], before);
    assert_eq!(replicas_and_image(&site).0, 2);
    scale(&site, 6);
    commit(&site, &agent, &[("web.yaml", &file("other", "nginx:2"))]);
    assert_eq!(replicas_and_image(&site), (json!(6), json!("nginx:2")));
    no_drift(&agent);
}

#[test]
fn a_field_of_a_list_item_is_left_to_its_owner_and_the_rest_of_the_item_is_healed() {
    let file = |image: &str, memory: &str| {
        let file = deployment("web", image) + &format!("          resources: {{requests: {{memory: {memory}}}}}\n");
        annotated("driftless.dev/ignore-fields: 'spec.template.spec.containers[name=main].resources'", &file)
    };
    let (site, agent) = watched(&[("web.yaml", &file("nginx:1", "64Mi"))]);
    let memory =
        |site: &Site| web(site)["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"].clone();
    assert_eq!(memory(&site), "64Mi");
    let sized = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "main", "image": "nginx:1", "resources": {"requests": {"memory": "128Mi"}}}]}}}});
    site.edit("deployments.apps", "web", "vpa", &sized);
    commit(&site, &agent, &[("web.yaml", &file("nginx:2", "32Mi"))]);
    assert_eq!((memory(&site), replicas_and_image(&site).1), (json!("128Mi"), json!("nginx:2")));
    no_drift(&agent);

    let edit = json!([{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "by-hand"}]);
    cluster().kubectl(&["-n", &site.namespace, "patch", "deployment/web", "--type=json", "-p", &edit.to_string()]);
    agent.eventually_logs(&["drift in Deployment", "containers[name=main].image from nginx:2 to by-hand"]);
    eventually("the image is back", || {
        let (_, image) = replicas_and_image(&site);
        check(image == "nginx:2", image)
    });
    assert_eq!(memory(&site), "128Mi");

    // The whole item goes and comes back: then it is set once more.
    let renamed = file("nginx:2", "32Mi").replace("name: main", "name: second").replace("name=main", "name=second");
    commit(&site, &agent, &[("web.yaml", &renamed)]);
    assert_eq!(memory(&site), "32Mi");
}
