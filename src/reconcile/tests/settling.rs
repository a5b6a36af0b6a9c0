//! How long is waited for objects to become healthy: for each by itself, whatever commits come.

use std::time::Duration;

use super::world::World;
use crate::event::Outcome;
use crate::object::{Health, HealthStatus};
use crate::plan::Phase;

/// Polled every second, with a `timeout` of 30 s.
fn hurried() -> World {
    World::with(|config| (config.interval, config.timeout) = (Duration::from_secs(1), Duration::from_secs(30)))
}

/// A commit a second, each with another value of `other`.
fn commits(world: &mut World, from: usize, count: usize, names: &[&str], change: &str) {
    for number in from..from + count {
        let content = world.push(&format!("c{number:04}"), names.iter().copied());
        content.objects.insert(change.to_owned(), number.to_string());
        world.pass(1);
    }
}

#[test]
fn an_object_that_no_commit_changes_is_unhealthy_after_its_time_however_many_commits_come() {
    let mut world = hurried();
    world.unhealthy.insert("slow".into());
    commits(&mut world, 0, 25, &["slow", "other"], "other");
    assert_eq!(world.ended(), [], "it has its time");
    commits(&mut world, 25, 20, &["slow", "other"], "other");
    assert!(world.ended().contains(&Outcome::Unhealthy), "{:?}", world.ended());
    assert_eq!(world.phase(), Phase::Unhealthy);
    assert!(world.machine.status().message.contains("slow"));
    // Nor does it get time anew by the next ones.
    world.forget();
    commits(&mut world, 45, 20, &["slow", "other"], "other");
    assert!(world.ended().iter().all(|outcome| *outcome == Outcome::Unhealthy), "{:?}", world.ended());
}

#[test]
fn an_object_that_each_commit_changes_gets_its_time_anew() {
    let mut world = hurried();
    world.unhealthy.insert("slow".into());
    commits(&mut world, 0, 90, &["slow", "other"], "slow");
    assert_eq!((world.phase(), world.ended()), (Phase::Progressing, vec![]));
    world.pass(40);
    assert_eq!(world.phase(), Phase::Unhealthy);
}

#[test]
fn an_object_that_becomes_unhealthy_later_has_a_time_of_its_own() {
    let mut world = hurried();
    world.unhealthy.insert("slow".into());
    world.push("first", ["a", "slow"]);
    world.pass(20);
    world.set_health("a", Health::new(HealthStatus::InProgress, "0 of 1 ready"));
    world.set_health("slow", Health::current());
    world.deliver();
    world.pass(15);
    assert_eq!(world.phase(), Phase::Progressing, "the first one is well, and the second is waited for since");
    world.pass(20);
    assert_eq!(world.phase(), Phase::Unhealthy);
}

#[test]
fn a_cluster_that_cannot_be_read_for_a_moment_gives_nobody_time_anew() {
    let mut world = hurried();
    world.unhealthy.insert("slow".into());
    world.push("first", ["a", "slow"]);
    world.pass(20);
    world.unobservable = true;
    world.push("second", ["a", "slow"]).objects.insert("a".into(), "2".into());
    world.pass(3);
    assert_eq!(world.phase(), Phase::Failing);
    world.unobservable = false;
    world.pass(12);
    assert_eq!(world.phase(), Phase::Unhealthy);
}

#[test]
fn what_waits_for_its_namespace_is_waited_for_no_longer_than_the_rest() {
    let mut world = hurried();
    world.push("c0000", ["a", "shop"]);
    world.pass(5);
    assert_eq!(world.phase(), Phase::Synced);
    world.live("shop").terminating = Some(Box::default());
    for number in 1..60 {
        let content = world.push(&format!("c{number:04}"), ["a", "b", "shop"]);
        content.objects.insert("a".into(), number.to_string());
        world.pass(1);
    }
    assert!(world.ended().contains(&Outcome::Unhealthy), "{:?}", world.ended());
}

#[test]
fn an_orphan_that_cannot_be_decided_fails_the_sync_however_many_commits_come() {
    let mut world = hurried();
    world.push("c0000", ["a", "b", "gone"]);
    world.pass(5);
    world.elusive.insert("gone".into());
    commits(&mut world, 1, 60, &["a", "b"], "b");
    assert!(world.ended().contains(&Outcome::Failed), "{:?}", world.ended());
    assert!(world.names().contains(&"gone"));
}
