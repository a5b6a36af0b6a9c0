//! What is deleted when: an object that is still there after its deletion keeps what it needs, and
//! nothing else.

use std::time::Duration;

use super::world::{World, id};
use crate::plan::Phase;

/// A world in which `second` removes all of these but `stays`. `dependent` depends on `operator`, and waits
/// on a finalizer when it is deleted.
fn world(dependent: &str) -> World {
    let mut world = World::synced([dependent, "operator", "stays"]);
    world.finalized.insert(dependent.into());
    world.push("second", ["stays"]);
    world
}

/// The finalizer is removed, and the watch says so.
fn release(world: &mut World, name: &str) {
    world.finalized.clear();
    world.gone(&id(name));
    world.live.remove(&id(name));
    world.deliver();
}

fn notes(world: &World) -> String {
    world.machine.status().notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_object_on_which_others_depend_is_deleted_when_they_are_gone_and_nobody_else_waits() {
    let mut world = world("dependent");
    world.live("dependent").depends_on = [id("operator")].into();
    world.pass(3600);
    assert_eq!((world.phase(), world.names()), (Phase::Synced, vec!["dependent", "operator", "stays"]));
    assert_eq!(world.count("Prune"), 1, "what waits is asked for no more: {:?}", world.log);
    assert!(notes(&world).contains("operator: removed from git, and kept until ConfigMap shop/dependent is gone"));
    assert!(notes(&world).contains("example.com/hold"), "{}", notes(&world));
    world.restart();
    world.pass(600);
    assert_eq!(world.names(), ["dependent", "operator", "stays"], "also after a restart");
    world.push("third", ["new", "stays"]);
    world.pass(70);
    assert!(world.names().contains(&"new"), "a newer commit goes on");
    release(&mut world, "dependent");
    world.pass(2);
    assert_eq!((world.names(), world.stored()), (vec!["new", "stays"], vec!["new", "stays"]));
}

#[test]
fn what_may_serve_a_custom_resource_is_kept_for_it_no_longer_than_the_timeout() {
    let mut world = world("thing");
    // A cycle comes by itself once that is over.
    world.pass(200);
    assert_eq!((world.phase(), world.names()), (Phase::Synced, vec!["operator", "stays", "thing"]));
    assert!(notes(&world).contains("operator: removed from git, and kept until Thing shop/thing is gone"));
    let timeout = world.config.timeout.as_secs();
    world.pass(timeout);
    assert_eq!((world.phase(), world.names()), (Phase::Synced, vec!["stays", "thing"]));
    assert_eq!(world.stored(), ["stays", "thing"]);
}

#[test]
fn what_may_serve_a_custom_resource_goes_as_soon_as_that_is_gone() {
    let mut world = world("thing");
    world.pass(100);
    assert_eq!(world.names(), ["operator", "stays", "thing"]);
    release(&mut world, "thing");
    world.pass(2);
    assert_eq!((world.names(), world.stored()), (vec!["stays"], vec!["stays"]));
}

/// By a day's interval, nothing else would ask for a cycle.
#[test]
fn the_end_of_the_patience_with_a_custom_resource_is_not_slept_through() {
    let mut world = World::with(|config| config.interval = Duration::from_hours(24));
    world.push("first", ["thing", "operator", "stays"]);
    world.pass(10);
    world.finalized.insert("thing".into());
    world.push("second", ["stays"]);
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.pass(15);
    assert_eq!(world.names(), ["operator", "stays", "thing"], "{:?}", world.log);
    world.pass(world.config.timeout.as_secs());
    assert_eq!(world.names(), ["stays", "thing"], "{:?}", world.log);
}

/// Otherwise a chain of finalizers would let a large prune pass in small parts.
#[test]
fn the_guard_counts_what_waits_for_others() {
    let names: Vec<String> = (0..20).map(|number| format!("o{number:02}")).collect();
    let mut world = World::synced(names.clone());
    for number in 0..19 {
        world.live(&names[number]).depends_on = [id(&names[number + 1])].into();
    }
    world.finalized.extend(names.clone());
    world.live("o00").terminating = Some(Box::default());
    world.push("second", ["new"]);
    world.pass(600);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Held, 0));
    assert_eq!(world.machine.status().held.as_ref().map(|held| held.prune), Some(19));
    world.approve("second");
    world.pass(60);
    assert_eq!((world.phase(), world.live.len()), (Phase::Synced, 21), "all wait for the first one");
    assert_eq!(world.held_events(), 1, "what was approved is not asked about again");
    world.restart();
    world.pass(60);
    for name in &names {
        world.finalized.remove(name);
        world.gone(&id(name));
        world.live.remove(&id(name));
        world.deliver();
        world.pass(70);
        assert_ne!(world.phase(), Phase::Held, "after {name}: {}", world.machine.status().message);
    }
    assert_eq!(world.names(), ["new"]);
}
