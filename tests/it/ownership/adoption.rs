//! Objects that others have written, too: another sync, `kubectl`, and whoever changed a Service's ports.

use http::Method;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};
use crate::support::watched::{commit, daily, watched};

#[track_caller]
fn eventually_holds(site: &Site, name: &str, data: &Value) {
    eventually("its data are those of git", || {
        let live = site.get("configmaps", name).unwrap_or_default();
        check(live["data"] == *data, live["data"].clone())
    });
}

#[track_caller]
fn eventually_owned_by_no_kubectl(site: &Site, name: &str) {
    eventually("no entry of kubectl is left", || {
        let entries = site.get("configmaps", name).expect("it exists")["metadata"]["managedFields"].to_string();
        check(!entries.contains("\"kubectl"), entries)
    });
}

/// Scenario 22
#[test]
fn of_two_syncs_that_declare_one_object_one_writes_it_and_the_other_reports_whose_it_is() {
    let site = Site::with(&[("x/same.yaml", &config_map("same", "x")), ("y/same.yaml", &config_map("same", "y"))]);
    let [mut first, mut second] = ["first", "second"].map(|name| daily(&site, name));
    (first["path"], second["path"]) = (json!("x"), json!("y"));
    site.configure(&[first.clone()]);
    let agent = Agent::start(&site);
    agent.eventually_synced("first", &site.repo.head());
    site.configure(&[first, second]);
    let status = agent.eventually_is("second", "Failing");
    assert!(status["problems"].to_string().contains("belongs to sync first"), "{status}");

    let mark = audit::mark();
    for number in 1..=2 {
        site.edit("configmaps", "same", &format!("tuner-{number}"), &json!({"data": {"value": "by hand"}}));
        eventually_holds(&site, "same", &json!({"value": "x"}));
    }
    agent.passes("second", 2);
    agent.passes("first", 1);
    assert_eq!(agent.sync("second")["phase"], "Failing");
    assert_eq!(site.value_of("same").as_deref(), Some("x"));
    let Some(mark) = mark else { return };
    let writes = site.writes(mark);
    let writes: Vec<_> = writes.iter().filter(|write| write.what.ends_with("/same")).collect();
    assert_eq!(writes.len(), 2, "one for each edit: {writes:#?}");
}

/// Scenario 23
#[test]
fn what_kubectl_made_or_changed_is_adopted_so_that_what_leaves_git_leaves_the_object() {
    let file = |rest: &str| config_map("a", "1") + rest;
    let site = Site::with(&[("a.yaml", &file("  old: '1'\n  older: '1'\n"))]);
    let applied = file("  old: '1'\n  older: '1'\n");
    let arguments = ["apply", "--namespace", &site.namespace, "--filename", "-"];
    cluster().kubectl_with(&arguments, Some(&applied), &[]).expect_code(0);
    let uid = site.get("configmaps", "a").expect("it exists")["metadata"]["uid"].clone();
    site.configure(&[daily(&site, "shop")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    eventually_owned_by_no_kubectl(&site, "a");
    commit(&site, &agent, &[("a.yaml", &file("  old: '1'\n"))]);
    eventually_holds(&site, "a", &json!({"value": "1", "old": "1"}));

    let namespace = ["--namespace", &*site.namespace];
    let patch = r#"{"data": {"old": "by patch"}}"#;
    cluster().kubectl(&[&["patch", "configmap", "a", "-p", patch][..], &namespace].concat());
    agent.eventually_logs(&["kubectl-patch changed data.old from 1 to by patch"]);
    eventually_holds(&site, "a", &json!({"value": "1", "old": "1"}));
    eventually_owned_by_no_kubectl(&site, "a");

    let editor = [("KUBE_EDITOR", "sed -i 's/old: .*/old: by edit/'")];
    cluster().kubectl_with(&[&["edit", "configmap", "a"][..], &namespace].concat(), None, &editor).expect_code(0);
    agent.eventually_logs(&["kubectl-edit changed data.old from 1 to by edit"]);
    eventually_holds(&site, "a", &json!({"value": "1", "old": "1"}));

    commit(&site, &agent, &[("a.yaml", &file(""))]);
    eventually_holds(&site, "a", &json!({"value": "1"}));
    assert_eq!(site.get("configmaps", "a").expect("it exists")["metadata"]["uid"], uid);
}

fn service(name: &str, ports: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: a}}, ports: {ports}}}\n"
    )
}

/// The ports of a Service: number, protocol and name.
fn ports(site: &Site, name: &str) -> Vec<(Value, Value, Value)> {
    let live = site.get("services", name).expect("it exists");
    let ports = live["spec"]["ports"].as_array().expect("ports").iter();
    ports.map(|port| (port["port"].clone(), port["protocol"].clone(), port["name"].clone())).collect()
}

/// A port's number and protocol are its key in the list: changed by hand it is another item, and
/// one that clashes with that of git.
#[test]
fn a_port_whose_number_or_protocol_was_changed_ends_as_it_is_in_git_whoever_did_it() {
    let (site, agent) = watched(&[
        ("one.yaml", &service("one", "[{port: 80}]")),
        ("two.yaml", &service("two", "[{port: 80, name: http}, {port: 53, name: dns, protocol: UDP}]")),
    ]);
    let before = [ports(&site, "one"), ports(&site, "two")];
    let mut heals = 0.0;
    for manager in ["kubectl", "porter"] {
        for (service, before, change) in [
            ("one", &before[0], json!({"op": "replace", "path": "/spec/ports/0/port", "value": 81})),
            ("two", &before[1], json!({"op": "replace", "path": "/spec/ports/0/port", "value": 81})),
            ("two", &before[1], json!({"op": "replace", "path": "/spec/ports/1/protocol", "value": "TCP"})),
        ] {
            let change = json!([change]);
            if manager == "kubectl" {
                let patch = change.to_string();
                cluster().kubectl(&["patch", "service", service, "-n", &site.namespace, "--type=json", "-p", &patch]);
            } else {
                let path = path("services", Some(&site.namespace), service) + "?fieldManager=porter";
                let answer = cluster().ask(&Method::PATCH, &path, "application/json-patch+json", Some(&change));
                answer.expect("it is changed");
            }
            heals += 1.0;
            eventually(&format!("{service} is healed after {change} by {manager}"), || {
                let healed = agent.metric("driftless_drift_healed_total", &["kind=\"Service\""]);
                check(healed == Some(heals), format!("{healed:?} heals, {:?}", ports(&site, service)))
            });
            assert_eq!(ports(&site, service), *before, "after {change} by {manager}");
        }
    }
    agent.eventually_logs(&["drift in Service", "/one", "removed spec.ports[port=80,protocol=TCP]"]);
    assert_eq!(agent.logged(&["cannot"]), None);
    agent.eventually_is("shop", "Synced");
}

#[test]
fn a_named_port_of_a_container_that_was_changed_ends_as_it_is_in_git() {
    let ports = "          ports: [{containerPort: 80, name: http}]\n";
    let (site, agent) = watched(&[("web.yaml", &(deployment("web", "nginx") + ports))]);
    let path = path("deployments.apps", Some(&site.namespace), "web") + "?fieldManager=porter";
    let field = "/spec/template/spec/containers/0/ports/0/containerPort";
    let change = json!([{"op": "replace", "path": field, "value": 81}]);
    cluster().ask(&Method::PATCH, &path, "application/json-patch+json", Some(&change)).expect("it is changed");
    agent.eventually_logs(&["Deployment", "/web healed after"]);
    let live = site.get("deployments.apps", "web").expect("it exists");
    let ports = &live["spec"]["template"]["spec"]["containers"][0]["ports"];
    assert_eq!(*ports, json!([{"containerPort": 80, "name": "http", "protocol": "TCP"}]));
}

#[test]
fn a_secret_of_which_string_data_was_applied_loses_the_keys_that_git_lacks_when_it_is_adopted() {
    let secret =
        |keys: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: login}}\nstringData: {{{keys}}}\n");
    let site = Site::of_shop(&[("login.yaml", &secret("kept: one"))]);
    let arguments = ["apply", "-n", &site.namespace, "--server-side", "-f", "-"];
    cluster().kubectl_with(&arguments, Some(&secret("kept: zero, gone: two")), &[]).expect_code(0);
    let plan = site.cli(&["plan"]).expect_code(2).stdout;
    assert!(plan.contains("-    gone: <hidden>") || plan.contains("-  gone: <hidden>"), "{plan}");
    site.once().expect_code(0);
    assert_eq!(site.get("secrets", "login").expect("it exists")["data"], json!({"kept": "b25l"}));
    site.cli(&["plan"]).expect_code(0);
}
