//! Keys without a value mean what they mean to `kubectl apply --server-side`.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, crd};

/// Kinds and names of [`manifests`], with the part of each that says something.
const OBJECTS: [(&str, &str, &str); 6] = [
    ("networkpolicies.networking.k8s.io", "closed", "/spec"),
    ("deployments.apps", "web", "/spec/template/spec/nodeSelector"),
    ("deployments.apps", "web", "/spec/strategy"),
    ("services", "web", "/spec/selector"),
    ("configmaps", "keys", "/data"),
    ("secrets", "keys", "/data"),
];

fn manifests(group: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: closed}}
spec:
  podSelector: {{matchLabels: {{a: }}}}
  ingress:
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, creationTimestamp: null, annotations: }}
spec:
  replicas:
  strategy: {{type: Recreate, rollingUpdate: null}}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{creationTimestamp: null, labels: {{app: web}}}}
    spec:
      nodeSelector: {{disk: }}
      volumes: [{{name: scratch, emptyDir: }}]
      containers:
        - {{name: main, image: nginx, resources: , env: [{{name: EMPTY, value: }}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web, tier: }}, ports: [{{port: 80, protocol: }}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: keys, labels: {{bare: }}}}
data: {{empty: , full: \"1\"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData: {{empty: , full: \"1\"}}
---
apiVersion: {group}/v1
kind: Thing
metadata: {{name: release}}
spec: {{values: {{probe: null, list: [null], deep: {{a: }}}}}}
"
    )
}

/// A site whose sync is made of [`manifests`], and the API group of its custom resource.
fn site() -> (Site, String) {
    let site = Site::with(&[]);
    // No node has the empty label that the pods select.
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    let group = format!("{}.example.com", site.id);
    site.cluster_scoped("customresourcedefinitions.apiextensions.k8s.io", &format!("things.{group}"));
    site.repo.write("crd.yaml", crd(&group));
    site.repo.write("all.yaml", manifests(&group));
    site.repo.commit_all("keys without a value");
    (site, group)
}

#[track_caller]
fn apply_server_side(namespace: &str, manifests: &str) {
    let arguments = ["apply", "--server-side", "-n", namespace, "-f", "-"];
    cluster().kubectl_with(&arguments, Some(manifests), &[]).expect_code(0);
}

#[track_caller]
fn part(namespace: &str, (plural, name, part): (&str, &str, &str)) -> Value {
    let live = cluster().get(&path(plural, Some(namespace), name)).unwrap_or_else(|| panic!("{plural} {name}"));
    let mut found = live.pointer(part).cloned().unwrap_or_default();
    // Each Service has addresses of its own.
    if let Some(fields) = found.as_object_mut() {
        fields.retain(|field, _| !field.starts_with("clusterIP"));
    }
    found
}

#[test]
fn a_key_without_a_value_becomes_what_a_server_side_apply_makes_of_it_and_stays_so() {
    let (site, group) = site();
    site.once().expect_code(0);
    let other = format!("{}-server", site.namespace);
    site.make_namespace(&other);
    apply_server_side(&other, &manifests(&group));
    let things = format!("things.{group}");
    for object in OBJECTS.into_iter().chain([(&*things, "release", "/spec")]) {
        assert_eq!(part(&site.namespace, object), part(&other, object), "{object:?}");
    }
    assert_eq!(part(&site.namespace, OBJECTS[0])["podSelector"], json!({"matchLabels": {"a": ""}}));
    let thing = site.get(&things, "release").expect("it exists");
    assert_eq!(thing["spec"]["values"], json!({"probe": null, "list": [null], "deep": {"a": null}}));

    let plan = site.cli(&["plan"]).expect_code(0);
    assert!(plan.stdout.contains("nothing is to change"), "{}", plan.stdout);
    let Some(mark) = audit::mark() else { return };
    site.once().expect_code(0);
    let written = site.writes(mark).into_iter().filter(|asked| asked.what.contains(&site.namespace));
    assert_eq!(written.map(|asked| asked.what).collect::<Vec<_>>(), [] as [String; 0]);
}

#[test]
fn an_edit_of_a_key_without_a_value_is_healed_and_an_autoscaler_keeps_its_replicas() {
    let (site, group) = site();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let scale = path("deployments.apps", Some(&site.namespace), "web") + "/scale";
    cluster().merge(&scale, "autoscaler", &json!({"spec": {"replicas": 3}}));
    let edit = |plural: &str, name: &str, change: Value| site.edit(plural, name, "somebody", &change);
    edit("configmaps", "keys", json!({"data": {"empty": "by hand"}}));
    agent.eventually_logs(&["keys", "somebody", "data.empty"]);
    edit("networkpolicies.networking.k8s.io", "closed", json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}));
    agent.eventually_logs(&["closed", "somebody"]);
    let things = format!("things.{group}");
    edit(&things, "release", json!({"spec": {"values": {"probe": "by hand"}}}));
    agent.eventually_logs(&["release", "somebody", "spec.values.probe"]);
    agent.passes("shop", 1);
    assert_eq!(part(&site.namespace, OBJECTS[4]), json!({"empty": "", "full": "1"}));
    assert_eq!(part(&site.namespace, OBJECTS[0])["podSelector"], json!({"matchLabels": {"a": ""}}));
    assert_eq!(site.get(&things, "release").expect("it exists")["spec"]["values"]["probe"], Value::Null);
    let web = site.get("deployments.apps", "web").expect("it exists");
    assert_eq!(web["spec"]["replicas"], 3);
}

#[test]
fn a_live_key_without_a_value_in_git_survives_the_adoption() {
    let (site, group) = site();
    apply_server_side(&site.namespace, &crd(&group));
    cluster().kubectl(&["wait", "--for=condition=Established", &format!("crd/things.{group}"), "--timeout=60s"]);
    apply_server_side(&site.namespace, &manifests(&group));
    let before = OBJECTS.map(|object| part(&site.namespace, object));
    let uid = |plural: &str| site.get(plural, "web").expect("it exists")["metadata"]["uid"].clone();
    let (deployment, pods) = (uid("deployments.apps"), "/spec/template");
    let template = part(&site.namespace, ("deployments.apps", "web", pods));
    site.once().expect_code(0);
    assert_eq!(OBJECTS.map(|object| part(&site.namespace, object)), before);
    assert_eq!(uid("deployments.apps"), deployment);
    assert_eq!(part(&site.namespace, ("deployments.apps", "web", pods)), template, "no rollout");
}
