//! What a rendering reads of the cluster changes, and the same commit means other manifests.

use super::world::World;
use crate::event::SyncEvent;
use crate::plan::Phase;
use crate::reconcile::Input;

#[test]
fn the_same_commit_is_rendered_again_when_its_inputs_change() {
    let mut world = World::synced(["a", "b"]);
    world.push("first", ["a", "c"]);
    world.pass(5);
    assert_eq!(world.count("Render"), 0, "nobody says so");
    world.step(Input::RenderInputsChanged);
    world.pass(5);
    assert_eq!(world.count("Render"), 1);
    assert!(world.is_as_in("first"), "{:?}", world.log);
    assert_eq!(world.phase(), Phase::Synced);
    world.forget();
    world.pass(300);
    assert_eq!(world.count("Render"), 0, "once is enough");
}

#[test]
fn what_it_rendered_to_before_is_enforced_while_it_cannot_be_rendered() {
    let mut world = World::synced(["a", "b"]);
    world.push("first", ["a", "c"]).fails = true;
    world.step(Input::RenderInputsChanged);
    world.pass(5);
    world.edit("a");
    world.pass(5);
    assert_eq!(world.names(), ["a", "b"], "{:?}", world.log);
    assert_eq!(world.phase(), Phase::Failing);
    assert!(world.machine.status().message.contains("before stays enforced"), "{}", world.machine.status().message);
    world.push("first", ["a", "c"]);
    world.pass(300);
    assert!(world.is_as_in("first") && world.phase() == Phase::Synced, "{:?}", world.log);
}

#[test]
fn a_first_commit_that_could_not_be_used_is_tried_at_once_when_its_inputs_change() {
    let mut world = World::new();
    world.push("first", ["a"]).fails = true;
    world.pass(600);
    assert_eq!(world.phase(), Phase::Failing);
    world.push("first", ["a"]);
    world.step(Input::RenderInputsChanged);
    world.pass(1);
    assert!(world.is_as_in("first"), "{:?}", world.log);
}

#[test]
fn a_follower_that_rendered_before_renders_again_when_it_leads() {
    let mut world = World::synced(["a"]);
    world.follow();
    world.pass(90);
    world.push("first", ["a", "b"]);
    world.step(Input::RenderInputsChanged);
    world.pass(90);
    assert_eq!(world.names(), ["a"]);
    world.lead();
    world.pass(5);
    assert!(world.is_as_in("first"), "{:?}", world.log);
}

#[test]
fn a_change_during_the_rendering_has_it_rendered_once_more() {
    let mut world = World::synced(["a"]);
    world.step(Input::RenderInputsChanged);
    let id = world.until("Render");
    let effect = world.take(id);
    world.push("first", ["b"]);
    world.step(Input::RenderInputsChanged);
    world.execute(effect);
    world.pass(5);
    assert!(world.is_as_in("first"), "{:?}", world.log);
    let started = world.events.iter().filter(|event| matches!(event, SyncEvent::Started { .. })).count();
    assert!(started >= 1);
}
