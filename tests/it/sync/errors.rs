//! Errors stay where they are: with one object, one file, one sync.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};

/// The API server refuses its port.
const REFUSED: &str =
    "# A comment first.\napiVersion: v1\nkind: Service\nmetadata:\n  name: refused\nspec:\n  ports: [{port: 99999}]\n";

/// Scenarios 12 and 13
#[test]
fn one_refused_object_stops_no_other_and_prunes_nothing_and_drift_is_still_healed() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("old.yaml", &config_map("old", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.repo.remove("old.yaml");
    let documents = format!("{}---\n{REFUSED}", config_map("beside", "1"));
    site.repo.commit(&[("z/many.yaml", &documents), ("b.yaml", &config_map("b", "1"))]);

    let status = agent.eventually_is("shop", "Failing");
    let problems = status["problems"].to_string();
    let object = format!("Service {}/refused", site.namespace);
    agent.eventually_logs(&["ERROR", &object, "z/many.yaml:", "99999"]);
    assert!(problems.contains("z/many.yaml") && problems.contains("refused"), "{problems}");
    assert_eq!(site.config_maps(), ["a", "b", "beside", "old"], "all others are applied, and nothing is pruned");

    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("the drift of another object is healed", || {
        let value = site.value_of("a");
        check(value.as_deref() == Some("1"), format!("{value:?}"))
    });
    assert_eq!(agent.sync("shop")["phase"], "Failing");
    assert!(site.has("configmaps", "old"));
}

/// Scenario 14
#[test]
fn a_good_commit_after_a_failing_one_is_picked_up_at_once() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("refused.yaml", REFUSED)]);
    let agent = Agent::start(&site);
    agent.eventually_is("shop", "Failing");
    let good = site.repo.commit(&[("refused.yaml", &REFUSED.replace("99999", "80"))]);
    agent.eventually_synced("shop", &good);
    assert!(site.has("services", "refused"));
}

/// Scenario 14
#[test]
fn a_good_commit_is_not_kept_waiting_by_one_that_never_gets_healthy() {
    if !cluster().runs_workloads() {
        return;
    }
    let unschedulable = deployment("web", "nginx")
        .replace("      containers:\n", "      nodeSelector: {no-such: node}\n      containers:\n");
    let site = Site::with(&[("web.yaml", &unschedulable)]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!("1h");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    let status = agent.eventually_is("shop", "Progressing");
    assert!(status["message"].as_str().is_some_and(|text| text.contains("1 of 1")), "{status}");
    let good = site.repo.commit(&[("web.yaml", &deployment("web", "nginx"))]);
    agent.eventually_synced("shop", &good);
    let live = site.get("deployments.apps", "web").expect("it exists");
    assert!(live["spec"]["template"]["spec"].get("nodeSelector").is_none(), "{live}");
}

/// Scenario 15
#[test]
fn an_aggregated_api_that_is_down_costs_only_its_own_kinds() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("old.yaml", &config_map("old", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    let group = format!("{}.example.com", site.id);
    let service = site.cluster_scoped("apiservices.apiregistration.k8s.io", &format!("v1.{group}"));
    let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("v1.{group}")},
        "spec": {"group": group, "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"name": "nobody", "namespace": site.namespace}}});
    cluster().create("/apis/apiregistration.k8s.io/v1/apiservices", &object);
    site.repo.remove("old.yaml");
    let down = format!("apiVersion: {group}/v1\nkind: Gauge\nmetadata: {{name: one}}\n");
    site.repo.commit(&[("gauge.yaml", &down), ("b.yaml", &config_map("b", "1"))]);

    let status = agent.eventually_is("shop", "Failing");
    let problems = status["problems"].to_string();
    assert!(problems.contains("gauge.yaml") && problems.contains("Gauge"), "{problems}");
    eventually("the others are applied", || check(site.has("configmaps", "b"), "no ConfigMap b"));
    agent.passes("shop", 1);
    assert_eq!(site.config_maps(), ["a", "b", "old"], "nothing is pruned");
    // The whole cluster's discovery suffers while it is there.
    cluster().delete(&service);
}

/// Scenario 16
#[test]
fn two_files_that_declare_one_object_are_an_error_that_names_both() {
    let site = Site::of_shop(&[
        ("a.yaml", &config_map("same", "one")),
        ("nested/b.yaml", &format!("\n\n{}", config_map("same", "two"))),
        ("other.yaml", &config_map("other", "1")),
    ]);
    let failed = site.once().expect_code(1);
    let text = failed.all();
    assert!(text.contains("a.yaml:1") && text.contains("nested/b.yaml:3"), "{text}");
    assert_eq!(site.config_maps(), ["other"], "neither is applied, the rest is");
}

/// Scenario 16
#[test]
fn a_kind_that_the_cluster_does_not_have_is_an_error_of_that_object() {
    let unknown = "apiVersion: nowhere.example.com/v1\nkind: Nothing\nmetadata: {name: odd}\n";
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("unknown.yaml", unknown)]);
    let text = site.once().expect_code(1).all();
    assert!(text.contains("unknown.yaml:1") && text.contains("no kind Nothing"), "{text}");
    assert_eq!(site.config_maps(), ["a"]);
}

#[test]
fn a_field_that_the_schema_does_not_know_is_an_error_with_its_name() {
    let typo = deployment("web", "nginx").replace("replicas: 1", "replica: 1");
    let site = Site::of_shop(&[("web.yaml", &typo)]);
    let text = site.once().expect_code(1).all();
    assert!(text.contains("web.yaml:1") && text.contains("replica"), "{text}");
    assert!(!site.has("deployments.apps", "web"));
}

#[test]
fn a_failing_sync_recovers_without_a_new_commit_and_holds_up_no_other() {
    let site = Site::with(&[("good/a.yaml", &config_map("a", "1"))]);
    let missing = format!("later-{}", site.id);
    let homeless = config_map("b", "1").replace("  name: b\n", &format!("  name: b\n  namespace: {missing}\n"));
    site.repo.commit(&[("bad/b.yaml", &homeless)]);
    let [mut bad, mut good] = [site.sync("bad"), site.sync("good")];
    bad["path"] = json!("bad");
    good["path"] = json!("good");
    site.configure(&[bad, good]);
    let agent = Agent::start(&site);
    let status = agent.eventually_is("bad", "Failing");
    assert!(status["problems"].to_string().contains(&missing), "{status}");
    agent.eventually_synced("good", &site.repo.head());

    site.cluster_scoped("namespaces", &missing);
    site.make_namespace(&missing);
    agent.eventually_synced("bad", &site.repo.head());
    assert!(cluster().get(&path("configmaps", Some(&missing), "b")).is_some());
}

#[test]
fn a_secret_is_seen_nowhere_but_in_the_secret() {
    let secret = |value: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: login}}\nstringData: {{password: {value}}}\n")
    };
    let refused = "apiVersion: v1\nkind: Secret\nmetadata: {name: broken}\ntype: kubernetes.io/dockerconfigjson\n\
                   stringData: {.dockerconfigjson: correct-horse-three}\n";
    let site = Site::of_shop(&[("secret.yaml", &secret("correct-horse-one")), ("refused.yaml", refused)]);
    let agent = Agent::start_with(&site, |command| {
        command.env("DRIFTLESS_LOG", "trace,hyper=trace,kube=trace,tower=trace,h2=trace");
    });
    agent.eventually_is("shop", "Failing");
    site.edit("secrets", "login", "kubectl-edit", &json!({"stringData": {"password": "correct-horse-four"}}));
    let healed = |value: &'static str| {
        eventually("the Secret is as in git", || {
            use base64::Engine as _;
            let live = site.get("secrets", "login").expect("it exists")["data"]["password"].clone();
            check(live == *base64::engine::general_purpose::STANDARD.encode(value), live)
        });
    };
    healed("correct-horse-one");
    site.repo.commit(&[("secret.yaml", &secret("correct-horse-two"))]);
    healed("correct-horse-two");
    agent.passes("shop", 1);

    let parent = site.parent("shop").expect("a parent").to_string();
    let texts = [agent.metrics(), agent.status().to_string(), agent.log().join("\n"), parent];
    assert!(texts[2].contains("DEBUG") || texts[2].contains("TRACE"), "the log is at its loudest");
    for text in &texts {
        // "correct-horse" in clear text, and as the start of a base64 text.
        for needle in ["correct-horse", "Y29ycmVjdC1ob3JzZ"] {
            let place = text.find(needle);
            assert!(place.is_none(), "{}", &text[place.unwrap_or(0).saturating_sub(200)..]);
        }
    }
    if audit::mark().is_some() {
        let events = cluster().get("/api/v1/events").expect("a list").to_string();
        assert!(!events.contains("correct-horse"));
    }
}
