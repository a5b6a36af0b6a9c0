//! Objects that can only be replaced: planned as that, counted by the guard, carried out in one cycle.

use super::world::{Crash, World};
use crate::event::{Outcome, SyncEvent};
use crate::plan::Phase;

fn names(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("fixed{n:03}")).collect()
}

/// So many objects that cannot be changed in place, synced.
fn world(objects: usize) -> World {
    World::synced(names(0, objects))
}

/// A commit that changes the first of them, and adds one.
fn change(world: &mut World, commit: &str, of: usize, first: usize) {
    let mut all = names(0, of);
    all.push("new".into());
    let content = world.push(commit, all);
    for name in names(0, first) {
        content.objects.insert(name, "2".into());
    }
}

fn planned_replacements(world: &World) -> Vec<usize> {
    let plans = world.events.iter().filter_map(|event| match event {
        SyncEvent::Planned { replace, .. } => Some(*replace),
        _ => None,
    });
    plans.collect()
}

#[test]
fn what_cannot_be_changed_in_place_is_replaced_by_the_next_plan_of_the_same_cycle() {
    let mut world = world(4);
    change(&mut world, "change", 4, 2);
    world.pass(60);
    assert_eq!(world.phase(), Phase::Synced);
    assert!(world.is_as_in("change"));
    assert_eq!(world.ended(), [Outcome::Synced], "nothing of it is a failure");
    assert_eq!(planned_replacements(&world), [0, 2], "planned as what it is before it is done");
    world.forget();
    world.pass(600);
    assert_eq!(world.writes(), 0, "{:?}", world.log);
}

#[test]
fn more_than_the_guard_allows_waits_for_an_approval_and_the_rest_is_applied() {
    let mut world = world(20);
    change(&mut world, "change", 20, 6);
    world.pass(3600);
    assert_eq!(world.phase(), Phase::Held);
    let held = world.machine.status().held.clone().unwrap();
    assert_eq!((held.prune, held.total), (6, 20));
    assert!(held.reason.contains("6 of them to create again"), "{}", held.reason);
    assert!(world.names().contains(&"new"), "the rest is applied");
    assert_eq!(world.held_events(), 1);
    world.forget();
    world.pass(3600);
    assert_eq!(world.writes(), 0, "a sync that waits writes nothing: {:?}", world.log);
    world.approve_held();
    world.pass(10);
    assert_eq!(world.phase(), Phase::Synced);
    assert!(world.is_as_in("change"));
}

#[test]
fn prunes_and_replacements_are_counted_together() {
    let mut world = world(20);
    let content = world.push("change", names(3, 20));
    for name in names(3, 6) {
        content.objects.insert(name, "2".into());
    }
    world.pass(600);
    assert_eq!(world.phase(), Phase::Held);
    assert_eq!(world.machine.status().held.as_ref().map(|held| held.prune), Some(6));
    assert_eq!((world.live.len(), world.count("Prune")), (20, 0), "neither is done");
    world.approve_held();
    world.pass(10);
    assert!(world.is_as_in("change"));
}

#[test]
fn no_restart_at_any_point_lets_replacements_pass_the_guard() {
    for crash in Crash::SOME {
        for at in 0..28 {
            let mut world = world(20);
            change(&mut world, "change", 20, 6);
            let before = world.live.clone();
            world.kill = Some((at, crash));
            world.pass(300);
            world.restart();
            world.pass(300);
            assert_eq!(world.phase(), Phase::Held, "{at} {crash:?} {:?}", world.log);
            let kept = before.iter().all(|(id, live)| world.live[id].uid == live.uid);
            assert!(kept, "{at} {crash:?} {:?}", world.log);
            world.approve_held();
            world.pass(60);
            assert!(world.is_as_in("change"), "{at} {crash:?} {:?}", world.log);
        }
    }
}

#[test]
fn an_approval_that_is_withdrawn_while_the_parent_is_written_replaces_nothing() {
    let mut world = world(20);
    change(&mut world, "change", 20, 6);
    world.pass(120);
    let before = world.live.clone();
    world.requests.approved = Some("change".into());
    world.step(crate::reconcile::Input::UserRequests(world.requests.clone()));
    world.until("Observe");
    let observe = world.pending.pop_back().unwrap();
    let answer = world.answer(observe);
    world.requests.approved = None;
    world.step(crate::reconcile::Input::UserRequests(world.requests.clone()));
    world.step(answer);
    world.pass(60);
    assert_eq!(world.phase(), Phase::Held);
    assert!(before.iter().all(|(id, live)| world.live[id].uid == live.uid));
}

#[test]
fn a_newer_commit_wins_over_a_replacement_that_has_not_begun() {
    let mut world = world(4);
    change(&mut world, "change", 4, 1);
    world.until("Apply");
    let before = world.live("fixed000").uid.clone();
    change(&mut world, "undo", 4, 0);
    world.now += world.config.interval;
    world.step(crate::reconcile::Input::Tick);
    let poll = world.pending.pop_back().unwrap();
    world.execute(poll);
    world.pass(10);
    assert_eq!(world.phase(), Phase::Synced);
    assert!(world.is_as_in("undo"));
    assert_eq!(world.live("fixed000").uid, before, "the older commit has replaced nothing");
}

#[test]
fn an_object_that_could_not_be_made_again_is_an_error_and_is_made_as_soon_as_it_can_be() {
    let mut world = world(4);
    world.unmade.insert("fixed000".into());
    change(&mut world, "change", 4, 1);
    world.pass(61);
    assert_eq!(world.ended(), [Outcome::Failed, Outcome::Synced], "and tried again by itself");
    assert_eq!(world.phase(), Phase::Synced);
    assert!(world.is_as_in("change"));
}

#[test]
fn drift_that_cannot_be_put_back_in_place_is_replaced_by_a_cycle_and_not_by_the_heal() {
    let mut world = world(4);
    let uid = world.live("fixed000").uid.clone();
    world.live("fixed000").digest = Some(crate::object::Digest::of(b"by hand"));
    world.seen(&super::world::id("fixed000"));
    world.deliver();
    world.pass(30);
    assert_eq!(world.phase(), Phase::Synced, "{:?}", world.log);
    assert!(world.is_as_in("first"));
    assert_ne!(world.live("fixed000").uid, uid);
    assert!(planned_replacements(&world).contains(&1), "{:?}", world.log);
}

#[test]
fn drift_of_many_that_cannot_be_put_back_in_place_is_held_by_the_guard() {
    let mut world = world(20);
    for name in names(0, 6) {
        world.live(&name).digest = Some(crate::object::Digest::of(b"by hand"));
        world.seen(&super::world::id(&name));
    }
    let before = world.live.clone();
    world.pass(600);
    assert_eq!(world.phase(), Phase::Held, "{:?}", world.log);
    assert!(before.iter().all(|(id, live)| world.live[id].uid == live.uid));
    world.approve_held();
    world.pass(60);
    assert!(world.is_as_in("first"));
}
