//! Edits that exclude a declared field: the server admits only one of several siblings, and so refuses our
//! apply as long as that of somebody else is there.

use serde_json::{Value, json};

use super::fixture::{eventually_pod, kubectl, pod};
use crate::support::audit;
use crate::support::site::Site;
use crate::support::wait::{check, eventually};
use crate::support::watched::{commit, watched, watched_with};

fn web(image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      volumes:
        - name: scratch
          emptyDir: {{}}
      containers:
        - name: main
          image: {image}
          env: [{{name: A, value: '1'}}]
          livenessProbe: {{httpGet: {{path: /, port: 80}}}}
"
    )
}

/// A strategic merge patch of the pod, as this manager.
fn patch(site: &Site, manager: &str, change: &Value) {
    let patch = json!({"spec": {"template": {"spec": change}}}).to_string();
    kubectl(site, &["patch", "deployment", "web", "--field-manager", manager, "--patch", &patch]);
}

fn edits() -> [Value; 4] {
    let main = |fields: Value| {
        let mut main = json!({"name": "main"});
        for (key, value) in fields.as_object().expect("fields") {
            main[key] = value.clone();
        }
        json!({"containers": [main]})
    };
    [
        main(json!({"env": [{"name": "A", "value": null, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]})),
        main(json!({"livenessProbe": {"httpGet": null, "tcpSocket": {"port": 80}}})),
        main(json!({"livenessProbe": {"httpGet": null, "exec": {"command": ["true"]}}})),
        json!({"volumes": [{"name": "scratch", "emptyDir": null, "hostPath": {"path": "/etc"}}]}),
    ]
}

#[test]
fn what_a_persons_client_put_in_the_place_of_a_declared_field_is_removed_with_the_heal() {
    let (site, agent) = watched(&[("web.yaml", &web("nginx"))]);
    let before = pod(&site);
    for (number, edit) in (0_u8..).zip(edits().iter()) {
        patch(&site, "node-fetch", edit);
        eventually("it is healed", || {
            let healed = agent.metric("driftless_drift_healed_total", &["kind=\"Deployment\""]).unwrap_or_default();
            check(healed > f64::from(number), format!("{healed}: {:#?}", agent.log()))
        });
        eventually_pod(&site, &before);
    }
    agent.eventually_logs(&["drift in Deployment", "node-fetch", "value"]);
    let shown = agent.sync("shop")["drift"].to_string();
    assert!(shown.contains("valueFrom") && shown.contains("tcpSocket") && shown.contains("hostPath"), "{shown}");
}

#[test]
fn what_a_controller_put_in_the_place_of_a_declared_field_is_removed_once_the_server_refuses() {
    let (site, agent) = watched(&[("web.yaml", &web("nginx"))]);
    let before = pod(&site);
    for (number, edit) in (0_u8..).zip(edits().iter()) {
        patch(&site, "injector-controller", edit);
        eventually("it is healed", || {
            let healed = agent.metric("driftless_drift_healed_total", &["kind=\"Deployment\""]).unwrap_or_default();
            check(healed > f64::from(number), format!("{healed}: {:#?}", agent.log()))
        });
        eventually_pod(&site, &before);
    }
    let shown = agent.sync("shop")["drift"].to_string();
    assert!(shown.contains("valueFrom") && shown.contains("tcpSocket") && shown.contains("hostPath"), "{shown}");
    agent.eventually_logs(&["injector-controller removed", "env[name=A].value (wanted 1); added", "valueFrom"]);
    agent.eventually_is("shop", "Synced");
}

#[test]
fn new_commits_reach_an_object_although_somebody_put_another_field_in_the_place_of_one() {
    for manager in ["node-fetch", "injector-controller", "tuner"] {
        let (site, agent) = watched_with(&[("web.yaml", &web("nginx"))], |sync| sync["drift"] = json!("report"));
        let before = pod(&site);
        patch(&site, manager, &edits()[0]);
        agent.eventually_logs(&["drift in Deployment", "env[name=A].value (wanted 1)"]);
        commit(&site, &agent, &[("web.yaml", &web("other"))]);
        let mut wanted = before.clone();
        wanted["containers"][0]["image"] = json!("other");
        assert_eq!(pod(&site), wanted, "{manager}");
        agent.eventually_logs(&["drift in Deployment", manager, "valueFrom"]);
    }
}

#[test]
fn who_owns_what_is_as_before_when_the_apply_is_refused_for_another_reason() {
    let (site, agent) = watched(&[("web.yaml", &web("nginx"))]);
    agent.stop();
    patch(&site, "node-fetch", &edits()[0]);
    site.repo.commit(&[(
        "web.yaml",
        &web("nginx").replace("app: web}}}}", "app: web}}}").replace("port: 80", "port: 800000"),
    )]);
    let owners = || {
        let live = site.get("deployments.apps", "web").expect("it exists");
        let entries = live["metadata"]["managedFields"].as_array().expect("entries").clone();
        let entries = entries.into_iter().filter(|entry| entry["subresource"].is_null());
        entries.map(|entry| (entry["manager"].clone(), entry["fieldsV1"].clone())).collect::<Vec<_>>()
    };
    let before = owners();
    let mark = audit::mark();
    site.once().expect_code(1);
    assert_eq!(owners(), before);
    if let Some(mark) = mark {
        let writes: Vec<_> = site.writes(mark).into_iter().filter(|write| write.what.ends_with("/web")).collect();
        assert!(writes.iter().all(|write| write.code >= 400), "nothing was taken: {writes:#?}");
    }
}
