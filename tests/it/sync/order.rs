//! Order between objects and between syncs, and types that are made on the way.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::cluster;
use crate::support::site::{Site, config_map, crd, deployment, thing};
use crate::support::wait::{check, eventually};

const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

fn site_of_things() -> (Site, String) {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    site.cluster_scoped(CRDS, &format!("things.{group}"));
    site.configure(&[site.sync("shop")]);
    (site, group)
}

fn annotated(manifest: &str, annotation: &str) -> String {
    manifest.replacen("metadata:\n", &format!("metadata:\n  annotations: {{{annotation}}}\n"), 1)
}

/// Scenario 25
#[test]
fn a_crd_and_its_custom_resources_come_in_one_commit() {
    let (site, group) = site_of_things();
    let place = format!("place-{}", site.id);
    site.cluster_scoped("namespaces", &place);
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {place}}}\n");
    let there = config_map("there", "1").replace("  name: there\n", &format!("  name: there\n  namespace: {place}\n"));
    // In the worst order of file names.
    site.repo.commit(&[
        ("1.yaml", &thing(&group, "one")),
        ("2.yaml", &there),
        ("8.yaml", &crd(&group)),
        ("9.yaml", &namespace),
    ]);
    site.once().expect_code(0);
    assert!(site.has(&format!("things.{group}"), "one"));
}

/// Scenario 26
#[test]
fn a_crd_that_somebody_deletes_comes_back_with_its_custom_resources() {
    let (site, group) = site_of_things();
    site.repo.commit(&[("crd.yaml", &crd(&group)), ("one.yaml", &thing(&group, "one"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let plural = format!("things.{group}");
    let before = site.get(&plural, "one").expect("it exists")["metadata"]["uid"].clone();
    cluster().kubectl(&["delete", "crd", &plural]);
    eventually("the custom resource is back", || match site.get(&plural, "one") {
        Some(live) if live["metadata"]["uid"] != before => Ok(()),
        other => Err(format!("{other:?}")),
    });
    agent.eventually_is("shop", "Synced");
}

/// Scenario 27
#[test]
fn a_crd_of_almost_one_mebibyte_is_applied() {
    let (site, group) = site_of_things();
    let description = "All that there is to say about it. ".repeat(25_500);
    let large =
        crd(&group).replace("type: object\n", &format!("type: object\n          description: {description:?}\n"));
    assert!(large.len() > 890_000 && large.len() < 1 << 20, "{}", large.len());
    site.repo.commit(&[("crd.yaml", &large), ("one.yaml", &thing(&group, "one"))]);
    site.once().expect_code(0);
    assert!(site.has(&format!("things.{group}"), "one"));
    let Some(mark) = audit::mark() else { return };
    site.once().expect_code(0);
    assert_eq!(site.writes(mark), []);
}

/// Scenario 28
#[test]
fn an_object_waits_for_the_health_of_what_it_depends_on() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = Site::with(&[]);
    let depends = format!("config.kubernetes.io/depends-on: apps/namespaces/{}/Deployment/db", site.namespace);
    let database = deployment("db", "postgres");
    site.repo.commit(&[
        ("a.yaml", &annotated(&deployment("web", "nginx"), &depends)),
        (
            "b.yaml",
            &database.replace("      containers:\n", "      nodeSelector: {no-such: node}\n      containers:\n"),
        ),
    ]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!("2s");
    site.configure(&[sync]);
    let text = site.once().expect_code(1).all();
    assert!(text.contains("web") && text.contains("db") && text.contains("depends on"), "{text}");
    assert!(site.has("deployments.apps", "db") && !site.has("deployments.apps", "web"));

    site.repo.commit(&[("b.yaml", &database)]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!("30s");
    site.configure(&[sync]);
    site.once().expect_code(0);
    assert!(site.has("deployments.apps", "web"));
}

/// Scenario 28: what waits for the health of one object holds up nobody else
#[test]
fn an_object_that_never_gets_healthy_delays_only_what_depends_on_it() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = Site::with(&[]);
    let on = |what: &str| format!("config.kubernetes.io/depends-on: {}", what.replace("NS", &site.namespace));
    let stuck = deployment("db", "postgres")
        .replace("      containers:\n", "      nodeSelector: {no-such: node}\n      containers:\n");
    let on_map = annotated(&deployment("cache", "redis"), &on("/namespaces/NS/ConfigMap/settings"));
    let on_cache = annotated(&deployment("front", "nginx"), &on("apps/namespaces/NS/Deployment/cache"));
    site.repo.commit(&[
        ("db.yaml", &stuck),
        ("web.yaml", &annotated(&deployment("web", "nginx"), &on("apps/namespaces/NS/Deployment/db"))),
        ("behind.yaml", &annotated(&config_map("behind", "1"), &on("apps/namespaces/NS/Deployment/web"))),
        ("settings.yaml", &config_map("settings", "1")),
        ("cache.yaml", &on_map),
        ("front.yaml", &on_cache),
    ]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!("10m");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    eventually("what does not depend on it is applied", || {
        let there = ["cache", "front"].map(|name| site.has("deployments.apps", name));
        check(there == [true; 2], format!("{there:?}"))
    });
    assert!(!site.has("deployments.apps", "web") && !site.has("configmaps", "behind"));
    // A newer commit ends the waiting.
    site.repo.commit(&[("settings.yaml", &config_map("settings", "2"))]);
    site.eventually_has("settings", "2");
    assert!(!site.has("deployments.apps", "web") && !site.has("configmaps", "behind"));
    site.repo.commit(&[("db.yaml", &deployment("db", "postgres"))]);
    agent.eventually_synced("shop", &site.repo.head());
    assert!(site.has("deployments.apps", "web") && site.has("configmaps", "behind"));
}

/// Scenario 28
#[test]
fn objects_that_depend_on_each_other_are_refused_with_the_circle_spelled_out() {
    let site = Site::with(&[]);
    let on = |name: &str| format!("config.kubernetes.io/depends-on: /namespaces/{}/ConfigMap/{name}", site.namespace);
    site.repo.commit(&[
        ("a.yaml", &annotated(&config_map("a", "1"), &on("b"))),
        ("b.yaml", &annotated(&config_map("b", "1"), &on("a"))),
        ("c.yaml", &config_map("c", "1")),
    ]);
    site.configure(&[site.sync("shop")]);
    let text = site.once().expect_code(1).all();
    let (a, b) = (format!("ConfigMap {}/a", site.namespace), format!("ConfigMap {}/b", site.namespace));
    let circle = |line: &str| line.matches(&a).count() + line.matches(&b).count() >= 3;
    assert!(text.lines().any(circle), "{text}");
    assert_eq!(site.config_maps(), ["c"]);
}

/// Scenario 28
#[test]
fn a_sync_begins_when_those_it_depends_on_are_synced() {
    let (site, group) = site_of_things();
    let gate = format!("gate-{}", site.id);
    site.cluster_scoped("namespaces", &gate);
    let behind = config_map("gate", "1").replace("  name: gate\n", &format!("  name: gate\n  namespace: {gate}\n"));
    site.repo.commit(&[
        ("infra/crd.yaml", &crd(&group)),
        ("infra/gate.yaml", &behind),
        ("shop/one.yaml", &thing(&group, "one")),
        ("shop/a.yaml", &config_map("a", "1")),
    ]);
    let [mut infra, mut shop] = [site.sync("infra"), site.sync("shop")];
    infra["path"] = json!("infra");
    shop["path"] = json!("shop");
    shop["dependsOn"] = json!(["infra"]);
    site.configure(&[shop, infra]);
    let agent = Agent::start(&site);
    agent.eventually_is("infra", "Failing");
    let status = agent.eventually_is("shop", "Pending");
    assert!(status["message"].as_str().is_some_and(|text| text.contains("infra")), "{status}");
    assert_eq!(site.config_maps(), [""; 0], "the dependent sync has not begun");

    site.make_namespace(&gate);
    agent.eventually_synced("infra", &site.repo.head());
    agent.eventually_synced("shop", &site.repo.head());
    assert!(site.has(&format!("things.{group}"), "one"));
}

/// Scenario 29
#[test]
fn an_immutable_field_is_reported_by_name_and_changed_only_with_the_opt_in() {
    let before = deployment("web", "nginx");
    let site = Site::with(&[("web.yaml", &before)]);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    site.once().expect_code(0);
    let uid = |site: &Site| -> Value { site.get("deployments.apps", "web").expect("there")["metadata"]["uid"].clone() };
    let first = uid(&site);

    let changed = before.replace("app: web", "app: shop-web");
    site.repo.commit(&[("web.yaml", &changed)]);
    let text = site.once().expect_code(1).all();
    assert!(text.contains("spec.selector") && text.contains("web.yaml:1"), "{text}");
    assert!(text.contains("driftless.dev/replace"), "it says what to do: {text}");
    assert_eq!(uid(&site), first);

    site.repo.commit(&[("web.yaml", &annotated(&changed, "driftless.dev/replace: \"true\""))]);
    site.once().expect_code(0);
    assert_ne!(uid(&site), first);
    let live = site.get("deployments.apps", "web").expect("it exists");
    assert_eq!(live["spec"]["selector"]["matchLabels"]["app"], "shop-web");
}

/// Scenario 30
#[test]
fn a_stuck_finalizer_is_reported_and_nothing_else_waits_for_it() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("stuck.yaml", &config_map("stuck", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let finalizer = "example.com/never";
    site.edit("configmaps", "stuck", "operator", &json!({"metadata": {"finalizers": [finalizer]}}));
    site.repo.remove("stuck.yaml");
    let second = site.repo.commit_all("without it");
    eventually("the finalizer is reported", || {
        let status = agent.sync("shop");
        check(status["notes"].to_string().contains(finalizer), status)
    });
    agent.eventually_synced("shop", &second);
    let third = site.repo.commit(&[("b.yaml", &config_map("b", "1"))]);
    agent.eventually_synced("shop", &third);
    assert_eq!(site.config_maps(), ["a", "b", "stuck"]);

    site.edit("configmaps", "stuck", "operator", &json!({"metadata": {"finalizers": null}}));
    eventually("it is gone from the inventory, too", || {
        let inventory = site.inventory("shop");
        check(!inventory.contains("stuck"), inventory)
    });
    assert_eq!(site.config_maps(), ["a", "b"]);
}

/// Scenario 30, of an object that git declares
#[test]
fn a_declared_object_that_is_being_deleted_is_waited_for_and_made_again() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("stuck.yaml", &config_map("stuck", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.edit("configmaps", "stuck", "operator", &json!({"metadata": {"finalizers": ["example.com/never"]}}));
    let before = site.get("configmaps", "stuck").expect("it exists")["metadata"]["uid"].clone();
    site.delete("configmaps", "stuck");
    site.repo.commit(&[("a.yaml", &config_map("a", "two"))]);
    eventually("the other object is applied", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("two"), format!("{value:?}"))
    });
    eventually("the finalizer is reported", || {
        let status = agent.sync("shop");
        check(status.to_string().contains("example.com/never"), status)
    });
    site.edit("configmaps", "stuck", "operator", &json!({"metadata": {"finalizers": null}}));
    eventually("it is made again", || match site.get("configmaps", "stuck") {
        Some(live) if live["metadata"]["uid"] != before => Ok(()),
        other => Err(format!("{other:?}")),
    });
    agent.eventually_synced("shop", &site.repo.head());
}
