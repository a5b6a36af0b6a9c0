//! Declared fields that admission rewrites: nothing is to be applied again, and `status`, `plan` and `explain` say so.

use http::Method;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
/// What is said of a `ConfigMap` and of a `Secret`.
const SAID: &str =
    "the value that git declares is not kept for data.value: an admission webhook or the API server rewrites it";

/// Admission that gives config maps and Secrets of a namespace another value. Gives the path of its binding.
fn rewriting(site: &Site) -> String {
    let name = format!("rewrites-{}", site.id);
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps", "secrets"]});
    let patch = "has(object.data) && 'value' in object.data ? \
         [JSONPatch{op: 'replace', path: '/data/value', value: 'b3RoZXI='}] : []";
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": {"failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [rule]},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}]}});
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "matchResources": {"namespaceSelector":
            {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}}}}});
    site.cluster_scoped("mutatingadmissionpolicies.admissionregistration.k8s.io", &name);
    let bound = site.cluster_scoped("mutatingadmissionpolicybindings.admissionregistration.k8s.io", &name);
    cluster().create(&format!("{GROUP}/mutatingadmissionpolicies"), &policy);
    cluster().create(&format!("{GROUP}/mutatingadmissionpolicybindings"), &binding);
    eventually("it is in force", || check(value_of_a_new_one(site) == "b3RoZXI=", "not yet"));
    bound
}

/// The value that a `ConfigMap` would get.
fn value_of_a_new_one(site: &Site) -> Value {
    let all = format!("{}?dryRun=All", path("configmaps", Some(&site.namespace), "").trim_end_matches('/'));
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}, "data": {"value": "1"}});
    let made = cluster().ask(&Method::POST, &all, "application/json", Some(&object));
    made.map(|made| made["data"]["value"].clone()).unwrap_or_default()
}

#[test]
fn fields_that_admission_rewrites_are_named_and_not_fought_over() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {value: canary}\n";
    let site =
        Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1")), ("s.yaml", secret)]);
    let binding = rewriting(&site);
    site.once().expect_code(0);

    let status = site.cli(&["status"]).expect_code(0).stdout;
    for object in ["ConfigMap", "Secret"] {
        let line = status.lines().find(|line| line.contains("rewritten: ") && line.contains(object));
        assert!(line.is_some_and(|line| line.contains(SAID)), "{status}");
    }
    let plan = site.cli(&["plan"]).expect_code(0).stdout;
    assert!(plan.contains("nothing is to change") && plan.matches(SAID).count() == 3, "{plan}");
    for object in ["configmap/a", "secret/s"] {
        let explained = site.cli(&["explain", object]).expect_code(0).stdout;
        assert!(explained.contains("as last applied; ") && explained.contains(SAID), "{explained}");
        assert!(!explained.contains("canary") && !explained.contains("b3RoZXI="), "{explained}");
    }
    if let Some(mark) = audit::mark() {
        site.once().expect_code(0);
        assert_eq!(site.writes(mark).iter().filter(|asked| asked.what.contains("configmaps a")).count(), 0);
    }

    // Said by the running agent likewise, which did not apply them itself; once admission lets it, the next apply is kept.
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let said = || site.cli(&["status"]).stdout.matches(SAID).count();
    assert_eq!(said(), 3);
    cluster().delete(&binding);
    eventually("it is not in force any more", || check(value_of_a_new_one(&site) == "1", "still"));
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    agent.eventually_synced("shop", &commit);
    eventually("only what was applied again is kept now", || check(said() == 2, said()));
}
