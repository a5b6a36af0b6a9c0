//! Interrupting what is under way, and storing what was learned on every way out.

use std::time::Duration;

use super::answers::Begun;
use super::watched::watched;
use super::world::{World, id};
use crate::plan::Phase;
use crate::reconcile::{Input, Unrendered};

fn many(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:02}")).collect()
}

/// A poll at this very moment, answered.
fn poll(world: &mut World) {
    world.now += world.config.interval;
    world.step(Input::Tick);
    let poll = world.pending.pop_back().expect("a poll");
    world.execute(poll);
}

#[test]
fn a_suspension_interrupts_an_apply_and_what_it_has_done_is_stored() {
    for (begun, made) in [(Begun::Nothing, 1), (Begun::Half, 5), (Begun::All, 9)] {
        let mut world = World::synced(["a"]);
        world.begun = Some(begun);
        world.push("second", many("n", 8));
        let apply = world.until("Apply");
        world.annotate(|requests| requests.suspended = true);
        assert!(world.interrupted.contains(&apply));
        world.drain();
        assert_eq!(world.live.len(), made, "{begun:?}");
        assert!(world.names().iter().all(|name| world.stored().contains(name)), "{begun:?}: {:?}", world.stored());
        assert_eq!((world.phase(), world.count("Prune")), (Phase::Suspended, 0));
        world.annotate(|requests| requests.suspended = false);
        world.pass(10);
        assert!(world.is_as_in("second"), "{:?}", world.log);
    }
}

#[test]
fn a_newer_commit_interrupts_an_apply_and_a_prune_and_a_former_one_does_not() {
    for kind in ["Apply", "Prune"] {
        let mut world = World::synced(["a", "b"]);
        world.push("second", ["b", "c"]);
        world.pass(61);
        world.push("third", ["c", "d"]);
        let under_way = world.until(kind);
        world.head = Ok("first".into());
        poll(&mut world);
        assert!(world.interrupted.is_empty(), "a replica that lags interrupts nothing");
        world.push("fourth", ["c", "d", "e"]);
        poll(&mut world);
        assert!(world.interrupted.contains(&under_way), "{kind}");
        world.pass(10);
        assert!(world.is_as_in("fourth"), "{:?}", world.log);
    }
}

#[test]
fn a_prune_is_interrupted_when_its_approval_is_withdrawn_or_a_poll_is_asked_for_or_fails() {
    type Happens = fn(&mut World);
    let happens: [Happens; 3] = [
        |world| world.annotate(|requests| requests.approved = None),
        |world| world.annotate(|requests| requests.sync_requested = Some("now".into())),
        |world| {
            world.head = Err("no route to host".into());
            poll(world);
        },
    ];
    for happens in happens {
        let mut world = World::synced(many("o", 20));
        world.begun = Some(Begun::Half);
        world.push("cut", ["o00"]);
        world.pass(60);
        world.approve_held();
        let under_way = world.until("Prune");
        let prune = world.take(under_way);
        happens(&mut world);
        assert!(world.interrupted.contains(&under_way));
        world.execute(prune);
        assert_eq!(world.live.len(), 11, "half of it: {:?}", world.log);
        world.head = Ok("cut".into());
        world.pass(200);
        if world.requests.approved.is_none() {
            world.approve_held();
            world.pass(200);
        }
        assert!(world.is_as_in("cut"), "{:?}", world.log);
    }
}

#[test]
fn a_heal_that_was_not_begun_is_done_once_git_was_polled() {
    for tries in 0..6 {
        let mut world = watched(&["a", "b", "c"]);
        // Another number for the heal, and with it another way in which it is interrupted.
        (0..tries).for_each(|_| world.step(Input::Tick));
        for name in ["a", "b", "c"] {
            world.edit(name);
        }
        world.deliver();
        world.until("Heal");
        world.annotate(|requests| requests.sync_requested = Some("now".into()));
        assert_eq!(world.interrupted.len(), 1, "only what is under way");
        world.drain();
        assert!(world.is_as_in("first"), "{:?}", world.log);
        assert_eq!(world.phase(), Phase::Synced);
    }
}

#[test]
fn a_branch_that_moved_before_it_was_fetched_is_polled_again_at_once_and_ever_more_slowly_when_it_goes_on() {
    let day = Duration::from_hours(24);
    let mut world = World::with(|config| config.interval = day);
    world.push("first", ["a"]);
    world.pass(1);
    world.forget();
    world.push("gone", ["a", "b"]);
    world.moves = 1;
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.until("Render");
    let render = world.pending.pop_front().unwrap();
    world.push("there", ["a", "c"]);
    world.execute(render);
    world.pass(1);
    assert!(world.is_as_in("there"), "{:?}", world.log);
    assert_eq!((world.count("Poll"), world.count("Render")), (2, 2), "{:?}", world.log);

    world.forget();
    world.push("never there", ["a", "b"]);
    world.moves = usize::MAX;
    world.annotate(|requests| requests.sync_requested = Some("later".into()));
    world.pass(3600);
    assert!((3..30).contains(&world.count("Poll")), "{} polls in an hour", world.count("Poll"));
    assert_eq!(world.phase(), Phase::Failing);
    world.delete("a");
    world.deliver();
    world.drain();
    assert!(world.is_as_in("there"), "the last good commit stays enforced");
}

#[test]
fn a_commit_that_moved_is_no_other_failure() {
    let mut world = World::synced(["a"]);
    world.push("second", ["a", "b"]);
    let render = world.until("Render");
    world.pending.clear();
    world.step(Input::Rendered { id: render, result: Err(Unrendered::Moved("it moved".into())) });
    assert_eq!(world.phase(), Phase::Synced, "it is polled again first");
    world.drain();
    assert!(world.is_as_in("second"), "{:?}", world.log);
}

#[test]
fn a_clean_stop_stores_what_healing_has_changed_whatever_is_under_way() {
    for kind in ["Poll", "Render", "Observe", "Examine", "Heal", "WriteParent", "Apply", "Prune"] {
        let mut world = watched(&["a", "b", "c", "e"]);
        world.delete("a");
        world.deliver();
        world.drain();
        world.delete("b");
        world.deliver();
        if !matches!(kind, "Examine" | "Heal") {
            world.push("second", ["a", "c", "d"]);
            world.annotate(|requests| requests.sync_requested = Some("now".into()));
        }
        world.until(kind);
        world.stop();
        for live in world.live.values() {
            let recorded = world.parent.as_ref().and_then(|(inventory, _)| inventory.get(&live.id)).copied();
            let uid = recorded.map(|recorded| recorded.uid);
            assert_eq!(uid, Some(crate::object::Short::of(&live.uid)), "{} after {kind}: {:?}", live.id, world.log);
        }
        world.restart();
        world.push("third", ["c"]);
        world.pass(300);
        assert!(world.is_as_in("third"), "after {kind}: {:?}", world.log);
    }
}

#[test]
fn a_clean_stop_with_nothing_learned_writes_nothing() {
    let mut world = World::synced(["a", "b"]);
    world.pass(300);
    world.stop();
    assert_eq!(world.writes(), 0, "{:?}", world.log);
    let mut world = World::new();
    world.stop();
    assert_eq!(world.parent, None, "who has applied nothing leaves no trace");
}

#[test]
fn what_was_learned_is_stored_at_once_when_leadership_is_in_danger() {
    let mut world = watched(&["a", "b"]);
    world.delete("a");
    world.deliver();
    world.drain();
    assert_eq!(world.count("WriteParent"), 0);
    world.step(Input::StoreNow);
    world.drain();
    assert_eq!(world.count("WriteParent"), 1);
    world.step(Input::StoreNow);
    world.drain();
    assert_eq!(world.count("WriteParent"), 1, "once is enough");
}

#[test]
fn a_branch_that_moves_with_every_poll_is_applied_all_the_same() {
    let mut world = World::synced(["a"]);
    let mut commits = 0;
    // Every observation of the cluster takes longer than the interval.
    for _ in 0..200 {
        world.now += world.config.interval;
        world.step(Input::Tick);
        while let Some(at) =
            world.pending.iter().position(|effect| !matches!(effect, crate::reconcile::Effect::Observe { .. }))
        {
            let effect = world.pending.remove(at).unwrap();
            if matches!(effect, crate::reconcile::Effect::Poll { .. }) {
                commits += 1;
                world.push(&format!("c{commits:03}"), ["a".to_owned(), format!("n{commits:03}")]);
            }
            world.execute(effect);
        }
        if let Some(observe) = world.pending.pop_front() {
            world.execute(observe);
        }
    }
    assert!(world.count("Apply") >= 20, "{} applies for {commits} commits", world.count("Apply"));
}

#[test]
fn a_new_leader_goes_by_what_the_former_one_stored_and_not_by_its_own_inventory() {
    let mut world = World::synced(many("o", 10));
    world.stand_by();
    world.push("more", many("o", 20));
    world.pass(120);
    world.push("cut", ["o00"]);
    world.pass(120);
    assert_eq!((world.phase(), world.stored().len()), (Phase::Held, 20));
    world.take_over();
    world.pass(120);
    assert_eq!((world.phase(), world.stored().len()), (Phase::Held, 20), "{:?}", world.log);
    world.approve("cut");
    world.pass(120);
    assert!(world.is_as_in("cut"), "{:?}", world.log);
    assert!(world.live.contains_key(&id("o00")));
}
