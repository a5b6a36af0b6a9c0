//! What is deleted, and above all what is not.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, crd, thing};
use crate::support::wait::{check, eventually};

/// Files `0.yaml` to `9.yaml`, each with one `ConfigMap`.
fn ten() -> Vec<(String, String)> {
    (0..10).map(|number| (format!("{number}.yaml"), config_map(&format!("c{number}"), "1"))).collect()
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(file, content)| (&**file, &**content)).collect()
}

fn remove(site: &Site, numbers: std::ops::Range<usize>) {
    for number in numbers {
        site.repo.remove(&format!("{number}.yaml"));
    }
}

/// Scenario 1
#[test]
fn a_commit_that_removes_most_files_prunes_nothing_and_applies_the_rest() {
    let site = Site::of_shop(&borrowed(&ten()));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    remove(&site, 0..8);
    let commit = site.repo.commit(&[("9.yaml", &config_map("c9", "two")), ("new.yaml", &config_map("new", "1"))]);
    let status = agent.eventually_is("shop", "Held");
    assert_eq!(status["held"]["commit"], commit);
    assert_eq!((&status["held"]["prune"], &status["held"]["total"]), (&json!(8), &json!(10)));
    agent.eventually_logs(&["not pruning 8 of 10 objects", "driftless approve shop"]);
    assert_eq!(agent.metric("driftless_prune_held_objects", &["sync=\"shop\""]), Some(8.0));
    assert_eq!(site.value_of("c9").as_deref(), Some("two"), "the rest of the commit is applied");
    assert!(site.has("configmaps", "new"));
    agent.passes("shop", 2);
    assert_eq!(site.config_maps().len(), 11, "nothing is pruned");

    site.cli(&["approve", "shop"]).expect_code(0);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps(), ["c8", "c9", "new"], "once approved, it is");
}

/// Scenario 2
#[test]
fn a_held_prune_is_still_held_after_a_kill_and_a_restart() {
    let site = Site::of_shop(&borrowed(&ten()));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    remove(&site, 0..8);
    let held = site.repo.commit_all("eight less");
    agent.eventually_is("shop", "Held");
    agent.kill();

    let agent = Agent::start(&site);
    assert_eq!(agent.eventually_is("shop", "Held")["held"]["commit"], held);
    agent.passes("shop", 1);
    agent.stop();
    // Lost with the disk, too.
    std::fs::remove_dir_all(site.data_dir()).expect("the data directory");
    site.once().expect_code(4);
    assert_eq!(site.config_maps().len(), 10);
}

#[test]
fn an_approval_is_for_one_commit_only() {
    let site = Site::of_shop(&borrowed(&ten()));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.cli(&["approve", "shop"]).expect_code(1);
    remove(&site, 0..7);
    let first = site.repo.commit_all("seven less");
    assert_eq!(agent.eventually_is("shop", "Held")["held"]["commit"], first);
    remove(&site, 7..8);
    let second = site.repo.commit_all("eight less");
    eventually("the newer commit is the one that is held", || {
        let held = agent.sync("shop")["held"].clone();
        check(held["commit"] == *second, held)
    });
    let parent = path("configmaps", Some(&site.home), "driftless-shop");
    let old = json!({"metadata": {"annotations": {"driftless.dev/approve": first}}});
    cluster().merge(&parent, "somebody", &old);
    agent.passes("shop", 2);
    assert_eq!(site.config_maps().len(), 10, "the approval of an older commit counts for nothing");
}

/// Scenario 3
#[test]
fn a_commit_without_any_object_prunes_nothing_whatever_the_percentage() {
    let site = Site::with(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let mut sync = site.sync("shop");
    sync["prune"] = json!({"maxPercent": 100});
    site.configure(&[sync]);
    site.once().expect_code(0);
    site.repo.remove("a.yaml");
    site.repo.remove("b.yaml");
    site.repo.commit(&[("README.md", "nothing here")]);

    let held = site.once().expect_code(4);
    assert!(held.all().contains("no object at all"), "{}", held.all());
    assert_eq!(site.config_maps(), ["a", "b"]);

    site.cli(&["run", "--once", "--allow-prune"]).expect_code(0);
    assert_eq!(site.config_maps(), [""; 0]);
}

/// Scenario 4
#[test]
fn files_that_cannot_be_parsed_cost_no_object_and_hold_up_no_other() {
    let site = Site::of_shop(&borrowed(&ten()));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let broken = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [\n";
    remove(&site, 8..9);
    site.repo.commit(&[
        ("0.yaml", broken),
        ("1.yaml", broken),
        ("2.yaml", "- not\n- an object\n"),
        ("9.yaml", &config_map("c9", "two")),
    ]);
    let status = agent.eventually_is("shop", "Failing");
    let problems = status["problems"].to_string();
    for file in ["0.yaml", "1.yaml", "2.yaml"] {
        assert!(problems.contains(file), "{problems}");
    }
    eventually("the healthy rest is applied", || {
        let value = site.value_of("c9");
        check(value.as_deref() == Some("two"), format!("{value:?}"))
    });
    agent.passes("shop", 2);
    assert_eq!(site.config_maps().len(), 10, "neither they nor the one that was removed are pruned");
}

/// Scenario 5
#[test]
fn a_path_that_is_gone_is_an_error_and_prunes_nothing() {
    let site = Site::with(&[("prod/a.yaml", &config_map("a", "1")), ("other/b.yaml", &config_map("b", "1"))]);
    let mut sync = site.sync("shop");
    sync["path"] = json!("prod");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.repo.remove("prod");
    site.repo.commit_all("without prod");
    let status = agent.eventually_is("shop", "Failing");
    assert!(status["message"].as_str().is_some_and(|message| message.contains("prod")), "{status}");
    agent.passes("shop", 1);
    assert_eq!(site.config_maps(), ["a"]);
    agent.stop();
    site.once().expect_code(1);
    assert_eq!(site.config_maps(), ["a"]);
}

/// Scenario 7
#[test]
fn a_copy_of_our_labels_and_annotations_is_not_pruned() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    // As an operator does it with the children of an object.
    let owner = site.get("configmaps", "b").expect("it exists");
    let copy = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "copy", "labels": owner["metadata"]["labels"], "annotations": owner["metadata"]["annotations"]}});
    cluster().create(&path("configmaps", Some(&site.namespace), ""), &copy);

    site.repo.remove("b.yaml");
    let commit = site.repo.commit_all("without b");
    agent.eventually_synced("shop", &commit);
    agent.passes("shop", 1);
    assert_eq!(site.config_maps(), ["a", "copy"]);
}

/// Scenario 8, in the form that a person sees: an object that was deleted and made again by
/// somebody else is theirs, even with our label and annotation.
#[test]
fn an_orphan_that_somebody_made_again_is_not_deleted() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    site.once().expect_code(0);
    let old = site.get("configmaps", "b").expect("it exists");
    site.delete("configmaps", "b");
    let again = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "b", "labels": old["metadata"]["labels"], "annotations": old["metadata"]["annotations"]}});
    cluster().create(&path("configmaps", Some(&site.namespace), ""), &again);
    site.repo.remove("b.yaml");
    site.repo.commit_all("without b");
    site.once().expect_code(0);
    assert!(site.has("configmaps", "b"));
}

/// Scenario 9
#[test]
fn a_detached_orphan_is_left_alone_without_our_label() {
    let detached = config_map("b", "1")
        .replace("metadata:\n", "metadata:\n  annotations: {client.lifecycle.config.k8s.io/deletion: detach}\n");
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &detached)]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.repo.remove("b.yaml");
    let commit = site.repo.commit_all("without b");
    agent.eventually_synced("shop", &commit);
    let live = site.get("configmaps", "b").expect("it is left alone");
    assert!(live["metadata"]["labels"].get("applyset.kubernetes.io/part-of").is_none(), "{live}");
    let inventory = site.inventory("shop");
    assert!(inventory.contains(": a\n") && !inventory.contains(": a, b"), "{inventory}");
}

/// Scenario 10
#[test]
fn namespaces_crds_and_claims_are_kept_unless_their_kinds_are_named() {
    let site = Site::with(&[]);
    let (group, other) = (format!("{}.example.com", site.id), format!("extra-{}", site.id));
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: \
                 [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n";
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {other}}}\n");
    site.repo.commit(&[
        ("a.yaml", &config_map("a", "1")),
        ("claim.yaml", claim),
        ("crd.yaml", &crd(&group)),
        ("namespace.yaml", &namespace),
    ]);
    let definition = site.cluster_scoped("customresourcedefinitions.apiextensions.k8s.io", &format!("things.{group}"));
    let place = site.cluster_scoped("namespaces", &other);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync.clone()]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    for file in ["claim.yaml", "crd.yaml", "namespace.yaml"] {
        site.repo.remove(file);
    }
    let commit = site.repo.commit_all("only a");
    let status = agent.eventually_synced("shop", &commit);
    let notes = status["notes"].to_string();
    for kind in ["PersistentVolumeClaim", "CustomResourceDefinition", "Namespace"] {
        assert!(notes.contains(kind), "{kind} is reported: {notes}");
    }
    agent.passes("shop", 1);
    assert!(site.has("persistentvolumeclaims", "data"));
    assert!(cluster().get(&definition).is_some() && cluster().get(&place).is_some());

    sync["prune"] = json!({"include": ["PersistentVolumeClaim", "CustomResourceDefinition", "Namespace"]});
    site.configure(&[sync]);
    eventually("all three are being deleted", || {
        let claim = site.get("persistentvolumeclaims", "data");
        let left = [claim, cluster().get(&definition), cluster().get(&place)];
        let kept = |live: &Option<serde_json::Value>| {
            live.as_ref().is_some_and(|live| live["metadata"]["deletionTimestamp"].is_null())
        };
        check(!left.iter().any(kept), format!("{left:?}"))
    });
    assert!(site.has("configmaps", "a"));
}

/// Scenario 11
#[test]
fn a_crd_stays_while_its_custom_resources_are_declared() {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    site.repo.commit(&[("crd.yaml", &crd(&group)), ("one.yaml", &thing(&group, "one"))]);
    let definition = site.cluster_scoped("customresourcedefinitions.apiextensions.k8s.io", &format!("things.{group}"));
    let mut sync = site.sync("shop");
    sync["prune"] = json!({"include": ["CustomResourceDefinition"]});
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.repo.remove("crd.yaml");
    site.repo.commit_all("without the CRD");
    let status = agent.eventually_is("shop", "Failing");
    let problems = status["problems"].to_string();
    assert!(problems.contains(&format!("things.{group}")) && problems.contains("still declared"), "{problems}");
    agent.passes("shop", 1);
    assert!(cluster().get(&definition).is_some());
    assert!(site.has(&format!("things.{group}"), "one"));
}
