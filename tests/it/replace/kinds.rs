//! What the API server lets nobody change, of the kinds that ship with it: each is reported as that, and
//! replaced on request.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::cluster::{cluster, path};
use crate::support::site::Site;

/// Where objects of a kind are, one in YAML without its name, what is changed of it, and to what.
const KINDS: [(&str, bool, &str, &str, &str); 14] = [
    (
        "jobs.batch",
        true,
        "{apiVersion: batch/v1, kind: Job, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}",
        "/spec/template/spec/containers/0/image",
        "other",
    ),
    (
        "statefulsets.apps",
        true,
        "{apiVersion: apps/v1, kind: StatefulSet, spec: {replicas: 0, serviceName: s, selector: {matchLabels: {app: a}}, \
         template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: i}]}}}}",
        "/spec/serviceName",
        "other",
    ),
    (
        "services",
        true,
        "{apiVersion: v1, kind: Service, spec: {clusterIP: '', ports: [{port: 80}]}}",
        "/spec/clusterIP",
        "None",
    ),
    ("secrets", true, "{apiVersion: v1, kind: Secret, type: Opaque, data: {a: YQ==}}", "/type", "example.com/other"),
    ("configmaps", true, "{apiVersion: v1, kind: ConfigMap, immutable: true, data: {a: one}}", "/data/a", "two"),
    (
        "pods",
        true,
        "{apiVersion: v1, kind: Pod, spec: {containers: [{name: c, image: i, command: [one]}]}}",
        "/spec/containers/0/command/0",
        "two",
    ),
    (
        "resourcequotas",
        true,
        "{apiVersion: v1, kind: ResourceQuota, spec: {hard: {pods: '100'}, scopes: [BestEffort]}}",
        "/spec/scopes/0",
        "NotBestEffort",
    ),
    (
        "rolebindings.rbac.authorization.k8s.io",
        true,
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, \
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: one}}",
        "/roleRef/name",
        "two",
    ),
    (
        "clusterrolebindings.rbac.authorization.k8s.io",
        false,
        "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, \
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: one}}",
        "/roleRef/name",
        "two",
    ),
    (
        "storageclasses.storage.k8s.io",
        false,
        "{apiVersion: storage.k8s.io/v1, kind: StorageClass, provisioner: example.com/one, parameters: {a: one}}",
        "/parameters/a",
        "two",
    ),
    (
        "csidrivers.storage.k8s.io",
        false,
        "{apiVersion: storage.k8s.io/v1, kind: CSIDriver, spec: {attachRequired: true}}",
        "/spec/attachRequired",
        "false",
    ),
    (
        "priorityclasses.scheduling.k8s.io",
        false,
        "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, value: 10}",
        "/value",
        "20",
    ),
    (
        "runtimeclasses.node.k8s.io",
        false,
        "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, handler: one}",
        "/handler",
        "two",
    ),
    (
        "ingressclasses.networking.k8s.io",
        false,
        "{apiVersion: networking.k8s.io/v1, kind: IngressClass, spec: {controller: example.com/one}}",
        "/spec/controller",
        "example.com/two",
    ),
];

/// The manifests of all kinds: as they are at first, or with the change and the request to be replaced.
fn manifests(site: &Site, changed: bool) -> String {
    let mut all = String::new();
    for (plural, _, manifest, pointer, value) in KINDS {
        let mut object: Value = serde_saphyr::from_str(manifest).expect("a manifest");
        object["metadata"]["name"] = name(site, plural).into();
        if changed {
            *object.pointer_mut(pointer).expect("a field of it") =
                serde_json::from_str(value).unwrap_or_else(|_| value.into());
            object["metadata"]["annotations"] = json!({"driftless.dev/replace": "true"});
        }
        write!(all, "---\n{object}\n").expect("text");
    }
    all
}

fn name(site: &Site, plural: &str) -> String {
    let (plural, _) = plural.split_once('.').unwrap_or((plural, ""));
    format!("{plural}-{}", site.id)
}

fn places(site: &Site) -> Vec<String> {
    let place = |(plural, namespaced, ..): &(&'static str, bool, _, _, _)| {
        path(plural, namespaced.then_some(&*site.namespace), &name(site, plural))
    };
    KINDS.iter().map(place).collect()
}

fn uids(places: &[String]) -> Vec<Value> {
    let uid = |place: &String| cluster().get(place).unwrap_or_default()["metadata"]["uid"].clone();
    places.iter().map(uid).collect()
}

/// Scenarios 29 and 46
#[test]
fn every_kind_of_immutable_field_is_replaced_on_request_and_the_guard_counts_it() {
    let site = Site::with(&[]);
    for (plural, namespaced, ..) in KINDS {
        if !namespaced {
            site.cluster_scoped(plural, &name(&site, plural));
        }
    }
    let places = places(&site);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    site.repo.commit(&[("all.yaml", &manifests(&site, false))]);
    site.once().expect_code(0);
    let before = uids(&places);

    site.repo.commit(&[("all.yaml", &manifests(&site, true))]);
    let plan = site.cli(&["plan"]).expect_code(4);
    let number = KINDS.len();
    let named = plan.stdout.matches("cannot be changed in place; replacing it deletes it").count();
    assert_eq!(named, number, "{}", plan.stdout);
    let sum = format!("would delete {number} of {number} objects ({number} of them to create again)");
    assert!(plan.stdout.contains(&sum) && plan.stdout.contains("driftless approve shop"), "{}", plan.stdout);
    assert_eq!(uids(&places), before, "a plan changes nothing");

    let held = site.once().expect_code(4).all();
    assert!(held.contains(&format!("{number} of {number}")) && held.contains("driftless approve shop"), "{held}");
    assert_eq!(uids(&places), before, "held, nothing was replaced");
    let status = site.cli(&["status"]).expect_code(3).stdout;
    assert!(status.contains("Held") && status.contains("driftless approve shop"), "{status}");

    site.cli(&["approve", "shop"]).expect_code(0);
    let plan = site.cli(&["plan"]).expect_code(2);
    assert_eq!(plan.stdout.matches("replace (deletes)").count(), number + 1, "each and the sum: {}", plan.stdout);
    site.once().expect_code(0);
    for ((plural, ..), (before, after)) in KINDS.iter().zip(before.iter().zip(uids(&places))) {
        assert!(after.is_string() && *before != after, "{plural} was replaced: {after}");
    }
    site.cli(&["plan"]).expect_code(0);
    for (place, (_, namespaced, ..)) in places.iter().zip(KINDS) {
        if !namespaced {
            cluster().delete(place);
        }
    }
}
