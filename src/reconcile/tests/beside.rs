//! A cycle and the heal queue that heals, beside each other: what one has seen or waits for may be
//! settled by the other meanwhile.

use std::time::Duration;

use super::answers::Begun;
use super::watched::watched;
use super::world::{World, id};
use crate::plan::Phase;
use crate::reconcile::{Effect, Input};

/// An object is deleted by hand and being healed, and a commit without it is being planned. The heal
/// was begun before that commit was rendered.
pub(super) fn healed_beside_a_commit_without_it(world: &mut World) -> (Effect, Effect) {
    world.push("second", ["b"]);
    world.now += world.config.interval;
    world.step(Input::Tick);
    let render = world.until("Render");
    let render = world.take(render);
    world.delete("a");
    world.deliver();
    let heal = world.until("Heal");
    let heal = world.take(heal);
    world.execute(render);
    world.begun = Some(Begun::All);
    let observe = world.until("Observe");
    (heal, world.take(observe))
}

#[test]
fn what_is_healed_while_a_commit_without_it_is_planned_is_not_forgotten() {
    for then in ["gone", "let go of"] {
        let mut world = watched(&["a", "b"]);
        let (heal, observe) = healed_beside_a_commit_without_it(&mut world);
        let seen = world.answer(observe);
        let healed = world.answer(heal);
        if then == "let go of" {
            world.live("a").detach = true;
        }
        world.step(healed);
        world.step(seen);
        world.drain();
        let is_live = world.live.get(&id("a")).is_some_and(|live| live.part_of.is_some());
        assert_eq!((is_live, world.stored()), (false, vec!["b"]), "{then}: {:?}", world.log);
    }
}

/// More objects than are healed at once.
const MANY: [&str; 20] = [
    "o00", "o01", "o02", "o03", "o04", "o05", "o06", "o07", "o08", "o09", "o10", "o11", "o12", "o13", "o14", "o15",
    "o16", "o17", "o18", "o19",
];

/// A world in which all objects were deleted, and a cycle waits until they are healed. That they
/// are there again already, it has not seen; nor have the watches reported it.
fn waiting_for_many() -> World {
    let mut world = watched(&MANY);
    for name in MANY {
        world.delete(name);
    }
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.until("Observe");
    let at = world.pending.iter().position(|effect| matches!(effect, Effect::Observe { .. })).unwrap();
    let observe = world.pending.remove(at).unwrap();
    let seen = world.answer(observe);
    world.deliver();
    world.drain();
    assert!(world.is_as_in("first"), "{:?}", world.log);
    world.undelivered.clear();
    world.step(seen);
    assert!(!world.machine.is_idle());
    world
}

#[test]
fn a_cycle_does_not_wait_for_what_changes_show_to_be_well() {
    let mut world = waiting_for_many();
    for name in MANY {
        world.seen(&id(name));
    }
    world.deliver();
    world.pass(60);
    assert!(world.machine.is_idle(), "{:?}", world.machine);
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn a_sync_that_is_suspended_while_a_cycle_waits_goes_on_when_it_is_resumed() {
    let mut world = waiting_for_many();
    world.annotate(|requests| requests.suspended = true);
    world.drain();
    world.annotate(|requests| requests.suspended = false);
    world.pass(60);
    assert!(world.machine.is_idle(), "{:?}", world.machine);
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn a_cycle_does_not_wait_for_what_depends_on_something_in_a_namespace_under_deletion() {
    let mut world = World::with(|config| config.interval = Duration::from_hours(24));
    world.push("first", ["a", "class", "shop"]).objects.insert("class".into(), "after a".into());
    world.pass(10);
    assert_eq!(world.phase(), Phase::Synced, "{}", world.machine.status().message);
    world.forget();
    world.live("shop").terminating = Some(Box::default());
    world.delete("a");
    world.delete("class");
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.pass(60);
    assert!(world.machine.is_idle(), "the cycle has ended: {:?}", world.log);
    assert_eq!((world.count("Heal"), world.names()), (0, vec!["shop"]), "{:?}", world.log);
    world.delete("shop");
    world.deliver();
    world.pass(60);
    assert!(world.is_as_in("first"), "{:?}", world.log);
}
