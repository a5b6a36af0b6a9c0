//! What a daemon does with commits: roll out, roll back, prune, hand over.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};

#[test]
fn a_commit_is_rolled_out_and_its_revert_rolls_it_back() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "one"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(site.value_of("a").as_deref(), Some("one"));

    let second = site.repo.commit(&[("a.yaml", &config_map("a", "two")), ("b.yaml", &config_map("b", "new"))]);
    agent.eventually_synced("shop", &second);
    assert_eq!(site.value_of("a").as_deref(), Some("two"));
    assert_eq!(site.value_of("b").as_deref(), Some("new"));

    let third = site.repo.revert();
    agent.eventually_synced("shop", &third);
    assert_eq!(site.value_of("a").as_deref(), Some("one"));
    assert_eq!(site.config_maps(), ["a"], "what the reverted commit had added is pruned");
}

#[test]
fn a_file_removed_from_git_takes_its_object_along() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(site.config_maps(), ["a", "b"]);

    site.repo.remove("b.yaml");
    let commit = site.repo.commit_all("without b");
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps(), ["a"]);
    assert!(!site.inventory("shop").contains(": a, b"), "{}", site.inventory("shop"));
    assert_eq!(agent.metric("driftless_prune_total", &["kind=\"ConfigMap\"", "result=\"deleted\""]), Some(1.0));
}

#[test]
fn cycles_in_which_nothing_changed_write_nothing() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("web.yaml", &deployment("web", "nginx"))]);
    let Some(_) = audit::mark() else { return };
    if !cluster().runs_workloads() {
        return;
    }
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    agent.passes("shop", 1);
    let mark = audit::mark().expect("an audit log");
    agent.passes("shop", 3);
    assert_eq!(site.writes(mark), []);
}

#[test]
fn every_request_says_who_sends_it() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    let Some(mark) = audit::mark() else { return };
    site.once().expect_code(0);
    let requests = site.requests(mark);
    assert!(requests.len() > 3, "{requests:?}");
    let version = concat!("driftless/", env!("CARGO_PKG_VERSION"));
    assert!(requests.iter().all(|request| request.agent == version), "{requests:?}");
}

/// The sync that loses it comes first to the commit: nobody has taken the object over by then.
#[test]
fn an_object_that_moves_to_another_sync_is_handed_over_and_not_made_anew() {
    let site = Site::with(&[
        ("left/a.yaml", &config_map("a", "1")),
        ("left/moving.yaml", &config_map("moving", "1")),
        ("right/b.yaml", &config_map("b", "1")),
    ]);
    let [mut left, mut right] = [site.sync("left"), site.sync("right")];
    left["path"] = json!("left");
    right["path"] = json!("right");
    right["interval"] = json!("24h");
    site.configure(&[left, right]);
    let agent = Agent::start(&site);
    for sync in ["left", "right"] {
        agent.eventually_synced(sync, &site.repo.head());
    }
    let metadata = |name: &str| site.get("configmaps", name).expect("it exists")["metadata"].clone();
    let before = metadata("moving");

    site.repo.git(&["mv", "left/moving.yaml", "right/moving.yaml"]);
    let commit = site.repo.commit_all("moved");
    agent.eventually_synced("left", &commit);
    agent.passes("left", 1);
    assert_eq!(metadata("moving")["uid"], before["uid"], "the other sync has not seen the commit yet");

    agent.passes("right", 1);
    agent.eventually_synced("right", &commit);
    eventually("only the other sync has it", || {
        let (left, right) = (site.inventory("left"), site.inventory("right"));
        check(!left.contains("moving") && right.contains("moving"), format!("{left}\n{right}"))
    });
    assert_eq!(metadata("moving")["uid"], before["uid"]);
    assert_eq!(metadata("moving")["labels"], metadata("b")["labels"]);
    agent.passes("left", 1);
    assert_eq!(metadata("moving")["uid"], before["uid"], "the sync that had it leaves it alone");
}

/// The stop comes in the middle: then nothing is lost. At 32 requests in flight, 1,500 objects
/// take the API server more than a second.
#[test]
fn a_daemon_stopped_while_it_applies_ends_soon_and_remembers_what_it_made() {
    let files: Vec<(String, String)> =
        (0..1500).map(|number| (format!("{number}.yaml"), config_map(&format!("many-{number}"), "1"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(file, content)| (&**file, &**content)).collect();
    let site = Site::of_shop(&files);
    let agent = Agent::start(&site);
    eventually("some objects were made", || {
        let made = agent.metric("driftless_apply_total", &["result=\"created\""]).unwrap_or_default();
        check(made > 20.0, made)
    });
    let (took, log) = agent.stop();
    assert!(took.as_secs() < 10, "{took:?}");

    let made = site.config_maps();
    assert!(made.len() < 1500, "the stop came too late to show anything");
    let inventory = site.inventory("shop");
    let listed: std::collections::BTreeSet<&str> =
        inventory.split([' ', ',', '\n']).filter(|word| word.starts_with("many-")).collect();
    let lost: Vec<&String> = made.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(lost.is_empty(), "made and not remembered: {lost:?}");
    assert!(!log.iter().any(|line| line.contains("given up")), "{log:?}");
}

/// Scenario 33
#[test]
fn a_killed_agent_converges_at_the_next_start_and_leaves_nothing_behind() {
    let files: Vec<(String, String)> =
        (0..300).map(|number| (format!("{number}.yaml"), config_map(&format!("many-{number}"), "1"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(file, content)| (&**file, &**content)).collect();
    let site = Site::of_shop(&files);
    let agent = Agent::start(&site);
    eventually("some objects were made", || {
        let made = agent.metric("driftless_apply_total", &["result=\"created\""]).unwrap_or_default();
        check(made > 5.0, made)
    });
    agent.kill();

    let made = site.config_maps();
    for number in 0..4 {
        site.repo.remove(&format!("{number}.yaml"));
    }
    let commit = site.repo.commit_all("four less, made or not");
    let inventory = site.inventory("shop");
    let forgotten: Vec<&String> = made.iter().filter(|name| !inventory.contains(name.as_str())).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");

    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps().len(), 296);
    assert!(!site.has("configmaps", "many-0"));
}

#[test]
fn an_atomic_sync_writes_nothing_when_one_object_is_refused() {
    let site = Site::with(&[("a.yaml", &config_map("a", "one"))]);
    let mut sync = site.sync("shop");
    sync["atomic"] = json!(true);
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999}]}\n";
    site.repo.commit(&[
        ("a.yaml", &config_map("a", "two")),
        ("b.yaml", &config_map("b", "new")),
        ("bad.yaml", service),
    ]);
    let status = agent.eventually_is("shop", "Failing");
    assert!(status["problems"].to_string().contains("bad.yaml"), "{status}");
    agent.passes("shop", 1);
    assert_eq!(site.value_of("a").as_deref(), Some("one"), "the healthy part waits for the refused one");
    assert!(!site.has("configmaps", "b"));

    let good = site.repo.commit(&[("bad.yaml", &service.replace("99999", "80"))]);
    agent.eventually_synced("shop", &good);
    assert_eq!(site.value_of("a").as_deref(), Some("two"));
    assert!(site.has("configmaps", "b") && site.has("services", "bad"));
}

#[test]
fn the_parent_is_an_applyset_whose_id_all_members_carry() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("web.yaml", &deployment("web", "nginx"))]);
    site.repo.commit(&[("role.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n")]);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    site.once().expect_code(0);

    let parent = site.parent("shop").expect("a parent");
    let (labels, annotations) = (&parent["metadata"]["labels"], &parent["metadata"]["annotations"]);
    let id = labels["applyset.kubernetes.io/id"].as_str().expect("an id");
    assert!(id.starts_with("applyset-") && id.ends_with("-v1"), "{id}");
    assert_eq!(labels["driftless.dev/sync"], "shop");
    let tooling = concat!("driftless/v", env!("CARGO_PKG_VERSION"));
    assert_eq!(annotations["applyset.kubernetes.io/tooling"], tooling);
    let kinds = "ConfigMap,Deployment.apps,ServiceAccount";
    assert_eq!(annotations["applyset.kubernetes.io/contains-group-kinds"], kinds);
    assert_eq!(annotations["applyset.kubernetes.io/additional-namespaces"], *site.namespace);
    for (plural, name) in [("configmaps", "a"), ("deployments.apps", "web"), ("serviceaccounts", "web")] {
        let metadata = site.get(plural, name).expect("it exists")["metadata"].clone();
        assert_eq!(metadata["labels"]["applyset.kubernetes.io/part-of"], id, "{plural}/{name}");
        assert!(metadata["annotations"]["driftless.dev/digest"].is_string(), "{plural}/{name}");
    }
    assert!(site.inventory("shop").contains(&format!("Deployment.apps {}: web", site.namespace)));
}

#[test]
fn kubectl_keeps_off_an_applyset_of_driftless() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    site.once().expect_code(0);
    let before = cluster().get(&path("configmaps", Some(&site.home), "driftless-shop"));
    let arguments =
        ["apply", "--prune", "--applyset=configmap/driftless-shop", "--namespace", &site.home, "--filename", "-"];
    let other = config_map("from-kubectl", "1");
    let refused = cluster().kubectl_with(&arguments, Some(&other), &[("KUBECTL_APPLYSET", "true")]).expect_code(1);
    assert!(refused.stderr.contains("tooling") && refused.stderr.contains("driftless"), "{}", refused.stderr);
    assert_eq!(cluster().get(&path("configmaps", Some(&site.home), "driftless-shop")), before);
    assert!(site.has("configmaps", "a"));
}
