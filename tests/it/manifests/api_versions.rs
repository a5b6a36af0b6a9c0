//! Versions of a CRD that come and go.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
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

#[test]
fn a_version_with_a_field_that_the_former_one_does_not_have_is_applied() {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    let plural = format!("things.{group}");
    site.cluster_scoped(CRDS, &plural);
    // As of external-secrets: the second version gives a new field a default, and both are served.
    let crd = |versions: &[(&str, &str)]| {
        let stored = versions.last().expect("a version").0;
        let version = |(name, fields): &(&str, &str)| {
            format!(
                "    - {{name: {name}, served: true, storage: {}, schema: {{openAPIV3Schema: {{type: object, properties: \
                 {{spec: {{type: object, properties: {{size: {{type: integer}}, gone: {{type: boolean}}{fields}}}}}}}}}}}}}\n",
                *name == stored
            )
        };
        let versions: String = versions.iter().map(version).collect::<Vec<_>>().concat();
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.{group}}}\nspec:\n  \
             group: {group}\n  scope: Namespaced\n  names: {{kind: Thing, plural: things, singular: thing}}\n  versions:\n{versions}"
        )
    };
    let mode = ", mode: {type: string, default: fast}";
    site.repo.commit(&[
        ("crd.yaml", &crd(&[("v1beta1", "")])),
        ("one.yaml", &thing(&group, "v1beta1", "size: 1, gone: true")),
    ]);
    site.configure(&[site.sync("shop")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let one = format!("/apis/{group}/v1beta1/namespaces/{}/things/one", site.namespace);
    cluster().merge(&one, "somebody", &json!({"metadata": {"labels": {"theirs": "true"}}}));
    let commit = site
        .repo
        .commit(&[("crd.yaml", &crd(&[("v1beta1", ""), ("v1", mode)])), ("one.yaml", &thing(&group, "v1", "size: 2"))]);
    agent.eventually_synced("shop", &commit);
    let live = || site.get(&plural, "one").expect("it exists");
    assert_eq!(live()["spec"], json!({"size": 2, "mode": "fast"}), "and what left git has left the object");
    assert_eq!(live()["metadata"]["labels"]["theirs"], "true");
    let commit = site.repo.commit(&[("one.yaml", &thing(&group, "v1", "size: 3, mode: slow"))]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(live()["spec"], json!({"size": 3, "mode": "slow"}));
    site.edit(&plural, "one", "kubectl-edit", &json!({"spec": {"size": 9}}));
    eventually("it is healed", || if live()["spec"]["size"] == 3 { Ok(()) } else { Err(live()["spec"].to_string()) });
    drop(agent);
    site.cli(&["plan"]).expect_code(0);
}

/// An autoscaler with two metrics in the second version, or with one of them in the first.
fn autoscaler(version: &str) -> String {
    let metric = |name: &str| {
        format!("{{type: Resource, resource: {{name: {name}, target: {{type: Utilization, averageUtilization: 50}}}}}}")
    };
    let metrics = match version {
        "v1" => "targetCPUUtilizationPercentage: 50".to_owned(),
        _ => format!("metrics: [{}, {}]", metric("cpu"), metric("memory")),
    };
    format!(
        "apiVersion: autoscaling/{version}\nkind: HorizontalPodAutoscaler\nmetadata: {{name: web}}\nspec:\n  \
         scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}\n  minReplicas: 1\n  maxReplicas: 4\n  {metrics}\n"
    )
}

#[test]
fn a_metric_that_git_drops_with_the_second_version_of_an_autoscaler_goes_where_kubectl_leaves_it() {
    let site = Site::of_shop(&[("web.yaml", &autoscaler("v2"))]);
    let [client, server] = ["client", "server"].map(|suffix| format!("{}-{suffix}", site.namespace));
    let metrics = |namespace: &str| {
        let path = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/web");
        let live = cluster().get(&path).expect("it exists");
        let of = |metric: &Value| metric["resource"]["name"].as_str().unwrap_or_default().to_owned();
        let mut names: Vec<String> = live["spec"]["metrics"].as_array().expect("metrics").iter().map(of).collect();
        names.sort();
        names
    };
    site.once().expect_code(0);
    for namespace in [&client, &server] {
        site.make_namespace(namespace);
    }
    for version in ["v2", "v1"] {
        for (namespace, flags) in [(&client, &[][..]), (&server, &["--server-side"])] {
            let arguments: Vec<&str> = ["apply", "-n", namespace, "-f", "-"].iter().chain(flags).copied().collect();
            assert_eq!(cluster().kubectl_with(&arguments, Some(&autoscaler(version)), &[]).code, Some(0));
        }
    }
    assert_eq!([metrics(&client), metrics(&server)], [["cpu", "memory"]; 2], "as kubectl leaves it");

    site.repo.commit(&[("web.yaml", &autoscaler("v1"))]);
    site.once().expect_code(0);
    assert_eq!(metrics(&site.namespace), ["cpu"]);
    let plan = site.cli(&["plan"]).expect_code(0);
    assert!(plan.stdout.contains("nothing is to change"), "{}", plan.stdout);
    if let Some(mark) = audit::mark() {
        site.once().expect_code(0);
        assert!(!site.writes(mark).iter().any(|asked| asked.what.contains("web")), "it is quiet");
    }
    site.repo.commit(&[("web.yaml", &autoscaler("v2"))]);
    site.once().expect_code(0);
    assert_eq!(metrics(&site.namespace), ["cpu", "memory"], "and back");
}
