//! Objects that the API server refuses for a while, and namespaces that are on their way out: each
//! costs only itself, is asked about at a sane pace, and heals by itself.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually, within};
use crate::support::webhook::{Webhook, install};

/// Longer than the longest wait of a sync that polls every second: 30 s and a quarter.
const HEALS: Duration = Duration::from_secs(100);

fn in_namespace(name: &str, namespace: &str, value: &str) -> String {
    config_map(name, value).replace("metadata:\n", &format!("metadata:\n  namespace: {namespace}\n"))
}

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
}

/// A site that is synced to `a` and `old`.
fn synced() -> (Site, Agent) {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("old.yaml", &config_map("old", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    (site, agent)
}

/// A commit with an object `b` that is refused and one named `z` that is not, and without `old`.
fn commit_refused(site: &Site, refused: &str) -> String {
    site.repo.remove("old.yaml");
    site.repo.commit(&[("b.yaml", refused), ("z.yaml", &config_map("z", "1"))])
}

/// Waits for the refusal of `b` with these words; all others are applied, and nothing is pruned.
#[track_caller]
fn assert_only_b_fails(site: &Site, agent: &Agent, words: &[&str]) {
    let status = eventually("the refusal is reported", || {
        let status = agent.sync("shop");
        let problems = status["problems"].to_string();
        if words.iter().all(|word| problems.contains(word)) { Ok(status) } else { Err(status) }
    });
    let problems = status["problems"].to_string();
    assert!(problems.contains("b.yaml") && !problems.contains("no permission"), "{problems}");
    eventually("the others are applied", || {
        let there = site.config_maps();
        check(there == ["a", "old", "z"], format!("{there:?}"))
    });
    agent.passes("shop", 1);
    assert_eq!(site.config_maps(), ["a", "old", "z"], "nothing is pruned");
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("the drift of others is put back", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });
}

#[track_caller]
fn assert_heals(site: &Site, agent: &Agent, commit: &str) {
    within(HEALS, "it is synced without anybody asking", || {
        let status = agent.sync("shop");
        check(status["phase"] == "Synced" && status["synced"]["id"] == commit, status)
    });
    let there = site.config_maps();
    assert!(there.contains(&"b".to_owned()) && !there.contains(&"old".to_owned()), "{there:?}");
}

/// The number of objects that a quota lets be.
fn quota(most: usize) -> Value {
    json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
        "spec": {"hard": {"count/configmaps": most.to_string()}}})
}

#[test]
fn an_object_beyond_a_quota_is_asked_about_more_and_more_seldom_and_made_when_the_quota_is_raised() {
    if !cluster().runs_workloads() {
        return;
    }
    let (site, agent) = synced();
    // kube-root-ca.crt is one as well.
    let quotas = path("resourcequotas", Some(&site.namespace), "");
    cluster().create(&quotas, &quota(4));
    eventually("the quota counts", || {
        let live = site.get("resourcequotas", "small").expect("it exists");
        check(live["status"]["used"]["count/configmaps"] == "3", live)
    });
    let mark = audit::mark();
    site.repo.remove("old.yaml");
    // `a` has the last place left of the two new ones, whichever it is.
    let commit = site.repo.commit(&[("b.yaml", &config_map("b", "1")), ("z.yaml", &config_map("z", "1"))]);
    let status = agent.eventually_is("shop", "Failing");
    assert!(status["problems"].to_string().contains("exceeded quota: small"), "{status}");
    let made = site.config_maps();
    assert_eq!(made.len(), 3, "one of the two is made, and nothing is pruned: {made:?}");
    let lacks = if made.contains(&"b".to_owned()) { "z" } else { "b" };

    if let Some(mark) = mark {
        let what = format!("configmaps {}/{lacks}", site.namespace);
        // 2 s, 4 s, 8 s, 16 s, each with up to a quarter less or more.
        let times = within(HEALS, "it was tried five times", || {
            let times = audit::times(mark, &site.user(), "patch", &what);
            if times.len() >= 5 { Ok(times) } else { Err(format!("{times:?}")) }
        });
        let gaps: Vec<f64> = times.windows(2).map(|two| two[1] - two[0]).collect();
        for (gap, expected) in gaps.iter().zip([2.0, 4.0, 8.0, 16.0]) {
            assert!(*gap > expected * 0.7, "{gaps:?}");
        }
    }
    cluster().merge(&path("resourcequotas", Some(&site.namespace), "small"), "it", &json!({"spec": quota(9)["spec"]}));
    assert_heals(&site, &agent, &commit);
}

#[test]
fn what_a_limit_range_refuses_is_reported_with_the_limit_and_made_when_it_is_raised() {
    let (site, agent) = synced();
    let range = |most: &str| {
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"},
            "spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": most}}]}})
    };
    cluster().create(&path("limitranges", Some(&site.namespace), ""), &range("1Gi"));
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: b}\nspec:\n  storageClassName: none\n  \
                 accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 2Gi}}\n";
    commit_refused(&site, claim);
    assert_only_b_fails(&site, &agent, &["maximum storage usage per PersistentVolumeClaim is 1Gi", "2Gi"]);
    cluster().merge(&path("limitranges", Some(&site.namespace), "small"), "it", &json!({"spec": range("3Gi")["spec"]}));
    within(HEALS, "it is made without anybody asking", || {
        check(site.has("persistentvolumeclaims", "b"), agent.sync("shop"))
    });
}

/// What a policy or a webhook is asked about: the `ConfigMap`s named `b` of one test.
fn rules() -> Value {
    json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["configmaps"]}])
}

fn of(site: &Site) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": site.namespace}})
}

#[test]
fn what_an_admission_policy_refuses_is_reported_with_its_name_and_made_when_it_is_gone() {
    let (site, agent) = synced();
    let name = format!("no-b-{}", site.id);
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": {"failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": rules()},
            "validations": [{"expression": "object.metadata.name != 'b'", "message": "b is not to be"}]}});
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": of(&site)}}});
    site.cluster_scoped("validatingadmissionpolicies.admissionregistration.k8s.io", &name);
    let bound = site.cluster_scoped("validatingadmissionpolicybindings.admissionregistration.k8s.io", &name);
    cluster().create(&format!("{group}/validatingadmissionpolicies"), &policy);
    cluster().create(&format!("{group}/validatingadmissionpolicybindings"), &binding);
    refused_by_now(&site);
    let commit = commit_refused(&site, &config_map("b", "1"));
    assert_only_b_fails(&site, &agent, &[&name, "b is not to be"]);
    cluster().delete(&bound);
    assert_heals(&site, &agent, &commit);
}

/// Waits until a `ConfigMap` named `b` is refused: policies and webhooks are known a moment later.
fn refused_by_now(site: &Site) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}});
    let all = format!("{}?dryRun=All", path("configmaps", Some(&site.namespace), ""));
    eventually("b is refused", || match cluster().ask(&Method::POST, &all, "application/json", Some(&object)) {
        Ok(_) => Err("it is not"),
        Err(_) => Ok(()),
    });
}

fn webhook(site: &Site, client_config: &Value) -> String {
    let named_b = json!([{"name": "named-b", "expression": "object.metadata.name == 'b'"}]);
    let hook = json!({"rules": rules(), "matchConditions": named_b, "clientConfig": client_config});
    let live = install(site, &hook);
    refused_by_now(site);
    live
}

#[test]
fn what_a_webhook_refuses_is_reported_in_its_own_words_and_made_when_it_agrees() {
    if cluster().is_foreign() {
        // Its API server does not reach this machine.
        return;
    }
    let (site, agent) = synced();
    let server = Webhook::refusing(&format!("no b on a Friday {}", "!".repeat(5000)));
    let live = webhook(&site, &server.client_config());
    let commit = commit_refused(&site, &config_map("b", "1"));
    assert_only_b_fails(&site, &agent, &[&format!("hook-{}.example.com", site.id), "no b on a Friday", "cut off"]);
    let status = agent.sync("shop").to_string();
    assert!(status.len() < 12_000, "the status is bounded: {} bytes", status.len());
    server.open();
    assert_heals(&site, &agent, &commit);
    cluster().delete(&live);
}

#[test]
fn a_webhook_that_does_not_answer_costs_only_what_it_is_asked_about() {
    let (site, agent) = synced();
    let nobody = json!({"service": {"name": "nobody", "namespace": site.namespace, "path": "/validate"}});
    let live = webhook(&site, &nobody);
    let commit = commit_refused(&site, &config_map("b", "1"));
    assert_only_b_fails(&site, &agent, &[&format!("hook-{}.example.com", site.id)]);
    cluster().delete(&live);
    assert_heals(&site, &agent, &commit);
}

/// A Namespace that is being deleted, and does not go for the finalizer of an object in it.
fn held_up(name: &str) {
    let held = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "held", "finalizers": ["example.com/never"]}});
    cluster().create(&path("configmaps", Some(name), ""), &held);
    cluster().delete(&path("namespaces", None, name));
}

fn let_go(name: &str) {
    cluster().merge(&path("configmaps", Some(name), "held"), "it", &json!({"metadata": {"finalizers": null}}));
}

#[test]
fn a_declared_namespace_under_deletion_holds_up_only_what_is_in_it_and_comes_back_with_it() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = Site::with(&[]);
    let other = format!("other-{}", site.id);
    site.cluster_scoped("namespaces", &other);
    site.repo.commit(&[
        ("a.yaml", &config_map("a", "1")),
        ("old.yaml", &config_map("old", "1")),
        ("other.yaml", &namespace(&other)),
        ("in.yaml", &in_namespace("in", &other, "1")),
    ]);
    site.configure(&[site.sync("shop")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    held_up(&other);
    let inside = |name: &str| cluster().get(&path("configmaps", Some(&other), name));
    eventually("the controller has emptied it", || check(inside("in").is_none(), "it is there"));

    site.repo.remove("old.yaml");
    let commit =
        site.repo.commit(&[("late.yaml", &in_namespace("late", &other, "1")), ("z.yaml", &config_map("z", "1"))]);
    let waits = format!("waits for namespace {other}, which is being deleted");
    let status = eventually("what is in it is reported as waiting", || {
        let status = agent.sync("shop");
        let notes = status["notes"].to_string();
        let both = notes.matches(&waits).count() >= 2 && notes.contains("\"late\"") && notes.contains("\"in\"");
        if both { Ok(status) } else { Err(status) }
    });
    assert_eq!(status["phase"], "Progressing", "{status}");
    assert_eq!(status["problems"], json!([]), "{status}");
    eventually("the others are applied", || check(site.has("configmaps", "z"), "no z"));
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("the drift of others is put back", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });
    assert!(site.has("configmaps", "old"), "nothing is pruned while something that git declares is not there");

    let_go(&other);
    eventually("it is back with what is in it", || {
        check(inside("in").is_some() && inside("late").is_some(), agent.sync("shop"))
    });
    agent.eventually_synced("shop", &commit);
    assert!(!site.has("configmaps", "old"));
}

#[test]
fn a_namespace_of_others_under_deletion_holds_up_only_what_is_in_it() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = Site::with(&[]);
    let other = format!("other-{}", site.id);
    site.make_namespace(&other);
    site.repo.commit(&[("a.yaml", &config_map("a", "1")), ("in.yaml", &in_namespace("in", &other, "1"))]);
    site.configure(&[site.sync("shop")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    held_up(&other);
    let status = eventually("what is in it is reported as waiting", || {
        let status = agent.sync("shop");
        let reported = status["problems"].to_string().contains(&format!("waits for namespace {other}"));
        if reported { Ok(status) } else { Err(status) }
    });
    assert!(!status["problems"].to_string().contains("/a\""), "{status}");
    let commit = site.repo.commit(&[("z.yaml", &config_map("z", "1"))]);
    eventually("the others are applied", || check(site.has("configmaps", "z"), "no z"));

    let_go(&other);
    eventually("it is gone", || check(cluster().get(&path("namespaces", None, &other)).is_none(), "it is there"));
    site.make_namespace(&other);
    within(HEALS, "what was in it is made again", || {
        let there = cluster().get(&path("configmaps", Some(&other), "in")).is_some();
        check(there && agent.sync("shop")["synced"]["id"] == commit, agent.sync("shop"))
    });
}
