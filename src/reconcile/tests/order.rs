//! What is done in which order, and what is not done at all.

use super::world::{World, id};
use crate::event::SyncEvent;
use crate::plan::{Neighbour, Phase, Stake};
use crate::reconcile::{Input, Unrendered};

#[test]
fn the_first_sync_lists_what_it_will_create_before_it_creates_it() {
    let mut world = World::new();
    world.push("first", ["a", "b"]);
    world.drain();
    assert_eq!(world.log, ["Poll", "Render first", "Observe", "WriteParent a,b", "Apply a,b", "WriteParent a,b"]);
    assert_eq!(world.phase(), Phase::Synced);
    assert!(world.is_as_in("first"));
}

#[test]
fn a_commit_that_adds_and_removes_stores_both_first_and_the_exact_list_after_the_prune() {
    let mut world = World::synced(["a", "b"]);
    world.push("second", ["b", "c"]);
    world.pass(70);
    let writes: Vec<&str> = world.log.iter().map(String::as_str).filter(|word| *word != "Poll").collect();
    assert_eq!(writes[..6], ["Render second", "Observe", "WriteParent a,b,c", "Apply c", "Prune a", "WriteParent b,c"]);
    assert!(world.is_as_in("second"));
    assert_eq!(world.stored(), ["b", "c"]);
}

#[test]
fn a_quiet_cycle_writes_nothing() {
    let mut world = World::synced(["a", "b", "c"]);
    world.pass(3600);
    assert!(world.count("Observe") >= 59, "{:?}", world.log);
    assert_eq!((world.writes(), world.count("Render")), (0, 0));
}

#[test]
fn a_restart_costs_no_write() {
    let mut world = World::synced(["a", "b", "c"]);
    world.pass(600);
    let before = world.parent.clone();
    world.restart();
    world.pass(600);
    assert_eq!(world.writes(), 0, "{:?}", world.log);
    assert_eq!(world.parent, before);
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn a_commit_that_changes_nothing_costs_one_write_of_the_status() {
    let mut world = World::synced(["a"]);
    world.push("second", ["a"]);
    world.pass(600);
    assert_eq!((world.writes(), world.count("WriteParent")), (1, 1), "{:?}", world.log);
}

#[test]
fn a_new_commit_wins_over_one_that_fails() {
    let mut world = World::synced(["a"]);
    world.refused.insert("bad".into());
    world.push("second", ["a", "bad"]);
    world.pass(400);
    assert_eq!(world.phase(), Phase::Failing);
    world.push("third", ["a", "good"]);
    world.forget();
    world.until("Render");
    let found = world.now;
    world.drain();
    assert_eq!(world.now, found, "picked up at once");
    assert!(world.is_as_in("third"));
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn a_new_commit_wins_over_one_that_waits_for_health() {
    let mut world = World::synced(["a"]);
    world.unhealthy.insert("slow".into());
    world.push("second", ["a", "slow"]);
    world.pass(90);
    assert_eq!(world.phase(), Phase::Progressing);
    world.push("third", ["a"]);
    world.pass(61);
    assert_eq!(world.phase(), Phase::Synced);
    assert!(world.is_as_in("third"));
}

#[test]
fn a_commit_that_is_overtaken_prunes_nothing_and_is_not_called_synced() {
    let mut world = World::synced(["a", "b"]);
    world.push("second", ["b", "c"]);
    let apply = world.until("Apply");
    world.push("third", ["a", "b", "c"]);
    // The poll comes while the apply is under way.
    world.now += world.config.interval;
    world.step(Input::Tick);
    let poll = world.pending.pop_back().unwrap();
    world.execute(poll);
    assert_eq!(world.pending.len(), 1, "the apply {apply} is still under way");
    world.drain();
    assert_eq!(world.count("Prune"), 0, "{:?}", world.log);
    assert!(world.is_as_in("third"));
    let synced = world.events.iter().filter_map(|event| match event {
        SyncEvent::Status(status) if status.phase == Phase::Synced => status.synced.as_ref().map(|commit| &*commit.id),
        _ => None,
    });
    assert!(synced.clone().all(|commit| commit != "second"), "{:?}", synced.collect::<Vec<_>>());
}

#[test]
fn a_host_that_flaps_between_two_replicas_causes_no_write() {
    let mut world = World::synced(["a"]);
    world.push("second", ["a", "b"]);
    world.pass(61);
    assert!(world.is_as_in("second"));
    world.forget();
    for turn in 0..20 {
        world.head = Ok(if turn % 2 == 0 { "first" } else { "second" }.into());
        world.pass(60);
    }
    assert_eq!((world.writes(), world.count("Render")), (0, 0), "{:?}", world.log);
    world.head = Ok("first".into());
    world.pass(121);
    assert!(world.is_as_in("first"), "a real force-push is taken when two polls in a row agree");
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn a_replica_that_lags_at_a_restart_is_not_believed_at_once() {
    let mut world = World::synced(["a"]);
    world.push("second", ["a", "b"]);
    world.pass(61);
    world.head = Ok("first".into());
    world.restart();
    world.forget();
    world.pass(1);
    assert_eq!((world.writes(), world.count("Render")), (0, 0), "{:?}", world.log);
    world.head = Ok("second".into());
    world.pass(60);
    assert_eq!((world.writes(), world.count("Render")), (0, 1), "{:?}", world.log);
    world.head = Ok("first".into());
    world.restart();
    world.pass(10);
    assert!(world.is_as_in("first"), "a real force-push is taken when two polls in a row agree");
    world.head = Ok("second".into());
    world.pass(61);
    assert!(world.is_as_in("first"), "what was the head before the restart counts as left");
}

#[test]
fn a_parent_that_cannot_be_written_keeps_everything_as_it_is() {
    let mut world = World::synced(["a", "b"]);
    world.parent_refused = true;
    world.push("second", ["b", "c"]);
    world.pass(600);
    assert_eq!((world.count("Apply"), world.count("Prune")), (0, 0));
    assert_eq!(world.names(), ["a", "b"]);
    assert_eq!(world.phase(), Phase::Failing);
    world.parent_refused = false;
    world.pass(600);
    assert!(world.is_as_in("second"));
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn a_parent_that_was_deleted_by_hand_is_written_again() {
    let mut world = World::synced(["a", "b"]);
    let before = world.parent.take().unwrap().0;
    world.step(Input::ParentMissing);
    world.drain();
    assert_eq!(world.parent.as_ref().map(|(inventory, _)| inventory), Some(&before));
    assert_eq!((world.count("Apply"), world.count("Prune")), (0, 0));
}

#[test]
fn answers_to_nothing_that_was_asked_are_ignored() {
    let mut world = World::synced(["a"]);
    world.push("second", ["b"]);
    for number in [0, 1, 2, 3, 99] {
        world.step(Input::Polled { id: number, result: Ok("other".into()), watched: true });
        world.step(Input::Rendered { id: number, result: Err(Unrendered::Failed("late".into())) });
        world.step(Input::Observed { id: number, result: Err("late".into()) });
        world.step(Input::ParentWritten { id: number, result: Err("late".into()) });
        world.step(Input::Applied { id: number, outcomes: Vec::new() });
        world.step(Input::Pruned { id: number, outcomes: Vec::new() });
    }
    assert!(world.pending.is_empty());
    // And an answer of the right number and the wrong kind.
    let apply = world.until("Apply");
    world.step(Input::Pruned { id: apply, outcomes: Vec::new() });
    world.step(Input::ParentWritten { id: apply, result: Ok(()) });
    assert_eq!(world.pending.len(), 1);
    world.drain();
    assert!(world.is_as_in("second"), "{:?}", world.log);
}

#[test]
fn an_object_that_another_sync_declares_leaves_the_inventory_only_when_it_was_taken_over() {
    let mut world = World::synced(["a", "b"]);
    let declares = Stake { declares: true, ..Stake::default() };
    let objects = [(id("a"), declares)].into();
    let other = Neighbour { set_id: "applyset-other-v1".into(), objects, ..Neighbour::default() };
    world.others.syncs.insert("other".into(), other);
    world.push("second", ["b"]);
    world.pass(120);
    assert_eq!(world.names(), ["a", "b"]);
    assert_eq!(world.stored(), ["a", "b"], "until then nobody else answers for it");
    world.live("a").part_of = Some("applyset-other-v1".into());
    world.pass(60);
    assert_eq!(world.names(), ["a", "b"]);
    assert_eq!(world.stored(), ["b"]);
}
