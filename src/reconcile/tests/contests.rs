//! Contests: a field that is healed again and again, whoever writes it.

use std::time::Duration;

use super::watched::watched;
use super::world::World;
use crate::event::SyncEvent;

const MINUTE: u64 = 60;

fn contests_reported(world: &World) -> usize {
    world.reported(|event| matches!(event, SyncEvent::Contested { .. }))
}

/// Each second one of the managers writes one of the sets of fields.
fn fight(world: &mut World, seconds: usize, managers: &[&str], fields: &[&[&str]]) {
    for number in 0..seconds {
        world.write_fields("a", managers[number % managers.len()], fields[number % fields.len()]);
        world.deliver();
        world.pass(1);
    }
}

#[test]
fn two_managers_that_alternate_on_one_field_are_a_contest_and_both_are_named() {
    let mut world = watched(&["a", "b"]);
    fight(&mut world, 60, &["left", "right"], &[&["data.value"]]);
    assert!((3..=10).contains(&world.heals()), "{} heals against 60 writes", world.heals());
    assert_eq!(contests_reported(&world), 1);
    let contested = world.machine.status().contested.clone();
    assert_eq!(contested.len(), 1);
    let json = serde_json::to_string(&contested).unwrap();
    assert!(json.contains("left") && json.contains("right"), "{json}");
    world.pass(20 * MINUTE);
    assert_eq!(world.machine.status().contested, []);
    assert_eq!(world.reported(|event| matches!(event, SyncEvent::Uncontested { .. })), 1);
    assert!(world.is_as_in("first"), "the last heal stays");
}

#[test]
fn a_field_is_counted_by_itself_whatever_else_is_written_with_it() {
    let mut world = watched(&["a"]);
    // Never the same set of fields, but always this one.
    for number in 0..120 {
        let other = format!("data.other{}", number % 40);
        world.write_fields("a", "rival", &["data.value", &other]);
        world.deliver();
        world.pass(1);
    }
    let contested = world.machine.status().contested.clone();
    assert_eq!(contested.len(), 1, "{contested:?}");
    assert!(contested[0].fields.contains(&"data.value".to_owned()));
}

#[test]
fn a_manager_that_alternates_between_fields_is_slowed_down_as_well() {
    let mut world = watched(&["a"]);
    let fields: Vec<String> = (0..8).map(|n| format!("data.f{n}")).collect();
    for number in 0_usize..600 {
        // Every set of them, one after another.
        let set: Vec<&str> =
            fields.iter().enumerate().filter(|(n, _)| (number % 255 + 1) & (1 << n) != 0).map(|(_, f)| &**f).collect();
        world.write_fields("a", "rival", &set);
        world.deliver();
        world.pass(1);
    }
    assert!(world.heals() <= 100, "{} heals against 600 writes", world.heals());
}

#[test]
fn another_field_of_a_contested_object_is_healed_at_once_and_the_contested_one_is_not_counted_by_that() {
    let mut world = watched(&["a"]);
    fight(&mut world, 60, &["left", "right"], &[&["data.value"]]);
    let before = world.machine.status().contested.clone();
    world.write_fields("a", "left", &["data.value"]);
    world.deliver();
    world.drain();
    let heals = world.heals();
    world.write_fields("a", "person", &["data.other"]);
    world.deliver();
    world.drain();
    assert_eq!(world.heals(), heals + 1, "at once");
    let after = world.machine.status().contested.clone();
    assert_eq!((after[0].heals, &after[0].fields), (before[0].heals, &before[0].fields));
}

#[test]
fn a_person_who_edits_three_times_a_day_is_no_contest() {
    let mut world = watched(&["a"]);
    for _ in 0..6 {
        world.write_fields("a", "kubectl-edit", &["data.value"]);
        world.deliver();
        world.pass(8 * 60 * MINUTE);
    }
    assert_eq!((world.heals(), contests_reported(&world)), (6, 0));
}

#[test]
fn an_object_that_many_delete_is_a_contest_of_its_own() {
    let mut world = watched(&["a"]);
    for _ in 0..60 {
        if world.live.contains_key(&super::world::id("a")) {
            world.delete("a");
        }
        world.deliver();
        world.pass(1);
    }
    assert!((3..=9).contains(&world.heals()), "{} heals", world.heals());
    assert_eq!(contests_reported(&world), 1);
    let until = world.now + Duration::from_mins(20);
    world.pass(20 * MINUTE);
    assert!(world.now >= until && world.is_as_in("first"));
}
