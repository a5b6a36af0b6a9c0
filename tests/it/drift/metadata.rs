//! What makes an object ours, lost and put back: label, annotations, ownership of fields, and the
//! object itself.

use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};
use crate::support::watched::{commit, watched};

const PART_OF: &str = "applyset.kubernetes.io/part-of";
const DIGEST: &str = "driftless.dev/digest";

fn metadata(site: &Site, name: &str) -> Value {
    site.get("configmaps", name).expect("it exists")["metadata"].clone()
}

/// Scenario 19
#[test]
fn our_label_and_every_annotation_of_git_are_put_back_by_one_write_each() {
    let annotations = "annotations: {client.lifecycle.config.k8s.io/deletion: detach, driftless.dev/replace: 'true'}";
    let file = config_map("a", "1").replace("metadata:", &format!("metadata:\n  {annotations}"));
    let (site, agent) = watched(&[("a.yaml", &file)]);
    let ours = |site: &Site| {
        let metadata = metadata(site, "a");
        (metadata["labels"].clone(), metadata["annotations"].clone())
    };
    let before = ours(&site);
    let mark = audit::mark();
    let changes = [
        json!({"labels": {PART_OF: null}}),
        json!({"annotations": {DIGEST: null}}),
        json!({"annotations": {DIGEST: "sha256:0000"}}),
        json!({"annotations": {"client.lifecycle.config.k8s.io/deletion": null}}),
        json!({"annotations": {"driftless.dev/replace": "false"}}),
        json!({"labels": null, "annotations": null}),
    ];
    for (number, change) in (1_u32..).zip(&changes) {
        site.edit("configmaps", "a", "stripper", &json!({"metadata": change}));
        eventually(&format!("label and annotations are back after {change}"), || {
            let now = ours(&site);
            check(now == before, format!("{now:?}"))
        });
        eventually("it is counted", || {
            let healed = agent.metric("driftless_drift_healed_total", &["kind=\"ConfigMap\""]);
            check(healed == Some(f64::from(number)), format!("{healed:?}"))
        });
    }
    let Some(mark) = mark else { return };
    let writes = site.writes(mark);
    let of_a: Vec<_> = writes.iter().filter(|write| write.what.ends_with("/a")).collect();
    assert_eq!(of_a.len(), changes.len(), "{of_a:#?}");
}

/// Scenario 19, where the label was given to another set
#[test]
fn an_object_that_somebody_gave_to_another_set_is_left_alone_until_it_is_given_back() {
    let (site, agent) = watched(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let ours = metadata(&site, "a")["labels"][PART_OF].clone();
    let give = |set: &Value| site.edit("configmaps", "a", "giver", &json!({"metadata": {"labels": {PART_OF: set}}}));
    give(&json!("applyset-somebody-else-v1"));
    let status = agent.eventually_is("shop", "Failing");
    assert!(status["problems"].to_string().contains("applyset-somebody-else-v1"), "{status}");
    site.edit("configmaps", "a", "other", &json!({"data": {"value": "theirs"}}));
    site.edit("configmaps", "b", "tuner", &json!({"data": {"value": "by hand"}}));
    site.eventually_has("b", "1");
    agent.passes("shop", 1);
    assert_eq!(site.value_of("a").as_deref(), Some("theirs"));
    give(&ours);
    site.eventually_has("a", "1");
    agent.eventually_synced("shop", &site.repo.head());
}

/// Scenario 20
#[test]
fn wiped_ownership_is_put_back_and_a_field_that_leaves_git_still_vanishes() {
    let (site, agent) = watched(&[("a.yaml", &(config_map("a", "1") + "  old: '1'\n"))]);
    site.edit("configmaps", "a", "wiper", &json!({"metadata": {"managedFields": [{}]}}));
    agent.eventually_logs(&["drift in ConfigMap", "/a"]);
    let ours = |entry: &&Value| entry["manager"] == "driftless" && entry["operation"] == "Apply";
    eventually("our entry is back", || {
        let entries = metadata(&site, "a")["managedFields"].clone();
        check(entries.as_array().is_some_and(|entries| entries.iter().any(|entry| ours(&entry))), entries)
    });
    eventually("it is reported", || {
        let drift = agent.sync("shop")["drift"].clone();
        check(drift[0]["healed"] == true, drift)
    });
    let drift = agent.sync("shop")["drift"].clone();
    assert_eq!(drift[0]["blame"]["manager"], Value::Null, "nobody signed for it: {drift}");

    site.edit("configmaps", "a", "tuner", &json!({"data": {"value": "by hand"}}));
    site.eventually_has("a", "1");
    agent.eventually_logs(&["drift in ConfigMap", "/a", "tuner changed data.value from 1 to by hand"]);
    commit(&site, &agent, &[("a.yaml", &config_map("a", "1"))]);
    assert_eq!(site.get("configmaps", "a").expect("it exists")["data"], json!({"value": "1"}));
}

/// Scenario 35: what is done to four objects while the agent does not run.
fn meddle(site: &Site) {
    let mover =
        |set: &Value| site.edit("configmaps", "moved", "mover", &json!({"metadata": {"labels": {PART_OF: set}}}));
    let ours = metadata(site, "moved")["labels"][PART_OF].clone();
    mover(&Value::Null);
    site.edit("configmaps", "moved", "editor", &json!({"data": {"value": "by hand"}}));
    mover(&ours);

    site.delete("configmaps", "remade");
    let remade =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "remade"}, "data": {"value": "theirs"}});
    let collection = path("configmaps", Some(&site.namespace), "") + "?fieldManager=maker";
    cluster().ask(&Method::POST, &collection, "application/json", Some(&remade)).expect("it is created");

    site.edit("configmaps", "back", "tuner", &json!({"data": {"value": "by hand"}}));
    site.edit("configmaps", "back", "tuner", &json!({"data": {"value": "1"}}));
    site.edit(
        "configmaps",
        "theirs",
        "neighbour",
        &json!({"data": {"other": "x"}, "metadata": {"labels": {"team": "b"}}}),
    );
}

fn four() -> (Site, Agent) {
    let names = ["moved", "remade", "back", "theirs"];
    let files = names.map(|name| (format!("{name}.yaml"), config_map(name, "1")));
    watched(&files.each_ref().map(|(name, text)| (&**name, &**text)))
}

/// Nothing is missed, and nobody is blamed for what they did not do.
#[track_caller]
fn assert_right(site: &Site, agent: &Agent) {
    for name in ["moved", "remade", "back", "theirs"] {
        site.eventually_has(name, "1");
    }
    for name in ["moved", "remade", "back"] {
        eventually("its fields are ours again", || {
            let entries = metadata(site, name)["managedFields"].clone();
            let is_ours = |entry: &Value| entry["manager"] == "driftless" && entry["operation"] == "Apply";
            let ours = entries.as_array().into_iter().flatten().find(|entry| is_ours(entry));
            check(ours.is_some_and(|ours| ours["fieldsV1"]["f:data"]["f:value"].is_object()), entries)
        });
    }
    eventually("the drift of three objects is reported as healed", || {
        let drift = agent.sync("shop")["drift"].clone();
        let healed = drift.as_array().map_or(0, |drift| drift.iter().filter(|one| one["healed"] == true).count());
        check(healed == 3, drift)
    });
    let drift = agent.sync("shop")["drift"].clone();
    let manager = |name: &str| {
        let mut of_it = drift.as_array().expect("a list").iter().filter(|one| one["object"].to_string().contains(name));
        let one = of_it.next().unwrap_or_else(|| panic!("nothing is reported of {name}: {drift}"));
        assert!(of_it.next().is_none(), "reported once: {drift}");
        let fields = one["blame"]["fields"].as_array().cloned().unwrap_or_default();
        let value = fields.into_iter().find(|field| field["path"] == "data.value").unwrap_or_default();
        if value["manager"].is_string() { value["manager"].clone() } else { one["blame"]["manager"].clone() }
    };
    assert_eq!(manager("moved"), "editor");
    assert_eq!(manager("remade"), "maker");
    assert_eq!(manager("back"), "tuner");
    assert!(!drift.to_string().contains("neighbour"), "{drift}");
    let live = site.get("configmaps", "theirs").expect("it exists");
    assert_eq!((&live["data"]["other"], &live["metadata"]["labels"]["team"]), (&json!("x"), &json!("b")));
    agent.eventually_synced("shop", &site.repo.head());
}

/// Scenario 35, with all of it delivered in one burst
#[test]
fn an_agent_that_stood_still_heals_what_is_wrong_then_and_blames_who_did_it() {
    let (site, agent) = four();
    let signal = |name: &str| {
        let killed = Command::new("kill").args([name, &agent.pid().to_string()]).status().expect("kill runs");
        assert!(killed.success());
    };
    signal("-STOP");
    meddle(&site);
    signal("-CONT");
    assert_right(&site, &agent);
}

/// Scenario 35, with only the last state delivered
#[test]
fn an_agent_that_was_away_heals_what_is_wrong_when_it_comes_back_and_blames_who_did_it() {
    let (site, agent) = four();
    agent.stop();
    meddle(&site);
    let agent = Agent::start(&site);
    assert_right(&site, &agent);
}
