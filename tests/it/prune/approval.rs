//! What an approval is for: the objects that were shown, at that commit, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use driftless::inventory::Parent;
use driftless::plan::Approval;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::fault::{Fault, Proxy, Rule};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// 20 objects in `prod`, of which the sync has made all, and one in `other`.
fn twenty() -> (Site, Value) {
    let mut files: Vec<(String, String)> =
        (0..20).map(|number| (format!("prod/{number:02}.yaml"), config_map(&format!("c{number:02}"), "1"))).collect();
    files.push(("other/x.yaml".into(), config_map("x", "1")));
    let files: Vec<(&str, &str)> = files.iter().map(|(file, content)| (&**file, &**content)).collect();
    let site = Site::with(&files);
    let mut sync = site.sync("shop");
    sync["path"] = json!("prod");
    site.configure(&[sync.clone()]);
    (site, sync)
}

fn remove(site: &Site, numbers: std::ops::Range<usize>) -> String {
    for number in numbers {
        site.repo.remove(&format!("prod/{number:02}.yaml"));
    }
    site.repo.commit_all("less")
}

/// Waits until so many deletions are held; gives the value of the annotation that approves them.
#[track_caller]
fn eventually_held(site: &Site, agent: &Agent, prune: usize) -> String {
    eventually(&format!("{prune} deletions are held"), || {
        let status = agent.sync("shop");
        check(status["phase"] == "Held" && status["held"]["prune"] == prune, status)
    });
    eventually("and that is stored", || {
        let parent =
            Parent::from_live(&site.parent("shop").ok_or("no parent")?, &[]).map_err(|error| error.to_string())?;
        let held = parent.status.held.filter(|held| held.prune == prune).ok_or("nothing is held")?;
        Ok::<_, String>(Approval::value_for(&held, "2026-01-01T00:00:00Z"))
    })
}

fn annotate(site: &Site, value: &str) {
    let change = json!({"metadata": {"annotations": {"driftless.dev/approve": value}}});
    cluster().merge(&path("configmaps", Some(&site.home), "driftless-shop"), "somebody", &change);
}

/// Scenario 39
#[test]
fn an_approval_is_spent_when_what_was_shown_is_gone_and_another_path_is_held_anew() {
    let (site, mut sync) = twenty();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let commit = remove(&site, 0..6);
    eventually_held(&site, &agent, 6);
    let approved = site.cli(&["approve", "shop"]).expect_code(0).stdout;
    assert!(approved.contains(&format!("may delete 6 of 20 objects with commit {}", &commit[..12])), "{approved}");
    for number in 0..6 {
        assert!(approved.contains(&format!("delete ConfigMap {}/c{number:02}\n", site.namespace)), "{approved}");
    }
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps().len(), 14);

    sync["path"] = json!("other");
    site.configure(&[sync]);
    eventually_held(&site, &agent, 14);
    assert_eq!(agent.metric("driftless_prune_held_objects", &["sync=\"shop\""]), Some(14.0));
    agent.passes("shop", 2);
    assert_eq!(site.config_maps().len(), 15, "the same commit, and nothing is deleted");
    agent.stop();
    site.once().expect_code(4);
    let status = site.cli(&["status"]).expect_code(3).stdout;
    assert!(status.contains("14 of 14 objects wait for: driftless approve shop"), "{status}");
    site.cli(&["approve", "shop"]).expect_code(0);
    site.once().expect_code(0);
    assert_eq!(site.config_maps(), ["x"]);
}

/// Scenario 39
#[test]
fn an_approval_that_comes_when_the_commit_renders_to_other_objects_deletes_nothing() {
    let (site, mut sync) = twenty();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let commit = remove(&site, 0..6);
    let shown = eventually_held(&site, &agent, 6);
    sync["path"] = json!("other");
    site.configure(&[sync]);
    eventually_held(&site, &agent, 20);
    annotate(&site, &shown);
    agent.eventually_logs(&["not pruning 20 of 20 objects", "was given for other objects"]);
    agent.passes("shop", 2);
    assert_eq!(site.config_maps().len(), 21);
    site.cli(&["approve", "shop", "--commit", &commit]).expect_code(0);
    eventually("what was approved is gone", || {
        let left = site.config_maps();
        check(left == ["x"], format!("{left:?}"))
    });
}

/// Scenario 39
#[test]
fn an_approved_prune_that_a_kill_cut_off_goes_on_without_another_approval() {
    let (site, _) = twenty();
    let proxy = Proxy::before(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let commit = remove(&site, 0..19);
    eventually_held(&site, &agent, 19);
    let deletions = Arc::new(AtomicUsize::new(0));
    let stuck = proxy.add(Rule::by(move |ask| {
        let deletes = ask.verb == "delete" && ask.resource == "configmaps";
        let many = deletes && deletions.fetch_add(1, Ordering::SeqCst) >= 7;
        many.then_some(Fault::Delay(Duration::from_mins(5)))
    }));
    annotate(&site, &commit);
    eventually("some are deleted, and the others are about to be", || {
        let left = site.config_maps().len();
        check(left == 13 && stuck.count() > 0, left)
    });
    agent.kill();
    proxy.clear();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps(), ["c19"]);
    assert_eq!(agent.logged(&["not pruning"]), None, "nobody is asked again");
}

/// As older documentation had it: the annotation names the commit alone.
#[test]
fn a_commit_that_is_named_by_hand_approves_what_is_held_for_it_and_nothing_that_comes_later() {
    let (site, mut sync) = twenty();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let commit = remove(&site, 0..6);
    eventually_held(&site, &agent, 6);
    annotate(&site, &commit);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps().len(), 14);
    sync["path"] = json!("other");
    site.configure(&[sync]);
    eventually_held(&site, &agent, 14);
    agent.stop();
    site.once().expect_code(4);
    assert_eq!(site.config_maps().len(), 15);
}
