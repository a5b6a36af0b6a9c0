//! What people add by hand and git does not declare: drift like any other, seen from the watch.

use serde_json::{Value, json};

use super::fixture::{detected, eventually_pod, kubectl, pod};
use crate::support::site::{config_map, deployment};
use crate::support::wait::{check, eventually};
use crate::support::watched::watched;

const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\n\
                    rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]\n";
const BINDING: &str = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: r}\n\
                       roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}\n\
                       subjects: [{kind: ServiceAccount, name: default}]\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{name: http, port: 80}]}\n";

#[test]
fn what_kubectl_adds_to_a_deployment_is_removed_at_once_and_reported_with_its_name() {
    let (site, agent) = watched(&[("web.yaml", &deployment("web", "nginx"))]);
    let before = pod(&site);
    kubectl(&site, &["set", "env", "deployment/web", "A=1"]);
    agent.eventually_logs(&["drift in Deployment", "/web", "kubectl-set added", "containers[name=main].env[name=A]"]);
    eventually_pod(&site, &before);
    kubectl(
        &site,
        &["patch", "deployment", "web", "--patch", r#"{"spec":{"template":{"spec":{"hostNetwork":true}}}}"#],
    );
    agent.eventually_logs(&[
        "drift in Deployment",
        "/web",
        "kubectl-patch added spec.template.spec.hostNetwork (true)",
    ]);
    eventually_pod(&site, &before);
    let added = r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"busybox"}]}}}}"#;
    kubectl(&site, &["patch", "deployment", "web", "--patch", added]);
    agent.eventually_logs(&["drift in Deployment", "/web", "containers[name=side]"]);
    eventually_pod(&site, &before);
    eventually("all are counted as healed", || {
        let healed = agent.metric("driftless_drift_healed_total", &["kind=\"Deployment\""]);
        check(healed == Some(3.0), format!("{healed:?}"))
    });
    assert_eq!(agent.metric("driftless_drift_detected_total", &["manager=\"kubectl-set\""]), Some(1.0));
    assert!(agent.metric("driftless_drifted_objects", &["sync=\"shop\""]) < Some(1.0));
    let drift = agent.sync("shop")["drift"].clone();
    let fields = &drift[0]["blame"]["fields"][0];
    assert_eq!((&fields["added"], &drift[0]["healed"]), (&json!(true), &json!(true)), "{drift}");
    assert!(drift[0]["blame"]["at"].is_string(), "{drift}");
    site.cli(&["plan"]).expect_code(0);
}

#[test]
fn additions_to_objects_of_other_kinds_are_removed() {
    let (site, agent) = watched(&[
        ("a.yaml", &config_map("a", "1")),
        ("role.yaml", ROLE),
        ("binding.yaml", BINDING),
        ("service.yaml", SERVICE),
    ]);
    let kinds = [
        ("configmaps", "a", "/data", json!({"data": {"extra": "by hand"}})),
        (
            "roles.rbac.authorization.k8s.io",
            "r",
            "/rules",
            json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}),
        ),
        (
            "rolebindings.rbac.authorization.k8s.io",
            "r",
            "/subjects",
            json!({"subjects": [{"kind": "ServiceAccount", "name": "default"}, {"kind": "User", "name": "mallory",
                "apiGroup": "rbac.authorization.k8s.io"}]}),
        ),
        (
            "services",
            "web",
            "/spec/ports",
            json!({"spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80},
                {"name": "debug", "port": 6060, "protocol": "TCP", "targetPort": 6060}]}}),
        ),
    ];
    for (plural, name, field, patch) in &kinds {
        let of = || site.get(plural, name).expect("it exists").pointer(field).cloned();
        let before = of();
        let edited = site.edit(plural, name, "kubectl-edit", patch);
        assert_ne!(edited.pointer(field).cloned(), before, "{plural}");
        eventually("it is as in git", || {
            let now = of();
            check(now == before, format!("{plural}: {now:?}"))
        });
        let kind = edited["kind"].as_str().expect("a kind");
        agent.eventually_logs(&[&format!("drift in {kind}"), "kubectl-edit"]);
        agent.eventually_logs(&[kind, "healed after"]);
    }
    assert_eq!(detected(&agent), Some(4.0));
}

#[test]
fn labels_and_annotations_of_people_are_left_alone_also_by_a_later_heal() {
    let (site, agent) = watched(&[("web.yaml", &deployment("web", "nginx"))]);
    kubectl(&site, &["label", "deployment", "web", "team=blue"]);
    kubectl(&site, &["annotate", "deployment", "web", "note=by hand"]);
    site.edit(
        "deployments.apps",
        "web",
        "kubectl-edit",
        &json!({"metadata": {"annotations": {"edited": "yes"}, "finalizers": ["example.com/kept"]}}),
    );
    kubectl(&site, &["rollout", "restart", "deployment/web"]);
    let restarted = || site.get("deployments.apps", "web").expect("it exists")["spec"]["template"]["metadata"].clone();
    let template = restarted();
    assert!(template["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string(), "{template}");
    agent.passes("shop", 1);
    assert_eq!(detected(&agent), None, "{:#?}", agent.log());

    // One heal of what is declared, and one of an addition of the very manager.
    kubectl(&site, &["set", "image", "deployment/web", "main=other"]);
    agent.eventually_logs(&["drift in Deployment", "containers[name=main].image"]);
    site.edit("deployments.apps", "web", "kubectl-edit", &json!({"spec": {"minReadySeconds": 3}}));
    agent.eventually_logs(&["drift in Deployment", "kubectl-edit added spec.minReadySeconds (3)"]);
    eventually("both are healed", || {
        let healed = agent.metric("driftless_drift_healed_total", &["kind=\"Deployment\""]);
        check(healed == Some(2.0), format!("{healed:?}"))
    });
    let live = site.get("deployments.apps", "web").expect("it exists");
    let metadata = &live["metadata"];
    assert_eq!(metadata["labels"]["team"], "blue", "{metadata:#}");
    assert_eq!(
        (&metadata["annotations"]["note"], &metadata["annotations"]["edited"]),
        (&json!("by hand"), &json!("yes"))
    );
    assert_eq!(metadata["finalizers"], json!(["example.com/kept"]));
    assert_eq!(restarted(), template);
    assert!(live["spec"]["minReadySeconds"].is_null(), "{live:#}");
    site.edit("deployments.apps", "web", "kubectl-edit", &json!({"metadata": {"finalizers": null}}));
}

#[test]
fn what_controllers_add_and_what_is_scaled_is_left_alone() {
    let without = deployment("web", "nginx").replace("  replicas: 1\n", "");
    let (site, agent) = watched(&[("web.yaml", &without), ("a.yaml", &config_map("a", "1"))]);
    kubectl(&site, &["scale", "deployment", "web", "--replicas=2"]);
    kubectl(&site, &["patch", "deployment", "web", "--patch", r#"{"spec":{"replicas":3}}"#]);
    site.edit("deployments.apps", "web", "vpa-updater", &json!({"spec": {"minReadySeconds": 1}}));
    site.edit("configmaps", "a", "my-operator", &json!({"data": {"cert": "theirs"}}));
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    site.eventually_has("a", "1");
    agent.eventually_logs(&["ConfigMap", "/a healed after"]);
    let live = site.get("deployments.apps", "web").expect("it exists");
    assert_eq!((&live["spec"]["replicas"], &live["spec"]["minReadySeconds"]), (&json!(3), &json!(1)), "{live:#}");
    assert_eq!(site.get("configmaps", "a").expect("it exists")["data"]["cert"], "theirs");
    assert_eq!(agent.logged(&["drift in Deployment"]), None);
    assert_eq!(detected(&agent), Some(1.0));
}

#[test]
fn ignored_fields_are_left_to_people_too() {
    let annotated = deployment("web", "nginx").replace(
        "metadata:\n  name: web\n",
        "metadata:\n  name: web\n  annotations: {driftless.dev/ignore-fields: spec.paused}\n",
    );
    let (site, agent) = watched(&[("web.yaml", &annotated)]);
    site.edit("deployments.apps", "web", "kubectl-edit", &json!({"spec": {"paused": true}}));
    site.edit("deployments.apps", "web", "kubectl-edit", &json!({"spec": {"minReadySeconds": 3}}));
    agent.eventually_logs(&["drift in Deployment", "kubectl-edit added spec.minReadySeconds"]);
    agent.eventually_logs(&["/web healed after"]);
    let live = site.get("deployments.apps", "web").expect("it exists");
    assert_eq!((&live["spec"]["paused"], &live["spec"]["minReadySeconds"]), (&json!(true), &Value::Null), "{live:#}");
}

#[test]
fn an_addition_that_comes_back_again_and_again_is_contested() {
    let (site, agent) = watched(&[("a.yaml", &config_map("a", "1"))]);
    for number in 0..60 {
        site.edit("configmaps", "a", "curl", &json!({"data": {"extra": number.to_string()}}));
        let is_contested = || agent.logged(&["/a is contested"]).is_some();
        eventually("it is removed, or contested", || {
            let live = site.get("configmaps", "a").expect("it exists")["data"].clone();
            check(is_contested() || live.get("extra").is_none(), live)
        });
        if is_contested() {
            break;
        }
    }
    agent.eventually_logs(&["/a is contested", "curl", "data.extra"]);
    assert_eq!(agent.metric("driftless_contested_objects", &["sync=\"shop\""]), Some(1.0));
}
