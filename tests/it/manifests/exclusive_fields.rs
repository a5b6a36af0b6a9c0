//! Fields of which the API server admits but one, where the other is a default that nobody owns: what a client-side
//! `kubectl apply` can change, driftless changes.

use serde_json::{Value, json};

use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::Site;

const DEPLOYMENTS: &str = "deployments.apps";
const SETS: &str = "statefulsets.apps";

fn manifests(strategy: &str, update: &str, volumes: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 0
{strategy}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      volumes: {volumes}
      containers: [{{name: main, image: nginx}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  replicas: 0
  serviceName: db
{update}
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec: {{containers: [{{name: main, image: nginx}}]}}
"
    )
}

fn before() -> String {
    manifests("", "", "[{name: one, emptyDir: {}}, {name: two}, {name: three, emptyDir: }]")
}

fn after() -> String {
    manifests(
        "  strategy: {type: Recreate}",
        "  updateStrategy: {type: OnDelete}",
        "[{name: one, configMap: {name: c}}, {name: two, configMap: {name: c}}, {name: three, secret: {secretName: s}}]",
    )
}

/// Strategy and volumes of the Deployment.
#[track_caller]
fn state(namespace: &str) -> [Value; 2] {
    let web = cluster().get(&path(DEPLOYMENTS, Some(namespace), "web")).expect("it exists");
    [web["spec"]["strategy"].clone(), web["spec"]["template"]["spec"]["volumes"].clone()]
}

#[track_caller]
fn kubectl(namespace: &str, manifests: &str, flags: &[&str]) -> Option<i32> {
    // A client-side apply knows nothing of the defaults of a StatefulSet.
    let manifests = manifests.split("---").next();
    let arguments: Vec<&str> = ["apply", "-n", namespace, "-f", "-"].iter().chain(flags).copied().collect();
    cluster().kubectl_with(&arguments, manifests, &[]).code
}

/// Scenario 48
#[test]
fn defaults_that_exclude_what_git_declares_give_way_as_with_a_client_side_apply() {
    let site = Site::of_shop(&[("all.yaml", &before())]);
    site.once().expect_code(0);
    let [client, server] = ["client", "server"].map(|suffix| format!("{}-{suffix}", site.namespace));
    for (namespace, flags) in [(&client, &[][..]), (&server, &["--server-side", "--force-conflicts"])] {
        site.make_namespace(namespace);
        assert_eq!(kubectl(namespace, &before(), flags), Some(0));
    }
    let commit = site.repo.commit(&[("all.yaml", &after())]);
    let plan = site.cli(&["plan"]).expect_code(2).stdout;
    assert!(plan.contains("2 to configure") && plan.contains("-    rollingUpdate:"), "{plan}");
    let mark = audit::mark();
    site.once().expect_code(0);
    if let Some(mark) = mark {
        let of_set: Vec<String> = site
            .requests(mark)
            .into_iter()
            .filter(|asked| asked.what.ends_with("/db") && asked.verb != "watch")
            .map(|asked| format!("{} {}", asked.verb, asked.code))
            .collect();
        assert_eq!(
            of_set,
            ["patch 422", "create 409", "get 200", "patch 200", "patch 200"],
            "only on a refusal, and proved before"
        );
    }
    assert_eq!(kubectl(&client, &after(), &[]), Some(0));
    assert_ne!(kubectl(&server, &after(), &["--server-side", "--force-conflicts"]), Some(0), "it cannot do that");
    assert_eq!(state(&site.namespace), state(&client));
    assert_eq!(state(&site.namespace)[0], json!({"type": "Recreate"}));
    let strategy = || site.get(SETS, "db").expect("it exists")["spec"]["updateStrategy"].clone();
    assert_eq!(strategy(), json!({"type": "OnDelete"}));
    let plan = site.cli(&["plan"]).expect_code(0).stdout;
    assert!(plan.contains(&commit[..12]), "{plan}");

    // And back.
    site.repo.commit(&[("all.yaml", &before())]);
    site.once().expect_code(0);
    assert_eq!(kubectl(&client, &before(), &[]), Some(0));
    assert_eq!(state(&site.namespace), state(&client));
    assert_eq!(strategy()["type"], "RollingUpdate");
}

#[test]
fn what_is_refused_for_another_reason_changes_nobodys_ownership() {
    let site = Site::of_shop(&[("all.yaml", &before())]);
    site.once().expect_code(0);
    let owners = || {
        let mut live = site.get(DEPLOYMENTS, "web").expect("it exists");
        let entries = live["metadata"]["managedFields"].as_array_mut().expect("entries");
        entries.retain(|entry| entry["manager"] == "driftless");
        for entry in entries.iter_mut() {
            entry.as_object_mut().expect("an entry").remove("time");
        }
        Value::from(entries.clone())
    };
    let known = owners();
    let wrong = after().replace("image: nginx}]\n---", "image: nginx, ports: [{containerPort: 99999}]}]\n---");
    site.repo.commit(&[("all.yaml", &wrong)]);
    let text = site.once().expect_code(1).all();
    assert!(text.contains("containerPort"), "{text}");
    assert_eq!(owners(), known);
    assert_eq!(site.get(DEPLOYMENTS, "web").expect("it exists")["spec"]["strategy"]["type"], "RollingUpdate");
}

/// No client can: kubectl says nothing, or that it is invalid.
#[test]
fn a_headless_service_is_reported_as_one_that_cannot_be_changed_in_place_and_replaced_on_request() {
    let service = |rest: &str, annotations: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: db, annotations: {{{annotations}}}}}\n\
             spec: {{{rest}selector: {{app: db}}, ports: [{{port: 80}}]}}\n"
        )
    };
    let site = Site::of_shop(&[("db.yaml", &service("clusterIP: None, ", ""))]);
    site.once().expect_code(0);
    let uid = || site.get("services", "db").expect("it exists")["metadata"]["uid"].clone();
    let before = uid();
    for rest in ["", "type: LoadBalancer, "] {
        site.repo.commit(&[("db.yaml", &service(rest, ""))]);
        for _ in 0..2 {
            let text = site.once().expect_code(1).all();
            assert!(
                text.contains("spec.clusterIP cannot be changed in place") && text.contains("driftless.dev/replace"),
                "{text}"
            );
        }
        let plan = site.cli(&["plan"]).expect_code(1).all();
        assert!(plan.contains("spec.clusterIP cannot be changed in place"), "{plan}");
    }
    assert_eq!(uid(), before);
    site.repo.commit(&[("db.yaml", &service("", "driftless.dev/replace: 'true'"))]);
    let plan = site.cli(&["plan"]).expect_code(2).all();
    assert!(plan.contains("replace (deletes) Service"), "{plan}");
    site.once().expect_code(0);
    assert_ne!(uid(), before);
    assert_ne!(site.get("services", "db").expect("it exists")["spec"]["clusterIP"], "None");
    site.cli(&["plan"]).expect_code(0);
}
