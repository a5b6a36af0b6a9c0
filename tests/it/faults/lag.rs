//! An API server whose caches lag: LISTs and watches answer from the past.

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::fault::Proxy;
use crate::support::site::{Site, config_map};
use crate::support::story::{End, Kept, SYNC, State, Story};

fn version_now(site: &Site) -> String {
    let list = cluster().get(&path("configmaps", Some(&site.namespace), "")).expect("a list");
    list["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}

/// Scenario 34
#[test]
fn restarted_against_caches_that_lag_nothing_made_since_is_deleted_made_twice_or_put_back() {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    agent.converges(&End::synced(story.site.repo.head()));
    let past = version_now(&story.site);
    let second = End::synced(story.go_to(State::Second));
    agent.converges(&second);
    agent.kill();
    let before = story.versions(State::Second);
    let deleted = story.deleted();

    story.proxy.answer_as_of(&past);
    let mut agent = Kept::launch(&story);
    agent.converges(&second);
    // Nobody can ask for a pass: the news of it would come late as well.
    agent.agent.cycles(SYNC, 2);
    assert_eq!(story.versions(State::Second), before, "nothing was written");
    assert_eq!(story.deleted(), deleted, "nothing was deleted");
    story.holds(State::Second);

    story.proxy.catch_up();
    agent.agent.passes(SYNC, 2);
    assert_eq!(story.versions(State::Second), before, "nothing was written when the caches caught up");
    agent.converges(&End::synced(story.go_to(State::First)));
    story.holds(State::First);
}

/// Scenario 34, with commits while the caches lag: one object is gone that they still show, one
/// has another UID by now, one they do not know.
#[test]
fn commits_that_come_while_caches_lag_are_carried_out_once_they_catch_up() {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    agent.converges(&End::synced(story.site.repo.head()));
    let past = version_now(&story.site);
    agent.converges(&End::synced(story.go_to(State::Second)));
    agent.converges(&End::synced(story.go_to(State::First)));
    agent.kill();

    story.proxy.answer_as_of(&past);
    let mut agent = Kept::launch(&story);
    let second = End::synced(story.go_to(State::Second));
    // It may have to wait for the caches.
    agent.serves();
    agent.agent.passes(SYNC, 2);
    story.proxy.catch_up();
    story.eventually_holds(State::Second);
    agent.converges(&second);
}

/// More orphans of one kind in one namespace than it would take to prefer a LIST, none of which a cache
/// that lags shows: each is asked for by its name before it counts as gone.
#[test]
fn orphans_that_a_list_from_the_past_does_not_show_are_pruned_and_not_forgotten() {
    let site = Site::with(&[("kept.yaml", &config_map("kept", "1"))]);
    let mut sync = site.sync("shop");
    sync["prune"] = serde_json::json!({"maxPercent": 100});
    site.configure(&[sync]);
    let proxy = Proxy::before(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let past = version_now(&site);
    let names: Vec<String> = (0..7).map(|number| format!("orphan{number}")).collect();
    for name in &names {
        site.repo.write(&format!("{name}.yaml"), config_map(name, "1"));
    }
    agent.eventually_synced("shop", &site.repo.commit_all("seven more"));
    agent.kill();

    proxy.answer_as_of(&past);
    for name in &names {
        site.repo.remove(&format!("{name}.yaml"));
    }
    let commit = site.repo.commit_all("seven less");
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.config_maps(), ["kept"]);
    assert!(site.inventory("shop").contains(": kept\n"), "{}", site.inventory("shop"));
}
