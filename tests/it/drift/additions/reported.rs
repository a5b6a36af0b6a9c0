//! Where additions are shown, what is not shown of them, and what they cost.

use serde_json::{Value, json};

use super::fixture::{detected, kubectl, pod};
use crate::support::agent::Agent;
use crate::support::audit::{self, Asked};
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};
use crate::support::watched::{daily, watched, watched_with};

/// Requests for one object, and not those for Events about it.
fn of_object(site: &Site, mark: audit::Mark, name: &str) -> Vec<String> {
    let is_of = |asked: &&Asked| asked.what.ends_with(&format!("/{name}")) && asked.verb != "watch";
    let asked = site.requests(mark);
    asked.iter().filter(is_of).map(|asked| format!("{}{}", asked.verb, if asked.dry { " (dry)" } else { "" })).collect()
}

#[test]
fn a_heal_of_a_declared_field_costs_one_read_and_one_write_and_quiet_additions_cost_none() {
    let (site, agent) = watched(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let Some(mark) = audit::mark() else { return };
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"value": "by hand"}}));
    agent.eventually_logs(&["/a healed after"]);
    assert_eq!(of_object(&site, mark, "a"), ["get", "patch"]);

    let mark = audit::mark().expect("an audit log");
    site.edit("configmaps", "b", "kubectl-edit", &json!({"data": {"extra": "by hand"}}));
    agent.eventually_logs(&["/b healed after"]);
    assert_eq!(of_object(&site, mark, "b"), ["get", "patch (dry)", "get", "patch", "patch"]);

    // Controllers and people who only label cost nothing.
    let mark = audit::mark().expect("an audit log");
    for number in 0..20 {
        site.edit("configmaps", "a", "my-operator", &json!({"data": {"cert": number.to_string()}}));
        site.edit("configmaps", "b", "kubectl-label", &json!({"metadata": {"labels": {"n": number.to_string()}}}));
    }
    agent.passes("shop", 3);
    let asked: Vec<String> = [of_object(&site, mark, "a"), of_object(&site, mark, "b")].concat();
    assert_eq!(asked, [""; 0]);
}

#[test]
fn additions_made_while_the_agent_was_away_are_found_and_reported_at_its_start() {
    let (site, agent) = watched(&[("a.yaml", &config_map("a", "1")), ("web.yaml", &deployment("web", "nginx"))]);
    let before = pod(&site);
    agent.stop();
    site.edit("configmaps", "a", "k9s", &json!({"data": {"extra": "by hand"}}));
    kubectl(&site, &["set", "env", "deployment/web", "A=1"]);
    let agent = Agent::start(&site);
    agent.eventually_logs(&["drift in ConfigMap", "/a", "k9s added data.extra (by hand)"]);
    agent.eventually_logs(&["drift in Deployment", "/web", "kubectl-set added"]);
    eventually("both are gone", || {
        let data = site.get("configmaps", "a").expect("it exists")["data"].clone();
        check(data == json!({"value": "1"}) && pod(&site) == before, format!("{data}"))
    });
}

#[test]
fn a_plan_shows_what_it_would_remove_and_exits_with_2() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("web.yaml", &deployment("web", "nginx"))]);
    site.once().expect_code(0);
    site.cli(&["plan"]).expect_code(0);
    site.edit("configmaps", "a", "Mozilla", &json!({"data": {"extra": "by hand"}, "metadata": {"labels": {"x": "y"}}}));
    kubectl(&site, &["set", "env", "deployment/web", "A=1"]);
    let plan = site.cli(&["plan"]).expect_code(2).stdout;
    for part in
        ["added by hand: Mozilla added data.extra (by hand)", "-  extra: by hand", "- name: A", "2 to configure"]
    {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    assert!(!plan.contains("x: \"y\"") || !plan.contains("-    x:"), "{plan}");
    let json: Value =
        serde_json::from_str(&site.cli(&["plan", "--output", "json"]).expect_code(2).stdout).expect("JSON");
    assert!(json[0]["steps"][0]["fields"].to_string().contains("data.extra"), "{json:#}");
    let explained = site.cli(&["explain", "configmap/a", "-n", &site.namespace]).expect_code(0).stdout;
    assert!(explained.contains("drifted: ") && explained.contains("by Mozilla: data.extra (by hand)"), "{explained}");
    let once = site.once().expect_code(0).all();
    assert!(once.contains("Mozilla added data.extra (by hand)"), "{once}");
    site.cli(&["plan"]).expect_code(0);
    let live = site.get("configmaps", "a").expect("it exists");
    assert_eq!((&live["data"], &live["metadata"]["labels"]["x"]), (&json!({"value": "1"}), &json!("y")));
}

#[test]
fn a_commit_removes_additions_along_with_what_it_changes_and_reports_them() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    site.once().expect_code(0);
    site.edit("configmaps", "a", "Lens", &json!({"data": {"extra": "by hand"}}));
    site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    let plan = site.cli(&["plan"]).expect_code(2).stdout;
    assert!(
        plan.contains("-  extra: by hand") && plan.contains("+  value: '2'") || plan.contains("+  value: \"2\""),
        "{plan}"
    );
    let once = site.once().expect_code(0).all();
    assert!(once.contains("Lens added data.extra (by hand)"), "{once}");
    assert_eq!(site.get("configmaps", "a").expect("it exists")["data"], json!({"value": "2"}));
    site.cli(&["plan"]).expect_code(0);
}

#[test]
fn a_key_added_to_a_secret_is_reported_without_its_value() {
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: canary-wanted}\n";
    let (site, agent) = watched(&[("s.yaml", secret)]);
    let change = json!({"stringData": {"extra": "canary-found"}});
    cluster().merge(&path("secrets", Some(&site.namespace), "s"), "kubectl-edit", &change);
    agent.eventually_logs(&["drift in Secret", "kubectl-edit added data.extra"]);
    agent.eventually_logs(&["Secret", "/s healed after"]);
    eventually("the key is gone", || {
        let data = site.get("secrets", "s").expect("it exists")["data"].clone();
        check(data["extra"].is_null(), data)
    });
    agent.stop();
    cluster().merge(&path("secrets", Some(&site.namespace), "s"), "kubectl-edit", &change);
    let plan = site.cli(&["plan"]).expect_code(2).all();
    assert!(plan.contains("extra: <hidden>"), "{plan}");
    let explained = site.cli(&["explain", "secret/s", "-n", &site.namespace]).expect_code(0).all();
    assert!(explained.contains("by kubectl-edit: data.extra"), "{explained}");
    let agent = Agent::start(&site);
    agent.eventually_logs(&["Secret", "/s healed after"]);
    let shown = format!("{plan}{explained}{}{}{}", agent.log().join("\n"), agent.status(), agent.metrics());
    for canary in ["canary", "Y2FuYXJ5"] {
        assert!(!shown.contains(canary), "{shown}");
    }
}

#[test]
fn a_manager_on_neither_list_is_named_once_and_left_alone() {
    let (site, agent) = watched(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    for name in ["a", "b"] {
        site.edit("configmaps", name, "tuner", &json!({"data": {"extra": "theirs"}}));
    }
    let note = || agent.sync("shop")["notes"].clone();
    eventually("it is named", || {
        let notes = note().to_string();
        check(notes.contains("tuner owns fields of it and of another object"), notes)
    });
    assert_eq!(note().as_array().map(Vec::len), Some(1), "{}", note());
    assert_eq!(detected(&agent), None);
    assert_eq!(site.get("configmaps", "a").expect("it exists")["data"]["extra"], "theirs");
    let explained = site.cli(&["explain", "configmap/a", "-n", &site.namespace]).expect_code(0).stdout;
    assert!(explained.contains("unknown") && explained.contains("tuner is known neither"), "{explained}");
    // What only informs is stored every 30 s at most.
    eventually("the status in the cluster names it, too", || {
        let status = site.cli(&["status"]).expect_code(0).stdout;
        check(status.contains("tuner owns fields of it"), status)
    });
}

#[test]
fn the_lists_can_be_extended_by_patterns() {
    let (site, agent) = watched_with(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))], |sync| {
        sync["drift"] = json!({"policy": "heal", "people": ["tun*"], "controllers": ["kubectl-patch"]});
    });
    site.edit("configmaps", "b", "kubectl-patch", &json!({"data": {"extra": "a controller's"}}));
    site.edit("configmaps", "a", "tuner", &json!({"data": {"extra": "by hand"}}));
    agent.eventually_logs(&["drift in ConfigMap", "/a", "tuner added data.extra"]);
    agent.eventually_logs(&["/a healed after"]);
    assert_eq!(site.get("configmaps", "b").expect("it exists")["data"]["extra"], "a controller's");

    // Another list counts at once, for what is there already.
    site.configure(&[daily(&site, "shop")]);
    agent.eventually_logs(&["drift in ConfigMap", "/b", "kubectl-patch added data.extra"]);
    agent.eventually_logs(&["/b healed after"]);
}

#[test]
fn wiped_managed_fields_make_nobodys_fields_additions() {
    let (site, agent) = watched(&[("web.yaml", &deployment("web", "nginx"))]);
    site.edit("deployments.apps", "web", "my-operator", &json!({"spec": {"minReadySeconds": 3}}));
    site.edit("deployments.apps", "web", "kubectl-edit", &json!({"metadata": {"managedFields": [{}]}}));
    agent.eventually_logs(&["/web healed after"]);
    let commit = site.repo.commit(&[("web.yaml", &deployment("web", "other"))]);
    agent.poll_now("shop");
    agent.eventually_synced("shop", &commit);
    let live = site.get("deployments.apps", "web").expect("it exists");
    assert_eq!(live["spec"]["minReadySeconds"], 3, "nobody knows who added it, so it stays");
    assert_eq!(detected(&agent), Some(1.0));
    let without = deployment("web", "other").replace("  replicas: 1\n", "");
    let commit = site.repo.commit(&[("web.yaml", &without)]);
    agent.poll_now("shop");
    agent.eventually_synced("shop", &commit);
    kubectl(&site, &["set", "env", "deployment/web", "A=1"]);
    agent.eventually_logs(&["kubectl-set added", "env[name=A]"]);
}
