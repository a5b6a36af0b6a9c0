//! Commits that cannot get on by themselves: what git adds is refused as long as what it removes is
//! there, and nothing is pruned as long as something is refused. A person lets it through.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

const HOOKS: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";

/// A Service with a fixed node port.
fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  type: NodePort\n  selector: {{app: web}}\n  \
         ports: [{{port: 80, nodePort: {port}}}]\n"
    )
}

fn some_port() -> u16 {
    30_000 + fastrand::u16(..2_700)
}

/// A synced site whose Service `old` is then renamed to `new`, with its fixed node port.
fn renamed() -> (Site, u16) {
    let port = some_port();
    let site = Site::of_shop(&[("old.yaml", &service("old", port)), ("a.yaml", &config_map("a", "1"))]);
    site.once().expect_code(0);
    site.repo.remove("old.yaml");
    site.repo.commit(&[("new.yaml", &service("new", port))]);
    (site, port)
}

#[test]
fn a_renamed_service_with_a_fixed_node_port_is_let_through_by_an_approval() {
    let (site, port) = renamed();
    let agent = Agent::start(&site);
    let status = eventually("the block is named", || {
        let status = agent.sync("shop");
        if status["held"].is_object() { Ok(status) } else { Err(status) }
    });
    assert_eq!(status["phase"], "Failing", "{status}");
    assert_eq!((&status["held"]["prune"], &status["held"]["total"]), (&json!(1), &json!(2)), "{status}");
    let message = status["message"].as_str().expect("a message");
    for part in ["already allocated", "new.yaml:1", "1 object that left git is kept", "/old", "driftless approve shop"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    let reason = status["held"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("/new"), "{reason}");
    agent.eventually_logs(&["not pruning 1 of 2 objects", "driftless approve shop"]);
    let status = site.cli(&["status"]).expect_code(3).stdout;
    assert!(status.contains("driftless approve shop") && status.contains("already allocated"), "{status}");
    agent.passes("shop", 2);
    assert!(site.has("services", "old") && !site.has("services", "new"), "nothing is pruned without approval");

    let approved = site.cli(&["approve", "shop"]).expect_code(0).stdout;
    assert!(approved.contains("1 of 2"), "{approved}");
    agent.eventually_synced("shop", &site.repo.head());
    assert!(!site.has("services", "old"));
    let live = site.get("services", "new").expect("it is there");
    assert_eq!(live["spec"]["ports"][0]["nodePort"], port);
    assert_eq!(agent.sync("shop")["held"], Value::Null);
    assert_eq!(agent.metric("driftless_prune_held_objects", &["sync=\"shop\""]), Some(0.0));
}

#[test]
fn a_plan_lists_no_prune_that_a_run_would_not_do_and_says_what_it_waits_for() {
    let (site, _) = renamed();
    let plan = site.cli(&["plan"]).expect_code(1);
    let text = plan.all();
    assert!(plan.stdout.contains("0 to prune") && !plan.stdout.contains("- prune"), "{text}");
    for part in ["already allocated", "/old", "/new", "driftless approve shop"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let run = site.once().expect_code(1).all();
    assert!(run.contains("driftless approve shop") && run.contains("already allocated"), "{run}");
    assert!(site.has("services", "old"));

    site.cli(&["approve", "shop"]).expect_code(0);
    let plan = site.cli(&["plan"]).expect_code(1).stdout;
    assert!(plan.contains("1 to prune"), "what is approved is planned: {plan}");
    site.once().expect_code(0);
    assert!(site.has("services", "new") && !site.has("services", "old"));
    site.cli(&["plan"]).expect_code(0);
}

#[test]
fn what_was_approved_is_only_what_was_shown() {
    let (site, _) = renamed();
    let agent = Agent::start(&site);
    let held = |count: u64| {
        eventually("the block is named", || {
            let status = agent.sync("shop");
            if status["held"]["prune"] == count { Ok(status["held"].clone()) } else { Err(status) }
        })
    };
    held(1);
    let first = site.repo.head();
    // Another commit removes more than was shown.
    site.repo.remove("a.yaml");
    site.repo.commit_all("without a");
    held(2);
    site.cli(&["approve", "shop", "--commit", &first]).expect_code(1);
    agent.passes("shop", 2);
    assert!(site.has("services", "old") && site.has("configmaps", "a"));
}

#[test]
fn an_approval_of_the_guard_does_not_let_errors_pass() {
    let port = some_port();
    let files: Vec<(String, String)> =
        (0..8).map(|number| (format!("{number}.yaml"), config_map(&format!("c{number}"), "1"))).collect();
    let mut all: Vec<(&str, &str)> = files.iter().map(|(file, content)| (&**file, &**content)).collect();
    let old = service("old", port);
    all.push(("old.yaml", &old));
    let site = Site::of_shop(&all);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    for number in 0..6 {
        site.repo.remove(&format!("{number}.yaml"));
    }
    site.repo.remove("old.yaml");
    let commit = site.repo.commit(&[("new.yaml", &service("new", port))]);
    let held = |words: &str| {
        eventually(&format!("it is held for {words}"), || {
            let status = agent.sync("shop");
            let held = status["held"]["reason"].as_str().is_some_and(|reason| reason.contains(words));
            if held { Ok(status) } else { Err(status) }
        })
    };
    held("prune.maxPercent");
    site.cli(&["approve", "shop"]).expect_code(0);
    held("/new");
    agent.passes("shop", 2);
    assert_eq!(site.config_maps().len(), 8, "the guard was approved, and the error was not");
    site.cli(&["approve", "shop"]).expect_code(0);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps(), ["c6", "c7"]);
}

/// A webhook configuration without a backend, which refuses what the agent does to `ConfigMap`s.
fn dead_hook(site: &Site, name: &str) -> String {
    let only = format!("request.userInfo.username == '{}'", site.user());
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": [{"name": format!("{name}.example.com"), "failurePolicy": "Fail",
            "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 2,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"]}],
            "matchConditions": [{"name": "agent", "expression": only}],
            "clientConfig": {"service": {"name": "nobody", "namespace": site.namespace}}}]})
    .to_string()
}

/// A site whose repository has such a webhook configuration, and an agent that is synced to it.
fn hooked() -> (Site, Agent, String) {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let name = format!("hook-{}", site.id);
    let hook = site.cluster_scoped(HOOKS, &name);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let commit = site.repo.commit(&[("hook.yaml", &dead_hook(&site, &name))]);
    agent.eventually_synced("shop", &commit);
    (site, agent, hook)
}

#[track_caller]
fn assert_let_through(site: &Site, agent: &Agent, hook: &str) {
    eventually("the block is named", || {
        let status = agent.sync("shop");
        let named = status["held"]["reason"].as_str().is_some_and(|reason| reason.contains("/a"));
        check(named && status["message"].to_string().contains("driftless approve shop"), status)
    });
    agent.passes("shop", 1);
    assert!(cluster().get(hook).is_some(), "it is not pruned without approval");
    site.cli(&["approve", "shop"]).expect_code(0);
    agent.eventually_synced("shop", &site.repo.head());
    assert!(cluster().get(hook).is_none());
}

#[test]
fn a_webhook_configuration_that_refuses_what_git_changes_goes_by_an_approval() {
    if cluster().is_foreign() {
        // There the agent has another name.
        return;
    }
    let (site, agent, hook) = hooked();
    site.repo.remove("hook.yaml");
    site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    assert_let_through(&site, &agent, &hook);
    assert_eq!(site.value_of("a").as_deref(), Some("2"));
}

#[test]
fn a_webhook_configuration_that_refuses_the_healing_of_drift_goes_by_an_approval() {
    if cluster().is_foreign() {
        return;
    }
    let (site, agent, hook) = hooked();
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    eventually("it cannot be healed", || {
        let status = agent.sync("shop");
        check(status["problems"].to_string().contains("could not be healed"), status)
    });
    site.repo.remove("hook.yaml");
    site.repo.commit_all("without the webhook");
    assert_let_through(&site, &agent, &hook);
    assert_eq!(site.value_of("a").as_deref(), Some("1"));
}

#[test]
fn an_atomic_sync_is_let_through_likewise() {
    let port = some_port();
    let site = Site::with(&[("old.yaml", &service("old", port)), ("a.yaml", &config_map("a", "1"))]);
    let mut sync = site.sync("shop");
    sync["atomic"] = json!(true);
    site.configure(&[sync]);
    site.once().expect_code(0);
    site.repo.remove("old.yaml");
    site.repo.commit(&[("new.yaml", &service("new", port)), ("b.yaml", &config_map("b", "1"))]);
    let text = site.once().expect_code(1).all();
    assert!(text.contains("driftless approve shop"), "{text}");
    assert_eq!(site.config_maps(), ["a"], "nothing of it is written");
    site.cli(&["approve", "shop"]).expect_code(0);
    site.once().expect_code(0);
    assert_eq!(site.config_maps(), ["a", "b"]);
    assert!(site.has("services", "new") && !site.has("services", "old"));
}

#[test]
fn an_orphan_that_is_kept_for_an_object_that_is_not_to_be_replaced_can_be_let_go() {
    let claim = |class: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: data\n  annotations: \
             {{driftless.dev/replace: \"true\"}}\nspec:\n  storageClassName: {class}\n  accessModes: \
             [ReadWriteOnce]\n  resources: {{requests: {{storage: 1Gi}}}}\n"
        )
    };
    let site = Site::with(&[("data.yaml", &claim("one")), ("old.yaml", &config_map("old", "1"))]);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    site.once().expect_code(0);
    let before = site.get("persistentvolumeclaims", "data").expect("it is there")["metadata"]["uid"].clone();
    site.repo.remove("old.yaml");
    site.repo.commit(&[("data.yaml", &claim("two"))]);
    let plan = site.cli(&["plan"]).expect_code(1).all();
    assert!(plan.contains("0 to prune") && plan.contains("driftless approve shop"), "{plan}");
    site.once().expect_code(1);
    assert!(site.has("configmaps", "old"));
    site.cli(&["approve", "shop"]).expect_code(0);
    site.once().expect_code(1);
    assert!(!site.has("configmaps", "old"), "what was approved is gone, and the error stays");
    let after = site.get("persistentvolumeclaims", "data").expect("it is there")["metadata"]["uid"].clone();
    assert_eq!(before, after, "an approval of this is none of a replacement");
}

#[test]
fn nothing_is_offered_while_it_is_not_known_what_git_declares() {
    let (site, _) = renamed();
    site.repo.commit(&[("broken.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [\n")]);
    let agent = Agent::start(&site);
    let status = agent.eventually_is("shop", "Failing");
    assert_eq!(status["held"], Value::Null, "{status}");
    site.cli(&["approve", "shop"]).expect_code(1);
    // Not by an annotation that somebody sets by hand either.
    let parent = path("configmaps", Some(&site.home), "driftless-shop");
    let approve = json!({"metadata": {"annotations": {"driftless.dev/approve": site.repo.head()}}});
    cluster().merge(&parent, "somebody", &approve);
    agent.passes("shop", 2);
    assert!(site.has("services", "old"));
}
