//! `drift: report`, where nobody of ours puts anything back.

use std::time::Duration;

use super::world::{World, id};
use crate::config::DriftPolicy;
use crate::event::SyncEvent;

/// A world whose cycles come once a day.
fn reporting(names: &[&str]) -> World {
    let interval = Duration::from_hours(24);
    let mut world = World::with(|config| (config.interval, config.drift) = (interval, DriftPolicy::Report));
    world.push("first", names.iter().copied());
    world.pass(10);
    world.deliver();
    world.forget();
    world
}

fn gone(world: &World) -> usize {
    world.reported(|event| matches!(event, SyncEvent::DriftGone { .. }))
}

#[test]
fn drift_that_is_only_reported_is_over_when_the_audit_finds_the_values_of_git_and_reported_again_when_not() {
    let mut world = reporting(&["a", "b"]);
    world.tampered.insert("a".into());
    world.edit("a");
    world.deliver();
    world.pass(7200);
    assert_eq!((world.drifts(), gone(&world)), (1, 0));
    // Whoever edited it still owns the field, so no watch shows that the value is back.
    world.tampered.clear();
    world.pass(7200);
    assert_eq!((world.drifts(), gone(&world)), (1, 1));
    let version = world.version();
    world.live("a").resource_version = version;
    world.seen(&id("a"));
    world.deliver();
    world.drain();
    world.push("second", ["a", "b"]);
    world.pass(2 * 24 * 3600);
    assert_eq!((world.drifts(), gone(&world)), (1, 1), "nor is it reported again by a cycle");
    world.tampered.insert("a".into());
    world.pass(7200);
    assert_eq!((world.drifts(), gone(&world), world.heals()), (2, 1, 0));
}

#[test]
fn what_went_with_its_namespace_is_reported_too_where_drift_is_only_reported() {
    let mut world = reporting(&["shop", "a", "b"]);
    for name in ["shop", "a", "b"] {
        world.delete(name);
    }
    world.deliver();
    world.pass(600);
    assert_eq!((world.drifts(), world.heals()), (3, 0));
    assert_eq!(world.count("Examine"), 1, "{:?}", world.log);
}
