//! Both kinds of `kubectl apply` on objects of ours, and what is adopted of people's other clients.

use serde_json::json;

use super::fixture::{detected, eventually_pod, pod};
use crate::support::agent::Agent;
use crate::support::cluster::cluster;
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};
use crate::support::watched::{commit, watched, watched_with};

fn apply(site: &Site, arguments: &[&str], manifest: &str) {
    let arguments = [&["apply", "--namespace", &site.namespace, "--filename", "-"], arguments].concat();
    cluster().kubectl_with(&arguments, Some(manifest), &[]).expect_code(0);
}

fn data(site: &Site) -> serde_json::Value {
    site.get("configmaps", "a").expect("it exists")["data"].clone()
}

#[track_caller]
fn eventually_data(site: &Site, wanted: &serde_json::Value) {
    eventually("the data is as in git", || check(data(site) == *wanted, data(site)));
}

#[test]
fn what_either_kind_of_kubectl_apply_adds_is_removed_and_the_annotation_of_the_older_one_stays() {
    let (site, agent) = watched(&[("a.yaml", &config_map("a", "1"))]);
    let more = config_map("a", "1") + "  extra: by hand\n";
    apply(&site, &[], &more);
    agent.eventually_logs(&["drift in ConfigMap", "kubectl-client-side-apply added data.extra (by hand)"]);
    eventually_data(&site, &json!({"value": "1"}));
    let live = site.get("configmaps", "a").expect("it exists");
    let annotation = &live["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    assert!(annotation.is_string(), "{live:#}");
    apply(&site, &["--server-side", "--force-conflicts"], &more);
    agent.eventually_logs(&["drift in ConfigMap", "kubectl added data.extra (by hand)"]);
    eventually_data(&site, &json!({"value": "1"}));
    eventually("both are counted", || check(detected(&agent) == Some(2.0), format!("{:?}", detected(&agent))));
}

#[test]
fn what_a_person_applied_as_well_goes_when_it_leaves_git_and_is_no_drift_before() {
    let both = config_map("a", "1") + "  second: '2'\n";
    let (site, agent) = watched(&[("a.yaml", &both)]);
    apply(&site, &["--server-side"], &both);
    agent.passes("shop", 1);
    assert_eq!(detected(&agent), None, "{:#?}", agent.log());
    commit(&site, &agent, &[("a.yaml", &config_map("a", "1"))]);
    assert_eq!(data(&site), json!({"value": "1"}));
    assert_eq!(detected(&agent), None, "{:#?}", agent.log());
}

#[test]
fn an_adoption_takes_what_people_added_by_any_client_and_a_plan_shows_it_before() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    apply(&site, &[], &(config_map("a", "1") + "  applied: before\n"));
    site.edit(
        "configmaps",
        "a",
        "k9s",
        &json!({"data": {"typed": "in a console"}, "metadata": {"labels": {"team": "blue"}}}),
    );
    site.edit("configmaps", "a", "my-operator", &json!({"data": {"cert": "theirs"}}));
    let plan = site.cli(&["plan"]).expect_code(2).stdout;
    assert!(plan.contains("-  applied: before") && plan.contains("-  typed: in a console"), "{plan}");
    assert!(!plan.contains("-  cert:") && !plan.contains("team: blue\n-"), "{plan}");
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(data(&site), json!({"value": "1", "cert": "theirs"}));
    assert_eq!(site.get("configmaps", "a").expect("it exists")["metadata"]["labels"]["team"], "blue");
    assert_eq!(detected(&agent), None);
}

#[test]
fn a_field_within_what_git_declares_as_empty_and_a_second_probe_are_additions() {
    let with = deployment("web", "nginx").replace("replicas: 1", "replicas: 0")
        + "          volumeMounts: [{name: v, mountPath: /v}]\n      volumes: [{name: v, emptyDir: {}}]\n";
    let (site, agent) = watched(&[("web.yaml", &with)]);
    let before = pod(&site);
    let patch = json!({"spec": {"template": {"spec": {
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
        "containers": [{"name": "main", "readinessProbe": {"tcpSocket": {"port": 80}}, "resources": {"limits": {"cpu": "1"}}}],
    }}}});
    cluster().kubectl(&["--namespace", &site.namespace, "patch", "deployment", "web", "--patch", &patch.to_string()]);
    agent.eventually_logs(&[
        "drift in Deployment",
        "kubectl-patch added",
        "readinessProbe",
        "resources.limits.cpu",
        "emptyDir.sizeLimit",
    ]);
    eventually_pod(&site, &before);
}

#[test]
fn an_atomic_commit_reaches_an_object_of_which_somebody_replaced_a_field() {
    let web = |image: &str| {
        deployment("web", image).replace("replicas: 1", "replicas: 0") + "          env: [{name: A, value: '1'}]\n"
    };
    for manager in ["node-fetch", "injector-controller"] {
        let (site, agent) = watched_with(&[("web.yaml", &web("nginx"))], |sync| {
            (sync["atomic"], sync["drift"]) = (json!(true), json!("report"));
        });
        let before = pod(&site);
        let from = json!({"fieldRef": {"fieldPath": "metadata.name"}});
        let main = json!({"name": "main", "env": [{"name": "A", "value": null, "valueFrom": from}]});
        let patch = json!({"spec": {"template": {"spec": {"containers": [main]}}}}).to_string();
        let manager = format!("--field-manager={manager}");
        cluster().kubectl(&["--namespace", &site.namespace, "patch", "deployment", "web", &manager, "--patch", &patch]);
        commit(&site, &agent, &[("web.yaml", &web("other"))]);
        let mut wanted = before;
        wanted["containers"][0]["image"] = json!("other");
        assert_eq!(pod(&site), wanted, "{manager}");
        agent.stop();
        site.cli(&["plan"]).expect_code(0);
    }
}
