//! What people add to an object and git does not declare.

use std::time::Duration;

use super::watched::watched;
use super::world::World;
use crate::config::DriftPolicy;
use crate::event::SyncEvent;
use crate::plan::Drift;
use crate::reconcile::{Input, Machine};

fn drift(machine: &Machine) -> Vec<Drift> {
    machine.status().drift.clone()
}

/// A world that was synced under a policy, and whose cycles come once a day.
fn under(policy: DriftPolicy) -> World {
    let mut world = World::with(|config| (config.interval, config.drift) = (Duration::from_hours(24), policy));
    world.push("first", ["a", "b"]);
    world.pass(10);
    world.deliver();
    world.forget();
    world
}

#[test]
fn an_addition_is_healed_alone_and_reported_with_what_is_removed() {
    let mut world = watched(&["a", "b"]);
    world.add("a", Some("extra"));
    world.deliver();
    world.drain();
    assert_eq!(world.log, ["Examine a", "Heal a"]);
    assert_eq!((world.drifts(), world.heals()), (1, 1));
    let drift = drift(&world.machine);
    assert_eq!((drift[0].blame.fields.len(), drift[0].healed), (1, true), "{drift:?}");
    world.deliver();
    world.pass(60);
    assert_eq!(world.log.iter().filter(|line| line.starts_with("Examine")).count(), 1, "{:?}", world.log);
}

#[test]
fn an_addition_is_found_after_a_restart() {
    let mut world = watched(&["a", "b"]);
    world.add("b", Some("extra"));
    world.restart();
    world.pass(10);
    assert_eq!((world.drifts(), world.heals()), (1, 1), "{:?}", world.log);
}

#[test]
fn an_addition_is_reported_once_where_the_policy_is_report_and_so_is_its_end() {
    let mut world = under(DriftPolicy::Report);
    world.add("a", Some("extra"));
    world.deliver();
    world.pass(60);
    world.push("second", ["a", "b"]);
    world.pass(2 * 24 * 3600);
    assert_eq!((world.drifts(), world.heals()), (1, 0), "{:?}", world.log);
    world.add("a", Some("another"));
    world.deliver();
    world.drain();
    assert_eq!(world.drifts(), 2, "another one is reported, too");
    world.add("a", None);
    world.deliver();
    world.drain();
    assert_eq!(world.reported(|event| matches!(event, SyncEvent::DriftGone { .. })), 1);
}

#[test]
fn an_addition_that_only_the_answer_to_a_heal_shows_is_healed_too() {
    let mut world = watched(&["a"]);
    world.edit("a");
    world.deliver();
    world.until("Heal");
    let heal = world.pending.pop_front().unwrap();
    let mut answer = world.answer(heal);
    // Somebody added it before the heal, so that the changes of that are older than the answer.
    world.add("a", Some("extra"));
    world.undelivered.clear();
    if let Input::Healed { outcome, .. } = &mut answer {
        outcome.live.clone_from(&Some(world.live("a").clone()));
    }
    world.step(answer);
    world.drain();
    assert_eq!((world.drifts(), world.heals()), (2, 2), "{:?}", world.log);
    assert_eq!(world.live("a").added(), None);
}

#[test]
fn additions_are_nobodys_business_where_drift_is_switched_off() {
    let mut world = under(DriftPolicy::Off);
    world.add("a", Some("extra"));
    world.deliver();
    world.pass(2 * 24 * 3600);
    assert_eq!((world.drifts(), world.heals(), world.count("Examine")), (0, 0, 0), "{:?}", world.log);
}

#[test]
fn what_the_apply_of_a_commit_removes_is_reported() {
    let mut world = watched(&["a", "b"]);
    world.add("a", Some("extra"));
    world.push("second", ["a", "b"]);
    world.pass(2 * 24 * 3600);
    let drift = drift(&world.machine);
    assert!(drift.iter().any(|drift| drift.healed && drift.blame.fields[0].path == "data.extra"), "{drift:?}");
    assert!(world.is_as_in("second"));
}

#[test]
fn an_addition_that_comes_back_again_and_again_is_contested() {
    let mut world = watched(&["a"]);
    for _ in 0..4 {
        world.add("a", Some("extra"));
        world.deliver();
        world.drain();
    }
    assert_eq!(world.reported(|event| matches!(event, SyncEvent::Contested { .. })), 1, "{:?}", world.log);
    let contested = &world.machine.status().contested;
    assert_eq!(contested[0].fields, ["data.extra"]);
}

#[test]
fn a_manager_on_neither_list_is_noted_once_by_a_cycle_of_its_own() {
    let mut world = watched(&["a", "b", "c"]);
    for name in ["a", "b"] {
        world.write_as(name, "tuner");
    }
    world.deliver();
    world.pass(60);
    assert_eq!(world.count("Observe"), 1, "{:?}", world.log);
    let notes = world.machine.status().notes.clone();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].message.contains("tuner owns fields of it and of another object"), "{notes:?}");
    world.write_as("c", "tuner");
    world.deliver();
    world.pass(600);
    assert_eq!((world.count("Observe"), world.count("Examine"), world.drifts()), (1, 0, 0), "{:?}", world.log);
}
