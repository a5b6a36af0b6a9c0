//! An API server whose caches lag: LISTs and watches answer from the past.

use crate::support::cluster::{cluster, path};
use crate::support::story::{End, Kept, SYNC, State, Story};

fn version_now(story: &Story) -> String {
    let list = cluster().get(&path("configmaps", Some(&story.site.namespace), "")).expect("a list");
    list["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}

/// Scenario 34
#[test]
fn restarted_against_caches_that_lag_nothing_made_since_is_deleted_made_twice_or_put_back() {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    agent.converges(&End::synced(story.site.repo.head()));
    let past = version_now(&story);
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
    let past = version_now(&story);
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
