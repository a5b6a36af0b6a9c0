//! Requests that the server carried out and never answered, and then a silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fault::{Fault, Rule};
use crate::support::story::{End, Kept, State, Story};
use crate::support::wait::{check, eventually};

const SILENCE: Duration = Duration::from_mins(1);
const RECOVERY: Duration = Duration::from_mins(4);

/// Nothing is answered any more from one request of the second commit on, and that one and
/// whatever follows is carried out all the same.
fn is_silent_from(verb: &'static str, name: &'static str) {
    let story = Story::new();
    let mut agent = Kept::launch(&story);
    agent.converges(&End::synced(story.site.repo.head()));
    let versions = story.versions(State::First);
    let silent = Arc::new(AtomicBool::new(false));
    let began = Arc::clone(&silent);
    let hits = story.proxy.add(Rule::by(move |ask| {
        let hit = ask.verb == verb && ask.name == name;
        (began.fetch_or(hit, Ordering::SeqCst) || hit).then_some(Fault::SilenceAfter(SILENCE))
    }));
    let commit = story.go_to(State::Second);
    eventually("the silence begins", || check(hits.count() > 0, "not yet"));
    story.proxy.stall_watches(true);
    let since = Instant::now();
    crate::support::wait::within(SILENCE * 2, "the silence is over", || {
        check(since.elapsed() >= SILENCE, format!("{} s", since.elapsed().as_secs()))
    });
    story.proxy.clear();
    story.proxy.stall_watches(false);
    agent.converges_within(RECOVERY, &End::synced(commit));
    story.holds(State::Second);
    let now = story.versions(State::Second);
    for (path, (uid, _)) in &now {
        let before = versions.get(path);
        assert!(before.is_none_or(|(before, _)| before == uid), "{path} was made a second time");
    }
    let mut deleted = story.deleted();
    deleted.dedup();
    deleted.retain(|name| !["gone", "thing"].contains(&&**name));
    assert_eq!(deleted, [] as [String; 0], "nothing else was deleted");
}

/// Scenario 37
#[test]
fn a_request_that_was_carried_out_and_never_answered_is_neither_lost_nor_done_twice() {
    thread::scope(|scope| {
        for (verb, name) in [("apply", "driftless-shop"), ("apply", "added"), ("delete", "gone")] {
            scope.spawn(move || is_silent_from(verb, name));
        }
    });
}
