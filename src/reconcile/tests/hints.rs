//! Somebody says that the repository has changed.

use super::world::World;
use crate::event::SyncEvent;
use crate::plan::Phase;
use crate::reconcile::{Effect, Input};

#[test]
fn a_hint_polls_now_and_what_is_new_is_applied() {
    let mut world = World::synced(["a"]);
    world.push("second", ["a", "b"]);
    world.step(Input::Hinted);
    assert_eq!(world.count("Poll"), 1);
    world.drain();
    assert!(world.is_as_in("second") && world.phase() == Phase::Synced, "{:?}", world.log);
}

#[test]
fn a_hint_that_shows_nothing_new_costs_one_poll_and_changes_no_other() {
    let mut world = World::synced(["a"]);
    for _ in 0..3 {
        world.step(Input::Hinted);
        world.drain();
    }
    assert_eq!((world.count("Poll"), world.count("Render"), world.writes()), (3, 0, 0), "{:?}", world.log);
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn many_hints_during_a_poll_are_one_further_poll_that_sees_the_push() {
    let mut world = World::synced(["a"]);
    world.step(Input::Hinted);
    let id = world.until("Poll");
    // Its answer is of before the push.
    let effect = world.take(id);
    let before = world.head.clone();
    world.push("second", ["b"]);
    for _ in 0..10 {
        world.step(Input::Hinted);
    }
    let Effect::Poll { id } = effect else { panic!("{effect:?}") };
    world.step(Input::Polled { id, result: before, watched: false });
    world.drain();
    assert_eq!(world.count("Poll"), 2, "{:?}", world.log);
    assert!(world.is_as_in("second"), "{:?}", world.log);
}

#[test]
fn a_hint_during_a_poll_that_fails_polls_again_at_once() {
    let mut world = World::synced(["a"]);
    world.step(Input::Hinted);
    let id = world.until("Poll");
    let effect = world.take(id);
    world.push("second", ["b"]);
    world.step(Input::Hinted);
    let Effect::Poll { id } = effect else { panic!("{effect:?}") };
    world.step(Input::Polled { id, result: Err("no route to host".into()), watched: false });
    world.drain();
    assert!(world.is_as_in("second"), "{:?}", world.log);
}

#[test]
fn a_replica_that_lags_is_not_believed_by_polls_that_follow_each_other_at_once() {
    let mut world = World::synced(["a"]);
    world.push("second", ["a", "b"]);
    world.step(Input::Hinted);
    world.drain();
    assert!(world.is_as_in("second"), "{:?}", world.log);
    world.forget();
    world.head = Ok("first".into());
    // One hint after the other, each of them during a poll.
    for _ in 0..5 {
        world.step(Input::Hinted);
        let id = world.until("Poll");
        let poll = world.take(id);
        world.step(Input::Hinted);
        world.execute(poll);
        world.drain();
    }
    assert!(world.count("Poll") >= 6, "{:?}", world.log);
    assert_eq!((world.count("Render"), world.writes()), (0, 0), "{:?}", world.log);
    assert!(world.is_as_in("second"));
    world.pass(61);
    world.drain();
    assert!(world.is_as_in("first"), "what git says for longer is believed: {:?}", world.log);
}

#[test]
fn drift_is_healed_while_the_poll_of_a_hint_is_not_answered() {
    let mut world = World::synced(["a"]);
    world.step(Input::Hinted);
    let id = world.until("Poll");
    let poll = world.take(id);
    world.edit("a");
    world.deliver();
    world.drain();
    assert!(world.events.iter().any(|event| matches!(event, SyncEvent::DriftHealed { .. })), "{:?}", world.log);
    world.execute(poll);
    world.drain();
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn a_suspended_sync_ignores_it() {
    let mut world = World::synced(["a"]);
    world.annotate(|requests| requests.suspended = true);
    world.drain();
    world.forget();
    world.push("second", ["b"]);
    world.step(Input::Hinted);
    world.pass(60);
    assert_eq!(world.count("Poll"), 0, "{:?}", world.log);
}

#[test]
fn a_follower_polls_too() {
    let mut world = World::synced(["a"]);
    world.follow();
    world.pass(90);
    world.forget();
    world.push("second", ["b"]);
    world.step(Input::Hinted);
    world.drain();
    assert_eq!((world.count("Poll"), world.count("Render")), (1, 1), "{:?}", world.log);
    assert_eq!(world.writes(), 0);
}
