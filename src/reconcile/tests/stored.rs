//! When the parent is written: at once for what decides, now and then for what only informs.

use std::time::Duration;

use super::watched::watched;
use super::world::{World, id};
use crate::object::{Health, HealthStatus};
use crate::plan::Phase;

fn starting(number: usize) -> Health {
    Health::new(HealthStatus::InProgress, format!("{number} of 3 available"))
}

/// Ten times a second for so many seconds.
fn flip(world: &mut World, name: &str, seconds: usize) {
    for number in 0..seconds * 10 {
        let health = if number % 7 < 3 { starting(number % 3) } else { Health::current() };
        world.set_health(name, health);
        world.deliver();
        let next = world.now + Duration::from_millis(100);
        world.drain();
        while let Some(due) = world.machine.wake_at().filter(|due| *due <= next) {
            world.now = world.now.max(due);
            world.drain();
        }
        world.now = next;
    }
}

#[test]
fn health_that_flips_is_stored_twice_a_minute_at_most_and_shown_at_once() {
    let mut world = watched(&["a", "b"]);
    flip(&mut world, "a", 300);
    let writes = world.count("WriteParent");
    assert!((2..=10).contains(&writes), "{writes} writes in 5 minutes: {:?}", world.log.len());
    world.set_health("a", starting(1));
    world.deliver();
    assert_eq!(world.machine.status().health.get(&HealthStatus::InProgress), Some(&1), "at once");
    world.set_health("a", Health::current());
    world.deliver();
    world.pass(60);
    assert_eq!(world.phase(), Phase::Synced);
    assert_eq!(world.parent.as_ref().unwrap().1.phase, Phase::Synced, "the last word is stored");
}

#[test]
fn what_decides_is_stored_at_once_also_while_health_flips() {
    let mut world = watched(&["a", "b", "c", "d", "e", "f", "g", "h"]);
    flip(&mut world, "a", 5);
    world.push("cut", ["a", "new"]);
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    flip(&mut world, "a", 2);
    let (inventory, status) = world.parent.clone().unwrap();
    assert!(inventory.contains_key(&id("new")));
    assert!(status.held.is_some(), "so that driftless approve finds it");
    world.approve_held();
    flip(&mut world, "a", 2);
    assert_eq!(world.stored(), ["a", "new"]);
}

#[test]
fn an_object_that_is_deleted_again_and_again_does_not_write_the_parent_each_time() {
    let names: Vec<String> = (0..200).map(|n| format!("o{n:03}")).collect();
    let mut world = watched(&names.iter().map(|name| &**name).collect::<Vec<_>>());
    // Each heal makes another object, whose health moves, so that cycles come.
    for name in &names {
        world.delete(name);
        world.deliver();
        world.drain();
        world.set_health(name, starting(1));
        world.deliver();
        world.pass(1);
        world.set_health(name, Health::current());
        world.deliver();
        world.pass(1);
    }
    let writes = world.count("WriteParent");
    assert!((2..=15).contains(&writes), "{writes} writes in 400 s");
}

#[test]
fn errors_that_come_and_go_are_stored_twice_a_minute_at_most() {
    let mut world = World::with(|config| config.interval = Duration::from_secs(2));
    world.push("first", ["a"]);
    world.pass(60);
    world.forget();
    for number in 0..150 {
        world.head = if number % 2 == 0 {
            Err(format!("no route to host {number}").as_str().into())
        } else {
            Ok("first".into())
        };
        world.pass(2);
    }
    let writes = world.count("WriteParent");
    assert!((2..=11).contains(&writes), "{writes} writes in 5 minutes");
}
