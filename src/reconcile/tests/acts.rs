//! Which decisions may be carried out: after a resume, a start and `driftless sync` git is polled
//! first, and what was decided from something that no longer holds is planned anew.

use std::time::Duration;

use super::beside::healed_beside_a_commit_without_it;
use super::watched::watched;
use super::world::{World, id};
use crate::plan::Phase;
use crate::reconcile::{Effect, Input};

/// Where in the log an effect is.
fn at(world: &World, wanted: &str) -> Option<usize> {
    world.log.iter().position(|entry| entry == wanted)
}

#[test]
fn a_resumed_sync_polls_git_before_it_writes_anything() {
    let mut world = watched(&["a", "b"]);
    world.annotate(|requests| requests.suspended = true);
    world.edit("a");
    world.deliver();
    world.push("second", ["a", "b"]).objects.insert("a".into(), "2".into());
    world.annotate(|requests| requests.suspended = false);
    world.drain();
    assert_eq!(world.log[..3], ["Poll", "Render second", "Observe"], "{:?}", world.log);
    assert_eq!((world.count("Heal"), at(&world, "Apply a").is_some()), (0, true), "{:?}", world.log);
    assert!(world.is_as_in("second"));
}

#[test]
fn a_resumed_sync_does_not_prune_what_git_has_back() {
    let mut world = watched(&["a", "x"]);
    world.refused.insert("bad".into());
    world.push("without x", ["a", "bad"]);
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.pass(60);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Failing, 0));
    world.annotate(|requests| requests.suspended = true);
    world.drain();
    world.push("with x", ["a", "bad", "x"]);
    world.refused.clear();
    world.annotate(|requests| requests.suspended = false);
    // The answer of the poll is the last to come.
    let poll = world.until("Poll");
    let poll = world.take(poll);
    world.drain();
    assert_eq!((world.count("Prune"), world.live.contains_key(&id("x"))), (0, true), "{:?}", world.log);
    world.execute(poll);
    world.pass(60);
    assert!(world.is_as_in("with x"), "{:?}", world.log);
}

#[test]
fn a_sync_that_is_asked_for_polls_git_before_it_heals_or_goes_through_the_cluster() {
    let mut world = watched(&["a", "b"]);
    world.edit("a");
    world.push("second", ["a", "b"]).objects.insert("a".into(), "2".into());
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.deliver();
    world.drain();
    assert_eq!(world.log[..3], ["Poll", "Render second", "Observe"], "{:?}", world.log);
    assert_eq!(world.count("Heal"), 0, "{:?}", world.log);
    assert!(world.is_as_in("second"));
}

#[test]
fn the_answer_to_a_poll_that_was_under_way_before_the_resume_decides_nothing() {
    let mut world = World::synced(["a"]);
    world.pass(50);
    let poll = world.until("Poll");
    let poll = world.take(poll);
    let answer = world.answer(poll);
    world.annotate(|requests| requests.suspended = true);
    world.edit("a");
    world.push("second", ["a"]).objects.insert("a".into(), "2".into());
    world.annotate(|requests| requests.suspended = false);
    world.forget();
    world.step(answer);
    world.drain();
    assert_eq!(world.log[..2], ["Poll", "Render second"], "{:?}", world.log);
    assert_eq!(world.count("Heal"), 0, "{:?}", world.log);
    assert!(world.is_as_in("second"));
}

#[test]
fn a_cycle_that_waited_for_heals_when_the_sync_was_suspended_is_not_carried_out_afterwards() {
    let mut world = World::synced(["a", "b", "c"]);
    world.delete("a");
    world.push("second", ["a", "c"]);
    let heal = world.until("Heal");
    let heal = world.take(heal);
    world.annotate(|requests| requests.suspended = true);
    world.push("third", ["a", "b", "c"]);
    world.annotate(|requests| requests.suspended = false);
    world.execute(heal);
    world.drain();
    assert_eq!(world.count("Prune"), 0, "{:?}", world.log);
    assert!(world.is_as_in("third"), "{:?}", world.log);
}

#[test]
fn a_poll_that_fails_while_a_commit_is_applied_withholds_its_prune() {
    let mut world = World::synced(["a", "b"]);
    world.push("second", ["b", "c"]);
    let apply = world.until("Apply");
    let apply = world.take(apply);
    world.head = Err("no route to host".into());
    world.now += Duration::from_mins(1);
    world.step(Input::Tick);
    world.drain();
    world.execute(apply);
    world.drain();
    assert_eq!(world.count("Prune"), 0, "{:?}", world.log);
}

/// An object that was deleted by hand is healed while a commit without it is planned, and the
/// answer to the heal is the last to come: the object has another UID than the inventory knew.
#[test]
fn what_is_healed_while_a_commit_without_it_is_taken_up_is_known_by_its_new_uid() {
    let mut world = watched(&["a", "b"]);
    let (heal, observe) = healed_beside_a_commit_without_it(&mut world);
    let seen = world.answer(observe);
    let healed = world.answer(heal);
    world.step(seen);
    world.step(healed);
    world.drain();
    assert_eq!((world.live.contains_key(&id("a")), world.stored()), (false, vec!["b"]), "{:?}", world.log);
}

#[test]
fn a_suspended_sync_stores_what_it_learned_before() {
    let mut world = watched(&["a", "b"]);
    world.delete("a");
    world.deliver();
    world.drain();
    assert_eq!((world.count("Heal"), world.count("WriteParent")), (1, 0), "{:?}", world.log);
    world.annotate(|requests| requests.suspended = true);
    world.pass(60);
    assert_eq!(world.count("WriteParent"), 1, "{:?}", world.log);
    world.restart();
    world.push("second", ["b"]);
    world.annotate(|requests| requests.suspended = false);
    world.pass(60);
    assert!(world.is_as_in("second"), "{:?}", world.log);
}

#[test]
fn an_object_that_is_examined_when_its_sync_is_suspended_is_not_healed() {
    let mut world = watched(&["a"]);
    world.edit("a");
    world.deliver();
    let examine = world.until("Examine");
    let examine = world.take(examine);
    world.annotate(|requests| requests.suspended = true);
    world.execute(examine);
    world.pass(600);
    assert_eq!((world.count("Heal"), world.phase()), (0, Phase::Suspended), "{:?}", world.log);
    world.annotate(|requests| requests.suspended = false);
    world.drain();
    assert!(world.is_as_in("first"));
}

#[test]
fn an_approval_that_is_withdrawn_during_the_apply_prunes_nothing() {
    let names = |from: usize, to: usize| (from..to).map(|n| format!("o{n:02}")).collect::<Vec<_>>();
    let mut world = World::synced(names(0, 20));
    world.push("cut", ["o00", "new"]);
    world.refused.insert("new".into());
    world.pass(60);
    world.approve_held();
    // What was refused is applied by the very cycle that is to prune.
    world.refused.clear();
    let apply = world.until("Apply");
    let apply = world.take(apply);
    assert!(world.machine.status().approval.as_ref().is_some_and(|approval| approval.begun), "the plan rests on it");
    world.annotate(|requests| requests.approved = None);
    world.execute(apply);
    world.pass(60);
    assert_eq!((world.phase(), world.count("Prune"), world.live.len()), (Phase::Held, 0, 21), "{:?}", world.log);
}

#[test]
fn a_heal_writes_what_the_newest_commit_declares_also_when_that_came_during_the_examination() {
    let mut world = watched(&["a", "b"]);
    world.edit("a");
    world.deliver();
    let examine = world.until("Examine");
    let examine = world.take(examine);
    world.push("second", ["a", "b"]).objects.insert("a".into(), "2".into());
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.drain();
    world.execute(examine);
    for effect in &world.pending {
        if let Effect::Heal { step, .. } = effect {
            let digest = step.desired.as_ref().map(|desired| desired.digest);
            assert_eq!(digest, Some(super::world::digest("a", "2")));
        }
    }
    world.drain();
    assert!(world.is_as_in("second"), "{:?}", world.log);
}

/// What is answered late says nothing of the commit that was asked for since.
#[test]
fn a_commit_that_was_asked_for_is_awaited_also_when_the_one_before_it_proves_unusable_meanwhile() {
    let mut world = World::synced(["a", "b"]);
    world.push("unusable", ["a"]).fails = true;
    let render = world.until("Render");
    let render = world.take(render);
    world.push("third", ["a", "b"]).objects.insert("a".into(), "2".into());
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.drain();
    world.edit("a");
    world.deliver();
    world.execute(render);
    world.drain();
    assert_eq!(world.count("Heal"), 0, "{:?}", world.log);
    assert!(world.is_as_in("third"), "{:?}", world.log);
}
