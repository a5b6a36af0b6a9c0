//! Values out of a Secret: applied, and shown nowhere.

use serde_json::{Value, json};

use super::fixture::{chart, site};
use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::Site;
use crate::support::wait::{check, eventually};

fn secret(site: &Site, name: &str, data: &Value) {
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
    let home = path("secrets", Some(&site.home), "");
    cluster().create(home.trim_end_matches('/'), &object);
}

#[test]
fn values_in_a_secret_are_applied_when_they_change_and_are_shown_nowhere() {
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: leaky}\ndata: {url: 'postgres://shop:{{ .Values.password }}@db'}\n";
    let site = site(
        &chart(&[("chart/templates/leaky.yaml", template)]),
        &json!({"helm": {"valuesFrom": [{"kind": "Secret", "name": "shop-values"}]}}),
    );
    site.make_namespace(&site.home);
    secret(&site, "shop-values", &json!({"values.yaml": "password: canary-one\nreplicas: 3\n"}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let url = || site.get("configmaps", "leaky").unwrap()["data"]["url"].as_str().unwrap().to_owned();
    assert_eq!(url(), "postgres://shop:canary-one@db");
    assert_eq!(site.get("deployments.apps", "shop-web").unwrap()["spec"]["replicas"], 3);

    let values = path("secrets", Some(&site.home), "shop-values");
    cluster().merge(
        &values,
        "somebody",
        &json!({"stringData": {"values.yaml": "password: canary-two\nreplicas: 4\n"}}),
    );
    eventually("the new values are applied without a commit", || check(url().contains("canary-two"), url()));
    eventually("all of it", || {
        let replicas = site.get("deployments.apps", "shop-web").unwrap()["spec"]["replicas"].clone();
        check(replicas == 4, replicas)
    });

    site.edit("configmaps", "leaky", "kubectl-edit", &json!({"data": {"url": "canary-three"}}));
    eventually("it is healed", || check(url().contains("canary-two"), url()));
    let explained = site.cli(&["explain", "configmap/leaky"]).expect_code(0).all();
    agent.eventually_logs(&["drift in ConfigMap", "leaky", "kubectl-edit changed data.url"]);
    site.edit(
        "configmaps",
        "leaky",
        "kubectl-edit",
        &json!({"metadata": {"annotations": {"driftless.dev/digest": "x"}}}),
    );
    let all = [
        agent.log().join("\n"),
        agent.http("/status").1,
        agent.metrics(),
        explained,
        site.cli(&["plan"]).all(),
        site.cli(&["render"]).all(),
        site.cli(&["status"]).all(),
        cluster().get(&path("events", Some(&site.home), "")).unwrap_or_default().to_string(),
        cluster().get(&path("configmaps", Some(&site.home), "")).unwrap_or_default().to_string(),
    ];
    for text in &all {
        assert!(!text.contains("canary"), "{text}");
    }

    // Without the Secret the last rendering stays, and the error names what is missing.
    cluster().delete(&values);
    let sync = agent.eventually_is("shop", "Failing");
    assert!(sync.to_string().contains("shop-values, which render.helm.valuesFrom names, is not there"), "{sync}");
    assert_eq!(url(), "postgres://shop:canary-two@db");
}

#[test]
fn secret_values_are_in_no_error_of_a_chart() {
    let schema = "{\"properties\": {\"password\": {\"type\": \"string\", \"pattern\": \"^[a-z]*$\"}}}";
    let fails = "{{ fail (printf \"cannot use %s\" .Values.password) }}\n";
    for (file, text) in [("chart/values.schema.json", schema), ("chart/templates/fails.yaml", fails)] {
        let site = site(
            &chart(&[(file, text)]),
            &json!({"helm": {"valuesFrom": [{"kind": "Secret", "name": "shop-values"}]}}),
        );
        site.make_namespace(&site.home);
        secret(&site, "shop-values", &json!({"values.yaml": "password: Canary-one\n"}));
        let done = site.once().expect_code(1);
        assert!(done.all().contains(if file.ends_with("json") { "password" } else { "cannot use" }), "{}", done.all());
        assert!(!done.all().contains("Canary"), "{}", done.all());
        assert!(!site.cli(&["status"]).all().contains("Canary"));
    }
}
