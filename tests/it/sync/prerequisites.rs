//! A commit that brings along what its own objects need: the dry run of an atomic sync and of a plan, which asks before
//! anything is there, refuses nothing for want of that.

use serde_json::json;

use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};

const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

fn crd(group: &str, fields: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: things.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: Thing, plural: things, singular: thing}}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{{fields}}}}}}}}}}}
"
    )
}

fn pod(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{{spec}, containers: [{{name: main, image: nginx}}]}}\n"
    )
}

/// A site with an atomic sync that has a CRD in it, and the group of that.
fn site() -> (Site, String) {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    site.cluster_scoped(CRDS, &format!("things.{group}"));
    let mut sync = site.sync("shop");
    sync["atomic"] = json!(true);
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    site.repo.commit(&[("crd.yaml", &crd(&group, "size: {type: integer}"))]);
    site.once().expect_code(0);
    (site, group)
}

/// Scenario 50
#[test]
fn an_atomic_commit_may_bring_what_its_own_objects_need_and_a_plan_says_so() {
    let (site, group) = site();
    let class = format!("high-{}", site.id);
    site.cluster_scoped("priorityclasses.scheduling.k8s.io", &class);
    let things = format!("things.{group}");
    site.repo.write("crd.yaml", crd(&group, "size: {type: integer}, colour: {type: string}"));
    site.repo.write(
        "thing.yaml",
        format!("apiVersion: {group}/v1\nkind: Thing\nmetadata: {{name: one}}\nspec: {{size: 1, colour: red}}\n"),
    );
    site.repo.write("account.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: runner}\n");
    site.repo.write("runs.yaml", pod("runs", "serviceAccountName: runner"));
    site.repo.write(
        "class.yaml",
        format!("apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {{name: {class}}}\nvalue: 7\n"),
    );
    site.repo.write("first.yaml", pod("first", &format!("priorityClassName: {class}")));
    site.repo.commit_all("what belongs together");
    let plan = site.cli(&["plan"]).expect_code(2).stdout;
    assert!(plan.contains("5 to create, 1 to configure"), "{plan}");
    for brings in ["ServiceAccount", "PriorityClass", "CustomResourceDefinition"] {
        assert!(
            plan.lines().any(|line| line.contains("of the same commit") && line.contains(brings)),
            "{brings}: {plan}"
        );
    }
    site.once().expect_code(0);
    assert_eq!(site.get(&things, "one").expect("it exists")["spec"]["colour"], "red");
    assert!(site.has("pods", "runs") && site.has("pods", "first"));
    site.cli(&["plan"]).expect_code(0);
}

#[test]
fn an_atomic_commit_is_refused_whole_for_want_of_what_it_does_not_bring() {
    let (site, _) = site();
    site.repo.commit(&[
        ("a.yaml", &config_map("a", "1")),
        ("account.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: runner}\n"),
        ("runs.yaml", &pod("runs", "serviceAccountName: runners")),
    ]);
    let plan = site.cli(&["plan"]).expect_code(1).all();
    assert!(plan.contains("serviceaccount \"runners\" not found"), "{plan}");
    site.once().expect_code(1);
    assert!(!site.has("configmaps", "a"));
    assert!(cluster().get(&path("serviceaccounts", Some(&site.namespace), "runner")).is_none());
}
