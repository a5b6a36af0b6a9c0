//! Objects that several syncs of one agent name: who owns them, and when they change their owner.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::rights::{Account, every};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

const PART_OF: &str = "applyset.kubernetes.io/part-of";

/// A sync of the directory of its own name.
fn of_directory(site: &Site, name: &str) -> Value {
    let mut sync = site.sync(name);
    sync["path"] = json!(name);
    sync
}

#[track_caller]
fn uid(site: &Site, name: &str) -> Value {
    site.get("configmaps", name).expect("it exists")["metadata"]["uid"].clone()
}

/// The label of the set that an object is in.
#[track_caller]
fn set_of(site: &Site, name: &str) -> Value {
    site.get("configmaps", name).expect("it exists")["metadata"]["labels"][PART_OF].clone()
}

#[track_caller]
fn eventually_says(agent: &Agent, sync: &str, part: &str) {
    eventually(&format!("{sync} says {part:?}"), || {
        let status = agent.sync(sync);
        check(status["problems"].to_string().contains(part) || status["notes"].to_string().contains(part), status)
    });
}

/// Scenario 41
#[test]
fn an_owner_whose_file_cannot_be_parsed_keeps_its_objects() {
    let site = Site::with(&[("left/same.yaml", &config_map("same", "left")), ("left/a.yaml", &config_map("a", "1"))]);
    site.configure(&[of_directory(&site, "left")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("left", &site.repo.head());
    let set = set_of(&site, "same");

    // The other one declares it from the very commit in which the owner's file is broken.
    site.repo.commit(&[("left/same.yaml", "data: ["), ("right/same.yaml", &config_map("same", "right"))]);
    site.configure(&[of_directory(&site, "left"), of_directory(&site, "right")]);
    agent.eventually_is("left", "Failing");
    agent.eventually_is("right", "Failing");
    agent.passes("right", 2);
    assert_eq!(site.value_of("same").as_deref(), Some("left"));
    assert_eq!(set_of(&site, "same"), set, "it is still the owner's");

    let mended = site.repo.commit(&[("left/same.yaml", &config_map("same", "mended"))]);
    agent.eventually_synced("left", &mended);
    assert_eq!(site.value_of("same").as_deref(), Some("mended"));
    eventually_says(&agent, "right", "belongs to sync left");
}

/// Scenario 41
#[test]
fn an_owner_that_waits_for_a_dependency_at_the_start_keeps_its_objects() {
    let site = Site::with(&[("left/same.yaml", &config_map("same", "left")), ("base/b.yaml", &config_map("b", "1"))]);
    site.configure(&[of_directory(&site, "left")]);
    site.once().expect_code(0);

    let nowhere = "apiVersion: example.com/v1\nkind: Nothing\nmetadata: {name: x}\n";
    let newer = [("left/same.yaml", config_map("same", "newer")), ("right/same.yaml", config_map("same", "right"))];
    site.repo.write("base/nothing.yaml", nowhere);
    site.repo.commit(&newer.each_ref().map(|(file, text)| (*file, text.as_str())));
    let mut left = of_directory(&site, "left");
    left["dependsOn"] = json!(["base"]);
    site.configure(&[left, of_directory(&site, "right"), of_directory(&site, "base")]);
    let agent = Agent::start(&site);
    agent.eventually_is("base", "Failing");
    eventually_says(&agent, "right", "belongs to sync left");
    agent.passes("right", 1);
    assert_eq!(site.value_of("same").as_deref(), Some("left"), "the owner waits, and keeps it");

    site.repo.remove("base/nothing.yaml");
    let mended = site.repo.commit_all("mended");
    agent.eventually_synced("left", &mended);
    assert_eq!(site.value_of("same").as_deref(), Some("newer"));
}

/// The one that has it waits for the one that is to have it: neither waits for ever.
#[test]
fn an_object_moves_to_a_sync_for_which_its_owner_waits() {
    let site = Site::with(&[
        ("left/moving.yaml", &config_map("moving", "1")),
        ("left/a.yaml", &config_map("a", "1")),
        ("right/b.yaml", &config_map("b", "1")),
    ]);
    let mut left = of_directory(&site, "left");
    left["dependsOn"] = json!(["right"]);
    site.configure(&[left, of_directory(&site, "right")]);
    site.once().expect_code(0);
    let before = uid(&site, "moving");
    site.repo.git(&["mv", "left/moving.yaml", "right/moving.yaml"]);
    let commit = site.repo.commit_all("moved");
    let agent = Agent::start(&site);
    agent.eventually_synced("right", &commit);
    agent.eventually_synced("left", &commit);
    assert_eq!(uid(&site, "moving"), before);
    assert_eq!(set_of(&site, "moving"), set_of(&site, "b"));
    eventually("the former owner has forgotten it", || {
        let inventory = site.inventory("left");
        check(!inventory.contains("moving"), inventory)
    });
}

/// Scenario 41
#[test]
fn a_suspended_owner_keeps_its_objects() {
    let site = Site::with(&[("left/same.yaml", &config_map("same", "left")), ("left/a.yaml", &config_map("a", "1"))]);
    site.configure(&[of_directory(&site, "left")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("left", &site.repo.head());
    let set = set_of(&site, "same");
    site.cli(&["suspend", "left"]).expect_code(0);
    agent.eventually_is("left", "Suspended");
    site.repo.remove("left/same.yaml");
    let moved = site.repo.commit(&[("right/same.yaml", &config_map("same", "right"))]);
    site.configure(&[of_directory(&site, "left"), of_directory(&site, "right")]);
    eventually_says(&agent, "right", "belongs to sync left");
    agent.passes("right", 1);
    assert_eq!(set_of(&site, "same"), set);
    site.cli(&["resume", "left"]).expect_code(0);
    agent.eventually_synced("right", &moved);
    assert_eq!(site.value_of("same").as_deref(), Some("right"));
}

/// Scenario 41
#[test]
fn of_three_syncs_that_declare_one_object_one_owns_it_and_hands_it_to_one_other() {
    let names = ["a", "b", "c"];
    let files = names.map(|name| (format!("{name}/same.yaml"), config_map("same", name)));
    let site = Site::with(&files.each_ref().map(|(file, text)| (file.as_str(), text.as_str())));
    let syncs = names.map(|name| of_directory(&site, name));
    site.configure(&syncs);
    let mark = audit::mark();
    let agent = Agent::start(&site);
    let phases = || names.map(|name| agent.sync(name)["phase"].as_str().unwrap_or_default().to_owned());
    let settled = |owners: usize| {
        eventually("one has it and the others say so", || {
            let phases = phases();
            let synced = phases.iter().filter(|phase| *phase == "Synced").count();
            let failing = phases.iter().filter(|phase| *phase == "Failing").count();
            check(synced == owners && failing == 3 - owners, format!("{phases:?}"))
        });
        for name in names {
            agent.passes(name, 1);
        }
    };
    settled(1);
    let owner = site.value_of("same").expect("it exists");
    for other in names.iter().filter(|name| **name != owner) {
        eventually_says(&agent, other, &format!("belongs to sync {owner}"));
    }
    let before = uid(&site, "same");
    site.edit("configmaps", "same", "somebody", &json!({"data": {"value": "by hand"}}));
    site.eventually_has("same", &owner);
    for name in names {
        agent.passes(name, 2);
    }

    site.repo.remove(&format!("{owner}/same.yaml"));
    site.repo.commit(&[(&*format!("{owner}/rest.yaml"), &config_map("rest", "1"))]);
    eventually("another one has it", || {
        let value = site.value_of("same");
        check(value.as_ref().is_some_and(|value| *value != owner), format!("{value:?}"))
    });
    settled(2);
    assert_eq!(uid(&site, "same"), before);
    let Some(mark) = mark else { return };
    let writes = site.writes(mark);
    let writes: Vec<_> = writes.iter().filter(|write| write.what.ends_with("/same")).collect();
    assert_eq!(writes.len(), 3, "made, healed and handed over once each: {writes:#?}");
}

/// What somebody without any right to an object names does not keep its owner from deleting it.
#[test]
fn an_object_that_another_sync_names_and_may_not_take_is_pruned() {
    let site = Site::with(&[
        ("left/a.yaml", &config_map("a", "1")),
        ("left/gone.yaml", &config_map("gone", "1")),
        ("left/gone-too.yaml", &config_map("gone-too", "1")),
    ]);
    let tenant = Account::create(&site.namespace, "tenant");
    tenant.may(
        &site.namespace,
        "own",
        &json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]),
    );
    let mut right = of_directory(&site, "right");
    right["serviceAccount"] = json!(tenant.reference());
    // It names one of them, and never even tries it; of the other one nobody can say.
    let never = config_map("gone", "theirs").replace(
        "metadata:",
        &format!(
            "metadata:\n  annotations: {{config.kubernetes.io/depends-on: /namespaces/{}/ConfigMap/never}}",
            site.namespace
        ),
    );
    site.repo.commit(&[("right/gone.yaml", &never), ("right/broken.yaml", "data: [")]);
    site.configure(&[of_directory(&site, "left"), right]);
    let agent = Agent::start(&site);
    agent.eventually_synced("left", &site.repo.head());
    agent.eventually_is("right", "Failing");
    agent.stop();
    site.repo.remove("left/gone.yaml");
    site.repo.remove("left/gone-too.yaml");
    let commit = site.repo.commit_all("two less");
    let planned = site.cli(&["plan"]).stdout;
    assert!(planned.contains("left: 0 to create, 0 to configure, 2 to prune"), "{planned}");
    let agent = Agent::start(&site);
    agent.eventually_synced("left", &commit);
    eventually("what left git is gone", || check(site.config_maps() == ["a"], format!("{:?}", site.config_maps())));
    assert!(!site.inventory("left").contains("gone"), "{}", site.inventory("left"));
}

/// With the right to it, naming it is enough to keep it, also for a sync that cannot take it yet.
#[test]
fn an_object_that_another_sync_may_take_stays_until_that_has_it() {
    let site = Site::with(&[("left/a.yaml", &config_map("a", "1")), ("left/moving.yaml", &config_map("moving", "1"))]);
    let tenant = Account::create(&site.namespace, "tenant");
    tenant.may(&site.namespace, "own", &json!([every("", &["configmaps"])]));
    let mut right = of_directory(&site, "right");
    right["serviceAccount"] = json!(tenant.reference());
    right["suspend"] = json!(true);
    site.configure(&[of_directory(&site, "left"), right.clone()]);
    let agent = Agent::start(&site);
    agent.eventually_synced("left", &site.repo.head());
    let before = uid(&site, "moving");
    site.repo.git(&["rm", "--quiet", "left/moving.yaml"]);
    let commit = site.repo.commit(&[("right/moving.yaml", &config_map("moving", "1"))]);
    agent.eventually_synced("left", &commit);
    eventually_says(&agent, "left", "sync right declares it now");

    // Without its label it is nobody's: the one that remembers it goes on doing so.
    site.edit("configmaps", "moving", "somebody", &json!({"metadata": {"labels": {PART_OF: null}}}));
    agent.passes("left", 2);
    assert!(site.inventory("left").contains("moving"), "{}", site.inventory("left"));

    right["suspend"] = json!(false);
    site.configure(&[of_directory(&site, "left"), right]);
    agent.eventually_synced("right", &commit);
    eventually("it has another owner", || {
        let (left, right) = (site.inventory("left"), site.inventory("right"));
        check(!left.contains("moving") && right.contains("moving"), format!("{left}\n{right}"))
    });
    assert_eq!(uid(&site, "moving"), before);
}

/// A label that says another sync has it is no proof that it does.
#[test]
fn an_orphan_with_the_label_of_a_sync_that_does_not_know_it_is_remembered() {
    let site = Site::with(&[
        ("left/a.yaml", &config_map("a", "1")),
        ("left/odd.yaml", &config_map("odd", "1")),
        ("right/b.yaml", &config_map("b", "1")),
    ]);
    site.configure(&[of_directory(&site, "left"), of_directory(&site, "right")]);
    let agent = Agent::start(&site);
    for sync in ["left", "right"] {
        agent.eventually_synced(sync, &site.repo.head());
    }
    let set = set_of(&site, "b");
    agent.stop();
    let at = path("configmaps", Some(&site.namespace), "odd");
    cluster().merge(&at, "somebody", &json!({"metadata": {"labels": {PART_OF: set}}}));
    site.repo.remove("left/odd.yaml");
    let commit = site.repo.commit_all("one less");
    let agent = Agent::start(&site);
    agent.eventually_synced("left", &commit);
    eventually_says(&agent, "left", "sync right");
    agent.passes("left", 1);
    assert!(site.inventory("left").contains("odd"), "{}", site.inventory("left"));
    assert!(site.has("configmaps", "odd"));
}
