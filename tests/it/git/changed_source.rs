//! What is the same source, and what a change of it does.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::githttp::GitHttp;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

fn files() -> [(&'static str, String); 3] {
    [
        ("left/a.yaml", config_map("a", "1")),
        ("left/moving.yaml", config_map("moving", "1")),
        ("right/b.yaml", config_map("b", "1")),
    ]
}

fn site_with(files: &[(&str, String)]) -> Site {
    let files: Vec<(&str, &str)> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
    Site::with(&files)
}

/// `http://bob:TOKEN@HOST:PORT/repo.git`.
fn spelled(server: &GitHttp, login: &str, host: &str) -> String {
    server.url().replace("http://127.0.0.1", &format!("http://{login}{host}"))
}

#[track_caller]
fn metadata(site: &Site, name: &str) -> Value {
    site.get("configmaps", name).expect("it exists")["metadata"].clone()
}

/// The directories of clones, without their locks.
fn clones(site: &Site) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(site.data_dir().join("git")) else { return Vec::new() };
    let entries = entries.map(|entry| entry.expect("an entry"));
    let directories = entries.filter(|entry| entry.file_type().expect("a type").is_dir());
    let mut names: Vec<String> = directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Scenario 43. The sync that loses the object comes first to the commit.
#[test]
fn an_object_moves_between_two_syncs_that_spell_their_repository_differently() {
    let site = site_with(&files());
    let server = GitHttp::start(site.repo.root());
    let [mut left, mut right] = ["left", "right"].map(|name| site.sync(name));
    (left["path"], right["path"]) = (json!("left"), json!("right"));
    left["source"]["url"] = json!(spelled(&server, "", "localhost"));
    right["source"]["url"] = json!(spelled(&server, "bob:t0ken@", "LOCALHOST"));
    right["interval"] = json!("24h");
    site.configure(&[left, right]);
    let agent = Agent::start(&site);
    for sync in ["left", "right"] {
        agent.eventually_synced(sync, &site.repo.head());
    }
    let before = metadata(&site, "moving");
    site.repo.git(&["mv", "left/moving.yaml", "right/moving.yaml"]);
    let commit = site.repo.commit_all("moved");
    agent.eventually_synced("left", &commit);
    agent.passes("left", 1);
    assert_eq!(metadata(&site, "moving")["uid"], before["uid"], "the other sync has not seen the commit yet");
    agent.poll_now("right");
    agent.eventually_synced("right", &commit);
    eventually("only the other sync has it", || {
        let (left, right) = (site.inventory("left"), site.inventory("right"));
        check(!left.contains("moving") && right.contains("moving"), format!("{left}\n{right}"))
    });
    assert_eq!(metadata(&site, "moving")["uid"], before["uid"]);
    assert_eq!(metadata(&site, "moving")["labels"], metadata(&site, "b")["labels"]);
}

/// Scenario 43
#[test]
fn a_token_that_changes_leaves_one_clone_and_fetches_nothing_again() {
    let site = site_with(&files());
    let server = GitHttp::start(site.repo.root());
    let with_token = |token: &str| {
        let mut sync = site.sync("shop");
        sync["source"]["url"] = json!(spelled(&server, &format!("bob:{token}@"), "127.0.0.1"));
        sync
    };
    site.configure(&[with_token("one")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let (before, packs) = (clones(&site), server.packs());
    assert_eq!(before.len(), 1, "{before:?}");
    for token in ["two", "three"] {
        server.require_login("bob", token);
        site.configure(&[with_token(token)]);
        eventually("the repository is read with the new token", || {
            agent.poll_now("shop");
            let status = agent.sync("shop");
            let reloads = agent.log().iter().filter(|line| line.contains("configuration reloaded")).count();
            check(status["phase"] == "Synced" && reloads == if token == "two" { 1 } else { 2 }, status)
        });
        agent.passes("shop", 1);
    }
    assert_eq!(server.packs(), packs, "what is there already is not fetched again");
    let commit = site.repo.commit(&[("left/a.yaml", &config_map("a", "2"))]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(clones(&site), before);
}

/// Scenario 43
#[test]
fn clones_that_no_sync_uses_any_more_are_removed_and_nothing_else_is() {
    let site = site_with(&files());
    let server = GitHttp::start(site.repo.root());
    let mut gone = site.sync("gone");
    gone["source"]["url"] = json!(server.url());
    let [mut left, mut other] = ["left", "other"].map(|name| site.sync(name));
    (left["path"], gone["path"], other["path"]) = (json!("left"), json!("right"), json!("none"));
    site.configure(&[left.clone(), gone.clone()]);
    let agent = Agent::start(&site);
    for sync in ["left", "gone"] {
        agent.eventually_synced(sync, &site.repo.head());
    }
    assert_eq!(clones(&site).len(), 2);
    let strange = site.data_dir().join("git/left-0123456789abcdef");
    std::fs::create_dir(&strange).expect("a directory");
    std::fs::write(strange.join("notes.txt"), "somebody's").expect("a file");

    // At a reload: another repository, and a sync less.
    left["source"]["url"] = json!(server.url());
    site.configure(&[left.clone()]);
    eventually("what no sync uses is gone", || {
        let left = clones(&site);
        check(left.len() == 2 && left.contains(&"left-0123456789abcdef".to_owned()), format!("{left:?}"))
    });
    agent.eventually_synced("left", &site.repo.head());
    agent.stop();

    // And at a start.
    left["source"]["url"] = json!(site.repo.url());
    site.configure(&[left]);
    let agent = Agent::start(&site);
    agent.eventually_synced("left", &site.repo.head());
    eventually("what no sync uses is gone", || {
        let left = clones(&site);
        check(left.len() == 2 && left.contains(&"left-0123456789abcdef".to_owned()), format!("{left:?}"))
    });
    assert!(strange.join("notes.txt").exists(), "what is not driftless's is left alone");
}

/// The whole way, as the error shows it.
#[test]
fn a_renamed_sync_is_reported_with_the_way_on_and_keeps_every_object() {
    let site = site_with(&files());
    let mut sync = site.sync("old");
    sync["path"] = json!("left");
    site.configure(&[sync.clone()]);
    site.once().expect_code(0);
    let before = ["a", "moving"].map(|name| metadata(&site, name)["uid"].clone());

    sync["name"] = json!("new");
    site.configure(&[sync]);
    let planned = site.cli(&["plan"]);
    let advice = "driftless remove old --keep-objects";
    let belongs = "belongs to sync old, which is not configured any more";
    assert!(planned.all().contains(belongs) && planned.all().contains(advice), "{planned:?}");
    let agent = Agent::start(&site);
    let status = agent.eventually_is("new", "Failing");
    let problems = status["problems"].to_string();
    assert!(problems.contains(belongs) && problems.contains(advice), "{problems}");

    let unasked = site.cli(&["remove", "old"]).expect_code(1);
    assert!(unasked.stdout.contains("are declared by sync new, which would make them anew"), "{}", unasked.stdout);
    site.cli(&["remove", "old", "--keep-objects", "--yes"]).expect_code(0);
    agent.eventually_synced("new", &site.repo.head());
    assert_eq!(["a", "moving"].map(|name| metadata(&site, name)["uid"].clone()), before);
    assert_eq!(site.parent("old"), None);
    let inventory = site.inventory("new");
    assert!(inventory.contains('a') && inventory.contains("moving"), "{inventory}");
}

/// A sync with two objects: what the guard of a commit never asks about.
fn small() -> (Site, Agent, Value) {
    let site = site_with(&files());
    let mut sync = site.sync("shop");
    sync["path"] = json!("left");
    site.configure(&[sync.clone()]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    (site, agent, sync)
}

#[test]
fn another_path_prunes_nothing_until_it_is_approved_and_the_plan_shows_it() {
    let (site, agent, mut sync) = small();
    sync["path"] = json!("right");
    site.configure(&[sync]);
    let status = agent.eventually_is("shop", "Held");
    let reason = status["held"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("path") && reason.contains("left") && reason.contains("right"), "{reason}");
    let planned = site.cli(&["plan"]);
    assert!(planned.stdout.contains(reason), "{}", planned.stdout);
    assert_eq!(site.config_maps(), ["a", "b", "moving"], "what is new is applied");

    // Neither a restart nor another commit forgets it.
    agent.kill();
    let agent = Agent::start(&site);
    site.repo.commit(&[("right/b.yaml", &config_map("b", "2"))]);
    site.eventually_has("b", "2");
    agent.eventually_is("shop", "Held");
    assert_eq!(site.config_maps(), ["a", "b", "moving"]);

    site.cli(&["approve", "shop"]).expect_code(0);
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(site.config_maps(), ["b"]);
    // From now on it is a sync like every other one.
    site.repo.remove("right/b.yaml");
    let commit = site.repo.commit(&[("right/c.yaml", &config_map("c", "1"))]);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps(), ["c"]);
}

#[test]
fn another_target_namespace_prunes_nothing_until_it_is_approved() {
    let (site, agent, mut sync) = small();
    let other = format!("other-{}", site.id);
    site.make_namespace(&other);
    sync["targetNamespace"] = json!(other);
    site.configure(&[sync]);
    let status = agent.eventually_is("shop", "Held");
    let reason = status["held"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("targetNamespace") && reason.contains(&other), "{reason}");
    assert_eq!(site.config_maps(), ["a", "moving"]);
    site.cli(&["approve", "shop"]).expect_code(0);
    agent.eventually_synced("shop", &site.repo.head());
    assert!(site.config_maps().is_empty());
}

#[test]
fn another_repository_prunes_nothing_until_it_is_approved_and_another_spelling_is_none() {
    let (site, agent, mut sync) = small();
    let other = crate::support::git::TestRepo::with(&[("left/other.yaml", &config_map("other", "1"))]);
    sync["source"]["url"] = json!(other.url());
    site.configure(&[sync.clone()]);
    let status = agent.eventually_is("shop", "Held");
    let reason = status["held"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("source.url"), "{reason}");
    assert_eq!(site.config_maps(), ["a", "moving", "other"]);

    // Back to where it came from, in other words, with an object less: an ordinary commit.
    sync["source"]["url"] = json!(format!("{}/", site.repo.url()));
    site.repo.remove("left/moving.yaml");
    let commit = site.repo.commit_all("one less");
    site.configure(&[sync]);
    agent.eventually_synced("shop", &commit);
    eventually("what left git is gone", || check(site.config_maps() == ["a"], format!("{:?}", site.config_maps())));
}
