//! Errors stay where they are, and nothing incomplete ever prunes.

use std::time::Duration;

use super::world::{World, id};
use crate::event::{Ended, Outcome, Part, PollResult, SyncEvent};
use crate::object::{GroupKind, Unreadable};
use crate::plan::{Phase, Problem};

#[test]
fn a_failed_poll_keeps_the_last_good_commit_enforced_and_prunes_nothing() {
    let mut world = World::synced(["a", "b"]);
    let good = std::mem::replace(&mut world.head, Err("the branch does not exist".into()));
    world.pass(120);
    world.live.remove(&id("a"));
    world.pass(600);
    assert!(world.is_as_in("first"), "drift is healed meanwhile");
    assert_eq!(world.count("Prune"), 0);
    assert_eq!(world.phase(), Phase::Failing);
    assert!(world.machine.status().message.contains("branch"), "{}", world.machine.status().message);
    world.head = good;
    world.pass(61);
    assert_eq!(world.phase(), Phase::Synced, "as soon as git answers again");
}

#[test]
fn a_poll_that_fails_during_a_commit_with_deletions_withholds_them() {
    let mut world = World::synced(["a", "b"]);
    world.push("second", ["b"]);
    world.until("Observe");
    world.head = Err("no route to host".into());
    world.now += Duration::from_mins(1);
    world.step(crate::reconcile::Input::Tick);
    let poll = world.pending.pop_back().unwrap();
    world.execute(poll);
    while let Some(effect) = world.pending.pop_front() {
        world.execute(effect);
    }
    assert_eq!(world.names(), ["a", "b"]);
}

#[test]
fn a_commit_that_cannot_be_rendered_keeps_the_last_good_one_enforced_and_prunes_nothing() {
    let mut world = World::synced(["a", "b"]);
    world.push("second", ["a"]).fails = true;
    world.pass(120);
    world.edit("b");
    world.pass(700);
    assert!(world.is_as_in("first"));
    assert_eq!(world.count("Prune"), 0);
    assert_eq!(world.phase(), Phase::Failing);
    world.push("third", ["b"]);
    world.pass(61);
    assert_eq!((world.phase(), world.names()), (Phase::Synced, vec!["b"]));
}

#[test]
fn going_back_from_a_commit_that_cannot_be_rendered_ends_its_error() {
    let mut world = World::synced(["a", "b"]);
    world.push("second", ["a"]).fails = true;
    world.pass(120);
    assert_eq!(world.phase(), Phase::Failing);
    world.head = Ok("first".into());
    world.pass(180);
    assert_eq!(world.phase(), Phase::Synced, "{}", world.machine.status().message);
}

#[test]
fn a_commit_with_broken_files_applies_the_healthy_rest_and_prunes_nothing() {
    let mut world = World::synced(["a", "b"]);
    world.push("second", ["b", "c"]).broken = 1;
    world.pass(600);
    assert_eq!(world.names(), ["a", "b", "c"]);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Failing, 0));
    assert_eq!(world.stored(), ["a", "b", "c"]);
}

#[test]
fn a_refused_object_stops_nobody_else_and_is_tried_again_ever_more_slowly() {
    let mut world = World::synced(["a", "b"]);
    world.refused.insert("bad".into());
    world.push("second", ["b", "bad", "c"]);
    let mut tries = Vec::new();
    while tries.len() < 8 {
        world.until("Apply");
        tries.push(world.now);
        let apply = world.pending.pop_front().unwrap();
        world.execute(apply);
    }
    world.drain();
    assert_eq!(world.names(), ["a", "b", "c"]);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Failing, 0));
    let problem = &world.machine.status().problems[0];
    assert!(matches!(problem, Problem { object: Some(object), origin: Some(_), .. } if *object.name == *"bad"));
    let pauses: Vec<Duration> = tries.windows(2).map(|two| two[1].saturating_sub(two[0])).collect();
    assert!(pauses.windows(3).all(|three| three[2] > three[0]), "{pauses:?}");
    world.refused.clear();
    world.pass(400);
    assert!(world.is_as_in("second"));
}

#[test]
fn drift_is_healed_while_another_object_keeps_failing() {
    let mut world = World::synced(["a", "b"]);
    world.refused.insert("bad".into());
    world.push("second", ["a", "b", "bad"]);
    world.pass(100);
    world.live.remove(&id("a"));
    world.pass(400);
    assert_eq!(world.names(), ["a", "b"]);
}

#[test]
fn a_kind_that_cannot_be_read_is_reported_and_nothing_is_pruned_meanwhile() {
    let mut world = World::synced(["a", "b"]);
    world.unreadable.insert(GroupKind::new("e.com", "Gone"), None, "its APIService is down".into());
    world.push("second", ["b", "c"]);
    world.pass(300);
    assert_eq!(world.names(), ["a", "b", "c"]);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Failing, 0));
    assert!(world.machine.status().message.contains("APIService"), "{}", world.machine.status().message);
    world.unreadable = Unreadable::default();
    world.pass(400);
    assert!(world.is_as_in("second"));
}

#[test]
fn orphans_of_a_kind_that_cannot_be_read_stay_in_the_inventory() {
    let mut world = World::synced(["a", "b"]);
    world.unreadable.insert(id("a").gk, None, "forbidden".into());
    world.push("second", ["b"]);
    world.pass(300);
    assert_eq!(world.stored(), ["a", "b"]);
    assert_eq!(world.names(), ["a", "b"]);
    world.unreadable = Unreadable::default();
    world.pass(400);
    assert!(world.is_as_in("second"));
}

#[test]
fn a_cluster_that_cannot_be_read_is_left_alone() {
    let mut world = World::synced(["a", "b"]);
    world.unobservable = true;
    world.push("second", ["b"]);
    world.pass(600);
    assert_eq!((world.count("Apply"), world.count("Prune")), (0, 0));
    assert_eq!(world.ended().last(), Some(&Outcome::Failed));
    assert_eq!(world.stored(), ["a", "b"]);
    world.unobservable = false;
    world.pass(600);
    assert!(world.is_as_in("second"));
}

#[test]
fn a_prune_that_fails_is_tried_again() {
    let mut world = World::synced(["a", "b"]);
    world.refused.insert("a".into());
    world.push("second", ["b"]);
    world.pass(200);
    assert_eq!((world.phase(), world.stored()), (Phase::Failing, vec!["a", "b"]));
    world.refused.clear();
    world.pass(400);
    assert!(world.is_as_in("second"));
    assert_eq!(world.stored(), ["b"]);
}

#[test]
fn an_orphan_that_somebody_created_again_is_kept() {
    let mut world = World::synced(["a", "b"]);
    world.push("second", ["b"]);
    world.until("Prune");
    world.live("a").uid = "of somebody else".into();
    world.pass(300);
    assert_eq!(world.names(), ["a", "b"]);
    assert_eq!(world.count("Prune"), 1);
}

#[test]
fn an_atomic_commit_of_which_a_part_cannot_be_read_is_not_written_at_all_and_drift_is_healed_meanwhile() {
    let mut world = World::with(|config| config.atomic = true);
    world.push("first", ["a", "b"]);
    world.pass(10);
    world.push("second", ["a", "b", "c"]).broken = 1;
    world.pass(120);
    assert!(!world.live.contains_key(&id("c")), "{:?}", world.log);
    let message = "nothing of the commit was written, since the sync is atomic and 1 of its manifests cannot be used";
    let status = world.machine.status();
    assert!(status.problems.iter().any(|problem| problem.message == message), "{:?}", status.problems);
    world.delete("a");
    world.pass(120);
    assert!(world.live.contains_key(&id("a")), "{:?}", world.log);
    world.push("third", ["a", "c"]);
    world.pass(120);
    assert!(world.is_as_in("third"), "{:?}", world.log);
}

#[test]
fn a_poll_that_failed_is_reported_with_the_time_of_the_next_one() {
    let mut world = World::synced(["a"]);
    world.head = Err("no answer".into());
    let poll = world.until("Poll");
    let poll = world.take(poll);
    world.forget();
    world.execute(poll);
    let failed = world.events.iter().find_map(|event| match event {
        SyncEvent::Polled { result: PollResult::Failed, commit: None, error, retry_in } => {
            Some((error.clone(), *retry_in))
        }
        _ => None,
    });
    let (error, retry_in) = failed.expect("it is reported");
    assert_eq!(error.as_deref(), Some("no answer"));
    let due = world.now + retry_in.expect("it is tried again");
    world.until("Poll");
    assert_eq!(world.now, due);
}

#[test]
fn the_end_of_a_cycle_comes_after_its_problems_and_says_a_single_one_itself() {
    let reported = |broken: usize| {
        let mut world = World::synced(["a"]);
        world.forget();
        world.refused.insert("bad".into());
        world.push("second", ["a", "bad"]).broken = broken;
        world.until("Apply");
        world.drain();
        let words = world.events.iter().filter_map(|event| match event {
            SyncEvent::Problem(_) => Some("problem"),
            SyncEvent::Took { part: Part::Total, .. } => Some("total"),
            SyncEvent::Ended(Ended { outcome: Outcome::Failed, .. }) => Some("failed"),
            _ => None,
        });
        words.collect::<Vec<_>>()
    };
    assert_eq!(reported(0), ["total", "failed"]);
    assert_eq!(reported(1), ["problem", "problem", "total", "failed"]);
}
