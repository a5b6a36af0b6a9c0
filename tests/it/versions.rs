//! Versions of a CRD that come and go.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::Site;
use crate::support::wait::eventually;

const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

fn crd(group: &str, versions: &[&str]) -> String {
    let stored = versions.last().expect("a version");
    let version = |name: &&str| {
        format!(
            "    - {{name: {name}, served: true, storage: {}, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: \
             {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}}}}}\n",
            name == stored
        )
    };
    let versions: String = versions.iter().map(version).collect::<Vec<_>>().concat();
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.{group}}}\nspec:\n  \
         group: {group}\n  scope: Namespaced\n  names: {{kind: Thing, plural: things, singular: thing}}\n  versions:\n{versions}"
    )
}

fn thing(group: &str, version: &str, spec: &str) -> String {
    format!("apiVersion: {group}/{version}\nkind: Thing\nmetadata: {{name: one}}\nspec: {{{spec}}}\n")
}

#[test]
fn an_object_is_applied_though_its_managed_fields_name_a_version_that_is_gone() {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    let plural = format!("things.{group}");
    let definition = site.cluster_scoped(CRDS, &plural);
    site.repo.commit(&[
        ("crd.yaml", &crd(&group, &["v1alpha1"])),
        ("one.yaml", &thing(&group, "v1alpha1", "size: 1, gone: true")),
    ]);
    site.configure(&[site.sync("shop")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    // Both are served, and the object is stored in the new one, as a migration does it.
    let commit = site.repo.commit(&[("crd.yaml", &crd(&group, &["v1alpha1", "v1"]))]);
    agent.eventually_synced("shop", &commit);
    drop(agent);
    let one = path(&plural, Some(&site.namespace), "one");
    eventually("the new version is served", || cluster().get(&one).map(drop).ok_or("not yet"));
    cluster().merge(&one, "migrator", &json!({"metadata": {"annotations": {"migrated": "true"}}}));
    cluster().merge(&(definition + "/status"), "migrator", &json!({"status": {"storedVersions": ["v1"]}}));

    site.repo.commit(&[("crd.yaml", &crd(&group, &["v1"])), ("one.yaml", &thing(&group, "v1", "size: 2"))]);
    site.once().expect_code(0);
    let live = site.get(&plural, "one").expect("it exists");
    assert_eq!(live["spec"], json!({"size": 2}), "and what left git has left the object");
    let owners = live["metadata"]["managedFields"].as_array().expect("entries");
    assert!(owners.iter().all(|entry| entry["apiVersion"] == format!("{group}/v1")), "{owners:?}");
    assert_eq!(live["metadata"]["annotations"]["migrated"], Value::from("true"));
    site.cli(&["plan"]).expect_code(0);
}
