//! kustomize overlays, variables, and what a sync does to everything that it renders.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};

fn site(files: &[(&str, &str)], at: &str, render: &Value) -> Site {
    let site = Site::with(files);
    let mut sync = site.sync("shop");
    sync["path"] = json!(at);
    sync["render"] = render.clone();
    site.configure(&[sync]);
    site
}

fn home_object(site: &Site, kind: &str, plural: &str, name: &str, field: &str, data: &Value) {
    let object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: data});
    cluster().create(path(plural, Some(&site.home), "").trim_end_matches('/'), &object);
}

const BASE: &str = "resources: [web.yaml]\nconfigMapGenerator: [{name: web, literals: [a=1]}]\n";

#[test]
fn a_generated_config_map_is_pruned_after_the_workload_that_used_it_has_rolled() {
    let web = deployment("web", "web:1") + "          envFrom: [{configMapRef: {name: web}}]\n";
    let overlay = "resources: [../../base]\nnamePrefix: prod-\nimages: [{name: web, newTag: '2'}]\nreplicas: [{name: web, count: 2}]\npatches: [{path: patch.yaml}]\n";
    let patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, annotations: {patched: 'yes'}}\n";
    let files = [
        ("base/kustomization.yaml", BASE),
        ("base/web.yaml", &web),
        ("overlays/prod/kustomization.yaml", overlay),
        ("overlays/prod/patch.yaml", patch),
    ];
    let site = site(&files, "overlays/prod", &json!({}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let web = || site.get("deployments.apps", "prod-web").unwrap();
    let used = || {
        web()["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = used();
    assert!(first.starts_with("prod-web-") && site.has("configmaps", &first));
    assert_eq!(web()["spec"]["template"]["spec"]["containers"][0]["image"], "web:2");
    assert_eq!((&web()["spec"]["replicas"], &web()["metadata"]["annotations"]["patched"]), (&json!(2), &json!("yes")));

    let commit = site.repo.commit(&[("base/kustomization.yaml", &BASE.replace("a=1", "a=2"))]);
    agent.eventually_synced("shop", &commit);
    let second = used();
    assert_ne!(first, second);
    eventually("the one that was used before is pruned", || check(!site.has("configmaps", &first), &first));
    let explained = site.cli(&["explain", "deployment/prod-web"]).expect_code(0).stdout;
    assert!(explained.contains("base/web.yaml"), "{explained}");
}

#[test]
fn a_commit_that_touches_one_of_many_overlays_renders_one() {
    let names: Vec<String> = (0..20).map(|index| format!("o{index}")).collect();
    let mut files = vec![
        ("base/kustomization.yaml".to_owned(), "resources: [c.yaml]\n".to_owned()),
        ("base/c.yaml".to_owned(), config_map("c", "1")),
    ];
    for name in &names {
        let overlay =
            format!("resources: [../base]\nnamePrefix: {name}-\nconfigMapGenerator: [{{name: g, literals: [a=1]}}]\n");
        files.push((format!("{name}/kustomization.yaml"), overlay));
    }
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let site = Site::with(&borrowed);
    let syncs: Vec<Value> = names
        .iter()
        .map(|name| {
            let mut sync = site.sync(name);
            sync["path"] = json!(name);
            sync
        })
        .collect();
    site.configure(&syncs);
    let agent = Agent::start(&site);
    let all_synced = |commit: &str| {
        for name in &names {
            agent.eventually_synced(name, commit);
        }
    };
    all_synced(&site.repo.head());
    let rendered = || {
        names
            .iter()
            .filter_map(|name| agent.metric("driftless_render_total", &[&format!("sync=\"{name}\"")]))
            .sum::<f64>()
    };
    assert_eq!(rendered().to_string(), "20");
    let commit = site.repo.commit(&[("o7/kustomization.yaml", "resources: [../base]\nnamePrefix: o7-\n")]);
    all_synced(&commit);
    assert_eq!(rendered().to_string(), "21");
    let commit = site.repo.commit(&[("base/c.yaml", &config_map("c", "2"))]);
    all_synced(&commit);
    assert_eq!(rendered().to_string(), "41");
}

#[test]
fn errors_of_overlays_name_the_file() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case<'_>; 4] = [
        (&[("o/kustomization.yaml", "resources: [missing.yaml]\n")], &["o/kustomization.yaml", "missing.yaml"]),
        (
            &[("o/kustomization.yaml", "resources: ['https://github.com/a/b//c?ref=v1']\n")],
            &["o/kustomization.yaml", "github.com"],
        ),
        (&[("o/kustomization.yaml", "resources: [a.yaml]\n"), ("o/a.yaml", "a: [b\n")], &["o/a.yaml"]),
        (
            &[("o/kustomization.yaml", "helmCharts: [{name: a, repo: 'https://example.com'}]\n")],
            &["o/kustomization.yaml", "render.helm"],
        ),
    ];
    for (files, parts) in cases {
        let site = site(files, "o", &json!({}));
        let done = site.once().expect_code(1);
        for part in parts {
            assert!(done.all().contains(part), "{part} in {}", done.all());
        }
    }
}

#[test]
fn variables_are_replaced_in_plain_manifests_and_overlays_and_secret_ones_are_shown_nowhere() {
    let text = "# ${IGNORED}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  region: ${REGION}\n  port: \"${PORT}\"\n  size: ${SIZE:=small}\n  literal: $${REGION}\n  url: https://${TOKEN}@example.com\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: script, annotations: {driftless.dev/substitute: disabled}}\ndata: {run: 'echo ${HOME}'}\n";
    let render = json!({"substitute": {"REGION": "eu-central-1"}, "substituteFrom": [
        {"kind": "ConfigMap", "name": "vars"}, {"kind": "Secret", "name": "secret-vars"}, {"kind": "Secret", "name": "none", "optional": true}]});
    let overlay = "resources: [../plain/c.yaml]\nnameSuffix: '-2'\n";
    let site = Site::with(&[("plain/c.yaml", text), ("overlay/kustomization.yaml", overlay)]);
    let syncs: Vec<Value> = ["plain", "overlay"]
        .iter()
        .map(|name| {
            let mut sync = site.sync(name);
            (sync["path"], sync["render"]) = (json!(name), render.clone());
            sync
        })
        .collect();
    site.configure(&syncs);
    site.make_namespace(&site.home);
    home_object(&site, "ConfigMap", "configmaps", "vars", "data", &json!({"REGION": "loses", "PORT": "8080"}));
    home_object(&site, "Secret", "secrets", "secret-vars", "stringData", &json!({"TOKEN": "canary-1"}));
    let agent = Agent::start(&site);
    for (sync, name) in [("plain", "c"), ("overlay", "c-2")] {
        agent.eventually_synced(sync, &site.repo.head());
        let data = site.get("configmaps", name).unwrap()["data"].clone();
        let expected = json!({"region": "eu-central-1", "port": "8080", "size": "small", "literal": "${REGION}",
            "url": "https://canary-1@example.com"});
        assert_eq!(data, expected, "{name}");
    }
    assert_eq!(site.get("configmaps", "script").unwrap()["data"]["run"], "echo ${HOME}");
    cluster().merge(
        &path("secrets", Some(&site.home), "secret-vars"),
        "x",
        &json!({"stringData": {"TOKEN": "canary-2"}}),
    );
    eventually("the new value is applied", || {
        let url = site.get("configmaps", "c").unwrap()["data"]["url"].clone();
        check(url == "https://canary-2@example.com", url)
    });
    for text in [
        agent.log().join("\n"),
        agent.http("/status").1,
        site.cli(&["plan"]).all(),
        site.cli(&["render"]).all(),
        site.cli(&["explain", "configmap/c"]).all(),
    ] {
        assert!(!text.contains("canary"), "{text}");
    }

    site.repo
        .commit(&[("plain/d.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\ndata:\n  a: ${NOBODY}\n")]);
    let failing = agent.eventually_is("plain", "Failing").to_string();
    assert!(
        failing.contains("plain/d.yaml") && failing.contains("NOBODY") && failing.contains("\"line\":5"),
        "{failing}"
    );
}

#[test]
fn a_sync_labels_prefixes_and_patches_what_any_renderer_makes() {
    let render = json!({
        "commonLabels": {"team": "web"}, "commonAnnotations": {"example.com/owner": "web"}, "namePrefix": "x-",
        "patches": [
            {"patch": "[{op: replace, path: /spec/replicas, value: 3}]", "target": {"kind": "Deployment"}},
            {"patch": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {value: patched}\n"},
        ],
    });
    let web = deployment("web", "web:1") + "          envFrom: [{configMapRef: {name: c}}]\n";
    let files = [("a/web.yaml", web.as_str()), ("a/c.yaml", &config_map("c", "1")), ("a/.hidden.yaml", "a: b")];
    let site = site(&files, "a", &render);
    site.once().expect_code(0);
    let web = site.get("deployments.apps", "x-web").unwrap();
    assert_eq!(web["spec"]["replicas"], 3);
    assert_eq!(web["metadata"]["labels"]["team"], "web");
    assert_eq!(web["metadata"]["annotations"]["example.com/owner"], "web");
    assert_eq!(web["spec"]["selector"]["matchLabels"], json!({"app": "web"}));
    assert_eq!(web["spec"]["template"]["metadata"]["labels"], json!({"app": "web"}));
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"], "x-c");
    assert_eq!(site.value_of("x-c").as_deref(), Some("patched"));
    site.cli(&["plan"]).expect_code(0);

    let mut sync = site.sync("shop");
    sync["path"] = json!("a");
    sync["render"] = json!({"patches": [{"patch": "[{op: remove, path: /spec}]", "target": {"kind": "StatefulSet"}}]});
    site.configure(&[sync]);
    let done = site.once().expect_code(1);
    assert!(done.all().contains("render.patches[0]"), "{}", done.all());
}

#[test]
fn a_workload_that_asks_for_it_rolls_out_when_its_configuration_changes() {
    let web = deployment("web", "web:1")
        .replace("  name: web\nspec", "  name: web\n  annotations: {driftless.dev/restart-on-change: 'true'}\nspec")
        + "          envFrom: [{configMapRef: {name: c}}]\n";
    let other = deployment("other", "web:1") + "          envFrom: [{configMapRef: {name: c}}]\n";
    let site = Site::of_shop(&[("web.yaml", &web), ("other.yaml", &other), ("c.yaml", &config_map("c", "1"))]);
    site.once().expect_code(0);
    let generation = |name: &str| site.get("deployments.apps", name).unwrap()["metadata"]["generation"].clone();
    assert_eq!((generation("web"), generation("other")), (json!(1), json!(1)));
    site.once().expect_code(0);
    assert_eq!(generation("web"), 1);
    site.repo.commit(&[("c.yaml", &config_map("c", "2"))]);
    site.once().expect_code(0);
    assert_eq!((generation("web"), generation("other")), (json!(2), json!(1)));
    site.cli(&["plan"]).expect_code(0);
}

#[test]
fn a_checkout_is_rendered_and_planned_like_a_commit() {
    let files = [
        ("o/kustomization.yaml", "resources: [../b]\nnamePrefix: x-\n"),
        ("b/kustomization.yaml", "resources: [c.yaml]\n"),
        ("b/c.yaml", &config_map("c", "1")),
    ];
    let site = site(&files, "o", &json!({}));
    site.once().expect_code(0);
    site.repo.write("b/c.yaml", config_map("c", "2"));
    let local = site.repo.work().display().to_string();
    let plan = site.cli(&["plan", "--local", &local]).expect_code(2).stdout;
    assert!(plan.contains("x-c") && plan.contains('2'), "{plan}");
    let rendered = site.cli(&["render", "--local", &local]).expect_code(0).stdout;
    assert!(rendered.contains("name: x-c") && rendered.contains("b/c.yaml"), "{rendered}");
    site.cli(&["plan"]).expect_code(0);
}
